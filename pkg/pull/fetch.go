package pull

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"
)

// locations knows the repositories that have a blob, from the manifests that the client
// has resolved.
type locations struct {
	mu     sync.Mutex
	byBlob map[digest.Digest][]*location
}

// location is a repository that has a blob.
type location struct {
	named   reference.Named
	secrets []string
}

// add records the repository of a manifest's blobs. A second repository with the same blob
// is kept as a fallback.
func (l *locations) add(named reference.Named, secrets []string, blobs []ocispec.Descriptor) {
	loc := &location{named: reference.TrimNamed(named), secrets: secrets}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, b := range blobs {
		known := l.byBlob[b.Digest]
		if len(known) < 2 && !slices.ContainsFunc(known, func(k *location) bool { return k.named.Name() == loc.named.Name() }) {
			l.byBlob[b.Digest] = append(known, loc)
		}
	}
}

// of returns the repositories of a blob, the first one found first.
func (l *locations) of(blob digest.Digest) []*location {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.byBlob[blob]
}

// FetchAll fetches blobs of manifests that this client has resolved, the largest first,
// Options.Jobs at a time. At the end, when fewer blobs than Jobs are left, large ones whose
// sink is a [Resumer] are fetched in several ranges at once. open is called once for each
// blob, from many goroutines. A blob that fails does not stop the others; the error about
// those that failed is a [*FetchError].
//
// The client knows the repositories of a blob only from [Client.Resolve]: any other blob
// fails.
func (c *Client) FetchAll(ctx context.Context, blobs []ocispec.Descriptor, open func(ocispec.Descriptor) (Sink, error)) error {
	order := make([]int, len(blobs))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(blobs[b].Size, blobs[a].Size) })
	errs := make([]error, len(blobs))
	team := newWorkers(c.piece)
	team.add(len(blobs))
	var started atomic.Int64
	var g errgroup.Group
	for range c.opts.Jobs {
		g.Go(func() error {
			for n := started.Add(1); n <= int64(len(order)); n = started.Add(1) {
				i := order[n-1]
				if ctx.Err() == nil {
					errs[i] = c.fetchOne(ctx, blobs[i], open, team)
				}
				team.add(-1)
			}
			team.stealWork(ctx)
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

// fetchOne fetches one of several blobs.
func (c *Client) fetchOne(ctx context.Context, blob ocispec.Descriptor, open func(ocispec.Descriptor) (Sink, error), team *workers) (err error) {
	defer catch("blob "+blob.Digest.String(), &err)
	sink, err := open(blob)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, sink.Close()) }()
	return c.fetch(ctx, blob, sink, team)
}

// Fetch fetches one blob of a manifest that this client has resolved into sink, from where
// sink's prefix ends, and commits it. After a connection broke it continues inside the
// blob. It makes one request at a time, in the order of the bytes. The caller closes sink.
//
// As for [Client.FetchAll], any other blob fails.
func (c *Client) Fetch(ctx context.Context, blob ocispec.Descriptor, sink Sink) error {
	return c.fetch(ctx, blob, sink, newWorkers(c.piece))
}

// fetch tries what is held, the repositories that have the blob, and for a foreign layer
// the URLs in its descriptor (image-spec 1.1, "urls").
func (c *Client) fetch(ctx context.Context, blob ocispec.Descriptor, sink Sink, team *workers) error {
	if raw, ok := c.held(blob); ok {
		if _, err := sink.WriteAt(raw, 0); err != nil {
			return err
		}
		c.count("", blob.Digest, blob.Size)
		return sink.Commit()
	}
	repositories := c.locations.of(blob.Digest)
	if len(repositories) == 0 {
		return fmt.Errorf("blob %s: not in a manifest that was resolved", blob.Digest)
	}
	var errs []error
	for _, loc := range repositories {
		err := c.waitOutLimit(ctx, c.routes.pullers(loc.named), loc.secrets, func(r conn) error {
			d := c.newDownload(r.session, blob, sink, team)
			d.name, d.url = loc.named.Name()+"@"+blob.Digest.String(), r.url(r.scheme(), "blobs", blob.Digest.String())
			return d.run(ctx)
		})
		if c.isDecided(ctx, err, errs) {
			return err
		}
		errs = append(errs, err)
	}
	for _, address := range blob.URLs {
		err := c.fetchForeign(ctx, blob, sink, team, address)
		if c.isDecided(ctx, err, errs) {
			return err
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// count reports bytes of blobs.
func (c *Client) count(host string, blob digest.Digest, n int64) {
	if c.opts.OnBytes != nil {
		c.opts.OnBytes(host, blob, n)
	}
}

// isDecided reports whether err, after earlier errors of other sources, is the result of a
// fetch: success, the end of ctx, or a fault that no other source can help against, such
// as a full disk. On success it reports the sources that sent wrong bytes.
func (c *Client) isDecided(ctx context.Context, err error, earlier []error) bool {
	if err != nil {
		return ctx.Err() != nil || isFinal(err)
	}
	for _, err := range earlier {
		var content *ContentError
		if errors.As(err, &content) {
			c.net.events.report(Event{Host: content.Host, Text: oneLine(fmt.Sprintf("used another source: %v", err))})
		}
	}
	return true
}

// held returns a blob that needs no request: a config kept with the manifests, or one that
// is embedded in its descriptor (image-spec 1.1, "Embedded Content").
func (c *Client) held(blob ocispec.Descriptor) ([]byte, bool) {
	if isEmbedded(blob) {
		return blob.Data, true
	}
	if blob.Size > maxMetadata {
		return nil, false
	}
	raw, err := c.docs.Metadata(blob.Digest)
	return raw, err == nil && int64(len(raw)) == blob.Size
}

func isEmbedded(d ocispec.Descriptor) bool {
	return len(d.Data) > 0 && int64(len(d.Data)) == d.Size && d.Digest.Validate() == nil && d.Digest.Algorithm().FromBytes(d.Data) == d.Digest
}

// fetchForeign fetches a layer from a URL in its descriptor. The request carries no
// credentials and uses TLS only: the digest verifies the bytes, but does not hide who asks
// for them.
func (c *Client) fetchForeign(ctx context.Context, blob ocispec.Descriptor, sink Sink, team *workers, address string) error {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil {
		return fmt.Errorf("blob %s: address %q in its descriptor: only https is followed", blob.Digest, oneLine(address))
	}
	s := &session{
		key:  sessionKey{login: login{host: u.Host}},
		net:  c.net,
		base: &retrier{next: c.net.transport, net: c.net},
	}
	d := c.newDownload(s, blob, sink, team)
	d.name, d.url = "blob "+blob.Digest.String(), u.String()
	return d.run(ctx)
}
