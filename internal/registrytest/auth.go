package registrytest

import (
	"fmt"
	"net/http"
	"strings"
)

// authorize reports whether the request may proceed; if not, it has answered with 401 or
// 403.
func (x *exchange) authorize() bool {
	switch policy := x.registry.Policy(); policy.Auth {
	case AuthBasic:
		return x.authorizeBasic(&policy)
	case AuthBearer:
		return x.authorizeBearer(&policy)
	default:
		return true
	}
}

// authorizeBasic requires name and password of an account with every request.
func (x *exchange) authorizeBasic(policy *Policy) bool {
	user, password, sent := x.r.BasicAuth()
	if !sent || !policy.login(user, password) {
		x.note(func(e *Entry) { e.BadLogin = sent })
		x.Header().Set("WWW-Authenticate", `Basic realm="registry"`)
		x.fail(http.StatusUnauthorized, "UNAUTHORIZED", "authentication required")
		return false
	}
	if !x.allowAccount(user, policy) {
		x.fail(http.StatusForbidden, "DENIED", "requested access to the resource is denied")
		return false
	}
	return true
}

// allowAccount logs the account and reports whether it may do what is requested.
func (x *exchange) allowAccount(user string, policy *Policy) bool {
	x.account = user
	x.note(func(e *Entry) { e.Account = user })
	return x.target.repo == "" || policy.allows(user, x.target.repo, x.action())
}

// action returns the right that the request needs on its repository.
func (x *exchange) action() string {
	switch x.r.Method {
	case http.MethodGet, http.MethodHead:
		return "pull"
	case http.MethodDelete:
		return "delete"
	default:
		return "push"
	}
}

// authorizeBearer requires a token for the repository and action.
func (x *exchange) authorizeBearer(policy *Policy) bool {
	raw, sent := strings.CutPrefix(x.r.Header.Get("Authorization"), "Bearer ")
	if !sent {
		x.challenge(policy, "")
		return false
	}
	t := x.registry.useToken(raw)
	if t == nil {
		x.challenge(policy, "invalid_token")
		return false
	}
	if !t.covers(x.target.repo, x.action()) {
		x.challenge(policy, "insufficient_scope")
		return false
	}
	x.allowAccount(t.account, policy)
	return true
}

// challenge answers 401 with the address of the token server (Docker "Token Authentication
// Specification", "Requesting a Token"). reason is the error of RFC 6750 section 3.1, empty
// if no token was sent.
func (x *exchange) challenge(policy *Policy, reason string) {
	realm := policy.Realm
	if realm == "" {
		realm = x.registry.scheme + "://" + x.r.Host + "/token"
	}
	challenge := fmt.Sprintf("Bearer realm=%q,service=%q", realm, service)
	if x.target.repo != "" {
		challenge += fmt.Sprintf(",scope=%q", "repository:"+x.target.repo+":"+x.scopeActions())
	}
	if reason != "" {
		challenge += fmt.Sprintf(",error=%q", reason)
	}
	if policy.BothLogins {
		challenge = `Basic realm="registry, or token", ` + challenge
	}
	x.Header().Set("WWW-Authenticate", challenge)
	x.fail(http.StatusUnauthorized, "UNAUTHORIZED", "authentication required")
}

// wanted is the scope's list of actions: who pushes also needs to read.
func (x *exchange) scopeActions() string {
	if a := x.action(); a != "push" {
		return a
	}
	return "pull,push"
}

// service names the registry in challenges and token requests.
const service = "registry.test"
