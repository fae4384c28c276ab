package archive

import (
	"errors"
	"fmt"
	"sync/atomic"
)

// budget bounds the metadata of one tarball: the bytes that are read of it, and the memory
// that is held for it. Both are counted before they are spent, so a tarball that has more
// is refused while it costs no more. It may be used from many goroutines.
type budget struct {
	lim        limits
	read, held atomic.Int64
}

func newBudget(lim limits) *budget { return &budget{lim: lim} }

// A budgetError reports a tarball that has more metadata than the budget.
type budgetError struct{ what string }

func (e *budgetError) Error() string { return e.what }

// isBudget reports whether err is about the budget.
func isBudget(err error) bool {
	var b *budgetError
	return errors.As(err, &b)
}

// spend counts bytes of metadata that are about to be read.
func (b *budget) spend(n int64) error {
	if b.read.Add(n) > b.lim.read {
		return &budgetError{fmt.Sprintf("more than %d MiB of metadata", b.lim.read>>20)}
	}
	return nil
}

// hold counts bytes of memory that are about to be held. A negative number frees them.
func (b *budget) hold(n int64) error {
	if b.held.Add(n) > b.lim.held {
		return &budgetError{fmt.Sprintf("its metadata takes more than %d MiB of memory", b.lim.held>>20)}
	}
	return nil
}

// What things take in memory, in bytes: the struct, its digest, and its place in a map or
// in a slice that grows.
const (
	costBlob     = 384 // an entry, with its place in Reader.at
	costName     = 128 // an entry of another program's tarball, without its name
	costDocument = 256 // a manifest or config
	costChild    = 144 // a layer of a manifest, or a child of an index
	costPresent  = 128 // a manifest of Image.Present, or a referrer
	costImage    = 640 // an image, with its name
	costKnown    = 96  // a digest that is expected in a stream
	costPlatform = 192 // a platform, without long strings
)

// Hold counts n bytes that a caller keeps in memory about the bundle together with what
// the Reader itself holds. It returns an [ErrDamaged] when that is more than the metadata
// of a bundle may take. A negative n frees them.
func (r *Reader) Hold(n int64) error {
	if err := r.budget.hold(n); err != nil {
		return &DamagedError{File: r.file, Entry: entryIndex, Err: err, Advice: adviceLimit}
	}
	return nil
}
