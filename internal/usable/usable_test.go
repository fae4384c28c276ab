package usable_test

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stowage/internal/manifest"
	"stowage/internal/usable"
)

// maker makes blobs and keeps them. No two have blobs in common, apart from empty ones.
type maker struct {
	name  string
	blobs map[digest.Digest]blob
}

func newMaker(name string) maker { return maker{name, map[digest.Digest]blob{}} }

type blob struct {
	mediaType string
	raw       []byte
}

func (m maker) blob(mediaType string, raw []byte) ocispec.Descriptor {
	d := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(raw), Size: int64(len(raw))}
	m.blobs[d.Digest] = blob{mediaType, raw}
	return d
}

func (m maker) json(mediaType string, v any) ocispec.Descriptor {
	raw, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return m.blob(mediaType, raw)
}

// layer makes a layer with one file and its diffID.
func (m maker) layer(mediaType, text string) (ocispec.Descriptor, digest.Digest) {
	text += m.name
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	_ = w.WriteHeader(&tar.Header{Name: "file", Mode: 0o644, Size: int64(len(text))})
	_, _ = w.Write([]byte(text))
	_ = w.Close()
	return m.blob(mediaType, b.Bytes()), digest.FromBytes(b.Bytes())
}

// config makes a config for an architecture.
func (m maker) config(arch string, diffs ...digest.Digest) ocispec.Descriptor {
	p := ocispec.Platform{Architecture: arch}
	if arch != "" {
		p.OS = "linux"
	}
	return m.json(ocispec.MediaTypeImageConfig, ocispec.Image{Platform: p, RootFS: ocispec.RootFS{Type: "layers", DiffIDs: diffs}})
}

func (m maker) manifest(config ocispec.Descriptor, layers ...ocispec.Descriptor) ocispec.Descriptor {
	return m.json(ocispec.MediaTypeImageManifest, map[string]any{
		"schemaVersion": 2, "mediaType": ocispec.MediaTypeImageManifest, "config": config, "layers": layers,
	})
}

func (m maker) index(children ...ocispec.Descriptor) ocispec.Descriptor {
	return m.json(ocispec.MediaTypeImageIndex, map[string]any{
		"schemaVersion": 2, "mediaType": ocispec.MediaTypeImageIndex, "manifests": append([]ocispec.Descriptor{}, children...),
	})
}

// image makes an image of one layer.
func (m maker) image(arch string) ocispec.Descriptor {
	l, d := m.layer(ocispec.MediaTypeImageLayer, "image for "+arch)
	return m.manifest(m.config(arch, d), l)
}

// on returns an entry of an index for an architecture.
func on(d ocispec.Descriptor, arch string) ocispec.Descriptor {
	d.Platform = &ocispec.Platform{OS: "linux", Architecture: arch}
	return d
}

// Manifest and Config implement [usable.Documents].
func (m maker) Manifest(d ocispec.Descriptor) (*manifest.Manifest, error) {
	return usable.ParseManifest(m.blobs[d.Digest].raw, d.Digest)
}

func (m maker) Config(d ocispec.Descriptor) (*usable.Config, error) {
	return usable.ParseConfig(m.blobs[d.Digest].raw, d.Digest)
}

const (
	here = runtime.GOARCH
	odd  = "s390x" // no machine that runs these tests
)

var machine = usable.On(ocispec.Platform{OS: "linux", Architecture: here})

// A ruleCase is an image and why containerd cannot use it.
type ruleCase struct {
	name string
	make func(maker) ocispec.Descriptor
	want string // a part of the text of the error, "" for an image that containerd can use
}

// wider names the images for which the rule differs from containerd's pull, and why.
var wider = map[string]string{
	"a config of another type":      "containerd skips the layers when it pulls; once they are unpacked, a pod can use them",
	"an empty layer":                "containerd cannot fetch an empty blob; a bundle brings it",
	"an image for another platform": "containerd pulls it, and its programs do not start",
}

