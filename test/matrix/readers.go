//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"stowage/internal/nodetest"
)

// form is a column of the table of readers: a way to write a bundle.
type form struct {
	name string
	file func(*fixture) string
}

var forms = []form{
	{"default", func(s *fixture) string { return s.plain }},
	{"flat", func(s *fixture) string { return s.flat }},
	{"zst", func(s *fixture) string { return s.zst }},
}

func formNames() []string {
	var names []string
	for _, f := range forms {
		names = append(names, f.name)
	}
	return names
}

// reader is a program that reads bundles.
type reader struct {
	name  string
	rows  func(context.Context, *fixture, []string) []string // names of its rows; nil: its name
	reads func(ctx context.Context, s *fixture, row, file string) error
}

var allReaders = []reader{
	{"ctr", ctrRows, ctrReads},
	{"skopeo docker-archive:", nil, skopeoReads},
	{"skopeo oci-archive:", nil, skopeoReads},
	{"podman load", nil, podmanLoads},
	{"docker load", nil, dockerLoads},
	{"crane push of the layout", nil, craneReads},
	{"crane validate of one image", nil, craneReadsOne},
	{"nerdctl load", nil, nerdctlLoads},
}

func readerNames() []string {
	var names []string
	for _, r := range allReaders {
		names = append(names, r.name)
	}
	return names
}

// absentError is the reason why a program is not available.
type absentError struct{ what string }

func (e *absentError) Error() string { return e.what }

// readerRows tests one reader, in all its versions, with every form.
func readerRows(ctx context.Context, s *fixture, name string, versions []string) []row {
	for _, r := range allReaders {
		if r.name != name {
			continue
		}
		rows := []string{name}
		if r.rows != nil {
			rows = r.rows(ctx, s, versions)
		}
		var all []row
		for _, n := range rows {
			line := row{name: n}
			for _, f := range forms {
				line.cells = append(line.cells, newCell(r.limited(ctx, s, n, f.file(s)), gapOf(n, f.name)))
			}
			all = append(all, line)
		}
		return all
	}
	return []row{{name, []cell{{fails, "unknown reader"}}}}
}

// limited reads within the time limit of a cell.
func (r reader) limited(ctx context.Context, s *fixture, row, file string) error {
	ctx, cancel := context.WithTimeout(ctx, cellLimit)
	defer cancel()
	return r.reads(ctx, s, row, file)
}

func ctrRows(_ context.Context, _ *fixture, versions []string) []string {
	var names []string
	for _, v := range versions {
		names = append(names, "ctr "+v)
	}
	return names
}

// ctrReads runs "ctr images import" on a containerd of the same version.
func ctrReads(ctx context.Context, s *fixture, row, file string) error {
	return onNode(ctx, s, strings.TrimPrefix(row, "ctr "), func(ctx context.Context, st *stage) error {
		if out, err := st.node.Ctr("images", "import", file); err != nil {
			return fmt.Errorf("ctr images import: %w: %s", err, lastLines(out))
		}
		list, err := st.node.Ctr("images", "ls", "-q")
		if err != nil {
			return err
		}
		if err := s.allListed(list); err != nil {
			return err
		}
		for _, name := range s.runnable {
			if out, err := st.node.RunContainer(ctx, name, greeter); err != nil || !strings.Contains(out, "hello from "+name) {
				return fmt.Errorf("a container of %s printed %q: %w", name, out, err)
			}
		}
		return nil
	})
}

// allListed checks that a list of names, one per line, contains all names of the bundle.
// Docker omits the name of its own registry.
func (s *fixture) allListed(list string) error {
	there := map[string]bool{}
	for _, line := range strings.Split(list, "\n") {
		there[strings.TrimSpace(line)] = true
	}
	for _, name := range s.names {
		if !there[name] && !there[strings.TrimPrefix(name, "docker.io/")] {
			return fmt.Errorf("%s is not listed", name)
		}
	}
	return nil
}

// find finds a program in the directory of tools, in one below it, or in PATH.
func find(name string, below ...string) (string, error) {
	dir, err := nodetest.Tools()
	if err != nil {
		return "", err
	}
	for _, d := range append([]string{"."}, below...) {
		if path, err := exec.LookPath(filepath.Join(dir, d, name)); err == nil {
			return path, nil
		}
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return "", &absentError{err.Error()}
	}
	return path, nil
}

// skopeoReads copies every image from the file, which verifies all digests.
func skopeoReads(ctx context.Context, s *fixture, row, file string) error {
	skopeo, err := find("skopeo")
	if err != nil {
		return err
	}
	transport := strings.TrimPrefix(row, "skopeo ")
	for _, name := range s.names {
		if err := s.withTempDir(func(dir string) error {
			_, err := command{env: s.env()}.run(ctx, skopeo, "copy", "--insecure-policy", transport+file+":"+name, "dir:"+dir)
			return err
		}); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// withTempDir calls do with a directory and removes it.
func (s *fixture) withTempDir(do func(dir string) error) error {
	dir, err := os.MkdirTemp(s.dir, "tmp")
	if err != nil {
		return err
	}
	return errors.Join(do(dir), os.RemoveAll(dir))
}

// craneReads pushes the unpacked bundle: crane reads an OCI layout only as a directory.
func craneReads(ctx context.Context, s *fixture, _, file string) error {
	crane, err := find("crane")
	if err != nil {
		return err
	}
	return s.withTempDir(func(dir string) error {
		if _, err := (command{}).run(ctx, "tar", "-xf", file, "-C", dir); err != nil {
			return err
		}
		to := s.registry.Ref("matrix/"+filepath.Base(dir), "pushed")
		_, err := command{env: s.env()}.run(ctx, crane, "push", "--index", dir, to)
		return err
	})
}

// craneReadsOne validates a bundle of one image, which crane reads as a tarball of docker
// save.
func craneReadsOne(ctx context.Context, s *fixture, _, file string) error {
	crane, err := find("crane")
	if err != nil {
		return err
	}
	_, err = command{env: s.env()}.run(ctx, crane, "validate", "--tarball", s.single(file))
	return err
}

// nerdctlLoads reports that nerdctl is not available: Debian 12 has no package, and its
// module cannot be installed.
func nerdctlLoads(context.Context, *fixture, string, string) error {
	_, err := find("nerdctl")
	if err != nil {
		return &absentError{"nerdctl is not in PATH and make does not install it; it imports with the same code as ctr"}
	}
	return errors.New("nerdctl is in PATH, but the matrix has no test for it")
}
