package pull

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stowage/internal/registrytest"
	"stowage/pkg/pull/account"
)

var amd64 = ocispec.Platform{OS: "linux", Architecture: "amd64"}

// newClient returns a client for amd64 that does not sleep; change may alter its options.
func newClient(t *testing.T, change func(*Options)) *Client {
	t.Helper()
	opts := Options{Platforms: []ocispec.Platform{amd64}}
	if change != nil {
		change(&opts)
	}
	c, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	c.net.sleep = func(ctx context.Context, _ time.Duration) error { return ctx.Err() }
	return c
}

// accounts returns fixed lists by host.
type accounts map[string][]account.Account

func (a accounts) For(_ context.Context, repository string, _ []string) ([]account.Account, error) {
	for host, list := range a {
		if len(repository) > len(host) && repository[:len(host)+1] == host+"/" {
			return list, nil
		}
	}
	return nil, nil
}

func (a accounts) Forget() {}

// login1 returns an account of a --creds flag.
func login1(t *testing.T, host, user, password string) account.Account {
	t.Helper()
	s, err := account.Load(account.Options{
		Environment: &account.Environment{},
		Logins:      []account.Login{{Registry: host, Username: user, Password: account.Redact(password)}},
	})
	if err != nil {
		t.Fatal(err)
	}
	list, err := s.For(t.Context(), host+"/some/repo", nil)
	if err != nil || len(list) != 1 {
		t.Fatalf("account for %s: %v, %v", host, list, err)
	}
	return list[0]
}

// resolve fails the test unless every name resolves.
func resolve(t *testing.T, c *Client, names ...string) []Resolved {
	t.Helper()
	images, failures, err := c.Resolve(t.Context(), refs(names...))
	if err != nil || len(failures) > 0 {
		t.Fatalf("Resolve: %v, failures %v", err, failures)
	}
	return images
}

func refs(names ...string) []Query {
	var out []Query
	for _, n := range names {
		out = append(out, Query{Name: n})
	}
	return out
}

// failure resolves one name that must fail and returns why.
func failure(t *testing.T, c *Client, name string) error {
	t.Helper()
	images, failures, err := c.Resolve(t.Context(), refs(name))
	if err != nil || len(failures) != 1 || len(images) != 0 {
		t.Fatalf("Resolve(%s) = %v, %v, %v, want one failure", name, images, failures, err)
	}
	return failures[0].Err
}

// sink keeps a blob in memory. It may have a prefix from an earlier run.
type sink struct {
	want ocispec.Descriptor
	mu   sync.Mutex
	b    []byte
	have int64
	bad  int // commits refused
}

func newSink(d ocispec.Descriptor) *sink { return &sink{want: d, b: make([]byte, d.Size)} }

func (s *sink) WriteAt(p []byte, off int64) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return copy(s.b[off:], p), nil
}

func (s *sink) Prefix() int64 { return s.have }
func (s *sink) Close() error  { return nil }

func (s *sink) Commit() error {
	if got := digest.FromBytes(s.b); got != s.want.Digest {
		s.bad++
		s.have = 0
		return fmt.Errorf("blob %s has digest %s", s.want.Digest, got)
	}
	return nil
}

// content returns a registry with one image of one layer of the given size, and the layer's
// bytes.
func content(t *testing.T, opts registrytest.Options, size int64) (h *registrytest.Registry, ref string, layer ocispec.Descriptor, raw []byte) {
	t.Helper()
	h = registrytest.Start(t, opts)
	added := registrytest.Must(h.AddImage("a/b", "v1", registrytest.Image{Layers: []*registrytest.Layer{{
		Files: []registrytest.File{{Name: "data", Size: size}}, Compression: registrytest.None, Seed: 1,
	}}}))(t)
	layer = added.Manifests[0].Layers[0]
	r, err := h.Blob("a/b", layer.Digest)
	if err != nil {
		t.Fatal(err)
	}
	raw = make([]byte, layer.Size)
	if _, err := r.ReadAt(raw, 0); err != nil {
		t.Fatal(err)
	}
	return h, h.Ref("a/b", "v1"), layer, raw
}

