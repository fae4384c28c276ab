package node

import (
	"archive/tar"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path"
	"path/filepath"
	"stowage/internal/fsutil"
	"strings"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/pkg/archive"
	"golang.org/x/sys/unix"
)

// sharesFiles tells whether this process sees root as containerd does: same
// mount namespace, and not inside a user namespace, where whiteouts cannot be
// made (mknod of character device 0/0).
func sharesFiles(address, root string) bool {
	if os.Geteuid() != 0 || inUserNamespace() {
		return false
	}
	pid, err := peer(address)
	if err != nil || pid <= 0 {
		return false
	}
	own, err := os.Readlink("/proc/self/ns/mnt")
	if err != nil {
		return false
	}
	theirs, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/mnt", pid))
	if err != nil || own != theirs || !sameRoot(pid) {
		return false
	}
	info, err := os.Stat(root)
	return err == nil && info.IsDir()
}

// sameRoot tells whether neither side lives in a chroot of its own.
func sameRoot(pid int) bool {
	own, err := os.Stat("/proc/self/root/")
	if err != nil {
		return false
	}
	theirs, err := os.Stat(fmt.Sprintf("/proc/%d/root/", pid))
	return err == nil && os.SameFile(own, theirs)
}

// peer gives the process that serves the socket, 0 when it lives in a process
// namespace that cannot be seen from here (unix(7), SO_PEERCRED).
func peer(address string) (int, error) {
	conn, err := net.Dial("unix", address)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	raw, err := conn.(*net.UnixConn).SyscallConn()
	if err != nil {
		return 0, err
	}
	var cred *unix.Ucred
	var credErr error
	if err := raw.Control(func(fd uintptr) {
		cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil {
		return 0, err
	}
	if credErr != nil {
		return 0, credErr
	}
	return int(cred.Pid), nil
}

// inUserNamespace tells whether root here is somebody else outside
// (user_namespaces(7): the first namespace maps all 2^32-1 ids to themselves).
func inUserNamespace() bool {
	b, err := os.ReadFile("/proc/self/uid_map")
	if err != nil {
		return false // a kernel without user namespaces
	}
	f := strings.Fields(string(b))
	return len(f) != 3 || f[0] != "0" || f[1] != "0" || f[2] != "4294967295"
}

// extraction is where a layer's tar stream goes.
type extraction struct {
	dir     string
	overlay bool     // whiteouts become overlay's own marks instead of deletions
	parents []string // folders below dir in the overlay, nearest first
	alone   bool     // the parents are to come, see errNeedsParent
}

// extractionOf reads the mounts that the snapshotter prepared. rebased says that
// the snapshot was prepared without the parent that it will get: then a plain
// folder is the upper side of an overlay to be. The second result is false when
// the mounts are none that can be written to from here.
func extractionOf(mounts []mount.Mount, root string, rebased bool) (extraction, bool) {
	if len(mounts) != 1 || mounts[0].ReadOnly() {
		return extraction{}, false
	}
	var e extraction
	switch m := mounts[0]; m.Type {
	case "bind":
		e.dir, e.overlay, e.alone = m.Source, rebased, rebased
	case "overlay":
		e.overlay = true
		for _, o := range m.Options {
			if dir, ok := strings.CutPrefix(o, "upperdir="); ok {
				e.dir = dir
			} else if dirs, ok := strings.CutPrefix(o, "lowerdir="); ok {
				e.parents = strings.Split(dirs, ":")
			}
		}
	}
	if rel, err := filepath.Rel(root, e.dir); err != nil || !filepath.IsLocal(rel) {
		return extraction{}, false
	}
	info, err := os.Lstat(e.dir)
	return e, err == nil && info.IsDir()
}

// extract writes the tar stream into the folder and reads it to its end.
// Names and links are kept inside by containerd's own archive package. It ends
// with errNeedsParent when the layer cannot be written without its parents, and as
// sizes says for files that are too large.
func (e extraction) extract(ctx context.Context, r io.Reader, sizes *sizes) error {
	filters := []archive.Filter{sizes.filter}
	var opts []archive.ApplyOpt
	if e.overlay {
		opts = append(opts, archive.WithConvertWhiteout(archive.OverlayConvertWhiteout))
	}
	if len(e.parents) > 0 {
		opts = append(opts, archive.WithParents(e.parents))
	}
	if e.alone {
		filters = append(filters, declaredParents())
	}
	opts = append(opts, archive.WithFilter(func(h *tar.Header) (bool, error) {
		for _, f := range filters {
			if ok, err := f(h); !ok || err != nil {
				return ok, err
			}
		}
		return true, nil
	}))
	if _, err := archive.Apply(ctx, e.dir, r, opts...); err != nil {
		return err
	}
	_, err := io.Copy(io.Discard, r) // padding after the last entry belongs to the digest
	return err
}

// declaredParents refuses entries in folders that the layer itself has no entry
// for. Such a folder takes mode, owner and attributes from the layers below;
// made without them it would hide theirs, and /tmp would lose its sticky bit.
func declaredParents() archive.Filter {
	folders := map[string]bool{".": true, "/": true}
	return func(h *tar.Header) (bool, error) {
		name := path.Clean(h.Name)
		if h.Typeflag == tar.TypeDir {
			folders[name] = true
		}
		if !folders[path.Dir(name)] {
			return false, errNeedsParent
		}
		return true, nil
	}
}

// nearest is path, or the first folder above that is there.
func nearest(path string) string {
	for {
		above := filepath.Dir(path)
		if _, err := os.Lstat(path); err == nil || above == path {
			return path
		}
		path = above
	}
}

// syncFile makes everything written to the file system of path safe.
func syncFile(path string) error {
	f, err := os.Open(nearest(path))
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.Syncfs(int(f.Fd())); err != nil {
		return fmt.Errorf("sync the file system of %s: %w", path, err)
	}
	return nil
}

// usage returns the usage of the file system on which path lies or will lie: containerd
// creates some of its directories when it first needs them.
func usage(path string) (fsutil.Usage, error) { return fsutil.Stat(nearest(path)) }
