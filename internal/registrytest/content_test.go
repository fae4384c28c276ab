package registrytest_test

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stowage/internal/registrytest"
)

// index reads an index from the registry.
func index(t *testing.T, h *registrytest.Registry, a registrytest.Added) ocispec.Index {
	t.Helper()
	var idx ocispec.Index
	if err := json.Unmarshal(registrytest.Must(h.Manifest(a.Repo, a.Tag))(t), &idx); err != nil {
		t.Fatal(err)
	}
	return idx
}

func TestMediaTypes(t *testing.T) {
	h := registrytest.Start(t, registrytest.Options{})
	var layers []*registrytest.Layer
	for _, c := range []registrytest.Compression{registrytest.Gzip, registrytest.Zstd, registrytest.None, registrytest.GzipStored} {
		layers = append(layers, &registrytest.Layer{Compression: c, Files: []registrytest.File{{Name: "f"}}})
	}
	const oci, docker = "application/vnd.oci.image.", "application/vnd.docker."
	for _, row := range []struct {
		name   string
		format registrytest.Format
		want   []string // index, manifest, config, layers
	}{
		{"oci", registrytest.OCI, []string{
			oci + "index.v1+json", oci + "manifest.v1+json", oci + "config.v1+json",
			oci + "layer.v1.tar+gzip", oci + "layer.v1.tar+zstd", oci + "layer.v1.tar", oci + "layer.v1.tar+gzip",
		}},
		{"docker", registrytest.Docker, []string{
			docker + "distribution.manifest.list.v2+json", docker + "distribution.manifest.v2+json", docker + "container.image.v1+json",
			docker + "image.rootfs.diff.tar.gzip", docker + "image.rootfs.diff.tar.zstd", docker + "image.rootfs.diff.tar", docker + "image.rootfs.diff.tar.gzip",
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			img := registrytest.Image{Format: row.format, Layers: layers, Annotations: map[string]string{"k": "v"}}
			a := registrytest.Must(h.AddIndex(row.name, "v1", registrytest.Index{Format: row.format, Images: []registrytest.Image{img}, Annotations: map[string]string{"k": "v"}}))(t)
			m := a.Manifests[0]
			got := []string{a.MediaType, m.MediaType, m.Config.MediaType}
			for _, l := range m.Layers {
				got = append(got, l.MediaType)
			}
			if diff := cmp.Diff(row.want, got); diff != "" {
				t.Error(diff)
			}
			if r := ask(t, "GET", manifestURL(h, row.name, "v1")); r.Header.Get("Content-Type") != a.MediaType || digest.FromBytes(r.body) != a.Digest {
				t.Errorf("served as %s", r.Header.Get("Content-Type"))
			}
			idx := index(t, h, a)
			if idx.MediaType != a.MediaType || len(idx.Annotations) != map[registrytest.Format]int{registrytest.OCI: 1}[row.format] {
				t.Errorf("index %+v", idx)
			}
			if p := idx.Manifests[0].Platform; p == nil || p.OS != "linux" || p.Architecture != "amd64" {
				t.Errorf("platform %+v", p)
			}
		})
	}
}

func TestAttestations(t *testing.T) {
	h := registrytest.Start(t, registrytest.Options{})
	arm := small("arm")
	arm.Platform = "linux/arm/v7"
	a := registrytest.Must(h.AddIndex("a", "v1", registrytest.Index{Images: []registrytest.Image{small("amd"), arm}, Attestation: true}))(t)
	idx := index(t, h, a)
	if len(idx.Manifests) != 4 || len(a.Manifests) != 2 {
		t.Fatalf("%d children, %d images, want 4 and 2", len(idx.Manifests), len(a.Manifests))
	}
	if p := idx.Manifests[1].Platform; p.Architecture != "arm" || p.Variant != "v7" {
		t.Errorf("platform %+v", p)
	}
	for i, d := range idx.Manifests[2:] {
		want := map[string]string{"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": a.Manifests[i].Digest.String()}
		if diff := cmp.Diff(want, d.Annotations); diff != "" {
			t.Error(diff)
		}
		if d.Platform.OS != "unknown" || d.Platform.Architecture != "unknown" {
			t.Errorf("platform %+v", d.Platform)
		}
		checkManifest(t, h, "a", d)
	}
}

