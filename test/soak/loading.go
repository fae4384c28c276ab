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

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// load is one run of load: how it receives the bundle, and its flags.
type load struct {
	file  string
	pipe  bool
	flags []string
}

// loading is the second half of a round.
func (r *round) loading(ctx context.Context) error {
	r.turn(turnLoading)
	e, err := openEye(ctx, r.node)
	if err != nil {
		return err
	}
	defer e.close()
	// Only the sandbox image is here: what a round leaves behind is found by comparison.
	l := load{file: r.output(), pipe: r.d.chance(40)}
	if r.order.ending == "-" {
		l.file = r.streamed(l.file)
	}
	discard := r.d.chance(20)
	if discard {
		l.flags = append(l.flags, "--discard-layers")
		r.did("flavour", "--discard-layers")
	}
	if r.d.chance(40) {
		l.flags = append(l.flags, "--jobs", pick(r.d, "1", "4"))
	}
	if err := r.basis(ctx, e, l); err != nil {
		return err
	}
	t := &trial{round: r, eye: e, load: l, discard: discard}
	for i := range r.d.between(1, 2) {
		r.turn(turnFaults + uint64(i))
		f := pick(r.d, loadFaults...)
		r.did("load", f.name)
		if err := f.do(ctx, t); err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
		if err := t.whole(); err != nil {
			return fmt.Errorf("after %s: %w", f.name, err)
		}
	}
	if err := t.healed(ctx); err != nil {
		return fmt.Errorf("without faults: %w", err)
	}
	return t.afterwards(ctx)
}

// basis loads the base of a differential bundle. Without the base, load must refuse and
// change nothing.
func (r *round) basis(ctx context.Context, e *eye, l load) error {
	if r.order.since == "" {
		return nil
	}
	before, err := e.state()
	if err != nil {
		return err
	}
	got, err := r.callLoad(ctx, l, nil)
	if err == nil {
		err = got.among(0, 3) // 0: the bundle omits nothing
	}
	if err == nil && got.code == 3 {
		err = r.sameAs(e, before)
	}
	if err != nil {
		return fmt.Errorf("a differential bundle without its base: %w", err)
	}
	return r.loadBase(ctx)
}

// loadBase loads the base of a differential bundle and keeps its layers: the new bundle may
// have to unpack them again, on top of others.
func (r *round) loadBase(ctx context.Context) error {
	if r.order.since == "" {
		return nil
	}
	got, err := r.callLoad(ctx, load{file: r.order.since}, nil)
	if err == nil {
		err = got.among(0)
	}
	return err
}

// sameAs compares the node, after a garbage collection, with an earlier state.
func (r *round) sameAs(e *eye, before *nodeState) error {
	if err := e.collect(); err != nil {
		return err
	}
	now, err := e.state()
	if err != nil {
		return err
	}
	if list := before.changes(now); len(list) > 0 {
		return fmt.Errorf("the node has changed: %s", strings.Join(list, ", "))
	}
	return nil
}

// callLoad runs load.
func (r *round) callLoad(ctx context.Context, l load, change func(*command)) (*ran, error) {
	c := command{program: r.programPath("load"), env: environ(r.dir)}
	c.args = append([]string{"--address", r.node.Address(), "--output", "json", "--progress", "plain"}, l.flags...)
	if l.pipe {
		f, err := os.Open(l.file)
		if err != nil {
			return nil, err
		}
		defer f.Close()                  // opened for reading
		c.stdin = struct{ io.Reader }{f} // a pipe, not the file itself
		c.args = append(c.args, "-")
	} else {
		c.args = append(c.args, l.file)
	}
	if change != nil {
		change(&c)
	}
	got, err := r.call(ctx, c)
	if err != nil {
		return nil, err
	}
	return got, r.believed(ctx, got)
}

// report is the part of load's JSON that is checked.
type report struct {
	Images []struct {
		Name  string `json:"name"`
		Image string `json:"config"`
		CRI   string `json:"criStatus"`
	} `json:"images"`
	Complete bool `json:"complete"`
	Skipped  []struct {
		Name string `json:"name"`
	} `json:"skipped"`
	Ingested int64 `json:"sentSize"`
	Layers   int   `json:"unpackedLayerCount"`
}

