package scan

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"sync"

	"gopkg.in/yaml.v3"
)

// Scanner collects the images of any number of inputs. It is not safe for concurrent use;
// it parses the documents of an input in parallel itself.
type Scanner struct {
	opts   Options
	limits limits
	docs   []*docResult // those with something in them
	count  int
	edits  bool // keep what only a rewrite needs

	seen    map[place]bool    // with [Options.Distinct]
	strings map[string]string // what many references share

	digests map[string]string // that containers run, by image; with [Options.FromStatus]
	differ  map[string]bool   // images of which containers run several
}

// docResult holds what was found in one document.
type docResult struct {
	images    []found
	warnings  []Warning
	secrets   []Secret
	accounts  []accountSecret
	always    []edit
	leftOut   []LeftOut
	running   []running
	unknown   []Warning // about what runs, if nothing else answers them
	documents int
	errs      []error
}

func (d *docResult) empty() bool {
	return len(d.images)+len(d.warnings)+len(d.secrets)+len(d.accounts)+len(d.always)+len(d.leftOut)+len(d.unknown) == 0
}

// New returns a Scanner.
func New(opts Options) *Scanner {
	opts.matched = &sync.Map{}
	return &Scanner{opts: opts, limits: opts.limits()}
}

// Scan reads an input to its end: a stream of YAML documents or JSON values, or an image
// list. file is its name in positions and errors. Memory grows with the largest document,
// which needs up to a hundred times its size while it is read, and with what is found: some
// 500 bytes for each place of an image or a warning, or for each image with
// [Options.Distinct]. It does not grow with the stream.
//
// The error joins one [*SyntaxError] or [*LimitError] for each document that could not be
// read, in their order, and the error of r. The result holds what the other documents
// contain.
func (s *Scanner) Scan(file string, r io.Reader) error {
	in, skipped, _ := utf8Reader(r)
	split := newSplitter(in, int64(skipped), s.limits.document)
	var errs []error
	add := func(d *docResult) {
		s.count += d.documents
		errs = append(errs, d.errs...)
		d.errs = nil
		s.keep(d)
	}
	err := inOrder(runtime.GOMAXPROCS(0), split.next, func(c chunk) *docResult { return s.document(file, c) }, add)
	if err != nil {
		errs = append(errs, fmt.Errorf("read %s: %w", file, err))
	}
	return errors.Join(errs...)
}

// document scans one chunk. It may run on several goroutines at once.
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
	out.sort()
	return out
}

