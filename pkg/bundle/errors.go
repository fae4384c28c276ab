package bundle

import (
	"errors"
	"fmt"
	"slices"

	"github.com/opencontainers/go-digest"

	"stowage/pkg/archive"
	"stowage/pkg/pull"
)

// An IncompleteError reports images that are not available.
type IncompleteError struct {
	Images  int               // in the request
	Skipped []archive.Skipped // those that are not available, or not for all platforms
	Written bool              // a bundle was written without them; see [Options].KeepGoing
}

func (e *IncompleteError) Error() string {
	whole := wholly(e.Skipped)
	switch partial := len(e.Skipped) - whole; {
	case e.Written && whole == 0 && partial > 0:
		return fmt.Sprintf("the bundle is incomplete: %d of %s without a platform", partial, images(e.Images))
	case e.Written && partial > 0:
		return fmt.Sprintf("the bundle is incomplete: %d of %s skipped, %d without a platform", whole, images(e.Images), partial)
	case e.Written:
		return fmt.Sprintf("the bundle is incomplete: %d of %s skipped", whole, images(e.Images))
	case whole == e.Images:
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

// A partialError reports platforms that an image does not have, beside others that it has.
type partialError struct{ *pull.NoPlatformError }

func (e *partialError) Unwrap() error { return e.NoPlatformError }

// A neededError names the image that needs a blob which no registry has.
type neededError struct {
	image string
	err   error
}

func (e *neededError) Error() string { return fmt.Sprintf("%s needs %v", e.image, e.err) }
func (e *neededError) Unwrap() error { return e.err }

// IsMissing reports whether every fault in err is an image that is not available or not
// usable: a [pull.NotFoundError], [pull.NoPlatformError], [pull.UnsupportedError],
// [pull.ContentError] or [pull.PanicError]. It returns false when a registry refused or
// could not be reached.
func IsMissing(err error) bool { return every(err, isMissing) }

func isMissing(err error) bool {
	switch err.(type) {
	case *pull.NotFoundError, *pull.NoPlatformError, *pull.UnsupportedError, *pull.ContentError, *pull.PanicError,
		*tooLargeError, *HiddenError:
		return true
	}
	return false
}

// An ImageError is the fault of one image of the request that ends the run.
type ImageError struct {
	Name string // as in [Request.Select]
	Err  error
}

func (e *ImageError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *ImageError) Unwrap() error { return e.Err }

// Failed returns the names of the images with an [ImageError] in err, each once.
func Failed(err error) []string {
	var names []string
	for _, e := range parts(err) {
		if one := (*ImageError)(nil); errors.As(e, &one) && !slices.Contains(names, one.Name) {
			names = append(names, one.Name)
		}
	}
	return names
}

// parts returns the errors that err joins, or err itself.
func parts(err error) []error {
	many, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	var out []error
	for _, e := range many.Unwrap() {
		out = append(out, parts(e)...)
	}
	return out
}

// hidden returns err as a [*HiddenError] if all that is not missing in it is hidden, else
// err.
func hidden(name string, err error) error {
	isHidden := func(err error) bool {
		refused, ok := err.(*pull.AuthError)
		return isMissing(err) || ok && refused.Alone()
	}
	if IsMissing(err) || !every(err, isHidden) {
		return err
	}
	return &HiddenError{Name: name, Err: err}
}

// A HiddenError reports an image that its registry refused to a login that received other
// images: it does not exist, or this account may not pull it. Registries such as Docker Hub
// answer 401 or 403 for repositories that do not exist.
type HiddenError struct {
	Name string
	Err  error
}

func (e *HiddenError) Error() string {
	return fmt.Sprintf("%s: not found, or not accessible to this account: %v", e.Name, e.Err)
}

// Unwrap returns the refusal.
func (e *HiddenError) Unwrap() error { return e.Err }

// A tooLargeError reports an image that is larger than the disk.
type tooLargeError struct {
	image      string
	size, disk int64
	path       string
}

func (e *tooLargeError) Error() string {
	return fmt.Sprintf("%s: the image has %d bytes, and the disk of %s has %d", e.image, e.size, e.path, e.disk)
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

// wholly counts the images that are skipped for every platform.
func wholly(skipped []archive.Skipped) int {
	n := 0
	for _, s := range skipped {
		if s.Platforms == "" {
			n++
		}
	}
	return n
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
