package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"stowage/cmd/internal/cli"
	"stowage/pkg/scan"
)

// runScan lists the images of manifests.
func runScan(ctx context.Context, args []string, streams cli.Streams) error {
	var in input
	var reg registries
	var format string
	var pin bool
	fs := cli.NewFlags("bundle scan", scanHelp, streams)
	fs.Guesses = guesses
	in.flags(fs.FlagSet)
	reg.flags(fs.FlagSet)
	fs.BoolVar(&pin, "pin", false, "")
	fs.StringVarP(&format, "output", "o", "name", "")
	if err := fs.Parse(args); err != nil {
		return err
	}
	if err := in.check(); err != nil {
		return err
	}
	print := map[string]func(io.Writer, *scan.Result) error{"name": printNames, "wide": printWide, "json": printLines}[format]
	if err := cli.OneOf("output", format, "name", "wide", "json"); err != nil {
		return err
	}
	switch {
	case pin && format != "name":
		return cli.Usagef("--pin prints a list of names; drop --output")
	case len(in.sources)+fs.NArg() == 0:
		return cli.Usagef("nothing to scan: name manifests with -f")
	}
	var err error
	if in.sources, err = expand(append(in.sources, fs.Args()...)); err != nil {
		return err
	}
	if err := reg.read(ctx, streams, in.fromStdin()); err != nil {
		return err
	}
	in.scanOptions.Distinct = format == "name"
	result, err := in.scan(ctx, streams)
	if result == nil {
		return err
	}
	for _, w := range in.warnings {
		cli.Fprintf(streams.Err, "bundle: warning: %s\n", w)
	}
	if format != "json" {
		for _, line := range warningLines(result.Warnings) {
			cli.Fprintf(streams.Err, "bundle: warning: %s\n", line)
		}
	}
	if pin && err == nil {
		return reg.printLock(ctx, streams, result)
	}
	if !pin {
		if werr := print(streams.Out, result); werr != nil {
			return werr
		}
	}
	if err != nil {
		return inputError(err)
	}
	return nil
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

// printLines writes one object a line: {"image": …}, {"warning": …} or {"secret": …}.
func printLines(w io.Writer, r *scan.Result) error {
	enc := json.NewEncoder(w)
	return errors.Join(encode(enc, "image", r.References), encode(enc, "warning", r.Warnings), encode(enc, "secret", r.Secrets))
}

func encode[T any](enc *json.Encoder, key string, list []T) error {
	for _, v := range list {
		if err := enc.Encode(map[string]T{key: v}); err != nil {
			return err
		}
	}
	return nil
}
