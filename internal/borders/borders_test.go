package borders

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// rule is what a package may import. own and direct apply to its own imports, deep to
// everything it links.
type rule struct {
	pkg    string
	own    []string // packages of this module that it may import, besides those below pkg
	direct []string // other prefixes of import paths that it must not import
	deep   []string // prefixes that it must not link, besides those of forTests
}

const (
	containerd = "github.com/containerd/containerd/v2"
	ggcr       = "github.com/google/go-containerregistry"
)

// forTests are the packages for tests, the demo and the benchmarks. No program and no
// package of pkg links one.
var forTests = []string{
	"stowage/internal/registrytest", "stowage/internal/nodetest", "stowage/internal/need", "stowage/internal/demo",
	"stowage/internal/borders",
	"stowage/pkg/node/internal/bundletest", "stowage/cmd/internal/clitest", "testing",
}

// tools are the small packages that programs and packages share.
var tools = []string{"stowage/internal/fsutil", "stowage/internal/imagename", "stowage/internal/iox", "stowage/internal/lazy", "stowage/internal/manifest", "stowage/internal/redact", "stowage/internal/usable"}

// rules are the borders that CONTRIBUTING.md describes.
var rules = []rule{
	{
		pkg:    "stowage/pkg/scan",
		own:    []string{"stowage/internal/imagename", "stowage/internal/redact"},
		direct: []string{"os", "net/http", "github.com/opencontainers/image-spec"},
		deep:   []string{"net/http", containerd, ggcr},
	},
	{
		pkg:    "stowage/pkg/pull",
		own:    []string{"stowage/internal/imagename", "stowage/internal/iox", "stowage/internal/manifest", "stowage/internal/usable"},
		direct: []string{"archive/tar", "os"},
		deep:   []string{containerd, "k8s.io/client-go"},
	},
	{
		pkg: "stowage/pkg/pull/account",
		own: []string{"stowage/internal/redact"},
	},
	{
		pkg: "stowage/pkg/pull/hosts",
		own: []string{"stowage/pkg/pull"},
	},
	{
		pkg:    "stowage/pkg/archive",
		own:    []string{"stowage/internal/fsutil", "stowage/internal/iox", "stowage/internal/manifest"},
		direct: []string{"net", "net/http", ggcr},
		deep:   []string{"net/http", containerd, ggcr},
	},
	{
		pkg:    "stowage/pkg/bundle",
		own:    []string{"stowage/pkg/pull", "stowage/pkg/archive", "stowage/pkg/archive/writer", "stowage/internal/fsutil", "stowage/internal/iox", "stowage/internal/manifest", "stowage/internal/usable"},
		direct: []string{"net/http", ggcr},
		deep:   []string{containerd, "google.golang.org/grpc", "stowage/pkg/node", "stowage/cmd"},
	},
	{
		pkg:    "stowage/pkg/signature",
		direct: []string{"net/http", "golang.org/x/crypto"},
		deep:   []string{"net/http", containerd, ggcr, "stowage/pkg/archive"},
	},
	{
		pkg:    "stowage/pkg/archive/writer",
		own:    []string{"stowage/pkg/archive", "stowage/internal/fsutil", "stowage/internal/iox", "stowage/internal/manifest"},
		direct: []string{"archive/tar", "net", "net/http", ggcr},
		deep:   []string{"net/http", containerd, ggcr},
	},
	{
		pkg:    "stowage/pkg/serve",
		own:    []string{"stowage/pkg/archive", "stowage/internal/lazy", "stowage/internal/manifest"},
		direct: []string{"archive/tar", ggcr},
		deep:   []string{containerd, "google.golang.org/grpc", "stowage/pkg/node", "stowage/cmd", ggcr},
	},
	{
		pkg:    "stowage/pkg/serve/install",
		own:    []string{"stowage/internal/fsutil"},
		direct: []string{"net/http"},
		deep:   []string{containerd, "google.golang.org/grpc", "k8s.io", "net/http", ggcr},
	},
	{
		pkg:    "stowage/pkg/node",
		own:    []string{"stowage/pkg/archive", "stowage/pkg/serve", "stowage/internal/fsutil", "stowage/internal/imagename", "stowage/internal/iox", "stowage/internal/kubelet", "stowage/internal/lazy", "stowage/internal/manifest", "stowage/internal/pullrecords", "stowage/internal/usable"},
		direct: []string{ggcr},
		deep:   []string{"stowage/cmd"},
	},
	{
		pkg:    "stowage/pkg/node/internal/layer",
		own:    []string{"stowage/pkg/archive", "stowage/pkg/node/internal/disk", "stowage/internal/iox"},
		direct: []string{containerd + "/client", containerd + "/core"},
	},
	{
		pkg:    "stowage/pkg/node/internal/layer/extract",
		direct: []string{containerd + "/client", containerd + "/core"},
		deep:   []string{"net/http"},
	},
	{
		pkg:  "stowage/pkg/node/internal/taskgraph",
		deep: []string{containerd, "net"},
	},
	{
		pkg:  "stowage/pkg/node/internal/daemonconfig",
		deep: []string{containerd, "net"},
	},
	{
		pkg: "stowage/pkg/node/why",
		own: []string{
			"stowage/pkg/archive", "stowage/pkg/node", "stowage/internal/fsutil", "stowage/internal/imagename", "stowage/internal/kubelet", "stowage/internal/lazy",
			"stowage/internal/manifest", "stowage/internal/pullrecords", "stowage/internal/redact", "stowage/internal/usable",
		},
		deep: []string{"stowage/cmd", "stowage/pkg/pull", ggcr},
	},
	{
		pkg:  "stowage/pkg/node/imagedir",
		own:  []string{"stowage/pkg/archive", "stowage/internal/fsutil", "stowage/internal/iox", "stowage/internal/manifest"},
		deep: []string{containerd, "google.golang.org/grpc", "k8s.io", "stowage/pkg/node", "net/http", ggcr},
	},
	{
		pkg:    "stowage/internal/usable",
		own:    []string{"stowage/internal/manifest"},
		direct: []string{"os"},
		deep:   []string{"net/http", containerd, ggcr},
	},
	{
		pkg:  "stowage/internal/kubelet",
		own:  []string{"stowage/internal/lazy", "stowage/internal/pullrecords"},
		deep: []string{containerd, "google.golang.org/grpc", "k8s.io", "net/http", ggcr},
	},
	{
		pkg:  "stowage/internal/pullrecords",
		own:  []string{"stowage/internal/fsutil"},
		deep: []string{containerd, "google.golang.org/grpc", "k8s.io", "net/http", ggcr},
	},
	{
		pkg:    "stowage/internal/manifest",
		direct: []string{"os", "archive/tar"},
		deep:   []string{"net/http", containerd, ggcr},
	},
	{
		pkg:  "stowage/internal/redact",
		deep: []string{"net/http", "gopkg.in"},
	},
	{
		pkg:  "stowage/cmd/bundle",
		own:  append([]string{"stowage/cmd/internal", "stowage/pkg"}, tools...),
		deep: []string{containerd, "google.golang.org/grpc", "stowage/pkg/node"},
	},
	{
		pkg:  "stowage/cmd/load",
		own:  append([]string{"stowage/cmd/internal", "stowage/pkg"}, tools...),
		deep: []string{"stowage/pkg/pull", "stowage/pkg/scan", ggcr},
	},
}

