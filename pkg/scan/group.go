package scan

import (
	"strings"

	"gopkg.in/yaml.v3"
)

// group is a reference that is written in several fields of a mapping.
type group struct {
	registry, repository, tag, digest, version pair

	candidates [len(repositoryKeys)]pair // for the repository
	prefixed   bool                      // the keys share a prefix, see prefixedGroup
}

// repositoryKeys are the keys that may hold the repository, in the order in which they are
// tried, without separators.
var repositoryKeys = [...]string{
	"repository", "imagerepository", "repo", "image", "imagename", "newname", "name",
}

// groups returns the references in several fields ({registry, repository, tag, digest} and
// its relatives) of a mapping under the key above, and the keys they use. It returns only
// groups that cannot mean anything else.
func groups(f fields, above string) (found []group, used map[string]bool) {
	if g, ok := plainGroup(f, above); ok {
		found, used = append(found, g), g.use(used)
	}
	for _, e := range f {
		if len(e.key) <= len("repository") || !strings.HasSuffix(squash(e.key), "repository") || used[e.key] {
			continue
		}
		if g, ok := prefixedGroup(e, f); ok {
			found, used = append(found, g), g.use(used)
		}
	}
	return found, used
}

// use adds the keys of the group to a set, which it makes when used is nil.
func (g *group) use(used map[string]bool) map[string]bool {
	if used == nil {
		used = map[string]bool{}
	}
	for _, e := range [...]pair{g.registry, g.repository, g.tag, g.digest} {
		if e.value != nil {
			used[e.key] = true
		}
	}
	return used
}

// judge judges the reference that the fields make.
func (g *group) judge(f fields) candidate {
	ref, filled := g.join(f)
	c := candidate{form: FormGroup, text: ref, length: len(g.repository.value.Value), policy: pullPolicy(f)}
	_, ok := parseName(ref)
	switch {
	case isPlaceholder(ref):
		c.verdict, c.length = placeholder, len(ref)
	case !filled && ok && strings.Contains(ref, "/"):
		c.verdict = untagged
	case !filled:
	case !ok:
		c.verdict = malformed
	default:
		c.verdict = take
	}
	return c
}

// prefixedGroup returns the group that a repository key starts whose keys share a prefix:
// scanner.repository and scanner.tag, or fooImageRegistry, fooImageRepository and
// fooImageTag. The prefix must name an image, or the repository must have a host.
func prefixedGroup(repository pair, f fields) (group, bool) {
	g := group{repository: repository, prefixed: true}
	squashed := squash(repository.key)
	prefix := squashed[:len(squashed)-len("repository")]
	for _, e := range f {
		k := squash(e.key)
		if len(k) <= len(prefix) || k[:len(prefix)] != prefix || e.value.Kind != yaml.ScalarNode {
			continue
		}
		switch k[len(prefix):] {
		case "registry":
			g.registry = e
		case "tag":
			g.tag = e
		case "digest":
			g.digest = e
		}
	}
	if !isText(repository.value) || !written(g.tag) && !written(g.digest) {
		return group{}, false
	}
	ref, _ := g.join(f)
	if !hasHost(ref) && !strings.Contains(prefix, "image") && !strings.Contains(prefix, "container") {
		return group{}, false
	}
	n, ok := parseName(repository.value.Value)
	return g, ok && n.tag == "" && n.digest == ""
}

// plainGroup returns the group that unprefixed keys make. Git uses words like repository
// and tag too, so something must show that an image is meant: the key above, a registry, a
// pull policy, or a repository that begins with a host.
func plainGroup(f fields, above string) (group, bool) {
	var g group
	for _, e := range f {
		if e.value.Kind == yaml.ScalarNode && len(e.key) <= len("imageRepository")+2 {
			g.assign(e)
		}
	}
	imageAbove := strings.Contains(above, "mage") && strings.HasSuffix(strings.TrimSuffix(squash(above), "s"), "image")
	if g.tag.value == nil && g.digest.value == nil && !imageAbove {
		return group{}, false
	}
	for i, key := range repositoryKeys {
		if c := g.candidates[i]; isText(c.value) && c.value.Value != "" {
			g.repository = c
			return g, g.means(key, f, imageAbove)
		}
	}
	return group{}, false
}

// assign stores a field of the mapping under what its key stands for.
func (g *group) assign(e pair) {
	k := squash(e.key)
	switch k {
	case "registry", "imageregistry":
		g.registry = e
	case "tag", "imagetag", "newtag", "imageversion":
		g.tag = e
	case "digest", "sha", "imagedigest":
		g.digest = e
	case "version":
		g.version = e
	default:
		for i := range repositoryKeys {
			if repositoryKeys[i] == k {
				g.candidates[i] = e
			}
		}
	}
}

// means reports whether the repository, found under key k, is that of an image in several
// fields.
func (g *group) means(k string, f fields, imageAbove bool) bool {
	repo := g.repository.value.Value
	split := g.tag.value != nil || g.digest.value != nil
	if !split && g.version.value != nil && imageAbove && k == "name" && hasHost(repo) {
		g.tag, split = g.version, true
	}
	meant := false
	switch k {
	case "repository", "imagerepository", "repo":
		meant = (split || imageAbove) && (imageAbove || k == "imagerepository" || g.registry.value != nil || hasHost(repo) ||
			pullPolicy(f) != "")
	case "image", "imagename":
		meant = written(g.tag) || written(g.digest)
	case "newname":
		meant = split
	case "name":
		meant = split && imageAbove && (strings.Contains(repo, "/") || g.registry.value != nil || g.tag.key == "newTag")
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

// join returns the reference that the fields make. filled is false when neither tag nor
// digest has a value.
func (g *group) join(f fields) (ref string, filled bool) {
	ref = g.repository.value.Value
	if isText(g.registry.value) && g.registry.value.Value != "" && !hasHost(ref) {
		ref = strings.TrimSuffix(g.registry.value.Value, "/") + "/" + ref
	}
	if written(g.tag) {
		ref += ":" + g.tag.value.Value
		filled = true
	}
	use := f.get("useDigest")
	if written(g.digest) && strings.Contains(g.digest.value.Value, ":") && (use == nil || use.Value != "false") {
		ref += "@" + g.digest.value.Value
		filled = true
	}
	return ref, filled
}
