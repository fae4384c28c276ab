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

// CalicoOptions configure [Registry.AddCalico]. The zero value makes about 400 KiB of
// layers for each platform, without executables.
type CalicoOptions struct {
	// Programs are executables by architecture (see ProgramFor). An image runs if there is
	// one for its architecture; otherwise its layers contain only data.
	Programs map[string][]byte
	// Archs are the architectures; nil: amd64 and arm64.
	Archs []string
	// Scale multiplies the sizes; 0 is 1. At 600 the set is as large as the real one, about
	// 250 MB compressed per platform, which take some 20 s to make; with Compression None
	// or GzipStored it is faster to make, and larger.
	Scale int
	// Compression of all layers except the program's.
	Compression Compression
	// Files is the number of files in the base layer and in the first layer of each image;
	// 0 is 1. The real set has about 10,700 files in all; 2,700 here come close to it.
	Files int
}

// calicoImage describes one image of the set.
type calicoImage struct {
	format   Format
	attested bool
	sizes    []int64  // KiB of content of its own layers, uncompressed, at scale 1
	paths    []string // of its program
	config   ocispec.ImageConfig
}

// calicoImages is a mixture of an OCI index with attestations and Docker manifest lists, as
// published images are. The paths are those that calico.yaml runs.
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

// AddCalico adds the three images of calico.yaml, which share one base layer per
// architecture. The result is in the order of [CalicoRepos].
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

// image returns one platform of an image.
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

// layer returns a layer of some KiB in one file or several, as compressible as published
// images.
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

// filesPerDir is the number of files in a directory of a layer of many files.
const filesPerDir = 50

// AddPause adds a sandbox image as [PauseRepo] and [PauseTag], with one platform per
// program.
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
