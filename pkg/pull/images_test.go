package pull

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stowage/internal/registrytest"
)

// platform sets the platform of a descriptor.
func platform(d ocispec.Descriptor, s string) ocispec.Descriptor {
	p, err := ParsePlatform(s)
	if err != nil {
		panic(err)
	}
	d.Platform = &p
	return d
}

// forPlatforms sets the platforms of a client.
func forPlatforms(list ...string) func(*Options) {
	return func(o *Options) {
		o.Platforms = nil
		for _, s := range list {
			p, err := ParsePlatform(s)
			if err != nil {
				panic(err)
			}
			o.Platforms = append(o.Platforms, p)
		}
	}
}

// TestOddIndexes checks the unusual indexes that registries have.
func TestOddIndexes(t *testing.T) {
	h := registrytest.Start(t, registrytest.Options{})
	add := func(repo string, p string) ocispec.Descriptor {
		return registrytest.Must(h.AddImage(repo, "of-"+strings.ReplaceAll(p, "/", "-"), registrytest.Image{Platform: p}))(t).Descriptor
	}
	amd, arm := add("a/b", "linux/amd64"), add("a/b", "linux/arm64")
	chart := registrytest.Must(h.AddArtifact("a/b", "chart", registrytest.Artifact{Type: "application/vnd.cncf.helm.config.v1+json"}))(t).Descriptor
	chart.ArtifactType = ""
	inner := addIndex(t, h, "a/b", "inner", platform(amd, "linux/amd64"), platform(arm, "linux/arm64"))
	bare := func(d ocispec.Descriptor) ocispec.Descriptor {
		return ocispec.Descriptor{MediaType: d.MediaType, Digest: d.Digest, Size: d.Size}
	}
	embedded := bare(amd)
	embedded.Data = registrytest.Must(h.Manifest("a/b", amd.Digest.String()))(t)
	addIndex(t, h, "a/b", "nested", inner)
	addIndex(t, h, "a/b", "no-platforms", bare(arm), bare(amd))
	addIndex(t, h, "a/b", "no-platform", bare(amd))
	addIndex(t, h, "a/b", "artifacts", bare(chart))
	addIndex(t, h, "a/b", "mixed", platform(amd, "linux/amd64"), bare(chart))
	addIndex(t, h, "a/b", "embedded", platform(embedded, "linux/amd64"))
	addIndex(t, h, "a/b", "empty")
	addIndex(t, h, "a/b", "twice", platform(arm, "linux/arm64/v8"), platform(arm, "linux/arm64"), platform(amd, "linux/amd64"), platform(amd, "linux/amd64"))
	deep := inner
	for i := range maxDepth {
		deep = addIndex(t, h, "a/b", fmt.Sprintf("deep%d", i), deep)
	}
	for tag, c := range map[string]struct {
		want  string
		have  []digest.Digest // Present without the top
		gets  int
		fault any
	}{
		"nested":         {"linux/amd64", []digest.Digest{inner.Digest, amd.Digest}, 3, nil},
		"no-platforms":   {"linux/amd64", nil, 0, new(*UnsupportedError)}, // containerd examines only the first
		"no-platform":    {"linux/amd64", []digest.Digest{amd.Digest}, 2, nil},
		"twice":          {"linux/arm64/v8 linux/amd64", []digest.Digest{arm.Digest, amd.Digest}, 3, nil},
		"artifacts":      {"linux/amd64", []digest.Digest{chart.Digest}, 2, nil},
		"mixed":          {"linux/amd64", []digest.Digest{amd.Digest}, 2, nil},
		"embedded":       {"linux/amd64", []digest.Digest{amd.Digest}, 1, nil},
		"chart":          {"linux/amd64", nil, 1, nil},
		"empty":          {"linux/amd64", nil, 0, new(*NoPlatformError)},
		"of-linux-arm64": {"linux/amd64", nil, 0, new(*NoPlatformError)},
		"inner":          {"linux/arm64 linux/amd64", []digest.Digest{amd.Digest, arm.Digest}, 3, nil},
	} {
		t.Run(tag, func(t *testing.T) {
			h.Reset()
			client := newClient(t, forPlatforms(strings.Fields(c.want)...))
			if c.fault != nil {
				if err := failure(t, client, h.Ref("a/b", tag)); !errors.As(err, c.fault) {
					t.Errorf("error %v, want a %T", err, c.fault)
				}
				return
			}
			var have []digest.Digest
			resolved := resolve(t, client, h.Ref("a/b", tag))[0]
			for _, d := range resolved.Present[1:] {
				have = append(have, d.Digest)
			}
			if resolved.Artifact != (tag == "chart" || tag == "artifacts") {
				t.Errorf("artifact: %v", resolved.Artifact)
			}
			if n := h.Counts().ManifestGets; !slices.Equal(have, c.have) || n != c.gets {
				t.Errorf("present %v after %d GETs, want %v after %d", have, n, c.have, c.gets)
			}
		})
	}
	var crowd []ocispec.Descriptor
	for i := range maxManifests {
		d := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Data: fmt.Appendf(nil, `{"schemaVersion":2,"config":{"digest":%q},"layers":[],"annotations":{"n":"%d"}}`, digest.FromString(""), i)}
		d.Digest, d.Size = digest.FromBytes(d.Data), int64(len(d.Data))
		crowd = append(crowd, platform(d, "linux/amd64"))
	}
	addIndex(t, h, "a/b", "crowd", crowd...)
	if err := failure(t, newClient(t, func(o *Options) { o.All = true }), h.Ref("a/b", "crowd")); !strings.Contains(err.Error(), "more than") {
		t.Errorf("error %v, want one about the number", err)
	}
	if err := failure(t, newClient(t, nil), h.Ref("a/b", fmt.Sprintf("deep%d", maxDepth-1))); !strings.Contains(err.Error(), "deep") {
		t.Errorf("error %v, want one about the depth", err)
	}
}

