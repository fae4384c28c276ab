package extract

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"stowage/internal/need"
)

// parts is a source of parts of a certain size. It overwrites each one before the next.
type parts struct {
	r   io.Reader
	buf []byte
}

func newParts(raw []byte, size int) *parts {
	return &parts{bytes.NewReader(raw), make([]byte, size)}
}

func (p *parts) Next() ([]byte, error) {
	clear(p.buf)
	n, err := io.ReadFull(p.r, p.buf)
	if err == io.ErrUnexpectedEOF {
		err = io.EOF
	}
	return p.buf[:n], err
}

// layerFunc is Layer, or reference.
type layerFunc func(context.Context, Source, *Target, func(*tar.Header) error) error

// all is a check that accepts all entries.
func all(*tar.Header) error { return nil }

// extraction is one layer, in a place where there may be something.
type extraction struct {
	raw   []byte
	size  int // of parts
	setup func(t testing.TB, dir string)
	Target
}

// run extracts the layer into a new directory. It returns the tree and the headers that
// check has seen.
func (e extraction) run(t testing.TB, layer layerFunc) (tree string, seen []string, err error) {
	t.Helper()
	base, err := os.MkdirTemp("", "extract")
	must(t, err)
	defer os.RemoveAll(base)
	e.Dir = filepath.Join(base, "root")
	must(t, os.Mkdir(e.Dir, 0o755))
	must(t, os.Chmod(e.Dir, 0o755))
	outside := filepath.Join(base, "outside")
	must(t, os.Mkdir(outside, 0o700))
	must(t, os.WriteFile(filepath.Join(outside, "file"), nil, 0o600))
	untouched := treeOf(t, outside)
	if e.setup != nil {
		e.setup(t, e.Dir)
	}
	if e.Lower != nil {
		e.Lower = []string{filepath.Join(base, "lower")}
		for _, dir := range []string{"lower", "lower/p", "lower/p/q"} {
			must(t, os.Mkdir(filepath.Join(base, dir), 0o700))
			must(t, os.Chown(filepath.Join(base, dir), 7, 8))
			must(t, os.Chtimes(filepath.Join(base, dir), time.Unix(1e9, 0), time.Unix(1e9, 0)))
		}
	}
	err = layer(t.Context(), newParts(e.raw, e.size), &e.Target, func(h *tar.Header) error {
		seen = append(seen, h.Name)
		return nil
	})
	if now := treeOf(t, outside); now != untouched {
		t.Errorf("outside of the directory:\n%s", now)
	}
	return treeOf(t, e.Dir), seen, err
}

// reference is Layer, all by containerd.
func reference(ctx context.Context, src Source, t *Target, check func(*tar.Header) error) error {
	declared := all
	if t.Detached {
		declared = declaredParents()
	}
	return byContainerd(ctx, &stream{src: src}, t, nil, func(h *tar.Header) error {
		return errors.Join(check(h), declared(h))
	})
}

// compare extracts a layer with Layer and with containerd alone.
func (e extraction) compare(t testing.TB) {
	t.Helper()
	want, wantSeen, wantErr := e.run(t, reference)
	got, seen, err := e.run(t, Layer)
	switch {
	case (err == nil) != (wantErr == nil) || errors.Is(err, ErrNeedsParent) != errors.Is(wantErr, ErrNeedsParent):
		t.Errorf("error %v, containerd's is %v", err, wantErr)
	case !slices.Equal(seen, wantSeen):
		t.Errorf("check has seen %q, with containerd %q", seen, wantSeen)
	case err == nil && got != want:
		t.Errorf("tree differs from containerd's (-):\n%s", cmp.Diff(strings.Split(want, "\n"), strings.Split(got, "\n")))
	}
	if a, b := kind(err), kind(wantErr); a != b {
		t.Errorf("error %v, containerd's is %v", err, wantErr)
	}
	var link *os.LinkError
	if errors.As(err, &link) != errors.As(wantErr, &link) {
		t.Errorf("error %#v, containerd's is %#v", err, wantErr)
	}
}

