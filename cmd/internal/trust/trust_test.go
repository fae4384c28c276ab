package trust

import "testing"

func TestMatches(t *testing.T) {
	const name = "docker.io/calico/cni:v3.28.0"
	for _, tt := range []struct {
		pattern string
		want    bool
	}{
		{name, true},
		{"docker.io/calico/*", true},
		{"docker.io/calico/cni:*", true},
		{"docker.io/*", true},
		{"*/calico/*", true},
		{"docker.io/calico/cni", false},
		{"docker.io/calico", false},
		{"docker.io/x*", false}, // not what begins with the directory
		{"docker.io/c*", false}, // one part only
		{"docker.io/calico/c/*", false},
		{"quay.io/*", false},
		{"*", false},
		{"/*", false},
		{"", false},
	} {
		if got, err := matches(tt.pattern, name); got != tt.want || err != nil {
			t.Errorf("%q: got %v, %v, want %v", tt.pattern, got, err, tt.want)
		}
	}
	for _, pattern := range []string{"docker.io/[", "docker.io/[/*"} {
		if _, err := matches(pattern, name); err == nil {
			t.Errorf("%q: want an error", pattern)
		}
	}
}
