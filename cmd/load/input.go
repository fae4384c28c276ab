//go:build linux

package main

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"stowage/cmd/internal/cli"
)

// checkInput refuses a command line without a bundle, and a terminal as one.
func (s *settings) checkInput(in io.Reader) error {
	stdin, _ := in.(*os.File)
	switch n := len(s.files); {
	case n == 0:
		return cli.Usagef("name the bundle").WithHint("usage: %s FILE, or \"%s -\" for standard input", s.name, s.name)
	case slices.Index(s.files, "-") != lastIndex(s.files, "-"):
		return cli.Usagef("-: standard input can be read once")
	case slices.Contains(s.files, "-") && stdin != nil && cli.Terminal(stdin):
		return cli.Usagef("-: standard input is a terminal: name a file, or read from a pipe").WithHint("\"%s - < FILE\" or \"%s FILE\"", s.name, s.name)
	}
	return nil
}

func lastIndex(list []string, s string) int {
	for i := len(list) - 1; i >= 0; i-- {
		if list[i] == s {
			return i
		}
	}
	return -1
}

// checkFiles returns an error when one of the bundles does not exist or is a text: before
// the first of them is loaded.
func (s *settings) checkFiles() error {
	for _, file := range s.files {
		if file == "-" {
			continue
		}
		if err := s.checkFile(file); err != nil {
			return err
		}
	}
	return nil
}

func (s *settings) checkFile(file string) error {
	info, err := os.Stat(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if flag, ok := s.clusters.meant(file); ok {
			return cli.Errorf(cli.Failed, "%s: no such file", file).WithHint("if that is the cluster, write %s", flag)
		}
		return cli.Errorf(cli.Failed, "%s: no such file", file).WithHint("usage: %s FILE", s.name)
	case err != nil || !info.Mode().IsRegular():
		return nil // what opens it explains it
	}
	f, err := os.Open(file)
	if err != nil {
		return nil
	}
	defer f.Close() // only read from
	head := make([]byte, headSize)
	n, err := io.ReadFull(f, head)
	if err == io.EOF {
		return cli.Errorf(cli.Damaged, "%s is empty", file).WithHint("copy the file again")
	}
	if !isText(head[:n]) {
		return nil
	}
	e := cli.Errorf(cli.Damaged, "%s is a text file, not a bundle", file)
	if end := filepath.Ext(file); slices.Contains([]string{".yaml", ".yml", ".json"}, end) {
		return e.WithHint("make the bundle where there is a network: bundle -f %s -o %s", cli.Quote(file), cli.Quote(strings.TrimSuffix(file, end)+".tar"))
	}
	return e.WithHint("name a file that \"bundle -o FILE\", docker save or another program wrote")
}

// headSize is how much of a file decides whether it is text.
const headSize = 512

// isText reports whether the first bytes of a file are text: those of a tarball or of a
// compressed file have zero bytes or are no UTF-8.
func isText(head []byte) bool {
	if bytes.IndexByte(head, 0) >= 0 {
		return false
	}
	for cut := 0; len(head) == headSize && cut < utf8.UTFMax; cut++ { // the last character may be cut
		if utf8.Valid(head[:len(head)-cut]) {
			return true
		}
	}
	return utf8.Valid(head)
}