// kind returns the system's error in err. Those of names are one kind: if several
// directories are gone at the end, it is not defined which of them is the error.
func kind(err error) unix.Errno {
	var errno unix.Errno
	errors.As(err, &errno)
	switch {
	case errno == unix.ENOTDIR, errno == unix.ELOOP:
		return unix.ENOENT
	case err != nil && strings.HasSuffix(err.Error(), "too many links"): // of continuity's fs.RootPath
		return unix.ENOENT
	}
	return errno
}

// entry is one of a layer, with its content.
type entry struct {
	tar.Header
	content string
}

// change returns the entry with a changed header.
func (e entry) change(f func(*tar.Header)) entry {
	f(&e.Header)
	return e
}

// owned returns the entry with an owner, a group and a mode.
func (e entry) owned(uid, gid int, mode int64) entry {
	e.Uid, e.Gid, e.Mode = uid, gid, mode
	return e
}

// attributes returns the entry with extended attributes: names and values.
func (e entry) attributes(s ...string) entry {
	e.PAXRecords = map[string]string{}
	for i := 0; i < len(s); i += 2 {
		e.PAXRecords[paxAttribute+s[i]] = s[i+1]
	}
	return e
}

func header(kind byte, name, link string, mode int64) entry {
	return entry{Header: tar.Header{Typeflag: kind, Name: name, Linkname: link, Mode: mode, ModTime: time.Unix(1.6e9, 0)}}
}

func directory(name string) entry   { return header(tar.TypeDir, name, "", 0o755) }
func symlink(name, to string) entry { return header(tar.TypeSymlink, name, to, 0o777) }
func link(name, to string) entry    { return header(tar.TypeLink, name, to, 0o644) }

func file(name, content string) entry {
	e := header(tar.TypeReg, name, "", 0o644)
	e.Size, e.content = int64(len(content)), content
	return e
}

// tarOf returns a layer. Entries that cannot be encoded are left out.
func tarOf(entries ...entry) []byte {
	var raw bytes.Buffer
	for _, e := range entries {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		if w.WriteHeader(&e.Header) == nil {
			io.WriteString(w, e.content)
			w.Flush()
			raw.Write(b.Bytes())
		}
	}
	raw.Write(make([]byte, 1024))
	return raw.Bytes()
}

const (
	capability = "\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
	defaultACL = "\x02\x00\x00\x00\x01\x00\x07\x00\xff\xff\xff\xff\x04\x00\x05\x00\xff\xff\xff\xff\x20\x00\x00\x00\xff\xff\xff\xff"
)

// manyDirectories returns more directories than are kept open, with links between them.
func manyDirectories() []entry {
	var many []entry
	for i := range maxOpen + 40 {
		name := "m/" + string(rune('a'+i%3)) + "/" + strings.Repeat("x", 1+i/3)
		earlier := "m/" + string(rune('a'+i%3)) + "/" + strings.Repeat("x", 1+i/6)
		many = append(many, directory(name), file(name+"/f", name), link(name+"/l", earlier+"/f"))
	}
	return many
}