// checkManifest reads a manifest and all its parts over HTTP.
func checkManifest(t *testing.T, h *registrytest.Registry, repo string, d ocispec.Descriptor) ocispec.Manifest {
	t.Helper()
	r := ask(t, "GET", manifestURL(h, repo, d.Digest.String()))
	wantStatus(t, r, 200)
	var m ocispec.Manifest
	if err := json.Unmarshal(r.body, &m); err != nil {
		t.Fatal(err)
	}
	if int64(len(r.body)) != d.Size || digest.FromBytes(r.body) != d.Digest {
		t.Errorf("manifest %s has %d bytes, want %d", d.Digest, len(r.body), d.Size)
	}
	for _, part := range append(m.Layers, m.Config) {
		r := ask(t, "GET", blobURL(h, repo, part.Digest.String()))
		if digest.FromBytes(r.body) != part.Digest || int64(len(r.body)) != part.Size {
			t.Errorf("part %s: %d with %d bytes", part.Digest, r.StatusCode, len(r.body))
		}
	}
	return m
}

func TestArtifactsAndSignatures(t *testing.T) {
	h := registrytest.Start(t, registrytest.Options{})
	of := registrytest.Must(h.AddImage("a", "v1", small("a")))(t)
	chart := registrytest.Must(h.AddArtifact("a", "chart", registrytest.Artifact{Type: "application/x-chart", BlobType: "text/x-yaml", Blobs: [][]byte{[]byte("a: b")}}))(t)
	none := registrytest.Must(h.AddArtifact("a", "none", registrytest.Artifact{Type: "application/x-none"}))(t)
	sig := registrytest.Must(h.AddCosignTag("a", of.Digest))(t)
	ref := registrytest.Must(h.AddReferrer("a", of.Descriptor))(t)

	if m := checkManifest(t, h, "a", chart.Descriptor); m.Config.MediaType != ocispec.MediaTypeEmptyJSON || m.ArtifactType != "application/x-chart" || m.Layers[0].MediaType != "text/x-yaml" {
		t.Errorf("artifact %+v", m)
	}
	if m := checkManifest(t, h, "a", none.Descriptor); len(m.Layers) != 1 || m.Layers[0].MediaType != ocispec.MediaTypeEmptyJSON {
		t.Errorf("artifact without blobs %+v", m)
	}
	if m := checkManifest(t, h, "a", ref.Descriptor); m.Subject == nil || m.Subject.Digest != of.Digest || ref.Tag != "" {
		t.Errorf("referrer %+v", m)
	}
	if m := checkManifest(t, h, "a", sig.Descriptor); m.Layers[0].MediaType != "application/vnd.dev.cosign.simplesigning.v1+json" {
		t.Errorf("signature %+v", m)
	}
	want := []string{"chart", "none", strings.ReplaceAll(of.Digest.String(), ":", "-") + ".sig", "v1"}
	if got := registrytest.Must(remote.List(repository(t, h, "a")))(t); !cmp.Equal(got, want) {
		t.Errorf("tags %v, want %v", got, want)
	}
}

func TestSchema1(t *testing.T) {
	h := registrytest.Start(t, registrytest.Options{})
	base, top := &registrytest.Layer{Files: []registrytest.File{{Name: "base"}}}, &registrytest.Layer{Files: []registrytest.File{{Name: "top"}}}
	a := registrytest.Must(h.AddSchema1("old", "v1", base, top))(t)
	r := ask(t, "GET", manifestURL(h, "old", "v1"))
	var doc struct {
		SchemaVersion int
		FSLayers      []struct{ BlobSum digest.Digest }
	}
	if err := json.Unmarshal(r.body, &doc); err != nil {
		t.Fatal(err)
	}
	layers := a.Manifests[0].Layers
	if doc.SchemaVersion != 1 || len(doc.FSLayers) != 2 || doc.FSLayers[0].BlobSum != layers[1].Digest || r.Header.Get("Content-Type") != registrytest.DockerSchema1 {
		t.Errorf("%s: %+v, want the top layer %s first", r.Header.Get("Content-Type"), doc, layers[1].Digest)
	}
	for _, l := range layers {
		wantStatus(t, ask(t, "GET", blobURL(h, "old", l.Digest.String())), 200)
	}
}

