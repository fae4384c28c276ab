package account

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"stowage/internal/redact"
)

const canary = "canary-9f3c"

// leaks reports whether text contains the canary in any encoding.
func leaks(text string) bool {
	raw := []byte(canary)
	coats := []string{
		canary, hex.EncodeToString(raw), strings.ToUpper(hex.EncodeToString(raw)),
		fmt.Sprintf("% x", raw), fmt.Sprintf("% X", raw), fmt.Sprintf("%# x", raw), fmt.Sprint(raw[:6])[1:12],
		fmt.Sprintf("%#v", raw[:4])[7:20], fmt.Sprintf("%q", raw[:4]), fmt.Sprintf("%o", raw[:4])[1:12], fmt.Sprintf("%b", raw[:3])[1:20],
		base64.StdEncoding.EncodeToString(raw)[:12], base64.StdEncoding.EncodeToString([]byte("u:" + canary))[4:16],
	}
	for _, coat := range coats {
		if strings.Contains(text, coat) {
			return true
		}
	}
	return false
}

// secretive returns everything of this package that holds a value.
func secretive(t *testing.T) map[string]any {
	t.Helper()
	hidden := redact.New(canary)
	given := Login{Registry: "quay.io", Username: "u", Password: hidden}
	sealed := Secret{
		Namespace: "n", Name: "s", Type: DockerConfigJSON,
		Payload: redact.New(`{"auths":{"quay.io":{"auth":"` + base64.StdEncoding.EncodeToString([]byte("u2:"+canary)) + `"}}}`),
	}
	w := withFile(dockerConfig, `{"credsStore":"h","auths":{"quay.io":{"identitytoken":"`+canary+`"},"https://u:`+canary+`@quay.io":{"registrytoken":"`+canary+`"},"quay.io/bad":{"auth":"`+canary+`"}}}`)
	w.helpers = map[string]map[string]string{"docker-credential-h": {"quay.io": `{"Username":"u3","Secret":"` + canary + `"}`}}
	opts := Options{Environment: w.environment(), Logins: []Login{given}, Secrets: []Secret{sealed}}
	s, err := Load(opts)
	if err != nil {
		t.Fatal(err)
	}
	accounts, err := s.For(t.Context(), "quay.io/bad/a", []string{"n/s"})
	if err != nil || len(accounts) != 5 {
		t.Fatalf("got %d accounts, %v; want 5", len(accounts), err)
	}
	things := map[string]any{
		"redact.Value": hidden, "*redact.Value": &hidden, "Login": given, "*Login": &given, "Secret": sealed, "Options": opts,
		"Store": s, "accounts": accounts, "explanations": s.Explain(t.Context(), "quay.io/bad/a", []string{"n/s"}),
		"private hidden": struct{ h redact.Value }{hidden}, "private login": struct{ l []Login }{opts.Logins},
		"private account": struct{ a Account }{accounts[0]}, "private map": struct{ m map[string]Account }{map[string]Account{"k": accounts[1]}},
		"pointer": struct{ a *Account }{&accounts[0]}, "map key": map[Auth]int{accounts[0].Auth: 1}, "any": []any{accounts[0], accounts[0].Auth},
		"error": fmt.Errorf("x: %w", &FileError{Source: accounts[0].Source, Err: fmt.Errorf("%v", accounts[0])}),
	}
	for i, a := range accounts {
		things[fmt.Sprint("Account", i)] = a
		things[fmt.Sprint("*Account", i)] = &a
		things[fmt.Sprint("Auth", i)] = a.Auth
		things[fmt.Sprint("*Auth", i)] = &a.Auth
	}
	return things
}

func TestNothingLeaksThroughFmt(t *testing.T) {
	const verbs = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	for name, thing := range secretive(t) {
		for _, flags := range []string{"", "+", "#", " ", "-80.200"} {
			for _, verb := range verbs {
				format := "%" + flags + string(verb)
				if text := fmt.Sprintf(format, thing); leaks(text) {
					t.Errorf("%s through %s: %.300s", name, format, text)
				}
				if text := fmt.Errorf(format, thing).Error(); leaks(text) {
					t.Errorf("%s through Errorf %s: %.300s", name, format, text)
				}
			}
		}
		if text := fmt.Sprint(thing) + fmt.Sprintln(thing); leaks(text) {
			t.Errorf("%s through Sprint: %.300s", name, text)
		}
	}
}

