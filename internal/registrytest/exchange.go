package registrytest

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// exchange is a request that is being answered. It is the http.ResponseWriter of everything
// that answers, so that the log and the faults see every byte.
type exchange struct {
	registry *Registry
	w        http.ResponseWriter
	r        *http.Request
	listener string
	target   target
	account  string
	entry    *Entry
	limiter  *limiter // the connection's

	status  int
	length  int64 // of the body, -1 while unknown
	sent    int64 // body bytes
	stalled bool
	done    bool // no longer counted as active
}

// handler returns the handler of a listener.
func (reg *Registry) handler(listener string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x := &exchange{registry: reg, w: w, r: r, listener: listener, target: parseTarget(r.URL.Path), length: -1}
		if !reg.begin(x.target.kind) {
			panic(http.ErrAbortHandler)
		}
		defer x.end()
		x.limiter, _ = r.Context().Value(limiterKey{}).(*limiter)
		x.entry = reg.log.begin(Entry{
			Time: time.Now(), Listener: listener, Host: r.Host, Proto: r.Proto,
			Method: r.Method, Path: r.URL.Path, Kind: x.target.kind, Repo: x.target.repo, Ref: x.target.ref,
			Auth: scheme(r.Header.Get("Authorization")), Range: r.Header.Get("Range"), UserAgent: r.UserAgent(),
		})
		x.serve()
	})
}

// scheme returns what the log keeps of an Authorization header. Anything unknown might be a
// secret without a scheme.
func scheme(authorization string) string {
	if s, _, _ := strings.Cut(authorization, " "); authorization == "" || s == "Basic" || s == "Bearer" {
		return s
	}
	return "other"
}

// begin counts a request as active. It returns false if the registry is closing.
func (reg *Registry) begin(k Kind) bool {
	reg.mu.Lock()
	defer reg.mu.Unlock()
	select {
	case <-reg.closing:
		return false
	default:
	}
	reg.handlers.Add(1)
	reg.active[k]++
	reg.peaks[k] = max(reg.peaks[k], reg.active[k])
	return true
}

// endActive stops counting the request as active. It is called just before the last byte is
// sent: a client that sends its requests one after the other must never be counted with
// two.
func (x *exchange) endActive() {
	x.registry.mu.Lock()
	defer x.registry.mu.Unlock()
	if !x.done {
		x.done = true
		x.registry.active[x.target.kind]--
	}
}

// end finishes the request.
func (x *exchange) end() {
	x.endActive()
	x.registry.handlers.Done()
}

// serve answers a request: faults first, then authorization.
func (x *exchange) serve() {
	if x.listener == ListenerCDN {
		x.checkCDN()
	}
	if x.delayed() || x.refused() {
		return
	}
	if text := faultValue(x, func(f *Faults) string { return f.Warning }); text != "" {
		x.Header().Set("Warning", "299 - "+strconv.Quote(text))
	}
	switch {
	case x.listener == ListenerCDN:
		x.serveCDN()
	case x.target.kind == KindToken:
		x.serveToken()
	case x.target.kind == KindPing && x.registry.Policy().PingStatus != 0:
		x.fail(x.registry.Policy().PingStatus, "UNSUPPORTED", "there is nothing here")
	case x.authorize():
		x.serveRegistry()
	}
}

// serveRegistry answers an authorized request.
func (x *exchange) serveRegistry() {
	read := x.r.Method == http.MethodGet || x.r.Method == http.MethodHead
	x.Header().Set("Docker-Distribution-Api-Version", "registry/2.0")
	switch {
	case x.target.kind == KindManifest && read:
		x.serveManifest()
	case x.target.kind == KindBlob && read:
		x.serveBlob()
	case x.target.kind == KindReferrers && read:
		x.serveReferrers()
	default:
		x.registry.storage.ServeHTTP(x, x.r)
	}
}

// delayed waits for the latency. It returns true if the client disconnected.
func (x *exchange) delayed() bool {
	d := faultValue(x, func(f *Faults) time.Duration { return f.Latency })
	return d > 0 && !x.wait(d)
}

// refused reports whether the faults answered the request with an error.
func (x *exchange) refused() bool {
	var text string
	if x.fault(func(f *Faults) bool { text = f.TooManyMsg; return f.TooMany.use() }) {
		if text == "" {
			text = "Too Many Requests"
		}
		x.send(http.StatusTooManyRequests, "text/plain; charset=utf-8", []byte(text))
		return true
	}
	if x.fault(func(f *Faults) bool { return f.Page.use() }) {
		x.send(http.StatusOK, "text/html", []byte("<!DOCTYPE html>\n<html><head><title>Blocked by policy</title></head></html>"))
		return true
	}
	status := 0
	if !x.fault(func(f *Faults) bool { status = f.Fail.Status; return f.Fail.Times.use() }) {
		return false
	}
	if status == 0 {
		status = http.StatusServiceUnavailable
	}
	x.fail(status, x.code(status), http.StatusText(status))
	return true
}

// code returns the error code of distribution-spec 1.1 ("Error Codes") for a status.
func (x *exchange) code(status int) string {
	switch status {
	case http.StatusNotFound:
		if x.target.kind == KindBlob {
			return "BLOB_UNKNOWN"
		}
		return "MANIFEST_UNKNOWN"
	case http.StatusUnauthorized:
		return "UNAUTHORIZED"
	case http.StatusForbidden:
		return "DENIED"
	case http.StatusTooManyRequests:
		return "TOOMANYREQUESTS"
	default:
		return "UNKNOWN"
	}
}

// Header implements http.ResponseWriter.
func (x *exchange) Header() http.Header { return x.w.Header() }

// WriteHeader sends the status and the headers that depend on it.
func (x *exchange) WriteHeader(status int) {
	if x.status != 0 {
		return
	}
	x.status = status
	if status == http.StatusTooManyRequests || status >= 500 {
		if v := faultValue(x, func(f *Faults) string { return f.RetryAfter }); v != "" {
			x.Header().Set("Retry-After", v)
		}
	}
	x.note(func(e *Entry) { e.Status = status })
	if n, err := strconv.ParseInt(x.Header().Get("Content-Length"), 10, 64); err == nil && x.length < 0 {
		x.length = n
	}
	if x.r.Method == http.MethodHead || x.length == 0 {
		x.endActive()
	}
	x.w.WriteHeader(status)
	if x.length > 0 && x.Header().Get("Content-Length") == "" {
		x.flush() // before net/http adds the length of a short body
	}
}

// note changes the request's log entry.
func (x *exchange) note(change func(*Entry)) { x.registry.log.edit(x.entry, change) }

// send answers with a body in memory.
func (x *exchange) send(status int, contentType string, body []byte) {
	x.Header().Set("Content-Type", contentType)
	x.Header().Set("Content-Length", strconv.Itoa(len(body)))
	x.WriteHeader(status)
	x.body(body)
}

// body sends p unless the request is a HEAD. An error means that the client disconnected:
// it is in the log already and there is nothing left to do.
func (x *exchange) body(p []byte) {
	if x.r.Method != http.MethodHead {
		_, _ = x.Write(p)
	}
}

// fail answers with an error in JSON (distribution-spec 1.1, "Error Codes").
func (x *exchange) fail(status int, code, message string) {
	type apiError struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	}
	body, err := json.Marshal(struct {
		Errors []apiError `json:"errors"`
	}{[]apiError{{code, message}}})
	if err != nil {
		panic(err) // three strings always marshal
	}
	x.send(status, "application/json", body)
}
