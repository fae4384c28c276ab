package scan

import (
	"strings"
	"sync"
)

// Defaults of the limits in [Options].
const (
	DefaultMaxDocument = 64 << 20
	DefaultMaxDepth    = 100
	DefaultMaxNodes    = 4 << 20
	DefaultMaxFindings = 256 << 10
)

// Options change what a [Scanner] returns. The zero value returns everything, with the
// default limits.
type Options struct {
	// Only drops images of the other class.
	Only Class
	// Include turns unclear values ([CodeUnclear]) into images, Exclude drops images. Both
	// are patterns of names, normalised or as written; "*" matches any characters, "/"
	// included, and "?" one. Exclude wins.
	Include, Exclude []string
	// FromStatus adds to images without a digest the one that the status of pods says they run,
	// also where another object of the input names the same image.
	FromStatus bool
	// Distinct keeps only the first of the references that differ in nothing but their
	// places: the same image in the same class, with the same pull secrets, and as a volume or
	// not. Memory then grows with the images and not with the places that name them.
	Distinct bool
	// MaxDocument is the largest size of a document in bytes, MaxDepth how deep mappings
	// and sequences may nest, MaxNodes the number of values in a document, aliases
	// followed, and MaxFindings the number of its images and warnings. Zero means the
	// default.
	MaxDocument, MaxDepth, MaxNodes, MaxFindings int

	matched *sync.Map // the patterns that matched something, if not nil
}

func (o *Options) excluded(full, written string) bool { return o.match(o.Exclude, full, written) }

func (o *Options) included(full, written string) bool { return o.match(o.Include, full, written) }

// match reports whether one of the patterns matches a name, normalised or as written.
func (o *Options) match(patterns []string, full, written string) bool {
	any := false
	for _, p := range patterns {
		if !match(p, full) && !match(p, written) {
			continue
		}
		any = true
		if o.matched != nil {
			o.matched.Store(p, true)
		}
	}
	return any
}

// Unmatched returns the patterns of Options.Exclude that have matched nothing yet.
func (s *Scanner) Unmatched() []string {
	var out []string
	for _, p := range s.opts.Exclude {
		if _, ok := s.opts.matched.Load(p); !ok {
			out = append(out, p)
		}
	}
	return out
}

// limits are those of [Options] with the defaults filled in.
type limits struct{ document, depth, nodes, findings int }

// limits returns the limits that o sets.
func (o *Options) limits() limits {
	def := func(v, d int) int {
		if v > 0 {
			return v
		}
		return d
	}
	return limits{
		document: def(o.MaxDocument, DefaultMaxDocument),
		depth:    def(o.MaxDepth, DefaultMaxDepth),
		nodes:    def(o.MaxNodes, DefaultMaxNodes),
		findings: def(o.MaxFindings, DefaultMaxFindings),
	}
}

// Match reports whether a pattern of [Options] matches a normalised name, in full or without
// "docker.io/" and "library/", as it is usually written.
func Match(pattern, name string) bool {
	short, official := strings.CutPrefix(name, "docker.io/")
	return match(pattern, name) || official && (match(pattern, short) || match(pattern, strings.TrimPrefix(short, "library/")))
}

// match reports whether a pattern matches all of s. "*" matches any bytes, "?" one. The
// time is at most the product of both lengths.
func match(pattern, s string) bool {
	p, i := 0, 0
	star, from := -1, 0
	for i < len(s) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, from = p, i
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == s[i]):
			p++
			i++
		case star >= 0:
			from++
			p, i = star+1, from
		default:
			return false
		}
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}
