package system

import "testing"

func TestNearest(t *testing.T) {
	dir := t.TempDir()
	for path, want := range map[string]string{dir: dir, dir + "/a": dir, dir + "/a/b/c": dir, "/": "/", "none": "."} {
		if got := Nearest(path); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
}
