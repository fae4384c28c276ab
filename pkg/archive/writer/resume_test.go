package writer

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stowage/pkg/archive"
)

// kill drops a file as a killed process would: descriptors are closed by the kernel,
// nothing is said to the journal.
func kill(d *File) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	if d.file != nil {
		d.file.Close()
	}
	if d.journal != nil {
		d.journal.f.Close()
	}
}

// finish completes a file and compares it with a bundle made in one go.
func (s *store) finish(t testing.TB, d *File, path string) {
	t.Helper()
	if err := errors.Join(s.fill(d, 2, 1<<20), d.Commit()); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if want := s.bundle(t); !bytes.Equal(got, want) {
		t.Error("other bytes than those of a bundle made at once")
	}
	if left, _ := filepath.Glob(path + ".*"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// offsetOf returns where a blob begins in the file.
func offsetOf(t *testing.T, d *File, dg digest.Digest) int64 {
	t.Helper()
	i, err := d.plan.Find(dg)
	if err != nil {
		t.Fatal(err)
	}
	return d.plan.Blobs()[i].Offset
}

// resumed opens a file that must hold all manifests already.
func (s *store) resumed(t testing.TB, path string) *File {
	t.Helper()
	d, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	p, err := archive.NewPlan(s.images, d, archive.PlanOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Start(t.Context(), p, nil); err != nil {
		t.Fatal(err)
	}
	return d
}

// TestKilledAfterEachBlob kills after one blob more each time.
func TestKilledAfterEachBlob(t *testing.T) {
	s := small()
	path := filepath.Join(t.TempDir(), "x.tar")
	d := s.start(t, path)
	for n := len(d.Missing()); n > 0; n-- {
		if got := len(d.Missing()); got != n {
			t.Fatalf("%d blobs are missing, want %d", got, n)
		}
		if err := s.write(d, d.Missing()[0].Digest, 100); err != nil {
			t.Fatal(err)
		}
		kill(d)
		d = s.resumed(t, path)
	}
	s.finish(t, d, path)
}

// TestKilledInsideBlob: what is lost is less than the distance of two checkpoints; after Close nothing.
func TestKilledInsideBlob(t *testing.T) {
	const size = 3*checkpointEvery + 1000
	s, dg := big(size)
	for _, tc := range []struct {
		name  string
		wrote int
		end   func(*File)
		want  int64
	}{
		{"nothing", 0, kill, 0},
		{"before the first checkpoint", checkpointEvery - 1, kill, 0},
		{"at the first checkpoint", checkpointEvery, kill, checkpointEvery},
		{"after it", checkpointEvery + 1, kill, checkpointEvery},
		{"complete but not committed", size, kill, 3 * checkpointEvery},
		{"closed", checkpointEvery + 5, func(d *File) { d.Close() }, checkpointEvery + 5},
		{"complete and closed", size, func(d *File) { d.Close() }, size},
	} {
		t.Run(tc.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "x.tar")
			d := s.start(t, path)
			w, err := d.Blob(dg)
			if err != nil {
				t.Fatal(err)
			}
			for off := 0; off < tc.wrote; off += 300_000 {
				if _, err := w.WriteAt(s.Blobs[dg][off:min(off+300_000, tc.wrote)], int64(off)); err != nil {
					t.Fatal(err)
				}
			}
			tc.end(d)
			d = s.resumed(t, path)
			if w, err = d.Blob(dg); err != nil {
				t.Fatal(err)
			}
			for _, b := range d.Missing() {
				want := b.Size
				if b.Digest == dg {
					want -= tc.want
				}
				if got := d.Lacks(b.Digest); got != want {
					t.Errorf("%s lacks %d bytes, want %d", b.Digest, got, want)
				}
			}
			if w.Prefix() != tc.want || d.Resumed() != tc.want {
				t.Errorf("prefix %d, resumed %d, want %d", w.Prefix(), d.Resumed(), tc.want)
			}
			w.Close()
			s.finish(t, d, path)
		})
	}
}

// ahead writes three ranges of a blob in turns, as a pull with ranges does: the first
// lags behind, the others go on to their ends.
func ahead(t *testing.T, s *store, d *File, dg digest.Digest) {
	t.Helper()
	w, err := d.Blob(dg)
	if err != nil {
		t.Fatal(err)
	}
	raw := s.Blobs[dg]
	third := len(raw) / 3
	for off := 0; off < third; off += 100_000 {
		for i, upto := range []int{1000, third, third} {
			start, end := i*third+off, i*third+min(off+100_000, upto)
			if start < end {
				if _, err := w.WriteAt(raw[start:end], int64(start)); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}

// TestAheadRanges: ranges that came ahead survive a kill, in place and when the blob moves;
// what the disk lost of them is asked for again.
func TestAheadRanges(t *testing.T) {
	const size = 3 * (2*checkpointEvery + 500_000)
	const third = size / 3
	s, dg := big(size)
	marked := int64(2 * checkpointEvery / 100_000 * 100_000) // ranges ahead are noted once a piece passes a checkpoint
	for _, tc := range []struct {
		name  string
		end   func(*File)
		spoil int64 // byte of the blob, or 0
		move  bool
		want  []span
	}{
		{"closed", func(d *File) { d.Close() }, 0, false, []span{{1000, third}}},
		{"closed and moved", func(d *File) { d.Close() }, 0, true, []span{{1000, third}}},
		{"spoilt", func(d *File) { d.Close() }, third + 5, false, []span{{1000, 2 * third}}},
		{"spoilt and moved", func(d *File) { d.Close() }, 2*third + 5, true, []span{{1000, third}, {2 * third, size}}},
		{"start spoilt", func(d *File) { d.Close() }, 5, false, []span{{0, third}}},
		{"killed", kill, 0, false, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := &store{Store: s.Clone(), images: s.images}
			path := filepath.Join(t.TempDir(), "x.tar")
			d := s.start(t, path)
			ahead(t, s, d, dg)
			if tc.spoil > 0 {
				at := offsetOf(t, d, dg) + tc.spoil
				if _, err := d.file.WriteAt([]byte{^s.Blobs[dg][tc.spoil]}, at); err != nil {
					t.Fatal(err)
				}
			}
			tc.end(d)
			if tc.move {
				s.name("a.test/a:1", s.Manifest(amd64, s.Layer(60, 2000)))
			}
			for range 2 { // the second time from what the first one wrote down
				d = s.start(t, path)
				w, err := d.Blob(dg)
				if err != nil {
					t.Fatal(err)
				}
				gaps := missing(w)
				if tc.want != nil && !slices.Equal(gaps, tc.want) {
					t.Errorf("gaps %v, want %v", gaps, tc.want)
				}
				if lost := gaps[0].end - gaps[0].start; tc.want == nil && (len(gaps) != 3 || lost != third || gaps[1].end-gaps[1].start > third-marked+200_000) {
					t.Errorf("gaps %v after a kill", gaps)
				}
				kill(d)
			}
			s.finish(t, s.start(t, path), path)
		})
	}
}

// TestJournalCut cuts the journal at every length, and spoils every byte of its end.
func TestJournalCut(t *testing.T) {
	s := small()
	path := filepath.Join(t.TempDir(), "x.tar")
	d := s.start(t, path)
	first := d.Missing()[0].Digest
	if err := s.write(d, first, 100); err != nil {
		t.Fatal(err)
	}
	before := d.journal.end
	if err := s.write(d, d.Missing()[0].Digest, 100); err != nil {
		t.Fatal(err)
	}
	end := d.journal.end
	kill(d)
	whole, err := os.ReadFile(path + journalSuffix)
	if err != nil {
		t.Fatal(err)
	}
	missing := len(d.Missing())
	for n := before; n < end; n++ {
		for _, raw := range [][]byte{whole[:n], append(append(whole[:n:n], whole[n]^0x40), whole[n+1:]...)} {
			if err := os.WriteFile(path+journalSuffix, raw, 0o644); err != nil {
				t.Fatal(err)
			}
			d := s.resumed(t, path)
			if got := len(d.Missing()); got != missing+1 {
				t.Fatalf("cut at %d: %d missing, want %d", n, got, missing+1)
			}
			if got := d.journal.end; got != before {
				t.Fatalf("cut at %d: journal ends at %d, want %d", n, got, before)
			}
			kill(d)
		}
	}
	// Cuts inside manifests lose those, and the rest is asked for again.
	for n := int64(0); n < before; n += 97 {
		if err := os.WriteFile(path+journalSuffix, whole[:n], 0o644); err != nil {
			t.Fatal(err)
		}
		kill(s.start(t, path))
	}
	s.finish(t, s.start(t, path), path)
}

// TestRecordsAreVerified spoils the data behind the journal's back.
func TestRecordsAreVerified(t *testing.T) {
	s := small()
	path := filepath.Join(t.TempDir(), "x.tar")
	d := s.start(t, path)
	b := d.Missing()[4]
	if err := s.fill(d, 1, 1000); err != nil {
		t.Fatal(err)
	}
	kill(d)
	f, err := os.OpenFile(path+partialSuffix, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte{^s.Blobs[b.Digest][7]}, b.Offset+7); err != nil {
		t.Fatal(err)
	}
	d = s.resumed(t, path)
	if m := d.Missing(); len(m) != 1 || m[0].Digest != b.Digest {
		t.Errorf("missing %v, want %s", m, b.Digest)
	}
	s.finish(t, d, path)
}

// TestCheckpointsAreVerified: of several checkpoints the last one that matches counts.
func TestCheckpointsAreVerified(t *testing.T) {
	const size = 3*checkpointEvery + 1000
	s, dg := big(size)
	for _, tc := range []struct {
		name  string
		spoil int64 // offset in the blob
		want  int64
	}{
		{"start", 0, 0},
		{"before the second checkpoint", 2*checkpointEvery - 1, checkpointEvery},
		{"after the last checkpoint", 3 * checkpointEvery, 3 * checkpointEvery},
	} {
		t.Run(tc.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "x.tar")
			d := s.start(t, path)
			w, err := d.Blob(dg)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := w.WriteAt(s.Blobs[dg], 0); err != nil {
				t.Fatal(err)
			}
			at := offsetOf(t, d, dg) + tc.spoil
			if _, err := d.file.WriteAt([]byte{^s.Blobs[dg][tc.spoil]}, at); err != nil {
				t.Fatal(err)
			}
			kill(d)
			d = s.resumed(t, path)
			if w, err = d.Blob(dg); err != nil {
				t.Fatal(err)
			}
			if w.Prefix() != tc.want {
				t.Errorf("prefix %d, want %d", w.Prefix(), tc.want)
			}
			w.Close()
			s.finish(t, d, path)
		})
	}
}

// TestCarriedOver: more and other images move every blob; none is asked for again.
func TestCarriedOver(t *testing.T) {
	s := small()
	path := filepath.Join(t.TempDir(), "x.tar")
	d := s.start(t, path)
	if err := s.fill(d, 1, 1000); err != nil {
		t.Fatal(err)
	}
	kill(d)
	s.name("a.test/first:1", s.Manifest(amd64, s.Layer(50, 5000), s.Layer(3, 700)))
	s.images = append(s.images[:2:2], s.images[3:]...) // "single" went
	d = s.start(t, path)
	for _, b := range d.Missing() {
		if b.Size != 5000 && b.MediaType != ocispec.MediaTypeImageConfig && b.Size != 700 {
			t.Errorf("%s of %d bytes was not carried over", b.Digest, b.Size)
		}
	}
	s.finish(t, d, path)
}

// TestCarriedOverPrefix moves a blob that is half there, twice, with a kill right after
// each move, and once without the rename that the journal promised.
func TestCarriedOverPrefix(t *testing.T) {
	const size = 2*checkpointEvery + 1000
	s, dg := big(size)
	path := filepath.Join(t.TempDir(), "x.tar")
	d := s.start(t, path)
	w, err := d.Blob(dg)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.WriteAt(s.Blobs[dg][:checkpointEvery+10], 0); err != nil {
		t.Fatal(err)
	}
	kill(d)
	for i, name := range []string{"a.test/a:1", "a.test/b:1", "a.test/c:1"} {
		s.name(name, s.Manifest(amd64, s.Layer(uint64(60+i), 2000+i)))
		if i == 1 {
			j, err := Open(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := j.journal.number(recordGeneration, j.records.generation+1); err != nil {
				t.Fatal(err)
			}
			kill(j)
		}
		d = s.start(t, path)
		w, err := d.Blob(dg)
		if err != nil {
			t.Fatal(err)
		}
		if w.Prefix() != checkpointEvery {
			t.Errorf("move %d: prefix %d, want %d", i, w.Prefix(), checkpointEvery)
		}
		if i < 2 {
			kill(d)
		} else {
			w.Close()
		}
	}
	s.finish(t, d, path)
}

// TestCarryInterrupted ends Begin in the midst of a move; both data files count then.
func TestCarryInterrupted(t *testing.T) {
	s := newStore()
	var layers []ocispec.Descriptor
	for i := range 20 {
		layers = append(layers, s.Layer(uint64(i), 300_000))
	}
	s.name("b.test/b:1", s.Manifest(amd64, layers...))
	path := filepath.Join(t.TempDir(), "x.tar")
	d := s.start(t, path)
	if err := s.fill(d, 2, 1<<20); err != nil {
		t.Fatal(err)
	}
	kill(d)
	for i := range 3 {
		s.name("a.test/a:"+string(rune('1'+i)), s.Manifest(amd64, s.Layer(uint64(100+i), 5000)))
		d, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		for dg, raw := range s.Blobs {
			if len(raw) < 5000 {
				if _, err := d.AddMetadata(raw); err != nil {
					t.Fatal(dg, err)
				}
			}
		}
		p, err := archive.NewPlan(s.images, d, archive.PlanOptions{})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var moved atomic.Int64
		err = d.Start(ctx, p, func(n int64) {
			if moved.Add(n) > 1_500_000 {
				cancel() // some blobs have moved by now, most have not
			}
		})
		if !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		kill(d)
	}
	if files, _ := filepath.Glob(path + partialSuffix + ".[0-9]*"); len(files) < 2 {
		t.Errorf("no data files put aside: %v", files)
	}
	d = s.start(t, path)
	for _, b := range d.Missing() {
		if b.Size == 300_000 {
			t.Errorf("%s got lost on the way", b.Digest)
		}
	}
	s.finish(t, d, path)
}

// TestMetadataSurvives: a resume asks for no manifest again.
func TestMetadataSurvives(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.tar")
	d, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	doc := []byte(`{"schemaVersion":2}`)
	dg, err := d.AddMetadata(doc)
	if err != nil || dg != digest.FromBytes(doc) {
		t.Fatal(dg, err)
	}
	end := d.journal.end
	if _, err := d.AddMetadata(doc); err != nil || d.journal.end != end {
		t.Errorf("a document was written twice: %v", err)
	}
	if _, err := d.AddMetadata(make([]byte, archive.MaxMetadata+1)); err == nil {
		t.Error("a document over the limit was taken")
	}
	kill(d)
	if d, err = Open(path); err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	got, err := d.Metadata(dg)
	if err != nil || !bytes.Equal(got, doc) {
		t.Errorf("got %q, %v", got, err)
	}
}

// TestJournalOfAnotherKind: a file of that name that is not a journal is refused and stays
// as it is. The torn start of a journal is one.
func TestJournalOfAnotherKind(t *testing.T) {
	s := small()
	path := filepath.Join(t.TempDir(), "x.tar")
	const other = "something else entirely"
	if err := os.WriteFile(path+journalSuffix, []byte(other), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path); err == nil || !strings.Contains(err.Error(), "is not a journal of an unfinished bundle") {
		t.Errorf("Open returned %v", err)
	}
	if got, err := os.ReadFile(path + journalSuffix); err != nil || string(got) != other {
		t.Errorf("the file was changed: %q, %v", got, err)
	}
	if err := os.WriteFile(path+journalSuffix, []byte(journalMagic[:5]), 0o644); err != nil {
		t.Fatal(err)
	}
	s.finish(t, s.start(t, path), path)
}

// TestOutputKeepsMode: a bundle that replaces a private file is as private.
func TestOutputKeepsMode(t *testing.T) {
	s := small()
	path := filepath.Join(t.TempDir(), "x.tar")
	for _, mode := range []os.FileMode{0o600, 0o640} {
		if err := errors.Join(os.WriteFile(path, nil, 0o600), os.Chmod(path, mode)); err != nil {
			t.Fatal(err)
		}
		s.finish(t, s.start(t, path), path)
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != mode {
			t.Errorf("mode %v, %v, want %v", info.Mode(), err, mode)
		}
	}
}
