package pull

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"stowage/pkg/pull/account"
)

// answers is a registry that requires a login by an arbitrary challenge, and issues a
// token to everyone.
type answers struct {
	challenge string
	token     string
	seen      []*http.Request
}

// RoundTrip implements [http.RoundTripper].
func (a *answers) RoundTrip(req *http.Request) (*http.Response, error) {
	a.seen = append(a.seen, req)
	resp := &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Request: req, Body: io.NopCloser(strings.NewReader(a.token))}
	if req.URL.Path == "/v2/" && req.Header.Get("Authorization") == "" {
		resp.StatusCode = http.StatusUnauthorized
		resp.Header.Set("WWW-Authenticate", a.challenge)
	}
	return resp, nil
}

// FuzzChallenge checks that with any challenge and any answer of a token server a password or
// identity token is in no URL and no error, and is sent over TLS only.
func FuzzChallenge(f *testing.F) {
	const token = `{"token":"t"}`
	for _, s := range []string{
		"", "Basic", `Basic realm="x"`, `Bearer realm="https://auth.example/token",service="registry.example"`,
		`bearer realm="https://auth.example/token?x=1&y=%zz"`, "Bearer", `Bearer realm=`, `Bearer realm="/token"`,
		`Bearer realm="http://auth.example/token"`, `Bearer realm="//auth.example/token"`, `Bearer realm="https://u:v@auth.example/"`,
		`Bearer realm="https://auth.example/",scope="repository:a:pull",error="invalid_token"`, "Negotiate", "\x00", `Bearer realm="\x1b[2J"`,
		`Bearer realm="ftp://auth.example/"`, `Digest realm="a", Bearer realm="https://b.example"`, `Bearer service="only"`,
	} {
		f.Add(s, token)
	}
	f.Add(`Bearer realm="https://auth.example/token"`, `{"access_token":"a","expires_in":-1}`)
	f.Add(`Bearer realm="https://auth.example/token"`, `{"token":`)
	f.Add(`Bearer realm="https://auth.example/token"`, `{}`)
	f.Add(`Basic realm="x", Bearer realm="http://auth.example/token"`, token)
	f.Add(`Bearer realm="https://10.0.0.1/token"`, token)
	f.Add(`Bearer realm="https://auth.example/token"`, `<html><title>correct-horse</title>`)
	f.Add(`Bearer realm="https://auth.example/token"`, `{"token":"a\r\nb"}`)
	f.Add(`Bearer realm="https://auth.example/token"`, `{"access_token":"a","refresh_token":"b"}`)
	f.Fuzz(func(t *testing.T, challenge, token string) {
		const secret = "correct-horse"
		for _, acct := range []account.Account{login1(t, "registry.example", "u", secret), identityAccount(t, "registry.example", secret)} {
			a := &answers{challenge: challenge, token: token}
			client := newClient(t, func(o *Options) {
				o.Transport, o.Attempts = a, 1
				o.Accounts = accounts{"registry.example": {acct}}
			})
			_, failures, err := client.Resolve(t.Context(), []Query{{Name: "registry.example/a:b"}})
			for _, e := range append([]Failure{{Err: err}}, failures...) {
				if e.Err != nil && strings.Contains(e.Err.Error(), secret) && !strings.Contains(challenge+token, secret) {
					t.Errorf("in an error: %v", e.Err)
				}
			}
			for _, req := range a.seen {
				checkSent(t, req, secret, challenge)
			}
		}
	})
}

// checkSent checks that a request carries the secret over TLS only, and not in its URL.
func checkSent(t *testing.T, req *http.Request, secret, challenge string) {
	t.Helper()
	_, pass, _ := req.BasicAuth()
	var body []byte
	if req.GetBody != nil {
		r, err := req.GetBody()
		if err != nil {
			t.Fatal(err)
		}
		body, _ = io.ReadAll(r) // from memory
	}
	sent := pass == secret || strings.Contains(string(body), secret)
	if strings.Contains(req.URL.String(), secret) && !strings.Contains(challenge, secret) || sent && req.URL.Scheme != "https" {
		t.Errorf("challenge %q sends it to %s", challenge, req.URL)
	}
}
