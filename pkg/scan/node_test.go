package scan

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

// parse returns the root of a YAML text, and a budget with the default limits.
func parse(t *testing.T, src string) (*yaml.Node, *budget) {
	t.Helper()
	var n yaml.Node
	if err := yaml.Unmarshal([]byte(src), &n); err != nil {
		t.Fatalf("%s: %v", src, err)
	}
	return n.Content[0], &budget{limits: (&Options{}).limits()}
}

// TestFields lists the entries of mappings: merged ones last, and the last of two.
func TestFields(t *testing.T) {
	for _, tc := range []struct {
		name, src, want string
		repeated        bool
	}{
		{"plain", "{a: 1, b: 2}", "a=1 b=2", false},
		{"empty", "{}", "", false},
		{"written twice", "{a: 1, b: 2, a: 3}", "a=3 b=2", true},
		{"alias as a value", "{a: &x 1, b: *x}", "a=1 b=1", false},
		{"alias as a key", "{a: &x k, *x : 2}", "a=k k=2", false},
		{"key that is a list", "{[a]: 1, b: 2}", "b=2", false},
		{"merge", "{x: &m {a: 1, b: 2}, <<: *m}", "x= a=1 b=2", false},
		{"own entry first", "{x: &m {a: 1}, <<: *m, a: 2}", "x= a=2", false},
		{"merge of a list", "{x: &m {a: 1}, y: &n {a: 2, b: 3}, <<: [*m, *n]}", "x= y= a=1 b=3", false},
		{"two merges", "{x: &m {a: 1}, y: &n {b: 3}, <<: *m, <<: *n}", "x= y= a=1 b=3", false},
		{"merge of a merge", "{x: &m {a: 1}, y: &n {<<: *m, b: 2}, <<: *n}", "x= y= b=2 a=1", false},
		{"merge of a scalar", "{<<: 42, a: 1}", "a=1", false},
		{"repetition in a merged mapping", "{x: &m {a: 1, a: 2}, <<: *m}", "x= a=2", true},
		{"quoted merge key", "{\"<<\": {a: 1}}", "<<=", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			n, b := parse(t, tc.src)
			f, repeated := b.fields(n, 0)
			var got []string
			for _, p := range f {
				got = append(got, p.key+"="+p.value.Value)
			}
			if strings.Join(got, " ") != tc.want || repeated != tc.repeated || b.exceeded != "" {
				t.Errorf("%s: got %v, repeated %v, %s", tc.src, got, repeated, b.exceeded)
			}
		})
	}
}

// TestManyFields finds keys of mappings below and above the size where a table is used.
func TestManyFields(t *testing.T) {
	for _, size := range []int{1, 15, 16, 17, 18, 200} {
		var src strings.Builder
		for i := range size {
			fmt.Fprintf(&src, "k%d: %d\n", i, i)
		}
		src.WriteString("k0: again\nlast: x\n")
		n, b := parse(t, "{"+strings.ReplaceAll(src.String(), "\n", ", ")+"}")
		f, repeated := b.fields(n, 0)
		if len(f) != size+1 || !repeated || f.text("k0") != "again" || f.text("last") != "x" || f.get("none") != nil {
			t.Errorf("%d keys: %d fields, repeated %v, %v", size, len(f), repeated, f.get("k0"))
		}
		keys := repeatedKeys(n)
		if len(keys) != 1 || keys[0].Value != "k0" {
			t.Errorf("%d keys: %d are repeated", size, len(keys))
		}
	}
}

// TestBudget goes to each limit and one beyond.
func TestBudget(t *testing.T) {
	b := &budget{limits: limits{depth: 2, nodes: 3, findings: 1}}
	if !b.visit(1) || !b.visit(2) || !b.visit(0) || b.exceeded != "" {
		t.Errorf("within the limits: %q after %d visits", b.exceeded, b.visits)
	}
	if b.visit(0) || b.exceeded != LimitNodes {
		t.Errorf("one node too many: %q", b.exceeded)
	}
	b = &budget{limits: limits{depth: 2, nodes: 3, findings: 1}}
	if b.visit(3) || b.exceeded != LimitDepth || b.visit(1) {
		t.Errorf("too deep: %q", b.exceeded)
	}
	b = &budget{limits: limits{depth: 2, nodes: 3, findings: 1}}
	b.finding()
	if b.exceeded != "" {
		t.Errorf("one finding: %q", b.exceeded)
	}
	b.finding()
	if b.exceeded != LimitFindings || b.visit(0) {
		t.Errorf("two findings: %q", b.exceeded)
	}
	b.exceeded = LimitDepth
	b.finding()
	if b.exceeded != LimitDepth {
		t.Errorf("a later limit hides the first: %q", b.exceeded)
	}
}

// TestNamesAndDig reads names and nested values of every shape.
func TestNamesAndDig(t *testing.T) {
	for src, want := range map[string][]string{
		"[{name: a}, {name: b}]": {"a", "b"}, "[a, b]": {"a", "b"}, "[{name: 42}, {other: a}, [a], ~, 7]": nil, "a": nil, "{name: a}": nil, "[]": nil,
		"[&x {name: a}, *x]": {"a", "a"},
	} {
		n, b := parse(t, src)
		if got := b.names(n); !slices.Equal(got, want) {
			t.Errorf("names of %s: %q", src, got)
		}
	}
	n, b := parse(t, "{a: {b: {c: x}, l: [1]}, s: text, m: &m {n: y}, r: *m}")
	for keys, want := range map[string]string{
		"a b c": "x", "s": "text", "r n": "y", "a b": "", "a x": "-", "s x": "-", "a l x": "-", "none none": "-",
	} {
		got := b.dig(n, strings.Fields(keys)...)
		if got == nil != (want == "-") || got != nil && got.Value != want {
			t.Errorf("dig %s: %v", keys, got)
		}
	}
	if b.names(nil) != nil || b.dig(nil, "a") != nil {
		t.Error("no node has names")
	}
}

// TestNodeKinds distinguishes strings, scalars and nodes with mappings.
func TestNodeKinds(t *testing.T) {
	for src, want := range map[string]struct {
		text     bool
		scalar   string
		mappings bool
	}{
		"a": {true, "a", false}, "''": {true, "", false}, "42": {false, "42", false}, "true": {false, "true", false}, "~": {false, "", false},
		"{a: b}": {false, "", true}, "[]": {false, "", false}, "[a]": {false, "", false}, "[a, {b: c}]": {false, "", true}, "!!str 42": {true, "42", false},
	} {
		n, _ := parse(t, src)
		if isText(n) != want.text || scalarText(n) != want.scalar || hasMappings(n) != want.mappings {
			t.Errorf("%s: text %v, scalar %q, mappings %v", src, isText(n), scalarText(n), hasMappings(n))
		}
	}
	loop := &yaml.Node{Kind: yaml.AliasNode}
	loop.Alias = loop
	if resolve(loop) != nil || resolve(nil) != nil || isText(nil) || scalarText(nil) != "" {
		t.Error("a node that is none")
	}
}
