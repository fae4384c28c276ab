package pull

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/distribution/reference"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"
)

// maxDepth of indexes within indexes.
const maxDepth = 3

// Image is a resolved name.
type Image struct {
	Name    string               // as asked for
	Target  ocispec.Descriptor   // what the name means: an index or a manifest
	Present []ocispec.Descriptor // every index and manifest chosen, Target first, parents before children
}

// Failure is a name that could not be resolved.
type Failure struct {
	Name string
	Err  error
}

// target is a name on its way.
type target struct {
	ref   Reference
	named reference.Named
	desc  ocispec.Descriptor
	image Image
	err   error
}

// Resolve finds what each name means and fetches the manifests and indexes for the chosen
// platforms that Documents does not hold. Images and failures come in the order of refs,
// a name that appears twice once. The error is that of ctx or of Options.Before; what one
// name meets is a Failure and does not stop the others.
func (c *Client) Resolve(ctx context.Context, refs []Reference) ([]Image, []Failure, error) {
	targets := make([]*target, 0, len(refs))
	seen := map[string]bool{}
	for _, r := range refs {
		if seen[r.Name] {
			continue
		}
		seen[r.Name] = true
		t := &target{ref: r}
		t.named, t.err = parse(r.Name)
		targets = append(targets, t)
	}
	if err := c.announceAll(ctx, targets); err != nil {
		return nil, nil, err
	}
	if err := c.parallel(ctx, targets, c.tag); err != nil {
		return nil, nil, err
	}
	alive := slices.ContainsFunc(targets, func(t *target) bool { return t.err == nil })
	if c.opts.Before != nil && alive {
		if err := c.opts.Before(c.estimate(targets)); err != nil {
			return nil, nil, err
		}
	}
	if err := c.parallel(ctx, targets, c.manifests); err != nil {
		return nil, nil, err
	}
	var images []Image
	var failures []Failure
	for _, t := range targets {
		if t.err != nil {
			failures = append(failures, Failure{Name: t.ref.Name, Err: t.err})
		} else {
			images = append(images, t.image)
		}
	}
	return images, failures, nil
}

