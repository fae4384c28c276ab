package pull

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stowage/internal/registrytest"
)

// passage is a proxy in front of a registry that records the headers of requests.
type passage struct {
	*httptest.Server
	mu   sync.Mutex
	seen map[string][]string // by kind of request: values of the header
}

func newPassage(t *testing.T, answer http.HandlerFunc) *passage {
	p := &passage{seen: map[string][]string{}}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		p.seen[r.Method+" "+r.URL.Path] = append(p.seen[r.Method+" "+r.URL.Path], r.Header.Get("X-Team")+"|"+r.Header.Get("Authorization"))
		p.mu.Unlock()
		answer(w, r)
	}))
	t.Cleanup(p.Close)
	return p
}

func (p *passage) host() string { return strings.TrimPrefix(p.URL, "http://") }

// TestHeader checks that the header of a host is sent to it with every request, and to no
// other host: not to where it redirects, and not to a URL in a manifest.
func TestHeader(t *testing.T) {
	blob := []byte("the bytes of a layer")
	desc := ocispec.Descriptor{Digest: digest.FromBytes(blob), Size: int64(len(blob))}
	store := newPassage(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(blob) })
	registry := newPassage(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "/blobs/") {
			http.Redirect(w, r, store.URL+"/kept", http.StatusTemporaryRedirect)
		}
	})
	c := newClient(t, func(o *Options) {
		o.Hosts = map[string]Host{registry.host(): {Header: http.Header{
			"x-team": {"s3cret-team"}, "Authorization": {"Basic s3cret"}, "User-Agent": {"other"},
		}}}
	})
	named, err := parse(registry.host() + "/a/b@" + desc.Digest.String())
	if err != nil {
		t.Fatal(err)
	}
	c.locations.add(named, nil, []ocispec.Descriptor{desc})
	if err := c.Fetch(t.Context(), desc, newSink(desc)); err != nil {
		t.Fatal(err)
	}
	if len(registry.seen) != 2 || len(store.seen) != 1 {
		t.Errorf("requests %v and %v, want a ping and a blob, and the blob's bytes", registry.seen, store.seen)
	}
	for what, values := range registry.seen {
		for _, v := range values {
			if v != "s3cret-team|Basic s3cret" {
				t.Errorf("%s: header %q, want the one configured", what, v)
			}
		}
	}
	for what, values := range store.seen {
		if values[0] != "|" {
			t.Errorf("%s, redirected elsewhere: header %q, want none", what, values[0])
		}
	}
}

// TestHeaderBySchemeAndHost checks that no header is sent by plain HTTP unless allowed, and
// that none replaces a header of the request.
func TestHeaderBySchemeAndHost(t *testing.T) {
	for name, c := range map[string]struct {
		url   string
		plain bool
		want  string
	}{
		"its own":                {"https://r.example/v2/", false, "own"},
		"plain":                  {"http://r.example/v2/", false, ""},
		"plain where allowed":    {"http://r.example/v2/", true, "own"},
		"another port":           {"https://r.example:444/v2/", false, ""},
		"another host":           {"https://cdn.r.example/v2/", true, ""},
		"a name that ends in it": {"https://other-r.example/v2/", false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var got http.Header
			header := hostHeader{host: "r.example", plain: c.plain, values: http.Header{"X-Team": {"own"}, "accept": {"mine"}}}
			r := &retrier{net: newClient(t, nil).net, header: header}
			r.next = wire(func(r *http.Request) (*http.Response, error) { got = r.Header; return nil, errors.New("no") })
			req := httptest.NewRequest(http.MethodGet, c.url, nil)
			req.Header.Set("Accept", "theirs")
			if _, err := r.RoundTrip(req); err == nil {
				t.Fatal("no error")
			}
			if got.Get("X-Team") != c.want || got.Get("Accept") != "theirs" || len(req.Header) != 1 {
				t.Errorf("sent %v, want X-Team %q", got, c.want)
			}
		})
	}
}

// TestHeaderWithAccount checks that a login works as without a header, and its token takes
// precedence.
func TestHeaderWithAccount(t *testing.T) {
	h := registrytest.Start(t, registrytest.Options{TLS: true, Policy: registrytest.Policy{Auth: registrytest.AuthBearer}})
	registrytest.Must(h.AddImage("a/b", "v1", registrytest.Image{}))(t)
	resolve(t, newClient(t, func(o *Options) {
		o.Hosts = map[string]Host{h.Host(): {CA: h.CAPEM(), Header: http.Header{"X-Team": {"t"}}}}
	}), h.Ref("a/b", "v1"))
}

