package pull

import (
	"slices"

	"github.com/containerd/platforms"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// ParsePlatform reads "linux/arm64/v8" in containerd's spelling and normalises it.
func ParsePlatform(s string) (ocispec.Platform, error) {
	p, err := platforms.Parse(s)
	if err != nil {
		return ocispec.Platform{}, err
	}
	return platforms.Normalize(p), nil
}

// real reports whether an index entry is an image to run. BuildKit stores attestations
// beside images under the platform "unknown/unknown".
func real(d ocispec.Descriptor) bool {
	return d.Platform == nil || d.Platform.OS != "unknown" || d.Platform.Architecture != "unknown"
}

// choose picks from an index the entries for the wanted platforms: the best one for each,
// as containerd on such a machine would choose. Entries keep the index's order. missing
// lists the wanted platforms without an entry.
func choose(index []ocispec.Descriptor, want []ocispec.Platform, all bool) (chosen []ocispec.Descriptor, missing []ocispec.Platform) {
	if all {
		for _, d := range index {
			if real(d) {
				chosen = append(chosen, d)
			}
		}
		return chosen, nil
	}
	take := map[int]bool{}
	for _, p := range want {
		list := serving(index, p)
		if len(list) == 0 {
			missing = append(missing, p)
		}
		for _, i := range list {
			take[i] = true
		}
	}
	for i, d := range index {
		if take[i] {
			chosen = append(chosen, d)
		}
	}
	return chosen, missing
}

// serves reports whether a node of platform p runs an image for have. As in containerd,
// arm/v7 runs arm/v6; other than there, amd64 does not get a 386 image and arm64 no arm
// image: a node would take them, but nobody who bundles means them.
func serves(m platforms.Matcher, p, have ocispec.Platform) bool {
	return platforms.Normalize(have).Architecture == platforms.Normalize(p).Architecture && m.Match(have)
}

// serving lists the positions of the entries to take for p: the best one, or none. A
// Windows node runs only images of its own build, so there a wish without one means all.
func serving(index []ocispec.Descriptor, p ocispec.Platform) []int {
	m := platforms.Only(p)
	var found []int
	for i, d := range index {
		switch {
		case d.Platform == nil || !real(d) || !serves(m, p, *d.Platform):
		case len(found) == 0 || p.OS == "windows" && p.OSVersion == "":
			found = append(found, i)
		case m.Less(*d.Platform, *index[found[0]].Platform):
			found[0] = i
		}
	}
	return found
}

// offered lists the platforms of an index for people.
func offered(index []ocispec.Descriptor) []string {
	var out []string
	for _, d := range index {
		if d.Platform != nil && real(d) {
			out = append(out, platforms.FormatAll(*d.Platform))
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func formatAll(ps []ocispec.Platform) []string {
	out := make([]string, len(ps))
	for i, p := range ps {
		out[i] = platforms.FormatAll(p)
	}
	return out
}

// unserved lists the wanted platforms that an image for p does not serve.
func unserved(p ocispec.Platform, want []ocispec.Platform) []ocispec.Platform {
	var out []ocispec.Platform
	for _, w := range want {
		if !serves(platforms.Only(w), w, p) {
			out = append(out, w)
		}
	}
	return out
}
