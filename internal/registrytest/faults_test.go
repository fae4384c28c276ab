package registrytest_test

import (
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/opencontainers/go-digest"

	"stowage/internal/registrytest"
)

// startTwo starts a registry with the images "a" and "b", each with one layer of 5,632
// bytes.
func startTwo(t *testing.T, policy registrytest.Policy) (h *registrytest.Registry, a, b registrytest.Added) {
	t.Helper()
	h = registrytest.Start(t, registrytest.Options{Policy: policy})
	a = registrytest.Must(h.AddImage("a", "v1", plain(4000)))(t)
	img := plain(4000)
	img.Layers[0].Seed = 1
	b = registrytest.Must(h.AddImage("b", "v1", img))(t)
	if n := a.Manifests[0].Layers[0].Size; n != 5632 {
		t.Fatalf("layer of %d bytes, want 512 + 4096 + 1024", n)
	}
	return h, a, b
}

// layerURL returns the URL of an image's first layer.
func layerURL(h *registrytest.Registry, a registrytest.Added) string {
	return blobURL(h, a.Repo, a.Manifests[0].Layers[0].Digest.String())
}

func TestFail(t *testing.T) {
	h, a, b := startTwo(t, registrytest.Policy{})
	manifest, layer := manifestURL(h, "a", "v1"), layerURL(h, a)
	for _, row := range []struct {
		name   string
		faults registrytest.Faults
		method string
		url    string
		want   []int
		code   string
	}{
		{"plain", registrytest.Faults{Fail: registrytest.Failure{Times: 2}}, "GET", manifest, []int{503, 503, 200}, "UNKNOWN"},
		{"always", registrytest.Faults{Fail: registrytest.Failure{Status: 500, Times: registrytest.Always}}, "GET", manifest, []int{500, 500, 500, 500}, "UNKNOWN"},
		{"zero times", registrytest.Faults{Fail: registrytest.Failure{Status: 500}}, "GET", manifest, []int{200}, ""},
		{"other kind", registrytest.Faults{Only: registrytest.Filter{Kinds: []registrytest.Kind{registrytest.KindPing}}, Fail: registrytest.Failure{Times: 1}}, "GET", manifest, []int{200}, ""},
		{"this kind", registrytest.Faults{Only: registrytest.Filter{Kinds: []registrytest.Kind{registrytest.KindPing, registrytest.KindBlob}}, Fail: registrytest.Failure{Times: 1}}, "GET", layer, []int{503, 200}, "UNKNOWN"},
		{"other method", registrytest.Faults{Only: registrytest.Filter{Methods: []string{"HEAD"}}, Fail: registrytest.Failure{Times: 1}}, "GET", manifest, []int{200}, ""},
		{"this method", registrytest.Faults{Only: registrytest.Filter{Methods: []string{"HEAD"}}, Fail: registrytest.Failure{Times: 1}}, "HEAD", manifest, []int{503, 200}, ""},
		{"other path", registrytest.Faults{Only: registrytest.Filter{Path: "/b/"}, Fail: registrytest.Failure{Times: 1}}, "GET", manifest, []int{200}, ""},
		{"this path", registrytest.Faults{Only: registrytest.Filter{Path: "/b/"}, Fail: registrytest.Failure{Times: 1}}, "GET", layerURL(h, b), []int{503, 200}, "UNKNOWN"},
		{"missing blob", registrytest.Faults{Fail: registrytest.Failure{Status: 404, Times: 1}}, "GET", layer, []int{404, 200}, "BLOB_UNKNOWN"},
		{"missing manifest", registrytest.Faults{Fail: registrytest.Failure{Status: 404, Times: 1}}, "GET", manifest, []int{404, 200}, "MANIFEST_UNKNOWN"},
		{"denied", registrytest.Faults{Fail: registrytest.Failure{Status: 403, Times: 1}}, "GET", layer, []int{403, 200}, "DENIED"},
		{"unauthorized", registrytest.Faults{Fail: registrytest.Failure{Status: 401, Times: 1}}, "GET", layer, []int{401, 200}, "UNAUTHORIZED"},
		{"limited", registrytest.Faults{Fail: registrytest.Failure{Status: 429, Times: 1}}, "GET", layer, []int{429, 200}, "TOOMANYREQUESTS"},
	} {
		t.Run(row.name, func(t *testing.T) {
			h.SetFaults(func(f *registrytest.Faults) { *f = row.faults })
			for i, want := range row.want {
				r := ask(t, row.method, row.url)
				if r.StatusCode != want {
					t.Errorf("request %d: %d, want %d", i+1, r.StatusCode, want)
				}
				if row.method == "GET" && want >= 400 && errorCode(r.body) != row.code {
					t.Errorf("request %d: body %s, want code %s", i+1, r.body, row.code)
				}
			}
		})
	}
}

