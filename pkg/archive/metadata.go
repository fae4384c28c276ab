package archive

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/opencontainers/go-digest"

	"stowage/internal/manifest"
)

var errOrder = fmt.Errorf("its layers are not in the order of its manifests: %w", ErrNoMetadata)

// metadataWalk reads a native bundle as it comes out of a decoder, up to the first layer.
// The metadata is all that precedes the layers: index.json, manifests and configs. It
// states name and size of everything that follows.
type metadataWalk struct {
	entryWalk
	*tarStream                     // its temporary file has the content of each entry at its offset
	reader      *Reader            // of the metadata, so far without its list of entries
	known       map[digestKey]bool // blobs that are metadata: true for manifests, false for configs
	due         map[digestKey]bool // those that must still come: what index.json lists, and configs
	annotations map[string]string  // of index.json
	unlisted    digest.Digest      // the last index that nothing lists
	layer       *tar.Header        // the first; nil when there is none
}

// digestKey is a digest that takes less memory in a map.
type digestKey [32]byte

func keyOf(d digest.Digest) digestKey { return digestKey(manifest.RawDigest(d)) }

func newMetadataWalk(u *unpacked, tmp *tempFile) *metadataWalk {
	w := &metadataWalk{tarStream: newTarStream(u, tmp), known: map[digestKey]bool{}, due: map[digestKey]bool{}}
	w.reader = makeReader(u.p.path, tmp.f, newBudget(u.p.lim))
	w.entryWalk = newEntryWalk(w.reader.budget)
	w.size = 1 << 62
	return w
}

// read returns the bundle without its layers.
func (w *metadataWalk) read() (*Reader, error) {
	if err := w.walk(); err != nil {
		return nil, err
	}
	if _, ok := w.out.files[entryIndex]; !ok {
		return nil, ErrNoMetadata
	}
	end := w.end
	if err := w.addLayers(); err != nil {
		return nil, err
	}
	r := w.reader
	r.size, r.metadata = w.end+endBlocks, end
	r.blobs, r.at = w.out.blobs, w.out.at
	err := r.check(&w.out)
	if errors.Is(err, errContents) {
		err = errOrder // addLayers assumed the order of a plan
	}
	return r, err
}

// walk reads entries until one is a layer.
func (w *metadataWalk) walk() error {
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
				return w.damaged(printable(h.Name), adviceOther, err)
			}
			if _, ok := w.known[keyOf(d)]; !ok {
				if !w.mayBeIndex(h) {
					w.layer = h
					return nil
				}
				w.unlisted = d
			}
			delete(w.due, keyOf(d))
		}
		if err := w.readEntry(h); err != nil {
			return err
		}
	}
}

// mayBeIndex reports whether a blob that nothing lists may be the index of an image in a
// flat bundle, which is in the file and listed nowhere. Manifests precede the configs, and
// these the layers, so none is a layer while one of them is due.
func (w *metadataWalk) mayBeIndex(h *tar.Header) bool {
	return len(w.due) > 0 && h.Size <= w.lim.metadata
}

// readEntry keeps an entry and learns from it which other blobs are metadata.
func (w *metadataWalk) readEntry(h *tar.Header) error {
	off := w.in.n
	if err := w.add(h, off); err != nil {
		return err
	}
	if h.Size > w.lim.metadata {
		return w.damaged(printable(h.Name), adviceLimit, fmt.Errorf("%d bytes of metadata, the limit is %d", h.Size, w.lim.metadata))
	}
	if err := w.spend(h.Size); err != nil {
		return w.damaged(printable(h.Name), adviceLimit, err)
	}
	e := w.entry(h)
	raw, err := w.keep(e, nil, off)
	switch {
	case err != nil:
		return err
	case strings.TrimPrefix(h.Name, "./") == entryIndex:
		return w.readIndex(raw)
	case e.checked:
		return w.readBlob(e.Digest, raw)
	}
	return nil
}

