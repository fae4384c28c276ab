package archive

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/opencontainers/go-digest"

	"stowage/internal/iox"
	"stowage/internal/manifest"
)

var (
	errSparse        = errors.New("sparse files are not allowed")
	errNoEnd         = fmt.Errorf("the end of the tar is missing: %w", io.ErrUnexpectedEOF)
	errTrailingBytes = errors.New("not zero after the end of the tar")
)

// extent is where the content of an entry lies.
type extent struct{ off, size int64 }

// tarball is the list of entries.
type tarball struct {
	files map[string]extent // entries that are not blobs, directories included
	blobs []Blob            // digest, size and offset, in the order of the file
	at    map[digest.Digest]int32
}

// entryWalk reads the headers of a tarball and seeks over the contents: a few hundred
// bytes are read for an entry of any size.
type entryWalk struct {
	src  *io.SectionReader
	size int64
	*budget
	out tarball
	end int64 // of the last entry, padding included
	n   int
}

// readEntries lists the entries of a tarball. The form is strict: regular files and
// directories of an OCI layout, with or without a leading "./", each once, two zero blocks
// at the end and nothing but zeros after them. Beyond the layout only docker save's
// manifest.json and repositories may be there, and the empty directory "ingest" that oras
// leaves.
func readEntries(r io.ReaderAt, size int64, b *budget) (*tarball, error) {
	w := newEntryWalk(b)
	w.src, w.size = io.NewSectionReader(r, 0, size), size
	if err := w.checkPlain(); err != nil {
		return nil, err
	}
	tr := tar.NewReader(w.src)
	for {
		h, err := tr.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, w.headerError(err)
		}
		data, err := w.src.Seek(0, io.SeekCurrent)
		if err != nil {
			return nil, err
		}
		if err := w.add(h, data); err != nil {
			return nil, err
		}
	}
	return &w.out, w.tail()
}

func newEntryWalk(b *budget) entryWalk {
	return entryWalk{budget: b, out: tarball{files: map[string]extent{}, at: map[digest.Digest]int32{}}}
}

func (w *entryWalk) damaged(entry, advice string, err error) error {
	if isBudget(err) {
		advice = adviceLimit
	}
	return &DamagedError{Entry: entry, Offset: w.end, Err: err, Advice: advice}
}

// checkPlain returns an error that says what a file is instead of a plain tar.
func (w *entryWalk) checkPlain() error {
	if w.size == 0 {
		return w.damaged("", adviceCopy, fmt.Errorf("empty file: %w", io.ErrUnexpectedEOF))
	}
	c, err := sniff(w.src)
	if err == nil && c != Plain {
		err = w.damaged("", fmt.Sprintf("decompress it first with \"%s -d\"", c), fmt.Errorf("compressed with %s", c))
	}
	return err
}

func (w *entryWalk) headerError(err error) error {
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return w.damaged("", adviceCopy, fmt.Errorf("cut inside a header: %w", err))
	case errors.Is(err, tar.ErrHeader) && w.n == 0:
		return w.damaged("", adviceOther, errors.New("not a tar file"))
	case errors.Is(err, tar.ErrHeader):
		return w.damaged("", adviceCopy, errors.New("no tar header where one should be"))
	case errors.Is(err, tar.ErrFieldTooLong), errors.Is(err, tar.ErrInsecurePath):
		return w.damaged("", adviceCopy, err)
	}
	return err // of the disk
}

// add adds the entry of a header whose content begins at data.
func (w *entryWalk) add(h *tar.Header, data int64) error {
	if w.n++; w.n > w.lim.entries {
		return w.damaged("", adviceLimit, fmt.Errorf("more than %d entries", w.lim.entries))
	}
	name, err := entryName(h)
	if err != nil {
		return w.damaged(printable(h.Name), adviceOther, err)
	}
	if h.Size > w.size-data {
		return w.damaged(shown(name), adviceCopy, fmt.Errorf("cut after %d of %d bytes: %w", w.size-data, h.Size, io.ErrUnexpectedEOF))
	}
	if err := w.addFile(name, extent{data, h.Size}); err != nil {
		if isBudget(err) {
			return w.damaged(shown(name), adviceLimit, err)
		}
		return w.damaged(shown(name), adviceOther, err)
	}
	w.end = data + padded(h.Size)
	return nil
}

