package helptext

import (
	"fmt"
	"regexp"
	"strings"
)

// Pages returns the man pages of a program by the names of their files, such as
// "bundle-scan.1". help returns the help text of a command, "" for that of the program. date
// is in the form 2006-01-02. A package installs the program with "stowage-" before its name.
func Pages(program, version, date string, help func(command string) (string, error)) (map[string]string, error) {
	text, err := help("")
	if err != nil {
		return nil, err
	}
	see := []string{map[string]string{"bundle": "load", "load": "bundle"}[program]}
	pages := map[string]string{}
	for _, item := range Parse(text).Commands(program) {
		text, err := help(item.Term)
		if err != nil {
			return nil, err
		}
		page := program + "-" + item.Term
		pages[page+".1"] = man(text, program+" "+item.Term, version, date, []string{program})
		see = append(see, page)
	}
	pages[program+".1"] = man(text, program, version, date, see)
	return pages, nil
}

// man returns the page of a command. name is "bundle" or "bundle scan", see lists the other
// pages without their section, which is 1.
func man(text, name, version, date string, see []string) string {
	t := Parse(text)
	page := strings.ReplaceAll(name, " ", "-")
	m := &writer{}
	m.line(`.TH %s 1 "%s" "stowage %s" "User Commands"`, strings.ToUpper(page), date, version)
	m.line(".SH NAME\n%s, stowage\\-%[1]s \\- %s", escape(page), escape(summary(t, name)))
	var synopsis, description, options, rest []Section
	for i, s := range t.Sections {
		switch s.Title {
		case "":
			description = append(description, s)
		case "Usage":
			synopsis, description, options = splitUsage(s, description)
		case "Exit codes", "Example":
			rest = append(rest, t.Sections[i])
		default:
			options = append(options, s)
		}
	}
	m.sections("SYNOPSIS", synopsis)
	m.sections("DESCRIPTION", description)
	m.sections("OPTIONS", options)
	for _, s := range rest {
		title := map[string]string{"Exit codes": "EXIT STATUS", "Example": "EXAMPLES"}[s.Title]
		s.Title = ""
		m.sections(title, []Section{s})
	}
	for i, s := range see {
		see[i] = ".BR " + escape(s) + " (1)"
	}
	m.line(".SH SEE ALSO\n%s", strings.Join(see, ",\n"))
	return m.String()
}

// summary returns what a command does, from the first sentence of its help.
func summary(t *Text, name string) string {
	intro := strings.ReplaceAll(t.Sections[0].Blocks[0].Paragraph, "\n", " ")
	sentence, _, _ := strings.Cut(intro, ". ")
	sentence = strings.TrimPrefix(sentence, name+" ")
	return strings.TrimRight(strings.TrimPrefix(sentence, "is "), ".:")
}

// splitUsage divides the section Usage: its command lines, the paragraphs behind them, and
// from the first option on the options.
func splitUsage(s Section, description []Section) (synopsis, more, options []Section) {
	lines, text, flags := Section{}, Section{}, Section{}
	for _, b := range s.Blocks {
		switch {
		case len(flags.Blocks) > 0 || b.Item != nil && strings.HasPrefix(b.Item.Term, "-"):
			flags.Blocks = append(flags.Blocks, b)
		case b.Paragraph != "":
			text.Blocks = append(text.Blocks, b)
		default:
			lines.Blocks = append(lines.Blocks, b)
		}
	}
	return []Section{lines}, append(description, text), []Section{flags}
}

// writer writes roff.
type writer struct {
	strings.Builder
}

func (m *writer) line(format string, args ...any) { fmt.Fprintf(m, format+"\n", args...) }

// sections writes a section with its subsections, unless it is empty.
func (m *writer) sections(title string, sections []Section) {
	began := false
	for _, s := range sections {
		if len(s.Blocks) == 0 {
			continue
		}
		if !began {
			m.line(".SH %s", title)
			began = true
		}
		if s.Title != "" {
			m.line(".SS %s", s.Title)
		}
		for i, b := range s.Blocks {
			m.block(b, i == 0)
		}
	}
}

// newLine begins a line of a list that stands in the text of an item: "json: an object".
var newLine = regexp.MustCompile(`^[a-z]+: `)

func (m *writer) block(b Block, first bool) {
	switch {
	case b.Paragraph != "":
		if !first {
			m.line(".PP")
		}
		for line := range strings.SplitSeq(b.Paragraph, "\n") {
			m.line("%s", escape(line))
		}
	case b.Item != nil:
		m.line(".TP\n%s", term(b.Item.Term))
		for i, line := range b.Item.Lines {
			if i > 0 && newLine.MatchString(line) {
				m.line(".br")
			}
			m.line("%s", escape(line))
		}
	default:
		if !first {
			m.line(".PP")
		}
		m.line(".nf")
		for _, line := range b.Code {
			m.line("%s", term(line))
		}
		m.line(".fi")
	}
}

var placeholder = regexp.MustCompile(`\b[A-Z][A-Z]+\b`)

// term writes a command line or a flag: placeholders in italics, everything else bold.
func term(s string) string {
	return `\fB` + placeholder.ReplaceAllString(escape(s), `\fI${0}\fB`) + `\fR`
}

var special = strings.NewReplacer(`\`, `\e`, `-`, `\-`, `~`, `\(ti`, `^`, `\(ha`, "`", `\(ga`, `'`, `\(aq`)

// escape writes text so that roff prints it as it is.
func escape(s string) string {
	s = special.Replace(s)
	if strings.HasPrefix(s, ".") {
		s = `\&` + s
	}
	return s
}
