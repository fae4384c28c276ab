package pull

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"stowage/pkg/pull/account"
)

// scopesPerToken bounds the token request: every repository adds some 40 bytes to its
// address, and servers commonly stop at 8 KiB.
const scopesPerToken = 100

// sessionKey tells logins apart: one ping and one token serve all repositories that a
// registry has for one account.
type sessionKey struct {
	login
	part int // repositories beyond scopesPerToken log in anew
}

// login is a registry and an account there; the zero account is anonymous.
type login struct {
	host string
	auth account.Auth
}

// session is a login at a registry. It is an http.RoundTripper that authorises requests
// to its own host, and only to that.
type session struct {
	key  sessionKey
	acct *account.Account // nil: anonymous
	base http.RoundTripper

	once      sync.Once
	err       error
	registry  name.Registry
	challenge *transport.Challenge
	auth      authn.Authenticator

	mu     sync.Mutex // held while a token is fetched, so that one fetch serves all who wait
	scopes []string
	token  string
}

func (s *session) source() string {
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

// announce tells which repositories will be asked for, so that the first token covers
// them all.
func (c *Client) announce(e endpoint, acct *account.Account) sessionKey {
	scope := "repository:" + e.repo + ":pull"
	key := sessionKey{login: login{host: e.host}}
	if acct != nil {
		key.auth = acct.Auth
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		known := c.scopes[key]
		if slices.Contains(known, scope) {
			return key
		}
		if len(known) < scopesPerToken {
			c.scopes[key] = append(known, scope)
			return key
		}
		key.part++
	}
}

// session returns the login for an endpoint and account, made at its first use.
func (c *Client) session(ctx context.Context, e endpoint, acct *account.Account) (*session, error) {
	key := c.announce(e, acct)
	c.mu.Lock()
	s := c.sessions[key]
	if s == nil {
		s = &session{key: key, acct: acct, base: c.base}
		c.sessions[key] = s
	}
	scopes := slices.Clone(c.scopes[key])
	c.mu.Unlock()
	s.once.Do(func() { s.err = s.enter(ctx, c, scopes) })
	if s.err != nil {
		return nil, s.err
	}
	return s, nil
}

// enter pings the registry and, where it asks for that, fetches the first token.
func (s *session) enter(ctx context.Context, c *Client, scopes []string) error {
	var opts []name.Option
	if c.insecure[s.key.host] || loopback(s.key.host) {
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
	s.base = &retrier{next: s.base, client: c}
	if s.challenge, err = transport.Ping(ctx, reg, s.base); err != nil {
		return fmt.Errorf("registry %s: %w", s.key.host, err)
	}
	if s.challenge.Insecure && len(opts) == 0 {
		return &InsecureError{Host: s.key.host}
	}
	if s.challenge.Scheme != "" && !s.bearer() && !strings.EqualFold(s.challenge.Scheme, "basic") {
		return fmt.Errorf("registry %s: it asks for a login of kind %q, which is not known here", s.key.host, oneLine(s.challenge.Scheme))
	}
	if s.bearer() {
		s.scopes = scopes
		return s.renew(ctx, "")
	}
	return nil
}

func (s *session) bearer() bool { return strings.EqualFold(s.challenge.Scheme, "bearer") }

// renew fetches a new token unless somebody did since the caller saw the token old.
func (s *session) renew(ctx context.Context, old string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.token != old {
		return nil
	}
	cfg, err := authn.Authorization(ctx, s.auth)
	if err != nil {
		return fmt.Errorf("registry %s: account from %s: %w", s.key.host, s.source(), err)
	}
	if cfg.RegistryToken != "" {
		if s.token == cfg.RegistryToken {
			return &AuthError{Host: s.key.host, Source: s.source(), Status: http.StatusUnauthorized}
		}
		s.token = cfg.RegistryToken
		return nil
	}
	tok, err := transport.Exchange(ctx, s.registry, s.auth, s.base, s.scopes, s.challenge)
	if err != nil {
		if typed := classify(err, s.key.host, s.source(), ""); isAuth(typed) {
			return typed
		}
		return fmt.Errorf("registry %s: log in: %w", s.key.host, err)
	}
	s.token = tok.Token
	if tok.AccessToken != "" { // some registries send only this one
		s.token = tok.AccessToken
	}
	return nil
}

// RoundTrip sends a request, with credentials when it goes to the session's own host and
// scheme: a redirect elsewhere never carries any. An expired token is renewed once.
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

func (s *session) basic(req *http.Request) (*http.Response, error) {
	cfg, err := authn.Authorization(req.Context(), s.auth)
	if err != nil {
		return nil, fmt.Errorf("registry %s: account from %s: %w", s.key.host, s.source(), err)
	}
	out := req.Clone(req.Context())
	switch {
	case cfg.RegistryToken != "":
		return s.base.RoundTrip(withBearer(req, cfg.RegistryToken))
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

// drain reads the little that an error answer holds so that its connection can be used again.
func drain(resp *http.Response) {
	_, _ = io.CopyN(io.Discard, resp.Body, 64<<10) // only the connection's reuse depends on it
	resp.Body.Close()
}

func isAuth(err error) bool {
	var a *AuthError
	return errors.As(err, &a)
}

// newTransport is http.DefaultTransport's kind with limits for a server that hangs before
// it answers. Hosts named insecure are not asked for a valid certificate.
func newTransport(insecure []string) http.RoundTripper {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.DialContext = (&net.Dialer{Timeout: 15 * time.Second, KeepAlive: 30 * time.Second}).DialContext
	t.ResponseHeaderTimeout = 60 * time.Second
	t.MaxIdleConnsPerHost = 32
	t.ReadBufferSize, t.WriteBufferSize = 64<<10, 4<<10
	if len(insecure) == 0 {
		return t
	}
	lax := t.Clone()
	lax.TLSClientConfig = &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}
	return byHost{hosts: insecure, chosen: lax, other: t}
}

// byHost sends the requests to some hosts through a transport of their own.
type byHost struct {
	hosts         []string
	chosen, other http.RoundTripper
}

func (b byHost) RoundTrip(req *http.Request) (*http.Response, error) {
	if slices.Contains(b.hosts, req.URL.Host) {
		return b.chosen.RoundTrip(req)
	}
	return b.other.RoundTrip(req)
}
