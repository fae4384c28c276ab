// Package completion writes the completions of a program for bash, zsh and fish. Commands,
// flags and values come from the flags of the program's jobs, descriptions from their help
// texts.
package completion

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"stowage/cmd/internal/cli"
	"stowage/internal/helptext"
)

// shells are the choices of the job.
var shells = map[string]func(data) string{"bash": bash, "zsh": zsh, "fish": fish}

const help = `PROGRAM completion prints completions for a shell: of commands, flags, the values of flags,
and files.

Usage:
  PROGRAM completion bash|zsh|fish

      --name NAME     the name under which the program is installed (default PROGRAM)
  -h, --help          print this text

bash loads the first file below at the first use, if the package bash-completion is there;
zsh needs the directory of its file in fpath before compinit runs.

` + cli.ExitCodes + `
Example:
  PROGRAM completion bash > ~/.local/share/bash-completion/completions/PROGRAM
  PROGRAM completion zsh > ~/.zfunc/_PROGRAM
  PROGRAM completion fish > ~/.config/fish/completions/PROGRAM.fish
`

// Job returns the job "completion" of a program.
func Job(program func() *cli.Program) cli.Job {
	return func(_ context.Context, args []string, streams cli.Streams) error {
		p := program()
		fs := cli.NewFlags(p.Name+" completion", strings.ReplaceAll(help, "PROGRAM", p.Name), streams)
		name := fs.String("name", p.Name, "")
		if err := fs.Parse(args); err != nil {
			return err
		}
		names := slices.Sorted(maps.Keys(shells))
		if fs.NArg() != 1 {
			return cli.Usagef("want one shell: %s", strings.Join(names, ", "))
		}
		if !slices.Contains(names, fs.Arg(0)) {
			return cli.Usagef("completion %q: want %s", fs.Arg(0), strings.Join(names, ", "))
		}
		if !validName.MatchString(*name) {
			return cli.Usagef("--name %q: want letters, digits, \"-\" and \"_\"", *name)
		}
		_, err := fmt.Fprint(streams.Out, shells[fs.Arg(0)](read(p, *name)))
		return err
	}
}

var validName = regexp.MustCompile(`^[a-zA-Z0-9_-]+$`)

// data is what the completions of a program contain.
type data struct {
	name     string // as it is typed
	function string // a prefix for the names of functions
	commands []command
	files    bool // the first word may be a file
}

// command is a job. The first is the main job, without a name.
type command struct {
	name, summary string
	flags         []flag
	operands      []string // the only words that it takes, or nil
	files         bool     // it takes files
}

// flag is a flag of a command.
type flag struct {
	short, long, text string
	repeats           bool
	arg               string // the word for its value; empty for a switch
	values            []string
	list              bool // a value is a list of values
	kind              kind
}

// kind is what may be completed for the value of a flag that has no list of values.
type kind int

const (
	nothing kind = iota
	files
	directories
)

// read returns the data of a program.
func read(p *cli.Program, name string) data {
	d := data{name: name, function: "_" + strings.ReplaceAll(name, "-", "_")}
	text, flags := p.Help("")
	parsed := helptext.Parse(text)
	d.files = slices.ContainsFunc(parsed.Usage(), func(line string) bool { return strings.HasPrefix(line, p.Name+" FILE") })
	d.commands = append(d.commands, newCommand(command{files: true}, parsed, parsed, flags))
	for _, item := range parsed.Commands(p.Name) {
		text, flags := p.Help(item.Term)
		summary := strings.Join(item.Lines, " ")
		d.commands = append(d.commands, newCommand(command{name: item.Term, summary: short(summary, nil)}, helptext.Parse(text), parsed, flags))
	}
	return d
}

// newCommand adds the flags and operands of a command to c. A flag that its help does not
// explain is that of the main job.
func newCommand(c command, text, main *helptext.Text, flags *pflag.FlagSet) command {
	flags.VisitAll(func(f *pflag.Flag) {
		n := flag{short: f.Shorthand, long: f.Name, repeats: strings.HasPrefix(f.Value.Type(), "string") && f.Value.Type() != "string"}
		n.values, n.list = cli.Values(f)
		o, ok := option(text, f.Name)
		if !ok && n.values == nil {
			o, _ = option(main, f.Name)
		}
		n.text = short(o.Text, n.values)
		if f.NoOptDefVal == "" {
			n.arg = placeholder(o, n.values)
			n.kind = kindOf(n.arg)
		}
		c.flags = append(c.flags, n)
	})
	c.flags = append(c.flags, flag{short: "h", long: "help", text: "print the help"})
	for _, line := range text.Usage() {
		if m := alternatives.FindStringSubmatch(line); m != nil && c.name != "" {
			c.operands = strings.Split(m[1], "|")
		}
		c.files = c.files || file.MatchString(strings.ReplaceAll(line, "-o OUT", ""))
	}
	return c
}

var (
	alternatives = regexp.MustCompile(`^\S+ \S+ ([a-z]+(?:\|[a-z]+)+)$`)
	file         = regexp.MustCompile(`\b(FILE|SRC|OLD)\b`)
)

// option returns the option of a help text for a flag.
func option(text *helptext.Text, name string) (helptext.Option, bool) {
	for _, o := range text.Options() {
		if o.Long == name {
			return o, true
		}
	}
	return helptext.Option{}, false
}

// placeholder returns the word for the value of an option.
func placeholder(o helptext.Option, values []string) string {
	switch {
	case o.Arg != "" && !slices.Contains(values, o.Arg): // not "--only required"
		return o.Arg
	case values != nil:
		return "VALUE"
	}
	return "TEXT"
}

func kindOf(arg string) kind {
	switch arg {
	case "FILE", "SRC", "OUT", "LOCK", "LIST", "SOCKET":
		return files
	case "DIR":
		return directories
	}
	return nothing
}

// short returns the first clause of an explanation, or "" when it only explains values.
func short(text string, values []string) string {
	if before, _, _ := strings.Cut(text, ":"); slices.Contains(values, before) {
		return "" // "json: an object for each line"
	}
	for _, end := range []string{";", " (", ": ", ", such as"} {
		text, _, _ = strings.Cut(text, end)
	}
	return text
}

// flagsOf returns the flags of a command as they are typed.
func (c *command) flagsOf() []string {
	var out []string
	for _, f := range c.flags {
		out = append(out, f.typed()...)
	}
	return out
}

// typed returns the forms of a flag.
func (f *flag) typed() []string {
	if f.short == "" {
		return []string{"--" + f.long}
	}
	return []string{"-" + f.short, "--" + f.long}
}

// names returns the names of the commands, with those that every program has.
func (d *data) names() []string {
	var out []string
	for _, c := range d.commands[1:] {
		out = append(out, c.name)
	}
	return append(out, "help", "version")
}
