package writer

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"github.com/opencontainers/go-digest"

	"stowage/internal/fsutil"
	"stowage/pkg/archive"
)

// Suffixes of the files beside the final one while a bundle is written.
const (
	partialSuffix    = ".partial"
	journalSuffix    = ".partial.journal"
	compressedSuffix = ".partial.packed" // being compressed; useless until it is complete
)

// A File writes a bundle to a file and can be resumed. It writes each blob to its final
// place in OUT.partial, while OUT.partial.journal holds the manifests and records which
// blobs are there. A run that is killed leaves both, and the next one resumes from them.
// OUT itself appears by a rename, complete, or not at all.
//
// Use: [Open]; [File.AddMetadata] for what [File.Metadata] does not have yet;
// [archive.NewPlan] over the File; [File.Start]; [File.Reuse] if there are older bundles;
// a [Blob] for each of [File.Missing]; [File.Commit] or [File.CommitAs]. Close it in any
// case, or [File.Discard] it when there turns out to be nothing to do.
//
// After Start has returned, methods may be called from many goroutines.
type File struct {
	path string // of the final file

	mu       sync.Mutex
	journal  *journal
	records  *records
	plan     *archive.Plan
	file     *os.File
	complete []bool // by position in the plan
	partial  map[int]*partial
	resumed  int64 // see Resumed
	closed   bool
}

var (
	// ErrBusy is returned when another process is writing the same bundle.
	ErrBusy = errors.New("another run is writing this bundle")

	// ErrIncomplete is returned when a bundle is committed while blobs are missing.
	ErrIncomplete = errors.New("blobs are missing")

	errFileClosed = errors.New("file is closed")
	errNotStarted = errors.New("file has no plan yet")
	errStarted    = errors.New("file has a plan already")
)

// Open opens the bundle that will become the file path and reads what an earlier run left
// of it. It writes nothing. path must not be a directory or a device, and its directory
// must exist and be writable. [ErrBusy] when another process is writing it.
func Open(path string) (*File, error) {
	path, err := checkOutput(path)
	if err != nil {
		return nil, fmt.Errorf("write bundle: %w", err)
	}
	f := &File{path: path, records: newRecords(), partial: map[int]*partial{}}
	if err := f.openJournal(false); err != nil {
		return nil, fmt.Errorf("write bundle %s: %w", path, err)
	}
	return f, nil
}

// checkOutput reports early what would fail later. It resolves a symbolic link of this user,
// so that the rename replaces the file and not the link.
func checkOutput(path string) (string, error) {
	if path == "" {
		return "", errors.New("no file name")
	}
	path, err := fsutil.ResolveOutput(path)
	if err != nil {
		return "", err
	}
	switch info, err := os.Stat(path); {
	case err == nil && info.IsDir():
		return "", fmt.Errorf("%s is a directory, name a file in it", path)
	case err == nil && !info.Mode().IsRegular():
		return "", fmt.Errorf("%s is not a regular file", path)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return "", err
	}
	dir := filepath.Dir(path)
	info, err := os.Stat(dir)
	if err != nil {
		return "", err
	}
	if !info.IsDir() {
		return "", fmt.Errorf("%s is not a directory", dir)
	}
	return path, fsutil.Writable(dir)
}

// openJournal opens and locks the journal. Without create, a missing one is no error.
func (f *File) openJournal(create bool) error {
	flags := os.O_RDWR
	if create {
		flags |= os.O_CREATE
	}
	name := f.path + journalSuffix
	for {
		file, err := fsutil.OpenOwn(name, flags, 0o666)
		if errors.Is(err, fs.ErrNotExist) && !create {
			return nil
		}
		if err != nil {
			return err
		}
		if err := fsutil.Lock(file); err != nil {
			file.Close()
			if errors.Is(err, fsutil.ErrLocked) {
				return ErrBusy
			}
			return err
		}
		// Another run may have finished and removed the file between open and lock.
		if !sameFile(file, name) {
			file.Close()
			continue
		}
		f.journal, f.records, err = readJournal(file)
		if err != nil {
			file.Close()
		}
		return err
	}
}

func sameFile(f *os.File, name string) bool {
	a, err := f.Stat()
	if err != nil {
		return false
	}
	b, err := os.Stat(name)
	return err == nil && os.SameFile(a, b)
}

// ready returns the journal and creates it if there is none; f.mu is held.
func (f *File) ready() (*journal, error) {
	if f.closed {
		return nil, errFileClosed
	}
	if f.journal == nil {
		if err := f.openJournal(true); err != nil {
			return nil, err
		}
	}
	return f.journal, nil
}

// Metadata returns a manifest, index or config that this or an earlier run added, checked
// against its digest, or [archive.ErrNotFound].
func (f *File) Metadata(d digest.Digest) ([]byte, error) {
	f.mu.Lock()
	j, closed := f.journal, f.closed
	f.mu.Unlock()
	switch {
	case closed:
		return nil, errFileClosed
	case j == nil:
		return nil, fmt.Errorf("manifest %s: %w", d, archive.ErrNotFound)
	}
	return j.metadata(d)
}

// AddMetadata stores a manifest, index or config of at most [archive.MaxMetadata] bytes;
// it survives a kill from then on. One that is there already is not written again.
// [File.Start] puts all of them that the plan names into the bundle.
func (f *File) AddMetadata(raw []byte) (digest.Digest, error) {
	if len(raw) > archive.MaxMetadata {
		return "", fmt.Errorf("add manifest: %d bytes, the limit is %d", len(raw), archive.MaxMetadata)
	}
	f.mu.Lock()
	j, err := f.ready()
	f.mu.Unlock()
	if err != nil {
		return "", fmt.Errorf("add manifest to %s: %w", f.path, err)
	}
	return j.addMetadata(raw)
}

