//go:build unix

package writer

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"stowage/pkg/archive"
)

const (
	killedPath  = "STOWAGE_TEST_KILLED_PATH"
	killedMoved = "STOWAGE_TEST_KILLED_MOVED"
	killedChunk = 128 << 10
)

// killed is the bundle of these tests. moved adds an image in front of it, as when the
// command is run again with one more manifest: every blob has another place then.
func killed(moved bool) *store {
	s := newStore()
	for i, size := range []int{checkpointEvery + 1000, 1 << 20, 2*checkpointEvery + 5, 100_000} {
		s.name("b.test/b:"+string(rune('a'+i)), s.Manifest(amd64, s.Layer(uint64(i), size)))
	}
	if moved {
		s.name("a.test/a:1", s.Manifest(amd64, s.Layer(99, 700_000)))
	}
	return s
}

// TestKilledChild is what the next test kills. It says "w" for each piece of a blob that it
// writes and "." for all else.
func TestKilledChild(t *testing.T) {
	path := os.Getenv(killedPath)
	if path == "" {
		t.Skip("part of TestKilledAnywhere")
	}
	say := func(what string) {
		if _, err := io.WriteString(os.Stdout, what); err != nil {
			os.Exit(3) // the parent is gone
		}
	}
	s := killed(os.Getenv(killedMoved) != "")
	d, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	say(".")
	for _, raw := range s.Blobs {
		if len(raw) < 5000 {
			if _, err := d.AddMetadata(raw); err != nil {
				t.Fatal(err)
			}
			say(".")
		}
	}
	p, err := archive.NewPlan(s.images, d, archive.PlanOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Start(context.Background(), p, func(int64) { say(".") }); err != nil {
		t.Fatal(err)
	}
	loud := &loudFile{File: d, say: say}
	if err := errors.Join(loud.fill(s), d.CommitAs(context.Background(), archive.CompressionOf(path), func(int64) { say(".") })); err != nil {
		t.Fatal(err)
	}
	say("!")
}

// loudFile fills a file as ranges do, from both ends of each blob.
type loudFile struct {
	*File
	say func(string)
}

func (l *loudFile) fill(s *store) error {
	for _, b := range l.Missing() {
		w, err := l.Blob(b.Digest)
		if err != nil {
			return err
		}
		for gaps := missing(w); len(gaps) > 0; gaps = missing(w) {
			first, last := gaps[0], gaps[len(gaps)-1]
			last.start = max(last.start, last.end/2/killedChunk*killedChunk)
			for _, h := range []span{first, last} {
				h.end = min(h.end, h.start+killedChunk)
				if _, err := w.WriteAt(s.Blobs[b.Digest][h.start:h.end], h.start); err != nil {
					return err
				}
				l.say("w")
			}
		}
		if err := errors.Join(w.Commit(), w.Close()); err != nil {
			return err
		}
	}
	return nil
}

// TestKilledAnywhere kills a real process, with a signal that cannot be caught, fifty times
// wherever it happens to be. The file is never there in part, little is written twice, and
// it ends in the same bytes.
func TestKilledAnywhere(t *testing.T) {
	if testing.Short() {
		t.Skip("runs a child fifty times")
	}
	exe, err := os.Executable()
	if err != nil {
		t.Skip(err)
	}
	for _, tc := range []struct {
		file   string
		rounds int
	}{{"x.tar", 34}, {"x.tar.zst", 16}} {
		t.Run(tc.file, func(t *testing.T) {
			k := &killer{exe: exe, path: filepath.Join(fastDir(t), tc.file), rnd: rand.New(rand.NewPCG(1, 2))}
			for i, moved := range []bool{false, true} {
				s := killed(moved)
				path := filepath.Join(fastDir(t), tc.file)
				d := s.start(t, path)
				if err := errors.Join(s.fill(d, 2, 1<<20), d.CommitAs(t.Context(), archive.CompressionOf(path), nil)); err != nil {
					t.Fatal(err)
				}
				k.want[i] = fileDigest(t, path)
				k.size = max(k.size, int(d.plan.Size()))
			}
			for range tc.rounds {
				k.round(t, 1+k.rnd.IntN(140))
			}
			for k.finished == 0 || !k.done {
				k.round(t, 1<<30)
			}
			t.Logf("killed %d times, finished %d times", k.kills, k.finished)
		})
	}
}

// fastDir returns a directory in memory if there is one: a kill leaves the same files
// there, and no round waits for a disk.
func fastDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "stowage-test-*")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// killer runs the child.
type killer struct {
	exe, path string
	rnd       *rand.Rand
	want      [2]digest.Digest
	size      int
	moved     int  // which of the two bundles is wanted
	done      bool // the last round was not killed

	kills, finished int
	written, since  int // pieces, and kills, since the last finished file
}

// round runs the child and kills it after a number of its words.
func (k *killer) round(t *testing.T, words int) {
	t.Helper()
	cmd := exec.Command(k.exe, "-test.run=^TestKilledChild$")
	cmd.Env = append(os.Environ(), killedPath+"="+k.path, killedMoved+"="+strings.Repeat("1", k.moved))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	said, err := io.ReadAll(io.LimitReader(out, int64(words)))
	if err != nil {
		t.Error(err)
	}
	cmd.Process.Kill()
	rest, _ := io.ReadAll(out) // what it said before it died
	cmd.Wait()
	all := string(said) + string(rest)
	k.written += strings.Count(all, "w")
	k.done = strings.Contains(all, "!")
	if cmd.ProcessState.ExitCode() > 0 {
		t.Fatalf("the child failed: %s", all)
	}
	if _, err := os.Stat(k.path); err == nil {
		k.finish(t)
		return
	}
	if k.done {
		t.Fatal("the child finished and there is no file")
	}
	k.kills++
	k.since++
	if k.rnd.IntN(4) == 0 {
		k.moved = 1 - k.moved
	}
}

// finish checks the file, which may be there although its maker was killed.
func (k *killer) finish(t *testing.T) {
	t.Helper()
	k.finished++
	if got := fileDigest(t, k.path); got != k.want[k.moved] {
		t.Fatalf("after %d kills: %s, want %s", k.since, got, k.want[k.moved])
	}
	// Two ranges of a blob, each up to the distance of two checkpoints, are lost with a kill.
	if most := k.size/killedChunk + 20 + (k.since+1)*(2*checkpointEvery/killedChunk+1); k.written > most {
		t.Errorf("%d pieces written with %d kills, want at most %d", k.written, k.since, most)
	}
	left, _ := filepath.Glob(k.path + ".*")
	if k.done && len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	for _, name := range append(left, k.path) {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	k.written, k.since = 0, 0
}
