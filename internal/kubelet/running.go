package kubelet

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// answers reports whether a kubelet serves the socket of its root directory, or whether that
// cannot be excluded. Each has one: that of the pod resources API
// (ListenAndServePodResources in pkg/kubelet/kubelet.go, v1.35.4). Unlike a process it is
// also found from within a container that has the directory.
func answers(dir string) bool {
	f, err := os.Open(filepath.Join(dir, "pod-resources"))
	if err != nil {
		return !errors.Is(err, fs.ErrNotExist)
	}
	defer f.Close()
	// The name of a socket is limited to 107 bytes; that of the directory is not.
	conn, err := net.Dial("unix", filepath.Join("/proc/self/fd", strconv.Itoa(int(f.Fd())), "kubelet.sock"))
	if err != nil {
		return !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ECONNREFUSED)
	}
	conn.Close()
	return true
}
