package pull

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"sync/atomic"

	"github.com/distribution/reference"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"
)

// source is a repository that has a blob.
type source struct {
	named   reference.Named
	secrets []string
}

// addSources remembers which repository the blobs of a manifest come from. A second
// repository with the same blob is kept as a fallback.
func (c *Client) addSources(t *target, blobs []ocispec.Descriptor) {
	src := &source{named: reference.TrimNamed(t.named), secrets: t.Secrets}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, b := range blobs {
		known := c.sources[b.Digest]
		if len(known) < 2 && !slices.ContainsFunc(known, func(s *source) bool { return s.named.Name() == src.named.Name() }) {
			c.sources[b.Digest] = append(known, src)
		}
	}
}

// FetchAll fetches blobs that Resolve found, the largest first, Options.Jobs at a time. At
// the end, when fewer blobs than Jobs are left, big ones whose sink is a [Resumer] come in
// several ranges at once. open is called once for each blob, from many goroutines. A blob
// that fails does not stop the others: all that can be had is had, and the rest is a
// [*FetchError].
func (c *Client) FetchAll(ctx context.Context, blobs []ocispec.Descriptor, open func(ocispec.Descriptor) (Sink, error)) error {
	order := make([]int, len(blobs))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(blobs[b].Size, blobs[a].Size) })
	errs := make([]error, len(blobs))
	team := newCrew(c.piece)
	team.charge(len(blobs))
	var begun atomic.Int64
	var g errgroup.Group
	for range c.opts.Jobs {
		g.Go(func() error {
			for n := begun.Add(1); n <= int64(len(order)); n = begun.Add(1) {
				i := order[n-1]
				if ctx.Err() == nil {
					errs[i] = c.fetchInto(ctx, blobs[i], open, team)
				}
				team.charge(-1)
			}
			team.assist(ctx)
			return nil
		})
	}
	_ = g.Wait() // errors are in errs
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var failed FetchError
	for i, err := range errs {
		if err != nil {
			failed.Blobs = append(failed.Blobs, BlobError{Digest: blobs[i].Digest, Err: err})
		}
	}
	if len(failed.Blobs) > 0 {
		return &failed
	}
	return nil
}

func (c *Client) fetchInto(ctx context.Context, blob ocispec.Descriptor, open func(ocispec.Descriptor) (Sink, error), team *crew) (err error) {
	sink, err := open(blob)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, sink.Close()) }()
	return c.fetch(ctx, blob, sink, team)
}

// Fetch streams one blob that Resolve found into sink, beginning where sink's prefix ends,
// and commits it. It survives connections that break: it goes on inside the blob. One
// request is made at a time, in the order of the bytes.
func (c *Client) Fetch(ctx context.Context, blob ocispec.Descriptor, sink Sink) error {
	return c.fetch(ctx, blob, sink, newCrew(c.piece))
}

// fetch tries the places that have a blob: what is held, the repositories that name it,
// and for a foreign layer the addresses in its descriptor (image-spec 1.1, "urls").
func (c *Client) fetch(ctx context.Context, blob ocispec.Descriptor, sink Sink, team *crew) error {
	if raw, ok := c.held(blob); ok {
		if _, err := sink.WriteAt(raw, 0); err != nil {
			return err
		}
		return sink.Commit()
	}
	c.mu.Lock()
	sources := c.sources[blob.Digest]
	c.mu.Unlock()
	if len(sources) == 0 {
		return fmt.Errorf("blob %s: no image names it", blob.Digest)
	}
	var tries []func() error
	for _, src := range sources {
		tries = append(tries, func() error {
			return c.each(ctx, src.named, src.secrets, func(s *session, e endpoint) error {
				d := &download{client: c, session: s, host: e.host, blob: blob, sink: sink, crew: team}
				d.name, d.url = src.named.Name()+"@"+blob.Digest.String(), e.url(s.scheme(), "blobs", blob.Digest.String())
				return d.run(ctx)
			})
		})
	}
	for _, address := range blob.URLs {
		tries = append(tries, func() error { return c.fetchForeign(ctx, blob, sink, team, address) })
	}
	var errs []error
	for _, try := range tries {
		err := try()
		if err == nil {
			c.replaced(errs)
		}
		if err == nil || ctx.Err() != nil || isFinal(err) { // a full disk is the same for every source
			return err
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// replaced tells who sent wrong bytes, now that another source sent the right ones.
func (c *Client) replaced(errs []error) {
	for _, err := range errs {
		var content *ContentError
		if errors.As(err, &content) {
			c.report(Event{Host: content.Host, Text: oneLine(fmt.Sprintf("passed over: %v", err))})
		}
	}
}

// held returns a blob that needs no request: a config kept as a document, or one whose
// bytes stand in its descriptor (image-spec 1.1, "Embedded Content").
func (c *Client) held(blob ocispec.Descriptor) ([]byte, bool) {
	if embedded(blob) {
		return blob.Data, true
	}
	if blob.Size > MaxDocument {
		return nil, false
	}
	raw, err := c.docs.Document(blob.Digest)
	return raw, err == nil && int64(len(raw)) == blob.Size
}

func embedded(d ocispec.Descriptor) bool {
	return len(d.Data) > 0 && int64(len(d.Data)) == d.Size && d.Digest.Validate() == nil && d.Digest.Algorithm().FromBytes(d.Data) == d.Digest
}

// fetchForeign fetches a layer from an address in its descriptor. Nobody's credentials go
// there, and only TLS is spoken: the digest proves the bytes, but not who asks for them.
func (c *Client) fetchForeign(ctx context.Context, blob ocispec.Descriptor, sink Sink, team *crew, address string) error {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil {
		return fmt.Errorf("blob %s: address %q in its descriptor: only https is followed", blob.Digest, oneLine(address))
	}
	s := &session{
		key:       sessionKey{login: login{host: u.Host}},
		base:      http.RoundTripper(&retrier{next: c.base, client: c}),
		challenge: &transport.Challenge{},
	}
	d := &download{client: c, session: s, host: u.Host, url: u.String(), blob: blob, sink: sink, crew: team}
	d.name = "blob " + blob.Digest.String()
	return d.run(ctx)
}
