package pull

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stowage/internal/registrytest"
)

// TestAuthorities checks a registry with a certificate of a private authority.
func TestAuthorities(t *testing.T) {
	h := registrytest.Start(t, registrytest.Options{TLS: true, Policy: registrytest.Policy{Auth: registrytest.AuthBearer, Redirect: true}})
	added := registrytest.Must(h.AddImage("a/b", "v1", registrytest.Image{}))(t)
	other := registrytest.Start(t, registrytest.Options{TLS: true})
	for name, c := range map[string]struct {
		change func(*Options)
		ok     bool
	}{
		"unknown":                 {func(*Options) {}, false},
		"of another registry":     {func(o *Options) { o.CA = other.CAPEM() }, false},
		"known":                   {func(o *Options) { o.CA = h.CAPEM() }, true},
		"two known":               {func(o *Options) { o.CA = append(other.CAPEM(), h.CAPEM()...) }, true},
		"insecure":                {func(o *Options) { o.Insecure = []string{h.Host(), h.CDNHost()} }, true},
		"known for the hosts":     {func(o *Options) { o.Hosts = map[string]Host{h.Host(): {CA: h.CAPEM()}, h.CDNHost(): {CA: h.CAPEM()}} }, true},
		"known for one host only": {func(o *Options) { o.Hosts = map[string]Host{"other.example": {CA: h.CAPEM()}} }, false},
		"not looked at": {func(o *Options) {
			o.Hosts = map[string]Host{h.Host(): {SkipVerify: true}, h.CDNHost(): {SkipVerify: true}}
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			client := newClient(t, c.change)
			if !c.ok {
				err := failure(t, client, h.Ref("a/b", "v1"))
				var refused *CertificateError
				if !errors.As(err, &refused) || refused.Client || refused.Host != h.Host() {
					t.Errorf("error %#v, want a CertificateError of %s", err, h.Host())
				}
				if !strings.Contains(err.Error(), "certificate") || strings.Contains(err.Error(), "\n") {
					t.Errorf("error %q, want one line about the certificate", err)
				}
				return
			}
			h.Reset()
			resolve(t, client, h.Ref("a/b", "v1"))
			for _, layer := range added.Manifests[0].Layers {
				if err := client.Fetch(t.Context(), layer, newSink(layer)); err != nil {
					t.Error(err)
				}
			}
			for _, e := range h.Log() {
				if e.Proto != "HTTP/2.0" {
					t.Errorf("spoken by %s: %s", e.Proto, e)
				}
			}
		})
	}
	for name, o := range map[string]Options{
		"authorities": {All: true, CA: []byte("-----BEGIN NOTHING-----")},
		"of a host":   {All: true, Hosts: map[string]Host{"h.example": {CA: []byte("x")}}},
	} {
		if _, err := New(o); err == nil || !strings.Contains(err.Error(), "no PEM certificate") {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

// keyPair returns a self-signed certificate.
func keyPair(t *testing.T) (tls.Certificate, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "client"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func TestClientCertificates(t *testing.T) {
	cert, pemCert := keyPair(t)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pemCert)
	s := httptest.NewUnstartedServer(http.NotFoundHandler())
	s.TLS = &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool}
	s.Config.ErrorLog = quiet()
	s.StartTLS()
	defer s.Close()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	host := s.Listener.Addr().String()
	for name, h := range map[string]Host{"with": {CA: ca, Certificates: []tls.Certificate{cert}}, "without": {CA: ca}} {
		t.Run(name, func(t *testing.T) {
			way, err := newTransport(&Options{Hosts: map[string]Host{host: h}})
			if err != nil {
				t.Fatal(err)
			}
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+"/v2/", nil)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := way.RoundTrip(req)
			if (err == nil) != (name == "with") {
				t.Errorf("error %v", err)
			}
			if err == nil {
				resp.Body.Close()
				return
			}
			var refused *CertificateError
			err = requestError(&url.Error{Op: "Get", URL: s.URL, Err: err})
			if !errors.As(err, &refused) || !refused.Client || refused.Host != host {
				t.Errorf("error %v, want a CertificateError about the client's", err)
			}
		})
	}
}

// TestProxyOfTheEnvironment runs this test program again, since net/http reads the
// environment once.
func TestProxyOfTheEnvironment(t *testing.T) {
	const name = "registry.example"
	if at := os.Getenv("PULL_TEST_CA"); at != "" {
		ca, err := os.ReadFile(at)
		if err != nil {
			t.Fatal(err)
		}
		resolve(t, newClient(t, func(o *Options) { o.CA = ca }), name+"/a/b:v1")
		return
	}
	h := registrytest.Start(t, registrytest.Options{TLS: true, Names: []string{name}})
	registrytest.Must(h.AddImage("a/b", "v1", registrytest.Image{}))(t)
	at := t.TempDir() + "/ca.pem"
	if err := os.WriteFile(at, h.CAPEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	again := exec.Command(os.Args[0], "-test.run=^TestProxyOfTheEnvironment$")
	again.Env = append(os.Environ(), "PULL_TEST_CA="+at, "HTTPS_PROXY="+h.Proxy(), "NO_PROXY=", "https_proxy=", "no_proxy=")
	if out, err := again.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	if n := h.Counts().ManifestGets; n != 1 {
		t.Errorf("%d GETs came through the proxy, want 1", n)
	}
}

func TestRedirects(t *testing.T) {
	at := func(url string) *http.Request {
		req, err := http.NewRequest(http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		return req
	}
	for name, c := range map[string]struct {
		from, to string
		hops     int
		ok       bool
	}{
		"to another host":                   {"https://registry.example/", "https://cdn.example/", 1, true},
		"from TLS to plain":                 {"https://registry.example/", "http://registry.example/", 1, false},
		"from TLS to plain nearby":          {"https://registry.example/", "http://10.0.0.1/", 1, false},
		"from TLS to plain on this machine": {"https://registry.example/", "http://127.0.0.1:5000/", 1, false},
		"on this machine":                   {"https://127.0.0.1:5000/", "http://localhost:5001/", 1, true},
		"from plain to TLS":                 {"http://registry.example/", "https://cdn.example/", 1, true},
		"the ninth":                         {"https://registry.example/", "https://cdn.example/", 9, true},
		"the tenth":                         {"https://registry.example/", "https://cdn.example/", 10, false},
	} {
		t.Run(name, func(t *testing.T) {
			var via []*http.Request
			for range c.hops {
				via = append(via, at(c.from))
			}
			if err := checkRedirect(at(c.to), via); (err == nil) != c.ok {
				t.Errorf("error %v", err)
			}
		})
	}
}

// TestMirrorShapes checks paths, roots and rewrites as in containerd and k3s.
func TestMirrorShapes(t *testing.T) {
	c := newClient(t, func(o *Options) {
		o.Mirrors = map[string][]Mirror{
			"docker.io": {
				{Host: "one.example", Prefix: "registry"},
				{Host: "two.example", Root: "/artifactory/api/docker/hub/v2"},
				{Host: "three.example", Rewrites: []Rewrite{{regexp.MustCompile("^library/(.*)"), "official/$1"}, {regexp.MustCompile("busybox"), "never"}}},
			},
			"*": {{Host: "any.example"}},
		}
	})
	for name, want := range map[string][]string{
		"docker.io/library/busybox:1": {
			"https://one.example/v2/registry/library/busybox/manifests/1?ns=docker.io",
			"https://two.example/artifactory/api/docker/hub/v2/library/busybox/manifests/1?ns=docker.io",
			"https://three.example/v2/official/busybox/manifests/1?ns=docker.io",
			"https://registry-1.docker.io/v2/library/busybox/manifests/1",
		},
		"quay.io/a/b:1": {"https://any.example/v2/a/b/manifests/1?ns=quay.io", "https://quay.io/v2/a/b/manifests/1"},
	} {
		named, err := parse(name)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, e := range c.routes.endpoints(named) {
			got = append(got, e.url("https", "manifests", "1"))
		}
		if strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Errorf("%s is asked for at\n%s\nwant\n%s", name, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
}

// TestMirrorRoot checks that the ping goes to the mirror's root too.
func TestMirrorRoot(t *testing.T) {
	h := registrytest.Start(t, registrytest.Options{})
	registrytest.Must(h.AddImage("a/b", "v1", registrytest.Image{}))(t)
	const root = "/api/docker/hub/v2"
	var outside []string
	c := newClient(t, func(o *Options) {
		o.Mirrors = map[string][]Mirror{"registry.test": {{Host: h.Host(), Root: root}}}
		o.Transport = wire(func(req *http.Request) (*http.Response, error) {
			if !strings.HasPrefix(req.URL.Path, root) {
				outside = append(outside, req.URL.String())
			}
			req = req.Clone(req.Context())
			req.URL.Path = "/v2" + strings.TrimPrefix(req.URL.Path, root)
			return http.DefaultTransport.RoundTrip(req)
		})
	})
	resolve(t, c, "registry.test/a/b:v1")
	if len(outside) > 0 {
		t.Errorf("asked outside of the root: %v", outside)
	}
}

type wire func(*http.Request) (*http.Response, error)

func (f wire) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// TestResolveAtOrigin checks that the origin resolves the tag and the mirror serves the
// bytes, and that the digest detects wrong bytes of the mirror.
func TestResolveAtOrigin(t *testing.T) {
	origin := registrytest.Start(t, registrytest.Options{Policy: registrytest.Policy{AnonymousQuota: 10}})
	added := registrytest.Must(origin.AddIndex("a/b", "v1", registrytest.Index{Images: []registrytest.Image{{}, {Platform: "linux/arm64"}}}))(t)
	mirror := registrytest.Start(t, registrytest.Options{})
	registrytest.Must(mirror.AddIndex("a/b", "v1", registrytest.Index{Images: []registrytest.Image{{}, {Platform: "linux/arm64"}}}))(t)
	stale := registrytest.Must(mirror.AddImage("a/b", "old", registrytest.Image{Layers: []*registrytest.Layer{{Files: []registrytest.File{{Name: "f", Size: 9}}}}}))(t)
	if err := mirror.Move("a/b", "v1", stale.Digest); err != nil {
		t.Fatal(err)
	}
	ask := func(t *testing.T) (*Client, []Resolved, []Failure) {
		c := newClient(t, func(o *Options) {
			o.Mirrors = map[string][]Mirror{origin.Host(): {{Host: mirror.Host()}}}
			o.ResolveAtOrigin = true
		})
		origin.Reset()
		images, failures, err := c.Resolve(t.Context(), refs(origin.Ref("a/b", "v1")))
		if err != nil {
			t.Fatal(err)
		}
		return c, images, failures
	}
	t.Run("good", func(t *testing.T) {
		c, images, failures := ask(t)
		if len(failures) > 0 || images[0].Target.Digest != added.Digest {
			t.Fatalf("%v, %v", images, failures)
		}
		if n := origin.Counts(); n.ManifestHeads != 1 || n.ManifestGets != 0 || n.Counted != 0 {
			t.Errorf("at the origin %d HEADs, %d GETs, want 1 and none", n.ManifestHeads, n.ManifestGets)
		}
		layer := added.Manifests[0].Config
		if err := c.Fetch(t.Context(), layer, newSink(layer)); err != nil || origin.Counts().BlobGets != 0 {
			t.Errorf("%v, %d blobs from the origin", err, origin.Counts().BlobGets)
		}
	})
	t.Run("wrong bytes at the mirror", func(t *testing.T) {
		mirror.SetFaults(func(f *registrytest.Faults) { f.Corrupt = registrytest.Always })
		defer mirror.SetFaults(registrytest.NoFaults)
		if _, images, failures := ask(t); len(failures) > 0 || images[0].Target.Digest != added.Digest {
			t.Errorf("%v, %v, want it from the origin", images, failures)
		}
		if n := origin.Counts().ManifestGets; n != 2 {
			t.Errorf("%d GETs at the origin, want 2", n)
		}
	})
	t.Run("both fail", func(t *testing.T) {
		only := registrytest.Faults{Fail: registrytest.Failure{Status: 500, Times: registrytest.Always}, Only: registrytest.Filter{Kinds: []registrytest.Kind{registrytest.KindManifest}, Methods: []string{"GET"}}}
		mirror.SetFaults(func(f *registrytest.Faults) { *f = only })
		origin.SetFaults(func(f *registrytest.Faults) { *f = only })
		defer mirror.SetFaults(registrytest.NoFaults)
		defer origin.SetFaults(registrytest.NoFaults)
		_, _, failures := ask(t)
		if len(failures) != 1 || !strings.Contains(failures[0].Err.Error(), mirror.Host()) || !strings.Contains(failures[0].Err.Error(), origin.Host()) {
			t.Errorf("failures %v, want one that names both", failures)
		}
	})
	t.Run("origin unreachable", func(t *testing.T) {
		origin.SetFaults(func(f *registrytest.Faults) { f.Fail = registrytest.Failure{Status: 502, Times: registrytest.Always} })
		defer origin.SetFaults(registrytest.NoFaults)
		if _, images, failures := ask(t); len(images) > 0 || len(failures) != 1 {
			t.Errorf("%v: a tag was resolved by an untrusted mirror", images)
		}
	})
}

// TestMirrorGetsNoOriginAccount checks that the mirror does not get the origin's account.
func TestMirrorGetsNoOriginAccount(t *testing.T) {
	policy := registrytest.Policy{Auth: registrytest.AuthBasic, Accounts: []registrytest.Account{{User: "ann", Password: "pw"}}}
	origin, mirror := registrytest.Start(t, registrytest.Options{Policy: policy}), registrytest.Start(t, registrytest.Options{})
	registrytest.Must(origin.AddImage("a/b", "v1", registrytest.Image{}))(t)
	c := newClient(t, func(o *Options) {
		o.Mirrors = map[string][]Mirror{origin.Host(): {{Host: mirror.Host()}}}
		o.Accounts = accounts{origin.Host(): {login1(t, origin.Host(), "ann", "pw")}}
	})
	resolve(t, c, origin.Ref("a/b", "v1"))
	for _, e := range mirror.Log() {
		if e.Auth != "" {
			t.Errorf("the mirror was shown credentials: %s", e)
		}
	}
}

// TestOneLineErrors checks that errors with text from a server are safe to print.
func TestOneLineErrors(t *testing.T) {
	h := registrytest.Start(t, registrytest.Options{})
	for name, body := range map[string]string{
		"of the specification": `{"errors":[{"code":"DENIED","message":"first\nline","detail":"x"},{"code":"UNKNOWN","message":"second` + "\u202e\u001b[31m" + `"}]}`,
		"a page":               "<html>\n<body>\x1b[2J" + strings.Repeat("long ", 2000) + "</body></html>",
		"nothing":              "",
	} {
		t.Run(name, func(t *testing.T) {
			c := newClient(t, func(o *Options) {
				o.Transport = wire(func(req *http.Request) (*http.Response, error) {
					resp, err := http.DefaultTransport.RoundTrip(req)
					if err == nil && strings.Contains(req.URL.Path, "/manifests/") {
						resp.Body.Close()
						resp.StatusCode, resp.Status = http.StatusTeapot, "418 I'm a teapot"
						resp.Body = bodyOf(body)
					}
					return resp, err
				})
			})
			err := failure(t, c, h.Ref("a/b", "v1"))
			if text := err.Error(); len(text) > 600 || strings.ContainsAny(text, "\n\x1b\u202e") || !strings.Contains(text, "418") {
				t.Errorf("error %q", text)
			}
		})
	}
}

// TestInsecureHost checks that a configuration can allow plain HTTP to another machine.
func TestInsecureHost(t *testing.T) {
	c := newClient(t, func(o *Options) { o.Transport = plainOnly{}; o.Hosts = map[string]Host{"10.0.0.1:5000": {Plain: true}} })
	if _, err := c.sessions.get(t.Context(), endpoint{host: "10.0.0.1:5000", repo: "a/b"}, nil); err != nil {
		t.Error(err)
	}
}

// TestHTTP2Ranges checks large blobs with small HTTP/2 windows.
func TestHTTP2Ranges(t *testing.T) {
	h, ref, layer, raw := content(t, registrytest.Options{TLS: true}, 8*mib)
	c := newClient(t, func(o *Options) { o.CA = h.CAPEM() })
	resolve(t, c, ref)
	h.SetFaults(func(f *registrytest.Faults) {
		f.Only.Kinds = []registrytest.Kind{registrytest.KindBlob}
		f.Cut = registrytest.Interrupt{After: mib, Times: 3}
	})
	s := newPieces(layer)
	c.piece = mib
	err := c.FetchAll(t.Context(), []ocispec.Descriptor{layer}, func(ocispec.Descriptor) (Sink, error) { return s, nil })
	if err != nil || !bytes.Equal(s.b, raw) {
		t.Errorf("%v, right bytes %v", err, bytes.Equal(s.b, raw))
	}
}

// TestFailingAccounts checks that a damaged source of accounts affects its images only.
func TestFailingAccounts(t *testing.T) {
	h, ref, _, _ := content(t, registrytest.Options{}, 10)
	broken := errors.New("credential helper: exit status 1")
	c := newClient(t, func(o *Options) { o.Accounts = failing{"other.example", broken} })
	images, failures, err := c.Resolve(t.Context(), refs(ref, "other.example/a/b:v1"))
	if err != nil || len(images) != 1 || len(failures) != 1 || !errors.Is(failures[0].Err, broken) {
		t.Errorf("%d images, failures %v, %v after %d requests", len(images), failures, err, h.Counts().Requests)
	}
}

// TestDialTimeout checks that the dial timeout of a host applies to it alone.
func TestDialTimeout(t *testing.T) {
	h := registrytest.Start(t, registrytest.Options{})
	for name, c := range map[string]struct {
		host  string
		right bool
	}{"its own": {h.Host(), false}, "another's": {"other.example", true}} {
		t.Run(name, func(t *testing.T) {
			way, err := newTransport(&Options{Hosts: map[string]Host{c.host: {DialTimeout: time.Nanosecond, Plain: true}}})
			if err != nil {
				t.Fatal(err)
			}
			req := registrytest.Must(http.NewRequestWithContext(t.Context(), http.MethodGet, h.URL()+"/v2/", nil))(t)
			resp, err := way.RoundTrip(req)
			var timeout net.Error
			if c.right && err != nil || !c.right && (!errors.As(err, &timeout) || !timeout.Timeout()) {
				t.Errorf("error %v", err)
			}
			if err == nil {
				resp.Body.Close()
			}
		})
	}
}

// TestMirrorLimitIsReportedOnce checks that a mirror's used-up pull limit is one event while
// the origin serves, and only in the error when it does not.
func TestMirrorLimitIsReportedOnce(t *testing.T) {
	for name, gone := range map[string]bool{"the origin serves": false, "the origin does not": true} {
		t.Run(name, func(t *testing.T) {
			mirror := registrytest.Start(t, registrytest.Options{Policy: registrytest.Policy{AnonymousQuota: 1}})
			origin := registrytest.Start(t, registrytest.Options{})
			for _, tag := range []string{"v1", "v2", "v3"} {
				for _, h := range []*registrytest.Registry{mirror, origin} {
					registrytest.Must(h.AddImage("a/b", tag, registrytest.Image{Annotations: map[string]string{"tag": tag}}))(t)
				}
			}
			mirror.SetUsed("", 1)
			if gone {
				origin.SetFaults(func(f *registrytest.Faults) { f.Fail = registrytest.Failure{Status: 404, Times: registrytest.Always} })
			}
			var mu sync.Mutex
			var events []string
			c := newClient(t, func(o *Options) {
				o.Mirrors = map[string][]Mirror{origin.Host(): {{Host: mirror.Host()}}}
				o.OnEvent = func(n Event) { mu.Lock(); defer mu.Unlock(); events = append(events, n.Text) }
			})
			_, failures, err := c.Resolve(t.Context(), []Query{{Name: origin.Ref("a/b", "v1")}, {Name: origin.Ref("a/b", "v2")}, {Name: origin.Ref("a/b", "v3")}})
			want := 1
			if gone {
				want = 0
			}
			if err != nil || (len(failures) > 0) != gone || len(events) != want {
				t.Errorf("%v, %v, events %q", err, failures, events)
			}
		})
	}
}
