package pull

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"stowage/internal/registrytest"
	"stowage/pkg/pull/internal/watch"
)

// TestWords checks what is printed of a server's own words.
func TestWords(t *testing.T) {
	for name, c := range map[string]struct{ mediaType, body, want string }{
		"of the specification": {"application/json", `{"errors":[{"code":"DENIED","message":"no","detail":"ask ann"},{"code":"UNKNOWN"}]}`, "no: ask ann; UNKNOWN"},
		"detail that is none":  {"application/json", `{"errors":[{"message":"no","detail":{"a":1}}]}`, "no"},
		"of Docker Hub":        {"application/json", `{"details":"incorrect username or password"}`, "incorrect username or password"},
		"of OAuth2":            {"application/json", `{"error":"invalid_grant","error_description":"it has expired"}`, "it has expired"},
		"a gateway's":          {"application/json", `{"message":"no route"}`, "no route"},
		"nothing known":        {"application/json", `{"a":{}}`, ""},
		"no JSON":              {"application/json", `{"errors":`, ""},
		"of storage":           {"application/xml", `<?xml version="1.0"?><Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>`, "AccessDenied: Request has expired"},
		"a page":               {"text/html; charset=utf-8", "<html><head><TITLE>Blocked\nby policy</TITLE>", `a page (text/html: "Blocked by policy")`},
		"a page without type":  {"", "\n<!DOCTYPE html><body>", "a page (text/html)"},
		"text":                 {"text/plain", "Too Many\x1b[2J Requests\n", "Too Many [2J Requests"},
		"other bytes":          {"application/octet-stream", "\x00\x01", ""},
		"nothing":              {"", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			resp := &http.Response{Header: http.Header{"Content-Type": {c.mediaType}}, Body: bodyOf(c.body)}
			if got := words(resp); got != c.want {
				t.Errorf("words = %q, want %q", got, c.want)
			}
		})
	}
	long := &http.Response{Header: http.Header{}, Body: bodyOf(strings.Repeat("é", 1<<20))}
	if n := len([]rune(words(long))); n > 201 {
		t.Errorf("%d characters", n)
	}
}

// TestPages checks that a page in place of a manifest or token is named as such, and that a
// mirror's page does not hide the origin.
func TestPages(t *testing.T) {
	for _, kind := range []registrytest.Kind{registrytest.KindManifest, registrytest.KindToken} {
		h, ref, _, _ := content(t, registrytest.Options{Policy: registrytest.Policy{Auth: registrytest.AuthBearer}}, 10)
		h.SetFaults(func(f *registrytest.Faults) { f.Only.Kinds, f.Page = []registrytest.Kind{kind}, registrytest.Always })
		err := failure(t, newClient(t, nil), ref)
		var page *PageError
		if !errors.As(err, &page) || page.Title != "Blocked by policy" || !strings.Contains(page.By, h.Host()) || page.Want != string(kind) {
			t.Errorf("%s: error %v, want a PageError", kind, err)
		}
	}
	mirror := registrytest.Start(t, registrytest.Options{})
	origin, ref, _, _ := content(t, registrytest.Options{}, 10)
	mirror.SetFaults(func(f *registrytest.Faults) { f.Page = registrytest.Always })
	var events []string
	c := newClient(t, func(o *Options) {
		o.Mirrors = map[string][]Mirror{origin.Host(): {{Host: mirror.Host()}}}
		o.OnEvent = func(e Event) { events = append(events, e.Text) }
	})
	resolve(t, c, ref)
	if text := strings.Join(events, "\n"); !strings.Contains(text, "mirror failed") || !strings.Contains(text, "Blocked by policy") {
		t.Errorf("events %q", events)
	}
}

// TestWrongDigestHeader checks that the hash of a manifest decides what a tag means, not the
// header Docker-Content-Digest.
func TestWrongDigestHeader(t *testing.T) {
	for name, f := range map[string]registrytest.Faults{"HEAD and GET": {WrongDigest: true}, "GET only": {WrongDigest: true, HeadStatus: 405}} {
		t.Run(name, func(t *testing.T) {
			h, ref, _, _ := content(t, registrytest.Options{}, 10)
			want := resolve(t, newClient(t, nil), ref)[0].Target.Digest
			h.SetFaults(func(faults *registrytest.Faults) { *faults = f })
			if got := resolve(t, newClient(t, nil), ref)[0].Target.Digest; got != want {
				t.Errorf("%s, want %s", got, want)
			}
		})
	}
}

