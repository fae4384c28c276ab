package scan

import (
	"strings"

	"gopkg.in/yaml.v3"
)

// imageKey reports whether a key promises an image reference: image, fooImage, foo_image,
// foo-image, imageName, imageRef, fooImagePullSpec. [imageVariable] judges keys in capitals.
func imageKey(key string) bool {
	if len(key) > 128 || !mentions(key) {
		return false
	}
	if isUpperName(key) {
		return imageVariable(key)
	}
	k := squash(lastSegment(key))
	i := strings.LastIndex(k, "image")
	if dot := strings.LastIndexByte(key, '.'); i < 0 && dot > 0 { // container.image.ref
		if above := squash(lastSegment(key[:dot])); strings.HasSuffix(above, "image") {
			k, i = "image"+k, 0
		}
	}
	if i < 0 || targetKey(key) {
		return false
	}
	switch k[i+len("image"):] {
	case "", "name", "ref", "reference", "fullname", "uri", "url", "path", "pullspec":
		return true
	}
	return false
}

// imagesKey reports whether a key promises a list of references: images, relatedImages,
// extra_images.
func imagesKey(key string) bool {
	if !mentions(key) {
		return false
	}
	if isUpperName(key) {
		return imageVariable(key)
	}
	if dot := strings.IndexByte(key, '.'); dot > 0 && strings.HasSuffix(squash(key[:dot]), "images") { // images.worker
		return !settingKey(key) && !targetKey(key)
	}
	k := squash(lastSegment(key))
	return strings.HasSuffix(k, "images") && !targetKey(key)
}

// mentions reports whether a name contains "image" in any case.
func mentions(name string) bool {
	for i := 0; i+5 <= len(name); i++ {
		if name[i]|0x20 == 'i' && strings.EqualFold(name[i:i+5], "image") {
			return true
		}
	}
	return false
}

// targetKey reports whether a key names what a build produces: that image does not exist
// yet.
func targetKey(key string) bool {
	if key == "" || strings.IndexByte("odpaODPA", key[0]) < 0 {
		return false
	}
	k := squash(key)
	switch k {
	case "output", "outputs", "destination", "destinations", "pushto", "additionaltags":
		return true
	}
	for _, p := range [...]string{"output", "destination", "push"} {
		if strings.HasPrefix(k, p) && strings.Contains(k, "image") {
			return true
		}
	}
	return false
}

// lastSegment removes the prefix of keys like sidecar.istio.io/proxyImage, and the path of
// spec.image.
func lastSegment(key string) string {
	return key[strings.LastIndexAny(key, "/.")+1:]
}

