package pull

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"stowage/internal/registrytest"
	"stowage/pkg/pull/account"
)

// closed returns a registry with one image that only ann may pull.
func closed(t *testing.T, policy registrytest.Policy) (h *registrytest.Registry, ref string) {
	t.Helper()
	policy.RefuseAnonymous = true
	policy.Accounts = []registrytest.Account{{User: "ann", Password: "right-password"}}
	h = registrytest.Start(t, registrytest.Options{Policy: policy})
	registrytest.Must(h.AddImage("a/b", "v1", registrytest.Image{}))(t)
	return h, h.Ref("a/b", "v1")
}

// identityAccount returns an account with an identity token.
func identityAccount(t *testing.T, host, token string) account.Account {
	t.Helper()
	s, err := account.Load(account.Options{Environment: &account.Environment{
		Getenv: func(name string) string {
			if name != "DOCKER_AUTH_CONFIG" {
				return ""
			}
			return `{"auths":{"` + host + `":{"identitytoken":"` + token + `"}}}`
		},
	}})
	if err != nil {
		t.Fatal(err)
	}
	list, err := s.For(t.Context(), host+"/a/b", nil)
	if err != nil || len(list) != 1 {
		t.Fatalf("%v, %v", list, err)
	}
	return list[0]
}

// withAnn returns a client with ann's password for a registry.
func withAnn(t *testing.T, h *registrytest.Registry) *Client {
	t.Helper()
	return newClient(t, func(o *Options) {
		o.Accounts = accounts{h.Host(): {login1(t, h.Host(), "ann", "right-password")}}
	})
}

// TestLogins checks the ways in which registries and token servers ask for a login.
func TestLogins(t *testing.T) {
	for name, policy := range map[string]registrytest.Policy{
		"tokens":                        {Auth: registrytest.AuthBearer},
		"tokens, open ping":             {Auth: registrytest.AuthBearer, PingStatus: 200},
		"tokens, no ping":               {Auth: registrytest.AuthBearer, PingStatus: 404},
		"tokens, ping 403":              {Auth: registrytest.AuthBearer, PingStatus: 403},
		"tokens, ping 405":              {Auth: registrytest.AuthBearer, PingStatus: 405},
		"tokens, ping 500":              {Auth: registrytest.AuthBearer, PingStatus: 500},
		"tokens, ping 401 without more": {Auth: registrytest.AuthBearer, PingStatus: 401},
		"tokens by POST only":           {Auth: registrytest.AuthBearer, OnlyOAuth: true},
		"tokens by GET only":            {Auth: registrytest.AuthBearer, NoOAuth: true},
		"tokens that expire":            {Auth: registrytest.AuthBearer, TokenUses: 1},
		"basic":                         {Auth: registrytest.AuthBasic},
		"basic, open ping":              {Auth: registrytest.AuthBasic, PingStatus: 200},
		"basic, no ping":                {Auth: registrytest.AuthBasic, PingStatus: 404},
		"both in one line":              {Auth: registrytest.AuthBearer, BothLogins: true},
	} {
		t.Run(name, func(t *testing.T) {
			h, ref := closed(t, policy)
			images := resolve(t, withAnn(t, h), ref)
			if len(images) != 1 || h.Counts().BadLogins != 0 {
				t.Errorf("%d images, %d bad logins", len(images), h.Counts().BadLogins)
			}
		})
	}
}

// TestIdentityTokenRotates checks that the refresh token of an answer replaces the one of
// the account, and that a server that takes it only as a password gets it so.
func TestIdentityTokenRotates(t *testing.T) {
	h, ref := closed(t, registrytest.Policy{Auth: registrytest.AuthBearer, Rotate: true, TokenUses: 1})
	auth := identityAccount(t, h.Host(), h.IdentityToken("ann"))
	c := newClient(t, func(o *Options) { o.Accounts = accounts{h.Host(): {auth}} })
	resolve(t, c, ref)
	if n := h.Counts(); n.Tokens < 2 || n.BadLogins != 0 {
		t.Errorf("%d tokens, %d bad logins, want several and none", n.Tokens, n.BadLogins)
	}
}

// TestRefusedWithoutLogin checks that an account is blamed only when it was sent.
func TestRefusedWithoutLogin(t *testing.T) {
	for name, c := range map[string]struct {
		status    int
		challenge string
		want      string
	}{
		"no challenge":      {401, "", "were not sent: the registry does not say how to log in"},
		"an unknown scheme": {401, "Negotiate", `were not sent: the registry asks for a login by "negotiate"`},
		"forbidden":         {403, "", "the credentials from --creds were not sent"},
	} {
		t.Run(name, func(t *testing.T) {
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/v2/" {
					return
				}
				if c.challenge != "" {
					w.Header().Set("WWW-Authenticate", c.challenge)
				}
				w.WriteHeader(c.status)
				w.Write([]byte(`{"errors":[{"code":"DENIED","message":"not \"you\""}]}`))
			}))
			defer s.Close()
			host := strings.TrimPrefix(s.URL, "http://")
			err := failure(t, newClient(t, func(o *Options) { o.Accounts = accounts{host: {login1(t, host, "ann", "pw")}} }), host+"/a/b:v1")
			var refused *AuthError
			if !errors.As(err, &refused) || refused.Source != "" || refused.Unsent != "--creds" || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
			if c.status == 403 && !strings.HasSuffix(err.Error(), `("not \"you\"")`) {
				t.Errorf("error %v, want the registry's words at its end", err)
			}
		})
	}
}

