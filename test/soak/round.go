//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"stowage/internal/nodetest"
)

// round is one round: a registry with images, a bundle of them made with faults, and that
// bundle loaded with faults.
type round struct {
	*field
	seed    uint64
	d       dice
	dir     string // of this round, in memory
	verbose bool
	world   *world
	order   *order
	want    *reference // result of an undisturbed run

	words []string // summary of the round
	steps []string // every command with its output
	start time.Time
}

func (f *field) newRound(seed uint64, verbose bool) *round {
	f.tally.add("rounds")
	return &round{field: f, seed: seed, d: newDice(seed), dir: filepath.Join(f.work.dir, fmt.Sprint("r", seed)), verbose: verbose, start: time.Now()}
}

// run runs the round. The first broken promise is its error.
func (r *round) run(ctx context.Context) (err error) {
	if err := os.MkdirAll(r.dir, 0o755); err != nil {
		return err
	}
	faults := drawRegistryFaults(r.d)
	small := false
	for _, f := range faults {
		small = small || f.small
	}
	if r.world, err = newWorld(r.d, r.dir, r.program, small); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.world.registry.Close()) }()
	if err := r.bundling(ctx, faults); err != nil {
		return fmt.Errorf("bundle: %w", err)
	}
	if list := r.world.registry.Violations(); len(list) > 0 {
		return fmt.Errorf("violations at the registry: %s", strings.Join(list, "; "))
	}
	if err := r.loading(ctx); err != nil {
		return fmt.Errorf("load: %w", err)
	}
	return r.node.Wipe(ctx, nodetest.DefaultSandboxImage)
}

// turn uses new dice for a part of the round, so that its choices do not depend on how far
// the previous part got, which is a matter of timing.
func (r *round) turn(part uint64) { r.d = newDice(r.seed ^ part<<40) }

// The parts of a round with their own dice; attempts and faults of load count up from
// these.
const (
	turnAttempts = 1
	turnLoading  = 10
	turnFaults   = 20
	turnAfter    = 30
)

// did records what a round does, for its summary and for the tally.
func (r *round) did(heading, what string) {
	r.words = append(r.words, what)
	r.tally.add(heading + ": " + what)
}

// say adds a line to the transcript.
func (r *round) say(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	r.steps = append(r.steps, line)
	if r.verbose {
		fmt.Println("    " + line)
	}
}

// call runs a command, records it, and checks what must be true of every command.
func (r *round) call(ctx context.Context, c command) (*ran, error) {
	got, err := c.run(ctx)
	if err != nil {
		return nil, fmt.Errorf("%s %v: %w", c.program, c.args, err)
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	what := ""
	if c.signal != 0 {
		what = fmt.Sprintf(" (%v after %v)", c.signal, c.delay.Round(time.Millisecond))
	}
	r.say("$ %s%s\n  exited with %d after %v, %.1f MiB\n%s", got.line, what, got.code, got.took.Round(time.Millisecond), float64(got.peak)/(1<<20), indent(string(got.stderr)))
	r.tally.peak(filepath.Base(c.program), got.peak)
	r.tally.add(fmt.Sprintf("exit code %d of %s", got.code, filepath.Base(c.program)))
	return got, got.sane()
}

// indent indents the output of a program.
func indent(s string) string {
	s = strings.TrimRight(s, "\n")
	if s == "" {
		return ""
	}
	return "    | " + strings.ReplaceAll(s, "\n", "\n    | ") + "\n"
}

func (r *round) transcript() string {
	var registry strings.Builder
	if r.world != nil {
		registry.WriteString("requests since the last undisturbed run:\n")
		if err := r.world.registry.WriteLog(&registry); err != nil {
			registry.WriteString(err.Error())
		}
	}
	return strings.Join(r.steps, "\n") + "\n" + registry.String() + "containerd said last:\n" + r.node.Log(20)
}

func (r *round) summary(err error) string {
	verdict := "ok"
	if err != nil {
		verdict = "BROKEN"
	}
	return fmt.Sprintf("%s in %.1fs: %s", verdict, time.Since(r.start).Seconds(), strings.Join(r.words, ", "))
}

// keep copies the directory of the round and the output of bundle to a permanent place.
func (r *round) keep() string {
	dir := filepath.Join(os.TempDir(), fmt.Sprintf("stowage-soak-%d", r.seed))
	err := errors.Join(os.RemoveAll(dir), os.CopyFS(filepath.Join(dir, "round"), os.DirFS(r.dir)), os.CopyFS(filepath.Join(dir, "out"), os.DirFS(r.out.dir)),
		os.WriteFile(filepath.Join(dir, "transcript"), []byte(r.transcript()), 0o600), r.clean())
	if err != nil {
		return fmt.Sprintf("%s, not all of it: %v", dir, err)
	}
	return dir
}

// clean empties the directories.
func (r *round) clean() error {
	errs := []error{os.RemoveAll(r.dir), r.out.heal()}
	left, err := os.ReadDir(r.out.dir)
	for _, e := range left {
		errs = append(errs, os.RemoveAll(filepath.Join(r.out.dir, e.Name())))
	}
	return errors.Join(append(errs, err)...)
}
