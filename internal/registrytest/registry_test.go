package registrytest_test

import (
	"archive/tar"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stowage/internal/registrytest"
)

// small returns an image with one layer of a few hundred bytes.
func small(name string) registrytest.Image {
	return registrytest.Image{Layers: []*registrytest.Layer{{Files: []registrytest.File{{Name: "etc/"}, {Name: "etc/name", Body: []byte(name)}}}}}
}

// plain returns an image with one uncompressed layer that is slightly longer than size
// bytes.
func plain(size int64) registrytest.Image {
	return registrytest.Image{Layers: []*registrytest.Layer{{Compression: registrytest.None, Files: []registrytest.File{{Name: "data", Size: size}}}}}
}

// reply is a response and as much of its body as could be read.
type reply struct {
	*http.Response
	body []byte
	err  error // of reading the body
}

// ask sends one request without following redirects.
func ask(t *testing.T, method, url string, edit ...func(*http.Request)) reply {
	t.Helper()
	return askWith(t, http.DefaultTransport, method, url, edit...)
}

// askWith is ask with a transport.
func askWith(t *testing.T, rt http.RoundTripper, method, url string, edit ...func(*http.Request)) reply {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range edit {
		e(req)
	}
	return exchange(t, rt, req)
}

// exchange sends a request and reads the response.
func exchange(t *testing.T, rt http.RoundTripper, req *http.Request) reply {
	t.Helper()
	res, err := rt.RoundTrip(req)
	if err != nil {
		t.Fatalf("%s %s: %v", req.Method, req.URL, err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return reply{res, body, err}
}

// header returns a function that sets a header of a request.
func header(key, value string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set(key, value) }
}

// login returns a function that adds name and password to a request.
func login(user, password string) func(*http.Request) {
	return func(r *http.Request) { r.SetBasicAuth(user, password) }
}

// wantStatus checks the status of a response.
func wantStatus(t *testing.T, r reply, want int) {
	t.Helper()
	if r.StatusCode != want {
		t.Errorf("%s %s = %d, want %d (body %.200q)", r.Request.Method, r.Request.URL.Path, r.StatusCode, want, r.body)
	}
}

// manifestURL and blobURL return the URLs of a manifest, by tag or digest, and of a blob.
func manifestURL(h *registrytest.Registry, repo, ref string) string {
	return h.URL() + "/v2/" + repo + "/manifests/" + ref
}
func blobURL(h *registrytest.Registry, repo, ref string) string {
	return h.URL() + "/v2/" + repo + "/blobs/" + ref
}

// pull fetches and validates every image of a reference with go-containerregistry. It omits
// attestations: the validator expects layers in them.
func pull(t *testing.T, ref string, opts ...remote.Option) {
	t.Helper()
	r, err := name.ParseReference(ref, name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	d, err := remote.Get(r, append(opts, remote.WithContext(t.Context()))...)
	if err != nil {
		t.Fatalf("pull %s: %v", ref, err)
	}
	for _, img := range imagesOf(t, d) {
		if err := validate.Image(img); err != nil {
			t.Errorf("pull %s: %v", ref, err)
		}
	}
}

// imagesOf returns the images of an index, or the single image.
func imagesOf(t *testing.T, d *remote.Descriptor) []v1.Image {
	t.Helper()
	if !d.MediaType.IsIndex() {
		return []v1.Image{registrytest.Must(d.Image())(t)}
	}
	idx := registrytest.Must(d.ImageIndex())(t)
	var images []v1.Image
	for _, child := range registrytest.Must(idx.IndexManifest())(t).Manifests {
		if child.Platform == nil || child.Platform.OS != "unknown" {
			images = append(images, registrytest.Must(idx.Image(child.Digest))(t))
		}
	}
	return images
}

func TestPullCalico(t *testing.T) {
	h := registrytest.Start(t, registrytest.Options{Policy: registrytest.Policy{Auth: registrytest.AuthBearer, Redirect: true, AnonymousQuota: 100}})
	set := registrytest.Must(h.AddCalico(registrytest.CalicoOptions{}))(t)
	for _, a := range set {
		pull(t, h.Ref(a.Repo, a.Tag))
	}
	c := h.Counts()
	// Three indexes with two images each.
	if want := 3 + 3*2; c.Counted != want || h.Used("") != want {
		t.Errorf("counted %d, used %d, want %d", c.Counted, h.Used(""), want)
	}
	if c.Redirects == 0 || c.BlobGets != c.Redirects {
		t.Errorf("%d blob GETs after %d redirects, want equal numbers above zero", c.BlobGets, c.Redirects)
	}
}

func TestPush(t *testing.T) {
	h := registrytest.Start(t, registrytest.Options{})
	img, err := random.Image(1<<20+5, 2) // one blob above the size from which blobs are files
	if err != nil {
		t.Fatal(err)
	}
	idx, err := random.Index(1000, 1, 2)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		tag  string
		push func(name.Reference) error
	}{
		{"image", func(r name.Reference) error { return remote.Write(r, img) }},
		{"index", func(r name.Reference) error { return remote.WriteIndex(r, idx) }},
	} {
		r, err := name.ParseReference(h.Ref("team/app", row.tag))
		if err != nil {
			t.Fatal(err)
		}
		if err := row.push(r); err != nil {
			t.Fatalf("push %s: %v", row.tag, err)
		}
		pull(t, h.Ref("team/app", row.tag))
	}
	tags, err := remote.List(repository(t, h, "team/app"))
	if err != nil || !slices.Equal(tags, []string{"image", "index"}) {
		t.Errorf("tags %v, %v, want image and index", tags, err)
	}
}

// repository returns a repository of the registry.
func repository(t *testing.T, h *registrytest.Registry, repo string) name.Repository {
	t.Helper()
	r, err := name.NewRepository(h.Host() + "/" + repo)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestPushNeedsAnAccount(t *testing.T) {
	h := registrytest.Start(t, registrytest.Options{Policy: registrytest.Policy{Auth: registrytest.AuthBearer, Accounts: []registrytest.Account{{User: "ann", Password: "pw"}}}})
	img, err := random.Image(100, 1)
	if err != nil {
		t.Fatal(err)
	}
	r := repository(t, h, "team/app").Tag("v1")
	if err := remote.Write(r, img); err == nil {
		t.Error("an anonymous push succeeded")
	}
	if err := remote.Write(r, img, remote.WithAuth(authn.FromConfig(authn.AuthConfig{Username: "ann", Password: "pw"}))); err != nil {
		t.Errorf("push by an account: %v", err)
	}
}

// secure returns a transport that trusts only the registry's authority.
func secure(t *testing.T, h *registrytest.Registry) *http.Transport {
	t.Helper()
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(h.CAPEM()) {
		t.Fatalf("CAPEM holds no certificate: %q", h.CAPEM())
	}
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true}
	t.Cleanup(tr.CloseIdleConnections)
	return tr
}

func TestTLS(t *testing.T) {
	h := registrytest.Start(t, registrytest.Options{TLS: true, Policy: registrytest.Policy{Auth: registrytest.AuthBearer, Redirect: true}})
	a := registrytest.Must(h.AddImage("library/busybox", "1", small("tls")))(t)
	tr := secure(t, h)
	pull(t, h.Ref(a.Repo, a.Tag), remote.WithTransport(tr))
	for _, e := range h.Log() {
		if e.Proto != "HTTP/2.0" {
			t.Errorf("%s, want HTTP/2.0", e)
		}
	}
	if _, err := http.Get(h.URL() + "/v2/"); err == nil {
		t.Error("a client that does not trust the authority succeeded")
	}
	if (&registrytest.Registry{}).CAPEM() != nil {
		t.Error("a certificate without TLS")
	}
}

func TestProxy(t *testing.T) {
	for _, row := range []struct {
		name string
		tls  bool
		ref  string
	}{
		{"tunnel", true, "docker.io/library/busybox:1"},
		{"absolute form", false, "registry.local/library/busybox:1"},
	} {
		t.Run(row.name, func(t *testing.T) {
			h := registrytest.Start(t, registrytest.Options{TLS: row.tls, Names: []string{"index.docker.io", "registry.local"}, Policy: registrytest.Policy{Auth: registrytest.AuthBearer, Redirect: true}})
			registrytest.Must(h.AddImage("library/busybox", "1", small("proxy")))(t)
			tr := &http.Transport{}
			if row.tls {
				tr = secure(t, h)
			}
			proxy := registrytest.Must(url.Parse(h.Proxy()))(t)
			tr.Proxy = func(r *http.Request) (*url.URL, error) {
				if r.URL.Host == h.CDNHost() {
					return nil, nil
				}
				return proxy, nil
			}
			t.Cleanup(tr.CloseIdleConnections)
			pull(t, row.ref, remote.WithTransport(tr))

			r := askWith(t, tr, "GET", "http://elsewhere.example/v2/")
			wantStatus(t, r, http.StatusForbidden)
		})
	}
}

func TestCloseEndsEverything(t *testing.T) {
	dir := t.TempDir()
	h, err := registrytest.New(registrytest.Options{Dir: dir, TLS: true, Names: []string{"a.test"}})
	if err != nil {
		t.Fatal(err)
	}
	img := small("big")
	img.Layers[0].Files[1] = registrytest.File{Name: "etc/big", Size: 2 << 20}
	registrytest.Must(h.AddImage("a", "1", img))(t)
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Fatalf("the directory contains %v, %v, want one directory for blobs", left, err)
	}
	for range 2 {
		if err := h.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("after Close: %v, %v, want nothing", left, err)
	}
	if _, err := http.Get(h.URL()); err == nil {
		t.Error("still answers after Close")
	}
}

