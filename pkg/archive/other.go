package archive

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/opencontainers/go-digest"

	"stowage/internal/iox"
)

// otherStream is the form of another program's tarball. What may be a manifest or a config
// is stored in a temporary file, within maxRead. Layers are returned by next and
// forgotten.
type otherStream struct {
	*tarStream
	lim     limits
	budget  *budget
	entries []otherEntry
	kept    int64 // bytes in tmp
	out     int64 // bytes of layers so far: the place of the next one
	end     int64 // of the last entry, padding included
	bundle  *Reader
}

const (
	// smallEntry is the size up to which every entry is kept: layers without files are as
	// small.
	smallEntry = 1 << 10

	// layersFrom is the place of the first layer: every kept entry is before it.
	layersFrom = 1 << 60

	// idLength is how much of a stream identifies it, in bytes: headers and contents of some
	// entries, which differ from those of any other image.
	idLength = 32 << 10
)

// otherEntry is what is remembered of an entry.
type otherEntry struct {
	name, link string
	kind       byte
	at         extent        // in the temporary file, or behind layersFrom
	digest     digest.Digest // of a file
	packed     Compression
}

// openOther opens the tarball that u reads from its start.
func openOther(u *unpacked, lim limits) (*Stream, error) {
	tmp, err := newTempFile(0)
	if err != nil {
		return nil, err
	}
	start := make([]byte, idLength)
	n, err := io.ReadFull(u.dec, start)
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		tmp.Close()
		return nil, u.p.named(u.decodeError(err))
	}
	u.dec = &replay{again: start[:n], src: u.dec}
	o := &otherStream{tarStream: newTarStream(u, tmp), lim: lim, budget: newBudget(lim)}
	return &Stream{form: o, in: u, tmp: tmp, id: digest.FromBytes(start[:n])}, nil
}

func (s *otherStream) next() (*Entry, error) {
	for {
		h, err := s.tr.Next()
		switch {
		case s.in.err != nil:
			return nil, s.in.p.named(s.in.err)
		case err == io.EOF:
			if err := s.in.tail(s.end, s.end+endBlocks); err != nil {
				return nil, err
			}
			return nil, io.EOF
		case err != nil:
			w := entryWalk{end: s.in.n, n: len(s.entries)}
			return nil, s.in.p.named(w.headerError(err))
		}
		if e, err := s.add(h); e != nil || err != nil {
			return e, err
		}
	}
}

// add records an entry. It returns one that may be a layer, and keeps any other.
func (s *otherStream) add(h *tar.Header) (*Entry, error) {
	r := otherEntry{name: h.Name, link: h.Linkname, kind: h.Typeflag}
	data := s.in.n
	err := s.budget.hold(costName + int64(len(r.name)+len(r.link)))
	switch {
	case len(s.entries) >= s.lim.entries:
		return nil, s.damaged("", adviceLimit, fmt.Errorf("more than %d entries", s.lim.entries))
	case err != nil:
		return nil, s.damaged("", adviceLimit, err)
	case sparse(h):
		return nil, s.damaged(h.Name, adviceOther, errSparse)
	case h.Size > s.lim.blob:
		return nil, s.damaged(h.Name, adviceLimit, fmt.Errorf("%d bytes, the limit is %d", h.Size, s.lim.blob))
	}
	if h.Typeflag != tar.TypeReg {
		s.end = data
		s.entries = append(s.entries, r)
		return nil, nil
	}
	s.end = data + padded(h.Size)
	e := s.entry(h)
	start, err := iox.ReadExactly(iox.ReaderFunc(e.read), int(min(h.Size, smallEntry)))
	if err != nil {
		return nil, err
	}
	if r.packed, err = sniff(strings.NewReader(string(start))); err != nil {
		return nil, err
	}
	if h.Size <= smallEntry || h.Size <= s.lim.metadata && looksJSON(start) {
		r.at = extent{s.kept, h.Size}
		if s.kept += h.Size; s.kept > s.lim.read {
			return nil, s.damaged(h.Name, adviceLimit, fmt.Errorf("more than %d MiB of metadata", s.lim.read>>20))
		}
		if _, err := s.keep(e, start, r.at.off); err != nil {
			return nil, err
		}
		r.digest = e.sum
		s.entries = append(s.entries, r)
		return nil, nil
	}
	r.at = extent{layersFrom + s.out, h.Size}
	s.out += padded(h.Size)
	s.entries = append(s.entries, r)
	e.again = start
	return e, nil
}

// leave records the digest of the entry. Its unread rest is hashed, unless it was not read
// at all and its name states the digest.
func (s *otherStream) leave(e *Entry) error {
	if e.checked && !e.taken {
		e.sum = e.Digest // the caller has this blob already
	}
	if e.sum == "" {
		if _, err := io.Copy(io.Discard, e); err != nil {
			return err
		}
	}
	s.entries[len(s.entries)-1].digest = e.sum
	return nil
}

func (s *otherStream) damaged(entry, advice string, err error) error {
	if entry != "" {
		entry = printable(entry)
	}
	return &DamagedError{File: s.in.p.path, Entry: entry, Offset: s.in.n, Err: err, Advice: advice}
}

func (s *otherStream) reader() (*Reader, error) {
	if s.bundle != nil {
		return s.bundle, nil
	}
	r, err := s.assemble()
	if errors.Is(err, ErrMetadataOnly) {
		err = s.damaged("", adviceOther, errors.New("a manifest or config is not JSON"))
	}
	if err != nil {
		return nil, s.in.p.named(err)
	}
	s.bundle = r
	return r, nil
}

// assemble reads the entries as an OCI layout if one of them belongs to it, else as
// docker's.
func (s *otherStream) assemble() (*Reader, error) {
	for i := range s.entries {
		switch path.Clean(s.entries[i].name) {
		case entryLayout, entryIndex:
			return s.layout()
		}
	}
	return s.docker()
}

// layout reads the entries by the rules for a tarball.
func (s *otherStream) layout() (*Reader, error) {
	r := makeReader(s.in.p.path, s.tmp.f, s.budget)
	w := newEntryWalk(r.budget)
	w.size = 1 << 62
	for i := range s.entries {
		e := &s.entries[i]
		h := &tar.Header{Name: e.name, Typeflag: e.kind, Size: e.at.size}
		if err := w.add(h, e.at.off); err != nil {
			return nil, err
		}
	}
	r.size, r.metadata = s.in.n, layersFrom
	r.blobs, r.at = w.out.blobs, w.out.at
	return r, r.check(&w.out)
}

// docker reads the entries as docker's tarball. All layers have been hashed.
func (s *otherStream) docker() (*Reader, error) {
	d := newDockerFile(&extended{r: s.tmp.f, size: s.kept}, s.budget)
	for i := range s.entries {
		e := &s.entries[i]
		if err := d.add(&tar.Header{Name: e.name, Linkname: e.link, Typeflag: e.kind, Size: e.at.size}, e.at.off); err != nil {
			return nil, err
		}
		if e.kind == tar.TypeReg {
			d.hashed[e.at.off] = hashedFile{e.digest, e.packed}
		}
	}
	r, err := d.reader(s.in.p.path)
	if err != nil {
		return nil, err
	}
	r.metadata = layersFrom
	return r, nil
}

// looksJSON reports whether a file begins as a manifest or a config does.
func looksJSON(start []byte) bool {
	text := strings.TrimLeft(string(start), " \t\r\n\ufeff")
	return text != "" && (text[0] == '{' || text[0] == '[')
}
