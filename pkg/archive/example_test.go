package archive_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"

	"stowage/pkg/archive"
	"stowage/pkg/archive/writer"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// registry stands for wherever manifests and blobs come from.
var registry = map[digest.Digest]string{}

// push makes an image of one layer and returns the descriptor of its manifest.
func push(layer string) ocispec.Descriptor {
	put := func(content string) digest.Digest {
		d := digest.FromString(content)
		registry[d] = content
		return d
	}
	config := `{"os":"linux","architecture":"amd64","rootfs":{"type":"layers","diff_ids":[]}}`
	manifest := fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":%q,"digest":%q,"size":%d},"layers":[{"mediaType":%q,"digest":%q,"size":%d}]}`,
		ocispec.MediaTypeImageManifest,
		ocispec.MediaTypeImageConfig, put(config), len(config),
		ocispec.MediaTypeImageLayer, put(layer), len(layer))
	return ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: put(manifest), Size: int64(len(manifest))}
}

// A bundle is planned from manifests, and then filled in any order.
func Example() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	out := filepath.Join(dir, "hello.tar")
	if err := write(out, "hello-world:v1", push("a layer")); err != nil {
		log.Fatal(err)
	}

	r, err := archive.Open(context.Background(), out, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()
	if err := r.Verify(context.Background(), 0, nil); err != nil {
		log.Fatal(err)
	}
	for _, img := range r.Images() {
		fmt.Println(img.Name, img.Present[0].Platform.Architecture)
	}
	fmt.Println(len(r.Blobs()), "blobs,", r.Size(), "bytes")
	// Output:
	// docker.io/library/hello-world:v1 amd64
	// 3 blobs, 8192 bytes
}

// write makes a bundle of one image. Run again after a failure, it resumes.
func write(out, ref string, target ocispec.Descriptor) error {
	f, err := writer.Open(out)
	if err != nil {
		return err
	}
	defer f.Close()

	// Manifests first. A real registry is only asked for those that f lacks.
	if _, err := f.Metadata(target.Digest); errors.Is(err, archive.ErrNotFound) {
		if _, err := f.AddMetadata([]byte(registry[target.Digest])); err != nil {
			return err
		}
	}
	names, err := archive.Names(ref)
	if err != nil {
		return err
	}
	p, err := archive.NewPlan([]archive.Image{{Name: names[0], Target: target}}, f, archive.PlanOptions{})
	if err != nil {
		return err
	}

	// Now every byte has its place.
	if err := f.Start(context.Background(), p, nil); err != nil {
		return err
	}
	for _, b := range f.Missing() {
		w, err := f.Blob(b.Digest)
		if err != nil {
			return err
		}
		for off, n := range w.Missing() {
			if _, err := w.WriteAt([]byte(registry[b.Digest])[off:off+n], off); err != nil {
				return err
			}
		}
		if err := errors.Join(w.Commit(), w.Close()); err != nil {
			return err
		}
	}
	return f.CommitAs(context.Background(), archive.CompressionOf(out), nil)
}

// The metadata of a compressed bundle is read without decompressing a layer.
func ExampleOpen_metadata() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	out := filepath.Join(dir, "hello.tar.zst")
	if err := write(out, "hello-world:v1", push("a layer")); err != nil {
		log.Fatal(err)
	}

	r, err := archive.Open(context.Background(), out, &archive.OpenOptions{Metadata: true})
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()
	fmt.Println(r.Images()[0].Name, r.Compression(), r.MetadataOnly())
	_, err = r.Open(digest.FromString("a layer"))
	fmt.Println(errors.Is(err, archive.ErrMetadataOnly))
	// Output:
	// docker.io/library/hello-world:v1 zstd true
	// true
}

// A stream is read as it arrives. Its metadata comes first.
func ExampleOpenStream() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	out := filepath.Join(dir, "hello.tar")
	if err := write(out, "hello-world:v1", push("a layer")); err != nil {
		log.Fatal(err)
	}
	pipe, err := os.Open(out) // stands for standard input
	if err != nil {
		log.Fatal(err)
	}
	defer pipe.Close()

	s, err := archive.OpenStream(context.Background(), pipe)
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close()
	for {
		e, err := s.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			log.Fatal(err)
		}
		layer, err := io.ReadAll(e) // checks the digest
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s\n", layer)
	}
	r, err := s.Reader()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(s.Native(), r.Images()[0].Name)
	// Output:
	// a layer
	// true docker.io/library/hello-world:v1
}
