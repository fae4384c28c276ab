package pull

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stowage/internal/iox"
	"stowage/pkg/pull/internal/watch"
)

const (
	maxRestarts = 2 // how often a blob is started over because ranges cannot be trusted
	// minProgress is how many bytes, or else a quarter of what is missing, a request must
	// bring for the next one to follow at once: a server might send a blob byte by byte.
	minProgress = 1 << 10
)

// download is one blob as it is fetched from one server.
type download struct {
	client  *Client
	session *session
	url     string
	blob    ocispec.Descriptor
	sink    Sink
	name    string          // for errors
	ctx     context.Context // of the thieves; ends with the download
	segments

	restarts int  // how often it was started over
	doubted  bool // the blob was wrong once and is fetched again
}

func (c *Client) newDownload(s *session, blob ocispec.Descriptor, sink Sink, team *workers) *download {
	_, several := sink.(Resumer)
	return &download{
		client: c, session: s, blob: blob, sink: sink,
		segments: segments{workers: team, busy: map[*segment]bool{}, closed: !several},
	}
}

// run fetches what the sink lacks and commits it. The blob may be wrong once: because of
// bytes of an earlier run, a range of another version, or a bad entry in a cache. Then all
// of it is fetched again, once, in one stream.
func (d *download) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer func() { // also after a panic, so that no thief goes on
		cancel()
		d.closeToThieves()
	}()
	d.ctx = ctx
	d.setMissing(missing(d.sink, d.blob.Size))
	for {
		err := d.fetchMissing(ctx)
		if err != nil && !errors.Is(err, errLength) {
			cancel()
		}
		d.closeToThieves()
		if err == nil {
			err = d.sink.Commit()
		} else if !errors.Is(err, errLength) {
			return err
		}
		if err == nil || isLocal(err) {
			return err
		}
		dropped := !errors.Is(err, errLength) // by Commit
		if dropped || !d.doubted {
			d.count(d.left() - d.blob.Size)
		}
		irrevocable := dropped && d.sink.Prefix() > 0 // a pipe, which takes no byte back
		if d.doubted || irrevocable {
			return &ContentError{Host: d.host(), Name: d.name, Err: err, final: irrevocable}
		}
		d.doubted = true
		d.client.net.events.report(Event{Host: d.host(), Text: oneLine(d.name + ": wrong bytes, fetching it again")})
		d.setMissing([]segment{{0, d.blob.Size}})
	}
}

// count reports bytes that were written to the sink, or dropped.
func (d *download) count(n int64) {
	if _, config := d.sink.(*memorySink); !config {
		d.client.count(d.host(), d.blob.Digest, n)
	}
}

func (d *download) host() string { return d.session.key.host }

// fetchMissing fetches one segment after the other until none is left. Progress resets the
// count of tries.
func (d *download) fetchMissing(ctx context.Context) error {
	for attempt := 0; ; {
		seg := d.next()
		if seg == nil {
			return ctx.Err()
		}
		part := d.rest(seg)
		n, err := d.request(ctx, seg, false)
		d.finish(seg, false, false)
		switch {
		case err == nil:
			continue
		case ctx.Err() != nil:
			return ctx.Err()
		case isLocal(err), !isTemporaryBody(err), errors.Is(err, errLength):
			return err
		case (n >= minProgress || n > 0 && n >= part.left()/4) && !errors.Is(err, watch.ErrSlow):
			attempt = 0
			continue
		}
		if errors.Is(err, errRestart) {
			if d.restarts++; d.restarts > maxRestarts {
				return fmt.Errorf("%s: registry %s: %w", d.name, d.host(), errRestart)
			}
			d.startOver()
		}
		if attempt++; attempt >= d.client.opts.Attempts {
			return fmt.Errorf("%s: registry %s: no progress in %d tries: %w", d.name, d.host(), attempt, err)
		}
		wait := jitter(backoff(attempt-1, 0))
		d.client.net.events.report(Event{Host: d.host(), Text: oneLine(fmt.Sprint(err)), Wait: wait})
		if err := d.client.net.sleep(ctx, wait); err != nil {
			return err
		}
	}
}

// fetchStolen fetches seg for another worker. It reports no error: the rest of the segment
// is missing again, and the worker that has the blob meets the fault if it persists, also a
// panic.
func (d *download) fetchStolen(seg *segment) {
	var panicked error
	failed := false
	defer func() { d.finish(seg, true, failed || panicked != nil) }()
	defer catch(d.name, &panicked)
	for d.ctx.Err() == nil {
		n, err := d.request(d.ctx, seg, true)
		if failed = err != nil && n == 0; failed || err == nil {
			break
		}
	}
}

