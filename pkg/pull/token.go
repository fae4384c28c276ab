package pull

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/google/go-containerregistry/pkg/authn"

	"stowage/pkg/pull/internal/challenge"
)

// Tokens are fetched as in Docker's "Token Authentication Specification" (GET with name and
// password) and its "OAuth2 Token Authentication" (POST with either or with an identity
// token). Some servers know only one of them.

const (
	maxToken = 64 << 10 // bytes of a token server's answer
	maxScope = 4 << 10  // bytes of a challenge's scope
	clientID = "stowage"
)

// identity is an OAuth2 refresh token. A server may replace it with every answer, which
// ends the old one: the sessions of an account share it, one request at a time.
type identity struct {
	mu    sync.Mutex
	token string
}

// tokenAnswer is what a token server sends; some send only the second field.
type tokenAnswer struct {
	Token        string `json:"token"`
	AccessToken  string `json:"access_token"`
	RefreshToken string `json:"refresh_token"`
}

// realmError is a challenge whose token server is not asked.
type realmError struct{ error }

// token logs in as a challenge asks for. The caller holds s.mu.
func (s *session) token(ctx context.Context, c challenge.Challenge, cfg *authn.AuthConfig) (string, error) {
	realm, err := s.realm(c.Params["realm"])
	if err != nil {
		return "", &realmError{fmt.Errorf("registry %s: %w", s.key.host, err)}
	}
	s.addScopes(c.Params["scope"])
	r := tokenRequest{session: s, realm: realm, service: c.Params["service"], scopes: s.scopes}
	answer, err := r.exchange(ctx, cfg)
	if err != nil {
		return "", err
	}
	token := answer.AccessToken
	if token == "" {
		token = answer.Token
	}
	switch {
	case token == "":
		return "", fmt.Errorf("registry %s: %s sent no token", s.key.host, r.party())
	case strings.ContainsFunc(token, func(c rune) bool { return c <= ' ' || c >= 0x7f }):
		return "", fmt.Errorf("registry %s: %s sent a token with characters that no header may have", s.key.host, r.party())
	}
	return token, nil
}

// addScopes adds the repositories announced meanwhile, and puts the scope of a challenge
// first: some servers look at the first only.
func (s *session) addScopes(asked string) {
	if s.all != nil {
		for _, scope := range s.all.announced(s.key) {
			if !slices.Contains(s.scopes, scope) {
				s.scopes = append(s.scopes, scope)
			}
		}
	}
	for _, scope := range slices.Backward(strings.Fields(asked[:min(len(asked), maxScope)])) {
		s.scopes = slices.Insert(slices.DeleteFunc(s.scopes, func(o string) bool { return o == scope }), 0, scope)
	}
}

// realm returns the address of the token server that a challenge names. Name and password
// are sent there: by TLS, or by plain HTTP to the registry's own host when it is spoken to
// so and to hosts for which the options allow it. A host that only the registry names must
// not be an address in a private network, where it may be anything.
func (s *session) realm(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || u.Scheme != "https" && u.Scheme != "http" {
		return nil, fmt.Errorf("the token server %q is not a URL", shorten(text))
	}
	u.User, u.Fragment = nil, ""
	own, err := url.Parse("//" + s.key.host)
	isOwn := err == nil && own.Hostname() == u.Hostname()
	named := s.all != nil && s.all.allowsPlain(u.Host)
	switch {
	case u.Scheme == "http" && !named && !(isOwn && s.plain):
		return nil, fmt.Errorf("the token server http://%s is not asked: it would get the account without TLS", shorten(u.Host))
	case !isOwn && !named && private(u.Hostname()):
		return nil, fmt.Errorf("the token server %s is not asked: it is an address of a private network", shorten(u.Host))
	}
	return u, nil
}

// private reports whether a host is an address that is not public.
func private(host string) bool {
	ip, err := netip.ParseAddr(host)
	ip = ip.Unmap()
	return err == nil && (ip.IsPrivate() || ip.IsLoopback() || ip.IsLinkLocalUnicast() || ip.IsUnspecified())
}

// tokenRequest is a request for one token.
type tokenRequest struct {
	session *session
	realm   *url.URL
	service string
	scopes  []string
}

func (r *tokenRequest) party() string { return "token server " + r.realm.Host }

// exchange asks for a token in the way that fits the account, and in the other one when the
// server does not know it.
func (r *tokenRequest) exchange(ctx context.Context, cfg *authn.AuthConfig) (tokenAnswer, error) {
	s := r.session
	switch {
	case cfg.IdentityToken != "":
		return r.exchangeIdentity(ctx, cfg)
	case cfg.Username == "" && cfg.Password == "":
		return r.get(ctx, "", "")
	case !s.byPost:
		answer, err := r.get(ctx, cfg.Username, cfg.Password)
		if !isUnsupported(err) {
			return answer, err
		}
	}
	answer, err := r.post(ctx, url.Values{"grant_type": {"password"}, "username": {cfg.Username}, "password": {cfg.Password}})
	s.byPost = err == nil
	return answer, err
}

