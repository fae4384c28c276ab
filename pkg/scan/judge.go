package scan

import "strings"

// verdict is what a rule makes of a value.
type verdict int

const (
	ignore      verdict = iota // no image, and nothing to say about it
	take                       // an image
	unclear                    // perhaps an image: a warning, and taken when the user includes it
	placeholder                // to be filled in first: a warning
)

// judgeField judges the value of a key that promises an image, outside of pod specs. There, keys named image also hold
// pictures, disks, machine images and halves of names, so a value needs a tag, a digest, a registry or one slash.
func judgeField(v string) verdict {
	switch {
	case v == "":
		return ignore
	case isPlaceholder(v):
		return placeholder
	case strings.Contains(v, "://"):
		return judgeURL(v)
	case isFile(v):
		return ignore
	}
	n, ok := parseName(v)
	switch {
	case !ok || isChecksum(v):
		return ignore
	case n.tag != "" || n.digest != "" || hasHost(v):
		return take
	}
	switch strings.Count(v, "/") {
	case 0:
		if isPlainWord(v) {
			return unclear
		}
		return ignore
	case 1:
		return take
	}
	return unclear // projects/x/global/images/y is a machine image, a/b/c may be one of Docker Hub's mirrors
}

// judgeVariable judges a value that belongs to a variable or flag whose name contains "image". Such names are a weaker
// promise than keys: without a tag or digest the name has to end in IMAGE.
func judgeVariable(name, v string) verdict {
	verdict := judgeField(v)
	n, ok := parseName(v)
	if verdict != take && verdict != unclear || !ok {
		return verdict
	}
	switch {
	case n.digest != "":
		return take
	case n.tag != "":
		if !strings.Contains(v, "/") && len(n.tag) > 3 && isDigits(n.tag) {
			return unclear // a host and a port
		}
		return take
	case endsInImage(name):
		return verdict
	}
	return ignore
}

// judgeURL judges a value with a scheme. docker://REF names an image for the tools that take it; what oci://REF names
// (a chart, a bundle of manifests, a model) only its reader knows.
func judgeURL(v string) verdict {
	if strings.HasPrefix(v, dockerScheme) && strong(v[len(dockerScheme):]) {
		return take
	}
	if rest, is := strings.CutPrefix(v, "oci://"); is && strong(rest) {
		return unclear
	}
	return ignore
}

const dockerScheme = "docker://"

// isChecksum knows bare digests, which parse as a name with a tag.
func isChecksum(v string) bool {
	return strings.HasPrefix(v, "sha256:") || strings.HasPrefix(v, "sha512:")
}

// isPlainWord reports whether a value without tag and slash could be the name of an image at all.
func isPlainWord(v string) bool {
	switch strings.ToLower(v) {
	case "true", "false", "yes", "no", "on", "off", "none", "null", "nil", "default", "always", "never", "ifnotpresent",
		"enabled", "disabled", "latest", "image", "name", "string", "any", "all", "custom":
		return false
	}
	return strings.ContainsAny(v, "abcdefghijklmnopqrstuvwxyz") && !strings.Contains(v, ".")
}