func TestFaultsCountDown(t *testing.T) {
	h, a, _ := startTwo(t, registrytest.Policy{})
	h.SetFaults(func(f *registrytest.Faults) { f.Fail.Times = 3 })
	ask(t, "GET", layerURL(h, a))
	if got := h.Faults().Fail.Times; got != 2 {
		t.Errorf("%d failures left, want 2", got)
	}
}

func TestAddFaults(t *testing.T) {
	h, a, b := startTwo(t, registrytest.Policy{})
	h.SetFaults(func(f *registrytest.Faults) { f.Fail = registrytest.Failure{Status: 500, Times: 1} })
	removeA := h.AddFaults(registrytest.Faults{Only: registrytest.Filter{Path: "/a/"}, Fail: registrytest.Failure{Status: 501, Times: registrytest.Always}})
	removeB := h.AddFaults(registrytest.Faults{Only: registrytest.Filter{Path: "/b/"}, Warning: "old"})
	var got []int
	for range 3 {
		got = append(got, ask(t, "GET", layerURL(h, a)).StatusCode)
	}
	removeA()
	removeA()
	got = append(got, ask(t, "GET", layerURL(h, a)).StatusCode)
	if want := []int{500, 501, 501, 200}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	warning := ask(t, "GET", layerURL(h, b)).Header.Get("Warning")
	removeB()
	if again := ask(t, "GET", layerURL(h, b)).Header.Get("Warning"); warning != `299 - "old"` || again != "" {
		t.Errorf("warnings %q and then %q", warning, again)
	}
}

func TestManifestHeads(t *testing.T) {
	h, a, _ := startTwo(t, registrytest.Policy{})
	address := manifestURL(h, "a", "v1")
	whole := registrytest.Must(h.Manifest("a", "v1"))(t)
	for _, row := range []struct {
		name   string
		faults registrytest.Faults
		check  func(head, get reply) string // what is wrong
	}{
		{"none", registrytest.Faults{}, func(head, get reply) string {
			if head.StatusCode != 200 || head.ContentLength != int64(len(whole)) || head.Header.Get("Docker-Content-Digest") != a.Digest.String() || head.Header.Get("Content-Type") != a.MediaType {
				return "HEAD is not what it should be"
			}
			return ""
		}},
		{"refused", registrytest.Faults{HeadStatus: 405}, func(head, get reply) string {
			if head.StatusCode != 405 || get.StatusCode != 200 {
				return "want 405 for HEAD alone"
			}
			return ""
		}},
		{"not found", registrytest.Faults{HeadStatus: 404}, func(head, get reply) string {
			if head.StatusCode != 404 || get.StatusCode != 200 {
				return "want 404 for HEAD alone"
			}
			return ""
		}},
		{"no digest", registrytest.Faults{NoDigest: true}, func(head, get reply) string {
			if head.Header["Docker-Content-Digest"] != nil || get.Header["Docker-Content-Digest"] != nil || get.StatusCode != 200 {
				return "want 200 without digest"
			}
			return ""
		}},
		{"no length", registrytest.Faults{NoLength: true}, func(head, get reply) string {
			if get.ContentLength != -1 || head.ContentLength != int64(len(whole)) || len(get.body) != len(whole) {
				return "want a length for HEAD alone, and the whole body"
			}
			return ""
		}},
		{"warning", registrytest.Faults{Warning: `say "hi"`}, func(head, get reply) string {
			if get.Header.Get("Warning") != `299 - "say \"hi\""` {
				return "want a quoted warning"
			}
			return ""
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			h.SetFaults(func(f *registrytest.Faults) { *f = row.faults })
			head, get := ask(t, "HEAD", address), ask(t, "GET", address)
			if wrong := row.check(head, get); wrong != "" {
				t.Errorf("%s: HEAD %d %v, GET %d %v", wrong, head.StatusCode, head.Header, get.StatusCode, get.Header)
			}
		})
	}
	h.SetFaults(func(f *registrytest.Faults) { *f = registrytest.Faults{NoDigest: true, NoLength: true} })
	r := ask(t, "GET", layerURL(h, a))
	if r.Header["Docker-Content-Digest"] != nil || r.ContentLength != -1 || len(r.body) != 5632 {
		t.Errorf("blob: %v with %d bytes", r.Header, len(r.body))
	}
}

