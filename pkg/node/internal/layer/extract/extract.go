package extract

import (
	"errors"
	"io"
)

// Source is a tar stream in parts. A part is valid until the next call of Next. An error,
// which is [io.EOF] at the end of the stream, comes with the last part or alone after it,
// and then again with each call.
type Source interface {
	Next() ([]byte, error)
}

// Target is a directory that a layer is written into. With containerd that is the upper
// directory of a snapshot.
type Target struct {
	Dir     string
	Overlay bool     // whiteouts become overlayfs's own instead of deletions
	Lower   []string // directories of the layers below in the overlay, nearest first
	// Detached says that the layers below are not there yet. Layer returns
	// [ErrNeedsParent] for a layer that cannot be written without them.
	Detached bool
}

// ErrNeedsParent says that a layer must be written on top of the layers below it.
var ErrNeedsParent = errors.New("the layer needs the layers below it")

// NewReader returns a reader of a source.
func NewReader(src Source) io.Reader { return &stream{src: src} }
