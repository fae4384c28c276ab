package scan

import (
	"encoding/json"
	"errors"
	"unicode/utf16"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// errJSON says why a text is not JSON, with the offset of the first wrong byte. It never
// quotes the text.
type errJSON struct {
	offset int
	text   string
}

func (e *errJSON) Error() string { return e.text }

var errTooDeep = errors.New("too deep")
var errTooMany = errors.New("too many nodes")

// parseJSON parses the JSON value (RFC 8259) that begins at from into nodes of the YAML
// parser, so that the same rules apply to both. Column is the offset of the value's first
// byte in src, Line is 0. A YAML parser reads most of JSON too, but no surrogate pairs, and
// takes four times as long.
func parseJSON(src []byte, from, maxDepth, maxNodes int) (*yaml.Node, error) {
	p := jsonParser{src: src, at: from, depth: maxDepth, nodes: maxNodes}
	p.space()
	n, err := p.value()
	if err != nil {
		return nil, err
	}
	if p.space(); p.at < len(src) {
		return nil, p.wrong("unexpected text after the JSON value")
	}
	return n, nil
}

// isJSON reports whether a text is a JSON value.
func isJSON(v string) bool { return json.Valid([]byte(v)) }

type jsonParser struct {
	src   []byte
	at    int
	depth int // still allowed
	nodes int // still allowed
}

func (p *jsonParser) wrong(text string) error { return &errJSON{offset: p.at, text: text} }

func (p *jsonParser) space() {
	for p.at < len(p.src) && isSpace(p.src[p.at]) {
		p.at++
	}
}

func (p *jsonParser) peek() byte {
	if p.at < len(p.src) {
		return p.src[p.at]
	}
	return 0
}

func (p *jsonParser) value() (*yaml.Node, error) {
	if p.nodes--; p.nodes < 0 {
		return nil, errTooMany
	}
	switch p.peek() {
	case '{', '[':
		if p.depth--; p.depth < 0 {
			return nil, errTooDeep
		}
		n, err := p.collection()
		p.depth++
		return n, err
	case '"':
		return p.text()
	default:
		return p.literal()
	}
}

// collection parses an object or an array.
func (p *jsonParser) collection() (*yaml.Node, error) {
	n := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq", Style: yaml.FlowStyle, Column: p.at}
	end := byte(']')
	if p.peek() == '{' {
		n.Kind, n.Tag, end = yaml.MappingNode, "!!map", '}'
	}
	p.at++
	for p.space(); p.peek() != end; p.space() {
		if len(n.Content) > 0 {
			if p.peek() != ',' {
				return nil, p.wrong("missing comma or end of the object or array")
			}
			p.at++
			p.space()
		}
		if n.Kind == yaml.MappingNode {
			if err := p.key(n); err != nil {
				return nil, err
			}
		}
		v, err := p.value()
		if err != nil {
			return nil, err
		}
		n.Content = append(n.Content, v)
	}
	p.at++
	return n, nil
}

func (p *jsonParser) key(n *yaml.Node) error {
	if p.peek() != '"' {
		return p.wrong("missing key in double quotes")
	}
	k, err := p.text()
	if err != nil {
		return err
	}
	n.Content = append(n.Content, k)
	if p.space(); p.peek() != ':' {
		return p.wrong("missing colon")
	}
	p.at++
	p.space()
	return nil
}

// literal parses numbers, booleans and null. Their exact syntax does not matter here: none
// can be an image.
func (p *jsonParser) literal() (*yaml.Node, error) {
	start := p.at
	for p.at < len(p.src) {
		c := p.src[p.at]
		if c != '+' && c != '-' && c != '.' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && c != 'E' {
			break
		}
		p.at++
	}
	word := string(p.src[start:p.at])
	n := &yaml.Node{Kind: yaml.ScalarNode, Value: word, Column: start}
	switch {
	case word == "true" || word == "false":
		n.Tag = "!!bool"
	case word == "null":
		n.Tag = "!!null"
	case word != "" && (word[0] == '-' || '0' <= word[0] && word[0] <= '9'):
		n.Tag = "!!float"
	default:
		p.at = start
		return nil, p.wrong("missing JSON value")
	}
	return n, nil
}

func (p *jsonParser) text() (*yaml.Node, error) {
	start := p.at
	n := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Style: yaml.DoubleQuotedStyle, Column: start}
	p.at++
	from, out := p.at, []byte(nil)
	for p.at < len(p.src) {
		switch c := p.src[p.at]; {
		case c == '"':
			if out == nil {
				n.Value = string(p.src[from:p.at])
			} else {
				n.Value = string(append(out, p.src[from:p.at]...))
			}
			p.at++
			return n, nil
		case c < ' ' && c != '\t':
			return nil, p.wrong("control character in a string")
		case c == '\\':
			out = append(out, p.src[from:p.at]...)
			r, width := unescape(p.src[p.at:])
			if width == 0 {
				return nil, p.wrong("invalid escape in a string")
			}
			out = utf8.AppendRune(out, r)
			p.at += width
			from = p.at
		default:
			p.at++
		}
	}
	p.at = start
	return nil, p.wrong("unterminated string")
}

// unescape decodes the escape sequence at the start of s, which begins with a backslash. It
// knows those of YAML, which include those of JSON. width is 0 for anything else. The rune
// of an escaped line break is a newline.
func unescape(s []byte) (r rune, width int) {
	if len(s) < 2 {
		return 0, 0
	}
	if r, ok := simpleEscapes[s[1]]; ok {
		return r, 2
	}
	switch s[1] {
	case '\n':
		return '\n', 2
	case '\r':
		return '\r', 2
	case 'x':
		return hexRune(s, 2)
	case 'U':
		return hexRune(s, 8)
	case 'u':
		r, width = hexRune(s, 4)
		if width > 0 && utf16.IsSurrogate(r) && len(s) >= 12 && s[6] == '\\' && s[7] == 'u' {
			if low, w := hexRune(s[6:], 4); w > 0 {
				if pair := utf16.DecodeRune(r, low); pair != utf8.RuneError {
					return pair, 12
				}
			}
		}
		return r, width
	}
	return 0, 0
}

// simpleEscapes are the escapes of one letter (YAML 1.2.2, 5.7).
var simpleEscapes = map[byte]rune{
	'0': 0, 'a': 7, 'b': 8, 't': 9, '\t': 9, 'n': 10, 'v': 11, 'f': 12, 'r': 13, 'e': 27, ' ': ' ', '"': '"', '\'': '\'',
	'/': '/', '\\': '\\', 'N': 0x85, '_': 0xA0, 'L': 0x2028, 'P': 0x2029,
}

func hexRune(s []byte, digits int) (rune, int) {
	if len(s) < 2+digits {
		return 0, 0
	}
	var r rune
	for _, c := range s[2 : 2+digits] {
		switch {
		case '0' <= c && c <= '9':
			r = r<<4 | rune(c-'0')
		case 'a' <= c && c <= 'f':
			r = r<<4 | rune(c-'a'+10)
		case 'A' <= c && c <= 'F':
			r = r<<4 | rune(c-'A'+10)
		default:
			return 0, 0
		}
	}
	return r, 2 + digits
}
