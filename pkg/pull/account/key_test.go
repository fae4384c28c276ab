package account

import (
	"strings"
	"testing"
)

func TestFileKeyCovers(t *testing.T) {
	tests := []struct {
		name, key string
		yes, no   []string
	}{
		{"registry", "quay.io", []string{"quay.io/a", "quay.io/a/b/c", "quay.io", "QUAY.io/a"}, []string{"quay.io.x/a", "xquay.io/a", "quay.io:443/a", "a/quay.io"}},
		{"port", "quay.io:5000", []string{"quay.io:5000/a"}, []string{"quay.io/a", "quay.io:500/a"}},
		{"upper case host", "Quay.IO", []string{"quay.io/a"}, nil},
		{"scheme", "https://quay.io", []string{"quay.io/a"}, []string{"https/a"}},
		{"plain scheme", "http://quay.io/", []string{"quay.io/a"}, nil},
		{"API root v1", "https://quay.io/v1/", []string{"quay.io/a"}, nil},
		{"API root v2", "https://quay.io/v2", []string{"quay.io/a"}, nil},
		{"API root without scheme", "quay.io/v2/", []string{"quay.io/a"}, nil},
		{"namespace v2", "quay.io/v2", []string{"quay.io/v2/a"}, []string{"quay.io/a"}},
		{"namespace below v1", "quay.io/v1/team", []string{"quay.io/v1/team/a"}, []string{"quay.io/team/a"}},
		{"namespace", "quay.io/teama", []string{"quay.io/teama", "quay.io/teama/x", "quay.io/teama/x/y"}, []string{"quay.io/teamb/x", "quay.io/team/x", "quay.io/teamab/x", "quay.io"}},
		{"repository", "quay.io/team/app", []string{"quay.io/team/app"}, []string{"quay.io/team/app2", "quay.io/team"}},
		{"namespace with slash", "quay.io/team/", []string{"quay.io/team/x"}, []string{"quay.io/teamx"}},
		{"path keeps its case", "quay.io/Team", nil, []string{"quay.io/team/x"}},
		{"Docker Hub", "https://index.docker.io/v1/", []string{"docker.io/a/b", "index.docker.io/a", "registry-1.docker.io/a", "registry.hub.docker.com/a"}, []string{"hub.docker.com/a", "mirror.gcr.io/a"}},
		{"Docker Hub without slash", "https://index.docker.io/v1", []string{"docker.io/a/b"}, nil},
		{"Docker Hub by host", "docker.io", []string{"docker.io/a", "registry-1.docker.io/a"}, []string{"www.docker.io/a"}},
		{"Docker Hub API host", "registry-1.docker.io", []string{"docker.io/a"}, nil},
		{"Docker Hub website", "https://registry.hub.docker.com/v2/", []string{"docker.io/a"}, nil},
		{"Docker Hub namespace", "docker.io/calico", []string{"docker.io/calico/cni", "index.docker.io/calico/cni"}, []string{"docker.io/library/busybox"}},
		{"desktop's own tokens", "https://index.docker.io/v1/access-token", nil, []string{"docker.io/a", "docker.io/library/busybox"}},
		{"no globs in files", "*.io", nil, []string{"quay.io/a"}},
		{"user information", "https://u:p@quay.io", []string{"quay.io/a"}, nil},
		{"query", "https://quay.io?service=x", []string{"quay.io/a"}, nil},
		{"IPv6", "[::1]:5000", []string{"[::1]:5000/a"}, []string{"[::1]/a"}},
		{"empty port", "https://quay.io:/v2/", []string{"quay.io/a"}, []string{"quay.io:5000/a"}},
		{"localhost", "localhost:5000", []string{"localhost:5000/a"}, []string{"localhost/a"}},
		{"nothing", "", nil, []string{"", "/", "quay.io/a"}},
		{"only scheme", "https://", nil, []string{"", "quay.io"}},
		{"only path", "/team", nil, []string{"/team/a", "quay.io/team/a"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			key := fileScope(test.key)
			for _, repo := range test.yes {
				if !key.covers(repository(repo)) {
					t.Errorf("%q does not cover %q", test.key, repo)
				}
			}
			for _, repo := range test.no {
				if key.covers(repository(repo)) {
					t.Errorf("%q covers %q", test.key, repo)
				}
			}
		})
	}
}

// With HOST/teama and HOST/teamb in one file each gets its own account.
func TestTeamsDoNotMix(t *testing.T) {
	for _, path := range []string{dockerConfig, "/home/u/.config/containers/auth.json"} {
		s := load(t, withFile(path, auths("reg.example/teama", "a", "reg.example/teamb", "b")), Options{})
		for range 20 {
			if got := only(users(t, s, "reg.example/teamb/app")); got != "b" {
				t.Fatalf("%s: teamb got %q", path, got)
			}
			if got := only(users(t, s, "reg.example/teama/app")); got != "a" {
				t.Fatalf("%s: teama got %q", path, got)
			}
			if got := users(t, s, "reg.example/teamc/app"); got != nil {
				t.Fatalf("%s: teamc got %q", path, got)
			}
		}
	}
}

func TestLongestPathFirst(t *testing.T) {
	w := withFile("/home/u/.config/containers/auth.json", auths(
		"reg.example", "host", "reg.example/a/b", "deep", "reg.example/a", "mid", "https://reg.example/v1/", "old", "reg.example/a/b/c", "deepest", "reg.example/a/bb", "other"))
	s := load(t, w, Options{})
	if got := only(users(t, s, "reg.example/a/b/c")); got != "deepest deep mid host old" {
		t.Errorf("got %q", got)
	}
	if got := only(users(t, s, "reg.example/a/x")); got != "mid host old" {
		t.Errorf("got %q", got)
	}
}

func TestHostSpellingsInOneFile(t *testing.T) {
	s := load(t, withFile(dockerConfig, auths(
		"docker.io", "short", "index.docker.io", "index", "registry-1.docker.io", "api",
		"https://index.docker.io/v1/", "login", "https://docker.io", "odd")), Options{})
	if got := only(users(t, s, "docker.io/calico/cni")); got != "login short index odd api" {
		t.Errorf("got %q, want docker login's own first", got)
	}
}

func TestPrintableKey(t *testing.T) {
	tests := map[string]string{
		"quay.io/team":                          "quay.io/team",
		"https://index.docker.io/v1/":           "https://index.docker.io/v1/",
		"https://user:geheim@quay.io/v2/":       "https://quay.io/v2/",
		"user:geheim@quay.io":                   "quay.io",
		"https://user:ge/he@im@quay.io/x":       "https://quay.io/x",
		"user:geheim@x://quay.io":               "x://quay.io",
		"https://quay.io/?password=geheim":      "https://quay.io/",
		"https://quay.io#geheim":                "https://quay.io",
		"quay.io\x1b[31m":                       `"quay.io\x1b[31m"`,
		"a\nb":                                  `"a\nb"`,
		strings.Repeat("x", 301):                strings.Repeat("x", 300) + "...",
		strings.Repeat("x", 299) + "\u00e9tail": strings.Repeat("x", 299) + "...",
		"":                                      "",
	}
	for key, want := range tests {
		if got := printable(key); got != want {
			t.Errorf("printable(%q) = %q, want %q", key, got, want)
		}
	}
}
