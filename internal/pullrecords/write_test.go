package pullrecords

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func read(t *testing.T, root string) *Records {
	t.Helper()
	r, err := Read(root)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestRemoveIntents removes the intents of the names in every spelling, those that a power
// cut left empty, and no others.
func TestRemoveIntents(t *testing.T) {
	const digest = "@sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
	root := state{
		intents: []string{node, "calico/node:v3.28.0", "calico/node:v3.28.1", "busybox", "a.test/b:1" + digest, "not A name"},
		files:   map[string]string{"pulling/" + fileName("docker.io/library/busybox:latest"): "", "pulling/" + fileName("a.test/c:1"): ""},
	}.write(t)
	removed, err := RemoveIntents(root, []string{node, "docker.io/library/busybox:latest", "a.test/b" + digest})
	want := []string{"a.test/b:1" + digest, "busybox", "calico/node:v3.28.0", node, "docker.io/library/busybox:latest"}
	if err != nil || !slices.Equal(removed, want) {
		t.Fatalf("removed %q, %v, want %q", removed, err, want)
	}
	r := read(t, root)
	var left []string
	for _, i := range r.Intents() {
		left = append(left, i.Image)
	}
	if want := []string{"calico/node:v3.28.1", "not A name"}; !slices.Equal(left, want) {
		t.Errorf("left %q, want %q", left, want)
	}
	if p := r.Problems(); len(p) != 1 || !strings.HasSuffix(p[0].File, fileName("a.test/c:1")) {
		t.Errorf("problems %v, want the file of another image", p)
	}
	if removed, err := RemoveIntents(t.TempDir(), []string{node}); len(removed) != 0 || err != nil {
		t.Errorf("without a directory: %q, %v", removed, err)
	}
}

// TestTrust makes every repository of an image usable and keeps what the record has of
// others.
func TestTrust(t *testing.T) {
	on := Settings{Enabled: true, Version: "v1.36.3"}
	for _, tt := range []struct {
		name  string
		state state
		also  []string // names that stay usable
	}{
		{"no record", state{}, nil},
		{"with a secret", state{records: map[string]string{id: `{"docker.io/calico/node":` + regcred + `}`}}, nil},
		{"another repository", state{records: map[string]string{id: `{"quay.io/calico/node":` + everyone + `}`}}, []string{"quay.io/calico/node:v1"}},
		{"without credentials", state{records: map[string]string{id: `{}`}}, nil},
		{"an intent", state{intents: []string{node}}, nil},
		{"empty file", state{files: map[string]string{"pulled/" + fileName(id): ""}}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			root := tt.state.write(t)
			if err := Trust(root, Settings{Version: "v1.36.3"}, id, node, "docker.io/library/busybox"); err != nil {
				t.Fatal(err)
			}
			r := read(t, root)
			for _, name := range append([]string{node, "calico/node:v3.28.0", "busybox", "docker.io/busybox:1"}, tt.also...) {
				if d := r.Decide(on, name, id, Pod{}); d.Pull || d.Reason != NodeAccessible {
					t.Errorf("%s: %+v", name, d)
				}
			}
			info, err := os.Stat(filepath.Join(root, stateDir, pulledDir, fileName(id)))
			if err != nil || info.Mode() != 0o600 {
				t.Errorf("mode %v, %v", info.Mode(), err)
			}
			entries, err := os.ReadDir(filepath.Join(root, stateDir, pulledDir))
			if err != nil || len(entries) != 1 {
				t.Errorf("left in the directory: %v, %v", entries, err)
			}
		})
	}
}

// TestTrustUnread: the kubelet that runs has not read a record of Trust. One that was started
// since has, and the record is its own when it writes it again.
func TestTrustUnread(t *testing.T) {
	for _, tt := range []struct {
		at, now uint32
		unread  bool
	}{
		{0, 0, false},
		{0, 7, false},
		{0, UnknownProcess, false},
		{7, 7, true},
		{7, 8, false},
		{7, 0, false},
		{7, UnknownProcess, true},
		{UnknownProcess, UnknownProcess, true},
		{UnknownProcess, 7, true},
		{UnknownProcess, 0, false},
		{MaxProcess, MaxProcess, true},
	} {
		root := state{}.write(t)
		if err := Trust(root, Settings{Process: tt.at}, id, node); err != nil {
			t.Fatal(err)
		}
		want := Decision{Reason: NodeAccessible, Text: "every pod of the node may use it"}
		if tt.unread {
			want = Decision{Pull: true, Reason: Unread, Text: "the kubelet must be restarted to see a new record"}
		}
		r := read(t, root)
		if d := r.Decide(Settings{Enabled: true, Process: tt.now}, node, id, Pod{}); !reflect.DeepEqual(d, want) {
			t.Errorf("written for %d, read for %d: %+v", tt.at, tt.now, d)
		}
		if d := r.Decide(Settings{Enabled: true, Policy: NeverVerify, Process: tt.now}, node, id, Pod{}); d.Pull {
			t.Errorf("written for %d, read for %d, NeverVerify: %+v", tt.at, tt.now, d)
		}
	}
}

// TestTrustKeepsSecrets writes the credentials of other repositories as they were.
func TestTrustKeepsSecrets(t *testing.T) {
	other := `{"kubernetesSecrets":[{"uid":"u1","namespace":"default","name":"regcred","credentialHash":"f4fa"}],` +
		`"kubernetesServiceAccounts":[{"uid":"u2","namespace":"default","name":"builder"}]}`
	root := state{records: map[string]string{id: `{"a.test/b":` + other + `}`}}.write(t)
	if err := Trust(root, Settings{Version: "v1.34.1"}, id, "a.test/c"); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(root, stateDir, pulledDir, fileName(id)))
	want := `{"a.test/b":` + other + `,"a.test/c":{"nodePodsAccessible":true}}`
	if err != nil || !strings.Contains(string(data), want) || !strings.Contains(string(data), alpha) {
		t.Errorf("%s, %v, want %s in %s", data, err, want, alpha)
	}
}

// TestTrustRefuses leaves what it must not replace.
func TestTrustRefuses(t *testing.T) {
	newer := `{"kind":"ImagePulledRecord","apiVersion":"kubelet.config.k8s.io/v1","imageRef":"` + id + `"}`
	root := state{files: map[string]string{"pulled/" + fileName(id): newer}}.write(t)
	if err := Trust(root, Settings{}, id, node); !errors.Is(err, errNewer) {
		t.Errorf("a newer record: %v", err)
	}
	if err := Trust(filepath.Join(root, "missing"), Settings{}, id, node); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no kubelet: %v", err)
	}
	if err := Trust(root, Settings{}, "", node); err == nil {
		t.Error("no image id: no error")
	}
	if err := Trust(root, Settings{}, id, "A B"); err == nil {
		t.Error("a bad name: no error")
	}
	target := t.TempDir()
	link := t.TempDir()
	if err := os.Symlink(target, filepath.Join(link, stateDir)); err != nil {
		t.Fatal(err)
	}
	if err := Trust(link, Settings{}, id, node); err == nil {
		t.Error("a link to a directory: no error")
	}
	if _, err := RemoveIntents(link, []string{node}); err == nil {
		t.Error("RemoveIntents through a link: no error")
	}
	if entries, _ := os.ReadDir(target); len(entries) != 0 {
		t.Errorf("written through a link: %v", entries)
	}
}
