package registrytest

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

// Names of the listeners in [Entry] and [Filter].
const (
	ListenerRegistry = "registry" // the registry and its token server
	ListenerCDN      = "cdn"      // the second host, which serves redirected blobs
)

// Options are the settings that cannot change while a registry runs, and its initial policy
// and faults. The zero value is an open registry without limits on a free port.
type Options struct {
	Policy Policy // initial
	Faults Faults // initial

	Addr  string   // address to listen on; empty: 127.0.0.1:0
	Dir   string   // parent of the directory for blobs of 1 MiB and more; empty: os.TempDir()
	TLS   bool     // serve HTTPS and HTTP/2 with a certificate issued by [Registry.CAPEM]
	Names []string // further host names for the certificate and for [Registry.Proxy]
}

// Registry is a running registry. Start one with [New] and stop it with [Registry.Close].
type Registry struct {
	storage http.Handler // pushes, tag lists, referrers, manifests
	store   *store
	log     requestLog
	scheme  string
	names   map[string]bool // host names that the proxy accepts
	ca      *authority      // nil without TLS

	addr, cdn, proxy string // host:port of each listener
	servers          []*http.Server
	handlers         sync.WaitGroup
	closing          chan struct{}
	closed           sync.Once
	link             limiter // shared by all connections, for Faults.LinkRate

	mu      sync.Mutex // guards the fields below
	policy  Policy
	faults  []*Faults // the first is that of SetFaults, the others of AddFaults
	tokens  map[string]*token
	used    map[string]int // counted manifest GETs by account, "" is anonymous
	serial  int            // of tokens
	moves   map[string]*move
	release chan struct{} // closed and replaced by Release
	active  map[Kind]int  // requests being answered
	peaks   map[Kind]int
}

// New opens the listeners and serves until [Registry.Close].
func New(opts Options) (*Registry, error) {
	reg, err := newRegistry(opts)
	if err != nil {
		return nil, err
	}
	if err := reg.listen(opts.Addr); err != nil {
		reg.Close()
		return nil, fmt.Errorf("start registry: %w", err)
	}
	return reg, nil
}

// newRegistry returns a registry without listeners.
func newRegistry(opts Options) (*Registry, error) {
	s, err := newStore(opts.Dir)
	if err != nil {
		return nil, fmt.Errorf("start registry: %w", err)
	}
	first := opts.Faults
	reg := &Registry{
		storage: registry.New(
			registry.Logger(log.New(io.Discard, "", 0)),
			registry.WithBlobHandler(s),
			registry.WithReferrersSupport(true)),
		store: s, scheme: "http", names: map[string]bool{}, closing: make(chan struct{}),
		policy: opts.Policy.clone(), faults: []*Faults{&first},
		tokens: map[string]*token{}, used: map[string]int{}, moves: map[string]*move{},
		release: make(chan struct{}), active: map[Kind]int{}, peaks: map[Kind]int{},
	}
	for _, n := range opts.Names {
		reg.names[n] = true
	}
	if opts.TLS {
		reg.scheme = "https"
		if reg.ca, err = newAuthority(opts.Names); err != nil {
			s.close()
			return nil, fmt.Errorf("start registry: %w", err)
		}
	}
	return reg, nil
}

// listen opens the three listeners and serves them.
func (reg *Registry) listen(addr string) error {
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	main, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	reg.addr = main.Addr().String()
	reg.serve(main, reg.handler(ListenerRegistry), reg.ca)

	second, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	// Another host name as well as another port: it detects clients that compare only one
	// of them.
	reg.cdn = fmt.Sprintf("localhost:%d", second.Addr().(*net.TCPAddr).Port)
	reg.serve(second, reg.handler(ListenerCDN), reg.ca)

	proxy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	reg.proxy = proxy.Addr().String()
	reg.serve(proxy, http.HandlerFunc(reg.serveProxy), nil)
	return nil
}

