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

// Sizes of the file systems of a run, all in memory: nothing waits for a disk, and a disk that
// is full is made by a word.
const (
	workSize = 1 << 30
	outSize  = 256 << 20
	rootSize = 1 << 30
)

// field is what all rounds share: the programs, the folders, and one node, which each round
// leaves as empty as it found it.
type field struct {
	bin     string
	dir     string
	work    *memDisk // for everything that no fault concerns
	out     *memDisk // where bundle writes
	root    *memDisk // containerd's root
	node    *nodetest.Node
	program []byte // what the images run
	tally   *tally

	loadTook time.Duration // of the latest load; where kills strike is a part of it
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

// startNode starts containerd with nothing but the image of pod sandboxes.
func (f *field) startNode(ctx context.Context) (err error) {
	h, err := registrytest.New(registrytest.Options{Dir: f.work.dir})
	if err != nil {
		return err
	}
	defer h.Close() // only read from
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
		err = fmt.Errorf("bundle of the sandbox image ended with %d: %s", r.code, r.told)
	}
	if err != nil {
		return err
	}
	f.node, err = nodetest.Launch(ctx, nodetest.Options{Root: f.root.dir, SandboxTar: pause})
	return err
}

// renewNode starts over with an empty node, when a round has left one that nobody can vouch for.
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

// close ends the node and takes the file systems away.
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

// environ is an environment without anybody's accounts and proxies.
func environ(home string, more ...string) []string {
	return append([]string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + home, "TMPDIR=" + home, "LANG=C.UTF-8",
	}, more...)
}
