package extract

import (
	"archive/tar"
	"bytes"
	"strings"
	"syscall"
	"testing"
	"time"

	"stowage/internal/need"
)

// choices are bytes that decide how a layer is made. After the last one, all are 0.
type choices []byte

// below returns a number from 0 to n-1.
func (c *choices) below(n int) int {
	if len(*c) == 0 {
		return 0
	}
	b := (*c)[0]
	*c = (*c)[1:]
	return int(b) % n
}

// of returns one of the strings.
func (c *choices) of(s ...string) string { return s[c.below(len(s))] }

// name returns a name that other entries are likely to have, too.
func (c *choices) name() string {
	name := c.of("a", "b", "c", "d", "s")
	for range c.below(3) {
		name += "/" + c.of("a", "b", "c", "d", "file")
	}
	switch c.below(24) {
	case 1:
		name = "../" + name
	case 2:
		name = "/" + name
	case 3:
		name = "./" + name
	case 4:
		name += "/../" + c.of("a", "b", "..")
	case 5:
		name = c.of(".", "/", "..", "l", "l/x", "acl", "acl/x", "p", "p/x", "acl/d/x")
	}
	return name
}

// entry returns an entry.
func (c *choices) entry() entry {
	mode := []int64{0o644, 0o755, 0o600, 0o4755, 0o2755, 0o1777, 0o666, 0}[c.below(8)]
	name := c.name()
	var e entry
	switch c.below(12) {
	case 0, 1, 2:
		e = file(name, strings.Repeat(c.of("x", "yz"), []int{0, 1, 511, 512, 3000}[c.below(5)]))
	case 3, 4, 5:
		e = directory(name + c.of("", "/"))
	case 6, 7:
		e = symlink(name, c.of("a", "b", "../b", "/a", "/a/b", "../outside", "../../..", "a/c", ".", "/", "c/../d", ""))
	case 8, 9:
		e = link(name, c.of("", "/", "./", "../")+c.name())
	case 10:
		e = header([]byte{tar.TypeFifo, tar.TypeChar, tar.TypeBlock, tar.TypeCont, tar.TypeXGlobalHeader, 'Q'}[c.below(6)], name, "", mode)
		e.Devmajor, e.Devminor = int64(c.below(3)), int64(c.below(3))
		if e.Typeflag == tar.TypeXGlobalHeader {
			e.Header = tar.Header{Typeflag: tar.TypeXGlobalHeader, Name: name, PAXRecords: map[string]string{"comment": "x"}}
		}
		return e
	case 11:
		e = file(c.of("", "a/", "b/", "a/b/", "c/d/", "s/")+c.of(".wh.a", ".wh.b", ".wh.c", ".wh..wh..opq", ".wh..wh.aufs", ".wh.file", ".wh.", ".wh..", ".wh..."), c.of("", "x"))
		e.Typeflag = []byte{tar.TypeReg, tar.TypeReg, tar.TypeReg, tar.TypeDir, tar.TypeSymlink}[c.below(5)]
	}
	e.Mode, e.Uid, e.Gid = mode, []int{0, 0, 7}[c.below(3)], []int{0, 0, 9}[c.below(3)]
	e.ModTime = time.Unix(int64(c.below(256))<<22, 0)
	switch c.below(10) {
	case 1:
		e = e.attributes(c.of("user.a", "user.b", "trusted.overlay.opaque", "security.capability"), capability)
	case 2:
		e = e.attributes("system.posix_acl_default", defaultACL)
	case 3:
		e.PAXRecords = map[string]string{"comment": strings.Repeat("x", maxHead-100*c.below(20))}
	case 4:
		e.AccessTime, e.Format = time.Unix(int64(c.below(256))<<23, 5), tar.FormatPAX
	}
	return e
}

// layer returns a layer that may be damaged, and where to write it.
func (c *choices) layer() (extraction, int) {
	e := extraction{Target: Target{Overlay: true}, size: []int{1, 100, 512, 4096, 1 << 20}[c.below(5)]}
	umask := []int{0o022, 0, 0o077, 0o002}[c.below(4)]
	switch c.below(8) {
	case 1:
		e.Detached = true
	case 2:
		e.Lower = []string{}
	case 3, 4:
		e.setup = existing
	case 5:
		e.Overlay = false
	case 6:
		e.Overlay, e.setup = false, existing
	}
	damage, at := c.below(32), c.below(256)
	var entries []entry
	for range 1 + c.below(16) {
		entries = append(entries, c.entry())
	}
	e.raw = tarOf(entries...)
	switch damage {
	case 1:
		e.raw = e.raw[:len(e.raw)*at/256]
	case 2:
		e.raw[len(e.raw)*at/256] ^= 1 << c.below(8)
	case 3:
		e.raw = bytes.TrimRight(e.raw, "\x00")
	}
	return e, umask
}

// FuzzEqual compares Layer with containerd's extraction, for layers whose entries replace
// each other.
func FuzzEqual(f *testing.F) {
	need.Root(f, "set the owners of files")
	for _, seed := range []string{
		"", "plain layer with a few files", "links to links to links", "\x03\x01\x02\x00\x00\x0c0123456789 9876543210",
		"\x02\x02\x03\x01\x80\x0f\x01\x00\x01\x03\x01\x06\x02\x02\x01\x0b\x02\x03\x01\x08\x05\x04\x03\x02\x01\x00",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, script []byte) {
		c := choices(script)
		e, umask := c.layer()
		defer syscall.Umask(syscall.Umask(umask))
		e.compare(t)
	})
}
