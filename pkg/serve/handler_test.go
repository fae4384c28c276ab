package serve

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stowage/internal/manifest"
)

// shop is a source with the cases that the tests ask for.
type shop struct {
	*memory
	node, index, quay, layer ocispec.Descriptor
}

func newShop(t testing.TB) *shop {
	t.Helper()
	s := &shop{memory: newMemory()}
	s.node = s.image(t, "node")
	s.index = s.sparse(t, s.node)
	s.quay = s.image(t, "quay")
	s.name("docker.io/calico/node:v3.28.0", s.index)
	s.name("docker.io/calico/node:v3.27.0", s.node)
	s.name("quay.io/calico/node:v3.28.0", s.quay)
	s.name("quay.io/calico/node:v3.27.0", s.node)
	s.name("docker.io/library/busybox:1.36", s.node)
	s.name("[::1]:5000/site/app:1", s.node)
	s.name("registry.example:5000/site/app@"+s.node.Digest.String(), s.node)
	for d, raw := range s.blobs {
		if strings.Contains(string(raw), "ustar") {
			s.layer = ocispec.Descriptor{Digest: d, Size: int64(len(raw))}
		}
	}
	return s
}

// TestManifests checks which image a request means, whatever source has it.
func TestManifests(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	tests := []struct {
		uri  string
		want digest.Digest // "": not found
		code string
	}{
		{"/v2/calico/node/manifests/v3.28.0?ns=docker.io", s.index.Digest, ""},
		{"/v2/calico/node/manifests/v3.28.0?ns=quay.io", s.quay.Digest, ""},
		{"/v2/calico/node/manifests/v3.28.0?ns=ghcr.io", "", "NAME_UNKNOWN"},
		{"/v2/calico/node/manifests/v9?ns=docker.io", "", "MANIFEST_UNKNOWN"},
		{"/v2/docker.io/calico/node/manifests/v3.28.0", s.index.Digest, ""},
		{"/v2/quay.io/calico/node/manifests/v3.28.0", s.quay.Digest, ""},
		{"/v2/calico/node/manifests/v3.27.0", s.node.Digest, ""},      // the same in both
		{"/v2/calico/node/manifests/v3.28.0", "", "MANIFEST_UNKNOWN"}, // one of two
		{"/v2/node/manifests/v3.28.0", "", "NAME_UNKNOWN"},
		{"/v2/library/busybox/manifests/1.36?ns=docker.io", s.node.Digest, ""},
		{"/v2/busybox/manifests/1.36?ns=docker.io", s.node.Digest, ""},
		{"/v2/busybox/manifests/1.36", s.node.Digest, ""},
		{"/v2/docker.io/busybox/manifests/1.36", s.node.Digest, ""},
		{"/v2/busybox/manifests/1.36?ns=quay.io", "", "NAME_UNKNOWN"},
		{"/v2/site/app/manifests/1?ns=[::1]:5000", s.node.Digest, ""},
		{"/v2/site/app/manifests/1?ns=registry.example:5000", "", "MANIFEST_UNKNOWN"}, // it has no tag
		{"/v2/site/app/manifests/1?ns=a/b", "", "NAME_INVALID"},
		{"/v2/site/app/manifests/" + s.node.Digest.String() + "?ns=registry.example:5000", s.node.Digest, ""},
		{"/v2/calico/node/manifests/" + s.node.Digest.String(), s.node.Digest, ""},
		{"/v2/any/name/manifests/" + s.index.Digest.String(), s.index.Digest, ""},
		{"/v2/calico/node/manifests/" + digest.FromString("another platform").String(), "", "MANIFEST_UNKNOWN"},
		{"/v2/calico/node/manifests/" + s.layer.Digest.String(), "", "MANIFEST_UNKNOWN"},
		{"/v2/calico/node/manifests/sha256:short", "", "DIGEST_INVALID"},
		{"/v2/calico/node/manifests/-tag", "", "TAG_INVALID"},
		{"/v2/Calico/manifests/v1", "", "NAME_INVALID"},
	}
	for _, source := range []struct {
		name   string
		source Source
	}{{"memory", s.memory}, {"bundle", Bundle(s.bundle(t))}} {
		h := New(source.source, Options{})
		for _, tt := range tests {
			t.Run(source.name+tt.uri, func(t *testing.T) {
				for _, method := range []string{"GET", "HEAD"} {
					r := get(h, method, tt.uri)
					text := body(t, r)
					if tt.want == "" {
						if r.StatusCode/100 != 4 || !strings.Contains(text, tt.code) && method == "GET" {
							t.Errorf("%s: %s %s, want %s", method, r.Status, text, tt.code)
						}
						continue
					}
					want := string(s.blobs[tt.want])
					if r.StatusCode != 200 || r.Header.Get("Docker-Content-Digest") != tt.want.String() || r.ContentLength != int64(len(want)) {
						t.Errorf("%s: %s, %s, %d bytes, want %s", method, r.Status, r.Header, r.ContentLength, tt.want)
					}
					if method == "HEAD" {
						want = ""
					}
					if text != want {
						t.Errorf("%s: body %q, want %q", method, text, want)
					}
				}
			})
		}
	}
}

