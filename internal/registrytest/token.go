package registrytest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// token is a valid bearer token or refresh token.
type token struct {
	account string              // "" is anonymous
	access  map[string][]string // repository to actions
	expires time.Time
	uses    int  // requests left; negative: any number
	refresh bool // a refresh token: valid only for /token, until revoked
}

// covers reports whether the token allows an action; requests without a repository need no
// right.
func (t *token) covers(repo, action string) bool {
	return repo == "" || slices.Contains(t.access[repo], action)
}

// defaultTTL is the lifetime of a token if the policy sets none, as at Docker Hub.
const defaultTTL = 300 * time.Second

// newToken adds a token for the scopes, with those rights that the policy allows. The
// caller holds reg.mu.
func (reg *Registry) newToken(account string, scopes []string) (raw string, ttl time.Duration) {
	t := &token{account: account, access: map[string][]string{}, uses: -1}
	for _, s := range scopes {
		repo, actions, ok := parseScope(s)
		if !ok {
			continue
		}
		for _, a := range actions {
			hidden := reg.policy.HideMissing && a == "pull" && !reg.store.hasRepo(repo)
			if !hidden && reg.policy.allows(account, repo, a) {
				t.access[repo] = append(t.access[repo], a)
			}
		}
	}
	if ttl = reg.policy.TokenTTL; ttl == 0 {
		ttl = defaultTTL
	}
	t.expires = time.Now().Add(ttl)
	if reg.policy.TokenUses > 0 {
		t.uses = reg.policy.TokenUses
	}
	return reg.addToken("access", t), ttl
}

// addToken makes a token valid and returns its text. The caller holds reg.mu.
func (reg *Registry) addToken(kind string, t *token) string {
	reg.serial++
	raw := fmt.Sprintf("%s-token-%d-of-%s", kind, reg.serial, reg.addr)
	reg.tokens[raw] = t
	return raw
}

// parseScope parses "repository:NAME:pull,push"; names may contain colons.
func parseScope(s string) (repo string, actions []string, ok bool) {
	kind, rest, _ := strings.Cut(s, ":")
	repo, list, ok := cutLast(rest, ":")
	return repo, strings.Split(list, ","), ok && kind == "repository"
}

// useToken uses an access token once. It returns nil if the token is unknown or expired.
func (reg *Registry) useToken(raw string) *token {
	reg.mu.Lock()
	defer reg.mu.Unlock()
	t := reg.tokens[raw]
	if t == nil || t.refresh || t.uses == 0 || !time.Now().Before(t.expires) {
		return nil
	}
	if t.uses > 0 {
		t.uses--
	}
	return t
}

// Token returns a new access token without any request, for the "registrytoken" of a login
// file. Scopes have the form "repository:NAME:pull".
func (reg *Registry) Token(user string, scopes ...string) string {
	reg.mu.Lock()
	defer reg.mu.Unlock()
	raw, _ := reg.newToken(user, scopes)
	return raw
}

// IdentityToken returns a new refresh token, for the "identitytoken" of a login file. POST
// /token exchanges it for access tokens.
func (reg *Registry) IdentityToken(user string) string {
	reg.mu.Lock()
	defer reg.mu.Unlock()
	return reg.addToken("refresh", &token{account: user, refresh: true})
}

// Revoke invalidates all tokens, including refresh tokens.
func (reg *Registry) Revoke() {
	reg.mu.Lock()
	defer reg.mu.Unlock()
	clear(reg.tokens)
}

// serveToken answers /token: GET as in Docker's "Token Authentication Specification", POST
// as in its "OAuth2 Token Authentication".
func (x *exchange) serveToken() {
	policy := x.registry.Policy()
	switch {
	case policy.Auth != AuthBearer:
		x.fail(http.StatusNotFound, "NOT_FOUND", "this registry issues no tokens")
	case x.r.Method == http.MethodGet && policy.OnlyOAuth:
		x.fail(http.StatusMethodNotAllowed, "UNSUPPORTED", "use POST")
	case policy.TokenTo != "":
		http.Redirect(x, x.r, policy.TokenTo, http.StatusTemporaryRedirect)
	case x.r.Method == http.MethodGet:
		x.tokenByGet(&policy)
	case x.r.Method == http.MethodPost && !policy.NoOAuth:
		x.tokenByPost(&policy)
	default:
		x.fail(http.StatusNotFound, "NOT_FOUND", "404 page not found")
	}
}

// tokenByGet reads name and password from the Authorization header, if any.
func (x *exchange) tokenByGet(policy *Policy) {
	user, password, sent := x.r.BasicAuth()
	if sent && !policy.login(user, password) {
		x.refuseLogin()
		return
	}
	if !sent && policy.RefuseAnonymous {
		x.fail(http.StatusUnauthorized, "UNAUTHORIZED", "anonymous access is not allowed")
		return
	}
	query := x.r.URL.Query()
	x.sendToken(user, query, query.Get("offline_token") == "true")
}

// tokenByPost reads a password or a refresh token from the form.
func (x *exchange) tokenByPost(policy *Policy) {
	if err := x.r.ParseForm(); err != nil {
		x.fail(http.StatusBadRequest, "BAD_REQUEST", "invalid form")
		return
	}
	form := x.r.PostForm
	user := form.Get("username")
	good := false
	switch form.Get("grant_type") {
	case "password":
		good = policy.login(user, form.Get("password"))
	case "refresh_token":
		x.registry.mu.Lock()
		if t := x.registry.tokens[form.Get("refresh_token")]; t != nil && t.refresh {
			user, good = t.account, true
			if policy.Rotate {
				delete(x.registry.tokens, form.Get("refresh_token"))
			}
		}
		x.registry.mu.Unlock()
	default:
		x.fail(http.StatusBadRequest, "UNSUPPORTED", "unsupported grant_type")
		return
	}
	if !good {
		x.refuseLogin()
		return
	}
	x.sendToken(user, form, policy.Rotate || form.Get("access_type") == "offline")
}

// refuseLogin answers a wrong name, password or refresh token.
func (x *exchange) refuseLogin() {
	x.note(func(e *Entry) { e.BadLogin = true })
	x.fail(http.StatusUnauthorized, "UNAUTHORIZED", "incorrect username or password")
}

// sendToken answers with an access token for the scopes of the request, which may be
// several parameters, one with spaces, or both.
func (x *exchange) sendToken(user string, params url.Values, offline bool) {
	scopes := strings.Fields(strings.Join(params["scope"], " "))
	x.note(func(e *Entry) { e.Account, e.Scopes = user, scopes })
	answer := struct {
		Token        string `json:"token"`
		AccessToken  string `json:"access_token"`
		RefreshToken string `json:"refresh_token,omitempty"`
		ExpiresIn    int    `json:"expires_in"`
		IssuedAt     string `json:"issued_at"`
		Scope        string `json:"scope,omitempty"`
	}{IssuedAt: time.Now().UTC().Format(time.RFC3339), Scope: strings.Join(scopes, " ")}

	x.registry.mu.Lock()
	raw, ttl := x.registry.newToken(user, scopes)
	if offline {
		answer.RefreshToken = x.registry.addToken("refresh", &token{account: user, refresh: true})
	}
	x.registry.mu.Unlock()
	answer.Token, answer.AccessToken, answer.ExpiresIn = raw, raw, int(ttl/time.Second)

	body, err := json.Marshal(answer)
	if err != nil {
		x.fail(http.StatusInternalServerError, "UNKNOWN", err.Error())
		return
	}
	x.send(http.StatusOK, "application/json", body)
}
