package registrytest

import (
	"fmt"
	"maps"
	"slices"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// The names of the Calico set and of the sandbox image.
const (
	CalicoTag = "v3.28.0"
	PauseRepo = "pause"
	PauseTag  = "3.10.2"
)

// CalicoRepos are the repositories that calico.yaml pulls from, in its order.
var CalicoRepos = []string{"calico/cni", "calico/node", "calico/kube-controllers"}

// CalicoOptions shape the set of [Registry.AddCalico]. The zero value makes about 400 KiB of
// layers for each platform, without anything to run.
type CalicoOptions struct {
	// Programs are executables by architecture (see ProgramFor). With one for its
	// architecture an image runs; without, its layers hold data alone.
	Programs map[string][]byte
	// Archs are the architectures; nil: amd64 and arm64.
	Archs []string
	// Scale multiplies the sizes; 0 is 1. At 600 the set is as large as the real one,
	// about 250 MB compressed for a platform, which take some 20 s to make; Compression
	// None or GzipStored makes them fast, and larger.
	Scale int
	// Compression of all layers but the program's.
	Compression Compression
	// Files is into how many files the base layer and the first own layer of each image are
	// divided; 0 is 1. The real set has about 10,700 in all, which 2,700 come near to.
	Files int
}

// calicoImage is what sets one image of the set apart.
type calicoImage struct {
	format   Format
	attested bool
	sizes    []int64  // KiB of content of its own layers, uncompressed, at scale 1
	paths    []string // of its program
	config   ocispec.ImageConfig
}

// calicoImages: one OCI index with attestations among Docker lists, as published images
// are a mixture. The paths are those that calico.yaml runs.
var calicoImages = map[string]calicoImage{
	"calico/cni": {
		format: Docker, sizes: []int64{150, 260},
		paths:  []string{"opt/cni/bin/install", "opt/cni/bin/calico-ipam", "bin/hello"},
		config: ocispec.ImageConfig{Entrypoint: []string{"/opt/cni/bin/install"}},
	},
	"calico/node": {
		format: Docker, sizes: []int64{90, 380},
		paths:  []string{"bin/calico-node", "usr/sbin/start_runit", "bin/hello"},
		config: ocispec.ImageConfig{Cmd: []string{"start_runit"}},
	},
	"calico/kube-controllers": {
		format: OCI, attested: true, sizes: []int64{110},
		paths:  []string{"usr/bin/kube-controllers", "usr/bin/check-status", "bin/hello"},
		config: ocispec.ImageConfig{Entrypoint: []string{"/usr/bin/kube-controllers"}, User: "999"},
	},
}

// AddCalico puts the three images of calico.yaml into the registry, for each architecture all
// on one base layer. The result is in the order of [CalicoRepos].
func (reg *Registry) AddCalico(opts CalicoOptions) ([]Added, error) {
	scale := int64(max(1, opts.Scale))
	if opts.Archs == nil {
		opts.Archs = []string{"amd64", "arm64"}
	}
	bases := map[string]*Layer{}
	for _, arch := range opts.Archs {
		bases[arch] = opts.layer("base "+arch, "usr/lib/base.dat", 64*scale, opts.Files)
	}
	var set []Added
	for _, repo := range CalicoRepos {
		kind := calicoImages[repo]
		idx := Index{Format: kind.format, Attestation: kind.attested}
		for _, arch := range opts.Archs {
			idx.Images = append(idx.Images, opts.image(repo, arch, bases[arch], scale))
		}
		added, err := reg.AddIndex(repo, CalicoTag, idx)
		if err != nil {
			return nil, err
		}
		set = append(set, added)
	}
	return set, nil
}

// image is one platform of one of the three.
func (o CalicoOptions) image(repo, arch string, base *Layer, scale int64) Image {
	kind := calicoImages[repo]
	img := Image{Platform: "linux/" + arch, Format: kind.format, Layers: []*Layer{base}, Config: kind.config}
	img.Config.Env = helloEnv("docker.io/" + repo + ":" + CalicoTag)
	files := o.Files
	for i, size := range kind.sizes {
		img.Layers = append(img.Layers, o.layer(repo+arch, fmt.Sprintf("usr/share/part%d.dat", i), size*scale, files))
		files = 1
	}
	if program := o.Programs[arch]; program != nil {
		img.Layers = append(img.Layers, ProgramLayer(program, kind.paths...))
	}
	return img
}

// layer is a layer of some KiB, which compress as images do, in one file or in several.
func (o CalicoOptions) layer(seed, path string, kib int64, files int) *Layer {
	l := &Layer{Seed: seedOf(seed, path), Compression: o.Compression}
	for _, dir := range parents(path) {
		l.Files = append(l.Files, File{Name: dir})
	}
	if files < 2 {
		l.Files = append(l.Files, File{Name: path, Size: kib << 10, Fill: FillText})
		return l
	}
	l.Files = append(l.Files, File{Name: path + "/"})
	left := kib << 10
	for i := range files {
		if i%filesPerDir == 0 {
			l.Files = append(l.Files, File{Name: fmt.Sprintf("%s/%03d/", path, i/filesPerDir)})
		}
		size := left / int64(files-i)
		left -= size
		l.Files = append(l.Files, File{Name: fmt.Sprintf("%s/%03d/%05d", path, i/filesPerDir, i), Size: size, Fill: FillText})
	}
	return l
}

// filesPerDir is how many files a folder of a layer of many files has.
const filesPerDir = 50

// AddPause puts a sandbox image under [PauseRepo] and [PauseTag], one child for each of
// the programs.
func (reg *Registry) AddPause(programs map[string][]byte) (Added, error) {
	idx := Index{Format: Docker}
	for _, arch := range slices.Sorted(maps.Keys(programs)) {
		idx.Images = append(idx.Images, Image{
			Platform: "linux/" + arch, Format: Docker,
			Layers: []*Layer{ProgramLayer(programs[arch], "pause")},
			Config: ocispec.ImageConfig{Entrypoint: []string{"/pause"}, User: "65535:65535"},
		})
	}
	return reg.AddIndex(PauseRepo, PauseTag, idx)
}
