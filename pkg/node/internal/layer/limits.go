package layer

import (
	"archive/tar"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"math"
	"path"
	"strings"

	"github.com/klauspost/compress/zstd"

	"stowage/pkg/archive"
	"stowage/pkg/node/internal/disk"
)

const (
	// guessRatio is the assumed ratio of unpacked to stored size for a blob that does not
	// state its unpacked size; gzip layers of real images are between 2 and 3.
	guessRatio = 3
	// maxRatio limits the ratio for what a blob does not state. Layers of text are near
	// 10, those with large files of zeros may reach 100; the formats can reach 1032
	// (DEFLATE) and 30000 (zstd).
	maxRatio = 128
	// smallLayer may come out of any blob, however small, in bytes: a file of zeros that a
	// program has preallocated, say. The budget of the disk limits it as well.
	smallLayer = 1 << 30
	// littleSpace is what a real layer may take of a disk beyond maxRatio, in bytes.
	littleSpace = 1 << 20
	// lookAgain is after how many bytes of the tar stream the budget looks at the real free
	// space, if no entry has made it do that.
	lookAgain = 1 << 20
	// nameBytes is what 16 bytes of a name take in a directory whose blocks are half full.
	nameBytes = 64
	// inodeBytes is the size of an inode where the file system creates them as needed.
	inodeBytes = 512
	// shortLink is the length of a link that fits into the inode.
	shortLink = 59
	// pathMemory and headerMemory are what a path and a header take besides their text.
	pathMemory, headerMemory = 64, 400
	// maxPath is the longest path that the kernel takes (PATH_MAX).
	maxPath = 4096
	// maxKnown limits the directories that are remembered of a layer; they take 1 MiB.
	maxKnown = 1 << 15
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
// A layer may have maxRatio times its stored size, or smallLayer. What its blob states is the
// word of its maker and raises no limit; a size that does not fit is refused early, by the
// caller. What is written is drawn from the budget of the file system beforehand.
type limits struct {
	stored int64        // bytes of the blob
	stated int64        // unpacked bytes that the blob states, -1 if it does not
	budget *disk.Budget // nil if nothing is written
	full   error        // of the budget

	tar     counter   // the tar stream
	files   counter   // regular files, by their headers
	drawn   disk.Cost // what the entries take
	onDisk  int64     // bytes that the entries take, without the contents of sparse files
	memory  *Memory   // nil if nothing is written
	root    int       // length of the path of the directory
	names   int64     // bytes taken from memory
	looked  int64     // of the tar stream, when the budget was last asked
	parents knownDirs
}

// newLimits returns the limits for a blob. A nil budget means that nothing is written.
func newLimits(blob Blob, budget *disk.Budget) *limits {
	l := &limits{stored: blob.Size(), stated: -1, budget: budget}
	if size, stated := UnpackedSize(blob); stated {
		l.stated = size
	}
	l.tar.max = max(saturated(maxRatio, l.stored), smallLayer)
	l.files.max = l.tar.max
	return l
}

// saturated returns a product of numbers that are not negative, at most the largest number.
func saturated(a, b int64) int64 {
	if b > math.MaxInt64/a {
		return math.MaxInt64
	}
	return a * b
}

// counter is a sum of bytes with a limit.
type counter struct{ n, max int64 }

// add adds n bytes and reports whether the sum is within the limit.
func (c *counter) add(n int64) bool {
	c.n = add(c.n, n)
	return c.n <= c.max
}

// part counts n bytes of the tar stream. It fails when the stream exceeds its limit, or
// when others have filled the file system.
func (l *limits) part(n int) error {
	if !l.tar.add(int64(n)) {
		return errTooLarge
	}
	if l.budget != nil && l.tar.n-l.looked >= lookAgain {
		l.looked = l.tar.n
		return l.draw(disk.Cost{})
	}
	return nil
}

// file counts one entry of the tar stream by its header. The stream has only a part of a
// sparse file; extraction writes zeros for the rest.
func (l *limits) file(h *tar.Header) error {
	if h.Typeflag == tar.TypeGNUSparse {
		return errOldSparse
	}
	regular, sparse := h.Typeflag == tar.TypeReg, isSparse(h)
	if regular && !sparse && !l.files.add(h.Size) {
		return errTooLarge
	}
	n := l.remembered(h)
	if !l.memory.try(n) {
		return ErrMemory
	}
	l.names += n
	if l.budget == nil {
		return nil
	}
	c := l.cost(h)
	if regular {
		content := blocks(h.Size, l.budget.Block())
		if !sparse {
			l.onDisk = add(l.onDisk, content)
		}
		c = c.Add(disk.Cost{Bytes: content})
	}
	return l.draw(c)
}

// draw draws from the budget.
func (l *limits) draw(c disk.Cost) error {
	if l.full == nil {
		l.full = l.budget.Draw(c)
	}
	if l.full == nil {
		l.drawn = l.drawn.Add(c)
	}
	return l.full
}

// cost returns what an entry takes besides its contents: its inode and its name, a block
// for a directory, a long link and extended attributes, and the directories above it that
// the layer does not list.
func (l *limits) cost(h *tar.Header) disk.Cost {
	block := l.budget.Block()
	dirs := l.parents.add(path.Dir(h.Name))
	if h.Typeflag == tar.TypeDir {
		dirs += l.parents.add(h.Name)
	}
	c := disk.Cost{Bytes: dirs*block + nameBytes*int64(1+len(path.Base(h.Name))/16), Inodes: dirs}
	if h.Typeflag != tar.TypeDir && h.Typeflag != tar.TypeLink {
		c.Inodes++
	}
	if len(h.Linkname) > shortLink && h.Typeflag == tar.TypeSymlink {
		c.Bytes += block
	}
	attributes := 0
	for k, v := range h.PAXRecords {
		if strings.HasPrefix(k, "SCHILY.xattr.") {
			attributes += len(k) + len(v)
		}
	}
	c.Bytes += blocks(int64(attributes), block) + c.Inodes*inodeBytes
	l.onDisk += c.Bytes
	return c
}

// remembered returns the bytes of memory that extraction uses for an entry until its end,
// at most: containerd's archive package keeps the path of each one and the headers of
// directories, package extract less. The garbage collector lets the heap grow to twice of
// that.
func (l *limits) remembered(h *tar.Header) int64 {
	n := l.root + len(h.Name) + pathMemory
	if h.Typeflag == tar.TypeDir {
		n += len(h.Name) + headerMemory
		for k, v := range h.PAXRecords {
			n += len(k) + len(v)
		}
	}
	return 2 * int64(n)
}

// blocks returns size rounded up to whole blocks.
func blocks(size, block int64) int64 { return add(size, block-1) / block * block }

// add adds numbers that are not negative; the sum is at most the largest number.
func add(a, b int64) int64 { return a + min(b, math.MaxInt64-a) }

// knownDirs are directories of a layer that were counted, as hashes. Beyond maxKnown they
// are forgotten, and some are counted again.
type knownDirs struct {
	seed maphash.Seed
	seen map[uint64]struct{}
}

// add adds a directory and those above it, and returns how many were not known.
func (k *knownDirs) add(dir string) (fresh int64) {
	if len(dir) > maxPath {
		return 0 // the kernel refuses it
	}
	if k.seen == nil {
		k.seed, k.seen = maphash.MakeSeed(), map[uint64]struct{}{}
	}
	for dir = path.Clean("/" + dir); dir != "/"; dir = path.Dir(dir) {
		h := maphash.String(k.seed, dir)
		if _, known := k.seen[h]; known {
			break
		}
		if len(k.seen) == maxKnown {
			clear(k.seen)
		}
		k.seen[h] = struct{}{}
		fresh++
	}
	return fresh
}

// exceeded reports whether the layer was stopped because of its size.
func (l *limits) exceeded() bool {
	return l.tar.n > l.tar.max || l.files.n > l.files.max || l.full != nil
}

// err returns the error for a layer that was stopped after read bytes of its blob. A layer
// that the budget ends is at fault if it has unpacked to more than a real one does.
func (l *limits) err(read int64) error {
	out := max(l.tar.n, l.files.n, l.onDisk)
	if l.full != nil && (out <= l.stated || !TooLarge(read, out)) {
		return l.full
	}
	return &SizeError{Stored: l.stored, Stated: max(l.stated, 0), Unpacked: out, Err: l.full}
}

// TooLarge reports whether no real layer takes out bytes of a disk after stored bytes of it
// were read.
func TooLarge(stored, out int64) bool { return out > max(saturated(maxRatio, stored), littleSpace) }

// SizeError says that a layer unpacks to more than any real layer of its size. It is an
// [archive.ErrDamaged].
type SizeError struct {
	Stored   int64 // bytes of the blob
	Stated   int64 // unpacked bytes that it states, 0 if it does not
	Unpacked int64 // bytes unpacked when it was stopped, or that its files and directories take
	Err      error // of the budget that ended it, if any
}

// Error returns the sizes.
func (e *SizeError) Error() string {
	return fmt.Sprintf("unpacks to %d bytes or more, stored are %d", e.Unpacked, e.Stored)
}

// Is reports whether target is [archive.ErrDamaged].
func (e *SizeError) Is(target error) bool { return target == archive.ErrDamaged }

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