// isTemporaryBody reports whether another request for the rest may succeed.
func isTemporaryBody(err error) bool {
	var auth *AuthError
	var missing *NotFoundError
	var limit *RateLimitError
	return !errors.As(err, &auth) && !errors.As(err, &missing) && !errors.As(err, &limit)
}

// request asks once for what is missing of seg and writes it to the sink. It returns the
// number of bytes written.
func (d *download) request(ctx context.Context, seg *segment, thief bool) (int64, error) {
	part := d.rest(seg)
	header := http.Header{}
	ranged := part != (segment{0, d.blob.Size}) && !d.doubted
	if ranged {
		// Both ends: some servers refuse the open form. A blob that was wrong once is
		// fetched without ranges, and position skips what is not needed.
		header.Set("Range", fmt.Sprintf("bytes=%d-%d", part.off, part.end-1))
	}
	d.client.net.blobs.Add(1)
	resp, err := d.session.do(watch.With(ctx, blobLimits(d.client.opts.StallTimeout)), http.MethodGet, d.url, header)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	if err := d.position(resp, resp.Body, part.off, ranged, thief); err != nil {
		return 0, err
	}
	err = d.copy(resp.Body, seg)
	return d.rest(seg).off - part.off, err
}

// position reads up to offset off of the blob, or returns why the answer cannot be used.
func (d *download) position(resp *http.Response, body io.Reader, off int64, ranged, thief bool) error {
	switch {
	case resp.StatusCode == http.StatusOK && resp.ContentLength >= 0 && resp.ContentLength != d.blob.Size:
		if mt := contentType(resp.Header); strings.Contains(mt, "html") {
			return fmt.Errorf("%w: a page (%s) of %d bytes, want %d", errLength, oneLine(mt), resp.ContentLength, d.blob.Size)
		}
		return fmt.Errorf("%w: %d bytes, want %d", errLength, resp.ContentLength, d.blob.Size)
	case resp.StatusCode == http.StatusOK && thief && ranged:
		return errRestart // skipping what others fetch is not worth it
	case resp.StatusCode == http.StatusOK: // the server ignored the range
		_, err := io.CopyN(io.Discard, body, off)
		return err
	case resp.StatusCode == http.StatusPartialContent && ranged:
		if rangeStart(resp.Header.Get("Content-Range"), d.blob.Size) == off {
			return nil
		}
		return errRestart
	case ranged && (resp.StatusCode == http.StatusBadRequest || resp.StatusCode == http.StatusForbidden || resp.StatusCode == http.StatusRequestedRangeNotSatisfiable):
		// 403: a signed URL may have expired; another request gets a new one.
		return errRestart
	}
	err := statusError(resp, d.session, d.name)
	if missing := (*NotFoundError)(nil); errors.As(err, &missing) {
		missing.Digest, missing.Blob = d.blob.Digest, true
	}
	return err
}

// rangeStart reads the first byte's offset of "bytes 10-99/100". It returns -1 when s is
// not a range of a blob of that size (RFC 9110 section 14.4).
func rangeStart(s string, size int64) int64 {
	spec, total, ok := strings.Cut(strings.TrimPrefix(s, "bytes "), "/")
	if !ok || total != "*" && total != strconv.FormatInt(size, 10) {
		return -1
	}
	first, last, ok := strings.Cut(spec, "-")
	n, err := strconv.ParseInt(first, 10, 64)
	end, endErr := strconv.ParseInt(last, 10, 64)
	if !ok || err != nil || endErr != nil || n < 0 || end < n || end >= size {
		return -1
	}
	return n
}

// copy writes the body to the sink up to the end of seg, which moves when a thief takes
// the second half. It does not read further: the digest decides whether the blob is right.
func (d *download) copy(body io.Reader, seg *segment) error {
	bp := iox.Buffer()
	defer iox.Release(bp)
	for {
		rest := d.rest(seg)
		if rest.left() <= 0 {
			return nil
		}
		n, err := body.Read((*bp)[:min(int64(len(*bp)), rest.left())])
		if n > 0 {
			// A thief's half begins at least a piece from here, far beyond the buffer.
			if _, werr := d.sink.WriteAt((*bp)[:n], rest.off); werr != nil {
				return &LocalError{werr}
			}
			rest = d.written(seg, n)
			d.count(int64(n))
		}
		if err != nil && rest.left() > 0 {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return fmt.Errorf("%s: registry %s: %w", d.name, d.host(), err)
		}
	}
}
