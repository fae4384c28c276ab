package pull

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/distribution/reference"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"
)

const (
	bufferSize  = 256 << 10 // one read from a body, bytes
	maxRestarts = 2         // times a blob is begun anew because ranges cannot be trusted
)

// Sink takes the bytes of one blob, at offsets from the blob's start.
type Sink interface {
	io.WriterAt
	// Prefix is how many bytes from the start are there already and need not be fetched.
	Prefix() int64
	// Commit checks size and digest when all bytes are there. After an error nothing of
	// the blob counts as present.
	Commit() error
	// Close ends the writing; without a Commit what is there may be taken up again.
	Close() error
}

// source is a repository that has a blob.
type source struct {
	named   reference.Named
	secrets []string
}

// addSources remembers which repository the blobs of a manifest come from. A second
// repository with the same blob is kept as a fallback.
func (c *Client) addSources(t *target, blobs []ocispec.Descriptor) {
	src := source{named: reference.TrimNamed(t.named), secrets: t.ref.Secrets}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, b := range blobs {
		known := c.sources[b.Digest]
		if len(known) < 2 && !slices.ContainsFunc(known, func(s source) bool { return s.named.Name() == src.named.Name() }) {
			c.sources[b.Digest] = append(known, src)
		}
	}
}

// FetchAll fetches blobs that Resolve found, the largest first, Options.Jobs at a time.
// open is called once for each, from many goroutines. A blob that fails does not stop the
// others: all that can be had is had. The errors come in the order of blobs.
func (c *Client) FetchAll(ctx context.Context, blobs []ocispec.Descriptor, open func(ocispec.Descriptor) (Sink, error)) error {
	order := make([]int, len(blobs))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(blobs[b].Size, blobs[a].Size) })
	errs := make([]error, len(blobs))
	var g errgroup.Group
	g.SetLimit(c.opts.Jobs)
	for _, i := range order {
		g.Go(func() error {
			if ctx.Err() == nil {
				errs[i] = c.fetchInto(ctx, blobs[i], open)
			}
			return nil
		})
	}
	_ = g.Wait() // errors are in errs
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return errors.Join(errs...)
}

func (c *Client) fetchInto(ctx context.Context, blob ocispec.Descriptor, open func(ocispec.Descriptor) (Sink, error)) (err error) {
	sink, err := open(blob)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, sink.Close()) }()
	return c.Fetch(ctx, blob, sink)
}

