package pull

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"

	"stowage/pkg/pull/account"
	"stowage/pkg/pull/internal/challenge"
)

// scopesPerToken bounds the token request: every repository adds some 40 bytes to its
// URL, and servers commonly stop at 8 KiB.
const scopesPerToken = 100

// maxTrials bounds how often a name and password that were never accepted are sent: servers
// lock accounts after some wrong passwords.
const maxTrials = 3

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

	mu         sync.Mutex
	open       map[sessionKey]*session
	scopes     map[sessionKey][]string // of announced repositories, for one token per account
	identities map[login]*identity
}

func newSessions(n *network, insecure []string, hosts map[string]Host) *sessions {
	p := &sessions{
		net:        n,
		insecure:   map[string]bool{},
		hosts:      map[string]Host{},
		open:       map[sessionKey]*session{},
		scopes:     map[sessionKey][]string{},
		identities: map[login]*identity{},
	}
	for _, h := range insecure {
		p.insecure[dialled(h)] = true
	}
	for name, h := range hosts {
		p.hosts[dialled(name)] = h
	}
	return p
}

// allowsPlain reports whether the options allow plain HTTP to a host by its name.
func (p *sessions) allowsPlain(host string) bool { return p.insecure[host] || p.hosts[host].Plain }

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

// announced returns the scopes of a session's repositories.
func (p *sessions) announced(key sessionKey) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.scopes[key])
}

// get returns the session for an endpoint and account, and opens it at its first use.
func (p *sessions) get(ctx context.Context, e endpoint, acct *account.Account) (*session, error) {
	key := p.announce(e, acct)
	p.mu.Lock()
	s := p.open[key]
	if s == nil {
		s = &session{key: key, acct: acct, net: p.net, base: p.net.transport, all: p}
		p.open[key] = s
	}
	p.mu.Unlock()
	s.once.Do(func() { s.err = s.start(ctx, p.hosts[key.host], p.allowsPlain(key.host) || loopback(key.host)) })
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
	all  *sessions // nil: a host that no image names, where nothing answers a challenge

	once  sync.Once
	err   error
	plain bool // spoken to without TLS

	mu      sync.Mutex // held during a token request, so that one serves all who wait
	header  string     // Authorization of requests to the host; "" until a challenge
	scopes  []string
	byPost  bool   // the token server takes a password only by POST
	unsent  string // why the account was not sent
	trials  int    // of a name and password, until one is accepted
	trial   sync.Mutex
	trusted atomic.Bool // name and password were accepted
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
	if s.plain {
		return "http"
	}
	return "https"
}

// identity returns the refresh token that the sessions of the account share.
func (s *session) identity(token string) *identity {
	if s.all == nil {
		return &identity{token: token}
	}
	s.all.mu.Lock()
	defer s.all.mu.Unlock()
	id := s.all.identities[s.key.login]
	if id == nil {
		id = &identity{token: token}
		s.all.identities[s.key.login] = id
	}
	return id
}

// keptBack returns the source of an account that was not sent, and why.
func (s *session) keptBack() (source, why string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.account(), s.unsent
}

// start pings the registry and, where its answer asks for a login, logs in before many
// requests need it at a time. The ping is a probe: servers that have only what is below
// repositories answer it with 404, 403 or 405. plain allows plain HTTP.
func (s *session) start(ctx context.Context, host Host, plain bool) error {
	if s.key.host == "" {
		return errors.New("the name of the image has no registry")
	}
	s.base = &retrier{next: s.base, net: s.net, header: hostHeader{host: s.key.host, values: host.Header, plain: plain}}
	resp, err := s.ping(ctx, plain)
	if err != nil {
		return s.named(err)
	}
	defer drain(resp)
	if resp.StatusCode != http.StatusUnauthorized {
		return nil
	}
	header, err := s.answer(ctx, resp, "")
	if err != nil || !strings.HasPrefix(header, "Basic ") {
		return err
	}
	// A wrong password is sent only once, and a later 401 for an image is about that image.
	again, err := s.askRoot(ctx, s.scheme(), header)
	if err != nil {
		return s.named(err)
	}
	defer drain(again)
	if again.StatusCode == http.StatusUnauthorized {
		s.refused = statusError(again, s, "")
		return s.refused
	}
	return nil
}

