package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/opencontainers/go-digest"

	"stowage/internal/iox"
	"stowage/pkg/archive"
)

// LoadStream is [Node.Load] for a bundle that arrives while it is loaded: from a
// pipe, or out of a compressed file. The stream is read once. Layers that the node
// lacks go into its content store as they come, and are unpacked from there while
// the next ones arrive; with DiscardLayers they leave it when the load ends. The
// others are passed over. Names are written when the stream has come to its end.
//
// A stream that ends early is an [archive.ErrDamaged] with [io.ErrUnexpectedEOF]:
// nothing becomes visible, and what had arrived is kept for 24 hours, or until the
// next load of the same bundle has used it. So it is when ctx ends.
func (n *Node) LoadStream(ctx context.Context, s *archive.Stream, o LoadOptions) (*Report, error) {
	head, err := s.Reader()
	if err != nil {
		return nil, err
	}
	b := streamBundle{head}
	l := n.newLoader(b, o)
	l.stream = newArrivals(s, b)
	ctx = n.in(ctx)
	r, err := l.load(ctx)
	return r, n.withBase(ctx, err, b)
}

// streamBundle is a bundle of which the layers cannot be opened.
type streamBundle struct{ *archive.Reader }

// Open gives documents. For a layer it is [archive.ErrNotFound]: it is on the
// node, if anywhere.
func (b streamBundle) Open(d digest.Digest) (*io.SectionReader, error) {
	r, err := b.Reader.Open(d)
	if errors.Is(err, archive.ErrMetadataOnly) {
		return nil, fmt.Errorf("blob %s is in the stream: %w", d, archive.ErrNotFound)
	}
	return r, err
}

// arrivals are the layers of a stream, one after the other. Tasks take them in
// order, one task at a time.
type arrivals struct {
	stream *archive.Stream
	place  map[digest.Digest]int // of each blob in the order of the stream
}

func newArrivals(s *archive.Stream, bundle streamBundle) *arrivals {
	a := &arrivals{stream: s, place: map[digest.Digest]int{}}
	for i, b := range bundle.Blobs() {
		if _, err := bundle.Open(b.Digest); err != nil {
			a.place[b.Digest] = i
		}
	}
	return a
}

// brings tells whether the blob is a layer that the stream brings. It may be
// called on nil: no stream brings nothing.
func (a *arrivals) brings(d digest.Digest) bool {
	if a == nil {
		return false
	}
	_, ok := a.place[d]
	return ok
}

// upTo passes over layers until the one asked for.
func (a *arrivals) upTo(d digest.Digest) (io.Reader, error) {
	for {
		e, err := a.stream.Next()
		switch {
		case err == io.EOF:
			return nil, fmt.Errorf("layer %s did not come", d)
		case err != nil:
			return nil, err
		case e.Digest == d:
			return e, nil
		}
	}
}

// finish passes over what is left and checks the end of the stream.
func (a *arrivals) finish() error {
	for {
		if _, err := a.stream.Next(); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// receive is ingest for a layer that the stream brings. A part that an earlier
// load had received is not sent again, but all of it is hashed.
func (l *loader) receive(ctx context.Context, w *blobWork) (int64, error) {
	in, err := l.stream.upTo(w.desc.Digest)
	if err != nil {
		return 0, err
	}
	failed := iox.NewMonitor(in)
	ref := ingestRef(w.desc.Digest)
	sent, resumed, err := l.send(ctx, ref, w, func(offset int64) (io.Reader, error) {
		_, err := io.CopyN(io.Discard, failed, offset)
		return failed, err
	})
	switch {
	case err == nil, ctx.Err() != nil:
		return sent, err
	case failed.Err() != nil:
		return sent, failed.Err() // the stream's own word, without what the store makes of it
	case resumed:
		// What the store had was not the start of this layer; it must not stop the
		// next load as well.
		err = errors.Join(err, l.node.content.Abort(ctx, ref))
	}
	return sent, fmt.Errorf("store blob %s: %w", w.desc.Digest, err)
}

// blobWork lists the blobs to bring. Of a stream, the layers come last, in its
// order; and those that are to be unpacked only are among them: there is no other
// place to keep them while the stream goes on.
func (l *loader) blobWork(p *plan) []*blobWork {
	if l.stream == nil {
		return p.blobs
	}
	all := slices.Clone(p.blobs)
	listed := map[digest.Digest]bool{}
	for _, w := range all {
		listed[w.desc.Digest] = true
	}
	for _, u := range p.unpacks {
		if l.stream.brings(u.Digest) && !listed[u.Digest] {
			listed[u.Digest] = true
			all = append(all, &blobWork{desc: u.Descriptor})
		}
	}
	place := func(w *blobWork) int {
		if w.there || !l.stream.brings(w.desc.Digest) {
			return -1
		}
		return l.stream.place[w.desc.Digest]
	}
	slices.SortStableFunc(all, func(a, b *blobWork) int { return cmp.Compare(place(a), place(b)) })
	return all
}

// worthKeeping tells whether what a failed load has brought shall wait for the
// next one: a stream cannot be read again from where it broke off.
func (l *loader) worthKeeping(ctx context.Context, err error) bool {
	return err != nil && l.stream != nil && (ctx.Err() != nil || cutShort(err))
}

// cutShort tells whether a stream has ended early; a layer that does so is something
// else, and comes like that the next time, too.
func cutShort(err error) bool {
	d, ok := errors.AsType[*archive.DamagedError](err)
	return ok && errors.Is(d, io.ErrUnexpectedEOF)
}
