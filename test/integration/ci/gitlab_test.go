package ci

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"stowage/internal/nodetest"
)

// gitlabLocal is the directory of the runner below the directory of tools.
const gitlabLocal = "gitlab-ci-local-4.64.0/node_modules/.bin/gitlab-ci-local"

// newGitLab returns a site whose checkout has the pipeline, and in which the address of the
// project that the component is from leads to a repository with the component.
func newGitLab(t *testing.T, pipeline string) *site {
	t.Helper()
	onPath(t, "git", "node")
	tool(t, gitlabLocal)
	s := newSite(t, map[string]string{".gitlab-ci.yml": pipeline})
	tools, err := nodetest.Tools()
	if err != nil {
		t.Fatal(err)
	}
	rsync := filepath.Join(tools, "rsync/usr")
	tool(t, "rsync/usr/bin/rsync")
	libs, err := filepath.Glob(filepath.Join(rsync, "lib/*-linux-gnu"))
	if err != nil || len(libs) == 0 {
		t.Fatalf("no library of rsync: %v", err)
	}
	// The runner starts bundle with this environment, too.
	s.env[0] += ":" + filepath.Join(rsync, "bin")
	s.env = append(s.env, "LD_LIBRARY_PATH="+libs[0])

	component := filepath.Join(s.store, "stowage")
	s.write(filepath.Join(component, "templates/bundle.yml"), read(t, filepath.Join(root(t), "templates/bundle.yml")))
	s.git(component, "init", "-q", "-b", "main")
	s.git(component, "add", "-A")
	s.git(component, "commit", "-q", "-m", "component")
	s.git(component, "config", "uploadpack.allowFilter", "true")
	s.git(s.dir, "config", "--global", "url.file://"+component+".insteadOf", "https://gitlab.com:443/stowage/stowage.git")
	s.git(s.dir, "remote", "add", "origin", "https://gitlab.com/shop/shop.git")
	s.git(s.dir, "update-ref", "refs/remotes/origin/main", "HEAD")
	s.git(s.dir, "symbolic-ref", "refs/remotes/origin/HEAD", "refs/remotes/origin/main")
	s.write(filepath.Join(s.dir, ".gitignore"), ".gitlab-ci-local/\n")
	s.write(filepath.Join(s.dir, "deploy/app.yaml"), read(t, "testdata/app.yaml")+"# changed since main\n")
	s.commit()
	return s
}

// gitlab runs the pipeline, and returns its log and exit code.
func (s *site) gitlab(args ...string) (log string, code int) {
	s.t.Helper()
	auth := filepath.Join(s.store, "config.json")
	s.login(auth)
	args = append([]string{"--force-shell-executor", "--no-artifacts-to-source", "--variable", "DOCKER_AUTH_CONFIG=" + read(s.t, auth)}, args...)
	log, code = s.run(s.dir, nil, tool(s.t, gitlabLocal), args...)
	s.t.Cleanup(func() {
		if s.t.Failed() {
			s.t.Logf("gitlab-ci-local %s: exit code %d\n%s", args, code, log)
		}
	})
	return log, code
}

