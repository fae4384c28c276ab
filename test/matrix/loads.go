//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"stowage/internal/nodetest"
)

// job is a column of the table of loads: a test on an empty node.
type job struct {
	name string
	do   func(context.Context, *stage) error
}

var jobs = []job{
	{"load", loadFile},
	{"check", checkLoad},
	{"second load", loadTwice},
	{"stream", loadStreams},
	{"differential", loadDifferential},
	{"discard", loadDiscarding},
}

func jobNames() []string {
	var names []string
	for _, j := range jobs {
		names = append(names, j.name)
	}
	return names
}

// stage is one job on a new node.
type stage struct {
	*fixture
	node *nodetest.Node
}

// loadRow runs every job on one version of containerd.
func loadRow(ctx context.Context, s *fixture, version string) row {
	r := row{name: version}
	for _, j := range jobs {
		r.cells = append(r.cells, newCell(onNode(ctx, s, version, j.do), ""))
	}
	return r
}

// cellLimit is the time limit of a cell, which usually takes some seconds.
const cellLimit = 2 * time.Minute

// onNode runs a job on a new node.
func onNode(ctx context.Context, s *fixture, version string, do func(context.Context, *stage) error) (err error) {
	ctx, cancel := context.WithTimeout(ctx, cellLimit)
	defer cancel()
	n, err := launch(ctx, version)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, n.Stop()) }()
	return do(ctx, &stage{fixture: s, node: n})
}

// newCell returns the cell of a result; gap is the reason why it should not work, empty if
// it should.
func newCell(err error, gap string) cell {
	var missing *nodetest.MissingError
	var absent *absentError
	switch {
	case errors.As(err, &missing), errors.As(err, &absent):
		return cell{notRun, err.Error()}
	case err == nil && gap != "":
		return cell{fixed, gap}
	case err == nil:
		return cell{works, ""}
	case gap != "":
		return cell{known, gap}
	}
	return cell{fails, err.Error()}
}

// load runs load and returns its report.
func (s *stage) load(ctx context.Context, code int, args ...string) (report, error) {
	return s.loadFrom(ctx, nil, code, args...)
}

// report is the part of load's JSON that the matrix uses.
type report struct {
	Images []struct {
		Name   string `json:"name"`
		CRI    string `json:"criStatus"`
		Pinned bool   `json:"pinned"`
	} `json:"images"`
	Ingested int64 `json:"sentSize"`
	Layers   int   `json:"unpackedLayerCount"`
}

func (s *stage) loadFrom(ctx context.Context, stdin *os.File, code int, args ...string) (r report, err error) {
	args = append(args, "--address", s.node.Address(), "--output", "json", "--progress", "none")
	out, err := command{env: s.env(), stdin: stdin, code: code}.run(ctx, filepath.Join(s.bin, "load"), args...)
	if err != nil || strings.TrimSpace(out) == "" {
		return r, err
	}
	return r, json.Unmarshal([]byte(out), &r)
}

// verify checks what must be true after a load of a bundle.
func (s *stage) verify(ctx context.Context, r report) error { return s.verifyNames(ctx, r, s.names) }

// verifyNames checks that CRI knows each of these names and that containers of runnable
// images run.
func (s *stage) verifyNames(ctx context.Context, r report, names []string) error {
	ready := map[string]bool{}
	for _, i := range r.Images {
		if i.CRI != "ready" {
			return fmt.Errorf("CRI status of %s: %s", i.Name, i.CRI)
		}
		ready[i.Name] = true
	}
	for _, name := range names {
		if !ready[name] {
			return fmt.Errorf("%s is not in the report", name)
		}
		if !slices.Contains(s.runnable, name) {
			continue
		}
		out, err := s.node.RunContainer(ctx, name, greeter)
		if err != nil {
			return err
		}
		if !strings.Contains(out, "hello from "+name) {
			return fmt.Errorf("a container of %s printed %q", name, out)
		}
	}
	return nil
}

func loadFile(ctx context.Context, s *stage) error {
	r, err := s.load(ctx, 0, s.plain)
	if err != nil {
		return err
	}
	return s.verify(ctx, r)
}

