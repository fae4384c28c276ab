//go:build linux

// Package release makes a release twice and installs, runs and removes what it contains.
package release

import (
	"crypto/sha256"
	"debug/elf"
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"stowage/internal/need"
	"stowage/internal/nodetest"
)

const version = "v1.2.3-test.1"

// TestRelease makes the release of linux/amd64 in two checkouts, compares all bytes and then
// uses the files of the first.
func TestRelease(t *testing.T) {
	tools, err := nodetest.Tools()
	need.Part(t, "the directory of tools", err)
	for _, part := range []string{"nfpm", "release/bin/busybox", "release/usr/bin/rpm"} {
		_, err := os.Stat(filepath.Join(tools, part))
		need.Part(t, part+" (make integration-tools)", err)
	}
	first, second := t.TempDir(), t.TempDir()
	commit := strings.TrimSpace(run(t, ".", "git", "rev-parse", "HEAD"))
	made := makeRelease(t, tools, commit, first)
	t.Run("reproducible", func(t *testing.T) { compare(t, made, makeRelease(t, tools, commit, second)) })
	t.Run("sums", func(t *testing.T) { run(t, made, "sha256sum", "--strict", "-c", "SHA256SUMS") })
	t.Run("archive", func(t *testing.T) { testArchive(t, made) })
	t.Run("sbom", func(t *testing.T) { testSBOM(t, made) })
	t.Run("deb", func(t *testing.T) { testDeb(t, tools, made) })
	t.Run("rpm", func(t *testing.T) { testRPM(t, tools, made) })
	t.Run("images", func(t *testing.T) { testImages(t, made) })
}

