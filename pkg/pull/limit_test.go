package pull

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stowage/internal/registrytest"
	"stowage/pkg/pull/account"
)

// many adds single images to a registry and returns their names.
func many(t *testing.T, h *registrytest.Registry, n int) []string {
	t.Helper()
	var names []string
	for i := range n {
		repo := fmt.Sprintf("a/b%d", i)
		registrytest.Must(h.AddImage(repo, "v1", registrytest.Image{Layers: []*registrytest.Layer{{Files: []registrytest.File{{Name: "f", Size: int64(i)}}}}}))(t)
		names = append(names, h.Ref(repo, "v1"))
	}
	return names
}

// clock replaces a client's sleep: it counts the time and calls then after each sleep.
type clock struct {
	mu    sync.Mutex
	slept []time.Duration
	then  func(total time.Duration)
}

func (k *clock) sleep(ctx context.Context, d time.Duration) error {
	k.mu.Lock()
	k.slept = append(k.slept, d)
	var total time.Duration
	for _, s := range k.slept {
		total += s
	}
	k.mu.Unlock()
	if k.then != nil {
		k.then(total)
	}
	return ctx.Err()
}

func TestWaitForThePullLimit(t *testing.T) {
	const pulls, images = 3, 8
	for name, c := range map[string]struct {
		retryAfter string
		wait       time.Duration
		renewed    time.Duration // when the registry has pulls again
		steps      int           // waits
		ok         bool
	}{
		"renewed after a step":               {"", time.Hour, 5 * time.Minute, 1, true},
		"renewed after three":                {"", time.Hour, 15 * time.Minute, 3, true},
		"exactly at the end":                 {"", 10 * time.Minute, 10 * time.Minute, 2, true},
		"too late":                           {"", 10 * time.Minute, 11 * time.Minute, 2, false},
		"not allowed":                        {"", 0, time.Minute, 0, false},
		"seconds":                            {registrytest.RetrySeconds(2 * time.Hour), 6 * time.Hour, 2 * time.Hour, 1, true},
		"date":                               {registrytest.RetryDate(time.Now().Add(2 * time.Hour)), 6 * time.Hour, 90 * time.Minute, 1, true},
		"unix time":                          {registrytest.RetryEpoch(time.Now().Add(2 * time.Hour)), 6 * time.Hour, 90 * time.Minute, 1, true},
		"duration":                           {registrytest.RetryDuration(2 * time.Hour), 6 * time.Hour, 2 * time.Hour, 1, true},
		"the reset is too far away":          {registrytest.RetrySeconds(7 * time.Hour), 6 * time.Hour, 7 * time.Hour, 0, false},
		"the registry was wrong, looks more": {registrytest.RetrySeconds(time.Hour), 6 * time.Hour, 65 * time.Minute, 2, true},
	} {
		t.Run(name, func(t *testing.T) {
			h := registrytest.Start(t, registrytest.Options{Policy: registrytest.Policy{Auth: registrytest.AuthBearer, AnonymousQuota: pulls}, Faults: registrytest.Faults{RetryAfter: c.retryAfter}})
			names := many(t, h, images)
			var events []Event
			var mu sync.Mutex
			client := newClient(t, func(o *Options) {
				o.Wait = c.wait
				o.OnEvent = func(n Event) { mu.Lock(); defer mu.Unlock(); events = append(events, n) }
			})
			k := &clock{then: func(total time.Duration) {
				if total >= c.renewed {
					h.SetPolicy(func(p *registrytest.Policy) { p.AnonymousQuota = 100 })
				}
			}}
			client.net.sleep = k.sleep
			got, failures, err := client.Resolve(t.Context(), refs(names...))
			if err != nil || c.ok != (len(failures) == 0) || c.ok && len(got) != images || !c.ok && len(failures) != images-pulls {
				t.Fatalf("%d images, failures %v, %v", len(got), failures, err)
			}
			for _, f := range failures {
				var limit *RateLimitError
				if !errors.As(f.Err, &limit) || limit.Name != f.Name {
					t.Errorf("failure %v, want the limit with its image", f.Err)
				}
			}
			if len(k.slept) != c.steps || len(events) != c.steps {
				t.Errorf("waited %v, events %v, want %d steps, all images together", k.slept, events, c.steps)
			}
			if len(events) > 0 && (!strings.Contains(events[0].Text, "limit of 3 pulls in 6h0m0s") || events[0].Wait != k.slept[0]) {
				t.Errorf("events %+v", events[0])
			}
			if !c.ok {
				return
			}
			// At most one request of each worker is refused; a probe costs no pull.
			if n := h.Counts(); n.Counted != images || n.ManifestGets > images+DefaultJobs {
				t.Errorf("%d pulls counted, %d GETs for %d images", n.Counted, n.ManifestGets, images)
			}
		})
	}
}

