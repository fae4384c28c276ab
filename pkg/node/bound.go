package node

import (
	"archive/tar"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"syscall"

	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stowage/pkg/archive"
)

const (
	// guessRatio is how much larger than its blob a layer is taken to be when the
	// blob does not tell; gzip layers of real images lie between 2 and 3.
	guessRatio = 3
	// maxRatio is how much larger than its blob a layer may be beyond what the blob
	// tells. Layers of text lie near 10, such with large files of zeros may reach 100;
	// the formats themselves can hide 1032 (DEFLATE) and 30000 times as much (zstd).
	maxRatio = 128
	// smallLayer may come out of any blob, however small: a layer of one empty file is
	// some blocks of zeros.
	smallLayer = 1 << 20
)

// unpackedSize gives the size of a layer's tar in bytes: from the trailer of a
// gzip file (RFC 1952, ISIZE), from the header of a zstd frame (RFC 8878,
// Frame_Content_Size), the size itself of a plain tar, else a guess. stated tells
// which: what is stated is the maker's word, and space is counted by it.
func (l *loader) unpackedSize(ctx context.Context, desc ocispec.Descriptor) (size int64, stated bool) {
	guess := desc.Size * guessRatio
	r, err := l.readerAt(ctx, desc)
	if err != nil {
		return guess, false
	}
	defer r.Close()
	var head [zstd.HeaderMaxSize]byte
	n, err := r.ReadAt(head[:], 0)
	if n < 4 || err != nil && err != io.EOF {
		return guess, false
	}
	switch {
	case string(head[:3]) == string(gzipMagic):
		if size := gzipSize(r, desc.Size); size >= desc.Size {
			return size, true
		}
		return guess, false
	case string(head[:4]) == string(zstdMagic):
		var h zstd.Header
		if h.Decode(head[:n]) == nil && h.HasFCS && h.FrameContentSize < math.MaxInt64 {
			return max(int64(h.FrameContentSize), desc.Size), true
		}
		return guess, false
	case skippable(head[:4]):
		return guess, false
	}
	return desc.Size, true
}

// gzipSize reads the trailer. It counts modulo 4 GiB and only the last member
// of a file made of several: what is less than the blob itself is not believed.
func gzipSize(r io.ReaderAt, size int64) int64 {
	var tail [4]byte
	if _, err := r.ReadAt(tail[:], size-4); err != nil {
		return 0
	}
	return int64(binary.LittleEndian.Uint32(tail[:]))
}

// atCloser is a blob that can be read anywhere.
type atCloser interface {
	io.ReaderAt
	io.Closer
}

// readerAt opens a layer: in the bundle, else on the node.
func (l *loader) readerAt(ctx context.Context, desc ocispec.Descriptor) (atCloser, error) {
	r, err := l.bundle.Open(desc.Digest)
	if err == nil {
		return struct {
			io.ReaderAt
			io.Closer
		}{r, io.NopCloser(nil)}, nil
	}
	if l.node == nil || !errors.Is(err, archive.ErrNotFound) {
		return nil, err
	}
	return l.node.content.ReaderAt(ctx, desc)
}

// bound is how much a layer may unpack to.
type bound struct {
	desc   ocispec.Descriptor
	most   int64 // bytes
	room   int64 // of which there is space, whatever the layer is like
	sized  int64 // by what the layer states and by its size alone
	stated int64 // what it states; -1 when it does not
	path   string
}

// bound limits what comes out of a layer. A trailer or header is the word of the one
// who made the layer, and of a gzip file of several members or of 4 GiB and more not
// even that; so a layer may have what it states, for which space was counted, or
// maxRatio times its size, whichever is more. Beyond what was counted it may take what
// is free now, but for a tenth: a layer that unpacks without end must not fill the node.
func (l *loader) bound(ctx context.Context, desc ocispec.Descriptor) bound {
	b := bound{desc: desc, stated: -1, room: math.MaxInt64, path: l.node.snapshotter.root}
	counted, stated := l.unpackedSize(ctx, desc)
	if stated {
		b.stated = counted
	}
	b.sized = max(b.stated, maxRatio*desc.Size, smallLayer)
	if l.local { // what is free elsewhere is not seen from here
		if disk, err := usage(b.path); err == nil {
			b.room = max(counted, disk.Free-disk.Free/10)
		}
	}
	b.most = min(b.sized, b.room)
	return b
}

