package archive

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	specs "github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stowage/internal/manifest"
)

// TestGolden holds the bytes themselves: bundles made by one version must be made again,
// identically, by the next. A change here is a change of the format.
func TestGolden(t *testing.T) {
	const (
		wantFile  = "sha256:6adfbf69c90ad396ebaf4b00cf38384f892623f65d92d9b2f489b00618ca8cd8"
		wantIndex = "sha256:6a727b0264a56f8c6b13cf98f65d8bba11fd2d74664f5881c7f7929d3c98f6cd"
	)
	raw := small().bundle(t, PlanOptions{})
	if got := digest.FromBytes(raw); got != wantFile {
		t.Errorf("file is %s, want %s", got, wantFile)
	}
	if got := open(t, raw).Digest(); got != wantIndex {
		t.Errorf("index.json is %s, want %s", got, wantIndex)
	}
}

// headers lists a tarball as archive/tar sees it.
func headers(t testing.TB, raw []byte) []*tar.Header {
	t.Helper()
	var out []*tar.Header
	for tr := tar.NewReader(bytes.NewReader(raw)); ; {
		h, err := tr.Next()
		if err == io.EOF {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, h)
	}
}

func TestEntries(t *testing.T) {
	s := small()
	raw := s.bundle(t, PlanOptions{})
	p := s.plan(t, PlanOptions{})
	want := []string{"oci-layout", "index.json", "manifest.json", "blobs/", "blobs/sha256/"}
	for _, b := range p.Blobs() {
		want = append(want, "blobs/sha256/"+b.Digest.Encoded())
	}
	var got []string
	for _, h := range headers(t, raw) {
		got = append(got, h.Name)
		mode := int64(0o644)
		if h.Typeflag == tar.TypeDir {
			mode = 0o755
		}
		if h.Mode != mode || h.Uid != 0 || h.Gid != 0 || h.Uname != "" || h.Gname != "" || h.ModTime.Unix() != 0 || h.Format != tar.FormatUSTAR {
			t.Errorf("header %+v", h)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("entries (-want +got):\n%s", diff)
	}
	if tail := raw[len(raw)-endBlocks:]; !bytes.Equal(tail, make([]byte, endBlocks)) {
		t.Error("no two zero blocks at the end")
	}
	last := p.Blobs()[len(p.Blobs())-1]
	if got, want := int64(len(raw)), padded(last.Offset+last.Size)+endBlocks; got != want {
		t.Errorf("%d bytes, want %d", got, want)
	}
}

func TestPlanOrder(t *testing.T) {
	s := small()
	p := s.plan(t, PlanOptions{})
	var docs, sizes []string
	for _, b := range p.Blobs() {
		if b.Manifest {
			docs = append(docs, b.Digest.Encoded()[:8])
		} else {
			sizes = append(sizes, fmt.Sprint(b.Size))
		}
	}
	// Names: docker.io/library/single, registry.test/app:v1, app@…, both, chart.
	single, app, both := s.images[2], s.images[0], s.images[3]
	want := []digest.Digest{
		single.Target.Digest, app.Target.Digest, app.Present[0].Digest,
		both.Target.Digest, both.Present[1].Digest, s.images[4].Target.Digest,
	}
	for i := range want {
		if docs[i] != want[i].Encoded()[:8] {
			t.Errorf("document %d is %s, want %s", i, docs[i], want[i])
		}
	}
	if got, want := strings.Join(sizes[4:], " "), "3000 1025 512 100 99"; got != want {
		t.Errorf("layers have sizes %s, want %s", got, want)
	}
	for i := 1; i < len(p.Blobs()); i++ {
		if a, b := p.Blobs()[i-1], p.Blobs()[i]; a.Manifest == false && b.Manifest {
			t.Errorf("document %s after other blobs", b.Digest)
		}
	}
}

// TestPlanRank orders images by rank and then by name, and their blobs with them. A reader takes
// the order as it is, also where it has only the metadata.
func TestPlanRank(t *testing.T) {
	s := small()
	var want []string
	for _, img := range s.plan(t, PlanOptions{}).Images() {
		want = append(want, img.Name)
	}
	last := want[len(want)-1]
	want = append([]string{last}, want[:len(want)-1]...)
	p := s.plan(t, PlanOptions{Rank: func(name string) int {
		if name == last {
			return -1
		}
		return 7
	}})
	var got []string
	for _, img := range p.Images() {
		got = append(got, img.Name)
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if first := p.Blobs()[0].Digest; first != p.Images()[0].Target.Digest {
		t.Errorf("the first blob is %s", first)
	}
	same := s.plan(t, PlanOptions{Rank: func(string) int { return 3 }})
	if same.Digest() != s.plan(t, PlanOptions{}).Digest() || same.Digest() == p.Digest() {
		t.Errorf("equal ranks change the identity, or others do not")
	}
}

// TestPlanIsAFunctionOfImages feeds the same images in other orders, twice, and split.
func TestPlanIsAFunctionOfImages(t *testing.T) {
	s := small()
	want := s.plan(t, PlanOptions{})
	rng := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		images := slices.Concat(s.images, s.images[:2])
		for i := range images {
			images[i].Present = slices.Clone(images[i].Present)
			rng.Shuffle(len(images[i].Present), func(a, b int) {
				images[i].Present[a], images[i].Present[b] = images[i].Present[b], images[i].Present[a]
			})
			images[i].Target.Platform, images[i].Target.Annotations = &arm64, map[string]string{"x": "y"}
		}
		rng.Shuffle(len(images), func(a, b int) { images[a], images[b] = images[b], images[a] })
		got, err := NewPlan(images, s, PlanOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.index, want.index) || !bytes.Equal(got.docker, want.docker) || got.size != want.size {
			t.Fatalf("another plan from the same images:\n%s\n%s", got.index, want.index)
		}
	}
}

// TestPlanCoversPlatforms: a sparse index looks the same whatever was chosen of it, the
// identity must not.
func TestPlanCoversPlatforms(t *testing.T) {
	s := small()
	one := s.plan(t, PlanOptions{})
	img := &s.images[0]
	doc, err := manifest.Parse(s.Blobs[img.Target.Digest], defaultLimits.manifest())
	if err != nil {
		t.Fatal(err)
	}
	img.Present = append(img.Present, doc.Children[1])
	if two := s.plan(t, PlanOptions{}); two.Digest() == one.Digest() {
		t.Error("same identity for another choice of platforms")
	}
}

func TestPlanIndex(t *testing.T) {
	s := small()
	p := s.plan(t, PlanOptions{Skipped: []Skipped{{Name: "b", Reason: "not found"}, {Name: "a", Reason: "not found"}, {Name: "b", Reason: "not found"}}})
	var idx ocispec.Index
	if err := json.Unmarshal(p.Index(), &idx); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, d := range idx.Manifests {
		name := d.Annotations["io.containerd.image.name"]
		if name != d.Annotations["org.opencontainers.image.ref.name"] {
			t.Errorf("annotations %v", d.Annotations)
		}
		if d.Platform != nil {
			t.Errorf("%s has platform %v", name, d.Platform)
		}
		names = append(names, name)
	}
	want := []string{
		"docker.io/library/single:latest", "registry.test/app:v1", s.images[1].Name,
		"registry.test/both:v2", "registry.test/chart:1",
	}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
	if idx.SchemaVersion != 2 || idx.MediaType != ocispec.MediaTypeImageIndex {
		t.Errorf("index says %d %q", idx.SchemaVersion, idx.MediaType)
	}
	if got, want := idx.Annotations[annotationSkipped], `[{"name":"a","reason":"not found"},{"name":"b","reason":"not found"}]`; got != want {
		t.Errorf("skipped %s, want %s", got, want)
	}
}

func TestPlanDocker(t *testing.T) {
	s := small()
	s.images = append(s.images, Image{Name: "registry.test/other:x", Target: s.images[2].Target})
	pinned := s.Manifest(amd64, s.Layer(8, 10))
	s.name("registry.test/pinned@"+pinned.Digest.String(), pinned)
	p := s.plan(t, PlanOptions{})
	var got []struct {
		Config           string
		RepoTags, Layers []string
	}
	if err := json.Unmarshal(p.docker, &got); err != nil {
		t.Fatal(err)
	}
	tags := [][]string{}
	for _, e := range got {
		tags = append(tags, e.RepoTags)
		for _, path := range append(e.Layers, e.Config) {
			if _, err := p.Find(digest.Digest("sha256:" + strings.TrimPrefix(path, blobDir))); err != nil {
				t.Error(err)
			}
		}
	}
	// app and both have the same linux/amd64 manifest; arm64 comes first in the index of both.
	want := [][]string{
		{"docker.io/library/single:latest", "registry.test/other:x"},
		{"registry.test/app:v1", "registry.test/both:v2"},
		nil,
	}
	if diff := cmp.Diff(want, tags); diff != "" {
		t.Errorf("RepoTags (-want +got):\n%s", diff)
	}
	if !strings.Contains(string(p.docker), `"RepoTags":null`) {
		t.Error("an image without tags has no null")
	}
}

func TestPlanWithoutDockerImages(t *testing.T) {
	s := newStore()
	s.name("registry.test/chart:1", s.Artifact("application/vnd.cncf.helm.config.v1+json", "", s.Layer(1, 10)))
	raw := s.bundle(t, PlanOptions{})
	for _, h := range headers(t, raw) {
		if h.Name == entryDocker {
			t.Error("manifest.json for artifacts alone")
		}
	}
	if img := open(t, raw).Images()[0]; img.Present[0].ArtifactType == "" {
		t.Errorf("artifact without its type: %+v", img)
	}
}

// What a pod does with an artifact is in the bundle, and nothing else changes by it.
func TestArtifactUse(t *testing.T) {
	for _, opts := range []PlanOptions{{}, {Flat: true}} {
		s := newStore()
		chart := s.Artifact("application/vnd.cncf.helm.config.v1+json", "", s.Layer(1, 10))
		s.name("registry.test/chart:1", chart)
		s.name("registry.test/chart:2", chart)
		plain := s.bundle(t, opts)
		s.images = append(s.images, s.images[0], s.images[0])
		s.images[2].Artifact = ArtifactVolume
		raw := s.bundle(t, opts)
		r := open(t, raw)
		if got := []string{r.Images()[0].Artifact, r.Images()[1].Artifact}; !slices.Equal(got, []string{ArtifactVolume, ""}) {
			t.Errorf("artifacts %q", got)
		}
		if bytes.Contains(plain, []byte(annotationArtifact)) || bytes.Count(raw, []byte(annotationArtifact)) != 1 {
			t.Error("the annotation is not where it belongs")
		}
		later := bytes.ReplaceAll(raw, []byte(ArtifactVolume), []byte("later-volume"))
		if _, err := NewReader(bytes.NewReader(later), int64(len(later))); !errors.Is(err, ErrDamaged) {
			t.Errorf("an altered annotation: %v", err)
		}
	}
	s := newStore()
	s.name("registry.test/chart:1", s.Artifact("application/vnd.cncf.helm.config.v1+json", "", s.Layer(1, 10)))
	s.images[0].Artifact = "window"
	if _, err := NewPlan(s.images, s, PlanOptions{}); err == nil || !strings.Contains(err.Error(), `unknown use "window"`) {
		t.Errorf("an unknown use: %v", err)
	}
}

func TestPlanFlat(t *testing.T) {
	s := small()
	s.images = slices.Delete(s.images, 1, 2)
	r := open(t, s.bundle(t, PlanOptions{Flat: true}))
	var got []string
	for _, img := range r.Images() {
		if len(img.Present) != 1 || img.Target.MediaType != ocispec.MediaTypeImageManifest {
			t.Errorf("%s: %+v", img.Name, img)
		}
		platform := ""
		if img.Target.Platform != nil {
			platform = formatPlatform(img.Target.Platform)
		}
		got = append(got, img.Name+" "+platform)
	}
	want := []string{
		"docker.io/library/single:latest ", "registry.test/app:v1 linux/amd64",
		"registry.test/both:v2 linux/arm64/v8", "registry.test/both:v2 linux/amd64", "registry.test/chart:1 ",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("flat images (-want +got):\n%s", diff)
	}
	for _, b := range r.Blobs() {
		if b.MediaType == ocispec.MediaTypeImageIndex {
			t.Errorf("flat bundle holds index %s", b.Digest)
		}
	}
}

func TestPlanForeignLayer(t *testing.T) {
	s := newStore()
	l := s.Layer(1, 10)
	l.MediaType = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
	l.URLs = []string{"https://mcr.test/layer"}
	s.name("registry.test/windows:1", s.Manifest(ocispec.Platform{OS: "windows", Architecture: "amd64"}, l))
	p := s.plan(t, PlanOptions{})
	i, err := p.Find(l.Digest)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(l.URLs, p.Blobs()[i].URLs); diff != "" {
		t.Errorf("URLs (-want +got):\n%s", diff)
	}
	if !strings.Contains(string(p.docker), l.Digest.Encoded()) {
		t.Error("image with a layer from a URL is not in manifest.json")
	}
}

// TestPlanOneBlobTwoRoles: the same bytes as layer, then as config, then as manifest.
func TestPlanOneBlobTwoRoles(t *testing.T) {
	s := newStore()
	target := s.Manifest(amd64, s.Layer(1, 10))
	config := s.Put("application/vnd.oci.empty.v1+json", []byte("{}"))
	a := s.Artifact("application/vnd.test", "", target, config)
	s.name("registry.test/a:1", a)
	s.name("registry.test/b:1", target)
	p := s.plan(t, PlanOptions{})
	seen := map[digest.Digest]int{}
	for _, b := range p.Blobs() {
		seen[b.Digest]++
		if b.Manifest != (b.Digest == a.Digest || b.Digest == target.Digest) {
			t.Errorf("%s manifest=%t", b.Digest, b.Manifest)
		}
	}
	for d, n := range seen {
		if n != 1 {
			t.Errorf("%s stands %d times in the file", d, n)
		}
	}
	open(t, s.bundle(t, PlanOptions{}))
}

func TestPlanErrors(t *testing.T) {
	s := small()
	app, single, both := s.images[0], s.images[2], s.images[3]
	elsewhere := s.Manifest(amd64, s.Layer(30, 5))
	lying := s.Layer(1, 3000)
	lying.Size = 2999
	liar := s.Manifest(amd64, lying)
	hollow := s.Layer(1, 3000)
	hollow.Size, hollow.Digest = 0, digest.FromString("x")
	sha512 := s.Layer(1, 10)
	sha512.Digest = digest.Digest("sha512:" + strings.Repeat("ab", 64))
	deep := single.Target
	for range MaxDepth {
		deep = s.Index(deep)
	}
	var chain []ocispec.Descriptor
	for d := deep; ; {
		doc, _ := manifest.Parse(s.Blobs[d.Digest], defaultLimits.manifest())
		if chain = append(chain, d); !doc.Index {
			break
		}
		d = doc.Children[0]
	}
	both1 := s.Put("", []byte(`{"schemaVersion":2,"config":{},"manifests":[]}`))
	v1 := s.Put("", []byte(`{"schemaVersion":1,"fsLayers":[]}`))
	typed := s.Put("", []byte(`{"schemaVersion":2,"mediaType":"application/x","manifests":[]}`))
	for _, tc := range []struct {
		name   string
		images []Image
		want   string
	}{
		{"no tag", []Image{{Name: "docker.io/library/a", Target: single.Target}}, "neither tag nor digest"},
		{"not normalised", []Image{{Name: "busybox:1", Target: single.Target}}, `want "docker.io/library/busybox:1"`},
		{"tag and digest", []Image{{Name: app.Name + "@" + single.Target.Digest.String(), Target: single.Target}}, "both tag and digest"},
		{"containerd's own", []Image{{Name: single.Target.Digest.String(), Target: single.Target}}, "not normalised"},
		{"no name", []Image{{Target: single.Target}}, "name"},
		{"wrong pin", []Image{{Name: "registry.test/a@" + elsewhere.Digest.String(), Target: single.Target}}, "does not match its target"},
		{"two targets", []Image{single, {Name: single.Name, Target: elsewhere}}, "two targets"},
		{"unknown document", []Image{{Name: single.Name, Target: ocispec.Descriptor{Digest: digest.FromString("?")}}}, "not found"},
		{"no digest", []Image{{Name: single.Name}}, "digest"},
		{"wrong size", []Image{{Name: single.Name, Target: ocispec.Descriptor{Digest: single.Target.Digest, Size: 1}}}, "its descriptor says 1"},
		{"index alone", []Image{{Name: app.Name, Target: app.Target}}, "none of its manifests"},
		{"not a child", []Image{{Name: app.Name, Target: app.Target, Present: append([]ocispec.Descriptor{elsewhere}, app.Present...)}}, "is not a child"},
		{"two sizes", []Image{single, {Name: "registry.test/liar:1", Target: liar}}, "in one manifest and"},
		{"hollow blob", []Image{{Name: single.Name, Target: s.Manifest(amd64, hollow)}}, "cannot have 0 bytes"},
		{"sha512", []Image{{Name: single.Name, Target: s.Manifest(amd64, sha512)}}, "only sha256"},
		{"nested", []Image{{Name: single.Name, Target: deep, Present: chain}}, "nested deeper"},
		{"index and manifest", []Image{{Name: single.Name, Target: both1}}, "at once"},
		{"schema 1", []Image{{Name: single.Name, Target: v1}}, "schema 1"},
		{"strange type", []Image{{Name: single.Name, Target: typed}}, "application/x"},
		{"not a referrer", []Image{{Name: single.Name, Target: single.Target, Referrers: []ocispec.Descriptor{elsewhere}}}, "not a manifest about this image"},
		{"manifests of another", []Image{{Name: single.Name, Target: single.Target, Present: both.Present}}, "is not a child"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := NewPlan(tc.images, s, PlanOptions{})
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want something with %q", err, tc.want)
			}
			if tc.name == "unknown document" && !errors.Is(err, ErrNotFound) {
				t.Errorf("%v is not ErrNotFound", err)
			}
		})
	}
	if _, err := NewPlan([]Image{{Name: app.Name, Target: app.Target, Present: app.Present}}, s, PlanOptions{Base: "x"}); err == nil {
		t.Error("a base that is not a digest was accepted")
	}
	if _, err := NewPlan(s.images, s, PlanOptions{Flat: true}); err == nil || !strings.Contains(err.Error(), "flat") {
		t.Errorf("flat with the digest of an index: %v", err)
	}
}

