package registrytest

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Times says how often a fault still strikes: 0 not at all, n the next n times, [Always]
// every time. The registry counts it down.
type Times int

// Always lets a fault strike every time.
const Always Times = -1

// take uses up one strike and says whether there was one.
func (t *Times) use() bool {
	if *t > 0 {
		*t--
		return true
	}
	return *t < 0
}

// Interrupt is a fault in the middle of a body: it strikes answers with status 200 or 206
// that have more than After bytes to send, once After bytes have left.
type Interrupt struct {
	After int64 // body bytes of this answer, not of the blob
	Times Times
}

// Failure answers requests with a status instead of what they ask for.
type Failure struct {
	Status int // 0: 503
	Times  Times
}

// RangeMode says what the registry makes of Range headers on blobs (RFC 9110 section 14).
type RangeMode int

// The ways servers were seen to treat ranges.
const (
	RangesHonoured      RangeMode = iota // 206, closed, open and suffix forms; 416 beyond the end
	RangesIgnored                        // 200 and the whole body
	RangesClosedOnly                     // as honoured, but 416 for the open form "bytes=5-"
	RangesBadRequest                     // 400
	RangesForbidden                      // 403
	RangesUnsatisfiable                  // 416
	RangesWrongHeader                    // 206, the right bytes, Content-Range one byte off
	RangesWrongBytes                     // 206, Content-Range right, bytes from elsewhere in the blob
	RangesShort                          // 206, rightly labelled, half of what was asked for (at least one byte)
)

// Filter picks the requests that faults strike. An empty field picks all.
type Filter struct {
	Kinds    []Kind   // such as KindBlob
	Methods  []string // such as "HEAD"
	Path     string   // a piece of the URL's path: a repository, a digest
	Listener string   // ListenerRegistry or ListenerCDN
}

// matches says whether the filter picks this request.
func (f Filter) matches(x *exchange) bool {
	return (len(f.Kinds) == 0 || slices.Contains(f.Kinds, x.target.kind)) &&
		(len(f.Methods) == 0 || slices.Contains(f.Methods, x.r.Method)) &&
		strings.Contains(x.r.URL.Path, f.Path) &&
		(f.Listener == "" || f.Listener == x.listener)
}

// Faults are the ways a registry hurts. The zero value hurts nobody; every field stands alone.
// A pull in tests usually sets one or two of them, see [Registry.SetFaults] and [Registry.AddFaults].
type Faults struct {
	Only Filter // which requests the fields below concern

	// Before the answer.
	Latency    time.Duration // waited before each answer
	Fail       Failure       // answered instead, in the registry's JSON error form
	TooMany    Times         // the abuse limit: 429, plain text, none of the quota's headers
	TooManyMsg string        // text of that 429; empty: "Too Many Requests"
	RetryAfter string        // Retry-After of every 429 and 5xx; see RetrySeconds and its like; empty: none

	// The head of the answer.
	HeadStatus  int    // answers HEAD of manifests, such as 405 or 404; 0: as it should be
	NoDigest    bool   // no Docker-Content-Digest
	NoLength    bool   // no Content-Length on GETs of manifests and blobs
	Warning     string // text of a Warning header with code 299 (distribution-spec 1.1, "Warnings")
	NoReferrers bool   // 404 for the referrers API, as registries before distribution-spec 1.1
	Ranges      RangeMode

	// The body.
	Corrupt  Times     // one bit flipped in the middle of a manifest or blob, under its right digest
	Cut      Interrupt // the connection ends
	Stall    Interrupt // silence until the client goes, Registry.Release or Registry.Close
	ConnRate int64     // bytes/s of each connection; 0: unlimited
	LinkRate int64     // bytes/s of all connections together; 0: unlimited
}

// NoFaults ends all faults; made to be given to [Registry.SetFaults].
func NoFaults(f *Faults) { *f = Faults{} }

// fault asks every set of faults that concerns the exchange, the oldest first, until one
// says yes. It holds the registry's lock, so pick may count Times down.
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

// faultValue is the first value of its field that is not zero.
func faultValue[T comparable](x *exchange, field func(*Faults) T) T {
	var v, zero T
	x.fault(func(f *Faults) bool {
		v = field(f)
		return v != zero
	})
	return v
}

// RetrySeconds is a Retry-After header in whole seconds.
func RetrySeconds(d time.Duration) string { return strconv.FormatInt(int64(d/time.Second), 10) }

// RetryDate is a Retry-After header as an HTTP date.
func RetryDate(t time.Time) string { return t.UTC().Format(http.TimeFormat) }

// RetryEpoch is a Retry-After header as a Unix time, the form of Docker Hub's REST API.
func RetryEpoch(t time.Time) string { return strconv.FormatInt(t.Unix(), 10) }

// RetryDuration is a Retry-After header as Go writes durations, the form GHCR uses.
func RetryDuration(d time.Duration) string { return d.String() }
