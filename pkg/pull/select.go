package pull

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/containerd/platforms"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stowage/internal/manifest"
	"stowage/internal/usable"
)

const (
	// maxDepth bounds indexes within indexes.
	maxDepth = 3
	// maxWithoutPlatform bounds the entries of an index without a platform that are
	// examined: each may cost a pull.
	maxWithoutPlatform = 8
	// maxManifests bounds the manifests and indexes that one name may lead to.
	maxManifests = 1000
)

// selectManifests fetches what a name means, down to the manifests of the chosen
// platforms.
func (t *target) selectManifests(ctx context.Context) error {
	if err := t.confirm(ctx); err != nil {
		return err
	}
	t.seen = map[digest.Digest]bool{}
	present, missing, err := t.walk(ctx, t.desc, t.client.opts.Platforms, 0)
	t.seen = nil
	if err != nil {
		return err
	}
	runnable := slices.ContainsFunc(present, func(d ocispec.Descriptor) bool { return d.Platform != nil && !manifest.IsIndex(d.MediaType) })
	if !runnable && t.artifacts == 0 {
		return t.noPlatform(t.client.opts.Platforms)
	}
	there := without(t.client.opts.Platforms, missing)
	lacking, artifact, err := t.checkUsable(ctx, present, there)
	if err != nil {
		return err
	}
	if missing = append(missing, lacking...); runnable && len(lacking) == len(there) && !t.client.opts.All {
		return t.noPlatform(missing)
	}
	if !runnable {
		missing, artifact = nil, t.isArtifact(ctx, present[0]) // a chart or the like, which has no platform
	}
	t.resolved = Resolved{Name: t.Name, Target: present[0], Present: present, Artifact: artifact}
	if len(missing) > 0 {
		t.resolved.Missing = t.noPlatform(missing)
	}
	t.resolved.Target.Platform = nil
	if t.client.opts.Referrers {
		return t.addReferrers(ctx)
	}
	return nil
}

// noPlatform returns the error about wanted platforms that the image does not have.
func (t *target) noPlatform(want []ocispec.Platform) *NoPlatformError {
	return &NoPlatformError{Name: t.Name, Want: formatAll(want), Have: t.platforms(t.desc, 0)}
}

// walk returns desc and the manifests chosen below it, and the wanted platforms that were
// not found. It returns nothing for a manifest of another platform or one seen before.
func (t *target) walk(ctx context.Context, desc ocispec.Descriptor, want []ocispec.Platform, depth int) ([]ocispec.Descriptor, []ocispec.Platform, error) {
	if t.seen[desc.Digest] {
		return nil, want, nil
	}
	if t.seen[desc.Digest] = true; len(t.seen) > maxManifests {
		return nil, nil, fmt.Errorf("%s: more than %d manifests", t.Name, maxManifests)
	}
	raw, err := t.manifest(ctx, desc)
	if err != nil {
		return nil, nil, err
	}
	m, err := parseManifest(t.Name, raw, desc)
	if err != nil {
		return nil, nil, err
	}
	plain := ocispec.Descriptor{MediaType: m.MediaType, Digest: desc.Digest, Size: int64(len(raw)), Platform: desc.Platform}
	if !m.Index {
		return t.selectManifest(ctx, plain, m, want, depth == 0)
	}
	if depth == maxDepth {
		return nil, nil, fmt.Errorf("%s: indexes within indexes, more than %d deep", t.Name, maxDepth)
	}
	present := []ocispec.Descriptor{plain}
	chosen, missing := choose(m.Children, want, t.client.opts.All)
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
	for _, d := range withoutPlatform(m.Children) {
		below, still, err := t.walk(ctx, d, missing, depth+1)
		if err != nil {
			return nil, nil, err
		}
		missing = still
		if len(below) > 1 || len(below) == 1 && !manifest.IsIndex(below[0].MediaType) {
			present = append(present, below...)
		}
		if len(missing) == 0 {
			break
		}
	}
	return present, missing, nil
}

// selectManifest returns a manifest and the wanted platforms that it does not serve. When
// no index states its platform, the config is read: otherwise a wrong platform would show
// only on the node. A manifest that is not an image, such as a chart, has no platform and
// is taken. top reports whether the name leads to the manifest without an index.
func (t *target) selectManifest(ctx context.Context, desc ocispec.Descriptor, m *manifest.Manifest, want []ocispec.Platform, top bool) ([]ocispec.Descriptor, []ocispec.Platform, error) {
	t.addLocations(m)
	switch {
	case desc.Platform != nil:
		return []ocispec.Descriptor{desc}, want, nil
	case !manifest.IsImageConfig(m.Config.MediaType):
		t.artifacts++
		return []ocispec.Descriptor{desc}, want, nil
	}
	p, err := t.configPlatform(ctx, m.Config)
	if err != nil {
		return nil, nil, err
	}
	still := unserved(p, want, top)
	if len(still) == len(want) && !t.client.opts.All {
		return nil, want, nil
	}
	desc.Platform = &p
	return []ocispec.Descriptor{desc}, still, nil
}

// configPlatform reads the platform in an image's config.
func (t *target) configPlatform(ctx context.Context, config ocispec.Descriptor) (ocispec.Platform, error) {
	raw, err := t.config(ctx, config)
	if err != nil {
		return ocispec.Platform{}, err
	}
	c, err := usable.ParseConfig(raw, config.Digest)
	if err != nil {
		return ocispec.Platform{}, &UnsupportedError{Name: t.Name, MediaType: config.MediaType, Err: err}
	}
	return c.Platform, nil
}