// layers are the cases of TestEqual.
func layers() map[string][]entry {
	long := strings.Repeat("n", 200)
	deep := strings.Repeat("d/", maxDepth)
	return map[string][]entry{
		"plain":           {directory("./"), directory("a/"), file("a/b", "hello"), file("top", "x"), file("/abs", "1"), directory("/abs.d"), file("./a/c", "2")},
		"modes":           {file("suid", "x").owned(0, 0, 0o4755), file("sgid", "x").owned(5, 6, 0o2755), file("ww", "").owned(7, 8, 0o666), directory("tmp/").owned(0, 0, 0o1777), file("none", "x").owned(0, 0, 0o4000), directory("closed").owned(9, 9, 0), file("closed/f", "1")},
		"set-group-ID":    {directory("s/").owned(3, 50, 0o2775), file("s/f", "x"), directory("s/d"), file("s/d/f", "y"), symlink("s/l", "f"), file("s/g", "q").owned(0, 0, 0o664), file("s/implied/f", "1"), directory("s").owned(0, 0, 0o755), file("s/after", "1"), directory("s/x"), directory("s").owned(0, 0, 0o2755), directory("s/y"), file("s/y/f", "")},
		"links":           {file("a", "x"), link("b", "a"), link("c", "./a"), directory("d").owned(0, 0, 0o700), link("d/e", "b").owned(4, 5, 0o600), symlink("s", "a"), link("sl", "s"), link("abs", "/a"), link("again", "a"), link("again", "b")},
		"link to link":    {symlink("s", "/nowhere"), link("t", "s").owned(1, 2, 0o777)},
		"link missing":    {link("b", "a")},
		"link no dir":     {link("b", "x/a"), file("c", "1")},
		"link to itself":  {file("a", "1"), link("a", "a")},
		"link out":        {file("a", "x"), link("b", "../../a"), link("c", "b/../a"), link("d", "")},
		"link to dir":     {directory("a"), link("b", "a")},
		"link via link":   {directory("d"), file("d/f", "1"), symlink("l", "d"), link("g", "l/f"), file("h", "2"), directory("d/e")},
		"link suid":       {file("a", "1").owned(0, 0, 0o4755), link("b", "a").owned(0, 0, 0o4755), link("c", "a").owned(0, 0, 0o755)},
		"symlink parent":  {directory("usr/bin"), symlink("bin", "usr/bin"), file("bin/x", "hello"), directory("bin/sub").owned(0, 0, 0o711), directory("usr"), directory("z")},
		"symlink abs":     {directory("usr/bin"), symlink("bin", "/usr/bin"), file("bin/x", "hello"), file("bin/y", "hello"), file("z", "1")},
		"symlink out":     {symlink("out", "../../../../etc"), file("out/x", "hello")},
		"symlink near":    {symlink("out", "../outside"), file("out/file", "1"), file("out/new", "1"), directory("out"), file(".wh.out", "")},
		"over symlink":    {symlink("f", "../outside/file"), file("f", "1"), symlink("d", "../outside"), directory("d"), file("d/x", "1"), symlink("l", "../outside/file"), symlink("l", "x")},
		"link behind":     {symlink("out", "../outside"), link("l", "out/file")},
		"link to out":     {symlink("s", "../outside/file"), link("l", "s").owned(3, 4, 0o777), file("l", "1")},
		"whiteout behind": {symlink("out", "../outside"), file("out/.wh.file", ""), file("out/.wh..wh..opq", "")},
		"times behind":    {directory("d"), directory("e"), symlink("e", "../outside"), symlink("d", "../outside/file")},
		"symlink loop":    {symlink("a", "b"), symlink("b", "a"), file("a/x", "1")},
		"symlink empty":   {symlink("a", "")},
		"symlink owned":   {symlink("a", "b").owned(1, 2, 0o777), symlink("c", strings.Repeat("a/", 150)), symlink("a", "d")},
		"dot dot":         {file("../../a", "x"), file("a/../../b", "y"), file("/c/./d", "z"), file("..", "q"), file("e", "1")},
		"root":            {directory("./").owned(1, 1, 0o700), directory("/").owned(1, 1, 0o700), file(".", "x"), file("a", "x")},
		"replace":         {file("a", "1"), file("a", "22"), symlink("a", "b"), directory("a"), file("a/b", "x"), file("a", "333"), file("b", "1")},
		"replace dir":     {directory("a"), directory("a/b"), file("a/b/c", "1"), symlink("a/b", "/"), file("a/e", "1"), file("a/b/q", "x")},
		"replace link":    {file("a", "1"), link("b", "a"), file("a", "2"), link("b", "a")},
		"merge":           {directory("a"), file("a/x", "1"), directory("a").owned(1, 2, 0o2770), file("a/y", "2"), directory("a/z")},
		"times replaced":  {directory("a"), directory("c"), file("a", "1"), file("c/b", "2")},
		"no parents":      {file("p/q/r/s", "x"), directory("p/q").owned(9, 9, 0o750), file("p/q/t", "z"), file("v/w", "")},
		"parent is file":  {file("a", "1"), file("a/b", "2")},
		"attributes": {file("a", "1").attributes("user.one", "1", "security.capability", capability), directory("d").attributes("user.dir", "v"),
			file("t", "1").attributes("trusted.overlay.opaque", "y"), file("e", "").attributes("user.empty", ""), symlink("s", "a").attributes("user.link", "v"), file("z", "1")},
		"attributes of files": {file("a", "1").attributes("user.one", "1", "security.capability", capability), directory("d").attributes("user.dir", "v", "trusted.x", "1")},
		"attribute bad":       {file("a", "1").attributes("no.such", "x"), file("b", "").attributes("", "x")},
		"attribute longer":    {file("a", "1").attributes("user."+strings.Repeat("x", 300), "x")},
		"capabilities":        {file("a", "1").attributes("security.capability", capability), link("b", "a"), file("c", "1").owned(1, 1, 0o4755).attributes("security.capability", capability), link("d", "c").attributes("security.capability", capability)},
		"access lists":        {directory("d").attributes("system.posix_acl_default", defaultACL), file("d/x", "1"), directory("d/e"), file("d/e/f", "2").owned(0, 0, 0o666)},
		"devices":             {header(tar.TypeChar, "null", "", 0o666).change(func(h *tar.Header) { h.Devmajor, h.Devminor = 1, 3 }), header(tar.TypeFifo, "fifo", "", 0o622).owned(1, 2, 0o622), file("a", "1")},
		"whiteouts":           {directory("a"), file("a/.wh.gone", "content").owned(3, 4, 0o644), file("a/.wh..wh..opq", "x"), file("a/new", "1"), file(".wh.top", ""), directory(".wh.d"), file("new", "2")},
		"whiteout twice":      {file(".wh.x", ""), file(".wh.x", "")},
		"whiteout of own":     {file("x", "1"), file(".wh.x", "")},
		"whiteout replaced":   {file(".wh.x", ""), file("x", "1"), file(".wh.y", ""), directory("y")},
		"whiteout parent":     {file(".wh.x", ""), file("x/y", "1")},
		"whiteout nothing":    {file(".wh.", "")},
		"whiteout dot":        {file("a/.wh..", "")},
		"whiteout dot dot":    {file("a/.wh...", "")},
		"whiteout aufs":       {directory(".wh..wh.plnk").owned(0, 0, 0o700), file(".wh..wh.plnk/1", "x"), file("a/.wh..wh.aufs", "")},
		"whiteout opaque":     {file("n/o/.wh..wh..opq", ""), directory("n/o"), file(".wh..wh..opq", "")},
		"whiteout late":       {directory("a"), file("a/own", "1"), file("a/i/x", "2"), directory("a/o"), symlink("l", "a"), file("l/y", "3"), file("l/.wh..wh..opq", ""), file("a/after", "4"), file("a/i2/z", "5"), file("a/.wh..wh..opq", ""), file("a/.wh.after", "")},
		"whiteout root":       {file("own", "1"), directory("d"), file("d/x", "1"), file(".wh..wh..opq", ""), file("z", "2")},
		"whiteout missing":    {file("own", "1"), file(".wh.none", ""), file("none/.wh..wh..opq", "")},
		"whiteout set-gid":    {directory("s").owned(0, 5, 0o2755), file("s/.wh.x", "")},
		"long":                {file(long, "x"), directory(long + "d/"), file(long+"d/"+long, "y"), file(long+"d/"+long+"x/"+long, "z")},
		"too long":            {file(strings.Repeat("n", 300), "x")},
		"path too long":       {file(strings.Repeat(long+"/", 21)+"x", "1")},
		"deep":                {file(deep+"f", "1"), file(deep+"e/f", "1"), directory(deep), file(deep+"g", "2"), link("l", deep+"e/f")},
		"many":                manyDirectories(),
		"times": {file("o", "1").change(func(h *tar.Header) { h.ModTime = time.Unix(-5, 0) }), directory("d").change(func(h *tar.Header) { h.ModTime = time.Unix(-9, 0) }),
			file("n", "1").change(func(h *tar.Header) {
				h.ModTime, h.AccessTime, h.Format = time.Unix(1.5e9, 123456789), time.Unix(1.55e9, 5), tar.FormatPAX
			}),
			file("m", "").change(func(h *tar.Header) { h.ModTime = time.Unix(1<<34, 0) })},
		"global header": {file("a", "1"), {Header: tar.Header{Typeflag: tar.TypeXGlobalHeader, PAXRecords: map[string]string{"comment": "x"}}}, file("b", "2")},
		"contiguous":    {header(tar.TypeCont, "a", "", 0o644)},
		"sizes":         {file("a", strings.Repeat("0123456789", 20000)), file("b", strings.Repeat("x", 511)), file("c", strings.Repeat("x", 512)), file("d", strings.Repeat("x", 513)), file("e", "")},
		"unusual late":  {directory("k"), file("k/a", strings.Repeat("q", 5000)), symlink("m", "k"), file("m/b", strings.Repeat("r", 700)), file("k/c", "1"), directory("k/d").owned(0, 0, 0o700), directory("k"), file("z", "last")},
		"long header":   {file("a", "1"), file("b", "2").attributes("trusted.x", strings.Repeat("x", 2*maxHead)), file("c", "3")},
	}
}

