package archive

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stowage/internal/iox"
	"stowage/internal/manifest"
)

// OpenHead opens a bundle whose layers are not wanted: to inspect it, to compare it, to
// build on it, to see whether it is what it should be. A plain file is opened as by
// [Open]. Of a compressed one no more than the documents is unpacked, however large it
// is: they stand first, and name and measure all that follows. [Reader.HeadOnly] is then
// true and layers are an [ErrHeadOnly].
//
// That the rest of a compressed file is there is shown by the lengths its format states,
// not by unpacking. [ErrNoHead] when this cannot be told for the file, as for tarballs of
// other programs; [Open] can.
func OpenHead(path string) (*Reader, error) {
	return openPath(path, opening{stop: func() error { return nil }, head: true})
}

var errOrder = fmt.Errorf("its layers are not in the order of its manifests: %w", ErrNoHead)

// headWalk reads a tarball as it comes out of a decoder, up to the first layer.
type headWalk struct {
	entryWalk
	in    *unpacked
	tr    *tar.Reader
	spool *spool            // has the content of each entry at its offset
	known map[[32]byte]bool // blobs that belong to the head: true for documents, false for configs
	due   map[[32]byte]bool // those that must still come: what index.json lists, and configs
	marks bundleMarks
	loose digest.Digest // the last index that nothing lists
	layer *tar.Header   // the first; nil when there is none
}

