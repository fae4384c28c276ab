//go:build linux

package node

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/google/go-cmp/cmp"

	"stowage/internal/nodetest"
	"stowage/internal/registrytest"
	"stowage/pkg/archive"
)

// made is the directory of a kubelet, with files as a kubelet writes them.
type made struct {
	t    *testing.T
	root string
}

// newKubelet makes the directory of a kubelet with a policy, "" for the default one.
func newKubelet(t *testing.T, policy string) made {
	k := made{t, t.TempDir()}
	config := "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n"
	if policy != "" {
		config += "imagePullCredentialsVerificationPolicy: " + policy + "\n"
	}
	must(t, os.WriteFile(filepath.Join(k.root, "config.yaml"), []byte(config), 0o600))
	return k
}

// file writes a record or an intent, which is named after its key.
func (k made) file(dir, key, text string) {
	dir = filepath.Join(k.root, "image_manager", dir)
	must(k.t, os.MkdirAll(dir, 0o700))
	must(k.t, os.WriteFile(filepath.Join(dir, fmt.Sprintf("sha256-%x", sha256.Sum256([]byte(key)))), []byte(text), 0o600))
}

// intent records the beginning of a pull.
func (k made) intent(name string) {
	k.file("pulling", name, `{"kind":"ImagePullIntent","apiVersion":"kubelet.config.k8s.io/v1beta1","image":"`+name+`"}`)
}

// record records a pull of the image as repository, with a secret or, without one, as
// anyone.
func (k made) record(image, repository, secret string) {
	credentials := `{"nodePodsAccessible":true}`
	if secret != "" {
		credentials = `{"kubernetesSecrets":[{"uid":"u","namespace":"default","name":"` + secret + `","credentialHash":"h"}]}`
	}
	k.file("pulled", image, `{"kind":"ImagePulledRecord","apiVersion":"kubelet.config.k8s.io/v1beta1","lastUpdatedTime":"2026-01-02T03:04:05Z",`+
		`"imageRef":"`+image+`","credentialMapping":{"`+repository+`":`+credentials+`}}`)
}

// run makes the kubelet look as if it ran.
func (k made) run() {
	must(k.t, os.MkdirAll(filepath.Join(k.root, "pod-resources"), 0o700))
	dir, err := os.Open(filepath.Join(k.root, "pod-resources"))
	must(k.t, err)
	k.t.Cleanup(func() { dir.Close() })
	l, err := net.Listen("unix", fmt.Sprintf("/proc/self/fd/%d/kubelet.sock", dir.Fd()))
	must(k.t, err)
	k.t.Cleanup(func() { l.Close() })
}