func TestMove(t *testing.T) {
	h := registrytest.Start(t, registrytest.Options{})
	one := registrytest.Must(h.AddImage("a", "v1", small("one")))(t)
	two := registrytest.Must(h.AddIndex("a", "v2", registrytest.Index{Images: []registrytest.Image{small("two")}}))(t)
	tag := func() string {
		return ask(t, "HEAD", manifestURL(h, "a", "v1")).Header.Get("Docker-Content-Digest")
	}
	if err := h.Move("a", "v1", two.Digest); err != nil {
		t.Fatal(err)
	}
	if got := tag(); got != two.Digest.String() {
		t.Errorf("after Move: %s, want %s", got, two.Digest)
	}
	if err := h.MoveAfter(2, "a", "v1", one.Digest); err != nil {
		t.Fatal(err)
	}
	// Requests of other tags and digests do not count.
	ask(t, "HEAD", manifestURL(h, "a", "v2"))
	for i, want := range []digest.Digest{two.Digest, two.Digest, one.Digest, one.Digest} {
		if got := tag(); got != want.String() {
			t.Errorf("request %d: %s, want %s", i+1, got, want)
		}
	}
	for _, err := range []error{h.Move("a", "v1", digest.FromString("x")), h.MoveAfter(0, "a", "v1", digest.FromString("x"))} {
		if err == nil {
			t.Error("moved to a manifest that does not exist")
		}
	}
}

func TestDelete(t *testing.T) {
	h := registrytest.Start(t, registrytest.Options{})
	a := registrytest.Must(h.AddIndex("a", "v1", registrytest.Index{Images: []registrytest.Image{small("a")}}))(t)
	registrytest.Must(h.AddIndex("copy", "v1", registrytest.Index{Images: []registrytest.Image{small("a")}}))(t)
	child, layer := a.Manifests[0].Digest, a.Manifests[0].Layers[0].Digest
	for _, row := range []struct{ ref, url string }{
		{layer.String(), blobURL(h, "a", layer.String())},
		{child.String(), manifestURL(h, "a", child.String())},
		{"v1", manifestURL(h, "a", "v1")},
	} {
		if err := h.Delete("a", row.ref); err != nil {
			t.Error(err)
		}
		wantStatus(t, ask(t, "GET", row.url), 404)
		if err := h.Delete("a", row.ref); err == nil {
			t.Errorf("%s deleted twice", row.ref)
		}
	}
	wantStatus(t, ask(t, "GET", manifestURL(h, "a", a.Digest.String())), 200)
	if _, err := h.Manifest("a", "v1"); err == nil {
		t.Error("read a deleted tag")
	}
	if _, err := h.Blob("a", layer); err == nil {
		t.Error("read a deleted blob")
	}
	pull(t, h.Ref("copy", "v1"))
	for _, url := range []string{blobURL(h, "copy", layer.String()), manifestURL(h, "copy", "v1")} {
		wantStatus(t, ask(t, "DELETE", url), 202)
		wantStatus(t, ask(t, "GET", url), 404)
	}
}

