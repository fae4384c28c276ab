package pull

import (
	"context"
	"fmt"
	"slices"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"
)

// Resolved is what a name means: the manifests and indexes that a bundle of it needs.
type Resolved struct {
	Name   string             // as in the Query
	Target ocispec.Descriptor // what the name means: an index or a manifest
	// Present is every index and manifest chosen, Target first, parents before children.
	// With Options.Referrers the attestations that stand in an index are among them.
	Present []ocispec.Descriptor
	// Referrers are manifests about those in Present: signatures, attestations, SBOMs, in the
	// order of their digests. One that does not say itself what it is about has the name
	// that led to it ("repo:sha256-<hex>.sig") in its annotation
	// "org.opencontainers.image.ref.name", and nothing else there. Only with
	// Options.Referrers.
	Referrers []ocispec.Descriptor
}

// Failure is a name that could not be resolved.
type Failure struct {
	Name string
	Err  error
}

// target is a name on its way.
type target struct {
	Query
	named     reference.Named
	first     login  // whom the counted requests are for, when the first place serves
	account   string // source of that login's account
	desc      ocispec.Descriptor
	headOnly  bool
	met       map[digest.Digest]bool // documents of a walk under way
	artifacts int                    // manifests met that are no images
	image     Resolved
	err       error
}

// Resolve finds what each name means and fetches the manifests and indexes for the chosen
// platforms that Documents does not hold. Images and failures come in the order of refs,
// a name that appears twice once. The error is that of ctx or of Options.Before; with the
// latter come the failures so far. What one name meets is a Failure and does not stop the
// others: the blobs of the images that resolved can be fetched.
func (c *Client) Resolve(ctx context.Context, refs []Query) ([]Resolved, []Failure, error) {
	targets := c.targets(refs)
	if err := c.tags(ctx, targets); err != nil {
		return nil, nil, err
	}
	alive := slices.ContainsFunc(targets, func(t *target) bool { return t.err == nil })
	if c.opts.Before != nil && alive {
		if err := c.opts.Before(c.estimate(targets)); err != nil {
			return nil, failures(targets), err
		}
	}
	if err := c.parallel(ctx, targets, c.manifests); err != nil {
		return nil, nil, err
	}
	var images []Resolved
	for _, t := range targets {
		if t.err == nil {
			images = append(images, t.image)
		}
	}
	return images, failures(targets), nil
}

// targets reads the names.
func (c *Client) targets(refs []Query) []*target {
	targets := make([]*target, 0, len(refs))
	seen := map[string]bool{}
	for _, r := range refs {
		if seen[r.Name] {
			continue
		}
		seen[r.Name] = true
		t := &target{Query: r}
		t.named, t.err = parse(r.Name)
		targets = append(targets, t)
	}
	return targets
}

func failures(targets []*target) []Failure {
	var out []Failure
	for _, t := range targets {
		if t.err != nil {
			out = append(out, Failure{Name: t.Name, Err: t.err})
		}
	}
	return out
}

// tags finds what every name means.
func (c *Client) tags(ctx context.Context, targets []*target) error {
	for _, t := range targets {
		if t.err == nil {
			t.err = c.announceTarget(ctx, t)
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return c.parallel(ctx, targets, c.tag)
}

// announceTarget makes the first token of each registry cover all repositories asked there.
// Fallbacks are announced only when they are needed.
func (c *Client) announceTarget(ctx context.Context, t *target) error {
	pull, resolve := c.routes.pullers(t.named), c.routes.resolvers(t.named)
	if len(pull) == 0 {
		return fmt.Errorf("%s: %w", t.Name, errNowhere)
	}
	first := pull[:1:1]
	if len(resolve) > 0 && resolve[0] != first[0] {
		first = append(first, resolve[0])
	}
	for i, e := range first {
		accounts, err := c.accounts(ctx, e, t.Secrets)
		if err != nil {
			return fmt.Errorf("%s: %w", t.Name, err)
		}
		key := c.announce(e, accounts[0])
		if i == 0 {
			t.first = key.login
			if accounts[0] != nil {
				t.account = accounts[0].Source
			}
		}
	}
	return nil
}

// parallel runs step for every target without an error; steps put theirs into the target.
func (c *Client) parallel(ctx context.Context, targets []*target, step func(context.Context, *target) error) error {
	var g errgroup.Group
	g.SetLimit(c.opts.Jobs)
	for _, t := range targets {
		if t.err != nil {
			continue
		}
		g.Go(func() error {
			t.err = step(ctx, t)
			return nil
		})
	}
	_ = g.Wait() // steps return no errors
	return ctx.Err()
}

// tag finds the digest of a name: by itself when it has one, by HEAD otherwise.
func (c *Client) tag(ctx context.Context, t *target) error {
	if d, ok := t.named.(reference.Digested); ok {
		t.desc = ocispec.Descriptor{Digest: d.Digest()}
		return nil
	}
	return c.eachResolver(ctx, t.named, t.Secrets, func(s *session, e endpoint) error {
		desc, err := c.resolveTag(ctx, s, e, t)
		if err == nil {
			t.desc = desc
		}
		return err
	})
}

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

// tagOf is the tag of a name that has one.
func tagOf(named reference.Named) string {
	if t, ok := named.(reference.Tagged); ok {
		return t.Tag()
	}
	return ""
}

// parse splits a normalised name into its parts.
func parse(name string) (reference.Named, error) {
	named, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return nil, fmt.Errorf("image name %q: %w", name, err)
	}
	if reference.IsNameOnly(named) {
		return nil, fmt.Errorf("image name %q: neither tag nor digest", name)
	}
	return named, nil
}
