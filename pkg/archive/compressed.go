package archive

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/klauspost/compress/zstd"

	"stowage/internal/iox"
)

// compressedFile is a compressed bundle, or a stream.
type compressedFile struct {
	path string
	src  io.ReaderAt // nil for a stream that is not a file
	size int64
	kind Compression
	lim  limits
	stop func() error // not nil once there is a reason to stop
}

// window returns the largest window that the file or stream may have, in bytes. A large
// file may have that of its first frame.
func (p *compressedFile) window() uint64 {
	if p.src == nil || p.size <= p.lim.small {
		return maxWindow
	}
	var head [zstd.HeaderMaxSize]byte
	n, _ := p.src.ReadAt(head[:], 0) // the decoder reports the error as well
	var h zstd.Header
	if err := h.Decode(head[:n]); err != nil {
		return maxWindow
	}
	return min(max(cmp.Or(h.WindowSize, h.FrameContentSize), maxWindow), maxFileWindow)
}

// windowAdvice says what to do about a window that is too large. Without --long, zstd itself
// refuses windows above 128 MiB.
func (p *compressedFile) windowAdvice() string {
	if p.src == nil {
		return "decompress it first with \"zstd -dc --long=31\""
	}
	return "load it with \"zstd -dc --long=31 FILE | load -\", or decompress it first with \"zstd -d --long=31 FILE\""
}

// open reads the metadata first. It states the size of the whole, and whether this is a
// bundle at all, before anything large is written.
func (p *compressedFile) open(o *OpenOptions) (*Reader, error) {
	r, err := p.readMetadata()
	switch {
	case err == nil && o.Metadata:
		return r, nil
	case errors.Is(err, ErrNoMetadata):
		return p.decompress(0, o.OnBytes)
	case err != nil:
		return nil, p.named(err)
	}
	size := r.Size()
	r.Close() // only read from
	return p.decompress(size, o.OnBytes)
}

