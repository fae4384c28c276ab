package manifest

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

var zeros = digest.Digest("sha256:" + strings.Repeat("0", 64))

// desc returns the JSON of a descriptor.
func desc(mediaType string, size int64) string {
	return fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":%d}`, mediaType, zeros, size)
}

var (
	configJSON = desc(ocispec.MediaTypeImageConfig, 10)
	layerJSON  = desc(ocispec.MediaTypeImageLayerGzip, 100)
)

func TestParseManifest(t *testing.T) {
	raw := `{"schemaVersion":2,"artifactType":"a/b","config":` + configJSON + `,"layers":[` + layerJSON + `],"subject":` + desc("", 5) + `}`
	got, err := Parse([]byte(raw), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	want := &Manifest{
		MediaType: ocispec.MediaTypeImageManifest, ArtifactType: "a/b", Subject: zeros,
		Config: ocispec.Descriptor{MediaType: ocispec.MediaTypeImageConfig, Digest: zeros, Size: 10},
		Layers: []ocispec.Descriptor{{MediaType: ocispec.MediaTypeImageLayerGzip, Digest: zeros, Size: 100}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("manifest (-want +got):\n%s", diff)
	}
}

func TestParseIndex(t *testing.T) {
	raw := `{"schemaVersion":2,"mediaType":"` + MediaTypeDockerIndex + `","manifests":[
		{"digest":"` + string(zeros) + `","size":5,"platform":{"os":"linux","architecture":"arm64"},"annotations":{"x":"y"}},
		{"digest":"` + string(zeros) + `","size":6,"annotations":{"vnd.docker.reference.digest":"` + string(zeros) + `"}}]}`
	got, err := Parse([]byte(raw), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	want := &Manifest{
		MediaType: MediaTypeDockerIndex, Stated: true, Index: true,
		Children: []ocispec.Descriptor{
			{Digest: zeros, Size: 5, Platform: &ocispec.Platform{OS: "linux", Architecture: "arm64"}},
			{Digest: zeros, Size: 6, Annotations: map[string]string{"vnd.docker.reference.digest": string(zeros)}},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("index (-want +got):\n%s", diff)
	}
}

func TestParseRefuses(t *testing.T) {
	for _, tc := range []struct{ name, raw, want string }{
		{"empty", "", "parse manifest"},
		{"not JSON", "{", "parse manifest"},
		{"text after it", `{"schemaVersion":2,"manifests":[]} x`, "parse manifest"},
		{"no object", "[]", "parse manifest"},
		{"schema 1", `{"schemaVersion":1,"name":"a"}`, "schema 1"},
		{"layers of schema 1", `{"schemaVersion":2,"fsLayers":[],"config":` + configJSON + `}`, "schema 1"},
		{"no schema version", `{"manifests":[]}`, "schema version 0"},
		{"schema 3", `{"schemaVersion":3,"manifests":[]}`, "schema version 3"},
		{"index and config", `{"schemaVersion":2,"manifests":[],"config":` + configJSON + `}`, "at once"},
		{"index and layers", `{"schemaVersion":2,"manifests":[],"layers":[]}`, "at once"},
		{"neither", `{"schemaVersion":2}`, "neither index nor manifest"},
		{"layers alone", `{"schemaVersion":2,"layers":[]}`, "neither index nor manifest"},
		{"list is an object", `{"schemaVersion":2,"manifests":{}}`, "not a list"},
		{"index that says manifest", `{"schemaVersion":2,"mediaType":"` + ocispec.MediaTypeImageManifest + `","manifests":[]}`, "index says it is"},
		{"manifest that says index", `{"schemaVersion":2,"mediaType":"` + ocispec.MediaTypeImageIndex + `","config":` + configJSON + `}`, "manifest says it is"},
		{"no digest", `{"schemaVersion":2,"manifests":[{"size":1}]}`, "digest"},
		{"sha512", `{"schemaVersion":2,"manifests":[{"digest":"sha512:` + strings.Repeat("0", 128) + `","size":1}]}`, "only sha256"},
		{"digest in capitals", `{"schemaVersion":2,"manifests":[{"digest":"sha256:` + strings.Repeat("A", 64) + `","size":1}]}`, "digest"},
		{"negative size", `{"schemaVersion":2,"manifests":[` + desc("", -1) + `]}`, "out of bounds"},
		{"size above the limit", `{"schemaVersion":2,"manifests":[` + desc("", MaxBlob+1) + `]}`, "out of bounds"},
		{"config above the limit", `{"schemaVersion":2,"config":` + desc("", MaxSize+1) + `}`, "the limit is"},
		{"config of negative size", `{"schemaVersion":2,"config":` + desc("", -1) + `}`, "config: size -1"},
		{"layer of negative size", `{"schemaVersion":2,"config":` + configJSON + `,"layers":[` + desc("", -1) + `]}`, "out of bounds"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if _, err := Parse([]byte(tc.raw), Limits{}); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want an error with %q", err, tc.want)
			}
		})
	}
}

func TestParseErrorTypes(t *testing.T) {
	if _, err := Parse([]byte(`{"schemaVersion":1}`), Limits{}); !errors.Is(err, ErrSchema1) {
		t.Errorf("got %v, want ErrSchema1", err)
	}
	if _, err := Parse([]byte(`{"schemaVersion":2}`), Limits{}); !errors.Is(err, ErrForm) {
		t.Errorf("got %v, want ErrForm", err)
	}
	var other *MediaTypeError
	if _, err := Parse([]byte(`{"mediaType":"application/x","blobs":[]}`), Limits{}); !errors.As(err, &other) || other.MediaType != "application/x" {
		t.Errorf("got %v, want a MediaTypeError for application/x", err)
	}
	_, err := Parse([]byte(`{"schemaVersion":2,"mediaType":"x/y","manifests":[]}`), Limits{})
	if m, ok := errors.AsType[*MediaTypeError](err); !ok || *m != (MediaTypeError{Index: true, MediaType: "x/y"}) {
		t.Errorf("got %v, want a MediaTypeError", err)
	}
}

// TestParseLimits calls Parse with each limit just below, at and just above what a
// manifest needs.
// TestParseData: embedded content is kept only where it is asked for, and what is not
// base64 is as if it were absent.
func TestParseData(t *testing.T) {
	entry := func(data string) string {
		return strings.TrimSuffix(desc("", 6), "}") + `,"data":` + data + `}`
	}
	for _, tc := range []struct {
		data string
		keep bool
		want string
	}{
		{`"Zm9vYmFy"`, true, "foobar"},
		{`"Zm9vYmFy"`, false, ""},
		{`"%"`, true, ""},
		{`17`, true, ""},
		{`null`, true, ""},
	} {
		for _, raw := range []string{
			`{"schemaVersion":2,"manifests":[` + entry(tc.data) + `]}`,
			`{"schemaVersion":2,"config":` + entry(tc.data) + `,"layers":[` + entry(tc.data) + `]}`,
		} {
			m, err := Parse([]byte(raw), Limits{Data: tc.keep})
			if err != nil {
				t.Fatalf("%s: %v", raw, err)
			}
			for _, d := range append(m.Children, m.Layers...) {
				if string(d.Data) != tc.want {
					t.Errorf("%s, keep %t: got %q, want %q", raw, tc.keep, d.Data, tc.want)
				}
			}
			if !m.Index && string(m.Config.Data) != tc.want {
				t.Errorf("%s, keep %t: config has %q, want %q", raw, tc.keep, m.Config.Data, tc.want)
			}
		}
	}
}

// TestParseStrict refuses what containerd, which decodes into the types of image-spec,
// cannot read. The same manifests pass without Strict.
func TestParseStrict(t *testing.T) {
	with := func(field string) string {
		return fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":10,%s}`, ocispec.MediaTypeImageConfig, zeros, field)
	}
	index := func(child string) string { return `{"schemaVersion":2,"manifests":[` + child + `]}` }
	image := func(config, more string) string { return `{"schemaVersion":2,"config":` + config + more + `}` }
	for name, tt := range map[string]struct {
		raw string
		ok  bool
	}{
		"strings":                      {image(with(`"annotations":{"a":"b"},"data":"eHg="`), `,"annotations":{"a":"b"}`), true},
		"null":                         {image(with(`"annotations":null,"data":null`), `,"annotations":null`), true},
		"null value":                   {image(configJSON, `,"annotations":{"a":null}`), true},
		"number in the manifest":       {image(configJSON, `,"annotations":{"a":1}`), false},
		"list in the manifest":         {image(configJSON, `,"annotations":["a"]`), false},
		"number in the config":         {image(with(`"annotations":{"a":1}`), ""), false},
		"number in a layer":            {image(configJSON, `,"layers":[`+with(`"annotations":{"a":{}}`)+`]`), false},
		"number in a child":            {index(with(`"annotations":{"a":1,"b":"c"}`)), false},
		"number for an attestation":    {index(with(`"annotations":{"vnd.docker.reference.digest":1}`)), false},
		"data is a number":             {image(with(`"data":5`), ""), false},
		"data is not base64":           {index(with(`"data":"!!"`)), false},
		"number behind a valid string": {image(configJSON, `,"annotations":{"a":"b","c":1}`), false},
		"number before a valid string": {image(configJSON, `,"annotations":{"c":1,"a":"b"}`), false},
		"object as an annotation":      {image(configJSON, `,"annotations":{"c":{"d":"e"}}`), false},
		"number under an escaped name": {index(with(`"annotations":{"\u0061":1}`)), false},
		"string under an escaped name": {index(with(`"annotations":{"\u0061":"x"}`)), true},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Parse([]byte(tt.raw), Limits{Strict: true})
			var bad *DescriptorError
			if (err == nil) != tt.ok || err != nil && !errors.As(err, &bad) {
				t.Errorf("error %v, want one: %v", err, !tt.ok)
			}
			var m ocispec.Manifest
			var i ocispec.Index
			if spec := errors.Join(json.Unmarshal([]byte(tt.raw), &m), json.Unmarshal([]byte(tt.raw), &i)); (spec == nil) != tt.ok {
				t.Errorf("the types of image-spec: %v", spec)
			}
			if _, err := Parse([]byte(tt.raw), Limits{}); err != nil {
				t.Errorf("without Strict: %v", err)
			}
		})
	}
}

