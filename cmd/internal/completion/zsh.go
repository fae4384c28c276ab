package completion

import (
	"fmt"
	"strings"
)

// zsh returns an autoloaded function, or a file to source.
func zsh(d data) string {
	var b strings.Builder
	fmt.Fprintf(&b, "#compdef %s\n\n%s() {\n  local -a commands=(\n", d.name, d.function)
	for _, c := range d.commands[1:] {
		fmt.Fprintf(&b, "    %s\n", quote(strings.ReplaceAll(c.name+":"+c.summary, `\`, `\\`)))
	}
	b.WriteString("    'help:explain a command'\n    'version:print the version'\n  )\n")
	b.WriteString("  if (( CURRENT > 2 )); then\n    case $words[2] in\n")
	for _, c := range d.commands[1:] {
		fmt.Fprintf(&b, "    %s)\n      shift words; (( CURRENT-- ))\n", c.name)
		zshArguments(&b, c, "      ")
		b.WriteString("      return ;;\n")
	}
	b.WriteString("    help) (( CURRENT == 3 )) && _describe -t commands command commands; return ;;\n    version) return ;;\n    esac\n  fi\n")
	b.WriteString("  if (( CURRENT == 2 )) && [[ $PREFIX != -* ]]; then\n    _describe -t commands command commands\n")
	if d.files {
		b.WriteString("    _files\n")
	}
	b.WriteString("    return\n  fi\n")
	zshArguments(&b, d.commands[0], "  ")
	fmt.Fprintf(&b, `}

if [[ $funcstack[1] == _%[2]s ]]; then
  %[1]s "$@"
else
  compdef %[1]s %[2]s
fi
`, d.function, d.name)
	return b.String()
}

// zshArguments writes the call of _arguments for a command.
func zshArguments(b *strings.Builder, c command, indent string) {
	fmt.Fprintf(b, "%s_arguments -s -S", indent)
	for _, f := range c.flags {
		fmt.Fprintf(b, " \\\n%s  %s", indent, zshFlag(f))
	}
	switch {
	case c.operands != nil:
		fmt.Fprintf(b, " \\\n%s  '1: :(%s)'", indent, strings.Join(c.operands, " "))
	case c.files:
		fmt.Fprintf(b, " \\\n%s  '*:file:_files'", indent)
	}
	b.WriteString("\n")
}

// zshFlag returns the specification of a flag.
func zshFlag(f flag) string {
	text := ""
	if f.text != "" {
		text = "[" + bracketed.Replace(f.text) + "]"
	}
	short, long := "-"+f.short, "--"+f.long
	if f.arg != "" {
		short, long = short+"+", long+"="
		text += ":" + coloned.Replace(f.arg) + ":" + zshAction(f)
	}
	exclusive, star := "", ""
	switch {
	case f.repeats:
		star = "*"
	case f.short != "":
		exclusive = "(" + strings.Join(f.typed(), " ") + ")"
	}
	if f.short == "" {
		return quote(star + long + text)
	}
	return quote(exclusive+star) + "{" + short + "," + long + "}" + quote(text)
}

// zshAction returns what completes the value of a flag.
func zshAction(f flag) string {
	switch {
	case f.list:
		return "_values -s , " + coloned.Replace(f.arg) + " " + strings.Join(f.values, " ")
	case f.values != nil:
		return "(" + strings.Join(f.values, " ") + ")"
	case f.kind == files:
		return "_files"
	case f.kind == directories:
		return "_files -/"
	}
	return " "
}

var (
	bracketed = strings.NewReplacer(`\`, `\\`, "[", `\[`, "]", `\]`)
	coloned   = strings.NewReplacer(":", `\:`)
)

// quote returns s for a shell, as one word.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
