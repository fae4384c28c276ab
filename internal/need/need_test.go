package need_test

import (
	"errors"
	"fmt"
	"os"
	"testing"

	"stowage/internal/need"
)

// recorder is a testing.TB that records how the test was ended.
type recorder struct {
	testing.TB
	end string
}

func (r *recorder) Helper() {}

func (r *recorder) Fatal(args ...any) { r.note("failed: " + fmt.Sprint(args...)) }

func (r *recorder) Fatalf(format string, args ...any) { r.Fatal(fmt.Sprintf(format, args...)) }

func (r *recorder) Skip(args ...any) { r.note("skipped: " + fmt.Sprint(args...)) }

// note keeps the first call: a real one would have ended the goroutine.
func (r *recorder) note(text string) {
	if r.end == "" {
		r.end = text
	}
}

func TestPart(t *testing.T) {
	notFound := errors.New("no such file")
	for _, row := range []struct {
		name, ci string
		err      error
		want     string
	}{
		{"found", "", nil, ""},
		{"found on a build machine", "true", nil, ""},
		{"missing", "", notFound, "skipped: skopeo is missing: no such file"},
		{"missing on a build machine", "true", notFound, "failed: skopeo is missing: no such file"},
		{"CI has another value", "false", notFound, "skipped: skopeo is missing: no such file"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Setenv("CI", row.ci)
			r := &recorder{}
			need.Part(r, "skopeo", row.err)
			if r.end != row.want {
				t.Errorf("got %q, want %q", r.end, row.want)
			}
		})
	}
}

func TestRoot(t *testing.T) {
	t.Setenv("CI", "")
	r := &recorder{}
	need.Root(r, "mount a file system")
	want := "skipped: not running as root, which is needed to mount a file system"
	if os.Geteuid() == 0 {
		want = ""
	}
	if r.end != want {
		t.Errorf("got %q, want %q", r.end, want)
	}
}
