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
// its relatives) of the mapping at s, and the keys they use. It returns only groups that
// cannot mean anything else.
func groups(f fields, s scope) (found []group, used map[string]bool) {
	for _, of := range [...]func(fields, scope) (group, bool){plainGroup, packageGroup} {
		if g, ok := of(f, s); ok {
			found, used = append(found, g), g.use(used)
			break
		}
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

// judge judges the reference that the fields make at s.
func (g *group) judge(f fields, s scope) candidate {
	ref, filled := g.join(f)
	bare := !strings.Contains(ref, "/")
	if s.base.registry != "" && s.base.fits(ref) {
		ref, bare = s.base.registry+"/"+ref, false
	}
	c := candidate{form: FormGroup, text: ref, length: len(g.repository.value.Value), policy: pullPolicy(f)}
	_, ok := parseName(ref)
	switch {
	case isPlaceholder(ref):
		c.verdict, c.length = placeholder, len(ref)
	case !filled && ok && !bare:
		c.verdict = untagged
	case !filled:
	case !ok, bare && isHost(g.repository.value.Value):
		c.verdict = malformed
	case bare && !s.listed && squash(s.key) != "image" && g.tag.key != "newTag":
		c.verdict = unclear // perhaps a part of a name
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
		case "version":
			g.version = e
		case "digest":
			g.digest = e
		}
	}
	if isText(repository.value) && hasHost(repository.value.Value) && g.tag.value == nil {
		g.tag = g.version
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

// packageGroup returns the group of a package of a control plane and its version:
// {package: registry/repository, version: v1.2.3}. A version may be a range, of which the
// control plane chooses one.
func packageGroup(f fields, _ scope) (group, bool) {
	g := group{tag: field(f, "version")}
	if !written(g.tag) {
		return group{}, false
	}
	if !isVersion(g.tag.value.Value) {
		g.tag = pair{}
	}
	for _, key := range [...]string{"package", "provider", "function", "configuration"} {
		g.repository = field(f, key)
		if isText(g.repository.value) && hasHost(g.repository.value.Value) {
			n, ok := parseName(g.repository.value.Value)
			return g, ok && n.tag == "" && n.digest == ""
		}
	}
	return group{}, false
}

// field returns the field under a key, with its key.
func field(f fields, key string) pair { return pair{key: key, value: f.get(key)} }

// isVersion reports whether a text is one version and not a range: v1.2.3, 1.27.
func isVersion(v string) bool {
	v = strings.TrimPrefix(v, "v")
	return len(v) > 1 && '0' <= v[0] && v[0] <= '9' && strings.Contains(v, ".") &&
		!strings.ContainsAny(v, " *<>=~^|,") && !strings.HasSuffix(v, ".x")
}

// plainGroup returns the group that unprefixed keys make. Git uses words like repository
// and tag too, so something must show that an image is meant: the key above, a registry, a
// pull policy, or a repository that begins with a host.
func plainGroup(f fields, s scope) (group, bool) {
	var g group
	for _, e := range f {
		if e.value.Kind == yaml.ScalarNode && len(e.key) <= len("imageRepository")+2 {
			g.assign(e)
		}
	}
	imageAbove := s.images || strings.Contains(s.key, "mage") && strings.HasSuffix(strings.TrimSuffix(squash(s.key), "s"), "image")
	if g.tag.value == nil && g.digest.value == nil && g.version.value == nil && !imageAbove {
		return group{}, false
	}
	g.split()
	for i, key := range repositoryKeys {
		if c := g.candidates[i]; isText(c.value) && c.value.Value != "" {
			g.repository = c
			return g, g.means(key, f, s, imageAbove)
		}
	}
	return group{}, false
}

// split takes {repository: registry/path, image: name} for what it is: the repository is
// that of the registry, and the image a part of the name.
func (g *group) split() {
	for _, at := range [...]int{0, 2} { // repository, repo
		above := g.candidates[at]
		for _, part := range [...]int{3, 4} { // image, imageName
			name := g.candidates[part]
			if g.registry.value == nil && isText(above.value) && isText(name.value) && name.value.Value != "" &&
				(hasHost(above.value.Value) || isHost(above.value.Value)) && !strings.ContainsAny(name.value.Value, "/:@") {
				g.registry, g.candidates[at] = above, pair{}
			}
		}
	}
}

// assign stores a field of the mapping under what its key stands for.
func (g *group) assign(e pair) {
	k := squash(e.key)
	switch k {
	case "registry", "imageregistry", "defaultregistry":
		if k == "registry" || !written(g.registry) {
			g.registry = e
		}
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
func (g *group) means(k string, f fields, s scope, imageAbove bool) bool {
	repo := g.repository.value.Value
	split := g.tag.value != nil || g.digest.value != nil
	if !split && written(g.version) && g.versioned(k, f, s, imageAbove) {
		g.tag, split = g.version, true
	}
	meant, tagged := false, false
	switch k {
	case "repository", "imagerepository", "repo":
		meant = (split || imageAbove) && (imageAbove || k == "imagerepository" || g.registry.value != nil || hasHost(repo) ||
			pullPolicy(f) != "")
	case "image", "imagename":
		meant = written(g.tag) || written(g.digest)
	case "newname":
		meant = split || imageAbove
	case "name":
		tagged = imageAbove && !split && written(g.registry) && !hasHost(repo)
		meant = tagged || split && imageAbove
	}
	if !meant {
		return false
	}
	n, ok := parseName(repo)
	return ok && (tagged || n.tag == "" && n.digest == "") || !ok && isPlaceholder(repo)
}

// versioned reports whether the version beside the repository, found under key k, is its
// tag: that of a name with a registry, in a mapping that describes an image, or of a
// repository in a custom resource. Charts and sources have repositories with versions too.
func (g *group) versioned(k string, f fields, s scope, imageAbove bool) bool {
	repo := g.repository.value.Value
	switch {
	case !hasHost(repo) && !written(g.registry) && (!s.images || s.base.registry == ""):
		return false
	case k == "name":
		return imageAbove
	case k == "image" || k == "imagename":
		return s.images || written(g.registry)
	case k == "repository" || k == "repo" || k == "imagerepository":
		host, _, _ := strings.Cut(repo, "/")
		return imageAbove || s.custom && f.get("chart") == nil && !strings.Contains(squash(s.key), "chart") &&
			!strings.HasPrefix(host, "git") && host != "bitbucket.org"
	}
	return false
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
		sep := ":"
		if isChecksum(g.tag.value.Value) {
			sep = "@"
		}
		ref += sep + tagOf(g.tag.value.Value)
		filled = true
	}
	use := f.get("useDigest")
	if written(g.digest) && strings.Contains(g.digest.value.Value, ":") && (use == nil || use.Value != "false") {
		ref += "@" + g.digest.value.Value
		filled = true
	}
	if !filled && squash(g.repository.key) == "name" && written(g.registry) {
		filled = true // a complete name, apart from its registry
	}
	return ref, filled
}

// tagOf returns the tag of a version: a tag has no plus sign.
func tagOf(version string) string { return strings.ReplaceAll(version, "+", "-") }

// base is what mappings above say for the images below them: the registry, perhaps with the
// beginning of the path, the tag beside it, and the version of the resource.
type base struct {
	registry string
	tag      string
	version  string
}

// below returns the base for what stands in a mapping. Charts have the settings of all
// images under global.
func (b base) below(f fields) base {
	for _, e := range f {
		switch e.key {
		case "base", "registry", "hub", "repository", "prefix", "imageRegistry", "imagePrefix", "image_registry", "image_prefix":
			if r := registryOf(e.value); r != "" {
				b.registry = r
			}
		case "tag", "imageTag":
			if v := scalarText(e.value); v != "" {
				b.tag = v
			}
		case "global":
			if e.value.Kind == yaml.MappingNode {
				b = b.global(e.value)
			}
		}
	}
	if v := versionBeside(f); v != "" {
		b.version = v
	}
	return b
}

// global returns the base that the mapping global of a chart sets.
func (b base) global(n *yaml.Node) base {
	f := make(fields, 0, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := resolve(n.Content[i]), resolve(n.Content[i+1])
		if k != nil && v != nil && k.Value != "global" && v.Kind == yaml.ScalarNode {
			f = append(f, pair{k.Value, v})
		}
	}
	inner := base{}.below(f)
	if inner.registry != "" {
		b.registry = inner.registry
		if inner.tag != "" {
			b.tag = inner.tag
		}
	}
	return b
}

// registryOf returns the registry that a value names, or "": a host, perhaps with the
// beginning of a path, as text or under address.
func registryOf(n *yaml.Node) string {
	if n.Kind == yaml.MappingNode {
		for i := 0; i+1 < len(n.Content); i += 2 {
			if k, v := resolve(n.Content[i]), resolve(n.Content[i+1]); k != nil && v != nil && k.Value == "address" && v.Kind == yaml.ScalarNode {
				return registryOf(v)
			}
		}
		return ""
	}
	v := strings.TrimSuffix(n.Value, "/")
	if !isText(n) || !hasHost(v) && !isHost(v) || !strings.ContainsAny(v, ".:") && !strings.HasPrefix(v, "localhost") {
		return ""
	}
	if m, ok := parseName(v + "/x"); !ok || m.tag != "" {
		return ""
	}
	return v
}

// fits reports whether the registry of a base belongs in front of a name: in front of one
// word always, in front of a path when the registry is only a host.
func (b base) fits(ref string) bool {
	name := ref
	if i := strings.IndexByte(name, '@'); i >= 0 {
		name = name[:i]
	}
	if i := strings.LastIndexByte(name, ':'); i > strings.LastIndexByte(name, '/') {
		name = name[:i]
	}
	if isHost(name) {
		return false
	}
	return !strings.Contains(name, "/") || !hasHost(name) && !strings.Contains(b.registry, "/")
}

// complete joins what a candidate lacks with what stands above: registry and tag of a part
// of a name, and the tag of a name that has none and stands beside a version. A name whose
// version stands elsewhere is unclear.
func (w *walker) complete(c candidate, length int, s scope) candidate {
	n, ok := parseName(c.text)
	if !ok || n.tag != "" || n.digest != "" || c.verdict != take && c.verdict != unclear {
		return c
	}
	joined := ""
	switch b := s.base; {
	case !strings.Contains(c.text, "/"):
		if squash(s.key) == "image" && b.registry != "" && b.tag != "" && b.fits(c.text) {
			joined = b.registry + "/" + c.text + ":" + tagOf(b.tag)
		} else if s.shaped {
			c.verdict = unclear
		}
	case b.version == "":
	case s.key == "baseImage" || w.object.versioned:
		joined = c.text + ":" + tagOf(b.version)
	case c.form == FormField:
		c.verdict = unclear
	}
	if _, ok := parseName(joined); ok {
		return candidate{verdict: take, form: FormGroup, text: joined, length: length, policy: c.policy}
	}
	return c
}

// versionBeside returns the value of the key version of a mapping or of one that ends in
// Version or is imageTag, or "".
func versionBeside(f fields) string {
	other := ""
	for _, e := range f {
		if len(e.key) < len("version") || e.value.Kind != yaml.ScalarNode || !written(e) {
			continue
		}
		switch {
		case e.key == "version":
			return e.value.Value
		case e.key == "imageTag", strings.HasSuffix(e.key, "Version") && !ofFormat(e.key):
			other = e.value.Value
		}
	}
	return other
}

// ofFormat reports whether a key ending in Version is about the format of what it stands in,
// and not about a program.
func ofFormat(key string) bool {
	for _, p := range [...]string{"api", "resource", "schema", "format", "config", "protocol", "tls", "min", "max"} {
		if strings.HasPrefix(key, p) {
			return true
		}
	}
	return false
}
