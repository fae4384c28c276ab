package placed

import (
	"errors"
	"fmt"
	"os"
	"unsafe"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"
)

// File is a blob that was placed. The caller closes it.
type File struct {
	store  *Store
	dir    *os.File
	file   *os.File
	size   int64
	digest digest.Digest
}

// create returns a file without a name in the directory of the blob, or nil.
func (s *Store) create(b Blob) *File {
	algorithm := digest.Canonical
	if b.Digest != "" {
		algorithm = b.Digest.Algorithm()
	}
	dir, mode := s.open(algorithm)
	if dir == nil {
		return nil
	}
	f := &File{store: s, dir: dir, size: b.Size, digest: b.Digest}
	if b.Digest != "" && f.named() {
		dir.Close()
		return nil
	}
	// A file has the rights that containerd's umask has left to the directory.
	fd, err := unix.Openat(int(dir.Fd()), ".", unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, mode&0o444)
	if err != nil { // EOPNOTSUPP, for example
		dir.Close()
		return nil
	}
	f.file = os.NewFile(uintptr(fd), dir.Name())
	if err := f.file.Chmod(os.FileMode(mode & 0o444)); err != nil || s.verity(f.file.Fd()) {
		f.Close()
		return nil
	}
	return f
}

// open opens the directory of the blobs of an algorithm and returns its mode. containerd makes
// it for the first blob (plugins/content/local/writer.go, Commit), and so does open. It returns
// nil for a directory that is a link, or that another user than this one can write to.
func (s *Store) open(algorithm digest.Algorithm) (*os.File, uint32) {
	if !algorithm.Available() || s.root == "" {
		return nil, 0
	}
	at, err := os.Open(s.root)
	var st unix.Stat_t
	for _, name := range []string{"blobs", algorithm.String()} {
		if err != nil {
			return nil, 0
		}
		parent := at
		at, err = openDir(parent, name)
		parent.Close()
		if err != nil {
			return nil, 0
		}
		err = unix.Fstat(int(at.Fd()), &st)
		if err == nil && (int(st.Uid) != os.Geteuid() || st.Mode&0o022 != 0) {
			err = unix.EPERM
		}
	}
	if err != nil {
		at.Close()
		return nil, 0
	}
	return at, st.Mode
}

// openDir opens a directory in another one, and makes it if it is missing.
func openDir(parent *os.File, name string) (*os.File, error) {
	const flags = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC
	fd, err := unix.Openat(int(parent.Fd()), name, flags, 0)
	if errors.Is(err, unix.ENOENT) {
		if err := unix.Mkdirat(int(parent.Fd()), name, 0o755); err != nil && !errors.Is(err, unix.EEXIST) {
			return nil, err
		}
		if err := parent.Sync(); err != nil {
			return nil, err
		}
		fd, err = unix.Openat(int(parent.Fd()), name, flags, 0)
	}
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), parent.Name()+"/"+name), nil
}

// link syncs the file and creates its name.
//
// Both the bytes and the name are on the disk before containerd records the blob. Its database
// would otherwise survive a power cut that the file does not survive, and later loads would
// believe that the blob is there. The bytes come first, because a file with a name is taken
// over without another look at its bytes. One sync of the file system for several large blobs
// would write what else is dirty there, above all the layers that are being unpacked, and each
// blob would wait for that.
func (f *File) link() error {
	if err := f.file.Sync(); err != nil {
		return err
	}
	if named, err := f.name(); err != nil || !named {
		return err
	}
	return f.dir.Sync()
}

// linkAll is link for several files, with one sync of their file system. It returns those that
// have a name now.
func linkAll(files []*File) (linked []*File, err error) {
	if len(files) == 0 {
		return nil, nil
	}
	if err := unix.Syncfs(int(files[0].file.Fd())); err != nil {
		return nil, err
	}
	dirs := map[digest.Algorithm]*os.File{}
	for _, f := range files {
		named, err := f.name()
		if err != nil {
			return linked, err
		}
		if named {
			linked, dirs[f.digest.Algorithm()] = append(linked, f), f.dir
		}
	}
	for _, dir := range dirs {
		err = errors.Join(err, dir.Sync())
	}
	return linked, err
}

// name creates the name of a file that is on the disk, and reports whether it did. Where that
// is not possible, the caller sends this blob and all others.
//
// A name that exists already belongs to another load, or to another namespace that has received
// the blob meanwhile; containerd uses that file, as it does when it receives a blob twice. One
// of another size is an error: containerd would not notice it.
func (f *File) name() (bool, error) {
	err := unix.Linkat(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", f.file.Fd()), int(f.dir.Fd()), f.digest.Encoded(), unix.AT_SYMLINK_FOLLOW)
	switch {
	case errors.Is(err, unix.EEXIST):
		var st unix.Stat_t
		err = unix.Fstatat(int(f.dir.Fd()), f.digest.Encoded(), &st, unix.AT_SYMLINK_NOFOLLOW)
		if err == nil && st.Size != f.size {
			err = fmt.Errorf("%s/%s has %d bytes, not %d: remove this file", f.dir.Name(), f.digest.Encoded(), st.Size, f.size)
		}
	case err != nil:
		f.store.refuses.Store(true)
		return false, nil
	}
	return err == nil, err
}

// named reports whether the store has a file with the name of the blob.
func (f *File) named() bool {
	return unix.Faccessat(int(f.dir.Fd()), f.digest.Encoded(), unix.F_OK, unix.AT_SYMLINK_NOFOLLOW) == nil
}

// Close closes the file. Without a name it is gone then. Close does nothing for a nil File.
func (f *File) Close() error {
	if f == nil {
		return nil
	}
	return errors.Join(f.file.Close(), f.dir.Close())
}

// measureVerity is FS_IOC_MEASURE_VERITY of linux/fsverity.h, the same on all architectures.
const measureVerity = 0xc0046686

// sealable reports whether the file system of the open file has fs-verity. containerd 2 then
// seals each blob in Commit (internal/fsverity, plugins/content/local/writer.go), but not one
// that it takes over. The kernel answers ENODATA for a file that could be sealed and is not,
// and another error where nothing can be (Documentation/filesystems/fsverity.rst). Nothing is
// sealed for this test, as containerd does when it starts.
func sealable(fd uintptr) bool {
	var digest struct{ algorithm, size uint16 }
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, fd, measureVerity, uintptr(unsafe.Pointer(&digest)))
	return errno == unix.ENODATA || errno == unix.EOVERFLOW || errno == 0
}
