// Package render makes manifests of charts and kustomizations with the programs that people
// deploy them with: helm, and kustomize or kubectl, from PATH. They run without a shell, with
// the environment of this program, and end with its context. What they print is as little
// trusted as any other input.
package render

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"stowage/pkg/scan"
)

// Kind says what a directory must be rendered as.
type Kind string

// The kinds.
const (
	Plain         Kind = "" // not at all
	Chart         Kind = "chart"
	Kustomization Kind = "kustomization"
)

// ErrBoth is returned for a directory that is a chart and a kustomization.
var ErrBoth = errors.New("is both a chart and a kustomization")

// KindOf returns what a directory must be rendered as.
func KindOf(dir string) (Kind, error) {
	chart := exists(dir, "Chart.yaml")
	kustomization := exists(dir, "kustomization.yaml") || exists(dir, "kustomization.yml") || exists(dir, "Kustomization")
	switch {
	case chart && kustomization:
		return Plain, fmt.Errorf("%s %w", dir, ErrBoth)
	case chart:
		return Chart, nil
	case kustomization:
		return Kustomization, nil
	}
	return Plain, nil
}

func exists(dir, name string) bool {
	info, err := os.Stat(filepath.Join(dir, name))
	return err == nil && info.Mode().IsRegular()
}

// Options are handed to helm. The zero value renders a chart with its own values.
type Options struct {
	Values, Set []string // files or addresses, and KEY=VALUE

	KubeVersion string
	APIVersions []string
	IncludeCRDs bool

	ReleaseName, Namespace string
}

// IsZero reports whether no option is set.
func (o *Options) IsZero() bool {
	return len(o.Values)+len(o.Set)+len(o.APIVersions) == 0 && o.KubeVersion+o.ReleaseName+o.Namespace == "" && !o.IncludeCRDs
}

// args returns the arguments of helm. No value can be taken for a flag.
func (o *Options) args(dir string) []string {
	args := []string{"template"}
	for _, f := range []struct {
		name   string
		values []string
	}{
		{"values", o.Values}, {"set", o.Set}, {"kube-version", set(o.KubeVersion)}, {"api-versions", o.APIVersions},
		{"namespace", set(o.Namespace)},
	} {
		for _, v := range f.values {
			args = append(args, "--"+f.name+"="+v)
		}
	}
	if o.IncludeCRDs {
		args = append(args, "--include-crds")
	}
	words := append(set(o.ReleaseName), dir)
	if slices.ContainsFunc(words, func(w string) bool { return strings.HasPrefix(w, "-") }) {
		args = append(args, "--")
	}
	return append(args, words...)
}

// set returns a list of an option that is set.
func set(v string) []string {
	if v == "" {
		return nil
	}
	return []string{v}
}

// program is one that renders, with the command that prints its version.
type program struct {
	name    string
	args    []string
	version []string
	prefix  string // of the line with the version
}

// programs returns those that can render a directory, the first choice first. kustomize takes
// a relative path such as github.com/a/b for an address, but not an absolute one.
func programs(dir string, kind Kind, opts *Options) ([]program, error) {
	if kind == Chart {
		return []program{{"helm", opts.args(dir), []string{"version", "--short"}, ""}}, nil
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	return []program{
		{"kustomize", []string{"build", abs}, []string{"version"}, ""},
		{"kubectl", []string{"kustomize", abs}, []string{"version", "--client"}, "Kustomize Version: "},
	}, nil
}

// A Result is what a program printed.
type Result struct {
	Program string // with its version
	Files   []File
	Notes   []string // lines of its standard error
}

// A File is a part of the manifests, under the name of the template it comes from. The lines
// are those of "helm template --show-only TEMPLATE".
type File struct {
	Name string
	Text []byte
}

// MissingError is returned when no program is there to render a directory.
type MissingError struct {
	Programs []string
	Command  []string // that renders it
}

// Error names the programs.
func (e *MissingError) Error() string { return strings.Join(e.Programs, " or ") + " is not in PATH" }

// RunError is returned when a program failed.
type RunError struct {
	Command []string
	Err     error
	Lines   []string // of its standard error
}

// Error returns the program with the reason.
func (e *RunError) Error() string { return e.Command[0] + ": " + e.Err.Error() }

// Unwrap returns the reason.
func (e *RunError) Unwrap() error { return e.Err }

// Render renders a directory. The error is a [*MissingError], a [*RunError], or that of ctx.
func Render(ctx context.Context, dir string, kind Kind, opts *Options) (*Result, error) {
	list, err := programs(dir, kind, opts)
	if err != nil {
		return nil, err
	}
	missing := &MissingError{}
	for _, p := range list {
		missing.Programs = append(missing.Programs, p.name)
		missing.Command = append([]string{p.name}, p.args...)
		missing.Command[len(p.args)] = dir // as the user named it
		path, err := exec.LookPath(p.name)
		if err != nil {
			continue // also a program in the working directory, which PATH must not name
		}
		out, notes, err := run(ctx, path, p.args, maxOutput)
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case err != nil:
			return nil, &RunError{Command: missing.Command, Err: err, Lines: notes}
		}
		r := &Result{Program: p.name + " " + version(ctx, path, p), Files: []File{{dir, out}}, Notes: notes}
		if kind == Chart {
			r.Files = templates(dir, out)
		}
		return r, nil
	}
	return nil, missing
}

