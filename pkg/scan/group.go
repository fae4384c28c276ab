package scan

import (
	"strings"

	"gopkg.in/yaml.v3"
)

// parts are the fields of a reference that is written in several.
type parts struct {
	registry, repository, tag, digest pair
	candidates                        [len(repositoryKeys)]pair
	version                           pair
}

// repositoryKeys are the keys a repository may stand under, in the order in which they are tried, without separators.
var repositoryKeys = [...]string{"repository", "imagerepository", "repo", "image", "imagename", "newname", "name"}

// group applies the rule for references in several fields: {registry, repository, tag, digest} and its relatives. It is
// applied where nothing else can be meant, and returns the keys it has dealt with, each between zero bytes.
func (w *walker) group(f fields, s scope) (used string) {
	if p, ok := groupParts(f, s.key); ok {
		w.joined(p, f, s)
		used = p.used()
	}
	for _, e := range f {
		if len(e.key) > len("repository") && strings.HasSuffix(squash(e.key), "repository") && !strings.Contains(used, "\x00"+e.key+"\x00") {
			if p, ok := prefixParts(e, f); ok {
				w.joined(p, f, s.at(e.key))
				used += p.used()
			}
		}
	}
	return used
}

// joined records the reference that the fields make.
func (w *walker) joined(p parts, f fields, s scope) {
	ref, filled := p.join(f)
	t := s.src.inner(p.repository.value)
	n, ok := parseName(ref)
	switch {
	case isPlaceholder(ref):
		w.unfilled(t, 0, ref, FormGroup, s)
	case !filled:
		if ok && strings.Contains(ref, "/") {
			w.warn(t, 0, len(t.raw), s, Warning{Code: CodeUnclear, Class: Indirect, Name: n.full,
				Message: "the image " + quote(ref) + " is written without tag and digest; who reads this chooses one",
				Advice:  "find out which, and add the image by hand"})
		}
	case !ok:
		w.warn(t, 0, len(t.raw), s, Warning{Code: CodeUnclear, Class: Indirect, Message: "the fields of an image make no reference: " + quote(ref),
			Advice: "add the image by hand"})
	case !w.opts.excluded(n.full, ref):
		at, _ := t.place(0, len(t.raw))
		w.record(t, at, false, n, ref, FormGroup, f, s)
	}
}

// prefixParts finds a group whose keys share a beginning: scanner.repository and scanner.tag, fooImageRegistry,
// fooImageRepository and fooImageTag. The beginning has to speak of an image, or the repository to have a host.
func prefixParts(repository pair, f fields) (parts, bool) {
	p := parts{repository: repository}
	squashed := squash(repository.key)
	prefix := squashed[:len(squashed)-len("repository")]
	for _, e := range f {
		k := squash(e.key)
		if len(k) <= len(prefix) || k[:len(prefix)] != prefix || e.value.Kind != yaml.ScalarNode {
			continue
		}
		switch k[len(prefix):] {
		case "registry":
			p.registry = e
		case "tag":
			p.tag = e
		case "digest":
			p.digest = e
		}
	}
	if !isText(repository.value) || !written(p.tag) && !written(p.digest) {
		return parts{}, false
	}
	ref, _ := p.join(f)
	if !hasHost(ref) && !strings.Contains(prefix, "image") && !strings.Contains(prefix, "container") {
		return parts{}, false
	}
	n, ok := parseName(repository.value.Value)
	return p, ok && n.tag == "" && n.digest == ""
}

// groupParts finds the fields of a group. Words like repository and tag also belong to git, so something has to say
// that an image is meant: the key above, a registry, a pull policy, or a repository that begins with a host.
func groupParts(f fields, above string) (parts, bool) {
	var p parts
	for _, e := range f {
		if e.value.Kind == yaml.ScalarNode && len(e.key) <= len("imageRepository")+2 {
			p.sort(e)
		}
	}
	imageAbove := strings.Contains(above, "mage") && (strings.HasSuffix(squash(above), "image") || strings.HasSuffix(squash(above), "images"))
	if p.tag.value == nil && p.digest.value == nil && !imageAbove {
		return parts{}, false
	}
	for i, key := range repositoryKeys {
		if c := p.candidates[i]; isText(c.value) && c.value.Value != "" {
			p.repository = c
			return p, p.means(key, f, imageAbove)
		}
	}
	return parts{}, false
}

// sort puts a field where it belongs.
func (p *parts) sort(e pair) {
	k := squash(e.key)
	switch k {
	case "registry", "imageregistry":
		p.registry = e
	case "tag", "imagetag", "newtag", "imageversion":
		p.tag = e
	case "digest", "sha", "imagedigest":
		p.digest = e
	case "version":
		p.version = e
	default:
		for i := range repositoryKeys {
			if repositoryKeys[i] == k {
				p.candidates[i] = e
			}
		}
	}
}

// used lists the keys of the group, each between zero bytes.
func (p *parts) used() string {
	used := "\x00"
	for _, e := range [...]pair{p.registry, p.repository, p.tag, p.digest} {
		if e.value != nil {
			used += e.key + "\x00"
		}
	}
	return used
}

// means decides whether the repository found under a kind of key is that of an image in several fields.
func (p *parts) means(k string, f fields, imageAbove bool) bool {
	repo := p.repository.value.Value
	split := p.tag.value != nil || p.digest.value != nil
	if !split && p.version.value != nil && imageAbove && k == "name" && hasHost(repo) {
		p.tag, split = p.version, true
	}
	meant := false
	switch k {
	case "repository", "imagerepository", "repo":
		meant = (split || imageAbove) && (imageAbove || k == "imagerepository" || p.registry.value != nil || hasHost(repo) ||
			pullPolicy(f) != "")
	case "image", "imagename":
		meant = written(p.tag) || written(p.digest)
	case "newname":
		meant = split
	case "name":
		meant = split && imageAbove && (strings.Contains(repo, "/") || p.registry.value != nil || p.tag.key == "newTag")
	}
	if !meant {
		return false
	}
	n, ok := parseName(repo)
	return ok && n.tag == "" && n.digest == "" || !ok && isPlaceholder(repo)
}

// written reports whether a field has a value.
func written(e pair) bool {
	return e.value != nil && e.value.Value != "" && e.value.Tag != "!!null"
}

// join puts the reference together. filled is false when neither tag nor digest has a value.
func (p *parts) join(f fields) (ref string, filled bool) {
	ref = p.repository.value.Value
	if isText(p.registry.value) && p.registry.value.Value != "" && !hasHost(ref) {
		ref = strings.TrimSuffix(p.registry.value.Value, "/") + "/" + ref
	}
	if written(p.tag) {
		ref += ":" + p.tag.value.Value
		filled = true
	}
	use := f.get("useDigest")
	if written(p.digest) && strings.Contains(p.digest.value.Value, ":") && (use == nil || use.Value != "false") {
		ref += "@" + p.digest.value.Value
		filled = true
	}
	return ref, filled
}
