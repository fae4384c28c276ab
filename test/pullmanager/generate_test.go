package pullmanager

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"

	kubecontainer "k8s.io/kubernetes/pkg/kubelet/container"

	"stowage/internal/pullrecords"
)

const (
	digest256 = "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
	hex64     = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
)

// The alphabets are small, so that states often have two things in common.
var (
	names = []string{
		"docker.io/calico/node:v1", "calico/node:v1", "index.docker.io/calico/node:v1", "quay.io/calico/node:v1",
		"quay.io/calico/node:v2", "quay.io/calico/node@" + digest256, "quay.io/calico/node:v1@" + digest256,
		"busybox", "busybox:latest", "library/busybox:latest", "docker.io/library/busybox:latest", "docker.io/busybox",
		"127.0.0.1:5000/a/b:1", "my_registry.test/app:1", "quay.io/calico/node",
	}
	badNames     = []string{"", "UPPER/case:1", "a b", hex64, "quay.io/calico/node:v1@sha256:12", ":1", "quay.io/calico/node:v1 ", "-/a:1"}
	repositories = []string{
		"docker.io/calico/node", "calico/node", "quay.io/calico/node", "quay.io/calico/node", "docker.io/library/busybox", "busybox",
		"docker.io/calico/node", "calico/node", "index.docker.io/calico/node", "quay.io/calico/node",
		"docker.io/library/busybox", "busybox", "library/busybox", "docker.io/busybox", "127.0.0.1:5000/a/b",
		"my_registry.test/app", "docker.io/my_registry.test/app", "", "docker.io/calico/node:v1",
	}
	ids      = []string{"sha256:aa01", "sha256:bb02", "sha256:cc03"}
	policies = []pullrecords.Policy{
		pullrecords.NeverVerifyPreloadedImages, pullrecords.NeverVerifyPreloadedImages, pullrecords.NeverVerifyPreloadedImages,
		pullrecords.NeverVerifyPreloadedImages, pullrecords.NeverVerify, pullrecords.NeverVerifyAllowlistedImages, pullrecords.AlwaysVerify,
	}
	patterns = []string{
		"docker.io/calico/node", "docker.io/calico/*", "docker.io/*", "quay.io/calico/node", "quay.io/calico/nod/*", "quay.io/*",
		"docker.io/library/busybox", "busybox", "calico/node", "127.0.0.1:5000/a/b", "my_registry.test/*", "quay.io/calico/node:v1",
	}
)

// state is what a node has when the kubelet starts, and the questions that pods ask.
type state struct {
	files     map[string]string // below image_manager
	intents   []string          // names of which there is an intent
	settings  pullrecords.Settings
	images    []kubecontainer.Image
	questions []question
}

type question struct {
	name, id string
	pod      pullrecords.Pod
}

// present returns the image id of every name in images.
func (s *state) present() map[string]string {
	names := map[string]string{}
	for _, image := range s.images {
		for _, name := range append(image.RepoTags, image.RepoDigests...) {
			names[name] = image.ID
		}
	}
	return names
}

// write writes the files below root, which is emptied.
func (s *state) write(root string) error {
	dir := filepath.Join(root, "image_manager")
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	for _, d := range []string{"pulling", "pulled"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o700); err != nil {
			return err
		}
	}
	for name, content := range s.files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// generator makes states. The same seed and number make the same state.
type generator struct {
	*rand.Rand
	hit   func(what string) // counts what the states have
	named bool              // every file has the name that the kubelet uses
}

func (g *generator) chance(percent int) bool { return g.IntN(100) < percent }

func pick[T any](g *generator, list []T) T { return list[g.IntN(len(list))] }

func (g *generator) name() string {
	if g.chance(3) {
		return pick(g, badNames)
	}
	return pick(g, names)
}

// state makes a state for a kubelet of the version. valid reports whether the kubelet
// accepts a pattern of the allowlist.
func (g *generator) state(version string, valid func(pattern string) bool) *state {
	s := &state{files: map[string]string{}}
	s.settings = pullrecords.Settings{Enabled: true, Policy: pick(g, policies), Version: version}
	for s.settings.Policy == pullrecords.NeverVerifyAllowlistedImages && (len(s.settings.Allowlist) == 0 || g.chance(50)) {
		if p := pick(g, patterns); valid(p) {
			s.settings.Allowlist = append(s.settings.Allowlist, p)
		}
	}
	for range g.IntN(4) {
		image := g.name()
		s.intents = append(s.intents, image)
		g.file(s, "pulling/", image, g.intent(image))
	}
	for _, id := range ids {
		if g.chance(55) {
			g.file(s, "pulled/", id, g.record(id))
		}
	}
	g.images(s)
	for range 4 {
		q := question{name: g.name(), id: pick(g, ids), pod: g.pod()}
		if g.chance(1) {
			q.id = ""
		}
		s.questions = append(s.questions, q)
	}
	return s
}

