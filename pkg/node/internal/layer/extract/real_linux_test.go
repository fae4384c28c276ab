package extract

import (
	"archive/tar"
	"bytes"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"stowage/internal/need"
)

// TestEqualReal compares Layer with containerd's extraction of layers made from directories
// of this machine: programs, set-user-ID ones among them, configuration, and many small
// files.
func TestEqualReal(t *testing.T) {
	need.Root(t, "set the owners of files")
	out, err := exec.CommandContext(t.Context(), "go", "env", "GOROOT").Output()
	need.Part(t, "go", err)
	goroot, err := filepath.EvalSymlinks(strings.TrimSpace(string(out)))
	must(t, err)
	for name, tt := range map[string]struct {
		dirs   []string
		target Target
	}{
		"programs":      {[]string{"/usr/bin", "/usr/sbin"}, Target{}},
		"configuration": {[]string{"/etc"}, Target{}},
		"documentation": {[]string{"/usr/share/doc", "/usr/share/man", "/usr/share/zoneinfo"}, Target{Overlay: true, Detached: true}},
		"Go":            {[]string{filepath.Join(goroot, "src"), filepath.Join(goroot, "bin")}, Target{Overlay: true, Lower: []string{}}},
	} {
		t.Run(name, func(t *testing.T) {
			e := extraction{raw: layerOf(t, tt.dirs), size: 256 << 10, Target: tt.target}
			e.compare(t)
			e.Dir = t.TempDir()
			w, err := newWriter(&stream{src: newParts(e.raw, 64<<10)}, &e.Target)
			must(t, err)
			defer w.close()
			if _, err := w.entries(t.Context(), all); err != nil {
				t.Errorf("left to containerd: %v", err)
			}
		})
	}
}

// layerOf returns a layer with files of directories, those that exist, as a builder of
// images makes it: with all parents and with hard links.
func layerOf(t *testing.T, dirs []string) []byte {
	t.Helper()
	const maxEntries, maxSize, maxFile = 500, 8 << 20, 3 << 20 // of a layer, of a file
	var raw bytes.Buffer
	w := tar.NewWriter(&raw)
	first := map[uint64]string{} // by inode
	known := map[string]bool{"/": true}
	entries := 0
	var add func(file string) error
	add = func(file string) error {
		if known[file] {
			return nil
		}
		known[file] = true
		if err := add(filepath.Dir(file)); err != nil {
			return err
		}
		info, err := os.Lstat(file)
		if err != nil || info.Mode().IsRegular() && (info.Size() > maxFile || raw.Len()+int(info.Size()) > maxSize) {
			return nil // a smaller one may fit
		}
		to, _ := os.Readlink(file)
		h, err := tar.FileInfoHeader(info, to)
		if err != nil {
			return nil // a socket
		}
		h.Name, h.Format = file[1:], tar.FormatPAX
		var content []byte
		st := info.Sys().(*syscall.Stat_t)
		switch {
		case info.IsDir():
			h.Name += "/"
		case !info.Mode().IsRegular():
		case first[st.Ino] != "":
			h.Typeflag, h.Linkname, h.Size = tar.TypeLink, first[st.Ino], 0
		default:
			if content, err = os.ReadFile(file); err != nil {
				return err
			}
			h.Size = int64(len(content))
			first[st.Ino] = h.Name
			var value [256]byte
			if n, err := unix.Lgetxattr(file, "security.capability", value[:]); err == nil {
				h.PAXRecords = map[string]string{paxAttribute + "security.capability": string(value[:n])}
			}
		}
		entries++
		if err := w.WriteHeader(h); err != nil {
			return err
		}
		_, err = w.Write(content)
		return err
	}
	for _, dir := range dirs {
		filepath.WalkDir(dir, func(file string, _ fs.DirEntry, err error) error {
			if err != nil {
				return nil
			}
			if entries >= maxEntries {
				return fs.SkipAll
			}
			return add(file)
		})
	}
	must(t, w.Close())
	return raw.Bytes()
}
