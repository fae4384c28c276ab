//go:build unix

package archive

import (
	"errors"
	"path/filepath"
	"testing"
)

func TestBusy(t *testing.T) {
	s := small()
	path := filepath.Join(t.TempDir(), "x.tar")
	early, err := OpenDraft(path)
	if err != nil {
		t.Fatal(err)
	}
	defer early.Close()
	d := s.begin(t, path, PlanOptions{})
	if _, err := OpenDraft(path); !errors.Is(err, ErrBusy) {
		t.Errorf("second draft: %v", err)
	}
	if _, err := early.AddDocument([]byte("{}")); !errors.Is(err, ErrBusy) {
		t.Errorf("draft opened before the first: %v", err)
	}
	if err := errors.Join(s.fill(d, 1, 1000), d.Commit()); err != nil {
		t.Fatal(err)
	}
	if _, err := early.AddDocument([]byte("{}")); err != nil {
		t.Errorf("after the other one finished: %v", err)
	}
}
