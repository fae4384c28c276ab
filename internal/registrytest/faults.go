package registrytest

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Times is how often a fault still occurs: 0 never, n the next n times, [Always] every
// time. The registry counts it down.
type Times int

// Always makes a fault occur every time.
const Always Times = -1

// use reports whether the fault occurs now and counts it.
func (t *Times) use() bool {
	if *t > 0 {
		*t--
		return true
	}
	return *t < 0
}

// Interrupt is a fault in the middle of a body. It occurs once After bytes were sent, in
// responses with status 200 or 206 that have more to send.
type Interrupt struct {
	After int64 // body bytes of this response, not of the blob
	Times Times
}

// Failure answers requests with an error status.
type Failure struct {
	Status int // 0: 503
	Times  Times
}

// RangeMode is how the registry treats Range headers of blob requests (RFC 9110 section
// 14).
type RangeMode int

// The ways in which real servers treat ranges.
const (
	RangesHonoured      RangeMode = iota // 206, closed, open and suffix forms; 416 beyond the end
	RangesIgnored                        // 200 and the whole body
	RangesClosedOnly                     // as honoured, but 416 for the open form "bytes=5-"
	RangesBadRequest                     // 400
	RangesForbidden                      // 403
	RangesUnsatisfiable                  // 416
	RangesWrongHeader                    // 206, the right bytes, Content-Range one byte off
	RangesWrongBytes                     // 206, the right Content-Range, bytes from elsewhere in the blob
	RangesShort                          // 206 with half of the requested bytes (at least one) and a matching Content-Range
)

// Filter selects the requests that faults apply to. An empty field matches all.
type Filter struct {
	Kinds    []Kind   // such as KindBlob
	Methods  []string // such as "HEAD"
	Path     string   // substring of the URL's path: a repository, a digest
	Listener string   // ListenerRegistry or ListenerCDN
}

// matches reports whether the filter selects a request.
func (f Filter) matches(x *exchange) bool {
	return (len(f.Kinds) == 0 || slices.Contains(f.Kinds, x.target.kind)) &&
		(len(f.Methods) == 0 || slices.Contains(f.Methods, x.r.Method)) &&
		strings.Contains(x.r.URL.Path, f.Path) &&
		(f.Listener == "" || f.Listener == x.listener)
}

// Faults are the ways in which a registry fails. The zero value has no faults; the fields
// are independent. A test usually sets one or two of them with [Registry.SetFaults] or
// [Registry.AddFaults].
type Faults struct {
	Only Filter // the requests that the fields below apply to

	// Instead of the response.
	Latency    time.Duration // delay of each response
	Fail       Failure       // an error in the registry's JSON form
	TooMany    Times         // the abuse limit: 429, plain text, none of the quota's headers
	TooManyMsg string        // text of that 429; empty: "Too Many Requests"
	Page       Times         // status 200 with a page in HTML, as of a firewall or a login
	RetryAfter string        // Retry-After of every 429 and 5xx, see RetrySeconds and others; empty: none

	// Status and headers.
	HeadStatus  int    // status of every HEAD of a manifest, such as 405 or 404; 0: the right one
	NoDigest    bool   // no Docker-Content-Digest
	WrongDigest bool   // a valid Docker-Content-Digest that is of nothing
	NoLength    bool   // no Content-Length on GETs of manifests and blobs
	Warning     string // text of a Warning header with code 299 (distribution-spec 1.1, "Warnings")
	NoReferrers bool   // 404 for the referrers API, like registries before distribution-spec 1.1
	Ranges      RangeMode

	// The body.
	Corrupt  Times     // flip one bit in the middle of a manifest or blob; the headers have the right digest
	Cut      Interrupt // close the connection
	Stall    Interrupt // send nothing more until Registry.Release, or until the client or registry closes
	ConnRate int64     // bytes/s of each connection; 0: unlimited
	LinkRate int64     // bytes/s of all connections together; 0: unlimited
}

// NoFaults ends all faults. It is an argument for [Registry.SetFaults].
func NoFaults(f *Faults) { *f = Faults{} }

// fault calls pick for every set of faults that applies to the request, the oldest first,
// until it returns true. It holds the registry's lock, so pick may count Times down.
func (x *exchange) fault(pick func(*Faults) bool) bool {
	x.registry.mu.Lock()
	defer x.registry.mu.Unlock()
	for _, f := range x.registry.faults {
		if f.Only.matches(x) && pick(f) {
			return true
		}
	}
	return false
}

// faultValue returns the first value of a field that is not zero.
func faultValue[T comparable](x *exchange, field func(*Faults) T) T {
	var v, zero T
	x.fault(func(f *Faults) bool {
		v = field(f)
		return v != zero
	})
	return v
}

// RetrySeconds returns a Retry-After header in seconds.
func RetrySeconds(d time.Duration) string { return strconv.FormatInt(int64(d/time.Second), 10) }

// RetryDate returns a Retry-After header as an HTTP date.
func RetryDate(t time.Time) string { return t.UTC().Format(http.TimeFormat) }

// RetryEpoch returns a Retry-After header as a Unix time, the form of Docker Hub's REST
// API.
func RetryEpoch(t time.Time) string { return strconv.FormatInt(t.Unix(), 10) }

// RetryDuration returns a Retry-After header as a Go duration, the form of GHCR.
func RetryDuration(d time.Duration) string { return d.String() }