// files gives what counts the files of the layer by their headers.
func (b bound) files() *sizes { return &sizes{left: b.most, room: b.room} }

// exceeded is the error for a layer of which more came out than the bound, in its stream or
// by the headers of its files; taken bytes of the blob had been used by then.
func (b bound) exceeded(read, taken int64, files *sizes) error {
	if files.room < 0 {
		return &SpaceError{Path: b.path, Need: files.sparse, Free: b.room}
	}
	read = max(read, files.sum)
	if read > b.sized || read > b.stated && read > maxRatio*taken {
		return &InflatedError{Layer: b.desc.Digest, Size: b.desc.Size, Stated: max(b.stated, 0), Unpacked: read}
	}
	return &SpaceError{Path: b.path, Need: read, Free: b.most}
}

// InflatedError says that a layer unpacks to more than anybody's layer does: it is
// damaged, or made to fill disks. It is an [archive.ErrDamaged].
type InflatedError struct {
	Layer    digest.Digest
	Size     int64 // bytes of the blob
	Stated   int64 // bytes it says it unpacks to, 0 when it does not
	Unpacked int64 // bytes that had come out when it was stopped
}

// Error gives the sizes; the layer is named by whoever was at work on it.
func (e *InflatedError) Error() string {
	text := fmt.Sprintf("stopped after %d bytes had come out of its %d", e.Unpacked, e.Size)
	if e.Stated > 0 {
		text += fmt.Sprintf("; it states %d", e.Stated)
	}
	return text
}

// Is makes the error an [archive.ErrDamaged].
func (e *InflatedError) Is(target error) bool { return target == archive.ErrDamaged }

// limit ends a stream after so many bytes.
type limit struct {
	r    io.Reader
	left int64 // bytes; negative when the stream was longer
	read int64
}

// Read implements [io.Reader].
func (l *limit) Read(p []byte) (int, error) {
	n, err := l.r.Read(p)
	l.read += int64(n)
	if l.left -= int64(n); l.left < 0 {
		return 0, io.ErrShortBuffer
	}
	return n, err
}

// sizes adds up the files of a layer. Of a sparse one the stream has a part only; the rest is made up of zeros when it is unpacked, which is
// what such a file is for: only the space on the disk bounds it.
type sizes struct {
	left, sum    int64 // bytes; left is negative when there was more
	room, sparse int64 // the same for sparse files
}

// filter refuses the file that is one too many.
func (s *sizes) filter(h *tar.Header) (bool, error) {
	left, sum := &s.left, &s.sum
	switch {
	case h.Typeflag == tar.TypeGNUSparse:
		return false, errOldSparse
	case h.Typeflag != tar.TypeReg:
		return true, nil
	case isSparse(h):
		left, sum = &s.room, &s.sparse
	}
	*sum += min(h.Size, math.MaxInt64-*sum)
	if *left -= h.Size; *left < 0 {
		return false, errTooLarge
	}
	return true, nil
}

// exceeded tells whether a file was refused.
func (s *sizes) exceeded() bool { return s.left < 0 || s.room < 0 }

// isSparse knows the PAX formats (GNU tar manual, "Storing Sparse Files").
func isSparse(h *tar.Header) bool {
	return h.PAXRecords["GNU.sparse.major"] != "" || h.PAXRecords["GNU.sparse.map"] != ""
}

var (
	errTooLarge = errors.New("the files of the layer are too large")
	// containerd's extraction knows no such entry (pkg/archive/tar.go), so it is refused
	// before anything of it is written.
	errOldSparse = errors.New("a sparse file in the form of old GNU tar, which containerd does not unpack")
)

// asDamaged makes an error of reading a layer's tar, whose bytes are what their digest
// says, one of the bundle: unless the system is at fault, the layer is no layer.
func asDamaged(err error) error {
	var no syscall.Errno
	var link *os.LinkError
	if errors.As(err, &no) && (no != syscall.EPERM || !errors.As(err, &link)) { // EPERM: a link to a folder
		switch no {
		case syscall.ENAMETOOLONG, syscall.ENOTDIR, syscall.EISDIR, syscall.ELOOP, syscall.EEXIST,
			syscall.EINVAL, syscall.ENOENT, syscall.ENOTEMPTY, syscall.EXDEV:
		default:
			return err
		}
	}
	return fmt.Errorf("%w: %w", err, archive.ErrDamaged)
}
