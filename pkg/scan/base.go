package scan

import (
	"strings"

	"gopkg.in/yaml.v3"
)

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
