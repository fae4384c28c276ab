package pull

import (
	"context"

	"github.com/opencontainers/go-digest"
)

// Pinned is a name and what it means now.
type Pinned struct {
	Name   string // as asked for
	Digest digest.Digest
}

// Digests says what each name means, without fetching anything: it asks by HEAD, which
// costs no pulls, and of a name with a digest it asks nothing. Results and failures come
// in the order of refs, a name that appears twice once. The error is that of ctx.
func (c *Client) Digests(ctx context.Context, refs []Reference) ([]Pinned, []Failure, error) {
	targets := c.targets(refs)
	for _, t := range targets {
		t.headOnly = true
	}
	if err := c.tags(ctx, targets); err != nil {
		return nil, nil, err
	}
	var pinned []Pinned
	for _, t := range targets {
		if t.err == nil {
			pinned = append(pinned, Pinned{Name: t.ref.Name, Digest: t.desc.Digest})
		}
	}
	return pinned, failures(targets), nil
}
