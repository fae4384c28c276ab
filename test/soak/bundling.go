//go:build linux

package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

// reference is the result of an undisturbed run of the order.
type reference struct {
	file string // plain
	sum  string
	size int64
	code int // 0, or 3 with --keep-going if something is missing
	took time.Duration
}

// bundling is the first half of a round.
func (r *round) bundling(ctx context.Context, faults []*registryFault) error {
	if err := r.drawOrder(ctx); err != nil {
		return err
	}
	if err := r.undisturbed(ctx); err != nil {
		return err
	}
	r.world.registry.Reset()
	attempts, err := r.attempts(ctx, faults)
	if err != nil {
		return err
	}
	held, err := r.atHand()
	if err != nil {
		return err
	}
	if r.order.ending == "-" {
		attempts = attempts[len(attempts)-1:] // bytes sent to standard output are not kept
	}
	if err := wasted(attempts, held); err != nil {
		return err
	}
	return r.unchanged(ctx)
}

// undisturbed makes the file with which everything is compared.
func (r *round) undisturbed(ctx context.Context) error {
	o := r.order
	ending := o.ending
	if ending == "-" {
		ending = ".tar" // both have the same bytes
	}
	want := &reference{file: filepath.Join(r.dir, "reference"+ending)}
	if o.extra != "" {
		want.code = 3
	}
	got, err := r.bundle(ctx, want.file, o.flags, nil)
	if err == nil {
		err = got.among(want.code)
	}
	if err != nil {
		return fmt.Errorf("the undisturbed run: %w", err)
	}
	want.took = got.took
	if want.sum, want.size, err = sum(want.file); err != nil {
		return err
	}
	r.want = want
	if err := leaksInFile(want.file); err != nil {
		return err
	}
	if ending != ".tar" {
		return nil // the names are checked when it is loaded
	}
	names, err := namesIn(want.file)
	if err != nil {
		return err
	}
	for _, it := range r.world.items {
		for _, name := range r.world.names(it) {
			if !slices.Contains(names, name) {
				return fmt.Errorf("%s is not in the bundle, which has %q", name, names)
			}
		}
	}
	return nil
}

// atHand returns the blobs of the bundles that no attempt may pull again.
func (r *round) atHand() (map[string]bool, error) {
	if r.order.since == "" && r.order.older == "" {
		return nil, nil
	}
	return blobsOf(filepath.Join(r.dir, "base.tar"))
}

// output returns where the attempts of a round write.
func (r *round) output() string {
	if r.order.ending == "-" {
		return filepath.Join(r.out.dir, "-")
	}
	return filepath.Join(r.out.dir, "bundle"+r.order.ending)
}

// attempts runs the order with faults, up to three times, and then without.
func (r *round) attempts(ctx context.Context, faults []*registryFault) (all []attempt, err error) {
	before := "" // the file at the output; empty: none
	if r.order.older != "" {
		b, err := os.ReadFile(r.order.older)
		if err != nil {
			return nil, err
		}
		before = fmt.Sprintf("%x", sha256.Sum256(b))
		if err := os.WriteFile(r.output(), b, 0o600); err != nil {
			return nil, err
		}
	}
	for i := range r.d.between(1, 3) {
		r.turn(turnAttempts + uint64(i))
		a, done, err := r.attempt(ctx, faults, before)
		if err != nil {
			return nil, err
		}
		all = append(all, a)
		if done {
			break
		}
	}
	a, done, err := r.attempt(ctx, nil, before)
	if err != nil {
		return nil, fmt.Errorf("without faults: %w", err)
	}
	if !done {
		return nil, errors.New("without faults the same command does not succeed")
	}
	return append(all, a), r.settled(ctx)
}

// attempt runs the order once and checks the result.
func (r *round) attempt(ctx context.Context, faults []*registryFault, before string) (a attempt, done bool, err error) {
	h := &hurting{Registry: r.world.registry}
	defer h.heal()
	flags, codes := slices.Clone(r.order.flags), []int{r.want.code}
	hurt := "none"
	if len(faults) > 0 {
		hurt = pick(r.d, "none", "none", "none", "SIGKILL", "SIGKILL", "SIGTERM", "SIGINT", "disk full")
	}
	for _, f := range faults {
		if r.order.extra != "" && slices.Contains(f.codes, 3) {
			continue // with --keep-going the file would rightly differ
		}
		r.did("registry", f.name)
		flags = append(flags, f.set(r.d, h)...)
		if f.only == "" || r.world.named {
			codes = append(codes, f.codes...)
		}
	}
	change, more, err := r.accident(hurt, h)
	if err != nil {
		return a, false, err
	}
	codes = append(codes, more...)
	from := len(r.world.registry.Log())
	got, err := r.bundle(ctx, r.output(), flags, change)
	if err != nil {
		return a, false, err
	}
	if err := errors.Join(got.among(codes...), r.out.heal()); err != nil {
		return a, false, err
	}
	a = attempt{entries: r.world.registry.Log()[from:], failed: hurt != "none", jobs: r.order.jobs}
	return a, got.code == r.want.code, r.inspected(ctx, got, before)
}

