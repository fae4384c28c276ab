package archive

import (
	"fmt"
	"io"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// A Compression is how a bundle's file is packed. The bundle itself, and its identity,
// is the plain tarball.
type Compression uint8

// The ways of packing that are read and written.
const (
	Plain Compression = iota
	Gzip              // RFC 1952
	Zstd              // RFC 8878
)

// String gives the name of the program that unpacks it.
func (c Compression) String() string {
	switch c {
	case Plain:
		return "plain"
	case Gzip:
		return "gzip"
	case Zstd:
		return "zstd"
	}
	return fmt.Sprintf("compression %d", uint8(c))
}

// CompressionOf tells how a file of this name is to be packed: the endings ".gz", ".tgz",
// ".zst" and ".tzst" are those by which k3s and RKE2 unpack what lies in their image
// folders. Reading goes by the content and not by the name.
func CompressionOf(name string) Compression {
	name = strings.ToLower(name)
	for ending, c := range map[string]Compression{".gz": Gzip, ".tgz": Gzip, ".zst": Zstd, ".tzst": Zstd} {
		if strings.HasSuffix(name, ending) {
			return c
		}
	}
	return Plain
}

// sniff looks at how a file begins. A zstd file may begin with a frame to skip, as those
// that pzstd writes do.
func sniff(r io.ReaderAt) (Compression, error) {
	var magic [4]byte
	n, err := r.ReadAt(magic[:], 0)
	if err != nil && err != io.EOF {
		return Plain, err
	}
	switch m := magic[:n]; {
	case n >= 2 && m[0] == 0x1f && m[1] == 0x8b:
		return Gzip, nil
	case n == 4 && string(m) == "\x28\xb5\x2f\xfd", n == 4 && m[0]&0xf0 == 0x50 && string(m[1:]) == "\x2a\x4d\x18":
		return Zstd, nil
	}
	return Plain, nil
}

// zstdWindow is how far back the encoder looks. Half of what every decoder must bear
// (RFC 8878, 3.1.1.1.2) keeps the encoder at some 7 MiB of memory; more gains nothing on
// layers that are compressed already.
const zstdWindow = 4 << 20

// NewWriter returns a writer that compresses size bytes to w. Its output depends on the
// input and the version of the compression library alone: one goroutine, no time, no name.
func (c Compression) NewWriter(w io.Writer, size int64) (io.WriteCloser, error) {
	switch c {
	case Gzip:
		return gzip.NewWriterLevel(w, gzip.DefaultCompression)
	case Zstd:
		e, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true),
			zstd.WithEncoderLevel(zstd.SpeedDefault), zstd.WithWindowSize(zstdWindow))
		if err != nil {
			return nil, err
		}
		e.ResetContentSize(w, size)
		return e, nil
	}
	return nil, fmt.Errorf("cannot write %s", c)
}

// decoder unpacks r.
func (c Compression) decoder(r io.Reader) (io.ReadCloser, error) {
	switch c {
	case Gzip:
		return gzip.NewReader(r)
	case Zstd:
		d, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(MaxWindow))
		if err != nil {
			return nil, err
		}
		return d.IOReadCloser(), nil
	}
	return nil, fmt.Errorf("cannot read %s", c)
}
