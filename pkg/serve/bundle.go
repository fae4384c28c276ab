package serve

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"

	"github.com/containerd/platforms"
	"github.com/opencontainers/go-digest"

	"stowage/pkg/archive"
)

// Bundle returns the source of the images of opened bundles. Their bytes are read straight
// out of the files, which the caller closes when the last request has ended. Of a name in
// several of them the last one counts, as it would after loading them in turn.
func Bundle(bundles ...*archive.Reader) Source {
	b := &bundle{files: bundles, names: map[string]digest.Digest{}}
	for _, r := range bundles {
		b.add(r)
	}
	return b
}

type bundle struct {
	files     []*archive.Reader
	names     map[string]digest.Digest
	referrers []digest.Digest
}

// add notes the names of a bundle. A flat bundle has an image for each platform under one
// name, of which that of this machine counts.
func (b *bundle) add(r *archive.Reader) {
	here := platforms.Default()
	seen := map[string]bool{}
	for _, img := range r.Images() {
		if p := img.Target.Platform; !seen[img.Name] || p != nil && here.Match(*p) {
			b.names[img.Name] = img.Target.Digest
		}
		seen[img.Name] = true
		for _, d := range img.Referrers {
			b.referrers = append(b.referrers, d.Digest)
			if tag := d.Annotations[archive.AnnotationTag]; tag != "" {
				b.names[tag] = d.Digest
			}
		}
	}
}

// Images looks through the names.
func (b *bundle) Images(_ context.Context, names *regexp.Regexp) ([]Image, error) {
	var list []Image
	for name, d := range b.names {
		if names.MatchString(name) {
			list = append(list, Image{name, d})
		}
	}
	return list, nil
}

// Open returns the part of a file that is the blob.
func (b *bundle) Open(_ context.Context, d digest.Digest) (Blob, error) {
	for _, r := range b.files {
		s, err := r.Open(d)
		switch {
		case errors.Is(err, archive.ErrNotFound):
			continue
		case err != nil:
			return nil, err
		}
		return section{s}, nil
	}
	return nil, fmt.Errorf("blob %s: %w", d, ErrNotFound)
}

// Referrers returns all referrers of the bundles: they are few.
func (b *bundle) Referrers(context.Context, digest.Digest) ([]digest.Digest, error) {
	return b.referrers, nil
}

// section is a part of a file, which stays open.
type section struct{ *io.SectionReader }

// Close does nothing.
func (section) Close() error { return nil }