// The limits of what a program prints, bytes, and how long it may take to end when ctx has
// ended.
const (
	maxOutput = scan.DefaultMaxDocument
	maxNotes  = 256 << 10
	patience  = 5 * time.Second
)

// run returns what a program prints, max bytes at most, and the lines of its standard error.
func run(ctx context.Context, path string, args []string, max int) ([]byte, []string, error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = patience
	out, notes := &limited{max: max, full: stop}, &limited{max: maxNotes, full: func() {}}
	cmd.Stdout, cmd.Stderr = out, notes
	err := cmd.Run()
	if out.over {
		err = fmt.Errorf("printed more than %d MiB", max>>20)
	}
	lines := strings.FieldsFunc(notes.text.String(), func(r rune) bool { return r == '\n' || r == '\r' })
	if notes.over {
		lines = append(lines, "...")
	}
	return out.text.Bytes(), lines, err
}

// limited keeps the first max bytes that are written to it, and calls full at the first one
// more. The buffer is not embedded: [io.Copy] would use its ReadFrom and pass Write by.
type limited struct {
	text bytes.Buffer
	max  int
	full func()
	over bool
}

func (l *limited) Write(p []byte) (int, error) {
	room := l.max - l.text.Len()
	if len(p) > room && !l.over {
		l.over = true
		l.full()
	}
	l.text.Write(p[:min(room, len(p))])
	return len(p), nil
}

// version returns the version of a program, as it prints it.
func version(ctx context.Context, path string, p program) string {
	out, _, err := run(ctx, path, p.version, maxNotes)
	if err != nil {
		return "(unknown version)"
	}
	for line := range strings.Lines(string(out)) {
		if text, is := strings.CutPrefix(strings.TrimSpace(line), p.prefix); is && text != "" {
			if p.prefix != "" {
				text = "(kustomize " + text + ")"
			}
			return text
		}
	}
	return "(unknown version)"
}

const sourceComment = "# Source: "

// templates splits the output of helm by its comments "# Source: CHART/templates/x.yaml". A
// template may have several documents, between those of others.
func templates(dir string, out []byte) []File {
	var files []File
	index := map[string]int{}
	add := func(name string, text []byte) {
		i, known := index[name]
		if !known {
			i = len(files)
			index[name], files = i, append(files, File{Name: name})
		}
		files[i].Text = append(files[i].Text, text...)
	}
	name, start := dir, 0
	for at := 0; at < len(out); {
		end := lineEnd(out, at)
		if source, is := bytes.CutPrefix(out[end:lineEnd(out, end)], []byte(sourceComment)); is && string(bytes.TrimSpace(out[at:end])) == "---" {
			if at > start {
				add(name, out[start:at])
			}
			name, start = sourceName(dir, string(bytes.TrimSpace(source))), at
		}
		at = end
	}
	if start < len(out) {
		add(name, out[start:])
	}
	return files
}

// lineEnd returns where the line at an offset ends, behind its line break.
func lineEnd(text []byte, at int) int {
	if i := bytes.IndexByte(text[at:], '\n'); i >= 0 {
		return at + i + 1
	}
	return len(text)
}

// sourceName returns the path of a template: helm writes the name of the chart for its
// directory.
func sourceName(dir, source string) string {
	_, path, ok := strings.Cut(source, "/")
	if path = filepath.FromSlash(path); !ok || !filepath.IsLocal(path) {
		return dir
	}
	return filepath.Join(dir, path)
}