func (r *tokenRequest) exchangeIdentity(ctx context.Context, cfg *authn.AuthConfig) (tokenAnswer, error) {
	id := r.session.identity(cfg.IdentityToken)
	id.mu.Lock()
	defer id.mu.Unlock()
	answer, err := r.post(ctx, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {id.token}})
	if isUnsupported(err) {
		user := cfg.Username
		if user == "" {
			user = "<token>" // as docker's helpers name it
		}
		return r.get(ctx, user, id.token)
	}
	if err == nil && answer.RefreshToken != "" {
		id.token = answer.RefreshToken
	}
	return answer, err
}

// isUnsupported reports whether a token server does not know this way to ask it.
func isUnsupported(err error) bool {
	var answer *answerError
	if !errors.As(err, &answer) {
		return false
	}
	switch answer.status {
	case http.StatusBadRequest, http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusNotImplemented:
		return true
	}
	return false
}

func (r *tokenRequest) get(ctx context.Context, user, password string) (tokenAnswer, error) {
	u := *r.realm
	q := u.Query()
	if r.service != "" {
		q.Set("service", r.service)
	}
	for _, scope := range r.scopes {
		q.Add("scope", scope)
	}
	u.RawQuery = q.Encode()
	return r.send(ctx, user != "" || password != "", func() (*http.Request, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
		if err == nil && (user != "" || password != "") {
			req.SetBasicAuth(user, password)
		}
		return req, err
	})
}

func (r *tokenRequest) post(ctx context.Context, form url.Values) (tokenAnswer, error) {
	form.Set("client_id", clientID)
	form.Set("scope", strings.Join(r.scopes, " "))
	if r.service != "" {
		form.Set("service", r.service)
	}
	return r.send(ctx, true, func() (*http.Request, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.realm.String(), strings.NewReader(form.Encode()))
		if err == nil {
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		return req, err
	})
}

// send sends a request and reads the token. secret says that the request carries a
// credential, in its header or its body: it follows no redirect to another host or scheme.
func (r *tokenRequest) send(ctx context.Context, secret bool, request func() (*http.Request, error)) (tokenAnswer, error) {
	s := r.session
	client := http.Client{Transport: s.base, CheckRedirect: func(req *http.Request, via []*http.Request) error {
		first := via[0]
		if secret && (req.URL.Host != first.URL.Host || req.URL.Scheme != first.URL.Scheme || req.Method != first.Method) {
			return fmt.Errorf("its redirect to %s://%s is not followed: the account is not meant for it", req.URL.Scheme, req.URL.Host)
		}
		if _, err := s.realm(req.URL.String()); err != nil {
			return err
		}
		return checkRedirect(req, via)
	}}
	var answer tokenAnswer
	resp, raw, err := s.net.document(ctx, maxToken, func() (*http.Response, error) {
		req, err := request()
		if err != nil {
			return nil, err
		}
		req.Header["Accept-Encoding"] = identityEncoding
		resp, err := client.Do(req)
		if err != nil {
			return nil, fmt.Errorf("registry %s: %s: %w", s.key.host, r.party(), requestError(err))
		}
		if resp.StatusCode != http.StatusOK {
			return nil, r.statusError(resp, secret)
		}
		return resp, nil
	})
	if err != nil {
		return answer, err
	}
	if json.Unmarshal(raw, &answer) == nil {
		return answer, nil
	}
	page := asPage(resp.Header, raw)
	if page == nil {
		return answer, fmt.Errorf("registry %s: %s sent a token that is not JSON", s.key.host, r.party())
	}
	page.By, page.Want = fmt.Sprintf("%s of registry %s", r.party(), s.key.host), "token"
	return answer, page
}

// statusError returns the error for a token server that sent no token.
func (r *tokenRequest) statusError(resp *http.Response, secret bool) error {
	s, said := r.session, words(resp)
	source := ""
	if secret {
		source = s.account()
	}
	switch resp.StatusCode {
	case http.StatusUnauthorized, http.StatusForbidden:
		return &AuthError{Host: s.key.host, By: r.party(), Source: source, Status: resp.StatusCode, Detail: said}
	case http.StatusTooManyRequests:
		e := &RateLimitError{Host: s.key.host, By: r.party(), Source: source, Detail: said}
		e.setReset(resp.Header)
		return e
	case http.StatusProxyAuthRequired:
		return proxyRefused(resp.Request, resp.StatusCode)
	}
	err := fmt.Errorf("registry %s: %s answered %s%s", s.key.host, r.party(), statusText(resp), inBrackets(said))
	return &answerError{error: err, status: resp.StatusCode}
}
