package archive

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
)

// upgrade returns two bundles: small, and small with one image changed, one removed, one
// added.
func upgrade(t *testing.T) (s *store, before, after *Reader) {
	s = small()
	before = open(t, s.bundle(t, PlanOptions{}))
	s.images = slices.DeleteFunc(s.images, func(i Image) bool { return i.Name == "registry.test/chart:1" })
	for i := range s.images {
		if s.images[i].Name == "docker.io/library/single:latest" {
			s.images[i].Target = s.Manifest(amd64, s.Layer(1, 3000), s.Layer(70, 900))
		}
	}
	s.name("registry.test/new:1", s.Manifest(amd64, s.Layer(2, 512), s.Layer(71, 800)))
	return s, before, open(t, s.bundle(t, PlanOptions{}))
}

// since plans a differential bundle.
func since(old *Reader) PlanOptions {
	return PlanOptions{Omit: old.Has, Base: old.Digest()}
}

func TestDifferential(t *testing.T) {
	s, before, after := upgrade(t)
	raw := s.bundle(t, since(before))
	r := open(t, raw)
	if r.Base() != before.Digest() {
		t.Errorf("base %s, want %s", r.Base(), before.Digest())
	}
	var sizes []int64
	for _, o := range r.Omitted() {
		if r.Has(o.Digest) || !before.Has(o.Digest) || o.MediaType == "" {
			t.Errorf("omitted %+v", o)
		}
		sizes = append(sizes, o.Size)
	}
	if diff := cmp.Diff([]int64{3000, 512, 100}, sizes); diff != "" {
		t.Errorf("omitted sizes (-want +got):\n%s", diff)
	}
	if r.Size() >= after.Size() || r.Digest() == after.Digest() {
		t.Errorf("%d bytes, the whole has %d", r.Size(), after.Size())
	}
	for i, img := range r.Images() {
		if diff := cmp.Diff(after.Images()[i], img); diff != "" {
			t.Errorf("image of the whole and of the differential bundle (-whole +diff):\n%s", diff)
		}
	}
	// docker load knows no omitted layers: manifest.json lists none of those images.
	if docker := string(mustPlan(t, s, since(before)).docker); docker != "" {
		t.Errorf("manifest.json %s", docker)
	}
	sum, err := r.Inspect()
	if err != nil {
		t.Fatal(err)
	}
	if sum.Omitted != 3 || sum.OmitSize != 3612 || sum.Base != before.Digest() {
		t.Errorf("summary %+v", sum)
	}
}

func mustPlan(t *testing.T, s *store, opts PlanOptions) *Plan {
	t.Helper()
	p, err := NewPlan(s.images, s, opts)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestDifferentialOmitsLayersOnly: manifests and configs travel even when they are known,
// so that the bundle can be checked by itself.
func TestDifferentialOmitsLayersOnly(t *testing.T) {
	s := small()
	p := s.plan(t, PlanOptions{Omit: func(digest.Digest) bool { return true }})
	for _, b := range p.Blobs() {
		if strings.Contains(b.MediaType, "layer") || b.MediaType == "application/vnd.test.content" {
			t.Errorf("layer %s is there", b.Digest)
		}
	}
	if len(p.Blobs()) != 6+4 || len(p.Omitted()) != 5 {
		t.Errorf("%d blobs, %d omitted", len(p.Blobs()), len(p.Omitted()))
	}
}

// TestOmittedAltered: the list of omitted layers must be exactly what the images lack.
func TestOmittedAltered(t *testing.T) {
	s := newStore()
	l := s.Layer(1, 100)
	m := s.Manifest(amd64, l)
	m.Platform = nil
	delete(s.Blobs, l.Digest)
	good := string(l.Digest) + " 100"
	for _, tc := range []struct {
		name, text string
		ok         bool
	}{
		{"exact", good, true},
		{"none", "", false},
		{"size", string(l.Digest) + " 99", false},
		{"no size", string(l.Digest), false},
		{"negative", string(l.Digest) + " -1", false},
		{"twice", good + "\n" + good, false},
		{"no digest", "x 100", false},
		{"one that no image has", good + "\n" + string(unsealed) + " 5", false},
		{"one that is there", good + "\n" + string(m.Digest) + " 5", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			items := s.layoutOf("", annotated(m, byContainerd, "a.test/a:1"))
			idx := &items[len(items)-1].data
			*idx = strings.TrimSuffix(*idx, "}") + `,"annotations":{"` + annotationOmitted + `":"` + strings.ReplaceAll(tc.text, "\n", `\n`) + `"}}`
			raw := pack(items...)
			_, err := NewReader(bytes.NewReader(raw), int64(len(raw)))
			if (err == nil) != tc.ok || (err != nil && !errors.Is(err, ErrDamaged)) {
				t.Error(err)
			}
		})
	}
}

