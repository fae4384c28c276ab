package pull

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/containerd/platforms"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

const (
	// maxDepth of indexes within indexes.
	maxDepth = 3
	// maxVague is how many entries of an index that say no platform are looked into: each
	// may cost a pull.
	maxVague = 8
	// maxDocuments is how many manifests and indexes one name may lead to.
	maxDocuments = 1000
)

// manifests fetches what a name means, down to the manifests of the chosen platforms.
func (c *Client) manifests(ctx context.Context, t *target) error {
	t.met = map[digest.Digest]bool{}
	present, missing, err := c.walk(ctx, t, t.desc, c.opts.Platforms, 0)
	t.met = nil
	if err != nil {
		return err
	}
	runs := slices.ContainsFunc(present, func(d ocispec.Descriptor) bool { return d.Platform != nil && !isIndex(d.MediaType) })
	if t.artifacts > 0 && !runs {
		missing = nil // a chart or the like, that is for no platform
	}
	if len(missing) > 0 || !runs && t.artifacts == 0 {
		want := missing
		if len(want) == 0 {
			want = c.opts.Platforms
		}
		return &NoPlatformError{Name: t.Name, Want: formatAll(want), Have: c.offer(t.desc, 0)}
	}
	t.image = Resolved{Name: t.Name, Target: present[0], Present: present}
	t.image.Target.Platform = nil
	if c.opts.Referrers {
		return c.attached(ctx, t)
	}
	return nil
}

// walk returns desc and what was chosen below it, and the wanted platforms not found. It
// returns nothing of a manifest for another platform, nor of a document met before.
func (c *Client) walk(ctx context.Context, t *target, desc ocispec.Descriptor, want []ocispec.Platform, depth int) ([]ocispec.Descriptor, []ocispec.Platform, error) {
	if t.met[desc.Digest] {
		return nil, want, nil
	}
	if t.met[desc.Digest] = true; len(t.met) > maxDocuments {
		return nil, nil, fmt.Errorf("%s: more than %d manifests", t.Name, maxDocuments)
	}
	raw, err := c.document(ctx, t, desc)
	if err != nil {
		return nil, nil, err
	}
	plain := ocispec.Descriptor{MediaType: mediaType(raw, desc.MediaType), Digest: desc.Digest, Size: int64(len(raw)), Platform: desc.Platform}
	if !isIndex(plain.MediaType) {
		return c.single(ctx, t, plain, raw, want)
	}
	if depth == maxDepth {
		return nil, nil, fmt.Errorf("%s: indexes within indexes, more than %d deep", t.Name, maxDepth)
	}
	var index ocispec.Index
	if err := json.Unmarshal(raw, &index); err != nil {
		return nil, nil, fmt.Errorf("%s: index %s: %w", t.Name, desc.Digest, err)
	}
	present := []ocispec.Descriptor{plain}
	chosen, missing := choose(index.Manifests, want, c.opts.All)
	for _, d := range chosen {
		below, _, err := c.walk(ctx, t, d, want, depth+1)
		if err != nil {
			return nil, nil, err
		}
		present = append(present, below...)
	}
	if len(missing) == 0 {
		return present, nil, nil
	}
	for _, d := range vague(index.Manifests) {
		below, still, err := c.walk(ctx, t, d, missing, depth+1)
		if err != nil {
			return nil, nil, err
		}
		missing = still
		if len(below) > 1 || len(below) == 1 && !isIndex(below[0].MediaType) {
			present = append(present, below...)
		}
		if len(missing) == 0 {
			break
		}
	}
	return present, missing, nil
}

// vague lists the entries that may be for any platform. containerd looks into them, too.
func vague(index []ocispec.Descriptor) []ocispec.Descriptor {
	var out []ocispec.Descriptor
	for _, d := range index {
		if d.Platform == nil && (isIndex(d.MediaType) || isManifest(d.MediaType)) && len(out) < maxVague {
			out = append(out, d)
		}
	}
	return out
}

