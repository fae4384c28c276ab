package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"stowage/cmd/bundle/internal/report"
	"stowage/cmd/internal/cli"
	"stowage/cmd/internal/document"
	"stowage/pkg/scan"
)

// scanJob is the command line of scan.
type scanJob struct {
	input
	registries
	format string
	pin    bool
	lock   string   // to compare with the manifests, or ""
	failOn []string // codes of warnings that fail the run
}

// scanFormats are the values of --output that print the images, with what prints them.
var scanFormats = map[string]func(io.Writer, *scan.Result) error{
	"name": printNames, "wide": printWide, "json": printLines,
}

// scanReports are the values of --output that print the warnings, with what prints them.
var scanReports = map[string]func(io.Writer, report.Scan) error{
	"sarif": report.SARIF, "codequality": report.CodeQuality, "github": report.GitHub,
}

// reported returns what a report is about.
func reported(r *scan.Result, uncovered []scan.Uncovered, err error) report.Scan {
	s := report.Scan{Warnings: r.Warnings, Uncovered: uncovered, Version: cli.VersionString()}
	if err != nil {
		s.Errors = leaves(err)
	}
	return s
}

// parseScan reads the command line of scan.
func parseScan(ctx context.Context, args []string, streams cli.Streams) (*scanJob, error) {
	j := &scanJob{}
	fs := cli.NewFlags("bundle scan", scanHelp, streams)
	fs.Guesses = guesses
	j.input.flags(fs.FlagSet)
	j.registries.flags(fs.FlagSet)
	fs.BoolVar(&j.pin, "pin", false, "")
	fs.StringVar(&j.lock, "check-lock", "", "")
	fs.StringSliceVar(&j.failOn, "fail-on", nil, "")
	cli.Suggest(fs.FlagSet, "fail-on", warningCodes()...)
	fs.StringVarP(&j.format, "output", "o", "name", "")
	cli.Choices(fs.FlagSet, "output", "name", "wide", "json", "sarif", "codequality", "github")
	if err := fs.Parse(args); err != nil {
		return nil, err
	}
	j.sources = append(j.sources, fs.Args()...)
	if err := j.check(); err != nil {
		return nil, err
	}
	j.scanOptions.Distinct = j.format == "name"
	var err error
	if j.sources, err = expand(j.sources); err != nil {
		return nil, err
	}
	if j.lock != "" {
		return j, nil
	}
	return j, j.registries.read(ctx, streams, j.fromStdin())
}

// warningCodes returns the codes of --fail-on.
func warningCodes() []string {
	var out []string
	for _, c := range scan.Codes() {
		out = append(out, string(c.Code))
	}
	return out
}

// check refuses contradictions.
func (j *scanJob) check() error {
	for _, code := range j.failOn {
		if !slices.Contains(warningCodes(), code) {
			return cli.Usagef("--fail-on %s: not the code of a warning; \"bundle scan -o json\" prints the code of each", code)
		}
	}
	switch {
	case j.pin && j.format != "name":
		return cli.Usagef("--pin prints a list of names; drop --output")
	case j.lock != "" && j.format != "name" && scanReports[j.format] == nil:
		return cli.Usagef("--check-lock prints the difference; drop --output, or choose a report: sarif, codequality or github")
	case j.lock != "" && j.pin:
		return cli.Usagef("--check-lock and --pin contradict each other")
	case len(j.sources) == 0:
		return cli.Usagef("nothing to scan: name manifests with -f")
	}
	return nil
}

