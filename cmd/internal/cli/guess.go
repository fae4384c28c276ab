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
	commands := p.guess(word)
	if len(commands) == 0 || exists(word) {
		return nil
	}
	rest := slices.Delete(slices.Clone(args), i, i+1)
	line, all := p.corrected(commands[0], rest)
	unknown := Usagef("%q is not a command of %s", word, p.Name)
	switch {
	case p.Jobs[word] != nil:
		return Usagef("%q is a command of %s and must be the first argument", word, p.Name).WithHint("try \"%s\"", line)
	case !strings.HasPrefix(line, p.Name):
		return unknown.WithHint("that is \"%s\"", line)
	case !all && len(commands) > 1:
		other, _ := p.corrected(commands[1], rest)
		return unknown.WithHint("did you mean \"%s\" or \"%s\"?", line, other)
	}
	return unknown.WithHint("did you mean \"%s\"?", line)
}

// corrected returns the line of a command with arguments, and whether the command takes all
// of them. A file behind -o is left out when the output of the command is a format.
func (p *Program) corrected(command string, args []string) (line string, all bool) {
	program, name, _ := strings.Cut(command, " ")
	if job, operand, ok := strings.Cut(name, " "); ok && p.Jobs[job] != nil && !strings.HasPrefix(operand, "-") {
		// "scan FILE": what the job is about, when the line does not say.
		if len(args) == 0 {
			return command, false
		}
		command, name = program+" "+job, job
	}
	if program != p.Name || p.job(name) == nil { // help, version
		return command, false
	}
	_, f := p.Help(name)
	if _, err := words(f, args); err != nil {
		return command, false
	}
	all = true
	if out := f.Lookup("output"); out != nil && out.DefValue != "" {
		for i, arg := range args {
			if (arg == "-o" || arg == "--output") && strings.ContainsAny(args[i+1], "./") {
				args, all = slices.Concat(args[:i], args[i+2:]), false
				break
			}
		}
	}
	return strings.TrimSpace(command + " " + Quote(args...)), all
}

// guess returns the commands that are probably meant by a word.
func (p *Program) guess(word string) []string {
	if word == "" || strings.ContainsAny(word, "-/:@.=") {
		return nil
	}
	word = strings.ToLower(word)
	if commands, ok := p.Guesses[word]; ok {
		return commands
	}
	names := append(slices.Sorted(maps.Keys(p.Jobs)), "help", "version")
	if name, ok := closest(word, names); ok {
		return []string{p.Name + " " + name}
	}
	return nil
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
