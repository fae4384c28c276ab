package scan

import "testing"

func TestMatch(t *testing.T) {
	for _, tc := range []struct {
		pattern, s string
		want       bool
	}{
		{"", "", true}, {"", "a", false}, {"*", "", true}, {"*", "a/b", true}, {"a", "a", true}, {"a?c", "abc", true}, {"a?c", "ac", false},
		{"quay.io/*", "quay.io/a/b:1", true}, {"*/b:1", "quay.io/a/b:1", true}, {"*/b", "quay.io/a/b:1", false}, {"a*b*c", "aXbYbZc", true},
		{"a**", "a", true}, {"*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false},
	} {
		if got := match(tc.pattern, tc.s); got != tc.want {
			t.Errorf("match(%q, %q) = %v", tc.pattern, tc.s, got)
		}
	}
}
