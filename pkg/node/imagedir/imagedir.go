package imagedir

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/opencontainers/go-digest"

	"stowage/internal/fsutil"
	"stowage/internal/iox"
	"stowage/pkg/archive"
)

// Distribution is a Kubernetes distribution that imports image tarballs from a directory
// when its containerd starts.
type Distribution string

// The distributions with an image directory.
const (
	K3s  Distribution = "k3s"
	RKE2 Distribution = "RKE2"
	K0s  Distribution = "k0s"
)

// directory is the image directory of a distribution.
type directory struct {
	distribution Distribution
	path         string
}

// defaults are the image directories of distributions whose data is at its default place.
var defaults = []directory{
	{K3s, "/var/lib/rancher/k3s/agent/images"},
	{RKE2, "/var/lib/rancher/rke2/agent/images"},
	{K0s, "/var/lib/k0s/images"},
}

// Options are the options of [Place]. The zero value works.
type Options struct {
	// Dir is the image directory. Empty means the default directory of k3s, RKE2 or k0s,
	// of which exactly one must exist.
	Dir string
	// Accept, if set, is called with the opened bundle before anything is written. Its error
	// ends the work, and is returned as it is.
	Accept func(*archive.Reader) error
	// OnStart, if set, is called once with the number that OnBytes will count up to: the
	// bytes to copy, to decompress, and to hash.
	OnStart func(total int64)
	// OnBytes, if set, may be called from several goroutines at once.
	OnBytes func(int64)
}

// Placement is the result of [Place].
type Placement struct {
	Path         string       `json:"output"`                 // the file that was written
	Distribution Distribution `json:"distribution,omitempty"` // that reads the directory, if the path says so
	Bundle       string       `json:"identity"`               // of the bundle
	Names        []string     `json:"names"`
	Size         int64        `json:"size"` // of the file
	Warnings     []Warning    `json:"warnings,omitempty"`
}

// Warning is something the user should know although the bundle was placed.
type Warning struct {
	Kind Kind   `json:"code"`
	Text string `json:"message"` // one sentence without a full stop
}

// Kind is the kind of a [Warning].
type Kind string

// The kinds of warnings.
const (
	WarnSparse  Kind = "sparse"  // old versions of the distribution do not import the index
	WarnRestart Kind = "restart" // old versions of the distribution import only when they start
	WarnNoPin   Kind = "no-pin"  // old versions of the distribution do not pin the images
)

// DirectoryError says that no image directory exists, or more than one.
type DirectoryError struct {
	Found []string // the directories that exist; none or several
	Tried []string // the directories that Place looked for
}

// Error lists the directories.
func (e *DirectoryError) Error() string {
	if len(e.Found) == 0 {
		return "place the bundle: no image directory exists: " + strings.Join(e.Tried, ", ")
	}
	return "place the bundle: several image directories exist: " + strings.Join(e.Found, ", ")
}

// ErrForm says that the distribution does not import a bundle of this form.
var ErrForm = errors.New("not imported in this form")

// Place copies a bundle file into the directory from which a distribution imports images.
// The distribution does not see the copy until all digests in it are checked and it is
// synced to disk. An existing file of the same name is replaced.
//
// Errors: [*DirectoryError]; [ErrForm] for a differential bundle, and for a compressed one
// with k0s; [archive.ErrDamaged]; [*archive.SpaceError]; or that of a system call.
func Place(ctx context.Context, file string, o Options) (*Placement, error) {
	return place(ctx, file, o, defaults)
}

func place(ctx context.Context, file string, o Options, known []directory) (*Placement, error) {
	dir, err := choose(o.Dir, known)
	if err != nil {
		return nil, err
	}
	b, err := archive.Open(ctx, file, &archive.OpenOptions{Metadata: true})
	if err != nil {
		return nil, err
	}
	defer b.Close() // read only
	if o.Accept != nil {
		if err := o.Accept(b); err != nil {
			return nil, err
		}
	}
	name, err := placedName(filepath.Base(file), b, dir.distribution)
	if err != nil {
		return nil, err
	}
	p := &Placement{Path: filepath.Join(dir.path, name), Distribution: dir.distribution, Bundle: b.Digest().String()}
	for _, i := range b.Images() {
		p.Names = append(p.Names, i.Name)
	}
	if p.Warnings, err = warnings(b, dir.distribution); err != nil {
		return nil, err
	}
	if o.OnBytes == nil {
		o.OnBytes = func(int64) {}
	}
	p.Size, err = copyFile(ctx, file, p.Path, b, o)
	if err != nil {
		return nil, fmt.Errorf("place %s: %w", p.Path, err)
	}
	return p, nil
}

// choose returns dir, or the only one of the known directories that exists.
func choose(dir string, known []directory) (directory, error) {
	if dir != "" {
		info, err := os.Stat(dir)
		if err == nil && !info.IsDir() {
			err = errors.New("not a directory")
		}
		if err != nil {
			return directory{}, fmt.Errorf("place the bundle in %s: %w", dir, err)
		}
		return directory{distributionOf(dir), filepath.Clean(dir)}, nil
	}
	e := &DirectoryError{}
	var chosen directory
	for _, d := range known {
		e.Tried = append(e.Tried, d.path)
		if info, err := os.Stat(d.path); err == nil && info.IsDir() {
			chosen = d
			e.Found = append(e.Found, d.path)
		}
	}
	if len(e.Found) != 1 {
		return directory{}, e
	}
	return chosen, nil
}