// TestPlanWithoutMediaType: OCI manifests need not say what they are; the registry did.
func TestPlanWithoutMediaType(t *testing.T) {
	s := newStore()
	config := s.Put(manifest.MediaTypeDockerConfig, []byte(`{"os":"linux"}`))
	target := s.PutJSON("", struct {
		specs.Versioned
		Config ocispec.Descriptor   `json:"config"`
		Layers []ocispec.Descriptor `json:"layers"`
	}{specs.Versioned{SchemaVersion: 2}, config, nil})
	for _, tc := range []struct{ stated, want string }{
		{"", ocispec.MediaTypeImageManifest},
		{manifest.MediaTypeDockerManifest, manifest.MediaTypeDockerManifest},
	} {
		target.MediaType = tc.stated
		p, err := NewPlan([]Image{{Name: "registry.test/a:1", Target: target}}, s, PlanOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Images()[0].Target.MediaType; got != tc.want {
			t.Errorf("media type %q, want %q", got, tc.want)
		}
	}
}

// TestHugeBlob: above 8 GiB a header needs PAX records, and offsets know.
func TestHugeBlob(t *testing.T) {
	for _, tc := range []struct {
		size   int64
		header int64
	}{
		{ustarMax, block},
		{ustarMax + 1, 3 * block},
	} {
		s := newStore()
		l := s.Layer(1, 10)
		l.Size = tc.size
		s.name("registry.test/huge:1", s.Manifest(amd64, l))
		p := s.plan(t, PlanOptions{})
		n := len(p.Blobs()) - 1
		gap, off, err := p.Gap(n)
		if err != nil {
			t.Fatal(err)
		}
		if b := p.Blobs()[n]; off+int64(len(gap)) != b.Offset {
			t.Errorf("size %d: header ends at %d, blob starts at %d", tc.size, off+int64(len(gap)), b.Offset)
		}
		before := p.Blobs()[n-1]
		if got := p.Blobs()[n].Offset - padded(before.Offset+before.Size); got != tc.header {
			t.Errorf("size %d: header of %d bytes, want %d", tc.size, got, tc.header)
		}
	}
	for _, size := range []int64{MaxBlob, MaxBlob + 1, -1} {
		s := newStore()
		l := s.Layer(1, 10)
		l.Size = size
		s.name("registry.test/huge:1", s.Manifest(amd64, l))
		_, err := NewPlan(s.images, s, PlanOptions{})
		if (err == nil) != (size == MaxBlob) {
			t.Errorf("size %d: %v", size, err)
		}
	}
}

func TestNames(t *testing.T) {
	const dg = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	for _, tc := range []struct {
		ref  string
		want []string
	}{
		{"busybox", []string{"docker.io/library/busybox:latest"}},
		{"calico/cni:v3.28.0", []string{"docker.io/calico/cni:v3.28.0"}},
		{"quay.io/a/b@" + dg, []string{"quay.io/a/b@" + dg}},
		{"quay.io:443/a/b:v1@" + dg, []string{"quay.io:443/a/b:v1", "quay.io:443/a/b@" + dg}},
		{"localhost:5000/x:1", []string{"localhost:5000/x:1"}},
		{"Upper", nil},
		{"", nil},
		{dg, nil},
	} {
		got, err := Names(tc.ref)
		if diff := cmp.Diff(tc.want, got); diff != "" || (err == nil) != (tc.want != nil) {
			t.Errorf("Names(%q): %v (-want +got):\n%s", tc.ref, err, diff)
		}
		for _, name := range got {
			if _, err := checkName(name); err != nil {
				t.Errorf("%q has a name that is refused: %v", tc.ref, err)
			}
		}
	}
}
