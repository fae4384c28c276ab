package completion

import (
	"fmt"
	"strings"
)

// bash also works with bash 3.2, which has no compopt, and without the package
// bash-completion. Where it offers nothing, readline offers files.
func bash(d data) string {
	var b strings.Builder
	fmt.Fprintf(&b, `# bash completion for %[1]s

%[2]s() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} command= commands='%[3]s'
    local flags words before=
    COMPREPLY=()
    # bash splits --flag=value at "=".
    if [[ $cur == "=" ]]; then
        cur=
    elif [[ $prev == "=" && $COMP_CWORD -gt 1 ]]; then
        prev=${COMP_WORDS[COMP_CWORD-2]}
    fi
    [[ $COMP_CWORD -gt 1 ]] && command=${COMP_WORDS[1]}

    # The value of a flag.
    case $command in
`, d.name, d.function, strings.Join(d.names(), " "))
	for _, c := range d.commands[1:] {
		bashCommand(&b, d.function, c, c.name)
	}
	fmt.Fprintf(&b, `    help)
        compopt +o default 2>/dev/null
        [[ $COMP_CWORD -eq 2 ]] && COMPREPLY=($(compgen -W "$commands" -- "$cur"))
        return ;;
    version) compopt +o default 2>/dev/null; return ;;
`)
	bashCommand(&b, d.function, d.commands[0], "*")
	first := ""
	if d.files {
		first = "\n        local IFS=$'\\n'\n        compopt -o filenames 2>/dev/null\n        COMPREPLY+=($(compgen -f -- \"$cur\"))"
	}
	fmt.Fprintf(&b, `    esac

    if [[ $cur == -* ]]; then
        COMPREPLY=($(compgen -W "$flags" -- "$cur"))
    elif [[ $COMP_CWORD -eq 1 ]]; then
        COMPREPLY=($(compgen -W "$commands" -- "$cur"))%[3]s
    elif [[ -n $words ]]; then
        compopt +o default 2>/dev/null
        COMPREPLY=($(compgen -W "$words" -- "$cur"))
    fi
}

# %[2]s_values offers the words of $1; with $2, for the last item of a list.
%[2]s_values() {
    compopt +o default 2>/dev/null
    [[ -n $2 && $cur == *,* ]] && before=${cur%%,*},
    COMPREPLY=($(compgen -P "$before" -W "$1" -- "${cur##*,}"))
}

%[2]s_directories() {
    local IFS=$'\n'
    compopt +o default -o filenames 2>/dev/null
    COMPREPLY=($(compgen -d -- "$cur"))
}

complete -o default -F %[2]s %[1]s
`, d.name, d.function, first)
	return b.String()
}

// bashCommand writes the case of a command.
func bashCommand(b *strings.Builder, function string, c command, pattern string) {
	fmt.Fprintf(b, "    %s)\n        case $prev in\n", pattern)
	actions := []string{nothing: "compopt +o default 2>/dev/null; return", files: "return", directories: function + "_directories; return"}
	for k, do := range actions {
		var names []string
		for _, f := range c.flags {
			if f.arg != "" && len(f.values) == 0 && f.kind == kind(k) {
				names = append(names, f.typed()...)
			}
		}
		if len(names) > 0 {
			fmt.Fprintf(b, "        %s) %s ;;\n", strings.Join(names, "|"), do)
		}
	}
	for _, f := range c.flags {
		if len(f.values) == 0 {
			continue
		}
		list := ""
		if f.list {
			list = " list"
		}
		fmt.Fprintf(b, "        %s) %s_values '%s'%s; return ;;\n", strings.Join(f.typed(), "|"), function, strings.Join(f.values, " "), list)
	}
	fmt.Fprintf(b, "        esac\n        flags='%s'\n", strings.Join(c.flagsOf(), " "))
	switch {
	case c.operands != nil:
		fmt.Fprintf(b, "        words='%s'\n", strings.Join(c.operands, " "))
	case !c.files:
		b.WriteString("        compopt +o default 2>/dev/null\n")
	}
	b.WriteString("        ;;\n")
}
