package account

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"stowage/internal/redact"
)

func TestSecretKeyMatches(t *testing.T) {
	tests := []struct {
		name, key string
		yes, no   []string
	}{
		{"registry", "quay.io", []string{"quay.io/a/b"}, []string{"quay.io:443/a", "x.quay.io/a", "quay.com/a"}},
		{"scheme", "https://quay.io", []string{"quay.io/a"}, nil},
		{"v1", "https://quay.io/v1/", []string{"quay.io/a"}, nil},
		{"v1 without slash", "https://quay.io/v1", []string{"quay.io/a"}, nil},
		{"namespace v1", "quay.io/v1", []string{"quay.io/v1/a"}, []string{"quay.io/a"}},
		{"v2 without scheme", "quay.io/v2/", []string{"quay.io/a"}, nil},
		{"path below v2", "quay.io/v2/team", []string{"quay.io/team/a"}, []string{"quay.io/other"}},
		{"glob", "*.example.com", []string{"reg.example.com/a"}, []string{"example.com/a", "a.b.example.com/a", "reg.example.org/a", "reg.example.com:1/a"}},
		{"glob inside", "reg-*.example.*", []string{"reg-eu.example.org/a"}, []string{"regeu.example.org/a"}},
		{"glob for each label", "*.*.example.com", []string{"a.b.example.com/x"}, []string{"b.example.com/x"}},
		{"glob and port", "*.example.com:5000", []string{"r.example.com:5000/a"}, []string{"r.example.com/a", "r.example.com:5001/a"}},
		{"no glob in ports", "example.com:*", nil, []string{"example.com:5000/a", "example.com/a"}},
		{"no glob in paths", "example.com/*", nil, []string{"example.com/a"}},
		{"bad glob", "[.example.com", nil, []string{"r.example.com/a", "[/a"}},
		{"path is a prefix", "quay.io/team", []string{"quay.io/team/a", "quay.io/teamb/a", "quay.io/team"}, []string{"quay.io/tea", "quay.io"}},
		{"path with slash", "quay.io/team/", []string{"quay.io/team/a"}, []string{"quay.io/teamb/a"}},
		{"IPv6", "[::1]:5000", []string{"[::1]:5000/a"}, []string{"[::2]:5000/a"}},
		{"bare IPv6", "[::1]", []string{"[::1]/a"}, []string{":/a", "1/a"}},
		{"docker.io", "docker.io", []string{"docker.io/calico/cni", "index.docker.io/calico/cni"}, []string{"mirror.example/calico/cni"}},
		{"Docker Hub as docker login writes it", "https://index.docker.io/v1/", []string{"docker.io/calico/cni"}, []string{"quay.io/a"}},
		{"Docker Hub API host", "https://registry-1.docker.io/v2/", []string{"docker.io/calico/cni"}, nil},
		{"Docker Hub namespace", "docker.io/calico", []string{"docker.io/calico/cni"}, []string{"docker.io/library/busybox"}},
		{"any two labels", "*.io", []string{"quay.io/a", "docker.io/a"}, []string{"a.quay.io/a"}},
		{"empty", "", nil, []string{"", "/a", "quay.io/a"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			key := kubeletScope(test.key)
			for _, repo := range test.yes {
				if !key.globs(repository(repo)) {
					t.Errorf("%q does not match %q", test.key, repo)
				}
			}
			for _, repo := range test.no {
				if key.globs(repository(repo)) {
					t.Errorf("%q matches %q", test.key, repo)
				}
			}
		})
	}
}

