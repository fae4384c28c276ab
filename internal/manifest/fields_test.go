package manifest

import (
	"encoding/json"
	"fmt"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stowage/internal/need"
)

// fillers are values of any length, of all forms that JSON has.
var fillers = map[string]struct{ open, unit, close string }{
	"string":    {`"`, `x`, `"`},
	"escapes":   {`"`, `\u0041`, `"`},
	"strings":   {`["`, `","`, `"]`},
	"objects":   {`[{}`, `,{}`, `]`},
	"lists":     {`[[]`, `,[]`, `]`},
	"numbers":   {`[0`, `,0`, `]`},
	"members":   {`{"a":"b"`, `,"":""`, `}`},
	"null":      {`[null`, `,null`, `]`},
	"long keys": {`{"`, `k`, `":0}`},
}

// fill returns a value of about n bytes.
func fill(kind string, n int) string {
	f := fillers[kind]
	return f.open + strings.Repeat(f.unit, (n-len(f.open)-len(f.close))/len(f.unit)) + f.close
}

// jsonFields returns the keys of the fields of a struct in image-spec.
func jsonFields(v any) (keys []string) {
	for _, f := range reflect.VisibleFields(reflect.TypeOf(v)) {
		if key, _, _ := strings.Cut(f.Tag.Get("json"), ","); key != "" && key != "-" && !f.Anonymous {
			keys = append(keys, key)
		}
	}
	return keys
}

// wires are the objects of manifests, indexes and configs, each with a document around it
// that has %s in place of further members.
var wires = []struct {
	name  string
	keys  []string
	outer string
	parse func([]byte) (any, error)
}{
	{"manifest", jsonFields(ocispec.Manifest{}), `{"schemaVersion":2,%s}`, parseAny},
	{"index", jsonFields(ocispec.Index{}), `{"schemaVersion":2,%s}`, parseAny},
	{"config descriptor", jsonFields(ocispec.Descriptor{}), `{"schemaVersion":2,"config":{%s}}`, parseAny},
	{"layer", jsonFields(ocispec.Descriptor{}), `{"schemaVersion":2,"config":` + configJSON + `,"layers":[{%s}]}`, parseAny},
	{"child", jsonFields(ocispec.Descriptor{}), `{"schemaVersion":2,"manifests":[{%s}]}`, parseAny},
	{"platform", jsonFields(ocispec.Platform{}), `{"schemaVersion":2,"manifests":[{"digest":"` + string(zeros) + `","size":1,"platform":{%s}}]}`, parseAny},
	{"index.json", jsonFields(ocispec.Index{}), `{%s}`, parseIndexAny},
	{"entry", jsonFields(ocispec.Descriptor{}), `{"manifests":[{%s}]}`, parseIndexAny},
	{"annotation", entryNames, `{"manifests":[{"annotations":{%s}}]}`, parseIndexAny},
	{"image config", jsonFields(ocispec.Image{}), `{%s}`, parseConfigAny},
	{"exec", jsonFields(ocispec.ImageConfig{}), `{"config":{%s}}`, parseConfigAny},
	{"rootfs", jsonFields(ocispec.RootFS{}), `{"rootfs":{%s}}`, parseConfigAny},
	{"history", jsonFields(ocispec.History{}), `{"history":[{%s}]}`, parseConfigAny},
	{"docker", dockerKeys, `[{%s}]`, parseDockerAny},
	{"layout", jsonFields(ocispec.ImageLayout{}), `{%s}`, func(raw []byte) (any, error) { return ParseVersion(raw) }},
}

func parseAny(raw []byte) (any, error)       { return Parse(raw, Limits{}) }
func parseConfigAny(raw []byte) (any, error) { return ParseConfig(raw, Limits{}) }
func parseIndexAny(raw []byte) (any, error)  { return ParseIndex(raw, Limits{}, 1<<14, "a") }
func parseDockerAny(raw []byte) (any, error) {
	var all []DockerImage
	err := ParseDocker(raw, Limits{}, func(e *DockerImage) error { all = append(all, *e); return nil })
	return all, err
}

// TestMemoryOfOneField parses documents that are large because of one field, for every field that
// image-spec has and every form of value. What parsing allocates, and what is kept, does
// not grow with the document beyond the string that it reads.
func TestMemoryOfOneField(t *testing.T) {
	if need.Race {
		t.Skip("the race detector makes it ten times as slow, and has memory of its own")
	}
	const size, fixed = 512 << 10, 3 << 20 // a list of MaxDescriptors empty descriptors takes less
	values := map[string]string{}
	for kind := range fillers {
		values[kind] = fill(kind, size)
	}
	seen := 0
	for _, w := range wires {
		for _, key := range append(slices.Clone(w.keys), "unknown") {
			for kind, value := range values {
				raw := []byte(strings.Replace(w.outer, "%s", fmt.Sprintf("%q:%s", key, value), 1))
				seen++
				spent, kept := cost(func() any { v, _ := w.parse(raw); return v })
				if spent > fixed+4*size {
					t.Errorf("%s, %s, %s: %d KiB allocated for %d KiB", w.name, key, kind, spent>>10, size>>10)
				}
				if kept > fixed {
					t.Errorf("%s, %s, %s: %d KiB kept of %d KiB", w.name, key, kind, kept>>10, size>>10)
				}
			}
		}
	}
	if !json.Valid([]byte(values["escapes"])) || seen < 800 {
		t.Errorf("%d documents", seen)
	}
}

// cost returns the bytes that f allocates, and those that its result keeps.
func cost(f func() any) (spent, kept uint64) {
	var before, after, clean runtime.MemStats
	runtime.ReadMemStats(&before)
	v := f()
	runtime.ReadMemStats(&after)
	spent = after.TotalAlloc - before.TotalAlloc
	if spent < 3<<20 {
		return spent, spent // at most
	}
	runtime.GC()
	runtime.ReadMemStats(&clean)
	runtime.KeepAlive(v)
	return spent, clean.HeapAlloc - min(clean.HeapAlloc, before.HeapAlloc)
}
