package pull_test

import (
	"context"
	"fmt"
	"log"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stowage/internal/registrytest"
	"stowage/pkg/pull"
)

// Names are resolved by HEAD, which costs no pull; the estimate is known before the first
// counted request.
func ExampleClient_Resolve() {
	registry, err := registrytest.New(registrytest.Options{Policy: registrytest.Policy{AnonymousQuota: 100}})
	if err != nil {
		log.Fatal(err)
	}
	defer registry.Close()
	if _, err := registry.AddIndex("team/app", "v1", registrytest.Index{Images: []registrytest.Image{{}, {Platform: "linux/arm64"}}}); err != nil {
		log.Fatal(err)
	}

	client, err := pull.New(pull.Options{
		Platforms: []ocispec.Platform{{OS: "linux", Architecture: "arm64"}},
		Before: func(e pull.Estimate) error {
			fmt.Printf("%d image, %d pulls of %d left\n", e.Images, e.Pulls, e.Quotas[0].Remaining)
			return nil
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	images, failures, err := client.Resolve(context.Background(), []pull.Query{{Name: registry.Ref("team/app", "v1")}})
	if err != nil || len(failures) > 0 {
		log.Fatal(failures, err)
	}
	for _, d := range images[0].Present {
		fmt.Println(d.MediaType)
	}
	// Output:
	// 1 image, 2 pulls of 100 left
	// application/vnd.oci.image.index.v1+json
	// application/vnd.oci.image.manifest.v1+json
}

func ExampleParseMirror() {
	registry, mirror, err := pull.ParseMirror("docker.io=mirror.example:5000/registry")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(registry, mirror.Host, mirror.Prefix)
	// Output: docker.io mirror.example:5000 registry
}
