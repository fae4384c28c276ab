package kubelet

import (
	"strconv"

	"stowage/internal/lazy"
)

// gateName is the feature gate of the pull records: absent before 1.33, alpha and off since
// then, beta and on since 1.35 (pkg/features/kube_features.go, v1.35.4 to v1.37.2).
const gateName = "KubeletEnsureSecretPulledImages"

// recordsEnabled reports whether the kubelet of a version verifies pulls. Of a version that
// is not known it assumes the newest rule.
func recordsEnabled(gates map[string]bool, version string) bool {
	minor, known := minorOf(version)
	if known && minor < 33 {
		return false
	}
	if on, ok := gates[gateName]; ok {
		return on
	}
	all, byDefault := "AllBeta", true
	if known && minor < 35 {
		all, byDefault = "AllAlpha", false
	}
	if on, ok := gates[all]; ok {
		return on
	}
	return byDefault
}

// versionPattern matches the version of a kubelet, also where its distribution adds to it:
// "v1.35.4", "v1.35.4+k3s1", "v1.36.0-rc.1".
var versionPattern = lazy.Regexp(`v1\.([0-9]{1,4})\.[0-9]{1,4}(?:[-+][0-9A-Za-z.+-]{1,64})?`)

// minorOf returns 35 for v1.35.4.
func minorOf(version string) (int, bool) {
	m := versionPattern().FindStringSubmatch(version)
	if m == nil {
		return 0, false
	}
	minor, err := strconv.Atoi(m[1])
	return minor, err == nil
}
