package install

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gopkg.in/yaml.v3"
)

// registriesFiles are the forms of registries.yaml to which an endpoint can be added.
var registriesFiles = map[string]string{
	"empty":                "",
	"comment":              "# none\n",
	"marker":               "---\n",
	"configs":              "# accounts\nconfigs:\n  r.example:\n    auth:\n      username: u\n",
	"configs, unended":     "configs:\n  r.example:\n    auth:\n      username: u",
	"no mirrors":           "mirrors:\n",
	"no mirrors, more":     "mirrors: # none yet\n\nconfigs: {}\n",
	"unended key":          "mirrors:",
	"mirror":               "mirrors:\n  docker.io: # ours\n    # the cache\n    endpoint: # here\n      # first\n      - \"https://m.example:5000\"\n      - https://n.example\nconfigs:\n  \"m.example:5000\":\n    tls:\n      ca_file: /etc/ca.pem\n",
	"not indented":         "mirrors:\n  docker.io:\n    endpoint:\n    - https://m.example\n",
	"flow list":            "mirrors:\n  docker.io:\n    endpoint: [ \"https://m.example\" ] # one\n",
	"flow list, two lines": "mirrors:\n  docker.io:\n    endpoint: [https://m.example,\n      https://n.example]\n",
	"empty list":           "mirrors:\n  docker.io:\n    endpoint: []\n",
	"JSON":                 `{"mirrors":{"docker.io":{"endpoint":["https://m.example"]}},"configs":{"m.example":{"auth":{"password":"x"}}}}`,
	"JSON, indented":       "{\n  \"mirrors\": {\n    \"docker.io\": {\n      \"endpoint\": [\n        \"https://m.example\"\n      ]\n    }\n  }\n}\n",
	"JSON, empty":          "{}",
	"JSON, no mirror":      `{"mirrors": {}, "configs": {}}`,
	"another mirror":       "mirrors:\n  \"registry.example:5000\":\n    endpoint:\n      - https://m.example\n",
	"every registry":       "mirrors:\n  \"*\":\n    endpoint:\n      - https://m.example\n",
	"rewrite":              "mirrors:\n  quay.io:\n    rewrite:\n      \"^(.*)\": \"x/$1\"\n  docker.io:\n    rewrite:\n      \"^(.*)\": \"x/$1\"\n",
	"entry without":        "mirrors:\n  docker.io:\n  quay.io:\n",
	"entry in flow":        "mirrors: {docker.io: {rewrite: {a: b}}, quay.io: {}}\n",
	"endpoint without":     "mirrors:\n  docker.io:\n    endpoint:\n",
	"CRLF":                 "mirrors:\r\n  docker.io:\r\n    endpoint:\r\n      - https://m.example\r\n",
	"wide":                 "mirrors:\n        docker.io:\n            endpoint:\n                - https://m.example\n",
	"byte order mark":      "\uFEFFmirrors:\n  quay.io:\n    endpoint: []\n",
	"marker and end":       "---\nmirrors:\n  quay.io:\n    endpoint: [a]\n...\n",
	"other letters":        "mirrors: {\"é\": {endpoint: [\"ü\"]}, quay.io: {endpoint: [\"ö\"]}}\n",
}

var registryKeys = []string{"docker.io", "quay.io", "registry.example:5000"}

func TestWireMirrors(t *testing.T) {
	for name, raw := range registriesFiles {
		t.Run(name, func(t *testing.T) {
			out, err := wireMirrors([]byte(raw), ofFile, host, registryKeys)
			if err != nil {
				t.Fatal(err)
			}
			var before, after mirrors
			if err := yaml.Unmarshal([]byte(raw), &before); err != nil {
				t.Fatal(err)
			}
			if err := yaml.Unmarshal(out, &after); err != nil {
				t.Fatal(err)
			}
			for _, key := range registryKeys {
				want := append([]string{host}, before.Mirrors[key].Endpoint...)
				if d := cmp.Diff(want, after.Mirrors[key].Endpoint); d != "" {
					t.Errorf("%s (-want +got):\n%s\n%s", key, d, out)
				}
			}
			back, _, found, err := removeBlocks(out)
			if err != nil || !found || string(back) != raw {
				t.Errorf("restored %q, %v, want %q", back, err, raw)
			}
			if d := cmp.Diff(registryKeys, wiredMirrors(out, back)); d != "" {
				t.Errorf("wired (-want +got):\n%s", d)
			}
		})
	}
}

// TestWireMirrorsPlace shows what an administrator finds in the file.
func TestWireMirrorsPlace(t *testing.T) {
	raw := `# mirrors of the site
mirrors:
  # the cache
  docker.io:
    endpoint:
      - https://m.example
`
	out, err := wireMirrors([]byte(raw), ofFile, host, registryKeys)
	if err != nil {
		t.Fatal(err)
	}
	const want = `# mirrors of the site
mirrors:
  # BEGIN stowage: "load serve --uninstall" removes these lines
  quay.io:
    endpoint:
      - "http://127.0.0.1:5480"
  "registry.example:5000":
    endpoint:
      - "http://127.0.0.1:5480"
  # END stowage
  # the cache
  docker.io:
    endpoint:
      # BEGIN stowage: "load serve --uninstall" removes these lines
      - "http://127.0.0.1:5480"
      # END stowage
      - https://m.example
`
	if d := cmp.Diff(want, string(out)); d != "" {
		t.Error(d)
	}
}

func TestWireMirrorsRefuses(t *testing.T) {
	for _, tt := range []struct{ name, raw, want string }{
		{"not YAML", "mirrors: [", "not YAML"},
		{"wrong type", "mirrors: secret\n", "a value has the wrong type"},
		{"list", "- a\n", "wrong type"},
		{"alias", "x: &a {endpoint: [b]}\nmirrors:\n  docker.io: *a\n", errForm.Error()},
		{"null in words", "mirrors: null\n", errForm.Error()},
		{"second", "mirrors:\n  docker.io:\n    endpoint: [a, \"" + host + "\"]\n", "but not as its first"},
		{"on the marker's line", "--- {mirrors: }\n", errForm.Error()},
		{"end marker", "configs: {}\n# BEGIN stowage\n", errForm.Error()},
		{"old line ends", "mirrors:\r  docker.io:\r    endpoint:\r    - a\r", "not YAML"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			out, err := wireMirrors([]byte(tt.raw), ofFile, host, registryKeys)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q\n%s", err, tt.want, out)
			}
			if err != nil && strings.Contains(err.Error(), "secret") {
				t.Errorf("error %v quotes the file", err)
			}
		})
	}
}

func TestEntryOf(t *testing.T) {
	m := mirrors{Mirrors: map[string]mirror{"*": {}, "quay.io": {}}, Configs: map[string]any{"r.example": nil}}
	for registry, want := range map[string]string{"quay.io": "quay.io", "docker.io": "*", "r.example": "r.example"} {
		if got := m.entryOf(registry); got != want {
			t.Errorf("%s: %s, want %s", registry, got, want)
		}
	}
	if got := new(mirrors).entryOf("docker.io"); got != "docker.io" {
		t.Errorf("without mirrors: %s", got)
	}
}

func FuzzWireMirrors(f *testing.F) {
	for _, raw := range registriesFiles {
		f.Add([]byte(raw))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		out, err := wireMirrors(raw, ofFile, host, registryKeys)
		if err != nil || bytes.Equal(out, raw) {
			return
		}
		back, _, found, err := removeBlocks(out)
		if err != nil || !found || !bytes.Equal(back, raw) {
			t.Fatalf("%q restored as %q, %v", raw, back, err)
		}
	})
}