// TestStorageThatAnswersEverything checks that the answer of a redirect's target is not
// taken for the manifest of a tag, whatever digest is asked for.
func TestStorageThatAnswersEverything(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodHead {
			w.Header().Set("Docker-Content-Digest", digest.FromString("another").String())
			return
		}
		w.Write([]byte(`{"token":"t"}`))
	}))
	defer s.Close()
	err := failure(t, newClient(t, nil), strings.TrimPrefix(s.URL, "http://")+"/a/b:v1")
	if wrong := (*ContentError)(nil); !errors.As(err, &wrong) {
		t.Errorf("error %v, want a ContentError", err)
	}
}

// TestDocumentsAreAskedForAgain checks that a manifest or token whose body breaks or stops
// is asked for again, over HTTP/1.1 and HTTP/2.
func TestDocumentsAreAskedForAgain(t *testing.T) {
	for name, tls := range map[string]bool{"HTTP/1.1": false, "HTTP/2": true} {
		for _, kind := range []registrytest.Kind{registrytest.KindManifest, registrytest.KindToken} {
			for fault, f := range map[string]registrytest.Faults{
				"cut at once": {Cut: registrytest.Interrupt{After: 0, Times: 1}},
				"cut":         {Cut: registrytest.Interrupt{After: 20, Times: 2}},
				"stall":       {Stall: registrytest.Interrupt{After: 20, Times: 1}},
			} {
				t.Run(name+" "+string(kind)+" "+fault, func(t *testing.T) {
					h, ref, _, _ := content(t, registrytest.Options{TLS: tls, Policy: registrytest.Policy{Auth: registrytest.AuthBearer}}, 10)
					f.Only = registrytest.Filter{Kinds: []registrytest.Kind{kind}, Methods: []string{"GET"}}
					h.SetFaults(func(faults *registrytest.Faults) { *faults = f })
					c := newClient(t, func(o *Options) { o.CA = h.CAPEM() })
					if f.Stall.Times > 0 {
						c.net.transport.(*watch.Transport).Default.Stall = 100 * time.Millisecond
					}
					resolve(t, c, ref)
				})
			}
		}
	}
}

// TestDocumentStallsForEver checks that a manifest that always stalls ends the run.
func TestDocumentStallsForEver(t *testing.T) {
	h, ref, _, _ := content(t, registrytest.Options{}, 10)
	h.SetFaults(func(f *registrytest.Faults) {
		f.Only = registrytest.Filter{Kinds: []registrytest.Kind{registrytest.KindManifest}, Methods: []string{"GET"}}
		f.Stall = registrytest.Interrupt{After: 20, Times: registrytest.Always}
	})
	c := newClient(t, nil)
	c.net.transport.(*watch.Transport).Default.Stall = 20 * time.Millisecond
	if err := failure(t, c, ref); !errors.Is(err, watch.ErrStalled) {
		t.Errorf("error %v, want ErrStalled", err)
	}
	if n := h.Counts().ManifestGets; n != stalledTries {
		t.Errorf("%d GETs, want %d", n, stalledTries)
	}
}

// TestEndlessPing checks that the body of a ping is not read to an end that never comes.
func TestEndlessPing(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v2/" {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		for r.Context().Err() == nil {
			io.WriteString(w, "x")
			w.(http.Flusher).Flush()
			time.Sleep(10 * time.Millisecond)
		}
	}))
	defer s.Close()
	err := failure(t, newClient(t, nil), strings.TrimPrefix(s.URL, "http://")+"/a/b:v1")
	if !isNotFound(err) {
		t.Errorf("error %v, want what the registry says about the image", err)
	}
}

// TestProxyRefuses checks that a proxy that refuses is named, without its password.
func TestProxyRefuses(t *testing.T) {
	for _, status := range []int{403, 407} {
		p := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
		defer p.Close()
		at := strings.TrimPrefix(p.URL, "http://")
		tr, err := newTransport(&Options{})
		if err != nil {
			t.Fatal(err)
		}
		tr.(*http.Transport).Proxy = http.ProxyURL(&url.URL{Scheme: "http", Host: at, User: url.UserPassword("ann", "canary")})
		err = failure(t, newClient(t, func(o *Options) { o.Transport = tr }), "registry.example/a/b:v1")
		var proxy *ProxyError
		if !errors.As(err, &proxy) || proxy.Proxy != at || proxy.Status != status || strings.Contains(err.Error(), "canary") {
			t.Errorf("error %v, want a ProxyError of %s", err, at)
		}
	}
}

// TestQueriesAreNotPrinted checks that an error does not show the query of an address, which
// may be a signature.
func TestQueriesAreNotPrinted(t *testing.T) {
	err := requestError(&url.Error{Op: "Get", URL: "https://cdn.example/blob?X-Amz-Signature=canary", Err: io.ErrUnexpectedEOF})
	if text := err.Error(); strings.Contains(text, "canary") || !strings.Contains(text, "https://cdn.example/blob") || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("error %q", text)
	}
}
