package node

import (
	"context"

	"github.com/containerd/containerd/v2/core/diff"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// writeRemotely lets containerd's diff service write the layer from its content store. The
// service has no limit on the unpacked size, so the layer is read here first; one whose tar
// has the wrong digest is not sent to the service.
func (u *unpack) writeRemotely(ctx context.Context, mounts []mount.Mount) (digest.Digest, error) {
	res, err := u.apply(ctx, nil, nil)
	if err != nil || res.DiffID != u.diffID {
		return res.DiffID, err
	}
	desc := ocispec.Descriptor{MediaType: u.MediaType, Digest: u.Digest, Size: u.Size}
	got, err := u.loader.node.client.DiffService().Apply(ctx, desc, mounts, diff.WithSyncFs(true))
	if err != nil {
		return "", err
	}
	u.loader.progress(u.Size)
	u.done(got.Size)
	return got.Digest, nil
}
