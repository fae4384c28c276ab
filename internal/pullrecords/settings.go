// Package pullrecords is the kubelet's own verdict on images that containerd has: its pull
// records and the rule by which it asks a registry for an image that is present (KEP-2535).
package pullrecords

// Policy is a value of imagePullCredentialsVerificationPolicy in the kubelet's
// configuration. The kubelet's default is NeverVerifyPreloadedImages.
type Policy string

// The values of Policy.
const (
	NeverVerify                  Policy = "NeverVerify"
	NeverVerifyPreloadedImages   Policy = "NeverVerifyPreloadedImages"
	NeverVerifyAllowlistedImages Policy = "NeverVerifyAllowlistedImages"
	AlwaysVerify                 Policy = "AlwaysVerify"
)

// Settings are what of a kubelet's configuration decides over images that are present.
type Settings struct {
	Enabled   bool     // the feature gate KubeletEnsureSecretPulledImages is on
	Policy    Policy   // of imagePullCredentialsVerificationPolicy
	Allowlist []string // of preloadedImagesVerificationAllowlist
	Version   string   // of the kubelet, "v1.35.4", or "" when it is not known

	// Process identifies the process of the kubelet, among all that this node ever had. It is
	// 0 when none runs, and UnknownProcess when one runs and it is not known which.
	Process uint32
}

// Bounds of [Settings.Process].
const (
	UnknownProcess = 1
	MaxProcess     = 999_999_999
)
