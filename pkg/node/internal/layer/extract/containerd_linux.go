package extract

import (
	"archive/tar"
	"context"
	"io"

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
// containerd's archive package, which keeps names and links inside the directory.
func byContainerd(ctx context.Context, s *stream, t *Target, check func(*tar.Header) error) error {
	opts := []archive.ApplyOpt{archive.WithFilter(func(h *tar.Header) (bool, error) {
		err := check(h)
		return err == nil, err
	})}
	if t.Overlay {
		opts = append(opts, archive.WithConvertWhiteout(archive.OverlayConvertWhiteout))
	}
	if len(t.Lower) > 0 {
		opts = append(opts, archive.WithParents(t.Lower))
	}
	_, err := archive.Apply(log.WithLogger(ctx, quiet), t.Dir, s.rest(), opts...)
	return err
}
