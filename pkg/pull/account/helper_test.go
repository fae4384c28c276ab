package account

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestHelperOrder(t *testing.T) {
	answer := func(user string) string { return `{"Username":"` + user + `","Secret":"pw-` + user + `"}` }
	helpers := map[string]map[string]string{
		"docker-credential-store": {"quay.io": answer("store"), "https://index.docker.io/v1/": answer("registrystore")},
		"docker-credential-rule":  {"quay.io": answer("rule"), "quay.io/team": answer("team"), "docker.io": answer("registryrule")},
		"docker-credential-none":  {"quay.io": `{"Username":"","Secret":""}`},
		"docker-credential-token": {"quay.io": `{"Username":"<token>","Secret":"T"}`},
	}
	file := func(head string) string {
		return `{` + head + `,"auths":{"quay.io":{"auth":"` + encode("file") + `"},"https://index.docker.io/v1/":{}}}`
	}
	tests := []struct {
		name, file, repo, want string
	}{
		{"store before auths", file(`"credsStore":"store"`), "quay.io/a", "store file"},
		{"rule before store", file(`"credsStore":"store","credHelpers":{"quay.io":"rule"}`), "quay.io/a", "rule file"},
		{"rule for another registry", file(`"credsStore":"store","credHelpers":{"ghcr.io":"rule"}`), "quay.io/a", "store file"},
		{"empty rule leaves it to the file", file(`"credsStore":"store","credHelpers":{"quay.io":""}`), "quay.io/a", "file"},
		{"narrow rule", file(`"credHelpers":{"quay.io":"rule","quay.io/team":"rule"}`), "quay.io/team/app", "team file"},
		{"narrow rule, account of the registry", file(`"credHelpers":{"quay.io/other":"rule"}`), "quay.io/other/app", "rule file"},
		{"not found", file(`"credsStore":"rule"`), "ghcr.io/a", ""},
		{"not found, file has it", file(`"credsStore":"none"`), "quay.io/a", "file"},
		{"token", file(`"credsStore":"token"`), "quay.io/a", "token file"},
		{"Docker Hub in the store", file(`"credsStore":"store"`), "docker.io/a/b", "registrystore"},
		{"Docker Hub rule", file(`"credHelpers":{"docker.io":"rule"}`), "docker.io/a/b", "registryrule"},
		{"Docker Hub rule by its URL", file(`"credHelpers":{"https://index.docker.io/v1/":"store"}`), "docker.io/a/b", "registrystore"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := withFile(dockerConfig, test.file)
			w.helpers = helpers
			if got := only(users(t, load(t, w, Options{}), test.repo)); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestHelperFails(t *testing.T) {
	w := withFile(dockerConfig, `{"credHelpers":{"gone.example":"gone","bad.example":"bad","odd.example":"odd","../../evil":"x","path.example":"../evil","space.example":"a b"}}`)
	w.helpers = map[string]map[string]string{
		"docker-credential-bad": {"bad.example": "!geheim broke"},
		"docker-credential-odd": {"odd.example": "geheim"},
	}
	s := load(t, w, Options{Logins: []Login{login("bad.example/mine", "u")}})
	tests := map[string]string{
		"gone.example/a":  `ask docker-credential-gone for gone.example (~/.docker/config.json): exec: "docker-credential-gone": executable file not found in $PATH`,
		"bad.example/a":   `ask docker-credential-bad for bad.example (~/.docker/config.json): it could not be run`,
		"odd.example/a":   `ask docker-credential-odd for odd.example (~/.docker/config.json): its answer does not follow the credential helper protocol`,
		"path.example/a":  `ask docker-credential-../evil for path.example (~/.docker/config.json): not the name of a program`,
		"space.example/a": `ask docker-credential-a b for space.example (~/.docker/config.json): not the name of a program`,
	}
	for repo, want := range tests {
		_, err := s.For(t.Context(), repo, nil)
		failed, ok := errors.AsType[*HelperError](err)
		if !ok || failed.Error() != want {
			t.Errorf("%s:\ngot  %v\nwant %s", repo, err, want)
		}
	}
	if _, err := s.For(t.Context(), "gone.example/a", nil); !errors.Is(err, exec.ErrNotFound) {
		t.Error("a missing program is not an exec.ErrNotFound")
	}
	if got := only(users(t, s, "bad.example/mine/app")); got != "u" {
		t.Errorf("got %q, want the better account", got)
	}
}

func TestHelperRunsOnce(t *testing.T) {
	w := withFile(dockerConfig, `{"credsStore":"store"}`)
	w.helpers = map[string]map[string]string{"docker-credential-store": {"quay.io": `{"Username":"u","Secret":"pw-u"}`}}
	s := load(t, w, Options{})
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			if _, err := s.For(t.Context(), "quay.io/a/b", nil); err != nil {
				t.Error(err)
			}
			s.Explain(t.Context(), "quay.io/c/d", nil)
		})
	}
	wg.Wait()
	want := []string{"docker-credential-store quay.io"}
	if diff := cmp.Diff(want, w.asked); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	s.Forget()
	if got := only(users(t, s, "quay.io/a/b")); got != "u" || len(w.asked) != 2 {
		t.Errorf("after Forget: got %q, asked %q", got, w.asked)
	}
}

// script installs a real helper in a PATH without other programs.
func script(t *testing.T, name, body string) (dir string) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("the helper is a shell script")
	}
	dir = t.TempDir()
	text := "#!/bin/sh\n" + body
	if err := os.WriteFile(filepath.Join(dir, "docker-credential-"+name), []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
	return dir
}

