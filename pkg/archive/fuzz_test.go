package archive

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
)

// FuzzReader: whatever the bytes, opening them ends with a reader or with ErrDamaged. What
// verifies can be planned again, and every blob it names is inside the file.
func FuzzReader(f *testing.F) {
	s := small()
	p, err := NewPlan(s.images, s, PlanOptions{})
	if err != nil {
		f.Fatal(err)
	}
	var ours bytes.Buffer
	st, err := NewStream(&ours, p, s, StreamOptions{})
	if err != nil {
		f.Fatal(err)
	}
	if err := errors.Join(s.fillInOrder(st, 1, 1000), st.Commit()); err != nil {
		f.Fatal(err)
	}
	f.Add(ours.Bytes())
	one := newStore()
	m := one.manifest(amd64, one.layer(1, 3))
	f.Add(pack(one.layoutOf("./", annotated(m, byLayout, "docker.io/library/a:1"))...))
	f.Add(pack(one.layoutOf("", annotated(one.index(m), byContainerd, "docker.io/library/a:1"))...))
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
	if err := r.Verify(context.Background(), 1, nil); err != nil && !errors.Is(err, ErrDamaged) {
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

// FuzzJournal: whatever is in the journal, the draft opens, its documents are what their
// digests say, and what is added is there the next time.
func FuzzJournal(f *testing.F) {
	s := small()
	path := filepath.Join(f.TempDir(), "x.tar")
	d := s.begin(f, path, PlanOptions{})
	if err := s.fill(d, 1, 1000); err != nil {
		f.Fatal(err)
	}
	if err := d.journal.number(recordGeneration, 1); err != nil {
		f.Fatal(err)
	}
	if err := d.journal.blobMark(&d.plan.blobs[7], 5, make([]byte, 32)); err != nil {
		f.Fatal(err)
	}
	if err := d.journal.number(recordRetired, 0); err != nil {
		f.Fatal(err)
	}
	kill(d)
	raw, err := os.ReadFile(path + journalSuffix)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Add(raw[:len(raw)-7])
	f.Add([]byte(journalMagic))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, raw []byte) {
		path := filepath.Join(t.TempDir(), "x.tar")
		if err := os.WriteFile(path+journalSuffix, raw, 0o644); err != nil {
			t.Fatal(err)
		}
		d, err := OpenDraft(path)
		if err != nil {
			t.Fatal(err)
		}
		for dg := range d.journal.docs {
			if doc, err := d.Document(dg); err != nil || digest.FromBytes(doc) != dg {
				t.Fatalf("document %s: %v", dg, err)
			}
		}
		dg, err := d.AddDocument([]byte(`{"new":1}`))
		if err != nil {
			t.Fatal(err)
		}
		kill(d)
		if d, err = OpenDraft(path); err != nil {
			t.Fatal(err)
		}
		if _, err := d.Document(dg); err != nil {
			t.Fatal(err)
		}
		d.Close()
	})
}

// FuzzLayout spoils what stands behind the checksums: index.json and one document, whose
// digest and size replace DIGEST and 777 in the index.
func FuzzLayout(f *testing.F) {
	s := newStore()
	m := s.manifest(amd64, s.layer(1, 3))
	f.Add(`{"schemaVersion":2,"manifests":[{"digest":"DIGEST","size":777,"annotations":{"io.containerd.image.name":"docker.io/library/a:1"}}]}`, s.blobs[m.Digest])
	f.Add(`{"schemaVersion":2,"manifests":[{"digest":"DIGEST","size":777,"platform":{"os":"linux"},"annotations":{"org.opencontainers.image.ref.name":"docker.io/library/a@DIGEST"}}]}`, s.blobs[s.index(m).Digest])
	f.Add(`{"schemaVersion":2,"manifests":[{"digest":"DIGEST","size":777}],"annotations":{"dev.stowage.bundle.omitted":"DIGEST 777"}}`, s.blobs[s.artifact("a/b", m.Digest).Digest])
	f.Fuzz(func(t *testing.T, index string, doc []byte) {
		if len(doc) > MaxDocument || len(index) > MaxDocument/100 {
			return
		}
		s := &store{blobs: maps.Clone(s.blobs)}
		d := s.put("", doc)
		index = strings.ReplaceAll(strings.ReplaceAll(index, "DIGEST", d.Digest.String()), "777", strconv.FormatInt(d.Size, 10))
		items := s.layoutOf("")
		items[len(items)-1].data = index
		readAny(t, pack(items...))
	})
}
