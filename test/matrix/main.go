//go:build linux

// Command matrix tests the two programs with every available containerd and every available
// reader of bundles, and prints the results:
//
//	go run ./matrix --bin ../bin                     # in the directory test, as root
//	go run ./matrix --bin ../bin --versions 1.7.35,2.4.2 --readers ctr
//
// Each cell is a result of this run. A cell that could not be tested is "not run" with the
// reason. The known gaps of readers are listed in gaps.go; the run fails if a reader has
// lost its gap, and if anything else does not work. With CI=true in the environment it also
// fails if something could not be tested.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/pflag"

	"stowage/internal/need"
)

// limit is the time limit of a run: seven versions of containerd and six readers take about
// three minutes.
const limit = 30 * time.Minute

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	o := options{}
	pflag.StringVar(&o.bin, "bin", "../bin", "directory of the built programs")
	pflag.StringVarP(&o.out, "output", "o", "", "also write the tables to this file")
	pflag.StringSliceVar(&o.versions, "versions", nil, "versions of containerd (default: all in the directory of tools)")
	pflag.StringSliceVar(&o.readers, "readers", readerNames(), "programs that read bundles")
	pflag.BoolVar(&o.writers, "writers", true, "also load tarballs of other programs")
	pflag.Parse()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "matrix: error:", err)
		os.Exit(1)
	}
}

type options struct {
	bin, out string
	versions []string
	readers  []string
	writers  bool
}

// errBroken reports that the tables contain failures.
var errBroken = errors.New("failures in the tables above")

func run(ctx context.Context, o options) error {
	if len(o.versions) == 0 {
		var err error
		if o.versions, err = installed(ctx); err != nil {
			return err
		}
	}
	s, err := newFixture(ctx, o.bin)
	if err != nil {
		return err
	}
	defer s.close()
	loads := table{corner: "containerd", columns: jobNames()}
	for _, v := range o.versions {
		loads.add(loadRow(ctx, s, v))
	}
	readers := table{corner: "reader", columns: formNames()}
	for _, name := range o.readers {
		for _, row := range readerRows(ctx, s, name, o.versions) {
			readers.add(row)
		}
	}
	theirs := table{corner: "written by", columns: loadModeNames()}
	if o.writers {
		for _, w := range writers {
			theirs.add(writerRow(ctx, s, w, o.versions[len(o.versions)-1]))
		}
	}
	text := document(loads, readers, theirs, machine())
	fmt.Print(text)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if o.out != "" {
		if err := os.WriteFile(o.out, []byte(text), 0o644); err != nil {
			return err
		}
	}
	strict := need.Strict()
	if loads.broken(strict)+readers.broken(strict)+theirs.broken(strict) > 0 {
		return errBroken
	}
	return nil
}

// document returns the text that is printed and kept in docs/compatibility.md.
func document(loads, readers, theirs table, on string) string {
	var b strings.Builder
	b.WriteString(intro)
	fmt.Fprintf(&b, "\n## load\n\nOn %s.\n\n%s\n", on, loads.markdown())
	b.WriteString(loadNotes)
	fmt.Fprintf(&b, "\n## Other readers of a bundle\n\n%s\n", readers.markdown())
	b.WriteString(readerNotes)
	for _, line := range readers.remarks() {
		fmt.Fprintf(&b, "- %s\n", line)
	}
	if len(theirs.rows) > 0 {
		fmt.Fprintf(&b, "\n## Tarballs of other programs, for load\n\n%s\n", theirs.markdown())
		b.WriteString(writerNotes)
	}
	return b.String()
}
