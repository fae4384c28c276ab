package why

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stowage/internal/usable"
	"stowage/pkg/archive"
)

const (
	// maxEntries limits the files and directories that a search for bundles looks at.
	maxEntries = 100_000
	// maxBundles limits the bundles that it opens.
	maxBundles = 1000
)

// errLimit ends a search.
var errLimit = errors.New("limit")

// search looks for bundles below a directory.
type search struct {
	wants   map[string][]string // by name as in a pod: normalised names
	on      usable.Platform
	found   map[string][]offer
	unread  []string
	entries int
	bundles int
}

// below looks at all files below dir. It follows no symbolic link but dir itself.
func (s *search) below(ctx context.Context, dir string) error {
	root, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return err
	}
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			s.unread = append(s.unread, err.Error())
			return nil
		case s.entries >= maxEntries || s.bundles >= maxBundles:
			s.unread = append(s.unread, fmt.Sprintf("%s: stopped after %d files and %d bundles", dir, s.entries, s.bundles))
			return errLimit
		}
		s.entries++
		layout := d.IsDir() && isLayout(path)
		if !layout && !(d.Type().IsRegular() && isTarball(path)) {
			return nil
		}
		s.bundles++
		if err := s.open(ctx, path); err != nil {
			s.unread = append(s.unread, err.Error())
		}
		if layout {
			return fs.SkipDir
		}
		return nil
	})
	if errors.Is(err, errLimit) {
		return nil
	}
	return err
}

// open looks for the images in one bundle.
func (s *search) open(ctx context.Context, path string) error {
	r, end, err := openBundle(ctx, path)
	if err != nil {
		if strings.Contains(err.Error(), path) {
			return err
		}
		return fmt.Errorf("%s: %w", path, err)
	}
	defer end()
	docs := documents(func(d ocispec.Descriptor) ([]byte, error) { return r.Metadata(d.Digest) })
	targets := map[string][]ocispec.Descriptor{} // several of a name in a flat bundle, by platform
	for _, img := range r.Images() {
		targets[img.Name] = append(targets[img.Name], img.Target)
	}
	for image, names := range s.wants {
		if len(names) == 0 || slices.ContainsFunc(names, func(n string) bool { return len(targets[n]) == 0 }) {
			continue
		}
		o := offer{file: path}
		for _, target := range targets[names[0]] {
			c := docs.examine(target, s.on, r.Has)
			o.platforms, o.matches = append(o.platforms, c.platforms...), o.matches || c.matches
		}
		s.found[image] = append(s.found[image], o)
	}
	return nil
}

// openBundle opens a bundle without its layers. Of a compressed file only the start is
// read, so another program's is refused.
func openBundle(ctx context.Context, path string) (*archive.Reader, func(), error) {
	c, err := archive.CompressionOfFile(path)
	if err != nil || c == archive.Plain { // or a directory
		r, err := archive.Open(ctx, path, &archive.OpenOptions{Metadata: true})
		if err != nil {
			return nil, nil, err
		}
		return r, func() { r.Close() }, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	s, err := archive.OpenStream(ctx, f)
	if err == nil && !s.Native() {
		s.Close()
		err = errors.New("compressed by another program; not looked into")
	}
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	end := func() { s.Close(); f.Close() }
	r, err := s.Reader()
	if err != nil {
		end()
	}
	return r, end, err
}

// isLayout reports whether a directory is an OCI image layout.
func isLayout(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, ocispec.ImageLayoutFile))
	return err == nil
}

// isTarball reports whether a file is a tarball, plain, or compressed by its name as well as
// by its content.
func isTarball(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close() // only read from
	head := make([]byte, 512)
	if _, err := io.ReadFull(f, head); err != nil {
		return false
	}
	if bytes.Equal(head[257:262], []byte("ustar")) {
		return true
	}
	c, err := archive.CompressionOfFile(path)
	name := filepath.Base(path)
	return err == nil && c != archive.Plain && (strings.Contains(name, ".tar") || strings.HasSuffix(name, ".tgz") || strings.HasSuffix(name, ".tzst"))
}
