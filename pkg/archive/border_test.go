package archive

import (
	"os/exec"
	"strings"
	"testing"
)

// TestBorder: this package knows no network and no container runtime, not even through
// what it imports.
func TestBorder(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", ".").Output()
	if err != nil {
		t.Skipf("go list: %v", err)
	}
	for dep := range strings.FieldsSeq(string(out)) {
		if dep == "net" || strings.HasPrefix(dep, "net/http") ||
			strings.HasPrefix(dep, "github.com/containerd/") || strings.HasPrefix(dep, "github.com/google/go-containerregistry") ||
			(strings.HasPrefix(dep, "stowage/") && dep != "stowage/pkg/archive") {
			t.Errorf("imports %s", dep)
		}
	}
}
