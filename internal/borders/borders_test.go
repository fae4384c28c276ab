package borders

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// rule says what a package must not reach. Direct looks at its own imports, deep at
// everything it links.
type rule struct {
	pkg    string
	direct []string // prefixes of import paths
	deep   []string
}

const (
	containerd = "github.com/containerd/containerd/v2"
	ggcr       = "github.com/google/go-containerregistry"
)

// rules are the borders of the house as CONTRIBUTING.md draws them.
var rules = []rule{
	{
		pkg:    "stowage/pkg/scan",
		direct: []string{"os", "net/http", "stowage/", "github.com/opencontainers/image-spec"},
		deep:   []string{"net/http", containerd, ggcr},
	},
	{
		pkg:    "stowage/pkg/pull",
		direct: []string{"archive/tar", "os", "stowage/pkg/archive", "stowage/pkg/scan", "stowage/pkg/node"},
		deep:   []string{containerd, "stowage/pkg/archive", "k8s.io/client-go"},
	},
	{
		pkg:    "stowage/pkg/archive",
		direct: []string{"net", "net/http", ggcr, "stowage/"},
		deep:   []string{"net/http", containerd, ggcr},
	},
	{
		pkg:    "stowage/pkg/node",
		direct: []string{ggcr, "stowage/pkg/pull", "stowage/pkg/scan"},
		deep:   []string{"stowage/pkg/pull", "stowage/pkg/scan", "stowage/cmd"},
	},
	{
		pkg:  "stowage/cmd/bundle",
		deep: []string{containerd, "google.golang.org/grpc", "stowage/pkg/node", "stowage/internal/"},
	},
	{
		pkg:  "stowage/cmd/load",
		deep: []string{"stowage/pkg/pull", "stowage/pkg/scan", "stowage/internal/", ggcr},
	},
}

func TestBorders(t *testing.T) {
	for _, r := range rules {
		t.Run(r.pkg, func(t *testing.T) {
			check(t, r.pkg, "imports", list(t, "{{range .Imports}}{{.}}\n{{end}}", r.pkg), r.direct)
			check(t, r.pkg, "links", list(t, "{{range .Deps}}{{.}}\n{{end}}", r.pkg), r.deep)
		})
	}
}

// TestOnlyLoadImportsNode: whatever else imports pkg/node links half of containerd.
func TestOnlyLoadImportsNode(t *testing.T) {
	for _, line := range list(t, "{{.ImportPath}} {{join .Imports \" \"}}", "stowage/...") {
		pkg, imports, _ := strings.Cut(line, " ")
		if pkg == "stowage/cmd/load" || strings.HasPrefix(pkg, "stowage/pkg/node") {
			continue
		}
		if slices.Contains(strings.Fields(imports), "stowage/pkg/node") {
			t.Errorf("%s imports stowage/pkg/node", pkg)
		}
	}
}

// check fails for every path below a forbidden prefix. A prefix ending in a slash means
// what is below it; any other means the package itself and what is below it.
func check(t *testing.T, pkg, verb string, paths, forbidden []string) {
	t.Helper()
	for _, p := range paths {
		for _, f := range forbidden {
			if below := strings.HasSuffix(f, "/") && strings.HasPrefix(p, f); (below || p == f || strings.HasPrefix(p, f+"/")) && !strings.HasPrefix(p, pkg+"/") {
				t.Errorf("%s %s %s, which lies behind the border %q", pkg, verb, p, f)
			}
		}
	}
}

func list(t *testing.T, format string, pkg string) []string {
	t.Helper()
	cmd := exec.Command("go", "list", "-f", format, pkg)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list %s: %v\n%s", pkg, err, stderr.String())
	}
	return slices.DeleteFunc(strings.Split(string(out), "\n"), func(s string) bool { return s == "" })
}