func TestNothingLeaksThroughMethods(t *testing.T) {
	for name, thing := range secretive(t) {
		if s, ok := thing.(fmt.Stringer); ok && leaks(s.String()) {
			t.Errorf("%s through String: %s", name, s)
		}
		if s, ok := thing.(fmt.GoStringer); ok && leaks(s.GoString()) {
			t.Errorf("%s through GoString: %s", name, s.GoString())
		}
		if s, ok := thing.(slog.LogValuer); ok && leaks(s.LogValue().String()) {
			t.Errorf("%s through LogValue: %s", name, s.LogValue())
		}
	}
}

func TestNothingLeaksThroughEncoders(t *testing.T) {
	for name, thing := range secretive(t) {
		if text, err := json.Marshal(thing); leaks(string(text)) || err != nil && leaks(err.Error()) {
			t.Errorf("%s through JSON: %.300s", name, text)
		}
		if text, err := xml.Marshal(thing); leaks(string(text)) || err != nil && leaks(err.Error()) {
			t.Errorf("%s through XML: %.300s", name, text)
		}
		var log bytes.Buffer
		slog.New(slog.NewTextHandler(&log, nil)).Info("m", "thing", thing)
		slog.New(slog.NewJSONHandler(&log, nil)).Info("m", "thing", thing, slog.Group("g", "thing", thing))
		if leaks(log.String()) {
			t.Errorf("%s through slog: %.300s", name, log.String())
		}
	}
}

// The test itself must detect a leak.
func TestLeakDetection(t *testing.T) {
	naked := struct {
		s string
		b []byte
	}{canary, []byte(canary)}
	for _, verb := range []string{"v", "+v", "#v", "s", "q", "x", "X", "d", "p"} {
		if text := fmt.Sprintf("%"+verb, naked); !leaks(text) {
			t.Errorf("%%%s hides the canary: %s", verb, text)
		}
	}
	if !leaks(base64.StdEncoding.EncodeToString([]byte("u:" + canary))) {
		t.Error("base64 hides the canary")
	}
}

func TestErrorsHoldNoContent(t *testing.T) {
	broken := []string{
		canary, `"` + canary + `"`, `{` + canary, `{"auths":"` + canary + `"}`, `{"auths":{"h":"` + canary + `"}}`,
		`{"auths":{"h":{"auth":"` + canary + `"}}}`, `{"auths":{"h":{"password":["` + canary + `"]}}}`,
		`{"auths":{"h":{"auth":"` + base64.StdEncoding.EncodeToString([]byte(canary)) + `"}}}`,
		`{"credsStore":{"a":"` + canary + `"}}`, `{"credHelpers":{"h":["` + canary + `"]}}`, `{"credHelpers":"` + canary + `"}`,
		`{"auths":{"https://u:` + canary + `@h":{"auth":"?"}}}`, `{"auths":{"h":{"password":"` + canary,
		`{"credsStore":"bad"}`, `{"credsStore":"odd"}`,
	}
	for _, text := range broken {
		w := withFile(dockerConfig, text)
		w.helpers = map[string]map[string]string{
			"docker-credential-bad": {"h": "!" + canary}, "docker-credential-odd": {"h": `{"Secret":` + canary},
		}
		opts := Options{Environment: w.environment()}
		var errs []error
		s, err := Load(opts)
		errs = append(errs, err)
		if err == nil {
			_, err = s.For(t.Context(), "h/a", nil)
			errs = append(errs, err)
		}
		opts = Options{Environment: (&world{}).environment(), Secrets: []Secret{{Name: "s", Type: DockerConfigJSON, Payload: redact.New(text)}}}
		if s, err = Load(opts); err != nil {
			t.Fatal(err)
		}
		_, err = s.For(t.Context(), "h/a", []string{"s"})
		errs = append(errs, err)
		for _, err := range errs {
			for _, format := range []string{"%v", "%+v", "%#v", "%q"} {
				if text := fmt.Sprintf(format, err); leaks(text) {
					t.Errorf("%s: %s", format, text)
				}
			}
			if out, _ := json.Marshal(err); leaks(string(out)) {
				t.Errorf("json: %s", out)
			}
		}
	}
}