// TestMediaTypes checks that a manifest is served as what it says it is.
func TestMediaTypes(t *testing.T) {
	t.Parallel()
	m := newMemory()
	for _, tt := range []struct{ raw, want string }{
		{`{"schemaVersion":2,"mediaType":"application/vnd.docker.distribution.manifest.list.v2+json","manifests":[]}`, manifest.MediaTypeDockerIndex},
		{`{"schemaVersion":2,"manifests":[]}`, ocispec.MediaTypeImageIndex},
		{`{"schemaVersion":2,"config":{"mediaType":"application/vnd.docker.container.image.v1+json","digest":"` + digest.FromString("a").String() + `","size":1},"layers":[]}`, manifest.MediaTypeDockerManifest},
		{`{"schemaVersion":2,"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"` + digest.FromString("a").String() + `","size":1},"layers":[]}`, ocispec.MediaTypeImageManifest},
	} {
		d := m.put("", []byte(tt.raw))
		r := get(New(m, Options{}), "GET", "/v2/a/manifests/"+d.Digest.String(), "Accept", "text/plain")
		if got := r.Header.Get("Content-Type"); r.StatusCode != 200 || got != tt.want {
			t.Errorf("%s: %s %q, want %q", tt.raw, r.Status, got, tt.want)
		}
	}
}

// TestBlobs reads blobs whole, in ranges, and again.
func TestBlobs(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	raw := string(s.blobs[s.layer.Digest])
	uri := "/v2/calico/node/blobs/" + s.layer.Digest.String()
	etag := `"` + s.layer.Digest.String() + `"`
	for _, h := range []http.Handler{New(s.memory, Options{}), New(Bundle(s.bundle(t)), Options{})} {
		for _, tt := range []struct {
			header []string
			status int
			want   string
		}{
			{nil, 200, raw},
			{[]string{"Range", "bytes=0-9"}, 206, raw[:10]},
			{[]string{"Range", "bytes=100-"}, 206, raw[100:]},
			{[]string{"Range", "bytes=-5"}, 206, raw[len(raw)-5:]},
			{[]string{"Range", "bytes=0-99999999999999999"}, 206, raw},
			{[]string{"Range", "bytes=0-0,2-3"}, 200, raw},
			{[]string{"Range", "bytes=0-0" + strings.Repeat(",0-", 1000)}, 200, raw},
			{[]string{"Range", "bytes=99999999999999999-"}, 416, ""},
			{[]string{"Range", "bytes=9999999999999999999999-"}, 416, ""},
			{[]string{"Range", "lines=1-2"}, 416, ""},
			{[]string{"If-None-Match", etag}, 304, ""},
			{[]string{"If-Range", etag, "Range", "bytes=0-1"}, 206, raw[:2]},
			{[]string{"If-Range", `"other"`, "Range", "bytes=0-1"}, 200, raw},
		} {
			r := get(h, "GET", uri, tt.header...)
			text := body(t, r)
			if r.StatusCode != tt.status || tt.status < 300 && text != tt.want {
				t.Errorf("%q: %s, %d bytes, want %d and %d bytes", tt.header, r.Status, len(text), tt.status, len(tt.want))
			}
		}
		if r := get(h, "HEAD", uri); r.StatusCode != 200 || r.ContentLength != int64(len(raw)) || body(t, r) != "" {
			t.Errorf("HEAD: %s, %d bytes", r.Status, r.ContentLength)
		}
		if r := get(h, "GET", "/v2/a/blobs/"+digest.FromString("none").String()); r.StatusCode != 404 || codeOf(t, r) != "BLOB_UNKNOWN" {
			t.Errorf("missing blob: %s", r.Status)
		}
	}
}

