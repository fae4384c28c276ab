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
			r := read(t, tt.state.write(t))
			d := r.Decide(tt.s, tt.image, tt.id, tt.pod)
			if d.Pull != tt.pull || d.Reason != tt.reason || tt.text != "" && d.Text != tt.text {
				t.Errorf("%+v, want pull %v, %s, %q", d, tt.pull, tt.reason, tt.text)
			}
		})
	}
}

// TestDecideImage decides for the spellings that the node shows.
func TestDecideImage(t *testing.T) {
	const busybox = "docker.io/library/busybox:1"
	for _, tt := range []struct {
		name   string
		state  state
		image  string
		pull   bool
		reason Reason
	}{
		{"nothing known", state{}, busybox, false, Preloaded},
		{"recorded as pods write it", state{records: map[string]string{id: `{"busybox":` + everyone + `}`}}, busybox, false, NodeAccessible},
		{"two spellings, one with a secret", state{records: map[string]string{id: `{"busybox":` + everyone + `,"docker.io/library/busybox":` + regcred + `}`}}, busybox, true, Secrets},
		{"another repository", state{records: map[string]string{id: `{"library/busyboxes":` + everyone + `}`}}, busybox, true, Repository},
		{"intent of a short name", state{intents: []string{"busybox:1"}}, busybox, true, Interrupted},
		{"intent without a tag", state{intents: []string{"busybox"}}, "docker.io/library/busybox:latest", true, Interrupted},
		{"intent of another tag", state{intents: []string{"busybox"}}, busybox, false, Preloaded},
		{"an empty intent of a short name", state{files: map[string]string{"pulling/" + fileName("busybox:1"): ""}}, busybox, true, Unreadable},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := read(t, tt.state.write(t))
			d := r.DecideImage(Settings{Enabled: true, Version: "v1.36.3"}, tt.image, id, Pod{})
			if d.Pull != tt.pull || d.Reason != tt.reason {
				t.Errorf("%+v, want pull %v, %s", d, tt.pull, tt.reason)
			}
		})
	}
}

// TestAtStart turns the intents of images that are present into records that no pod
// satisfies.
func TestAtStart(t *testing.T) {
	s := Settings{Enabled: true, Version: "v1.35.4"}
	root := state{intents: []string{node, "calico/cni:v3.28.0", "docker.io/calico/absent:1"}}.write(t)
	r := read(t, root)
	r.AtStart(map[string]string{node: id, "docker.io/calico/cni:v3.28.0": "sha256:cccc"})
	if d := r.Decide(s, node, id, Pod{Secrets: []Secret{{Hash: "f4fa"}}}); !d.Pull || d.Reason != NoCredentials {
		t.Errorf("interrupted and present: %+v", d)
	}
	if d := r.Decide(s, "docker.io/calico/cni:v3.28.0", "sha256:cccc", Pod{}); d.Pull {
		t.Errorf("interrupted under another spelling: %+v", d)
	}
	if got := len(r.Intents()); got != 2 {
		t.Errorf("%d intents left, want that of another spelling and that of an absent image", got)
	}
	if again := read(t, root); len(again.Intents()) != 3 {
		t.Error("AtStart changed the files")
	}
}

func TestEnabled(t *testing.T) {
	for _, tt := range []struct {
		version string
		gates   map[string]bool
		want    bool
	}{
		{"v1.32.9", map[string]bool{gate: true}, false},
		{"v1.33.0", nil, false},
		{"v1.34.9", map[string]bool{gate: true}, true},
		{"v1.34.9", map[string]bool{"AllAlpha": true}, true},
		{"v1.34.9", map[string]bool{"AllAlpha": true, gate: false}, false},
		{"v1.35.4", nil, true},
		{"v1.35.4+k3s1", map[string]bool{gate: false}, false},
		{"1.37", map[string]bool{"AllBeta": false}, false},
		{"v1.37.2", map[string]bool{"AllBeta": false, gate: true}, true},
		{"", nil, true},
		{"unknown", map[string]bool{gate: false}, false},
		{"v2.0.0", nil, true},
	} {
		if got := Enabled(tt.version, tt.gates); got != tt.want {
			t.Errorf("Enabled(%q, %v) = %v, want %v", tt.version, tt.gates, got, tt.want)
		}
	}
}

// TestVersions decides as each version does, and with the stricter answer for an unknown
// one.
func TestVersions(t *testing.T) {
	short := state{records: map[string]string{id: `{"docker.io/library/busybox":` + everyone + `}`}}
	allow := Settings{Policy: NeverVerifyAllowlistedImages, Allowlist: []string{"docker.io/calico/node"}}
	for _, tt := range []struct {
		name, version string
		state         state
		s             Settings
		image         string
		pull          bool
	}{
		{"a short name in a record", "v1.35.8", short, Settings{}, "busybox:1", false},
		{"a short name in a record", "v1.36.0", short, Settings{}, "busybox:1", true},
		{"a short name in a record", "", short, Settings{}, "busybox:1", true},
		{"an exact entry of the allowlist", "v1.35.4", state{}, allow, node, true},
		{"an exact entry of the allowlist", "v1.36.3", state{}, allow, node, false},
		{"an exact entry of the allowlist", "", state{}, allow, node, true},
		{"a record of 1.35", "v1.34.9", short, Settings{}, "busybox:1", true},
	} {
		t.Run(tt.name+" in "+tt.version, func(t *testing.T) {
			tt.s.Enabled, tt.s.Version = true, tt.version
			if d := read(t, tt.state.write(t)).Decide(tt.s, tt.image, id, Pod{}); d.Pull != tt.pull {
				t.Errorf("%+v, want pull %v", d, tt.pull)
			}
		})
	}
}

// TestUnversioned checks when nothing depends on the version: there is no record of any kind,
// and the policy accepts images without one. Every version then uses the image.
func TestUnversioned(t *testing.T) {
	for _, tt := range []struct {
		name   string
		state  state
		policy Policy
		want   bool
	}{
		{"no records", state{}, NeverVerifyPreloadedImages, true},
		{"no records, NeverVerify", state{}, NeverVerify, true},
		{"no records, AlwaysVerify", state{}, AlwaysVerify, false},
		{"no records, an allowlist", state{}, NeverVerifyAllowlistedImages, false},
		{"a record of another image", state{records: map[string]string{"sha256:1": everyone}}, NeverVerifyPreloadedImages, false},
		{"an intent for another image", state{intents: []string{"docker.io/library/busybox:1"}}, NeverVerifyPreloadedImages, false},
		{"a damaged record", state{files: map[string]string{"pulled/" + fileName(id): "{"}}, NeverVerify, false},
	} {
		r := read(t, tt.state.write(t))
		if got := r.Unversioned(Settings{Policy: tt.policy}); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
		for _, version := range []string{"", "v1.34.4", "v1.35.4", "v1.36.3", "v1.37.2"} {
			s := Settings{Enabled: true, Policy: tt.policy, Version: version}
			if d := r.Decide(s, node, id, Pod{}); tt.want && d.Pull {
				t.Errorf("%s, version %q: %s", tt.name, version, d.Text)
			}
		}
	}
}
