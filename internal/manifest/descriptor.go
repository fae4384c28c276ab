package manifest

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unique"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// An Entry is a descriptor as it is decoded. It has only what a caller reads, and no
// string longer than maxText, so that hostile input cannot grow in memory.
type Entry struct {
	MediaType    string
	Digest       digest.Digest
	Size         int64
	URLs         []string // the first few, with Limits.URLs
	Platform     *ocispec.Platform
	ArtifactType string
	Annotations  EntryAnnotations
	data         []byte // the embedded content as a JSON value, with Limits.Data

	malformed bool // what containerd cannot decode as embedded content
}

// EntryAnnotations are the annotations of a descriptor that are kept. All but About are those
// of index.json in an image layout.
type EntryAnnotations struct {
	ImageName string // io.containerd.image.name
	RefName   string // org.opencontainers.image.ref.name
	Tag       string // dev.stowage.bundle.tag
	Artifact  string // dev.stowage.bundle.artifact
	About     string // vnd.docker.reference.digest, of BuildKit's attestations; in Descriptor.Annotations

	malformed bool // not an object of strings, which containerd cannot decode
}

const (
	// maxText bounds each string that is kept, in bytes: media types, platforms and names.
	// RFC 6838 limits a media type to 255, the grammar of references a name to less than 400.
	maxText = 1 << 10

	// maxAddress bounds an address from which a layer may be fetched.
	maxAddress = 8 << 10

	// maxFew bounds the addresses of a layer and the features of a platform that are kept.
	maxFew = 16
)

// The keys of the objects of image-spec, and of Docker's forms of them.
var (
	descriptorKeys = []string{"mediaType", "digest", "size", "urls", "annotations", "data", "platform", "artifactType"}
	platformKeys   = []string{"architecture", "os", "os.version", "os.features", "variant", "features"}
	entryNames     = []string{"io.containerd.image.name", "org.opencontainers.image.ref.name", "dev.stowage.bundle.tag", "dev.stowage.bundle.artifact", annotationAbout}
)

// decoder decodes one manifest, index or config.
type decoder struct {
	*cursor
	lim Limits
}

func newDecoder(raw []byte, lim Limits) (*decoder, error) {
	if int64(len(raw)) > lim.Size {
		return nil, fmt.Errorf("%d bytes, the limit is %d", len(raw), lim.Size)
	}
	c, err := newCursor(raw)
	return &decoder{c, lim}, err
}

// entry reads a descriptor.
func (d *decoder) entry() (e Entry, err error) {
	err = d.object("descriptor", descriptorKeys, func(key string) (err error) {
		switch key {
		case "mediaType":
			e.MediaType, err = d.mediaType(key)
		case "artifactType":
			e.ArtifactType, err = d.mediaType(key)
		case "digest":
			var s string
			s, err = d.text(key, maxText)
			e.Digest = digest.Digest(s)
		case "size":
			e.Size, err = d.number(key)
		case "urls":
			few := 0
			if d.lim.URLs {
				few = maxFew
			}
			e.URLs, err = d.texts(key, few, maxAddress)
		case "platform":
			e.Platform, err = d.platform()
		case "annotations":
			e.Annotations, err = d.entryAnnotations()
		case "data":
			e.setData(d.skip(), d.lim)
		}
		return err
	})
	return e, err
}

// mediaType reads a media type. Thousands of descriptors share the same few.
func (d *decoder) mediaType(key string) (string, error) {
	s, err := d.text(key, maxText)
	return intern(s), err
}

// setData keeps the embedded content, or notes that it is not base64.
func (e *Entry) setData(value []byte, lim Limits) {
	if lim.Data {
		e.data = bytes.Clone(value)
	}
	e.malformed = !isBytes(value)
}

// isBytes reports whether encoding/json decodes a value into bytes: base64, a list of
// numbers, or null.
func isBytes(value []byte) bool {
	c := &cursor{raw: value}
	switch value[0] {
	case 'n':
		return true
	case '[':
		return c.list("data", len(value), func() error {
			if n, err := c.number("data"); err != nil || n < 0 || n > 255 {
				return errors.New("not a byte")
			}
			return nil
		}) == nil
	case '"':
		text := value[1 : len(value)-1]
		if bytes.IndexByte(text, '\\') >= 0 {
			var data []byte
			return json.Unmarshal(value, &data) == nil
		}
		_, err := io.Copy(io.Discard, base64.NewDecoder(base64.StdEncoding, bytes.NewReader(text)))
		return err == nil
	}
	return false
}

// platform reads a platform, nil for null.
func (d *decoder) platform() (*ocispec.Platform, error) {
	if d.null() {
		return nil, nil
	}
	p := new(ocispec.Platform)
	return p, d.object("platform", platformKeys, func(key string) error { return d.platformField(p, key) })
}

// platformField reads a field that platforms and configs have.
func (d *decoder) platformField(p *ocispec.Platform, key string) (err error) {
	switch key {
	case "architecture":
		p.Architecture, err = d.text(key, maxText)
	case "os":
		p.OS, err = d.text(key, maxText)
	case "os.version":
		p.OSVersion, err = d.text(key, maxText)
	case "os.features":
		p.OSFeatures, err = d.texts(key, maxFew, maxText)
	case "variant":
		p.Variant, err = d.text(key, maxText)
	}
	return err
}

