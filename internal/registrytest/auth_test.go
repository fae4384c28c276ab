package registrytest_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"stowage/internal/registrytest"
)

// ann and bob each belong to a team.
var accounts = []registrytest.Account{
	{User: "ann", Password: "ann's password", Repos: []string{"teama/*"}},
	{User: "bob", Password: "bob's password", Repos: []string{"teamb/*"}, Quota: 7},
}

// startTeams starts a registry with a public repository and one for each team.
func startTeams(t *testing.T, policy registrytest.Policy) *registrytest.Registry {
	t.Helper()
	policy.Accounts = accounts
	policy.Public = []string{"library/*"}
	h := registrytest.Start(t, registrytest.Options{Policy: policy})
	for _, repo := range []string{"library/busybox", "teama/app", "teamb/app"} {
		registrytest.Must(h.AddImage(repo, "v1", small(repo)))(t)
	}
	return h
}

// tokenAnswer is the body of /token.
type tokenAnswer struct {
	Token        string `json:"token"`
	AccessToken  string `json:"access_token"`
	RefreshToken string `json:"refresh_token"`
	ExpiresIn    int    `json:"expires_in"`
}

// getToken requests a token for scopes.
func getToken(t *testing.T, h *registrytest.Registry, query string, edit ...func(*http.Request)) tokenAnswer {
	t.Helper()
	r := ask(t, "GET", h.URL()+"/token?"+query, edit...)
	wantStatus(t, r, 200)
	var a tokenAnswer
	if err := json.Unmarshal(r.body, &a); err != nil || a.Token == "" || a.Token != a.AccessToken {
		t.Fatalf("token answer %s: %v", r.body, err)
	}
	return a
}

// bearer returns a function that adds a token to a request.
func bearer(token string) func(*http.Request) { return header("Authorization", "Bearer "+token) }

func TestBasic(t *testing.T) {
	h := startTeams(t, registrytest.Policy{Auth: registrytest.AuthBasic})
	for _, row := range []struct {
		name, repo string
		edit       func(*http.Request)
		want       int
	}{
		{"anonymous", "library/busybox", func(*http.Request) {}, 401},
		{"wrong password", "teama/app", login("ann", "x"), 401},
		{"unknown user", "teama/app", login("eve", ""), 401},
		{"own team", "teama/app", login("ann", "ann's password"), 200},
		{"public", "library/busybox", login("ann", "ann's password"), 200},
		{"other team", "teamb/app", login("ann", "ann's password"), 403},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := ask(t, "GET", manifestURL(h, row.repo, "v1"), row.edit)
			wantStatus(t, r, row.want)
			challenge := r.Header.Get("WWW-Authenticate")
			if (row.want == 401) != (challenge == `Basic realm="registry"`) {
				t.Errorf("WWW-Authenticate %q with status %d", challenge, row.want)
			}
		})
	}
	if c := h.Counts(); c.BadLogins != 2 || c.Unauthorized != 3 {
		t.Errorf("%d bad logins and %d responses with 401, want 2 and 3", c.BadLogins, c.Unauthorized)
	}
	pull(t, h.Ref("teama/app", "v1"), remote.WithAuth(&authn.Basic{Username: "ann", Password: "ann's password"}))
	wantStatus(t, ask(t, "GET", h.URL()+"/token"), 404)
}

func TestBearerChallenge(t *testing.T) {
	h := startTeams(t, registrytest.Policy{Auth: registrytest.AuthBearer})
	for _, row := range []struct {
		name, method, path, auth string
		want                     string // after realm and service
	}{
		{"ping", "GET", "/v2/", "", ""},
		{"pull", "HEAD", "/v2/teama/app/manifests/v1", "", `,scope="repository:teama/app:pull"`},
		{"push", "POST", "/v2/teama/app/blobs/uploads/", "", `,scope="repository:teama/app:pull,push"`},
		{"delete", "DELETE", "/v2/teama/app/manifests/v1", "", `,scope="repository:teama/app:delete"`},
		{"unknown token", "GET", "/v2/teama/app/manifests/v1", "Bearer x", `,scope="repository:teama/app:pull",error="invalid_token"`},
		{"password", "GET", "/v2/", "Basic YTpi", ""},
		{"token for another repository", "GET", "/v2/teama/app/manifests/v1", "Bearer " + h.Token("", "repository:library/busybox:pull"),
			`,scope="repository:teama/app:pull",error="insufficient_scope"`},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := ask(t, row.method, h.URL()+row.path, header("Authorization", row.auth))
			wantStatus(t, r, 401)
			want := `Bearer realm="` + h.URL() + `/token",service="registry.test"` + row.want
			if diff := cmp.Diff(want, r.Header.Get("WWW-Authenticate")); diff != "" {
				t.Error(diff)
			}
			if row.method != "HEAD" && errorCode(r.body) != "UNAUTHORIZED" {
				t.Errorf("body %s, want code UNAUTHORIZED", r.body)
			}
		})
	}
	h.SetPolicy(func(p *registrytest.Policy) { p.Realm = "https://auth.example/token" })
	if got := ask(t, "GET", h.URL()+"/v2/").Header.Get("WWW-Authenticate"); !strings.Contains(got, `realm="https://auth.example/token"`) {
		t.Errorf("challenge %s, want the realm of the policy", got)
	}
}