// TestWindows checks the choice by build: a node runs images of its own build only, so
// without a build all are taken.
func TestWindows(t *testing.T) {
	h := registrytest.Start(t, registrytest.Options{})
	var children []ocispec.Descriptor
	for i, build := range []string{"10.0.17763.6000", "10.0.20348.2700", "10.0.26100.1"} {
		d := registrytest.Must(h.AddImage("win/app", build, registrytest.Image{Platform: "windows/amd64", Layers: []*registrytest.Layer{{Files: []registrytest.File{{Name: "f", Size: int64(i)}}}}}))(t).Descriptor
		d.Platform = &ocispec.Platform{OS: "windows", Architecture: "amd64", OSVersion: build}
		children = append(children, d)
	}
	addIndex(t, h, "win/app", "v1", children...)
	for want, n := range map[string]int{"windows/amd64": 3, "windows(10.0.17763)/amd64": 1, "windows(10.0.20348)/amd64": 1} {
		images := resolve(t, newClient(t, forPlatforms(want)), h.Ref("win/app", "v1"))
		if got := len(images[0].Present) - 1; got != n {
			t.Errorf("%s: %d images, want %d", want, got, n)
		}
	}
	err := failure(t, newClient(t, nil), h.Ref("win/app", "v1"))
	var p *NoPlatformError
	if !errors.As(err, &p) || !strings.Contains(err.Error(), "windows(10.0.17763") || strings.Contains(err.Error(), "\n") {
		t.Errorf("error %v, want one that says what the image is for", err)
	}
}

// TestFormats checks Docker's and OCI's media types, also mixed.
func TestFormats(t *testing.T) {
	h := registrytest.Start(t, registrytest.Options{})
	docker, oci := registrytest.Image{Format: registrytest.Docker}, registrytest.Image{Platform: "linux/arm64"}
	registrytest.Must(h.AddIndex("a/b", "docker", registrytest.Index{Format: registrytest.Docker, Images: []registrytest.Image{docker, oci}}))(t)
	registrytest.Must(h.AddIndex("a/b", "oci", registrytest.Index{Images: []registrytest.Image{oci, docker}}))(t)
	registrytest.Must(h.AddImage("a/b", "single", docker))(t)
	resolve(t, newClient(t, nil), h.Ref("a/b", "docker"), h.Ref("a/b", "oci"), h.Ref("a/b", "single"))
	resolve(t, newClient(t, forPlatforms("linux/amd64", "linux/arm64")), h.Ref("a/b", "docker"), h.Ref("a/b", "oci"))
}

// TestAttestationsAreOptional checks that attestations need Options.Referrers.
func TestAttestationsAreOptional(t *testing.T) {
	h := registrytest.Start(t, registrytest.Options{})
	added := registrytest.Must(h.AddIndex("a/b", "v1", registrytest.Index{Images: []registrytest.Image{{}, {Platform: "linux/arm64"}}, Attestation: true}))(t)
	for with, want := range map[bool]int{false: 2, true: 3} {
		images := resolve(t, newClient(t, func(o *Options) { o.Referrers = with }), h.Ref("a/b", "v1"))
		if got := len(images[0].Present); got != want || images[0].Target.Digest != added.Digest || len(images[0].Referrers) > 0 {
			t.Errorf("referrers %v: %+v, want %d documents present", with, images[0], want)
		}
	}
	resolve(t, newClient(t, func(o *Options) { o.All = true }), h.Ref("a/b", "v1"))
}

