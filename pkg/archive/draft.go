package archive

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/opencontainers/go-digest"

	"stowage/internal/fsutil"
)

// Suffixes of the files of a bundle in the making, beside its final name.
const (
	partialSuffix = ".partial"
	journalSuffix = ".partial.journal"
	packedSuffix  = ".partial.packed" // being compressed; worth nothing until it is whole
)

// A Draft is a bundle in the making: OUT.partial, where each blob is written to its
// final place, and OUT.partial.journal, which holds the documents and remembers what is
// there. A run that is killed leaves both, and the next one goes on from them. OUT itself
// appears by a rename, whole, or not at all.
//
// Use: [OpenDraft]; [Draft.AddDocument] for what [Draft.Document] does not have yet;
// [NewPlan] over the draft; [Draft.Begin]; [Draft.Reuse] if there are older bundles;
// a [BlobWriter] for each of [Draft.Missing]; [Draft.Commit] or [Draft.CommitAs]. Close in
// any case, or [Draft.Discard] when it turns out that there is nothing to do.
//
// Methods may be used from many goroutines, after Begin has returned.
type Draft struct {
	path string // of the final file

	mu      sync.Mutex
	journal *journal
	claims  *claims
	plan    *Plan
	file    *os.File
	whole   []bool // by position in the plan
	parts   map[int]*part
	closed  bool
}

var (
	errDraftClosed = errors.New("draft is closed")
	errNotBegun    = errors.New("draft has no plan yet")
	errBegun       = errors.New("draft has a plan already")
)

// OpenDraft takes up the bundle that is to become the file path: what an earlier run
// left, or nothing. It writes nothing. path must not be a folder or a device, and its
// folder must exist and be writable. [ErrBusy] when another process is at it.
func OpenDraft(path string) (*Draft, error) {
	path, err := checkOutput(path)
	if err != nil {
		return nil, fmt.Errorf("write bundle: %w", err)
	}
	d := &Draft{path: path, claims: newClaims(), parts: map[int]*part{}}
	if err := d.openJournal(false); err != nil {
		return nil, fmt.Errorf("write bundle %s: %w", path, err)
	}
	return d, nil
}

