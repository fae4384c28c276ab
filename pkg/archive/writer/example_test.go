package writer_test

import (
	"crypto/sha256"
	"fmt"
	"log"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stowage/pkg/archive"
	"stowage/pkg/archive/writer"
)

// A stream writes the bytes of the file to a pipe.
func ExampleNewStream() {
	docs := documents{}
	config := docs.add(`{"os":"linux","architecture":"amd64","rootfs":{"type":"layers","diff_ids":[]}}`, ocispec.MediaTypeImageConfig)
	layer := docs.add("a layer", ocispec.MediaTypeImageLayer)
	target := docs.add(fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":%q,"digest":%q,"size":%d},"layers":[{"mediaType":%q,"digest":%q,"size":%d}]}`,
		ocispec.MediaTypeImageManifest, config.MediaType, config.Digest, config.Size, layer.MediaType, layer.Digest, layer.Size), ocispec.MediaTypeImageManifest)

	image := archive.Image{Name: "docker.io/library/hello-world:v2", Target: target}
	p, err := archive.NewPlan([]archive.Image{image}, docs, archive.PlanOptions{})
	if err != nil {
		log.Fatal(err)
	}
	pipe := sha256.New() // stands for standard output
	s, err := writer.NewStream(pipe, p, docs, writer.StreamOptions{})
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close()
	for _, missing := range s.Missing() {
		b, err := s.Blob(missing.Digest)
		if err != nil {
			log.Fatal(err)
		}
		if _, err := b.WriteAt([]byte(docs[missing.Digest]), 0); err != nil {
			log.Fatal(err)
		}
		if err := b.Commit(); err != nil { // checks the digest; the next header may follow
			log.Fatal(err)
		}
	}
	fmt.Println(s.Commit(), p.Size())
	// Output: <nil> 8192
}

// manifests stands for a registry.
type documents map[digest.Digest]string

func (m documents) add(content, mediaType string) ocispec.Descriptor {
	d := digest.FromString(content)
	m[d] = content
	return ocispec.Descriptor{MediaType: mediaType, Digest: d, Size: int64(len(content))}
}

func (m documents) Metadata(d digest.Digest) ([]byte, error) {
	if doc, ok := m[d]; ok {
		return []byte(doc), nil
	}
	return nil, archive.ErrNotFound
}
