package main

import (
	"errors"
	"strings"
	"testing"
	"time"

	"stowage/cmd/internal/cli"
	"stowage/pkg/bundle"
	"stowage/pkg/pull"
)

// TestOnce: the answer at a pull limit is printed once for all images, and the code and the
// faults are those of each.
func TestOnce(t *testing.T) {
	var errs []error
	for _, name := range []string{"h/a:1", "h/b:1", "h/c:1"} {
		errs = append(errs, &bundle.ImageError{Name: name, Err: &pull.RateLimitError{Host: "h", Name: name}})
	}
	missing := &bundle.ImageError{Name: "h/d:1", Err: &pull.NotFoundError{Host: "h", Name: "h/d:1", Status: 404}}
	err := outcome(errors.Join(errs[0], missing, errs[1], errs[2]))
	lines := cli.Lines(err)
	if err.Code != cli.RateLimited || len(lines) != 2 || !strings.HasPrefix(lines[0], "3 images: registry h ") ||
		!strings.HasSuffix(lines[0], "; not fetched: h/a:1, h/b:1, h/c:1") || lines[1] != missing.Error() {
		t.Errorf("got code %d, %q", err.Code, lines)
	}
	if n := len(faults(err)); n != 4 {
		t.Errorf("%d faults", n)
	}
	one := errors.Join(errs[0], missing)
	if got := cli.Lines(outcome(one)); len(got) != 2 || got[0] != errs[0].Error() {
		t.Errorf("got %q", got)
	}
}

func TestHours(t *testing.T) {
	for d, want := range map[time.Duration]string{6 * time.Hour: "6h", 90 * time.Minute: "1h30m", time.Minute: "1m", 10 * time.Second: "10s", 20 * time.Hour: "20h"} {
		if got := hours(d); got != want {
			t.Errorf("%v: got %s, want %s", d, got, want)
		}
	}
}