// TestSkippedAnnotation reads the skipped names under the annotation's present name and
// under the one that older bundles have.
func TestSkippedAnnotation(t *testing.T) {
	const list = `[{"name":"a.test/gone:1","reason":"not found"}]`
	s := newStore()
	m := s.Manifest(amd64, s.Layer(1, 100))
	m.Platform = nil
	for _, tc := range []struct {
		name        string
		annotations map[string]string
		damaged     bool
	}{
		{"present name", map[string]string{annotationSkipped: list}, false},
		{"former name", map[string]string{"dev.stowage.bundle.left-out": list}, false},
		{"both names", map[string]string{annotationSkipped: list, "dev.stowage.bundle.left-out": list}, true},
		{"not a list", map[string]string{annotationSkipped: "a.test/gone:1"}, true},
		{"former name, not a list", map[string]string{"dev.stowage.bundle.left-out": "{}"}, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			items := s.layoutOf("", annotated(m, byContainerd, "a.test/a:1"))
			added, err := json.Marshal(tc.annotations)
			if err != nil {
				t.Fatal(err)
			}
			idx := &items[len(items)-1].data
			*idx = strings.TrimSuffix(*idx, "}") + `,"annotations":` + string(added) + "}"
			raw := pack(items...)
			r, err := NewReader(bytes.NewReader(raw), int64(len(raw)))
			if tc.damaged {
				if !errors.Is(err, ErrDamaged) {
					t.Errorf("got %v, want a damaged bundle", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]Skipped{{Name: "a.test/gone:1", Reason: "not found"}}, r.Skipped()); diff != "" {
				t.Errorf("skipped (-want +got):\n%s", diff)
			}
		})
	}
}

func TestCompare(t *testing.T) {
	s, before, after := upgrade(t)
	d := Compare(before, after)
	var old digest.Digest
	for _, img := range before.Images() {
		if img.Name == "docker.io/library/single:latest" {
			old = img.Target.Digest
		}
	}
	single, fresh := after.Images()[0], after.Images()[len(after.Images())-1]
	want := &Difference{
		Added:   []Named{{Name: "registry.test/new:1", Digest: fresh.Target.Digest}},
		Removed: []Named{{Name: "registry.test/chart:1", Digest: before.Images()[4].Target.Digest}},
		Changed: []Changed{{Name: single.Name, Old: old, New: single.Target.Digest}},
		Same:    3,
	}
	for _, b := range after.Blobs() {
		if !before.Has(b.Digest) {
			want.NewBlobs++
			want.NewSize += b.Size
		}
	}
	for _, b := range before.Blobs() {
		if !after.Has(b.Digest) {
			want.GoneBlobs++
			want.GoneSize += b.Size
		}
	}
	if diff := cmp.Diff(want, d); diff != "" {
		t.Errorf("difference (-want +got):\n%s", diff)
	}
	if want.NewBlobs != 6 || want.NewSize < 1700 {
		t.Errorf("%d new blobs of %d bytes", want.NewBlobs, want.NewSize)
	}
	same := Compare(after, after)
	if same.Same != 5 || len(same.Added)+len(same.Removed)+len(same.Changed)+same.NewBlobs+same.GoneBlobs != 0 {
		t.Errorf("a bundle differs from itself: %+v", same)
	}
	// What a differential bundle omits is not gone, and not new to its receiver.
	diff := open(t, s.bundle(t, since(before)))
	if back := Compare(diff, after); back.NewBlobs != 0 {
		t.Errorf("%d blobs are new although omitted", back.NewBlobs)
	}
}

func TestInspect(t *testing.T) {
	s := small()
	r := open(t, s.bundle(t, PlanOptions{Skipped: []Skipped{{Name: "a.test/a:1", Reason: "not found"}}}))
	sum, err := r.Inspect()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]Skipped{{Name: "a.test/a:1", Reason: "not found"}}, r.Skipped()); diff != "" {
		t.Errorf("skipped (-want +got):\n%s", diff)
	}
	if sum.Size != r.Size() || sum.Digest != r.Digest() || sum.Blobs != len(r.Blobs()) || len(sum.Skipped) != 1 {
		t.Errorf("summary %+v", sum)
	}
	var blobs, alone int64
	for _, b := range r.Blobs() {
		blobs += b.Size
	}
	for _, img := range sum.Images {
		alone += img.Size
	}
	if sum.BlobSize != blobs || alone-sum.SavedSize != blobs {
		t.Errorf("blobs %d, want %d; %d saved of %d", sum.BlobSize, blobs, sum.SavedSize, alone)
	}
	app := sum.Images[1]
	if diff := cmp.Diff([]string{"registry.test/app:v1", s.images[1].Name}, app.Names); diff != "" {
		t.Errorf("names of one target (-want +got):\n%s", diff)
	}
	if len(app.Manifests) != 1 || app.Manifests[0].Platform != "linux/amd64" || app.OwnSize != app.Size-app.Manifests[0].Size {
		t.Errorf("app %+v", app)
	}
	if got := []int{app.Manifests[0].Layers[0].Images, app.Manifests[0].Layers[1].Images}; !slices.Equal(got, []int{3, 2}) {
		t.Errorf("layers of app are used by %v images", got)
	}
	if both := sum.Images[2]; len(both.Manifests) != 2 || both.Manifests[0].Platform != "linux/arm64/v8" {
		t.Errorf("both %+v", both)
	}
	if chart := sum.Images[3]; chart.Manifests[0].ArtifactType != "application/vnd.cncf.helm.config.v1+json" {
		t.Errorf("chart %+v", chart)
	}
}
