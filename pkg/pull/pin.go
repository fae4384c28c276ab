package pull

import (
	"context"

	"github.com/opencontainers/go-digest"
)

// Lock is a name and the digest that it stands for now.
type Lock struct {
	Name   string // as in the Query
	Digest digest.Digest
}

// Digests says what each name means, without fetching anything: it asks by HEAD, which
// costs no pulls, and of a name with a digest it asks nothing. Results and failures come
// in the order of refs, a name that appears twice once. The error is that of ctx.
func (c *Client) Digests(ctx context.Context, refs []Query) ([]Lock, []Failure, error) {
	targets := c.targets(refs)
	for _, t := range targets {
		t.headOnly = true
	}
	if err := c.tags(ctx, targets); err != nil {
		return nil, nil, err
	}
	var locks []Lock
	for _, t := range targets {
		if t.err == nil {
			locks = append(locks, Lock{Name: t.Name, Digest: t.desc.Digest})
		}
	}
	return locks, failures(targets), nil
}
