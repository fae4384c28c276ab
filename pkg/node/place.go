package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stowage/internal/fsutil"
	"stowage/internal/iox"
	"stowage/pkg/archive"
)

// A Distribution is a Kubernetes distribution that imports image tarballs from a
// folder of its own when its containerd starts.
type Distribution string

// The distributions with such a folder.
const (
	K3s  Distribution = "k3s"
	RKE2 Distribution = "RKE2"
	K0s  Distribution = "k0s"
)

// ImageFolder is the folder of a distribution.
type ImageFolder struct {
	Distribution Distribution
	Path         string
}

// ImageFolders lists the folders that Place looks for, as the distributions have
// them unless their data was moved elsewhere.
func ImageFolders() []ImageFolder {
	return []ImageFolder{
		{K3s, "/var/lib/rancher/k3s/agent/images"},
		{RKE2, "/var/lib/rancher/rke2/agent/images"},
		{K0s, "/var/lib/k0s/images"},
	}
}

// PlaceOptions say where a bundle is put.
type PlaceOptions struct {
	// Dir is the folder. Empty: the one of ImageFolders that exists.
	Dir string
	// OnStart, if set, is called once with what OnBytes will count up to: the
	// bytes copied and those of the bundle's blobs, which are hashed.
	OnStart func(total int64)
	// OnBytes, if set, may be called from several goroutines.
	OnBytes func(int64)
}

// Placement is the outcome of a Place.
type Placement struct {
	Path         string       `json:"path"`
	Distribution Distribution `json:"distribution,omitempty"` // empty when the folder does not tell
	Bundle       string       `json:"bundle"`                 // its digest
	Names        []string     `json:"names"`
	Size         int64        `json:"bytes"`
	Warnings     []Warning    `json:"warnings,omitempty"`
}

// FolderError says that there is no folder to place a bundle in, or more than one.
type FolderError struct {
	Found  []string // those that exist; none or several
	Looked []string // where Place looked
}

// Error lists the folders.
func (e *FolderError) Error() string {
	if len(e.Found) == 0 {
		return "place the bundle: none of the image folders is there: " + strings.Join(e.Looked, ", ")
	}
	return "place the bundle: several image folders are there: " + strings.Join(e.Found, ", ")
}

// ErrForm says that a distribution does not import a bundle of this form.
var ErrForm = errors.New("not imported in this form")

// Place puts a bundle file into the folder from which a distribution imports
// images, for a node whose containerd does not run yet. The copy is written where
// nobody looks for images, every digest in it is checked, and it gets its name
// when it is whole and on disk; a file of that name is replaced.
//
// Errors: [*FolderError]; [ErrForm] for a compressed bundle and k0s, and for a
// differential bundle; [archive.ErrDamaged]; [*SpaceError]; or the system's.
func Place(ctx context.Context, file string, o PlaceOptions) (*Placement, error) {
	return place(ctx, file, o, ImageFolders())
}

func place(ctx context.Context, file string, o PlaceOptions, known []ImageFolder) (*Placement, error) {
	folder, err := chooseFolder(o.Dir, known)
	if err != nil {
		return nil, err
	}
	b, err := archive.OpenContext(ctx, file, nil)
	if err != nil {
		return nil, err
	}
	defer b.Close() // only read from
	name, err := placedName(filepath.Base(file), b, folder.Distribution)
	if err != nil {
		return nil, err
	}
	p := &Placement{Path: filepath.Join(folder.Path, name), Distribution: folder.Distribution, Bundle: b.Digest().String()}
	for _, i := range b.Images() {
		p.Names = append(p.Names, i.Name)
	}
	if p.Warnings, err = placeWarnings(b, folder.Distribution); err != nil {
		return nil, err
	}
	p.Size, err = putFile(ctx, file, p.Path, o, func(copied string) error { return verifyCopy(ctx, copied, b, o.OnBytes) })
	if err != nil {
		return nil, fmt.Errorf("place %s: %w", p.Path, err)
	}
	return p, nil
}

// chooseFolder finds the one folder there is.
func chooseFolder(dir string, known []ImageFolder) (ImageFolder, error) {
	if dir != "" {
		info, err := os.Stat(dir)
		if err == nil && !info.IsDir() {
			err = errors.New("not a folder")
		}
		if err != nil {
			return ImageFolder{}, fmt.Errorf("place the bundle in %s: %w", dir, err)
		}
		return ImageFolder{distributionOf(dir), filepath.Clean(dir)}, nil
	}
	e := &FolderError{}
	var chosen ImageFolder
	for _, f := range known {
		e.Looked = append(e.Looked, f.Path)
		if info, err := os.Stat(f.Path); err == nil && info.IsDir() {
			chosen = f
			e.Found = append(e.Found, f.Path)
		}
	}
	if len(e.Found) != 1 {
		return ImageFolder{}, e
	}
	return chosen, nil
}

// distributionOf guesses from the parts of a path.
func distributionOf(dir string) Distribution {
	for part := range strings.SplitSeq(filepath.ToSlash(filepath.Clean(dir)), "/") {
		switch part {
		case "k3s":
			return K3s
		case "rke2":
			return RKE2
		case "k0s":
			return K0s
		}
	}
	return ""
}

