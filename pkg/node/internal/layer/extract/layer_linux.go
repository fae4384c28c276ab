package extract

import (
	"archive/tar"
	"context"
	"errors"
	"io"
	"path"
	"path/filepath"
)

// errUnusual says that an entry is left to containerd.
var errUnusual = errors.New("an entry that containerd must write")

// Layer writes the entries of src into t, which must exist. check is called with the header
// of each entry, once, before the entry is written. What follows the last entry is not
// read.
func Layer(ctx context.Context, src Source, t *Target, check func(*tar.Header) error) error {
	if t.Detached {
		given, declared := check, declaredParents()
		check = func(h *tar.Header) error {
			if err := given(h); err != nil {
				return err
			}
			return declared(h)
		}
	}
	s := &stream{src: src}
	w, err := newWriter(s, t)
	if err != nil {
		return byContainerd(ctx, s, t, nil, check)
	}
	defer w.close()
	checked, err := w.entries(ctx, check)
	if err == nil {
		return w.setTimes()
	}
	if !errors.Is(err, errUnusual) {
		return err
	}
	// The times of all directories are set again: containerd knows only those of the rest,
	// and writes into the others.
	err = byContainerd(ctx, s, t, w.unpacked, func(h *tar.Header) error {
		if !checked {
			if err := check(h); err != nil {
				return err
			}
		}
		checked = false
		if name := inRoot(h.Name); h.Typeflag == tar.TypeDir && name != "" && !isWhiteout(path.Base(name)) {
			w.times = append(w.times, timesOf(h))
		}
		return nil
	})
	if err != nil {
		return err
	}
	return setTimesByName(t.Dir, w.times)
}

// entries writes entries up to the end of the stream or to the first one that is left to
// containerd, whose error is errUnusual. checked reports whether check has seen that one.
func (w *writer) entries(ctx context.Context, check func(*tar.Header) error) (checked bool, err error) {
	for {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		h, err := w.src.next()
		switch {
		case err == io.EOF:
			return false, nil
		case errors.Is(err, errLongHead):
			return false, errUnusual
		case err != nil:
			return false, err
		}
		h.Name = filepath.Clean(h.Name)
		if err := check(h); err != nil {
			return false, err
		}
		if err := w.entry(ctx, h); err != nil {
			if !w.src.taken {
				return true, errUnusual // containerd tries it again, and its error counts
			}
			return false, err
		}
	}
}

// inRoot returns a name relative to the root directory, or "" for the root itself.
func inRoot(name string) string { return path.Clean("/" + name)[1:] }

// declaredParents returns a check that refuses entries in directories without an entry in
// the layer itself. Such a directory takes mode, owner and attributes from the layers
// below; created without them it would hide theirs, and /tmp would lose its sticky bit.
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
