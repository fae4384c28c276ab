//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"stowage/internal/nodetest"
	"stowage/internal/registrytest"
)

// appName is an image of which the newer bundle has another version under the same tag.
const (
	appRepo = "acme/app"
	appTag  = "v1"
	appName = "docker.io/" + appRepo + ":" + appTag
)

// greeter is a program in every image that pods run: some of the images' own commands run
// until they are stopped.
const greeter = "/bin/hello"

// fixture is a registry with images that run, and the bundles that bin/bundle made of them.
type fixture struct {
	dir, bin string
	registry *registrytest.Registry
	program  []byte
	runnable []string // names of images that have the greeter
	names    []string // those and the sandbox image
	// The bundles: with default flags, compressed, flat; one with other content, as a
	// differential bundle on top of the default one.
	plain, zst, flat, newer string
	pause                   string // the sandbox image alone
}

// newFixture fills the registry and makes the bundles.
func newFixture(ctx context.Context, bin string) (_ *fixture, err error) {
	s := &fixture{}
	if s.bin, err = filepath.Abs(bin); err != nil {
		return nil, err
	}
	if s.dir, err = os.MkdirTemp("", "stowage-matrix-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	if s.registry, err = registrytest.New(registrytest.Options{}); err != nil {
		return nil, err
	}
	if err := s.addImages(ctx); err != nil {
		return nil, err
	}
	return s, s.write(ctx)
}

// write makes the bundles.
func (s *fixture) write(ctx context.Context) error {
	for _, b := range []struct {
		path  *string
		file  string
		flags []string
	}{{&s.plain, "bundle.tar", nil}, {&s.zst, "bundle.tar.zst", nil}, {&s.flat, "flat.tar", []string{"--flat"}}} {
		path, err := s.bundle(ctx, b.file, s.names, b.flags...)
		if err != nil {
			return err
		}
		*b.path = path
		if _, err := s.bundle(ctx, filepath.Base(s.single(path)), []string{appName}, b.flags...); err != nil {
			return err
		}
	}
	var err error
	if s.pause, err = s.bundle(ctx, "pause.tar", []string{nodetest.DefaultSandboxImage}); err != nil {
		return err
	}
	if err = s.updateApp(); err == nil {
		s.newer, err = s.bundle(ctx, "newer.tar", s.names, "--since", s.plain)
	}
	return err
}

// single returns the path of the bundle of the app alone with the same flags.
func (s *fixture) single(path string) string {
	return filepath.Join(filepath.Dir(path), "one-"+filepath.Base(path))
}

func (s *fixture) close() error {
	var err error
	if s.registry != nil {
		err = s.registry.Close()
	}
	return errors.Join(err, os.RemoveAll(s.dir))
}

// addImages adds the images to the registry.
func (s *fixture) addImages(ctx context.Context) (err error) {
	if s.program, err = registrytest.Program(ctx); err != nil {
		return err
	}
	programs := map[string][]byte{runtime.GOARCH: s.program}
	set, err := s.registry.AddCalico(registrytest.CalicoOptions{Programs: programs, Compression: registrytest.GzipStored})
	if err != nil {
		return err
	}
	for _, added := range set {
		s.runnable = append(s.runnable, "docker.io/"+added.Repo+":"+added.Tag)
	}
	if _, err := s.registry.AddImage(appRepo, appTag, s.app("one")); err != nil {
		return err
	}
	if _, err := s.registry.AddPause(programs); err != nil {
		return err
	}
	s.runnable = append(s.runnable, appName)
	s.names = append(s.names, s.runnable...)
	s.names = append(s.names, nodetest.DefaultSandboxImage)
	return nil
}

// app returns the image of one version of the app: the program in one layer, the version in
// another.
func (s *fixture) app(edition string) registrytest.Image {
	img := registrytest.Hello(appName, runtime.GOARCH, s.program)
	img.Layers = append(img.Layers, &registrytest.Layer{Files: []registrytest.File{{Name: "edition", Body: []byte(edition)}}})
	return img
}

// updateApp moves the app's tag to its second version.
func (s *fixture) updateApp() error {
	_, err := s.registry.AddImage(appRepo, appTag, s.app("two"))
	return err
}

// bundle runs bundle for these images.
func (s *fixture) bundle(ctx context.Context, file string, names []string, flags ...string) (string, error) {
	out := filepath.Join(s.dir, file)
	args := append(slices.Clone(names), "-o", out, "--mirror", "docker.io="+s.registry.Host(), "--mirror", "registry.k8s.io="+s.registry.Host())
	_, err := command{env: s.env()}.run(ctx, filepath.Join(s.bin, "bundle"), append(args, flags...)...)
	return out, err
}

// env returns an environment without accounts.
func (s *fixture) env() []string {
	return append(os.Environ(), "HOME="+s.dir, "DOCKER_CONFIG=", "DOCKER_AUTH_CONFIG=", "REGISTRY_AUTH_FILE=", "XDG_RUNTIME_DIR=", "XDG_CONFIG_HOME=")
}

// command is a program to run.
type command struct {
	env   []string
	stdin *os.File
	code  int // expected exit code
}

// run returns what the program printed; an exit code other than code is an error.
func (c command) run(ctx context.Context, program string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = c.env
	if c.stdin != nil {
		cmd.Stdin = c.stdin
	}
	var out, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return "", err
	}
	if got := cmd.ProcessState.ExitCode(); got != c.code {
		return out.String(), fmt.Errorf("%s exited with %d, want %d: %s", filepath.Base(program), got, c.code, lastLines(stderr.String()+out.String()))
	}
	return out.String(), nil
}

// lastLines returns the last lines of a program's output.
func lastLines(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return strings.Join(lines[max(0, len(lines)-3):], " / ")
}
