// Command release makes the files of a release from this checkout: archives, packages,
// container images, bills of materials, and SHA256SUMS. The same commit, version and tools
// make the same bytes in every checkout.
//
//	go run ./internal/release -version v1.2.3 -o dist
//	go run ./internal/release -version v1.2.3 -o dist -only man    # man pages and completions
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

// targets are the platforms of a release; load runs on Linux only.
const targets = "linux/amd64,linux/arm64,linux/arm/v7,linux/riscv64,darwin/amd64,darwin/arm64,windows/amd64"

// limits are the sizes that no program may exceed, in bytes.
var limits = map[string]int64{"bundle": 16e6, "load": 25e6}

func main() {
	r := &release{}
	var list string
	flag.StringVar(&r.version, "version", "", "the version, such as v1.2.3")
	flag.StringVar(&r.out, "o", "dist", "the directory for the files; it is emptied")
	flag.StringVar(&list, "platforms", targets, "the platforms")
	flag.StringVar(&r.only, "only", "", "man: only man pages and completions")
	flag.StringVar(&r.nfpm, "nfpm", "nfpm", "the program nfpm, which makes packages")
	flag.StringVar(&r.busybox, "busybox", "", "a static busybox for linux/amd64, the shell of the image for CI")
	flag.StringVar(&r.certificates, "certificates", "", "a directory with the certificates (*.crt) of the images")
	flag.Parse()
	for p := range strings.SplitSeq(list, ",") {
		r.platforms = append(r.platforms, newPlatform(p))
	}
	if err := r.run(); err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

// release is a run of this program.
type release struct {
	version      string
	only         string
	out          string
	nfpm         string
	busybox      string
	certificates string
	platforms    []platform
	work         string    // a temporary directory
	time         time.Time // of the commit; of every file
}

// platform is an operating system and an architecture of Go.
type platform struct{ os, arch, arm string }

func newPlatform(s string) platform {
	parts := append(strings.Split(s, "/"), "", "")
	return platform{parts[0], parts[1], strings.TrimPrefix(parts[2], "v")}
}

func (p platform) String() string {
	if p.arm != "" {
		return p.os + "_" + p.arch + "v" + p.arm
	}
	return p.os + "_" + p.arch
}

// programs returns the programs that run on p.
func (p platform) programs() []string {
	if p.os == "linux" {
		return []string{"bundle", "load"}
	}
	return []string{"bundle"}
}

func (p platform) exe(program string) string {
	if p.os == "windows" {
		return program + ".exe"
	}
	return program
}

var versions = regexp.MustCompile(`^v\d+\.\d+\.\d+(-[0-9A-Za-z.]+)?$`)

func (r *release) run() error {
	if r.only == "" && !versions.MatchString(r.version) {
		return fmt.Errorf("-version %q: want a version such as v1.2.3", r.version)
	}
	var err error
	if r.time, err = commitTime(); err != nil {
		return err
	}
	if r.work, err = os.MkdirTemp("", "stowage-release-"); err != nil {
		return err
	}
	defer os.RemoveAll(r.work) // temporary
	if err := r.emptyOut(); err != nil {
		return err
	}
	// The help texts are those of the programs for this machine.
	native := platform{os: runtime.GOOS, arch: runtime.GOARCH}
	if err := r.build(native); err != nil {
		return err
	}
	docs, err := r.documentation(native)
	if err != nil {
		return err
	}
	if r.only == "man" {
		return writeTree(r.out, docs)
	}
	for _, p := range r.platforms {
		if err := r.platform(p, docs); err != nil {
			return fmt.Errorf("%s: %w", p, err)
		}
	}
	if err := r.images(); err != nil {
		return fmt.Errorf("images: %w", err)
	}
	return sums(r.out)
}

// platform makes the files of one platform.
func (r *release) platform(p platform, docs files) error {
	if err := r.build(p); err != nil {
		return err
	}
	if err := r.archive(p, docs); err != nil {
		return err
	}
	for _, program := range p.programs() {
		if err := r.sbom(p, program); err != nil {
			return err
		}
		if p.os != "linux" {
			continue
		}
		if err := r.packages(p, program, docs); err != nil {
			return err
		}
	}
	return nil
}

// emptyOut empties the directory for the files, which must contain nothing else.
func (r *release) emptyOut() error {
	entries, err := os.ReadDir(r.out)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if len(entries) > 0 && !slices.ContainsFunc(entries, func(e os.DirEntry) bool { return e.Name() == "SHA256SUMS" }) {
		return fmt.Errorf("%s: is neither empty nor an older release", r.out)
	}
	if err := os.RemoveAll(r.out); err != nil {
		return err
	}
	return os.MkdirAll(r.out, 0o755)
}

// commitTime returns the time of SOURCE_DATE_EPOCH or, without it, of the commit.
func commitTime() (time.Time, error) {
	text := os.Getenv("SOURCE_DATE_EPOCH")
	if text == "" {
		out, err := exec.Command("git", "log", "-1", "--format=%ct").Output()
		if err != nil {
			return time.Time{}, fmt.Errorf("read the time of the commit: %w (SOURCE_DATE_EPOCH sets it)", err)
		}
		text = strings.TrimSpace(string(out))
	}
	seconds, err := strconv.ParseInt(text, 10, 64)
	return time.Unix(seconds, 0).UTC(), err
}

// build builds the programs for a platform, and checks their sizes.
func (r *release) build(p platform) error {
	dir := r.programs(p)
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	args := []string{"build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w -X stowage/cmd/internal/cli.Version=" + r.version, "-o", dir + "/"}
	for _, program := range p.programs() {
		args = append(args, "./cmd/"+program)
	}
	cmd := exec.Command("go", args...)
	// Nothing of the caller's environment may change the programs.
	cmd.Env = append(os.Environ(), "GOOS="+p.os, "GOARCH="+p.arch, "GOARM="+p.arm, "CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off", "GOAMD64=v1", "GOARM64=v8.0", "GORISCV64=rva20u64", "GOEXPERIMENT=")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, out)
	}
	for _, program := range p.programs() {
		info, err := os.Stat(filepath.Join(dir, p.exe(program)))
		if err != nil {
			return err
		}
		fmt.Printf("%-16s %-6s %5.1f MB\n", p, program, float64(info.Size())/1e6)
		if info.Size() > limits[program] {
			return fmt.Errorf("%s has %d bytes, the limit is %d", program, info.Size(), limits[program])
		}
	}
	return nil
}

// programs returns the directory with the programs of a platform.
func (r *release) programs(p platform) string { return filepath.Join(r.work, p.String()) }
