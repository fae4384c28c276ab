//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/spf13/pflag"

	"stowage/cmd/internal/cli"
	"stowage/cmd/internal/document"
	"stowage/cmd/internal/progress"
	"stowage/cmd/load/internal/engine"
	"stowage/internal/iox"
)

// clusters are the flags that select nodes which are containers of this machine.
type clusters struct {
	names      []string // of the clusters of each of engine.Tools, "" for none
	containers []string
	args       []string // the flags for the program on each node
}

// notForNodes are the flags that only this process reads.
var notForNodes = []string{"input", "node", "limit-rate", "progress", "quiet"}

func (c *clusters) flags(fs *pflag.FlagSet) {
	c.names = make([]string, len(engine.Tools))
	for i, t := range engine.Tools {
		fs.StringVar(&c.names[i], t.Name, "", "")
		fs.Lookup(t.Name).NoOptDefVal = t.Cluster
	}
	fs.StringArrayVar(&c.containers, "node", nil, "")
}

// parse checks the names and collects the flags for the nodes.
func (c *clusters) parse(fs *pflag.FlagSet) error {
	for i, t := range engine.Tools {
		if fs.Changed(t.Name) && !engine.ValidName(c.names[i]) {
			return cli.Usagef("--%s=%s: want the name of a cluster", t.Name, c.names[i])
		}
	}
	for _, name := range c.containers {
		if !engine.ValidName(name) {
			return cli.Usagef("--node %q: want the name of a container", name)
		}
	}
	for _, flag := range []string{"verify-key", "signature"} {
		if c.chosen() && fs.Changed(flag) {
			return cli.Usagef("--%s: its file is not in the node: check the bundle with \"bundle verify\" first, or give the node a policy", flag)
		}
	}
	fs.Visit(func(f *pflag.Flag) {
		isTool := slices.ContainsFunc(engine.Tools, func(t engine.Tool) bool { return t.Name == f.Name })
		if isTool || slices.Contains(notForNodes, f.Name) {
			return
		}
		values := []string{f.Value.String()}
		if list, ok := f.Value.(pflag.SliceValue); ok {
			values = list.GetSlice()
		}
		for _, v := range values {
			c.args = append(c.args, "--"+f.Name+"="+v)
		}
	})
	return nil
}

// chosen reports whether there are nodes to load into other than this one.
func (c *clusters) chosen() bool {
	return len(c.containers) > 0 || slices.ContainsFunc(c.names, func(s string) bool { return s != "" })
}

// nodes finds the containers, each once.
func (c *clusters) nodes(ctx context.Context) ([]*engine.Node, error) {
	var all []*engine.Node
	for i, t := range engine.Tools {
		if c.names[i] == "" {
			continue
		}
		nodes, err := t.Nodes(ctx, c.names[i])
		if err != nil {
			return nil, err
		}
		all = append(all, nodes...)
	}
	for _, name := range c.containers {
		n, err := engine.Container(ctx, name)
		if err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(all, func(o *engine.Node) bool { return o.Name == n.Name && o.Engine == n.Engine }) {
			all = append(all, n)
		}
	}
	for _, n := range all {
		if !n.Running {
			return nil, cli.Errorf(cli.NoNode, "node %s does not run", n.Name).WithHint("%s start %s", n.Engine, n.Name)
		}
	}
	return all, nil
}

// meant returns the flag for a word that was meant as its value, as in --kind NAME.
func (c *clusters) meant(word string) (flag string, ok bool) {
	for i, name := range c.names { // none in jobs without these flags
		if t := engine.Tools[i]; name == t.Cluster && engine.ValidName(word) {
			return fmt.Sprintf("--%s=%s", t.Name, word), true
		}
	}
	return "", false
}

// nodeResult is what became of one node.
type nodeResult struct {
	document.Node
	err error // why load could not be run there
	out bytes.Buffer
}

// onNodes returns the job on the chosen nodes, for the bundle s.file.
func (s *settings) onNodes(ctx context.Context, streams cli.Streams) func() error {
	return func() error {
		display, err := progress.New(streams.Err, "load", s.progress)
		if err != nil {
			return err
		}
		results, err := s.loadNodes(ctx, streams, display)
		if perr := s.printNodes(streams.Out, results); perr != nil && err == nil {
			err = perr
		}
		if ctx.Err() != nil {
			err = cli.Interrupted("interrupted: the messages of each node say what is visible there")
		}
		return display.End(ended(ctx, err), progress.Result{File: s.file})
	}
}

