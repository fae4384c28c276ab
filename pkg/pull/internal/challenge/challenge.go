// Package challenge reads the header WWW-Authenticate (RFC 9110 section 11.6.1): how a
// server wants its clients to log in.
//
//	for _, c := range challenge.Parse(resp.Header) {
//		fmt.Println(c.Scheme, c.Params["realm"])
//	}
package challenge

import (
	"net/http"
	"strings"
)

// most bounds the challenges of one answer; servers send one or two.
const most = 16

// Challenge is one way to log in.
type Challenge struct {
	Scheme string            // in lower case: "basic", "bearer"
	Params map[string]string // by name in lower case: "realm", "service", "scope"
}

// Parse returns the challenges of an answer in their order, from any number of header lines
// with any number of challenges each. What is malformed is left out.
func Parse(h http.Header) []Challenge {
	var out []Challenge
	for _, line := range h.Values("Www-Authenticate") {
		p := parser{rest: line}
		for len(out) < most {
			c, ok := p.next()
			if !ok {
				break
			}
			out = append(out, c)
		}
	}
	return out
}

// Find returns the first challenge of a scheme.
func Find(list []Challenge, scheme string) (Challenge, bool) {
	for _, c := range list {
		if c.Scheme == scheme {
			return c, true
		}
	}
	return Challenge{}, false
}

// parser reads one header line. A comma separates challenges and parameters alike: a word
// before "=" is a parameter, any other word is the scheme of the next challenge.
type parser struct{ rest string }

func (p *parser) skip(cutset string) { p.rest = strings.TrimLeft(p.rest, cutset) }

// word reads up to a separator.
func (p *parser) word() string {
	end := strings.IndexAny(p.rest, " \t,=\"")
	if end < 0 {
		end = len(p.rest)
	}
	w := p.rest[:end]
	p.rest = p.rest[end:]
	return w
}

// next returns the next challenge of the line.
func (p *parser) next() (Challenge, bool) {
	c := Challenge{Params: map[string]string{}}
	for p.skip(" \t,"); p.rest != ""; p.skip(" \t,") {
		before := *p
		w := p.word()
		p.skip(" \t")
		switch {
		case strings.HasPrefix(p.rest, "="):
			p.rest = p.rest[1:]
			p.skip(" \t")
			name, value := strings.ToLower(w), p.value()
			if _, known := c.Params[name]; !known && c.Scheme != "" && name != "" {
				c.Params[name] = value
			}
		case w == "": // a quote that no name precedes
			p.value()
		case c.Scheme != "":
			*p = before
			return c, true
		default:
			c.Scheme = strings.ToLower(w)
		}
	}
	return c, c.Scheme != ""
}

// value reads the value of a parameter: a quoted string, or what stands before the next
// comma or space. Some servers do not quote URLs.
func (p *parser) value() string {
	if !strings.HasPrefix(p.rest, `"`) {
		end := strings.IndexAny(p.rest, " \t,")
		if end < 0 {
			end = len(p.rest)
		}
		v := p.rest[:end]
		p.rest = p.rest[end:]
		return v
	}
	var b strings.Builder
	for i := 1; i < len(p.rest); i++ {
		switch c := p.rest[i]; {
		case c == '"':
			p.rest = p.rest[i+1:]
			return b.String()
		case c == '\\' && i+1 < len(p.rest):
			i++
			b.WriteByte(p.rest[i])
		default:
			b.WriteByte(c)
		}
	}
	p.rest = ""
	return b.String()
}