// TestWaitIsForWholeRun checks that Options.Wait is for the whole run, not for each image.
func TestWaitIsForWholeRun(t *testing.T) {
	h := registrytest.Start(t, registrytest.Options{Policy: registrytest.Policy{AnonymousQuota: 1}})
	names := many(t, h, 5)
	c := newClient(t, func(o *Options) { o.Wait, o.Jobs = 12*time.Minute, 1 })
	k := &clock{then: func(total time.Duration) { // each step renews one pull
		h.SetUsed("", 0)
	}}
	c.net.sleep = k.sleep
	got, failures, err := c.Resolve(t.Context(), refs(names...))
	// One at once, one after each of 5, 5 and 2 minutes.
	if err != nil || len(got) != 4 || len(failures) != 1 {
		t.Errorf("%d images, %d failures, %v after waits of %v, want 4 and 1", len(got), len(failures), err, k.slept)
	}
	if want := 12 * time.Minute; k.total() != want {
		t.Errorf("waited %v, want %v", k.total(), want)
	}
}

func (k *clock) total() time.Duration {
	k.mu.Lock()
	defer k.mu.Unlock()
	var total time.Duration
	for _, s := range k.slept {
		total += s
	}
	return total
}

// TestBlobsAfterPullLimit checks that blobs of resolved images can be fetched after a pull
// limit has been reached.
func TestBlobsAfterPullLimit(t *testing.T) {
	h := registrytest.Start(t, registrytest.Options{Policy: registrytest.Policy{Auth: registrytest.AuthBearer, AnonymousQuota: 1}})
	names := many(t, h, 3)
	c := newClient(t, func(o *Options) { o.Jobs = 1 })
	images, failures, err := c.Resolve(t.Context(), refs(names...))
	if err != nil || len(images) != 1 || len(failures) != 2 {
		t.Fatalf("%d images, %d failures, %v", len(images), len(failures), err)
	}
	blobs := blobsOf(t, c, images)
	if err := c.FetchAll(t.Context(), blobs, func(d ocispec.Descriptor) (Sink, error) { return newSink(d), nil }); err != nil || len(blobs) != 2 {
		t.Errorf("%d blobs: %v", len(blobs), err)
	}
}

// TestForgetAfterLongWaits checks that helpers run again: their tokens may have expired.
func TestForgetAfterLongWaits(t *testing.T) {
	h := registrytest.Start(t, registrytest.Options{Policy: registrytest.Policy{Auth: registrytest.AuthBearer, RefuseAnonymous: true, Accounts: []registrytest.Account{
		{User: "ann", Password: "first", Quota: 1}, {User: "bob", Password: "second", Quota: 10},
	}}})
	names := many(t, h, 2)
	list := &forgetful{lists: [][]account.Account{{login1(t, h.Host(), "ann", "first")}, {login1(t, h.Host(), "bob", "second")}}}
	c := newClient(t, func(o *Options) { o.Wait, o.Jobs, o.Accounts = time.Hour, 1, list })
	c.net.sleep = (&clock{then: func(time.Duration) {
		h.SetPolicy(func(p *registrytest.Policy) { p.Accounts[0].Password = "ended" })
		h.Revoke()
	}}).sleep
	resolve(t, c, names...)
	if list.forgotten != 1 || h.Used("bob") != 1 {
		t.Errorf("forgotten %d times, %d pulls of the new account", list.forgotten, h.Used("bob"))
	}
}

