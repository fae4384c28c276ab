package account

import (
	"context"
	"errors"
	"io/fs"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"stowage/internal/redact"
)

// everywhere has a different account for quay.io in every source.
func everywhere() (*world, Options) {
	w := &world{
		vars: map[string]string{
			"DOCKER_AUTH_CONFIG": auths("quay.io", "variable"),
			"REGISTRY_AUTH_FILE": "/etc/registry-auth.json",
			"XDG_RUNTIME_DIR":    "/run/user/1000",
		},
		files: map[string]string{
			"flag.json":                                auths("quay.io", "authfile"),
			"/etc/registry-auth.json":                  auths("quay.io", "registryfile"),
			dockerConfig:                               auths("quay.io", "docker"),
			"/run/user/1000/containers/auth.json":      auths("quay.io", "runtime"),
			"/run/containers/1000/auth.json":           auths("quay.io", "run"),
			"/home/u/.config/containers/auth.json":     auths("quay.io", "config"),
			"/home/u/.dockercfg":                       flat("quay.io", "legacy"),
			"/elsewhere/config.json":                   auths("quay.io", "elsewhere"),
			"/home/u/xdg/containers/auth.json":         auths("quay.io", "xdg"),
			"/run/containers/1001/auth.json":           auths("quay.io", "stranger"),
			"/home/u/.docker/config.json.bak":          auths("quay.io", "backup"),
			"/home/u/.config/containers/auth.json.old": auths("quay.io", "old"),
		},
	}
	return w, Options{
		Logins:   []Login{login("quay.io", "creds")},
		AuthFile: "flag.json",
		Secrets: []Secret{
			pullSecret("prod", "unnamed", "quay.io", "unnamed"),
			pullSecret("prod", "pod", "quay.io", "pod"),
		},
		Nodes: []Secret{pullSecret("k3s", "registries.yaml", "quay.io", "k3s")},
	}
}

func TestOrderOfSources(t *testing.T) {
	w, opts := everywhere()
	want := []string{
		"creds --creds",
		"authfile --authfile flag.json",
		"pod secret prod/pod",
		"k3s secret k3s/registries.yaml",
		"variable DOCKER_AUTH_CONFIG",
		"registryfile REGISTRY_AUTH_FILE /etc/registry-auth.json",
		"docker ~/.docker/config.json",
		"runtime /run/user/1000/containers/auth.json",
		"run /run/containers/1000/auth.json",
		"config ~/.config/containers/auth.json",
		"legacy ~/.dockercfg",
		"unnamed secret prod/unnamed",
	}
	got := users(t, load(t, w, opts), "quay.io/team/app", "prod/pod")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
	// Without the sources before it, each source is the first.
	for len(want) > 1 {
		switch {
		case len(opts.Logins) > 0:
			opts.Logins = nil
		case opts.AuthFile != "":
			opts.AuthFile = ""
		case len(opts.Secrets) > 1:
			opts.Secrets = opts.Secrets[:1]
		case len(opts.Nodes) > 0:
			opts.Nodes = nil
		case w.vars["DOCKER_AUTH_CONFIG"] != "":
			delete(w.vars, "DOCKER_AUTH_CONFIG")
		case w.vars["REGISTRY_AUTH_FILE"] != "":
			delete(w.vars, "REGISTRY_AUTH_FILE")
		default:
			_, path, _ := strings.Cut(want[0], " ")
			delete(w.files, strings.Replace(path, "~", "/home/u", 1))
		}
		want = want[1:]
		got := users(t, load(t, w, opts), "quay.io/team/app", "prod/pod")
		if diff := cmp.Diff(want, got, cmp.Transformer("", func(l []string) string { return strings.Join(l, "\n") })); diff != "" {
			t.Errorf("order (-want +got):\n%s", diff)
		}
	}
}

func TestVariablesSetPaths(t *testing.T) {
	w, _ := everywhere()
	w.vars = map[string]string{"DOCKER_CONFIG": "/elsewhere", "XDG_CONFIG_HOME": "/home/u/xdg"}
	want := []string{
		"elsewhere DOCKER_CONFIG /elsewhere/config.json",
		"run /run/containers/1000/auth.json",
		"xdg ~/xdg/containers/auth.json",
		"legacy ~/.dockercfg",
	}
	got := users(t, load(t, w, Options{}), "quay.io/team/app")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
}

func TestEmptySource(t *testing.T) {
	for name, empty := range map[string]string{
		"object": "{}", "null": "null", "no bytes": "", "spaces": " \n", "empty auths": `{"auths":{}}`,
		"null auths": `{"auths":null,"credHelpers":null,"credsStore":null}`,
		"left-over":  `{"auths":{"quay.io":{}}}`,
		"user alone": `{"auths":{"quay.io":{"username":"u"}}}`,
		"only email": `{"auths":{"quay.io":{"email":"u@example.com"}}}`,
		"other host": auths("ghcr.io", "u"),
	} {
		t.Run(name, func(t *testing.T) {
			w := &world{
				vars: map[string]string{"DOCKER_AUTH_CONFIG": empty, "REGISTRY_AUTH_FILE": "/r.json"},
				files: map[string]string{
					"/f.json": empty, "/r.json": empty, dockerConfig: empty,
					"/home/u/.config/containers/auth.json": auths("quay.io", "podman"),
				},
			}
			got := users(t, load(t, w, Options{AuthFile: "/f.json"}), "quay.io/a/b")
			if only(got) != "podman" {
				t.Errorf("got %q, want podman's account", got)
			}
		})
	}
}

