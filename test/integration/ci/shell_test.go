package ci

import (
	"crypto/sha256"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

// task is what Tekton reads of examples/ci/tekton.yaml.
type task struct {
	script  string
	params  map[string]string // by name, the defaults
	results []string
	env     map[string]string
}

func tektonTask(t *testing.T) task {
	t.Helper()
	var doc struct {
		Spec struct {
			Params  []struct{ Name, Default string }
			Results []struct{ Name string }
			Steps   []struct {
				Script string
				Env    []struct{ Name, Value string }
			}
		}
	}
	if err := yaml.Unmarshal([]byte(read(t, filepath.Join(root(t), "examples/ci/tekton.yaml"))), &doc); err != nil || len(doc.Spec.Steps) != 1 {
		t.Fatalf("examples/ci/tekton.yaml: %d steps, %v", len(doc.Spec.Steps), err)
	}
	step := doc.Spec.Steps[0]
	out := task{script: step.Script, params: map[string]string{}, env: map[string]string{}}
	for _, p := range doc.Spec.Params {
		out.params[p.Name] = p.Default
	}
	for _, r := range doc.Spec.Results {
		out.results = append(out.results, r.Name)
	}
	for _, e := range step.Env {
		out.env[e.Name] = e.Value
	}
	return out
}

// jenkinsScripts returns the shell of examples/ci/Jenkinsfile, in order.
func jenkinsScripts(t *testing.T) (scripts []string) {
	t.Helper()
	for _, m := range regexp.MustCompile(`(?s)\bsh '{3}(.*?)'{3}|\bsh\(script: '([^']*)'`).FindAllStringSubmatch(read(t, filepath.Join(root(t), "examples/ci/Jenkinsfile")), -1) {
		script := m[1] + m[2]
		if strings.Contains(script, `\`) {
			t.Errorf("Groovy reads a backslash in %s", script)
		}
		scripts = append(scripts, script)
	}
	if len(scripts) != 2 {
		t.Fatalf("examples/ci/Jenkinsfile has %d scripts, want 2", len(scripts))
	}
	return scripts
}

// gitlabScript returns the shell of the GitLab component.
func gitlabScript(t *testing.T) string {
	t.Helper()
	_, job, _ := strings.Cut(read(t, filepath.Join(root(t), "templates/bundle.yml")), "\n---\n")
	var doc map[string]struct{ Script []string }
	if err := yaml.Unmarshal([]byte(job), &doc); err != nil {
		t.Fatal(err)
	}
	script := doc["$[[ inputs.job ]]"].Script
	if len(script) == 0 || strings.Contains(strings.Join(script, "\n"), "$[[") {
		t.Fatalf("a script without inputs in its text: got %q", script)
	}
	return strings.Join(script, "\n")
}

// TestTekton runs the script of the Task as Tekton does: its variables are replaced, and the
// results are files.
func TestTekton(t *testing.T) {
	task := tektonTask(t)
	s := newSite(t, nil)
	s.login(filepath.Join(s.home, ".docker/config.json"))
	task.params["manifests"], task.params["uri"] = "deploy", "s3://bucket/images.tar"
	var variables []string
	for name, value := range task.params {
		variables = append(variables, "$(params."+name+")", value)
	}
	for _, name := range task.results {
		variables = append(variables, "$(results."+name+".path)", filepath.Join(s.store, name))
	}
	replacer := strings.NewReplacer(variables...)
	var env []string
	for name, value := range task.env {
		env = append(env, name+"="+replacer.Replace(value))
	}
	script := replacer.Replace(task.script)
	if left := regexp.MustCompile(`\$\((params|results|workspaces)\.`).FindString(script + strings.Join(env, " ")); left != "" {
		t.Fatalf("%s is not defined in\n%s", left, script)
	}
	file := filepath.Join(s.store, "script")
	s.write(file, script)
	for range 2 { // without a lock file, and with one
		if out, code := s.run(s.dir, env, "sh", file); code != 0 {
			t.Fatalf("exit code %d\n%s", code, out)
		}
		bundle := filepath.Join(s.dir, "images.tar")
		for name, want := range map[string]string{
			"ARTIFACT_URI": "s3://bucket/images.tar", "ARTIFACT_DIGEST": fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(read(t, bundle)))), "BUNDLE_DIGEST": s.identity(bundle),
		} {
			if got := read(t, filepath.Join(s.store, name)); got != want {
				t.Errorf("result %s: got %q, want %q", name, got, want)
			}
		}
	}
	if used := s.Used(user); used != 4 {
		t.Errorf("the account has used %d pulls, want 4", used)
	}
}

// TestJenkins runs the scripts of the Jenkinsfile as Jenkins does, by sh -xe.
func TestJenkins(t *testing.T) {
	scripts := jenkinsScripts(t)
	s := newSite(t, nil)
	auth := filepath.Join(s.store, "config.json")
	s.login(auth)
	for range 2 {
		if out, code := s.run(s.dir, []string{"AUTHFILE=" + auth}, "sh", "-xec", scripts[0]); code != 0 {
			t.Fatalf("exit code %d\n%s", code, out)
		}
	}
	out, code := s.run(s.dir, nil, "sh", "-ec", scripts[1])
	if want := s.identity(filepath.Join(s.dir, "images.tar")); code != 0 || strings.TrimSpace(out) != want {
		t.Errorf("exit code %d, output %q, want %s", code, out, want)
	}
	if out, code := s.run(s.dir, nil, "sha256sum", "-c", "images.tar.sha256"); code != 0 {
		t.Errorf("sha256sum: exit code %d\n%s", code, out)
	}
	if used := s.Used(user); used != 6 {
		t.Errorf("the account has used %d pulls, want 6", used)
	}
}
