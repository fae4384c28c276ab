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
	// The signature makes the URL valid for one request, as signed URLs do: a client must
	// not keep it.
	location := x.registry.scheme + "://" + x.registry.cdn + cdnPrefix + x.target.repo + "/blobs/" + x.target.ref + "?signature=1"
	x.Header().Set("Location", location)
	x.send(http.StatusTemporaryRedirect, "text/plain; charset=utf-8", nil)
}

// serveCDN answers for the second host, which serves only blobs.
func (x *exchange) serveCDN() {
	if x.target.kind != KindBlob || (x.r.Method != http.MethodGet && x.r.Method != http.MethodHead) {
		http.NotFound(x, x.r)
		return
	}
	x.sendBlob()
}

// checkCDN records what a client must not send to the second host.
func (x *exchange) checkCDN() {
	for _, name := range []string{"Authorization", "Cookie"} {
		if x.r.Header.Get(name) != "" {
			x.registry.log.addViolation("%s header sent to the second host: %s %s", name, x.r.Method, x.r.URL.Path)
		}
	}
}

// sendBlob sends a blob or the requested range of it.
func (x *exchange) sendBlob() {
	d := digest.Digest(x.target.ref)
	c, err := x.registry.store.open(x.target.repo, d)
	if err != nil {
		x.fail(http.StatusNotFound, "BLOB_UNKNOWN", "blob unknown to registry")
		return
	}
	p, ok := x.requestedRange(c.Size())
	if !ok {
		return
	}
	x.setHeaders("application/octet-stream", d.String(), p.length)
	x.Header().Set("Accept-Ranges", "bytes")
	if p.contentRange != "" {
		x.Header().Set("Content-Range", p.contentRange)
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

// stream sends p.length bytes of c from p.from on. It returns early when the client
// disconnects.
func (x *exchange) stream(c content, p byteRange, corrupt bool) {
	buf := make([]byte, min(maxChunk, p.length))
	for off, end := p.from, p.from+p.length; off < end; {
		b := buf[:min(int64(len(buf)), end-off)]
		if n, err := c.ReadAt(b, off); err != nil && (err != io.EOF || n < len(b)) {
			panic(http.ErrAbortHandler) // the announced length cannot be sent
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

// byteRange is the range of a blob that a response contains.
type byteRange struct {
	status       int
	from, length int64
	contentRange string // header, empty for the whole blob
}

// requestedRange returns the range of size bytes to send. If it returns false it has
// answered the request.
func (x *exchange) requestedRange(size int64) (byteRange, bool) {
	whole := byteRange{status: http.StatusOK, length: size}
	header := x.r.Header.Get("Range")
	mode := faultValue(x, func(f *Faults) RangeMode { return f.Ranges })
	// Ranges are defined only for GET (RFC 9110 section 14.2).
	if header == "" || x.r.Method != http.MethodGet || mode == RangesIgnored {
		return whole, true
	}
	switch mode {
	case RangesBadRequest:
		x.fail(http.StatusBadRequest, "UNSUPPORTED", "ranges are not supported")
		return byteRange{}, false
	case RangesForbidden:
		x.fail(http.StatusForbidden, "DENIED", "access denied")
		return byteRange{}, false
	}
	first, last, known := parseRange(header, size)
	if !known {
		return whole, true
	}
	if first > last || mode == RangesUnsatisfiable || (mode == RangesClosedOnly && strings.HasSuffix(header, "-")) {
		x.Header().Set("Content-Range", fmt.Sprintf("bytes */%d", size))
		x.fail(http.StatusRequestedRangeNotSatisfiable, "UNSUPPORTED", "range not satisfiable")
		return byteRange{}, false
	}
	return applyRangeMode(mode, first, last, size), true
}

// applyRangeMode returns the range from first to last, with the error of mode.
func applyRangeMode(mode RangeMode, first, last, size int64) byteRange {
	if mode == RangesShort {
		last = first + (last-first)/2
	}
	header := func(first, last int64) string { return fmt.Sprintf("bytes %d-%d/%d", first, last, size) }
	p := byteRange{status: http.StatusPartialContent, from: first, length: last - first + 1, contentRange: header(first, last)}
	switch {
	case mode == RangesWrongHeader:
		p.contentRange = header(first+1, last+1)
	case mode == RangesWrongBytes && p.from > 0:
		p.from--
	case mode == RangesWrongBytes && p.length < size:
		p.from++
	}
	return p
}

// parseRange parses the forms "bytes=a-b", "bytes=a-" and "bytes=-n" of RFC 9110 section
// 14.1.2, clipped to size. first > last means that the range is beyond the end. known is
// false for other forms, several ranges among them, which a server may ignore.
func parseRange(header string, size int64) (first, last int64, known bool) {
	spec, ok := strings.CutPrefix(header, "bytes=")
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
