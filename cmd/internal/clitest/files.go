package clitest

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// fingerprint identifies a file and its content.
type fingerprint struct {
	sum   [sha256.Size]byte
	mtime time.Time
	info  os.FileInfo // to detect a replaced file
}

func (f fingerprint) equal(o fingerprint) bool {
	return f.sum == o.sum && f.mtime.Equal(o.mtime) && os.SameFile(f.info, o.info)
}

func takeFingerprint(path string) (fingerprint, error) {
	f, err := os.Open(path)
	if err != nil {
		return fingerprint{}, err
	}
	defer f.Close() // opened for reading
	info, err := f.Stat()
	if err != nil {
		return fingerprint{}, err
	}
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return fingerprint{}, err
	}
	return fingerprint{sum: [sha256.Size]byte(h.Sum(nil)), mtime: info.ModTime(), info: info}, nil
}

// keep records the state of files for untouched.
//
//	keep FILE...
func keep(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: keep FILE...")
	}
	for _, name := range args {
		path := ts.MkAbs(name)
		f, err := takeFingerprint(path)
		ts.Check(err)
		stateOf(ts).kept[path] = f
	}
}

// untouched checks that files are as keep recorded them: with the same content, time and
// inode. With ! they must have been replaced or changed.
//
//	[!] untouched FILE...
func untouched(ts *testscript.TestScript, neg bool, args []string) {
	for _, name := range args {
		path := ts.MkAbs(name)
		before, ok := stateOf(ts).kept[path]
		if !ok {
			ts.Fatalf("%s was not kept", name)
		}
		now, err := takeFingerprint(path)
		ts.Check(err)
		if before.equal(now) == neg {
			ts.Fatalf("%s: untouched: %v", name, !neg)
		}
	}
}

// same compares the bytes of files.
//
//	[!] same FILE FILE...
func same(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: same FILE FILE...")
	}
	first, err := takeFingerprint(ts.MkAbs(args[0]))
	ts.Check(err)
	for _, name := range args[1:] {
		other, err := takeFingerprint(ts.MkAbs(name))
		ts.Check(err)
		if (first.sum == other.sum) == neg {
			ts.Fatalf("%s and %s: same bytes: %v", args[0], name, !neg)
		}
	}
}

// cut writes the first part of a file: a number of bytes, a percentage, or all except the
// last N bytes (-N).
//
//	cut FILE OUT 1000|50%|-512
func cut(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: cut FILE OUT BYTES|PERCENT%%|-BYTES")
	}
	raw, err := os.ReadFile(ts.MkAbs(args[0]))
	ts.Check(err)
	text, percent := strings.CutSuffix(args[2], "%")
	n, err := strconv.Atoi(text)
	ts.Check(err)
	switch {
	case percent:
		n = len(raw) * n / 100
	case n < 0:
		n += len(raw)
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), raw[:n], 0o644))
}

// flip changes one bit of a file: in the middle of the first occurrence of a text, or in
// the middle of the largest entry of a tar.
//
//	flip FILE OUT TEXT|@largest
func flip(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: flip FILE OUT TEXT|@largest")
	}
	raw, err := os.ReadFile(ts.MkAbs(args[0]))
	ts.Check(err)
	at := bytes.Index(raw, []byte(args[2])) + len(args[2])/2
	if args[2] == "@largest" {
		at = largest(raw)
	} else if !bytes.Contains(raw, []byte(args[2])) {
		ts.Fatalf("%s does not contain %q", args[0], args[2])
	}
	raw[at] ^= 0x04
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), raw, 0o644))
}

// largest returns the offset of the middle of the largest entry of a tar.
func largest(raw []byte) int {
	const block = 512
	best, at := int64(0), 0
	for off := 0; off+block <= len(raw) && raw[off] != 0; {
		size, err := strconv.ParseInt(strings.Trim(string(raw[off+124:off+136]), " \x00"), 8, 64)
		if err != nil {
			return at
		}
		if size > best {
			best, at = size, off+block+int(size/2)
		}
		off += block + (int(size)+block-1)/block*block
	}
	return at
}

// jsonLines checks that every line of a file is a JSON object, and that there is at least
// one.
//
//	jsonlines FILE|stdout|stderr
func jsonLines(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: jsonlines FILE|stdout|stderr")
	}
	text := strings.TrimSuffix(ts.ReadFile(args[0]), "\n")
	for line := range strings.SplitSeq(text, "\n") {
		var v map[string]any
		if err := json.Unmarshal([]byte(line), &v); err != nil {
			ts.Fatalf("line %q: %v", line, err)
		}
	}
}

// only checks that a directory contains these names and no others.
//
//	only DIR [NAME...]
func only(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: only DIR [NAME...]")
	}
	entries, err := os.ReadDir(ts.MkAbs(args[0]))
	ts.Check(err)
	var got []string
	for _, e := range entries {
		got = append(got, filepath.Base(e.Name()))
	}
	want := slices.Sorted(slices.Values(args[1:]))
	if !slices.Equal(got, want) {
		ts.Fatalf("%s contains %q, want %q", args[0], got, want)
	}
}
