package imagedir

import (
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"stowage/pkg/archive"
	"stowage/pkg/node/internal/bundletest"
)

// TestPlaceRemovesWhatKilledRunsLeft: the copies of killed runs are removed, wherever they
// were staged; those of runs at work and all other files stay.
func TestPlaceRemovesWhatKilledRunsLeft(t *testing.T) {
	s := bundletest.New(t)
	file := s.File(archive.PlanOptions{}, bundletest.Wanted{Name: small(s)})
	known := directories(t, K3s)
	dir, parent := known[0].path, filepath.Dir(known[0].path)
	for _, path := range []string{
		filepath.Join(parent, ".stowage-1.partial"), filepath.Join(dir, ".stowage-2.partial"), // of killed runs
		filepath.Join(parent, ".stowage-3.partial"), // of a run at work
		filepath.Join(parent, "stowage-4.partial"), filepath.Join(dir, ".stowage-5"),
	} {
		must(t, os.WriteFile(path, []byte("cut"), 0o600))
	}
	must(t, os.WriteFile(filepath.Join(parent, ".stowage-6.partial"), nil, 0o600)) // just created
	old := filepath.Join(parent, ".stowage-7.partial")
	must(t, os.WriteFile(old, nil, 0o600))
	must(t, os.Chtimes(old, time.Now(), time.Now().Add(-time.Hour)))
	must(t, os.Symlink(file, filepath.Join(parent, ".stowage-8.partial")))
	lock, err := lockStaged(filepath.Join(parent, ".stowage-3.partial"))
	must(t, err)
	defer lock.Close()
	_, err = place(t.Context(), file, Options{}, known)
	must(t, err)
	want := []string{".stowage-5", "bundle.tar", ".stowage-3.partial", ".stowage-6.partial", ".stowage-8.partial", "stowage-4.partial"}
	if d := cmp.Diff(want, files(t, dir)); d != "" {
		t.Errorf("files (-want +got):\n%s", d)
	}
}

// TestPlaceHoldsItsLock: while a copy is checked, another run does not take it for one that
// was left.
func TestPlaceHoldsItsLock(t *testing.T) {
	s := bundletest.New(t)
	file := s.File(archive.PlanOptions{}, bundletest.Wanted{Name: small(s)})
	known := directories(t, K3s)
	var checked atomic.Bool
	_, err := place(t.Context(), file, Options{OnBytes: func(int64) {
		checked.Store(true)
		if err := removeStale(filepath.Dir(known[0].path)); err != nil {
			t.Error(err)
		}
	}}, known)
	if err != nil || !checked.Load() {
		t.Errorf("checked: %v, error: %v", checked.Load(), err)
	}
}
