package bundle

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stowage/pkg/archive"
	"stowage/pkg/pull"
)

// manifest returns a manifest with a config and descriptors of layers, each as it is.
func (s *site) manifest(config ocispec.Descriptor, layers ...ocispec.Descriptor) []byte {
	s.t.Helper()
	config.MediaType = ocispec.MediaTypeImageConfig
	m := ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest, Config: config, Layers: layers}
	for i := range m.Layers {
		m.Layers[i].MediaType = ocispec.MediaTypeImageLayer
	}
	raw, err := json.Marshal(m)
	if err != nil {
		s.t.Fatal(err)
	}
	return raw
}

// TestOneImageIsOneImage: each fault of one image is the failure of that image. The error
// names it, Options.KeepGoing writes the others and records it, and an image that is not
// required is skipped.
func TestOneImageIsOneImage(t *testing.T) {
	s := newSite(t)
	config := func(text string) ocispec.Descriptor { return s.AddBlob("bad", []byte(text)) }
	const ofAmd64 = `{"os":"linux","architecture":"amd64","rootfs":{"type":"layers","diff_ids":[]}}`
	ofOne := strings.Replace(ofAmd64, "[]", `["`+digest.FromString("layer").String()+`"]`, 1)
	layer := s.AddBlob("bad", []byte("layer"))
	sized := func(d ocispec.Descriptor, size int64) ocispec.Descriptor { d.Size = size; return d }
	named := func(d digest.Digest) ocispec.Descriptor { return ocispec.Descriptor{Digest: d, Size: 5} }
	for name, doc := range map[string][]byte{
		"config-no-json":   s.manifest(config("not json")),
		"config-digest":    s.manifest(named("x")),
		"config-path":      s.manifest(named("../../../../api/v4?x=y")),
		"config-lost":      s.manifest(named(digest.FromString("lost"))),
		"config-size":      s.manifest(sized(config(ofAmd64), 5)),
		"config-size-0":    s.manifest(sized(config(ofAmd64), 0)),
		"layer-digest":     s.manifest(config(ofAmd64), named("x")),
		"layer-sha512":     s.manifest(config(ofAmd64), named(digest.SHA512.FromString("layer"))),
		"layer-size":       s.manifest(config(ofOne), sized(layer, 6)),
		"layer-size-0":     s.manifest(config(ofAmd64), sized(layer, 0)),
		"layer-negative":   s.manifest(config(ofAmd64), sized(layer, -1)),
		"layer-1TiB":       s.manifest(config(ofOne), sized(layer, 1<<40)),
		"fewer-diffids":    s.manifest(config(ofAmd64), layer),
		"diffid-no-digest": s.manifest(config(strings.Replace(ofAmd64, "[]", `["x"]`, 1)), layer),
		"encrypted":        bytes.Replace(s.manifest(config(ofOne), layer), []byte("tar"), []byte("tar+encrypted"), 1),
		"layer-more":       s.manifest(config(ofAmd64), sized(layer, 1<<40+1)),
		"manifest-cut":     []byte(`{"schemaVersion":2,"config":`),
		"manifest-no-json": []byte(`not found`),
		"manifest-empty":   []byte(`{}`),
		"other-platform":   s.manifest(config(strings.Replace(ofAmd64, "amd64", "s390x", 1))),
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := s.AddRaw("bad", name, ocispec.MediaTypeImageManifest, doc); err != nil {
				t.Fatal(err)
			}
			bad := s.Host() + "/bad:" + name
			req := s.request(name+".tar", "app:v1", "bad:"+name)
			_, err := Make(t.Context(), req, Options{Pull: pull.Options{Attempts: 1}})
			if !IsMissing(err) || strings.Join(Failed(err), " ") != bad || !strings.Contains(err.Error(), bad) {
				t.Errorf("got %v of %v, want a failure of %s", err, Failed(err), bad)
			}
			r, err := Make(t.Context(), req, Options{KeepGoing: true, Pull: pull.Options{Attempts: 1}})
			var incomplete *IncompleteError
			if !errors.As(err, &incomplete) || !incomplete.Written {
				t.Fatalf("KeepGoing: got %v, want an IncompleteError", err)
			}
			s.want("KeepGoing", s.names(r), []string{"app:v1", "-bad:" + name})
			s.verify(name + ".tar")
			req.Images[1].Required = false
			s.want("not required", s.names(s.make(req, Options{Pull: pull.Options{Attempts: 1}})), []string{"app:v1", "-bad:" + name})
		})
	}
}

// TestMissingPlatform: a platform that an image does not have is missing for that platform
// only.
func TestMissingPlatform(t *testing.T) {
	s := newSite(t)
	req := s.request("out.tar", "app:v1", "other:v1")
	req.Platforms = append(req.Platforms, ocispec.Platform{OS: "linux", Architecture: "arm64"})
	other := s.Host() + "/other:v1"
	_, err := Make(t.Context(), req, Options{})
	if want := other + ": no image for linux/arm64, it has linux/amd64"; err == nil || err.Error() != want || !IsMissing(err) {
		t.Errorf("got %v, want %s", err, want)
	}
	r, err := Make(t.Context(), req, Options{KeepGoing: true})
	if want := "the bundle is incomplete: 1 of 2 images without a platform"; err == nil || err.Error() != want {
		t.Fatalf("KeepGoing: got %v, want %s", err, want)
	}
	s.want("KeepGoing", s.names(r), []string{"app:v1", "other:v1", "-other:v1"})
	s.verify("out.tar")
	b, err := archive.Open(t.Context(), s.path("out.tar"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	s.want("record", b.Skipped(), []archive.Skipped{{Name: other, Reason: other + ": no image for linux/arm64, it has linux/amd64", Platforms: "linux/arm64"}})
	if skipped := b.Skipped()[0]; !skipped.On("linux/arm64") || skipped.On("linux/amd64") {
		t.Errorf("%+v is not on linux/arm64 alone", skipped)
	}
	req.Images[1].Required = false
	s.want("not required", s.names(s.make(req, Options{})), []string{"app:v1", "other:v1", "-other:v1"})
	if _, err := Make(t.Context(), req, Options{Strict: true}); !IsMissing(err) {
		t.Errorf("Strict: got %v", err)
	}
}
