package kubelet

import (
	"context"
	"debug/elf"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

const (
	// versionTime is how long a kubelet may take to print its version. The largest
	// executables have 100 MB and are read from an SD card.
	versionTime = 10 * time.Second
	// versionSize limits what it prints, in bytes.
	versionSize = 4 << 10
)

// version returns the version of the kubelet, "" when it is not known. Of a running kubelet
// it executes the file that runs, which root has already chosen to run.
func (s start) version(ctx context.Context) string {
	if s.release != "" {
		text, _ := s.root.read(s.release) // "version: v1.35.4"
		return versionPattern().FindString(string(text))
	}
	if s.exe != "" {
		return askVersion(ctx, s.exe, s.name)
	}
	for _, name := range s.programs {
		if v := askVersion(ctx, s.root.path(name), filepath.Base(name)); v != "" {
			return v
		}
	}
	return ""
}

// askVersion executes a kubelet, or what contains one, with --version and returns the
// version that it prints: "Kubernetes v1.35.4", "k3s version v1.35.4+k3s1 (hash)". It
// executes no script, which may do anything with the flag. The environment is empty.
func askVersion(ctx context.Context, path, name string) string {
	if name != "kubelet" && !isK3s(name) {
		return ""
	}
	f, err := os.Open(path) // what is examined is what is executed
	if err != nil {
		return ""
	}
	defer f.Close()
	magic := make([]byte, len(elf.ELFMAG))
	if _, err := io.ReadFull(f, magic); err != nil || string(magic) != elf.ELFMAG {
		return ""
	}
	ctx, cancel := context.WithTimeout(ctx, versionTime)
	defer cancel()
	var out head
	cmd := exec.CommandContext(ctx, "/proc/self/fd/3") // the first of ExtraFiles
	cmd.Args = []string{name, "--version"}             // k3s looks at its own name
	cmd.Dir, cmd.Env, cmd.ExtraFiles = "/", []string{}, []*os.File{f}
	cmd.Stdout, cmd.WaitDelay = &out, time.Second
	_ = cmd.Run() // the version has been printed, or has not
	return versionPattern().FindString(string(out))
}

// head keeps the first versionSize bytes of what is written to it, and refuses more: the
// program that writes is ended by its next write.
type head []byte

// Write implements [io.Writer].
func (h *head) Write(p []byte) (int, error) {
	n := min(len(p), versionSize-len(*h))
	*h = append(*h, p[:n]...)
	if n < len(p) {
		return n, io.ErrShortWrite
	}
	return n, nil
}
