//go:build linux

package main

import (
	"flag"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
)

// settings is the checked command line.
type settings struct {
	command    string // "bundle" or "load"
	bin        string // directory of our programs
	out        string // file for the tables; empty: standard output
	memory     string // a directory on a tmpfs
	disk       string // a directory on a disk
	rounds     int
	calm       float64  // cores that other processes may use; 0: any
	quick      bool     // images of some hundred KB instead of 250 MB
	conditions []string // keys to run; empty: all
	sets       []string // keys of the sets that load loads; empty: all
	peers      []string // a peer's name must contain one of these words; empty: all
	install    bool     // build missing peers
	syncs      bool     // count the sync calls of a load in a separate run
	json       string   // file for the measurements of load; empty: none
	from       string   // file of earlier measurements of load; empty: measure
	docs       string   // directory of the document and the picture to update; empty: none
}

const usage = `usage: bench bundle|load|ci [flags]

  -rounds N         rounds of each measurement (default 3)
  -calm CORES       repeat a measurement up to 5 times while other processes use more than
                    CORES processors (default 0: never); the least disturbed one counts
  -quick            a small set of images: tests the benchmark, not the speed
  -conditions LIST  bundle: memory,disk,link,connection;
                    load: memory,core,loop,syncs,1.7,1.6 (default all)
  -set LIST         load: calico,real,tiny (default all)
  -peers LIST       only peers whose name contains one of these words (default all)
  -bin DIR          directory of the built programs (default bin)
  -memory DIR       directory on a tmpfs (default /dev/shm)
  -disk DIR         directory on a disk (default /var/tmp)
  -install=false    do not build missing peers with "go install"
  -syncs=false      load: do not count sync calls in a separate run
  -json FILE        load: also write the measurements to FILE
  -from FILE        load: print the tables of the measurements in FILE
  -docs DIR         load: update the tables of DIR/benchmarks.md and their picture
  -o FILE           write the tables to FILE instead of standard output
`

// parse parses the command line; flags may precede and follow the command.
func parse(args []string, stderr io.Writer) (*settings, error) {
	s := &settings{}
	fs := flag.NewFlagSet("bench", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.Usage = func() { fmt.Fprint(stderr, usage) }
	var conditions, sets, peers string
	fs.IntVar(&s.rounds, "rounds", 3, "")
	fs.Float64Var(&s.calm, "calm", 0, "")
	fs.BoolVar(&s.quick, "quick", false, "")
	fs.BoolVar(&s.install, "install", true, "")
	fs.BoolVar(&s.syncs, "syncs", true, "")
	fs.StringVar(&s.bin, "bin", "bin", "")
	fs.StringVar(&s.memory, "memory", "/dev/shm", "")
	fs.StringVar(&s.disk, "disk", "/var/tmp", "")
	fs.StringVar(&s.out, "o", "", "")
	fs.StringVar(&s.json, "json", "", "")
	fs.StringVar(&s.from, "from", "", "")
	fs.StringVar(&s.docs, "docs", "", "")
	fs.StringVar(&conditions, "conditions", "", "")
	fs.StringVar(&sets, "set", "", "")
	fs.StringVar(&peers, "peers", "", "")
	if err := fs.Parse(args); err != nil {
		return nil, err
	}
	if s.command = fs.Arg(0); fs.NArg() > 0 {
		if err := fs.Parse(fs.Args()[1:]); err != nil {
			return nil, err
		}
	}
	s.conditions, s.sets, s.peers = words(conditions), words(sets), words(peers)
	return s, s.check(fs.NArg())
}

// check checks the values; extra is the number of arguments after the command.
func (s *settings) check(extra int) error {
	known, ok := map[string][]string{
		"bundle": {inMemory, onDisk, slowLink, cappedConnection},
		"ci":     {},
		"load":   collect(loadConditions, func(c loadCondition) string { return c.key }),
	}[s.command]
	switch {
	case !ok:
		return fmt.Errorf("command %q: want bundle, load or ci", s.command)
	case s.command != "load" && s.json+s.from+s.docs != "":
		return fmt.Errorf("-json, -from and -docs: only for load")
	case extra > 0:
		return fmt.Errorf("one command at a time")
	case s.rounds < 1:
		return fmt.Errorf("-rounds %d: want 1 or more", s.rounds)
	case s.calm < 0:
		return fmt.Errorf("-calm %v: want 0 or more", s.calm)
	}
	if err := some("-conditions", s.conditions, known); err != nil {
		return err
	}
	if err := some("-set", s.sets, collect(sets, func(s imageSet) string { return s.Key })); err != nil {
		return err
	}
	for _, dir := range []*string{&s.bin, &s.memory, &s.disk} {
		abs, err := filepath.Abs(*dir)
		if err != nil {
			return err
		}
		*dir = abs
	}
	return nil
}

// some checks that the words of a flag are known.
func some(name string, list, known []string) error {
	for _, word := range list {
		if !slices.Contains(known, word) {
			return fmt.Errorf("%s %s: want some of %s", name, word, strings.Join(known, ","))
		}
	}
	return nil
}

// wants reports whether a condition is to be run.
func (s *settings) wants(condition string) bool { return chosen(s.conditions, condition) }

// chosen reports whether a list is empty or contains the word.
func chosen(list []string, word string) bool { return len(list) == 0 || slices.Contains(list, word) }

// compares reports whether a peer is to be run.
func (s *settings) compares(name string) bool {
	return len(s.peers) == 0 || slices.ContainsFunc(s.peers, func(w string) bool { return strings.Contains(name, w) })
}

// words splits a list at its commas.
func words(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' })
}