// TestReferrers checks that signatures and SBOMs are found wherever they are stored, without
// a pull for the search.
func TestReferrers(t *testing.T) {
	for name, c := range map[string]struct {
		api, tags, fallback bool
		want                int
	}{
		"none":           {true, false, false, 0},
		"API":            {true, true, false, 3},
		"cosign's tags":  {false, true, false, 1},
		"fallback tag":   {false, false, true, 1},
		"no API, no tag": {false, false, false, 0},
	} {
		t.Run(name, func(t *testing.T) {
			h := registrytest.Start(t, registrytest.Options{Policy: registrytest.Policy{Auth: registrytest.AuthBearer}, Faults: registrytest.Faults{NoReferrers: !c.api}})
			added := registrytest.Must(h.AddIndex("a/b", "v1", registrytest.Index{Images: []registrytest.Image{{}, {Platform: "linux/arm64"}}}))(t)
			child := added.Manifests[0].Descriptor
			if c.api && c.want > 0 {
				registrytest.Must(h.AddReferrer("a/b", added.Descriptor))(t)
				registrytest.Must(h.AddReferrer("a/b", child))(t)
				registrytest.Must(h.AddReferrer("a/b", added.Manifests[1].Descriptor))(t) // of a platform that is not chosen
			}
			if c.tags {
				registrytest.Must(h.AddCosignTag("a/b", added.Digest))(t)
			}
			if c.fallback {
				sbom := registrytest.Must(h.AddArtifact("a/b", "", registrytest.Artifact{Type: "application/spdx+json", Blobs: [][]byte{[]byte("sbom")}}))(t)
				addIndex(t, h, "a/b", tagFor(child.Digest), sbom.Descriptor)
			}
			h.Reset()
			client := newClient(t, func(o *Options) { o.Referrers = true })
			images := resolve(t, client, h.Ref("a/b", "v1"))
			got := images[0].Referrers
			if len(got) != c.want || len(images[0].Present) != 2 || !slices.IsSortedFunc(got, func(a, b ocispec.Descriptor) int { return strings.Compare(string(a.Digest), string(b.Digest)) }) {
				t.Fatalf("referrers %+v, want %d in order", got, c.want)
			}
			for _, d := range got {
				raw, err := client.docs.Metadata(d.Digest)
				if err != nil || int64(len(raw)) != d.Size || d.MediaType == "" || d.ArtifactType == "" {
					t.Errorf("referrer %+v: %v", d, err)
				}
			}
			if c.tags && !slices.ContainsFunc(got, func(d ocispec.Descriptor) bool {
				return d.Annotations[ocispec.AnnotationRefName] == h.Host()+"/a/b:"+tagFor(added.Digest)+".sig"
			}) {
				t.Errorf("no referrer says which tag leads to it: %+v", got)
			}
			for _, blob := range blobsOf(t, client, images) {
				if err := client.Fetch(t.Context(), blob, newSink(blob)); err != nil {
					t.Errorf("blob %s: %v", blob.Digest, err)
				}
			}
			if c.fallback && got[0].Annotations[ocispec.AnnotationRefName] != h.Host()+"/a/b:"+tagFor(child.Digest) {
				t.Errorf("what has no subject is not tied to its image: %+v", got)
			}
			gets := 2 + c.want
			if c.fallback {
				gets++ // the index under the tag
			}
			if n := h.Counts().ManifestGets; n != gets {
				t.Errorf("%d GETs of manifests, want %d: looking is free", n, gets)
			}
		})
	}
}

// TestUnrelatedReferrers checks that a manifest in the list that does not state the image as
// its subject is skipped with an event, and the others are taken.
func TestUnrelatedReferrers(t *testing.T) {
	h := registrytest.Start(t, registrytest.Options{})
	added := registrytest.Must(h.AddImage("a/b", "v1", registrytest.Image{}))(t)
	other := registrytest.Must(h.AddImage("a/b", "v2", registrytest.Image{Annotations: map[string]string{"n": "2"}}))(t)
	stray := registrytest.Must(h.AddReferrer("a/b", other.Descriptor))(t)
	good := registrytest.Must(h.AddReferrer("a/b", added.Descriptor))(t)
	var events []string
	c := newClient(t, func(o *Options) {
		o.Referrers = true
		o.OnEvent = func(n Event) { events = append(events, n.Text) }
		o.Transport = wire(func(req *http.Request) (*http.Response, error) {
			resp, err := http.DefaultTransport.RoundTrip(req)
			if err == nil && strings.Contains(req.URL.Path, "/referrers/") {
				raw, _ := json.Marshal(ocispec.Index{MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{stray.Descriptor, good.Descriptor}})
				resp.Body.Close()
				resp.Body, resp.ContentLength = bodyOf(string(raw)), int64(len(raw))
			}
			return resp, err
		})
	})
	got := resolve(t, c, h.Ref("a/b", "v1"))[0].Referrers
	if len(got) != 1 || got[0].Digest != good.Digest || len(events) != 1 || !strings.Contains(events[0], stray.Digest.String()) {
		t.Errorf("referrers %+v, events %q", got, events)
	}
}

