//go:build unix

package writer

import (
	"errors"
	"path/filepath"
	"testing"
)

func TestBusy(t *testing.T) {
	s := small()
	path := filepath.Join(t.TempDir(), "x.tar")
	early, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer early.Close()
	d := s.start(t, path)
	if _, err := Open(path); !errors.Is(err, ErrBusy) {
		t.Errorf("second file: %v", err)
	}
	if _, err := early.AddMetadata([]byte("{}")); !errors.Is(err, ErrBusy) {
		t.Errorf("file opened before the first: %v", err)
	}
	if err := errors.Join(s.fill(d, 1, 1000), d.Commit()); err != nil {
		t.Fatal(err)
	}
	if _, err := early.AddMetadata([]byte("{}")); err != nil {
		t.Errorf("after the other one finished: %v", err)
	}
}