func TestRawManifests(t *testing.T) {
	h := registrytest.Start(t, registrytest.Options{})
	other := digest.FromString("other")
	const sparse = `{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:0000000000000000000000000000000000000000000000000000000000000000","size":-7}]}`
	for _, row := range []struct{ ref, mediaType, raw string }{
		{"sparse", ocispec.MediaTypeImageIndex, sparse},
		{"broken", ocispec.MediaTypeImageIndex, "{"},
		{"empty", ocispec.MediaTypeImageManifest, ""},
		{"strange", "text/html; charset=utf-8", "<html>"},
		{other.String(), ocispec.MediaTypeImageManifest, "{}"},
	} {
		registrytest.Must(h.AddRaw("lies", row.ref, row.mediaType, []byte(row.raw)))(t)
		r := ask(t, "GET", manifestURL(h, "lies", row.ref))
		if string(r.body) != row.raw || r.Header.Get("Content-Type") != row.mediaType || r.StatusCode != 200 {
			t.Errorf("%s: %d %s %s", row.ref, r.StatusCode, r.Header.Get("Content-Type"), r.body)
		}
	}
}

func TestPause(t *testing.T) {
	h := registrytest.Start(t, registrytest.Options{})
	a := registrytest.Must(h.AddPause(map[string][]byte{"arm64": []byte("1"), "amd64": []byte("2")}))(t)
	if a.Repo != "pause" || a.Tag != "3.10.2" || a.Manifests[0].Platform.Architecture != "amd64" {
		t.Errorf("%+v", a)
	}
	pull(t, h.Ref(a.Repo, a.Tag))
	hello := registrytest.Must(h.AddImage("hello", "1", registrytest.Hello("docker.io/library/hello:1", "amd64", []byte("program"))))(t)
	config := ask(t, "GET", blobURL(h, "hello", hello.Manifests[0].Config.Digest.String()))
	if !strings.Contains(string(config.body), "HELLO_NAME=docker.io/library/hello:1") {
		t.Errorf("config %s", config.body)
	}
}

func TestBadPlatform(t *testing.T) {
	h := registrytest.Start(t, registrytest.Options{})
	bad := registrytest.Image{Platform: "a/b/c/d"}
	if _, err := h.AddImage("a", "v1", bad); err == nil {
		t.Error("AddImage accepted an invalid platform")
	}
	if _, err := h.AddIndex("a", "v1", registrytest.Index{Images: []registrytest.Image{bad}}); err == nil {
		t.Error("AddIndex accepted an invalid platform")
	}
}

func TestBlobsBelongToRepositories(t *testing.T) {
	h := registrytest.Start(t, registrytest.Options{})
	d := h.AddBlob("a", []byte("content"))
	wantStatus(t, ask(t, "GET", blobURL(h, "a", d.Digest.String())), 200)
	wantStatus(t, ask(t, "GET", blobURL(h, "b", d.Digest.String())), 404)
	r := registrytest.Must(h.Blob("a", d.Digest))(t)
	if raw, err := io.ReadAll(r); string(raw) != "content" || err != nil {
		t.Errorf("%q, %v", raw, err)
	}
}

// TestManyAtOnce is for the race detector: it changes everything that may change during
// many pulls.
func TestManyAtOnce(t *testing.T) {
	h := registrytest.Start(t, registrytest.Options{Policy: registrytest.Policy{Auth: registrytest.AuthBearer, TokenUses: 50, Redirect: true}})
	set := registrytest.Must(h.AddCalico(registrytest.CalicoOptions{}))(t)
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for _, a := range set {
				pull(t, h.Ref(a.Repo, a.Tag))
			}
		})
		wg.Go(func() {
			for n := range 20 {
				repo := fmt.Sprintf("r%d", i)
				registrytest.Must(h.AddImage(repo, "v1", small(fmt.Sprint(n))))(t)
				remove := h.AddFaults(registrytest.Faults{Only: registrytest.Filter{Path: "/missing/"}, Fail: registrytest.Failure{Times: 1}})
				h.SetFaults(func(f *registrytest.Faults) { f.NoDigest = !f.NoDigest })
				h.SetPolicy(func(p *registrytest.Policy) { p.Redirect = !p.Redirect })
				h.SetUsed("x", n)
				h.Release()
				h.Counts()
				h.Log()
				h.Faults()
				h.Peak(registrytest.KindBlob)
				remove()
				if err := h.Delete(repo, "v1"); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}
