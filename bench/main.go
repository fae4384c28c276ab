//go:build linux

// Command bench compares the two programs with other programs, in the same run and on the
// same machine, and prints Markdown tables:
//
//	go run ./bench bundle -bin bin     # with crane, skopeo, regctl and oras
//	go run ./bench load -bin bin       # with ctr images import
//	go run ./bench ci -bin bin         # with pulls by a new node
//	go run ./bench load -from load.json -docs docs
//
// Rounds are interleaved (A B C, B C A, ...), so that a change of the machine's speed
// affects all alike, and the tables show medians with the smallest and largest figure. The
// registry runs in this process; only the started programs are measured (see package
// meter). All traffic stays on the loopback interface, except that missing peers are built
// by "go install" at the versions in programs.go.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run is the program; it returns the exit code: 0, 1 for a failure, 2 for usage.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	s, err := parse(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		fmt.Fprintln(stderr, "bench: error:", err)
		return 2
	}
	text, err := benchmark(ctx, s, stderr)
	if text != "" { // print the tables that were finished before a failure
		err = errors.Join(err, publish(text, s.out, stdout))
	}
	if err != nil {
		fmt.Fprintln(stderr, "bench: error:", err)
		return 1
	}
	return 0
}

// benchmark runs one of the comparisons and returns the Markdown, as far as it got.
func benchmark(ctx context.Context, s *settings, log io.Writer) (_ string, err error) {
	if s.from != "" {
		r, err := readReport(s.from)
		if err != nil {
			return "", err
		}
		return s.report(r)
	}
	b, err := newBench(ctx, s, log)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	if s.command == "load" {
		r, err := b.load(ctx)
		if err != nil {
			return r.String(), err
		}
		return s.report(r)
	}
	var text strings.Builder
	if s.command == "ci" {
		err = b.ci(ctx, &text)
	} else {
		err = b.bundle(ctx, &text)
	}
	return text.String(), err
}

// report writes the wanted files of a report and returns its tables.
func (s *settings) report(r loadReport) (string, error) {
	var errs []error
	if s.json != "" {
		errs = append(errs, r.write(s.json))
	}
	if s.docs != "" {
		errs = append(errs, updateDocs(s.docs, r))
	}
	return r.String(), errors.Join(errs...)
}

// publish writes the text to a file, or to stdout when out is empty.
func publish(text, out string, stdout io.Writer) error {
	if out == "" {
		_, err := io.WriteString(stdout, text)
		return err
	}
	return os.WriteFile(out, []byte(text), 0o644)
}