func TestStartFails(t *testing.T) {
	h := registrytest.Start(t, registrytest.Options{})
	if _, err := registrytest.New(registrytest.Options{Addr: h.Host()}); err == nil {
		t.Error("two registries on one address")
	}
	if _, err := registrytest.New(registrytest.Options{Dir: "/proc/nowhere"}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing directory: %v, want %v", err, os.ErrNotExist)
	}
}

func TestSameImagesSameDigests(t *testing.T) {
	var sets [2][]registrytest.Added
	for i := range sets {
		h := registrytest.Start(t, registrytest.Options{})
		sets[i] = registrytest.Must(h.AddCalico(registrytest.CalicoOptions{}))(t)
		odd := registrytest.Must(h.AddImage("odd", "1", registrytest.Image{Layers: registrytest.OddLayers()}))(t)
		sets[i] = append(sets[i], odd)
	}
	if diff := cmp.Diff(sets[0], sets[1]); diff != "" {
		t.Error(diff)
	}
}

func TestCalicoSharesLayers(t *testing.T) {
	h := registrytest.Start(t, registrytest.Options{})
	set := registrytest.Must(h.AddCalico(registrytest.CalicoOptions{Programs: map[string][]byte{"amd64": []byte("program")}}))(t)
	bases := map[string]bool{}
	for _, a := range set {
		for i, arch := range []string{"amd64", "arm64"} {
			m := a.Manifests[i]
			if m.Platform.OS != "linux" || m.Platform.Architecture != arch {
				t.Errorf("%s child %d is for %v, want linux/%s", a.Repo, i, m.Platform, arch)
			}
			bases[m.Layers[0].Digest.String()] = true
		}
		if amd, arm := a.Bytes("linux/amd64"), a.Bytes("linux/arm64"); amd < 50<<10 || arm < 50<<10 {
			t.Errorf("%s: %d and %d bytes to pull, want more", a.Repo, amd, arm)
		}
		if n, m := len(a.Manifests[0].Layers), len(a.Manifests[1].Layers); n != m+1 {
			t.Errorf("%s: %d layers with a program, %d without", a.Repo, n, m)
		}
	}
	if len(bases) != 2 {
		t.Errorf("%d base layers, want one for each architecture", len(bases))
	}
	for _, a := range registrytest.Must(h.AddCalico(registrytest.CalicoOptions{Archs: []string{"riscv64"}, Scale: 2}))(t) {
		if len(a.Manifests) != 1 || a.Bytes("linux/riscv64") < 100<<10 {
			t.Errorf("%s: %d platforms of %d bytes", a.Repo, len(a.Manifests), a.Bytes("linux/riscv64"))
		}
	}
}