// readMetadata opens a native bundle without its layers.
func (p *compressedFile) readMetadata() (*Reader, error) {
	u, err := p.reader(nil)
	if err != nil {
		return nil, err
	}
	defer u.dec.Close()
	r, err := p.metadataOf(u)
	if err != nil {
		return nil, err
	}
	if err := p.checkTrailer(r.size); err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

// metadataOf reads the metadata out of a decoder.
func (p *compressedFile) metadataOf(u *unpacked) (*Reader, error) {
	tmp, err := newTempFile(0)
	if err != nil {
		return nil, err
	}
	r, err := newMetadataWalk(u, tmp).read()
	if err != nil {
		tmp.Close()
		return nil, err
	}
	r.packed, r.closer = p.kind, tmp
	return r, nil
}

// named adds the name of the file to err.
func (p *compressedFile) named(err error) error {
	return named(p.path, "open bundle", err)
}

// named adds the name of a file to err.
func named(path, op string, err error) error {
	if d, ok := errors.AsType[*DamagedError](err); ok {
		if d.File == "" {
			d.File = path
		}
		return err
	}
	return fmt.Errorf("%s %s: %w", op, path, err)
}

// decompress opens the bundle in a temporary file. size is that of the tarball, or 0 when
// it is unknown.
func (p *compressedFile) decompress(size int64, onBytes func(int64)) (*Reader, error) {
	tmp, err := newTempFile(size)
	if err != nil {
		return nil, p.named(err)
	}
	n, err := p.copyTo(tmp, size, onBytes)
	if err != nil {
		tmp.Close()
		return nil, p.named(err)
	}
	r, err := newReader(tmp.f, n, p.path, p.lim)
	if err != nil {
		tmp.Close()
		return nil, err
	}
	r.packed, r.closer = p.kind, tmp
	return r, nil
}

// copyTo writes the tarball to tmp and returns its size.
func (p *compressedFile) copyTo(tmp *tempFile, size int64, onBytes func(int64)) (int64, error) {
	u, err := p.reader(onBytes)
	if err != nil {
		return 0, err
	}
	defer u.dec.Close()
	most := int64(math.MaxInt64)
	if size > 0 {
		most = size + p.lim.tail
	}
	buf := iox.Buffer()
	defer iox.Release(buf)
	for {
		n, err := u.Read(*buf)
		if _, werr := tmp.WriteAt((*buf)[:n], u.n-int64(n)); werr != nil {
			return 0, werr
		}
		switch {
		case u.n > most:
			return 0, u.damaged(adviceCopy, fmt.Errorf("more than %d bytes after the end of the tar", p.lim.tail))
		case err == io.EOF:
			return u.n, tmp.f.Truncate(u.n) // more may have been reserved
		case err != nil:
			return 0, err
		}
	}
}

// unpacked reads what comes out of a decoder. Errors other than io.EOF are final and tell
// damage of the file from a failure of the system.
type unpacked struct {
	p   *compressedFile
	dec io.ReadCloser
	src countedSource
	n   int64 // bytes that came out
	err error
}

// countedSource is the compressed file, read once from its start.
type countedSource struct {
	r       io.Reader
	n       int64
	err     error // of the system
	onBytes func(int64)
}

// Read implements [io.Reader].
func (s *countedSource) Read(b []byte) (int, error) {
	n, err := s.r.Read(b)
	s.n += int64(n)
	if err != nil && err != io.EOF {
		s.err = err
	}
	if s.onBytes != nil && n > 0 {
		s.onBytes(int64(n))
	}
	return n, err
}

func (p *compressedFile) reader(onBytes func(int64)) (*unpacked, error) {
	u := &unpacked{p: p, src: countedSource{r: io.NewSectionReader(p.src, 0, p.size), onBytes: onBytes}}
	var err error
	if u.dec, err = p.kind.decoder(&u.src, p.window()); err != nil {
		return nil, u.decodeError(err)
	}
	return u, nil
}

// Read implements [io.Reader].
func (u *unpacked) Read(b []byte) (int, error) {
	if u.err == nil {
		u.err = u.p.stop()
	}
	if u.err != nil {
		return 0, u.err
	}
	n, err := u.dec.Read(b)
	u.n += int64(n)
	if err != nil && err != io.EOF {
		u.err = u.decodeError(err)
		err = u.err
	}
	return n, err
}

// decodeError returns the error of the system, if there was one, or what a decoder's error
// says about the file.
func (u *unpacked) decodeError(err error) error {
	switch {
	case u.src.err != nil:
		return u.src.err
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return u.damaged(adviceCopy, fmt.Errorf("%s stream is cut: %w", u.p.kind, io.ErrUnexpectedEOF))
	case errors.Is(err, zstd.ErrWindowSizeExceeded), errors.Is(err, zstd.ErrDecoderSizeExceeded):
		return u.damaged(u.p.windowAdvice(), fmt.Errorf("decompressing it takes more than %d MiB of memory", u.p.window()>>20))
	}
	return u.damaged(adviceCopy, fmt.Errorf("%s stream: %w", u.p.kind, err))
}

func (u *unpacked) damaged(advice string, err error) error {
	return &DamagedError{File: u.p.path, Offset: u.src.n, Err: err, Advice: advice}
}

// tail reads the rest, which must be the end of a tar and nothing more: entries end at
// end, the tar with its end blocks at size.
func (u *unpacked) tail(end, size int64) error {
	wrong := func(off int64, err error) error {
		return &DamagedError{File: u.p.path, Offset: off, Err: err, Advice: adviceCopy}
	}
	buf := iox.Buffer()
	defer iox.Release(buf)
	for {
		n, err := u.Read(*buf)
		start := u.n - int64(n)
		// Before the end blocks comes the rest of the last layer, if it was not read.
		skip := min(max(end-start, 0), int64(n))
		if i := bytes.IndexFunc((*buf)[skip:n], func(c rune) bool { return c != 0 }); i >= 0 {
			return wrong(start+skip+int64(i), errTrailingBytes)
		}
		switch {
		case u.n > size+u.p.lim.tail:
			return wrong(u.n, fmt.Errorf("more than %d bytes after the end of the tar", u.p.lim.tail))
		case err == io.EOF && u.n < size:
			return wrong(u.n, errNoEnd)
		case err == io.EOF:
			return nil
		case err != nil:
			return u.p.named(err)
		}
	}
}

// unpackStream reads the first bytes of a stream and returns a reader of the tarball in it.
func unpackStream(ctx context.Context, r io.Reader, lim limits) (*unpacked, error) {
	p := &compressedFile{path: streamName, lim: lim, stop: ctx.Err}
	if f, ok := r.(namedFile); ok {
		p.path, p.src, p.size = f.Name(), f, f.Size()
	}
	u := &unpacked{p: p}
	u.src.r = iox.Interruptible(ctx, r)
	src := bufio.NewReaderSize(&u.src, iox.BufferSize)
	magic, _ := src.Peek(4) // a shorter stream is refused below
	if u.src.err != nil {
		return nil, fmt.Errorf("read %s: %w", p.path, u.src.err)
	}
	if len(magic) == 0 {
		return nil, &DamagedError{File: p.path, Err: fmt.Errorf("%w: %w", ErrEmpty, io.ErrUnexpectedEOF), Advice: adviceCopy}
	}
	var err error
	if p.kind, err = sniff(bytes.NewReader(magic)); err != nil {
		return nil, err
	}
	if p.kind == Plain {
		u.dec = io.NopCloser(src)
		return u, nil
	}
	if u.dec, err = p.kind.decoder(src, p.window()); err != nil {
		return nil, u.decodeError(err)
	}
	return u, nil
}

// maxBlocks bounds the walk over a zstd file: it is enough for 512 GiB in blocks of
// 128 KiB, the largest there are.
const maxBlocks = 1 << 22

// checkCut returns an [ErrDamaged] when the compressed file of a stream is known to be cut.
func (p *compressedFile) checkCut(size int64) error {
	if p.src == nil || p.kind == Plain {
		return nil
	}
	if err := p.checkTrailer(size); !errors.Is(err, ErrNoMetadata) {
		return err
	}
	return nil
}

// checkTrailer checks, without decompressing it, that a compressed file is complete and
// can hold a tarball of size bytes. [ErrNoMetadata] when its format does not state that.
func (p *compressedFile) checkTrailer(size int64) error {
	if p.kind == Gzip {
		return p.gzipTrailer(size)
	}
	content, err := p.zstdSize()
	switch {
	case err != nil:
		return err
	case content >= 0 && (content < size || content > size+p.lim.tail):
		return p.cutError(0, fmt.Errorf("%d bytes when decompressed, and its entries take %d", content, size))
	}
	return nil
}

// cutError reports damage at an offset of the compressed file.
func (p *compressedFile) cutError(off int64, err error) error {
	return &DamagedError{File: p.path, Offset: off, Err: err, Advice: adviceCopy}
}

// gzipTrailer reads the last field, the size modulo 2^32 (RFC 1952, 2.3.1). It is the size
// of the whole if the file has one member, as native bundles have.
func (p *compressedFile) gzipTrailer(size int64) error {
	var last [4]byte
	if _, err := p.src.ReadAt(last[:], p.size-int64(len(last))); err != nil && err != io.EOF {
		return err
	}
	if binary.LittleEndian.Uint32(last[:]) != uint32(size) {
		return fmt.Errorf("size at the end of the gzip stream: %w", ErrNoMetadata)
	}
	return nil
}

// zstdSize seeks from block to block (RFC 8878, 3.1.1) to the end, which must be the end
// of the file. It returns the size of the content, or -1 when a frame does not state it.
func (p *compressedFile) zstdSize() (content int64, err error) {
	cut := func(off int64) error {
		return p.cutError(off, fmt.Errorf("zstd stream is cut: %w", io.ErrUnexpectedEOF))
	}
	blocks := 0
	for off := int64(0); off < p.size; {
		var buf [zstd.HeaderMaxSize]byte
		n, err := p.src.ReadAt(buf[:], off)
		if err != nil && err != io.EOF {
			return 0, err
		}
		var h zstd.Header
		if err := h.Decode(buf[:n]); err != nil {
			if errors.Is(err, io.ErrUnexpectedEOF) {
				return 0, cut(off)
			}
			return 0, p.cutError(off, fmt.Errorf("zstd stream: %w", err))
		}
		if h.Skippable {
			off += int64(h.HeaderSize) + int64(h.SkippableSize)
			continue
		}
		switch {
		case !h.HasFCS, content < 0, h.FrameContentSize > 1<<60:
			content = -1
		default:
			content += int64(h.FrameContentSize)
		}
		off += int64(h.HeaderSize)
		for last := false; !last; blocks++ {
			if blocks > maxBlocks {
				return 0, fmt.Errorf("more than %d zstd blocks: %w", maxBlocks, ErrNoMetadata)
			}
			var b [4]byte
			if _, err := p.src.ReadAt(b[:3], off); err == io.EOF {
				return 0, cut(off)
			} else if err != nil {
				return 0, err
			}
			last = b[0]&1 != 0
			off += 3 + blockContent(binary.LittleEndian.Uint32(b[:]))
		}
		if h.HasCheckSum {
			off += 4
		}
		if off > p.size {
			return 0, cut(p.size)
		}
	}
	return content, nil
}

// blockContent returns the number of bytes after a block's header: one for a run. A damaged
// block is found when it is decompressed.
func blockContent(header uint32) int64 {
	const run = 1
	if header>>1&3 == run {
		return 1
	}
	return int64(header >> 3)
}
