package scan

import (
	"strconv"
	"strings"
)

// scope describes the place of a node: where it stands and what applies there. The walker
// passes it down by value.
type scope struct {
	src       *text
	path      *path
	key       string // the nearest key above, through sequences
	item      string // the key of the sequence that this node is an element of, or ""
	depth     int    // mappings and sequences around it
	level     int    // texts around it: 1 inside of a manifest in a ConfigMap
	container string
	pod       *pod
	off       bool            // a field here or above keeps a controller from starting it
	vars      map[string]bool // environment variables of the container
	base      base            // what mappings above say for the images here
	images    bool            // below a key that names images
	listed    bool            // in a container of a list
	shaped    bool            // in a container that only its fields show
	annotated bool            // in the annotations of a pod
	custom    bool            // in a custom resource, in no text
}

// at returns the scope of a mapping's value.
func (s scope) at(key string) scope {
	s.path = &path{up: s.path, key: key}
	s.key, s.item = key, ""
	return s
}

// element returns the scope of a sequence's element.
func (s scope) element(i int) scope {
	s.path = &path{up: s.path, index: i}
	s.item = s.key
	return s
}

// top returns the scope of an item of a List: the paths of an object start at its root.
func (s scope) top() scope {
	s.path, s.key, s.item = nil, "", ""
	return s
}

// embedded returns the scope of what t, the value of a scalar here, holds.
func (s scope) embedded(t *text) scope {
	s.level++
	s.base, s.custom = base{}, false
	s.path = &path{up: s.path, inner: true}
	s.key, s.item, s.src = "", "", t
	return s
}

// path is the way from the root of an object to a value. Each step points to the one above,
// so that walking builds no strings.
type path struct {
	up    *path
	key   string // of a mapping
	index int    // of a sequence, where key is empty and line is 0
	line  int    // of a text that is read line by line, from 1
	inner bool   // the step into a text value
}

// String returns the path as people write it: spec.containers[0].image, or
// data["a.yaml"] > spec.image.
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