// readIndex reads the list of index.json. [Reader.check] checks it later.
func (w *metadataWalk) readIndex(raw []byte) error {
	x, err := w.reader.docs.parseIndex(raw)
	if err != nil {
		return w.damaged(entryIndex, adviceCopy, err)
	}
	if w.annotations = x.Annotations; w.annotations[annotationContents] == "" {
		return ErrNoMetadata
	}
	for i := range x.Manifests {
		d := &x.Manifests[i]
		if err := d.Check(w.lim.blob); err != nil {
			return w.damaged(entryIndex, adviceCopy, err)
		}
		w.known[keyOf(d.Digest)], w.due[keyOf(d.Digest)] = true, true
	}
	return nil
}

// readBlob reads a config, the children of an index, or the config of a manifest.
func (w *metadataWalk) readBlob(d digest.Digest, raw []byte) error {
	if !w.known[keyOf(d)] && d != w.unlisted {
		if _, err := w.reader.docs.addConfig(d, raw); err != nil {
			return w.damaged(blobEntry(d), adviceLimit, err)
		}
		return nil
	}
	m, err := w.reader.docs.add(d, raw)
	if d == w.unlisted && !isBudget(err) && (err != nil || !m.index) {
		return errOrder
	}
	if err != nil {
		return w.damaged(blobEntry(d), advice(err), err)
	}
	if err := w.hold(costKnown * int64(len(m.list)+1)); err != nil {
		return w.damaged(blobEntry(d), adviceLimit, err)
	}
	if m.index {
		for i := range m.list {
			w.known[keyOf(m.list[i].digest)] = true
		}
	} else {
		key := keyOf(m.config.digest)
		w.known[key] = w.known[key] || false // known from now on, as a manifest if it is one
		if _, ok := w.out.at[m.config.digest]; !ok {
			w.due[key] = true
		}
	}
	if len(w.known) > w.lim.link {
		return ErrNoMetadata // a sparse index of everything; what it names must not fill the memory
	}
	return nil
}

// addLayers appends the layers that the manifests name to the list of entries, in the
// order of a plan: by first use. The digest of the contents shows whether that is right.
func (w *metadataWalk) addLayers() error {
	omitted := Reader{at: w.out.at, budget: newBudget(w.lim)} // counted by Reader.check
	if err := omitted.parseOmitted(w.annotations[annotationOmitted]); err != nil {
		return w.damaged(entryIndex, advice(err), err)
	}
	skip := map[digest.Digest]bool{}
	for i := range omitted.omitted {
		skip[omitted.omitted[i].Digest] = true
	}
	n := len(w.out.blobs)
	for i := range n {
		b := w.out.blobs[i]
		if !w.known[keyOf(b.Digest)] {
			continue
		}
		m, err := w.reader.document(&b)
		if err != nil {
			return err
		}
		for i := range m.list {
			l := &m.list[i]
			if _, ok := w.out.at[l.digest]; m.index || ok || skip[l.digest] {
				continue
			}
			if err := w.addLayer(l); err != nil {
				return err
			}
		}
	}
	return w.checkFirst(w.out.blobs[n:])
}

// addLayer appends the entry of a layer.
func (w *metadataWalk) addLayer(l *child) error {
	if w.n++; w.n > w.lim.entries {
		return w.damaged("", adviceLimit, fmt.Errorf("more than %d entries", w.lim.entries))
	}
	if err := w.hold(costBlob); err != nil {
		return w.damaged("", adviceLimit, err)
	}
	h, err := headerSize(blobEntry(l.digest), l.size)
	if err != nil {
		return err
	}
	b := Blob{Offset: w.end + h}
	b.Digest, b.Size = l.digest, l.size
	w.out.at[l.digest] = int32(len(w.out.blobs))
	w.out.blobs = append(w.out.blobs, b)
	w.end = b.Offset + padded(l.size)
	return nil
}

// checkFirst compares the list with the one header of a layer that was read.
func (w *metadataWalk) checkFirst(layers []Blob) error {
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