// files returns the names of the files in a directory of the records.
func (k made) files(dir string) (names []string) {
	entries, err := os.ReadDir(filepath.Join(k.root, "image_manager", dir))
	if !errors.Is(err, os.ErrNotExist) {
		must(k.t, err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// TestKubeletDecides: an image that CRI has is ready only if the kubelet asks no registry for
// it. A check writes nothing.
func TestKubeletDecides(t *testing.T) {
	t.Parallel()
	_, n := connect(t, nodetest.Options{})
	s := newShelf(t)
	name := s.Image("acme/app", "v1", registrytest.Image{Layers: []*registrytest.Layer{{Files: []registrytest.File{{Name: "a", Size: 100}}}}})
	b := s.Bundle(name)
	n.kubeletDir = newKubelet(t, "").root
	r, err := n.Load(t.Context(), b, LoadOptions{})
	sandbox := Cause{CauseNoSandbox, nodetest.DefaultSandboxImage, "the sandbox image is neither on the node nor in the bundle: without it no pod starts"}
	if r == nil || r.Images[0].Kubelet != KubeletReady {
		t.Fatalf("a node whose kubelet has no records: %+v, %v", r, err)
	}
	if d := cmp.Diff([]Cause{sandbox}, r.NotReady); d != "" {
		t.Fatalf("on a node with a kubelet a missing sandbox image counts (-want +got):\n%s", d)
	}
	image := r.Images[0].Image.String()
	const interrupted = "an interrupted pull is recorded"
	for _, tt := range []struct {
		name    string
		policy  string
		make    func(made)
		running bool
		kind    CauseKind // "" for ready
		reason  string
	}{
		{name: "no records", make: func(made) {}},
		{name: "running, no records", make: func(made) {}, running: true},
		{name: "pulled before by anyone", make: func(k made) { k.record(image, "docker.io/acme/app", "") }},
		{name: "pulled before with a secret", make: func(k made) { k.record(image, "docker.io/acme/app", "regcred") }, kind: CausePulled, reason: "pulled before with secret default/regcred"},
		{name: "pulled before as another repository", make: func(k made) { k.record(image, "quay.io/acme/app", "") }, kind: CausePulled, reason: "pulled before as quay.io/acme/app"},
		{name: "another image", make: func(k made) { k.record("sha256:0", "docker.io/acme/app", "regcred") }},
		{name: "interrupted pull, running", make: func(k made) { k.intent(name) }, running: true, kind: CauseInterrupted, reason: interrupted},
		{name: "interrupted pull, not running", make: func(k made) { k.intent(name) }, kind: CauseInterrupted, reason: interrupted},
		{name: "interrupted pull of a short name", make: func(k made) { k.intent("acme/app:v1") }, kind: CauseInterrupted, reason: interrupted},
		{name: "interrupted pull of another image", make: func(k made) { k.intent("docker.io/acme/app:v2") }, running: true},
		{name: "a record that cannot be read", make: func(k made) { k.file("pulled", image, "{") }, kind: CauseUnreadable, reason: "the kubelet cannot read its record"},
		{name: "AlwaysVerify", policy: "AlwaysVerify", make: func(made) {}, kind: CausePolicy, reason: "policy AlwaysVerify"},
		{name: "NeverVerify", policy: "NeverVerify", make: func(k made) { k.record(image, "quay.io/acme/app", "regcred") }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			k := newKubelet(t, tt.policy)
			tt.make(k)
			if tt.running {
				k.run()
			}
			n.kubeletDir = k.root
			before := k.files("pulling")
			r, err := n.Check(t.Context(), b)
			if r == nil {
				t.Fatal(err)
			}
			i := r.Images[0]
			if r.Kubelet.Directory != k.root || r.Kubelet.Running != tt.running || r.Kubelet.NotLooked != "" {
				t.Errorf("kubelet: %+v", r.Kubelet)
			}
			want := []Cause{{tt.kind, name, "the kubelet would ask a registry: " + i.KubeletReason}, sandbox}
			status := KubeletNotReady
			if tt.kind == "" {
				want, status = want[1:], KubeletReady
			}
			if d := cmp.Diff(want, r.NotReady); d != "" || i.Kubelet != status || !strings.HasPrefix(i.KubeletReason, tt.reason) || (tt.reason == "") != (i.KubeletReason == "") {
				t.Errorf("image %+v, causes (-want +got):\n%s", i, d)
			}
			if after := k.files("pulling"); !slices.Equal(before, after) {
				t.Errorf("a check changed the intents: %v, then %v", before, after)
			}
		})
	}
}

// TestInterruptedPullForgotten: a load removes the intents of its images while no kubelet
// runs, before their names are visible.
func TestInterruptedPullForgotten(t *testing.T) {
	t.Parallel()
	_, n := connect(t)
	s := newShelf(t)
	name := s.Image("acme/app", "v1", registrytest.Image{Layers: []*registrytest.Layer{{Files: []registrytest.File{{Name: "a", Size: 100}}}}})
	b := s.Bundle(name)
	for _, tt := range []struct {
		name    string
		running bool
		dropped []string
		left    int
		kind    CauseKind
	}{
		{name: "stopped, not loaded before", dropped: []string{"acme/app:v1", name}, left: 1},
		{name: "stopped, loaded before", dropped: []string{"acme/app:v1", name}, left: 1},
		{name: "running", running: true, left: 3, kind: CauseInterrupted},
	} {
		t.Run(tt.name, func(t *testing.T) {
			k := newKubelet(t, "")
			for _, intent := range []string{name, "acme/app:v1", "docker.io/acme/other:v1"} {
				k.intent(intent)
			}
			if tt.running {
				k.run()
			}
			n.kubeletDir = k.root
			r, err := n.Load(t.Context(), b, LoadOptions{})
			if r == nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tt.dropped, r.Kubelet.Dropped); d != "" || len(k.files("pulling")) != tt.left {
				t.Errorf("dropped (-want +got):\n%s; left: %v", d, k.files("pulling"))
			}
			if got := r.NotReady[0].Kind; tt.kind != "" && got != tt.kind || tt.kind == "" && r.Images[0].Kubelet != KubeletReady {
				t.Errorf("image %+v, causes %v", r.Images[0], r.NotReady)
			}
		})
	}
}

// TestTrustPreloaded: a load that is told to records the images that the kubelet would ask a
// registry for as usable by every pod, for all repositories that CRI knows.
func TestTrustPreloaded(t *testing.T) {
	t.Parallel()
	_, n := connect(t)
	s := newShelf(t)
	image := registrytest.Image{Layers: []*registrytest.Layer{{Files: []registrytest.File{{Name: "a", Size: 100}}}}}
	name, twin := s.Image("acme/app", "v1", image), s.Image("acme/twin", "v1", image)
	other := s.Image("acme/other", "v1", registrytest.Image{Layers: []*registrytest.Layer{{Files: []registrytest.File{{Name: "b", Size: 100}}}}})
	load(t, n, s.Bundle(twin), LoadOptions{})
	b := s.Bundle(name, other)
	for _, running := range []bool{false, true} {
		k := newKubelet(t, "")
		k.record(s.manifest(name).Config.Digest.String(), "quay.io/acme/app", "regcred")
		if running {
			k.run()
		}
		n.kubeletDir = k.root
		r, err := n.Load(t.Context(), b, LoadOptions{TrustPreloaded: true})
		if r == nil {
			t.Fatal(err)
		}
		if !slices.Equal(r.Kubelet.Trusted, []string{name}) || r.Images[1].Kubelet != KubeletReady || len(k.files("pulled")) != 1 {
			t.Errorf("running %t: kubelet %+v, images %+v", running, r.Kubelet, r.Images)
		}
		if want := (Cause{CauseRestart, name, "the kubelet sees the new record only when it starts"}); running != slices.Contains(r.NotReady, want) {
			t.Errorf("running %t: causes %v", running, r.NotReady)
		}
		record := string(contentOf(t, filepath.Join(k.root, "image_manager", "pulled", k.files("pulled")[0])))
		for _, repository := range []string{"docker.io/acme/app", "docker.io/acme/twin"} {
			if !strings.Contains(record, fmt.Sprintf(`%q:{"nodePodsAccessible":true}`, repository)) {
				t.Errorf("running %t: the record lacks %s: %s", running, repository, record)
			}
		}
		if !strings.Contains(record, "regcred") {
			t.Errorf("running %t: the record has lost the secret: %s", running, record)
		}
		// Again: there is nothing to record, and the kubelet has not read the record yet.
		again := map[string]func() (*Report, error){
			"load":  func() (*Report, error) { return n.Load(t.Context(), b, LoadOptions{TrustPreloaded: true}) },
			"check": func() (*Report, error) { return n.Check(t.Context(), b) },
		}
		for job, do := range again {
			r, err := do()
			if r == nil || len(r.Kubelet.Trusted) > 0 {
				t.Fatalf("running %t: the next %s: %+v, %v", running, job, r, err)
			}
			want := []Cause{{CauseRestart, name, "the kubelet sees the new record only when it starts"}}
			if got := r.NotReady[:len(r.NotReady)-1]; running && !slices.Equal(got, want) || !running && len(got) > 0 {
				t.Errorf("running %t: the next %s: causes %v", running, job, got)
			}
		}
	}
}

// failing is an image store that creates nothing.
type failing struct{ images.Store }

func (failing) Create(context.Context, images.Image) (images.Image, error) {
	return images.Image{}, errors.New("the process is killed")
}

// TestEndAfterIntents: a load that ends after it removed the intents and before a name is
// visible leaves a node on which a kubelet starts as if it had never pulled.
func TestEndAfterIntents(t *testing.T) {
	t.Parallel()
	machine, n := connect(t)
	s := newShelf(t)
	name := s.Image("acme/app", "v1", registrytest.Image{Layers: []*registrytest.Layer{{Files: []registrytest.File{{Name: "a", Size: 100}}}}})
	b := s.Bundle(name)
	k := newKubelet(t, "")
	k.intent(name)
	n.kubeletDir, n.images = k.root, failing{n.images}
	if _, err := n.Load(t.Context(), b, LoadOptions{}); err == nil {
		t.Fatal("a load without records succeeded")
	}
	if left := slices.Concat(k.files("pulling"), k.files("pulled")); len(left) > 0 {
		t.Errorf("files of the kubelet: %v", left)
	}
	n = reconnect(t, machine)
	n.kubeletDir = k.root
	if r, _ := n.Load(t.Context(), b, LoadOptions{}); r == nil || r.Images[0].Kubelet != KubeletReady || r.Images[0].Status != Loaded {
		t.Errorf("the next load: %+v", r)
	}
}

// TestHandlers: an image is not ready if containerd cannot create a container of it for one
// of the runtime handlers. It can as long as it has the layers or the snapshot.
func TestHandlers(t *testing.T) {
	t.Parallel()
	for version, section := range map[string]string{"": "io.containerd.cri.v1.runtime", "1.7.35": "io.containerd.grpc.v1.cri"} {
		t.Run("containerd "+version, func(t *testing.T) {
			t.Parallel()
			// The table of pulls, for the handler runc, does not count.
			config := "[plugins.\"" + section + "\".containerd.runtimes.other]\nruntime_type = \"io.containerd.runc.v2\"\nsnapshotter = \"native\"\n"
			if version == "" {
				config += "[plugins.\"io.containerd.cri.v1.images\".runtime_platforms.runc]\nsnapshotter = \"btrfs\"\n"
			}
			_, n := connect(t, nodetest.Options{Version: version, Config: config})
			s := newShelf(t)
			name := s.Image("acme/app", "v1", registrytest.Image{Layers: []*registrytest.Layer{{Files: []registrytest.File{{Name: "a", Size: 100}}}}})
			b := s.Bundle(name)
			want := []Cause{{CauseHandler, name, "runtime handler other uses the snapshotter native, in which the image is not unpacked, and its layers are not kept"}}
			for _, discard := range []bool{true, false} {
				r, err := n.Load(t.Context(), b, LoadOptions{DiscardLayers: discard})
				if r == nil || discard == (err == nil) {
					t.Fatalf("discard %t: %v", discard, err)
				}
				if d := cmp.Diff(want, r.NotReady); discard && d != "" {
					t.Errorf("causes (-want +got):\n%s", d)
				}
				check, err := n.Check(t.Context(), b)
				if check == nil || discard == (err == nil) {
					t.Errorf("discard %t, check: %v", discard, err)
				}
			}
		})
	}
}

// listing is a bundle that lists images.
type listing struct {
	memory
	list []archive.Image
}

func (l listing) Images() []archive.Image { return l.list }

// TestRequiredArtifact: an artifact counts if a pod needs it as an image volume.
func TestRequiredArtifact(t *testing.T) {
	b := listing{list: []archive.Image{{Name: "a:1", Artifact: archive.ArtifactVolume}, {Name: "b:1"}}}
	imgs := []*image{{names: []string{"a:1", "b:1"}, artifact: true}}
	r := &Report{Images: []ImageReport{{Name: "a:1", CRI: Ready}, {Name: "b:1", CRI: Ready}}}
	r.judgeArtifacts(b, imgs)
	want := []Cause{{CauseArtifact, "a:1", "an artifact that a pod needs as an image volume, and containerd cannot mount it"}}
	if d := cmp.Diff(want, r.NotReady); d != "" || r.Images[0].Kubelet != KubeletNotReady {
		t.Errorf("%+v, causes (-want +got):\n%s", r.Images, d)
	}
}
