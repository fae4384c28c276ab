package writer

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/opencontainers/go-digest"
)

// FuzzJournal: whatever is in the journal, the file opens, its manifests are what their
// digests say, and what is added is there the next time.
func FuzzJournal(f *testing.F) {
	s := small()
	path := filepath.Join(f.TempDir(), "x.tar")
	d := s.start(f, path)
	if err := s.fill(d, 1, 1000); err != nil {
		f.Fatal(err)
	}
	if err := d.journal.number(recordGeneration, 1); err != nil {
		f.Fatal(err)
	}
	if err := d.journal.blobCheckpoint(&d.plan.Blobs()[7], 5, make([]byte, 32)); err != nil {
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
		d, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		for dg := range d.journal.docs {
			if doc, err := d.Metadata(dg); err != nil || digest.FromBytes(doc) != dg {
				t.Fatalf("document %s: %v", dg, err)
			}
		}
		dg, err := d.AddMetadata([]byte(`{"new":1}`))
		if err != nil {
			t.Fatal(err)
		}
		kill(d)
		if d, err = Open(path); err != nil {
			t.Fatal(err)
		}
		if _, err := d.Metadata(dg); err != nil {
			t.Fatal(err)
		}
		d.Close()
	})
}
