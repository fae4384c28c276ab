package pull

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/containerd/platforms"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

const (
	// maxDepth of indexes within indexes.
	maxDepth = 3
	// maxWithoutPlatform is how many entries of an index that say no platform are looked into: each
	// may cost a pull.
	maxWithoutPlatform = 8
	// maxDocuments is how many manifests and indexes one name may lead to.
	maxDocuments = 1000
)

// manifests fetches what a name means, down to the manifests of the chosen platforms.
func (t *target) selectManifests(ctx context.Context) error {
	c := t.client
	t.seen = map[digest.Digest]bool{}
	present, missing, err := t.walk(ctx, t.desc, c.opts.Platforms, 0)
	t.seen = nil
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
	t.resolved = Resolved{Name: t.Name, Target: present[0], Present: present}
	t.resolved.Target.Platform = nil
	if c.opts.Referrers {
		return t.addReferrers(ctx)
	}
	return nil
}

// walk returns desc and what was chosen below it, and the wanted platforms not found. It
// returns nothing of a manifest for another platform, nor of a document met before.
func (t *target) walk(ctx context.Context, desc ocispec.Descriptor, want []ocispec.Platform, depth int) ([]ocispec.Descriptor, []ocispec.Platform, error) {
	if t.seen[desc.Digest] {
		return nil, want, nil
	}
	if t.seen[desc.Digest] = true; len(t.seen) > maxDocuments {
		return nil, nil, fmt.Errorf("%s: more than %d manifests", t.Name, maxDocuments)
	}
	raw, err := t.manifest(ctx, desc)
	if err != nil {
		return nil, nil, err
	}
	plain := ocispec.Descriptor{MediaType: mediaType(raw, desc.MediaType), Digest: desc.Digest, Size: int64(len(raw)), Platform: desc.Platform}
	if !isIndex(plain.MediaType) {
		return t.selectManifest(ctx, plain, raw, want)
	}
	if depth == maxDepth {
		return nil, nil, fmt.Errorf("%s: indexes within indexes, more than %d deep", t.Name, maxDepth)
	}
	var index ocispec.Index
	if err := json.Unmarshal(raw, &index); err != nil {
		return nil, nil, fmt.Errorf("%s: index %s: %w", t.Name, desc.Digest, err)
	}
	present := []ocispec.Descriptor{plain}
	chosen, missing := choose(index.Manifests, want, t.client.opts.All)
	for _, d := range chosen {
		below, _, err := t.walk(ctx, d, want, depth+1)
		if err != nil {
			return nil, nil, err
		}
		present = append(present, below...)
	}
	if len(missing) == 0 {
		return present, nil, nil
	}
	for _, d := range withoutPlatform(index.Manifests) {
		below, still, err := t.walk(ctx, d, missing, depth+1)
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
func withoutPlatform(index []ocispec.Descriptor) []ocispec.Descriptor {
	var out []ocispec.Descriptor
	for _, d := range index {
		if d.Platform == nil && (isIndex(d.MediaType) || isManifest(d.MediaType)) && len(out) < maxWithoutPlatform {
			out = append(out, d)
		}
	}
	return out
}

// single takes an image manifest. One whose platform no index tells is asked for it:
// nothing else tells before it is on a node that cannot run it. A manifest that is no
// image, such as a chart, is for no platform and taken as it is.
func (t *target) selectManifest(ctx context.Context, desc ocispec.Descriptor, raw []byte, want []ocispec.Platform) ([]ocispec.Descriptor, []ocispec.Platform, error) {
	if !isManifest(desc.MediaType) {
		return nil, nil, &UnsupportedError{Name: t.Name, MediaType: oneLine(desc.MediaType)}
	}
	var m ocispec.Manifest
	if err := json.Unmarshal(raw, &m); err != nil {
		return nil, nil, fmt.Errorf("%s: manifest %s: %w", t.Name, desc.Digest, err)
	}
	t.addLocations(m.Config, m.Layers)
	switch {
	case desc.Platform != nil:
		return []ocispec.Descriptor{desc}, want, nil
	case !isImageConfig(m.Config.MediaType):
		t.artifacts++
		return []ocispec.Descriptor{desc}, want, nil
	}
	p, err := t.configPlatform(ctx, m.Config)
	if err != nil {
		return nil, nil, err
	}
	still := unserved(p, want)
	if len(still) == len(want) && !t.client.opts.All {
		return nil, want, nil
	}
	desc.Platform = &p
	return []ocispec.Descriptor{desc}, still, nil
}

// configPlatform reads the platform out of an image's config, which is a blob and free.
func (t *target) configPlatform(ctx context.Context, config ocispec.Descriptor) (ocispec.Platform, error) {
	c := t.client
	raw, err := c.docs.Document(config.Digest)
	if err != nil {
		if config.Size > maxMetadata || config.Size < 0 {
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
		for _, d := range withoutPlatform(doc.Manifests) {
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