var ruleCases = []ruleCase{
	{"an image", func(m maker) ocispec.Descriptor { return m.image(here) }, ""},
	{"an index", func(m maker) ocispec.Descriptor {
		return m.index(on(m.image(odd), odd), on(m.image(here), here))
	}, ""},
	{"an index in an index", func(m maker) ocispec.Descriptor {
		return m.index(on(m.index(on(m.image(here), here)), here))
	}, ""},
	{"a layer of another type", func(m maker) ocispec.Descriptor {
		l, d := m.layer(ocispec.MediaTypeImageLayer, "a")
		return m.manifest(m.config(here, d), l, m.blob("application/wasm", []byte("\x00asm")), m.blob("application/vnd.in-toto+json", []byte("{}")))
	}, ""},
	{"a layer of another type below", func(m maker) ocispec.Descriptor {
		l, d := m.layer(ocispec.MediaTypeImageLayer, "a")
		return m.manifest(m.config(here, d), m.blob("application/wasm", []byte("\x00asm")), l)
	}, ""},
	{"a platform that the config does not state", func(m maker) ocispec.Descriptor { return m.image("") }, ""},
	{"no layers", func(m maker) ocispec.Descriptor { return m.manifest(m.config(here)) }, ""},
	{"an artifact", func(m maker) ocispec.Descriptor {
		return m.manifest(m.blob("application/vnd.cncf.helm.config.v1+json", []byte(`{"name":"x"}`)),
			m.blob("application/vnd.cncf.helm.chart.content.v1.tar+gzip", []byte("chart")))
	}, ""},
	{"an artifact with layers of images", func(m maker) ocispec.Descriptor {
		l, _ := m.layer(ocispec.MediaTypeImageLayer, "a")
		return m.manifest(m.blob(ocispec.MediaTypeEmptyJSON, []byte("{}")), l)
	}, ""},
	{"an artifact whose config is no JSON", func(m maker) ocispec.Descriptor {
		return m.manifest(m.blob("application/vnd.acme.config", []byte(`text`)), m.blob("application/vnd.acme.data", []byte("data")))
	}, "containerd cannot decode it"},
	{"an artifact whose config has a field of another type", func(m maker) ocispec.Descriptor {
		return m.manifest(m.blob("application/vnd.acme.config", []byte(`{"config":"text"}`)), m.blob("application/vnd.acme.data", []byte("data")))
	}, "containerd cannot decode it"},
	{"a config that is no JSON", func(m maker) ocispec.Descriptor {
		l, _ := m.layer(ocispec.MediaTypeImageLayer, "a")
		return m.manifest(m.blob(ocispec.MediaTypeImageConfig, []byte("no JSON")), l)
	}, "containerd cannot decode it"},
	{"environment variables that are numbers", func(m maker) ocispec.Descriptor {
		l, d := m.layer(ocispec.MediaTypeImageLayer, "a")
		c := m.blob(ocispec.MediaTypeImageConfig, fmt.Appendf(nil, `{"os":"linux","architecture":%q,"config":{"Env":[1]},"rootfs":{"type":"layers","diff_ids":[%q]}}`, here, d))
		return m.manifest(c, l)
	}, "containerd cannot decode it"},
	{"a date that is none", func(m maker) ocispec.Descriptor {
		l, d := m.layer(ocispec.MediaTypeImageLayer, "a")
		c := m.blob(ocispec.MediaTypeImageConfig, fmt.Appendf(nil, `{"created":"today","os":"linux","architecture":%q,"rootfs":{"type":"layers","diff_ids":[%q]}}`, here, d))
		return m.manifest(c, l)
	}, "containerd cannot decode it"},
	{"fewer diffIDs", func(m maker) ocispec.Descriptor {
		l, _ := m.layer(ocispec.MediaTypeImageLayer, "a")
		return m.manifest(m.config(here), l)
	}, "0 diffIDs for 1 layers"},
	{"more diffIDs", func(m maker) ocispec.Descriptor {
		l, d := m.layer(ocispec.MediaTypeImageLayer, "a")
		return m.manifest(m.config(here, d, d), l)
	}, "2 diffIDs for 1 layers"},
	{"a diffID that is no digest", func(m maker) ocispec.Descriptor {
		l, _ := m.layer(ocispec.MediaTypeImageLayer, "a")
		return m.manifest(m.config(here, "sha256:beef"), l)
	}, "diffID 1: digest"},
	{"an encrypted layer", func(m maker) ocispec.Descriptor {
		_, d := m.layer(ocispec.MediaTypeImageLayer, "a")
		return m.manifest(m.config(here, d), m.blob(ocispec.MediaTypeImageLayerGzip+"+encrypted", []byte("secret")))
	}, "it is encrypted"},
	{"a layer that is no tar", func(m maker) ocispec.Descriptor {
		l, d := m.layer("application/vnd.oci.image.layer.v1.squashfs", "a")
		return m.manifest(m.config(here, d), l)
	}, "cannot unpack the media type"},
	{"a layer of EROFS", func(m maker) ocispec.Descriptor {
		l, d := m.layer("application/vnd.erofs.layer.v1", "a")
		return m.manifest(m.config(here, d), l)
	}, "cannot unpack the media type"},
	{"a layer of another compression", func(m maker) ocispec.Descriptor {
		_, d := m.layer(ocispec.MediaTypeImageLayer, "a")
		return m.manifest(m.config(here, d), m.blob(ocispec.MediaTypeImageLayer+"+xz", []byte("\xfd7zXZ\x00")))
	}, "cannot unpack the media type"},
	{"a signature of cosign", func(m maker) ocispec.Descriptor {
		l := m.blob("application/vnd.dev.cosign.simplesigning.v1+json", []byte("{}"))
		return m.manifest(m.config("", l.Digest), l)
	}, "1 diffIDs for 0 layers"},
	{"a config of another type", func(m maker) ocispec.Descriptor {
		l, d := m.layer(ocispec.MediaTypeImageLayer, "a")
		c := m.config(here, d)
		c.MediaType = "application/vnd.acme.config"
		return m.manifest(c, l)
	}, ""},
	{"a root file system of another type", func(m maker) ocispec.Descriptor {
		l, d := m.layer(ocispec.MediaTypeImageLayer, "a")
		c := m.json(ocispec.MediaTypeImageConfig, ocispec.Image{Platform: ocispec.Platform{OS: "linux", Architecture: here}, RootFS: ocispec.RootFS{Type: "other", DiffIDs: []digest.Digest{d}}})
		return m.manifest(c, l)
	}, ""},
	{"an empty layer", func(m maker) ocispec.Descriptor {
		return m.manifest(m.config(here, digest.FromBytes(nil)), m.blob(ocispec.MediaTypeImageLayer, nil))
	}, ""},
	{"an image for another platform", func(m maker) ocispec.Descriptor { return m.image(odd) }, "no manifest for the platform"},
	{"a manifest that is a list as well", func(m maker) ocispec.Descriptor {
		return m.json(ocispec.MediaTypeImageManifest, map[string]any{
			"schemaVersion": 2, "mediaType": ocispec.MediaTypeImageManifest, "config": m.config(here), "layers": []any{}, "manifests": []any{},
		})
	}, "containerd cannot decode it"},
	{"a config of the same name that is no object", func(m maker) ocispec.Descriptor {
		return m.manifest(m.blob(ocispec.MediaTypeImageConfig, []byte(`[]`)))
	}, "containerd cannot decode it"},
	{"a config that is null", func(m maker) ocispec.Descriptor {
		return m.manifest(m.blob(ocispec.MediaTypeImageConfig, []byte(`null`)))
	}, ""},
	{"a history of another type", func(m maker) ocispec.Descriptor {
		return m.manifest(m.blob(ocispec.MediaTypeImageConfig, []byte(`{"history":[{"empty_layer":1}]}`)))
	}, "containerd cannot decode it"},
	{"labels of another type", func(m maker) ocispec.Descriptor {
		return m.manifest(m.blob(ocispec.MediaTypeImageConfig, []byte(`{"config":{"Labels":{"n":1}}}`)))
	}, "containerd cannot decode it"},
	{"a config with null for all", func(m maker) ocispec.Descriptor {
		return m.manifest(m.blob(ocispec.MediaTypeImageConfig, []byte(`{"created":null,"author":null,"config":{"Env":null,"Labels":null,"ExposedPorts":null},"rootfs":null,"history":null,"os.features":null}`)))
	}, ""},
	{"entries without a platform, the first for another", func(m maker) ocispec.Descriptor {
		return m.index(m.image(odd), m.image(here))
	}, "2 entries without a platform"},
	{"an entry without a platform", func(m maker) ocispec.Descriptor { return m.index(m.image(here)) }, ""},
	{"entries without a platform, the first for this", func(m maker) ocispec.Descriptor {
		return m.index(m.image(here), m.image(odd))
	}, ""},
	{"an entry without a platform, and a config without", func(m maker) ocispec.Descriptor { return m.index(m.image("")) }, "no manifest for the platform"},
	{"an entry without a platform beside others", func(m maker) ocispec.Descriptor {
		return m.index(m.image(here), on(m.image(odd), odd))
	}, "does not state it"},
	{"an index for other platforms", func(m maker) ocispec.Descriptor { return m.index(on(m.image(odd), odd)) }, "no manifest for the platform"},
	{"an empty index", func(m maker) ocispec.Descriptor { return m.index() }, "no manifest for the platform"},
	{"an entry of an unknown type", func(m maker) ocispec.Descriptor {
		return m.index(on(m.blob("application/vnd.acme.thing", []byte("{}")), here), m.image(here))
	}, "is not that of an image"},
	{"annotations that are not strings", func(m maker) ocispec.Descriptor {
		l, d := m.layer(ocispec.MediaTypeImageLayer, "a")
		return m.json(ocispec.MediaTypeImageManifest, map[string]any{
			"schemaVersion": 2, "mediaType": ocispec.MediaTypeImageManifest, "config": m.config(here, d), "layers": []any{l}, "annotations": map[string]any{"n": 1},
		})
	}, "containerd cannot decode it"},
}