// TestParseAnySchema accepts a missing schema version, and no other one.
func TestParseAnySchema(t *testing.T) {
	for raw, ok := range map[string]bool{
		`{"manifests":[]}`:                   true,
		`{"schemaVersion":2,"manifests":[]}`: true,
		`{"schemaVersion":3,"manifests":[]}`: false,
		`{"schemaVersion":1,"manifests":[]}`: false,
		`{}`:                                 false,
	} {
		if _, err := Parse([]byte(raw), Limits{AnySchema: true}); (err == nil) != ok {
			t.Errorf("%s: %v", raw, err)
		}
		if _, err := Parse([]byte(raw), Limits{}); (err == nil) != (ok && strings.Contains(raw, "schema")) {
			t.Errorf("%s without AnySchema: %v", raw, err)
		}
	}
}

func TestParseLimits(t *testing.T) {
	raw := []byte(`{"schemaVersion":2,"config":` + configJSON + `,"layers":[` + layerJSON + `,` + layerJSON + `]}`)
	for _, tc := range []struct {
		name string
		need int64
		set  func(int64) Limits
	}{
		{"size", int64(len(raw)), func(n int64) Limits { return Limits{Size: n} }},
		{"blob", 100, func(n int64) Limits { return Limits{Blob: n} }},
		{"descriptors", 2, func(n int64) Limits { return Limits{Descriptors: int(n)} }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for n := tc.need - 1; n <= tc.need+1; n++ {
				if _, err := Parse(raw, tc.set(n)); (err == nil) != (n >= tc.need) {
					t.Errorf("limit %d for a need of %d: %v", n, tc.need, err)
				}
			}
		})
	}
}