func TestRequestsOfFirstPull(t *testing.T) {
	h := registrytest.Start(t, registrytest.Options{Policy: registrytest.Policy{Auth: registrytest.AuthBearer}})
	registrytest.Must(h.AddCalico(registrytest.CalicoOptions{}))(t)
	single := registrytest.Must(h.AddImage("library/busybox", "1.36", registrytest.Image{}))(t)
	var names []string
	for _, repo := range registrytest.CalicoRepos {
		names = append(names, h.Ref(repo, registrytest.CalicoTag))
	}
	names = append(names, h.Ref("library/busybox", "1.36"))

	var asked Estimate
	docs := &memory{}
	c := newClient(t, func(o *Options) {
		o.Metadata = docs
		o.Before = func(e Estimate) error { asked = e; return nil }
	})
	images := resolve(t, c, names...)
	if got := h.Counts(); got.ManifestHeads != 4 || got.ManifestGets != 7 || got.Pings != 1 || got.Tokens != 1 {
		t.Errorf("first: %d HEAD, %d GET, %d pings, %d tokens, want 4, 7 (2 for each index, 1 for a single manifest), 1, 1",
			got.ManifestHeads, got.ManifestGets, got.Pings, got.Tokens)
	}
	if asked.Images != 4 || asked.Pulls != 7 || asked.Held != 0 {
		t.Errorf("estimate %+v, want 4 images and 7 pulls", asked)
	}
	if images[3].Target.Digest != single.Digest || len(images[0].Present) != 2 {
		t.Errorf("images %+v", images)
	}

	h.Reset()
	again := newClient(t, func(o *Options) {
		o.Metadata = docs
		o.Before = func(e Estimate) error { asked = e; return nil }
	})
	resolve(t, again, names...)
	if got := h.Counts(); got.ManifestHeads != 4 || got.ManifestGets != 0 {
		t.Errorf("nothing changed: %d HEAD, %d GET, want 4 and 0", got.ManifestHeads, got.ManifestGets)
	}
	if asked.Pulls != 0 || asked.Held != 4 {
		t.Errorf("estimate %+v, want nothing to pull", asked)
	}

	h.Reset()
	resolve(t, newClient(t, func(o *Options) { o.Metadata = docs }), h.Ref("library/busybox", single.Digest.String()))
	if got := h.Counts(); got.ManifestHeads+got.ManifestGets != 0 {
		t.Errorf("by a digest that is held: %d requests, want none", got.ManifestHeads+got.ManifestGets)
	}
}

func TestRefusedAccounts(t *testing.T) {
	for name, c := range map[string]struct {
		policy         registrytest.Policy
		user, password string
		source         string
	}{
		"no account, token server": {registrytest.Policy{Auth: registrytest.AuthBearer, RefuseAnonymous: true}, "", "", ""},
		"no account, basic":        {registrytest.Policy{Auth: registrytest.AuthBasic}, "", "", ""},
		"wrong, token server":      {registrytest.Policy{Auth: registrytest.AuthBearer}, "ann", "wrong", "--creds"},
		"wrong, basic":             {registrytest.Policy{Auth: registrytest.AuthBasic}, "ann", "wrong", "--creds"},
	} {
		t.Run(name, func(t *testing.T) {
			c.policy.Accounts = []registrytest.Account{{User: "ann", Password: "right-password"}}
			h := registrytest.Start(t, registrytest.Options{Policy: c.policy})
			registrytest.Must(h.AddImage("a/b", "v1", registrytest.Image{}))(t)
			list := accounts{}
			if c.user != "" {
				list[h.Host()] = []account.Account{login1(t, h.Host(), c.user, c.password)}
			}
			err := failure(t, newClient(t, func(o *Options) { o.Accounts = list }), h.Ref("a/b", "v1"))
			var auth *AuthError
			if !errors.As(err, &auth) || auth.Host != h.Host() || auth.Source != c.source {
				t.Errorf("error %#v, want an AuthError of %s with source %q", err, h.Host(), c.source)
			}
			if n := h.Counts().BadLogins; c.user != "" && n != 1 {
				t.Errorf("%d bad logins, want 1: a refused login is not repeated", n)
			}
			for _, e := range h.Log() {
				if e.Status == 200 && e.Kind == registrytest.KindManifest {
					t.Errorf("served without an account: %s", e)
				}
			}
		})
	}
}

