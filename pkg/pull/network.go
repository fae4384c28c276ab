package pull

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Host is how to connect to one registry or mirror, when TLS with the certificates that
// the system trusts is not enough.
type Host struct {
	CA           []byte            // PEM certificates trusted for it beside [Options.CA]
	Certificates []tls.Certificate // of the client, for servers that ask for one
	SkipVerify   bool              // accept any certificate
	Plain        bool              // allow plain HTTP when the host does not speak TLS
	DialTimeout  time.Duration     // for a connection to it, or to the proxy before it; 0: 15 seconds

	// Header is sent with every request to the host itself, but not with requests that it
	// redirects to another host or that ask another host for a token. Headers that a request
	// already has, such as the Authorization of an account, take precedence.
	Header http.Header
}

// String names what is set, without keys and the values of headers.
func (h Host) String() string {
	return fmt.Sprintf("{CA: %d bytes, Certificates: %d, SkipVerify: %t, Plain: %t, DialTimeout: %s, Header: %q}",
		len(h.CA), len(h.Certificates), h.SkipVerify, h.Plain, h.DialTimeout, slices.Sorted(maps.Keys(h.Header)))
}

// GoString returns the same as String.
func (h Host) GoString() string { return h.String() }

// defaultDialTimeout bounds how long connecting may take.
const defaultDialTimeout = 15 * time.Second

const (
	// What an HTTP/2 peer may send ahead, in bytes. With the library's 4 MiB a stream,
	// memory would grow with the number of blobs being fetched.
	streamWindow     = 1 << 20
	connectionWindow = 8 << 20
)

// newTransport returns the transport to all hosts: with the proxy of the environment, the
// authorities of opts, and limits for servers that hang before they answer.
func newTransport(opts *Options) (http.RoundTripper, error) {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.DialContext = dialer(defaultDialTimeout)
	t.ResponseHeaderTimeout = 60 * time.Second
	t.MaxIdleConnsPerHost = 32
	t.ReadBufferSize, t.WriteBufferSize = 64<<10, 4<<10
	t.HTTP2 = &http.HTTP2Config{MaxReceiveBufferPerStream: streamWindow, MaxReceiveBufferPerConnection: connectionWindow}
	var err error
	if t.TLSClientConfig, err = trust(opts.CA); err != nil {
		return nil, fmt.Errorf("pull: certificate authorities: %w", err)
	}
	hosts := hostTransport{others: t, byHost: map[string]http.RoundTripper{}}
	for _, name := range opts.Insecure {
		lax := t.Clone()
		lax.TLSClientConfig.InsecureSkipVerify = true
		hosts.byHost[dialled(name)] = lax
	}
	for name, h := range opts.Hosts {
		special := t.Clone()
		if special.TLSClientConfig, err = trust(opts.CA, h.CA); err != nil {
			return nil, fmt.Errorf("pull: certificate authorities for %s: %w", name, err)
		}
		special.TLSClientConfig.Certificates = h.Certificates
		special.TLSClientConfig.InsecureSkipVerify = h.SkipVerify || hosts.byHost[dialled(name)] != nil
		if h.DialTimeout > 0 {
			special.DialContext = dialer(h.DialTimeout)
		}
		hosts.byHost[dialled(name)] = special
	}
	if len(hosts.byHost) == 0 {
		return t, nil
	}
	return hosts, nil
}

func dialer(timeout time.Duration) func(ctx context.Context, network, address string) (net.Conn, error) {
	return (&net.Dialer{Timeout: timeout, KeepAlive: 30 * time.Second}).DialContext
}

// trust returns a TLS configuration that trusts authorities beside the system's.
func trust(pems ...[]byte) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	for _, pem := range pems {
		if len(pem) == 0 {
			continue
		}
		if config.RootCAs == nil {
			pool, err := x509.SystemCertPool()
			if err != nil { // not on every system
				pool = x509.NewCertPool()
			}
			config.RootCAs = pool
		}
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, errors.New("no PEM certificate found")
		}
	}
	return config, nil
}

// dialled returns the host that serves a registry as it is named in image names.
func dialled(registry string) string {
	if registry == "docker.io" || registry == "index.docker.io" {
		return dockerHubHost
	}
	return registry
}

// hostTransport uses separate transports for some hosts.
type hostTransport struct {
	byHost map[string]http.RoundTripper
	others http.RoundTripper
}

// RoundTrip implements [http.RoundTripper].
func (t hostTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	if h := t.byHost[req.URL.Host]; h != nil {
		return h.RoundTrip(req)
	}
	return t.others.RoundTrip(req)
}

// hostHeader is [Host.Header] for the requests of one session.
type hostHeader struct {
	host   string
	values http.Header
	plain  bool // by plain HTTP too
}

// add sets the header of a request that goes to the host.
func (h hostHeader) add(req *http.Request) {
	if len(h.values) == 0 || req.URL.Host != h.host || req.URL.Scheme != "https" && !h.plain {
		return
	}
	for name, values := range h.values {
		if name = http.CanonicalHeaderKey(name); req.Header[name] == nil {
			req.Header[name] = values
		}
	}
}

// loopback reports whether a host is this machine, where plain HTTP leaks nothing.
func loopback(host string) bool {
	h := host
	if name, _, err := net.SplitHostPort(host); err == nil {
		h = name
	}
	if h == "localhost" {
		return true
	}
	ip := net.ParseIP(strings.Trim(h, "[]"))
	return ip != nil && ip.IsLoopback()
}

// network is what all requests of a client share.
type network struct {
	transport http.RoundTripper
	userAgent string
	attempts  int
	sleep     func(context.Context, time.Duration) error // tests replace it
	events    events
	heads     atomic.Int64
	gets      atomic.Int64
	blobs     atomic.Int64

	mu     sync.Mutex
	pacers map[string]*pacer // by host
}

// sleep waits for d or until ctx ends.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