// config returns a config, from what is held or from the registry: a blob, which is free.
func (t *target) config(ctx context.Context, config ocispec.Descriptor) ([]byte, error) {
	if empty := ocispec.DescriptorEmptyJSON; config.Digest == empty.Digest {
		return empty.Data, nil // what most artifacts have
	}
	if raw, err := t.client.docs.Metadata(config.Digest); err == nil && int64(len(raw)) == config.Size {
		return raw, nil
	}
	sink := &memorySink{want: config, b: make([]byte, config.Size)}
	if err := t.client.Fetch(ctx, config, sink); err != nil {
		if auth := (*AuthError)(nil); errors.As(err, &auth) {
			auth.session = nil // that manifests were served proves nothing about blobs
		}
		return nil, fmt.Errorf("%s needs %w", t.Name, err)
	}
	_, err := t.client.docs.AddMetadata(sink.b)
	return sink.b, err
}

// platforms lists the platforms of an image, from the manifests that are held.
func (t *target) platforms(desc ocispec.Descriptor, depth int) []string {
	docs := t.client.docs
	raw, err := docs.Metadata(desc.Digest)
	if err != nil || depth > 1 {
		return nil
	}
	m, err := parseManifest(t.Name, raw, desc)
	if err != nil {
		return nil
	}
	if m.Index {
		out := formatPlatforms(m.Children)
		for _, d := range withoutPlatform(m.Children) {
			out = append(out, t.platforms(d, depth+1)...)
		}
		slices.Sort(out)
		return slices.Compact(out)
	}
	config, err := docs.Metadata(m.Config.Digest)
	if err != nil {
		return nil
	}
	parsed, err := manifest.ParseConfig(config, manifest.Limits{Size: maxMetadata})
	if err != nil {
		return nil
	}
	return []string{platforms.FormatAll(parsed.Platform)}
}

// ParsePlatform parses "linux/arm64/v8" in containerd's spelling and normalises it.
func ParsePlatform(s string) (ocispec.Platform, error) {
	p, err := platforms.Parse(s)
	if err != nil {
		return ocispec.Platform{}, err
	}
	return platforms.Normalize(p), nil
}

// isImage reports whether an index entry is an image to run. BuildKit stores attestations
// beside images under the platform "unknown/unknown".
func isImage(d ocispec.Descriptor) bool {
	return d.Platform == nil || d.Platform.OS != "unknown" || d.Platform.Architecture != "unknown"
}

// choose returns the entries of an index for the wanted platforms: the best one for each,
// as containerd on such a machine would choose. Entries keep the index's order. missing
// lists the wanted platforms without an entry.
func choose(index []ocispec.Descriptor, want []ocispec.Platform, all bool) (chosen []ocispec.Descriptor, missing []ocispec.Platform) {
	if all {
		for _, d := range index {
			if isImage(d) {
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

// withoutPlatform returns the entries of an index that may be for any platform. containerd
// examines them too.
func withoutPlatform(index []ocispec.Descriptor) []ocispec.Descriptor {
	var out []ocispec.Descriptor
	for _, d := range index {
		if d.Platform == nil && (manifest.IsIndex(d.MediaType) || manifest.IsManifest(d.MediaType)) && len(out) < maxWithoutPlatform {
			out = append(out, d)
		}
	}
	return out
}

// serves reports whether a node of platform p runs an image for have. As in containerd,
// arm/v7 runs arm/v6; unlike there, amd64 does not get a 386 image and arm64 no arm image:
// a node would run them, but they are never what a bundle is meant to hold.
func serves(m platforms.Matcher, p, have ocispec.Platform) bool {
	return platforms.Normalize(have).Architecture == platforms.Normalize(p).Architecture && m.Match(have)
}

// serving returns the positions of the entries to take for p: the best one, or none. A
// Windows node runs only images of its own build, so for a Windows platform without a
// build all are taken.
func serving(index []ocispec.Descriptor, p ocispec.Platform) []int {
	m := platforms.Only(p)
	var found []int
	for i, d := range index {
		switch {
		case d.Platform == nil || !isImage(d) || !serves(m, p, *d.Platform):
		case len(found) == 0 || p.OS == "windows" && p.OSVersion == "":
			found = append(found, i)
		case m.Less(*d.Platform, *index[found[0]].Platform):
			found[0] = i
		}
	}
	return found
}

// unserved returns the wanted platforms that an image does not serve whose config states
// p. As in containerd, an image without an operating system is for that of the node, and
// one that no index lists (top) and that has no architecture is for that of the node.
func unserved(p ocispec.Platform, want []ocispec.Platform, top bool) []ocispec.Platform {
	var out []ocispec.Platform
	for _, w := range want {
		have := p
		if have.OS == "" {
			have.OS = w.OS
		}
		if have.Architecture == "" && top {
			have.Architecture, have.Variant = w.Architecture, w.Variant
		}
		if !serves(platforms.Only(w), w, have) {
			out = append(out, w)
		}
	}
	return out
}

// formatPlatforms returns the platforms of an index as text, sorted.
func formatPlatforms(index []ocispec.Descriptor) []string {
	var out []string
	for _, d := range index {
		if d.Platform != nil && isImage(d) {
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