// distributionOf returns the distribution that the elements of a path name, or "".
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

// endings are the file name extensions by which k3s and RKE2 recognise the compression
// (pkg/agent/containerd of k3s). They import no other files.
var endings = map[archive.Compression][]string{
	archive.Plain: {".tar"},
	archive.Gzip:  {".tar.gz", ".tgz"},
	archive.Zstd:  {".tar.zst", ".tzst"},
}

// placedName returns the name of the file with an extension that matches its content.
func placedName(name string, b *archive.Reader, d Distribution) (string, error) {
	if len(b.Omitted()) > 0 {
		return "", fmt.Errorf("place %s: a differential bundle, made against %s: %w", name, b.Base(), ErrForm)
	}
	c := b.Compression()
	if d == K0s && c != archive.Plain {
		return "", fmt.Errorf("place %s: compressed with %s, and k0s imports plain tarballs only: %w", name, c, ErrForm)
	}
	for _, e := range endings[c] {
		if strings.HasSuffix(name, e) && name != e {
			return name, nil
		}
	}
	return strings.TrimLeft(name, ".") + endings[c][0], nil
}

// warnings returns what older versions of the distribution cannot do with the bundle.
func warnings(b *archive.Reader, d Distribution) ([]Warning, error) {
	var all []Warning
	add := func(k Kind, text string) { all = append(all, Warning{k, text}) }
	if d == K0s {
		return nil, nil
	}
	name, err := sparse(b)
	if err != nil {
		return nil, err
	}
	if name != "" {
		add(WarnSparse, fmt.Sprintf("k3s and RKE2 before 1.30.2 and 1.29.6 import no index with missing platforms, as that of %s; for them make the bundle with --flat", name))
	}
	add(WarnRestart, "k3s and RKE2 before 1.29.13, 1.30.9, 1.31.5 and 1.32.0 read this directory only when they start")
	add(WarnNoPin, "k3s and RKE2 before 1.26.13, 1.27.10 and 1.28.6 do not protect these images from the kubelet's garbage collection")
	return all, nil
}

// sparse returns the name of an image whose index lists a manifest that is not in the
// bundle, "" if there is none.
func sparse(b *archive.Reader) (string, error) {
	met := map[digest.Digest]bool{}
	for _, img := range b.Images() {
		for _, d := range img.Present {
			if met[d.Digest] {
				continue
			}
			met[d.Digest] = true
			m, err := b.Manifest(d.Digest)
			if err != nil {
				return "", fmt.Errorf("read %s: %w: %w", d.Digest, err, archive.ErrDamaged)
			}
			for _, child := range m.Children {
				if !b.Has(child.Digest) {
					return img.Name, nil
				}
			}
		}
	}
	return "", nil
}

// verifyCopy checks every digest in the copy, and that it is the bundle b.
func verifyCopy(ctx context.Context, copied string, b *archive.Reader, onBytes func(int64)) error {
	r, err := archive.Open(ctx, copied, &archive.OpenOptions{OnBytes: onBytes})
	if err != nil {
		return err
	}
	defer r.Close() // read only
	if r.Digest() != b.Digest() {
		return fmt.Errorf("the file changed while it was copied, from %s to %s", b.Digest(), r.Digest())
	}
	return r.Verify(ctx, 0, onBytes)
}

// work returns the number that OnBytes counts up to for a file of size bytes.
func work(b *archive.Reader, size int64) int64 {
	total := size
	if b.Compression() != archive.Plain {
		total += size // decompressed once more to be checked
	}
	for _, blob := range b.Blobs() {
		total += blob.Size
	}
	return total
}

// copyFile copies the file of the bundle b to target. The copy is checked before it is
// renamed to target.
func copyFile(ctx context.Context, file, target string, b *archive.Reader, o Options) (size int64, err error) {
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
		o.OnStart(work(b, info.Size()))
	}
	dir := stagingDir(filepath.Dir(target))
	if err := removeStale(dir, filepath.Dir(target)); err != nil {
		return 0, err
	}
	if free, ok := fsutil.Free(dir); ok && info.Size() > free {
		return 0, &archive.SpaceError{Path: dir, Need: info.Size(), Free: free}
	}
	var lock *os.File
	defer func() { lock.Close() }() // a nil file too
	opts := fsutil.ReplaceOptions{Dir: dir, Pattern: stagingPattern, Check: func(copied string) error { return verifyCopy(ctx, copied, b, o.OnBytes) }}
	err = fsutil.Replace(target, opts, func(out *os.File) error {
		if lock, err = lockStaged(out.Name()); err != nil {
			return err
		}
		size, err = io.Copy(out, iox.WithContext(ctx, iox.Report(in, o.OnBytes)))
		return err
	})
	if err != nil {
		return 0, err
	}
	return size, nil
}
