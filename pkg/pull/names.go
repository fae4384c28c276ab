package pull

import "github.com/distribution/reference"

// tagOf is the tag of a name that has one.
func tagOf(named reference.Named) string {
	if t, ok := named.(reference.Tagged); ok {
		return t.Tag()
	}
	return ""
}