// TestReferrersFail checks that a failed search is an error and not an empty result.
func TestReferrersFail(t *testing.T) {
	for name, f := range map[string]registrytest.Faults{
		"500":         {Fail: registrytest.Failure{Status: 500, Times: registrytest.Always}, Only: registrytest.Filter{Kinds: []registrytest.Kind{registrytest.KindReferrers}}},
		"403":         {Fail: registrytest.Failure{Status: 403, Times: registrytest.Always}, Only: registrytest.Filter{Kinds: []registrytest.Kind{registrytest.KindReferrers}}},
		"403 of tags": {Fail: registrytest.Failure{Status: 403, Times: registrytest.Always}, Only: registrytest.Filter{Path: "/manifests/sha256-"}},
	} {
		t.Run(name, func(t *testing.T) {
			h, ref, _, _ := content(t, registrytest.Options{Faults: f}, 10)
			if err := failure(t, newClient(t, func(o *Options) { o.Referrers = true }), ref); err == nil || h.Counts().Requests == 0 {
				t.Error("no error")
			}
		})
	}
}

// TestReferrersPages checks a list in several pages, and one that never ends.
func TestReferrersPages(t *testing.T) {
	h, ref, _, _ := content(t, registrytest.Options{}, 10)
	var subject ocispec.Descriptor
	for _, d := range resolve(t, newClient(t, nil), ref)[0].Present {
		subject = d
	}
	var all []ocispec.Descriptor
	for i := range 3 {
		all = append(all, registrytest.Must(h.AddArtifact("a/b", "", registrytest.Artifact{Type: "application/x", Blobs: [][]byte{{byte(i)}}, Subject: &subject}))(t).Descriptor)
	}
	for name, endless := range map[string]bool{"three pages": false, "endless": true} {
		t.Run(name, func(t *testing.T) {
			c := newClient(t, func(o *Options) {
				o.Referrers = true
				o.Transport = wire(func(req *http.Request) (*http.Response, error) {
					if !strings.Contains(req.URL.Path, "/referrers/") {
						return http.DefaultTransport.RoundTrip(req)
					}
					var page int
					fmt.Sscan(req.URL.Query().Get("page"), &page)
					raw, err := json.Marshal(ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, Manifests: all[page%3 : page%3+1]})
					resp := &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {ocispec.MediaTypeImageIndex}}, Request: req, Body: bodyOf(string(raw))}
					if page < 2 || endless {
						resp.Header.Set("Link", fmt.Sprintf(`<%s?page=%d>; rel="next"`, req.URL.Path, page+1))
					}
					return resp, err
				})
			})
			if endless {
				if err := failure(t, c, ref); !strings.Contains(err.Error(), "pages") {
					t.Errorf("error %v", err)
				}
				return
			}
			if got := resolve(t, c, ref)[0].Referrers; len(got) != 3 {
				t.Errorf("%d referrers, want 3", len(got))
			}
		})
	}
}

func TestNextPage(t *testing.T) {
	at, err := url.Parse("https://registry.example/v2/a/b/referrers/sha256:00")
	if err != nil {
		t.Fatal(err)
	}
	for in, want := range map[string]string{
		`</v2/a/b/referrers/sha256:00?last=x>; rel="next"`:     "https://registry.example/v2/a/b/referrers/sha256:00?last=x",
		`<?last=x>; rel=next`:                                  "https://registry.example/v2/a/b/referrers/sha256:00?last=x",
		`<https://registry.example/v2/x>; foo=bar; rel="next"`: "https://registry.example/v2/x",
		`</first>; rel="first", </v2/next>; rel="next"`:        "https://registry.example/v2/next",
		`<https://evil.example/v2/x>; rel="next"`:              "",
		`<http://registry.example/v2/x>; rel="next"`:           "",
		`<https://ann:pw@registry.example/v2/x>; rel="next"`:   "",
		`</v2/x>; rel="prev"`:                                  "",
		`</v2/x>`:                                              "",
		`nonsense`:                                             "",
		`<%zz>; rel="next"`:                                    "",
	} {
		if got := nextPage(http.Header{"Link": {in}}, at); got != want {
			t.Errorf("nextPage(%q) = %q, want %q", in, got, want)
		}
	}
}
