package registrytest

import (
	"fmt"
	"io"
	"slices"
	"sync"
	"time"
)

// Entry is one request in the log. Nothing secret is in it: of an Authorization header
// only the scheme is kept, of a query nothing but the scopes asked for.
type Entry struct {
	Time      time.Time
	Listener  string // ListenerRegistry or ListenerCDN
	Host      string // as the client called the registry
	Proto     string // "HTTP/1.1" or "HTTP/2.0"
	Method    string
	Path      string
	Kind      Kind
	Repo, Ref string // of the path, where it has them
	Auth      string // "", "Basic" or "Bearer"
	Account   string // user the request was let in for; empty: anonymous or nobody
	Scopes    []string
	Range     string
	UserAgent string
	Status    int    // 0: the connection was ended before any answer
	Counted   bool   // it cost its account one pull
	BadLogin  bool   // name and password, or refresh token, were wrong
	Bytes     int64  // of the body, sent so far
	Note      string // "cut", "stalled", "corrupt", "client gone"
}

// String is the entry on one line.
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

// Counts sums up the log.
type Counts struct {
	Requests      int
	Pings         int
	Tokens        int   // token requests, refused ones too
	BadLogins     int   // wrong names, passwords or refresh tokens, anywhere
	ManifestHeads int   // HEADs of manifests, whatever the answer
	ManifestGets  int   // GETs of manifests, whatever the answer
	Counted       int   // pulls as Docker Hub counts them
	BlobHeads     int   // HEADs of blobs
	BlobGets      int   // GETs of blobs answered with 200 or 206, at either host
	BlobBytes     int64 // sent by these GETs
	Redirects     int   // blob requests sent on to the second host
	Unauthorized  int   // 401
	TooMany       int   // 429
}

// add counts one entry.
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

// journal is the log and the list of violations.
type requestLog struct {
	mu         sync.Mutex
	entries    []*Entry
	violations []string
}

// begin puts a new entry into the log.
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

// violate records something no client may do.
func (l *requestLog) addViolation(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.violations = append(l.violations, fmt.Sprintf(format, args...))
}

// Log is a copy of the requests since the start or the last [Registry.Reset], in the order of
// their arrival. What a client has read of an answer is in its entry already.
func (reg *Registry) Log() []Entry {
	reg.log.mu.Lock()
	defer reg.log.mu.Unlock()
	list := make([]Entry, len(reg.log.entries))
	for i, e := range reg.log.entries {
		list[i] = *e
	}
	return list
}

// WriteLog writes the log to w, one request a line.
func (reg *Registry) WriteLog(w io.Writer) error {
	for _, e := range reg.Log() {
		if _, err := fmt.Fprintln(w, e); err != nil {
			return fmt.Errorf("write log: %w", err)
		}
	}
	return nil
}

// Counts sums up the requests since the start or the last [Registry.Reset].
func (reg *Registry) Counts() Counts {
	reg.log.mu.Lock()
	defer reg.log.mu.Unlock()
	var c Counts
	for _, e := range reg.log.entries {
		c.add(e)
	}
	return c
}

// Peak is the largest number of requests of a kind that were answered at the same time
// since the start or the last [Registry.Reset].
func (reg *Registry) Peak(k Kind) int {
	reg.mu.Lock()
	defer reg.mu.Unlock()
	return reg.peaks[k]
}

// Reset empties the log, and with it the counts and peaks. Violations stay, as does what
// accounts have used of their quota.
func (reg *Registry) Reset() {
	reg.log.mu.Lock()
	reg.log.entries = nil
	reg.log.mu.Unlock()
	reg.mu.Lock()
	defer reg.mu.Unlock()
	clear(reg.peaks)
}

// Violations lists what no client may ever do and one did: sending a credential or a
// cookie to the second host. A test fails when it is not empty.
func (reg *Registry) Violations() []string {
	reg.log.mu.Lock()
	defer reg.log.mu.Unlock()
	return slices.Clone(reg.log.violations)
}
