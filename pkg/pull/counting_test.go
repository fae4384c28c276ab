package pull

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stowage/internal/registrytest"
	"stowage/pkg/pull/account"
)

// TestMovedTag checks that a manifest held by digest is not requested again.
func TestMovedTag(t *testing.T) {
	layer := func(n int64) []*registrytest.Layer {
		return []*registrytest.Layer{{Files: []registrytest.File{{Name: "f", Size: n}}}}
	}
	first := registrytest.Image{Layers: layer(1)}
	arm := registrytest.Image{Platform: "linux/arm64", Layers: layer(2)}
	for name, c := range map[string]struct {
		then registrytest.Index
		gets int
	}{
		"to another image":            {registrytest.Index{Images: []registrytest.Image{{Layers: layer(3)}, arm}}, 2},
		"another platform changed":    {registrytest.Index{Images: []registrytest.Image{first, {Platform: "linux/arm64", Layers: layer(4)}}}, 1},
		"attestations were added":     {registrytest.Index{Images: []registrytest.Image{first, arm}, Attestation: true}, 1},
		"to what it meant before":     {registrytest.Index{Images: []registrytest.Image{first, arm}}, 0},
		"the index alone was written": {registrytest.Index{Images: []registrytest.Image{first, arm}, Annotations: map[string]string{"a": "b"}}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			h := registrytest.Start(t, registrytest.Options{Policy: registrytest.Policy{Auth: registrytest.AuthBearer}})
			registrytest.Must(h.AddIndex("a/b", "v1", registrytest.Index{Images: []registrytest.Image{first, arm}}))(t)
			docs := &memory{}
			resolve(t, newClient(t, func(o *Options) { o.Metadata = docs }), h.Ref("a/b", "v1"))
			then := registrytest.Must(h.AddIndex("a/b", "v1", c.then))(t)
			h.Reset()
			got := resolve(t, newClient(t, func(o *Options) { o.Metadata = docs }), h.Ref("a/b", "v1"))
			n := h.Counts()
			if n.ManifestHeads != 1 || n.ManifestGets != c.gets || n.Pings != 1 || n.Tokens != 1 || got[0].Target.Digest != then.Digest {
				t.Errorf("%d HEADs, %d GETs, %d pings, %d tokens, want 1, %d, 1, 1", n.ManifestHeads, n.ManifestGets, n.Pings, n.Tokens, c.gets)
			}
		})
	}
}

// TestFurtherPlatforms checks that each platform costs one GET beside the index.
func TestFurtherPlatforms(t *testing.T) {
	h := registrytest.Start(t, registrytest.Options{Policy: registrytest.Policy{Auth: registrytest.AuthBearer}})
	registrytest.Must(h.AddIndex("a/b", "v1", registrytest.Index{Images: []registrytest.Image{{}, {Platform: "linux/arm64"}, {Platform: "linux/arm/v7"}, {Platform: "linux/s390x"}}}))(t)
	for list, gets := range map[string]int{"linux/amd64": 2, "linux/amd64,linux/arm64/v8": 3, "linux/arm/v7,linux/amd64,linux/arm64": 4, "all": 5} {
		t.Run(list, func(t *testing.T) {
			h.Reset()
			var asked Estimate
			c := newClient(t, func(o *Options) {
				o.Platforms, o.All = nil, list == "all"
				o.Before = func(e Estimate) error { asked = e; return nil }
				for s := range strings.SplitSeq(list, ",") {
					if p, err := ParsePlatform(s); err == nil && !o.All {
						o.Platforms = append(o.Platforms, p)
					}
				}
			})
			images := resolve(t, c, h.Ref("a/b", "v1"))
			if n := h.Counts().ManifestGets; n != gets || len(images[0].Present) != gets {
				t.Errorf("%d GETs for %d documents, want %d", n, len(images[0].Present), gets)
			}
			if list != "all" && asked.Pulls != gets {
				t.Errorf("estimate of %d pulls, want %d", asked.Pulls, gets)
			}
		})
	}
}