// runScan lists the images of manifests.
func runScan(ctx context.Context, args []string, streams cli.Streams) error {
	j, err := parseScan(ctx, args, streams)
	if err != nil {
		return err
	}
	result, err := j.scan(ctx, streams)
	if result == nil {
		return err
	}
	for _, n := range j.notes {
		cli.Fprintf(streams.Err, "bundle: %s\n", n)
	}
	for _, w := range j.warnings {
		cli.Fprintf(streams.Err, "bundle: warning: %s\n", w)
	}
	if j.format == "name" || j.format == "wide" {
		for _, line := range warningLines(result.Warnings) {
			cli.Fprintf(streams.Err, "bundle: warning: %s\n", line)
		}
	}
	var uncovered []scan.Uncovered
	var lockErr error
	if j.lock != "" && err == nil {
		uncovered, lockErr = j.checkLock(ctx, streams, result)
	}
	write := scanReports[j.format]
	switch {
	case write != nil:
		if werr := write(streams.Out, reported(result, uncovered, err)); werr != nil {
			return werr
		}
	case j.lock != "":
		lockErr = errors.Join(printUncovered(streams.Out, uncovered), lockErr)
	case j.pin && err == nil:
		lockErr = j.printLock(ctx, streams, result)
	case !j.pin:
		if werr := scanFormats[j.format](streams.Out, result); werr != nil {
			return werr
		}
	}
	if err != nil {
		return inputError(err)
	}
	return errors.Join(lockErr, j.refuse(result))
}

// refuse returns an error when the result has warnings of --fail-on.
func (j *scanJob) refuse(r *scan.Result) error {
	n, codes := 0, map[string]bool{}
	for _, w := range r.Warnings {
		if slices.Contains(j.failOn, string(w.Code)) {
			n++
			codes[string(w.Code)] = true
		}
	}
	if n == 0 {
		return nil
	}
	return cli.Errorf(cli.Failed, "%s of --fail-on: %s", cli.Count(n, "warning"), strings.Join(slices.Sorted(maps.Keys(codes)), ", "))
}

// maxPlaces is how many places of equal warnings a line names.
const maxPlaces = 5

// warningLines returns a line for each warning, equal ones on one with their number and their
// places, in the order of the first.
func warningLines(warnings []scan.Warning) []string {
	type text struct{ message, advice string }
	index := map[text]int{}
	var texts []text
	var places [][]string
	for _, w := range warnings {
		t := text{w.Message, w.Advice}
		i, known := index[t]
		if !known {
			i = len(texts)
			index[t], texts, places = i, append(texts, t), append(places, nil)
		}
		place := w.File
		if w.Line > 0 {
			place = fmt.Sprintf("%s:%d:%d", w.File, w.Line, w.Column)
		}
		places[i] = append(places[i], place)
	}
	lines := make([]string, len(texts))
	for i, t := range texts {
		lines[i] = places[i][0] + ": " + t.message
		if t.advice != "" {
			lines[i] += "; " + t.advice
		}
		if n := len(places[i]); n > 1 {
			lines[i] += fmt.Sprintf(" (%d places: %s", n, strings.Join(places[i][:min(n, maxPlaces)], ", "))
			if n > maxPlaces {
				lines[i] += fmt.Sprintf(" and %d more", n-maxPlaces)
			}
			lines[i] += ")"
		}
	}
	return lines
}

func printNames(w io.Writer, r *scan.Result) error {
	_, err := io.WriteString(w, strings.Join(append(r.Names(), ""), "\n"))
	return err
}

func printWide(w io.Writer, r *scan.Result) error {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	cli.Fprintf(t, "IMAGE\tCLASS\tFORM\tPOLICY\tPLACE\tOBJECT\tFIELD\n")
	for _, ref := range r.References {
		policy := ref.PullPolicy
		if policy == "" {
			policy = "-"
		}
		object := ref.Object.String()
		if object == "" {
			object = "-"
		}
		cli.Fprintf(t, "%s\t%s\t%s\t%s\t%s:%d:%d\t%s\t%s\n", ref.Name, ref.Class, ref.Form, policy, ref.File, ref.Line, ref.Column, object, ref.Field)
	}
	return t.Flush()
}

// printLines writes one document a line, with a reference, a warning, or a secret.
func printLines(w io.Writer, r *scan.Result) error {
	return errors.Join(encode(w, "reference", r.References), encode(w, "warning", r.Warnings), encode(w, "secret", r.Secrets))
}

func encode[T any](w io.Writer, key string, list []T) error {
	for _, v := range list {
		if err := document.WriteLine(w, map[string]T{key: v}); err != nil {
			return err
		}
	}
	return nil
}
