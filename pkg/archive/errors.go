package archive

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"github.com/opencontainers/go-digest"
)

var (
	// ErrDamaged is wrapped by every error about a file that is not an intact bundle: it is
	// cut, altered, over the limits, or another kind of file. The error itself is a
	// [*DamagedError].
	ErrDamaged = errors.New("bundle damaged")

	// ErrNotFound is wrapped by every error about a blob that is not there.
	ErrNotFound = errors.New("not found")

	// ErrNoMetadata means that a compressed file or a stream does not begin with its
	// metadata: another program made the tarball, or compressed it in pieces.
	ErrNoMetadata = errors.New("contents unknown until the whole file is decompressed")

	// ErrEmpty means that a stream ended before its first byte. It is wrapped by a
	// [*DamagedError].
	ErrEmpty = errors.New("empty")

	// ErrMetadataOnly means that a layer was requested of a bundle that was opened without
	// its layers.
	ErrMetadataOnly = errors.New("opened without its layers")
)

// A DamagedError says where a bundle is damaged. errors.Is(err, ErrDamaged) holds.
type DamagedError struct {
	File   string // path, or "" when the bundle was not opened by path
	Entry  string // name of the tar entry, or "" when it is about the file as a whole
	Offset int64  // of the entry's header, or of the place in the file, in bytes; of the decompressed file for an entry
	Err    error  // what is wrong
	Advice string // what to do about it
}

func (e *DamagedError) Error() string {
	file, entry := e.File, e.Entry
	if file == "" {
		file = "bundle"
	}
	if entry != "" {
		entry += " "
	}
	return fmt.Sprintf("read %s: %sat byte %d: %v (%s)", file, entry, e.Offset, e.Err, e.Advice)
}

// Is reports that a DamagedError is [ErrDamaged].
func (e *DamagedError) Is(target error) bool { return target == ErrDamaged }

// Unwrap returns the cause, [io.ErrUnexpectedEOF] for a file that was cut.
func (e *DamagedError) Unwrap() error { return e.Err }

const (
	adviceCopy  = "copy the file again from where it was made, or make it again"
	adviceOther = "make the bundle with \"bundle\", or save the image as an OCI layout"
	adviceLimit = "over the limits of a bundle; make several smaller ones"
)

// A DigestError says that bytes do not match their digest.
type DigestError struct {
	Want digest.Digest // of the bytes that were requested
	Got  digest.Digest // of the bytes that arrived
	Size int64         // how many bytes were hashed
}

func (e *DigestError) Error() string {
	return fmt.Sprintf("digest of the %d bytes is %s, want %s", e.Size, e.Got, e.Want)
}

// A SpaceError says that a bundle does not fit on its file system: before anything is
// written or, where space cannot be reserved, while it is written. Sizes are bytes.
type SpaceError struct {
	Path string // the directory or file
	Need int64  // what is still to be written, 0 when unknown
	Free int64  // what the file system has left
	Err  error  // the system's error, or nil
}

func (e *SpaceError) Error() string {
	switch {
	case e.Err != nil && e.Need == 0:
		return fmt.Sprintf("write %s: %v", e.Path, e.Err)
	case e.Err != nil:
		return fmt.Sprintf("reserve %d bytes in %s: %v", e.Need, e.Path, e.Err)
	}
	return fmt.Sprintf("reserve %d bytes in %s: only %d are free", e.Need, e.Path, e.Free)
}

// Unwrap returns the system's error.
func (e *SpaceError) Unwrap() error { return e.Err }

// NoSpace returns err, or a [*SpaceError] when err is the system's "no space left" or
// "quota exceeded".
func NoSpace(err error) error {
	if !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, syscall.EDQUOT) {
		return err
	}
	out := &SpaceError{Path: "the bundle", Err: err}
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		out.Path, out.Err = p.Path, p.Err
	}
	return out
}