// TestTags lists tags in parts.
func TestTags(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.name("docker.io/calico/node:v3.27.0", s.node) // a name twice is a tag once
	h := New(s.memory, Options{})
	for _, tt := range []struct{ uri, want, link string }{
		{"/v2/calico/node/tags/list?ns=docker.io", `{"name":"calico/node","tags":["v3.27.0","v3.28.0"]}`, ""},
		{"/v2/docker.io/calico/node/tags/list", `{"name":"docker.io/calico/node","tags":["v3.27.0","v3.28.0"]}`, ""},
		{"/v2/calico/node/tags/list?n=1&ns=docker.io", `{"name":"calico/node","tags":["v3.27.0"]}`, `</v2/calico/node/tags/list?last=v3.27.0&n=1&ns=docker.io>; rel="next"`},
		{"/v2/calico/node/tags/list?last=v3.27.0&n=1&ns=docker.io", `{"name":"calico/node","tags":["v3.28.0"]}`, ""},
		{"/v2/calico/node/tags/list?n=0", `{"name":"calico/node","tags":[]}`, ""},
		{"/v2/calico/node/tags/list?last=z", `{"name":"calico/node","tags":[]}`, ""},
		{"/v2/site/app/tags/list?ns=registry.example:5000", `{"name":"site/app","tags":[]}`, ""},
	} {
		r := get(h, "GET", tt.uri)
		if text := body(t, r); text != tt.want || r.Header.Get("Link") != tt.link {
			t.Errorf("%s: %s, link %q", tt.uri, text, r.Header.Get("Link"))
		}
	}
	for uri, want := range map[string]string{
		"/v2/no/such/tags/list": "NAME_UNKNOWN", "/v2/calico/node/tags/list?n=-1": "PAGINATION_NUMBER_INVALID", "/v2/calico/node/tags/list?n=x": "PAGINATION_NUMBER_INVALID",
	} {
		if got := codeOf(t, get(h, "GET", uri)); got != want {
			t.Errorf("%s: %s, want %s", uri, got, want)
		}
	}
}

// TestReferrers lists referrers, of a memory and of a bundle.
func TestReferrers(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	sbom, sig := s.referrer(t, s.node, "application/sbom"), s.referrer(t, s.node, "application/sig")
	s.referrer(t, s.quay, "application/sbom")
	for _, h := range []http.Handler{New(s.memory, Options{}), New(Bundle(s.bundle(t)), Options{})} {
		for _, tt := range []struct {
			about digest.Digest
			query string
			want  []ocispec.Descriptor
		}{
			{s.node.Digest, "", []ocispec.Descriptor{sbom, sig}},
			{s.node.Digest, "?artifactType=application/sig", []ocispec.Descriptor{sig}},
			{s.node.Digest, "?artifactType=none", nil},
			{digest.FromString("unknown"), "", nil},
		} {
			r := get(h, "GET", "/v2/calico/node/referrers/"+tt.about.String()+tt.query)
			var index ocispec.Index
			if err := json.Unmarshal([]byte(body(t, r)), &index); err != nil || index.Manifests == nil {
				t.Fatalf("%s: %v", tt.query, err)
			}
			got, want := map[digest.Digest]string{}, map[digest.Digest]string{}
			for _, d := range index.Manifests {
				got[d.Digest] = d.ArtifactType
				if d.Annotations["made"] != "here" || d.Size == 0 || d.MediaType != ocispec.MediaTypeImageManifest {
					t.Errorf("descriptor %+v", d)
				}
			}
			for _, d := range tt.want {
				want[d.Digest] = map[digest.Digest]string{sbom.Digest: "application/sbom", sig.Digest: "application/sig"}[d.Digest]
			}
			if !equal(got, want) || r.Header.Get("Content-Type") != ocispec.MediaTypeImageIndex || (r.Header.Get("OCI-Filters-Applied") != "") != (tt.query != "") {
				t.Errorf("%s: %v, want %v; %v", tt.query, got, want, r.Header)
			}
		}
	}
}

