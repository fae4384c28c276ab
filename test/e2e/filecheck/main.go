// Command filecheck is the program in the images of these tests. It compares the files of
// an image with a list in the image and prints how many are intact:
//
//	filecheck [DIR]          compare and exit
//	filecheck stay [DIR]     compare and then run until SIGTERM
//
// DIR is the location of the image, by default the root. The list is DIR/files.sha256: a
// digest, two spaces and a path per line, as sha256sum writes it.
package main

import (
	"bufio"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
)

func main() {
	args, stay := os.Args[1:], false
	if len(args) > 0 && args[0] == "stay" {
		args, stay = args[1:], true
	}
	dir := "/"
	if len(args) > 0 {
		dir = args[0]
	}
	n, err := check(dir)
	if err != nil {
		fmt.Fprintln(os.Stderr, "filecheck:", err)
		os.Exit(1)
	}
	fmt.Println("intact:", n, "files")
	if stay {
		ended := make(chan os.Signal, 1)
		signal.Notify(ended, syscall.SIGTERM)
		<-ended
	}
}

// check compares every file of the list and counts them. An empty list is an error.
func check(dir string) (int, error) {
	list, err := os.Open(filepath.Join(dir, "files.sha256"))
	if err != nil {
		return 0, err
	}
	defer list.Close()
	n := 0
	lines := bufio.NewScanner(list)
	for lines.Scan() {
		want, path, ok := strings.Cut(lines.Text(), "  ")
		if !ok {
			return n, fmt.Errorf("line %q: want a digest and a path", lines.Text())
		}
		got, err := digest(filepath.Join(dir, path))
		if err != nil {
			return n, err
		}
		if got != want {
			return n, fmt.Errorf("%s: digest %s, want %s", path, got, want)
		}
		n++
	}
	if n == 0 {
		return 0, fmt.Errorf("%s: empty", list.Name())
	}
	return n, lines.Err()
}

func digest(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return fmt.Sprintf("%x", h.Sum(nil)), nil
}