// usual are layers of which nothing is left to containerd.
var usual = []string{
	"plain", "modes", "set-group-ID", "replace link", "merge", "no parents", "attributes of files", "whiteouts", "whiteout replaced",
	"whiteout aufs", "whiteout opaque", "symlink owned", "long", "many", "times", "sizes",
}

// TestEqual compares Layer with containerd's extraction.
func TestEqual(t *testing.T) {
	need.Root(t, "set the owners of files")
	cases := layers()
	for _, umask := range []int{0, 0o022, 0o077} {
		old := syscall.Umask(umask)
		for name, entries := range cases {
			for kind, target := range map[string]Target{
				"overlay": {Overlay: true}, "detached": {Overlay: true, Detached: true}, "on lower": {Overlay: true, Lower: []string{}}, "plain": {},
			} {
				if umask != 0o022 && (kind != "overlay" || name == "many") {
					continue
				}
				e := extraction{raw: tarOf(entries...), size: 7*512 + 100, Target: target}
				t.Run(fmt.Sprintf("%s/%s/%o", name, kind, umask), func(t *testing.T) { e.compare(t) })
			}
		}
		syscall.Umask(old)
	}
}

// TestEqualOld does that for the type of entries before POSIX: a name with a slash at its
// end is that of a directory.
func TestEqualOld(t *testing.T) {
	need.Root(t, "set the owners of files")
	for _, content := range []string{"", "content"} {
		raw := tarOf(file("a/", content), file("b", "2"))
		sum, err := strconv.ParseInt(strings.Trim(string(raw[148:156]), "\x00 "), 8, 32)
		must(t, err)
		copy(raw[148:], fmt.Sprintf("%06o", sum-int64(raw[156])))
		raw[156] = 0
		extraction{raw: raw, size: 4096, Target: Target{Overlay: true}}.compare(t)
	}
}