// serve serves l with handler until the registry is closed, over TLS if ca is not nil.
func (reg *Registry) serve(l net.Listener, handler http.Handler, ca *authority) {
	srv := &http.Server{
		Handler:           handler,
		ErrorLog:          log.New(io.Discard, "", 0),
		ReadHeaderTimeout: time.Minute,
		ConnContext: func(ctx context.Context, _ net.Conn) context.Context {
			return context.WithValue(ctx, limiterKey{}, &limiter{})
		},
	}
	reg.servers = append(reg.servers, srv)
	reg.handlers.Go(func() {
		if ca == nil {
			srv.Serve(l)
			return
		}
		srv.TLSConfig = ca.config()
		srv.ServeTLS(l, "", "")
	})
}

// Close ends all connections, waits for the responses in progress and removes the directory
// of large blobs. Closing twice is allowed.
func (reg *Registry) Close() error {
	var err error
	reg.closed.Do(func() {
		close(reg.closing)
		for _, s := range reg.servers {
			s.Close()
		}
		reg.handlers.Wait()
		err = reg.store.close()
	})
	return err
}

// Host returns the registry's host:port, as used in image references.
func (reg *Registry) Host() string { return reg.addr }

// CDNHost returns the host:port of the second host.
func (reg *Registry) CDNHost() string { return reg.cdn }

// URL returns the registry's base URL, such as "http://127.0.0.1:41234".
func (reg *Registry) URL() string { return reg.scheme + "://" + reg.addr }

// Ref returns the reference of a tag or digest on this registry: host:port/repo:tag or
// host:port/repo@digest.
func (reg *Registry) Ref(repo, ref string) string {
	sep := ":"
	if isDigest(ref) {
		sep = "@"
	}
	return reg.addr + "/" + repo + sep + ref
}

// CAPEM returns the certificate of the registry's own authority, PEM encoded; nil without
// TLS.
func (reg *Registry) CAPEM() []byte {
	if reg.ca == nil {
		return nil
	}
	return reg.ca.pem
}

// Policy returns a copy of the current policy.
func (reg *Registry) Policy() Policy {
	reg.mu.Lock()
	defer reg.mu.Unlock()
	return reg.policy.clone()
}

// SetPolicy changes the policy. It calls f under the registry's lock: f must not keep its
// argument or call the registry.
func (reg *Registry) SetPolicy(f func(*Policy)) {
	reg.mu.Lock()
	defer reg.mu.Unlock()
	f(&reg.policy)
}

// Faults returns a copy of the faults of [Registry.SetFaults]; its counters show how often
// each one will still occur.
func (reg *Registry) Faults() Faults {
	reg.mu.Lock()
	defer reg.mu.Unlock()
	return *reg.faults[0]
}

// SetFaults changes the faults. It calls f under the registry's lock: f must not keep its
// argument or call the registry. SetFaults(registrytest.NoFaults) ends them all.
func (reg *Registry) SetFaults(f func(*Faults)) {
	reg.mu.Lock()
	defer reg.mu.Unlock()
	f(reg.faults[0])
}

// AddFaults adds faults with a filter of their own to those of [Registry.SetFaults]. Where
// two disagree about a request, the older ones win. The returned function removes them and
// may be called more than once.
func (reg *Registry) AddFaults(f Faults) (remove func()) {
	reg.mu.Lock()
	defer reg.mu.Unlock()
	own := &f
	reg.faults = append(reg.faults, own)
	return func() {
		reg.mu.Lock()
		defer reg.mu.Unlock()
		for i, x := range reg.faults {
			if x == own {
				reg.faults = append(reg.faults[:i:i], reg.faults[i+1:]...)
				return
			}
		}
	}
}

// Release continues every response that is stalled at this moment.
func (reg *Registry) Release() {
	reg.mu.Lock()
	defer reg.mu.Unlock()
	close(reg.release)
	reg.release = make(chan struct{})
}
