package ci

import (
	"path/filepath"
	"strings"
	"testing"
)

// TestGitHubLint checks the workflow of the examples and the action that it uses with
// actionlint, which finds inputs and outputs that the action does not have.
func TestGitHubLint(t *testing.T) {
	s := newSite(t, map[string]string{"action.yml": read(t, filepath.Join(root(t), "action.yml"))})
	actionlint, shellcheck := tool(t, "actionlint"), tool(t, "shellcheck")
	example := read(t, filepath.Join(root(t), "examples/ci/github.yml"))
	local := strings.Replace(example, "uses: stowage/stowage@main", "uses: ./", 1)
	for name, row := range map[string]struct {
		workflow, want string
	}{
		"example":        {example, ""},
		"local":          {local, ""},
		"unknown input":  {strings.Replace(local, "lock: images.lock", "lok: images.lock", 1), `input "lok" is not defined in action`},
		"unknown output": {strings.Replace(local, "outputs.digest", "outputs.digst", 1), `property "digst" is not defined`},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(s.dir, ".github/workflows/images.yml")
			s.write(file, row.workflow)
			out, code := s.run(s.dir, nil, actionlint, "-no-color", "-shellcheck", shellcheck, "-pyflakes", "", file)
			if (code == 0) != (row.want == "") || !strings.Contains(out, row.want) {
				t.Errorf("exit code %d, want %q:\n%s", code, row.want, out)
			}
		})
	}
}

// TestShellcheck checks the shell scripts of the action, and those in the other examples.
func TestShellcheck(t *testing.T) {
	s := newSite(t, nil)
	scripts, err := filepath.Glob(filepath.Join(root(t), "ci", "*.sh"))
	if err != nil || len(scripts) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for name, script := range map[string]string{"tekton": tektonTask(t).script, "gitlab": gitlabScript(t), "jenkins": strings.Join(jenkinsScripts(t), "\n")} {
		file := filepath.Join(s.store, name+".sh")
		s.write(file, "#!/bin/sh\n"+script)
		scripts = append(scripts, file)
	}
	// The flags of the GitLab component are several words.
	if out, code := s.run(s.dir, nil, tool(t, "shellcheck"), append([]string{"--exclude=SC2086"}, scripts...)...); code != 0 {
		t.Errorf("exit code %d:\n%s", code, out)
	}
}