// TestUsual checks that real layers are not left to containerd.
func TestUsual(t *testing.T) {
	need.Root(t, "set the owners of files")
	cases := layers()
	for _, name := range usual {
		w, err := newWriter(&stream{src: newParts(tarOf(cases[name]...), 4096)}, &Target{Dir: t.TempDir(), Overlay: true})
		must(t, err)
		_, err = w.entries(t.Context(), all)
		if err != nil || len(cases[name]) == 0 {
			t.Errorf("%s: %v", name, err)
		}
		if len(w.dirs.open) > maxOpen+maxDepth {
			t.Errorf("%s: %d directories are open", name, len(w.dirs.open))
		}
		w.close()
	}
}

// existing are things that were in the directory before the layer.
func existing(t testing.TB, dir string) {
	t.Helper()
	for _, name := range []string{"a", "a/b", "p", "s", "g", "acl", "acl/d"} {
		must(t, os.Mkdir(filepath.Join(dir, name), 0o755))
	}
	for _, name := range []string{"a/file", "a/b/file", "file", "s/file"} {
		must(t, os.WriteFile(filepath.Join(dir, name), []byte(name), 0o600))
	}
	must(t, os.Symlink("a", filepath.Join(dir, "l")))
	must(t, os.Chown(filepath.Join(dir, "p"), 0, 9))
	must(t, os.Chown(filepath.Join(dir, "s"), 0, 50))
	must(t, os.Chmod(filepath.Join(dir, "s"), 0o755|os.ModeSetgid))
	must(t, os.Chmod(filepath.Join(dir, "g"), 0o755|os.ModeSetgid))
	must(t, unix.Setxattr(filepath.Join(dir, "acl"), "system.posix_acl_default", []byte(defaultACL), 0))
}

