//go:build linux

package main

import (
	"context"
	"fmt"
	"path/filepath"

	"stowage/internal/nodetest"
)

// writer is another program that writes tarballs of images: of all images if it can,
// otherwise of one.
type writer struct {
	name   string
	single bool // its tarballs contain one image, the first
	writes func(ctx context.Context, s *fixture, file string) error
}

var writers = []writer{
	{"docker save 20.10", false, dockerSaves},
	{"podman save, docker-archive", false, func(ctx context.Context, s *fixture, file string) error {
		return podmanSaves(ctx, s, file, append([]string{"-m", "--format", "docker-archive"}, s.names...))
	}},
	{"podman save, oci-archive", true, func(ctx context.Context, s *fixture, file string) error {
		return podmanSaves(ctx, s, file, []string{"--format", "oci-archive", s.names[0]})
	}},
	{"skopeo copy to docker-archive:", true, func(ctx context.Context, s *fixture, file string) error {
		return skopeoCopies(ctx, s, "docker-archive:"+file+":"+s.names[0])
	}},
	{"skopeo copy to oci-archive:", true, func(ctx context.Context, s *fixture, file string) error {
		return skopeoCopies(ctx, s, "oci-archive:"+file+":"+s.names[0])
	}},
	{"ctr images export", false, ctrExports},
}

// loadModes are the columns of the table of writers.
var loadModes = []struct {
	name string
	load func(*stage, context.Context, string) (report, error)
}{
	{"from a file", func(s *stage, ctx context.Context, file string) (report, error) { return s.load(ctx, 0, file) }},
	{"from a pipe", (*stage).loadPiped},
}

func loadModeNames() []string {
	var names []string
	for _, e := range loadModes {
		names = append(names, e.name)
	}
	return names
}

// writerRow writes a tarball with one program and loads it in every mode into an empty
// node.
func writerRow(ctx context.Context, s *fixture, w writer, version string) row {
	r := row{name: w.name}
	err := s.withTempDir(func(dir string) error {
		file := filepath.Join(dir, "theirs.tar")
		written := w.limited(ctx, s, file)
		for _, e := range loadModes {
			err := written
			if err == nil {
				err = onNode(ctx, s, version, func(ctx context.Context, st *stage) error {
					if out, err := st.node.Ctr("images", "import", s.pause); err != nil { // pods need it
						return fmt.Errorf("ctr images import: %w: %s", err, lastLines(out))
					}
					rep, err := e.load(st, ctx, file)
					if err != nil {
						return err
					}
					return st.verifyNames(ctx, rep, w.images(s))
				})
			}
			r.cells = append(r.cells, newCell(err, gapOf(w.name, e.name)))
		}
		return nil
	})
	if err != nil {
		r.cells = []cell{{fails, err.Error()}, {fails, err.Error()}}
	}
	return r
}

// images returns the images in the tarball.
func (w writer) images(s *fixture) []string {
	if w.single {
		return s.names[:1]
	}
	return s.names
}

// limited writes within the time limit of a cell.
func (w writer) limited(ctx context.Context, s *fixture, file string) error {
	ctx, cancel := context.WithTimeout(ctx, cellLimit)
	defer cancel()
	return w.writes(ctx, s, file)
}

func dockerSaves(ctx context.Context, s *fixture, file string) error {
	return withDocker(ctx, s, func(docker runner) error {
		if _, err := docker("load", "-i", s.plain); err != nil {
			return err
		}
		_, err := docker(append([]string{"save", "-o", file}, s.names...)...)
		return err
	})
}

func podmanSaves(ctx context.Context, s *fixture, file string, args []string) error {
	return withPodman(ctx, s, func(podman runner, dir string) error {
		if err := s.podmanLoad(podman, dir, s.plain); err != nil {
			return err
		}
		_, err := podman(append([]string{"save", "-q", "-o", file}, args...)...)
		return err
	})
}

func skopeoCopies(ctx context.Context, s *fixture, to string) error {
	skopeo, err := find("skopeo")
	if err != nil {
		return err
	}
	_, err = command{env: s.env()}.run(ctx, skopeo, "copy", "--insecure-policy", "docker-archive:"+s.plain+":"+s.names[0], to)
	return err
}

// ctrExports imports into the default containerd and exports from it.
func ctrExports(ctx context.Context, s *fixture, file string) (err error) {
	n, err := nodetest.Launch(ctx, nodetest.Options{})
	if err != nil {
		return err
	}
	defer func() {
		if serr := n.Stop(); err == nil {
			err = serr
		}
	}()
	if out, err := n.Ctr("images", "import", s.plain); err != nil {
		return fmt.Errorf("ctr images import: %w: %s", err, lastLines(out))
	}
	if out, err := n.Ctr(append([]string{"images", "export", file}, s.names...)...); err != nil {
		return fmt.Errorf("ctr images export: %w: %s", err, lastLines(out))
	}
	return nil
}
