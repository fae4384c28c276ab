package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"stowage/internal/iox"
)

// OpenOptions are the options of [Open]. The zero value, or nil, opens any bundle with its
// layers.
type OpenOptions struct {
	// Metadata means that layers are not needed: to inspect a bundle, to compare it, to plan
	// a differential one. A compressed bundle is then decompressed up to its first layer,
	// however large it is, and [Reader.MetadataOnly] is true. That its rest is there is
	// concluded from the lengths that the compression format states. A file for which this is
	// impossible, such as another program's, is opened with its layers.
	Metadata bool

	// Docker also accepts a plain tarball that has docker's manifest.json and no OCI layout,
	// as docker save wrote before version 25 and other programs still do. Every layer is
	// hashed. Such a file has no manifests, so they are made: the images have the IDs that
	// they have in docker, and digests of their own.
	Docker bool

	// OnBytes, if not nil, is called with numbers of bytes of a compressed file that were
	// read; they add up to its size.
	OnBytes func(int64)

	// LimitRate, if not 0, is how many bytes a second are read of a plain file or a directory,
	// now and later by the Reader: all that it reads together, and what it reads twice, twice.
	// Reads that wait for their turn end with the ctx of Open.
	LimitRate int64
}

// Open opens the bundle at path and checks all but the bytes of its layers. An error
// about the file itself wraps [ErrDamaged]; other errors are those of the system or of ctx.
//
// A file compressed with gzip or zstd is decompressed into a temporary file without a name
// (below TMPDIR, see [os.TempDir]), which Close removes. Open returns a [*SpaceError] if
// it does not fit. A tenth of the free space there stays free.
//
// A directory that is an OCI image layout is opened as well, of any program. For its
// manifests Open checks that all they name is there. It cannot see that a platform as a
// whole is missing.
func Open(ctx context.Context, path string, o *OpenOptions) (*Reader, error) {
	if o == nil {
		o = &OpenOptions{}
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open bundle: %w", err)
	}
	info, err := f.Stat()
	switch {
	case err != nil:
	case info.IsDir():
		f.Close()
		r, err := openDir(path, defaultLimits)
		if err == nil {
			r.src = iox.NewRate(o.LimitRate).ReaderAt(ctx, r.src)
		}
		return r, err
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
		p := &compressedFile{path: path, src: f, size: info.Size(), kind: c, lim: defaultLimits, stop: ctx.Err}
		return p.open(o)
	}
	r, err := openPlain(iox.NewRate(o.LimitRate).ReaderAt(ctx, f), info.Size(), path, o.Docker)
	if err != nil {
		f.Close()
		return nil, err
	}
	r.closer = f
	return r, nil
}

// openPlain opens a plain tarball. One with an OCI layout is never read as docker's, so
// that none of its checks is avoided.
func openPlain(f io.ReaderAt, size int64, path string, docker bool) (*Reader, error) {
	r, err := newReader(f, size, path, defaultLimits)
	if !docker || !errors.Is(err, ErrDamaged) {
		return r, err
	}
	if r, derr := readDocker(f, size, path, defaultLimits); derr == nil {
		return r, nil
	}
	return nil, err
}
