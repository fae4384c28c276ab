package ci

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"stowage/internal/registrytest"
)

// actRun is what act says of a run.
type actRun struct {
	code        int
	log         string            // everything, in JSON
	text        string            // what the steps printed
	annotations []string          // "warning file:line: title: text", in order
	outputs     map[string]string // of the step "images"
	summary     string            // of all steps
}

// act runs the workflow of a checkout on this machine. The action is that of this repository;
// the actions of others are those of testdata.
func (s *site) act(workflow string) *actRun {
	s.t.Helper()
	onPath(s.t, "git", "jq", "curl")
	act := tool(s.t, "act")
	s.write(filepath.Join(s.dir, ".github/workflows/images.yml"), workflow)
	env := []string{"CACHE=" + filepath.Join(s.store, "cache"), "ARTIFACTS=" + filepath.Join(s.store, "artifacts")}
	args := []string{
		"push", "--json", "--pull=false", "--no-cache-server", "-P", "ubuntu-24.04=-self-hosted",
		"--action-cache-path", filepath.Join(s.store, "act"),
		"--local-repository", "stowage/stowage@main=" + action(s.t),
		"-s", "DOCKERHUB_USER=" + user, "-s", "DOCKERHUB_TOKEN=" + password,
	}
	for _, name := range []string{"actions/cache@v4", "actions/upload-artifact@v4", "docker/login-action@v3"} {
		dir, _, _ := strings.Cut(filepath.Base(name), "@")
		args = append(args, "--local-repository", name+"="+filepath.Join(root(s.t), "test/integration/ci/testdata/actions", dir))
	}
	r := &actRun{outputs: map[string]string{}}
	r.log, r.code = s.run(s.dir, env, act, args...)
	for line := range strings.Lines(r.log) {
		r.read(line)
	}
	s.t.Cleanup(func() {
		if s.t.Failed() {
			s.t.Logf("act:\n%s", r.log)
		}
	})
	return r
}

// read reads a line of act's log.
func (r *actRun) read(line string) {
	var event struct {
		Msg, Command, Name, Arg, Content string
		KVPairs                          map[string]string
		StepID                           []string
		RawOutput                        bool `json:"raw_output"`
	}
	if json.Unmarshal([]byte(line), &event) != nil {
		return
	}
	switch {
	case event.Command == "warning" || event.Command == "error" || event.Command == "notice":
		at := ""
		if file := event.KVPairs["file"]; file != "" {
			at = " " + file + ":" + event.KVPairs["line"]
		}
		r.annotations = append(r.annotations, event.Command+at+": "+event.KVPairs["title"]+": "+event.Arg)
	case event.Command == "summary":
		r.summary += event.Content
	case event.Command == "set-output" && slices.Equal(event.StepID, []string{"images"}):
		r.outputs[event.Name] = event.Arg
	case event.RawOutput:
		r.text += strings.TrimSuffix(event.Msg, "\n") + "\n"
	}
}

