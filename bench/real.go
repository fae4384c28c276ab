//go:build linux

package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"
)

// realPart is a layer of the real images: files of this machine.
type realPart struct {
	name  string
	paths func(*bench, context.Context) []string
}

// realParts are the layers, the base first.
var realParts = []realPart{
	{"essential Debian packages", func(_ *bench, ctx context.Context) []string { return packageFiles(ctx, "", true) }},
	{"Python, Perl and git", func(_ *bench, ctx context.Context) []string {
		return packageFiles(ctx, "python3*-minimal libpython3.*-stdlib libpython3.*-minimal perl-modules-* git openssl ca-certificates curl", false)
	}},
	{"Go programs", func(b *bench, _ context.Context) []string {
		var files []string
		for _, name := range []string{"containerd", "ctr", "runc", "crane", "oras"} {
			files = append(files, filepath.Join(b.tools, name))
		}
		return files
	}},
	{"Go's tree", func(_ *bench, ctx context.Context) []string {
		root := outputOf(ctx, "go", "env", "GOROOT")
		if root == "" {
			return nil
		}
		return below(filepath.Join(root, "bin"), filepath.Join(root, "pkg", "tool"), filepath.Join(root, "src", "cmd"))
	}},
	{"gcc, binutils and ICU", func(_ *bench, ctx context.Context) []string {
		return packageFiles(ctx, "cpp-[0-9]* gcc-[0-9]* binutils-*-linux-gnu* libicu[0-9]*", false)
	}},
}

// realImages are the layers of each image besides the base.
var realImages = map[string][]int{"programs": {1, 2}, "go": {3}, "gcc": {4}}

// realLayer is a part as a compressed layer.
type realLayer struct {
	gzip    []byte
	diffID  digest.Digest
	size    int64 // of the tar
	entries int
}

// addReal adds images made from the packages and programs of this machine, as BuildKit
// makes layers: archive/tar and gzip at level 6. A part that the machine lacks is left out.
func (b *bench) addReal(ctx context.Context) (added, error) {
	layers := make([]*realLayer, len(realParts))
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.NumCPU())
	for i, part := range realParts {
		group.Go(func() (err error) {
			paths := part.paths(b, groupCtx)
			if b.quick {
				paths = smallFiles(paths)
			}
			layers[i], err = packLayer(groupCtx, paths)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return added{}, err
	}
	a := added{origin: realOrigin(layers)}
	for _, name := range slices.Sorted(maps.Keys(realImages)) {
		var own []*realLayer
		for _, i := range append([]int{0}, realImages[name]...) {
			if layers[i] != nil {
				own = append(own, layers[i])
			}
		}
		if len(own) == 0 {
			continue
		}
		ref, err := b.addPacked("real/"+name, own)
		if err != nil {
			return added{}, err
		}
		a.refs = append(a.refs, ref)
	}
	if len(a.refs) == 0 {
		return a, errors.New("this machine has none of its parts")
	}
	return a, nil
}

// realOrigin describes what the images were made from.
func realOrigin(layers []*realLayer) string {
	var parts, missing []string
	var size, packed int64
	entries := 0
	for i, l := range layers {
		if l == nil {
			missing = append(missing, realParts[i].name)
			continue
		}
		parts = append(parts, realParts[i].name)
		size, packed, entries = size+l.size, packed+int64(len(l.gzip)), entries+l.entries
	}
	text := fmt.Sprintf("%d layers of this machine's files (%s), %d entries, %s MB, %s MB with gzip",
		len(parts), strings.Join(parts, "; "), entries, megabytes(float64(size)), megabytes(float64(packed)))
	if len(missing) > 0 {
		text += "; missing: " + strings.Join(missing, "; ")
	}
	return text
}

// addPacked adds an image of layers to the registry and returns its reference.
func (b *bench) addPacked(repo string, layers []*realLayer) (string, error) {
	config := ocispec.Image{Platform: ocispec.Platform{OS: "linux", Architecture: runtime.GOARCH}}
	config.RootFS.Type = "layers"
	image := ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest}
	for _, l := range layers {
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, l.diffID)
		d := b.registry.AddBlob(repo, l.gzip)
		d.MediaType = ocispec.MediaTypeImageLayerGzip
		image.Layers = append(image.Layers, d)
	}
	raw, err := json.Marshal(config)
	if err != nil {
		return "", err
	}
	image.Config = b.registry.AddBlob(repo, raw)
	image.Config.MediaType = ocispec.MediaTypeImageConfig
	if raw, err = json.Marshal(image); err != nil {
		return "", err
	}
	if _, err := b.registry.AddRaw(repo, "v1", image.MediaType, raw); err != nil {
		return "", err
	}
	return b.registry.Ref(repo, "v1"), nil
}