// readHead opens the documents of a compressed bundle of ours.
func (p *packedFile) readHead() (*Reader, error) {
	u, err := p.reader(nil)
	if err != nil {
		return nil, err
	}
	defer u.dec.Close()
	r, err := p.headOf(u)
	if err != nil {
		return nil, err
	}
	if err := p.ending(r.size); err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

// headOf keeps the documents of what comes out of a decoder.
func (p *packedFile) headOf(u *unpacked) (*Reader, error) {
	s, err := newSpool(0)
	if err != nil {
		return nil, err
	}
	r, err := newHeadWalk(u, s).read()
	if err != nil {
		s.Close()
		return nil, err
	}
	r.packed, r.closer = p.kind, s
	return r, nil
}

func newHeadWalk(u *unpacked, s *spool) *headWalk {
	w := &headWalk{in: u, tr: tar.NewReader(u), spool: s, known: map[[32]byte]bool{}, due: map[[32]byte]bool{}}
	w.entryWalk = entryWalk{size: 1 << 62, lim: u.p.lim}
	w.out = tarball{files: map[string]extent{}, at: map[digest.Digest]int32{}}
	return w
}

func (w *headWalk) read() (*Reader, error) {
	if err := w.walk(); err != nil {
		return nil, err
	}
	if _, ok := w.out.files[entryIndex]; !ok {
		return nil, ErrNoHead
	}
	end := w.end
	if err := w.layers(); err != nil {
		return nil, err
	}
	r := &Reader{file: w.in.p.path, src: w.spool.f, size: w.end + endBlocks, lim: w.lim, head: end}
	r.blobs, r.at = w.out.blobs, w.out.at
	err := r.check(&w.out)
	if errors.Is(err, errContents) {
		err = errOrder // the list was guessed, if well
	}
	return r, err
}

// walk takes up entries until one is a layer.
func (w *headWalk) walk() error {
	for {
		h, err := w.tr.Next()
		switch {
		case w.in.err != nil:
			return w.in.err
		case err == io.EOF:
			return nil
		case err != nil:
			return w.headerError(err)
		}
		if hex, ok := strings.CutPrefix(strings.TrimPrefix(h.Name, "./"), blobDir); ok && hex != "" {
			d := digest.NewDigestFromEncoded(digest.SHA256, hex)
			if err := manifest.CheckDigest(d); err != nil {
				return w.damaged(printable(h.Name), adviceForeign, err)
			}
			if _, ok := w.known[manifest.RawDigest(d)]; !ok {
				if !w.unlisted(h) {
					w.layer = h
					return nil
				}
				w.loose = d
			}
			delete(w.due, manifest.RawDigest(d))
		}
		data := w.in.n
		if err := w.entry(h, data); err != nil {
			return err
		}
		if err := w.content(h, data); err != nil {
			return err
		}
	}
}

// unlisted tells whether a blob that nothing names may be an index: that of an image in a
// flat bundle, which is in the file and listed nowhere. All documents precede the configs,
// and these the layers, so that none is a layer while one of them is due.
func (w *headWalk) unlisted(h *tar.Header) bool { return len(w.due) > 0 && h.Size <= w.lim.document }

// content keeps the content of an entry and learns from it what else belongs to the head.
func (w *headWalk) content(h *tar.Header, data int64) error {
	if h.Size > w.lim.document {
		return w.damaged(printable(h.Name), adviceLimit, fmt.Errorf("%d bytes for a document, the limit is %d", h.Size, w.lim.document))
	}
	raw, err := iox.ReadExactly(w.tr, int(h.Size))
	switch {
	case w.in.err != nil:
		return w.in.err
	case err != nil:
		return w.damaged(printable(h.Name), adviceCopy, fmt.Errorf("cut inside: %w", io.ErrUnexpectedEOF))
	}
	if _, err := w.spool.WriteAt(raw, data); err != nil {
		return err
	}
	name := strings.TrimPrefix(h.Name, "./")
	switch hex, ok := strings.CutPrefix(name, blobDir); {
	case name == entryIndex:
		return w.index(raw)
	case ok && hex != "":
		return w.document(digest.NewDigestFromEncoded(digest.SHA256, hex), raw)
	}
	return nil
}

// index learns the top documents. [Reader.check] will look at it with more care.
func (w *headWalk) index(raw []byte) error {
	var x wireIndex
	if err := json.Unmarshal(raw, &x); err != nil {
		return w.damaged(entryIndex, adviceCopy, err)
	}
	if w.marks = x.Annotations; w.marks.Contents == "" {
		return ErrNoHead
	}
	for i := range x.Manifests {
		d := &x.Manifests[i]
		if err := d.Check(w.lim.blob); err != nil {
			return w.damaged(entryIndex, adviceCopy, err)
		}
		w.known[manifest.RawDigest(d.Digest)], w.due[manifest.RawDigest(d.Digest)] = true, true
	}
	return nil
}

// document learns the children of an index, or the config of a manifest.
func (w *headWalk) document(d digest.Digest, raw []byte) error {
	if got := digest.FromBytes(raw); got != d {
		return w.damaged(blobEntry(d), adviceCopy, &DigestError{Want: d, Got: got, Size: int64(len(raw))})
	}
	if !w.known[manifest.RawDigest(d)] && d != w.loose {
		return nil
	}
	doc, err := manifest.Parse(raw, w.lim.manifest())
	if d == w.loose && (err != nil || !doc.Index) {
		return errOrder
	}
	if err != nil {
		return w.damaged(blobEntry(d), adviceCopy, err)
	}
	for i := range doc.Children {
		w.known[manifest.RawDigest(doc.Children[i].Digest)] = true
	}
	if !doc.Index {
		key := manifest.RawDigest(doc.Config.Digest)
		w.known[key] = w.known[key] || false // known from now on, as a document if it is one
		if _, ok := w.out.at[doc.Config.Digest]; !ok {
			w.due[key] = true
		}
	}
	if len(w.known) > w.lim.link {
		return ErrNoHead // a sparse index of everything; what it names must not fill the memory
	}
	return nil
}

// layers continues the list of entries with those the manifests name, as a plan orders
// them: by first use. That the list is right shows in the digest of the contents.
func (w *headWalk) layers() error {
	omitted := Reader{at: w.out.at}
	if err := omitted.parseOmitted(w.marks.Omitted); err != nil {
		return w.damaged(entryIndex, adviceCopy, err)
	}
	skip := map[digest.Digest]bool{}
	for i := range omitted.omitted {
		skip[omitted.omitted[i].Digest] = true
	}
	head := len(w.out.blobs)
	for i := range head {
		b := w.out.blobs[i]
		if !w.known[manifest.RawDigest(b.Digest)] {
			continue
		}
		raw := make([]byte, b.Size)
		if _, err := w.spool.f.ReadAt(raw, b.Offset); err != nil {
			return fmt.Errorf("temporary file: %w", err)
		}
		doc, err := manifest.Parse(raw, w.lim.manifest())
		if err != nil {
			return w.damaged(blobEntry(b.Digest), adviceCopy, err)
		}
		for _, l := range doc.Layers {
			if _, ok := w.out.at[l.Digest]; ok || skip[l.Digest] {
				continue
			}
			if err := w.follow(l); err != nil {
				return err
			}
		}
	}
	return w.firstLayer(w.out.blobs[head:])
}

// follow adds the entry of a layer.
func (w *headWalk) follow(l ocispec.Descriptor) error {
	if w.n++; w.n > w.lim.entries {
		return w.damaged("", adviceLimit, fmt.Errorf("more than %d entries", w.lim.entries))
	}
	h, err := headerSize(blobEntry(l.Digest), l.Size)
	if err != nil {
		return err
	}
	b := Blob{Offset: w.end + h}
	b.Digest, b.Size = l.Digest, l.Size
	w.out.at[l.Digest] = int32(len(w.out.blobs))
	w.out.blobs = append(w.out.blobs, b)
	w.end = b.Offset + padded(l.Size)
	return nil
}

// firstLayer compares the list with the one header that was read.
func (w *headWalk) firstLayer(layers []Blob) error {
	switch {
	case w.layer == nil && len(layers) == 0:
		return nil
	case w.layer == nil:
		return w.damaged("", adviceCopy, fmt.Errorf("the tar ends before the layers: %w", io.ErrUnexpectedEOF))
	case len(layers) == 0, strings.TrimPrefix(w.layer.Name, "./") != blobEntry(layers[0].Digest), w.layer.Size != layers[0].Size:
		return errOrder
	}
	return nil
}
