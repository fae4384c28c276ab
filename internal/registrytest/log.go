package registrytest

import (
	"fmt"
	"io"
	"slices"
	"sync"
	"time"
)

// Entry is one request in the log. It contains no secrets: only the scheme of an
// Authorization header and only the scopes of a query.
type Entry struct {
	Time      time.Time
	Listener  string // ListenerRegistry or ListenerCDN
	Host      string // Host header
	Proto     string // "HTTP/1.1" or "HTTP/2.0"
	Method    string
	Path      string
	Kind      Kind
	Repo, Ref string // from the path, if it has them
	Auth      string // "", "Basic" or "Bearer"
	Account   string // authenticated user; empty: anonymous or refused
	Scopes    []string
	Range     string
	UserAgent string
	Status    int    // 0: the connection ended before a response
	Counted   bool   // it counted as a pull
	BadLogin  bool   // wrong user, password or refresh token
	Bytes     int64  // sent of the body so far
	Note      string // "cut", "stalled", "corrupt", "client gone"
}

// String formats the entry on one line.
func (e Entry) String() string {
	who := e.Account
	if who == "" {
		who = "-"
	}
	s := fmt.Sprintf("%s %-9s %-4s %s %d %d bytes, account %s", e.Listener, e.Kind, e.Method, e.Path, e.Status, e.Bytes, who)
	if e.Range != "" {
		s += ", " + e.Range
	}
	if len(e.Scopes) > 0 {
		s += fmt.Sprintf(", scopes %v", e.Scopes)
	}
	if e.Counted {
		s += ", counted"
	}
	if e.Note != "" {
		s += ", " + e.Note
	}
	return s
}

// Counts is a summary of the log.
type Counts struct {
	Requests      int
	Pings         int
	Tokens        int   // token requests, including refused ones
	BadLogins     int   // wrong users, passwords or refresh tokens, anywhere
	ManifestHeads int   // HEADs of manifests, whatever the status
	ManifestGets  int   // GETs of manifests, whatever the status
	Counted       int   // pulls as Docker Hub counts them
	BlobHeads     int   // HEADs of blobs
	BlobGets      int   // GETs of blobs answered with 200 or 206, by either host
	BlobBytes     int64 // sent by these GETs
	Redirects     int   // blob requests redirected to the second host
	Unauthorized  int   // 401
	TooMany       int   // 429
}

// add counts an entry.
func (c *Counts) add(e *Entry) {
	c.Requests++
	read := e.Method == "GET"
	head := e.Method == "HEAD"
	redirect := e.Status == 307
	c.Pings += one(e.Kind == KindPing)
	c.Tokens += one(e.Kind == KindToken)
	c.BadLogins += one(e.BadLogin)
	c.ManifestHeads += one(e.Kind == KindManifest && head)
	c.ManifestGets += one(e.Kind == KindManifest && read)
	c.Counted += one(e.Counted)
	c.BlobHeads += one(e.Kind == KindBlob && head && !redirect)
	if sent := e.Status == 200 || e.Status == 206; e.Kind == KindBlob && read && sent {
		c.BlobGets++
		c.BlobBytes += e.Bytes
	}
	c.Redirects += one(redirect)
	c.Unauthorized += one(e.Status == 401)
	c.TooMany += one(e.Status == 429)
}

func one(b bool) int {
	if b {
		return 1
	}
	return 0
}

// requestLog is the log and the list of violations.
type requestLog struct {
	mu         sync.Mutex
	entries    []*Entry
	violations []string
}

// begin adds an entry to the log.
func (l *requestLog) begin(e Entry) *Entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	own := &e
	l.entries = append(l.entries, own)
	return own
}

// edit changes an entry under the log's lock.
func (l *requestLog) edit(e *Entry, change func(*Entry)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change(e)
}

// addViolation records what a client must never do.
func (l *requestLog) addViolation(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.violations = append(l.violations, fmt.Sprintf(format, args...))
}

// Log returns a copy of the requests since the start or the last [Registry.Reset], in the
// order of arrival. Bytes that a client has read are always counted in its entry.
func (reg *Registry) Log() []Entry {
	reg.log.mu.Lock()
	defer reg.log.mu.Unlock()
	list := make([]Entry, len(reg.log.entries))
	for i, e := range reg.log.entries {
		list[i] = *e
	}
	return list
}

// WriteLog writes the log to w, one request per line.
func (reg *Registry) WriteLog(w io.Writer) error {
	for _, e := range reg.Log() {
		if _, err := fmt.Fprintln(w, e); err != nil {
			return fmt.Errorf("write log: %w", err)
		}
	}
	return nil
}

// Counts returns a summary of the requests since the start or the last [Registry.Reset].
func (reg *Registry) Counts() Counts {
	reg.log.mu.Lock()
	defer reg.log.mu.Unlock()
	var c Counts
	for _, e := range reg.log.entries {
		c.add(e)
	}
	return c
}

// Peak returns the largest number of concurrent requests of a kind since the start or the
// last [Registry.Reset].
func (reg *Registry) Peak(k Kind) int {
	reg.mu.Lock()
	defer reg.mu.Unlock()
	return reg.peaks[k]
}

// Reset empties the log, and with it the counts and peaks. Violations and used quotas stay.
func (reg *Registry) Reset() {
	reg.log.mu.Lock()
	reg.log.entries = nil
	reg.log.mu.Unlock()
	reg.mu.Lock()
	defer reg.mu.Unlock()
	clear(reg.peaks)
}

// Violations lists what a client must never do and did: sending a credential or a cookie to
// the second host. [Start] fails the test if there are any.
func (reg *Registry) Violations() []string {
	reg.log.mu.Lock()
	defer reg.log.mu.Unlock()
	return slices.Clone(reg.log.violations)
}
