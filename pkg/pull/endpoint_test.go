package pull

import (
	"regexp"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

func TestEndpoints(t *testing.T) {
	c, err := New(Options{Platforms: []ocispec.Platform{{OS: "linux"}}, Mirrors: map[string][]Mirror{
		"docker.io": {{Host: "mirror.example:5000", Prefix: "registry"}, {Host: "second.example"}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][]string{
		"docker.io/library/busybox:latest": {
			"https://mirror.example:5000/v2/registry/library/busybox/manifests/latest?ns=docker.io",
			"https://second.example/v2/library/busybox/manifests/latest?ns=docker.io",
			"https://registry-1.docker.io/v2/library/busybox/manifests/latest",
		},
		"quay.io/a/b:latest":          {"https://quay.io/v2/a/b/manifests/latest"},
		"my_registry.test/app:latest": {"https://my_registry.test/v2/app/manifests/latest"},
	} {
		named, err := parse(name)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, e := range c.routes.endpoints(named) {
			got = append(got, e.url("https", "manifests", "latest"))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: -want +got:\n%s", name, diff)
		}
	}
}

// TestMirrorIsItsOwnHost checks that no account of docker.io is looked up for its mirror.
func TestMirrorIsItsOwnHost(t *testing.T) {
	if got := (endpoint{host: "mirror.example", repo: "library/busybox", origin: "docker.io"}).repository(); got != "mirror.example/library/busybox" {
		t.Errorf("accounts for the mirror are looked up as %q", got)
	}
	if got := (endpoint{host: dockerHubHost, repo: "library/busybox"}).repository(); got != "docker.io/library/busybox" {
		t.Errorf("accounts for Docker Hub are looked up as %q", got)
	}
}

func TestParseMirror(t *testing.T) {
	for in, want := range map[string]struct {
		registry string
		mirror   Mirror
	}{
		"docker.io=mirror.example":                 {"docker.io", Mirror{Host: "mirror.example"}},
		"docker.io=127.0.0.1:5000/registry/proxy/": {"docker.io", Mirror{Host: "127.0.0.1:5000", Prefix: "registry/proxy"}},
		"index.docker.io=m.example":                {"docker.io", Mirror{Host: "m.example"}},
		"quay.io=[::1]:5000":                       {"quay.io", Mirror{Host: "[::1]:5000"}},
	} {
		registry, m, err := ParseMirror(in)
		if err != nil || registry != want.registry || m.Host != want.mirror.Host || m.Prefix != want.mirror.Prefix {
			t.Errorf("ParseMirror(%q) = %q, %+v, %v", in, registry, m, err)
		}
	}
	for _, bad := range []string{"", "docker.io", "docker.io=", "=host", "docker.io=https://host", "docker.io=ho st", "docker.io=host/UPPER", "docker.io=user@host"} {
		if registry, m, err := ParseMirror(bad); err == nil {
			t.Errorf("ParseMirror(%q) = %q, %+v, want an error", bad, registry, m)
		}
	}
}

func TestLoopback(t *testing.T) {
	for host, want := range map[string]bool{
		"localhost": true, "localhost:5000": true, "127.0.0.1:5000": true, "127.9.9.9": true, "[::1]:5000": true, "::1": true,
		"10.0.0.1:5000": false, "registry.example": false, "localhost.example": false, "127.0.0.1.example:80": false,
	} {
		if got := loopback(host); got != want {
			t.Errorf("loopback(%q) = %v", host, got)
		}
	}
}

func TestRangeStart(t *testing.T) {
	for in, want := range map[string]int64{
		"bytes 10-99/100": 10, "bytes 0-99/100": 0, "bytes 10-99/*": 10,
		"bytes 10-99/101": -1, "": -1, "bytes */100": -1, "bytes x-99/100": -1, "10": -1,
	} {
		if got := rangeStart(in, 100); got != want {
			t.Errorf("rangeStart(%q) = %d, want %d", in, got, want)
		}
	}
}

func TestRepositories(t *testing.T) {
	rewrite := Mirror{Host: "mirror.example:5000", Prefix: "registry", Rewrites: []Rewrite{{Match: regexp.MustCompile("^library/(.*)"), To: "official/$1"}}}
	mirrors := map[string][]Mirror{
		"docker.io":       {{Host: "mirror.example"}, rewrite},
		"quay.io":         {{Host: dockerHubHost, Last: true}, {Host: "unused.example"}},
		"*":               {{Host: "any.example", ResolveOnly: true}},
		"direct.example":  {},
		"conditional.com": {{Host: "conditional.com", PullOnly: true}},
	}
	for name, want := range map[string][]string{
		"docker.io/library/busybox:latest": {"mirror.example/library/busybox", "mirror.example:5000/registry/official/busybox", "docker.io/library/busybox"},
		"docker.io/team/app:v1":            {"mirror.example/team/app", "mirror.example:5000/registry/team/app", "docker.io/team/app"},
		"quay.io/team/app:v1":              {"docker.io/team/app"},
		"ghcr.io/team/app:v1":              {"any.example/team/app", "ghcr.io/team/app"},
		"direct.example/team/app:v1":       {"direct.example/team/app"},
		"conditional.com/team/app:v1":      {"conditional.com/team/app", "conditional.com/team/app"},
	} {
		if got, err := Repositories(name, mirrors); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: got %q, %v, want %q", name, got, err, want)
		}
	}
	if _, err := Repositories("docker.io/team/app", mirrors); err == nil {
		t.Error("a name without tag and digest is accepted")
	}
}