// entryAnnotations reads the annotations of a descriptor. Only a value of those of index.json
// that is not a string is an error; Limits.Strict refuses the others.
func (d *decoder) entryAnnotations() (a EntryAnnotations, err error) {
	if d.peek() != '{' && d.peek() != 'n' {
		return a, errors.New("annotations are not an object")
	}
	ok, err := d.annotations("annotations", entryNames, func(key string, literal []byte) error {
		field := a.field(key)
		if len(literal) > 6*maxText {
			return descriptorErrorf("annotation %q of %d bytes", key, len(literal))
		}
		s, err := unquote(literal)
		if err != nil && field != &a.About {
			return fmt.Errorf("annotation %q: %w", key, err)
		}
		*field = s
		return nil
	})
	a.malformed = !ok
	return a, err
}

// field returns the field of an annotation of entryNames.
func (a *EntryAnnotations) field(key string) *string {
	switch key {
	case "io.containerd.image.name":
		return &a.ImageName
	case "org.opencontainers.image.ref.name":
		return &a.RefName
	case "dev.stowage.bundle.tag":
		return &a.Tag
	case "dev.stowage.bundle.artifact":
		return &a.Artifact
	}
	return &a.About
}

// annotationAbout ties an attestation of BuildKit to the image it is about.
const annotationAbout = "vnd.docker.reference.digest"

// Descriptor returns the entry as a descriptor. Its only annotation can be
// "vnd.docker.reference.digest".
func (e *Entry) Descriptor() ocispec.Descriptor {
	d := ocispec.Descriptor{
		MediaType: e.MediaType, Digest: e.Digest, Size: e.Size, URLs: e.URLs,
		Platform: e.Platform, ArtifactType: e.ArtifactType,
	}
	if e.Annotations.About != "" {
		d.Annotations = map[string]string{annotationAbout: e.Annotations.About}
	}
	return d
}

// DescriptorWithData is Descriptor with the embedded content, which is not verified.
// Content that is not base64 is ignored: it can still be fetched.
func (e *Entry) DescriptorWithData() ocispec.Descriptor {
	d := e.Descriptor()
	if e.data != nil && json.Unmarshal(e.data, &d.Data) != nil {
		d.Data = nil
	}
	return d
}

func (e *Entry) descriptor(lim Limits) ocispec.Descriptor {
	if lim.Data {
		return e.DescriptorWithData()
	}
	return e.Descriptor()
}

// intern returns the shared copy of a media type: thousands of descriptors have the same
// few.
func intern(mediaType string) string { return unique.Make(mediaType).Value() }

// A DescriptorError reports a descriptor that is not usable, too many of them, or a key
// that appears twice: the manifest is complete, but no runtime can use it, or two runtimes
// could use it differently.
type DescriptorError struct{ Err error }

func (e *DescriptorError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *DescriptorError) Unwrap() error { return e.Err }

// A RepeatedKeyError reports a known key that appears twice in an object. It is inside of a
// [*DescriptorError].
type RepeatedKeyError struct{ Object, Key string }

func (e *RepeatedKeyError) Error() string {
	return fmt.Sprintf("%s has the key %q twice", e.Object, e.Key)
}

func descriptorErrorf(format string, args ...any) error {
	return &DescriptorError{fmt.Errorf(format, args...)}
}

// Check refuses a descriptor that no blob can match: its digest is invalid, or its size
// is negative or above limit. The error is a [*DescriptorError].
func (e *Entry) Check(limit int64) error {
	if err := CheckDigest(e.Digest); err != nil {
		return &DescriptorError{err}
	}
	if e.Size < 0 || e.Size > limit {
		return descriptorErrorf("size %d of %s is out of bounds", e.Size, e.Digest)
	}
	return nil
}

// undecodable returns why containerd cannot decode the descriptor.
func (e *Entry) undecodable() error {
	switch {
	case e.Annotations.malformed:
		return descriptorErrorf("the annotations of %s are not strings", e.Digest)
	case e.malformed:
		return descriptorErrorf("the embedded data of %s is not base64", e.Digest)
	}
	return nil
}

// entries reads an array of descriptors, nil for null.
func (d *decoder) entries(key string, most int) ([]Entry, error) {
	if d.null() {
		return nil, nil
	}
	start, n := d.i, 0
	err := d.list(key, most, func() error { n++; return nil })
	if err != nil {
		return nil, err
	}
	d.i = start
	list := make([]Entry, 0, n) // a slice that grows takes four times as much
	err = d.list(key, most, func() error {
		e, err := d.entry()
		list = append(list, e)
		return err
	})
	return list, err
}

// descriptors checks and converts a list.
func (m *Manifest) descriptors(l []Entry, lim Limits) ([]ocispec.Descriptor, error) {
	out := make([]ocispec.Descriptor, len(l))
	for i := range l {
		if err := m.check(&l[i], lim); err != nil {
			return nil, err
		}
		out[i] = l[i].descriptor(lim)
	}
	return out, nil
}

// check checks a descriptor within limits.
func (m *Manifest) check(e *Entry, lim Limits) error {
	if err := e.Check(lim.Blob); err != nil {
		return err
	}
	if m.Undecodable == nil {
		m.Undecodable = e.undecodable()
	}
	return nil
}
