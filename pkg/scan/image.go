package scan

import (
	"strings"

	"gopkg.in/yaml.v3"
)

// image walks what stands under a key that promises an image. f are the fields beside it.
// What a pod spec has there always ends as an image or as a warning.
func (w *walker) image(n *yaml.Node, form Form, f fields, s scope) {
	if n = resolve(n); n == nil || !w.budget.visit(s.depth+1) {
		return
	}
	before := w.answers
	switch n.Kind {
	case yaml.MappingNode:
		if v, off, is := templateAt(n, s.src); is {
			w.add(w.rendered(candidate{verdict: placeholder, form: form, text: v, off: off, length: len(v)}, s), s.src, s)
		} else {
			w.node(n, s)
		}
	case yaml.SequenceNode:
		s.depth++
		for i, e := range n.Content {
			w.image(e, form, f, s.element(i))
		}
	case yaml.ScalarNode:
		w.imageText(n, form, f, s)
	}
	if w.answers == before && form.inPod() {
		w.record(n, s, candidate{verdict: notText, form: form})
	}
}

// imageText walks the scalar that stands under a key that promises an image.
func (w *walker) imageText(n *yaml.Node, form Form, f fields, s scope) {
	switch {
	case form.inPod():
		c := whole(invalid, form, n.Value)
		if isText(n) {
			c = w.rendered(judgeReference(n.Value, form), s)
		}
		if c.verdict == invalid && (!w.object.builtin || s.level > 0) {
			c = w.lenient(c)
		}
		c.policy = pullPolicy(f)
		if s.shaped {
			c = w.complete(c, len(n.Value), s)
		}
		w.record(n, s, c)
	case !isText(n):
	case isUpperName(s.key):
		w.variable(s.key, n, s)
	case strings.ContainsAny(n.Value, "\n{[") && !isPlaceholder(n.Value):
		w.scalar(n, s)
	default:
		c := w.rendered(judgeReference(n.Value, form), s)
		c.policy = pullPolicy(f)
		if form == FormField {
			c = w.complete(c, len(n.Value), s)
		}
		w.record(n, s, c)
	}
}

// rendered returns the default of a template in a text, which a controller renders. At the
// top of an input, a template should have been rendered before.
func (w *walker) rendered(c candidate, s scope) candidate {
	if c.verdict == placeholder && s.level > 0 {
		return c.literal()
	}
	return c
}

// lenient judges again what is not a reference where a pod spec needs one, but in a custom
// resource or in a text: an operator fills in what is empty, a policy has patterns there,
// and engines other than a kubelet also read docker://REF.
func (w *walker) lenient(c candidate) candidate {
	if c.text == "" || strings.ContainsAny(c.text, "*|^!") {
		w.answers++
		return candidate{}
	}
	if judgeURL(c.text) == take {
		c.verdict = take
	}
	return c
}

// inPod reports whether a form is that of a field of a pod spec, which the kubelet reads.
func (f Form) inPod() bool {
	switch f {
	case FormContainer, FormInit, FormEphemeral, FormVolume:
		return true
	}
	return false
}

// images walks a mapping or a list under a key that names images: what stands there are
// references, apart from settings. host is the key above when that is a registry: then the
// names below have tags as values, as lists of mirrors write them.
func (w *walker) images(n *yaml.Node, host string, s scope) {
	s.images = true
	if n.Kind != yaml.MappingNode || !isHost(host) || !strings.ContainsAny(host, ".:") && host != "localhost" {
		w.node(n, s)
		return
	}
	s.depth++
	f, _ := w.budget.fields(n, s.depth)
	for _, p := range f {
		at := s.at(p.key)
		tags := []*yaml.Node{p.value}
		if p.value.Kind == yaml.SequenceNode {
			tags = p.value.Content
		}
		for i, e := range tags {
			if e = resolve(e); e == nil || e.Kind != yaml.ScalarNode || !w.budget.visit(s.depth+1) {
				continue
			}
			place := at
			if p.value.Kind == yaml.SequenceNode {
				place = at.element(i)
			}
			w.record(e, place, judgeTag(host+"/"+p.key, scalarText(e)))
		}
	}
}

