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
	// Registry is the key the source has it under, as written there (without
	// user information, should the key be a URL that has some).
	Registry string
	// Auth is the credential.
	Auth Auth
}

// String names kind, key and source: "password for quay.io from ~/.docker/config.json".
func (a Account) String() string {
	return fmt.Sprintf("%s for %s from %s", a.Auth, a.Registry, a.Source)
}

// GoString is like [Account.String].
func (a Account) GoString() string { return a.String() }

// Format prints what [Account.String] gives, whatever the verb.
func (a Account) Format(f fmt.State, verb rune) { redact.Format(f, verb, a.String()) }

// MarshalJSON gives source, registry and the kind of the credential.
func (a Account) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Source   string `json:"source"`
		Registry string `json:"registry"`
		Kind     Kind   `json:"kind"`
	}{a.Source, a.Registry, a.Auth.Kind()})
}

// LogValue gives source, registry and the kind of the credential.
func (a Account) LogValue() slog.Value {
	return slog.GroupValue(
		slog.String("source", a.Source),
		slog.String("registry", a.Registry),
		slog.String("kind", string(a.Auth.Kind())),
	)
}

// Kind says what sort of credential an [Auth] holds.
type Kind string

// The kinds of credentials, as docker's and podman's files know them.
const (
	Anonymous     Kind = "anonymous"
	Password      Kind = "password"       // user name and password
	IdentityToken Kind = "identity token" // OAuth2 refresh token
	RegistryToken Kind = "registry token" // bearer token, sent as it is
)

// Auth is a credential that prints as its kind. The zero value is anonymous.
//
// Auth can be compared and used as a map key: the same values are equal wherever
// they came from, so repositories can be grouped by registry and Auth to share a
// token. It implements [authn.Authenticator].
type Auth struct{ username, password, identityToken, registryToken redact.Value }

// Kind says what the credential consists of. A token decides over a password
// that stands beside it, as in go-containerregistry.
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

// Authorization gives the values themselves, for go-containerregistry's
// transport. What it returns is not protected against printing. It never fails.
func (a Auth) Authorization() (*authn.AuthConfig, error) {
	return &authn.AuthConfig{
		Username:      a.username.Reveal(),
		Password:      a.password.Reveal(),
		IdentityToken: a.identityToken.Reveal(),
		RegistryToken: a.registryToken.Reveal(),
	}, nil
}

// String gives the kind.
func (a Auth) String() string { return string(a.Kind()) }

// GoString gives the kind.
func (a Auth) GoString() string { return a.String() }

// Format prints the kind, whatever the verb.
func (a Auth) Format(f fmt.State, verb rune) { redact.Format(f, verb, a.String()) }

// MarshalJSON gives the kind.
func (a Auth) MarshalJSON() ([]byte, error) { return json.Marshal(a.String()) }

// MarshalText gives the kind.
func (a Auth) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// LogValue gives the kind.
func (a Auth) LogValue() slog.Value { return slog.StringValue(a.String()) }
