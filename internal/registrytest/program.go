package registrytest

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// programSource is the program in the registry's images.
//
//go:embed imageprogram/main.go
var programSource []byte

// Program returns the static Linux executable of the images that run, for the architecture
// of this process; see imageprogram for what it does. It is built with the go command once
// and kept below "stowage" in the user's cache directory. Several processes may call it at
// the same time.
func Program(ctx context.Context) ([]byte, error) { return ProgramFor(ctx, runtime.GOARCH) }

// ProgramFor is [Program] for another architecture, as Go names it.
func ProgramFor(ctx context.Context, arch string) ([]byte, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return nil, fmt.Errorf("find cache directory: %w", err)
	}
	return program(ctx, arch, filepath.Join(cache, "stowage"))
}

// program reads the executable from the directory or builds it there.
func program(ctx context.Context, arch, dir string) ([]byte, error) {
	// The name contains everything that the bytes depend on, so no file in the directory is
	// ever out of date.
	sum := sha256.Sum256(programSource)
	name := filepath.Join(dir, fmt.Sprintf("hello-%x-%s-%s", sum[:6], runtime.Version(), arch))
	raw, err := os.ReadFile(name)
	if err == nil || !errors.Is(err, fs.ErrNotExist) {
		return raw, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("build program: %w", err)
	}
	work, err := os.MkdirTemp(dir, "build-")
	if err != nil {
		return nil, fmt.Errorf("build program: %w", err)
	}
	defer os.RemoveAll(work)
	out := filepath.Join(work, "hello")
	if err := goBuild(ctx, arch, work, out); err != nil {
		return nil, fmt.Errorf("build program for linux/%s: %w", arch, err)
	}
	if err := os.Rename(out, name); err != nil {
		return nil, fmt.Errorf("build program: %w", err)
	}
	return os.ReadFile(name)
}

// goBuild compiles the program in the directory work to the file out.
func goBuild(ctx context.Context, arch, work, out string) error {
	source := filepath.Join(work, "main.go")
	if err := os.WriteFile(source, programSource, 0o644); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w -buildid=", "-o", out, "main.go")
	cmd.Dir = work
	// Outside of any module, and independent of the user's settings.
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch, "GOFLAGS=", "GOWORK=off", "GO111MODULE=auto")
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, strings.TrimSpace(string(text)))
	}
	return nil
}

// ProgramLayer returns a layer with an executable at the first path and hard links to it at
// the others, such as "bin/hello" and "bin/calico-node", and with their directories.
func ProgramLayer(program []byte, paths ...string) *Layer {
	l := &Layer{}
	seen := map[string]bool{"./": true}
	for i, p := range paths {
		for _, dir := range parents(p) {
			if !seen[dir] {
				seen[dir] = true
				l.Files = append(l.Files, File{Name: dir})
			}
		}
		f := File{Name: p, Mode: 0o755, Body: program}
		if i > 0 {
			f = File{Name: p, Mode: 0o755, Type: tar.TypeLink, Link: paths[0]}
		}
		l.Files = append(l.Files, f)
	}
	return l
}

// parents returns the directories above a path, the outermost first, each with a slash at
// its end.
func parents(path string) []string {
	var dirs []string
	for i, c := range path {
		if c == '/' {
			dirs = append(dirs, path[:i+1])
		}
	}
	return dirs
}

// Hello returns an image that runs: program (see [Program]) prints "hello from NAME" and
// exits. Its platform is linux on arch, as Go names it.
func Hello(name, arch string, program []byte) Image {
	return Image{
		Platform: "linux/" + arch,
		Layers:   []*Layer{ProgramLayer(program, "bin/hello")},
		Config:   ocispec.ImageConfig{Entrypoint: []string{"/bin/hello"}, Env: helloEnv(name)},
	}
}

// helloEnv returns the environment that makes the program print name.
func helloEnv(name string) []string {
	return []string{"PATH=/bin:/usr/bin:/usr/sbin:/opt/cni/bin", "HELLO_NAME=" + name}
}
