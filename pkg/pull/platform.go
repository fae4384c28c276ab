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
		if i := best(index, p); i >= 0 {
			take[i] = true
		} else {
			missing = append(missing, p)
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

// best is the position of the entry that serves p best, or -1.
func best(index []ocispec.Descriptor, p ocispec.Platform) int {
	m := platforms.Only(p)
	found := -1
	for i, d := range index {
		if d.Platform == nil || !real(d) || !serves(m, p, *d.Platform) {
			continue
		}
		if found < 0 || m.Less(*d.Platform, *index[found].Platform) {
			found = i
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
		out[i] = platforms.Format(p)
	}
	return out
}

// fits reports whether an image without an index serves one of the wanted platforms.
func fits(p ocispec.Platform, want []ocispec.Platform, all bool) bool {
	if all {
		return true
	}
	return slices.ContainsFunc(want, func(w ocispec.Platform) bool { return serves(platforms.Only(w), w, p) })
}
