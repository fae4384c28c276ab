package extract

import (
	"archive/tar"
	"context"
	"io"
	"path"

	ctdarchive "github.com/containerd/containerd/v2/pkg/archive"
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

// Layer writes the entries of src into t, which must exist. check is called with the header of
// each entry, once, before the entry is written. What follows the last entry is not read.
func Layer(ctx context.Context, src Source, t *Target, check func(*tar.Header) error) error {
	declared := func(*tar.Header) error { return nil }
	if t.Detached {
		declared = declaredParents()
	}
	opts := []ctdarchive.ApplyOpt{ctdarchive.WithFilter(func(h *tar.Header) (bool, error) {
		if err := check(h); err != nil {
			return false, err
		}
		err := declared(h)
		return err == nil, err
	})}
	if t.Overlay {
		opts = append(opts, ctdarchive.WithConvertWhiteout(ctdarchive.OverlayConvertWhiteout))
	}
	if len(t.Lower) > 0 {
		opts = append(opts, ctdarchive.WithParents(t.Lower))
	}
	_, err := ctdarchive.Apply(log.WithLogger(ctx, quiet), t.Dir, &stream{src: src}, opts...)
	return err
}

// declaredParents returns a check that refuses entries in directories without an entry in
// the layer itself. Such a directory takes mode, owner and attributes from the layers below;
// created without them it would hide theirs, and /tmp would lose its sticky bit.
func declaredParents() func(*tar.Header) error {
	dirs := map[string]bool{".": true, "/": true}
	return func(h *tar.Header) error {
		name := path.Clean(h.Name)
		if h.Typeflag == tar.TypeDir {
			dirs[name] = true
		}
		if !dirs[path.Dir(name)] {
			return ErrNeedsParent
		}
		return nil
	}
}
