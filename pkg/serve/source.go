package serve

import (
	"context"
	"errors"
	"io"
	"regexp"

	"github.com/opencontainers/go-digest"
)

// ErrNotFound is wrapped by the error about a blob that a [Source] does not have.
var ErrNotFound = errors.New("not found")

// An Image is a name and what it stands for.
type Image struct {
	Name   string        // "registry/path:tag" or "registry/path@digest", normalised
	Digest digest.Digest // of its index or manifest
}

// A Blob is the content of a digest. Its methods may be called from many goroutines.
type Blob interface {
	io.ReaderAt
	io.Closer
	Size() int64
}

// A Source has the images that a handler serves. Its methods may be called from many
// goroutines.
type Source interface {
	// Images returns the images whose names match, in any order.
	Images(ctx context.Context, names *regexp.Regexp) ([]Image, error)

	// Open returns the content of a digest, or [ErrNotFound]. The caller closes it. Its reads
	// end when ctx does.
	Open(ctx context.Context, d digest.Digest) (Blob, error)

	// Referrers returns the manifests that may have d as their subject, in any order. The
	// handler reads them and leaves out those that have not.
	Referrers(ctx context.Context, d digest.Digest) ([]digest.Digest, error)
}

// A TagSource is a [Source] that has tags which are not names of images: those of a digest, by
// which cosign before version 3 finds signatures ("sha256-<hex>.sig").
type TagSource interface {
	Source

	// Tags returns what is tagged as belonging to d, in any order.
	Tags(ctx context.Context, d digest.Digest) ([]Image, error)
}