// announceAll makes the first token of each registry cover all repositories asked there.
// Fallbacks are announced only when they are needed.
func (c *Client) announceAll(ctx context.Context, targets []*target) error {
	for _, t := range targets {
		if t.err != nil {
			continue
		}
		e := c.endpoints(t.named)[0]
		accounts, err := c.accounts(ctx, e, t.ref.Secrets)
		if err != nil {
			return err
		}
		c.announce(e, accounts[0])
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
	return c.each(ctx, t.named, t.ref.Secrets, func(s *session, e endpoint) error {
		desc, err := c.head(ctx, s, e, t)
		if err == nil {
			t.desc = desc
		}
		return err
	})
}

// manifests fetches what a name means, down to the manifests of the chosen platforms.
func (c *Client) manifests(ctx context.Context, t *target) error {
	present, missing, err := c.walk(ctx, t, t.desc, c.opts.Platforms, 0)
	if err != nil {
		return err
	}
	if len(missing) > 0 || !slices.ContainsFunc(present, func(d ocispec.Descriptor) bool { return !isIndex(d.MediaType) }) {
		return &PlatformError{Name: t.ref.Name, Want: formatAll(c.opts.Platforms), Have: c.offer(t, t.desc, 0)}
	}
	t.image = Image{Name: t.ref.Name, Target: present[0], Present: present}
	t.image.Target.Platform = nil
	return nil
}

// walk returns desc and what was chosen below it, and the wanted platforms not found.
func (c *Client) walk(ctx context.Context, t *target, desc ocispec.Descriptor, want []ocispec.Platform, depth int) ([]ocispec.Descriptor, []ocispec.Platform, error) {
	raw, err := c.document(ctx, t, desc)
	if err != nil {
		return nil, nil, err
	}
	desc.MediaType, desc.Size = mediaType(raw, desc.MediaType), int64(len(raw))
	plain := ocispec.Descriptor{MediaType: desc.MediaType, Digest: desc.Digest, Size: desc.Size, Platform: desc.Platform}
	if !isIndex(desc.MediaType) {
		return c.single(ctx, t, plain, raw, want)
	}
	if depth == maxDepth {
		return nil, nil, fmt.Errorf("%s: indexes within indexes, more than %d deep", t.ref.Name, maxDepth)
	}
	var index ocispec.Index
	if err := json.Unmarshal(raw, &index); err != nil {
		return nil, nil, fmt.Errorf("%s: index %s: %w", t.ref.Name, desc.Digest, err)
	}
	present := []ocispec.Descriptor{plain}
	chosen, missing := choose(index.Manifests, want, c.opts.All)
	if len(missing) > 0 { // perhaps in an index below this one
		chosen = append(chosen, nested(index.Manifests)...)
	}
	for _, d := range chosen {
		below, still, err := c.walk(ctx, t, d, missing, depth+1)
		if err != nil {
			return nil, nil, err
		}
		if isIndex(below[0].MediaType) {
			if len(below) == 1 {
				continue
			}
			missing = still
		}
		present = append(present, below...)
	}
	return present, missing, nil
}

func nested(index []ocispec.Descriptor) []ocispec.Descriptor {
	var out []ocispec.Descriptor
	for _, d := range index {
		if isIndex(d.MediaType) && d.Platform == nil {
			out = append(out, d)
		}
	}
	return out
}

// single takes an image manifest. One that no index describes is asked for its platform:
// nothing else tells before it is on a node that cannot run it.
func (c *Client) single(ctx context.Context, t *target, desc ocispec.Descriptor, raw []byte, want []ocispec.Platform) ([]ocispec.Descriptor, []ocispec.Platform, error) {
	if !isManifest(desc.MediaType) {
		return nil, nil, &UnsupportedError{Name: t.ref.Name, MediaType: oneLine(desc.MediaType)}
	}
	var m ocispec.Manifest
	if err := json.Unmarshal(raw, &m); err != nil {
		return nil, nil, fmt.Errorf("%s: manifest %s: %w", t.ref.Name, desc.Digest, err)
	}
	c.addSources(t, append([]ocispec.Descriptor{m.Config}, m.Layers...))
	if desc.Platform == nil && isImageConfig(m.Config.MediaType) {
		p, err := c.configPlatform(ctx, t, m.Config)
		if err != nil {
			return nil, nil, err
		}
		desc.Platform = &p
		if !fits(p, c.opts.Platforms, c.opts.All) {
			return []ocispec.Descriptor{desc}, want, nil
		}
	}
	return []ocispec.Descriptor{desc}, nil, nil
}

// configPlatform reads the platform out of an image's config, which is a blob and free.
func (c *Client) configPlatform(ctx context.Context, t *target, config ocispec.Descriptor) (ocispec.Platform, error) {
	raw, err := c.docs.Document(config.Digest)
	if err != nil {
		if config.Size > MaxDocument || config.Size < 0 {
			return ocispec.Platform{}, fmt.Errorf("%s: config %s: %w", t.ref.Name, config.Digest, errTooLarge)
		}
		sink := &buffer{want: config, b: make([]byte, config.Size)}
		if err := c.Fetch(ctx, config, sink); err != nil {
			return ocispec.Platform{}, err
		}
		raw = sink.b
		if _, err := c.docs.AddDocument(raw); err != nil {
			return ocispec.Platform{}, err
		}
	}
	var p ocispec.Platform
	if err := json.Unmarshal(raw, &p); err != nil {
		return p, fmt.Errorf("%s: config %s: %w", t.ref.Name, config.Digest, err)
	}
	return p, nil
}

// offer lists the platforms an image has, from what is held.
func (c *Client) offer(t *target, desc ocispec.Descriptor, depth int) []string {
	raw, err := c.docs.Document(desc.Digest)
	if err != nil || depth > maxDepth {
		return nil
	}
	var doc struct {
		Manifests []ocispec.Descriptor `json:"manifests"`
		Config    ocispec.Descriptor   `json:"config"`
	}
	if json.Unmarshal(raw, &doc) != nil { // it was decoded before
		return nil
	}
	if len(doc.Manifests) > 0 {
		return offered(doc.Manifests)
	}
	config, err := c.docs.Document(doc.Config.Digest)
	var p ocispec.Platform
	if err != nil || json.Unmarshal(config, &p) != nil {
		return nil
	}
	return formatAll([]ocispec.Platform{p})
}

// estimate counts the requests still to be made, each held document for nothing.
func (c *Client) estimate(targets []*target) Estimate {
	e := Estimate{}
	counted := map[digest.Digest]bool{}
	for _, t := range targets {
		if t.err != nil {
			continue
		}
		e.Images++
		n := c.pulls(t.desc, counted, 0)
		if n == 0 {
			e.Held++
		}
		e.Pulls += n
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, q := range c.quotas {
		e.Quotas = append(e.Quotas, q)
	}
	slices.SortFunc(e.Quotas, func(a, b Quota) int {
		return cmp.Or(cmp.Compare(a.Host, b.Host), cmp.Compare(a.Account, b.Account))
	})
	return e
}

// pulls counts the manifests below desc that are not held. How many an index that is not
// held leads to is guessed from the platforms wanted; for all platforms it is a lower bound.
func (c *Client) pulls(desc ocispec.Descriptor, counted map[digest.Digest]bool, depth int) int {
	if counted[desc.Digest] || depth > maxDepth {
		return 0
	}
	counted[desc.Digest] = true
	raw, err := c.docs.Document(desc.Digest)
	if err != nil {
		if isManifest(desc.MediaType) {
			return 1
		}
		return 1 + max(1, len(c.opts.Platforms))
	}
	if !isIndex(mediaType(raw, desc.MediaType)) {
		return 0
	}
	var index ocispec.Index
	if json.Unmarshal(raw, &index) != nil {
		return 0
	}
	n := 0
	chosen, _ := choose(index.Manifests, c.opts.Platforms, c.opts.All)
	for _, d := range chosen {
		n += c.pulls(d, counted, depth+1)
	}
	return n
}

// mediaType of a document: what it says itself, as the image specification asks, or what
// the registry or the parent said.
func mediaType(raw []byte, said string) string {
	var doc struct {
		MediaType     string          `json:"mediaType"`
		SchemaVersion int             `json:"schemaVersion"`
		Manifests     json.RawMessage `json:"manifests"`
		Config        json.RawMessage `json:"config"`
	}
	if json.Unmarshal(raw, &doc) != nil {
		return said
	}
	switch {
	case doc.MediaType != "":
		return doc.MediaType
	case doc.SchemaVersion == 1:
		return string(types.DockerManifestSchema1)
	case isIndex(said) || isManifest(said):
		return said
	case doc.Manifests != nil:
		return ocispec.MediaTypeImageIndex
	case doc.Config != nil:
		return ocispec.MediaTypeImageManifest
	}
	return said
}

func isIndex(mt string) bool    { return types.MediaType(mt).IsIndex() }
func isManifest(mt string) bool { return types.MediaType(mt).IsImage() }

func isImageConfig(mt string) bool {
	return mt == ocispec.MediaTypeImageConfig || mt == string(types.DockerConfigJSON)
}

// each tries the places of a repository in order, with each one's accounts, until fn
// succeeds. A refused account ends it: going on to the origin would spend another
// account's pulls without a word.
func (c *Client) each(ctx context.Context, named reference.Named, secrets []string, fn func(*session, endpoint) error) error {
	var errs []error
	for _, e := range c.endpoints(named) {
		err := c.asAccounts(ctx, e, secrets, fn)
		if err == nil {
			return nil
		}
		errs = append(errs, err)
		if ctx.Err() != nil || isAuth(err) {
			break
		}
		if e.origin != "" {
			c.notice(Notice{Host: e.host, Text: fmt.Sprintf("mirror passed over: %v", err)})
		}
	}
	if len(errs) == 1 {
		return errs[0]
	}
	return errors.Join(errs...)
}