// squash returns a key in lower case and without the separators between its words.
func squash(key string) string {
	clean := true
	for i := range len(key) {
		if c := key[i]; c == '_' || c == '-' || 'A' <= c && c <= 'Z' {
			clean = false
			break
		}
	}
	if clean {
		return key
	}
	b := make([]byte, 0, len(key))
	for i := range len(key) {
		c := key[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != '_' && c != '-' {
			b = append(b, c)
		}
	}
	return string(b)
}

// isUpperName reports whether a name is written as environment variables are.
func isUpperName(s string) bool {
	for i := range len(s) {
		if c := s[i]; c != '_' && (c < 'A' || c > 'Z') && (c < '0' || c > '9') {
			return false
		}
	}
	return s != ""
}

// notImages are the last words of names that contain "image" and hold a property of one.
var notImages = map[string]bool{
	"VERSION": true, "VERSIONS": true, "TAG": true, "TAGS": true, "POLICY": true, "SIZE": true, "MB": true, "GB": true,
	"SECRET": true, "SECRETS": true, "REGISTRY": true, "REGISTRIES": true, "REPOSITORY": true, "REPO": true,
	"PREFIX": true, "SUFFIX": true, "HOST": true, "PATH": true, "DIR": true, "TYPE": true, "FORMAT": true,
	"ENABLED": true, "DISABLED": true, "USER": true, "USERNAME": true, "PASSWORD": true, "NAMESPACE": true,
	"TIMEOUT": true, "INTERVAL": true, "COUNT": true, "QUALITY": true, "ID": true, "SHA": true, "SHASUM": true,
	"DIGEST": true, "CONFIG": true, "ENDPOINT": true, "PROVIDER": true, "THRESHOLD": true, "LIMIT": true,
	"KEY": true, "CERT": true, "FILE": true, "BUCKET": true, "PORT": true, "ADDRESS": true, "SOURCE": true,
}

// imageVariable reports whether an environment variable promises image references. Case
// does not matter.
func imageVariable(key string) bool {
	if !mentions(key) {
		return false
	}
	k := strings.ToUpper(key)
	last := k[strings.LastIndexAny(k, "_-.")+1:]
	return !notImages[last]
}

// endsInImage reports whether a name promises enough for a value with only a slash:
// FOO_IMAGE, --foo-images, configImage.
func endsInImage(key string) bool {
	k := strings.ToUpper(key)
	return strings.HasSuffix(k, "IMAGE") || strings.HasSuffix(k, "IMAGES")
}

// imageFlag reports whether a command line flag (with its dashes) promises an image:
// --acme-image, -configmapServerImage.
func imageFlag(flag string) bool {
	f := strings.TrimLeft(flag, "-")
	if len(f) == len(flag) || !mentions(f) {
		return false
	}
	last := f[strings.LastIndexAny(f, "_-.")+1:]
	if notImages[strings.ToUpper(last)] {
		return false
	}
	for w := range notImages { // camel case: -utilImageVersion
		at := len(f) - len(w)
		if len(w) > 2 && at > 0 && strings.EqualFold(f[at:], w) && 'A' <= f[at] && f[at] <= 'Z' {
			return false
		}
	}
	return true
}

// targetFlag reports whether a flag names what a build pushes.
func targetFlag(flag string) bool {
	f := strings.TrimLeft(flag, "-")
	return len(f) < len(flag) && (targetKey(f) || f == "cache-repo" || f == "cache-to")
}

// copiedKey reports whether an annotation holds a copy of an object, an example or metadata
// of a build, and nothing that a controller reads.
func copiedKey(key string) bool {
	return strings.HasSuffix(key, "/last-applied-configuration") || key == "alm-examples" || strings.HasPrefix(key, "kbld.") ||
		strings.Contains(key, "build")
}

// speaks reports whether a field is about images: its key has "image" in it, and its value
// is or has a text. Pull policies and secrets are settings.
func speaks(p pair) bool {
	if !mentions(p.key) {
		return false
	}
	k := squash(p.key)
	return !strings.Contains(k, "pullpolicy") && !strings.Contains(k, "pullsecret") && hasText(p.value, 1000)
}

// hasText reports whether a text that is not empty is among the first nodes of a value.
func hasText(n *yaml.Node, nodes int) bool {
	queue := []*yaml.Node{n}
	for ; len(queue) > 0 && nodes > 0; nodes-- {
		n, queue = resolve(queue[0]), queue[1:]
		switch {
		case n == nil:
		case n.Kind == yaml.ScalarNode:
			if isText(n) && n.Value != "" {
				return true
			}
		case n.Kind == yaml.MappingNode:
			for i := 1; i < len(n.Content) && len(queue) < nodes; i += 2 {
				queue = append(queue, n.Content[i])
			}
		default:
			queue = append(queue, n.Content[:min(len(n.Content), nodes)]...)
		}
	}
	return false
}

// skippedKey reports whether a key holds documentation or a selector, which never name
// images.
func skippedKey(key string) bool {
	switch key {
	case "imageScans", // repositories that a controller watches
		"managedFields", "openAPIV3Schema", "description", "example", "examples", "binaryData", "labels", "matchLabels":
		return true
	}
	return false
}
