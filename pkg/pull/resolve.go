package pull

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"stowage/internal/manifest"
)

// Resolved is what a name means: the manifests and indexes that a bundle of it needs.
type Resolved struct {
	Name   string             // as in the Query
	Target ocispec.Descriptor // what the name means: an index or a manifest
	// Present is every index and manifest chosen, Target first, parents before children.
	// With Options.Referrers it includes the attestations listed in an index.
	Present []ocispec.Descriptor
	// Missing reports the wanted platforms that the image does not have, beside others that
	// are in Present; nil for none.
	Missing *NoPlatformError
	// Artifact says that the image has no root file system: a chart or a model, for example.
	Artifact bool
	// Referrers are manifests about those in Present: signatures, attestations, SBOMs, in
	// the order of their digests. One that does not state its subject has the name that led
	// to it ("repo:sha256-<hex>.sig") in its annotation
	// "org.opencontainers.image.ref.name"; the others have no annotation. Only with
	// Options.Referrers.
	Referrers []ocispec.Descriptor
}

// Lock is a name and the digest that it stands for now.
type Lock struct {
	Name   string // as in the Query
	Digest digest.Digest
}

// Failure is a name that could not be resolved.
type Failure struct {
	Name string
	Err  error
}

// Resolve finds what each name means and fetches the manifests and indexes for the chosen
// platforms that Metadata does not hold. Results and failures are in the order of
// queries; a name that appears twice is resolved once. The error is that of ctx or of
// Options.Before; with the latter the failures so far are returned. A fault of one name is
// a Failure and does not stop the others: the blobs of the images that resolved can be
// fetched.
func (c *Client) Resolve(ctx context.Context, queries []Query) ([]Resolved, []Failure, error) {
	targets := c.targets(queries)
	if err := c.resolveTags(ctx, targets); err != nil {
		return nil, nil, err
	}
	alive := slices.ContainsFunc(targets, func(t *target) bool { return t.err == nil })
	if c.opts.Before != nil && alive {
		if err := c.opts.Before(c.estimate(targets)); err != nil {
			return nil, failures(targets), err
		}
	}
	if err := c.parallel(ctx, targets, (*target).selectManifests); err != nil {
		return nil, nil, err
	}
	var resolved []Resolved
	for _, t := range targets {
		if t.err == nil {
			resolved = append(resolved, t.resolved)
		}
	}
	return resolved, failures(targets), nil
}

