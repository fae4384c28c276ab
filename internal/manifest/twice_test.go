package manifest

import (
	"errors"
	"strings"
	"testing"
)

// TestKeysTwice: a key that readers know may appear once in an object, in any letter case.
func TestKeysTwice(t *testing.T) {
	inDescriptor := func(more string) string {
		return `{"schemaVersion":2,"manifests":[` + strings.TrimSuffix(layerJSON, "}") + more + `}]}`
	}
	parse := func(raw string) error { _, err := Parse([]byte(raw), Limits{}); return err }
	index := func(raw string) error { _, err := ParseIndex([]byte(raw), Limits{}, 10, "a"); return err }
	config := func(raw string) error { _, err := ParseConfig([]byte(raw), Limits{}); return err }
	docker := func(raw string) error {
		return ParseDocker([]byte(raw), Limits{}, func(*DockerImage) error { return nil })
	}
	for _, tc := range []struct {
		name  string
		parse func(string) error
		raw   string
		want  string // the key, "" if the document is accepted
	}{
		{"manifests", parse, `{"schemaVersion":2,"manifests":[],"manifests":[]}`, "manifests"},
		{"other case", parse, `{"schemaVersion":2,"manifests":[],"Manifests":[]}`, "manifests"},
		{"escaped", parse, `{"schemaVersion":2,"manifests":[],"\u006danifests":[]}`, "manifests"},
		{"long s", parse, `{"schemaVersion":2,"manifests":[],"manifest\u017f":[]}`, "manifests"},
		{"null", parse, `{"schemaVersion":2,"manifests":null,"manifests":[]}`, "manifests"},
		{"layers", parse, `{"schemaVersion":2,"config":` + configJSON + `,"layers":[],"LAYERS":[]}`, "layers"},
		{"config", parse, `{"schemaVersion":2,"Config":` + configJSON + `,"config":` + configJSON + `}`, "config"},
		{"annotations", parse, `{"schemaVersion":2,"manifests":[],"annotations":{},"annotations":{}}`, "annotations"},
		{"digest", parse, inDescriptor(`,"Digest":"x"`), "digest"},
		{"data", parse, inDescriptor(`,"data":"eA==","data":"eQ=="`), "data"},
		{"platform", parse, inDescriptor(`,"platform":{"os":"linux","OS":"windows"}`), "os"},
		{"name", parse, inDescriptor(`,"annotations":{"io.containerd.image.name":"a","io.containerd.image.name":"b"}`), "io.containerd.image.name"},
		{"name in another case", parse, inDescriptor(`,"annotations":{"io.containerd.image.name":"a","IO.containerd.image.name":"b"}`), ""},
		{"unknown key", parse, `{"schemaVersion":2,"manifests":[],"x":1,"x":2}`, ""},
		{"one key in another case", parse, `{"schemaVersion":2,"MANIFESTS":[]}`, ""},
		{"index.json", index, `{"manifests":[],"Manifests":[]}`, "manifests"},
		{"annotation of index.json", index, `{"annotations":{"a":"1","a":"2"}}`, "a"},
		{"rootfs", config, `{"rootfs":{},"RootFS":{}}`, "rootfs"},
		{"diffIDs", config, `{"rootfs":{"diff_ids":[],"diff_IDs":[]}}`, "diff_ids"},
		{"diffIDs beside a wrong type", config, `{"rootfs":{"diff_ids":5,"diff_IDs":[]}}`, "diff_ids"},
		{"os", config, `{"os":"linux","os":"windows"}`, "os"},
		{"Env", config, `{"config":{"Env":[],"env":[]}}`, "Env"},
		{"two labels", config, `{"config":{"Labels":{"a":"b","a":"c"}}}`, ""},
		{"docker's config", docker, `[{"Config":"a","config":"b"}]`, "Config"},
		{"docker's tags", docker, `[{"RepoTags":[]},{"RepoTags":["a"],"repotags":["b"]}]`, "RepoTags"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := tc.parse(tc.raw)
			_, typed := errors.AsType[*DescriptorError](err)
			if tc.want == "" && err != nil || tc.want != "" && (!typed || !strings.Contains(err.Error(), `key "`+tc.want+`" twice`)) {
				t.Errorf("error %v, want one about %q", err, tc.want)
			}
		})
	}
}
