//go:build linux

// Command demo shows the main use of the programs without any network: with a registry that
// requires a login and counts pulls, a real containerd, and the built programs.
//
//	go run ./internal/demo --bin bin --manifest examples/calico.yaml
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/pflag"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"stowage/internal/nodetest"
	"stowage/internal/registrytest"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	bin := pflag.String("bin", "bin", "directory of the built programs")
	manifest := pflag.String("manifest", "examples/calico.yaml", "manifest to bundle")
	pflag.Parse()
	if err := demo(ctx, *bin, *manifest); err != nil {
		fmt.Fprintln(os.Stderr, "demo: error:", err)
		os.Exit(1)
	}
}

// limit is the time limit of the demo, which takes a few seconds.
const limit = 5 * time.Minute

const (
	user     = "operator"
	password = "demo-password"
)

// stage is the state of the demo.
type stage struct {
	dir      string // temporary
	bin      string
	manifest string
	registry *registrytest.Registry
	node     *nodetest.Node
}

func demo(ctx context.Context, bin, manifest string) (err error) {
	s := &stage{manifest: manifest}
	if s.bin, err = filepath.Abs(bin); err != nil {
		return err
	}
	if s.dir, err = os.MkdirTemp("", "stowage-demo-"); err != nil {
		return err
	}
	defer os.RemoveAll(s.dir) // temporary
	if err := s.startRegistry(ctx); err != nil {
		return err
	}
	defer s.registry.Close() // its data is temporary
	say("Start a real containerd with its CRI plugin, which the kubelet uses.")
	if s.node, err = nodetest.Launch(ctx, nodetest.Options{}); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.node.Stop()) }()
	for _, step := range []func(context.Context) error{s.refused, s.bundle, s.again, s.load, s.loadAgain, s.ask, s.run} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	say("Done: the registry counted %d pulls, and the node contacted no registry.", s.registry.Used(user))
	return nil
}

func say(format string, args ...any) { fmt.Printf("\n# "+format+"\n", args...) }

// startRegistry starts a registry as strict as Docker Hub, with the images of the example.
func (s *stage) startRegistry(ctx context.Context) (err error) {
	s.registry, err = registrytest.New(registrytest.Options{Policy: registrytest.Policy{
		Auth: registrytest.AuthBearer, RefuseAnonymous: true, Redirect: true,
		Accounts: []registrytest.Account{{User: user, Password: password, Quota: 100}},
	}})
	if err != nil {
		return err
	}
	program, err := registrytest.Program(ctx)
	if err != nil {
		return err
	}
	programs := map[string][]byte{runtime.GOARCH: program}
	if _, err := s.registry.AddCalico(registrytest.CalicoOptions{Programs: programs, Scale: 20}); err != nil {
		return err
	}
	if _, err := s.registry.AddPause(programs); err != nil {
		return err
	}
	say("The registry at %s requires a login and allows %s 100 pulls.", s.registry.Host(), user)
	return nil
}

// refused shows that nothing works without an account.
func (s *stage) refused(ctx context.Context) error {
	say("Without an account the registry refuses, and nothing is written:")
	code, err := s.command(ctx, "bundle", s.bundleArgs()...)
	if err != nil {
		return err
	}
	if code != 5 {
		return fmt.Errorf("bundle without an account exited with %d, want 5", code)
	}
	if left, err := filepath.Glob(filepath.Join(s.dir, "calico.tar*")); err != nil || len(left) > 0 {
		return fmt.Errorf("files remain: %v %v", left, err)
	}
	config, err := json.Marshal(map[string]any{"auths": map[string]any{s.registry.Host(): map[string]string{"username": user, "password": password}}})
	if err != nil {
		return err
	}
	say("\"docker login\" writes the account to ~/.docker/config.json.")
	return os.WriteFile(filepath.Join(s.dir, "config.json"), config, 0o600)
}

func (s *stage) tar() string { return filepath.Join(s.dir, "calico.tar") }

func (s *stage) bundleArgs() []string {
	return []string{"-f", s.manifest, nodetest.DefaultSandboxImage, "-o", s.tar(), "--mirror", "docker.io=" + s.registry.Host(), "--mirror", "registry.k8s.io=" + s.registry.Host()}
}

func (s *stage) bundle(ctx context.Context) error {
	say("On the connected side: write every image of %s and the sandbox image to one file.", s.manifest)
	return s.must(ctx, "bundle", s.bundleArgs()...)
}

func (s *stage) again(ctx context.Context) error {
	before := s.registry.Used(user)
	say("Again: nothing has changed, so nothing is pulled.")
	if err := s.must(ctx, "bundle", s.bundleArgs()...); err != nil {
		return err
	}
	if now := s.registry.Used(user); now != before {
		return fmt.Errorf("%d unnecessary pulls", now-before)
	}
	return nil
}

func (s *stage) load(ctx context.Context) error {
	say("On the other side of the gap: load the file into the node's containerd.")
	if err := s.must(ctx, "load", "--address", s.node.Address(), s.tar()); err != nil {
		return err
	}
	out, err := s.node.Ctr("images", "ls", "-q")
	fmt.Printf("$ ctr -n k8s.io images ls -q\n%s", out)
	return err
}

func (s *stage) loadAgain(ctx context.Context) error {
	say("Again: the node has everything.")
	return s.must(ctx, "load", "--address", s.node.Address(), s.tar())
}

// ask calls ImageStatus, as the kubelet does before it pulls.
func (s *stage) ask(ctx context.Context) error {
	say("CRI's answer for each reference of the manifest (ImageStatus):")
	for _, repo := range registrytest.CalicoRepos {
		name := "docker.io/" + repo + ":" + registrytest.CalicoTag
		resp, err := s.node.Images().ImageStatus(ctx, &cri.ImageStatusRequest{Image: &cri.ImageSpec{Image: name}})
		if err != nil {
			return err
		}
		if resp.Image == nil {
			return fmt.Errorf("CRI does not have %s", name)
		}
		fmt.Printf("%s\n  id %.19s  pinned %v  digests %s\n", name, resp.Image.Id, resp.Image.Pinned, strings.Join(resp.Image.RepoDigests, " "))
	}
	return nil
}

func (s *stage) run(ctx context.Context) error {
	name := "docker.io/calico/cni:" + registrytest.CalicoTag
	say("A pod of %s, created through CRI, prints:", name)
	out, err := s.node.RunContainer(ctx, name)
	fmt.Print(out)
	return err
}

func (s *stage) must(ctx context.Context, program string, args ...string) error {
	code, err := s.command(ctx, program, args...)
	if err == nil && code != 0 {
		err = fmt.Errorf("%s exited with %d", program, code)
	}
	return err
}

// command runs a program as a user would and shows its output.
func (s *stage) command(ctx context.Context, program string, args ...string) (int, error) {
	fmt.Printf("$ %s %s\n", program, strings.Join(args, " "))
	cmd := exec.CommandContext(ctx, filepath.Join(s.bin, program), args...)
	cmd.Env = append(os.Environ(), "DOCKER_CONFIG="+s.dir, "DOCKER_AUTH_CONFIG=", "REGISTRY_AUTH_FILE=", "HOME="+s.dir)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode(), nil
	}
	return 0, err
}
