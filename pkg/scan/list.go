package scan

import (
	"bytes"
	"errors"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

var errNoReference = errors.New("not an image reference")
var errNoManifest = errors.New("neither a manifest nor an image list")

// listLine is a line of an image list.
type listLine struct {
	number int // from 0
	off    int // of the reference in the document
	text   string
}

// imageList reports whether a document is a plain image list, and returns its lines: each
// holds one word, apart from a comment after it, and at least half of the words are
// references. A list may begin with a YAML marker.
func imageList(src []byte) (lines []listLine, ok bool) {
	good := 0
	number := -1
	for start := 0; start < len(src); {
		end := len(src)
		if i := bytes.IndexByte(src[start:], '\n'); i >= 0 {
			end = start + i
		}
		line := string(src[start:end])
		number++
		word, off, single := listWord(line)
		if word == "---" && len(lines) == 0 {
			word = ""
		}
		if word != "" {
			if !single || strings.HasSuffix(word, ":") || strings.IndexByte("-{[\"'!&*|>?", word[0]) >= 0 && !isPlaceholder(word) {
				return nil, false
			}
			if _, is := parseName(word); is && (strings.ContainsAny(word, "/:@") || isPlainWord(word)) || isPlaceholder(word) {
				good++
			}
			lines = append(lines, listLine{number: number, off: start + off, text: word})
		}
		start = end + 1
	}
	return lines, len(lines) > 0 && good*2 >= len(lines)
}

// listWord returns the only word of a line, without the comment after it. single is false
// when the line has several words.
func listWord(line string) (word string, off int, single bool) {
	off = skip(line, 0, " \t\r")
	end := until(line, off, " \t\r")
	word = line[off:end]
	if strings.HasPrefix(word, "#") {
		return "", 0, true
	}
	rest := skip(line, end, " \t\r")
	return word, off, rest == len(line) || line[rest] == '#'
}

// judgeListLine judges a line of an image list. Anything but a reference, a placeholder or the
// ID of an image is an error: a list exists to be complete. containerd's CRI plugin keeps an
// ID beside each name, and "ctr images ls -q" prints both.
func judgeListLine(l listLine) (candidate, error) {
	c := candidate{verdict: take, form: FormList, text: l.text, off: l.off, length: len(l.text)}
	_, ok := parseName(l.text)
	switch {
	case isImageID(l.text):
		c.verdict = ignore
	case strings.Contains(l.text, noName):
		c.verdict = unnamed
	case isPlaceholder(l.text) && !ok:
		c.verdict = placeholder
	case !ok:
		return c, errNoReference
	}
	return c, nil
}

// noName is what lists of a node's images have in place of a name, a tag or a digest.
const noName = "<none>"

// isImageID reports whether text is the digest of an image's config, and not a name.
func isImageID(text string) bool {
	hex, is := strings.CutPrefix(text, "sha256:")
	return is && len(hex) == 64
}

// nodeImages returns the images of a node as "crictl images -o json" prints them, or nil when
// the fields f of a document are not such a list.
func nodeImages(f fields, b *budget) []*yaml.Node {
	list := f.get("images")
	if f.get("kind") != nil || list == nil || list.Kind != yaml.SequenceNode {
		return nil
	}
	for _, e := range list.Content {
		if b.dig(e, "repoTags") == nil && b.dig(e, "repoDigests") == nil {
			return nil
		}
	}
	return list.Content
}

// nodeImage records an image of a node: each tag with the digest of its repository, so that it is
// in a bundle under both, and each other digest.
func (w *walker) nodeImage(n *yaml.Node, s scope) {
	tags, digests := w.budget.dig(n, "repoTags"), w.budget.dig(n, "repoDigests")
	pinned, named := map[string]string{}, map[string]bool{}
	for _, e := range elements(digests) {
		if d, ok := parseName(e.Value); ok && d.digest != "" && pinned[d.domain+"/"+d.path] == "" {
			pinned[d.domain+"/"+d.path] = d.digest
		}
	}
	for i, e := range elements(tags) {
		at, c := s.at("repoTags").element(i), whole(take, FormList, e.Value)
		t, ok := parseName(e.Value)
		digest := pinned[t.domain+"/"+t.path]
		switch {
		case !ok:
			continue
		case digest != "":
			c.digest = digest
			named[t.domain+"/"+t.path+"@"+digest] = true
		case !w.opts.excluded(t.full, e.Value):
			w.warn(Warning{
				Code: CodeUnknownDigest, Name: t.full, Message: "the node has no digest of a registry for " + t.full,
				Advice: "the registry decides what it is; write its digest if it must be another",
			}, s.src.inner(e), 0, len(e.Value), at)
		}
		named[""] = true
		w.record(e, at, c)
	}
	for i, e := range elements(digests) {
		if d, ok := parseName(e.Value); ok && d.digest != "" {
			if !named[d.domain+"/"+d.path+"@"+d.digest] {
				w.record(e, s.at("repoDigests").element(i), whole(take, FormList, e.Value))
			}
			named[""] = true
		}
	}
	if id := w.budget.dig(n, "id"); !named[""] && isText(id) {
		w.record(id, s.at("id"), whole(unnamed, FormList, id.Value))
	}
}

// elements returns the texts of a sequence.
func elements(n *yaml.Node) []*yaml.Node {
	if n == nil || n.Kind != yaml.SequenceNode {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(n.Content), func(e *yaml.Node) bool { return !isText(e) })
}
