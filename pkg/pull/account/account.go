package account

import (
	"encoding/json"
	"fmt"
	"log/slog"

	"github.com/google/go-containerregistry/pkg/authn"

	"stowage/internal/redact"
)

// Account is a credential for a registry together with where it was found.
// It is a value: copy and compare it freely, from any goroutine.
type Account struct {
	// Source names the place for humans: "--creds", "~/.docker/config.json",
	// "secret kube-system/regcred".
	Source string
	// Registry is the key of the account in its source, as written there (without
	// user information, if the key is a URL that has some).
	Registry string
	// Auth is the credential.
	Auth Auth
}

// String returns kind, key and source: "password for quay.io from ~/.docker/config.json".
func (a Account) String() string {
	return fmt.Sprintf("%s for %s from %s", a.Auth, a.Registry, a.Source)
}

// GoString is like [Account.String].
func (a Account) GoString() string { return a.String() }

// Format prints what [Account.String] returns, whatever the verb.
func (a Account) Format(f fmt.State, verb rune) { redact.Format(f, verb, a.String()) }

// MarshalJSON returns source, registry and the kind of the credential.
func (a Account) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Source   string `json:"source"`
		Registry string `json:"registry"`
		Kind     Kind   `json:"kind"`
	}{a.Source, a.Registry, a.Auth.Kind()})
}

// LogValue returns source, registry and the kind of the credential.
func (a Account) LogValue() slog.Value {
	return slog.GroupValue(
		slog.String("source", a.Source),
		slog.String("registry", a.Registry),
		slog.String("kind", string(a.Auth.Kind())),
	)
}

// Kind is the kind of credential that an [Auth] holds.
type Kind string

// The kinds of credentials, as docker's and podman's files know them.
const (
	Anonymous     Kind = "anonymous"
	Password      Kind = "password"       // user name and password
	IdentityToken Kind = "identity token" // OAuth2 refresh token
	RegistryToken Kind = "registry token" // bearer token, sent unchanged
)

// Auth is a credential that prints as its kind. The zero value is anonymous.
//
// Auth can be compared and used as a map key: the same values are equal whatever
// their source, so repositories can be grouped by registry and Auth to share a
// token. It implements [authn.Authenticator].
type Auth struct{ username, password, identityToken, registryToken redact.Value }

// Kind returns what the credential consists of. A token takes precedence over a
// password, as in go-containerregistry.
func (a Auth) Kind() Kind {
	switch {
	case !a.registryToken.Empty():
		return RegistryToken
	case !a.identityToken.Empty():
		return IdentityToken
	case a != Auth{}:
		return Password
	default:
		return Anonymous
	}
}

// Authorization returns the values themselves, for go-containerregistry's
// transport. The result is not protected against printing. The error is nil.
func (a Auth) Authorization() (*authn.AuthConfig, error) {
	return &authn.AuthConfig{
		Username:      a.username.Reveal(),
		Password:      a.password.Reveal(),
		IdentityToken: a.identityToken.Reveal(),
		RegistryToken: a.registryToken.Reveal(),
	}, nil
}

// String returns the kind.
func (a Auth) String() string { return string(a.Kind()) }

// GoString returns the kind.
func (a Auth) GoString() string { return a.String() }

// Format prints the kind, whatever the verb.
func (a Auth) Format(f fmt.State, verb rune) { redact.Format(f, verb, a.String()) }

// MarshalJSON returns the kind.
func (a Auth) MarshalJSON() ([]byte, error) { return json.Marshal(a.String()) }

// MarshalText returns the kind.
func (a Auth) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// LogValue returns the kind.
func (a Auth) LogValue() slog.Value { return slog.StringValue(a.String()) }
