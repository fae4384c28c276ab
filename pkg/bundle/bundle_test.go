package bundle

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stowage/internal/registrytest"
	"stowage/pkg/archive"
	"stowage/pkg/pull"
)

var amd64 = []ocispec.Platform{{OS: "linux", Architecture: "amd64"}}

// site is a registry and a directory for bundles.
type site struct {
	*registrytest.Registry
	t   *testing.T
	dir string
}

// newSite starts a registry with the images app:v1 and tool:v1, of two platforms, and other:v1,
// of one. The config of other:v1 is fetched when it is resolved, to learn its platform.
func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{registrytest.Start(t, registrytest.Options{}), t, t.TempDir()}
	s.add("app", "v1", 1, "linux/amd64", "linux/arm64")
	s.add("other", "v1", 2, "linux/amd64")
	s.add("tool", "v1", 3, "linux/amd64", "linux/arm64")
	return s
}

// add adds an image with two layers for each platform, one of them shared by every seed.
func (s *site) add(repo, tag string, seed uint64, platforms ...string) registrytest.Added {
	s.t.Helper()
	var idx registrytest.Index
	for i, p := range platforms {
		layer := func(seed uint64) *registrytest.Layer {
			return &registrytest.Layer{Seed: seed, Files: []registrytest.File{{Name: "data", Size: 50_000}}}
		}
		idx.Images = append(idx.Images, registrytest.Image{Platform: p, Layers: []*registrytest.Layer{layer(99), layer(10*seed + uint64(i))}})
	}
	if len(platforms) == 1 {
		return registrytest.Must(s.AddImage(repo, tag, idx.Images[0]))(s.t)
	}
	return registrytest.Must(s.AddIndex(repo, tag, idx))(s.t)
}

// request asks for images into a file; a name that begins with "?" is not required.
func (s *site) request(output string, names ...string) Request {
	req := Request{Platforms: amd64, Output: s.path(output)}
	for _, name := range names {
		name, optional := strings.CutPrefix(name, "?")
		req.Images = append(req.Images, Image{Name: s.Host() + "/" + name, Required: !optional})
	}
	return req
}

func (s *site) path(name string) string {
	if name == "" {
		return ""
	}
	return filepath.Join(s.dir, name)
}

// lose makes the registry answer 404 for a kind of request of a repository.
func (s *site) lose(repo string, kind registrytest.Kind) (heal func()) {
	return s.AddFaults(registrytest.Faults{
		Only: registrytest.Filter{Kinds: []registrytest.Kind{kind}, Path: "/" + repo + "/"},
		Fail: registrytest.Failure{Status: 404, Times: registrytest.Always},
	})
}

// make calls Make and fails the test on an error.
func (s *site) make(req Request, opts Options) *Result {
	s.t.Helper()
	r, err := Make(s.t.Context(), req, opts)
	if err != nil {
		s.t.Fatalf("Make: %v", err)
	}
	return r
}

// names returns the names of a result without the registry's host, and the skipped ones with
// a minus sign.
func (s *site) names(r *Result) []string {
	var out []string
	for _, img := range r.Images {
		out = append(out, strings.TrimPrefix(img.Name, s.Host()+"/"))
	}
	for _, k := range r.Skipped {
		out = append(out, "-"+strings.TrimPrefix(k.Name, s.Host()+"/"))
	}
	return out
}

// verify checks every byte of a bundle and returns its file.
func (s *site) verify(name string) []byte {
	s.t.Helper()
	r, err := archive.Open(s.t.Context(), s.path(name), nil)
	if err != nil {
		s.t.Fatal(err)
	}
	defer r.Close()
	if err := r.Verify(s.t.Context(), 1, nil); err != nil {
		s.t.Fatal(err)
	}
	raw, err := os.ReadFile(s.path(name))
	if err != nil {
		s.t.Fatal(err)
	}
	return raw
}

