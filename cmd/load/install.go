//go:build linux

package main

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/distribution/reference"

	"stowage/cmd/internal/cli"
	"stowage/cmd/internal/document"
	"stowage/pkg/archive"
	"stowage/pkg/node"
	"stowage/pkg/serve/install"
)

// runInstall wires what this command line would serve into the node.
func (s *serveSettings) runInstall(ctx context.Context, streams cli.Streams) error {
	o, err := s.installOptions(ctx)
	if err != nil {
		return ended(ctx, err)
	}
	report, err := install.Install(ctx, o)
	if err != nil {
		return installError(ctx, err)
	}
	return s.printReport(streams, report, "wired: containerd asks http://"+s.listen+" first for images of ")
}

// installOptions finds out what is to be wired, and where.
func (s *serveSettings) installOptions(ctx context.Context) (o install.Options, err error) {
	program, err := os.Executable()
	if err != nil {
		return o, err
	}
	registries, err := s.bundleRegistries(ctx)
	if err != nil {
		return o, err
	}
	n, err := node.Connect(ctx, s.node)
	if err != nil {
		return o, err
	}
	defer n.Close() // nothing was written
	pulls, err := n.Pulls(ctx)
	if err != nil {
		return o, err
	}
	o = install.Options{Listen: s.listen, Registries: registries, Containerd: daemon(n.Server(), pulls), Command: []string{program, "serve"}}
	if len(s.files) == 0 {
		o.Registries = pulls.Registries
		o.Command = append(o.Command, "--address", n.Server().Address, "--namespace", n.Server().Namespace)
		if len(o.Registries) == 0 {
			return o, cli.Errorf(cli.Incomplete, "no image of a bundle is on this node, so no registry is known to wire").WithHint("load a bundle first")
		}
	}
	o.Command = append(o.Command, "--listen", s.listen)
	for _, file := range s.files {
		file, err := filepath.Abs(file)
		if err != nil {
			return o, err
		}
		o.Command = append(o.Command, "--input", file)
	}
	return o, nil
}

func daemon(s node.Server, p *node.Pulls) install.Containerd {
	return install.Containerd{Version: s.Version, Files: p.Files, ConfigPath: p.ConfigPath, Mirrors: p.Mirrors}
}

// bundleRegistries returns the registries of the images of the bundles.
func (s *serveSettings) bundleRegistries(ctx context.Context) ([]string, error) {
	if err := s.checkFiles(); err != nil {
		return nil, err
	}
	var registries []string
	for _, file := range s.files {
		r, err := openServed(ctx, file)
		if err != nil {
			return nil, err
		}
		registries = append(registries, registriesOf(r)...)
		r.Close() // only read from
	}
	return registries, nil
}

func registriesOf(r *archive.Reader) []string {
	var out []string
	for _, img := range r.Images() {
		if ref, err := reference.ParseNormalizedNamed(img.Name); err == nil {
			out = append(out, reference.Domain(ref))
		}
	}
	return out
}

// runUninstall removes what runInstall has written.
func (s *serveSettings) runUninstall(ctx context.Context, streams cli.Streams) error {
	var o install.Options
	n, err := node.Connect(ctx, s.node)
	if err == nil {
		defer n.Close()
		pulls, perr := n.Pulls(ctx)
		if err = perr; err == nil {
			o.Containerd = daemon(n.Server(), pulls)
		}
	}
	if ctx.Err() != nil {
		return ended(ctx, ctx.Err())
	}
	if err != nil { // containerd need not run for this
		cli.Fprintf(streams.Err, "load: warning: %v\n", err)
		cli.Fprintf(streams.Err, "load: warning: only the usual directories are searched for entries\n")
	}
	report, err := install.Uninstall(ctx, o)
	if err != nil {
		return installError(ctx, err)
	}
	return s.printReport(streams, report, "unwired: containerd asks as before for images of ")
}

// printReport prints what was done to each file and what is left to do.
func (s *serveSettings) printReport(streams cli.Streams, r *install.Report, summary string) error {
	for _, note := range r.Notes {
		cli.Fprintf(streams.Err, "load: note: %s\n", note)
	}
	if s.format == "json" {
		return document.Write(streams.Out, r)
	}
	if err := printFiles(streams.Out, r.Files); err != nil {
		return err
	}
	changed := false
	for _, f := range r.Files {
		changed = changed || f.Done != install.Unchanged
	}
	switch {
	case !changed:
		cli.Fprintf(streams.Err, "load: nothing to do\n")
	case len(r.Registries) > 0:
		cli.Fprintf(streams.Err, "load: %s%s\n", summary, strings.Join(r.Registries, ", "))
	}
	for _, command := range r.Next {
		cli.Fprintf(streams.Err, "load: next: %s\n", command)
	}
	return nil
}

func printFiles(w io.Writer, files []install.File) error {
	if len(files) == 0 {
		return nil
	}
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	cli.Fprintf(t, "FILE\tDONE\n")
	for _, f := range files {
		cli.Fprintf(t, "%s\t%s\n", f.Path, string(f.Done))
	}
	return t.Flush()
}

// installError adds the hint to an error of package install.
func installError(ctx context.Context, err error) error {
	var (
		edit    *install.EditError
		path    *install.ConfigPathError
		systemd *install.SystemdError
	)
	e := &cli.Error{Code: cli.Failed, Err: err}
	switch {
	case ctx.Err() != nil:
		return ended(ctx, err)
	case errors.As(err, &edit):
		e.Hint = "nothing was changed; correct the file, or move it away, and run the same command again"
		if edit.Want != "" {
			e.Hint = "nothing was changed; add it by hand as the first host: " + strings.Join(strings.Fields(edit.Want), " ")
		}
	case errors.As(err, &path):
		e.Code, e.Hint = cli.NoNode, configPathHint(path)
	case errors.As(err, &systemd) && systemd.Args == nil:
		e.Hint = "nothing was changed; without systemd, start \"load serve\" before containerd by other means, and add the entry by hand: docs/serve.md"
	case errors.As(err, &systemd):
		e.Hint = "systemctl status stowage-load-serve.socket says more"
		if systemd.Undone {
			e.Hint = "what was written has been undone; is the port in use? \"ss -ltnp\" shows by which process"
		}
	case errors.Is(err, fs.ErrPermission):
		e.Hint = "run the command as root, with sudo"
	}
	return e
}

// configPathHint names the line to add.
func configPathHint(e *install.ConfigPathError) string {
	first := ""
	if e.Mirrors {
		first = "write its registry.mirrors as hosts.toml files and remove them, as containerd does not start with both; "
	}
	file := e.File
	if e.New {
		file = cli.Sprintf("%s, a new file that begins with version = %d", e.File, e.Format)
	}
	return cli.Sprintf("nothing was changed; %sset %s in the table [%s] of %s; then restart containerd and run the same command again", first, e.Line, e.Section, file)
}
