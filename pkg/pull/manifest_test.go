package pull

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/types"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

func TestParseManifest(t *testing.T) {
	const (
		config    = `"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:0000000000000000000000000000000000000000000000000000000000000000","size":2}`
		ociIndex  = ocispec.MediaTypeImageIndex
		dockIndex = string(types.DockerManifestList)
		dockMan   = string(types.DockerManifestSchema2)
		artifact  = "application/vnd.oci.artifact.manifest.v1+json"
	)
	for name, c := range map[string]struct {
		raw, desc   string
		want        string // media type
		unsupported string // media type of an UnsupportedError
		err         string // a part of its cause
	}{
		"states its type":            {`{"schemaVersion":2,"mediaType":"` + dockIndex + `","manifests":[]}`, ociIndex, dockIndex, "", ""},
		"index by descriptor":        {`{"schemaVersion":2,"manifests":[]}`, dockIndex, dockIndex, "", ""},
		"manifest by descriptor":     {`{"schemaVersion":2,` + config + `}`, dockMan, dockMan, "", ""},
		"descriptor of another kind": {`{"schemaVersion":2,"manifests":[]}`, dockMan, ociIndex, "", ""},
		"no type at all":             {`{"schemaVersion":2,` + config + `}`, "", ocispec.MediaTypeImageManifest, "", ""},
		"schema 1":                   {`{"schemaVersion":1}`, "", "", string(types.DockerManifestSchema1), ""},
		"artifact manifest":          {`{"mediaType":"` + artifact + `","blobs":[]}`, "", "", artifact, ""},
		"some other JSON":            {`{}`, "application/json", "", "application/json", ""},
		"HTML":                       {`<html>`, "text/html", "", "text/html", ""},
		"not JSON":                   {`{`, ociIndex, "", ociIndex, "parse manifest"},
		"index and manifest at once": {`{"schemaVersion":2,"manifests":[],` + config + `}`, ociIndex, "", ociIndex, ""},
		"empty object, no type":      {`{}`, "", "", "-", ""},
		"HTML, no type":              {`<html>`, "", "", "-", ""},
		"null, no type":              {`null`, "", "", "-", ""},
		"invalid digest":             {`{"schemaVersion":2,"config":{"digest":"sha256:x","size":1}}`, ociIndex, "", ociIndex, ""},
		"annotations are numbers":    {`{"schemaVersion":2,"annotations":{"a":1},` + config + `}`, dockMan, "", dockMan, ""},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := parseManifest("a/b:v1", []byte(c.raw), ocispec.Descriptor{MediaType: c.desc})
			var unsupported *UnsupportedError
			switch {
			case c.unsupported != "":
				if !errors.As(err, &unsupported) || unsupported.MediaType != strings.Trim(c.unsupported, "-") || !strings.Contains(err.Error(), c.err) {
					t.Errorf("error %v, want an UnsupportedError for %s with %q", err, c.unsupported, c.err)
				}
			case err != nil || m.MediaType != c.want:
				t.Errorf("%+v, %v, want %s", m, err, c.want)
			}
		})
	}
}