// accident is a fault of bundle's own process, with the exit codes that it may have then.
func (r *round) accident(hurt string, h *hurting) (change func(*command), codes []int, err error) {
	if hurt == "none" || hurt == "disk full" && r.order.ending == "-" {
		return nil, nil, nil
	}
	r.did("bundle", hurt)
	if hurt == "disk full" {
		return nil, []int{1}, r.out.leave(int64(r.d.Float64() * float64(r.want.size)))
	}
	signal := map[string]syscall.Signal{"SIGKILL": syscall.SIGKILL, "SIGTERM": syscall.SIGTERM, "SIGINT": syscall.SIGINT}[hurt]
	codes = []int{interrupted, -1} // SIGTERM and SIGINT kill it only during its start, see sane
	if signal == syscall.SIGKILL {
		codes = []int{-1}
	}
	delay := r.d.part(r.want.took, 130)
	return func(c *command) { c.signal, c.delay = signal, delay }, codes, nil
}

// inspected checks the output of an attempt: the complete bundle, or what was there before.
func (r *round) inspected(ctx context.Context, got *ran, before string) error {
	out := r.output()
	if r.order.ending == "-" {
		out = r.streamed(out)
	}
	now, _, err := sum(out)
	if errors.Is(err, fs.ErrNotExist) {
		now, err = "", nil
	}
	if err != nil {
		return err
	}
	for _, f := range []string{out, out + ".partial", out + ".partial.journal"} {
		if err := leaksInFile(f); err != nil {
			return err
		}
	}
	switch {
	case now == r.want.sum:
		return nil
	case got.code == r.want.code:
		return fmt.Errorf("exited with %d, but %s differs from that of an undisturbed run (%s, want %s)", got.code, out, now, r.want.sum)
	case r.order.ending != "-" && now != before:
		return fmt.Errorf("exited with %d, and %s is neither a complete bundle nor the previous file", got.code, out)
	case r.order.ending != "-":
		return nil
	}
	v, err := r.call(ctx, command{program: r.programPath("bundle"), args: []string{"verify", out}, env: r.world.env})
	if err == nil && v.code == 0 {
		err = fmt.Errorf("an incomplete stream verifies: %s", out)
	}
	return err
}

// settled checks a finished bundle: it verifies, and no other files remain.
func (r *round) settled(ctx context.Context) error {
	out := r.output()
	if r.order.ending == "-" {
		out = r.streamed(out)
	}
	left, err := os.ReadDir(r.out.dir)
	if err != nil {
		return err
	}
	for _, e := range left {
		if e.Name() != filepath.Base(out) {
			return fmt.Errorf("%s remains beside the finished bundle", e.Name())
		}
	}
	v, err := r.call(ctx, command{program: r.programPath("bundle"), args: []string{"verify", out}, env: r.world.env})
	if err == nil {
		err = v.among(0)
	}
	return err
}

// unchanged runs the order again: it must fetch nothing.
func (r *round) unchanged(ctx context.Context) error {
	if r.order.ending == "-" {
		return nil
	}
	r.world.registry.Reset()
	got, err := r.bundle(ctx, r.output(), r.order.flags, nil)
	if err == nil {
		err = got.among(r.want.code)
	}
	if err != nil {
		return err
	}
	if n := r.world.registry.Counts(); n.Counted+n.BlobGets > 0 {
		return fmt.Errorf("nothing has changed, but %d counted pulls and %d blobs were fetched", n.Counted, n.BlobGets)
	}
	return r.inspected(ctx, got, r.want.sum)
}

// sum returns the digest and the size of a file.
func sum(path string) (string, int64, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", 0, err
	}
	defer f.Close() // opened for reading
	h := sha256.New()
	n, err := io.Copy(h, f)
	return fmt.Sprintf("%x", h.Sum(nil)), n, err
}

// names returns the full names that an image must have in the bundle and on the node.
func (w *world) names(it *item) []string {
	host := w.registry.Host()
	if w.named {
		host = "docker.io"
	}
	full := host + "/" + it.repo
	switch it.form {
	case byDigest:
		return []string{full + "@" + it.added.Digest.String()}
	case byBoth:
		return []string{full + ":" + it.tag, full + "@" + it.added.Digest.String()}
	}
	return []string{full + ":" + it.tag}
}