func TestTokenScopes(t *testing.T) {
	h := startTeams(t, registrytest.Policy{Auth: registrytest.AuthBearer})
	const busybox, a, b = "repository:library/busybox:pull", "repository:teama/app:pull", "repository:teamb/app:pull"
	query := func(scopes ...string) string { return url.Values{"service": {"s"}, "scope": scopes}.Encode() }
	for _, row := range []struct {
		name, query string
		edit        func(*http.Request)
		want        [3]int // for busybox, teama, teamb
	}{
		{"no scope", "", login("ann", "ann's password"), [3]int{401, 401, 401}},
		{"anonymous requests all", query(busybox, a, b), func(*http.Request) {}, [3]int{200, 401, 401}},
		{"ann requests all", query(busybox, a, b), login("ann", "ann's password"), [3]int{200, 200, 401}},
		{"bob requests one", query(b), login("bob", "bob's password"), [3]int{401, 401, 200}},
		{"several in one parameter", query(busybox + " " + a), login("ann", "ann's password"), [3]int{200, 200, 401}},
		{"not a repository", query("registry:catalog:*", "repository:teama/app", "x"), login("ann", "ann's password"), [3]int{401, 401, 401}},
	} {
		t.Run(row.name, func(t *testing.T) {
			token := getToken(t, h, row.query, row.edit)
			var got [3]int
			for i, repo := range []string{"library/busybox", "teama/app", "teamb/app"} {
				got[i] = ask(t, "HEAD", manifestURL(h, repo, "v1"), bearer(token.Token)).StatusCode
			}
			if got != row.want {
				t.Errorf("got %v, want %v", got, row.want)
			}
			wantStatus(t, ask(t, "GET", h.URL()+"/v2/", bearer(token.Token)), 200)
		})
	}
}

func TestTokenRefused(t *testing.T) {
	h := startTeams(t, registrytest.Policy{Auth: registrytest.AuthBearer})
	for _, row := range []struct{ user, password string }{{"ann", "x"}, {"eve", ""}, {"", ""}} {
		r := ask(t, "GET", h.URL()+"/token", login(row.user, row.password))
		wantStatus(t, r, 401)
		if !strings.Contains(string(r.body), "incorrect username or password") || errorCode(r.body) != "UNAUTHORIZED" {
			t.Errorf("body %s", r.body)
		}
	}
	if n := h.Counts().BadLogins; n != 3 {
		t.Errorf("%d bad logins, want 3", n)
	}
	wantStatus(t, ask(t, "GET", h.URL()+"/token"), 200)
	h.SetPolicy(func(p *registrytest.Policy) { p.RefuseAnonymous = true })
	wantStatus(t, ask(t, "GET", h.URL()+"/token"), 401)
	pull(t, h.Ref("library/busybox", "v1"), remote.WithAuth(&authn.Basic{Username: "ann", Password: "ann's password"}))
}

func TestTokenUses(t *testing.T) {
	h := startTeams(t, registrytest.Policy{Auth: registrytest.AuthBearer, TokenUses: 2})
	token := getToken(t, h, "scope=repository:library/busybox:pull").Token
	for i, want := range []int{200, 200, 401, 401} {
		if r := ask(t, "HEAD", manifestURL(h, "library/busybox", "v1"), bearer(token)); r.StatusCode != want {
			t.Errorf("request %d: %d, want %d", i+1, r.StatusCode, want)
		}
	}
	h.Reset()
	pull(t, h.Ref("library/busybox", "v1"))
	if n := h.Counts().Tokens; n < 2 {
		t.Errorf("%d tokens for a pull of more than two requests", n)
	}
}