// loadNodes runs this program on all nodes at the same time and streams the bundle to them.
func (s *settings) loadNodes(ctx context.Context, streams cli.Streams, display *progress.Display) ([]*nodeResult, error) {
	in, err := s.openForNodes(streams.In)
	if err != nil {
		return nil, err
	}
	defer in.Close() // only read from
	nodes, err := s.clusters.nodes(ctx)
	if err != nil {
		return nil, err
	}
	args := slices.Concat(strings.Fields(s.name)[1:], s.clusters.args, []string{"--progress=" + s.remoteProgress(), "-"})
	results := make([]*nodeResult, len(nodes))
	inputs := make([]io.WriteCloser, len(nodes))
	var started, running sync.WaitGroup
	for i, n := range nodes {
		r := &nodeResult{Node: document.Node{Node: n.Name}}
		results[i] = r
		started.Add(1)
		running.Go(func() {
			run, err := n.Start(ctx, args, &r.out, func(line string) { display.Relay(n.Name, line) })
			if err != nil {
				r.err = err
				started.Done()
				return
			}
			inputs[i] = run.Stdin
			started.Done()
			r.ExitCode = run.Wait(ctx)
		})
	}
	started.Wait()
	readErr := feed(ctx, iox.NewRate(int64(s.limit)).Reader(ctx, iox.Interruptible(ctx, in)), inputs)
	running.Wait()
	return results, errors.Join(readErr, s.judge(results))
}

// remoteProgress returns the mode of the program on the nodes, whose messages are relayed.
func (s *settings) remoteProgress() string {
	if s.progress == progress.Auto {
		return progress.Plain
	}
	return s.progress
}

// openForNodes opens the bundle as a stream of bytes.
func (s *settings) openForNodes(stdin io.Reader) (io.ReadCloser, error) {
	if s.file == "-" {
		return io.NopCloser(stdin), nil
	}
	if err := s.checkFiles(); err != nil {
		return nil, err
	}
	f, err := os.Open(s.file)
	if err != nil {
		return nil, err
	}
	if info, err := f.Stat(); err == nil && info.IsDir() {
		f.Close()
		return nil, cli.Errorf(cli.Failed, "%s is a directory, which cannot be streamed", s.file).WithHint("tar -C %s -cf - . | load ... -", cli.Quote(s.file))
	}
	return f, nil
}

// feed copies in to all outputs that are not nil, and closes them. An output that fails gets no
// more: its program has ended and says why. When ctx ends, the outputs stay open: a program that
// is asked to end should not take it for a bundle that was cut.
func feed(ctx context.Context, in io.Reader, outputs []io.WriteCloser) error {
	buf := iox.Buffer()
	defer iox.Release(buf)
	open := slices.DeleteFunc(slices.Clone(outputs), func(w io.WriteCloser) bool { return w == nil })
	for len(open) > 0 {
		n, err := in.Read(*buf)
		open = slices.DeleteFunc(open, func(w io.WriteCloser) bool {
			_, err := w.Write((*buf)[:n])
			return err != nil
		})
		if err == nil {
			continue
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		for _, w := range open {
			w.Close() // the program reports what it lacks
		}
		if err != io.EOF {
			return fmt.Errorf("read the bundle: %w", err)
		}
		break
	}
	return nil
}

// judge returns an error with the worst exit code of the nodes, and the names of those that
// failed.
func (s *settings) judge(results []*nodeResult) error {
	worst := &cli.Error{}
	var failed []error
	for _, r := range results {
		e := &cli.Error{Code: exitCode(r.ExitCode)}
		if r.err != nil {
			e = outcome(fmt.Errorf("%s: %w", r.Node.Node, r.err))
			r.ExitCode, r.Message = e.Code, r.err.Error()
		}
		switch {
		case e.Code == cli.OK:
			continue
		case r.err != nil:
			failed = append(failed, e.Err)
		default:
			failed = append(failed, fmt.Errorf("%s: exit code %d", r.Node.Node, r.ExitCode))
		}
		if e.Code > worst.Code {
			worst = e
		}
	}
	if len(failed) == 0 {
		return nil
	}
	worst.Err = errors.Join(failed...)
	return worst
}

// exitCode returns the exit code for that of an engine: its own if load did not run.
func exitCode(code int) int {
	switch {
	case code == 125 || code == 126 || code == 127: // the engine, the shell or the program could not be run
		return cli.NoNode
	case code < 0, code > cli.NoNode && code != cli.Signalled:
		return cli.Failed
	}
	return code
}

// printNodes prints what load has printed on each node.
func (s *settings) printNodes(w io.Writer, results []*nodeResult) error {
	if results == nil {
		return nil
	}
	if s.format == "json" {
		var all document.Nodes
		for _, r := range results {
			if json.Valid(r.out.Bytes()) {
				r.Report = &document.Raw{JSON: r.out.Bytes()}
			}
			all.Nodes = append(all.Nodes, r.Node)
		}
		return document.Write(w, all)
	}
	for _, r := range results {
		if r.out.Len() == 0 {
			continue
		}
		if err := cli.Fprintf(w, "%s:\n", r.Node.Node); err != nil {
			return err
		}
		for line := range strings.Lines(r.out.String()) {
			if err := cli.Fprintf(w, "%s\n", strings.TrimSuffix(line, "\n")); err != nil {
				return err
			}
		}
	}
	return nil
}