// TestNextAccount checks that the next account that matches is tried, as by the kubelet.
func TestNextAccount(t *testing.T) {
	h := registrytest.Start(t, registrytest.Options{Policy: registrytest.Policy{Auth: registrytest.AuthBearer, RefuseAnonymous: true, Accounts: []registrytest.Account{{User: "ann", Password: "pw"}}}})
	registrytest.Must(h.AddImage("a/b", "v1", registrytest.Image{}))(t)
	list := accounts{h.Host(): {login1(t, h.Host(), "old", "gone"), login1(t, h.Host(), "ann", "pw")}}
	resolve(t, newClient(t, func(o *Options) { o.Accounts = list }), h.Ref("a/b", "v1"))
}

// TestTokenRenewedOnce checks that of many requests with an expired token one renews it.
func TestTokenRenewedOnce(t *testing.T) {
	h := registrytest.Start(t, registrytest.Options{Policy: registrytest.Policy{Auth: registrytest.AuthBearer}})
	var names []string
	for i := range 8 {
		repo := fmt.Sprintf("a/b%d", i)
		registrytest.Must(h.AddImage(repo, "v1", registrytest.Image{Layers: []*registrytest.Layer{{Files: []registrytest.File{{Name: "f", Size: int64(i)}}}}}))(t)
		names = append(names, h.Ref(repo, "v1"))
	}
	c := newClient(t, func(o *Options) {
		o.Before = func(Estimate) error { h.Revoke(); return nil }
	})
	resolve(t, c, names...)
	if n := h.Counts().Tokens; n != 2 {
		t.Errorf("%d tokens, want 2: one at first, one when it had expired", n)
	}
}

func TestMirrors(t *testing.T) {
	first, second := registrytest.Start(t, registrytest.Options{}), registrytest.Start(t, registrytest.Options{})
	registrytest.Must(first.AddImage("proxy/library/one", "v1", registrytest.Image{}))(t)
	two := registrytest.Must(second.AddImage("library/two", "v1", registrytest.Image{Layers: []*registrytest.Layer{{Files: []registrytest.File{{Name: "f", Size: 9}}}}}))(t)
	c := newClient(t, func(o *Options) {
		o.Mirrors = map[string][]Mirror{"registry.test": {{Host: first.Host(), Prefix: "proxy"}, {Host: second.Host()}}}
	})
	images := resolve(t, c, "registry.test/library/one:v1", "registry.test/library/two:v1")
	if images[1].Target.Digest != two.Digest || images[1].Name != "registry.test/library/two:v1" {
		t.Errorf("from the second mirror: %+v", images[1])
	}
	blobs := two.Manifests[0].Layers
	if err := c.FetchAll(t.Context(), blobs, func(d ocispec.Descriptor) (Sink, error) { return newSink(d), nil }); err != nil {
		t.Error(err)
	}
}

// TestRefusalAtMirrorIsFinal checks that the origin is not asked after a refusal: it would
// spend another account's pulls.
func TestRefusalAtMirrorIsFinal(t *testing.T) {
	locked := registrytest.Start(t, registrytest.Options{Policy: registrytest.Policy{Auth: registrytest.AuthBasic}})
	open := registrytest.Start(t, registrytest.Options{})
	registrytest.Must(open.AddImage("a/b", "v1", registrytest.Image{}))(t)
	c := newClient(t, func(o *Options) { o.Mirrors = map[string][]Mirror{open.Host(): {{Host: locked.Host()}}} })
	if err := failure(t, c, open.Ref("a/b", "v1")); !isAuth(err) {
		t.Errorf("error %v, want the mirror's refusal", err)
	}
	if n := open.Counts().Requests; n != 0 {
		t.Errorf("%d requests at the origin, want none", n)
	}
}