func checkLoad(ctx context.Context, s *stage) error {
	check := func(code int) error {
		_, err := s.load(ctx, code, "check", s.plain)
		return err
	}
	if err := check(3); err != nil {
		return fmt.Errorf("on an empty node: %w", err)
	}
	if _, err := s.load(ctx, 0, s.plain); err != nil {
		return err
	}
	if err := check(0); err != nil {
		return err
	}
	if out, err := s.node.Ctr("images", "rm", "--sync", appName); err != nil {
		return fmt.Errorf("ctr images rm: %w: %s", err, out)
	}
	return check(3)
}

func loadTwice(ctx context.Context, s *stage) error {
	if _, err := s.load(ctx, 0, s.plain); err != nil {
		return err
	}
	r, err := s.load(ctx, 0, s.plain)
	if err == nil && r.Ingested+int64(r.Layers) != 0 {
		err = fmt.Errorf("%d bytes sent and %d layers unpacked again", r.Ingested, r.Layers)
	}
	return err
}

// loadStreams loads from a pipe, uncompressed and compressed. It removes everything between
// the two, so that the second does the same work.
func loadStreams(ctx context.Context, s *stage) error {
	for _, file := range []string{s.plain, s.zst} {
		r, err := s.loadPiped(ctx, file)
		if err == nil {
			err = s.verify(ctx, r)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", filepath.Base(file), err)
		}
		names, err := s.listed()
		if err != nil {
			return err
		}
		if out, err := s.node.Ctr(append([]string{"images", "rm", "--sync"}, names...)...); err != nil {
			return fmt.Errorf("ctr images rm: %w: %s", err, out)
		}
	}
	return nil
}

// listed returns the names of the images on the node. ctr also prints messages, which have
// several words.
func (s *stage) listed() ([]string, error) {
	out, err := s.node.Ctr("images", "ls", "-q")
	names := strings.Split(out, "\n")
	return slices.DeleteFunc(names, func(line string) bool { return len(strings.Fields(line)) != 1 }), err
}

// loadPiped runs "load -" with the file at the other end of a pipe.
func (s *stage) loadPiped(ctx context.Context, file string) (report, error) {
	f, err := os.Open(file)
	if err != nil {
		return report{}, err
	}
	defer f.Close() // opened for reading
	r, w, err := os.Pipe()
	if err != nil {
		return report{}, err
	}
	defer r.Close()
	sent := make(chan error, 1)
	go func() {
		_, err := f.WriteTo(w)
		sent <- errors.Join(err, w.Close())
	}()
	rep, err := s.loadFrom(ctx, r, 0, "-")
	r.Close() // ends the goroutine if load has not read everything
	if serr := <-sent; err == nil && serr != nil {
		err = fmt.Errorf("write to the pipe: %w", serr)
	}
	return rep, err
}

func loadDifferential(ctx context.Context, s *stage) error {
	if _, err := s.load(ctx, refused, s.newer); err != nil {
		return fmt.Errorf("without its base: %w", err)
	}
	if names, err := s.listed(); err != nil || len(names) > 0 {
		return fmt.Errorf("after a refused load the node has %q %w", names, err)
	}
	if _, err := s.load(ctx, 0, s.plain); err != nil {
		return err
	}
	r, err := s.load(ctx, 0, s.newer)
	if err != nil {
		return err
	}
	if r.Layers == 0 {
		return errors.New("the newer version added no layer")
	}
	return s.verify(ctx, r)
}

// refused is the exit code of a differential bundle on a node without its base.
const refused = 3

func loadDiscarding(ctx context.Context, s *stage) error {
	r, err := s.load(ctx, 0, "--discard-layers", s.plain)
	if err != nil {
		return err
	}
	if err := s.verify(ctx, r); err != nil {
		return err
	}
	out, err := s.node.Ctr("content", "ls")
	if err != nil {
		return err
	}
	for _, line := range strings.Split(out, "\n") {
		// The remaining blobs are manifests, which have labels for the blobs that they
		// reference.
		if strings.HasPrefix(line, "sha256:") && strings.Contains(line, "containerd.io/uncompressed") {
			return fmt.Errorf("a layer is in the content store: %s", line)
		}
	}
	return nil
}
