package extract

import (
	"archive/tar"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/containerd/containerd/v2/pkg/archive"
	"github.com/containerd/log"
	"github.com/sirupsen/logrus"
)

// quiet discards what containerd's archive package logs, such as an extended attribute that
// the file system does not support: logrus would write it to standard error.
var quiet = func() *log.Entry {
	l := logrus.New()
	l.SetOutput(io.Discard)
	return logrus.NewEntry(l)
}()

// byContainerd writes what lies ahead, from the header of the current entry on, with
// containerd's archive package, which keeps names and links inside the directory. before
// are the entries that were written already.
func byContainerd(ctx context.Context, s *stream, t *Target, before unpacked, check func(*tar.Header) error) error {
	opts := []archive.ApplyOpt{archive.WithFilter(func(h *tar.Header) (bool, error) {
		err := check(h)
		return err == nil, err
	})}
	switch {
	case t.Overlay:
		opts = append(opts, archive.WithConvertWhiteout(archive.OverlayConvertWhiteout))
	case len(before) > 0:
		d := &deletions{root: filepath.Clean(t.Dir), unpacked: before, cleared: map[string]bool{}}
		opts = append(opts, archive.WithConvertWhiteout(d.convert))
	}
	if len(t.Lower) > 0 {
		opts = append(opts, archive.WithParents(t.Lower))
	}
	_, err := archive.Apply(log.WithLogger(ctx, quiet), t.Dir, s.rest(), opts...)
	return err
}

// unpacked are the entries of a layer by their names relative to the root.
type unpacked map[string]bool

// deletions deletes what whiteouts hide, as containerd does without a function for them. It
// also knows the entries that containerd has not seen: an opaque directory keeps those of
// its own layer.
type deletions struct {
	root     string
	unpacked unpacked
	cleared  map[string]bool // opaque directories
}

// convert is an [archive.ConvertWhiteout]. It reports whether the entry is no whiteout.
func (d *deletions) convert(_ *tar.Header, file string) (bool, error) {
	dir, base := filepath.Dir(file), filepath.Base(file)
	switch {
	case base == opaqueWhiteout:
		return false, d.clear(dir)
	case isWhiteout(base):
		return false, os.RemoveAll(filepath.Join(dir, strings.TrimPrefix(base, whiteoutPrefix)))
	}
	d.unpacked[d.name(file)] = true
	return true, nil
}

// name returns the name of a file below the root.
func (d *deletions) name(file string) string {
	return strings.TrimPrefix(file[len(d.root):], "/")
}

// clear deletes what is in a directory but not from this layer, once.
func (d *deletions) clear(dir string) error {
	if d.cleared[dir] {
		return nil
	}
	d.cleared[dir] = true
	return filepath.WalkDir(dir, func(file string, _ fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist) && file != dir: // just deleted
			return nil
		case err != nil || file == dir || d.unpacked[d.name(file)]:
			return err
		}
		return os.RemoveAll(file)
	})
}