// believed checks in CRI everything that a load with exit code 0 reports. A bundle that
// --keep-going wrote without a required image makes the load incomplete although everything
// in the bundle is loaded: believed checks that it says so, and changes the code to 0, what
// it would be otherwise.
func (r *round) believed(ctx context.Context, got *ran) error {
	if got.code != 0 && got.code != 3 {
		return nil
	}
	var rep report
	err := json.Unmarshal(got.out, &rep)
	switch {
	case got.code == 3 && (err != nil || len(rep.Skipped) == 0):
		return nil // nothing was loaded, or not all of it
	case err != nil:
		return fmt.Errorf("output of %s: %w", got.line, err)
	case len(rep.Images) == 0:
		return errors.New("load reports no images")
	case rep.Complete != (got.code == 0):
		return fmt.Errorf("load exited with %d and reports complete: %t", got.code, rep.Complete)
	}
	for _, i := range rep.Images {
		switch {
		case i.CRI == "ready":
		case got.code == 3:
			return nil
		default:
			return fmt.Errorf("load exited with 0 and reports %s as %q", i.Name, i.CRI)
		}
	}
	got.code = 0
	return nil
}

// resolves asks CRI for each reference of the order, as a kubelet does.
func (r *round) resolves(ctx context.Context) error {
	for _, it := range r.world.items {
		for _, name := range append(r.world.names(it), r.world.ref(it)) {
			status, err := r.node.Images().ImageStatus(ctx, &cri.ImageStatusRequest{Image: &cri.ImageSpec{Image: name}})
			if err != nil {
				return fmt.Errorf("image status %s: %w", name, err)
			}
			if status.Image == nil {
				return fmt.Errorf("CRI does not know %s", name)
			}
			if want := it.config(); status.Image.Id != want {
				return fmt.Errorf("CRI reports the id of %s as %s, want %s", name, status.Image.Id, want)
			}
		}
	}
	return nil
}

// trial is a bundle, a node and the state of the node before.
type trial struct {
	*round
	eye     *eye
	load    load
	discard bool
}

// whole checks every visible image.
func (t *trial) whole() error {
	s, err := t.eye.state()
	if err != nil {
		return err
	}
	return (&wholeness{state: s, blob: t.eye.blob, arch: runtime.GOARCH, discarded: t.discard}).all()
}

// healed checks that without a fault the same command succeeds and leaves everything and
// nothing else.
func (t *trial) healed(ctx context.Context) error {
	got, err := t.callLoad(ctx, t.load, nil)
	if err == nil {
		err = got.among(0)
	}
	if err == nil {
		t.loadTook = max(got.took, 50*time.Millisecond)
		err = t.resolves(ctx)
	}
	if err == nil {
		err = t.whole()
	}
	if err != nil {
		return err
	}
	s, err := t.eye.state()
	if err == nil {
		err = s.atRest()
	}
	if err != nil {
		return err
	}
	left, err := t.node.Leftovers(ctx)
	if err == nil && len(left) > 0 {
		err = fmt.Errorf("leftovers: %s", strings.Join(left, ", "))
	}
	return err
}

// afterwards checks that load check succeeds, that a second load does nothing, and that a
// container runs.
func (t *trial) afterwards(ctx context.Context) error {
	t.turn(turnAfter)
	if err := t.check(ctx, 0); err != nil {
		return err
	}
	before, err := t.eye.state()
	if err != nil {
		return err
	}
	got, err := t.callLoad(ctx, t.load, nil)
	if err == nil {
		err = got.among(0)
	}
	if err != nil {
		return err
	}
	var rep report
	if err := json.Unmarshal(got.out, &rep); err != nil {
		return err
	}
	if rep.Ingested != 0 || rep.Layers != 0 {
		return fmt.Errorf("a second load sent %d bytes and unpacked %d layers", rep.Ingested, rep.Layers)
	}
	if err := t.sameAs(t.eye, before); err != nil {
		return fmt.Errorf("a second load: %w", err)
	}
	it := pick(t.d, t.world.items...)
	name := pick(t.d, t.world.names(it)...)
	out, err := t.node.RunContainer(ctx, name)
	if err == nil && strings.TrimSpace(out) != t.world.greeting(it) {
		err = fmt.Errorf("a container of %s printed %q, want %q", name, out, t.world.greeting(it))
	}
	t.tally.add("containers")
	return err
}

// check runs load check, which must exit with code.
func (t *trial) check(ctx context.Context, codes ...int) error {
	got, err := t.call(ctx, command{program: t.programPath("load"), env: environ(t.dir), args: []string{"check", "--output", "json", "--address", t.node.Address(), t.load.file}})
	if err == nil {
		err = errors.Join(t.believed(ctx, got), got.among(codes...))
	}
	return err
}

// copyWith writes a changed copy of the bundle.
func (t *trial) copyWith(name string, change func([]byte) []byte) (string, error) {
	b, err := os.ReadFile(t.load.file)
	if err != nil {
		return "", err
	}
	path := filepath.Join(t.dir, name)
	return path, os.WriteFile(path, change(b), 0o600)
}
