package completion

import (
	"fmt"
	"strings"
)

// fish returns a file for ~/.config/fish/completions.
func fish(d data) string {
	var b strings.Builder
	fmt.Fprintf(&b, `# fish completion for %[1]s

# _%[2]s_in succeeds when the command is $argv[1]; "" is none.
function _%[2]s_in
    set -l words (commandline -opc)
    set -l command ''
    if contains -- "$words[2]" %[3]s
        set command $words[2]
    end
    test "$command" = "$argv[1]"
end

function _%[2]s_first
    test (count (commandline -opc)) -eq 1
end

complete -c %[1]s -n '_%[2]s_in help; or _%[2]s_in version' -f
`, d.name, d.function, strings.Join(d.names(), " "))
	if !d.files {
		fmt.Fprintf(&b, "complete -c %s -n '_%s_first' -f\n", d.name, d.function)
	}
	for _, c := range d.commands[1:] {
		line := fmt.Sprintf("-a %s -d %s", c.name, fishQuote(c.summary))
		fmt.Fprintf(&b, "complete -c %[1]s -n '_%[2]s_first' %[3]s\ncomplete -c %[1]s -n '_%[2]s_in help' %[3]s\n", d.name, d.function, line)
	}
	fmt.Fprintf(&b, "complete -c %[1]s -n '_%[2]s_first' -a help -d 'explain a command'\ncomplete -c %[1]s -n '_%[2]s_first' -a version -d 'print the version'\n", d.name, d.function)
	for _, c := range d.commands {
		in := fmt.Sprintf("complete -c %s -n '_%s_in %s'", d.name, d.function, fishWord(c.name))
		b.WriteString("\n")
		switch {
		case c.operands != nil:
			fmt.Fprintf(&b, "%s -f -a %s\n", in, fishQuote(strings.Join(c.operands, " ")))
		case !c.files:
			fmt.Fprintf(&b, "%s -f\n", in)
		}
		for _, f := range c.flags {
			fmt.Fprintf(&b, "%s%s\n", in, fishFlag(f))
		}
	}
	return b.String()
}

// fishFlag returns the arguments of complete for a flag.
func fishFlag(f flag) string {
	var b strings.Builder
	if f.short != "" {
		b.WriteString(" -s " + f.short)
	}
	b.WriteString(" -l " + f.long)
	switch {
	case f.arg == "":
	case f.list:
		fmt.Fprintf(&b, " -x -a %s", fishQuote("(__fish_append , "+strings.Join(f.values, " ")+")"))
	case f.values != nil:
		fmt.Fprintf(&b, " -x -a %s", fishQuote(strings.Join(f.values, " ")))
	case f.kind == files:
		b.WriteString(" -r -F")
	case f.kind == directories:
		b.WriteString(" -x -a '(__fish_complete_directories)'")
	default:
		b.WriteString(" -x")
	}
	if f.text != "" {
		b.WriteString(" -d " + fishQuote(f.text))
	}
	return b.String()
}

// fishWord returns the name of a command inside single quotes.
func fishWord(name string) string {
	if name == "" {
		return `""`
	}
	return name
}

func fishQuote(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, "'", `\'`).Replace(s) + "'"
}
