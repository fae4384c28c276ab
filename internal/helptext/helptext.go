// Package helptext reads the help texts of the programs, so that man pages and completions
// contain the same words. A help text is
//
//	bundle scan lists the images ...                 the introduction
//
//	Usage:                                           a heading
//	  bundle scan -f SRC...   print names            an item: a term and its text
//	  bundle scan -f - > list                        a line of code
//
//	  -o, --output FORMAT     name: one a line       an item that is an option,
//	                          json: an object        with another line of its text
//
//	Other lines without indentation are paragraphs.
package helptext

import (
	"regexp"
	"strings"
)

// A Text is a parsed help text.
type Text struct {
	Sections []Section // the first has no title and is the introduction
}

// A Section is a heading with what follows it.
type Section struct {
	Title  string
	Blocks []Block
}

// A Block has one of its fields.
type Block struct {
	Paragraph string // with its line breaks
	Code      []string
	Item      *Item
}

// An Item is a term with its explanation.
type Item struct {
	Term  string
	Lines []string // each as in the help text, without indentation
}

// An Option is an item whose term is a flag.
type Option struct {
	Short, Long string // without dashes; Short may be empty
	Arg         string // the word for its value, such as FILE; empty for a switch
	Text        string // in one line
}

var (
	heading  = regexp.MustCompile(`^[A-Z][A-Za-z ]*:$`)
	spaced   = regexp.MustCompile(`^( {2,6})(\S+(?: \S+)*) {2,}(\S.*)$`)
	flagTerm = regexp.MustCompile(`^(?:-([a-zA-Z]), )?--([a-z][a-z0-9-]*)(?: (\S+)|\[=\S+\])?$`)
)

// Parse reads a help text.
func Parse(text string) *Text {
	p := parser{text: &Text{Sections: make([]Section, 1)}}
	for line := range strings.SplitSeq(strings.TrimSuffix(text, "\n"), "\n") {
		p.add(line)
	}
	return p.text
}

// parser is the state between two lines.
type parser struct {
	text   *Text
	column int  // where the texts of items begin
	blank  bool // the line before is blank
}

func (p *parser) add(line string) {
	section := &p.text.Sections[len(p.text.Sections)-1]
	trimmed := strings.TrimLeft(line, " ")
	indent := len(line) - len(trimmed)
	last := p.last(section)
	switch {
	case trimmed == "":
		p.blank = true
		return
	case heading.MatchString(line):
		p.text.Sections = append(p.text.Sections, Section{Title: strings.TrimSuffix(line, ":")})
	case indent == 0 && last != nil && last.Paragraph != "":
		last.Paragraph += "\n" + line
	case indent == 0:
		section.Blocks = append(section.Blocks, Block{Paragraph: line})
	case last != nil && last.Item != nil && indent > 6:
		last.Item.Lines = append(last.Item.Lines, trimmed)
	default:
		p.addIndented(section, last, line, trimmed)
	}
	p.blank = false
}

// last returns the block that the next line may continue, or nil.
func (p *parser) last(s *Section) *Block {
	if p.blank || len(s.Blocks) == 0 {
		return nil
	}
	return &s.Blocks[len(s.Blocks)-1]
}

// addIndented adds a line that begins an item, or a line of code.
func (p *parser) addIndented(section *Section, last *Block, line, trimmed string) {
	if m := spaced.FindStringSubmatch(line); m != nil && section.Title != "Example" {
		p.column = len(line) - len(m[3])
		section.Blocks = append(section.Blocks, Block{Item: &Item{Term: m[2], Lines: []string{m[3]}}})
		return
	}
	// A long term leaves only one space before the column.
	if c := p.column; strings.HasPrefix(trimmed, "-") && c > 0 && c < len(line) && line[c-1] == ' ' {
		item := &Item{Term: strings.TrimSpace(line[:c]), Lines: []string{line[c:]}}
		section.Blocks = append(section.Blocks, Block{Item: item})
		return
	}
	if last != nil && last.Code != nil {
		last.Code = append(last.Code, trimmed)
		return
	}
	section.Blocks = append(section.Blocks, Block{Code: []string{trimmed}})
}

// Items returns the items of all sections.
func (t *Text) Items() []*Item {
	var out []*Item
	for _, s := range t.Sections {
		for _, b := range s.Blocks {
			if b.Item != nil {
				out = append(out, b.Item)
			}
		}
	}
	return out
}

// Options returns the options of all sections.
func (t *Text) Options() []Option {
	var out []Option
	for _, item := range t.Items() {
		if m := flagTerm.FindStringSubmatch(item.Term); m != nil {
			out = append(out, Option{Short: m[1], Long: m[2], Arg: m[3], Text: strings.Join(item.Lines, " ")})
		}
	}
	return out
}

// Usage returns the command lines of the section Usage.
func (t *Text) Usage() []string {
	var out []string
	for _, s := range t.Sections {
		for _, b := range s.Blocks {
			switch {
			case s.Title != "Usage":
			case b.Item != nil && !strings.HasPrefix(b.Item.Term, "-"):
				out = append(out, b.Item.Term)
			default:
				out = append(out, b.Code...)
			}
		}
	}
	return out
}

// Commands returns the commands that the section Usage of a program's help lists, in its
// order, each with its explanation.
func (t *Text) Commands(program string) []*Item {
	var out []*Item
	for _, item := range t.Items() {
		words := strings.Fields(item.Term)
		if len(words) > 1 && words[0] == program && isWord.MatchString(words[1]) {
			out = append(out, &Item{Term: words[1], Lines: item.Lines})
		}
	}
	return out
}

var isWord = regexp.MustCompile(`^[a-z]+$`)
