package pull

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"stowage/pkg/pull/account"
)

// scopesPerToken bounds the token request: every repository adds some 40 bytes to its
// URL, and servers commonly stop at 8 KiB.
const scopesPerToken = 100

// sessionKey distinguishes sessions: one ping and one token serve all repositories of a
// registry with one account.
type sessionKey struct {
	login
	root string // path of the registry's API, see [Mirror]
	part int    // repositories beyond scopesPerToken have another session
}

// login is a registry and an account there; the zero account is anonymous.
type login struct {
	host string
	auth account.Auth
}

// sessions holds the sessions of a client. Each is opened at its first use.
type sessions struct {
	net      *network
	insecure map[string]bool // by host as dialled
	hosts    map[string]Host // by host as dialled

	mu     sync.Mutex
	open   map[sessionKey]*session
	scopes map[sessionKey][]string // of announced repositories, for one token per account
}

func newSessions(n *network, insecure []string, hosts map[string]Host) *sessions {
	p := &sessions{
		net:      n,
		insecure: map[string]bool{},
		hosts:    map[string]Host{},
		open:     map[sessionKey]*session{},
		scopes:   map[sessionKey][]string{},
	}
	for _, h := range insecure {
		p.insecure[dialled(h)] = true
	}
	for name, h := range hosts {
		p.hosts[dialled(name)] = h
	}
	return p
}

// announce adds the repository of an endpoint to those that the first token of a session
// covers.
func (p *sessions) announce(e endpoint, acct *account.Account) sessionKey {
	scope := "repository:" + e.repo + ":pull"
	key := sessionKey{login: login{host: e.host}, root: e.root}
	if acct != nil {
		key.auth = acct.Auth
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		known := p.scopes[key]
		if slices.Contains(known, scope) {
			return key
		}
		if len(known) < scopesPerToken {
			p.scopes[key] = append(known, scope)
			return key
		}
		key.part++
	}
}

// get returns the session for an endpoint and account, and opens it at its first use.
func (p *sessions) get(ctx context.Context, e endpoint, acct *account.Account) (*session, error) {
	key := p.announce(e, acct)
	p.mu.Lock()
	s := p.open[key]
	if s == nil {
		s = &session{key: key, acct: acct, net: p.net, base: p.net.transport}
		p.open[key] = s
	}
	scopes := slices.Clone(p.scopes[key])
	p.mu.Unlock()
	host := p.hosts[key.host]
	insecure := p.insecure[key.host] || host.Plain || loopback(key.host)
	s.once.Do(func() { s.err = s.start(ctx, host, insecure, scopes) })
	if s.err == nil {
		return s, nil
	}
	var limit *RateLimitError
	if errors.As(s.err, &limit) { // any other error would be the same the next time
		p.mu.Lock()
		if p.open[key] == s {
			delete(p.open, key)
		}
		p.mu.Unlock()
	}
	return nil, s.err
}

// session is a login at a registry. It is an [http.RoundTripper] that authorises requests
// to its own host, and only those.
type session struct {
	key  sessionKey
	acct *account.Account // nil: anonymous
	net  *network
	base http.RoundTripper

	once      sync.Once
	err       error
	registry  name.Registry
	challenge *transport.Challenge
	auth      authn.Authenticator

	mu     sync.Mutex // held during a token request, so that one serves all who wait
	scopes []string
	token  string
	// refused is the answer to a login that failed. It is not tried again: Docker Hub locks
	// accounts after some wrong passwords, hub-feedback 2201.
	refused error

	// Whether it was served a HEAD or a GET of a manifest, for [AuthError.Alone].
	heads, gets atomic.Bool
}

// account names the source of the session's account, "" for anonymous.
func (s *session) account() string {
	if s.acct == nil {
		return ""
	}
	return s.acct.Source
}

func (s *session) scheme() string {
	if s.challenge != nil && s.challenge.Insecure {
		return "http"
	}
	return "https"
}

// start pings the registry and, where the registry asks for it, fetches the first token.
// insecure allows plain HTTP.
func (s *session) start(ctx context.Context, host Host, insecure bool, scopes []string) error {
	var opts []name.Option
	if insecure {
		opts = append(opts, name.Insecure)
	}
	reg, err := name.NewRegistry(s.key.host, opts...)
	if err != nil {
		return fmt.Errorf("registry %s: %w", s.key.host, err)
	}
	s.registry, s.auth = reg, authn.Anonymous
	if s.acct != nil {
		s.auth = s.acct.Auth
	}
	s.base = &retrier{next: s.base, net: s.net, header: hostHeader{host: s.key.host, values: host.Header, plain: insecure}}
	if s.challenge, err = transport.Ping(ctx, reg, pingPath{next: s.base, root: s.key.root}); err != nil {
		return s.loginError("ping", err)
	}
	if s.challenge.Insecure && !insecure {
		return &InsecureError{Host: s.key.host}
	}
	if s.challenge.Scheme != "" && !s.bearer() && !strings.EqualFold(s.challenge.Scheme, "basic") {
		return fmt.Errorf("registry %s: login scheme %q is not supported", s.key.host, oneLine(s.challenge.Scheme))
	}
	if s.bearer() {
		s.scopes = scopes
		return s.renew(ctx, "")
	}
	if s.challenge.Scheme != "" && s.acct != nil {
		return s.checkPassword(ctx)
	}
	return nil
}