func TestSecretsInOrder(t *testing.T) {
	named := func(s Secret) Secret { s.Named = true; return s }
	tests := []struct {
		name    string
		secrets []Secret
		apply   []string
		repo    string
		want    string
	}{
		{"none", nil, nil, "quay.io/a", ""},
		{"keyed docker.io", []Secret{pullSecret("d", "s", "docker.io", "u")}, []string{"d/s"}, "docker.io/a/b", "u"},
		{"all matches, narrow first", []Secret{pullSecret("d", "s", "quay.io", "host", "quay.io/team", "team", "*.io", "glob", "quay.io/team/app", "app")},
			[]string{"d/s"}, "quay.io/team/app", "app team host glob"},
		{"narrow key of a later secret", []Secret{pullSecret("d", "one", "quay.io", "host"), pullSecret("d", "two", "quay.io/team", "team")},
			[]string{"d/one", "d/two"}, "quay.io/team/app", "team host"},
		{"equal keys in the caller's order", []Secret{pullSecret("d", "one", "quay.io", "one"), pullSecret("d", "two", "quay.io", "two")},
			[]string{"d/two", "d/one"}, "quay.io/team/app", "two one"},
		{"rotation keeps both", []Secret{pullSecret("d", "s", "quay.io", "new"), pullSecret("d", "s", "https://quay.io", "old")},
			[]string{"d/s"}, "quay.io/a", "new old"},
		{"nothing leaks from an earlier secret", []Secret{pullSecret("d", "one", "ghcr.io", "gh"), pullSecret("d", "two", "quay.io", "q")},
			[]string{"d/one", "d/two"}, "quay.io/a", "q"},
		{"named before unnamed", []Secret{pullSecret("d", "free", "quay.io/team", "free"), pullSecret("d", "own", "quay.io", "own")},
			[]string{"d/own"}, "quay.io/team/app", "own free"},
		{"others' secrets are not offered", []Secret{named(pullSecret("d", "theirs", "quay.io", "theirs")), named(pullSecret("d", "own", "quay.io", "own"))},
			[]string{"d/own"}, "quay.io/a", "own"},
		{"another namespace is another secret", []Secret{named(pullSecret("a", "s", "quay.io", "a")), named(pullSecret("b", "s", "quay.io", "b"))},
			[]string{"b/s"}, "quay.io/a", "b"},
		{"no namespace is default", []Secret{named(pullSecret("", "s", "quay.io", "u"))}, []string{"default/s"}, "quay.io/a", "u"},
		{"no namespace in the reference", []Secret{named(pullSecret("default", "s", "quay.io", "u"))}, []string{"/s"}, "quay.io/a", "u"},
		{"only a name", []Secret{named(pullSecret("", "s", "quay.io", "u"))}, []string{"s"}, "quay.io/a", "u"},
		{"named twice", []Secret{pullSecret("d", "s", "quay.io", "u")}, []string{"d/s", "d/s"}, "quay.io/a", "u"},
		{"not in the manifests", []Secret{named(pullSecret("d", "s", "quay.io", "u"))}, []string{"d/other"}, "quay.io/a", ""},
		{"names of Docker Hub", []Secret{pullSecret("d", "s", "https://registry-1.docker.io/v2/", "api", "https://index.docker.io/v1/", "login", "docker.io", "short")},
			[]string{"d/s"}, "docker.io/a/b", "short login api"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := load(t, &world{}, Options{Secrets: test.secrets})
			if got := only(users(t, s, test.repo, test.apply...)); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

// A field that an entry lacks must not come from the entry or secret before it.
func TestEntriesDoNotMix(t *testing.T) {
	secret := func(name, payload string) Secret {
		return Secret{Namespace: "d", Name: name, Type: DockerConfigJSON, Payload: redact.New(payload)}
	}
	s := load(t, &world{}, Options{Secrets: []Secret{
		secret("one", `{"auths":{"a.example":{"auth":"`+encode("a")+`","identitytoken":"ida"}, "b.example":{"registrytoken":"rb"}}}`),
		secret("two", `{"auths":{"c.example":{"username":"c","password":"pw-c"}, "a.example":{"password":"alone"}}}`),
	}})
	ids := []string{"d/one", "d/two"}
	want := map[string][]string{
		"a.example/x": {"identity token:a:pw-a:ida:", "password::alone::"},
		"b.example/x": {"registry token::::rb"},
		"c.example/x": {"password:c:pw-c::"},
	}
	got := map[string][]string{}
	for repo := range want {
		accounts, err := s.For(t.Context(), repo, ids)
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range accounts {
			c, _ := a.Auth.Authorization()
			got[repo] = append(got[repo], strings.Join([]string{a.Auth.String(), c.Username, c.Password, c.IdentityToken, c.RegistryToken}, ":"))
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestSecretTypes(t *testing.T) {
	s := load(t, &world{}, Options{Secrets: []Secret{
		{Namespace: "d", Name: "flat", Type: DockerCfg, Payload: redact.New(flat("quay.io", "flat"))},
		{Namespace: "d", Name: "flat-as-new", Type: DockerConfigJSON, Payload: redact.New(flat("quay.io", "wrong"))},
	}})
	if got := only(users(t, s, "quay.io/a", "d/flat", "d/flat-as-new")); got != "flat" {
		t.Errorf("got %q", got)
	}
}

// Manifests are not trusted: the helpers that they name are never run.
func TestSecretsRunNoHelpers(t *testing.T) {
	w := &world{helpers: map[string]map[string]string{"docker-credential-evil": {"quay.io": `{"Username":"u","Secret":"pw-u"}`}}}
	s := load(t, w, Options{Secrets: []Secret{{
		Name: "s", Type: DockerConfigJSON,
		Payload: redact.New(`{"credsStore":"evil","credHelpers":{"quay.io":"evil"},"auths":{}}`),
	}}})
	if got := users(t, s, "quay.io/a", "s"); got != nil || w.asked != nil {
		t.Errorf("got %q, asked %q", got, w.asked)
	}
}

func TestDamagedSecret(t *testing.T) {
	broken := Secret{Namespace: "d", Name: "s", Type: DockerConfigJSON, Payload: redact.New("{\"auths\":\n{\"quay.io\":}}")}
	const text = "read secret d/s: line 2, column 12: not valid JSON"

	t.Run("a pod names it", func(t *testing.T) {
		s := load(t, &world{}, Options{Secrets: []Secret{broken}})
		_, err := s.For(t.Context(), "quay.io/a", []string{"d/s"})
		if file, ok := errors.AsType[*FileError](err); !ok || file.Error() != text {
			t.Errorf("got %v, want %s", err, text)
		}
	})
	t.Run("no pod names it", func(t *testing.T) {
		s := load(t, &world{}, Options{Secrets: []Secret{broken}})
		if got := users(t, s, "quay.io/a"); got != nil {
			t.Errorf("got %q", got)
		}
	})
	t.Run("with a better account", func(t *testing.T) {
		s := load(t, &world{}, Options{Secrets: []Secret{broken}, Logins: []Login{login("quay.io", "u")}})
		if got := only(users(t, s, "quay.io/a", "d/s")); got != "u" {
			t.Errorf("got %q", got)
		}
	})
	t.Run("with a worse account", func(t *testing.T) {
		s := load(t, withFile(dockerConfig, auths("quay.io", "u")), Options{Secrets: []Secret{broken}})
		if _, err := s.For(t.Context(), "quay.io/a", []string{"d/s"}); err == nil {
			t.Error("the damage was ignored")
		}
	})
	t.Run("a placeholder for another registry", func(t *testing.T) {
		s := load(t, &world{}, Options{Secrets: []Secret{{
			Namespace: "d", Name: "s", Type: DockerConfigJSON,
			Payload: redact.New(`{"auths":{"<REGISTRY>":{"auth":"<BASE64>"},"ghcr.io":{"auth":"<BASE64>"}}}`),
		}}})
		if got := users(t, s, "quay.io/a", "d/s"); got != nil {
			t.Errorf("got %q", got)
		}
		if _, err := s.For(t.Context(), "ghcr.io/a", []string{"d/s"}); err == nil {
			t.Error("the placeholder for ghcr.io was ignored")
		}
	})
	t.Run("not a secret of accounts", func(t *testing.T) {
		s := load(t, &world{}, Options{Secrets: []Secret{{Namespace: "d", Name: "s", Type: "Opaque", Payload: redact.New("{}")}}})
		_, err := s.For(t.Context(), "quay.io/a", []string{"d/s"})
		if err == nil || !strings.HasSuffix(err.Error(), "read secret d/s: not a secret of registry accounts: Opaque") {
			t.Errorf("got %v", err)
		}
	})
}