func equal(a, b map[digest.Digest]string) bool {
	for k, v := range a {
		if b[k] != v {
			return false
		}
	}
	return len(a) == len(b)
}

// TestRefused checks that nothing but reading is answered.
func TestRefused(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	h := New(s.memory, Options{})
	for _, method := range []string{"POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE", "X"} {
		for _, uri := range []string{"/v2/a/blobs/uploads/", "/v2/calico/node/manifests/v3.28.0", "/v2/"} {
			if r := get(h, method, uri); r.StatusCode != http.StatusMethodNotAllowed || r.Header.Get("Allow") != "GET, HEAD" || codeOf(t, r) != "UNSUPPORTED" {
				t.Errorf("%s %s: %s", method, uri, r.Status)
			}
		}
	}
	for _, uri := range []string{
		"/", "/v1/", "/v2/_catalog", "/v2/a", "/v2/a/blobs", "/v2/a/blobs/uploads/", "/v2/a/tags/all", "/v2//manifests/v1", "/v2/../manifests/v1",
		"/v2/a/../b/manifests/v1", "/v2/a/manifests/../../etc/passwd", "/v2/%2e%2e/manifests/v1", "/v2/a%2fb%00/manifests/v1", "/v2/a/manifests/a%0ab",
		"/v2/" + strings.Repeat("a", 300) + "/manifests/v1", "/v2/a/manifests/" + strings.Repeat("a", 300), "/v2/a/blobs/sha256:", "/v2/a/blobs/md5:00",
		"/v2/a/manifests/", "/v2/a/referrers/v1", "/debug/pprof/", "/v2/a/manifests/v1?ns=" + strings.Repeat("a", 300), "/v2/a/manifests/v1?ns=%0a",
	} {
		r := get(h, "GET", uri)
		if r.StatusCode != 400 && r.StatusCode != 404 || codeOf(t, r) == "" {
			t.Errorf("%s: %s", uri, r.Status)
		}
	}
	if r := get(h, "GET", "/v2/"); r.StatusCode != 200 || r.Header.Get("Docker-Distribution-Api-Version") != "registry/2.0" {
		t.Errorf("/v2/: %s", r.Status)
	}
}

// TestBrokenSource checks that an error of the source is reported, and not to the client.
func TestBrokenSource(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	var seen Request
	h := New(s.memory, Options{OnRequest: func(r Request) { seen = r }})
	s.blobs[s.node.Digest] = append([]byte(" "), s.blobs[s.node.Digest]...)
	if r := get(h, "GET", "/v2/a/manifests/"+s.node.Digest.String()); r.StatusCode != 500 || seen.Err == nil || !strings.Contains(seen.Err.Error(), "damaged") {
		t.Errorf("damaged manifest: %s, %v", r.Status, seen.Err)
	}
	gone := digest.FromString("gone")
	if r := get(h, "GET", "/v2/a/blobs/"+gone.String()); r.StatusCode != 404 || !errors.Is(seen.Err, ErrNotFound) {
		t.Errorf("missing blob: %s, %v", r.Status, seen.Err)
	}
	s.err = errors.New("dial /run/secret.sock")
	for _, uri := range []string{"/v2/a/manifests/v1", "/v2/a/blobs/" + gone.String(), "/v2/a/tags/list", "/v2/a/referrers/" + gone.String()} {
		r := get(h, "GET", uri)
		if text := body(t, r); r.StatusCode != 500 || !errors.Is(seen.Err, s.err) || strings.Contains(text, "secret") {
			t.Errorf("%s: %s %s, %v", uri, r.Status, text, seen.Err)
		}
	}
	if seen.Status != 500 || seen.Method != "GET" || seen.Bytes == 0 {
		t.Errorf("request %+v", seen)
	}
}

