package pullrecords

import (
	"os"
	"path/filepath"
	"testing"
)

// state is what a test finds below a kubelet's root directory.
type state struct {
	intents []string
	records map[string]string // credentialMapping by image id
	files   map[string]string // further files, relative to image_manager
}

func (s state) write(t *testing.T) (root string) {
	t.Helper()
	root = t.TempDir()
	put := func(name, content string) {
		path := filepath.Join(root, stateDir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, image := range s.intents {
		put("pulling/"+fileName(image), `{"kind":"ImagePullIntent","apiVersion":"kubelet.config.k8s.io/v1beta1","image":"`+image+`"}`)
	}
	for id, mapping := range s.records {
		put("pulled/"+fileName(id), `{"kind":"ImagePulledRecord","apiVersion":"kubelet.config.k8s.io/v1beta1",`+
			`"lastUpdatedTime":"2026-01-02T03:04:05Z","imageRef":"`+id+`","credentialMapping":`+mapping+`}`)
	}
	for name, content := range s.files {
		put(name, content)
	}
	return root
}

const (
	id       = "sha256:59a2"
	node     = "docker.io/calico/node:v3.28.0"
	regcred  = `{"kubernetesSecrets":[{"uid":"u1","namespace":"default","name":"regcred","credentialHash":"f4fa"}]}`
	everyone = `{"nodePodsAccessible":true}`
)

// TestDecide has one row for each reason, with the text that a person reads.
func TestDecide(t *testing.T) {
	on := func(p Policy, allow ...string) Settings {
		return Settings{Enabled: true, Policy: p, Allowlist: allow, Version: "v1.36.3"}
	}
	recorded := func(mapping string) state { return state{records: map[string]string{id: mapping}} }
	secret := Secret{UID: "u1", Namespace: "default", Name: "regcred", Hash: "f4fa"}
	for _, tt := range []struct {
		name   string
		state  state
		s      Settings
		image  string
		id     string
		pod    Pod
		pull   bool
		reason Reason
		text   string
	}{
		{"gate off", recorded(`{}`), Settings{}, node, id, Pod{}, false, Disabled, "the kubelet does not verify credentials"},
		{"preloaded", state{}, on(""), node, id, Pod{}, false, Preloaded, "not pulled by the kubelet"},
		{"not present", state{}, on(""), node, "", Pod{}, true, NotPresent, "not present"},
		{"policy NeverVerify", recorded(`{}`), on(NeverVerify), node, id, Pod{}, false, NotVerified, "policy NeverVerify"},
		{"policy AlwaysVerify", state{}, on(AlwaysVerify), node, id, Pod{}, true, PolicyAlways, "policy AlwaysVerify"},
		{"AlwaysVerify, an intent", state{intents: []string{node}}, on(AlwaysVerify), node, id, Pod{}, true, PolicyAlways, "policy AlwaysVerify"},
		{"AlwaysVerify, pulled by all", recorded(`{"docker.io/calico/node":` + everyone + `}`), on(AlwaysVerify), node, id, Pod{}, false, NodeAccessible, "every pod of the node may use it"},
		{"unknown policy", state{}, on("Some\nPolicy"), node, id, Pod{}, true, PolicyAlways, `policy "Some\nPolicy"`},
		{"allowlist", recorded(`{}`), on(NeverVerifyAllowlistedImages, "docker.io/calico/node"), node, id, Pod{}, false, Allowlisted, "on the allowlist of the kubelet"},
		{"not on the allowlist", state{}, on(NeverVerifyAllowlistedImages, "docker.io/calico/nod"), node, id, Pod{}, true, NotAllowed, "not on the allowlist of the kubelet"},
		{"intent", state{intents: []string{node}}, on(""), node, id, Pod{}, true, Interrupted, "an interrupted pull is recorded"},
		{"intent of another spelling", state{intents: []string{"calico/node:v3.28.0"}}, on(""), node, id, Pod{}, false, Preloaded, "not pulled by the kubelet"},
		{"interrupted before a start", recorded(`{}`), on(""), node, id, Pod{}, true, NoCredentials, "recorded without credentials after an interrupted pull"},
		{"another repository", recorded(`{"quay.io/calico/node":` + everyone + `}`), on(""), node, id, Pod{}, true, Repository, "pulled before as quay.io/calico/node"},
		{"hostile repository", recorded(`{"a\u001b[31m b":` + everyone + `}`), on(""), node, id, Pod{}, true, Repository, `pulled before as "a\x1b[31m b"`},
		{"with a secret", recorded(`{"docker.io/calico/node":` + regcred + `}`), on(""), node, id, Pod{}, true, Secrets, "pulled before with secret default/regcred"},
		{"with the pod's secret", recorded(`{"docker.io/calico/node":` + regcred + `}`), on(""), node, id, Pod{Secrets: []Secret{secret}}, false, Credentials, "pulled before with secret default/regcred"},
		{"unreadable", state{files: map[string]string{"pulled/" + fileName(id): "{"}}, on(NeverVerify), node, id, Pod{}, true, Unreadable, ""},
		{"no name", recorded(`{"a":` + everyone + `}`), on(""), "A B", id, Pod{}, true, BadName, `not the name of an image: "A B"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, err := Read(tt.state.write(t))
			if err != nil {
				t.Fatal(err)
			}
			d := r.Decide(tt.s, tt.image, tt.id, tt.pod)
			if d.Pull != tt.pull || d.Reason != tt.reason || tt.text != "" && d.Text != tt.text {
				t.Errorf("%+v, want pull %v, %s, %q", d, tt.pull, tt.reason, tt.text)
			}
		})
	}
}
