package layer

import (
	"archive/tar"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/klauspost/compress/zstd"

	"stowage/internal/iox"
	"stowage/pkg/archive"
)

const (
	// guessRatio is the assumed ratio of unpacked to stored size for a blob that does not
	// state its unpacked size; gzip layers of real images are between 2 and 3.
	guessRatio = 3
	// maxRatio limits the ratio for what a blob does not state. Layers of text are near
	// 10, those with large files of zeros may reach 100; the formats can reach 1032
	// (DEFLATE) and 30000 (zstd).
	maxRatio = 128
	// smallLayer may come out of any blob, however small, in bytes: the tar of one empty
	// file is several blocks of zeros.
	smallLayer = 1 << 20
)

// GuessSize returns the estimated unpacked size of a blob that cannot be read yet, from its
// stored size. Both are bytes.
func GuessSize(stored int64) int64 { return stored * guessRatio }

// UnpackedSize returns the size of a layer's tar in bytes: from the trailer of a gzip file
// (RFC 1952, ISIZE), from the header of a zstd frame (RFC 8878, Frame_Content_Size), the
// size of a plain tar, or else an estimate. stated is false for an estimate.
func UnpackedSize(blob Blob) (size int64, stated bool) {
	guess := GuessSize(blob.Size())
	var head [zstd.HeaderMaxSize]byte
	n, err := blob.ReadAt(head[:], 0)
	if n < 4 || err != nil && err != io.EOF {
		return guess, false
	}
	switch {
	case string(head[:3]) == string(gzipMagic):
		if size := gzipSize(blob); size >= blob.Size() {
			return size, true
		}
		return guess, false
	case string(head[:4]) == string(zstdMagic):
		var h zstd.Header
		if h.Decode(head[:n]) == nil && h.HasFCS && h.FrameContentSize < math.MaxInt64 {
			return max(int64(h.FrameContentSize), blob.Size()), true
		}
		return guess, false
	case skippable(head[:4]):
		return guess, false
	}
	return blob.Size(), true
}

// gzipSize reads the trailer. It has the size modulo 4 GiB, and only that of the last
// member of a file with several, so a size below that of the blob is wrong.
func gzipSize(blob Blob) int64 {
	var tail [4]byte
	if _, err := blob.ReadAt(tail[:], blob.Size()-4); err != nil {
		return 0
	}
	return int64(binary.LittleEndian.Uint32(tail[:]))
}

// limits are what a layer may unpack to, and what it has unpacked to.
//
// What a blob states was checked against the free space before anything was written. But it
// is the word of the maker of the blob, and a gzip file of several members or of 4 GiB and
// more cannot state it. So a layer may have what it states or maxRatio times its stored size,
// whichever is more, and beyond what it states it must leave a tenth of the free space.
type limits struct {
	stored int64 // bytes of the blob
	stated int64 // unpacked bytes that the blob states, -1 if it does not
	sized  int64 // limit by stored and stated
	space  int64 // limit by the free space

	tar    counter // the tar stream
	files  counter // regular files, by their headers
	sparse counter // sparse files, by their headers: only space limits these
}

// newLimits returns the limits for a blob on a file system with free bytes.
func newLimits(blob Blob, free int64) *limits {
	l := &limits{stored: blob.Size(), stated: -1, space: math.MaxInt64}
	counted, stated := UnpackedSize(blob)
	if stated {
		l.stated = counted
	}
	l.sized = max(l.stated, maxRatio*l.stored, smallLayer)
	if free >= 0 {
		l.space = max(counted, free-free/10)
	}
	l.tar.max = min(l.sized, l.space)
	l.files.max, l.sparse.max = l.tar.max, l.space
	return l
}

// counter is a sum of bytes with a limit.
type counter struct{ n, max int64 }

// add adds n bytes and reports whether the sum is within the limit.
func (c *counter) add(n int64) bool {
	c.n += min(n, math.MaxInt64-c.n)
	return c.n <= c.max
}

// stream returns a reader of the tar stream that fails when it exceeds its limit.
func (l *limits) stream(r io.Reader) io.Reader {
	return iox.ReaderFunc(func(p []byte) (int, error) {
		n, err := r.Read(p)
		if !l.tar.add(int64(n)) {
			return 0, errTooLarge
		}
		return n, err
	})
}

// file counts one entry of the tar stream by its header. The stream has only a part of a
// sparse file; extraction writes zeros for the rest.
func (l *limits) file(h *tar.Header) error {
	c := &l.files
	switch {
	case h.Typeflag == tar.TypeGNUSparse:
		return errOldSparse
	case h.Typeflag != tar.TypeReg:
		return nil
	case isSparse(h):
		c = &l.sparse
	}
	if !c.add(h.Size) {
		return errTooLarge
	}
	return nil
}

// exceeded reports whether the layer was stopped because of its size.
func (l *limits) exceeded() bool {
	return l.tar.n > l.tar.max || l.files.n > l.files.max || l.sparse.n > l.sparse.max
}

// err returns the error for a layer that exceeded a limit after read bytes of its blob.
func (l *limits) err(read int64) error {
	if l.sparse.n > l.sparse.max {
		return &SpaceError{Need: l.sparse.n, Free: l.space}
	}
	out := max(l.tar.n, l.files.n)
	if out > l.sized || out > l.stated && out > maxRatio*read {
		return &SizeError{Stored: l.stored, Stated: max(l.stated, 0), Unpacked: out}
	}
	return &SpaceError{Need: out, Free: l.tar.max}
}

// SizeError says that a layer unpacks to more than any real layer of its size. It is an
// [archive.ErrDamaged].
type SizeError struct {
	Stored   int64 // bytes of the blob
	Stated   int64 // unpacked bytes that it states, 0 if it does not
	Unpacked int64 // bytes unpacked when it was stopped
}

// Error returns the sizes.
func (e *SizeError) Error() string {
	return fmt.Sprintf("unpacks to %d bytes or more, stored are %d", e.Unpacked, e.Stored)
}

// Is reports whether target is [archive.ErrDamaged].
func (e *SizeError) Is(target error) bool { return target == archive.ErrDamaged }

// SpaceError says that a layer unpacks to more than there is space for.
type SpaceError struct {
	Need int64 // unpacked bytes known so far
	Free int64 // bytes it may have
}

// Error returns the sizes.
func (e *SpaceError) Error() string {
	return fmt.Sprintf("needs %d bytes, and may have %d", e.Need, e.Free)
}

// isSparse reports whether a file is sparse in one of the PAX formats (GNU tar manual,
// "Storing Sparse Files").
func isSparse(h *tar.Header) bool {
	return h.PAXRecords["GNU.sparse.major"] != "" || h.PAXRecords["GNU.sparse.map"] != ""
}

var (
	errTooLarge = errors.New("the layer is too large")
	// containerd's extraction ignores such entries (pkg/archive/tar.go), so the layer is
	// refused before anything of it is written.
	errOldSparse = errors.New("sparse file in the old GNU format, which containerd does not unpack")
)