func TestPullLimitStops(t *testing.T) {
	h := registrytest.Start(t, registrytest.Options{Policy: registrytest.Policy{Auth: registrytest.AuthBearer, AnonymousQuota: 3}})
	var names []string
	for i := range 6 {
		repo := fmt.Sprintf("a/b%d", i)
		registrytest.Must(h.AddImage(repo, "v1", registrytest.Image{Layers: []*registrytest.Layer{{Files: []registrytest.File{{Name: "f", Size: int64(i)}}}}}))(t)
		names = append(names, h.Ref(repo, "v1"))
	}
	h.SetFaults(func(f *registrytest.Faults) { f.RetryAfter = registrytest.RetrySeconds(time.Hour) })
	var asked Estimate
	c := newClient(t, func(o *Options) { o.Jobs = 1; o.Before = func(e Estimate) error { asked = e; return nil } })
	images, failures, err := c.Resolve(t.Context(), refs(names...))
	if err != nil || len(images) != 3 || len(failures) != 3 {
		t.Fatalf("%d images, %d failures, %v, want 3 and 3", len(images), len(failures), err)
	}
	for _, f := range failures {
		var limit *RateLimitError
		if !errors.As(f.Err, &limit) || limit.Name != f.Name || limit.Quota.Limit != 3 || limit.Reset.Before(time.Now().Add(50*time.Minute)) {
			t.Errorf("%s: %#v, want the limit of 3 and when it ends", f.Name, f.Err)
		}
	}
	if got := h.Counts(); got.ManifestGets != 4 || got.TooMany != 1 {
		t.Errorf("%d GETs, %d refused, want 4 and 1: none after the first refusal", got.ManifestGets, got.TooMany)
	}
	if len(asked.Quotas) != 1 || asked.Quotas[0].Remaining != 3 || asked.Pulls != 6 {
		t.Errorf("estimate %+v, want 6 pulls with 3 left", asked)
	}
}

// TestAbuseLimitPasses checks that the limit on the rate of requests only slows down.
func TestAbuseLimitPasses(t *testing.T) {
	h, ref, _, _ := content(t, registrytest.Options{Faults: registrytest.Faults{TooMany: 3, Only: registrytest.Filter{Kinds: []registrytest.Kind{registrytest.KindManifest}}}}, 10)
	var waits []Event
	var mu sync.Mutex
	c := newClient(t, func(o *Options) {
		o.OnEvent = func(n Event) {
			mu.Lock()
			defer mu.Unlock()
			if n.Wait > 0 {
				waits = append(waits, n)
			}
		}
	})
	resolve(t, c, ref)
	if len(waits) != 3 || h.Counts().TooMany != 3 {
		t.Errorf("%d notices for %d refusals, want 3 each", len(waits), h.Counts().TooMany)
	}
}

func TestServersWithoutHEAD(t *testing.T) {
	for name, f := range map[string]registrytest.Faults{
		"400": {HeadStatus: 400}, "403": {HeadStatus: 403}, "404": {HeadStatus: 404}, "405": {HeadStatus: 405}, "406": {HeadStatus: 406},
		"500": {HeadStatus: 500}, "503": {HeadStatus: 503}, "no digest": {NoDigest: true},
	} {
		t.Run(name, func(t *testing.T) {
			h, ref, _, _ := content(t, registrytest.Options{Faults: f}, 10)
			resolve(t, newClient(t, nil), ref)
			if n := h.Counts().ManifestGets; n != 1 {
				t.Errorf("%d GETs, want 1", n)
			}
		})
	}
	for _, status := range []int{401, 429} {
		h, ref, _, _ := content(t, registrytest.Options{Faults: registrytest.Faults{HeadStatus: status}}, 10)
		if err := failure(t, newClient(t, func(o *Options) { o.Attempts = 1 }), ref); h.Counts().ManifestGets != 0 {
			t.Errorf("%d GETs after %d to HEAD, want none (%v)", h.Counts().ManifestGets, status, err)
		}
	}
}

// TestWrongManifestByTag checks that without HEAD the answer to GET is compared with its own
// digest, or with whether the registry has such a manifest. A registry that answers neither
// is trusted.
func TestWrongManifestByTag(t *testing.T) {
	for name, tt := range map[string]struct {
		faults registrytest.Faults
		wrong  bool
	}{
		"405":                    {registrytest.Faults{HeadStatus: 405}, true},
		"404":                    {registrytest.Faults{HeadStatus: 404}, true},
		"no digest":              {registrytest.Faults{NoDigest: true}, true},
		"no digest and no HEAD":  {registrytest.Faults{NoDigest: true, HeadStatus: 405}, false},
		"no digest, HEAD 404":    {registrytest.Faults{NoDigest: true, HeadStatus: 404}, false},
		"none and wrong nowhere": {registrytest.Faults{NoDigest: true}, false},
	} {
		t.Run(name, func(t *testing.T) {
			h, ref, _, _ := content(t, registrytest.Options{Faults: tt.faults}, 10)
			if tt.wrong {
				h.AddFaults(registrytest.Faults{Only: registrytest.Filter{Kinds: []registrytest.Kind{registrytest.KindManifest}, Methods: []string{"GET"}}, Corrupt: registrytest.Always})
			}
			if !tt.wrong {
				resolve(t, newClient(t, nil), ref)
				return
			}
			docs := &memory{}
			err := failure(t, newClient(t, func(o *Options) { o.Metadata = docs }), ref)
			var wrong *ContentError
			if !errors.As(err, &wrong) || wrong.Host != h.Host() {
				t.Errorf("error %v, want a ContentError of %s", err, h.Host())
			}
			docs.m.Range(func(k, _ any) bool { t.Errorf("kept %v", k); return true })
		})
	}
}

