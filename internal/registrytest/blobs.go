package registrytest

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/opencontainers/go-digest"
)

// serveBlob answers GET and HEAD of a blob on the registry itself (distribution-spec 1.1,
// "Pulling blobs").
func (x *exchange) serveBlob() {
	if !x.registry.Policy().Redirect {
		x.sendBlob()
		return
	}
	if _, err := x.registry.store.open(x.target.repo, digest.Digest(x.target.ref)); err != nil {
		x.fail(http.StatusNotFound, "BLOB_UNKNOWN", "blob unknown to registry")
		return
	}
	// Signed addresses are one reason never to keep the place a blob came from.
	where := x.registry.scheme + "://" + x.registry.cdn + cdnPrefix + x.target.repo + "/blobs/" + x.target.ref + "?signature=1"
	x.Header().Set("Location", where)
	x.send(http.StatusTemporaryRedirect, "text/plain; charset=utf-8", nil)
}

// serveCDN answers the second host, which knows blobs only.
func (x *exchange) serveCDN() {
	if x.target.kind != KindBlob || (x.r.Method != http.MethodGet && x.r.Method != http.MethodHead) {
		http.NotFound(x, x.r)
		return
	}
	x.sendBlob()
}

// checkCDN records what a client must not show to the second host.
func (x *exchange) checkCDN() {
	for _, name := range []string{"Authorization", "Cookie"} {
		if x.r.Header.Get(name) != "" {
			x.registry.log.addViolation("%s header sent to the second host: %s %s", name, x.r.Method, x.r.URL.Path)
		}
	}
}

// sendBlob sends a blob or the part of it that was asked for.
func (x *exchange) sendBlob() {
	d := digest.Digest(x.target.ref)
	c, err := x.registry.store.open(x.target.repo, d)
	if err != nil {
		x.fail(http.StatusNotFound, "BLOB_UNKNOWN", "blob unknown to registry")
		return
	}
	p, ok := x.part(c.Size())
	if !ok {
		return
	}
	x.setHeaders("application/octet-stream", d.String(), p.length)
	x.Header().Set("Accept-Ranges", "bytes")
	if p.label != "" {
		x.Header().Set("Content-Range", p.label)
	}
	x.WriteHeader(p.status)
	if x.r.Method == http.MethodHead {
		return
	}
	corrupt := x.fault(func(f *Faults) bool { return f.Corrupt.use() })
	if corrupt {
		x.note(func(e *Entry) { e.Note = "corrupt" })
	}
	x.stream(c, p, corrupt)
}

// stream sends p.length bytes of c from p.from on. It ends early when the client goes.
func (x *exchange) stream(c content, p part, corrupt bool) {
	buf := make([]byte, min(maxChunk, p.length))
	for off, end := p.from, p.from+p.length; off < end; {
		b := buf[:min(int64(len(buf)), end-off)]
		if n, err := c.ReadAt(b, off); err != nil && (err != io.EOF || n < len(b)) {
			panic(http.ErrAbortHandler) // the promised length cannot be kept
		}
		if corrupt {
			flip(b, off, c.Size())
		}
		if _, err := x.Write(b); err != nil {
			return
		}
		off += int64(len(b))
	}
}

// part is the piece of a blob that an answer holds.
type part struct {
	status       int
	from, length int64
	label        string // Content-Range
}

// part decides which piece of size bytes to send. When it gives false the exchange has
// been answered.
func (x *exchange) part(size int64) (part, bool) {
	whole := part{status: http.StatusOK, length: size}
	head := x.r.Header.Get("Range")
	mode := faultValue(x, func(f *Faults) RangeMode { return f.Ranges })
	// Ranges are defined for GET alone (RFC 9110 section 14.2).
	if head == "" || x.r.Method != http.MethodGet || mode == RangesIgnored {
		return whole, true
	}
	switch mode {
	case RangesBadRequest:
		x.fail(http.StatusBadRequest, "UNSUPPORTED", "ranges are not supported")
		return part{}, false
	case RangesForbidden:
		x.fail(http.StatusForbidden, "DENIED", "access denied")
		return part{}, false
	}
	first, last, known := parseRange(head, size)
	if !known {
		return whole, true
	}
	if first > last || mode == RangesUnsatisfiable || (mode == RangesClosedOnly && strings.HasSuffix(head, "-")) {
		x.Header().Set("Content-Range", fmt.Sprintf("bytes */%d", size))
		x.fail(http.StatusRequestedRangeNotSatisfiable, "UNSUPPORTED", "range not satisfiable")
		return part{}, false
	}
	return applyRangeMode(mode, first, last, size), true
}

// applyRangeMode makes the part for bytes first to last, wrong in the way that mode says.
func applyRangeMode(mode RangeMode, first, last, size int64) part {
	if mode == RangesShort {
		last = first + (last-first)/2
	}
	label := func(first, last int64) string { return fmt.Sprintf("bytes %d-%d/%d", first, last, size) }
	p := part{status: http.StatusPartialContent, from: first, length: last - first + 1, label: label(first, last)}
	switch {
	case mode == RangesWrongHeader:
		p.label = label(first+1, last+1)
	case mode == RangesWrongBytes && p.from > 0:
		p.from--
	case mode == RangesWrongBytes && p.length < size:
		p.from++
	}
	return p
}

// parseRange reads the forms "bytes=a-b", "bytes=a-" and "bytes=-n" of RFC 9110 section
// 14.1.2, clipped to size. first > last means that nothing of it is there. Other forms,
// several ranges among them, are not known and may be ignored by a server.
func parseRange(head string, size int64) (first, last int64, known bool) {
	spec, ok := strings.CutPrefix(head, "bytes=")
	a, b, dash := strings.Cut(spec, "-")
	if !ok || !dash || (a == "" && b == "") {
		return 0, 0, false
	}
	if a == "" {
		n, err := strconv.ParseUint(b, 10, 63)
		return max(0, size-int64(n)), size - 1, err == nil
	}
	start, err := strconv.ParseUint(a, 10, 63)
	if err != nil {
		return 0, 0, false
	}
	first, last = int64(start), size-1
	if b != "" {
		end, err := strconv.ParseUint(b, 10, 63)
		if err != nil || end < start {
			return 0, 0, false
		}
		last = min(last, int64(end))
	}
	return first, last, true
}
