package extract

import (
	"archive/tar"
	"context"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// writer writes the entries of a layer.
type writer struct {
	src      *stream
	dirs     *dirs
	root     string
	uid, gid int    // of what this process makes
	umask    uint32 // of this process
	times    []dirTimes
	unpacked unpacked // nil for overlayfs
}

// newWriter returns a writer into a target.
func newWriter(src *stream, t *Target) (*writer, error) {
	w := &writer{src: src, root: filepath.Clean(t.Dir), uid: os.Geteuid(), gid: os.Getegid(), umask: umask()}
	if !t.Overlay {
		w.unpacked = unpacked{}
	}
	var err error
	w.dirs, err = newDirs(w.root, w.gid, len(t.Lower) > 0)
	return w, err
}

// close closes the directories.
func (w *writer) close() { w.dirs.close() }

// place is where an entry is written.
type place struct {
	in   *dir
	name string // cleaned, relative to the root
	dir  string // the directory's part of name
	base string // its last element
}

// entry writes one entry. After an error with the content not yet read, containerd can
// write the entry: it replaces what is there.
func (w *writer) entry(ctx context.Context, h *tar.Header) error {
	name := inRoot(h.Name)
	if w.unusual(h, name) {
		return errUnusual
	}
	if name == "" {
		return nil // containerd leaves the root as it is
	}
	p := place{name: name, dir: path.Dir(name), base: path.Base(name)}
	var err error
	if p.in, err = w.dirs.require(p.dir); err != nil {
		return err
	}
	if isWhiteout(p.base) {
		if w.unpacked != nil {
			return errUnusual
		}
		return w.whiteout(h, p)
	}
	err = w.create(ctx, h, p)
	if err == unix.EEXIST {
		if err = unix.Unlinkat(p.in.fd, p.base, 0); err == nil { // fails for a directory
			err = w.create(ctx, h, p)
		}
	}
	if err == nil && w.unpacked != nil {
		w.unpacked[name] = true
	}
	return err
}

// create makes the file of an entry. It returns [unix.EEXIST] if something else is there.
func (w *writer) create(ctx context.Context, h *tar.Header, p place) error {
	switch h.Typeflag {
	case tar.TypeDir:
		return w.directory(h, p)
	case tar.TypeSymlink:
		return w.symlink(h, p)
	case tar.TypeLink:
		return w.link(h, p)
	}
	return w.file(ctx, h, p)
}

// unusual reports whether containerd must write an entry because of its header.
func (w *writer) unusual(h *tar.Header, name string) bool {
	switch h.Typeflag {
	case tar.TypeReg, tar.TypeDir:
	case tar.TypeSymlink, tar.TypeLink:
		if hasAttributes(h) {
			return true
		}
	default:
		return true
	}
	for k := range h.PAXRecords {
		if strings.HasPrefix(k, "GNU.sparse.") || strings.HasPrefix(k, paxAttribute+"system.") {
			return true
		}
	}
	return w.long(name) || h.Name == ".." || strings.HasPrefix(h.Name, "../")
}

// long reports whether the kernel may refuse a path that would be possible step by step.
func (w *writer) long(name string) bool {
	return len(w.root)+1+len(name) >= unix.PathMax || strings.Count(name, "/") > maxDepth
}

// file writes a regular file.
func (w *writer) file(ctx context.Context, h *tar.Header, p place) error {
	m := w.metadata(h, p.in)
	const flags = unix.O_CREAT | unix.O_EXCL | unix.O_WRONLY | unix.O_NOFOLLOW | unix.O_CLOEXEC
	fd, err := unix.Openat(p.in.fd, p.base, flags, m.mode&0o777)
	if err != nil {
		return err
	}
	// The owner first, as long as containerd can try it again, and the mode last: both a
	// change of the owner and a write take the set-user-ID bit away.
	err = m.setOwner(fd)
	if err == nil {
		err = w.content(ctx, fd)
	}
	if err == nil {
		err = m.setAttributes(fd)
	}
	if err == nil {
		err = m.setMode(fd)
	}
	if err1 := unix.Close(fd); err == nil {
		err = err1
	}
	if err == nil {
		err = setTimes(p.in, p.base, timesOf(h).times)
	}
	if err != nil && w.src.taken {
		return &os.PathError{Op: "write", Path: path.Join(w.root, p.name), Err: err}
	}
	return err
}

// content writes the content of the current entry.
func (w *writer) content(ctx context.Context, fd int) error {
	for {
		b, err := w.src.take()
		if err == io.EOF {
			return nil
		}
		for len(b) > 0 && err == nil {
			var n int
			if n, err = unix.Write(fd, b); err == unix.EINTR {
				n, err = 0, nil
			}
			b = b[max(n, 0):]
		}
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
	}
}

// directory makes a directory, or changes the one that is there.
func (w *writer) directory(h *tar.Header, p place) error {
	m := w.metadata(h, p.in)
	err := unix.Mkdirat(p.in.fd, p.base, m.mode&0o777)
	if err != nil && err != unix.EEXIST {
		return err
	}
	exists := err == unix.EEXIST
	if exists {
		m.owned, m.moded = false, false
	}
	if !m.complete() {
		fd, err := openDir(p.in, p.base)
		if exists && (err == unix.ENOTDIR || err == unix.ELOOP) {
			return unix.EEXIST
		}
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		if exists {
			_, err = w.dirs.inspect(fd)
		}
		if err == nil {
			err = m.set(fd)
		}
		if err != nil {
			return err
		}
	}
	w.dirs.add(p.name, m.mode&unix.S_ISGID != 0 || h.Gid != w.gid)
	w.times = append(w.times, timesOf(h))
	return nil
}

// symlink makes a symbolic link.
func (w *writer) symlink(h *tar.Header, p place) error {
	if err := unix.Symlinkat(h.Linkname, p.in.fd, p.base); err != nil {
		return err
	}
	if !w.metadata(h, p.in).owned {
		if err := unix.Fchownat(p.in.fd, p.base, h.Uid, h.Gid, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return err
		}
	}
	return setTimes(p.in, p.base, timesOf(h).times)
}

// link makes a hard link. As with containerd, the file takes the metadata of this entry.
func (w *writer) link(h *tar.Header, p place) error {
	target := inRoot(h.Linkname)
	plain := strings.TrimPrefix(strings.TrimPrefix(h.Linkname, "/"), "./")
	if plain != target || target == "" || w.long(target) {
		return errUnusual
	}
	from, err := w.dirs.find(path.Dir(target))
	if err != nil {
		return err
	}
	in, err := w.dirs.find(p.dir) // the first call may have closed it
	if err != nil {
		return err
	}
	if err := unix.Linkat(from.fd, path.Base(target), in.fd, p.base, 0); err != nil {
		return err
	}
	// Changing the owner, even to the same, removes file capabilities.
	if err := unix.Fchownat(in.fd, p.base, h.Uid, h.Gid, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	var st unix.Stat_t
	if err := unix.Fstatat(in.fd, p.base, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	mode := modeOf(h)
	if st.Mode&unix.S_IFMT != unix.S_IFLNK && st.Mode&0o7777 != mode {
		// Kernels before 6.6 cannot do that without following links.
		if err := unix.Fchmodat(in.fd, p.base, mode, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return err
		}
	}
	return setTimes(in, p.base, timesOf(h).times)
}

const (
	whiteoutPrefix = ".wh."
	opaqueWhiteout = ".wh..wh..opq"
)

// isWhiteout reports whether an entry hides what lies in the layers below (layer.md,
// "Whiteouts").
func isWhiteout(base string) bool { return strings.HasPrefix(base, whiteoutPrefix) }

// whiteout makes the mark of overlayfs for one.
func (w *writer) whiteout(h *tar.Header, p place) error {
	if p.base == opaqueWhiteout {
		return unix.Fsetxattr(p.in.fd, "trusted.overlay.opaque", []byte{'y'}, 0)
	}
	hidden := p.base[len(whiteoutPrefix):]
	if hidden == "" || hidden == "." || hidden == ".." {
		return errUnusual
	}
	if err := unix.Mknodat(p.in.fd, hidden, unix.S_IFCHR, 0); err != nil {
		return err
	}
	return unix.Fchownat(p.in.fd, hidden, h.Uid, h.Gid, unix.AT_SYMLINK_NOFOLLOW)
}
