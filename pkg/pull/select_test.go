package pull

import (
	"strings"
	"testing"

	"github.com/containerd/platforms"
	"github.com/google/go-cmp/cmp"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

func index(list ...string) []ocispec.Descriptor {
	var out []ocispec.Descriptor
	for _, s := range list {
		d := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest}
		if s != "" {
			os, rest, _ := strings.Cut(s, "/")
			arch, variant, _ := strings.Cut(rest, "/")
			d.Platform = &ocispec.Platform{OS: os, Architecture: arch, Variant: variant}
		}
		out = append(out, d)
	}
	return out
}

func names(list []ocispec.Descriptor) []string {
	out := []string{}
	for _, d := range list {
		out = append(out, platforms.Format(*d.Platform))
	}
	return out
}

func TestChoose(t *testing.T) {
	for name, c := range map[string]struct {
		have, want string
		chosen     string
		missing    string
	}{
		"the one":                      {"linux/amd64 linux/arm64", "linux/arm64", "linux/arm64", ""},
		"in the index's order":         {"linux/amd64 linux/arm64", "linux/arm64 linux/amd64", "linux/amd64 linux/arm64", ""},
		"arm64 is arm64/v8":            {"linux/arm64/v8", "linux/arm64", "linux/arm64/v8", ""},
		"the best variant":             {"linux/arm/v5 linux/arm/v7 linux/arm/v6", "linux/arm/v7", "linux/arm/v7", ""},
		"a lower variant runs":         {"linux/arm/v5 linux/arm/v6", "linux/arm/v7", "linux/arm/v6", ""},
		"a higher one does not":        {"linux/arm/v7", "linux/arm/v6", "", "linux/arm/v6"},
		"386 is not amd64":             {"linux/386", "linux/amd64", "", "linux/amd64"},
		"arm is not arm64":             {"linux/arm/v7", "linux/arm64", "", "linux/arm64"},
		"one of two":                   {"linux/amd64", "linux/amd64 linux/s390x", "linux/amd64", "linux/s390x"},
		"attestations are not images":  {"unknown/unknown linux/amd64", "linux/amd64", "linux/amd64", ""},
		"windows is not linux":         {"windows/amd64", "linux/amd64", "", "linux/amd64"},
		"an entry without a platform":  {"", "linux/amd64", "", "linux/amd64"},
		"one image serves two wishes":  {"linux/arm/v6", "linux/arm/v6 linux/arm/v7", "linux/arm/v6", ""},
		"nothing there, nothing found": {"", "", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			var want []ocispec.Platform
			for _, s := range strings.Fields(c.want) {
				p, err := ParsePlatform(s)
				if err != nil {
					t.Fatal(err)
				}
				want = append(want, p)
			}
			chosen, missing := choose(index(strings.Split(c.have, " ")...), want, false)
			if diff := cmp.Diff(strings.Fields(c.chosen), names(chosen)); diff != "" && c.chosen+strings.Join(names(chosen), "") != "" {
				t.Errorf("chosen, -want +got:\n%s", diff)
			}
			if got := strings.Join(formatAll(missing), " "); strings.TrimSuffix(got, "/v8") != c.missing {
				t.Errorf("missing %q, want %q", got, c.missing)
			}
		})
	}
}

func TestChooseAll(t *testing.T) {
	chosen, missing := choose(index("linux/amd64", "unknown/unknown", "windows/amd64"), nil, true)
	if diff := cmp.Diff([]string{"linux/amd64", "windows/amd64"}, names(chosen)); diff != "" || len(missing) > 0 {
		t.Errorf("missing %v, chosen -want +got:\n%s", missing, diff)
	}
}
