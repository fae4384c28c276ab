//go:build linux

package node_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stowage/pkg/archive"
	"stowage/pkg/bundle"
	"stowage/pkg/node"
	"stowage/pkg/pull"
)

// makeAndLoad bundles an image, on the side of the network, and loads it into a containerd,
// on the side without one.
func makeAndLoad(ctx context.Context, out io.Writer, image, mirror, socket, dir string) error {
	file := filepath.Join(dir, "bundle.tar")
	_, err := bundle.Make(ctx, bundle.Request{
		Images:    []bundle.Image{{Name: image, Required: true}},
		Platforms: []ocispec.Platform{{OS: "linux", Architecture: "amd64"}, {OS: "linux", Architecture: "arm64"}},
		Output:    file,
	}, bundle.Options{
		Pull: pull.Options{Mirrors: map[string][]pull.Mirror{"docker.io": {{Host: mirror}}}},
	})
	if err != nil {
		return err
	}

	b, err := archive.Open(ctx, file, nil)
	if err != nil {
		return err
	}
	defer b.Close()
	n, err := node.Connect(ctx, node.Options{Address: socket})
	if err != nil {
		return err
	}
	defer n.Close()
	report, err := n.Load(ctx, b, node.LoadOptions{})
	if err != nil {
		return err
	}
	for _, img := range report.Images {
		fmt.Fprintln(out, img.Name, img.Status, img.CRI)
	}
	return nil
}

// An image travels from a registry into the containerd of this machine. (Not run here: it
// needs both. TestMakeAndLoad runs it with a registry and a containerd of its own.)
func Example() {
	err := makeAndLoad(context.Background(), os.Stdout, "docker.io/calico/cni:v3.28.0", "mirror.example:5000", "", ".")
	if err != nil {
		log.Fatal(err)
	}
}
