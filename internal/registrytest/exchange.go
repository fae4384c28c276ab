package registrytest

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// exchange is one request on its way through the registry. It is the http.ResponseWriter of
// all who answer, so that the log and the faults see every byte.
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
	length  int64 // of the body, -1 as long as nobody knows
	sent    int64 // body bytes
	stalled bool
	done    bool // counted out of the active ones
}

// handler answers the requests of one listener.
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

// scheme is what the log keeps of an Authorization header. Anything unknown might be a
// secret written without a scheme.
func scheme(authorization string) string {
	if s, _, _ := strings.Cut(authorization, " "); authorization == "" || s == "Basic" || s == "Bearer" {
		return s
	}
	return "other"
}

// enter counts a request in; false when the registry is closing.
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

// land ends the request's time among those being answered: just before its last byte
// leaves, so that a client that asks one after the other is never seen asking two.
func (x *exchange) endActive() {
	x.registry.mu.Lock()
	defer x.registry.mu.Unlock()
	if !x.done {
		x.done = true
		x.registry.active[x.target.kind]--
	}
}

// leave counts the exchange out, whatever became of it.
func (x *exchange) end() {
	x.endActive()
	x.registry.handlers.Done()
}

// serve is the order of events that every request goes through.
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
	case x.authorize():
		x.serveRegistry()
	}
}

// serveRegistry answers a request that has been let in.
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

// delayed waits out the latency; true when the client went meanwhile.
func (x *exchange) delayed() bool {
	d := faultValue(x, func(f *Faults) time.Duration { return f.Latency })
	return d > 0 && !x.wait(d)
}

// refused answers instead of the registry proper when the faults say so.
func (x *exchange) refused() bool {
	var text string
	if x.fault(func(f *Faults) bool { text = f.TooManyMsg; return f.TooMany.use() }) {
		if text == "" {
			text = "Too Many Requests"
		}
		x.send(http.StatusTooManyRequests, "text/plain; charset=utf-8", []byte(text))
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

// code is the error code of distribution-spec 1.1 ("Error Codes") for a status.
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

// Header is the head of the answer, for changes before WriteHeader.
func (x *exchange) Header() http.Header { return x.w.Header() }

// WriteHeader sends the status, with the headers that depend on it.
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
		x.flush() // before net/http can count a short body and put the length in
	}
}

// note changes the exchange's entry in the log.
func (x *exchange) note(change func(*Entry)) { x.registry.log.edit(x.entry, change) }

// send answers with a body that is in memory.
func (x *exchange) send(status int, contentType string, body []byte) {
	x.Header().Set("Content-Type", contentType)
	x.Header().Set("Content-Length", strconv.Itoa(len(body)))
	x.WriteHeader(status)
	x.body(body)
}

// body sends p unless the request is a HEAD. An error means that the client went, which
// is in the log by then and leaves nothing to do.
func (x *exchange) body(p []byte) {
	if x.r.Method != http.MethodHead {
		_, _ = x.Write(p)
	}
}

// fail answers in the registry's JSON error form (distribution-spec 1.1, "Error Codes").
func (x *exchange) fail(status int, code, message string) {
	type one struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	}
	body, err := json.Marshal(struct {
		Errors []one `json:"errors"`
	}{[]one{{code, message}}})
	if err != nil {
		panic(err) // three strings always marshal
	}
	x.send(status, "application/json", body)
}