// Missing returns the blobs that are not complete yet, in the order of the file.
func (f *File) Missing() []archive.Blob {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []archive.Blob
	for i, complete := range f.complete {
		if !complete {
			out = append(out, f.plan.Blobs()[i])
		}
	}
	return out
}

// Lacks returns how many bytes of a blob of Missing are not written yet.
func (f *File) Lacks(d digest.Digest) int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	i, err := f.plan.Find(d)
	switch {
	case err != nil || f.complete[i]:
		return 0
	case f.partial[i] != nil:
		return f.partial[i].lacks()
	}
	return f.plan.Blobs()[i].Size
}

// Resumed returns how many bytes of blobs [File.Start] found that an earlier run had written.
// Manifests and what else [File.AddMetadata] stores are not among them.
func (f *File) Resumed() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.resumed
}

// Blob opens a blob of the plan for writing, where an earlier run or writer stopped. A
// blob has one writer at a time. The writer of a complete blob has all of it as its
// prefix, and its Commit does nothing.
func (f *File) Blob(d digest.Digest) (*Blob, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.closed:
		return nil, errFileClosed
	case f.plan == nil:
		return nil, errNotStarted
	}
	i, err := f.plan.Find(d)
	if err != nil {
		return nil, err
	}
	p := f.partialOf(i)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.open {
		return nil, fmt.Errorf("blob %s has a writer already", d)
	}
	if p.err != nil {
		return nil, p.err
	}
	p.open = true
	return &Blob{to: p}, nil
}

// partialOf returns the state of blob i; f.mu is held.
func (f *File) partialOf(i int) *partial {
	if p := f.partial[i]; p != nil {
		return p
	}
	p := &partial{blob: &f.plan.Blobs()[i], file: f.file, journal: f.journal}
	p.reset()
	if f.complete[i] {
		p.complete, p.hashed = true, p.blob.Size
		return p
	}
	p.done = func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.complete[i] = true
		delete(f.partial, i)
	}
	f.partial[i] = p
	return p
}

// Commit finishes the bundle: all blobs must be complete ([ErrIncomplete] otherwise). It
// syncs the file and renames it to its final name, replacing a file of that name, whose mode
// it keeps. Then it removes the journal and closes f.
func (f *File) Commit() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.checkComplete(); err != nil {
		return err
	}
	if err := errors.Join(fsutil.KeepMode(f.file, f.path), f.file.Sync()); err != nil {
		return fmt.Errorf("finish %s: %w", f.path, archive.NoSpace(err))
	}
	// Some systems cannot rename an open file.
	err := f.file.Close()
	f.file = nil
	if err == nil {
		err = os.Rename(f.path+partialSuffix, f.path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("finish %s: %w", f.path, archive.NoSpace(err)), f.close())
	}
	err = errors.Join(fsutil.SyncDir(filepath.Dir(f.path)), f.journal.remove())
	return errors.Join(err, f.close())
}

// checkComplete returns an error unless every blob is complete; f.mu is held.
func (f *File) checkComplete() error {
	switch {
	case f.closed:
		return errFileClosed
	case f.plan == nil:
		return errNotStarted
	}
	missing, first := 0, digest.Digest("")
	for i, complete := range f.complete {
		if !complete {
			if missing++; missing == 1 {
				first = f.plan.Blobs()[i].Digest
			}
		}
	}
	if missing > 0 {
		return fmt.Errorf("finish %s: %w: %d of %d, the first is %s", f.path, ErrIncomplete, missing, len(f.complete), first)
	}
	return nil
}

// Close closes f and its open blobs. What was written stays for a later run. After Commit
// it does nothing.
func (f *File) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.close()
}

// close is Close; f.mu is held.
func (f *File) close() error {
	if f.closed {
		return nil
	}
	f.closed = true
	var errs []error
	for _, p := range f.partial {
		errs = append(errs, p.close())
	}
	if f.file != nil {
		errs = append(errs, f.file.Close())
	}
	if f.journal != nil {
		if f.journal.empty() {
			errs = append(errs, f.journal.remove())
		}
		f.journal.f.Close()
	}
	return errors.Join(errs...)
}

// Discard closes f and removes all that it wrote: for a run that finds that the file at
// the output is up to date. After Commit or Close it does nothing.
func (f *File) Discard() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return nil
	}
	return f.discard()
}

// discard removes the data files, then the journal while it still locks them; f.mu is
// held.
func (f *File) discard() error {
	if f.journal == nil {
		return f.close() // nothing was ever written
	}
	for _, p := range f.partial {
		p.abandon()
	}
	var errs []error
	if f.file != nil {
		// Some systems cannot remove an open file.
		errs = append(errs, f.file.Close())
		f.file = nil
	}
	dir, base := filepath.Split(f.path + partialSuffix)
	entries, err := os.ReadDir(filepath.Clean(dir))
	errs = append(errs, err)
	for _, e := range entries {
		if rest, ok := strings.CutPrefix(e.Name(), base); ok && isData(rest) {
			errs = append(errs, os.Remove(filepath.Join(dir, e.Name())))
		}
	}
	errs = append(errs, f.journal.remove())
	f.journal.f.Close()
	f.journal = nil
	return errors.Join(append(errs, f.close())...)
}

// isData reports whether a file is a data file, by what follows ".partial" in its name.
func isData(rest string) bool {
	number, aside := strings.CutPrefix(rest, ".")
	_, err := strconv.ParseUint(number, 10, 32)
	return rest == "" || partialSuffix+rest == compressedSuffix || aside && err == nil
}
