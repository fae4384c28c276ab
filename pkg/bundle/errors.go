package bundle

import (
	"errors"
	"fmt"

	"github.com/opencontainers/go-digest"

	"stowage/pkg/archive"
	"stowage/pkg/pull"
)

// An IncompleteError reports images that are not available.
type IncompleteError struct {
	Images  int               // in the request
	Skipped []archive.Skipped // those that are not available
	Written bool              // a bundle was written without them; see [Options].KeepGoing
}

func (e *IncompleteError) Error() string {
	switch {
	case e.Written:
		return fmt.Sprintf("the bundle is incomplete: %d of %s skipped", len(e.Skipped), images(e.Images))
	case len(e.Skipped) == e.Images:
		return fmt.Sprintf("no image is available of %d", e.Images)
	}
	return fmt.Sprintf("%d of %s not available", len(e.Skipped), images(e.Images))
}

// A MaxPullsError reports a run that needs more pulls than [Options].MaxPulls. None was made.
type MaxPullsError struct{ Need, Max int }

func (e *MaxPullsError) Error() string {
	return fmt.Sprintf("%d pulls needed, %d allowed; none was made", e.Need, e.Max)
}

// A FlatDigestError reports a name with the digest of an index, which a flat bundle does not
// hold.
type FlatDigestError struct {
	Name     string
	Manifest digest.Digest // of the index's manifest for a platform of the request; may be ""
}

func (e *FlatDigestError) Error() string {
	return fmt.Sprintf("%s: the digest of an index, which a flat bundle does not hold", e.Name)
}

// A NameError reports an image name that is not valid.
type NameError struct {
	Name string
	Err  error
}

func (e *NameError) Error() string { return fmt.Sprintf("image %q: %v", e.Name, e.Err) }

// Unwrap returns the cause.
func (e *NameError) Unwrap() error { return e.Err }

// An OutputError reports an output that is the bundle which the new one builds on. A node
// that has not loaded the old one could never load the new one, and the next run would
// build on the new one and omit everything.
type OutputError struct{ Path string } // as in [Request].Since

func (e *OutputError) Error() string {
	return fmt.Sprintf("the output would replace %s, which it builds on", e.Path)
}

// A neededError names the image that needs a blob which no registry has.
type neededError struct {
	image string
	err   error
}

func (e *neededError) Error() string { return fmt.Sprintf("%s needs %v", e.image, e.err) }
func (e *neededError) Unwrap() error { return e.err }

// IsMissing reports whether every fault in err is an image that is not available: a
// [pull.NotFoundError], [pull.NoPlatformError] or [pull.UnsupportedError]. It returns false
// when a registry refused or could not be reached.
func IsMissing(err error) bool { return every(err, isMissing) }

func isMissing(err error) bool {
	switch err.(type) {
	case *pull.NotFoundError, *pull.NoPlatformError, *pull.UnsupportedError:
		return true
	}
	return false
}

// isHidden is IsMissing for registries that refuse what they do not have, where the same
// login received other images. Registries answer 401 or 403 for repositories that do not
// exist.
func isHidden(err error) bool {
	return every(err, func(err error) bool {
		refused, ok := err.(*pull.AuthError)
		return isMissing(err) || ok && refused.Alone()
	})
}

// every reports whether is holds for each fault that err joins, or for an error that the
// fault wraps.
func every(err error, is func(error) bool) bool {
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range many.Unwrap() {
			if !every(e, is) {
				return false
			}
		}
		return true
	}
	if is(err) {
		return true
	}
	one := errors.Unwrap(err)
	return one != nil && every(one, is)
}

// causes joins the errors of failures.
func causes(failures []pull.Failure) error {
	errs := make([]error, len(failures))
	for i, f := range failures {
		errs[i] = f.Err
	}
	return errors.Join(errs...)
}

func images(n int) string {
	if n == 1 {
		return "1 image"
	}
	return fmt.Sprintf("%d images", n)
}
