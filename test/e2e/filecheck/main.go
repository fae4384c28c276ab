// Command filecheck is what the images of these tests run. It compares the files of an image
// with the list that the image carries, and says how many are whole:
//
//	filecheck [FOLDER]          compare and end
//	filecheck stay [FOLDER]     compare and then run until SIGTERM
//
// FOLDER is where the image lies, by default the root. The list is FOLDER/files.sha256: a
// digest, two spaces and a path a line, as sha256sum writes it.
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
	folder := "/"
	if len(args) > 0 {
		folder = args[0]
	}
	n, err := check(folder)
	if err != nil {
		fmt.Fprintln(os.Stderr, "filecheck:", err)
		os.Exit(1)
	}
	fmt.Println("whole:", n, "files")
	if stay {
		ended := make(chan os.Signal, 1)
		signal.Notify(ended, syscall.SIGTERM)
		<-ended
	}
}

// check compares every file of the list and counts them. A list without any is an error.
func check(folder string) (int, error) {
	list, err := os.Open(filepath.Join(folder, "files.sha256"))
	if err != nil {
		return 0, err
	}
	defer list.Close()
	n := 0
	lines := bufio.NewScanner(list)
	for lines.Scan() {
		want, path, ok := strings.Cut(lines.Text(), "  ")
		if !ok {
			return n, fmt.Errorf("line %q: no digest and path", lines.Text())
		}
		got, err := digest(filepath.Join(folder, path))
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