// list records the lines of an image list.
func (w *walker) list(t *text, lines []listLine) {
	w.out.documents++
	notes, left := lockLines(t.raw)
	w.out.leftOut = left
	ids := !slices.ContainsFunc(lines, func(l listLine) bool { return !isImageID(l.text) })
	for i, l := range lines {
		c, err := judgeListLine(l)
		if ids && i == 0 {
			c.verdict = unnamed // once for all of them
		}
		if err != nil {
			w.fail(t, l.off, err)
			continue
		}
		if c.verdict == ignore || w.opts.Only == Required && slices.Contains(notes[l.number], noteIndirect) {
			continue
		}
		before := len(w.out.images)
		w.add(c, t, scope{src: t})
		for i := before; i < len(w.out.images) && notes != nil; i++ {
			w.out.images[i].noted(notes[l.number])
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

// failed returns the result of a document that could not be read: only the error, because
// half of a document would pass for all of it.
func (r *recorder) failed(t *text, c chunk, bad *badText) *docResult {
	if bad.limit != "" {
		limit := map[Limit]int{
			LimitDepth: r.budget.depth, LimitNodes: r.budget.nodes, LimitFindings: r.budget.findings,
		}[bad.limit]
		return &docResult{errs: []error{&LimitError{File: r.file, Line: c.line, Limit: bad.limit, Max: limit}}}
	}
	at := bad.offset
	for at < len(t.raw) && isSpace(t.raw[at]) && t.raw[at] != '\n' {
		at++
	}
	pos := r.position(t, at)
	return &docResult{errs: []error{&SyntaxError{File: r.file, Line: pos.Line, Column: pos.Column, Err: bad.cause}}}
}

// maxWaiting is how many bytes of documents may be read ahead of the next result. Their nodes
// take up to a hundred times as much, so a larger document is scanned alone, on however many
// processors.
const maxWaiting = 1 << 20

// inOrder reads chunks with next until io.EOF, calls work on up to workers of them at once,
// and passes the results to add in the order of the chunks, from the calling goroutine. It
// returns an error of next other than io.EOF after the results of all chunks before it.
func inOrder(workers int, next func() (chunk, error), work func(chunk) *docResult, add func(*docResult)) error {
	type job struct {
		chunk chunk
		done  chan *docResult
	}
	jobs := make(chan job)
	var wait sync.WaitGroup
	for range workers {
		wait.Go(func() {
			for j := range jobs {
				j.done <- work(j.chunk)
			}
		})
	}
	defer wait.Wait()
	defer close(jobs)

	var queue []chan *docResult
	var sizes []int
	waiting := 0
	take := func() {
		add(<-queue[0])
		waiting -= sizes[0]
		queue, sizes = queue[1:], sizes[1:]
	}
	for {
		c, err := next()
		if err != nil {
			for len(queue) > 0 {
				take()
			}
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		for len(queue) > 0 && (waiting+len(c.data) > maxWaiting || len(queue) >= 4*workers) {
			take()
		}
		j := job{c, make(chan *docResult, 1)}
		queue, sizes = append(queue, j.done), append(sizes, len(c.data))
		waiting += len(c.data)
		jobs <- j
	}
}

// place is what distinguishes references apart from their places, with [Options.Distinct].
type place struct {
	name    string
	running string // its digest
	class   Class
	os      string
	volume  bool // of a pod
	early   bool
	secrets string // namespace, account and secrets of the pod
}

// keep adds what was found in a document, and drops what the options or the caller do not
// ask for.
func (s *Scanner) keep(d *docResult) {
	if !s.edits {
		d.always = nil
	}
	s.ran(d)
	if s.opts.Distinct {
		d.images = slices.DeleteFunc(d.images, func(f found) bool { return !s.first(f) })
	}
	if d.empty() {
		return
	}
	d.images, d.warnings = slices.Clip(d.images), slices.Clip(d.warnings)
	for i := range d.images {
		f := &d.images[i]
		for _, text := range [...]*string{&f.Text, &f.Field, &f.Container, &f.PullPolicy, &f.Object.APIVersion, &f.Object.Kind, &f.Object.Namespace} {
			*text = s.shared(*text)
		}
	}
	s.docs = append(s.docs, d)
}

// first reports whether no reference before f was the same apart from its place.
func (s *Scanner) first(f found) bool {
	p := place{name: f.Name, running: f.running, class: f.Class, os: f.OS, volume: f.Form == FormVolume, early: f.Early}
	if f.pod != nil {
		p.secrets = f.pod.namespace + "/" + f.pod.account + "/" + strings.Join(f.pod.secrets, "/")
	}
	if s.seen[p] {
		return false
	}
	if s.seen == nil {
		s.seen = map[place]bool{}
	}
	s.seen[p] = true
	return true
}

// maxShared is how many texts [Scanner.shared] keeps.
const maxShared = 16 << 10

// shared returns a text that other references have too in the same place in memory.
func (s *Scanner) shared(text string) string {
	if text == "" {
		return ""
	}
	if same, is := s.strings[text]; is {
		return same
	}
	if s.strings == nil {
		s.strings = map[string]string{}
	}
	if len(s.strings) < maxShared {
		s.strings[text] = text
	}
	return text
}

// sort orders references and warnings by their positions. Rules for several fields find
// theirs first.
func (d *docResult) sort() {
	slices.SortStableFunc(d.images, func(a, b found) int { return a.offset - b.offset })
	sortWarnings(d.warnings)
}

func sortWarnings(list []Warning) {
	slices.SortStableFunc(list, func(a, b Warning) int {
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Column - b.Column
	})
}
