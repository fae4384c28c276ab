//go:build linux

package main

import (
	"slices"
	"time"

	"stowage/internal/registrytest"
)

// registryFault is a fault of the registry, until it is healed.
type registryFault struct {
	name  string
	small bool  // limits to one request per second: one image is enough
	codes []int // exit codes of bundle besides 0
	// only, if set, is the only registry for which the codes are allowed.
	only string
	// set causes the fault and returns flags to add.
	set func(d dice, h *hurting) []string
}

// hurting is a registry with faults until it is healed.
type hurting struct {
	*registrytest.Registry
	undo []func()
}

// AddFaults adds faults that heal removes.
func (h *hurting) AddFaults(f registrytest.Faults) { h.undo = append(h.undo, h.Registry.AddFaults(f)) }

// after calls a function after a delay, unless healed before.
func (h *hurting) after(wait time.Duration, do func()) {
	t := time.AfterFunc(wait, do)
	h.undo = append(h.undo, func() { t.Stop() })
}

// account changes the account of the soak, and restores it on heal.
func (h *hurting) account(change func(*registrytest.Account)) {
	before := h.Policy().Accounts[0]
	h.SetPolicy(func(p *registrytest.Policy) { change(&p.Accounts[0]) })
	h.undo = append(h.undo, func() { h.SetPolicy(func(p *registrytest.Policy) { p.Accounts[0] = before }) })
}

// heal ends all faults, the last one first.
func (h *hurting) heal() {
	for _, undo := range slices.Backward(h.undo) {
		undo()
	}
	h.undo = nil
	h.Release()
}

// fault returns a registryFault that needs only registrytest.Faults.
func fault(name string, codes []int, f func(d dice) registrytest.Faults) *registryFault {
	return &registryFault{name: name, codes: codes, set: func(d dice, h *hurting) []string {
		h.AddFaults(f(d))
		return nil
	}}
}

var (
	blobs     = registrytest.Filter{Kinds: []registrytest.Kind{registrytest.KindBlob}}
	manifests = registrytest.Filter{Kinds: []registrytest.Kind{registrytest.KindManifest}}
)

// retryAfter returns a Retry-After of one second in a random form.
func retryAfter(d dice) string {
	soon := time.Now().Add(time.Second)
	return pick(d, "", "1", registrytest.RetryDate(soon), registrytest.RetryDuration(time.Second), registrytest.RetryEpoch(soon), "-5", "soon")
}

// few is how often a fault occurs that bundle retries after half a second or more.
func few(d dice) registrytest.Times { return registrytest.Times(d.between(1, 3)) }

func registryFaults() []*registryFault {
	list := []*registryFault{
		fault("no fault", nil, func(dice) registrytest.Faults { return registrytest.Faults{} }),
		fault("5xx", []int{1}, func(d dice) registrytest.Faults {
			return registrytest.Faults{Fail: registrytest.Failure{Status: pick(d, 500, 502, 503, 504), Times: few(d)}, RetryAfter: retryAfter(d)}
		}),
		fault("403 on blobs", []int{1, 3, 5}, func(d dice) registrytest.Faults {
			return registrytest.Faults{Only: blobs, Fail: registrytest.Failure{Status: 403, Times: registrytest.Always}}
		}),
		fault("404 on blobs", []int{1, 3}, func(d dice) registrytest.Faults {
			return registrytest.Faults{Only: blobs, Fail: registrytest.Failure{Status: 404, Times: few(d)}}
		}),
		fault("cut blobs", []int{1}, func(d dice) registrytest.Faults {
			return registrytest.Faults{Only: blobs, Cut: registrytest.Interrupt{After: int64(d.between(0, 200_000)), Times: few(d) * 2}}
		}),
		fault("cut manifests", []int{1, 3}, func(d dice) registrytest.Faults {
			return registrytest.Faults{Only: manifests, Cut: registrytest.Interrupt{After: int64(d.between(0, 300)), Times: few(d)}}
		}),
		fault("wrong bytes in blobs", []int{1, 3}, func(d dice) registrytest.Faults {
			return registrytest.Faults{Only: blobs, Corrupt: few(d)}
		}),
		fault("wrong bytes in manifests", []int{1, 3}, func(d dice) registrytest.Faults {
			return registrytest.Faults{Only: manifests, Corrupt: few(d)}
		}),
		fault("wrong bytes always", []int{1, 3}, func(d dice) registrytest.Faults {
			return registrytest.Faults{Only: pick(d, blobs, manifests), Corrupt: registrytest.Always}
		}),
		fault("ranges ignored or wrong", []int{1, 3}, func(d dice) registrytest.Faults {
			return registrytest.Faults{
				Ranges: registrytest.RangeMode(d.between(int(registrytest.RangesIgnored), int(registrytest.RangesShort))),
				Cut:    registrytest.Interrupt{After: int64(d.between(0, 200_000)), Times: few(d)}, Only: blobs,
			}
		}),
		fault("slow", nil, func(d dice) registrytest.Faults {
			return registrytest.Faults{Latency: time.Duration(d.between(5, 40)) * time.Millisecond, LinkRate: int64(d.between(4, 16)) << 20}
		}),
		fault("odd headers", nil, func(d dice) registrytest.Faults {
			return registrytest.Faults{NoLength: d.chance(50), Warning: pick(d, "", "this tag is old"), NoReferrers: true}
		}),
		// Docker Hub answers HEAD, and bundle does not replace a HEAD there by a request
		// that counts.
		{name: "wrong response to HEAD", codes: []int{1, 3}, only: "docker.io", set: func(d dice, h *hurting) []string {
			// The response to GET has a digest: without one, wrong bytes could not be
			// detected.
			heads := registrytest.Filter{Methods: []string{"HEAD"}}
			h.AddFaults(pick(d, registrytest.Faults{Only: heads, NoDigest: true}, registrytest.Faults{HeadStatus: 404}, registrytest.Faults{HeadStatus: 405}))
			return nil
		}},
	}
	return append(list, limits()...)
}

