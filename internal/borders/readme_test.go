package borders

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var goFence = regexp.MustCompile("(?s)```go\n(.*?)```")

// readmeImports are the packages that the Go code of docs/library.md uses.
const readmeImports = `package readme

import (
	"context"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stowage/pkg/archive"
	"stowage/pkg/bundle"
	"stowage/pkg/node"
)

`

// TestReadmeCompiles builds the Go code of docs/library.md as a package of this module that
// exists only in an overlay.
func TestReadmeCompiles(t *testing.T) {
	root, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(root, "docs", "library.md"))
	if err != nil {
		t.Fatal(err)
	}
	var code strings.Builder
	code.WriteString(readmeImports)
	fences := goFence.FindAllSubmatch(page, -1)
	if len(fences) == 0 {
		t.Fatal("docs/library.md has no Go code")
	}
	for _, m := range fences {
		code.Write(m[1])
	}
	dir := t.TempDir()
	file, overlay := filepath.Join(dir, "readme.go"), filepath.Join(dir, "overlay.json")
	raw, err := json.Marshal(map[string]map[string]string{"Replace": {filepath.Join(root, "internal", "readme", "readme.go"): file}})
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{file: []byte(code.String()), overlay: raw} {
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("go", "build", "-overlay", overlay, "stowage/internal/readme")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("the Go code of docs/library.md does not compile: %v\n%s", err, out)
	}
}