// sparse reports whether the tar holds only parts of a file.
func sparse(h *tar.Header) bool {
	for key := range h.PAXRecords {
		if strings.HasPrefix(key, "GNU.sparse.") {
			return true
		}
	}
	return h.Typeflag == tar.TypeGNUSparse
}

// printable shortens and quotes a name for a message.
func printable(name string) string {
	if len(name) > nameMax {
		name = name[:nameMax] + "…"
	}
	return fmt.Sprintf("%q", name)
}

// shown returns a name for a message: as it is, or printable where that differs.
func shown(name string) string {
	if p := printable(name); p != `"`+name+`"` {
		return p
	}
	return name
}

// entryName checks the type of an entry and returns its cleaned name.
func entryName(h *tar.Header) (string, error) {
	if sparse(h) {
		return "", errSparse
	}
	name := strings.TrimPrefix(h.Name, "./")
	switch h.Typeflag {
	case tar.TypeReg:
	case tar.TypeDir:
		if name = strings.TrimSuffix(name, "/"); name == "" {
			name = "."
		}
		switch name {
		case ".", "blobs", "blobs/sha256", "ingest":
			return name + "/", nil
		}
		return "", errors.New("this directory does not belong to an OCI layout")
	default:
		return "", fmt.Errorf("only files and directories are allowed, this is of type %q", h.Typeflag)
	}
	if !fs.ValidPath(name) {
		return "", errors.New("not a clean path")
	}
	return name, nil
}

// addFile adds an entry by its cleaned name.
func (w *entryWalk) addFile(name string, at extent) error {
	hex, isBlob := strings.CutPrefix(name, blobDir)
	switch {
	case isBlob && hex != "":
		d := digest.NewDigestFromEncoded(digest.SHA256, hex)
		if err := manifest.CheckDigest(d); err != nil {
			return err
		}
		if _, ok := w.out.at[d]; ok {
			return errors.New("appears twice")
		}
		if err := w.hold(costBlob); err != nil {
			return err
		}
		w.out.at[d] = int32(len(w.out.blobs))
		b := Blob{Offset: at.off}
		b.Digest, b.Size = d, at.size
		w.out.blobs = append(w.out.blobs, b)
		return nil
	case strings.HasSuffix(name, "/"):
	case name == entryLayout, name == entryIndex, name == entryDocker, name == "repositories":
		if at.size > w.lim.metadata {
			return fmt.Errorf("%d bytes, the limit is %d", at.size, w.lim.metadata)
		}
	default:
		return errors.New("this file does not belong to an OCI layout")
	}
	if _, ok := w.out.files[name]; ok {
		return errors.New("appears twice")
	}
	w.out.files[name] = at
	return nil
}

// tail checks that the file ends as a tar must. archive/tar accepts a file without its end
// blocks, and does not read what follows them.
func (w *entryWalk) tail() error {
	rest := w.size - w.end
	if rest < endBlocks {
		return w.damaged("", adviceCopy, errNoEnd)
	}
	if rest > endBlocks+w.lim.tail {
		return w.damaged("", adviceCopy, fmt.Errorf("%d bytes after the end of the tar", rest-endBlocks))
	}
	buf := iox.Buffer()
	defer iox.Release(buf)
	for w.end < w.size {
		b := (*buf)[:min(w.size-w.end, iox.BufferSize)]
		if _, err := w.src.ReadAt(b, w.end); err != nil {
			return err
		}
		for i, c := range b {
			if c != 0 {
				w.end += int64(i)
				return w.damaged("", adviceCopy, errTrailingBytes)
			}
		}
		w.end += int64(len(b))
	}
	return nil
}
