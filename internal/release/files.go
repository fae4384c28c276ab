package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"stowage/internal/helptext"
)

// files are files of an archive or image by their slash-separated paths.
type files map[string]file

type file struct {
	data []byte
	exec bool
	link string // the target of a symbolic link
}

// documentation returns the man pages, below man, and the completions, below completions,
// which exist for both names of each program.
func (r *release) documentation(p platform) (files, error) {
	out := files{}
	for _, program := range p.programs() {
		run := func(args ...string) (string, error) {
			text, err := exec.Command(filepath.Join(r.programs(p), p.exe(program)), args...).Output()
			return string(text), err
		}
		pages, err := helptext.Pages(program, r.version, r.time.Format("2006-01-02"), func(command string) (string, error) {
			return run(append(strings.Fields(command), "--help")...)
		})
		if err != nil {
			return nil, err
		}
		for name, page := range pages {
			out["man/"+name] = file{data: []byte(page)}
		}
		for _, name := range []string{program, "stowage-" + program} {
			for shell, format := range map[string]string{"bash": "%s.bash", "zsh": "_%s", "fish": "%s.fish"} {
				text, err := run("completion", shell, "--name", name)
				if err != nil {
					return nil, err
				}
				out["completions/"+fmt.Sprintf(format, name)] = file{data: []byte(text)}
			}
		}
	}
	return out, nil
}

// of returns the documentation of a program: its man pages, and its completions under name.
func (f files) of(program, name string) files {
	out := files{}
	for p, file := range f {
		base := strings.TrimPrefix(path.Base(p), "_")
		switch word, _, _ := strings.Cut(base, "."); {
		case strings.HasPrefix(p, "completions/") && word == name:
			out[p] = file
		case strings.HasPrefix(p, "man/") && (word == program || strings.HasPrefix(word, program+"-")):
			out[p] = file
		}
	}
	return out
}

// archive writes the programs with their documentation as .tar.gz, or .zip for Windows.
func (r *release) archive(p platform, docs files) error {
	name := fmt.Sprintf("stowage_%s_%s", r.version, p)
	in := files{}
	for _, program := range p.programs() {
		data, err := os.ReadFile(filepath.Join(r.programs(p), p.exe(program)))
		if err != nil {
			return err
		}
		in[name+"/"+p.exe(program)] = file{data: data, exec: true}
		for path, f := range docs.of(program, program) {
			in[name+"/"+path] = f
		}
	}
	for _, path := range []string{"LICENSE", "README.md"} {
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		in[name+"/"+path] = file{data: data}
	}
	if p.os == "windows" {
		return r.write(name+".zip", func(w io.Writer) error { return r.zip(w, in) })
	}
	return r.write(name+".tar.gz", func(w io.Writer) error {
		z, _ := gzip.NewWriterLevel(w, gzip.BestCompression) // a level that exists
		if err := r.tar(z, in); err != nil {
			return err
		}
		return z.Close()
	})
}

// write writes a file of the release.
func (r *release) write(name string, content func(io.Writer) error) error {
	var b bytes.Buffer
	if err := content(&b); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(r.out, name), b.Bytes(), 0o644)
}

// tar writes files in the order of their paths, as root's and with the time of the commit.
func (r *release) tar(w io.Writer, in files) error {
	t := tar.NewWriter(w)
	made := map[string]bool{".": true}
	for _, name := range slices.Sorted(maps.Keys(in)) {
		f := in[name]
		for _, dir := range parents(name) {
			if made[dir] {
				continue
			}
			made[dir] = true
			if err := t.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: dir + "/", Mode: 0o755, ModTime: r.time, Format: tar.FormatPAX}); err != nil {
				return err
			}
		}
		h := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(f.data)), ModTime: r.time, Format: tar.FormatPAX}
		switch {
		case f.link != "":
			h.Typeflag, h.Linkname, h.Mode = tar.TypeSymlink, f.link, 0o777
		case f.exec:
			h.Mode = 0o755
		}
		if err := t.WriteHeader(h); err != nil {
			return err
		}
		if _, err := t.Write(f.data); err != nil {
			return err
		}
	}
	return t.Close()
}

// parents returns the directories above name, the highest first.
func parents(name string) []string {
	var out []string
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		out = append(out, dir)
	}
	slices.Reverse(out)
	return out
}

func (r *release) zip(w io.Writer, in files) error {
	z := zip.NewWriter(w)
	for _, name := range slices.Sorted(maps.Keys(in)) {
		f, err := z.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Deflate, Modified: r.time})
		if err != nil {
			return err
		}
		if _, err := f.Write(in[name].data); err != nil {
			return err
		}
	}
	return z.Close()
}

// writeTree writes files below a directory.
func writeTree(dir string, in files) error {
	for name, f := range in {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		mode := os.FileMode(0o644)
		if f.exec {
			mode = 0o755
		}
		if err := os.WriteFile(path, f.data, mode); err != nil {
			return err
		}
	}
	return nil
}

// sums writes SHA256SUMS, as sha256sum(1) reads it.
func sums(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	var b strings.Builder
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return err
		}
		fmt.Fprintf(&b, "%x  %s\n", sha256.Sum256(data), e.Name())
	}
	return os.WriteFile(filepath.Join(dir, "SHA256SUMS"), []byte(b.String()), 0o644)
}
