package pull

import (
	"cmp"
	"slices"
	"stowage/internal/manifest"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Estimate is what a Resolve will cost, known before the first counted request.
type Estimate struct {
	Images int       // queried names that exist
	Held   int       // of these, names whose manifests are all held already
	Pulls  int       // counted requests for the others, without those for referrers
	Bytes  int64     // of configs and layers, each counted once, of the manifests that are held
	Needs  []Need    // Pulls by registry and account, sorted by these
	Failed []Failure // names that are known not to be available
	Quotas []Quota   // stated by the registries, one for each registry and account with a limit
}

// Need is the part of an Estimate for one registry and account.
type Need struct {
	Host    string // as dialled: "registry-1.docker.io"
	Account string // source of the account; empty when anonymous
	Pulls   int
	Quota   Quota // of its headers; not Known when the registry has or states no limit
}

// survey computes an Estimate, in which each manifest and blob counts once.
type survey struct {
	c       *Client
	partial map[digest.Digest]bool // manifests seen, and whether one below is not held
	blobs   map[digest.Digest]bool
	unknown bool // a manifest below the current one is not held
	Estimate
}

// estimate counts the requests still to be made.
func (c *Client) estimate(targets []*target) Estimate {
	v := survey{c: c, partial: map[digest.Digest]bool{}, blobs: map[digest.Digest]bool{}}
	needs := map[login]*Need{}
	for _, t := range targets {
		if t.err != nil {
			continue // in Failed
		}
		v.unknown = false
		n := 0
		if t.err = attempt(t.Name, func() { n = v.pulls(t.desc, 0) }); t.err != nil {
			continue
		}
		v.Images++
		if !v.unknown {
			v.Held++
		}
		if v.Pulls += n; n == 0 {
			continue
		}
		if needs[t.first] == nil {
			needs[t.first] = &Need{Host: t.first.host, Account: t.account}
		}
		needs[t.first].Pulls += n
	}
	for key, n := range needs {
		n.Quota = c.limits.quota(key)
		v.Needs = append(v.Needs, *n)
	}
	v.Failed = failures(targets)
	v.Quotas = c.Quotas()
	slices.SortFunc(v.Needs, func(a, b Need) int {
		return cmp.Or(cmp.Compare(a.Host, b.Host), cmp.Compare(a.Account, b.Account))
	})
	return v.Estimate
}

// Quotas returns what the registries stated last about their limits, one for each registry and
// account with a limit, sorted by these.
func (c *Client) Quotas() []Quota {
	list := c.limits.allQuotas()
	slices.SortFunc(list, func(a, b Quota) int {
		return cmp.Or(cmp.Compare(a.Host, b.Host), cmp.Compare(a.Account, b.Account))
	})
	return list
}

// pulls counts the manifests below desc that are not held. For an index that is not held
// the count is estimated from the wanted platforms; for all platforms it is a lower bound.
func (v *survey) pulls(desc ocispec.Descriptor, depth int) int {
	partial, seen := v.partial[desc.Digest]
	if seen || depth > maxDepth {
		v.unknown = v.unknown || partial
		return 0
	}
	above := v.unknown
	v.unknown, v.partial[desc.Digest] = false, false
	defer func() {
		v.partial[desc.Digest] = v.unknown
		v.unknown = v.unknown || above
	}()
	raw, err := v.c.docs.Metadata(desc.Digest)
	if err != nil {
		v.unknown = true
		if manifest.IsManifest(desc.MediaType) {
			return 1
		}
		return 1 + max(1, len(v.c.opts.Platforms))
	}
	m, err := parseManifest("", raw, desc)
	if err != nil {
		return 0
	}
	if !m.Index {
		for _, b := range append(m.Layers, m.Config) {
			if !v.blobs[b.Digest] {
				v.blobs[b.Digest] = true
				v.Bytes += b.Size
			}
		}
		return 0
	}
	n := 0
	chosen, _ := choose(m.Children, v.c.opts.Platforms, v.c.opts.All)
	for _, d := range chosen {
		n += v.pulls(d, depth+1)
	}
	return n
}