// action returns a copy of the part of this repository that the action needs.
func action(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"cmd", "pkg", "internal", "ci"} {
		if err := os.CopyFS(filepath.Join(dir, name), os.DirFS(filepath.Join(root(t), name))); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"action.yml", "go.mod", "go.sum"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(read(t, filepath.Join(root(t), name))), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// wantOutputs compares outputs of the action with regular expressions.
func (r *actRun) wantOutputs(t *testing.T, want map[string]string) {
	t.Helper()
	for name, expr := range want {
		if !regexp.MustCompile("^(" + expr + ")$").MatchString(r.outputs[name]) {
			t.Errorf("output %s: got %q, want %s", name, r.outputs[name], expr)
		}
	}
}

// wantAnnotations compares the beginnings of the annotations.
func (r *actRun) wantAnnotations(t *testing.T, want ...string) {
	t.Helper()
	got := slices.Clone(r.annotations)
	for i := range min(len(got), len(want)) {
		got[i] = got[i][:min(len(got[i]), len(want[i]))]
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("annotations (-want +got):\n%s", diff)
	}
}

// wantText compares a text with regular expressions, each of which must match a line.
func wantText(t *testing.T, name, text string, want ...string) {
	t.Helper()
	for _, expr := range want {
		if !regexp.MustCompile("(?m)" + expr).MatchString(text) {
			t.Errorf("%s: no line matches %s:\n%s", name, expr, text)
		}
	}
}

// always is the annotation of deploy/app.yaml.
const always = "warning deploy/app.yaml:8: pull-policy-always: imagePullPolicy Always"

// TestGitHubExample runs the workflow of the examples three times: the second run restores the
// cache, the third has another image.
func TestGitHubExample(t *testing.T) {
	s := newSite(t, nil)
	workflow := read(t, filepath.Join(root(t), "examples/ci/github.yml"))
	digest := "sha256:[0-9a-f]{64}"

	first := s.act(workflow)
	if first.code != 0 {
		t.Fatalf("exit code %d", first.code)
	}
	first.wantAnnotations(t, always)
	first.wantOutputs(t, map[string]string{
		"bundle": "images.tar", "lock": "images.lock", "images": "2", "digest": digest, "size": "[0-9]+", "pulls": "6",
		"missing": `\[\]`, "changed": "true", "cache-hit": "false",
	})
	artifacts := filepath.Join(s.store, "artifacts", "images")
	if got := s.identity(filepath.Join(artifacts, "images.tar")); got != first.outputs["digest"] {
		t.Errorf("the artifact has the identity %s, the output is %s", got, first.outputs["digest"])
	}
	wantText(t, "the lock file", read(t, filepath.Join(artifacts, "images.lock")), "^docker.io/team/app:v1@"+digest+"$", "^docker.io/team/tool:v1@"+digest+"$")
	wantText(t, "the log", first.text, "^uploaded with compression level 0$", "^2 images, "+digest+"$")
	wantText(t, "the summary", first.summary, "^## Bundle `images.tar`$", "docker.io/team/app:v1", "^6 pulls used.$")
	if used := s.Used(user); used != 6 {
		t.Errorf("the account has used %d pulls, want 6", used)
	}

	second := s.act(workflow)
	second.wantOutputs(t, map[string]string{"digest": first.outputs["digest"], "pulls": "0", "changed": "false", "cache-hit": "true"})
	wantText(t, "the summary of the second run", second.summary, "^## Bundle `images.tar`: up to date$", "^0 pulls used.$")

	layer := &registrytest.Layer{Seed: 7, Files: []registrytest.File{{Name: "data", Size: 20_000}}}
	registrytest.Must(s.AddIndex("team/side", "v1", registrytest.Index{Images: []registrytest.Image{
		{Platform: "linux/amd64", Layers: []*registrytest.Layer{layer}}, {Platform: "linux/arm64", Layers: []*registrytest.Layer{layer}},
	}}))(t)
	s.write(filepath.Join(s.dir, "deploy/side.yaml"), "kind: Pod\nspec:\n  containers:\n    - {image: team/side:v1}\n")
	third := s.act(workflow)
	third.wantOutputs(t, map[string]string{"images": "3", "pulls": "3", "changed": "true", "cache-hit": "false"})
	wantText(t, "the summary of the third run", third.summary, "^1 added, 0 removed, 0 changed, 2 unchanged; ")
}

// workflow returns a workflow that runs the action with inputs, which are lines of YAML.
func workflow(inputs ...string) string {
	return `name: images
on: push
jobs:
  bundle:
    runs-on: ubuntu-24.04
    steps:
      - uses: actions/checkout@v4
      - id: images
        uses: stowage/stowage@main
        with:
          ` + strings.Join(inputs, "\n          ") + "\n"
}

// release returns the directory of releases with the one of version v0.0.1, which is the
// program under test.
func (s *site) release() string {
	s.t.Helper()
	dir := s.t.TempDir()
	of := filepath.Join(dir, "v0.0.1")
	for _, arch := range []string{"amd64", "arm64"} {
		s.write(filepath.Join(of, "doc"), "")
		if out, code := s.run(of, nil, "tar", "-czf", "stowage_v0.0.1_linux_"+arch+".tar.gz", "-C", programs(s.t), "bundle"); code != 0 {
			s.t.Fatalf("tar: exit code %d\n%s", code, out)
		}
	}
	out, code := s.run(of, nil, "bash", "-c", "sha256sum *.tar.gz > SHA256SUMS")
	if code != 0 {
		s.t.Fatalf("sha256sum: exit code %d\n%s", code, out)
	}
	return "file://" + dir
}

// TestGitHubInputs runs the action with a release and every input that the example lacks.
func TestGitHubInputs(t *testing.T) {
	s := newSite(t, nil)
	s.write(filepath.Join(s.dir, "more.txt"), "team/tool:v1\n")
	s.write(filepath.Join(s.dir, "registries.yaml"), "configs:\n  \""+s.Host()+"\":\n    auth: {username: "+user+", password: "+password+"}\n")
	if out, code := s.run(s.dir, nil, "bundle", "team/tool:v1", "-o", "old.tar", "--platform", "linux/amd64"); code != 0 {
		t.Fatalf("bundle: exit code %d\n%s", code, out)
	}
	s.Reset()
	r := s.act(workflow(
		"manifests: |", "  deploy/*.yaml", "  more.txt", "output: images.tar.zst", "platforms: linux/amd64", `strict: "true"`, `max-pulls: "5"`,
		"wait: 1m", "mirror: docker.io="+s.Host(), "registries: registries.yaml", "since: old.tar", "version: v0.0.1", "releases: "+s.release(),
		`cache: "false"`, `artifact: ""`,
	))
	if r.code != 0 {
		t.Fatalf("exit code %d", r.code)
	}
	r.wantAnnotations(t, always)
	r.wantOutputs(t, map[string]string{"bundle": "images.tar.zst", "lock": "images.tar.zst.lock", "images": "2", "pulls": "2", "cache-hit": ""})
	wantText(t, "the summary", r.summary, "^### Changes since `old.tar`$", "^. omitted . 1 layer ")
	if used := s.Used(user); used != 2 {
		t.Errorf("the account of registries.yaml has used %d pulls, want 2", used)
	}
	if r.log == "" || strings.Contains(r.log, password) {
		t.Error("the log contains the password")
	}
}

// TestGitHubFailures runs the action where a lock file does not cover the manifests, where an
// image is not available, and where the registry has reached its limit.
func TestGitHubFailures(t *testing.T) {
	s := newSite(t, nil)
	run := func() *actRun {
		return s.act(workflow("manifests: deploy", "lock: images.lock", "version: v0.0.1", "releases: "+s.release()))
	}
	out, code := s.run(s.dir, nil, "bundle", "scan", "-f", "deploy", "--pin")
	if code != 0 {
		t.Fatalf("bundle scan: exit code %d\n%s", code, out)
	}
	_, lock, _ := strings.Cut(out, "# lock file")
	lock = "# lock file" + lock

	s.write(filepath.Join(s.dir, "images.lock"), lock)
	s.SetUsed("", anonymousQuota)
	s.SetFaults(func(f *registrytest.Faults) { f.RetryAfter = "3600" })
	limit := run()
	limit.wantAnnotations(t, always, "error: rate limited until 20")
	limit.wantOutputs(t, map[string]string{"bundle": "", "pulls": "0", "missing": `\[\]`, "digest": ""})
	wantText(t, "the summary at the limit", limit.summary, "^## Bundle `images.tar`: failed$", "^0 pulls used.$")

	s.SetUsed("", 0)
	s.SetFaults(registrytest.NoFaults)
	s.write(filepath.Join(s.dir, "deploy/new.yaml"), "kind: Pod\nspec:\n  containers:\n    - {image: team/nowhere:v1}\n")
	uncovered := run()
	uncovered.wantAnnotations(t, "error deploy/new.yaml:4: not-locked: docker.io/team/nowhere:v1: not in the lock file", always, "error: stowage: images.lock does not cover 1 image\nmake it again: ")

	s.write(filepath.Join(s.dir, "images.lock"), lock+"docker.io/team/nowhere:v1@sha256:"+strings.Repeat("1", 64)+"\n")
	missing := run()
	missing.wantAnnotations(t, always, "error: stowage: docker.io/team/nowhere:v1@sha256:1111")
	missing.wantOutputs(t, map[string]string{"missing": `\["docker.io/team/nowhere:v1@sha256:1{64}"\]`, "pulls": "[0-9]"})
	for name, r := range map[string]*actRun{"limit": limit, "uncovered": uncovered, "missing": missing} {
		if r.code == 0 {
			t.Errorf("%s: exit code 0", name)
		}
	}
	wantText(t, "the log", limit.log+uncovered.log+missing.log, "exit status 4", "exit status 1", "exit status 3")
}
