package scan

import "strings"

// verdict is the judgement of a rule about a text.
type verdict int

const (
	ignore      verdict = iota // not an image
	take                       // an image
	unclear                    // possibly an image: a warning, and an image when the user includes it
	placeholder                // to be filled in first: a warning
	invalid                    // not a reference where a pod spec needs one: a warning
	notText                    // not even a text where a pod spec needs a reference: a warning
	untagged                   // an image in several fields without tag and digest: a warning
	malformed                  // fields that do not join to a reference: a warning
	alwaysPull                 // not an image but the plugin AlwaysPullImages: a warning
)

// judgeField judges the value of a key that promises an image, outside of pod specs. There,
// keys named image also hold pictures, disks, machine images and parts of names, so a value
// needs a tag, a digest, a registry or exactly one slash.
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
	// projects/x/global/images/y is a machine image, a/b/c may be an image of a mirror.
	return unclear
}

// judgeVariable judges the value of a variable or flag whose name contains "image". Such
// names promise less than keys: without a tag or digest the name has to end in IMAGE.
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

// judgeURL judges a value with a scheme. docker://REF names an image. oci://REF may also
// name a chart, manifests or a model; only its consumer knows.
func judgeURL(v string) verdict {
	if strings.HasPrefix(v, dockerScheme) && strong(v[len(dockerScheme):]) {
		return take
	}
	if rest, is := strings.CutPrefix(v, ociScheme); is && strong(rest) {
		return unclear
	}
	return ignore
}

// Schemes that stand before a reference.
const (
	dockerScheme = "docker://"
	ociScheme    = "oci://"
)

// isChecksum reports whether a value is a bare digest, which parses as a name with a tag.
func isChecksum(v string) bool {
	return strings.HasPrefix(v, "sha256:") || strings.HasPrefix(v, "sha512:")
}

// isPlainWord reports whether a value without tag and slash can be the name of an image.
func isPlainWord(v string) bool {
	switch strings.ToLower(v) {
	case "true", "false", "yes", "no", "on", "off", "none", "null", "nil", "default", "always", "never", "ifnotpresent",
		"enabled", "disabled", "latest", "image", "name", "string", "any", "all", "custom":
		return false
	}
	return strings.ContainsAny(v, "abcdefghijklmnopqrstuvwxyz") && !strings.Contains(v, ".")
}

// judgeReference judges the value of a key that promises one reference. In pod specs every
// valid reference is an image, elsewhere what [judgeField] accepts.
func judgeReference(value string, form Form) candidate {
	v := strings.TrimSpace(value)
	off := strings.Index(value, v)
	if i := strings.LastIndexByte(v, '='); i > 0 && isReferenceText(v[:i]) && strong(v[i+1:]) {
		off, v = off+i+1, v[i+1:] // old=new, as lists of overrides have it
	}
	c := candidate{verdict: judgeField(v), form: form, text: v, off: off, length: len(v)}
	if form == FormField || form == FormRelated || c.verdict == placeholder {
		return c
	}
	switch _, ok := parseName(v); {
	case ok:
		c.verdict = take
	default:
		return whole(invalid, form, value)
	}
	return c
}

// judgeScalar judges a value under any other key: only a complete reference is an image.
func judgeScalar(v string) candidate {
	switch {
	case strong(v):
		return whole(take, FormScalar, v)
	case strings.Contains(v, "://"):
		return whole(judgeURL(v), FormScalar, v)
	}
	if i := strings.LastIndexByte(v, '='); i >= 0 && strong(v[i+1:]) && isReferenceText(v[:i]) {
		return candidate{verdict: take, form: FormScalar, text: v[i+1:], off: i + 1, length: len(v) - i - 1}
	}
	return candidate{}
}

// isPlaceholder reports whether a template, a shell, an operator or a person has to fill in
// a value that stands in the place of an image.
func isPlaceholder(v string) bool {
	v = strings.TrimSpace(v)
	switch {
	case v == "auto", strings.HasPrefix(v, "ko://"):
		return true
	case strings.Contains(v, "{{"), strings.Contains(v, "{%"), strings.Contains(v, "%{"):
		return true
	case strings.IndexByte(v, '<') >= 0 && strings.IndexByte(v, '>') > 0:
		return true
	case strings.Contains(v, "@@"), strings.Contains(v, "%s"):
		return true
	case strings.HasPrefix(v, "__"), strings.Contains(v, "/__"), strings.Contains(v, ":__"):
		return true
	case hasVariable(v), isWords(v):
		return true
	}
	tag := v[strings.LastIndexAny(v, ":/")+1:]
	return strings.Contains(v, ":") && isFillIn(tag) || isFillIn(v)
}

// hasVariable reports whether a value contains $X, ${X} or $(X).
func hasVariable(v string) bool {
	for i := 0; i+1 < len(v); i++ {
		c := v[i+1]
		if v[i] == '$' && (c == '{' || c == '(' || c == '_' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z') {
			return true
		}
	}
	return false
}

// isWords reports whether a value is a sentence in capitals, as people mark a gap: FILLED
// BY THE OPERATOR.
func isWords(v string) bool {
	if !strings.Contains(v, " ") {
		return false
	}
	for i := range len(v) {
		if c := v[i]; c != ' ' && c != '_' && (c < 'A' || c > 'Z') {
			return false
		}
	}
	return true
}

// isFillIn reports whether a word in capitals asks to be replaced: VERSION, IMAGE_TAG,
// REPLACE_ME. Such a word is a valid tag. Tags with digits (RELEASE.2022-02-01T18-00-14Z)
// do not count.
func isFillIn(word string) bool {
	for i := range len(word) {
		if c := word[i]; c != '_' && c != '-' && (c < 'A' || c > 'Z') {
			return false
		}
	}
	for _, w := range [...]string{"VERSION", "TAG", "IMAGE", "REPLACE", "PLACEHOLDER", "CHANGE", "YOUR", "TBD"} {
		if strings.Contains(word, w) {
			return true
		}
	}
	return false
}