// TestParseHostileLists: decoding a long list stops early.
func TestParseHostileLists(t *testing.T) {
	for _, n := range []int{MaxDescriptors, MaxDescriptors + 1} {
		raw := `{"schemaVersion":2,"manifests":[` + strings.Repeat(desc("", 0)+",", n-1) + desc("", 0) + `]}`
		if _, err := Parse([]byte(raw), Limits{}); (err == nil) != (n == MaxDescriptors) {
			t.Errorf("%d descriptors: %v", n, err)
		}
	}
	bomb := []byte(`{"schemaVersion":2,"manifests":[` + strings.Repeat(`{},`, 200_000) + `{}]}`)
	got := testing.AllocsPerRun(1, func() {
		if _, err := Parse(bomb, Limits{}); err == nil {
			t.Error("200,000 descriptors were accepted")
		}
	})
	if got > 3*MaxDescriptors {
		t.Errorf("%.0f allocations for a hostile list", got)
	}
}

func TestRunnable(t *testing.T) {
	for _, tc := range []struct {
		name, config, layer string
		want                bool
	}{
		{"OCI image", ocispec.MediaTypeImageConfig, ocispec.MediaTypeImageLayerZstd, true},
		{"Docker image", MediaTypeDockerConfig, "application/vnd.docker.image.rootfs.diff.tar.gzip", true},
		{"chart", "application/vnd.cncf.helm.config.v1+json", "application/vnd.cncf.helm.chart.content.v1.tar+gzip", false},
		{"attestation", ocispec.MediaTypeImageConfig, "application/vnd.in-toto+json", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m, err := Parse([]byte(`{"schemaVersion":2,"config":`+desc(tc.config, 1)+`,"layers":[`+desc(tc.layer, 1)+`]}`), Limits{})
			if err != nil {
				t.Fatal(err)
			}
			if got := m.Runnable(); got != tc.want {
				t.Errorf("Runnable() = %t, want %t", got, tc.want)
			}
		})
	}
}

