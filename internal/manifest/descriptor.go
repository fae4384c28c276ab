package manifest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"unique"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// An Entry is a descriptor as it is decoded. Of its annotations it has only those that a
// caller reads, so that hostile input cannot grow in memory.
type Entry struct {
	MediaType    string            `json:"mediaType"`
	Digest       digest.Digest     `json:"digest"`
	Size         int64             `json:"size"`
	URLs         []string          `json:"urls"`
	Platform     *ocispec.Platform `json:"platform"`
	ArtifactType string            `json:"artifactType"`
	Annotations  EntryAnnotations  `json:"annotations"`
	Data         json.RawMessage   `json:"data"` // the embedded content as a JSON string, see Limits.Data
}

// EntryAnnotations are the annotations of a descriptor that are kept. The first three are
// those of index.json in an image layout.
type EntryAnnotations struct {
	ImageName string // io.containerd.image.name
	RefName   string // org.opencontainers.image.ref.name
	Tag       string // dev.stowage.bundle.tag
	About     string // vnd.docker.reference.digest, of BuildKit's attestations; in Descriptor.Annotations

	malformed bool // not an object of strings, which containerd cannot decode
}

// UnmarshalJSON implements [json.Unmarshaler]. It decodes one value after the other and
// keeps those of the fields. Only a value of the first three that is not a string is an
// error; Limits.Strict refuses the others.
func (a *EntryAnnotations) UnmarshalJSON(raw []byte) error {
	dec := json.NewDecoder(bytes.NewReader(raw))
	switch tok, err := dec.Token(); {
	case err != nil || tok == nil: // null
		return err
	case tok != json.Delim('{'):
		return errors.New("annotations are not an object")
	}
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return err
		}
		var value string
		err = dec.Decode(&value)
		field := a.field(key)
		switch {
		case err == nil && field != nil:
			*field = value
		case err != nil && field != nil && field != &a.About:
			return fmt.Errorf("annotation %q: %w", key, err)
		case err != nil:
			a.malformed = true
		}
	}
	return nil
}

// field returns the field of an annotation, nil if it is not kept.
func (a *EntryAnnotations) field(key json.Token) *string {
	switch key {
	case "io.containerd.image.name":
		return &a.ImageName
	case "org.opencontainers.image.ref.name":
		return &a.RefName
	case "dev.stowage.bundle.tag":
		return &a.Tag
	case annotationAbout:
		return &a.About
	}
	return nil
}

// annotationAbout ties an attestation of BuildKit to the image it is about.
const annotationAbout = "vnd.docker.reference.digest"

// Descriptor returns the entry as a descriptor. Its only annotation can be
// "vnd.docker.reference.digest".
func (e *Entry) Descriptor() ocispec.Descriptor {
	d := ocispec.Descriptor{
		MediaType: intern(e.MediaType), Digest: e.Digest, Size: e.Size, URLs: e.URLs,
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
	if e.Data != nil && json.Unmarshal(e.Data, &d.Data) != nil {
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

// A DescriptorError reports a descriptor that is not usable, or too many of them: the
// manifest is complete, but no runtime can use it.
type DescriptorError struct{ Err error }

func (e *DescriptorError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *DescriptorError) Unwrap() error { return e.Err }

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

// check is Check within limits.
func (e *Entry) check(lim Limits) error {
	if err := e.Check(lim.Blob); err != nil || !lim.Strict {
		return err
	}
	var data []byte
	switch {
	case e.Annotations.malformed:
		return descriptorErrorf("the annotations of %s are not strings", e.Digest)
	case e.Data != nil && json.Unmarshal(e.Data, &data) != nil:
		return descriptorErrorf("the embedded data of %s is not base64", e.Digest)
	}
	return nil
}

// A List is a JSON array of descriptors. It is decoded one by one and up to maxList:
// eight megabytes of "{}," would otherwise become hundreds before they are counted.
type List []Entry

// maxList bounds every list while it is decoded, in entries. It is above every limit that
// is applied to a decoded list.
const maxList = 1<<14 + 1

// UnmarshalJSON implements [json.Unmarshaler].
func (l *List) UnmarshalJSON(raw []byte) error {
	dec := json.NewDecoder(bytes.NewReader(raw))
	if tok, err := dec.Token(); err != nil || tok != json.Delim('[') {
		return errors.New("descriptors are not a list")
	}
	for dec.More() {
		if len(*l) >= maxList {
			return descriptorErrorf("more than %d descriptors in one list", maxList)
		}
		var e Entry
		if err := dec.Decode(&e); err != nil {
			return err
		}
		*l = append(*l, e)
	}
	return nil
}

// descriptors checks and converts the list.
func (l List) descriptors(lim Limits) ([]ocispec.Descriptor, error) {
	if len(l) > lim.Descriptors {
		return nil, descriptorErrorf("%d descriptors, the limit is %d", len(l), lim.Descriptors)
	}
	out := make([]ocispec.Descriptor, len(l))
	for i := range l {
		if err := l[i].check(lim); err != nil {
			return nil, err
		}
		out[i] = l[i].descriptor(lim)
	}
	return out, nil
}
