package imagename

import (
	"testing"

	"github.com/distribution/reference"
)

func TestSplit(t *testing.T) {
	for name, want := range map[string][2]string{
		"busybox":                                {"docker.io", "library/busybox"},
		"a/b:1":                                  {"docker.io", "a/b"},
		"a_b/c:1":                                {"docker.io", "a_b/c"},
		"quay.io/a/b:1":                          {"quay.io", "a/b"},
		"localhost/a":                            {"localhost", "a"},
		"127.0.0.1:5000/a/b@sha256:" + hex:       {"127.0.0.1:5000", "a/b"},
		"my_registry.test/app:1":                 {"my_registry.test", "app"},
		"registry.service.dc_east.consul/a/b:1":  {"registry.service.dc_east.consul", "a/b"},
		"my_registry.test/a/b:1@sha256:" + hex:   {"my_registry.test", "a/b"},
		"my__registry.test/a_b/c.d-e:1":          {"my__registry.test", "a_b/c.d-e"},
		"docker.io/my_registry.test/app:1":       {"docker.io", "my_registry.test/app"},
		"registry-1.docker.io/library/busybox:1": {"registry-1.docker.io", "library/busybox"},
	} {
		named, err := reference.ParseNormalizedNamed(name)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		registry, repository := Split(named)
		if got := [2]string{registry, repository}; got != want {
			t.Errorf("Split(%s) = %q, want %q", name, got, want)
		}
		again, err := reference.ParseNormalizedNamed(named.String())
		if err != nil || again.String() != named.String() {
			t.Errorf("%s is %s once normalised and %v after that (%v)", name, named, again, err)
		}
	}
}

const hex = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
