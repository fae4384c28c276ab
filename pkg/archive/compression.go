package archive

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// A Compression is the compression of a bundle's file. The identity of a bundle is that of
// the plain tarball.
type Compression uint8

// The compressions that are read and written.
const (
	Plain Compression = iota
	Gzip              // RFC 1952
	Zstd              // RFC 8878
)

// String returns the name of the program that decompresses it.
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

// CompressionOf returns the compression of a file that is to be written under a name. It
// knows the suffixes ".gz", ".tgz", ".zst" and ".tzst", by which k3s and RKE2 decompress
// what lies in their image directories. Readers look at the content and not at the name.
func CompressionOf(name string) Compression {
	name = strings.ToLower(name)
	for suffix, c := range map[string]Compression{".gz": Gzip, ".tgz": Gzip, ".zst": Zstd, ".tzst": Zstd} {
		if strings.HasSuffix(name, suffix) {
			return c
		}
	}
	return Plain
}

// CompressionOfFile returns the compression of a file, by its content.
func CompressionOfFile(path string) (Compression, error) {
	f, err := os.Open(path)
	if err != nil {
		return Plain, err
	}
	defer f.Close()
	return sniff(f)
}

// sniff reads the first bytes of a file. A zstd file may begin with a skippable frame, as
// pzstd writes it.
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

// zstdWindow is the window of the encoder. Half of what every decoder must support
// (RFC 8878, 3.1.1.1.2) keeps the encoder at about 7 MiB of memory; more gains nothing on
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

// layerDecoder returns a reader that decompresses a layer.
func (c Compression) layerDecoder(r io.Reader) (io.ReadCloser, error) {
	return c.decoder(r, maxLayerWindow)
}

// decoder returns a reader that decompresses r. A window of zstd above the given size is an
// error.
func (c Compression) decoder(r io.Reader, window uint64) (io.ReadCloser, error) {
	switch c {
	case Gzip:
		return gzip.NewReader(r)
	case Zstd:
		d, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(window))
		if err != nil {
			return nil, err
		}
		return d.IOReadCloser(), nil
	}
	return nil, fmt.Errorf("cannot read %s", c)
}