func TestCheckMediaType(t *testing.T) {
	stated := &Manifest{MediaType: ocispec.MediaTypeImageManifest, Stated: true}
	silent := &Manifest{MediaType: ocispec.MediaTypeImageManifest}
	for _, tc := range []struct {
		name       string
		m          *Manifest
		descriptor string
		ok         bool
	}{
		{"same", stated, ocispec.MediaTypeImageManifest, true},
		{"other", stated, MediaTypeDockerManifest, false},
		{"descriptor without", stated, "", true},
		{"manifest without", silent, MediaTypeDockerManifest, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if err := tc.m.CheckMediaType(tc.descriptor); (err == nil) != tc.ok {
				t.Error(err)
			}
		})
	}
}

func TestRawDigest(t *testing.T) {
	d := digest.FromString("x")
	sum := RawDigest(d)
	if got := digest.NewDigestFromBytes(digest.SHA256, sum[:]); got != d {
		t.Errorf("got %s, want %s", got, d)
	}
}

// FuzzParse: parsing ends, and what is accepted has valid descriptors.
func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"schemaVersion":2,"config":` + configJSON + `,"layers":[` + layerJSON + `]}`))
	f.Add([]byte(`{"schemaVersion":2,"manifests":[` + layerJSON + `]}`))
	f.Add([]byte(`{"schemaVersion":2,"mediaType":"` + MediaTypeDockerManifest + `","config":` + configJSON + `}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		m, err := Parse(raw, Limits{})
		if err != nil {
			return
		}
		if !json.Valid(raw) || m.Index != (m.Config.Digest == "") {
			t.Fatalf("accepted %+v", m)
		}
		list := append([]ocispec.Descriptor{}, m.Children...)
		if !m.Index {
			list = append(append(list, m.Config), m.Layers...)
		}
		for _, d := range list {
			if CheckDigest(d.Digest) != nil || d.Size < 0 || d.Size > MaxBlob {
				t.Fatalf("accepted %+v", d)
			}
		}
	})
}
