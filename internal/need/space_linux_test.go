package need_test

import (
	"math"
	"strings"
	"testing"

	"stowage/internal/need"
)

func TestSpace(t *testing.T) {
	t.Setenv("CI", "")
	dir := t.TempDir()
	for _, row := range []struct {
		name, dir string
		bytes     int64
		want      string // prefix
	}{
		{"enough", dir, 1, ""},
		{"too little", dir, math.MaxInt64, "skipped: disk space is missing: " + dir + " has "},
		{"no directory", dir + "/none", 1, "failed: free space of " + dir + "/none: "},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := &recorder{}
			need.Space(r, row.dir, row.bytes)
			if !strings.HasPrefix(r.end, row.want) || (row.want == "") != (r.end == "") {
				t.Errorf("got %q, want %q", r.end, row.want)
			}
		})
	}
}