// limits are faults that need more than registrytest.Faults.
func limits() []*registryFault {
	quota := func(d dice, h *hurting) {
		n := d.between(1, 8)
		h.SetUsed(soakUser, 0)
		h.account(func(a *registrytest.Account) { a.Quota = n })
	}
	return []*registryFault{
		{name: "quota used up", codes: []int{4}, set: func(d dice, h *hurting) []string {
			quota(d, h)
			h.AddFaults(registrytest.Faults{Only: manifests, RetryAfter: retryAfter(d)})
			return nil
		}},
		{name: "quota used up, --wait", set: func(d dice, h *hurting) []string {
			quota(d, h)
			h.AddFaults(registrytest.Faults{Only: manifests, RetryAfter: "1"})
			h.after(d.part(1500*time.Millisecond, 100), func() {
				h.SetPolicy(func(p *registrytest.Policy) { p.Accounts[0].Quota = 0 })
			})
			return []string{"--wait", "60s"}
		}},
		{name: "pace limit", small: true, set: func(d dice, h *hurting) []string {
			h.AddFaults(registrytest.Faults{TooMany: registrytest.Times(d.between(1, 2)), RetryAfter: retryAfter(d)})
			return nil
		}},
		{name: "tokens that expire", set: func(d dice, h *hurting) []string {
			uses := d.between(10, 30) // more than the concurrent requests, otherwise all of them fail
			h.SetPolicy(func(p *registrytest.Policy) { p.TokenUses = uses })
			h.undo = append(h.undo, func() { h.SetPolicy(func(p *registrytest.Policy) { p.TokenUses = 0 }) })
			return nil
		}},
		{name: "tokens revoked", set: func(d dice, h *hurting) []string {
			h.after(d.part(300*time.Millisecond, 100), h.Revoke)
			return nil
		}},
		{name: "wrong password", codes: []int{5}, set: func(d dice, h *hurting) []string {
			h.Revoke()
			h.account(func(a *registrytest.Account) { a.Password = "another" })
			return nil
		}},
		{name: "stall", set: func(d dice, h *hurting) []string {
			h.AddFaults(registrytest.Faults{Stall: registrytest.Interrupt{After: int64(d.between(0, 100_000)), Times: few(d)}})
			for i := range 40 {
				h.after(time.Duration(i+1)*200*time.Millisecond, h.Release)
			}
			return nil
		}},
	}
}

// drawRegistryFaults chooses one fault, often two.
func drawRegistryFaults(d dice) []*registryFault {
	all := registryFaults()
	first, second := pick(d, all...), pick(d, all...)
	if d.chance(50) || first == second {
		return []*registryFault{first}
	}
	return []*registryFault{first, second}
}