// realStore loads a real config file in a real home directory.
func realStore(t *testing.T, config string, helperLog *bytes.Buffer) *Store {
	t.Helper()
	home := t.TempDir()
	if err := os.Mkdir(filepath.Join(home, ".docker"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(home, ".docker", "config.json"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"DOCKER_AUTH_CONFIG", "DOCKER_CONFIG", "REGISTRY_AUTH_FILE", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME"} {
		t.Setenv(name, "")
	}
	t.Setenv("HOME", home)
	env := System(helperLog)
	env.UID = -1
	s, err := Load(Options{Environment: env})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestRealHelper(t *testing.T) {
	dir := script(t, "tiny", `
[ "$1" = get ] || exit 9
read server
echo "$server" >>"$(dirname "$0")/asked"
echo "hello from the helper" >&2
case "$server" in
https://index.docker.io/v1/) echo '{"ServerURL":"x","Username":"registry","Secret":"pw-registry"}' ;;
token.example) echo '{"ServerURL":"x","Username":"<token>","Secret":"tt"}' ;;
fail.example) echo 'geheim'; exit 3 ;;
*) echo 'credentials not found in native keychain'; exit 1 ;;
esac
`)
	var log bytes.Buffer
	s := realStore(t, `{"credsStore":"tiny"}`, &log)
	if got := users(t, s, "docker.io/calico/cni"); !cmp.Equal(got, []string{"registry ~/.docker/config.json, helper tiny"}) {
		t.Errorf("registry: got %q", got)
	}
	if got := only(users(t, s, "token.example/a")); got != "token" {
		t.Errorf("token: got %q", got)
	}
	if got := users(t, s, "none.example/a"); got != nil {
		t.Errorf("none: got %q", got)
	}
	_, err := s.For(t.Context(), "fail.example/a", nil)
	want := "find an account for fail.example/a: ask docker-credential-tiny for fail.example (~/.docker/config.json): exit status 3"
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	if !strings.Contains(log.String(), "hello from the helper") {
		t.Errorf("the helper's own words were lost: %q", log.String())
	}
	asked, err := os.ReadFile(filepath.Join(dir, "asked"))
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Fields(string(asked)); !cmp.Equal(got, []string{dockerHubLogin, "token.example", "none.example", "fail.example"}) {
		t.Errorf("asked %q", got)
	}
}

func TestRealHelperAnswerTooLong(t *testing.T) {
	script(t, "tiny", "exec cat /dev/zero\n")
	s := realStore(t, `{"credsStore":"tiny"}`, new(bytes.Buffer))
	_, err := s.For(t.Context(), "quay.io/a", nil)
	if !errors.Is(err, errAnswerTooLong) {
		t.Errorf("got %v, want %v", err, errAnswerTooLong)
	}
}

func TestRealHelperNotExecutable(t *testing.T) {
	dir := script(t, "tiny", "exit 0\n")
	s := realStore(t, `{"credsStore":"tiny"}`, new(bytes.Buffer))
	// A program for another kind of machine.
	if err := os.WriteFile(filepath.Join(dir, "docker-credential-tiny"), []byte("\x7fELF no"), 0o755); err != nil {
		t.Fatal(err)
	}
	_, err := s.For(t.Context(), "quay.io/a", nil)
	if _, ok := errors.AsType[*fs.PathError](err); !ok {
		t.Errorf("got %v, want a *fs.PathError", err)
	}
}

func TestNoHelpersInTheEnvironment(t *testing.T) {
	env := withFile(dockerConfig, `{"credsStore":"tiny"}`).environment()
	env.Helper = nil
	s, err := Load(Options{Environment: env})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.For(t.Context(), "quay.io/a", nil); !errors.Is(err, exec.ErrNotFound) {
		t.Errorf("got %v, want %v", err, exec.ErrNotFound)
	}
}

func TestRealHelperIsMissing(t *testing.T) {
	s := realStore(t, `{"credHelpers":{"quay.io":"surely-not-there"}}`, new(bytes.Buffer))
	if _, err := s.For(t.Context(), "quay.io/a", nil); !errors.Is(err, exec.ErrNotFound) {
		t.Errorf("got %v, want %v", err, exec.ErrNotFound)
	}
	if got := users(t, s, "ghcr.io/a"); got != nil {
		t.Errorf("another registry: got %q", got)
	}
}

// A helper that blocks ends with the context, and the next call runs it again.
func TestRealHelperEndsWithContext(t *testing.T) {
	dir := script(t, "tiny", `
if [ -e "$(dirname "$0")/second" ]; then echo '{"Username":"u","Secret":"pw-u"}'; exit; fi
: >"$(dirname "$0")/second"
echo started >&2
exec sleep 600
`)
	s := realStore(t, `{"credsStore":"tiny"}`, new(bytes.Buffer))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	env := s.helpers.env
	env.Helper = System(cancelOnWrite{cancel}).Helper
	if _, err := s.For(ctx, "quay.io/a", nil); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v, want %v", err, context.Canceled)
	}
	if _, err := os.Stat(filepath.Join(dir, "second")); err != nil {
		t.Fatal(err)
	}
	if got := only(users(t, s, "quay.io/a")); got != "u" {
		t.Errorf("the second time: got %q", got)
	}
}

type cancelOnWrite struct{ cancel context.CancelFunc }

func (c cancelOnWrite) Write(p []byte) (int, error) {
	c.cancel()
	return len(p), nil
}