// packLayer packs files and their directories; nil if none of the files exists.
func packLayer(ctx context.Context, paths []string) (*realLayer, error) {
	names := map[string]bool{}
	for _, p := range paths {
		// A packed path must not lead through a symbolic link, such as /bin.
		dir, err := filepath.EvalSymlinks(filepath.Dir(p))
		if err != nil {
			continue
		}
		p = filepath.Join(dir, filepath.Base(p))
		if _, err := os.Lstat(p); err != nil {
			continue
		}
		for ; p != "/"; p = filepath.Dir(p) {
			names[p] = true
		}
	}
	if len(names) == 0 {
		return nil, nil
	}
	var l realLayer
	var out bytes.Buffer
	packer, plain := gzip.NewWriter(&out), sha256.New() // the default level is 6
	sink := &counted{w: io.MultiWriter(packer, plain)}
	archive := tar.NewWriter(sink)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := packFile(archive, name); err != nil {
			return nil, fmt.Errorf("pack %s: %w", name, err)
		}
		l.entries++
	}
	if err := errors.Join(archive.Close(), packer.Close()); err != nil {
		return nil, err
	}
	l.gzip, l.size, l.diffID = out.Bytes(), sink.n, digest.NewDigest(digest.SHA256, plain)
	return &l, nil
}

// packFile adds one file to a layer.
func packFile(archive *tar.Writer, name string) error {
	info, err := os.Lstat(name)
	if err != nil {
		return err
	}
	link := ""
	if info.Mode()&fs.ModeSymlink != 0 {
		if link, err = os.Readlink(name); err != nil {
			return err
		}
	}
	h, err := tar.FileInfoHeader(info, link)
	if err != nil {
		return err
	}
	h.Name, h.Uname, h.Gname, h.ModTime = strings.TrimPrefix(name, "/"), "", "", h.ModTime.Truncate(time.Second)
	if info.IsDir() {
		h.Name += "/"
	}
	if err := archive.WriteHeader(h); err != nil || !info.Mode().IsRegular() {
		return err
	}
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close() // opened for reading
	_, err = io.CopyN(archive, f, h.Size)
	return err
}

// counted counts what is written.
type counted struct {
	w io.Writer
	n int64
}

// Write writes p.
func (c *counted) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

// packageFiles returns the files of the installed Debian packages whose names match one of
// the patterns, or of the essential ones.
func packageFiles(ctx context.Context, patterns string, essential bool) []string {
	var names []string
	for line := range strings.Lines(outputOf(ctx, "dpkg-query", "-W", "-f", "${Package} ${Essential} ${Priority}\n")) {
		f := append(strings.Fields(line), "", "")
		basic := f[1] == "yes" || slices.Contains(f, "required") || slices.Contains(f, "important")
		matches := slices.ContainsFunc(strings.Fields(patterns), func(p string) bool {
			ok, _ := filepath.Match(p, f[0]) // the patterns are constants
			return ok
		})
		if f[0] != "" && (basic && essential || matches && !essential) {
			names = append(names, f[0])
		}
	}
	if len(names) == 0 {
		return nil
	}
	return slices.DeleteFunc(strings.Fields(outputOf(ctx, "dpkg", append([]string{"-L"}, names...)...)),
		func(path string) bool { return !strings.HasPrefix(path, "/") || path == "/." })
}

// smallFiles returns a few of the files that are small.
func smallFiles(paths []string) []string {
	const number, size = 20, 64 << 10
	var few []string
	for _, p := range paths {
		if info, err := os.Lstat(p); err == nil && info.Size() <= size && len(few) < number {
			few = append(few, p)
		}
	}
	return few
}

// outputOf returns what a program prints, without white space at its ends; empty if it
// cannot be run. An exit status other than zero does not matter: dpkg reports with it
// that one of several packages is not installed.
func outputOf(ctx context.Context, name string, args ...string) string {
	out, _ := exec.CommandContext(ctx, name, args...).Output()
	return strings.TrimSpace(string(out))
}

// below returns all files below directories, as far as they can be read.
func below(dirs ...string) []string {
	var all []string
	for _, dir := range dirs {
		// An unreadable directory is left out.
		_ = filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
			if err == nil {
				all = append(all, path)
			}
			return nil
		})
	}
	return all
}
