package archive

import (
	"context"
	"errors"
	"io"
	"os"
)

// maxHead is what may come of a stream until it shows whose it is, in bytes: the three
// documents that may stand before the first blob, with their headers.
const maxHead = 3*MaxDocument + 1<<20

// OpenAnyStream is [OpenStream] for every tarball that can be read as it arrives: one of
// the two is not nil. What is wrong with a foreign one shows when it has been read.
func OpenAnyStream(ctx context.Context, r io.Reader) (*StreamReader, *ForeignStream, error) {
	return openAnyStream(ctx, r, defaultLimits)
}

func openAnyStream(ctx context.Context, r io.Reader, lim limits) (*StreamReader, *ForeignStream, error) {
	u, err := unpackStream(ctx, r, lim)
	if err != nil {
		return nil, nil, err
	}
	taken := &recorder{src: u.dec}
	u.dec = taken
	s, ours, err := headOfStream(u)
	if err == nil {
		taken.stop()
		return s, nil, nil
	}
	var f *ForeignStream
	if u.err == nil && taken.whole() && foreign(err, ours) {
		u.dec, u.n = taken.replay(), 0
		f, err = newForeignStream(u, lim)
	}
	if err != nil {
		u.dec.Close()
		return nil, nil, err
	}
	return nil, f, nil
}

// foreign tells whether a stream that is no bundle may be a tarball of another program.
func foreign(err error, ours bool) bool {
	return errors.Is(err, ErrNoHead) || errors.Is(err, ErrDamaged) && !errors.Is(err, io.ErrUnexpectedEOF) && !ours
}

// Packed tells how a file is packed, whatever is in it.
func Packed(file string) (Compression, error) {
	f, err := os.Open(file)
	if err != nil {
		return Plain, err
	}
	defer f.Close()
	return sniff(f)
}

// recorder keeps the beginning of what passes, to give it again.
type recorder struct {
	src  io.ReadCloser
	seen []byte
	off  bool
}

// Read implements [io.Reader].
func (r *recorder) Read(p []byte) (int, error) {
	n, err := r.src.Read(p)
	if r.off {
		return n, err
	}
	if r.seen = append(r.seen, p[:n]...); len(r.seen) > maxHead {
		r.stop()
	}
	return n, err
}

// Close implements [io.Closer].
func (r *recorder) Close() error { return r.src.Close() }

func (r *recorder) stop()       { r.seen, r.off = nil, true }
func (r *recorder) whole() bool { return !r.off }

// replay begins again.
func (r *recorder) replay() io.ReadCloser { return &replay{again: r.seen, src: r.src} }

// replay gives bytes that have passed, then goes on.
type replay struct {
	again []byte
	src   io.ReadCloser
}

// Read implements [io.Reader].
func (r *replay) Read(p []byte) (int, error) {
	if len(r.again) == 0 {
		r.again = nil
		return r.src.Read(p)
	}
	n := copy(p, r.again)
	r.again = r.again[n:]
	return n, nil
}

// Close implements [io.Closer].
func (r *replay) Close() error { return r.src.Close() }