// Fetch streams one blob that Resolve found into sink, beginning where sink's prefix ends,
// and commits it. It survives connections that break: it goes on inside the blob.
func (c *Client) Fetch(ctx context.Context, blob ocispec.Descriptor, sink Sink) error {
	if raw, err := c.docs.Document(blob.Digest); err == nil && int64(len(raw)) == blob.Size {
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
	var errs []error
	for _, src := range sources {
		err := c.each(ctx, src.named, src.secrets, func(s *session, e endpoint) error {
			d := &download{client: c, session: s, endpoint: e, blob: blob, sink: sink}
			d.name = src.named.Name() + "@" + blob.Digest.String()
			return d.run(ctx)
		})
		if err == nil || ctx.Err() != nil {
			return err
		}
		errs = append(errs, err)
		if local := (*sinkError)(nil); errors.As(err, &local) {
			break // a full disk is the same for every source
		}
	}
	return errors.Join(errs...)
}

// sinkError is a fault of this side: no other server helps against it.
type sinkError struct{ error }

func (e *sinkError) Unwrap() error { return e.error }

// download is one blob on its way from one server.
type download struct {
	client   *Client
	session  *session
	endpoint endpoint
	blob     ocispec.Descriptor
	sink     Sink
	name     string
	off      int64 // bytes in the sink, counted from the blob's start
	pieces   int   // parts the blob was put together from
	restarts int   // times begun anew
	doubted  bool  // the whole was wrong once and is fetched again
}

// run fetches until the blob is whole. Progress renews the tries.
func (d *download) run(ctx context.Context) error {
	if d.off = d.sink.Prefix(); d.off > 0 {
		d.pieces = 1
	}
	for attempt := 0; d.off < d.blob.Size; {
		before := d.off
		err := d.body(ctx)
		if d.off > before {
			d.pieces++
		}
		if d.off >= d.blob.Size {
			break
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if local := (*sinkError)(nil); errors.As(err, &local) || err != nil && !passingBody(err) {
			return err
		}
		if d.off > before {
			attempt = 0
			continue
		}
		if attempt++; attempt >= d.client.opts.Attempts {
			return fmt.Errorf("%s: registry %s: %d of %d bytes, then no more after %d tries: %w", d.name, d.endpoint.host, d.off, d.blob.Size, attempt, err)
		}
		wait := jitter(backoff(attempt-1, 0))
		d.client.notice(Notice{Host: d.endpoint.host, Text: oneLine(fmt.Sprint(err)), Wait: wait})
		if err := d.client.sleep(ctx, wait); err != nil {
			return err
		}
	}
	err := d.sink.Commit()
	if err != nil && d.pieces > 1 && !d.doubted {
		// One piece may be wrong, an earlier run's or a range's: from the start, once.
		d.doubted, d.pieces = true, 0
		return d.run(ctx)
	}
	if err != nil {
		return &ContentError{Host: d.endpoint.host, Name: d.name, Err: err}
	}
	return nil
}

// errRestart says that a range was answered in a way that cannot be used.
var errRestart = errors.New("the server does not serve ranges as asked")

// passingBody reports whether another request for the rest may help.
func passingBody(err error) bool {
	var auth *AuthError
	var missing *NotFoundError
	return !errors.As(err, &auth) && !errors.As(err, &missing)
}

// body makes one request for what is missing and writes what comes.
func (d *download) body(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	header := http.Header{"Accept-Encoding": {"identity"}}
	if d.off > 0 {
		// Both ends: some servers refuse the open form.
		header.Set("Range", fmt.Sprintf("bytes=%d-%d", d.off, d.blob.Size-1))
	}
	d.client.blobs.Add(1)
	resp, err := d.client.do(ctx, d.session, http.MethodGet, d.endpoint.url(d.session.scheme(), "blobs", d.blob.Digest.String()), header)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	r := &watched{r: resp.Body, stall: time.AfterFunc(d.client.opts.StallTimeout, func() { cancel(errStalled) }), after: d.client.opts.StallTimeout}
	defer r.stall.Stop()
	if err := d.position(resp, r); err != nil {
		return err
	}
	err = d.copy(r)
	if cause := context.Cause(ctx); errors.Is(cause, errStalled) {
		return cause
	}
	return err
}

// position brings body and sink to the same offset, or says why that cannot be.
func (d *download) position(resp *http.Response, body io.Reader) error {
	switch {
	case resp.StatusCode == http.StatusOK && d.off == 0:
		return nil
	case resp.StatusCode == http.StatusOK: // range ignored: pass over what is there
		if _, err := io.CopyN(io.Discard, body, d.off); err != nil {
			return err
		}
		return nil
	case resp.StatusCode == http.StatusPartialContent && d.off > 0:
		if rangeStart(resp.Header.Get("Content-Range"), d.blob.Size) == d.off {
			return nil
		}
		return d.restart()
	case d.off > 0 && (resp.StatusCode == http.StatusBadRequest || resp.StatusCode == http.StatusForbidden || resp.StatusCode == http.StatusRequestedRangeNotSatisfiable):
		// 403: a signed address may have expired; asking anew gets a new one.
		return d.restart()
	}
	return statusError(resp, d.session, d.name)
}

func (d *download) restart() error {
	if d.restarts++; d.restarts > maxRestarts {
		return fmt.Errorf("%s: registry %s: %w", d.name, d.endpoint.host, errRestart)
	}
	d.off = 0
	return errRestart
}

// rangeStart reads the first byte's offset of "bytes 10-99/100", -1 when it is not a range
// of a blob of that size.
func rangeStart(s string, size int64) int64 {
	spec, total, ok := strings.Cut(strings.TrimPrefix(s, "bytes "), "/")
	if !ok || total != "*" && total != strconv.FormatInt(size, 10) {
		return -1
	}
	first, _, ok := strings.Cut(spec, "-")
	n, err := strconv.ParseInt(first, 10, 64)
	if !ok || err != nil {
		return -1
	}
	return n
}

// copy writes the body to the sink and counts. A body longer than the blob is cut: the
// digest decides.
func (d *download) copy(body io.Reader) error {
	bp := buffers.Get().(*[]byte)
	defer buffers.Put(bp)
	for d.off < d.blob.Size {
		buf := (*bp)[:min(int64(len(*bp)), d.blob.Size-d.off)]
		n, err := body.Read(buf)
		if n > 0 {
			if _, werr := d.sink.WriteAt(buf[:n], d.off); werr != nil {
				return &sinkError{werr}
			}
			d.off += int64(n)
			if d.client.opts.OnBytes != nil {
				d.client.opts.OnBytes(int64(n))
			}
		}
		if err != nil && d.off < d.blob.Size {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return fmt.Errorf("%s: registry %s: %w", d.name, d.endpoint.host, err)
		}
	}
	return nil
}

var buffers = sync.Pool{New: func() any { b := make([]byte, bufferSize); return &b }}

var errStalled = errors.New("no byte came for too long")

// watched renews a timer with every read, so that a server that falls silent is noticed.
type watched struct {
	r     io.Reader
	stall *time.Timer
	after time.Duration
}

func (w *watched) Read(p []byte) (int, error) {
	n, err := w.r.Read(p)
	if n > 0 {
		w.stall.Reset(w.after)
	}
	return n, err
}

// buffer is a sink in memory for a config.
type buffer struct {
	want ocispec.Descriptor
	b    []byte
}

func (s *buffer) WriteAt(p []byte, off int64) (int, error) { return copy(s.b[off:], p), nil }
func (s *buffer) Prefix() int64                            { return 0 }
func (s *buffer) Close() error                             { return nil }

func (s *buffer) Commit() error {
	if got := s.want.Digest.Algorithm().FromBytes(s.b); got != s.want.Digest {
		return fmt.Errorf("blob %s has digest %s", s.want.Digest, got)
	}
	return nil
}
