//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strings"

	"stowage/internal/registrytest"
)

// order is a command line of bundle.
type order struct {
	input  []string // images, or -f and a file of them
	flags  []string
	ending string // of the output: ".tar", ".tar.zst", ".tar.gz", or "-" for standard output
	jobs   int
	since  string // base of a differential bundle; empty: a complete one
	older  string // a bundle that already exists at the output; empty: none
	extra  string // an image that the registry does not have; with --keep-going
}

// drawOrder chooses a command line and creates the files that it needs.
func (r *round) drawOrder(ctx context.Context) error {
	d, w := r.d, r.world
	o := &order{ending: pick(d, ".tar", ".tar", ".tar", ".tar", ".tar.zst", ".tar.gz", "-", "-"), jobs: pick(d, 1, 2, 8)}
	r.order = o
	o.flags = append(o.flags, "--jobs", fmt.Sprint(o.jobs), "--progress", pick(d, "plain", "json", "none"))
	flat := d.chance(25) && !w.pinsIndex()
	if flat {
		o.flags = append(o.flags, "--flat")
		r.did("flavour", "--flat")
	}
	if d.chance(20) {
		o.flags = append(o.flags, "--platform", pick(d, "all", "linux/"+runtime.GOARCH))
	}
	o.input = w.refs()
	since, older := d.chance(30), o.ending != "-" && d.chance(30)
	if since || older {
		if err := r.earlier(ctx, since, older); err != nil {
			return err
		}
	}
	o.input = w.refs()
	if d.chance(15) {
		// By a tag: a digest may be satisfied from other sources.
		o.extra = strings.TrimSuffix(w.names(w.items[0])[0], path.Base(w.names(w.items[0])[0])) + "nowhere:v1"
		w.registry.SetPolicy(func(p *registrytest.Policy) { p.HideMissing = false }) // otherwise the registry answers 401
		o.input = append(o.input, o.extra)
		o.flags = append(o.flags, "--keep-going")
		r.did("flavour", "--keep-going")
	}
	r.tally.add("flavour: written as " + o.ending)
	switch {
	case o.extra == "" && !flat && d.chance(25):
		return r.lock(ctx)
	case d.chance(40):
		return r.manifest()
	}
	return nil
}

// earlier makes a bundle of the current tags and then moves some of them.
func (r *round) earlier(ctx context.Context, since, older bool) error {
	o := r.order
	base := filepath.Join(r.dir, "base.tar")
	got, err := r.bundle(ctx, base, o.flags, nil)
	if err == nil {
		err = got.among(0)
	}
	if err != nil {
		return err
	}
	if since {
		o.since = base
		o.flags = append(o.flags, "--since", base)
		r.did("flavour", "--since")
	}
	if older {
		o.older = base
		r.did("flavour", "replaces a bundle")
	}
	moved, err := r.world.move(r.d)
	r.say("moved %d tags", moved)
	return err
}

// lock runs bundle to write its input as a list of digests. Tags may move later, but the
// list stays valid.
func (r *round) lock(ctx context.Context) error {
	list := filepath.Join(r.dir, "list")
	if err := os.WriteFile(list, []byte(strings.Join(r.order.input, "\n")+"\n"), 0o600); err != nil {
		return err
	}
	got, err := r.call(ctx, command{program: r.programPath("bundle"), env: r.world.env, args: append([]string{"scan", "--pin", "-f", list}, r.world.flags...)})
	if err == nil {
		err = got.among(0)
	}
	if err != nil {
		return err
	}
	locked := filepath.Join(r.dir, "lock")
	r.order.input = []string{"-f", locked}
	r.did("flavour", "lock file")
	return os.WriteFile(locked, got.out, 0o600)
}

// manifest writes the images as pods instead of arguments.
func (r *round) manifest() error {
	var b strings.Builder
	for i, ref := range r.order.input {
		fmt.Fprintf(&b, "apiVersion: v1\nkind: Pod\nmetadata: {name: p%d}\nspec:\n  containers:\n  - {name: c, image: %q}\n---\n", i, ref)
	}
	file := filepath.Join(r.dir, "pods.yaml")
	r.order.input = []string{"-f", file}
	return os.WriteFile(file, []byte(b.String()), 0o600)
}

// pinsIndex reports whether an index is requested by its digest, which --flat cannot keep
// and therefore refuses.
func (w *world) pinsIndex() bool {
	for _, it := range w.items {
		if it.multi && it.form != byTag {
			return true
		}
	}
	return false
}

func (r *round) programPath(name string) string { return filepath.Join(r.bin, name) }

// bundle runs the order with its output at out; change may add a fault to the command.
func (r *round) bundle(ctx context.Context, out string, flags []string, change func(*command)) (*ran, error) {
	c := command{program: r.programPath("bundle"), env: r.world.env}
	c.args = append(c.args, r.order.input...)
	c.args = append(append(c.args, flags...), r.world.flags...)
	if change != nil {
		change(&c)
	}
	if filepath.Base(out) != "-" {
		c.args = append(c.args, "-o", out)
		return r.call(ctx, c)
	}
	c.args = append(c.args, "-o", "-")
	f, err := os.Create(r.streamed(out))
	if err != nil {
		return nil, err
	}
	c.stdout = f
	got, err := r.call(ctx, c)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return got, err
}

// streamed is the file for bundle's standard output.
func (r *round) streamed(out string) string { return filepath.Join(filepath.Dir(out), "streamed.tar") }
