package account

import (
	"encoding/json"
	"io/fs"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestExplain(t *testing.T) {
	w := &world{
		vars: map[string]string{"DOCKER_AUTH_CONFIG": auths("ghcr.io", "gh")},
		files: map[string]string{
			dockerConfig:                           `{"credsStore":"store","auths":{"reg.example/teama":{"auth":"` + encode("a") + `"},"reg.example":{}}}`,
			"/run/containers/1000/auth.json":       auths("reg.example/teamb", "u", "reg.example", "wide"),
			"/home/u/.config/containers/auth.json": `{"auths":{"reg.example":{"auth":"?"}}}`,
		},
		errs:    map[string]error{"/home/u/.dockercfg": fs.ErrPermission},
		helpers: map[string]map[string]string{"docker-credential-store": {}},
	}
	s := load(t, w, Options{Secrets: []Secret{
		pullSecret("prod", "own", "reg.example", "u"),
		{Namespace: "prod", Name: "empty", Type: DockerConfigJSON},
	}})
	want := strings.TrimSpace(`
absent: --creds: not given
absent: --authfile: not set
absent: secret prod/gone: a pod names it, the manifests do not have it
used: secret prod/own (reg.example): password
no match: DOCKER_AUTH_CONFIG: none of its entries (1) is about reg.example
absent: REGISTRY_AUTH_FILE: not set
no match: ~/.docker/config.json, helper store: it has no account for reg.example
no match: ~/.docker/config.json (reg.example): the entry holds no password or token
duplicate: /run/containers/1000/auth.json (reg.example/teamb): the same credential as in secret prod/own
next: /run/containers/1000/auth.json (reg.example): password
broken: ~/.config/containers/auth.json (reg.example): read ~/.config/containers/auth.json: line 1, column 33: entry reg.example: auth is not the base64 form of user:password
absent: ~/.dockercfg: cannot be read: permission denied
no match: secret prod/empty: it has no entries`)
	if diff := cmp.Diff(want, explain(t, s, "reg.example/teamb/app", "prod/own", "prod/gone")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func explain(t *testing.T, s *Store, repo string, secrets ...string) string {
	t.Helper()
	var lines []string
	for _, e := range s.Explain(t.Context(), repo, secrets) {
		lines = append(lines, e.String())
	}
	return strings.Join(lines, "\n")
}

func TestExplainAnonymous(t *testing.T) {
	s := load(t, withFile(dockerConfig, auths("quay.io/other", "u")), Options{})
	got := explain(t, s, "quay.io/team/app")
	for _, want := range []string{
		"no match: ~/.docker/config.json: its entry quay.io/other is about other repositories\n",
		"\nused: anonymous: no source has an account for quay.io",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in:\n%s", want, got)
		}
	}
}

// The finding that stops For is shown, and no later one is shown as used.
func TestExplainStopped(t *testing.T) {
	w := withFile(dockerConfig, `{"credHelpers":{"quay.io":"gone"}}`)
	w.plus(map[string]string{"/home/u/.dockercfg": flat("quay.io", "u")})
	s := load(t, w, Options{})
	got := explain(t, s, "quay.io/a")
	if !strings.Contains(got, "broken: ~/.docker/config.json, helper gone (quay.io): ask docker-credential-gone") ||
		!strings.HasSuffix(got, "unreached: ~/.dockercfg (quay.io): password") {
		t.Errorf("got:\n%s", got)
	}
}

func TestExplanationJSON(t *testing.T) {
	got, err := json.Marshal(Explanation{Source: "~/.dockercfg", Registry: "quay.io", Verdict: Used, Why: "password"})
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"source":"~/.dockercfg","registry":"quay.io","verdict":"used","why":"password"}`
	if string(got) != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