// images distributes some names over the image ids.
func (g *generator) images(s *state) {
	if g.chance(30) {
		return
	}
	s.images = make([]kubecontainer.Image, len(ids))
	for i, id := range ids {
		s.images[i].ID = id
	}
	for _, name := range append([]string{"quay.io/calico/node:v1 "}, names...) {
		if g.chance(60) {
			continue
		}
		image := &s.images[g.IntN(len(ids))]
		if strings.Contains(name, "@") {
			image.RepoDigests = append(image.RepoDigests, name)
		} else {
			image.RepoTags = append(image.RepoTags, name)
		}
	}
}

func fileName(key string) string { return fmt.Sprintf("sha256-%x", sha256.Sum256([]byte(key))) }

// file adds a file to s: mostly with the right name, mostly with a content that can be
// read.
func (g *generator) file(s *state, dir, key, content string) {
	name := fileName(key)
	switch n := g.IntN(100); {
	case g.named:
	case n < 6:
		name = fileName(g.name() + pick(g, ids))
		g.hit("file: named after nothing")
	case n < 12 && dir == "pulled/":
		name = fileName(pick(g, ids))
		g.hit("file: named after another id")
	case n < 12:
		name = fileName(g.name())
		g.hit("file: named after another name")
	case n < 14:
		name += ".tmp"
		g.hit("file: temporary")
	case n < 16:
		name = "." + name
		g.hit("file: not of the kubelet")
	}
	if g.chance(12) {
		content = g.damage(content)
	}
	s.files[dir+name] = content
}

// damages are what can be wrong with a file. All but the first are refused.
var damages = []struct {
	what, from, to string
}{
	{"spaces", `:`, " :\n\t"},
	{"empty", "", ""},
	{"cut", "", ""},
	{"unknown field", `{"kind"`, `{"other":1,"kind"`},
	{"field twice", `{"kind"`, `{"kind":"ImagePullIntent","kind"`},
	{"field of another case", `"apiVersion"`, `"APIVersion"`},
	{"field of another case", `"imageRef"`, `"imageref"`},
	{"field of another case", `"nodePodsAccessible"`, `"NodePodsAccessible"`},
	{"unknown version", `/v1`, `/v2`},
	{"unknown version", `/v1alpha1`, `/v1`},
	{"unknown version", `/v1beta1`, `/v1`},
	{"other group", `kubelet.config`, `apps`},
	{"other kind", `ImagePulledRecord`, `ImagePullIntent`},
	{"other kind", `ImagePullIntent`, `ImagePulledRecord`},
	{"other kind", `ImagePull`, `KubeletConfiguration`},
	{"no kind", `"kind"`, `"lastUpdatedTime"`},
	{"wrong type", `"image":"`, `"image":1,"x":"`},
	{"wrong type", `"credentialMapping":{`, `"credentialMapping":[{`},
	{"wrong type", `"nodePodsAccessible":true`, `"nodePodsAccessible":"true"`},
	{"null", `"nodePodsAccessible":true`, `"nodePodsAccessible":null`},
	{"null", `{"nodePodsAccessible":true}`, `null`},
	{"null", `"uid":"u1"`, `"uid":null`},
	{"bad time", `-02T03`, `-99T03`},
	{"null", `"2026-01-02T03:04:05Z"`, `null`},
	{"not UTF-8", `calico`, "cal\xffco"},
	{"escapes", `/`, `\/`},
	{"more behind", "", ""},
	{"not an object", "", ""},
}

func (g *generator) damage(content string) string {
	d := pick(g, damages)
	switch d.what {
	case "empty":
		content = ""
	case "cut":
		content = content[:g.IntN(len(content))]
	case "more behind":
		content += content
	case "not an object":
		content = pick(g, []string{"null", "[]", "1", `"a"`, "[" + content + "]", "\x00\x00\x00\x00", "k8s\x00"})
	default:
		if !strings.Contains(content, d.from) {
			return content
		}
		content = strings.ReplaceAll(content, d.from, d.to)
	}
	g.hit("damage: " + d.what)
	return content
}

