package archive

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stowage/internal/need"
)

// TestLimits holds each limit against a bundle just below, at and just above it.
func TestLimits(t *testing.T) {
	wide := newStore()
	a := wide.Manifest(amd64, wide.Layer(1, 10), wide.Layer(2, 11), wide.Layer(3, 12))
	b := wide.Manifest(arm64)
	inner := wide.Index(a, b)
	outer := wide.Index(inner)
	wide.name("a.test/a:1", outer, inner, a, b)
	wide.name("a.test/a:2", a)
	raw := wide.bundle(t, PlanOptions{})
	r := open(t, raw)
	largest := int64(0)
	for _, b := range r.Blobs() {
		if b.Manifest {
			largest = max(largest, b.Size)
		}
	}
	largest = max(largest, int64(len(r.Index())), int64(len(wide.plan(t, PlanOptions{}).docker)))
	for _, tc := range []struct {
		name string
		need int64 // what this bundle needs
		set  func(l *limits, n int64)
	}{
		{"document", largest, func(l *limits, n int64) { l.metadata = n }},
		{"blob", largest, func(l *limits, n int64) { l.blob = n }},
		{"entries", int64(len(headers(t, raw))), func(l *limits, n int64) { l.entries = int(n) }},
		{"names", 2, func(l *limits, n int64) { l.names = int(n) }},
		{"descriptors", 3, func(l *limits, n int64) { l.descriptors = int(n) }},
		{"depth", 3, func(l *limits, n int64) { l.depth = int(n) }},
		{"links", 5, func(l *limits, n int64) { l.link = int(n) }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if tc.name == "blob" {
				tc.need = 0
				for _, b := range r.Blobs() {
					tc.need = max(tc.need, b.Size)
				}
			}
			for n := tc.need - 1; n <= tc.need+1; n++ {
				lim := defaultLimits
				tc.set(&lim, n)
				_, err := newReader(bytes.NewReader(raw), int64(len(raw)), "x.tar", lim)
				if (err == nil) != (n >= tc.need) || (err != nil && !errors.Is(err, ErrDamaged)) {
					t.Errorf("limit %d for a need of %d: %v", n, tc.need, err)
				}
			}
		})
	}
}

// TestSizeLimit: the real limit, at a config, which is the largest in practice.
func TestSizeLimit(t *testing.T) {
	for _, tc := range []struct {
		size int
		ok   bool
	}{{MaxMetadata - 1, true}, {MaxMetadata, true}, {MaxMetadata + 1, false}} {
		s := newStore()
		config := s.Put(ocispec.MediaTypeImageConfig, []byte(`{"os":"linux","x":"`+strings.Repeat("x", tc.size-21)+`"}`))
		if config.Size != int64(tc.size) {
			t.Fatal(config.Size)
		}
		m := s.PutJSON(ocispec.MediaTypeImageManifest, ocispec.Manifest{
			MediaType: ocispec.MediaTypeImageManifest, Config: config, Versioned: version2,
		})
		s.name("a.test/a:1", m)
		if _, err := NewPlan(s.images, s, PlanOptions{}); (err == nil) != tc.ok {
			t.Errorf("plan of a config of %d bytes: %v", tc.size, err)
		}
		raw := pack(s.layoutOf("", annotated(m, byContainerd, "a.test/a:1"))...)
		_, err := NewReader(bytes.NewReader(raw), int64(len(raw)))
		if (err == nil) != tc.ok || (err != nil && !errors.Is(err, ErrDamaged)) {
			t.Errorf("reading a config of %d bytes: %v", tc.size, err)
		}
	}
}

// TestDeepSharing: indexes that all list the same children cost what they list once each,
// and the sum is bounded.
func TestDeepSharing(t *testing.T) {
	s := newStore()
	var leaves []ocispec.Descriptor
	for i := range 50 {
		leaves = append(leaves, s.Manifest(ocispec.Platform{OS: "linux", Architecture: fmt.Sprint("a", i)}))
	}
	shared := s.Index(leaves...)
	var tops []ocispec.Descriptor
	for i := range 50 {
		top := s.PutJSON(ocispec.MediaTypeImageIndex, ocispec.Index{
			Versioned: version2, MediaType: ocispec.MediaTypeImageIndex,
			Manifests: []ocispec.Descriptor{shared}, Annotations: map[string]string{"n": fmt.Sprint(i)},
		})
		tops = append(tops, top) // nameless: no image counts them
	}
	raw := pack(s.layoutOf("", tops...)...)
	lim := defaultLimits
	lim.link = 50 * 40
	if _, err := newReader(bytes.NewReader(raw), int64(len(raw)), "", lim); !errors.Is(err, ErrDamaged) {
		t.Errorf("got %v", err)
	}
	open(t, raw)
}

// TestPlanLimits: what a reader would refuse is not planned.
func TestPlanLimits(t *testing.T) {
	if testing.Short() || need.Race {
		t.Skip("plans many thousand names, one after the other")
	}
	s := newStore()
	m := s.Manifest(amd64)
	for i := range MaxNames + 1 {
		s.name(fmt.Sprintf("a.test/a:%d", i), m)
	}
	if _, err := NewPlan(s.images, s, PlanOptions{}); err == nil || !strings.Contains(err.Error(), "names") {
		t.Errorf("%d names: %v", len(s.images), err)
	}
	s.images = s.images[:MaxNames]
	p := s.plan(t, PlanOptions{})
	if len(p.Index()) > MaxMetadata {
		t.Errorf("index.json of %d bytes", len(p.Index()))
	}
	var layers []ocispec.Descriptor
	for i := range MaxDescriptors + 1 {
		layers = append(layers, ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayerGzip, Digest: digest.FromString(fmt.Sprint(i)), Size: 1})
	}
	s.images = nil
	s.name("a.test/a:1", s.Manifest(amd64, layers...))
	if _, err := NewPlan(s.images, s, PlanOptions{}); err == nil || !strings.Contains(err.Error(), "more than 4096 in layers") {
		t.Errorf("%d layers: %v", len(layers), err)
	}
}
