// Package manual runs the commands of README.md and of the pages in docs.
//
// Every code block without a language, or in sh or bash, is run by bash as it is written, the
// blocks of a page in order and in one shell. A comment before a block says otherwise:
//
//	<!-- illustration: REASON -->  the block is not run
//	<!-- serves: PORT -->          each command runs until it answers at the port, and is stopped
//	<!-- output -->                what the commands before have printed
//	<!-- setup: COMMANDS -->       run first: what the text assumes, in one line or several
//
// A block whose first line begins with "$ " is a session: its other lines are what the
// commands printed. A command must succeed, or its comment states the exit code: "# exit 3".
// Each page runs in namespaces of its own, with registries in place of the public ones and a
// real containerd.
package manual

import (
	"fmt"
	"regexp"
	"strings"
)

// kind is what a block is.
type kind string

const (
	commands     kind = "commands"
	serves       kind = "serves"
	output       kind = "output"
	illustration kind = "illustration"
	setup        kind = "setup"
	other        kind = "other" // in a language that is not the shell's
)

// languages are those of fenced blocks.
var languages = map[string]kind{
	"": commands, "sh": commands, "bash": commands, "go": other, "json": other, "yaml": other, "toml": other,
}

// block is a code block of a page, or the commands of a comment.
type block struct {
	line int // of its first line of text, from 1
	kind kind
	text string // without its indentation
	port string // of a server
}

var (
	listItem = regexp.MustCompile(`^( *)(?:[-*]|[0-9]+\.)( +)`)
	fence    = regexp.MustCompile("^( *)```(.*)$")
)

// parser reads a page line by line.
type parser struct {
	lines  []string
	at     int // index of the next line
	mark   kind
	port   string // of the mark
	lists  []int  // columns of the text of the list items around
	blank  bool   // the line before is blank, or ends a comment
	blocks []block
}

// parse returns the blocks of a page in Markdown.
func parse(page string) ([]block, error) {
	p := &parser{lines: strings.Split(page, "\n"), blank: true}
	for p.at < len(p.lines) {
		if err := p.next(); err != nil {
			return nil, err
		}
	}
	if p.mark != "" {
		return nil, fmt.Errorf("the mark %q at the end has no block", p.mark)
	}
	return p.blocks, nil
}

// next reads a line, a comment or a block.
func (p *parser) next() error {
	line := p.lines[p.at]
	text := strings.TrimSpace(line)
	indent := len(line) - len(strings.TrimLeft(line, " "))
	if p.blank && text != "" {
		for len(p.lists) > 0 && indent < p.lists[len(p.lists)-1] {
			p.lists = p.lists[:len(p.lists)-1]
		}
	}
	switch m := fence.FindStringSubmatch(line); {
	case text == "":
		p.blank = true
		p.at++
		return nil
	case strings.HasPrefix(text, "<!--"):
		return p.comment()
	case m != nil:
		return p.fenced(len(m[1]), strings.TrimSpace(m[2]))
	case p.blank && indent >= p.column()+4:
		p.indented()
		return nil
	}
	if p.mark != "" {
		return fmt.Errorf("line %d: the mark %q has no block", p.at+1, p.mark)
	}
	if m := listItem.FindString(line); m != "" {
		for len(p.lists) > 0 && indent < p.lists[len(p.lists)-1] {
			p.lists = p.lists[:len(p.lists)-1]
		}
		p.lists = append(p.lists, len(m))
	}
	p.blank = false
	p.at++
	return nil
}

// column returns the column at which the text of the innermost list item begins.
func (p *parser) column() int {
	if len(p.lists) == 0 {
		return 0
	}
	return p.lists[len(p.lists)-1]
}

// comment reads a comment and remembers its mark.
func (p *parser) comment() error {
	start := p.at
	var text strings.Builder
	for ; p.at < len(p.lines); p.at++ {
		text.WriteString(p.lines[p.at] + "\n")
		if strings.Contains(p.lines[p.at], "-->") {
			break
		}
	}
	p.at++
	p.blank = true
	body, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(text.String()), "<!--"), "-->")
	word, rest, _ := strings.Cut(body, ":")
	switch mark := kind(strings.TrimSpace(word)); mark {
	case setup:
		p.blocks = append(p.blocks, block{line: start + 1, kind: setup, text: strings.TrimLeft(rest, " \n")})
	case illustration, serves, output:
		if (mark != output) != (strings.TrimSpace(rest) != "") {
			return fmt.Errorf("line %d: the mark %q: illustrations need a reason, servers a port", start+1, mark)
		}
		p.port = ""
		if mark == serves {
			p.port = strings.TrimSpace(rest)
		}
		p.mark = mark
	}
	return nil
}

// fenced reads a block between fences.
func (p *parser) fenced(indent int, language string) error {
	p.at++
	start := p.at
	var text strings.Builder
	for ; p.at < len(p.lines); p.at++ {
		line := p.lines[p.at]
		if strings.TrimSpace(line) == "```" {
			k, known := languages[language]
			if !known && p.mark == "" {
				return fmt.Errorf("line %d: a block in %q is neither run nor marked", start, language)
			}
			p.add(start, k, text.String())
			p.at++
			p.blank = true
			return nil
		}
		text.WriteString(cut(line, indent) + "\n")
	}
	return fmt.Errorf("line %d: the fence is not closed", start)
}

// indented reads an indented block.
func (p *parser) indented() {
	start, column := p.at, p.column()+4
	var text strings.Builder
	for ; p.at < len(p.lines); p.at++ {
		line := p.lines[p.at]
		if strings.TrimSpace(line) != "" && strings.TrimSpace(line[:min(column, len(line))]) != "" {
			break
		}
		text.WriteString(cut(line, column) + "\n")
	}
	p.blank = strings.TrimSpace(p.lines[p.at-1]) == ""
	p.add(start, commands, strings.TrimRight(text.String(), "\n")+"\n")
}

// add adds a block, with the mark before it.
func (p *parser) add(index int, k kind, text string) {
	if p.mark != "" {
		k, p.mark = p.mark, ""
	}
	p.blocks = append(p.blocks, block{index + 1, k, text, p.port})
	p.port = ""
}

// cut removes up to n spaces at the start of a line.
func cut(line string, n int) string {
	for n > 0 && strings.HasPrefix(line, " ") {
		line, n = line[1:], n-1
	}
	return line
}
