package scan

import (
	"strings"

	"gopkg.in/yaml.v3"
)

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
