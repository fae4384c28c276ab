//go:build linux

package main

import (
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stowage/internal/registrytest"
)

// item is one image of a round.
type item struct {
	repo, tag string
	format    registrytest.Format
	multi     bool // an index of two platforms
	attested  bool
	packed    registrytest.Compression
	shared    []*registrytest.Layer // below its own layers
	size      int64                 // of its own data
	edition   int                   // incremented when its tag moves
	form      refForm
	added     registrytest.Added // current image of the tag
}

// refForm is the form of an image reference on the command line.
type refForm int

const (
	byTag refForm = iota
	byDigest
	byBoth
)

// world is a registry with the images of a round.
type world struct {
	registry *registrytest.Registry
	dir      string
	program  []byte
	layer    *registrytest.Layer // with the program
	named    bool                // as docker.io, behind a proxy and TLS; otherwise by its address
	items    []*item
	account  string // how bundle receives the login
	env      []string
	flags    []string
}

// otherArch is the architecture besides that of this machine.
func otherArch() string {
	if runtime.GOARCH == "arm64" {
		return "amd64"
	}
	return "arm64"
}

// newWorld creates a random registry with one to six images.
func newWorld(d dice, dir string, program []byte, small bool) (_ *world, err error) {
	w := &world{dir: dir, program: program, named: d.chance(40)}
	opts := registrytest.Options{Dir: dir, Policy: registrytest.Policy{
		Auth:     pick(d, registrytest.AuthBearer, registrytest.AuthBearer, registrytest.AuthBearer, registrytest.AuthBasic),
		Accounts: []registrytest.Account{{User: soakUser, Password: soakPassword}},
		Redirect: d.chance(50), NoOAuth: d.chance(30), RefuseAnonymous: d.chance(50), HideMissing: d.chance(30),
	}}
	if w.named {
		opts.TLS, opts.Names = true, []string{"registry-1.docker.io", "docker.io", "index.docker.io"}
	} else {
		opts.TLS = d.chance(40)
	}
	if w.registry, err = registrytest.New(opts); err != nil {
		return nil, err
	}
	w.layer = registrytest.ProgramLayer(program, "bin/hello")
	w.layer.Compression = pick(d, registrytest.Gzip, registrytest.Gzip, registrytest.Zstd, registrytest.None, registrytest.GzipStored)
	w.draw(d, small)
	for _, it := range w.items {
		if err := w.put(it); err != nil {
			return nil, err
		}
	}
	return w, w.login(d)
}

// draw chooses the properties of the images.
func (w *world) draw(d dice, small bool) {
	pool := registrytest.OddLayers()[:1]
	for i := range 4 {
		pool = append(pool, &registrytest.Layer{
			Seed: d.Uint64(), Compression: pick(d, registrytest.Gzip, registrytest.Zstd, registrytest.None, registrytest.GzipStored),
			Files: []registrytest.File{{Name: fmt.Sprintf("shared%d", i), Size: int64(d.between(1, 400_000)), Fill: pick(d, registrytest.FillText, registrytest.FillRandom)}},
		})
	}
	n := d.between(1, 6)
	if small {
		n = 1
	}
	for i := range n {
		it := &item{
			repo: fmt.Sprintf("soak/image%d", i), tag: pick(d, "v1", "latest", "1.2.3-rc.4"),
			format: pick(d, registrytest.OCI, registrytest.Docker), multi: d.chance(50), attested: d.chance(40),
			packed: pick(d, registrytest.Gzip, registrytest.Zstd, registrytest.None, registrytest.GzipStored), size: int64(d.between(0, 1_500_000)),
			form: pick(d, byTag, byTag, byTag, byDigest, byBoth), edition: 1,
		}
		for _, l := range pool {
			if d.chance(35) {
				it.shared = append(it.shared, l)
			}
		}
		w.items = append(w.items, it)
	}
}

// put adds the current edition of an image under its tag.
func (w *world) put(it *item) (err error) {
	img := w.image(it, runtime.GOARCH)
	if !it.multi {
		it.added, err = w.registry.AddImage(it.repo, it.tag, img)
		return err
	}
	it.added, err = w.registry.AddIndex(it.repo, it.tag, registrytest.Index{
		Format: it.format, Images: []registrytest.Image{w.image(it, otherArch()), img}, Attestation: it.attested,
	})
	return err
}

