// Package ci runs bundle in the programs of CI systems: the GitHub action in act, the GitLab
// component in gitlab-ci-local, and the shell of the other examples as it is.
package ci

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"stowage/internal/need"
	"stowage/internal/nodetest"
	"stowage/internal/registrytest"
)

// The account that the registry of a site knows, and its limits of pulls.
const (
	user, password = "ann", "s3cret"
	anonymousQuota = 100
	quota          = 200
)

// site is a registry that every program of a test takes for Docker Hub, and the checkout of a
// repository whose manifests need images of it.
type site struct {
	*registrytest.Registry
	t     *testing.T
	dir   string   // the checkout
	home  string   // of the user
	store string   // of the CI system
	env   []string // of the programs
}

// newSite starts a site whose checkout has the given files, and deploy/app.yaml.
func newSite(t *testing.T, files map[string]string) *site {
	t.Helper()
	reg := registrytest.Start(t, registrytest.Options{
		TLS: true, Names: []string{"registry-1.docker.io"},
		Policy: registrytest.Policy{
			Auth: registrytest.AuthBearer, AnonymousQuota: anonymousQuota,
			Accounts: []registrytest.Account{{User: user, Password: password, Quota: quota}},
		},
	})
	for seed, name := range []string{"team/app", "team/tool"} {
		var images []registrytest.Image
		for _, platform := range []string{"linux/amd64", "linux/arm64"} {
			layer := &registrytest.Layer{Seed: uint64(seed), Files: []registrytest.File{{Name: "data", Size: 20_000}}}
			images = append(images, registrytest.Image{Platform: platform, Layers: []*registrytest.Layer{layer}})
		}
		registrytest.Must(reg.AddIndex(name, "v1", registrytest.Index{Images: images}))(t)
	}
	s := &site{Registry: reg, t: t, dir: filepath.Join(t.TempDir(), "shop"), home: t.TempDir(), store: t.TempDir()}
	home := s.home
	ca := filepath.Join(home, "ca.pem")
	s.env = []string{
		"PATH=" + programs(t) + ":" + os.Getenv("PATH"), "HOME=" + home, "SSL_CERT_FILE=" + ca,
		"HTTPS_PROXY=" + reg.Proxy(), "HTTP_PROXY=" + reg.Proxy(), "NO_PROXY=",
		"GOPROXY=off", "GOCACHE=" + goEnv(t, "GOCACHE"), "GOMODCACHE=" + goEnv(t, "GOMODCACHE"),
		"GIT_CONFIG_GLOBAL=" + filepath.Join(home, "gitconfig"), "GIT_CONFIG_NOSYSTEM=1",
	}
	s.write(ca, string(reg.CAPEM()))
	s.write(filepath.Join(home, "gitconfig"), "[user]\nname = Ann\nemail = ann@example.com\n[init]\ndefaultBranch = main\n[protocol \"file\"]\nallow = always\n")
	s.write(filepath.Join(s.dir, "deploy", "app.yaml"), read(t, "testdata/app.yaml"))
	for name, text := range files {
		s.write(filepath.Join(s.dir, name), text)
	}
	s.git(s.dir, "init", "-q")
	s.commit()
	return s
}

// commit commits all files of the checkout.
func (s *site) commit() {
	s.t.Helper()
	s.git(s.dir, "add", "-A")
	s.git(s.dir, "commit", "-q", "-m", "change")
}

func (s *site) git(dir string, args ...string) {
	s.t.Helper()
	if out, code := s.run(dir, nil, "git", args...); code != 0 {
		s.t.Fatalf("git %s: exit code %d\n%s", strings.Join(args, " "), code, out)
	}
}

// run runs a program with the environment of the site, and returns its output and exit code.
func (s *site) run(dir string, env []string, name string, args ...string) (string, int) {
	s.t.Helper()
	cmd := exec.CommandContext(s.t.Context(), name, args...)
	cmd.Dir, cmd.Env = dir, append(s.env[:len(s.env):len(s.env)], env...)
	if !filepath.IsAbs(name) {
		for _, d := range filepath.SplitList(strings.TrimPrefix(s.env[0], "PATH=")) {
			if path, err := exec.LookPath(filepath.Join(d, name)); err == nil {
				cmd.Path, cmd.Err = path, nil
				break
			}
		}
	}
	out, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState == nil {
		s.t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// write writes a file and the directories above it.
func (s *site) write(path, text string) {
	s.t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		s.t.Fatal(err)
	}
}

// login writes the account to a file in the format of docker's config.json.
func (s *site) login(path string) {
	auth := base64.StdEncoding.EncodeToString([]byte(user + ":" + password))
	s.write(path, fmt.Sprintf(`{"auths": {"https://index.docker.io/v1/": {"auth": %q}}}`, auth))
}

// identity returns the identity of a bundle, after checking every byte of it.
func (s *site) identity(path string) string {
	s.t.Helper()
	out, code := s.run(s.dir, nil, "bundle", "verify", path)
	_, identity, found := strings.Cut(strings.TrimSpace(out), ", identity ")
	if code != 0 || !found {
		s.t.Fatalf("bundle verify %s: exit code %d\n%s", path, code, out)
	}
	return identity
}

// read returns a file.
func read(t *testing.T, path string) string {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// root is the repository that these tests belong to.
func root(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// tool returns the path of a program that the Makefile installs, or ends the test.
func tool(t *testing.T, name string) string {
	t.Helper()
	dir, err := nodetest.Tools()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, name)
	_, err = exec.LookPath(path)
	need.Part(t, filepath.Base(name)+`, which "make integration" installs,`, err)
	return path
}

// onPath ends the test if a program is missing on this machine.
func onPath(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		_, err := exec.LookPath(name)
		need.Part(t, name, err)
	}
}

func goEnv(t *testing.T, name string) string {
	t.Helper()
	out, err := exec.Command("go", "env", name).Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(bytes.TrimSpace(out))
}

var built struct {
	once sync.Once
	dir  string
	out  []byte
	err  error
}

// programs returns a directory with bundle. TestMain removes it.
func programs(t *testing.T) string {
	t.Helper()
	built.once.Do(func() {
		if built.dir, built.err = os.MkdirTemp("", "stowage-ci-"); built.err != nil {
			return
		}
		cmd := exec.Command("go", "build", "-trimpath", "-o", built.dir, "./cmd/bundle")
		cmd.Dir, cmd.Env = root(t), append(os.Environ(), "CGO_ENABLED=0")
		built.out, built.err = cmd.CombinedOutput()
	})
	if built.err != nil {
		t.Fatalf("go build: %v\n%s", built.err, built.out)
	}
	return built.dir
}

func TestMain(m *testing.M) {
	code := m.Run()
	if built.dir != "" {
		os.RemoveAll(built.dir) // temporary
	}
	os.Exit(code)
}
