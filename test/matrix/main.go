//go:build linux

// Command matrix tries the two programs on every containerd and every reader of bundles
// that it can get, and prints what each did:
//
//	go run ./matrix --bin ../bin                     # from the folder test, as root
//	go run ./matrix --bin ../bin --versions 1.7.35,2.4.2 --readers ctr
//
// Each cell is a result of this run. A cell that could not be tried says "not run" and why.
// Readers that are known not to take a form stand in a list (gaps.go); the run fails when one
// of them does take it, and when anything else does not work; with CI=true in the environment
// also when something could not be tried.
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

// limit of a whole run: seven containerds and six readers take some three minutes.
const limit = 30 * time.Minute

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	o := options{}
	pflag.StringVar(&o.bin, "bin", "../bin", "folder of the built programs")
	pflag.StringVarP(&o.out, "output", "o", "", "write the tables to this file, too")
	pflag.StringSliceVar(&o.versions, "versions", nil, "versions of containerd (default: all of the folder of tools)")
	pflag.StringSliceVar(&o.readers, "readers", readerNames(), "programs that read bundles")
	pflag.BoolVar(&o.writers, "writers", true, "load what other programs write, too")
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

// errBroken says that the tables show something that should work and does not.
var errBroken = errors.New("not everything works, see above")

func run(ctx context.Context, o options) error {
	if len(o.versions) == 0 {
		var err error
		if o.versions, err = installed(ctx); err != nil {
			return err
		}
	}
	s, err := openShelf(ctx, o.bin)
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
	theirs := table{corner: "written by", columns: entranceNames()}
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

// document is what is printed, and kept in docs/compatibility.md.
func document(loads, readers, theirs table, on string) string {
	var b strings.Builder
	b.WriteString(head)
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
