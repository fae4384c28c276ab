package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"

	"github.com/klauspost/compress/zstd"

	"stowage/internal/iox"
)

// Open opens a bundle by path and checks all but the layers' bytes. What is wrong with
// the file itself has [ErrDamaged] in it; other errors are the system's.
//
// A file packed with gzip or zstd is unpacked, whole, into a temporary file that has no
// name any more (below TMPDIR, see [os.TempDir]) and that Close gives back; a
// [*SpaceError] when it does not fit. A tenth of what is free there stays free. Use
// [OpenContext] where that may take long, and [OpenHead] where layers are not wanted.
//
// A folder that is an OCI image layout is opened as well, whoever wrote it. That nothing
// was lost from one shows for what its manifests name, and not for a whole platform.
func Open(path string) (*Reader, error) {
	return openPath(path, opening{stop: func() error { return nil }})
}

// OpenContext is [Open], ended early by ctx. onBytes, if not nil, is told how many bytes
// of a packed file were read; they add up to its size.
func OpenContext(ctx context.Context, path string, onBytes func(int64)) (*Reader, error) {
	return openPath(path, opening{stop: ctx.Err, onBytes: onBytes})
}

// opening is what opening a file may be told.
type opening struct {
	stop    func() error // not nil once there is a reason to stop
	onBytes func(int64)
	head    bool // the documents will do
}

func openPath(path string, o opening) (*Reader, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open bundle: %w", err)
	}
	info, err := f.Stat()
	switch {
	case err != nil:
	case info.IsDir():
		f.Close()
		return openLayout(path, defaultLimits)
	case !info.Mode().IsRegular():
		err = errors.New("not a regular file, and a bundle is read at many places at once")
	}
	var c Compression
	if err == nil {
		c, err = sniff(f)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("open bundle %s: %w", path, err)
	}
	if c != Plain {
		defer f.Close()
		p := &packedFile{path: path, src: f, size: info.Size(), kind: c, opening: o, lim: defaultLimits}
		return p.open()
	}
	r, err := newReader(f, info.Size(), path, defaultLimits)
	if err != nil {
		f.Close()
		return nil, err
	}
	r.closer = f
	return r, nil
}

// packedFile is a compressed bundle.
type packedFile struct {
	path string
	src  io.ReaderAt
	size int64
	kind Compression
	lim  limits
	opening
}

// open looks at the documents first: they tell how large the whole is, and whether it is
// a bundle at all, before anything large is written.
func (p *packedFile) open() (*Reader, error) {
	head, err := p.readHead()
	switch {
	case p.head && err == nil:
		return head, nil
	case !p.head && errors.Is(err, ErrNoHead):
		return p.whole(0)
	case err != nil:
		return nil, p.named(err)
	}
	size := head.Size()
	head.Close() // nothing was written that anybody wants
	return p.whole(size)
}

// named gives an error its file.
func (p *packedFile) named(err error) error {
	if d, ok := errors.AsType[*DamagedError](err); ok {
		if d.File == "" {
			d.File = p.path
		}
		return err
	}
	return fmt.Errorf("open bundle %s: %w", p.path, err)
}

// whole unpacks everything; size is that of the tarball, or 0 when it is not known.
func (p *packedFile) whole(size int64) (*Reader, error) {
	s, err := newSpool(size)
	if err != nil {
		return nil, p.named(err)
	}
	n, err := p.unpack(s, size)
	if err != nil {
		s.Close()
		return nil, p.named(err)
	}
	r, err := newReader(s.f, n, p.path, p.lim)
	if err != nil {
		s.Close()
		return nil, err
	}
	r.packed, r.closer = p.kind, s
	return r, nil
}

// unpack writes the tarball to s and gives its size.
func (p *packedFile) unpack(s *spool, size int64) (int64, error) {
	u, err := p.reader(p.onBytes)
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
		if _, werr := s.WriteAt((*buf)[:n], u.n-int64(n)); werr != nil {
			return 0, werr
		}
		switch {
		case u.n > most:
			return 0, u.damaged(adviceCopy, fmt.Errorf("more than %d bytes after the end of the tar", p.lim.tail))
		case err == io.EOF:
			return u.n, s.f.Truncate(u.n) // what was reserved may be more
		case err != nil:
			return 0, err
		}
	}
}

// unpacked reads what comes out of a compressed file. Errors but io.EOF are final and
// say whether the file or the system is at fault.
type unpacked struct {
	p   *packedFile
	dec io.ReadCloser
	src countedSource
	n   int64 // bytes that came out
	err error
}

// countedSource is the compressed file, read once from its start.
type countedSource struct {
	r       *io.SectionReader
	n       int64
	err     error // of the system
	onBytes func(int64)
}

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

func (p *packedFile) reader(onBytes func(int64)) (*unpacked, error) {
	u := &unpacked{p: p, src: countedSource{r: io.NewSectionReader(p.src, 0, p.size), onBytes: onBytes}}
	var err error
	if u.dec, err = p.kind.decoder(&u.src); err != nil {
		return nil, u.verdict(err)
	}
	return u, nil
}

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
		u.err = u.verdict(err)
		err = u.err
	}
	return n, err
}

// verdict tells a damaged file from a failing system.
func (u *unpacked) verdict(err error) error {
	switch {
	case u.src.err != nil:
		return u.src.err
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return u.damaged(adviceCopy, fmt.Errorf("%s stream is cut: %w", u.p.kind, io.ErrUnexpectedEOF))
	case errors.Is(err, zstd.ErrWindowSizeExceeded), errors.Is(err, zstd.ErrDecoderSizeExceeded):
		return u.damaged("unpack it first with \"zstd -d --long=31\"", fmt.Errorf("unpacking it takes more than %d MiB of memory", MaxWindow>>20))
	}
	return u.damaged(adviceCopy, fmt.Errorf("%s stream: %w", u.p.kind, err))
}

func (u *unpacked) damaged(advice string, err error) error {
	return &DamagedError{File: u.p.path, Offset: u.src.n, Err: err, Advice: advice}
}