func quote(s string) string {
	data, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	return string(data)
}

func (g *generator) header(kind string) string {
	return `{"kind":"` + kind + `","apiVersion":"kubelet.config.k8s.io/` + pick(g, []string{"v1beta1", "v1beta1", "v1alpha1"}) + `"`
}

func (g *generator) intent(image string) string {
	return g.header("ImagePullIntent") + `,"image":` + quote(image) + `}`
}

func (g *generator) record(id string) string {
	text := g.header("ImagePulledRecord") + `,"lastUpdatedTime":"2026-01-02T03:04:05Z","imageRef":` + quote(id)
	var mapping []string
	seen := map[string]bool{}
	for range g.IntN(4) {
		if r := pick(g, repositories); !seen[r] {
			seen[r] = true
			mapping = append(mapping, quote(r)+":"+g.credentials())
		}
	}
	switch {
	case len(mapping) > 0 || g.chance(30):
		text += `,"credentialMapping":{` + strings.Join(mapping, ",") + `}`
	case g.chance(30):
		text += `,"credentialMapping":null`
	}
	return text + "}"
}

func (g *generator) credentials() string {
	switch n := g.IntN(10); {
	case n < 3:
		return `{"nodePodsAccessible":true}`
	case n < 4:
		return pick(g, []string{`{}`, `{"nodePodsAccessible":false}`, `{"kubernetesSecrets":[]}`, `{"kubernetesSecrets":null,"kubernetesServiceAccounts":[]}`})
	case n < 6:
		return `{"kubernetesServiceAccounts":[` + g.accounts() + `]}`
	case n < 7:
		return `{"kubernetesSecrets":[` + g.secrets() + `],"kubernetesServiceAccounts":[` + g.accounts() + `]}`
	}
	return `{"kubernetesSecrets":[` + g.secrets() + `]}`
}

func (g *generator) secret() pullrecords.Secret {
	if g.chance(30) { // one of the many, with its credentials or others
		return pullrecords.Secret{UID: "many", Namespace: "default", Name: "3", Hash: pick(g, []string{"many", "h5", "h5", "h5"})}
	}
	return pullrecords.Secret{
		UID: pick(g, []string{"u1", "u2"}), Namespace: pick(g, []string{"default", "other"}), Name: pick(g, []string{"regcred", "regcred", "vendor"}),
		Hash: pick(g, []string{"h1", "h2", "h3", "h4", ""}),
	}
}

// secrets makes one or two secrets, or as many as the kubelet adds of its own accord.
func (g *generator) secrets() string {
	var list []string
	add := func(s pullrecords.Secret) {
		list = append(list, fmt.Sprintf(`{"uid":%q,"namespace":%q,"name":%q,"credentialHash":%q}`, s.UID, s.Namespace, s.Name, s.Hash))
	}
	for range 1 + g.IntN(2) {
		add(g.secret())
	}
	if g.chance(8) {
		for n := 99 + g.IntN(3); len(list) < n; {
			add(pullrecords.Secret{UID: "many", Namespace: "default", Name: fmt.Sprint(len(list)), Hash: "many"})
		}
		g.hit(fmt.Sprintf("record: %d secrets", len(list)))
	}
	return strings.Join(list, ",")
}

func (g *generator) account() pullrecords.ServiceAccount {
	return pullrecords.ServiceAccount{
		UID: pick(g, []string{"u1", "u1", "u2"}), Namespace: pick(g, []string{"default", "default", "other"}), Name: pick(g, []string{"builder", "builder", "default"}),
	}
}

func (g *generator) accounts() string {
	var list []string
	for range 1 + g.IntN(2) {
		a := g.account()
		list = append(list, fmt.Sprintf(`{"uid":%q,"namespace":%q,"name":%q}`, a.UID, a.Namespace, a.Name))
	}
	return strings.Join(list, ",")
}

func (g *generator) pod() (p pullrecords.Pod) {
	if g.chance(30) {
		return p
	}
	for range g.IntN(3) {
		p.Secrets = append(p.Secrets, g.secret())
	}
	if g.chance(60) {
		p.ServiceAccounts = append(p.ServiceAccounts, g.account())
	}
	return p
}
