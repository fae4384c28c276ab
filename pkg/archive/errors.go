package archive

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"github.com/opencontainers/go-digest"
)

var (
	// ErrDamaged is in every error that says: this file is not a sound bundle.
	// It is cut, altered, over the limits, or something else altogether.
	// The error itself is a [*DamagedError].
	ErrDamaged = errors.New("bundle damaged")

	// ErrNotFound is in every error about a blob or document that is not held here.
	ErrNotFound = errors.New("not found")

	// ErrNoHead means that [OpenHead] cannot tell what a compressed file holds without
	// unpacking all of it: another program made the tarball, or packed it in pieces.
	ErrNoHead = errors.New("cannot be told without unpacking it all")

	// ErrHeadOnly means that a layer was asked of a bundle of which [OpenHead] unpacked
	// the documents alone.
	ErrHeadOnly = errors.New("only the documents were unpacked")
)

// A DamagedError says where a bundle is unsound. errors.Is(err, ErrDamaged) holds.
type DamagedError struct {
	File   string // path, or "" when the bundle was not opened by path
	Entry  string // name of the tar entry, or "" when it is about the file as a whole
	Offset int64  // of the entry's header, or of the place in the file, in bytes; of the unpacked file for an entry
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

// Unwrap gives the cause, [io.ErrUnexpectedEOF] for a file that was cut short.
func (e *DamagedError) Unwrap() error { return e.Err }

const (
	adviceCopy    = "copy the file again from where it was made, or make it anew"
	adviceForeign = "make the bundle with \"bundle\", or save the image as an OCI layout"
	adviceLimit   = "over the limits of a bundle; make several smaller ones"
)

// A DigestError says that bytes are not what their digest promises.
type DigestError struct {
	Want digest.Digest // what was asked for
	Got  digest.Digest // what arrived
	Size int64         // how many bytes were hashed
}

func (e *DigestError) Error() string {
	return fmt.Sprintf("digest of the %d bytes is %s, want %s", e.Size, e.Got, e.Want)
}

// A SpaceError says that a bundle does not fit on its file system, before anything is
// written or, where space cannot be reserved, in the midst of it. Sizes are bytes.
type SpaceError struct {
	Path string // the folder or file
	Need int64  // what is still to be written, 0 when not known
	Free int64  // what the file system has left for it
	Err  error  // the system's own word, or nil
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

// Unwrap gives the system's error.
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
