package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stowage/cmd/internal/cli"
	"stowage/pkg/pull"
)

// pins are the documents of a job, and the watch over the digests in the names asked for: a
// flat bundle has no index, so that none can be under its digest. What a digest is shows
// when its document comes; that one is kept, and nothing is asked for after it.
type pins struct {
	*documents
	settings *settings
	names    map[digest.Digest]string // of a flat bundle
	stop     context.CancelCauseFunc  // ends the resolving
}

func newPins(s *settings, docs *documents, list []*wanted) *pins {
	p := &pins{documents: docs, settings: s, names: map[digest.Digest]string{}}
	for _, w := range list {
		if d := pinned(w.name); d != "" && s.flat {
			p.names[d] = w.name
		}
	}
	return p
}

// pinned gives the digest in a name, or "".
func pinned(name string) digest.Digest {
	named, err := reference.ParseNormalizedNamed(name)
	if d, ok := named.(reference.Digested); ok && err == nil {
		return d.Digest()
	}
	return ""
}

// AddDocument implements [pull.Documents].
func (p *pins) AddDocument(raw []byte) (digest.Digest, error) {
	d, err := p.documents.AddDocument(raw)
	if err != nil {
		return d, err
	}
	if err := p.check(d, raw); err != nil {
		p.stop(err)
		return d, err
	}
	return d, nil
}

// held looks at what is here already.
func (p *pins) held() error {
	for _, d := range slices.Sorted(maps.Keys(p.names)) {
		if raw, err := p.Document(d); err == nil {
			if err := p.check(d, raw); err != nil {
				return err
			}
		}
	}
	return nil
}

// check refuses an index that a name of a flat bundle has the digest of.
func (p *pins) check(d digest.Digest, raw []byte) error {
	name := p.names[d]
	var doc ocispec.Index
	if name == "" || json.Unmarshal(raw, &doc) != nil || len(doc.Manifests) == 0 {
		return nil
	}
	err := cli.Errorf(cli.Usage, "%s: the digest is that of an index, which --flat leaves out", name)
	for _, m := range doc.Manifests {
		if p.chosen(m.Platform) {
			return err.WithHint("pin the manifest %s@%s instead, or do without --flat", repositoryOf(name), m.Digest)
		}
	}
	return err.WithHint("pin the manifest of one platform instead, or do without --flat")
}

// chosen tells whether a platform is one of those asked for, as far as it matters for a hint.
func (p *pins) chosen(have *ocispec.Platform) bool {
	return have != nil && slices.ContainsFunc(p.settings.platforms, func(want ocispec.Platform) bool {
		return want.OS == have.OS && want.Architecture == have.Architecture
	})
}

// resolve asks the registries what the names mean. Of a flat bundle those with a digest come
// first: whether they can be in it, one pull for each tells.
func (j *job) resolve(ctx context.Context, refs []pull.Query) ([]pull.Resolved, []pull.Failure, error) {
	if err := j.pins.held(); err != nil {
		return nil, nil, err
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	j.pins.stop = stop
	if j.flat {
		slices.SortStableFunc(refs, func(a, b pull.Query) int {
			return cmp.Compare(len(pinned(b.Name)), len(pinned(a.Name)))
		})
	}
	images, failures, err := j.client.Resolve(ctx, refs)
	if refused := (*cli.Error)(nil); err != nil && errors.As(context.Cause(ctx), &refused) {
		err = refused
	}
	return images, failures, err
}