// image returns one platform of an image: shared layers, its own data, the program.
func (w *world) image(it *item, arch string) registrytest.Image {
	img := registrytest.Image{Platform: "linux/" + arch, Format: it.format, Config: ocispec.ImageConfig{
		Entrypoint: []string{"/bin/hello"}, Env: []string{"HELLO_LINE=" + w.greeting(it)},
	}}
	img.Layers = append(img.Layers, it.shared...)
	img.Layers = append(img.Layers, &registrytest.Layer{
		Seed: uint64(it.edition), Compression: it.packed,
		Files: []registrytest.File{{Name: it.repo + arch, Size: it.size, Fill: registrytest.FillText}, {Name: "edition", Body: []byte(w.greeting(it))}},
	})
	if arch == runtime.GOARCH {
		img.Layers = append(img.Layers, w.layer)
	}
	return img
}

// greeting returns what a container of the current edition prints.
func (w *world) greeting(it *item) string {
	return fmt.Sprintf("%s edition %d greets", it.repo, it.edition)
}

// move moves some tags to another edition; references by digest stay valid.
func (w *world) move(d dice) (moved int, err error) {
	for _, it := range w.items {
		if it.form != byTag || !d.chance(60) {
			continue
		}
		it.edition++
		if err := w.put(it); err != nil {
			return moved, err
		}
		moved++
	}
	return moved, nil
}

// ref returns the reference of an image on the command line.
func (w *world) ref(it *item) string {
	name := it.repo
	if !w.named {
		name = w.registry.Host() + "/" + it.repo
	}
	switch it.form {
	case byDigest:
		return name + "@" + it.added.Digest.String()
	case byBoth:
		return name + ":" + it.tag + "@" + it.added.Digest.String()
	}
	return name + ":" + it.tag
}

// refs returns the references of all images.
func (w *world) refs() []string {
	var all []string
	for _, it := range w.items {
		all = append(all, w.ref(it))
	}
	return all
}

// config returns the image id that CRI must report on this machine.
func (it *item) config() string {
	for _, m := range it.added.Manifests {
		if m.Platform == nil || m.Platform.Architecture == runtime.GOARCH {
			return m.Config.Digest.String()
		}
	}
	return ""
}

// accountKey returns the key under which login files hold the account of the registry.
func (w *world) accountKey() string {
	if w.named {
		return "https://index.docker.io/v1/"
	}
	return w.registry.Host()
}

// login writes the account in one of the ways that bundle supports, and the address of the
// registry.
func (w *world) login(d dice) error {
	w.env = environ(w.dir)
	if w.named {
		w.env = append(w.env, "HTTPS_PROXY="+w.registry.Proxy())
	}
	if pem := w.registry.CAPEM(); pem != nil {
		file := filepath.Join(w.dir, "ca.pem")
		if err := os.WriteFile(file, pem, 0o600); err != nil {
			return err
		}
		w.flags = append(w.flags, "--ca-file", file)
	}
	return w.handOver(pick(d, "config.json", "authfile", "creds", "variable"), soakPassword)
}

// handOver writes the account for one of the ways in which bundle finds it.
func (w *world) handOver(way, password string) error {
	w.account = way
	auth := base64.StdEncoding.EncodeToString([]byte(soakUser + ":" + password))
	text := fmt.Sprintf(`{"auths":{%q:{"auth":%q}}}`, w.accountKey(), auth)
	secret := filepath.Join(w.dir, "secret")
	if err := os.MkdirAll(secret, 0o700); err != nil {
		return err
	}
	switch way {
	case "config.json":
		w.env = append(w.env, "DOCKER_CONFIG="+secret)
	case "authfile":
		w.flags = append(w.flags, "--authfile", filepath.Join(secret, "config.json"))
	case "variable":
		w.env = append(w.env, "DOCKER_AUTH_CONFIG="+text)
		return nil
	case "creds":
		host := w.accountKey()
		if w.named {
			host = "docker.io"
		}
		w.flags = append(w.flags, "--creds", host+"="+soakUser+":@"+filepath.Join(secret, "password"))
		return os.WriteFile(filepath.Join(secret, "password"), []byte(password), 0o600)
	}
	return os.WriteFile(filepath.Join(secret, "config.json"), []byte(text), 0o600)
}