func TestVariableIsRead(t *testing.T) {
	// docker's own reader needs a config file beside the variable and refuses
	// any field other than auth.
	text := `{"auths":{"quay.io":{"auth":"` + encode("u") + `","email":"e","x":[1]}},"credHelpers":{"gcr.io":"gcloud"},"HttpHeaders":{"A":"b"}}`
	w := &world{
		vars:    map[string]string{"DOCKER_AUTH_CONFIG": text},
		helpers: map[string]map[string]string{"docker-credential-gcloud": {"gcr.io": `{"Username":"g","Secret":"pw-g"}`}},
	}
	s := load(t, w, Options{})
	if got := only(users(t, s, "quay.io/a/b")); got != "u" {
		t.Errorf("quay.io: got %q, want u", got)
	}
	if got := only(users(t, s, "gcr.io/a/b")); got != "g" {
		t.Errorf("gcr.io: got %q, want g", got)
	}
}

func TestOtherHostsGetNoAccount(t *testing.T) {
	w := withFile(dockerConfig, auths("https://index.docker.io/v1/", "registry", "quay.io:8443", "port", "example.com", "parent"))
	w.files["/home/u/.dockercfg"] = flat("docker.io", "hub2")
	s := load(t, w, Options{
		Logins:  []Login{login("docker.io", "flag")},
		Secrets: []Secret{pullSecret("", "s", "docker.io", "secret")},
	})
	for _, repo := range []string{
		"mirror.example.com/docker.io/calico/cni", "mirror.gcr.io/library/busybox", "docker.io.evil.example/a/b",
		"evil-docker.io/a/b", "docker.io:443/a/b", "quay.io/a", "quay.io:443/a", "sub.example.com/a", "localhost/docker.io/a", "docker/io", "",
	} {
		if got := users(t, s, repo, "default/s"); got != nil {
			t.Errorf("For(%q) = %q, want none", repo, got)
		}
	}
	if got := only(users(t, s, "docker.io/calico/cni", "default/s")); got != "flag secret registry hub2" {
		t.Errorf("docker.io: got %q", got)
	}
}

func TestNoHome(t *testing.T) {
	w, _ := everywhere()
	w.vars = nil
	env := w.environment()
	env.Home, env.UID = "", -1
	s, err := Load(Options{Environment: env})
	if err != nil {
		t.Fatal(err)
	}
	if got := users(t, s, "quay.io/a/b"); got != nil {
		t.Errorf("got %q, want none", got)
	}
	// An empty environment is valid too.
	if _, err := Load(Options{Environment: &Environment{}}); err != nil {
		t.Errorf("Load with an empty environment: %v", err)
	}
}