// judgeTag judges a tag or digest of an image whose name stands elsewhere.
func judgeTag(name, tag string) candidate {
	sep := ":"
	if isChecksum(tag) {
		sep = "@"
	}
	c := candidate{verdict: take, form: FormGroup, text: name + sep + tag, length: len(tag)}
	switch _, ok := parseName(c.text); {
	case ok:
	case isPlaceholder(c.text):
		c.verdict = placeholder
	default:
		c.verdict = malformed
	}
	return c
}

// judgeLeaf judges a text below a key that names images. direct is set when it stands right
// under that key.
func judgeLeaf(key, v string, direct bool) candidate {
	if settingKey(key) || isPlatform(v) {
		return judgeScalar(v)
	}
	c := judgeReference(v, FormField)
	if c.verdict != take {
		return c
	}
	n, _ := parseName(strings.TrimPrefix(c.text, dockerScheme))
	switch {
	case n.digest != "", hasHost(c.text):
	case n.tag != "" && !strings.Contains(c.text, "/") && len(n.tag) > 3 && isDigits(n.tag), n.tag == "" && !direct:
		c.verdict = unclear // a host and a port, or any path
	}
	return c
}

// settingWords are the last words of keys that hold a property of an image, beside those in
// [notImages].
var settingWords = map[string]bool{
	"NAME": true, "NAMES": true, "KIND": true, "APIVERSION": true, "COMMAND": true, "CMD": true, "ARGS": true, "ENTRYPOINT": true, "URL": true,
	"OS": true, "ARCH": true, "ARCHITECTURE": true, "PLATFORM": true, "PLATFORMS": true, "FAMILY": true, "PROJECT": true, "REGION": true,
	"ZONE": true, "TITLE": true, "LABEL": true, "STATE": true, "STATUS": true, "MODE": true, "LEVEL": true, "SCHEDULE": true, "HUB": true, "BASE": true,
	"CHART": true,
}

// settingKey reports whether a key below one that names images holds a property and no
// reference: pullPolicy, tag, pullSecrets.
func settingKey(key string) bool {
	last := strings.ToUpper(lastSegment(key))
	last = last[strings.LastIndexAny(last, "_-")+1:]
	if notImages[last] || settingWords[last] {
		return true
	}
	for i := len(key) - 1; i > 0; i-- { // camel case: pullPolicy
		if c := key[i]; 'A' <= c && c <= 'Z' {
			last = strings.ToUpper(key[i:])
			return notImages[last] || settingWords[last]
		}
	}
	return false
}

// isPlatform reports whether a text is a platform, which parses as a repository.
func isPlatform(v string) bool {
	os, _, is := strings.Cut(v, "/")
	return is && (os == "linux" || os == "windows" || os == "darwin")
}

// excludedKey reports whether a key lists images that are not pulled: blockedImages.
func excludedKey(key string) bool {
	if !mentions(key) {
		return false
	}
	k := squash(key)
	for _, p := range [...]string{"blocked", "excluded", "exclude", "ignored", "ignore", "denied", "forbidden", "skipped"} {
		if strings.HasPrefix(k, p) {
			return true
		}
	}
	return false
}

// namesImage reports whether the name of an element of a list of images is a reference: no
// other field is its name or a part of it.
func namesImage(f fields) bool {
	for _, key := range [...]string{"image", "newName", "newTag", "newDigest", "tag", "tags", "repository", "repo", "registry", "digest"} {
		if f.get(key) != nil {
			return false
		}
	}
	v := f.text("name")
	n, ok := parseName(v)
	return isPlaceholder(v) || ok && (n.tag != "" || n.digest != "" || strings.Contains(v, "/"))
}
