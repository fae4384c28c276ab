package bundle_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stowage/internal/registrytest"
	"stowage/pkg/bundle"
	"stowage/pkg/pull"
)

// A mirror serves the images here: a registry inside this process.
func ExampleMake() {
	registry, err := registrytest.New(registrytest.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer registry.Close()
	if _, err := registry.AddCalico(registrytest.CalicoOptions{}); err != nil {
		log.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "bundle")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	result, err := bundle.Make(context.Background(), bundle.Request{
		Images: []bundle.Image{
			{Name: "calico/node:v3.28.0", Required: true},
			{Name: "docker.io/calico/cni:v3.28.0", Required: true},
			{Name: "calico/renamed:v3.28.0"},
		},
		Platforms: []ocispec.Platform{{OS: "linux", Architecture: "amd64"}},
		Output:    filepath.Join(dir, "calico.tar"),
	}, bundle.Options{
		Pull: pull.Options{Mirrors: map[string][]pull.Mirror{"docker.io": {{Host: registry.Host(), Last: true}}}},
	})
	if err != nil {
		log.Fatal(err)
	}
	for _, img := range result.Images {
		fmt.Println(img.Name)
	}
	for _, s := range result.Skipped {
		fmt.Println("skipped:", s.Name)
	}
	fmt.Println("pulls:", result.Stats.ManifestGET)
	// Output:
	// docker.io/calico/cni:v3.28.0
	// docker.io/calico/node:v3.28.0
	// skipped: docker.io/calico/renamed:v3.28.0
	// pulls: 4
}
