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
	// proveTimeout is how long the CRI plugin may take to hear of the new
	// records: it follows containerd's events, one after the other.
	proveTimeout = 30 * time.Second
	// provePoll is the longest pause between two questions for one name.
	provePoll = 200 * time.Millisecond
	// proveJobs is how many names are asked for at once.
	proveJobs = 4
)

// prove asks the CRI plugin for each name and, for tags, for the reference by
// digest, as the kubelet does before it decides to pull. With wait it asks again
// until the plugin knows the image under the right id, pinned if that is wanted,
// or proveTimeout has passed. The answers go into the report.
func (n *Node) prove(ctx context.Context, imgs []*image, r *Report, wait, pin bool) error {
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
	eg.SetLimit(proveJobs)
	deadline := time.Now()
	if wait {
		deadline = deadline.Add(proveTimeout)
	}
	for i := range r.Images {
		out := &r.Images[i]
		img := byName[out.Name]
		if img.artifact {
			continue
		}
		eg.Go(func() error {
			refs := []string{out.Name}
			if d := byDigest(out.Name, img.target.Digest); d != out.Name {
				refs = append(refs, d)
			}
			for _, ref := range slices.Backward(refs) { // the name's own answer stays
				verdict, pinned, err := n.ask(ctx, ref, img.config.Digest, deadline, pin)
				if err != nil {
					return err
				}
				if out.Verdict == NotAsked || verdict != Ready {
					out.Verdict = verdict
				}
				out.Pinned = pinned
			}
			return nil
		})
	}
	return eg.Wait()
}

// ask asks for one reference until the answer is good or the deadline passes.
func (n *Node) ask(ctx context.Context, ref string, id digest.Digest, deadline time.Time, pin bool) (Verdict, bool, error) {
	for pause := 5 * time.Millisecond; ; pause = min(2*pause, provePoll) {
		resp, err := n.criImages.ImageStatus(ctx, &cri.ImageStatusRequest{Image: &cri.ImageSpec{Image: ref}})
		// A containerd that has just started says for a while that it is not ready: 2.x
		// by a code of its own, 1.x without any (internal/cri/instrument/instrumented_service.go
		// and pkg/cri/server/instrumented_service.go there).
		code := status.Code(err)
		early := (code == codes.Unavailable || code == codes.Unknown) && time.Now().Before(deadline)
		if err != nil && !early {
			return Unknown, false, fmt.Errorf("ask the CRI plugin for %s: %w", ref, err)
		}
		verdict := Unknown
		switch {
		case resp.GetImage() == nil:
		case resp.Image.Id != id.String():
			verdict = Differs
		default:
			verdict = Ready
		}
		pinned := resp.GetImage().GetPinned()
		if verdict == Ready && (pinned || !pin) || !time.Now().Before(deadline) {
			return verdict, pinned, nil
		}
		select {
		case <-ctx.Done():
			return verdict, pinned, ctx.Err()
		case <-time.After(pause):
		}
	}
}
