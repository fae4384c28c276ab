package pull

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stowage/internal/iox"
)

const maxRestarts = 2 // times a blob is begun anew because ranges cannot be trusted

// download is one blob on its way from one server.
type download struct {
	client  *Client
	session *session
	host    string // for people
	url     string
	blob    ocispec.Descriptor
	sink    Sink
	name    string
	crew    *crew
	ctx     context.Context // of the helpers; ends with the download

	// Guarded by the crew's lock.
	todo    []*segment
	busy    map[*segment]bool
	helpers int
	alone   bool // no helpers: the sink cannot take it, or the server

	restarts int  // times begun anew
	doubted  bool // the whole was wrong once and is fetched again
}

// run fetches what the sink lacks and commits it. What came may be wrong once: a piece of
// an earlier run's, a range of another version, a cache with a bad entry. Then all is
// fetched from the start, once, in one stream.
func (d *download) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	d.ctx, d.busy = ctx, map[*segment]bool{}
	_, several := d.sink.(Resumer)
	d.alone = !several
	d.begin(missing(d.sink, d.blob.Size))
	for {
		err := d.work(ctx)
		if err != nil && !errors.Is(err, errLength) {
			cancel()
		}
		d.dismiss()
		if err == nil {
			err = d.sink.Commit()
		} else if !errors.Is(err, errLength) {
			return err
		}
		if err == nil || isLocal(err) {
			return err
		}
		out := !errors.Is(err, errLength) && d.sink.Prefix() > 0 // a pipe, which takes no byte back
		if d.doubted || out {
			return &ContentError{Host: d.host, Name: d.name, Err: err, final: out}
		}
		d.doubted = true
		d.client.report(Event{Host: d.host, Text: oneLine(d.name + ": wrong bytes came, they are asked for once more")})
		d.begin([]segment{{0, d.blob.Size}})
	}
}

// work fetches part after part until none is left. Progress renews the tries.
func (d *download) work(ctx context.Context) error {
	for attempt := 0; ; {
		seg := d.take()
		if seg == nil {
			return ctx.Err()
		}
		n, err := d.request(ctx, seg, false)
		d.release(seg)
		switch {
		case err == nil:
			continue
		case ctx.Err() != nil:
			return ctx.Err()
		case isLocal(err), !passingBody(err), errors.Is(err, errLength):
			return err
		case n > 0:
			attempt = 0
			continue
		}
		if errors.Is(err, errRestart) {
			if d.restarts++; d.restarts > maxRestarts {
				return fmt.Errorf("%s: registry %s: %w", d.name, d.host, errRestart)
			}
			d.startOver()
		}
		if attempt++; attempt >= d.client.opts.Attempts {
			return fmt.Errorf("%s: registry %s: nothing came in %d tries: %w", d.name, d.host, attempt, err)
		}
		wait := jitter(backoff(attempt-1, 0))
		d.client.report(Event{Host: d.host, Text: oneLine(fmt.Sprint(err)), Wait: wait})
		if err := d.client.sleep(ctx, wait); err != nil {
			return err
		}
	}
}

// passingBody reports whether another request for the rest may help.
func passingBody(err error) bool {
	var auth *AuthError
	var missing *NotFoundError
	var limit *RateLimitError
	return !errors.As(err, &auth) && !errors.As(err, &missing) && !errors.As(err, &limit)
}

// request asks once for what is missing of seg and writes what comes. It returns how many
// bytes that were.
func (d *download) request(ctx context.Context, seg *segment, helper bool) (int64, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	d.crew.mu.Lock()
	part := *seg
	d.crew.mu.Unlock()
	header := http.Header{"Accept-Encoding": {"identity"}}
	if part != (segment{0, d.blob.Size}) && !d.doubted {
		// Both ends: some servers refuse the open form. Once the bytes were wrong ranges are
		// not trusted any more: what is there is passed over in an answer that is whole.
		header.Set("Range", fmt.Sprintf("bytes=%d-%d", part.off, part.end-1))
	}
	d.client.blobs.Add(1)
	resp, err := d.client.do(ctx, d.session, http.MethodGet, d.url, header)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	r := &watched{r: resp.Body, stall: time.AfterFunc(d.client.opts.StallTimeout, func() { cancel(errStalled) }), after: d.client.opts.StallTimeout}
	defer r.stall.Stop()
	if err := d.position(resp, r, part, helper); err != nil {
		return 0, err
	}
	err = d.copy(r, seg)
	d.crew.mu.Lock()
	n := seg.off - part.off
	d.crew.mu.Unlock()
	if cause := context.Cause(ctx); errors.Is(cause, errStalled) && err != nil {
		err = fmt.Errorf("%s: registry %s: %w", d.name, d.host, cause)
	}
	return n, err
}

// position brings the body to where the part starts, or says why that cannot be.
func (d *download) position(resp *http.Response, body io.Reader, part segment, helper bool) error {
	ranged := part != segment{0, d.blob.Size} && !d.doubted
	switch {
	case resp.StatusCode == http.StatusOK && resp.ContentLength >= 0 && resp.ContentLength != d.blob.Size:
		return fmt.Errorf("%w: %d bytes, want %d", errLength, resp.ContentLength, d.blob.Size)
	case resp.StatusCode == http.StatusOK && helper && ranged:
		return errRestart // not worth passing over what others fetch
	case resp.StatusCode == http.StatusOK: // range ignored: pass over what is there
		_, err := io.CopyN(io.Discard, body, part.off)
		return err
	case resp.StatusCode == http.StatusPartialContent && ranged:
		if rangeStart(resp.Header.Get("Content-Range"), d.blob.Size) == part.off {
			return nil
		}
		return errRestart
	case ranged && (resp.StatusCode == http.StatusBadRequest || resp.StatusCode == http.StatusForbidden || resp.StatusCode == http.StatusRequestedRangeNotSatisfiable):
		// 403: a signed address may have expired; asking anew gets a new one.
		return errRestart
	}
	err := statusError(resp, d.session, d.name)
	if missing := (*NotFoundError)(nil); errors.As(err, &missing) {
		missing.Digest, missing.Blob = d.blob.Digest, true
	}
	return err
}

// rangeStart reads the first byte's offset of "bytes 10-99/100", -1 when it is not a range
// of a blob of that size (RFC 9110 section 14.4).
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

// copy writes the body to the sink up to the end of seg, which comes nearer when a helper
// takes the far half. What the body has beyond is nobody's business: the digest decides.
func (d *download) copy(body io.Reader, seg *segment) error {
	bp := iox.Buffer()
	defer iox.Release(bp)
	for {
		d.crew.mu.Lock()
		off, left := seg.off, seg.left()
		d.crew.mu.Unlock()
		if left <= 0 {
			return nil
		}
		n, err := body.Read((*bp)[:min(int64(len(*bp)), left)])
		if n > 0 {
			// A helper's half begins at least a piece from here, far beyond the buffer.
			if _, werr := d.sink.WriteAt((*bp)[:n], off); werr != nil {
				return &LocalError{werr}
			}
			d.crew.mu.Lock()
			seg.off += int64(n)
			left = seg.left()
			d.crew.mu.Unlock()
			if d.client.opts.OnBytes != nil {
				d.client.opts.OnBytes(int64(n))
			}
		}
		if err != nil && left > 0 {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return fmt.Errorf("%s: registry %s: %w", d.name, d.host, err)
		}
	}
}

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