// run runs a program and returns its output.
func run(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// makeRelease makes a release from a new checkout of a commit below dir, and returns the
// directory with its files.
func makeRelease(t *testing.T, tools, commit, dir string) string {
	t.Helper()
	top := strings.TrimSpace(run(t, ".", "git", "rev-parse", "--show-toplevel"))
	checkout := filepath.Join(dir, "checkout")
	run(t, ".", "git", "clone", "-q", "--no-hardlinks", top, checkout)
	run(t, checkout, "git", "checkout", "-q", commit)
	out := filepath.Join(dir, "dist")
	t.Log(run(t, checkout, "go", "run", "./internal/release", "-version", version, "-o", out, "-platforms", "linux/amd64",
		"-nfpm", filepath.Join(tools, "nfpm"), "-busybox", filepath.Join(tools, "release/bin/busybox"),
		"-certificates", filepath.Join(tools, "release/usr/share/ca-certificates")))
	return out
}

// compare compares the names and bytes of the files of two directories.
func compare(t *testing.T, a, b string) {
	sums := func(dir string) map[string][32]byte {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		out := map[string][32]byte{}
		for _, e := range entries {
			data, err := os.ReadFile(filepath.Join(dir, e.Name()))
			if err != nil {
				t.Fatal(err)
			}
			out[e.Name()] = sha256.Sum256(data)
		}
		return out
	}
	first, second := sums(a), sums(b)
	if len(first) != 11 {
		t.Errorf("%d files: %v", len(first), slices.Sorted(maps.Keys(first)))
	}
	if diff := cmp.Diff(first, second); diff != "" {
		t.Errorf("two releases of one commit differ (-first +second):\n%s", diff)
	}
}

func testArchive(t *testing.T, made string) {
	dir := t.TempDir()
	run(t, dir, "tar", "-xzf", filepath.Join(made, "stowage_"+version+"_linux_amd64.tar.gz"))
	top := filepath.Join(dir, "stowage_"+version+"_linux_amd64")
	for _, name := range []string{"LICENSE", "README.md", "man/bundle.1", "man/bundle-scan.1", "man/load-why.1", "completions/bundle.bash", "completions/_load", "completions/load.fish"} {
		if info, err := os.Stat(filepath.Join(top, name)); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, program := range []string{"bundle", "load"} {
		if out := run(t, top, "./"+program, "--version"); !strings.HasPrefix(out, program+" "+version+"\n") {
			t.Errorf("%s --version: %s", program, out)
		}
		f, err := elf.Open(filepath.Join(top, program))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if libs, _ := f.ImportedLibraries(); len(libs) > 0 || f.Section(".interp") != nil {
			t.Errorf("%s is not static: %v", program, libs)
		}
	}
}

// testSBOM compares the modules of a bill of materials with those that go version -m prints.
func testSBOM(t *testing.T, made string) {
	dir := t.TempDir()
	run(t, dir, "tar", "-xzf", filepath.Join(made, "stowage_"+version+"_linux_amd64.tar.gz"), "--strip-components=1")
	for _, program := range []string{"bundle", "load"} {
		data, err := os.ReadFile(filepath.Join(made, "stowage-"+program+"_"+version+"_linux_amd64.spdx.json"))
		if err != nil {
			t.Fatal(err)
		}
		var doc struct {
			SPDXVersion, SPDXID, DocumentNamespace string
			Packages                               []struct {
				Name, VersionInfo, SourceInfo string
				ExternalRefs                  []struct{ ReferenceLocator string }
			}
			Relationships []struct{ RelationshipType string }
		}
		if err := json.Unmarshal(data, &doc); err != nil {
			t.Fatal(err)
		}
		if doc.SPDXVersion != "SPDX-2.3" || len(doc.Relationships) != len(doc.Packages) {
			t.Errorf("%s: %s, %d packages, %d relationships", program, doc.SPDXVersion, len(doc.Packages), len(doc.Relationships))
		}
		var got, want []string
		for _, p := range doc.Packages[2:] { // the program, the standard library
			got = append(got, p.Name+" "+p.VersionInfo+" "+p.SourceInfo)
			if p.ExternalRefs[0].ReferenceLocator != "pkg:golang/"+p.Name+"@"+p.VersionInfo {
				t.Errorf("%s: %s", p.Name, p.ExternalRefs[0].ReferenceLocator)
			}
		}
		for line := range strings.SplitSeq(run(t, dir, "go", "version", "-m", program), "\n") {
			if fields := strings.Fields(line); len(fields) == 4 && fields[0] == "dep" {
				want = append(want, strings.Join(fields[1:], " "))
			}
		}
		if diff := cmp.Diff(want, got); diff != "" || len(want) < 10 {
			t.Errorf("%s: modules (-program +SBOM):\n%s", program, diff)
		}
	}
}

// newRoot returns a directory with a shell and update-alternatives, into which packages are
// installed. It has a package database of its own.
func newRoot(t *testing.T, tools string) string {
	t.Helper()
	need.Root(t, "install packages into a directory")
	root := t.TempDir()
	for _, dir := range []string{"bin", "usr/bin", "var/lib/dpkg/info", "var/lib/dpkg/updates", "var/lib/dpkg/alternatives", "etc/alternatives", "var/log", "tmp"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	alternatives, err := exec.LookPath("update-alternatives")
	need.Part(t, "update-alternatives", err)
	busybox := filepath.Join(tools, "release/bin/busybox")
	copies := map[string]string{"/bin/sh": busybox, "/bin/busybox": busybox, "/usr/bin/update-alternatives": alternatives}
	for word := range strings.FieldsSeq(run(t, ".", "ldd", alternatives)) {
		if strings.HasPrefix(word, "/") {
			copies[word] = word
		}
	}
	for to, from := range copies {
		data, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Join(root, filepath.Dir(to)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, to), data, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(root, "var/lib/dpkg/status"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	return root
}

func testDeb(t *testing.T, tools, made string) {
	_, err := exec.LookPath("dpkg")
	need.Part(t, "dpkg", err)
	for _, program := range []string{"bundle", "load"} {
		root := newRoot(t, tools)
		install := func() string {
			return run(t, ".", "dpkg", "--root="+root, "-i", filepath.Join(made, "stowage-"+program+"_"+version+"_linux_amd64.deb"))
		}
		remove := func() { run(t, ".", "dpkg", "--root="+root, "--purge", "stowage-"+program) }
		before := tree(t, root)
		install()
		checkInstalled(t, root, program, "usr/share/zsh/vendor-completions")
		install() // an upgrade keeps the alternative
		checkInstalled(t, root, program, "usr/share/zsh/vendor-completions")
		remove()
		if diff := cmp.Diff(before, tree(t, root)); diff != "" {
			t.Errorf("%s: after the removal (-before +after):\n%s", program, diff)
		}
		testOther(t, root, program, install, remove)
	}
}

func testRPM(t *testing.T, tools, made string) {
	unpacked := filepath.Join(tools, "release")
	for _, program := range []string{"bundle", "load"} {
		root := newRoot(t, tools)
		rpm := func(args ...string) string {
			t.Helper()
			cmd := exec.Command(filepath.Join(unpacked, "usr/bin/rpm"), append([]string{"--root", root, "--dbpath", "/var/lib/rpm"}, args...)...)
			cmd.Env = append(os.Environ(), "LD_LIBRARY_PATH="+unpacked+"/usr/lib/x86_64-linux-gnu", "RPM_CONFIGDIR="+unpacked+"/usr/lib/rpm")
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("rpm %v: %v\n%s", args, err, out)
			}
			return string(out)
		}
		file := filepath.Join(made, "stowage-"+program+"_"+version+"_linux_amd64.rpm")
		// The shell of the root is no package, so the dependency on /bin/sh is not there.
		install := func() string { return rpm("-i", "--nodeps", file) }
		remove := func() { rpm("-e", "stowage-"+program) }
		before := tree(t, root)
		install()
		checkInstalled(t, root, program, "usr/share/zsh/site-functions")
		remove()
		if diff := cmp.Diff(before, tree(t, root)); diff != "" {
			t.Errorf("%s: after the removal (-before +after):\n%s", program, diff)
		}
		testOther(t, root, program, install, remove)
	}
}

// checkInstalled runs the program by both names, and looks for its man pages and completions
// under both.
func checkInstalled(t *testing.T, root, program, zsh string) {
	t.Helper()
	for _, name := range []string{program, "stowage-" + program} {
		if out := run(t, ".", "chroot", root, "/usr/bin/"+name, "version"); !strings.HasPrefix(out, program+" "+version+"\n") {
			t.Errorf("%s version: %s", name, out)
		}
		for _, path := range []string{
			"usr/share/man/man1/" + name + ".1.gz", "usr/share/bash-completion/completions/" + name, "usr/share/fish/vendor_completions.d/" + name + ".fish", zsh + "/_" + name,
		} {
			cat := "cat"
			if strings.HasSuffix(path, ".gz") {
				cat = "zcat"
			}
			text := run(t, ".", "chroot", root, "/bin/busybox", cat, "/"+path)
			if !strings.Contains(strings.ReplaceAll(text, `\-`, "-"), name) {
				t.Errorf("%s does not name %s:\n%.200s", path, name, text)
			}
		}
	}
}

// testOther installs and removes a package beside a file of another package that has the
// short name, such as bundle of Ruby's Bundler.
func testOther(t *testing.T, root, program string, install func() string, remove func()) {
	t.Helper()
	other := filepath.Join(root, "usr/bin", program)
	if err := os.WriteFile(other, []byte("#!/bin/sh\necho other\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	check := func() {
		t.Helper()
		if out := run(t, ".", "chroot", root, "/usr/bin/"+program); out != "other\n" {
			t.Errorf("%s of another package prints %q", program, out)
		}
	}
	if out := install(); !strings.Contains(out, "/usr/bin/"+program+" belongs to another package; run stowage-"+program) {
		t.Errorf("the installation says: %s", out)
	}
	check()
	run(t, ".", "chroot", root, "/usr/bin/stowage-"+program, "version")
	remove()
	check()
}

// tree returns the files below root, without the databases of the package managers.
func tree(t *testing.T, root string) []string {
	t.Helper()
	var out []string
	for path := range strings.Lines(run(t, root, "find", "bin", "usr", "etc", "!", "-type", "d")) {
		out = append(out, strings.TrimSpace(path))
	}
	slices.Sort(out)
	return out
}

// testImages runs the images with containerd.
func testImages(t *testing.T, made string) {
	n := nodetest.Start(t)
	for _, c := range []struct {
		image string
		args  []string
		want  string
	}{
		{"bundle", []string{"/usr/bin/bundle", "version"}, "bundle " + version + "\n"},
		{"load", []string{"/usr/bin/load", "version"}, "load " + version + "\n"},
		{"ci", []string{"/bin/sh", "-c", "load version >/tmp/version && test -s /etc/ssl/certs/ca-certificates.crt && bundle version"}, "bundle " + version + "\n"},
	} {
		file := filepath.Join(made, "stowage-"+c.image+"_"+version+"_oci.tar")
		if out, err := n.Ctr("images", "import", "--platform", "linux/amd64", file); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		ref := "docker.io/stowage/" + c.image + ":" + version
		out, err := n.Ctr(append([]string{"run", "--rm", "--net-host", ref, "test-" + c.image}, c.args...)...)
		if err != nil || !strings.Contains(out, c.want) { // ctr may print a warning
			t.Errorf("%s: %v: %q", ref, err, out)
		}
	}
}
