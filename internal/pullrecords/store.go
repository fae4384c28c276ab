package pullrecords

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

const (
	stateDir   = "image_manager"
	pullingDir = "pulling"
	pulledDir  = "pulled"
	filePrefix = "sha256-"
	tempSuffix = ".tmp"
)

// Limits of what Read accepts. The kubelet has none. A record of 100 secrets, where the
// kubelet stops adding those it merely sees, has about 20 KiB; a node has at most some
// thousand images.
const (
	maxFile  = 1 << 20
	maxFiles = 20_000
	maxTotal = 64 << 20
)

// store holds the files of one directory as the kubelet sees them after its start: by the
// key in their content, whatever the file is named.
type store[T any] struct {
	dir    string
	values map[string]T
	broken map[string]error // the files without a key, by file name
}

// file is the content of one file.
type file[T any] struct {
	key   string
	value T
	old   bool // the kubelet writes it again in its newest format when it starts
	err   error
}

// get returns the value of key, or nil when there is none. As for the kubelet, a file that
// has the name of key and cannot be read is an error, unless another has the value.
func (s *store[T]) get(key string) (*T, error) {
	if v, ok := s.values[key]; ok {
		return &v, nil
	}
	if err := s.broken[fileName(key)]; err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(s.dir, fileName(key)), err)
	}
	return nil, nil
}

func (s *store[T]) put(key string, v T) {
	s.values[key] = v
	delete(s.broken, fileName(key))
}

func (s *store[T]) remove(key string) {
	delete(s.values, key)
	delete(s.broken, fileName(key))
}

func (s *store[T]) problems() []Problem {
	var list []Problem
	for name, err := range s.broken {
		list = append(list, Problem{File: filepath.Join(s.dir, name), Err: err})
	}
	return list
}

// readStore reads dir. decode returns the key and the value of a file, and whether its
// format is an old one.
func readStore[T any](dir string, decode func([]byte) (string, T, bool, error)) (store[T], error) {
	s := store[T]{dir: dir, values: map[string]T{}, broken: map[string]error{}}
	names, err := recordFiles(dir)
	if err != nil {
		return s, err
	}
	files := make(map[string]file[T], len(names))
	left := int64(maxTotal)
	for _, name := range names {
		data, err := readFile(filepath.Join(dir, name), min(left, maxFile))
		if errors.Is(err, errTooLarge) && left < maxFile {
			return s, fmt.Errorf("%s: more than %d MiB of records", dir, maxTotal>>20)
		}
		left -= int64(len(data))
		f := file[T]{err: err}
		if err == nil {
			f.key, f.value, f.old, f.err = decode(data)
		}
		files[name] = f
	}
	s.load(names, files)
	return s, nil
}

// load fills s from files as the kubelet's start does (fs_pullrecords.go,
// recordsVersionMigration, then mem_pullrecords.go, cacheRefreshingList). It rewrites old
// formats under the name of their key, then lists the files in the order of their names,
// the last of two with the same key counting.
func (s *store[T]) load(names []string, files map[string]file[T]) {
	for _, name := range names {
		if f := files[name]; f.err == nil && f.old {
			f.old = false
			files[fileName(f.key)] = f
		}
	}
	all := make([]string, 0, len(files))
	for name := range files {
		all = append(all, name)
	}
	slices.Sort(all)
	for _, name := range all {
		f := files[name]
		if f.err != nil {
			s.broken[name] = f.err
			continue
		}
		s.values[f.key] = f.value
	}
}

// recordFiles returns the names of the record files in dir, sorted; none when dir is missing.
func recordFiles(dir string) ([]string, error) {
	if err := checkDir(dir); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	entries, err := f.ReadDir(maxFiles + 1)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if len(entries) > maxFiles {
		return nil, fmt.Errorf("%s: more than %d files", dir, maxFiles)
	}
	var names []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), filePrefix) && !strings.HasSuffix(e.Name(), tempSuffix) && !e.IsDir() {
			names = append(names, e.Name())
		}
	}
	slices.Sort(names)
	return names, nil
}

// checkDir returns an error unless dir and its parent are directories. The kubelet finds no
// record in a directory that is a symbolic link.
func checkDir(dir string) error {
	for _, d := range []string{filepath.Dir(dir), dir} {
		if err := isDir(d); err != nil {
			return err
		}
	}
	return nil
}

// isDir returns an error unless path is a directory and not a symbolic link to one.
func isDir(path string) error {
	info, err := os.Lstat(path)
	if err == nil && !info.IsDir() {
		err = fmt.Errorf("%s is not a directory", path)
	}
	return err
}

var errTooLarge = errors.New("larger than any record of a kubelet")

// readFile reads a regular file of at most limit bytes.
func readFile(path string, limit int64) ([]byte, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("not a regular file")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if now, err := f.Stat(); err != nil || !os.SameFile(info, now) {
		return nil, errors.Join(errors.New("replaced while it was opened"), err)
	}
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(data)) > limit {
		return nil, errTooLarge
	}
	return data, err
}
