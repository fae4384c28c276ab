package scan

import (
	"strconv"
	"strings"
)

// path is the way from an object's root to a value. Steps are linked upwards, so that walking costs no strings.
type path struct {
	up    *path
	key   string // of a mapping
	index int    // of a sequence, where key is empty and line is 0
	line  int    // of a text that was read line by line, from 1
	inner bool   // the step into a text value
}

// String gives the path as people write it: spec.containers[0].image, data["a.yaml"] > spec.image.
func (p *path) String() string {
	var steps []*path
	for ; p != nil; p = p.up {
		steps = append(steps, p)
	}
	var b strings.Builder
	fresh := true // nothing yet that a dot would have to follow
	for i := len(steps) - 1; i >= 0; i-- {
		switch s := steps[i]; {
		case s.inner:
			b.WriteString(" > ")
			fresh = true
			continue
		case s.line > 0:
			b.WriteString("line " + strconv.Itoa(s.line))
		case s.key == "":
			b.WriteString("[" + strconv.Itoa(s.index) + "]")
		case !plainKey(s.key):
			b.WriteString("[" + strconv.Quote(s.key) + "]")
		default:
			if !fresh {
				b.WriteByte('.')
			}
			b.WriteString(s.key)
		}
		fresh = false
	}
	return b.String()
}

// plainKey reports whether a key needs no quotes in a path.
func plainKey(k string) bool {
	for i := range len(k) {
		c := k[i]
		if c != '_' && c != '-' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			return false
		}
	}
	return k != ""
}