// errorCode returns the code of an error in the registry's JSON form.
func errorCode(body []byte) string {
	_, rest, _ := strings.Cut(string(body), `"code":"`)
	code, _, _ := strings.Cut(rest, `"`)
	return code
}

// descriptors maps the digests of an index to their artifact types.
func descriptors(t *testing.T, raw []byte) map[string]string {
	t.Helper()
	var idx ocispec.Index
	if err := json.Unmarshal(raw, &idx); err != nil {
		t.Fatal(err)
	}
	types := map[string]string{}
	for _, d := range idx.Manifests {
		if strings.Contains(d.MediaType, ";") {
			t.Errorf("media type %q", d.MediaType)
		}
		types[d.Digest.String()] = d.ArtifactType
	}
	return types
}

// TestCalicoFiles checks that the base layer and the first layer are divided into files of
// the same total size.
func TestCalicoFiles(t *testing.T) {
	for _, n := range []int{0, 1, 2, 50, 51} {
		h := registrytest.Start(t, registrytest.Options{})
		set := registrytest.Must(h.AddCalico(registrytest.CalicoOptions{Archs: []string{"amd64"}, Compression: registrytest.None, Files: n}))(t)
		for i, want := range []int64{64 << 10, 150 << 10, 260 << 10} {
			if i == 2 {
				n = 0
			}
			blob := registrytest.Must(h.Blob(set[0].Repo, set[0].Manifests[0].Layers[i].Digest))(t)
			files, bytes := 0, int64(0)
			for tr := tar.NewReader(blob); ; {
				hdr, err := tr.Next()
				if err == io.EOF {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				if hdr.Typeflag == tar.TypeReg {
					files, bytes = files+1, bytes+hdr.Size
				}
			}
			if files != max(1, n) || bytes != want {
				t.Errorf("Files %d, layer %d: %d files of %d bytes, want %d", n, i, files, bytes, want)
			}
		}
	}
}