func TestTokenTTL(t *testing.T) {
	h := startTeams(t, registrytest.Policy{Auth: registrytest.AuthBearer})
	if got := getToken(t, h, "").ExpiresIn; got != 300 {
		t.Errorf("expires_in %d, want 300", got)
	}
	h.SetPolicy(func(p *registrytest.Policy) { p.TokenTTL = time.Nanosecond })
	a := getToken(t, h, "scope=repository:library/busybox:pull")
	wantStatus(t, ask(t, "HEAD", manifestURL(h, "library/busybox", "v1"), bearer(a.Token)), 401)
	if a.ExpiresIn != 0 {
		t.Errorf("expires_in %d, want 0", a.ExpiresIn)
	}
}

func TestRefreshTokens(t *testing.T) {
	h := startTeams(t, registrytest.Policy{Auth: registrytest.AuthBearer})
	post := func(form url.Values) reply {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), "POST", h.URL()+"/token", strings.NewReader(form.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		return exchange(t, http.DefaultTransport, req)
	}
	bought := getToken(t, h, "offline_token=true", login("ann", "ann's password")).RefreshToken
	for _, row := range []struct {
		name string
		form url.Values
		want int
	}{
		{"refresh token of a login", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {bought}}, 200},
		{"refresh token of the registry", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {h.IdentityToken("ann")}}, 200},
		{"unknown refresh token", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {"x"}}, 401},
		{"access token", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {h.Token("ann")}}, 401},
		{"password", url.Values{"grant_type": {"password"}, "username": {"ann"}, "password": {"ann's password"}, "access_type": {"offline"}}, 200},
		{"wrong password", url.Values{"grant_type": {"password"}, "username": {"ann"}, "password": {"x"}}, 401},
		{"unknown grant", url.Values{"grant_type": {"device"}}, 400},
	} {
		t.Run(row.name, func(t *testing.T) {
			row.form.Set("scope", "repository:teama/app:pull")
			r := post(row.form)
			wantStatus(t, r, row.want)
			if row.want != 200 {
				return
			}
			var a tokenAnswer
			if err := json.Unmarshal(r.body, &a); err != nil {
				t.Fatal(err)
			}
			wantStatus(t, ask(t, "HEAD", manifestURL(h, "teama/app", "v1"), bearer(a.AccessToken)), 200)
			if offline := row.form.Get("access_type") == "offline"; offline != (a.RefreshToken != "") {
				t.Errorf("refresh token %q with access_type %q", a.RefreshToken, row.form.Get("access_type"))
			}
		})
	}
	wantStatus(t, ask(t, "HEAD", manifestURL(h, "teama/app", "v1"), bearer(bought)), 401)
	pull(t, h.Ref("teama/app", "v1"), remote.WithAuth(authn.FromConfig(authn.AuthConfig{IdentityToken: h.IdentityToken("ann")})))
	pull(t, h.Ref("teama/app", "v1"), remote.WithAuth(authn.FromConfig(authn.AuthConfig{RegistryToken: h.Token("ann", "repository:teama/app:pull")})))

	h.SetPolicy(func(p *registrytest.Policy) { p.NoOAuth = true })
	wantStatus(t, post(url.Values{"grant_type": {"password"}}), 404)
	h.SetPolicy(func(p *registrytest.Policy) { p.NoOAuth = false })
	h.Revoke()
	wantStatus(t, post(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {bought}}), 401)
}

func TestHideMissing(t *testing.T) {
	h := startTeams(t, registrytest.Policy{Auth: registrytest.AuthBearer})
	get := func() int {
		token := getToken(t, h, "scope=repository:library/nowhere:pull").Token
		return ask(t, "GET", manifestURL(h, "library/nowhere", "v1"), bearer(token)).StatusCode
	}
	if got := get(); got != 404 {
		t.Errorf("missing repository: %d, want 404", got)
	}
	h.SetPolicy(func(p *registrytest.Policy) { p.HideMissing = true })
	if got := get(); got != 401 {
		t.Errorf("hidden missing repository: %d, want 401", got)
	}
}

func TestLogHoldsNoSecrets(t *testing.T) {
	h := startTeams(t, registrytest.Policy{Auth: registrytest.AuthBearer})
	token := getToken(t, h, "scope=repository:teama/app:pull", login("ann", "ann's password")).Token
	ask(t, "GET", manifestURL(h, "teama/app", "v1"), bearer(token))
	ask(t, "GET", h.URL()+"/v2/", header("Authorization", "s3cret"))
	var log strings.Builder
	if err := h.WriteLog(&log); err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(h.Log())
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{token, "s3cret", "password", "YW5u"} {
		if strings.Contains(log.String()+string(raw), secret) {
			t.Errorf("the log contains %q", secret)
		}
	}
	var auth []string
	for _, e := range h.Log() {
		auth = append(auth, e.Auth)
	}
	if diff := cmp.Diff([]string{"Basic", "Bearer", "other"}, auth); diff != "" {
		t.Error(diff)
	}
}