// endings are the names by which k3s and RKE2 tell how a file is packed
// (pkg/agent/containerd of k3s); others they do not import.
var endings = map[archive.Compression][]string{
	archive.Plain: {".tar"},
	archive.Gzip:  {".tar.gz", ".tgz"},
	archive.Zstd:  {".tar.zst", ".tzst"},
}

// placedName gives the file an ending that fits its content.
func placedName(name string, b *archive.Reader, d Distribution) (string, error) {
	if len(b.Omitted()) > 0 {
		return "", fmt.Errorf("place %s: a differential bundle, made against %s: %w", name, b.Base(), ErrForm)
	}
	c := b.Compression()
	if d == K0s && c != archive.Plain {
		return "", fmt.Errorf("place %s: packed with %s, and k0s imports plain tarballs: %w", name, c, ErrForm)
	}
	for _, e := range endings[c] {
		if strings.HasSuffix(name, e) && name != e {
			return name, nil
		}
	}
	return strings.TrimLeft(name, ".") + endings[c][0], nil
}

// placeWarnings says what versions of the distribution can make of the bundle.
func placeWarnings(b *archive.Reader, d Distribution) ([]Warning, error) {
	var all []Warning
	add := func(k Kind, text string) { all = append(all, Warning{k, text}) }
	if d == K0s {
		return nil, nil
	}
	part, err := sparse(b)
	if err != nil {
		return nil, err
	}
	if part != "" {
		add(WarnSparse, fmt.Sprintf("k3s and RKE2 before 1.30.2 and 1.29.6 import no index with platforms left out, as that of %s; for them make the bundle with --flat", part))
	}
	add(WarnRestart, "k3s and RKE2 before 1.29.13, 1.30.9, 1.31.5 and 1.32.0 look into this folder only when they start")
	add(WarnNoPin, "k3s and RKE2 before 1.26.13, 1.27.10 and 1.28.6 do not keep these images from the kubelet's garbage collection")
	return all, nil
}

// sparse names an image whose index lists something that is not in the bundle.
func sparse(b *archive.Reader) (string, error) {
	for _, img := range b.Images() {
		for _, d := range img.Present {
			raw, err := b.Document(d.Digest)
			if err != nil {
				return "", err
			}
			var index ocispec.Index
			if err := json.Unmarshal(raw, &index); err != nil {
				return "", fmt.Errorf("read %s: %w: %w", d.Digest, err, archive.ErrDamaged)
			}
			for _, m := range index.Manifests {
				if !b.Has(m.Digest) {
					return img.Name, nil
				}
			}
		}
	}
	return "", nil
}

// verifyCopy hashes everything in the copy and compares it with the original.
func verifyCopy(ctx context.Context, copied string, b *archive.Reader, onBytes func(int64)) error {
	r, err := archive.OpenContext(ctx, copied, nil)
	if err != nil {
		return err
	}
	defer r.Close() // only read from
	if r.Digest() != b.Digest() {
		return fmt.Errorf("the file changed while it was copied, from %s to %s", b.Digest(), r.Digest())
	}
	return r.Verify(ctx, 0, onBytes)
}

// putFile copies a file to target: beside it first, then renamed, with data and
// folder synced. check sees the copy before it gets its name.
func putFile(ctx context.Context, file, target string, o PlaceOptions, check func(string) error) (size int64, err error) {
	in, err := os.Open(file)
	if err != nil {
		return 0, err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return 0, err
	}
	if o.OnStart != nil {
		o.OnStart(2 * info.Size())
	}
	dir := stagingFolder(filepath.Dir(target))
	if disk, err := usage(dir); err == nil && info.Size() > disk.Free {
		return 0, &SpaceError{Path: dir, Need: info.Size(), Free: disk.Free}
	}
	report := o.OnBytes
	if report == nil {
		report = func(int64) {}
	}
	opts := fsutil.ReplaceOptions{Dir: dir, Pattern: ".stowage-*.partial", Check: check}
	err = fsutil.Replace(target, opts, func(out *os.File) error {
		size, err = io.Copy(out, iox.WithContext(ctx, iox.Report(in, report)))
		return err
	})
	if err != nil {
		return 0, err
	}
	return size, nil
}

// stagingFolder is where the copy is written: above the folder of images, as k0s
// imports whatever appears in it (pkg/component/worker/ocibundle.go of k0s);
// in it only when the one above is another file system or cannot be written to.
// k3s and RKE2 pass over names with an ending they do not know.
func stagingFolder(dir string) string {
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return dir
	}
	above := filepath.Dir(real)
	a, errA := usage(above)
	d, errD := usage(real)
	if errA != nil || errD != nil || a.Device != d.Device {
		return dir
	}
	probe, err := os.CreateTemp(above, ".stowage-*.partial")
	if err != nil {
		return dir
	}
	probe.Close()
	os.Remove(probe.Name())
	return above
}
