package manual

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSteps(t *testing.T) {
	for _, row := range []struct {
		name   string
		blocks []block
		want   []step
	}{
		{"lines", []block{{line: 3, kind: commands, text: "a # text\n\n# comment\nb  # exit 3\n"}},
			[]step{{line: 3, text: "a # text\n"}, {line: 6, text: "b  # exit 3\n", exit: 3}}},
		{"several lines", []block{{line: 1, kind: commands, text: "cat > x <<EOF\na b\nEOF\nfor i in 1; do\n  a \\\n    b\ndone\n"}},
			[]step{{line: 1, text: "cat > x <<EOF\na b\nEOF\n"}, {line: 4, text: "for i in 1; do\n  a \\\n    b\ndone\n"}}},
		{"output", []block{{line: 1, kind: commands, text: "a\nb\n"}, {line: 4, kind: output, text: "x\n\ny\n"}},
			[]step{{line: 1, text: "a\n"}, {line: 2, text: "b\n", want: []string{"x", "y"}}}},
		{"session", []block{{line: 1, kind: commands, text: "$ a\nx\n$ b\n"}},
			[]step{{line: 1, text: "a\n", want: []string{"x"}}, {line: 3, text: "b\n"}}},
		{"server", []block{{line: 2, kind: serves, text: "a # text\n", port: "80"}}, []step{{line: 2, text: "a # text\n", port: "80"}}},
		{"not run", []block{{line: 1, kind: setup, text: "a\n"}, {line: 3, kind: illustration, text: "b\n"}, {line: 5, kind: other, text: "c\n"}}, []step{{line: 1, text: "a\n"}}},
	} {
		t.Run(row.name, func(t *testing.T) {
			got, err := steps(row.blocks)
			if err != nil {
				t.Fatal(err)
			}
			for i := range got {
				got[i].from = 0
			}
			if diff := cmp.Diff(row.want, got, cmp.AllowUnexported(step{})); diff != "" {
				t.Error(diff)
			}
		})
	}
	for _, text := range []string{"for i in 1; do\n", "cat <<EOF\na\n", "a 'b\n"} {
		if got, err := steps([]block{{line: 1, kind: commands, text: text}}); err == nil {
			t.Errorf("%q: %v, want an error", text, got)
		}
	}
}

func TestAbsent(t *testing.T) {
	const got = `bundle: wrote x.tar: 3 images, 649.9 MB, 6 pulls used, identity sha256:0123456789abcdef
IMAGE   STATUS
a       loaded
took 1.5s`
	for _, row := range []struct{ name, want, absent string }{
		{"all", got, ""},
		{"other sizes and digests", "bundle: wrote x.tar: 3 images, 1 KiB, 6 pulls used, identity sha256:ffff…\ntook 2m3s", ""},
		{"spaces", "IMAGE STATUS", ""},
		{"any text", "bundle: … 6 pulls…\n…\na loaded", ""},
		{"another number", "bundle: … 5 pulls…", "bundle: … 5 pulls…"},
		{"order", "a loaded\nIMAGE STATUS", "IMAGE STATUS"},
		{"part", "loaded", "loaded"},
	} {
		t.Run(row.name, func(t *testing.T) {
			if line, _ := absent(strings.Split(row.want, "\n"), got); line != row.absent {
				t.Errorf("absent: %q, want %q", line, row.absent)
			}
		})
	}
}