// seen records the requests that reach a host that must not get an account.
type seen struct {
	*httptest.Server
	mu   sync.Mutex
	list []string
}

func listen(t *testing.T) *seen {
	t.Helper()
	s := &seen{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.ParseForm()
		s.mu.Lock()
		defer s.mu.Unlock()
		s.list = append(s.list, r.Method+" "+r.Header.Get("Authorization")+r.Form.Encode())
		w.Write([]byte(`{"token":"t"}`))
	}))
	t.Cleanup(s.Close)
	return s
}

// TestAccountsStayAtTheirHost checks that no account reaches a host that only a registry or
// its token server names: not by a realm without TLS, and not by a redirect, in a header or
// in a body.
func TestAccountsStayAtTheirHost(t *testing.T) {
	for name, c := range map[string]struct {
		policy func(other string) registrytest.Policy
		auth   func(*testing.T, *registrytest.Registry) account.Account
		want   string
	}{
		"realm": {
			policy: func(other string) registrytest.Policy { return registrytest.Policy{Realm: other} },
			want:   "without TLS",
		},
		"redirected GET": {
			policy: func(other string) registrytest.Policy { return registrytest.Policy{TokenTo: other} },
			want:   "is not followed",
		},
		"redirected POST of a password": {
			policy: func(other string) registrytest.Policy {
				return registrytest.Policy{TokenTo: other, OnlyOAuth: true}
			},
			want: "is not followed",
		},
		"redirected POST of a token": {
			policy: func(other string) registrytest.Policy { return registrytest.Policy{TokenTo: other} },
			auth: func(t *testing.T, h *registrytest.Registry) account.Account {
				return identityAccount(t, h.Host(), h.IdentityToken("ann"))
			},
			want: "is not followed",
		},
	} {
		t.Run(name, func(t *testing.T) {
			other := listen(t)
			policy := c.policy(strings.Replace(other.URL, "127.0.0.1", "localhost", 1) + "/token")
			policy.Auth = registrytest.AuthBearer
			h, ref := closed(t, policy)
			acct := login1(t, h.Host(), "ann", "right-password")
			if c.auth != nil {
				acct = c.auth(t, h)
			}
			err := failure(t, newClient(t, func(o *Options) { o.Accounts = accounts{h.Host(): {acct}} }), ref)
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
			if len(other.list) > 0 {
				t.Errorf("the other host got %q", other.list)
			}
		})
	}
}

// TestRealm checks to which token servers an account goes.
func TestRealm(t *testing.T) {
	all := newSessions(&network{}, []string{"plain.example:5000"}, map[string]Host{"known.example": {Plain: true}})
	for _, c := range []struct {
		host  string
		plain bool
		realm string
		ok    bool
	}{
		{"r.example", false, "https://auth.example/token", true},
		{"r.example", false, "https://r.example/token?x=1", true},
		{"r.example", false, "http://r.example/token", false},
		{"r.example", false, "http://auth.example/token", false},
		{"r.example", false, "http://plain.example:5000/token", true},
		{"r.example", false, "http://known.example/token", true},
		{"r.example", false, "http://localhost/token", false},
		{"r.example", false, "http://127.0.0.1/token", false},
		{"r.example", false, "https://10.0.0.1/token", false},
		{"r.example", false, "https://[::1]/token", false},
		{"r.example", false, "https://169.254.169.254/latest", false},
		{"10.0.0.1:5000", false, "https://10.0.0.1/token", true},
		{"plain.example:5000", true, "http://plain.example:5001/token", true},
		{"plain.example:5000", true, "http://auth.example/token", false},
		{"127.0.0.1:5000", true, "http://127.0.0.1:5001/token", true},
		{"127.0.0.1:5000", true, "http://localhost:5001/token", false},
		{"r.example", false, "", false},
		{"r.example", false, "/token", false},
		{"r.example", false, "//auth.example/token", false},
		{"r.example", false, "ftp://auth.example/", false},
		{"r.example", false, "https:///token", false},
	} {
		s := &session{key: sessionKey{login: login{host: c.host}}, plain: c.plain, all: all}
		if u, err := s.realm(c.realm); (err == nil) != c.ok {
			t.Errorf("registry %s (plain: %t), realm %q: %v, %v, want allowed: %t", c.host, c.plain, c.realm, u, err, c.ok)
		}
	}
}

