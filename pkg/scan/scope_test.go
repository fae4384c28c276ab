package scan

import (
	"strings"
	"testing"
)

func TestPath(t *testing.T) {
	p := &path{up: &path{up: &path{key: "data"}, key: "a.yaml"}, inner: true}
	p = &path{up: &path{up: &path{up: p, key: "list"}, index: 2}, key: "image"}
	if got, want := p.String(), `data["a.yaml"] > list[2].image`; got != want {
		t.Errorf("path %s, want %s", got, want)
	}
	if got := (&path{up: &path{index: 0}, key: ""}).String(); got != "[0][0]" {
		t.Errorf("path %s", got)
	}
	if got := strings.Join(p.keys(), " "); got != "data a.yaml list image" {
		t.Errorf("keys %s", got)
	}
}

// TestScope goes down and checks that a scope above does not change.
func TestScope(t *testing.T) {
	top := scope{src: newText(chunk{data: []byte("x"), line: 1}), depth: 3}
	list := top.at("spec").at("containers")
	element := list.element(2)
	image := element.at("image")
	for _, tc := range []struct {
		name            string
		s               scope
		path, key, item string
		depth, level    int
	}{
		{"root", top, "", "", "", 3, 0},
		{"list", list, "spec.containers", "containers", "", 3, 0},
		{"element", element, "spec.containers[2]", "containers", "containers", 3, 0},
		{"value of an element", image, "spec.containers[2].image", "image", "", 3, 0},
		{"element of a list of lists", element.element(0), "spec.containers[2][0]", "containers", "containers", 3, 0},
		{"item of a List", image.top(), "", "", "", 3, 0},
		{"text", image.embedded(top.src), "spec.containers[2].image > ", "", "", 3, 1},
		{"key in a text", image.embedded(top.src).at("a.b"), `spec.containers[2].image > ["a.b"]`, "a.b", "", 3, 1},
		{"text in a text", image.embedded(top.src).at("x").embedded(top.src).at("y"), "spec.containers[2].image > x > y", "y", "", 3, 2},
	} {
		if tc.s.path.String() != tc.path || tc.s.key != tc.key || tc.s.item != tc.item || tc.s.depth != tc.depth || tc.s.level != tc.level {
			t.Errorf("%s: path %q, key %q, item %q, depth %d, level %d", tc.name, tc.s.path, tc.s.key, tc.s.item, tc.s.depth, tc.s.level)
		}
	}
}

// TestPathKeys writes keys that need quotes, and lines of texts.
func TestPathKeys(t *testing.T) {
	for key, want := range map[string]string{
		"a": "a", "a-b_c9": "a-b_c9", "a.b": `["a.b"]`, "a b": `["a b"]`, `a"b`: `["a\"b"]`, "é": `["é"]`,
	} {
		if got := (&path{key: key}).String(); got != want {
			t.Errorf("key %q is %s, want %s", key, got, want)
		}
	}
	p := &path{up: &path{up: &path{key: "data"}, inner: true}, line: 7}
	if got := p.String(); got != "data > line 7" {
		t.Errorf("line: %s", got)
	}
	if got := (*path)(nil).String(); got != "" {
		t.Errorf("root: %q", got)
	}
}
