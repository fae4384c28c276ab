//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"stowage/internal/nodetest"
)

// engines is the directory below that of the tools where the Makefile unpacks Debian's
// docker and podman, without installing them.
const engines = "engines"

// engine returns the path of one of those programs, and the environment that it needs.
func engine(program string) (path string, env []string, err error) {
	dir, err := nodetest.Tools()
	if err != nil {
		return "", nil, err
	}
	root := filepath.Join(dir, engines)
	for _, d := range []string{"usr/bin", "usr/sbin"} {
		path := filepath.Join(root, d, program)
		if _, err := os.Stat(path); err == nil {
			libs, err := filepath.Glob(filepath.Join(root, "usr/lib/*-linux-gnu"))
			if err != nil {
				return "", nil, err
			}
			return path, append(os.Environ(), "LD_LIBRARY_PATH="+strings.Join(libs, ":"),
				"PATH="+strings.Join([]string{filepath.Join(root, "usr/bin"), filepath.Join(root, "usr/sbin"), filepath.Join(dir, "containerd-1.6.20"), dir, os.Getenv("PATH")}, ":")), nil
		}
	}
	return "", nil, &absentError{program + " is not in " + root + ", where \"make matrix\" unpacks Debian's"}
}

// runner runs a program with the same first arguments each time.
type runner func(args ...string) (string, error)

// withPodman calls do with a podman that has its own storage.
func withPodman(ctx context.Context, s *fixture, do func(podman runner, dir string) error) error {
	podman, env, err := engine("podman")
	if err != nil {
		return err
	}
	return s.withTempDir(func(dir string) (err error) {
		conf := filepath.Join(dir, "containers.conf")
		conmon := filepath.Join(filepath.Dir(podman), "conmon")
		text := fmt.Sprintf("[engine]\nconmon_path = [%q]\nruntime = \"runc\"\nevents_logger = \"file\"\ntmp_dir = %q\n", conmon, filepath.Join(dir, "tmp"))
		if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, "policy.json"), []byte(`{"default":[{"type":"insecureAcceptAnything"}]}`), 0o600); err != nil {
			return err
		}
		runroot, err := os.MkdirTemp("", "pr") // podman allows at most 50 characters
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(runroot)) }()
		return do(func(args ...string) (string, error) {
			// With vfs nothing stays mounted, so the directory can be removed.
			own := []string{"--root", filepath.Join(dir, "root"), "--runroot", runroot, "--storage-driver", "vfs"}
			return command{env: append(env, "CONTAINERS_CONF="+conf, "TMPDIR="+dir, "HOME="+dir)}.run(ctx, podman, append(own, args...)...)
		}, dir)
	})
}

// podmanLoad runs "podman load" and checks that all images are listed.
func (s *fixture) podmanLoad(podman runner, dir, file string) error {
	if _, err := podman("load", "--signature-policy", filepath.Join(dir, "policy.json"), "-i", file); err != nil {
		return err
	}
	list, err := podman("images", "--format", "{{.Repository}}:{{.Tag}}")
	if err != nil {
		return err
	}
	return s.allListed(list)
}

// podmanLoads runs "podman load" with its own storage.
func podmanLoads(ctx context.Context, s *fixture, _, file string) error {
	return withPodman(ctx, s, func(podman runner, dir string) error { return s.podmanLoad(podman, dir, file) })
}

// withDocker calls do with a dockerd that has its own directories and socket, no bridge and
// no packet filter.
func withDocker(ctx context.Context, s *fixture, do func(docker runner) error) error {
	dockerd, env, err := engine("dockerd")
	if err != nil {
		return err
	}
	docker, _, err := engine("docker")
	if err != nil {
		return err
	}
	return s.withTempDir(func(dir string) (err error) {
		host := "unix://" + filepath.Join(dir, "d.sock")
		stop, err := startDockerd(ctx, dockerd, env, dir, host)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, stop()) }()
		return do(func(args ...string) (string, error) {
			return command{env: env}.run(ctx, docker, append([]string{"-H", host}, args...)...)
		})
	})
}

// dockerLoads runs "docker load" and a container of each image.
func dockerLoads(ctx context.Context, s *fixture, _, file string) error {
	return withDocker(ctx, s, func(docker runner) error {
		if _, err := docker("load", "-i", file); err != nil {
			return err
		}
		list, err := docker("images", "--format", "{{.Repository}}:{{.Tag}}")
		if err != nil {
			return err
		}
		if err := s.allListed(list); err != nil {
			return err
		}
		for _, name := range s.runnable {
			// The runc in the directory of tools is built without seccomp.
			out, err := docker("run", "--rm", "--network", "none", "--security-opt", "seccomp=unconfined", "--entrypoint", greeter, name)
			if err != nil || !strings.Contains(out, "hello from "+name) {
				return fmt.Errorf("a container of %s printed %q: %w", name, out, err)
			}
		}
		return nil
	})
}

// startDockerd starts the daemon and waits until it answers.
func startDockerd(ctx context.Context, dockerd string, env []string, dir, host string) (stop func() error, err error) {
	log, err := os.Create(filepath.Join(dir, "dockerd.log"))
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(dockerd, "--data-root", filepath.Join(dir, "data"), "--exec-root", filepath.Join(dir, "exec"),
		"-H", host, "-p", filepath.Join(dir, "pid"), "--bridge=none", "--iptables=false", "--ip6tables=false", "--storage-driver", "overlay2")
	cmd.Env, cmd.Stdout, cmd.Stderr = env, log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(err, log.Close())
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	stop = func() error {
		err := cmd.Process.Signal(syscall.SIGTERM) // it stops its containerd, too
		if errors.Is(err, os.ErrProcessDone) {
			err = nil
		}
		<-ended
		return errors.Join(err, log.Close())
	}
	docker, _, err := engine("docker")
	if err != nil {
		return nil, errors.Join(err, stop())
	}
	for range 300 {
		if _, err = (command{env: env}).run(ctx, docker, "-H", host, "version"); err == nil {
			return stop, nil
		}
		select {
		case end := <-ended:
			ended <- end
			text, _ := os.ReadFile(log.Name()) // for the message only
			return nil, errors.Join(fmt.Errorf("dockerd exited: %w: %s", end, lastLines(string(text))), log.Close())
		case <-time.After(100 * time.Millisecond):
		}
	}
	return nil, errors.Join(fmt.Errorf("dockerd does not answer: %w", err), stop())
}