// TestSlowTLS checks that a server whose TLS handshake takes long is not spoken to without
// TLS, although that is allowed.
func TestSlowTLS(t *testing.T) {
	h := registrytest.Start(t, registrytest.Options{TLS: true, Policy: registrytest.Policy{Auth: registrytest.AuthBasic}})
	registrytest.Must(h.AddImage("a/b", "v1", registrytest.Image{}))(t)
	var schemes []string
	c := newClient(t, func(o *Options) {
		tr, err := newTransport(&Options{Insecure: []string{h.Host()}})
		if err != nil {
			t.Fatal(err)
		}
		o.Transport = wire(func(req *http.Request) (*http.Response, error) {
			schemes = append(schemes, req.URL.Scheme)
			if len(schemes) == 1 {
				return nil, timeoutError{}
			}
			return tr.RoundTrip(req)
		})
		o.Insecure = []string{h.Host()}
	})
	if err := failure(t, c, h.Ref("a/b", "v1")); !isAuth(err) {
		t.Errorf("error %v", err)
	}
	for _, s := range schemes {
		if s != "https" {
			t.Errorf("spoken to by %s", schemes)
		}
	}
}

// TestPlainAfterTimeout checks a server without TLS that does not answer the first
// handshake at all.
func TestPlainAfterTimeout(t *testing.T) {
	tries := 0
	c := newClient(t, func(o *Options) {
		o.Insecure = []string{"10.0.0.1:5000"}
		o.Transport = wire(func(req *http.Request) (*http.Response, error) {
			if tries++; tries == 1 {
				return nil, timeoutError{}
			}
			return plainOnly{}.RoundTrip(req)
		})
	})
	s, err := c.sessions.get(t.Context(), endpoint{host: "10.0.0.1:5000", repo: "a/b"}, nil)
	if err != nil || !s.plain {
		t.Errorf("%v, %v, want plain HTTP", s, err)
	}
}

// TestPlainAfterHangup checks a server without TLS that ends the connection in the
// handshake, and one with TLS that does so once.
func TestPlainAfterHangup(t *testing.T) {
	for name, plain := range map[string]bool{"plain": true, "TLS": false} {
		t.Run(name, func(t *testing.T) {
			tls := 0
			c := newClient(t, func(o *Options) {
				o.Insecure = []string{"10.0.0.1:5000"}
				o.Transport = wire(func(req *http.Request) (*http.Response, error) {
					if req.URL.Scheme == "https" {
						if tls++; plain || tls == 1 {
							return nil, io.EOF
						}
						return &http.Response{StatusCode: 200, Header: http.Header{}, Request: req, Body: http.NoBody}, nil
					}
					status := 200
					if !plain {
						status = 400 // "Client sent an HTTP request to an HTTPS server"
					}
					return &http.Response{StatusCode: status, Header: http.Header{}, Request: req, Body: http.NoBody}, nil
				})
			})
			s, err := c.sessions.get(t.Context(), endpoint{host: "10.0.0.1:5000", repo: "a/b"}, nil)
			if err != nil || s.plain != plain {
				t.Errorf("%v, %v, want plain: %t", s, err, plain)
			}
		})
	}
}

// TestStatedWait checks that a wait of more than a minute ends the request at once with the
// time, unless Options.Wait allows it.
func TestStatedWait(t *testing.T) {
	for _, kind := range []registrytest.Kind{registrytest.KindToken, registrytest.KindManifest, registrytest.KindBlob} {
		for name, wait := range map[string]time.Duration{"at once": 0, "allowed": 25 * time.Hour} {
			t.Run(string(kind)+" "+name, func(t *testing.T) {
				h, ref, layer, _ := content(t, registrytest.Options{Policy: registrytest.Policy{Auth: registrytest.AuthBearer}}, 1000)
				var waited time.Duration
				c := newClient(t, func(o *Options) {
					o.Wait = wait
					o.OnEvent = func(e Event) { waited += e.Wait }
				})
				if kind == registrytest.KindBlob {
					resolve(t, c, ref)
				}
				h.SetFaults(func(f *registrytest.Faults) {
					f.Only.Kinds, f.TooMany, f.RetryAfter = []registrytest.Kind{kind}, 1, registrytest.RetrySeconds(24*time.Hour)
				})
				fetch := func() error {
					if kind == registrytest.KindBlob {
						return c.Fetch(t.Context(), layer, newSink(layer))
					}
					_, failures, err := c.Resolve(t.Context(), refs(ref))
					if err == nil && len(failures) > 0 {
						err = failures[0].Err
					}
					return err
				}
				err := fetch()
				if wait > 0 {
					if err != nil || waited < 24*time.Hour {
						t.Errorf("error %v after %s", err, waited)
					}
					return
				}
				var limit *RateLimitError
				if !errors.As(err, &limit) || time.Until(limit.Reset) < 23*time.Hour || !strings.Contains(err.Error(), "try again at") {
					t.Errorf("error %v, want the time", err)
				}
				if waited > time.Second || h.Counts().TooMany != 1 {
					t.Errorf("waited %s, %d requests refused", waited, h.Counts().TooMany)
				}
			})
		}
	}
}
