package account

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/authn"

	"stowage/internal/redact"
)

var _ authn.Authenticator = Auth{}

func TestKinds(t *testing.T) {
	tests := []struct {
		auth Auth
		want Kind
	}{
		{Auth{}, Anonymous},
		{Auth{username: redact.New("u"), password: redact.New("p")}, Password},
		{Auth{username: redact.New("u"), password: redact.New("p"), identityToken: redact.New("i")}, IdentityToken},
		{Auth{registryToken: redact.New("r"), identityToken: redact.New("i")}, RegistryToken},
	}
	for _, test := range tests {
		if got := test.auth.Kind(); got != test.want {
			t.Errorf("got %q, want %q", got, test.want)
		}
	}
}

func TestAuthorization(t *testing.T) {
	a := Auth{username: redact.New("u"), password: redact.New("p"), identityToken: redact.New("i"), registryToken: redact.New("r")}
	got, err := authn.Authorization(t.Context(), a)
	if err != nil {
		t.Fatal(err)
	}
	want := &authn.AuthConfig{Username: "u", Password: "p", IdentityToken: "i", RegistryToken: "r"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got, _ := (Auth{}).Authorization(); *got != (authn.AuthConfig{}) {
		t.Error("the zero value is not anonymous")
	}
}

func TestAuthIsAMapKey(t *testing.T) {
	a := Auth{username: redact.New("u"), password: redact.New("p")}
	b := Auth{username: redact.New("u"), password: redact.New("p")}
	c := Auth{username: redact.New("u"), identityToken: redact.New("p")}
	if a != b || a == c || (Auth{password: redact.New("")}) != (Auth{}) {
		t.Error("equality does not go by the values")
	}
}

func TestAccountPrintsItsSource(t *testing.T) {
	a := Account{Source: "secret kube-system/regcred", Registry: "quay.io", Auth: Auth{username: redact.New("u"), password: redact.New("p")}}
	const text = "password for quay.io from secret kube-system/regcred"
	for _, format := range []string{"%v", "%s", "%+v"} {
		if got := fmt.Sprintf(format, a); got != text {
			t.Errorf("%s: got %q, want %q", format, got, text)
		}
	}
	if got := fmt.Sprintf("%q|%-60s|", a, &a); got != fmt.Sprintf("%q|%-60s|", text, text) {
		t.Errorf("flags are lost: %s", got)
	}
	js, err := json.Marshal(a)
	if want := `{"source":"secret kube-system/regcred","registry":"quay.io","kind":"password"}`; err != nil || string(js) != want {
		t.Errorf("JSON: got %s, %v, want %s", js, err, want)
	}
	if got, want := slog.Any("", a).Value.Resolve().String(), "[source=secret kube-system/regcred registry=quay.io kind=password]"; got != want {
		t.Errorf("slog: got %s, want %s", got, want)
	}
}