// TestEstimate checks the sizes that are known, and whose pulls are spent.
func TestEstimate(t *testing.T) {
	h := registrytest.Start(t, registrytest.Options{Policy: registrytest.Policy{Auth: registrytest.AuthBearer, AnonymousQuota: 50, Accounts: []registrytest.Account{{User: "ann", Password: "pw", Quota: 200}}}})
	names := many(t, h, 4)
	docs := &memory{}
	var asked Estimate
	ask := func(list accounts, names ...string) (*Client, []Resolved) {
		c := newClient(t, func(o *Options) {
			o.Metadata, o.Accounts = docs, list
			o.Before = func(e Estimate) error { asked = e; return nil }
		})
		return c, resolve(t, c, names...)
	}
	_, images := ask(accounts{}, names[0])
	if want := []Need{{Host: h.Host(), Pulls: 1, Quota: asked.Quotas[0]}}; !slices.Equal(asked.Needs, want) || asked.Bytes != 0 || asked.Needs[0].Quota.Remaining != 50 {
		t.Errorf("first: %+v, want %+v", asked, want)
	}
	c, all := ask(accounts{h.Host(): {login1(t, h.Host(), "ann", "pw")}}, append(names, names[0])...)
	if len(asked.Needs) != 1 || asked.Needs[0].Account != "--creds" || asked.Needs[0].Pulls != 3 || asked.Needs[0].Quota.Remaining != 200 {
		t.Errorf("with an account: %+v", asked.Needs)
	}
	var bytes int64
	for _, b := range blobsOf(t, c, images) {
		bytes += b.Size
	}
	if asked.Images != 4 || asked.Held != 1 || asked.Bytes != bytes {
		t.Errorf("estimate %+v, want 4 images, 1 held, %d bytes", asked, bytes)
	}
	bytes = 0
	for _, b := range blobsOf(t, c, all) {
		bytes += b.Size
	}
	ask(accounts{}, names...)
	if asked.Pulls != 0 || len(asked.Needs) != 0 || asked.Held != 4 || asked.Bytes != bytes {
		t.Errorf("nothing to pull: %+v, want %d bytes", asked, bytes)
	}
}

// TestSameDigestElsewhere checks that two repositories with one image cost one pull, and
// that a failure of one does not affect the other.
func TestSameDigestElsewhere(t *testing.T) {
	h := registrytest.Start(t, registrytest.Options{})
	registrytest.Must(h.AddImage("a/one", "v1", registrytest.Image{}))(t)
	d := registrytest.Must(h.AddImage("a/two", "v1", registrytest.Image{}))(t)
	resolve(t, newClient(t, nil), h.Ref("a/one", "v1"), h.Ref("a/two", "v1"))
	if n := h.Counts().ManifestGets; n != 1 {
		t.Errorf("%d GETs, want 1", n)
	}
	images, failures, err := newClient(t, func(o *Options) { o.Jobs = 1 }).Resolve(t.Context(), refs(h.Ref("a/none", d.Digest.String()), h.Ref("a/two", d.Digest.String())))
	if err != nil || len(images) != 1 || len(failures) != 1 || images[0].Name != h.Ref("a/two", d.Digest.String()) {
		t.Errorf("%v, %v, %v", images, failures, err)
	}
}

// TestDigests checks that only HEAD is used, and no request for a name with a digest.
func TestDigests(t *testing.T) {
	h := registrytest.Start(t, registrytest.Options{Policy: registrytest.Policy{Auth: registrytest.AuthBearer}})
	added := registrytest.Must(h.AddIndex("a/b", "v1", registrytest.Index{Images: []registrytest.Image{{}, {Platform: "linux/arm64"}}}))(t)
	pinned := h.Ref("a/b", "v1") + "@" + added.Digest.String()
	c := newClient(t, nil)
	got, failures, err := c.Digests(t.Context(), refs(h.Ref("a/b", "v1"), h.Ref("a/b", "none"), pinned, h.Ref("a/b", "v1")))
	want := []Lock{{h.Ref("a/b", "v1"), added.Digest}, {pinned, added.Digest}}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v, -want +got:\n%s", err, diff)
	}
	var missing *NotFoundError
	if len(failures) != 1 || failures[0].Name != h.Ref("a/b", "none") || !errors.As(failures[0].Err, &missing) {
		t.Errorf("failures %v", failures)
	}
	if n := h.Counts(); n.ManifestHeads != 2 || n.ManifestGets != 0 || n.BlobGets != 0 {
		t.Errorf("%d HEADs, %d GETs, want 2 and none", n.ManifestHeads, n.ManifestGets)
	}
	h.SetFaults(func(f *registrytest.Faults) { f.HeadStatus = 405 })
	got, failures, err = c.Digests(t.Context(), refs(h.Ref("a/b", "v1")))
	if err != nil || len(failures) != 0 || len(got) != 1 || got[0].Digest != added.Digest || h.Counts().ManifestGets != 1 {
		t.Errorf("without HEAD: %v, %v, %v, want the digest by one GET", got, failures, err)
	}
}

