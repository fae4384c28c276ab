package manifest

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// A Config is what is read of an image's config (image-spec, config.md).
type Config struct {
	Platform ocispec.Platform // as stated: fields may be empty
	DiffIDs  []digest.Digest  // unchecked
}

// A kind is the type of a field that is checked and not kept.
type kind byte

const (
	kindOther   kind = iota // read by its name, or with any value
	kindText                // a string
	kindFlag                // a boolean
	kindTime                // a time as a string
	kindTexts               // a list of strings
	kindTextMap             // an object of strings
	kindSet                 // an object of objects
)

// fields are the known keys of an object, and their types in image-spec.
type fields struct {
	keys  []string
	kinds []kind
}

var (
	configFields = fields{
		[]string{"created", "author", "architecture", "os", "os.version", "os.features", "variant", "config", "rootfs", "history"},
		[]kind{kindTime, kindText, kindOther, kindOther, kindOther, kindOther, kindOther, kindOther, kindOther, kindOther},
	}
	execFields = fields{
		[]string{
			"User", "ExposedPorts", "Env", "Entrypoint", "Cmd", "Volumes", "WorkingDir", "Labels", "StopSignal", "ArgsEscaped",
			"Healthcheck", "OnBuild", "Shell",
		},
		[]kind{
			kindText, kindSet, kindTexts, kindTexts, kindTexts, kindSet, kindText, kindTextMap, kindText, kindFlag,
			kindOther, kindOther, kindOther,
		},
	}
	rootFields    = fields{[]string{"type", "diff_ids"}, []kind{kindText, kindOther}}
	historyFields = fields{
		[]string{"created", "created_by", "author", "comment", "empty_layer"},
		[]kind{kindTime, kindText, kindText, kindText, kindFlag},
	}
)

// ParseConfig decodes the config of an image, which may be null. It keeps no part of raw.
// An error means that containerd cannot decode the config; a known key that appears twice
// is a [*RepeatedKeyError].
func ParseConfig(raw []byte, lim Limits) (*Config, error) {
	d, err := newDecoder(raw, lim.withDefaults())
	if err != nil {
		return nil, err
	}
	out := &Config{}
	err = d.typed("config", configFields, func(key string) error {
		switch key {
		case "config":
			return d.typed(key, execFields, nil)
		case "rootfs":
			return d.typed(key, rootFields, func(string) error { return d.diffIDs(out) })
		case "history":
			return d.list(key, len(raw), func() error { return d.typed("history", historyFields, nil) })
		}
		return d.platformField(&out.Platform, key)
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

func (d *decoder) diffIDs(out *Config) error {
	return d.list("diff_ids", d.lim.Descriptors, func() error {
		s, err := d.text("diffID", maxText)
		out.DiffIDs = append(out.DiffIDs, digest.Digest(s))
		return err
	})
}

// typed reads an object and checks the types of its fields. It calls read, unless that is
// nil, for those of kindOther. A key that appears twice is reported also if a type is wrong.
func (d *decoder) typed(what string, f fields, read func(key string) error) error {
	var wrong error
	err := d.object(what, f.keys, func(key string) error {
		k, at := f.kinds[slices.Index(f.keys, key)], d.i
		var err error
		switch {
		case k != kindOther && !d.is(k):
			err = fmt.Errorf("%s of the %s has another type than containerd decodes", key, what)
		case k == kindOther && read != nil:
			err = read(key)
		}
		if _, twice := errors.AsType[*RepeatedKeyError](err); twice {
			return err
		}
		if err != nil {
			d.i = at // the caller skips the value
			wrong = cmp.Or(wrong, err)
		}
		return nil
	})
	return cmp.Or(err, wrong)
}

// is passes over a value and reports whether it has the kind. null has every one.
func (d *decoder) is(k kind) bool {
	first, value := d.peek(), d.skip()
	if first == 'n' {
		return true
	}
	inner := &cursor{raw: value}
	ok := true
	each := func(starts string) func() error {
		return func() error {
			ok = ok && strings.IndexByte(starts, inner.peek()) >= 0
			return nil
		}
	}
	switch k {
	case kindText:
		return first == '"'
	case kindFlag:
		return first == 't' || first == 'f'
	case kindTime:
		return len(value) < maxText && json.Unmarshal(value, new(time.Time)) == nil
	case kindTexts:
		return inner.list("", len(value), each(`"n`)) == nil && ok
	case kindTextMap:
		return inner.members(each(`"n`)) == nil && ok
	case kindSet:
		return inner.members(each(`{n`)) == nil && ok
	}
	return true
}

// An Index is index.json of an image layout (image-spec, image-layout.md).
type Index struct {
	SchemaVersion int64
	MediaType     string
	Manifests     []Entry           // unchecked
	Annotations   map[string]string // of the keys that were asked for
}

// ParseIndex decodes index.json, with at most most descriptors and the given annotations.
// It checks no descriptor.
func ParseIndex(raw []byte, lim Limits, most int, annotations ...string) (*Index, error) {
	d, err := newDecoder(raw, lim.withDefaults())
	if err != nil {
		return nil, err
	}
	out := &Index{Annotations: map[string]string{}}
	return out, d.object("index", manifestKeys, func(key string) (err error) {
		switch key {
		case "schemaVersion":
			out.SchemaVersion, err = d.number(key)
		case "mediaType":
			out.MediaType, err = d.mediaType(key)
		case "manifests":
			out.Manifests, err = d.entries(key, most)
		case "annotations":
			if d.peek() != '{' && d.peek() != 'n' {
				return errors.New("annotations are not an object")
			}
			_, err = d.annotations(key, annotations, func(name string, literal []byte) error {
				text, err := unquote(literal)
				if err != nil {
					return fmt.Errorf("annotation %q: %w", name, err)
				}
				out.Annotations[name] = text
				return nil
			})
		}
		return err
	})
}

// ParseVersion returns the version in the file oci-layout.
func ParseVersion(raw []byte) (version string, err error) {
	d, err := newDecoder(raw, Limits{}.withDefaults())
	if err != nil {
		return "", err
	}
	return version, d.object("layout", []string{"imageLayoutVersion"}, func(key string) (err error) {
		version, err = d.text(key, maxText)
		return err
	})
}

// A DockerImage is one image in manifest.json of docker save.
type DockerImage struct {
	Config string
	Tags   []string
	Layers []string
}

// maxTags bounds the tags of one image.
const maxTags = 1 << 14

var dockerKeys = []string{"Config", "RepoTags", "Layers", "Parent", "LayerSources"}

// ParseDocker decodes manifest.json of docker save and calls image for each image, which
// is valid until it returns.
func ParseDocker(raw []byte, lim Limits, image func(*DockerImage) error) error {
	lim = lim.withDefaults()
	d, err := newDecoder(raw, lim)
	if err != nil {
		return err
	}
	return d.list("manifest.json", len(raw), func() error {
		var e DockerImage
		texts := func(key string, most int) (out []string, err error) {
			err = d.list(key, most, func() error {
				s, err := d.text(key, maxText)
				out = append(out, s)
				return err
			})
			return out, err
		}
		err := d.object("image", dockerKeys, func(key string) (err error) {
			switch key {
			case "Config":
				e.Config, err = d.text(key, maxText)
			case "RepoTags":
				e.Tags, err = texts(key, maxTags)
			case "Layers":
				e.Layers, err = texts(key, lim.Descriptors)
			}
			return err
		})
		if err != nil {
			return err
		}
		return image(&e)
	})
}