// forgetful has another account after each Forget.
type forgetful struct {
	mu        sync.Mutex
	lists     [][]account.Account
	forgotten int
}

func (f *forgetful) For(context.Context, string, []string) ([]account.Account, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.lists[min(f.forgotten, len(f.lists)-1)], nil
}

func (f *forgetful) Forget() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.forgotten++
}

// TestAbuseLimitSlowsDown checks that the client sends one request a second to that registry
// until enough have succeeded.
func TestAbuseLimitSlowsDown(t *testing.T) {
	var p pacer
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for range 3 {
		if d := p.delay(now); d != 0 {
			t.Fatalf("a registry that never complained is asked after %v", d)
		}
	}
	if !p.refused() || p.refused() {
		t.Error("being slow is news once")
	}
	for i := range slowFor {
		if d, want := p.delay(now), time.Duration(i)*slowPace; d != want {
			t.Fatalf("request %d waits %v, want %v", i, d, want)
		}
		if i == 30 {
			p.refused() // starts the count again
		}
	}
	for range slowFor - 1 {
		p.accepted()
	}
	if p.delay(now) == 0 {
		t.Error("over too early")
	}
	p.accepted()
	if d := p.delay(now); d != 0 {
		t.Errorf("not over: %v", d)
	}
}

// TestAbuseLimitOfMinutes checks more refusals than the usual number of attempts.
func TestAbuseLimitOfMinutes(t *testing.T) {
	h, ref, layer, _ := content(t, registrytest.Options{Faults: registrytest.Faults{TooMany: 20}}, 1000)
	c := newClient(t, nil)
	k := &clock{}
	c.net.sleep = k.sleep
	resolve(t, c, ref)
	h.SetFaults(func(f *registrytest.Faults) { f.TooMany = 20 })
	if err := c.Fetch(t.Context(), layer, newSink(layer)); err != nil {
		t.Error(err)
	}
	if k.total() < time.Minute {
		t.Errorf("waited %v", k.total())
	}
}

// TestAbuseLimitPersists checks that a limit that does not pass is a RateLimitError.
func TestAbuseLimitPersists(t *testing.T) {
	for _, kind := range []registrytest.Kind{registrytest.KindToken, registrytest.KindManifest, registrytest.KindBlob} {
		t.Run(string(kind), func(t *testing.T) {
			h, ref, layer, _ := content(t, registrytest.Options{Policy: registrytest.Policy{Auth: registrytest.AuthBearer}}, 1000)
			c := newClient(t, nil)
			if kind == registrytest.KindBlob {
				resolve(t, c, ref)
			}
			h.SetFaults(func(f *registrytest.Faults) { f.Only.Kinds, f.TooMany = []registrytest.Kind{kind}, registrytest.Always })
			var err error
			if kind == registrytest.KindBlob {
				err = c.Fetch(t.Context(), layer, newSink(layer))
			} else {
				err = failure(t, c, ref)
			}
			var limit *RateLimitError
			if !errors.As(err, &limit) || limit.Host != h.Host() {
				t.Errorf("error %v, want a RateLimitError of %s", err, h.Host())
			}
			if n := h.Counts().TooMany; n > slowAttempts+2*slowAttempts {
				t.Errorf("%d requests refused", n)
			}
		})
	}
}

func TestProbeAfter(t *testing.T) {
	for name, c := range map[string]struct{ after, window, want time.Duration }{
		"Docker Hub":        {0, 6 * time.Hour, 5 * time.Minute},
		"a short window":    {0, time.Minute, time.Minute},
		"a window of a day": {0, 24 * time.Hour, 5 * time.Minute},
		"no window":         {0, 0, 5 * time.Minute},
		"stated":            {time.Hour, 6 * time.Hour, time.Hour + time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			if got := probeAfter(c.after, c.window); got != c.want {
				t.Errorf("probeAfter(%v, %v) = %v, want %v", c.after, c.window, got, c.want)
			}
		})
	}
}

