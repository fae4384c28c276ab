package pull

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"stowage/pkg/pull/internal/watch"
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
	minWindow        = 64 << 10 // of the protocol
)

// windows returns what an HTTP/2 peer may send ahead: with a limit of the rate, about what it
// allows in a quarter of a second for each stream. A stream that waits for the limit must
// leave the connection room for every other one.
func windows(opts *Options) *http.HTTP2Config {
	stream, connection := int64(streamWindow), int64(connectionWindow)
	if opts.LimitRate > 0 {
		stream = min(max(opts.LimitRate/4, minWindow), stream)
		connection = min(stream*int64(opts.Jobs+1), connection)
	}
	return &http.HTTP2Config{MaxReceiveBufferPerStream: int(stream), MaxReceiveBufferPerConnection: int(connection)}
}

// newTransport returns the transport to all hosts: with the proxy of the environment, the
// authorities of opts, and limits for servers that hang before they answer.
func newTransport(opts *Options) (http.RoundTripper, error) {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.DialContext = dialer(defaultDialTimeout)
	t.ResponseHeaderTimeout = 60 * time.Second
	t.MaxIdleConnsPerHost = 32
	t.MaxResponseHeaderBytes = 256 << 10
	t.OnProxyConnectResponse = func(_ context.Context, proxy *url.URL, req *http.Request, resp *http.Response) error {
		if resp.StatusCode != http.StatusOK {
			return &ProxyError{Proxy: proxy.Host, Host: req.Host, Status: resp.StatusCode}
		}
		return nil
	}
	t.ReadBufferSize, t.WriteBufferSize = 64<<10, 4<<10
	t.HTTP2 = windows(opts)
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
	wait      time.Duration                              // see Options
	sleep     func(context.Context, time.Duration) error // tests replace it
	events    events
	heads     atomic.Int64
	gets      atomic.Int64
	blobs     atomic.Int64

	mu     sync.Mutex
	pacers map[string]*pacer    // by host
	waits  map[string]time.Time // the first wait longer than maxStated, by host
}

// documentLimits bound the bodies of everything that is not a blob.
var documentLimits = watch.Limits{
	Stall: 15 * time.Second, Window: 15 * time.Second, Least: 1500, Total: time.Minute, Size: maxMetadata + 1,
}

// blobLimits returns the limits of a blob's body: 100 bytes a second are a broken link.
func blobLimits(stall time.Duration) watch.Limits {
	return watch.Limits{Stall: stall, Window: time.Minute, Least: 6000}
}

// ping asks for the root of the API. It finds out whether the host is spoken to by TLS, and
// its answer may ask for a login. Where plain HTTP is allowed, TLS comes first all the
// same: only a host that does not speak it is spoken to without.
func (s *session) ping(ctx context.Context, plain bool) (*http.Response, error) {
	ctx = withTries(ctx, probeTries)
	if !plain {
		return s.askRoot(ctx, "https", "")
	}
	resp, err := s.askRoot(context.WithValue(ctx, onceKey{}, true), "https", "")
	if err == nil || ctx.Err() != nil {
		return resp, err
	}
	sure := speaksPlain(err)
	if sure || s.hangsUp(err) {
		resp, perr := s.askRoot(context.WithValue(ctx, onceKey{}, !sure), "http", "")
		switch {
		case perr == nil && (sure || resp.StatusCode != http.StatusBadRequest):
			s.plain = true
			return resp, nil
		case perr == nil:
			drain(resp) // a server with TLS that hung up before
		case sure:
			return nil, perr
		}
	}
	if !isTemporaryError(err) {
		return nil, err
	}
	if resp, err = s.askRoot(ctx, "https", ""); speaksPlain(err) {
		if resp, err = s.askRoot(ctx, "http", ""); err == nil {
			s.plain = true
		}
	}
	return resp, err
}

// askRoot asks for the root of the API once; a redirect is an answer as well.
func (s *session) askRoot(ctx context.Context, scheme, header string) (*http.Response, error) {
	root := scheme + "://" + s.key.host + cmp.Or(s.key.root, "/v2") + "/"
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, root, nil)
	if err != nil {
		return nil, err
	}
	req.Header["Accept-Encoding"] = identityEncoding
	client := http.Client{
		Transport:     rootTransport{s, header},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	resp, err := client.Do(req)
	if err != nil {
		err = requestError(err)
		if speaksPlain(err) {
			err = &InsecureError{Host: s.key.host, Err: err}
		}
		return nil, err
	}
	return resp, nil
}

// rootTransport sends requests of a session with a given Authorization.
type rootTransport struct {
	s      *session
	header string
}

// RoundTrip implements [http.RoundTripper].
func (t rootTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	return t.s.send(req, t.header)
}

// onceKey marks a request that is not repeated when its connection breaks.
type onceKey struct{}

// speaksPlain reports whether a TLS handshake failed because the server speaks plain HTTP.
func speaksPlain(err error) bool {
	var header tls.RecordHeaderError
	return errors.As(err, &header) || errors.Is(err, http.ErrSchemeMismatch)
}

// hangsUp reports whether a server may speak plain HTTP: it ended the connection in the TLS
// handshake, or nothing listens at the port of HTTPS. A slow server does not.
func (s *session) hangsUp(err error) bool {
	if u, perr := url.Parse("//" + s.key.host); perr == nil && u.Port() == "" && isRefused(err) {
		return true
	}
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || brokenConnection(err)
}

// requestError returns the error of a failed request for messages: with its address, but
// without the query, which may have a signature, and by its type where the user can act.
func requestError(err error) error {
	var (
		known  interface{ known() }
		sent   *url.Error
		proxy  *net.OpError
		method string
	)
	if errors.As(err, &known) {
		return known.(error)
	}
	host, cause := "", err
	if errors.As(err, &sent) {
		cause = sent.Err
		method = strings.ToUpper(sent.Op) + " "
		if u, err := url.Parse(sent.URL); err == nil {
			host = u.Host
			method += u.Scheme + "://" + u.Host + u.Path + ": "
		}
	}
	var verify *tls.CertificateVerificationError
	switch {
	case errors.As(cause, &verify):
		return &CertificateError{Host: host, Err: verify.Err}
	case wantsCertificate(cause):
		return &CertificateError{Host: host, Client: true, Err: cause}
	case errors.As(cause, &proxy) && proxy.Op == "proxyconnect":
		return &ProxyError{Host: host, Err: proxy.Err}
	case sent == nil:
		return err
	}
	return &lineError{fmt.Errorf("%s%w", method, cause)}
}

// wantsCertificate reports whether a server ended a TLS connection because the client sent
// no certificate, or a wrong one (RFC 8446 section 6.2).
func wantsCertificate(err error) bool {
	var op *net.OpError
	if !errors.As(err, &op) || op.Op != "remote error" {
		return false
	}
	const badCertificate, unknownCA, certificateRequired = 42, 48, 116
	for _, alert := range []tls.AlertError{badCertificate, unknownCA, certificateRequired} {
		if op.Err.Error() == alert.Error() { // crypto/tls does not export the type of these alerts
			return true
		}
	}
	return false
}

// proxyRefused returns the error for an answer with 407, which only a proxy sends.
func proxyRefused(req *http.Request, status int) error {
	e := &ProxyError{Status: status}
	if req != nil {
		e.Host = req.URL.Host
		if u, err := http.ProxyFromEnvironment(req); err == nil && u != nil {
			e.Proxy = u.Host
		}
	}
	return e
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
