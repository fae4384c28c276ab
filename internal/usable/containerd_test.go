//go:build linux

package usable_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"stowage/internal/manifest"
	"stowage/internal/nodetest"
	"stowage/internal/registrytest"
	"stowage/internal/usable"
)

// The rule is containerd's: its CRI plugin pulls an image of the table from a registry, and
// a container can use it, if and only if the rule calls the image usable. The exceptions
// are those of wider.
func TestContainerd(t *testing.T) {
	reg, err := registrytest.New(registrytest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer reg.Close()
	node := nodetest.Start(t)
	c, err := client.New(node.Address(), client.WithDefaultNamespace("k8s.io"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for i, rc := range ruleCases {
		t.Run(rc.name, func(t *testing.T) {
			m := newMaker(rc.name)
			target := rc.make(m)
			img, refused := usable.Select(m, target, machine)
			name := push(t, reg, fmt.Sprintf("acme/case%d", i), m, target)
			err := use(t.Context(), node, c, name, refused == nil && img.Artifact)
			if agree := (err == nil) == (refused == nil); agree != (wider[rc.name] == "") {
				t.Errorf("containerd: %v, the rule: %v", err, refused)
			}
		})
	}
}

// push adds an image to the registry and returns its name.
func push(t *testing.T, reg *registrytest.Registry, repo string, m maker, target ocispec.Descriptor) string {
	t.Helper()
	for d, b := range m.blobs {
		reg.AddBlob(repo, b.raw)
		if !manifest.IsIndex(b.mediaType) && !manifest.IsManifest(b.mediaType) {
			continue
		}
		ref := d.String()
		if d == target.Digest {
			ref = "1"
		}
		if _, err := reg.AddRaw(repo, ref, b.mediaType, b.raw); err != nil {
			t.Fatal(err)
		}
	}
	return reg.Ref(repo, "1")
}

// use pulls an image as the kubelet does and unpacks it as the CRI plugin does when it
// creates a container.
func use(ctx context.Context, node *nodetest.Node, c *client.Client, name string, artifact bool) error {
	if _, err := node.Images().PullImage(ctx, &cri.PullImageRequest{Image: &cri.ImageSpec{Image: name}}); err != nil {
		return err
	}
	st, err := node.Images().ImageStatus(ctx, &cri.ImageStatusRequest{Image: &cri.ImageSpec{Image: name}})
	if err != nil || st.Image == nil {
		return fmt.Errorf("image status: %v, %w", st, err)
	}
	if artifact {
		return nil
	}
	ctx = namespaces.WithNamespace(ctx, "k8s.io")
	img, err := c.GetImage(ctx, name)
	if err != nil {
		return err
	}
	return img.Unpack(ctx, "overlayfs")
}