func TestLoadRefuses(t *testing.T) {
	const cut = "{\n \"auths\": {\n  \"quay.io\": x"
	tests := []struct {
		name  string
		world *world
		opts  Options
		want  string // the error; "" is none
	}{
		{"authfile missing", &world{}, Options{AuthFile: "/no.json"}, "read --authfile /no.json: file does not exist"},
		{"authfile damaged", withFile("/f.json", cut), Options{AuthFile: "/f.json"}, "read --authfile /f.json: line 3, column 14: not valid JSON"},
		{"REGISTRY_AUTH_FILE missing", &world{vars: map[string]string{"REGISTRY_AUTH_FILE": "/no.json"}}, Options{}, "read REGISTRY_AUTH_FILE /no.json: file does not exist"},
		{"REGISTRY_AUTH_FILE damaged", &world{vars: map[string]string{"REGISTRY_AUTH_FILE": "/f"}, files: map[string]string{"/f": "]"}}, Options{}, "read REGISTRY_AUTH_FILE /f: line 1, column 1: not valid JSON"},
		{"DOCKER_AUTH_CONFIG damaged", &world{vars: map[string]string{"DOCKER_AUTH_CONFIG": "/a/path"}}, Options{}, "read DOCKER_AUTH_CONFIG: line 1, column 1: not valid JSON"},
		{"docker config damaged", withFile(dockerConfig, `{"auths":[]}`), Options{}, "read ~/.docker/config.json: line 1, column 10: an object is expected here"},
		{"podman file damaged", withFile("/run/containers/1000/auth.json", "{"), Options{}, "read /run/containers/1000/auth.json: line 1, column 1: not valid JSON"},
		{"dockercfg damaged", withFile("/home/u/.dockercfg", "auth = c2VjcmV0"), Options{}, "read ~/.dockercfg: line 1, column 1: not valid JSON"},
		{"DOCKER_CONFIG without file", &world{vars: map[string]string{"DOCKER_CONFIG": "/d"}}, Options{}, ""},
		{"DOCKER_CONFIG unreadable", &world{vars: map[string]string{"DOCKER_CONFIG": "/d"}, errs: map[string]error{"/d/config.json": fs.ErrPermission}}, Options{}, "read DOCKER_CONFIG /d/config.json: permission denied"},
		{"default file unreadable", &world{errs: map[string]error{dockerConfig: fs.ErrPermission}}, Options{}, ""},
		{"authfile unreadable, plain error", &world{plain: errors.New("the disk is gone")}, Options{AuthFile: "/f.json"}, "read --authfile /f.json: the disk is gone"},
		{"default file a directory", &world{errs: map[string]error{dockerConfig: syscall.EISDIR}}, Options{}, ""},
		{"home not a directory", &world{errs: map[string]error{dockerConfig: syscall.ENOTDIR}}, Options{}, ""},
		{"login without password", &world{}, Options{Logins: []Login{{Registry: "quay.io", Username: "u"}}}, "read --creds: no password for quay.io"},
		{"login without user", &world{}, Options{Logins: []Login{{Registry: "quay.io", Password: redact.New("p")}}}, "read --creds: no user name for quay.io"},
		{"login without registry", &world{}, Options{Logins: []Login{{Username: "u", Password: redact.New("p")}}}, "read --creds: no registry given"},
		{"all at once", withFile(dockerConfig, "{"), Options{AuthFile: "/no.json"}, "read --authfile /no.json: file does not exist\nread ~/.docker/config.json: line 1, column 1: not valid JSON"},
		{"damaged secret", &world{}, Options{Secrets: []Secret{{Name: "s", Type: DockerConfigJSON, Payload: redact.New("{")}}}, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			test.opts.Environment = test.world.environment()
			s, err := Load(test.opts)
			got := ""
			if err != nil {
				got = err.Error()
				if file, ok := errors.AsType[*FileError](err); !ok || file.Source == "" {
					t.Errorf("error %T is no *FileError with a source", err)
				}
				if s != nil {
					t.Error("a store beside an error")
				}
			}
			if got != test.want {
				t.Errorf("got  %q\nwant %q", got, test.want)
			}
		})
	}
}

func TestMissingFileError(t *testing.T) {
	w := &world{}
	_, err := Load(Options{Environment: w.environment(), AuthFile: "/no.json"})
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("errors.Is(%v, fs.ErrNotExist) = false", err)
	}
}

func TestFileSize(t *testing.T) {
	base := auths("quay.io", "u")
	for size, ok := range map[int]bool{maxFile - 1: true, maxFile: true, maxFile + 1: false} {
		w := withFile("/f.json", base+strings.Repeat(" ", size-len(base)))
		_, err := Load(Options{Environment: w.environment(), AuthFile: "/f.json"})
		if ok != (err == nil) {
			t.Errorf("%d bytes: %v", size, err)
		}
		if err != nil && err.Error() != "read --authfile /f.json: larger than 4 MiB" {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
}

// A damaged entry fails only the repositories that would use it.
func TestDamagedEntry(t *testing.T) {
	text := `{"auths":{
  "quay.io/bad": {"auth": "###"},
  "quay.io": {"auth": "` + encode("good") + `"},
  "ghcr.io": 7}}`
	s := load(t, withFile(dockerConfig, text), Options{Logins: []Login{login("ghcr.io", "flag")}})
	if got := only(users(t, s, "quay.io/fine/app")); got != "good" {
		t.Errorf("quay.io/fine: got %q", got)
	}
	if got := only(users(t, s, "ghcr.io/a/b")); got != "flag" {
		t.Errorf("ghcr.io: got %q, want the better account", got)
	}
	_, err := s.For(t.Context(), "quay.io/bad/app", nil)
	want := "find an account for quay.io/bad/app: read ~/.docker/config.json: line 2, column 27: " +
		"entry quay.io/bad: auth is not the base64 form of user:password"
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

func TestSameCredentialOnce(t *testing.T) {
	w := withFile(dockerConfig, auths("quay.io", "u", "https://quay.io", "u", "quay.io/team", "v"))
	w.plus(map[string]string{"/home/u/.dockercfg": flat("quay.io", "u")})
	s := load(t, w, Options{Logins: []Login{login("quay.io", "u")}})
	if got := only(users(t, s, "quay.io/team/app")); got != "u v" {
		t.Errorf("got %q, want each credential once", got)
	}
}

func TestContextEnds(t *testing.T) {
	s := load(t, withFile(dockerConfig, auths("quay.io", "u")), Options{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.For(ctx, "quay.io/a", nil); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
}

func TestLaterLoginWins(t *testing.T) {
	s := load(t, &world{}, Options{Logins: []Login{
		login("docker.io", "old"), login("https://index.docker.io/v1/", "new"), login("docker.io/team", "team"),
	}})
	if got := only(users(t, s, "docker.io/team/app")); got != "team new" {
		t.Errorf("got %q, want the narrow one, then the later one", got)
	}
	if got := only(users(t, s, "index.docker.io/calico/cni")); got != "new" {
		t.Errorf("got %q, want new", got)
	}
}
