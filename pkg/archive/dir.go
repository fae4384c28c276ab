package archive

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"

	"github.com/opencontainers/go-digest"

	"stowage/internal/manifest"
)

// layoutDir is a directory that is an OCI image layout (image-spec v1.1.1, image-layout.md).
// It is read as if its files were the entries of a tarball: each has its own offset, so
// that a Reader need not know about directories. Links that lead out of the directory are
// refused, see [os.Root]. A file is open only while it is read from.
type layoutDir struct {
	root  *os.Root
	files []layoutFile // by offset
	end   int64
}

// layoutFile is a file and its place.
type layoutFile struct {
	name string
	extent
}

// openDir opens a directory. Files that do not belong to a layout are ignored: a
// directory, unlike a bundle, may hold other things. It has no order, so the digest of the
// contents cannot be computed from it.
func openDir(path string, lim limits) (*Reader, error) {
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, fmt.Errorf("open layout: %w", err)
	}
	l := &layoutDir{root: root}
	r := makeReader(path, l, newBudget(lim))
	r.closer, r.dir = l, true
	t, err := l.entries(r.budget)
	if err == nil {
		r.size, r.blobs, r.at = l.end+endBlocks, t.blobs, t.at
		err = r.check(t)
	}
	if err != nil {
		l.Close()
		return nil, named(path, "open layout", err)
	}
	return r, nil
}

// entries lists the files of the layout by the rules for a tarball.
func (l *layoutDir) entries(b *budget) (*tarball, error) {
	w := newEntryWalk(b)
	for _, name := range []string{entryLayout, entryIndex, entryDocker} {
		info, err := l.root.Stat(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err := l.add(&w, name, info, err); err != nil {
			return nil, err
		}
	}
	names, err := l.blobNames(b.lim)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		info, err := l.root.Stat(name)
		if err := l.add(&w, name, info, err); err != nil {
			return nil, err
		}
	}
	return &w.out, nil
}

// blobNames lists the blobs, sorted. An empty list is not an error here; checking the
// index will fail.
func (l *layoutDir) blobNames(lim limits) ([]string, error) {
	dir, err := l.root.Open(blobDir[:len(blobDir)-1])
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	var names []string
	for {
		some, err := dir.Readdirnames(1024)
		for _, name := range some {
			if manifest.CheckDigest(digest.NewDigestFromEncoded(digest.SHA256, name)) == nil { // a tool that is writing has other files there
				names = append(names, blobDir+name)
			}
		}
		switch {
		case len(names) > lim.entries:
			return nil, &DamagedError{Err: fmt.Errorf("more than %d blobs", lim.entries), Advice: adviceLimit}
		case err == io.EOF:
			slices.Sort(names)
			return names, nil
		case err != nil:
			return nil, err
		}
	}
}

// add adds a file at the next free offset.
func (l *layoutDir) add(w *entryWalk, name string, info fs.FileInfo, err error) error {
	if err != nil {
		return err
	}
	w.end = l.end
	switch {
	case !info.Mode().IsRegular():
		return w.damaged(name, adviceOther, errors.New("not a regular file"))
	case info.Size() > w.lim.blob:
		return w.damaged(name, adviceLimit, fmt.Errorf("%d bytes, the limit is %d", info.Size(), w.lim.blob))
	}
	at := extent{l.end + block, info.Size()}
	if err := w.addFile(name, at); err != nil {
		return w.damaged(name, adviceOther, err)
	}
	l.files = append(l.files, layoutFile{name, at})
	l.end = at.off + padded(at.size)
	return nil
}

// ReadAt implements [io.ReaderAt] within one file, which is all that a Reader reads at once.
func (l *layoutDir) ReadAt(p []byte, off int64) (int, error) {
	i, found := slices.BinarySearchFunc(l.files, off, func(f layoutFile, off int64) int { return cmp.Compare(f.off, off) })
	if !found {
		i--
	}
	if i < 0 || off >= l.files[i].off+l.files[i].size {
		return 0, io.EOF
	}
	f, err := l.root.Open(l.files[i].name)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	rest := l.files[i].off + l.files[i].size - off
	n, err := f.ReadAt(p[:min(int64(len(p)), rest)], off-l.files[i].off)
	if err == nil && n < len(p) {
		err = io.EOF
	}
	return n, err
}

// Close implements [io.Closer].
func (l *layoutDir) Close() error { return l.root.Close() }