// TestRefusedLoginIsNotRepeated checks that a wrong password is sent once, whatever the
// number of images.
func TestRefusedLoginIsNotRepeated(t *testing.T) {
	for name, auth := range map[string]registrytest.Auth{"token server": registrytest.AuthBearer, "basic": registrytest.AuthBasic} {
		t.Run(name, func(t *testing.T) {
			h := registrytest.Start(t, registrytest.Options{Policy: registrytest.Policy{Auth: auth, Accounts: []registrytest.Account{{User: "ann", Password: "right"}}}})
			names := many(t, h, 20)
			list := accounts{h.Host(): {login1(t, h.Host(), "ann", "wrong")}}
			_, failures, err := newClient(t, func(o *Options) { o.Accounts = list }).Resolve(t.Context(), refs(names...))
			if err != nil || len(failures) != len(names) || h.Counts().BadLogins != 1 {
				t.Errorf("%d failures, %v, %d bad logins, want %d and 1", len(failures), err, h.Counts().BadLogins, len(names))
			}
		})
	}
	t.Run("refused when renewed", func(t *testing.T) {
		h := registrytest.Start(t, registrytest.Options{Policy: registrytest.Policy{Auth: registrytest.AuthBearer, Accounts: []registrytest.Account{{User: "ann", Password: "right"}}}})
		names := many(t, h, 20)
		list := accounts{h.Host(): {login1(t, h.Host(), "ann", "right")}}
		c := newClient(t, func(o *Options) {
			o.Accounts = list
			o.Before = func(Estimate) error {
				h.SetPolicy(func(p *registrytest.Policy) { p.Accounts[0].Password = "changed" })
				h.Revoke()
				return nil
			}
		})
		_, failures, err := c.Resolve(t.Context(), refs(names...))
		if err != nil || len(failures) != len(names) || h.Counts().BadLogins != 1 {
			t.Errorf("%d failures, %v, %d bad logins, want %d and 1", len(failures), err, h.Counts().BadLogins, len(names))
		}
	})
}

func TestWarning(t *testing.T) {
	for in, want := range map[string]string{
		`299 - "this tag is deprecated"`: "this tag is deprecated",
		`299 - "say \"pull\" no more"`:   `say "pull" no more`,
		`299 registry "with an agent"`:   "with an agent",
		`199 - "of another kind"`:        "",
		`299 - no quotes`:                "",
		`299 - "not closed`:              "",
		"299 - \"two\nlines\"":           "two lines",
		`299`:                            "",
		``:                               "",
		`299 - ""`:                       "",
	} {
		if got, ok := warning(in); got != want || ok != (want != "") {
			t.Errorf("warning(%q) = %q, %v, want %q", in, got, ok, want)
		}
	}
}

// TestWarningsAreReportedOnce checks that a warning is reported once, however many answers
// carry it.
func TestWarningsAreReportedOnce(t *testing.T) {
	h := registrytest.Start(t, registrytest.Options{Faults: registrytest.Faults{Warning: "this registry moves in May"}})
	names := many(t, h, 5)
	var events []Event
	var mu sync.Mutex
	c := newClient(t, func(o *Options) {
		o.OnEvent = func(n Event) { mu.Lock(); defer mu.Unlock(); events = append(events, n) }
	})
	resolve(t, c, names...)
	if len(events) != 1 || !strings.Contains(events[0].Text, "this registry moves in May") {
		t.Errorf("events %v, want one event", events)
	}
	for i := range maxWarnings * 2 {
		c.net.events.reportWarnings("host", http.Header{"Warning": {fmt.Sprintf(`299 - "%d"`, i)}})
	}
	if len(events) != maxWarnings {
		t.Errorf("%d events, want the bound of %d", len(events), maxWarnings)
	}
}
