package node

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"

	"stowage/pkg/archive"
)

// lockPoll is the longest pause between two tries for a ref that somebody else writes to.
const lockPoll = 250 * time.Millisecond

// writer opens a writer of the content store whose stream lives as long as the context of
// that name. While somebody else writes under the same ref, as another load does of a
// bundle or a blob, it waits until ctx ends. containerd's own content.OpenWriter does so,
// too, but for ever: it takes a daemon that is gone for a busy one.
func (n *Node) writer(ctx, stream context.Context, opts ...content.WriterOpt) (content.Writer, error) {
	for pause := 10 * time.Millisecond; ; pause = min(2*pause, lockPoll) {
		w, err := n.content.Writer(stream, opts...)
		if err == nil || !errdefs.IsUnavailable(err) {
			return w, err
		}
		// Unavailable is "somebody has it" and "the daemon is gone"; ask which.
		if err := n.answers(ctx); err != nil && ctx.Err() == nil {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(pause/2 + rand.N(pause)):
		}
	}
}

// answers asks containerd for something that it always has.
func (n *Node) answers(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	if _, err := n.client.Version(ctx); err != nil {
		return fmt.Errorf("ask containerd whether it is there: %w", err)
	}
	return nil
}

// gone makes an error an [*UnavailableError] when containerd has ended since Connect. What
// an API says then is a matter of the moment: Unavailable, EOF, or that a stream broke.
func (n *Node) gone(ctx context.Context, err error) error {
	if err == nil || ctx.Err() != nil || isGone(err) || errors.Is(err, archive.ErrDamaged) || errors.Is(err, ErrIncomplete) {
		return err
	}
	if _, refused := knock(ctx, n.server.Address); refused == nil {
		return err
	}
	return &UnavailableError{Reason: Gone, Address: n.server.Address, Err: err}
}

// isGone tells whether gone has found containerd to be so.
func isGone(err error) bool {
	e, ok := errors.AsType[*UnavailableError](err)
	return ok && e.Reason == Gone
}
