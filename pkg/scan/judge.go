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
	unnamed                    // an image of a node without a name: a warning
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
	case !strings.Contains(v, "/") && namesStream(name):
		return ignore
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

// namesStream reports whether a variable names an image stream of OpenShift:
// BUILDER_IMAGE_NAME. Its value without a slash is a tag of a stream.
func namesStream(name string) bool {
	return strings.HasSuffix(name, "_IMAGE_NAME") || strings.HasSuffix(name, "_IMAGE_STREAM")
}

// judgeURL judges a value with a scheme. docker://REF names an image. oci://REF may also
// name a chart, manifests or a model; only its consumer knows.
func judgeURL(v string) verdict {
	for _, scheme := range [...]string{dockerScheme, nativeScheme} {
		if strings.HasPrefix(v, scheme) && strong(v[len(scheme):]) {
			return take
		}
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
	nativeScheme = "oci+native://" // a model as an image volume
)

// withoutScheme returns a reference without the scheme before it.
func withoutScheme(text string) string {
	for _, scheme := range [...]string{dockerScheme, ociScheme, nativeScheme} {
		if rest, is := strings.CutPrefix(text, scheme); is {
			return rest
		}
	}
	return text
}

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

// literal returns the reference that a template has in quotes, as its default, or the
// placeholder itself.
func (c candidate) literal() candidate {
	open := strings.Index(c.text, "{{")
	if open < 0 {
		open = strings.Index(c.text, "[[")
	}
	for i := max(open, 0); open >= 0 && i < len(c.text); {
		quote := c.text[i]
		i++
		if quote != '"' && quote != '\'' && quote != '`' {
			continue
		}
		end := strings.IndexByte(c.text[i:], quote)
		if end < 0 {
			break
		}
		text := c.text[i : i+end]
		if n, ok := parseName(text); ok && (n.tag != "" || n.digest != "") && judgeField(text) == take {
			c.verdict, c.text, c.off, c.length = take, text, c.off+i, len(text)
			return c
		}
		i += end + 1
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
	case hasVariable(v), isWords(v), hasBrackets(v):
		return true
	}
	tag := v[strings.LastIndexAny(v, ":/")+1:]
	return strings.Contains(v, ":") && (isFillIn(tag) || hasFillIn(tag)) || isFillIn(v) || strings.Contains(v, "/") && isFillIn(v[:strings.IndexByte(v, '/')])
}

// hasBrackets reports whether a word in brackets or between two signs stands for a part of
// a value: {VERSION}, [REGISTRY], @TAG@, %TAG%, #{Build.Id}#, [[ .Image ]].
func hasBrackets(v string) bool {
	if strings.Contains(v, "[[ ") || strings.Contains(v, "#{") {
		return true
	}
	for i := range min(len(v), maxText) {
		end := strings.IndexByte("}]@%", v[i])
		if end < 0 {
			continue
		}
		open := strings.LastIndexByte(v[:i], "{[@%"[end])
		if open < 0 || open+2 >= i {
			continue
		}
		if word := v[open+1 : i]; isUpperName(word) && !isDigits(word) || v[i] == '}' && isLetters([]byte(word)) {
			return true
		}
	}
	return false
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
	for _, part := range words(word, "_-") {
		switch part {
		case "VERSION", "TAG", "IMAGE", "IMAGETAG", "IMAGENAME", "REPLACE", "REPLACEME", "PLACEHOLDER", "CHANGE", "CHANGEME", "YOUR", "TBD", "TODO", "FIXME":
			return true
		}
		if len(part) > 2 && strings.Trim(part, "X") == "" {
			return true
		}
	}
	return false
}

// hasFillIn reports whether a part of a tag asks to be replaced: v1-IMAGE_TAG.
func hasFillIn(tag string) bool {
	for i := 0; i < len(tag); {
		end := i
		for end < len(tag) && (tag[end] == '_' || 'A' <= tag[end] && tag[end] <= 'Z') {
			end++
		}
		if end-i > 3 && isFillIn(tag[i:end]) {
			return true
		}
		i = end + 1
	}
	return false
}
