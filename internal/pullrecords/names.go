package pullrecords

import (
	"fmt"
	"slices"
	"strings"

	"github.com/distribution/reference"
)

// naming is how a version of the kubelet spells a repository in its records.
type naming struct {
	repository func(name string) (string, error)
	// literal: the allowlist's entries are compared with the name as it is, tag included.
	literal bool
	alpha   bool // reads v1alpha1 only
}

func (n naming) reads(format string) bool { return !n.alpha || format == alpha }

// namesOf returns how a kubelet of the version spells names; more than one when that is not
// known.
func namesOf(version string) []naming {
	v, ok := parseVersion(version)
	before := naming{repository: repositoryNormalised, literal: true}
	since := naming{repository: repositoryAsWritten}
	switch {
	case !ok:
		return []naming{before, since}
	case v.minor < 35:
		before.alpha = true
		return []naming{before}
	case v.minor == 35:
		return []naming{before}
	}
	return []naming{since}
}

// normalise returns image as containerd spells it, or image itself when it is not a name.
func normalise(image string) string {
	named, err := reference.ParseDockerRef(image)
	if err != nil {
		return image
	}
	return named.String()
}

// repositoryNormalised returns the repository of name as containerd spells it.
func repositoryNormalised(name string) (string, error) {
	named, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return "", err
	}
	return named.Name(), nil
}

// repositoryAsWritten returns name without its tag and its digest, and nothing else changed.
func repositoryAsWritten(name string) (string, error) {
	ref, err := reference.Parse(name)
	if err != nil {
		return "", err
	}
	if d, ok := ref.(reference.Digested); ok {
		rest, ok := strings.CutSuffix(name, "@"+d.Digest().String())
		if !ok {
			return "", fmt.Errorf("%q does not end with its digest", name)
		}
		name = rest
	}
	if t, ok := ref.(reference.Tagged); ok {
		rest, ok := strings.CutSuffix(name, ":"+t.Tag())
		if !ok {
			return "", fmt.Errorf("%q does not end with its tag", name)
		}
		name = rest
	}
	return name, nil
}

// spellings returns every way in which a pod may write name, sorted. Only Docker Hub has
// more than one, and the tag latest.
func spellings(name string) []string {
	named, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return []string{name}
	}
	full := named.String()
	list := []string{full, name}
	if path, ok := strings.CutPrefix(full, "docker.io/"); ok {
		list = append(list, path, "index.docker.io/"+path)
		if short, ok := strings.CutPrefix(path, "library/"); ok {
			list = append(list, short, "docker.io/"+short, "index.docker.io/"+short)
		}
	}
	if _, ok := named.(reference.Digested); !ok {
		for _, s := range list {
			if rest, ok := strings.CutSuffix(s, ":latest"); ok {
				list = append(list, rest)
			}
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// allows reports whether the allowlist has the name.
func (n naming) allows(list []string, name string) bool {
	if !n.literal {
		if repository, err := n.repository(name); err == nil {
			name = repository
		}
	}
	for _, pattern := range list {
		prefix, wildcard := strings.CutSuffix(pattern, "*")
		if wildcard && len(prefix) > 1 && strings.HasSuffix(prefix, "/") && strings.HasPrefix(name, prefix) {
			return true
		}
		if !wildcard && pattern == name {
			return true
		}
	}
	return false
}

// version is the part of a Kubernetes version that matters here: 1.minor.patch.
type version struct{ minor, patch int }

// parseVersion reads "v1.35.4", "1.35.4+k3s1" or "1.35".
func parseVersion(s string) (v version, ok bool) {
	var major int
	n, _ := fmt.Sscanf(strings.TrimPrefix(s, "v"), "%d.%d.%d", &major, &v.minor, &v.patch)
	return v, n >= 2 && major == 1
}

// gate is the feature gate of the whole mechanism.
const gate = "KubeletEnsureSecretPulledImages"

// Enabled reports whether a kubelet of the version, "v1.35.4", verifies credentials at all:
// the feature gate KubeletEnsureSecretPulledImages is alpha and off in 1.33 and 1.34, beta
// and on since 1.35. gates are the feature gates of its configuration. A version that is
// not known counts as a new one.
func Enabled(version string, gates map[string]bool) bool {
	v, ok := parseVersion(version)
	if ok && v.minor < 33 {
		return false
	}
	if on, set := gates[gate]; set {
		return on
	}
	stage, on := "AllBeta", true
	if ok && v.minor < 35 {
		stage, on = "AllAlpha", false
	}
	if all, set := gates[stage]; set {
		return all
	}
	return on
}