// named adds the registry to an error that does not name it.
func (s *session) named(err error) error {
	if strings.Contains(err.Error(), s.key.host) {
		return err
	}
	return fmt.Errorf("registry %s: %w", s.key.host, err)
}

// RoundTrip sends a request, with credentials when it goes to the session's own host and
// scheme: a redirect to another host carries none. A challenge is answered once, wherever
// it occurs: a token may have expired, and many registries ask for a login only below some
// repositories.
func (s *session) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Host != s.key.host || req.URL.Scheme != s.scheme() {
		return s.base.RoundTrip(req)
	}
	s.mu.Lock()
	used := s.header
	s.mu.Unlock()
	resp, err := s.send(req, used)
	if err != nil || resp.StatusCode != http.StatusUnauthorized {
		return resp, err
	}
	next, err := s.answer(req.Context(), resp, used)
	if err != nil {
		drain(resp)
		return nil, err
	}
	if next == used {
		return resp, nil
	}
	drain(resp)
	return s.send(req, next)
}

// answer returns the Authorization with which to repeat a request that got 401. It returns
// used, the one that the request had, when there is no better one.
func (s *session) answer(ctx context.Context, resp *http.Response, used string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.refused != nil:
		return "", s.refused
	case s.header != used || s.all == nil:
		return s.header, nil // another caller has logged in meanwhile
	}
	offered := challenge.Parse(resp.Header)
	cfg := &authn.AuthConfig{}
	if s.acct != nil {
		var err error
		if cfg, err = s.acct.Auth.Authorization(); err != nil {
			return "", fmt.Errorf("registry %s: account from %s: %w", s.key.host, s.account(), err)
		}
	}
	header, err := s.choose(ctx, offered, cfg)
	switch {
	case err != nil && isAuth(err):
		s.refused = err
		return "", err
	case err != nil:
		return "", err
	case header == "":
		return used, nil
	}
	s.header = header
	return header, nil
}

// choose returns the Authorization for the best of the challenges, "" when none can be
// answered. The caller holds s.mu.
func (s *session) choose(ctx context.Context, offered []challenge.Challenge, cfg *authn.AuthConfig) (string, error) {
	bearer, byToken := challenge.Find(offered, "bearer")
	_, byPassword := challenge.Find(offered, "basic")
	byPassword = byPassword && cfg.Username+cfg.Password != ""
	switch {
	case len(offered) == 0:
		s.unsent = "the registry does not say how to log in"
		return "", nil
	case cfg.RegistryToken != "":
		return "Bearer " + cfg.RegistryToken, nil
	case byToken:
		token, err := s.token(ctx, bearer, cfg)
		if wrong := (*realmError)(nil); errors.As(err, &wrong) && byPassword {
			break
		}
		if err != nil {
			return "", err
		}
		return "Bearer " + token, nil
	case !byPassword:
		s.unsent = fmt.Sprintf("the registry asks for a login by %q", shorten(offered[0].Scheme))
		return "", nil
	}
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(cfg.Username+":"+cfg.Password)), nil
}

// send sends a request with a value of Authorization, "" for none. Until a name and
// password are accepted, one request at a time carries them.
func (s *session) send(req *http.Request, header string) (*http.Response, error) {
	if header == "" {
		return s.base.RoundTrip(req)
	}
	out := req.Clone(req.Context())
	out.Header.Set("Authorization", header)
	if !strings.HasPrefix(header, "Basic ") || s.trusted.Load() {
		return s.base.RoundTrip(out)
	}
	s.trial.Lock()
	defer s.trial.Unlock()
	if s.trials >= maxTrials && !s.trusted.Load() {
		return nil, &AuthError{Host: s.key.host, Source: s.account(), Status: http.StatusUnauthorized}
	}
	resp, err := s.base.RoundTrip(out)
	switch {
	case err != nil:
	case resp.StatusCode == http.StatusUnauthorized:
		s.trials++
	default:
		s.trusted.Store(true)
	}
	return resp, err
}

// drainTime bounds how long the rest of an answer is read for the connection's sake.
const drainTime = time.Second

// drain reads the rest of an answer so that its connection can be used again, at most what
// an error answer holds.
func drain(resp *http.Response) {
	t := time.AfterFunc(drainTime, func() { resp.Body.Close() })
	_, _ = io.CopyN(io.Discard, resp.Body, maxErrorBody) // only the connection's reuse depends on it
	t.Stop()
	resp.Body.Close()
}