// checkOutput finds out what can be known to fail later, and follows a symbolic link
// so that the rename replaces the file and not the link.
func checkOutput(path string) (string, error) {
	if path == "" {
		return "", errors.New("no file name")
	}
	if info, err := os.Lstat(path); err == nil && info.Mode()&fs.ModeSymlink != 0 {
		if path, err = filepath.EvalSymlinks(path); err != nil {
			return "", err
		}
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

// openJournal opens and locks the journal; without create, there may be none.
func (d *Draft) openJournal(create bool) error {
	flags := os.O_RDWR
	if create {
		flags |= os.O_CREATE
	}
	name := d.path + journalSuffix
	for {
		f, err := os.OpenFile(name, flags, 0o644)
		if errors.Is(err, fs.ErrNotExist) && !create {
			return nil
		}
		if err != nil {
			return err
		}
		if err := fsutil.Lock(f); err != nil {
			f.Close()
			if errors.Is(err, fsutil.ErrLocked) {
				return ErrBusy
			}
			return err
		}
		// Another run may have finished and removed the file between open and lock.
		if !sameFile(f, name) {
			f.Close()
			continue
		}
		d.journal, d.claims, err = readJournal(f)
		if err != nil {
			f.Close()
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

// ready gives the journal, made now if there is none.
func (d *Draft) ready() (*journal, error) {
	if d.closed {
		return nil, errDraftClosed
	}
	if d.journal == nil {
		if err := d.openJournal(true); err != nil {
			return nil, err
		}
	}
	return d.journal, nil
}

// Document gives a document that this or an earlier run added, checked against its
// digest, or [ErrNotFound].
func (d *Draft) Document(dg digest.Digest) ([]byte, error) {
	d.mu.Lock()
	j, closed := d.journal, d.closed
	d.mu.Unlock()
	switch {
	case closed:
		return nil, errDraftClosed
	case j == nil:
		return nil, fmt.Errorf("document %s: %w", dg, ErrNotFound)
	}
	return j.document(dg)
}

// AddDocument keeps a document of at most [MaxDocument] bytes; it survives a kill from
// then on. One that is there already is not written again. Configs may be added as well:
// [Draft.Begin] puts whatever it finds here into the bundle.
func (d *Draft) AddDocument(raw []byte) (digest.Digest, error) {
	if len(raw) > MaxDocument {
		return "", fmt.Errorf("add document: %d bytes, the limit is %d", len(raw), MaxDocument)
	}
	d.mu.Lock()
	j, err := d.ready()
	d.mu.Unlock()
	if err != nil {
		return "", fmt.Errorf("add document to %s: %w", d.path, err)
	}
	return j.addDocument(raw)
}

// Missing gives the blobs that are still to come, in the order of the file.
func (d *Draft) Missing() []Blob {
	d.mu.Lock()
	defer d.mu.Unlock()
	var out []Blob
	for i, whole := range d.whole {
		if !whole {
			out = append(out, d.plan.blobs[i])
		}
	}
	return out
}

// Blob opens a blob of the plan for writing, where an earlier run or writer left off. It
// has one writer at a time. The writer of a blob that is whole already has all of it as
// its prefix, and its Commit does nothing.
func (d *Draft) Blob(dg digest.Digest) (*BlobWriter, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.closed:
		return nil, errDraftClosed
	case d.plan == nil:
		return nil, errNotBegun
	}
	i, err := d.plan.find(dg)
	if err != nil {
		return nil, err
	}
	p := d.partOf(i)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.open {
		return nil, fmt.Errorf("blob %s has a writer already", dg)
	}
	if p.err != nil {
		return nil, p.err
	}
	p.open = true
	return &BlobWriter{sink: p}, nil
}

// partOf gives the state of a blob; d.mu is held.
func (d *Draft) partOf(i int) *part {
	if p := d.parts[i]; p != nil {
		return p
	}
	p := &part{blob: &d.plan.blobs[i], file: d.file, journal: d.journal}
	p.reset()
	if d.whole[i] {
		p.whole, p.hashed = true, p.blob.Size
		return p
	}
	p.done = func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.whole[i] = true
		delete(d.parts, i)
	}
	d.parts[i] = p
	return p
}

// Commit ends the bundle: all blobs must be there ([ErrIncomplete] otherwise), the file
// is synced and gets its name, replacing what had it before. The journal is removed and
// the draft closed.
func (d *Draft) Commit() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.complete(); err != nil {
		return err
	}
	if err := d.file.Sync(); err != nil {
		return fmt.Errorf("finish %s: %w", d.path, noSpace(err))
	}
	// Some systems cannot rename an open file.
	err := d.file.Close()
	d.file = nil
	if err == nil {
		err = os.Rename(d.path+partialSuffix, d.path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("finish %s: %w", d.path, noSpace(err)), d.closeLocked())
	}
	err = errors.Join(fsutil.SyncDir(filepath.Dir(d.path)), d.journal.remove())
	return errors.Join(err, d.closeLocked())
}

// complete tells whether every blob is there; d.mu is held.
func (d *Draft) complete() error {
	switch {
	case d.closed:
		return errDraftClosed
	case d.plan == nil:
		return errNotBegun
	}
	missing, first := 0, digest.Digest("")
	for i, whole := range d.whole {
		if !whole {
			if missing++; missing == 1 {
				first = d.plan.blobs[i].Digest
			}
		}
	}
	if missing > 0 {
		return fmt.Errorf("finish %s: %w: %d of %d, the first is %s", d.path, ErrIncomplete, missing, len(d.whole), first)
	}
	return nil
}

// Close gives the draft up and keeps what is there for a later run. Blobs that are open
// are closed. After Commit it does nothing.
func (d *Draft) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.closeLocked()
}

func (d *Draft) closeLocked() error {
	if d.closed {
		return nil
	}
	d.closed = true
	var errs []error
	for _, p := range d.parts {
		errs = append(errs, p.close())
	}
	if d.file != nil {
		errs = append(errs, d.file.Close())
	}
	if d.journal != nil {
		if d.journal.empty() {
			errs = append(errs, d.journal.remove())
		}
		d.journal.f.Close()
	}
	return errors.Join(errs...)
}