// single takes an image manifest. One whose platform no index tells is asked for it:
// nothing else tells before it is on a node that cannot run it. A manifest that is no
// image, such as a chart, is for no platform and taken as it is.
func (c *Client) single(ctx context.Context, t *target, desc ocispec.Descriptor, raw []byte, want []ocispec.Platform) ([]ocispec.Descriptor, []ocispec.Platform, error) {
	if !isManifest(desc.MediaType) {
		return nil, nil, &UnsupportedError{Name: t.Name, MediaType: oneLine(desc.MediaType)}
	}
	var m ocispec.Manifest
	if err := json.Unmarshal(raw, &m); err != nil {
		return nil, nil, fmt.Errorf("%s: manifest %s: %w", t.Name, desc.Digest, err)
	}
	c.addSources(t, append([]ocispec.Descriptor{m.Config}, m.Layers...))
	switch {
	case desc.Platform != nil:
		return []ocispec.Descriptor{desc}, want, nil
	case !isImageConfig(m.Config.MediaType):
		t.artifacts++
		return []ocispec.Descriptor{desc}, want, nil
	}
	p, err := c.configPlatform(ctx, t, m.Config)
	if err != nil {
		return nil, nil, err
	}
	still := unserved(p, want)
	if len(still) == len(want) && !c.opts.All {
		return nil, want, nil
	}
	desc.Platform = &p
	return []ocispec.Descriptor{desc}, still, nil
}

// configPlatform reads the platform out of an image's config, which is a blob and free.
func (c *Client) configPlatform(ctx context.Context, t *target, config ocispec.Descriptor) (ocispec.Platform, error) {
	raw, err := c.docs.Document(config.Digest)
	if err != nil {
		if config.Size > MaxDocument || config.Size < 0 {
			return ocispec.Platform{}, fmt.Errorf("%s: config %s: %w", t.Name, config.Digest, errTooLarge)
		}
		sink := &buffer{want: config, b: make([]byte, config.Size)}
		if err := c.Fetch(ctx, config, sink); err != nil {
			return ocispec.Platform{}, fmt.Errorf("%s needs %w", t.Name, err)
		}
		raw = sink.b
		if _, err := c.docs.AddDocument(raw); err != nil {
			return ocispec.Platform{}, err
		}
	}
	var p ocispec.Platform
	if err := json.Unmarshal(raw, &p); err != nil {
		return p, fmt.Errorf("%s: config %s: %w", t.Name, config.Digest, err)
	}
	return p, nil
}

// offer lists the platforms an image has, from what is held.
func (c *Client) offer(desc ocispec.Descriptor, depth int) []string {
	raw, err := c.docs.Document(desc.Digest)
	if err != nil || depth > 1 {
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
		out := offered(doc.Manifests)
		for _, d := range vague(doc.Manifests) {
			out = append(out, c.offer(d, depth+1)...)
		}
		slices.Sort(out)
		return slices.Compact(out)
	}
	config, err := c.docs.Document(doc.Config.Digest)
	var p ocispec.Platform
	if err != nil || json.Unmarshal(config, &p) != nil {
		return nil
	}
	return []string{platforms.FormatAll(p)}
}

// document returns a manifest or index, from what is held or from the registry; several
// images that need the same one wait for a single request.
func (c *Client) document(ctx context.Context, t *target, desc ocispec.Descriptor) ([]byte, error) {
	if raw, err := c.docs.Document(desc.Digest); err == nil {
		return raw, nil
	}
	if embedded(desc) {
		_, err := c.docs.AddDocument(desc.Data)
		return desc.Data, err
	}
	if err := desc.Digest.Validate(); err != nil {
		return nil, fmt.Errorf("%s: digest %q: %w", t.Name, oneLine(desc.Digest.String()), err)
	}
	led := false
	v, err, _ := c.flight.Do(desc.Digest.String(), func() (any, error) {
		led = true
		return c.fetchDocument(ctx, t, desc.Digest)
	})
	if err != nil && !led { // it was another repository's, perhaps
		return c.fetchDocument(ctx, t, desc.Digest)
	}
	if err != nil {
		return nil, err
	}
	return v.([]byte), nil
}

