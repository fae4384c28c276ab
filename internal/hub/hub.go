package hub

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"
)

// Names of the listeners, as they stand in [Entry] and [Filter].
const (
	ListenerHub = "hub" // the registry and its token server
	ListenerCDN = "cdn" // the second host, where redirected blobs come from
)

// Options are what cannot change while a hub runs, and what it starts with. The zero
// value is an open registry without limits on a free port.
type Options struct {
	Policy Policy // in force from the first request on
	Faults Faults // in force from the first request on

	Addr  string   // address to listen on; empty: 127.0.0.1:0
	Dir   string   // parent of the folder for blobs of 1 MiB and more; empty: os.TempDir()
	TLS   bool     // serve https (and HTTP/2) with a certificate of [Hub.CAPEM]
	Names []string // further host names the certificate is good for and [Hub.Proxy] leads to the hub
}

// Hub is a running registry. Make one with [Start] and end it with [Hub.Close].
type Hub struct {
	registry http.Handler // storage protocol: pushes, tag lists, referrers, manifests
	store    *store
	journal  journal
	scheme   string
	names    map[string]bool // host names the proxy accepts
	ca       *authority      // nil without TLS

	addr, cdn, proxy string // host:port of each listener
	servers          []*http.Server
	handlers         sync.WaitGroup
	closing          chan struct{}
	closed           sync.Once
	link             line // shared by all connections, for Faults.LinkRate

	mu      sync.Mutex // guards what follows
	policy  Policy
	faults  []*Faults // the first one is that of Set, the others of AddFaults
	tokens  map[string]*token
	used    map[string]int // counted manifest GETs by account, "" is anonymous
	serial  int            // of tokens
	moves   map[string]*move
	release chan struct{} // closed and replaced by Release
	flying  map[Kind]int  // requests being answered
	peaks   map[Kind]int
}

// Start opens the listeners and serves until [Hub.Close].
func Start(opts Options) (*Hub, error) {
	h, err := newHub(opts)
	if err != nil {
		return nil, err
	}
	if err := h.listen(opts.Addr); err != nil {
		h.Close()
		return nil, fmt.Errorf("start hub: %w", err)
	}
	return h, nil
}

// newHub makes a hub that listens nowhere yet.
func newHub(opts Options) (*Hub, error) {
	s, err := newStore(opts.Dir)
	if err != nil {
		return nil, fmt.Errorf("start hub: %w", err)
	}
	first := opts.Faults
	h := &Hub{
		registry: registry.New(
			registry.Logger(log.New(io.Discard, "", 0)),
			registry.WithBlobHandler(s),
			registry.WithReferrersSupport(true)),
		store: s, scheme: "http", names: map[string]bool{}, closing: make(chan struct{}),
		policy: opts.Policy.clone(), faults: []*Faults{&first},
		tokens: map[string]*token{}, used: map[string]int{}, moves: map[string]*move{},
		release: make(chan struct{}), flying: map[Kind]int{}, peaks: map[Kind]int{},
	}
	for _, n := range opts.Names {
		h.names[n] = true
	}
	if opts.TLS {
		h.scheme = "https"
		if h.ca, err = newAuthority(opts.Names); err != nil {
			s.close()
			return nil, fmt.Errorf("start hub: %w", err)
		}
	}
	return h, nil
}

// listen opens the three listeners and serves them.
func (h *Hub) listen(addr string) error {
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	main, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	h.addr = main.Addr().String()
	h.serve(main, h.handler(ListenerHub), h.ca)

	second, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	// Another name form as well as another port: clients that compare host names
	// only, or ports only, are found out.
	h.cdn = fmt.Sprintf("localhost:%d", second.Addr().(*net.TCPAddr).Port)
	h.serve(second, h.handler(ListenerCDN), h.ca)

	proxy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	h.proxy = proxy.Addr().String()
	h.serve(proxy, http.HandlerFunc(h.tunnel), nil)
	return nil
}

// serve answers l with handler until the hub is closed, over TLS if ca is not nil.
func (h *Hub) serve(l net.Listener, handler http.Handler, ca *authority) {
	srv := &http.Server{
		Handler:           handler,
		ErrorLog:          log.New(io.Discard, "", 0),
		ReadHeaderTimeout: time.Minute,
		ConnContext: func(ctx context.Context, _ net.Conn) context.Context {
			return context.WithValue(ctx, lineKey{}, &line{})
		},
	}
	h.servers = append(h.servers, srv)
	h.handlers.Go(func() {
		if ca == nil {
			srv.Serve(l)
			return
		}
		srv.TLSConfig = ca.config()
		srv.ServeTLS(l, "", "")
	})
}

// Close ends all connections, waits for the answers under way and removes the folder
// of big blobs. Closing twice is fine.
func (h *Hub) Close() error {
	var err error
	h.closed.Do(func() {
		close(h.closing)
		for _, s := range h.servers {
			s.Close()
		}
		h.handlers.Wait()
		err = h.store.close()
	})
	return err
}

// Host is the registry's host:port, as it stands in image references.
func (h *Hub) Host() string { return h.addr }

// CDNHost is the host:port of the second host.
func (h *Hub) CDNHost() string { return h.cdn }

// URL is the registry's base, such as "http://127.0.0.1:41234".
func (h *Hub) URL() string { return h.scheme + "://" + h.addr }

// Ref is the reference of a tag or digest held by this hub: host:port/repo:tag or
// host:port/repo@digest.
func (h *Hub) Ref(repo, ref string) string {
	sep := ":"
	if isDigest(ref) {
		sep = "@"
	}
	return h.addr + "/" + repo + sep + ref
}

// CAPEM is the certificate of the hub's own authority, PEM encoded; nil without TLS.
func (h *Hub) CAPEM() []byte {
	if h.ca == nil {
		return nil
	}
	return h.ca.pem
}

// Policy returns a copy of the policy in force.
func (h *Hub) Policy() Policy {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.policy.clone()
}

// SetPolicy changes the policy: f gets it under the hub's lock and must not keep it, nor
// call the hub.
func (h *Hub) SetPolicy(f func(*Policy)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f(&h.policy)
}

// Faults returns a copy of the faults of [Hub.Set]; its counters show what is left.
func (h *Hub) Faults() Faults {
	h.mu.Lock()
	defer h.mu.Unlock()
	return *h.faults[0]
}

// Set changes the faults: f gets them under the hub's lock and must not keep them, nor
// call the hub. h.Set(hub.Heal) ends them all.
func (h *Hub) Set(f func(*Faults)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f(h.faults[0])
}

// AddFaults sets further faults beside those of [Hub.Set], with a filter of their own.
// Where two disagree about one request, the older one wins. The returned function takes
// them away again and may be called more than once.
func (h *Hub) AddFaults(f Faults) (remove func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	own := &f
	h.faults = append(h.faults, own)
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		for i, x := range h.faults {
			if x == own {
				h.faults = append(h.faults[:i:i], h.faults[i+1:]...)
				return
			}
		}
	}
}

// Release lets every answer that is stalled at this moment go on.
func (h *Hub) Release() {
	h.mu.Lock()
	defer h.mu.Unlock()
	close(h.release)
	h.release = make(chan struct{})
}
