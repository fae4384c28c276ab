package pullrecords

import (
	"fmt"
	"strings"

	"github.com/distribution/reference"
)

// namesOf returns how a kubelet of the version spells names; more than one when that is not
// known.
func namesOf(version string) []naming {
	v, ok := parseVersion(version)
	before := naming{repository: repositoryNormalised, literal: true}
	since := naming{repository: repositoryAsWritten}
	switch {
	case !ok, v.minor == 35 && v.patch > 4, v.minor == 36 && v.patch < 3:
		return []naming{before, since}
	case v.minor < 35:
		before.alpha = true
		return []naming{before}
	case v.minor == 35:
		return []naming{before}
	}
	return []naming{since}
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
