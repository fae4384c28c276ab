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
	"time"
)

// Host says how one registry, or mirror, is spoken to when not as usual: by TLS, with the
// certificates the system trusts.
type Host struct {
	CA           []byte            // PEM certificates trusted for it beside [Options.CA]
	Certificates []tls.Certificate // of the client, for servers that ask for one
	SkipVerify   bool              // any certificate will do
	Plain        bool              // plain HTTP where TLS is not spoken
	DialTimeout  time.Duration     // for a connection to it, or to the proxy before it; 0: [DefaultDialTimeout]

	// Header goes out with every request to the host itself, and with none that it
	// redirects elsewhere or that asks another host for a token. What a request has of its
	// own, such as the Authorization of an account, comes before it.
	Header http.Header
}

// String names what is set and shows no key and no value of a header.
func (h Host) String() string {
	return fmt.Sprintf("{CA: %d bytes, Certificates: %d, SkipVerify: %t, Plain: %t, DialTimeout: %s, Header: %q}",
		len(h.CA), len(h.Certificates), h.SkipVerify, h.Plain, h.DialTimeout, slices.Sorted(maps.Keys(h.Header)))
}

// GoString is String.
func (h Host) GoString() string { return h.String() }

// DefaultDialTimeout is how long a connection may take to be made.
const DefaultDialTimeout = 15 * time.Second

const (
	// What an HTTP/2 peer may send ahead, bytes. The library's 4 MiB a stream would make
	// a client with many blobs on the way as large as all its windows.
	streamWindow     = 1 << 20
	connectionWindow = 8 << 20
)

// newTransport makes the way to all hosts: the environment's proxy, the options'
// authorities, and limits for a server that hangs before it answers.
func newTransport(opts *Options) (http.RoundTripper, error) {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.DialContext = dialer(DefaultDialTimeout)
	t.ResponseHeaderTimeout = 60 * time.Second
	t.MaxIdleConnsPerHost = 32
	t.ReadBufferSize, t.WriteBufferSize = 64<<10, 4<<10
	t.HTTP2 = &http.HTTP2Config{MaxReceiveBufferPerStream: streamWindow, MaxReceiveBufferPerConnection: connectionWindow}
	var err error
	if t.TLSClientConfig, err = trust(opts.CA); err != nil {
		return nil, fmt.Errorf("pull: certificate authorities: %w", err)
	}
	ways := byHost{usual: t, special: map[string]http.RoundTripper{}}
	for _, name := range opts.Insecure {
		lax := t.Clone()
		lax.TLSClientConfig.InsecureSkipVerify = true
		ways.special[dialled(name)] = lax
	}
	for name, h := range opts.Hosts {
		special := t.Clone()
		if special.TLSClientConfig, err = trust(opts.CA, h.CA); err != nil {
			return nil, fmt.Errorf("pull: certificate authorities for %s: %w", name, err)
		}
		special.TLSClientConfig.Certificates = h.Certificates
		special.TLSClientConfig.InsecureSkipVerify = h.SkipVerify || ways.special[dialled(name)] != nil
		if h.DialTimeout > 0 {
			special.DialContext = dialer(h.DialTimeout)
		}
		ways.special[dialled(name)] = special
	}
	if len(ways.special) == 0 {
		return t, nil
	}
	return ways, nil
}

func dialer(timeout time.Duration) func(ctx context.Context, network, address string) (net.Conn, error) {
	return (&net.Dialer{Timeout: timeout, KeepAlive: 30 * time.Second}).DialContext
}

// trust makes a TLS configuration that knows authorities beside the system's.
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
			return nil, errors.New("no PEM certificate in them")
		}
	}
	return config, nil
}

// dialled is the host that answers for a registry as people name it.
func dialled(registry string) string {
	if registry == "docker.io" || registry == "index.docker.io" {
		return registryHost
	}
	return registry
}

// byHost sends the requests to some hosts by a way of their own.
type byHost struct {
	special map[string]http.RoundTripper
	usual   http.RoundTripper
}

// RoundTrip implements [http.RoundTripper].
func (b byHost) RoundTrip(req *http.Request) (*http.Response, error) {
	if way := b.special[req.URL.Host]; way != nil {
		return way.RoundTrip(req)
	}
	return b.usual.RoundTrip(req)
}

// headed adds a host's own header to the requests that go to it.
type headed struct {
	next   http.RoundTripper
	host   string
	header http.Header
	plain  bool // by plain HTTP too
}

// RoundTrip implements [http.RoundTripper].
func (h headed) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Host != h.host || req.URL.Scheme != "https" && !h.plain {
		return h.next.RoundTrip(req)
	}
	req = req.Clone(req.Context())
	for name, values := range h.header {
		if name = http.CanonicalHeaderKey(name); req.Header[name] == nil {
			req.Header[name] = values
		}
	}
	return h.next.RoundTrip(req)
}

// loopback hosts are on this machine: plain HTTP leaks nothing there.
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
