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
// address, and servers commonly stop at 8 KiB.
const scopesPerToken = 100

// sessionKey tells logins apart: one ping and one token serve all repositories that a
// registry has for one account.
type sessionKey struct {
	login
	root string // path of the registry's API, see [Mirror]
	part int    // repositories beyond scopesPerToken log in anew
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
	// refused is the answer to a login that failed. It is not tried again: Docker Hub locks
	// accounts after some wrong passwords, registry-feedback 2201.
	refused error

	// What it was given of manifests, for [AuthError.Alone].
	heads, gets atomic.Bool
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
	key := sessionKey{login: login{host: e.host}, root: e.root}
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
	if s.err == nil {
		return s, nil
	}
	var limit *RateLimitError
	if errors.As(s.err, &limit) { // which passes; all else would be the same the next time
		c.mu.Lock()
		if c.sessions[key] == s {
			delete(c.sessions, key)
		}
		c.mu.Unlock()
	}
	return nil, s.err
}

// enter pings the registry and, where it asks for that, fetches the first token.
func (s *session) enter(ctx context.Context, c *Client, scopes []string) error {
	var opts []name.Option
	if c.insecure[s.key.host] || c.hosts[s.key.host].Plain || loopback(s.key.host) {
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
	if header := c.hosts[s.key.host].Header; len(header) > 0 {
		s.base = headed{next: s.base, host: s.key.host, header: header, plain: len(opts) > 0}
	}
	s.base = &retrier{next: s.base, client: c}
	if s.challenge, err = transport.Ping(ctx, reg, rooted{next: s.base, root: s.key.root}); err != nil {
		return s.loginError("ping", err)
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
	if s.challenge.Scheme != "" && s.acct != nil {
		return s.prove(ctx)
	}
	return nil
}

func (s *session) bearer() bool { return strings.EqualFold(s.challenge.Scheme, "bearer") }

// loginError gives a failed ping or token request its type.
func (s *session) loginError(step string, err error) error {
	typed := classify(err, s.key.host, s.source(), "")
	var limit *RateLimitError
	if isAuth(typed) || errors.As(typed, &limit) {
		return typed
	}
	return fmt.Errorf("registry %s: %s: %w", s.key.host, step, &lineError{err})
}

// renew fetches a new token unless somebody did since the caller saw the token old.
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

// prove tries name and password at the place that asked for them, once, before they go
// out with many requests at a time: a wrong password is sent one time only, and a 401 for
// an image later on is about that image.
func (s *session) prove(ctx context.Context) error {
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

// basic sends name and password.
func (s *session) basic(req *http.Request) (*http.Response, error) {
	cfg, err := authn.Authorization(req.Context(), s.auth)
	if err != nil {
		return nil, fmt.Errorf("registry %s: account from %s: %w", s.key.host, s.source(), err)
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

// drain reads the little that an error answer holds so that its connection can be used again.
func drain(resp *http.Response) {
	_, _ = io.CopyN(io.Discard, resp.Body, 64<<10) // only the connection's reuse depends on it
	resp.Body.Close()
}

// rooted sends a ping to where a mirror has its API.
type rooted struct {
	next http.RoundTripper
	root string
}

// RoundTrip implements [http.RoundTripper].
func (r rooted) RoundTrip(req *http.Request) (*http.Response, error) {
	if r.root != "" && req.URL.Path == "/v2/" {
		req = req.Clone(req.Context())
		req.URL.Path = r.root + "/"
	}
	return r.next.RoundTrip(req)
}