func TestUnsupportedImages(t *testing.T) {
	h := registrytest.Start(t, registrytest.Options{})
	registrytest.Must(h.AddSchema1("old/schema1", "v1", &registrytest.Layer{Files: []registrytest.File{{Name: "f", Size: 1}}}))(t)
	registrytest.Must(h.AddImage("only/arm64", "v1", registrytest.Image{Platform: "linux/arm64"}))(t)
	registrytest.Must(h.AddIndex("only/windows", "v1", registrytest.Index{Images: []registrytest.Image{{Platform: "windows/amd64"}}, Attestation: true}))(t)
	for name, want := range map[string]any{
		h.Ref("old/schema1", "v1"):  new(*UnsupportedError),
		h.Ref("only/arm64", "v1"):   new(*NoPlatformError),
		h.Ref("only/windows", "v1"): new(*NoPlatformError),
		h.Ref("not/there", "v1"):    new(*NotFoundError),
		h.Ref("only/arm64", "v2"):   new(*NotFoundError),
	} {
		if err := failure(t, newClient(t, nil), name); !errors.As(err, want) {
			t.Errorf("%s: %v, want a %T", name, err, want)
		}
	}
}

// TestWrongManifest checks that a manifest that does not match its digest is refused.
func TestWrongManifest(t *testing.T) {
	h, ref, _, _ := content(t, registrytest.Options{}, 10)
	h.SetFaults(func(f *registrytest.Faults) {
		f.Only, f.Corrupt = registrytest.Filter{Kinds: []registrytest.Kind{registrytest.KindManifest}, Methods: []string{"GET"}}, registrytest.Always
	})
	docs := &memory{}
	err := failure(t, newClient(t, func(o *Options) { o.Metadata = docs }), ref)
	var wrong *ContentError
	if !errors.As(err, &wrong) || wrong.Host != h.Host() {
		t.Errorf("error %v, want a ContentError of %s", err, h.Host())
	}
	docs.m.Range(func(k, _ any) bool { t.Errorf("kept %v", k); return true })
}

// TestBefore checks that an error of Before prevents every counted request.
func TestBefore(t *testing.T) {
	h, ref, _, _ := content(t, registrytest.Options{}, 10)
	no := errors.New("no")
	_, _, err := newClient(t, func(o *Options) { o.Before = func(Estimate) error { return no } }).Resolve(t.Context(), refs(ref))
	if !errors.Is(err, no) || h.Counts().ManifestGets != 0 {
		t.Errorf("error %v after %d GETs, want %v and none", err, h.Counts().ManifestGets, no)
	}
}

// TestPlainHTTPNeedsPermission checks that credentials are sent by plain HTTP only to hosts
// for which the options allow it.
func TestPlainHTTPNeedsPermission(t *testing.T) {
	var insecure *InsecureError
	s := &session{key: sessionKey{login: login{host: "10.0.0.1:5000"}}}
	c := newClient(t, func(o *Options) { o.Transport = plainOnly{} })
	s.net, s.base = c.net, c.net.transport
	if err := s.start(t.Context(), Host{}, false); !errors.As(err, &insecure) {
		t.Errorf("error %v, want an InsecureError", err)
	}
	c = newClient(t, func(o *Options) { o.Transport = plainOnly{}; o.Insecure = []string{"10.0.0.1:5000"} })
	if _, err := c.sessions.get(t.Context(), endpoint{host: "10.0.0.1:5000", repo: "a/b"}, nil); err != nil {
		t.Errorf("allowed by name: %v", err)
	}
}