func TestHostPrintsNoValue(t *testing.T) {
	hosts := map[string]Host{"h.example": {CA: []byte("1234"), Header: http.Header{"Authorization": {"s3cret"}}}}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		text := fmt.Sprintf(verb, Options{Hosts: hosts}) + fmt.Sprintf(verb, hosts)
		if strings.Contains(text, "s3cret") || !strings.Contains(text, "Authorization") {
			t.Errorf("%s: %s", verb, text)
		}
	}
}

// TestMirrorCapabilities checks which endpoints resolve tags and which serve bytes.
func TestMirrorCapabilities(t *testing.T) {
	for name, c := range map[string]struct {
		mirrors       []Mirror
		pull, resolve string
		atOrigin      bool
	}{
		"none":             {nil, "o.example", "o.example", false},
		"all":              {[]Mirror{{Host: "m.example"}}, "m.example o.example", "m.example o.example", false},
		"pull":             {[]Mirror{{Host: "m.example", PullOnly: true}}, "m.example o.example", "o.example", false},
		"resolve":          {[]Mirror{{Host: "m.example", ResolveOnly: true}}, "o.example", "m.example o.example", false},
		"last":             {[]Mirror{{Host: "m.example"}, {Host: "l.example", Last: true}, {Host: "x.example"}}, "m.example l.example", "m.example l.example", false},
		"last at origin":   {[]Mirror{{Host: "m.example"}, {Host: "l.example", Last: true}}, "m.example l.example", "l.example", true},
		"no resolver":      {[]Mirror{{Host: "m.example", PullOnly: true, Last: true}}, "m.example", "", false},
		"no puller":        {[]Mirror{{Host: "m.example", ResolveOnly: true, Last: true}}, "", "m.example", false},
		"origin pull only": {[]Mirror{{Host: "m.example"}, {Host: "o.example", PullOnly: true, Last: true}}, "m.example o.example", "m.example", false},
	} {
		t.Run(name, func(t *testing.T) {
			client := newClient(t, func(o *Options) {
				o.Mirrors, o.ResolveAtOrigin = map[string][]Mirror{"o.example": c.mirrors}, c.atOrigin
			})
			named, err := parse("o.example/a/b:v1")
			if err != nil {
				t.Fatal(err)
			}
			hosts := func(list []endpoint) string {
				var names []string
				for _, e := range list {
					names = append(names, e.host)
					if (e.origin == "") != (e.host == "o.example") {
						t.Errorf("%s is sent the origin %q", e.host, e.origin)
					}
				}
				return strings.Join(names, " ")
			}
			if got := hosts(client.routes.pullers(named)); got != c.pull {
				t.Errorf("bytes from %q, want %q", got, c.pull)
			}
			if got := hosts(client.routes.resolvers(named)); got != c.resolve {
				t.Errorf("tags from %q, want %q", got, c.resolve)
			}
		})
	}
	for _, m := range []Mirror{{Host: "127.0.0.1:9", PullOnly: true, Last: true}, {Host: "127.0.0.1:9", ResolveOnly: true, Last: true}} {
		client := newClient(t, func(o *Options) { o.Mirrors = map[string][]Mirror{"o.example": {m}} })
		if err := failure(t, client, "o.example/a/b:v1"); !errors.Is(err, errNoEndpoint) {
			t.Errorf("%+v: error %v, want %v", m, err, errNoEndpoint)
		}
	}
}

// TestPullOnlyMirror checks that the origin resolves the tag and the mirror serves the
// bytes.
func TestPullOnlyMirror(t *testing.T) {
	origin, mirror := registrytest.Start(t, registrytest.Options{}), registrytest.Start(t, registrytest.Options{})
	registrytest.Must(origin.AddImage("a/b", "v1", registrytest.Image{}))(t)
	registrytest.Must(mirror.AddImage("a/b", "v1", registrytest.Image{}))(t)
	resolve(t, newClient(t, func(o *Options) {
		o.Mirrors = map[string][]Mirror{origin.Host(): {{Host: mirror.Host(), PullOnly: true}}}
	}), origin.Ref("a/b", "v1"))
	if o, m := origin.Counts(), mirror.Counts(); o.ManifestHeads != 1 || o.ManifestGets != 0 || m.ManifestHeads != 0 || m.ManifestGets == 0 {
		t.Errorf("origin: %+v, mirror: %+v", o, m)
	}
}