// Digests finds the digest of each name by HEAD, which costs no pulls, and without any
// request for a name with a digest. Only a registry that refuses HEAD is asked for the
// manifest. Results and failures are in
// the order of queries; a name that appears twice is resolved once. The error is that of
// ctx.
func (c *Client) Digests(ctx context.Context, queries []Query) ([]Lock, []Failure, error) {
	targets := c.targets(queries)
	for _, t := range targets {
		t.headOnly = true
	}
	if err := c.resolveTags(ctx, targets); err != nil {
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

// target is a name that is being resolved.
type target struct {
	Query
	client    *Client
	named     reference.Named
	first     login  // whose pulls the counted requests spend, if the first endpoint serves
	account   string // source of that login's account
	desc      ocispec.Descriptor
	headOnly  bool
	seen      map[digest.Digest]bool // manifests of the walk in progress
	artifacts int                    // manifests seen that are not images
	resolved  Resolved
	err       error
}

// targets parses the names.
func (c *Client) targets(queries []Query) []*target {
	targets := make([]*target, 0, len(queries))
	seen := map[string]bool{}
	for _, q := range queries {
		if seen[q.Name] {
			continue
		}
		seen[q.Name] = true
		t := &target{Query: q, client: c}
		t.named, t.err = parse(q.Name)
		targets = append(targets, t)
	}
	return targets
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

func failures(targets []*target) []Failure {
	var out []Failure
	for _, t := range targets {
		if t.err != nil {
			out = append(out, Failure{Name: t.Name, Err: t.err})
		}
	}
	return out
}

// parallel runs step for every target without an error and keeps the error of the step in
// the target.
func (c *Client) parallel(ctx context.Context, targets []*target, step func(*target, context.Context) error) error {
	var g errgroup.Group
	g.SetLimit(c.opts.Jobs)
	for _, t := range targets {
		if t.err != nil {
			continue
		}
		g.Go(func() error {
			defer catch(t.Name, &t.err)
			t.err = step(t, ctx)
			return nil
		})
	}
	_ = g.Wait() // steps return no errors
	return ctx.Err()
}

// resolveTags finds the digest of every name.
func (c *Client) resolveTags(ctx context.Context, targets []*target) error {
	for _, t := range targets {
		if t.err == nil {
			if err := attempt(t.Name, func() { t.err = t.announce(ctx) }); err != nil {
				t.err = err
			}
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return c.parallel(ctx, targets, (*target).resolveTag)
}

// announce makes the first token of each registry cover all repositories that will be
// asked for there. Fallbacks are announced only when they are needed.
func (t *target) announce(ctx context.Context) error {
	c := t.client
	pull, resolve := c.routes.pullers(t.named), c.routes.resolvers(t.named)
	if len(pull) == 0 {
		return fmt.Errorf("%s: %w", t.Name, errNoEndpoint)
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
		key := c.sessions.announce(e, accounts[0])
		if i == 0 {
			t.first = key.login
			if accounts[0] != nil {
				t.account = accounts[0].Source
			}
		}
	}
	return nil
}

// resolveTag finds the digest of a name: in the name or by HEAD.
func (t *target) resolveTag(ctx context.Context) error {
	if d, ok := t.named.(reference.Digested); ok {
		t.desc = ocispec.Descriptor{Digest: d.Digest()}
	} else if err := t.client.waitOutLimit(ctx, t.client.routes.resolvers(t.named), t.Secrets, func(r conn) error {
		desc, err := t.headOrGet(ctx, r)
		if err == nil {
			t.desc = desc
		}
		return err
	}); err != nil {
		return err
	}
	if err := manifest.CheckDigest(t.desc.Digest); err != nil {
		return &UnsupportedError{Name: t.Name, MediaType: oneLine(t.desc.MediaType), Err: err}
	}
	return nil
}

// headOrGet asks for the tag by HEAD. Some servers refuse every HEAD, or redirect it to
// storage whose signed URL is for GET only: after any answer but 401 and 429 the tag is
// asked for by GET once, which also brings the reason, and the manifest is kept. Docker
// Hub does answer HEAD, and counts the GET.
func (t *target) headOrGet(ctx context.Context, r conn) (ocispec.Descriptor, error) {
	tag := tagOf(t.named)
	desc, err := r.head(ctx, tag, t.Name)
	var refused *answerError
	if !errors.As(err, &refused) || refused.status == http.StatusUnauthorized || r.host == dockerHubHost {
		return desc, err
	}
	if t.headOnly && isNotFound(err) {
		return desc, err
	}
	// After a refusal, a HEAD for the digest would mean nothing.
	raw, mediaType, err := r.getTag(ctx, tag, t.Name, errors.Is(err, errNoHeadDigest))
	if err != nil {
		if auth := (*AuthError)(nil); errors.As(err, &auth) {
			auth.head = true // a HEAD was refused too
		}
		return desc, err
	}
	d, err := t.client.docs.AddMetadata(raw)
	return ocispec.Descriptor{MediaType: mediaType, Digest: d, Size: int64(len(raw))}, err
}

// confirm fetches what a tag points to. The digest in an answer to HEAD is only a claim:
// when no endpoint has a manifest with it, or those that do send other bytes, the tag is
// asked for by GET, and the hash of what comes decides. So it is when a mirror sent nonsense.
func (t *target) confirm(ctx context.Context) error {
	_, err := t.manifest(ctx, t.desc)
	var wrong *ContentError
	if _, pinned := t.named.(reference.Digested); err == nil || pinned || !isNotFound(err) && !errors.As(err, &wrong) {
		return err
	}
	terr := t.client.waitOutLimit(ctx, t.client.routes.resolvers(t.named), t.Secrets, func(r conn) error {
		if r.host == dockerHubHost {
			return err // its digests are right, and a GET counts
		}
		raw, mediaType, err := r.getTag(ctx, tagOf(t.named), t.Name, true)
		if err != nil {
			return err
		}
		desc := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(raw), Size: int64(len(raw))}
		if _, err := parseManifest(t.Name, raw, desc); err != nil {
			return err // an answer to everything, perhaps
		}
		if _, err = t.client.docs.AddMetadata(raw); err == nil {
			t.desc = desc
		}
		return err
	})
	if terr != nil {
		return err
	}
	t.client.net.events.report(Event{Host: t.first.host, Text: oneLine(fmt.Sprintf("%s: the digest that was stated for it is wrong; it is %s", t.Name, t.desc.Digest))})
	return nil
}

// tagOf returns the tag of a name, "" for none.
func tagOf(named reference.Named) string {
	if t, ok := named.(reference.Tagged); ok {
		return t.Tag()
	}
	return ""
}

// addLocations records that the repository of the name has the blobs of a manifest.
func (t *target) addLocations(m *manifest.Manifest) {
	t.client.locations.add(t.named, t.Secrets, append([]ocispec.Descriptor{m.Config}, m.Layers...))
}

// manifest returns a manifest or index, from what is held or from the registry; several
// images that need the same one wait for a single request.
func (t *target) manifest(ctx context.Context, desc ocispec.Descriptor) ([]byte, error) {
	c := t.client
	if err := manifest.CheckDigest(desc.Digest); err != nil { // before it is in an address
		return nil, &UnsupportedError{Name: t.Name, MediaType: oneLine(desc.MediaType), Err: err}
	}
	if raw, err := c.docs.Metadata(desc.Digest); err == nil {
		return raw, nil
	}
	if isEmbedded(desc) {
		_, err := c.docs.AddMetadata(desc.Data)
		return desc.Data, err
	}
	requested := false
	v, err, _ := c.flight.Do(desc.Digest.String(), func() (any, error) {
		requested = true
		return t.fetchManifest(ctx, desc.Digest)
	})
	if err != nil && !requested { // the request was for another repository, perhaps
		return t.fetchManifest(ctx, desc.Digest)
	}
	if err != nil {
		return nil, err
	}
	return v.([]byte), nil
}

// fetchManifest fetches a manifest or index by its digest.
func (t *target) fetchManifest(ctx context.Context, d digest.Digest) ([]byte, error) {
	c := t.client
	if raw, err := c.docs.Metadata(d); err == nil {
		return raw, nil
	}
	var raw []byte
	err := c.waitOutLimit(ctx, c.routes.pullers(t.named), t.Secrets, func(r conn) (err error) {
		raw, err = r.getDigest(ctx, d, t.Name)
		return err
	})
	if err != nil {
		return nil, err
	}
	_, err = c.docs.AddMetadata(raw)
	return raw, err
}
