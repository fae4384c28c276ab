package node

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

const (
	// verifyTimeout is how long the CRI plugin may take to see the new records: it
	// processes containerd's events one after the other.
	verifyTimeout = 30 * time.Second
	// verifyPoll is the longest pause between two requests for one name.
	verifyPoll = 200 * time.Millisecond
	// verifyJobs is how many names are requested at once.
	verifyJobs = 4
)

// verifyOptions say what [Node.verify] waits for. The zero value asks once.
type verifyOptions struct {
	wait   bool // until the CRI plugin has each image, at most verifyTimeout
	pinned bool // and shows it as pinned
}

// verify asks the CRI plugin for each name and, for tags, for the reference by digest, as
// the kubelet does before it decides to pull. The answers go into the report. One list of all
// images answers for those that are as they should be.
func (n *Node) verify(ctx context.Context, imgs []*image, r *Report, o verifyOptions) error {
	if n.criImages == nil {
		return nil
	}
	byName := map[string]*image{}
	for _, img := range imgs {
		for _, name := range img.names {
			byName[name] = img
		}
	}
	eg, ctx := errgroup.WithContext(ctx)
	eg.SetLimit(verifyJobs)
	deadline := time.Now()
	if o.wait {
		deadline = deadline.Add(verifyTimeout)
	}
	listed, _ := n.listImages(ctx) // imageStatus meets the error again and handles it
	for i := range r.Images {
		out := &r.Images[i]
		img := byName[out.Name]
		refs := []string{out.Name}
		if d := byDigest(out.Name, img.target.Digest); d != out.Name {
			refs = append(refs, d)
		}
		if !slices.ContainsFunc(refs, func(ref string) bool {
			got := listed[ref]
			return got.GetId() != img.config.Digest.String() || o.pinned && !got.Pinned
		}) {
			out.CRI, out.Pinned = Ready, listed[out.Name].Pinned
			continue
		}
		eg.Go(func() error {
			for _, ref := range slices.Backward(refs) { // the name last: its Pinned stays
				status, found, pinned, err := imageStatus(ctx, n.criImages, ref, img.config.Digest, deadline, o.pinned)
				if err != nil {
					return err
				}
				if out.CRI == NotAsked || status != Ready {
					out.CRI = status
				}
				if status == Differs {
					out.Found = found
				}
				out.Pinned = pinned
			}
			return nil
		})
	}
	return eg.Wait()
}

// listImages returns the images of the CRI plugin by the references that it resolves to them,
// in their full form.
func (n *Node) listImages(ctx context.Context) (map[string]*cri.Image, error) {
	resp, err := n.criImages.ListImages(ctx, &cri.ListImagesRequest{})
	if err != nil {
		return nil, fmt.Errorf("ask the CRI plugin for its images: %w", err)
	}
	listed := map[string]*cri.Image{}
	for _, i := range resp.Images {
		for _, ref := range slices.Concat(i.RepoTags, i.RepoDigests) {
			listed[ref] = i
		}
	}
	return listed, nil
}

// imageStatus asks for one reference until the CRI plugin has it with the image ID, pinned
// if that is wanted, or the deadline has passed. It returns the image ID that it has too.
func imageStatus(ctx context.Context, plugin cri.ImageServiceClient, ref string, id digest.Digest, deadline time.Time, wantPin bool) (CRIStatus, digest.Digest, bool, error) {
	for pause := 5 * time.Millisecond; ; pause = min(2*pause, verifyPoll) {
		resp, err := plugin.ImageStatus(ctx, &cri.ImageStatusRequest{Image: &cri.ImageSpec{Image: ref}})
		// A CRI plugin that has just started reports for a while that it is not ready:
		// 2.x as Unavailable, 1.x without a code, so as Unknown
		// (internal/cri/instrument/instrumented_service.go, before that
		// pkg/cri/server/instrumented_service.go).
		code := status.Code(err)
		early := (code == codes.Unavailable || code == codes.Unknown) && time.Now().Before(deadline)
		if err != nil && !early {
			return Unknown, "", false, fmt.Errorf("ask the CRI plugin for %s: %w", ref, err)
		}
		found := Unknown
		switch {
		case resp.GetImage() == nil:
		case resp.Image.Id != id.String():
			found = Differs
		default:
			found = Ready
		}
		pinned, has := resp.GetImage().GetPinned(), digest.Digest(resp.GetImage().GetId())
		if found == Ready && (pinned || !wantPin) || !time.Now().Before(deadline) {
			return found, has, pinned, nil
		}
		select {
		case <-ctx.Done():
			return found, has, pinned, ctx.Err()
		case <-time.After(pause):
		}
	}
}
