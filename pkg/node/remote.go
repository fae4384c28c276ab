package node

import (
	"archive/tar"
	"context"
	"io"

	"github.com/containerd/containerd/v2/core/diff"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stowage/internal/iox"
)

// fillRemotely lets containerd's diff service write the layer, from its content
// store. The service knows no bound, so the layer is measured first; one whose tar is
// not what the config says never gets there.
func (u *unpack) fillRemotely(ctx context.Context, mounts []mount.Mount) (digest.Digest, error) {
	measured, err := u.measure(ctx)
	if err != nil || measured != u.diffID {
		return measured, err
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

// measure unpacks the layer to nowhere.
func (u *unpack) measure(ctx context.Context) (digest.Digest, error) {
	blob, err := u.loader.open(ctx, u.Descriptor)
	if err != nil {
		return "", err
	}
	defer blob.Close()
	taken := iox.NewMonitor(blob)
	tar, err := u.loader.decoder.decode(taken)
	if err == nil {
		defer tar.Close()
		bound := u.loader.bound(ctx, u.Descriptor)
		limited := &limit{r: tar, left: bound.most}
		digester := digest.Canonical.Digester()
		files := bound.files()
		if err = walk(io.TeeReader(iox.WithContext(ctx, limited), digester.Hash()), files); err == nil {
			return digester.Digest(), nil
		}
		if limited.left < 0 || files.exceeded() {
			return "", bound.exceeded(limited.read, taken.N(), files)
		}
	}
	if ctx.Err() == nil && taken.Err() == nil {
		err = asDamaged(err)
	}
	return "", err
}

// walk reads a tar to its end.
func walk(r io.Reader, files *sizes) error {
	tr := tar.NewReader(r)
	for {
		h, err := tr.Next()
		if err == io.EOF {
			_, err = io.Copy(io.Discard, r)
			return err
		}
		if err == nil {
			_, err = files.filter(h)
		}
		if err != nil {
			return err
		}
	}
}
