package manifest

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/opencontainers/go-digest"
)

// CheckDigest accepts valid sha256 digests only. The image specification defines other
// algorithms, but registries do not serve them and containerd's store refuses them.
func CheckDigest(d digest.Digest) error {
	if strings.HasPrefix(string(d), "sha384:") || strings.HasPrefix(string(d), "sha512:") {
		return fmt.Errorf("digest %q: only sha256 is supported", d)
	}
	if err := d.Validate(); err != nil {
		return fmt.Errorf("digest %q: %w", d, err)
	}
	return nil
}

// RawDigest returns the 32 bytes of a digest that [CheckDigest] accepts.
func RawDigest(d digest.Digest) (sum [sha256.Size]byte) {
	// An error is impossible here: the digest was checked.
	_, _ = hex.Decode(sum[:], []byte(d.Encoded()))
	return sum
}