func TestSelect(t *testing.T) {
	for _, c := range ruleCases {
		t.Run(c.name, func(t *testing.T) {
			m := newMaker(c.name)
			_, err := usable.Select(m, c.make(m), machine)
			switch {
			case (err == nil) != (c.want == ""), err != nil && !strings.Contains(err.Error(), c.want):
				t.Errorf("error %v, want %q", err, c.want)
			case err == nil || errors.Is(err, usable.ErrNoPlatform):
			case !errors.As(err, new(*usable.Error)):
				t.Errorf("error %v has the type %T", err, err)
			}
		})
	}
}

// A config of the largest size with only one kind of value.
func TestParseConfigLimits(t *testing.T) {
	for field, want := range map[string]string{
		`{"history":[{}%s]}`:             "",
		`{"config":{"Env":[""%s]}}`:      "another type",
		`{"rootfs":{"diff_ids":[""%s]}}`: "not a string",
		`{"rootfs":{"diff_ids":["a"` + strings.Repeat(`,"a"`, manifest.MaxDescriptors) + `]}}`:      "more than 4096",
		`{"config":{"Labels":{"":""` + strings.Repeat(`,"":""`, 10*manifest.MaxDescriptors) + `}}}`: "",
	} {
		raw := strings.ReplaceAll(field, "%s", strings.Repeat(",{}", manifest.MaxSize/4))
		c, err := usable.ParseConfig([]byte(raw), digest.FromString(raw))
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%.40s…: %v, want %q", raw, err, want)
		}
		if err == nil && len(c.DiffIDs) > 0 {
			t.Errorf("%.40s…: %d diffIDs", raw, len(c.DiffIDs))
		}
	}
}
