//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	"stowage/cmd/internal/cli"
	"stowage/pkg/archive"
	"stowage/pkg/node"
	"stowage/pkg/serve"
	"stowage/pkg/serve/install"
)

// defaultListen is where load serve listens.
const defaultListen = "127.0.0.1:5480"

// serveSettings are the settings of load serve.
type serveSettings struct {
	settings
	listen    string
	verbose   bool
	install   bool
	uninstall bool
}

// parseServe reads the flags of load serve.
func parseServe(args []string, streams cli.Streams) (*serveSettings, error) {
	s := &serveSettings{settings: settings{name: "load serve"}}
	fs := cli.NewFlags(s.name, serveHelp, streams)
	fs.Guesses = guesses
	s.addNodeFlags(fs.FlagSet)
	input := fs.StringArrayP("input", "i", nil, "")
	fs.StringVar(&s.listen, "listen", defaultListen, "")
	fs.BoolVar(&s.verbose, "verbose", false, "")
	fs.BoolVar(&s.install, "install", false, "")
	fs.BoolVar(&s.uninstall, "uninstall", false, "")
	s.addFormat(fs.FlagSet)
	if err := fs.Parse(args); err != nil {
		return nil, err
	}
	for _, i := range fs.Words() {
		if err := program().NotCommand(args, i); err != nil {
			return nil, err
		}
	}
	s.files = append(*input, fs.Args()...)
	switch {
	case s.install && s.uninstall:
		return nil, cli.Usagef("want either --install or --uninstall")
	case s.install && !install.Loopback(s.listen):
		return nil, cli.Usagef("--listen %s: want a loopback address and a port, as in %s", s.listen, defaultListen)
	case s.uninstall && (len(s.files) > 0 || fs.Changed("listen")):
		return nil, cli.Usagef("--uninstall removes what --install has written, whatever is served").WithHint("usage: load serve --uninstall")
	case fs.Changed("output") && !s.install && !s.uninstall:
		return nil, cli.Usagef("--output is for --install and --uninstall")
	case len(s.files) > 0 && !s.install && (fs.Changed("address") || fs.Changed("namespace")):
		return nil, cli.Usagef("--address and --namespace are for containerd's images, not for those of %s", s.files[0]).WithHint("name the bundles or the containerd")
	case slices.Contains(s.files, "-"):
		return nil, cli.Usagef("-: a bundle is served from many places at once, which standard input cannot be").WithHint("save it to a file first")
	}
	if len(s.files) == 0 {
		return s, nil
	}
	return s, s.readTrust()
}

// runServe answers pulls until a signal ends it.
func runServe(ctx context.Context, args []string, streams cli.Streams) error {
	s, err := parseServe(args, streams)
	if err != nil {
		return err
	}
	switch {
	case s.install:
		return s.runInstall(ctx, streams)
	case s.uninstall:
		return s.runUninstall(ctx, streams)
	}
	l, err := serve.Listen(ctx, s.listen)
	if err != nil {
		return s.listenError(err)
	}
	defer l.Close() // twice if it served
	source, what, closeSource, err := s.source(ctx)
	if err != nil {
		return ended(ctx, err)
	}
	defer closeSource()
	watch := newWatch(streams.Err, s.verbose)
	cli.Fprintf(streams.Err, "load: serving %s at http://%s\n", what, l.Addr())
	return serve.Serve(ctx, l, serve.New(source, serve.Options{OnRequest: watch.request}))
}

// source opens what is served and says what it is.
func (s *serveSettings) source(ctx context.Context) (_ serve.Source, what string, closeAll func(), _ error) {
	if len(s.files) == 0 {
		n, err := node.Connect(ctx, s.node)
		if err != nil {
			return nil, "", nil, err
		}
		server := n.Server()
		what := fmt.Sprintf("the images of containerd %s at %s, namespace %s,", server.Version, server.Address, server.Namespace)
		return n.Source(), what, func() { n.Close() }, nil
	}
	if err := s.checkFiles(); err != nil {
		return nil, "", nil, err
	}
	var readers []*archive.Reader
	closeAll = func() {
		for _, r := range readers {
			r.Close() // only read from
		}
	}
	images := 0
	for _, file := range s.files {
		r, err := openServed(ctx, file)
		if err != nil {
			closeAll()
			return nil, "", nil, err
		}
		readers = append(readers, r)
		if _, err := s.trust.Check(file, r); err != nil {
			closeAll()
			return nil, "", nil, err
		}
		images += len(r.Images())
	}
	return serve.Bundle(readers...), fmt.Sprintf("%s of %s", cli.Count(images, "image"), strings.Join(s.files, ", ")), closeAll, nil
}

// openServed opens a bundle. A compressed one is refused: each range of a blob would have to
// be decompressed from its start.
func openServed(ctx context.Context, file string) (*archive.Reader, error) {
	if c, err := archive.CompressionOfFile(file); err == nil && c != archive.Plain {
		e := cli.Errorf(cli.Failed, "%s is compressed, and ranges of its blobs are served from the file", file)
		tool := map[archive.Compression]string{archive.Gzip: "gzip -dk", archive.Zstd: "zstd -d"}[c]
		return nil, e.WithHint("decompress it first: %s %s", tool, cli.Quote(file))
	}
	return archive.Open(ctx, file, &archive.OpenOptions{Docker: true})
}

// listenError explains why the address cannot be used.
func (s *serveSettings) listenError(err error) error {
	var address *net.AddrError
	switch {
	case errors.Is(err, serve.ErrNotLoopback):
		return cli.Usagef("--listen %s: not a loopback address", s.listen).WithHint("what is served has no accounts and no encryption: listen at 127.0.0.1 and choose the port only")
	case errors.As(err, &address):
		return cli.Usagef("--listen %s: want ADDRESS:PORT, as in %s", s.listen, defaultListen)
	}
	return cli.Errorf(cli.Failed, "%w", err)
}
