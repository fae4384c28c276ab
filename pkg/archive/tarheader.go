package archive

import (
	"archive/tar"
	"bytes"
	"fmt"
	"time"

	"github.com/opencontainers/go-digest"
)

const (
	block     = 512       // unit of a tar, bytes
	endBlocks = 2 * block // zeros that end it
	ustarMax  = 1<<33 - 1 // largest size an eleven-digit octal field holds
	nameMax   = 100       // longest name without a prefix field
	blobsDir  = "blobs/"  // directories are entries: docker load needs them
	blobDir   = "blobs/sha256/"
	layoutDoc = `{"imageLayoutVersion":"1.0.0"}`
)

const (
	entryLayout = "oci-layout"
	entryIndex  = "index.json"
	entryDocker = "manifest.json"
)

// blobEntry returns the name of a blob's entry.
func blobEntry(d digest.Digest) string { return blobDir + d.Encoded() }

// padded rounds up to whole blocks.
func padded(n int64) int64 { return (n + block - 1) &^ (block - 1) }

// header returns the header blocks of an entry; a name that ends in a slash is a directory.
// Everything that could depend on the machine or the time is fixed.
func header(name string, size int64) ([]byte, error) {
	h := &tar.Header{
		Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o644,
		ModTime: time.Unix(0, 0), Format: tar.FormatUSTAR,
	}
	if name[len(name)-1] == '/' {
		h.Typeflag, h.Mode = tar.TypeDir, 0o755
	}
	if size > ustarMax || len(name) > nameMax {
		h.Format = tar.FormatPAX
	}
	var b bytes.Buffer
	if err := tar.NewWriter(&b).WriteHeader(h); err != nil {
		return nil, fmt.Errorf("tar header of %s: %w", name, err)
	}
	return b.Bytes(), nil
}

// headerSize returns len(header(name, size)), without making the header in the usual case.
func headerSize(name string, size int64) (int64, error) {
	if size <= ustarMax && len(name) <= nameMax {
		return block, nil
	}
	h, err := header(name, size)
	return int64(len(h)), err
}