func TestBorders(t *testing.T) {
	for _, r := range rules {
		t.Run(r.pkg, func(t *testing.T) {
			imports := list(t, "{{range .Imports}}{{.}}\n{{end}}", r.pkg)
			for _, p := range imports {
				if below(p, "stowage") && !below(p, r.pkg) && !slices.ContainsFunc(r.own, func(o string) bool { return below(p, o) }) {
					t.Errorf("%s imports %s, which is not among %q", r.pkg, p, r.own)
				}
			}
			check(t, r.pkg, "imports", imports, r.direct)
			check(t, r.pkg, "links", list(t, "{{range .Deps}}{{.}}\n{{end}}", r.pkg), append(r.deep, forTests...))
		})
	}
}

// TestOnlyLoadImportsNode checks that no other package imports pkg/node, because it would
// link half of containerd.
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

// check reports every path at or below a forbidden one.
func check(t *testing.T, pkg, verb string, paths, forbidden []string) {
	t.Helper()
	for _, p := range paths {
		for _, f := range forbidden {
			if below(p, f) && !below(p, pkg) {
				t.Errorf("%s %s %s, which is forbidden by %q", pkg, verb, p, f)
			}
		}
	}
}

// below reports whether an import path is prefix or below it.
func below(path, prefix string) bool {
	return path == prefix || strings.HasPrefix(path, prefix+"/")
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