// TestMissingDigest checks the error for a digest that the registry no longer has.
func TestMissingDigest(t *testing.T) {
	h := registrytest.Start(t, registrytest.Options{})
	added := registrytest.Must(h.AddIndex("a/b", "v1", registrytest.Index{Images: []registrytest.Image{{}, {Platform: "linux/arm64"}}}))(t)
	child := added.Manifests[0].Digest
	for _, gone := range []digest.Digest{child, added.Digest} {
		if err := h.Delete("a/b", gone.String()); err != nil {
			t.Fatal(err)
		}
		err := failure(t, newClient(t, nil), h.Ref("a/b", added.Digest.String()))
		var missing *NotFoundError
		if !errors.As(err, &missing) || missing.Digest != gone || !strings.Contains(err.Error(), "no longer") {
			t.Errorf("error %v, want one that says %s has gone", err, gone)
		}
	}
}

// onDisk keeps manifests in files, as an unfinished bundle does.
type onDisk struct{ dir string }

func (s onDisk) at(d digest.Digest) string { return filepath.Join(s.dir, d.Encoded()) }

func (s onDisk) Metadata(d digest.Digest) ([]byte, error) { return os.ReadFile(s.at(d)) }

func (s onDisk) AddMetadata(raw []byte) (digest.Digest, error) {
	d := digest.FromBytes(raw)
	f, err := os.CreateTemp(s.dir, "new-")
	if err != nil {
		return d, err
	}
	_, err = f.Write(raw)
	return d, errors.Join(err, f.Close(), os.Rename(f.Name(), s.at(d)))
}

// TestMemoryStaysFlat checks that of each of 2,000 images some names and digests are kept in
// memory, but no manifest. Each has a manifest and a config of 20 KB here.
func TestMemoryStaysFlat(t *testing.T) {
	if testing.Short() {
		t.Skip("makes 2,000 images")
	}
	const images, pad, bound = 2000, 20 << 10, 3 << 10
	h := registrytest.Start(t, registrytest.Options{})
	layer := h.AddBlob("a/b", []byte("layer"))
	layer.MediaType = ocispec.MediaTypeImageLayerGzip
	var names []string
	for i := range images {
		d := addManifest(t, h, "a/b", "", ocispec.Manifest{
			Layers:      []ocispec.Descriptor{layer},
			Annotations: map[string]string{"n": strings.Repeat("x", pad), "i": string(rune('a'+i%26)) + time.Duration(i).String()},
		})
		names = append(names, h.Ref("a/b", d.Digest.String()))
	}
	c := newClient(t, func(o *Options) { o.Metadata = onDisk{t.TempDir()} })
	before := heap()
	got := resolve(t, c, names...)
	h.Reset()
	grown := heap() - before
	t.Logf("%d bytes an image", grown/images)
	if grown > images*bound {
		t.Errorf("%d bytes held for %d images, want %d for each at most", grown, images, bound)
	}
	runtime.KeepAlive(got)
	runtime.KeepAlive(c)
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestManyRepositories checks that more repositories than fit into the URL of a token
// request use several tokens.
func TestManyRepositories(t *testing.T) {
	h := registrytest.Start(t, registrytest.Options{Policy: registrytest.Policy{Auth: registrytest.AuthBearer}})
	var names []string
	for i := range scopesPerToken + 1 {
		repo := "team/project-with-a-long-name/" + time.Duration(i+1).String()
		registrytest.Must(h.AddImage(repo, "v1", registrytest.Image{}))(t)
		names = append(names, h.Ref(repo, "v1"))
	}
	for n, want := range map[int]int{scopesPerToken - 1: 1, scopesPerToken: 1, scopesPerToken + 1: 2} {
		h.Reset()
		resolve(t, newClient(t, nil), names[:n]...)
		if got := h.Counts(); got.Tokens != want || got.Pings != want {
			t.Errorf("%d repositories: %d tokens, %d pings, want %d", n, got.Tokens, got.Pings, want)
		}
	}
}

// TestIdentityTokens checks that a refresh token of a login file is exchanged for access
// tokens.
func TestIdentityTokens(t *testing.T) {
	h := registrytest.Start(t, registrytest.Options{Policy: registrytest.Policy{Auth: registrytest.AuthBearer, RefuseAnonymous: true, Accounts: []registrytest.Account{{User: "ann", Password: "pw"}}}})
	names := many(t, h, 3)
	file := filepath.Join(t.TempDir(), "config.json")
	if err := os.WriteFile(file, []byte(`{"auths":{"`+h.Host()+`":{"identitytoken":"`+h.IdentityToken("ann")+`"}}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	store, err := account.Load(account.Options{Environment: &account.Environment{ReadFile: os.ReadFile}, AuthFile: file})
	if err != nil {
		t.Fatal(err)
	}
	resolve(t, newClient(t, func(o *Options) { o.Accounts = store }), names...)
	if n := h.Counts(); n.Tokens != 1 || n.BadLogins != 0 {
		t.Errorf("%d token requests, %d bad logins", n.Tokens, n.BadLogins)
	}
}
