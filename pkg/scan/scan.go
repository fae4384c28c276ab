package scan

import (
	"errors"
	"fmt"
	"io"
	"runtime"

	"gopkg.in/yaml.v3"
)

// Defaults of the limits in [Options].
const (
	DefaultMaxDocument = 64 << 20
	DefaultMaxDepth    = 100
	DefaultMaxNodes    = 4 << 20
	DefaultMaxFindings = 256 << 10
)

// Options change what a [Scanner] takes. The zero value takes everything, with the default limits.
type Options struct {
	// Only leaves out images of the other class.
	Only Class
	// Include takes doubtful values ([CodeUnclear]) as images, Exclude leaves out images. Both are patterns of
	// names, normalised or as written; "*" stands for any characters, "/" included, and "?" for one. Exclude wins.
	Include, Exclude []string
	// MaxDocument is the size in bytes of the largest document, MaxDepth the number of mappings and sequences
	// inside of one another, MaxNodes the number of values in a document, aliases followed, and MaxFindings that of
	// its images and warnings. Zero stands for the defaults.
	MaxDocument, MaxDepth, MaxNodes, MaxFindings int
}

func (o *Options) excluded(full, written string) bool {
	return matchAny(o.Exclude, full) || matchAny(o.Exclude, written)
}

func (o *Options) included(full, written string) bool {
	return matchAny(o.Include, full) || matchAny(o.Include, written)
}

// Scanner collects the images of any number of inputs. It is not safe for concurrent use; it parses the documents of an
// input on all processors by itself.
type Scanner struct {
	opts   Options
	limits limits
	docs   []*docResult // those with something in them
	count  int
}

// docResult is what one document gave.
type docResult struct {
	images    []found
	warnings  []Warning
	secrets   []Secret
	accounts  []accountSecret
	always    []edit
	documents int
	errs      []error
}

func (d *docResult) empty() bool {
	return len(d.images)+len(d.warnings)+len(d.secrets)+len(d.accounts)+len(d.always) == 0
}

// New makes a Scanner.
func New(opts Options) *Scanner {
	def := func(v, d int) int {
		if v > 0 {
			return v
		}
		return d
	}
	return &Scanner{opts: opts, limits: limits{
		document: def(opts.MaxDocument, DefaultMaxDocument),
		depth:    def(opts.MaxDepth, DefaultMaxDepth),
		nodes:    def(opts.MaxNodes, DefaultMaxNodes),
		findings: def(opts.MaxFindings, DefaultMaxFindings),
	}}
}

// Scan reads an input to its end: a stream of YAML documents or JSON values, or an image list. file names it in
// positions and errors. Memory grows with the largest document, not with the stream.
//
// The error joins one [*SyntaxError] or [*LimitError] for each document that could not be read, in their order, and the
// error of r if there was one. What the other documents hold is in the result all the same.
func (s *Scanner) Scan(file string, r io.Reader) error {
	in, skipped, _ := utf8Reader(r)
	split := newSplitter(in, int64(skipped), s.limits.document)
	var errs []error
	add := func(d *docResult) {
		s.count += d.documents
		errs = append(errs, d.errs...)
		d.errs = nil
		if !d.empty() {
			s.docs = append(s.docs, d)
		}
	}
	err := inOrder(runtime.GOMAXPROCS(0), split.next, func(c chunk) *docResult { return s.document(file, c) }, add)
	if err != nil {
		errs = append(errs, fmt.Errorf("read %s: %w", file, err))
	}
	return errors.Join(errs...)
}

// document reads one chunk. It may run on several goroutines at once.
func (s *Scanner) document(file string, c chunk) *docResult {
	out := &docResult{}
	if c.tooBig {
		out.errs = append(out.errs, &LimitError{File: file, Line: c.line, Limit: LimitDocument, Max: s.limits.document})
		return out
	}
	if isSchema(c.data) {
		out.documents = 1
		return out
	}
	w := &walker{recorder: recorder{file: file, opts: &s.opts, out: out, budget: &budget{limits: s.limits}}}
	t := newText(c)
	var bad *badText
	if lines, ok := imageList(c.data); ok {
		w.list(t, lines)
	} else {
		bad = w.manifest(t)
	}
	if w.budget.exceeded != "" {
		bad = &badText{limit: w.budget.exceeded}
	}
	if bad != nil {
		return w.failed(t, c, bad)
	}
	return out
}

// list records the lines of an image list.
func (w *walker) list(t *text, lines []listLine) {
	w.out.documents++
	for _, l := range lines {
		if c, err := judgeListLine(l); err != nil {
			w.fail(t, l.off, err)
		} else {
			w.add(c, t, scope{src: t})
		}
	}
}

// manifest walks the roots of a document.
func (w *walker) manifest(t *text) *badText {
	roots, bad := decode(t, w.budget.limits)
	for _, n := range roots {
		if n.Kind == yaml.ScalarNode && n.Tag != "!!null" {
			if bad == nil {
				bad = &badText{offset: t.start(n), cause: errNoManifest}
			}
			continue
		}
		w.root(n, scope{src: t})
	}
	return bad
}

// failed is the result of a document that could not be read: the error alone, so that nothing half read passes for
// the whole.
func (r *recorder) failed(t *text, c chunk, bad *badText) *docResult {
	if bad.limit != "" {
		limit := map[Limit]int{LimitDepth: r.budget.depth, LimitNodes: r.budget.nodes, LimitFindings: r.budget.findings}[bad.limit]
		return &docResult{errs: []error{&LimitError{File: r.file, Line: c.line, Limit: bad.limit, Max: limit}}}
	}
	at := bad.offset
	for at < len(t.raw) && isSpace(t.raw[at]) && t.raw[at] != '\n' {
		at++
	}
	pos := r.position(t, at)
	return &docResult{errs: []error{&SyntaxError{File: r.file, Line: pos.Line, Column: pos.Column, Err: bad.cause}}}
}
