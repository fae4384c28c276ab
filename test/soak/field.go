//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"stowage/internal/nodetest"
	"stowage/internal/registrytest"
)

// Sizes of the file systems of a run. All are in memory: nothing waits for a disk, and a
// resize makes a full disk.
const (
	workSize = 1 << 30
	outSize  = 256 << 20
	rootSize = 1 << 30
)

// field is shared by all rounds: the programs, the directories, and one node, which each
// round leaves as empty as it found it.
type field struct {
	bin     string
	dir     string
	work    *memDisk // for everything without faults
	out     *memDisk // where bundle writes
	root    *memDisk // containerd's root
	node    *nodetest.Node
	program []byte // the program of the images
	tally   *tally

	loadTook time.Duration // of the latest load; kills are timed relative to it
}

func openField(ctx context.Context, bin string) (_ *field, err error) {
	f := &field{bin: bin, tally: newTally(), loadTook: 200 * time.Millisecond}
	if f.dir, err = os.MkdirTemp("", "soak"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.close())
		}
	}()
	if f.program, err = registrytest.Program(ctx); err != nil {
		return nil, err
	}
	if f.work, err = mountDisk(filepath.Join(f.dir, "work"), workSize); err != nil {
		return nil, err
	}
	if f.out, err = mountDisk(filepath.Join(f.dir, "out"), outSize); err != nil {
		return nil, err
	}
	if f.root, err = mountDisk(filepath.Join(f.dir, "root"), rootSize); err != nil {
		return nil, err
	}
	return f, f.startNode(ctx)
}

// startNode starts containerd with only the sandbox image.
func (f *field) startNode(ctx context.Context) (err error) {
	h, err := registrytest.New(registrytest.Options{Dir: f.work.dir})
	if err != nil {
		return err
	}
	defer h.Close() // opened for reading
	if _, err := h.AddPause(map[string][]byte{runtime.GOARCH: f.program}); err != nil {
		return err
	}
	pause := filepath.Join(f.work.dir, "pause.tar")
	r, err := command{
		program: filepath.Join(f.bin, "bundle"),
		args:    []string{nodetest.DefaultSandboxImage, "-o", pause, "--mirror", "registry.k8s.io=" + h.Host()},
		env:     environ(f.work.dir),
	}.run(ctx)
	if err == nil && r.code != 0 {
		err = fmt.Errorf("bundle of the sandbox image exited with %d: %s", r.code, r.stderr)
	}
	if err != nil {
		return err
	}
	f.node, err = nodetest.Launch(ctx, nodetest.Options{Root: f.root.dir, SandboxTar: pause})
	return err
}

// renewNode starts a new empty node after a round that left the old one in an unknown
// state.
func (f *field) renewNode(ctx context.Context) error {
	err := errors.Join(f.root.heal(), f.node.Stop(), f.root.unmount())
	f.node = nil
	if err != nil {
		return err
	}
	if f.root, err = mountDisk(f.root.dir, rootSize); err != nil {
		return err
	}
	return f.startNode(ctx)
}

// close stops the node and unmounts the file systems.
func (f *field) close() error {
	var errs []error
	if f.root != nil {
		errs = append(errs, f.root.heal())
	}
	if f.node != nil {
		errs = append(errs, f.node.Stop())
	}
	for _, d := range []*memDisk{f.root, f.out, f.work} {
		if d != nil {
			errs = append(errs, d.unmount())
		}
	}
	return errors.Join(append(errs, os.RemoveAll(f.dir))...)
}

// environ returns an environment without accounts and proxies.
func environ(home string, more ...string) []string {
	return append([]string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + home, "TMPDIR=" + home, "LANG=C.UTF-8",
	}, more...)
}