// ontoExisting are layers for directories with [existing].
var ontoExisting = map[string][]entry{
	"merge":          {directory("a").owned(1, 2, 0o700), file("a/file", "1"), directory("a/b"), file("a/b/new", "1")},
	"file to dir":    {directory("a/file"), file("a/file/x", "1"), directory("l"), file("l/x", "1")},
	"dir to file":    {file("a", "1"), file("b", "2")},
	"through link":   {file("l/new", "1"), file("l/b/file", "2")},
	"in group":       {file("p/f", "1"), directory("p/d"), file("p/d/f", "2"), file("p/i/f", "3")},
	"in set-gid":     {file("s/f", "1"), directory("s/d"), file("s/i/f", "3"), symlink("s/l", "f"), link("s/h", "s/file"), directory("g/d"), file("g/d/f", "4")},
	"access list":    {file("acl/f", "1"), directory("acl/d").owned(0, 0, 0o777), file("acl/d/f", "2"), file("acl/i/f", "3")},
	"access list of": {directory("acl"), file("acl/f", "1"), file("acl/g", "1").owned(0, 0, 0o666), directory("acl/e"), file("acl/d/f", "1")},
	"whiteouts":      {file(".wh.file", ""), file("a/.wh.b", ""), file("a/.wh..wh..opq", "")},
	"links":          {link("h", "file"), link("i", "l/file"), link("file", "a/file")},
}

// TestEqualExisting compares Layer with containerd's extraction where something is.
func TestEqualExisting(t *testing.T) {
	need.Root(t, "set the owners of files")
	for name, entries := range ontoExisting {
		for _, target := range []Target{{Overlay: true}, {}, {Overlay: true, Lower: []string{}}} {
			e := extraction{raw: tarOf(entries...), size: 4096, setup: existing, Target: target}
			t.Run(fmt.Sprintf("%s/%+v", name, target), func(t *testing.T) { e.compare(t) })
		}
	}
}

// TestEqualGroups does that on a file system where a file takes the group of its directory.
func TestEqualGroups(t *testing.T) {
	need.Root(t, "mount a file system")
	base := t.TempDir()
	disk, at := filepath.Join(base, "disk"), filepath.Join(base, "at")
	must(t, os.WriteFile(disk, nil, 0o600))
	must(t, os.Truncate(disk, 32<<20))
	must(t, os.Mkdir(at, 0o700))
	for _, args := range [][]string{{"mkfs.ext4", "-q", disk}, {"mount", "-o", "loop,grpid", disk, at}} {
		if out, err := exec.CommandContext(t.Context(), args[0], args[1:]...).CombinedOutput(); err != nil {
			need.Missing(t, fmt.Sprintf("no file system with grpid: %v: %v\n%s", args, err, out))
		}
	}
	t.Cleanup(func() { must(t, unix.Unmount(at, 0)) })
	t.Setenv("TMPDIR", at)
	cases := map[string][]entry{"set-group-ID": layers()["set-group-ID"], "links": layers()["links"], "no parents": layers()["no parents"]}
	maps.Copy(cases, ontoExisting)
	for name, entries := range cases {
		e := extraction{raw: tarOf(entries...), size: 4096, setup: existing, Target: Target{Overlay: true}}
		t.Run(name, func(t *testing.T) { e.compare(t) })
	}
}