func TestCorrupt(t *testing.T) {
	h, a, b := startTwo(t, registrytest.Policy{})
	for _, row := range []struct {
		name, url string
		want      digest.Digest
	}{
		{"manifest by digest", manifestURL(h, "a", a.Digest.String()), a.Digest},
		{"manifest by tag", manifestURL(h, "a", "v1"), a.Digest},
		{"layer", layerURL(h, a), a.Manifests[0].Layers[0].Digest},
		{"config", blobURL(h, "a", a.Manifests[0].Config.Digest.String()), a.Manifests[0].Config.Digest},
	} {
		t.Run(row.name, func(t *testing.T) {
			good := ask(t, "GET", row.url)
			h.SetFaults(func(f *registrytest.Faults) { f.Corrupt, f.Only.Path = 1, "/a/" })
			wantStatus(t, ask(t, "HEAD", row.url), 200)
			wantStatus(t, ask(t, "GET", layerURL(h, b)), 200)
			bad, again := ask(t, "GET", row.url), ask(t, "GET", row.url)
			if digest.FromBytes(good.body) != row.want || digest.FromBytes(again.body) != row.want {
				t.Error("wrong bytes without a fault")
			}
			differ := 0
			for i := range good.body {
				differ += len(slices.Compact([]byte{good.body[i], bad.body[i]})) - 1
			}
			if differ != 1 || len(bad.body) != len(good.body) || bad.Header.Get("Docker-Content-Digest") != row.want.String() {
				t.Errorf("%d bytes differ under %s, want one under %s", differ, bad.Header.Get("Docker-Content-Digest"), row.want)
			}
		})
	}
}

func TestReferrers(t *testing.T) {
	h, a, _ := startTwo(t, registrytest.Policy{})
	sbom := registrytest.Artifact{Type: "application/spdx+json", Subject: &a.Descriptor, Blobs: [][]byte{[]byte("{}")}, Annotations: map[string]string{"k": "v"}}
	x := registrytest.Must(h.AddArtifact("a", "", sbom))(t)
	y := registrytest.Must(h.AddReferrer("a", a.Descriptor))(t)
	// An index can have a subject, too.
	raw := `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","artifactType":"kind/index","manifests":[],"subject":{"mediaType":"x","digest":"` + a.Digest.String() + `","size":1}}`
	z := registrytest.Must(h.AddRaw("a", digest.FromString(raw).String(), "application/vnd.oci.image.index.v1+json", []byte(raw)))(t)

	types := func(query string) map[string]string {
		t.Helper()
		r := ask(t, "GET", h.URL()+"/v2/a/referrers/"+a.Digest.String()+query)
		wantStatus(t, r, 200)
		idx := registrytest.Must(remote.Referrers(repository(t, h, "a").Digest(a.Digest.String())))(t)
		if _, err := idx.IndexManifest(); err != nil {
			t.Error(err)
		}
		return descriptors(t, r.body)
	}
	want := map[string]string{
		x.Digest.String(): sbom.Type, y.Digest.String(): registrytest.SigstoreBundle, z.Digest.String(): "kind/index",
	}
	if diff := cmp.Diff(want, types("")); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]string{x.Digest.String(): sbom.Type}, types("?artifactType="+url.QueryEscape(sbom.Type))); diff != "" {
		t.Error(diff)
	}
	wantStatus(t, ask(t, "GET", h.URL()+"/v2/nowhere/referrers/"+a.Digest.String()), 404)
	h.SetFaults(func(f *registrytest.Faults) { f.NoReferrers = true })
	wantStatus(t, ask(t, "GET", h.URL()+"/v2/a/referrers/"+a.Digest.String()), 404)
}

func TestRedirectAndViolations(t *testing.T) {
	h, err := registrytest.New(registrytest.Options{Dir: t.TempDir(), Policy: registrytest.Policy{Auth: registrytest.AuthBearer, Redirect: true}})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	a := registrytest.Must(h.AddImage("a", "v1", small("a")))(t)
	token := h.Token("", "repository:a:pull")
	r := ask(t, "GET", layerURL(h, a), bearer(token))
	wantStatus(t, r, http.StatusTemporaryRedirect)
	where := r.Header.Get("Location")
	if !strings.HasPrefix(where, "http://localhost:") || !strings.HasPrefix(where, "http://"+h.CDNHost()) {
		t.Errorf("redirected to %s, want %s", where, h.CDNHost())
	}
	got := ask(t, "GET", where)
	if digest.FromBytes(got.body) != a.Manifests[0].Layers[0].Digest {
		t.Errorf("the second host sent %d bytes of something else", len(got.body))
	}
	pull(t, h.Ref("a", "v1"))
	if v := h.Violations(); len(v) != 0 {
		t.Errorf("violations without a credential: %v", v)
	}

	ask(t, "GET", where, bearer(token))
	ask(t, "HEAD", where, header("Cookie", "c=1"))
	ask(t, "GET", "http://"+h.CDNHost()+"/v2/", login("u", "p"))
	v := h.Violations()
	if len(v) != 3 || strings.Contains(strings.Join(v, ""), token) {
		t.Errorf("violations %q, want three without secrets", v)
	}
	wantStatus(t, ask(t, "GET", "http://"+h.CDNHost()+"/v2/a/manifests/v1"), 404)
	wantStatus(t, ask(t, "GET", strings.Replace(where, "sha256:", "sha256:0", 1)), 404)
	wantStatus(t, ask(t, "GET", blobURL(h, "a", digest.FromString("x").String()), bearer(token)), 404)
}