// TestGitLabExample runs the pipeline of the examples twice; the second time the bundle is
// in the cache.
func TestGitLabExample(t *testing.T) {
	s := newGitLab(t, read(t, filepath.Join(root(t), "examples/ci/gitlab.yml")))
	log, code := s.gitlab()
	if code != 0 {
		t.Fatalf("exit code %d", code)
	}
	artifacts := filepath.Join(s.dir, ".gitlab-ci-local/artifacts/bundle")
	digest := s.identity(filepath.Join(artifacts, "images.tar"))
	wantText(t, "the log", log, "images.tar is "+digest)
	wantText(t, "the summary", read(t, filepath.Join(artifacts, "images.tar.md")), "^6 pulls used.$")
	wantText(t, "the lock file", read(t, filepath.Join(artifacts, "images.lock")), "^docker.io/team/app:v1@sha256:")
	if used := s.Used(user); used != 6 {
		t.Errorf("the account has used %d pulls, want 6", used)
	}
	var issues []struct {
		Check    string `json:"check_name"`
		Location struct{ Path string }
	}
	report := read(t, filepath.Join(artifacts, "gl-code-quality-report.json"))
	if err := json.Unmarshal([]byte(report), &issues); err != nil || len(issues) != 1 || issues[0].Check != "pull-policy-always" || issues[0].Location.Path != "deploy/app.yaml" {
		t.Errorf("the Code Quality report: %v\n%s", err, report)
	}

	if log, code = s.gitlab("bundle"); code != 0 {
		t.Errorf("second run: exit code %d", code)
	}
	wantText(t, "the log of the second run", log, "images.tar is up to date: 2 images, .* 0 pulls used")
}

// TestGitLabFailures runs jobs in which an image is not available, or the lock file does not
// cover the manifests.
func TestGitLabFailures(t *testing.T) {
	const include = "include:\n  - component: gitlab.com/stowage/stowage/bundle@main\n    inputs: {manifests: deploy, "
	digest := "@sha256:" + strings.Repeat("1", 64) + "\n"
	const header = "# lock file of bundle scan --pin\n"
	for name, row := range map[string]struct {
		inputs, lock string
		end, want    string // in the log: the exit code of one job is not always that of the pipeline
	}{
		"missing":   {"missing: fail", header + "team/app:v1" + digest + "team/tool:v1" + digest, "^bundle finished in .* FAIL 3 *$", "bundle: error: .*team/app:v1@sha256:1+: "},
		"allowed":   {"missing: allow", header + "team/app:v1" + digest + "team/tool:v1" + digest, "^bundle finished in .* WARN 3 *$", "bundle: error: .*team/app:v1@sha256:1+: "},
		"uncovered": {"missing: allow", header + "team/app:v1" + digest, "^bundle finished in .* FAIL 1 *$", "bundle: error: images.lock does not cover 1 image"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newGitLab(t, include+row.inputs+"}\n")
			s.write(filepath.Join(s.dir, "images.lock"), row.lock)
			log, _ := s.gitlab("bundle")
			wantText(t, "the log", log, row.end, row.want)
		})
	}
}

// TestGitLabJob compares what gitlab-ci-local cannot run with what GitLab documents: the
// retries, the cache and the reports of the job.
func TestGitLabJob(t *testing.T) {
	s := newGitLab(t, read(t, filepath.Join(root(t), "examples/ci/gitlab.yml")))
	out, code := s.gitlab("--preview")
	_, out, _ = strings.Cut(out, "---\n")
	var pipeline struct {
		Bundle struct {
			Retry struct {
				Max   int
				Codes []int `yaml:"exit_codes"`
			}
			Cache []struct {
				Key struct {
					Files  []string
					Prefix string
				}
				Paths []string
			}
			Allow     any `yaml:"allow_failure"`
			Artifacts struct {
				Reports map[string]any
			}
		}
	}
	if err := yaml.Unmarshal([]byte(out), &pipeline); err != nil || code != 0 {
		t.Fatalf("exit code %d, %v:\n%s", code, err, out)
	}
	b := pipeline.Bundle
	if b.Retry.Max != 1 || len(b.Retry.Codes) != 1 || b.Retry.Codes[0] != 4 || b.Allow != false {
		t.Errorf("retry %+v, allow_failure %v", b.Retry, b.Allow)
	}
	if len(b.Cache) != 1 || strings.Join(b.Cache[0].Key.Files, " ") != "images.lock" || b.Cache[0].Key.Prefix != "bundle" || strings.Join(b.Cache[0].Paths, " ") != ".bundle-cache" {
		t.Errorf("cache %+v", b.Cache)
	}
	if len(b.Artifacts.Reports) != 2 {
		t.Errorf("reports %v", b.Artifacts.Reports)
	}
}
