//go:build linux

// Command soak runs the two programs with random faults around them, round after round, and
// checks after each step that every promise holds:
//
//	go run ./soak --bin ../bin --rounds 200            # in the directory test, as root
//	go run ./soak --bin ../bin --rounds 1 --seed 4711  # the choices of that round again
//	go run ./soak --bin ../bin --images 100,200,400,1000
//
// A round makes all choices from its seed: the images and their form, the command lines,
// the faults of the registry, and the time of a kill as a part of the time of an
// undisturbed run. A seed repeats the choices; the instruction at which a kill occurs
// depends on the machine, so a rare failure may need several runs of its seed.
//
// A broken promise ends the run with exit code 1. The program prints the seed, the commands
// with their outputs and the expected result, and keeps the directory of the round.
//
// With --images there are no faults: it makes and loads bundles of those numbers of small
// images and fails if memory or processor time grow faster than the number of images.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/pflag"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	o := options{}
	pflag.StringVar(&o.bin, "bin", "../bin", "directory of the built programs")
	pflag.IntVar(&o.rounds, "rounds", 20, "how many rounds")
	pflag.Uint64Var(&o.seed, "seed", uint64(time.Now().UnixNano()%1e9), "of the first round; the next has the next number")
	pflag.BoolVarP(&o.verbose, "verbose", "v", false, "print each command as it ends")
	pflag.BoolVar(&o.onward, "keep-on", false, "go on after a broken promise; the exit code is still 1")
	pflag.IntSliceVar(&o.images, "images", nil, "numbers of images; measure instead of breaking things")
	pflag.Parse()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "soak: error:", err)
		os.Exit(1)
	}
}

// options is the command line.
type options struct {
	bin     string
	rounds  int
	seed    uint64
	verbose bool
	onward  bool
	images  []int
}

func run(ctx context.Context, o options) error {
	var err error
	if o.bin, err = filepath.Abs(o.bin); err != nil {
		return err
	}
	if len(o.images) > 0 {
		return measureMany(ctx, o)
	}
	return soak(ctx, o)
}

// soak runs the rounds.
func soak(ctx context.Context, o options) (err error) {
	f, err := openField(ctx, o.bin)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.close()) }()
	start := time.Now()
	broken := 0
	for i := range o.rounds {
		if ctx.Err() != nil {
			break
		}
		seed := o.seed + uint64(i)
		r := f.newRound(seed, o.verbose)
		rerr := r.run(ctx)
		if ctx.Err() != nil {
			break // the error is a consequence
		}
		fmt.Printf("round %d/%d seed %d: %s\n", i+1, o.rounds, seed, r.summary(rerr))
		if rerr == nil {
			if err := r.clean(); err != nil {
				return err
			}
			continue
		}
		broken++
		fmt.Printf("\n%s\nBROKEN: %v\nseed %d: go run ./soak --bin %s --rounds 1 --seed %d\nkept: %s\n\n", r.transcript(), rerr, seed, o.bin, seed, r.keep())
		if !o.onward {
			break
		}
		if err := f.renewNode(ctx); err != nil && ctx.Err() == nil {
			return err
		}
	}
	fmt.Printf("\n%s in %s, seeds from %d\n%s", f.tally.counted("rounds"), time.Since(start).Round(time.Second), o.seed, f.tally)
	switch {
	case broken > 0:
		return fmt.Errorf("%d of the rounds broke a promise", broken)
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	return nil
}
