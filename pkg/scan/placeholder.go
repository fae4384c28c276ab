package scan

import "strings"

// isPlaceholder reports whether a value in the place of an image has to be filled in first: by a template, a shell, an
// operator or a human.
func isPlaceholder(v string) bool {
	v = strings.TrimSpace(v)
	switch {
	case v == "auto", strings.HasPrefix(v, "ko://"):
		return true
	case strings.Contains(v, "{{"), strings.Contains(v, "{%"), strings.Contains(v, "%{"):
		return true
	case strings.IndexByte(v, '<') >= 0 && strings.IndexByte(v, '>') > 0:
		return true
	case strings.Contains(v, "@@"), strings.Contains(v, "%s"), strings.HasPrefix(v, "__"), strings.Contains(v, "/__"), strings.Contains(v, ":__"):
		return true
	case hasVariable(v), isWords(v):
		return true
	}
	tag := v[strings.LastIndexAny(v, ":/")+1:]
	return strings.Contains(v, ":") && isFillIn(tag) || isFillIn(v)
}

// hasVariable knows $X, ${X} and $(X).
func hasVariable(v string) bool {
	for i := 0; i+1 < len(v); i++ {
		c := v[i+1]
		if v[i] == '$' && (c == '{' || c == '(' || c == '_' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z') {
			return true
		}
	}
	return false
}

// isWords knows a sentence of capitals, the way people mark a gap: FILLED BY THE OPERATOR.
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

// isFillIn knows one word of capitals that asks to be replaced: VERSION, IMAGE_TAG, REPLACE_ME. Such a word is a valid
// tag; tags with digits (RELEASE.2022-02-01T18-00-14Z) are not meant.
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
