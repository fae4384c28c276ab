package extract

import (
	"path"

	"golang.org/x/sys/unix"
)

const (
	// maxOpen is how many directories of a layer are kept open. A deep one and those above
	// it come on top.
	maxOpen = 128
	// maxDepth is how deep a directory may lie. That also limits recursion.
	maxDepth = 64
)

// dir is an open directory of a layer.
type dir struct {
	fd int
	// inherits says that what is made in it takes the group, and a directory the
	// set-group-ID bit, from it.
	inherits bool
}

// dirs are the directories of a layer. Each was opened from the one above it, without
// following links, so it lies below the root, whatever else happens to names meanwhile.
type dirs struct {
	root  *dir
	open  map[string]*dir // by name, without the root
	made  map[string]bool // those with an entry in the layer, and whether they inherit
	group int             // of this process
	lower bool            // missing directories may lie in layers below
}

// newDirs opens the root directory.
func newDirs(root string, group int, lower bool) (*dirs, error) {
	fd, err := unix.Open(root, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	d := &dirs{open: map[string]*dir{}, made: map[string]bool{}, group: group, lower: lower}
	if d.root, err = d.inspect(fd); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return d, nil
}

// inspect returns a directory that was there. What is made in one with a default access
// control list is unusual.
func (d *dirs) inspect(fd int) (*dir, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, err
	}
	if _, err := unix.Fgetxattr(fd, "system.posix_acl_default", nil); err != unix.ENODATA && err != unix.ENOTSUP {
		return nil, errUnusual
	}
	return &dir{fd, st.Mode&unix.S_ISGID != 0 || int(st.Gid) != d.group}, nil
}

// find returns a directory by its cleaned name, which is relative to the root. It stays
// open during the next call, and longer only if that one is for a directory that was just
// in use.
func (d *dirs) find(name string) (*dir, error) {
	if name == "." {
		return d.root, nil
	}
	if found := d.open[name]; found != nil {
		return found, nil
	}
	if len(d.open) >= maxOpen {
		d.forget()
	}
	parent, err := d.find(path.Dir(name))
	if err != nil {
		return nil, err
	}
	fd, err := openDir(parent, path.Base(name))
	if err != nil {
		return nil, err
	}
	found := &dir{fd: fd}
	inherits, made := d.made[name]
	if found.inherits = inherits; !made {
		if found, err = d.inspect(fd); err != nil {
			unix.Close(fd)
			return nil, err
		}
	}
	d.open[name] = found
	return found, nil
}

// require returns a directory as find does. It makes those that are missing.
func (d *dirs) require(name string) (*dir, error) {
	found, err := d.find(name)
	if err != unix.ENOENT || d.lower {
		return found, err
	}
	parent, err := d.require(path.Dir(name))
	if err != nil {
		return nil, err
	}
	const mode = 0o755 // containerd makes them so
	if err := unix.Mkdirat(parent.fd, path.Base(name), mode); err != nil {
		return nil, err
	}
	if found, err = d.find(name); err != nil {
		return nil, err
	}
	return found, unix.Fchmod(found.fd, mode)
}

// add remembers a directory that an entry has made or changed.
func (d *dirs) add(name string, inherits bool) {
	d.made[name] = inherits
	if found := d.open[name]; found != nil {
		found.inherits = inherits
	}
}

// forget closes all directories but the root.
func (d *dirs) forget() {
	for _, found := range d.open {
		unix.Close(found.fd)
	}
	clear(d.open)
}

// close closes all directories.
func (d *dirs) close() {
	d.forget()
	unix.Close(d.root.fd)
}

// openDir opens a directory in parent, not by a link.
func openDir(parent *dir, base string) (int, error) {
	return unix.Openat(parent.fd, base, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
}