// files returns the names in the directory.
func (s *site) files() []string {
	s.t.Helper()
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		s.t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

func (s *site) want(what string, got, want any) {
	s.t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		s.t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// TestMake writes a bundle, and writes nothing when it is up to date.
func TestMake(t *testing.T) {
	s := newSite(t)
	req := s.request("out.tar", "other:v1", "app:v1", "other:v1")
	r := s.make(req, Options{})
	s.want("names", s.names(r), []string{"app:v1", "other:v1"})
	raw := s.verify("out.tar")
	s.want("result", []any{r.Size, r.Requested, r.UpToDate, r.Stats.ManifestGET}, []any{int64(len(raw)), 2, false, int64(3)})
	s.want("files", s.files(), []string{"out.tar"})

	again := s.make(req, Options{})
	s.want("second result", []any{again.Digest, again.UpToDate, again.Stats.ManifestGET, again.Stats.BlobGET}, []any{r.Digest, true, int64(0), int64(0)})
}

// TestStreamEqualsFile compares the bytes for a writer with those of a file.
func TestStreamEqualsFile(t *testing.T) {
	s := newSite(t)
	req := s.request("out.tar", "app:v1", "other:v1")
	file := s.make(req, Options{})
	var out bytes.Buffer
	req.Output, req.Writer = "", &out
	for name, opts := range map[string]Options{"fetched": {}, "reused": {Reuse: []string{s.path("out.tar")}}} {
		out.Reset()
		s.Reset()
		r := s.make(req, opts)
		if r.Digest != file.Digest || !bytes.Equal(out.Bytes(), s.verify("out.tar")) {
			t.Errorf("%s: the stream of %d bytes differs from the file", name, out.Len())
		}
		if n := s.Counts().BlobGets; name == "reused" && n != 0 {
			t.Errorf("reused: %d requests for blobs", n)
		}
	}
}

// TestCompressed: the output's name decides, and the bundle inside is the same.
func TestCompressed(t *testing.T) {
	s := newSite(t)
	plain := s.make(s.request("out.tar", "app:v1"), Options{})
	packed := s.make(s.request("out.tar.zst", "app:v1"), Options{Reuse: []string{s.path("out.tar")}})
	s.want("identity", packed.Digest, plain.Digest)
	s.verify("out.tar.zst")
	if again := s.make(s.request("out.tar.zst", "app:v1"), Options{}); !again.UpToDate {
		t.Error("the second run wrote it again")
	}
}

// TestResume: a run that fails keeps what it has, and the next one fetches the rest.
func TestResume(t *testing.T) {
	s := newSite(t)
	want := s.make(s.request("right.tar", "app:v1", "other:v1"), Options{})
	heal := s.lose("app", registrytest.KindBlob)
	req := s.request("out.tar", "app:v1", "other:v1")
	_, err := Make(t.Context(), req, Options{})
	if missing := (*pull.NotFoundError)(nil); !errors.As(err, &missing) || !IsMissing(err) {
		t.Fatalf("got %v, want a NotFoundError", err)
	}
	if !strings.Contains(err.Error(), "/app:v1 needs ") {
		t.Errorf("the error does not name the image: %v", err)
	}
	s.want("files", s.files(), []string{"out.tar.partial", "out.tar.partial.journal", "right.tar"})
	heal()
	var start EventStart
	var fetched atomic.Int64
	r := s.make(req, Options{Events: func(e Event) {
		switch e := e.(type) {
		case EventStart:
			start = e
		case EventBytes:
			fetched.Add(e.N)
		}
	}})
	if start.Kept <= 0 || fetched.Load() <= 0 || start.Kept+fetched.Load() != start.Bytes {
		t.Errorf("%d bytes kept and %d fetched of %d", start.Kept, fetched.Load(), start.Bytes)
	}
	s.want("result", []any{r.Digest, r.Stats.ManifestGET}, []any{want.Digest, int64(0)})
	if !bytes.Equal(s.verify("out.tar"), s.verify("right.tar")) {
		t.Error("the resumed bundle has other bytes")
	}
}

// TestMissing: what an image that is not available means.
func TestMissing(t *testing.T) {
	type outcome struct {
		Names   []string
		Skipped int // of the IncompleteError; -1 without one
		Written bool
		Missing bool // IsMissing
	}
	none := -1
	for name, row := range map[string]struct {
		images []string
		lose   string // repository whose blobs are lost
		opts   Options
		want   outcome
	}{
		"optional":                   {images: []string{"other:v1", "?nowhere:v1"}, want: outcome{Names: []string{"other:v1", "-nowhere:v1"}, Skipped: none}},
		"optional, strict":           {images: []string{"other:v1", "?nowhere:v1"}, opts: Options{Strict: true}, want: outcome{Skipped: none, Missing: true}},
		"required":                   {images: []string{"other:v1", "nowhere:v1"}, want: outcome{Skipped: none, Missing: true}},
		"required, keep going":       {images: []string{"other:v1", "nowhere:v1"}, opts: Options{KeepGoing: true}, want: outcome{Names: []string{"other:v1", "-nowhere:v1"}, Skipped: 1, Written: true}},
		"all, keep going":            {images: []string{"nowhere:v1"}, opts: Options{KeepGoing: true}, want: outcome{Skipped: 1}},
		"optional, blob lost":        {images: []string{"other:v1", "?tool:v1"}, lose: "tool", want: outcome{Names: []string{"other:v1", "-tool:v1"}, Skipped: none}},
		"required, blob lost":        {images: []string{"other:v1", "tool:v1"}, lose: "tool", want: outcome{Skipped: none, Missing: true}},
		"keep going, blob lost":      {images: []string{"other:v1", "tool:v1"}, lose: "tool", opts: Options{KeepGoing: true}, want: outcome{Names: []string{"other:v1", "-tool:v1"}, Skipped: 1, Written: true}},
		"keep going, everything":     {images: []string{"other:v1", "app:v1"}, opts: Options{KeepGoing: true}, want: outcome{Names: []string{"app:v1", "other:v1"}, Skipped: none}},
		"keep going, the only image": {images: []string{"tool:v1"}, lose: "tool", opts: Options{KeepGoing: true}, want: outcome{Skipped: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			if row.lose != "" {
				s.lose(row.lose, registrytest.KindBlob)
			}
			r, err := Make(t.Context(), s.request("out.tar", row.images...), row.opts)
			got := outcome{Skipped: none, Missing: err != nil && IsMissing(err)}
			if r != nil && r.Digest != "" {
				got.Names = s.names(r)
				s.verify("out.tar")
			}
			if incomplete := (*IncompleteError)(nil); errors.As(err, &incomplete) {
				got.Skipped, got.Written = len(incomplete.Skipped), incomplete.Written
			}
			s.want("outcome", got, row.want)
		})
	}
}

// TestSkippedIsRecorded: the bundle names the image and the reason.
func TestSkippedIsRecorded(t *testing.T) {
	s := newSite(t)
	s.make(s.request("out.tar", "other:v1", "?nowhere:v1"), Options{})
	r, err := archive.Open(t.Context(), s.path("out.tar"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if list := r.Skipped(); len(list) != 1 || list[0].Name != s.Host()+"/nowhere:v1" || !strings.Contains(list[0].Reason, "does not have it") {
		t.Errorf("the bundle records %+v", list)
	}
}

// TestSelect: images that no connected host can pull are set aside, and names are merged.
func TestSelect(t *testing.T) {
	const digest = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	req := Request{Images: []Image{
		{Name: "busybox", Secrets: []string{"a/x"}},
		{Name: "registry.infra.svc:5000/team/app:v1", ClusterInternal: true},
		{Name: "win:v1", Windows: true, Required: true},
		{Name: "docker.io/library/busybox:latest", Required: true, Secrets: []string{"a/x", "b/y"}},
		{Name: "both:v1", Windows: true},
		{Name: "both:v1"},
		{Name: "quay.io/a/b:v1@" + digest},
	}}
	for name, row := range map[string]struct {
		request           Request
		selected, skipped []string
	}{
		"linux":         {Request{Images: req.Images, Platforms: amd64}, []string{"docker.io/library/busybox:latest", "docker.io/library/both:v1", "quay.io/a/b:v1@" + digest}, []string{"registry.infra.svc:5000/team/app:v1", "docker.io/library/win:v1"}},
		"windows":       {Request{Images: req.Images, Platforms: []ocispec.Platform{{OS: "windows"}}}, []string{"docker.io/library/busybox:latest", "docker.io/library/win:v1", "docker.io/library/both:v1", "quay.io/a/b:v1@" + digest}, []string{"registry.infra.svc:5000/team/app:v1"}},
		"all platforms": {Request{Images: req.Images[:3], All: true}, []string{"docker.io/library/busybox:latest", "docker.io/library/win:v1"}, []string{"registry.infra.svc:5000/team/app:v1"}},
		"nothing":       {},
	} {
		t.Run(name, func(t *testing.T) {
			selected, skipped, err := row.request.Select()
			if err != nil {
				t.Fatal(err)
			}
			var names, without []string
			for _, img := range selected {
				names = append(names, img.Name)
			}
			for _, k := range skipped {
				without = append(without, k.Name)
			}
			if !slices.Equal(names, row.selected) || !slices.Equal(without, row.skipped) {
				t.Errorf("selected %q, skipped %q", names, without)
			}
		})
	}
	selected, _, err := req.Select()
	if want := (Image{Name: "docker.io/library/busybox:latest", Required: true, Secrets: []string{"a/x", "b/y"}}); err != nil || !cmp.Equal(selected[0], want) {
		t.Errorf("merged to %+v, %v, want %+v", selected[0], err, want)
	}
	req.Images = []Image{{Name: "Not A Name"}}
	if name := (*NameError)(nil); !errors.As(errOf(req.Select()), &name) || name.Name != "Not A Name" {
		t.Errorf("got %v, want a NameError", errOf(req.Select()))
	}
}

func errOf(_ []Image, _ []archive.Skipped, err error) error { return err }

// TestStrictSkipsNothing fails before any request.
func TestStrictSkipsNothing(t *testing.T) {
	s := newSite(t)
	req := s.request("out.tar", "other:v1", "app:v1")
	req.Images[1].Windows = true
	_, err := Make(t.Context(), req, Options{Strict: true})
	var incomplete *IncompleteError
	if !errors.As(err, &incomplete) || err.Error() != "1 of 2 images not available" {
		t.Errorf("got %v", err)
	}
	s.want("files", s.files(), []string(nil))
	s.want("requests", len(s.Log()), 0)
}

// TestMaxPulls: the limit is checked, and a dry run ends, before the first counted request.
func TestMaxPulls(t *testing.T) {
	for name, row := range map[string]struct {
		max    int
		dryRun bool
		want   string
	}{
		"too few":          {max: 2, want: "3 pulls needed, 2 allowed; none was made"},
		"none":             {max: 0, want: "3 pulls needed, 0 allowed; none was made"},
		"too few, dry run": {max: 2, dryRun: true, want: "3 pulls needed, 2 allowed; none was made"},
		"dry run":          {max: 3, dryRun: true},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			r, err := Make(t.Context(), s.request("out.tar", "app:v1", "other:v1"), Options{MaxPulls: &row.max, DryRun: row.dryRun})
			var pulls *MaxPullsError
			switch {
			case row.want == "" && (err != nil || r.Digest != "" || r.Requested != 2):
				t.Errorf("got %+v, %v", r, err)
			case row.want != "" && (!errors.As(err, &pulls) || err.Error() != row.want):
				t.Errorf("got %v, want %s", err, row.want)
			}
			s.want("files", s.files(), []string(nil))
			s.want("counted requests", s.Counts().Counted, 0)
		})
	}
	s := newSite(t)
	enough := 3
	s.make(s.request("out.tar", "app:v1", "other:v1"), Options{MaxPulls: &enough})
}

// TestDryRunReportsMissing: images that are not available are a part of its answer.
func TestDryRunReportsMissing(t *testing.T) {
	s := newSite(t)
	_, err := Make(t.Context(), s.request("", "other:v1", "nowhere:v1"), Options{DryRun: true})
	if !IsMissing(err) || err == nil {
		t.Errorf("got %v", err)
	}
	if r := s.make(s.request("", "other:v1", "?nowhere:v1"), Options{DryRun: true}); len(r.Skipped) != 1 {
		t.Errorf("skipped %+v", r.Skipped)
	}
}

// TestFlat: a flat bundle lists the manifests and refuses the digest of an index.
func TestFlat(t *testing.T) {
	s := newSite(t)
	app := s.add("pinned", "v1", 7, "linux/amd64", "linux/arm64")
	req := s.request("flat.tar", "app:v1", "other:v1")
	req.Flat = true
	s.make(req, Options{})
	s.verify("flat.tar")

	req = s.request("digest.tar", "other:v1", "pinned:v1@"+app.Digest.String())
	req.Flat = true
	s.Reset()
	_, err := Make(t.Context(), req, Options{Pull: pull.Options{Jobs: 1}})
	var flat *FlatDigestError
	if !errors.As(err, &flat) || flat.Name != req.Images[1].Name || flat.Manifest != app.Manifests[0].Digest {
		t.Errorf("got %v (%+v)", err, flat)
	}
	s.want("counted requests", s.Counts().Counted, 1)
	_, err = Make(t.Context(), req, Options{})
	if !errors.As(err, &flat) {
		t.Errorf("the second time: %v", err)
	}
	s.want("counted requests of both", s.Counts().Counted, 1)
}

// TestFlatWithoutImage: a flat bundle is planned again without an image whose blob is lost.
func TestFlatWithoutImage(t *testing.T) {
	s := newSite(t)
	s.lose("tool", registrytest.KindBlob)
	req := s.request("flat.tar", "app:v1", "?tool:v1")
	req.Flat = true
	s.want("names", s.names(s.make(req, Options{})), []string{"app:v1", "-tool:v1"})
	s.verify("flat.tar")
}

// TestDifferential: a bundle omits the layers of another one, or those of a list.
func TestDifferential(t *testing.T) {
	s := newSite(t)
	old := s.make(s.request("old.tar", "other:v1"), Options{})
	full := s.make(s.request("full.tar", "other:v1", "tool:v1"), Options{})
	r, err := archive.Open(t.Context(), s.path("old.tar"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()

	since := s.request("since.tar", "other:v1", "tool:v1")
	since.Since = []string{s.path("old.tar")}
	have := s.request("have.tar", "other:v1", "tool:v1")
	for _, b := range r.Blobs() {
		have.Have = append(have.Have, b.Digest)
	}
	for name, row := range map[string]struct {
		req  Request
		base string
	}{"since.tar": {since, old.Digest.String()}, "have.tar": {have, ""}} {
		got := s.make(row.req, Options{})
		if got.Size >= full.Size || got.Digest == full.Digest {
			t.Errorf("%s: %d bytes, the full bundle has %d", name, got.Size, full.Size)
		}
		d, err := archive.Open(t.Context(), s.path(name), nil)
		if err != nil {
			t.Fatal(err)
		}
		s.want(name, []any{len(d.Omitted()), d.Base().String()}, []any{2, row.base})
		d.Close()
	}
	since.Output = s.path("old.tar")
	_, err = Make(t.Context(), since, Options{})
	if output := (*OutputError)(nil); !errors.As(err, &output) || output.Path != s.path("old.tar") {
		t.Errorf("got %v, want an OutputError", err)
	}
}

// TestReuse copies from other bundles, plain and compressed, and fetches what is damaged.
func TestReuse(t *testing.T) {
	s := newSite(t)
	s.make(s.request("a.tar.zst", "app:v1"), Options{})
	s.make(s.request("b.tar", "other:v1"), Options{})
	s.Reset()
	opts := Options{Reuse: []string{s.path("a.tar.zst"), s.path("b.tar")}}
	s.make(s.request("out.tar", "app:v1", "other:v1"), opts)
	s.verify("out.tar")
	s.want("counted requests", s.Counts().Counted, 0)
	s.want("blobs", s.Counts().BlobGets, 0)
	for name, want := range map[string]error{"text": archive.ErrDamaged, "nowhere.tar": os.ErrNotExist} {
		if err := os.WriteFile(s.path("text"), []byte("not a bundle"), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := Make(t.Context(), s.request("new.tar", "app:v1"), Options{Reuse: []string{s.path(name)}})
		if !errors.Is(err, want) || !strings.HasPrefix(err.Error(), "open bundle to reuse: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestEvents: the events of a run, in order.
func TestEvents(t *testing.T) {
	s := newSite(t)
	var mu sync.Mutex
	var got []string
	var fetched, compressed int64
	opts := Options{Events: func(e Event) {
		mu.Lock()
		defer mu.Unlock()
		switch e := e.(type) {
		case EventBytes:
			if slices.Contains(got, "start compress, 0 blobs") {
				compressed += e.N
			} else {
				fetched += e.N
			}
		case EventStart:
			got = append(got, fmt.Sprintf("start %s, %d blobs", e.Stage, e.Blobs))
		case EventFinish:
			got = append(got, fmt.Sprintf("finish %s", e.Stage))
		case EventEstimate:
			got = append(got, fmt.Sprintf("estimate %d pulls", e.Pulls))
		case EventSkip:
			got = append(got, "skip "+strings.TrimPrefix(e.Name, s.Host()+"/"))
		default:
			got = append(got, fmt.Sprintf("%T%+v", e, e))
		}
	}}
	r := s.make(s.request("out.tar.gz", "other:v1", "?nowhere:v1"), opts)
	s.want("events", got, []string{
		"bundle.EventResolve{Images:2}", "estimate 1 pulls", "skip nowhere:v1",
		"start fetch, 2 blobs", "finish fetch", "start compress, 0 blobs", "finish compress",
	})
	if fetched == 0 || compressed != r.Size {
		t.Errorf("%d bytes fetched, %d of %d compressed", fetched, compressed, r.Size)
	}
}

// TestPullLimit keeps what the images that did resolve need.
func TestPullLimit(t *testing.T) {
	s := newSite(t)
	s.SetPolicy(func(p *registrytest.Policy) { p.Auth, p.AnonymousQuota = registrytest.AuthBearer, 1 })
	var kept []EventKept
	_, err := Make(t.Context(), s.request("out.tar", "other:v1", "tool:v1"), Options{
		Pull: pull.Options{Jobs: 1},
		Events: func(e Event) {
			if k, ok := e.(EventKept); ok {
				kept = append(kept, k)
			}
		},
	})
	if limit := (*pull.RateLimitError)(nil); !errors.As(err, &limit) {
		t.Fatalf("got %v, want a RateLimitError", err)
	}
	s.want("kept", kept, []EventKept{{Images: 1, Of: 2}})
	s.want("files", s.files(), []string{"out.tar.partial", "out.tar.partial.journal"})
}
