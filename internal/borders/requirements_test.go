package borders

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestRequirementsHaveReasons holds go.mod and the table of CONTRIBUTING.md together: every
// direct requirement stands in the table.
func TestRequirementsHaveReasons(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "CONTRIBUTING.md"))
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("go", "mod", "edit", "-json", filepath.Join("..", "..", "go.mod")).Output()
	if err != nil {
		t.Fatal(err)
	}
	var mod struct {
		Require []struct {
			Path     string
			Indirect bool
		}
	}
	if err := json.Unmarshal(out, &mod); err != nil {
		t.Fatal(err)
	}
	direct := 0
	for _, r := range mod.Require {
		if r.Indirect {
			continue
		}
		direct++
		if !strings.Contains(string(page), "`"+r.Path+"`") {
			t.Errorf("CONTRIBUTING.md has no reason for the requirement `%s`", r.Path)
		}
	}
	if direct == 0 {
		t.Error("no direct requirement found")
	}
}
