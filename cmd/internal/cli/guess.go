package cli

import (
	"maps"
	"os"
	"slices"
	"strings"
)

// NotCommand returns a usage error when args[i] stands where a command may stand and looks
// like one: a mistyped job, a job that does not come first, or one of p.Guesses. The hint is
// the corrected command line. NotCommand returns nil for any other word, and for the name of
// an existing file.
func (p *Program) NotCommand(args []string, i int) error {
	word := args[i]
	command, ok := p.guess(word)
	if !ok || exists(word) {
		return nil
	}
	program, job, _ := strings.Cut(command, " ")
	switch {
	case program != p.Name:
		return Usagef("%q is not a command of %s", word, p.Name).WithHint("that is \"%s\"", command)
	case p.Jobs[word] != nil:
		return Usagef("%q is a command of %s and must be the first argument", word, p.Name).
			WithHint("try \"%s\"", p.corrected(job, args, i))
	}
	return Usagef("%q is not a command of %s", word, p.Name).WithHint("did you mean \"%s\"?", p.corrected(job, args, i))
}

// corrected returns the command line of a job with args without args[i], as far as the job
// has these flags.
func (p *Program) corrected(job string, args []string, i int) string {
	command := strings.TrimSpace(p.Name + " " + job)
	rest := slices.Delete(slices.Clone(args), i, i+1)
	if p.job(job) == nil { // help, version
		return command
	}
	if _, err := words(p.flags(job), rest); err != nil {
		return command
	}
	return strings.TrimSpace(command + " " + Quote(rest...))
}

// guess returns the command that is probably meant by a word.
func (p *Program) guess(word string) (command string, ok bool) {
	if word == "" || strings.ContainsAny(word, "-/:@.=") {
		return "", false
	}
	word = strings.ToLower(word)
	if command, ok = p.Guesses[word]; ok {
		return command, true
	}
	names := append(slices.Sorted(maps.Keys(p.Jobs)), "help", "version")
	name, ok := closest(word, names)
	return strings.TrimSpace(p.Name + " " + name), ok
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// closest returns the name that differs least from word, when it differs by no more than two
// typing errors and by less than half of its letters.
func closest(word string, names []string) (string, bool) {
	best, least := "", 3
	for _, name := range names {
		if d := distance(word, name); d < least && 2*d <= len(name) && len(word) > 1 {
			best, least = name, d
		}
	}
	return best, best != ""
}

// distance returns the number of letters to insert, remove, replace or swap with their
// neighbours to make b of a: the optimal string alignment distance.
func distance(a, b string) int {
	before, last := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		row := make([]int, len(b)+1)
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			row[j+1] = min(last[j+1]+1, row[j]+1, last[j]+cost)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}