func (s *session) bearer() bool { return strings.EqualFold(s.challenge.Scheme, "bearer") }

// loginError returns the typed error of a failed ping or token request.
func (s *session) loginError(step string, err error) error {
	typed := classify(err, s.key.host, s.account(), "")
	var limit *RateLimitError
	if isAuth(typed) || errors.As(typed, &limit) {
		return typed
	}
	return fmt.Errorf("registry %s: %s: %w", s.key.host, step, &lineError{err})
}

// renew fetches a new token, unless another caller has replaced the old one.
func (s *session) renew(ctx context.Context, old string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refused != nil {
		return s.refused
	}
	if s.token != old {
		return nil
	}
	cfg, err := authn.Authorization(ctx, s.auth)
	if err != nil {
		return fmt.Errorf("registry %s: account from %s: %w", s.key.host, s.account(), err)
	}
	if cfg.RegistryToken != "" {
		if s.token == cfg.RegistryToken {
			return &AuthError{Host: s.key.host, Source: s.account(), Status: http.StatusUnauthorized}
		}
		s.token = cfg.RegistryToken
		return nil
	}
	tok, err := transport.Exchange(ctx, s.registry, s.auth, s.base, s.scopes, s.challenge)
	if err != nil {
		err = s.loginError("log in", err)
		if isAuth(err) {
			s.refused = err
		}
		return err
	}
	s.token = tok.Token
	if tok.AccessToken != "" { // some registries send only this one
		s.token = tok.AccessToken
	}
	return nil
}

// RoundTrip sends a request, with credentials when it goes to the session's own host and
// scheme: a redirect to another host carries none. An expired token is renewed once.
func (s *session) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Host != s.key.host || req.URL.Scheme != s.scheme() || s.challenge.Scheme == "" {
		return s.base.RoundTrip(req)
	}
	if !s.bearer() {
		return s.basic(req)
	}
	s.mu.Lock()
	token := s.token
	s.mu.Unlock()
	resp, err := s.base.RoundTrip(withBearer(req, token))
	if err != nil || resp.StatusCode != http.StatusUnauthorized {
		return resp, err
	}
	drain(resp)
	if err := s.renew(req.Context(), token); err != nil {
		return nil, err
	}
	s.mu.Lock()
	token = s.token
	s.mu.Unlock()
	return s.base.RoundTrip(withBearer(req, token))
}

// checkPassword sends user name and password once before many requests carry them at a
// time: a wrong password is sent only once, and a later 401 for an image is about that
// image.
func (s *session) checkPassword(ctx context.Context) error {
	root := s.key.root
	if root == "" {
		root = "/v2"
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.scheme()+"://"+s.key.host+root+"/", nil)
	if err != nil {
		return err
	}
	resp, err := s.basic(req)
	if err != nil {
		return s.loginError("log in", err)
	}
	defer drain(resp)
	if resp.StatusCode == http.StatusUnauthorized {
		return s.loginError("log in", transport.CheckError(resp))
	}
	return nil
}

// basic sends a request with user name and password.
func (s *session) basic(req *http.Request) (*http.Response, error) {
	cfg, err := authn.Authorization(req.Context(), s.auth)
	if err != nil {
		return nil, fmt.Errorf("registry %s: account from %s: %w", s.key.host, s.account(), err)
	}
	out := req.Clone(req.Context())
	switch {
	case cfg.RegistryToken != "":
		out = withBearer(req, cfg.RegistryToken)
	case cfg.Username != "" || cfg.Password != "":
		out.SetBasicAuth(cfg.Username, cfg.Password)
	case cfg.Auth != "":
		out.Header.Set("Authorization", "Basic "+cfg.Auth)
	}
	return s.base.RoundTrip(out)
}

func withBearer(req *http.Request, token string) *http.Request {
	out := req.Clone(req.Context())
	out.Header.Set("Authorization", "Bearer "+token)
	return out
}

// drain reads the rest of an answer so that its connection can be used again, at most what
// an error answer holds.
func drain(resp *http.Response) {
	_, _ = io.CopyN(io.Discard, resp.Body, maxErrorBody) // only the connection's reuse depends on it
	resp.Body.Close()
}

// pingPath sends a ping to the path where a mirror has its API.
type pingPath struct {
	next http.RoundTripper
	root string
}

// RoundTrip implements [http.RoundTripper].
func (p pingPath) RoundTrip(req *http.Request) (*http.Response, error) {
	if p.root != "" && req.URL.Path == "/v2/" {
		req = req.Clone(req.Context())
		req.URL.Path = p.root + "/"
	}
	return p.next.RoundTrip(req)
}