// TestLaterBundle checks that the last of two bundles with a name is served.
func TestLaterBundle(t *testing.T) {
	t.Parallel()
	a, b := newMemory(), newMemory()
	a.name("docker.io/acme/app:1", a.image(t, "old"))
	want := b.image(t, "new")
	b.name("docker.io/acme/app:1", want)
	r := get(New(Bundle(a.bundle(t), b.bundle(t)), Options{}), "HEAD", "/v2/acme/app/manifests/1")
	if r.Header.Get("Docker-Content-Digest") != want.Digest.String() {
		t.Errorf("%s %v", r.Status, r.Header)
	}
}

// TestFlatBundle checks that the image of this machine's platform is served, whatever its place
// in a bundle that has one for each platform under the same name.
func TestFlatBundle(t *testing.T) {
	t.Parallel()
	for _, archs := range [][]string{{runtime.GOARCH, "s390x", "mips64le"}, {"s390x", "mips64le", runtime.GOARCH}} {
		m := newMemory()
		var want digest.Digest
		for _, arch := range archs {
			d := m.imageFor(t, arch, arch)
			m.name("docker.io/acme/app:1", d)
			if arch == runtime.GOARCH {
				want = d.Digest
			}
		}
		r := get(New(Bundle(m.bundle(t)), Options{}), "HEAD", "/v2/acme/app/manifests/1")
		if got := r.Header.Get("Docker-Content-Digest"); got != want.String() {
			t.Errorf("%v: %s %s, want %s", archs, r.Status, got, want)
		}
	}
}

// deadlines is a client whose connection has deadlines for writing.
type deadlines struct {
	*httptest.ResponseRecorder
	set []time.Time
}

func (d *deadlines) SetWriteDeadline(t time.Time) error {
	d.set = append(d.set, t)
	return nil
}

// TestWriteDeadlines checks that each part of a long answer has a deadline of its own, so that
// a client that does not read loses its connection and one that is slow does not.
func TestWriteDeadlines(t *testing.T) {
	t.Parallel()
	m := newMemory()
	d := m.put("", make([]byte, 4*chunk))
	w := &deadlines{ResponseRecorder: httptest.NewRecorder()}
	New(m, Options{}).ServeHTTP(w, httptest.NewRequest("GET", "/v2/a/blobs/"+d.Digest.String(), nil))
	if len(w.set) != 4 || !slices.IsSortedFunc(w.set, time.Time.Compare) || w.Body.Len() != 4*chunk {
		t.Errorf("%d bytes, deadlines %v", w.Body.Len(), w.set)
	}
}

// FuzzPath checks that a path that is accepted has a name, and a tag or a digest, of the
// grammar.
func FuzzPath(f *testing.F) {
	for _, s := range []string{"/v2/", "/v2/a/b/manifests/v1", "/v2/a/blobs/" + digest.FromString("").String(), "/v2/a/tags/list", "/v2/../manifests/x", "/v2/manifests/manifests/manifests"} {
		f.Add(s, "docker.io")
	}
	f.Fuzz(func(t *testing.T, path, ns string) {
		p, failure := parsePath(path)
		if failure != nil {
			if failure.status != 400 && failure.status != 404 {
				t.Errorf("status %d", failure.status)
			}
			return
		}
		if p.kind != kindBase && (!pathPattern().MatchString(p.path) || strings.Contains(p.path, "..")) {
			t.Errorf("path %q", p.path)
		}
		if p.digest != "" && p.digest.Validate() != nil || p.tag != "" && !tagPattern().MatchString(p.tag) {
			t.Errorf("reference %q %q", p.tag, p.digest)
		}
		if r := named(ns, p.path); !r.pattern().MatchString(r.exact() + ":tag") {
			t.Errorf("%q does not match %q", r.pattern(), r.exact())
		}
	})
}
