//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"stowage/bench/meter"
	"stowage/internal/nodetest"
	"stowage/internal/registrytest"
)

// The account at the registry.
const (
	user     = "bench"
	password = "bench-password"
)

// The registry's images are as large as the real ones, about 250 MB, with as many files,
// about 10,800 in all.
const (
	scaleOfCalico = 600
	filesOfCalico = 2700
)

// stepTime is the time limit of one command.
const stepTime = 10 * time.Minute

// bench is the state shared by all measurements.
type bench struct {
	*settings
	log      io.Writer
	memDir   string // temporary, on the tmpfs
	dskDir   string // temporary, on the disk
	tools    string // directory of the peers
	helper   string // the measuring program
	handicap string // the program that slows others down
	registry *registrytest.Registry
	calico   []registrytest.Added
}

// newBench creates the directories, the measuring program and the registry. The caller
// closes it.
func newBench(ctx context.Context, s *settings, log io.Writer) (_ *bench, err error) {
	b := &bench{settings: s, log: log}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.close())
		}
	}()
	if b.memDir, err = os.MkdirTemp(s.memory, "stowage-bench-"); err != nil {
		return nil, err
	}
	if b.dskDir, err = os.MkdirTemp(s.disk, "stowage-bench-"); err != nil {
		return nil, err
	}
	if b.tools, err = nodetest.Tools(); err != nil {
		return nil, err
	}
	if b.helper, err = buildHelper(ctx, b.memDir, "stowage/bench/meter/measure"); err != nil {
		return nil, err
	}
	if b.handicap, err = buildHelper(ctx, b.memDir, "stowage/bench/handicap"); err != nil {
		return nil, err
	}
	b.registry, err = registrytest.New(registrytest.Options{Dir: b.memDir, Policy: registrytest.Policy{
		Auth: registrytest.AuthBearer, RefuseAnonymous: true,
		Accounts: []registrytest.Account{{User: user, Password: password}},
	}})
	if err != nil {
		return nil, err
	}
	return b, err
}

// makeCalico makes the images in the shape of Calico's and adds them to the registry.
func (b *bench) makeCalico() (err error) {
	opts := registrytest.CalicoOptions{Archs: []string{runtime.GOARCH}, Scale: scaleOfCalico, Files: filesOfCalico}
	if b.quick {
		opts.Scale, opts.Files = 1, 20
	}
	b.calico, err = b.registry.AddCalico(opts)
	return err
}

// close closes the registry and removes all files.
func (b *bench) close() error {
	var errs []error
	if b.registry != nil {
		errs = append(errs, b.registry.Close())
	}
	for _, dir := range []string{b.memDir, b.dskDir} {
		if dir != "" {
			errs = append(errs, os.RemoveAll(dir))
		}
	}
	return errors.Join(errs...)
}

// logf logs the progress.
func (b *bench) logf(format string, args ...any) {
	fmt.Fprintf(b.log, "%s "+format+"\n", append([]any{time.Now().Format(time.TimeOnly)}, args...)...)
}

// tempDir creates an empty directory below parent and returns it with a function that
// removes it.
func tempDir(parent string) (string, func(), error) {
	dir, err := os.MkdirTemp(parent, "run")
	// An error here is reported when the parent is removed.
	return dir, func() { _ = os.RemoveAll(dir) }, err
}

// syncFS writes everything below dir to the disk, so that a measurement does not include
// the writes of the previous one.
func syncFS(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close() // opened to identify the file system
	return unix.Syncfs(int(f.Fd()))
}

// measure runs commands one after the other and returns their total cost.
func (b *bench) measure(ctx context.Context, env []string, commands ...[]string) (meter.Report, error) {
	var total meter.Report
	for i, args := range commands {
		stepCtx, cancel := context.WithTimeout(ctx, stepTime)
		r, err := meter.Run(stepCtx, b.helper, meter.Command{Args: args, Env: env})
		cancel()
		if err != nil {
			return total, err
		}
		if i == 0 {
			total = r
		} else {
			total = total.Then(r)
		}
	}
	return total, nil
}

// home writes the login to dir and returns an environment in which every tool finds it
// there, without the settings of the user.
func (b *bench) home(dir string) ([]string, error) {
	login := map[string]any{"auths": map[string]any{
		b.registry.Host(): map[string]string{"username": user, "password": password, "auth": basic(user, password)},
	}}
	raw, err := json.Marshal(login)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(dir, "config.json"), raw, 0o600); err != nil {
		return nil, err
	}
	return []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "TMPDIR=" + dir,
		"DOCKER_CONFIG=" + dir, "REGCTL_CONFIG=" + filepath.Join(dir, "regctl.json"),
	}, nil
}

// refs returns the references of the Calico images on the registry.
func (b *bench) refs() []string {
	var refs []string
	for _, repo := range registrytest.CalicoRepos {
		refs = append(refs, b.registry.Ref(repo, registrytest.CalicoTag))
	}
	return refs
}

// manifest returns a pod that uses the images.
func manifest(refs []string) string {
	var b strings.Builder
	b.WriteString("apiVersion: v1\nkind: Pod\nmetadata: {name: bench}\nspec:\n  containers:\n")
	for i, ref := range refs {
		fmt.Fprintf(&b, "  - {name: c%d, image: %q}\n", i, ref)
	}
	return b.String()
}