func TestFaultsOfOneListener(t *testing.T) {
	h, a, _ := startTwo(t, registrytest.Policy{Redirect: true})
	h.SetFaults(func(f *registrytest.Faults) {
		f.Only.Listener, f.Fail = registrytest.ListenerCDN, registrytest.Failure{Status: 403, Times: 1}
	})
	r := ask(t, "GET", layerURL(h, a))
	wantStatus(t, r, 307)
	wantStatus(t, ask(t, "GET", r.Header.Get("Location")), 403)
	wantStatus(t, ask(t, "GET", r.Header.Get("Location")), 200)
}

func TestCut(t *testing.T) {
	h, a, _ := startTwo(t, registrytest.Policy{})
	const size = 5632
	for _, row := range []struct {
		name  string
		after int64
		rng   string
		want  int // bytes received
		cut   bool
	}{
		{"at once", 0, "", 0, true},
		{"after one byte", 1, "", 1, true},
		{"in the middle", 3000, "", 3000, true},
		{"before the last byte", size - 1, "", size - 1, true},
		{"after the last byte", size, "", size, false},
		{"in a range", 100, "bytes=1000-1999", 100, true},
		{"after a range", 1000, "bytes=1000-1999", 1000, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			h.SetFaults(func(f *registrytest.Faults) {
				*f = registrytest.Faults{Cut: registrytest.Interrupt{After: row.after, Times: registrytest.Always}}
			})
			for range 2 {
				r := ask(t, "GET", layerURL(h, a), header("Range", row.rng))
				if cut := errors.Is(r.err, io.ErrUnexpectedEOF); cut != row.cut || len(r.body) != row.want {
					t.Errorf("%d bytes, %v, want %d, cut %v", len(r.body), r.err, row.want, row.cut)
				}
			}
			if left := h.Faults().Cut.Times; left != registrytest.Always {
				t.Errorf("%d cuts left", left)
			}
		})
	}
}

func TestCutOnce(t *testing.T) {
	h, a, _ := startTwo(t, registrytest.Policy{})
	h.SetFaults(func(f *registrytest.Faults) { f.Cut = registrytest.Interrupt{After: 3000, Times: 1} })
	// A short response does not use up the cut.
	wantStatus(t, ask(t, "GET", manifestURL(h, "a", "v1")), 200)
	first, second := ask(t, "GET", layerURL(h, a)), ask(t, "GET", layerURL(h, a))
	if len(first.body) != 3000 || len(second.body) != 5632 {
		t.Errorf("%d and %d bytes, want 3000 and all", len(first.body), len(second.body))
	}
	log := h.Log()
	if e := log[1]; e.Note != "cut" || e.Bytes != 3000 || e.Status != 200 {
		t.Errorf("logged as %+v", e)
	}
	if e := log[2]; e.Note != "" || e.Bytes != 5632 {
		t.Errorf("logged as %+v", e)
	}
}

func TestCutOverHTTP2(t *testing.T) {
	h := registrytest.Start(t, registrytest.Options{TLS: true, Faults: registrytest.Faults{Cut: registrytest.Interrupt{After: 100, Times: 1}}})
	a := registrytest.Must(h.AddImage("a", "v1", plain(4000)))(t)
	tr := secure(t, h)
	first, second := askWith(t, tr, "GET", layerURL(h, a)), askWith(t, tr, "GET", layerURL(h, a))
	if first.err == nil || len(first.body) != 100 || first.ProtoMajor != 2 {
		t.Errorf("%s: %d bytes, %v, want 100 and an error", first.Proto, len(first.body), first.err)
	}
	if second.err != nil || len(second.body) != 5632 {
		t.Errorf("again: %d bytes, %v", len(second.body), second.err)
	}
}
