package scan

import (
	"strings"
	"testing"
)

const hex64 = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

func TestParseName(t *testing.T) {
	for _, tc := range []struct{ name, in, want string }{
		{"one word", "busybox", "docker.io/library/busybox:latest"},
		{"library", "library/busybox", "docker.io/library/busybox:latest"},
		{"docker.io", "docker.io/busybox", "docker.io/library/busybox:latest"},
		{"index.docker.io", "index.docker.io/library/busybox", "docker.io/library/busybox:latest"},
		{"owner", "calico/cni:v3", "docker.io/calico/cni:v3"},
		{"tag of digits", "registry:2", "docker.io/library/registry:2"},
		{"capital tag", "minio/minio:RELEASE.2022-02-01T18-00-14Z", "docker.io/minio/minio:RELEASE.2022-02-01T18-00-14Z"},
		{"port", "localhost:5000/a/b", "localhost:5000/a/b:latest"},
		{"underscore in the host", "my_registry.test/app:1", "my_registry.test/app:1"},
		{"path like a host", "gcr.io/google.com/sdk:1", "gcr.io/google.com/sdk:1"},
		{"digest", "quay.io/a/b@sha256:" + hex64, "quay.io/a/b@sha256:" + hex64},
		{"tag and digest", "quay.io/a/b:v1@sha256:" + hex64, "quay.io/a/b:v1@sha256:" + hex64},
		{"empty", "", ""},
		{"capital repository", "Demo/x:1", ""},
		{"space", "demo/x y", ""},
		{"scheme", "docker://demo/x", ""},
		{"digest left out", "demo/x@", ""},
		{"short digest", "demo/x@sha256:abc", ""},
		{"bare digest", hex64, ""},
		{"tag of 128", "demo/x:" + strings.Repeat("a", 128), "docker.io/demo/x:" + strings.Repeat("a", 128)},
		{"tag of 129", "demo/x:" + strings.Repeat("a", 129), ""},
		{"too long", strings.Repeat("a", maxText+1), ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			n, ok := parseName(tc.in)
			if n.full != tc.want || ok != (tc.want != "") {
				t.Errorf("parseName(%q) = %q, %v, want %q", tc.in, n.full, ok, tc.want)
			}
		})
	}
}

func TestStrong(t *testing.T) {
	yes := []string{"quay.io/a/b:v1", "localhost/a:1", "localhost:5000/a:1", "10.0.0.1/a:1", "10.0.0.1:5000/a/b:1", "reg:5000/a:b",
		"busybox@sha256:" + hex64, "quay.io/a@sha256:" + hex64, "gcr.io/google.com/sdk:1"}
	no := []string{"", "a", "busybox:1.36", "calico/cni:v3.28.0", "quay.io/a/b", "quay.io:443", "demo-service:6379", "0.0.0.0:8443",
		"10.0.0.0/16", "networking.k8s.io/v1", "kubernetes.io/hostname", "node.example.net/role:NoSchedule", "node.example.net/x:NoExecute",
		"a.b/c:PreferNoSchedule", "v1.2/x:3", ".x/a:1", "x./a:1", "1.2.3/a:1", "http://quay.io/a:1", "s3://b/c:1", "arn:aws:iam::1:role/x",
		"05:13", "me@example.net", "github.com/a/b@v1", "quay.io/A/b:1", "sha256:" + hex64, "@sha256:" + hex64, "a@sha256:" + hex64[1:],
		"a@sha512:" + hex64, "quay.io/a b:1", "quay.io/a:b/c"}
	for _, s := range yes {
		if !strong(s) {
			t.Errorf("strong(%q) = false", s)
		}
	}
	for _, s := range no {
		if strong(s) {
			t.Errorf("strong(%q) = true", s)
		}
	}
}

func TestRegistries(t *testing.T) {
	for domain, want := range map[string][2]bool{ // internal, local
		"registry.demo.svc:5000":              {true, false},
		"registry.demo.svc":                   {true, false},
		"registry.demo.svc.cluster.local":     {true, false},
		"registry.demo.svc.example.net:80":    {true, false},
		"cache.cluster.local":                 {true, false},
		"localhost:5000":                      {false, true},
		"127.0.0.1:5000":                      {false, true},
		"127.example.net":                     {false, false},
		"[::1]:5000":                          {false, true},
		"[2001:db8::1]:5000":                  {false, false},
		"registry:5000":                       {false, true},
		"docker.io":                           {false, false},
		"svc.example.net":                     {false, false},
		"image-registry.openshift-x.svc:5000": {true, false},
		"registry.example.net:5000":           {false, false},
	} {
		if got := [2]bool{clusterInternal(domain), localRegistry(domain)}; got != want {
			t.Errorf("%s: internal, local = %v, want %v", domain, got, want)
		}
	}
}

func TestIsFile(t *testing.T) {
	for s, want := range map[string]bool{"a/logo.png": true, "disk.QCOW2": true, "demo/app": false, "demo/app.io": false, "x.png:1": false, "png": false} {
		if isFile(s) != want {
			t.Errorf("isFile(%q) = %v", s, !want)
		}
	}
}

// TestUnderscoreHost splits a name as containerd does: what has a dot before the first slash
// is the registry, also when the reference package does not allow it.
func TestUnderscoreHost(t *testing.T) {
	n, ok := parseName("my_registry.test/acme/app:1")
	if !ok || n.domain != "my_registry.test" || n.path != "acme/app" || n.full != "my_registry.test/acme/app:1" {
		t.Errorf("%+v, %v", n, ok)
	}
}

// TestDigestOfVersion: a digest does not make a version a name.
func TestDigestOfVersion(t *testing.T) {
	for name, want := range map[string]bool{"v1.2.3": false, "1.27": false, "v1": false, "demo": true, "version": true, "demo/v1": true, "v": false} {
		if got := strong(name + "@sha256:" + hex64); got != want {
			t.Errorf("strong(%s@sha256:...) = %v", name, got)
		}
	}
}
