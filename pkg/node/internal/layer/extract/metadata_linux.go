package extract

import (
	"archive/tar"
	"bufio"
	"fmt"
	"os"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/containerd/continuity/fs"
	"golang.org/x/sys/unix"
)

// paxAttribute is what the name of an extended attribute follows in a PAX record.
const paxAttribute = "SCHILY.xattr."

// metadata is that of a file or directory.
type metadata struct {
	h     *tar.Header
	mode  uint32
	owned bool // a new one belongs to the right owner
	moded bool // a new one has the right mode
}

// metadata returns that of an entry in a directory.
func (w *writer) metadata(h *tar.Header, in *dir) metadata {
	m := metadata{h: h, mode: modeOf(h)}
	m.owned = h.Uid == w.uid && h.Gid == w.gid && !in.inherits
	m.moded = m.mode&^0o777 == 0 && m.mode&w.umask == 0 && !in.inherits
	return m
}

// modeOf returns the permissions of an entry as the kernel takes them.
func modeOf(h *tar.Header) uint32 { return uint32(h.Mode & 0o7777) }

// complete reports whether a new directory needs no more.
func (m metadata) complete() bool { return m.owned && m.moded && !hasAttributes(m.h) }

// set sets everything but times.
func (m metadata) set(fd int) error {
	err := m.setOwner(fd)
	if err == nil {
		err = m.setAttributes(fd)
	}
	if err == nil {
		err = m.setMode(fd)
	}
	return err
}

// setOwner sets the owner, if necessary.
func (m metadata) setOwner(fd int) error {
	if m.owned {
		return nil
	}
	return unix.Fchown(fd, m.h.Uid, m.h.Gid)
}

// setMode sets the permissions, if necessary. A change of the owner can have changed them.
func (m metadata) setMode(fd int) error {
	if m.moded {
		return nil
	}
	return unix.Fchmod(fd, m.mode)
}

// hasAttributes reports whether an entry has extended attributes.
func hasAttributes(h *tar.Header) bool {
	for k := range h.PAXRecords {
		if strings.HasPrefix(k, paxAttribute) {
			return true
		}
	}
	return false
}

// setAttributes sets the extended attributes. It ignores those that the file system does
// not support, and those of overlayfs itself, as containerd does.
func (m metadata) setAttributes(fd int) error {
	for k, v := range m.h.PAXRecords {
		key, ok := strings.CutPrefix(k, paxAttribute)
		if !ok || strings.HasPrefix(key, "trusted.") {
			continue
		}
		if err := unix.Fsetxattr(fd, key, []byte(v), 0); err != nil && err != unix.ENOTSUP {
			return fmt.Errorf("extended attribute %q: %w", key, err)
		}
	}
	return nil
}

// dirTimes are the times of a directory.
type dirTimes struct {
	name  string // as its header has it, cleaned
	times [2]unix.Timespec
}

// timesOf returns the name and the times of an entry. Those that a file system may not have
// are 1970, as with containerd.
func timesOf(h *tar.Header) dirTimes {
	access := h.AccessTime
	if access.Before(h.ModTime) {
		access = h.ModTime
	}
	return dirTimes{h.Name, [2]unix.Timespec{timespec(access), timespec(h.ModTime)}}
}

var firstTime, lastTime = time.Unix(0, 0), time.Unix(0, 1<<63-1)

// timespec returns a time for the kernel.
func timespec(t time.Time) unix.Timespec {
	if t.Before(firstTime) || t.After(lastTime) {
		return unix.Timespec{}
	}
	ts, err := unix.TimeToTimespec(t)
	if err != nil {
		return unix.Timespec{}
	}
	return ts
}

// setTimes sets the times of a directory entry, which may be a link.
func setTimes(in *dir, base string, times [2]unix.Timespec) error {
	return unix.UtimesNanoAt(in.fd, base, times[:], unix.AT_SYMLINK_NOFOLLOW)
}

// setTimes sets the times of the directories, in the order of the layer.
func (w *writer) setTimes() error {
	for _, t := range w.times {
		name := inRoot(t.name)
		in, err := w.dirs.find(path.Dir(name))
		if err == nil {
			err = setTimes(in, path.Base(name), t.times)
		}
		if err != nil {
			return &os.PathError{Op: "set times", Path: path.Join(w.root, name), Err: err}
		}
	}
	return nil
}

// setTimesByName sets the times of directories in the way of containerd: of what their
// names mean at the end, which may be something else than an entry has made.
func setTimesByName(root string, times []dirTimes) error {
	for _, t := range times {
		file, err := fs.RootPath(root, t.name)
		if err != nil {
			return err
		}
		if err := unix.UtimesNanoAt(unix.AT_FDCWD, file, t.times[:], unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return &os.PathError{Op: "set times", Path: file, Err: err}
		}
	}
	return nil
}

// umask returns the umask of this process. When it is unknown, all bits are set.
func umask() uint32 {
	f, err := os.Open("/proc/self/status")
	if err != nil {
		return 0o777
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if v, ok := strings.CutPrefix(lines.Text(), "Umask:"); ok {
			if mask, err := strconv.ParseUint(strings.TrimSpace(v), 8, 32); err == nil {
				return uint32(mask)
			}
		}
	}
	return 0o777
}