// fetchDocument is document by request.
func (c *Client) fetchDocument(ctx context.Context, t *target, d digest.Digest) ([]byte, error) {
	if raw, err := c.docs.Document(d); err == nil {
		return raw, nil
	}
	var raw []byte
	err := c.each(ctx, t.named, t.Secrets, func(s *session, e endpoint) (err error) {
		if err = c.stopped(s, t.Name); err != nil {
			return err
		}
		raw, err = c.verified(ctx, s, e, d, t.Name)
		return err
	})
	if err != nil {
		return nil, err
	}
	_, err = c.docs.AddDocument(raw)
	return raw, err
}

// verified gets a manifest by digest and checks that it is the one.
func (c *Client) verified(ctx context.Context, s *session, e endpoint, d digest.Digest, name string) ([]byte, error) {
	raw, _, err := c.get(ctx, s, e, d.String(), name)
	if err != nil {
		var missing *NotFoundError
		if errors.As(err, &missing) {
			missing.Digest = d
		}
		return nil, err
	}
	if got := d.Algorithm().FromBytes(raw); got != d {
		return nil, &ContentError{Host: e.host, Name: name, Err: fmt.Errorf("manifest %s has digest %s", d, got)}
	}
	return raw, nil
}

// ParsePlatform reads "linux/arm64/v8" in containerd's spelling and normalises it.
func ParsePlatform(s string) (ocispec.Platform, error) {
	p, err := platforms.Parse(s)
	if err != nil {
		return ocispec.Platform{}, err
	}
	return platforms.Normalize(p), nil
}

// real reports whether an index entry is an image to run. BuildKit stores attestations
// beside images under the platform "unknown/unknown".
func real(d ocispec.Descriptor) bool {
	return d.Platform == nil || d.Platform.OS != "unknown" || d.Platform.Architecture != "unknown"
}

// choose picks from an index the entries for the wanted platforms: the best one for each,
// as containerd on such a machine would choose. Entries keep the index's order. missing
// lists the wanted platforms without an entry.
func choose(index []ocispec.Descriptor, want []ocispec.Platform, all bool) (chosen []ocispec.Descriptor, missing []ocispec.Platform) {
	if all {
		for _, d := range index {
			if real(d) {
				chosen = append(chosen, d)
			}
		}
		return chosen, nil
	}
	take := map[int]bool{}
	for _, p := range want {
		list := serving(index, p)
		if len(list) == 0 {
			missing = append(missing, p)
		}
		for _, i := range list {
			take[i] = true
		}
	}
	for i, d := range index {
		if take[i] {
			chosen = append(chosen, d)
		}
	}
	return chosen, missing
}

// serves reports whether a node of platform p runs an image for have. As in containerd,
// arm/v7 runs arm/v6; other than there, amd64 does not get a 386 image and arm64 no arm
// image: a node would take them, but nobody who bundles means them.
func serves(m platforms.Matcher, p, have ocispec.Platform) bool {
	return platforms.Normalize(have).Architecture == platforms.Normalize(p).Architecture && m.Match(have)
}

// serving lists the positions of the entries to take for p: the best one, or none. A
// Windows node runs only images of its own build, so there a wish without one means all.
func serving(index []ocispec.Descriptor, p ocispec.Platform) []int {
	m := platforms.Only(p)
	var found []int
	for i, d := range index {
		switch {
		case d.Platform == nil || !real(d) || !serves(m, p, *d.Platform):
		case len(found) == 0 || p.OS == "windows" && p.OSVersion == "":
			found = append(found, i)
		case m.Less(*d.Platform, *index[found[0]].Platform):
			found[0] = i
		}
	}
	return found
}

// offered lists the platforms of an index for people.
func offered(index []ocispec.Descriptor) []string {
	var out []string
	for _, d := range index {
		if d.Platform != nil && real(d) {
			out = append(out, platforms.FormatAll(*d.Platform))
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func formatAll(ps []ocispec.Platform) []string {
	out := make([]string, len(ps))
	for i, p := range ps {
		out[i] = platforms.FormatAll(p)
	}
	return out
}

// unserved lists the wanted platforms that an image for p does not serve.
func unserved(p ocispec.Platform, want []ocispec.Platform) []ocispec.Platform {
	var out []ocispec.Platform
	for _, w := range want {
		if !serves(platforms.Only(w), w, p) {
			out = append(out, w)
		}
	}
	return out
}
