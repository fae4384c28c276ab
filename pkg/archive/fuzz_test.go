package archive

import (
	"bytes"
	"errors"
	"strconv"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
)

// FuzzReader: whatever the bytes, opening them ends with a reader or with ErrDamaged. What
// verifies can be planned again, and every blob it names is inside the file.
func FuzzReader(f *testing.F) {
	s := small()
	f.Add(s.bundle(f, PlanOptions{}))
	one := newStore()
	m := one.Manifest(amd64, one.Layer(1, 3))
	f.Add(pack(one.layoutOf("./", annotated(m, byLayout, "docker.io/library/a:1"))...))
	f.Add(pack(one.layoutOf("", annotated(one.Index(m), byContainerd, "docker.io/library/a:1"))...))
	f.Add(pack(one.layoutOf("", m)...))
	f.Add(make([]byte, 1024))
	f.Fuzz(readAny)
}

// readAny holds what must be true of any bytes.
func readAny(t *testing.T, raw []byte) {
	r, err := NewReader(bytes.NewReader(raw), int64(len(raw)))
	if err != nil {
		if !errors.Is(err, ErrDamaged) {
			t.Fatalf("not ErrDamaged: %v", err)
		}
		return
	}
	for _, b := range r.Blobs() {
		if b.Offset < 0 || b.Size < 0 || b.Offset+b.Size > int64(len(raw)) {
			t.Fatalf("blob %+v of a file of %d bytes", b, len(raw))
		}
	}
	if _, err := r.Inspect(); err != nil {
		t.Fatal(err)
	}
	if err := r.Verify(t.Context(), 1, nil); err != nil && !errors.Is(err, ErrDamaged) {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, img := range r.Images() {
		if names[img.Name] {
			return // flat, of several platforms
		}
		names[img.Name] = true
	}
	omitted := map[digest.Digest]bool{}
	for _, d := range r.Omitted() {
		omitted[d.Digest] = true
	}
	opts := PlanOptions{Omit: func(d digest.Digest) bool { return omitted[d] }}
	if _, err := NewPlan(r.Images(), r, opts); err != nil {
		t.Fatalf("plan of what was read: %v", err)
	}
}

// FuzzLayout spoils what stands behind the checksums: index.json and one manifest, whose
// digest and size replace DIGEST and 777 in the index.
func FuzzLayout(f *testing.F) {
	s := newStore()
	m := s.Manifest(amd64, s.Layer(1, 3))
	f.Add(`{"schemaVersion":2,"manifests":[{"digest":"DIGEST","size":777,"annotations":{"io.containerd.image.name":"docker.io/library/a:1"}}]}`, s.Blobs[m.Digest])
	f.Add(`{"schemaVersion":2,"manifests":[{"digest":"DIGEST","size":777,"platform":{"os":"linux"},"annotations":{"org.opencontainers.image.ref.name":"docker.io/library/a@DIGEST"}}]}`, s.Blobs[s.Index(m).Digest])
	f.Add(`{"schemaVersion":2,"manifests":[{"digest":"DIGEST","size":777}],"annotations":{"dev.stowage.bundle.omitted":"DIGEST 777"}}`, s.Blobs[s.Artifact("a/b", m.Digest).Digest])
	f.Fuzz(func(t *testing.T, index string, doc []byte) {
		if len(doc) > MaxMetadata || len(index) > MaxMetadata/100 {
			return
		}
		s := &store{Store: s.Clone()}
		d := s.Put("", doc)
		index = strings.ReplaceAll(strings.ReplaceAll(index, "DIGEST", d.Digest.String()), "777", strconv.FormatInt(d.Size, 10))
		items := s.layoutOf("")
		items[len(items)-1].data = index
		readAny(t, pack(items...))
	})
}
