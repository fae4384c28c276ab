package pull

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"stowage/internal/manifest"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

const (
	maxPages     = 50   // of one list of referrers
	maxReferrers = 1000 // of one image
)

// cosignTags are the suffixes of the tags under which cosign before version 3 keeps what
// belongs to a digest.
var cosignTags = []string{".sig", ".att", ".sbom"}

// addReferrers finds what is attached to the chosen manifests of an image. What BuildKit
// stored in the image's own index is added to Present, everything else to Referrers.
func (t *target) addReferrers(ctx context.Context) error {
	subjects := slices.Clone(t.resolved.Present)
	if err := t.addAttestations(ctx); err != nil {
		return err
	}
	s := &referrerSearch{target: t, present: map[digest.Digest]bool{}, found: map[referrerKey]ocispec.Descriptor{}}
	for _, d := range t.resolved.Present {
		s.present[d.Digest] = true
	}
	for _, subject := range subjects {
		if err := s.find(ctx, subject.Digest); err != nil {
			return err
		}
	}
	for _, d := range s.found {
		t.resolved.Referrers = append(t.resolved.Referrers, d)
	}
	slices.SortFunc(t.resolved.Referrers, func(a, b ocispec.Descriptor) int {
		return cmp.Or(cmp.Compare(a.Digest, b.Digest), cmp.Compare(a.Annotations[ocispec.AnnotationRefName], b.Annotations[ocispec.AnnotationRefName]))
	})
	return nil
}

// addAttestations adds the children of the image's indexes that are about a chosen manifest
// (BuildKit, "Image attestation storage").
func (t *target) addAttestations(ctx context.Context) error {
	t.seen = map[digest.Digest]bool{}
	defer func() { t.seen = nil }()
	chosen := map[digest.Digest]bool{}
	for _, d := range t.resolved.Present {
		chosen[d.Digest] = true
	}
	for _, parent := range slices.Clone(t.resolved.Present) {
		raw, err := t.manifest(ctx, parent)
		if err != nil {
			return err
		}
		m, err := parseManifest(t.Name, raw, parent)
		if err != nil {
			return err
		}
		for _, d := range m.Children {
			about := digest.Digest(d.Annotations["vnd.docker.reference.digest"])
			if isImage(d) || chosen[d.Digest] || !chosen[about] {
				continue
			}
			below, _, err := t.walk(ctx, d, nil, maxDepth)
			if err != nil {
				return err
			}
			chosen[d.Digest] = true
			t.resolved.Present = append(t.resolved.Present, below...)
		}
	}
	return nil
}

// referrerSearch is the search for what is attached to the manifests of one image.
type referrerSearch struct {
	*target
	present map[digest.Digest]bool // the manifests of the image, with its attestations
	listed  int                    // manifests that lists and tags led to
	found   map[referrerKey]ocispec.Descriptor
}

// referrerKey is a manifest, and the tag that ties it to the image when its subject does
// not.
type referrerKey struct {
	digest digest.Digest
	tag    string
}

// find finds what is attached to a digest: by the referrers API or its fallback tag
// (distribution-spec 1.1, "Listing Referrers"), and under cosign's tags. The search costs
// no pulls.
func (s *referrerSearch) find(ctx context.Context, subject digest.Digest) error {
	c := s.client
	var failed error // a fault of a referrer, against which no other endpoint helps
	err := c.waitOutLimit(ctx, c.routes.resolvers(s.named), s.Secrets, func(r conn) error {
		err := r.referrers(ctx, subject, s.Name, func(list []ocispec.Descriptor) bool {
			failed = s.addAll(ctx, list, "")
			return failed == nil
		})
		if errors.Is(err, errNoReferrersAPI) {
			var list []ocispec.Descriptor
			if list, err = r.taggedReferrers(ctx, subject, s.Name); err == nil {
				failed = s.addAll(ctx, list, s.named.Name()+":"+tagFor(subject))
			}
		}
		return asAbsent(err)
	})
	if err != nil && !isNotFound(err) {
		return err
	}
	if failed != nil {
		return failed
	}
	for _, suffix := range cosignTags {
		tag := tagFor(subject) + suffix
		var d ocispec.Descriptor
		err := c.waitOutLimit(ctx, c.routes.resolvers(s.named), s.Secrets, func(r conn) (err error) {
			d, err = r.head(ctx, tag, s.Name)
			return asAbsent(err)
		})
		switch {
		case err == nil:
			err = s.add(ctx, d, s.named.Name()+":"+tag, 0)
		case isNotFound(err), errors.Is(err, errNoHeadDigest):
			err = nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// addAll adds the manifests of a list.
func (s *referrerSearch) addAll(ctx context.Context, list []ocispec.Descriptor, tag string) error {
	for _, d := range list {
		if err := s.add(ctx, d, tag, 0); err != nil {
			return err
		}
	}
	return nil
}

// add adds one manifest and records where its blobs are. Of an index it adds what is listed
// there. tag is the name that led to it, "" for the referrers API.
func (s *referrerSearch) add(ctx context.Context, desc ocispec.Descriptor, tag string, depth int) error {
	if _, ok := s.found[referrerKey{desc.Digest, tag}]; ok || s.present[desc.Digest] || depth > maxDepth {
		return nil
	}
	if s.listed++; s.listed > maxReferrers {
		return unusableReferrers(s.Name, fmt.Errorf("more than %d referrers", maxReferrers))
	}
	if err := manifest.CheckDigest(desc.Digest); err != nil {
		s.skip(desc, "is not usable ("+oneLine(err.Error())+")")
		return nil
	}
	raw, err := s.manifest(ctx, desc)
	if err != nil {
		return fmt.Errorf("referrer %s: %w", desc.Digest, err)
	}
	m, err := parseWithin(manifest.Limits{Size: maxMetadata, Data: true, URLs: true, Strict: true, AnySchema: true}, s.Name, raw, desc)
	var unsupported *UnsupportedError
	switch {
	case errors.As(err, &unsupported) && unsupported.Err != nil:
		s.skip(desc, "is not usable ("+oneLine(unsupported.Err.Error())+")")
		return nil
	case errors.As(err, &unsupported):
		s.skip(desc, fmt.Sprintf("is of type %q", unsupported.MediaType))
		return nil
	case err != nil:
		return fmt.Errorf("referrer %s: %w", desc.Digest, err)
	}
	for _, d := range m.Children {
		if err := s.add(ctx, d, tag, depth+1); err != nil {
			return err
		}
	}
	if m.Index {
		return nil
	}
	switch {
	case s.present[m.Subject]:
		tag = "" // the manifest states its subject itself
	case tag == "":
		s.skip(desc, "does not state this image as its subject")
		return nil
	}
	s.addLocations(m)
	kept := ocispec.Descriptor{MediaType: m.MediaType, Digest: desc.Digest, Size: int64(len(raw)), ArtifactType: cmp.Or(m.ArtifactType, m.Config.MediaType)}
	if tag != "" {
		kept.Annotations = map[string]string{ocispec.AnnotationRefName: tag}
	}
	s.found[referrerKey{desc.Digest, tag}] = kept
	return nil
}

// skip reports a referrer that is not added.
func (s *referrerSearch) skip(desc ocispec.Descriptor, why string) {
	s.client.net.events.report(Event{Host: s.first.host, Text: fmt.Sprintf("%s: referrer %s %s and is skipped", s.Name, oneLine(desc.Digest.String()), why)})
}

// unusableReferrers returns the error about a list of referrers that cannot be used: the
// fault of the image that it is about.
func unusableReferrers(name string, err error) error {
	return &UnsupportedError{Name: name, MediaType: ocispec.MediaTypeImageIndex, Err: err}
}

// tagFor returns the tag under which registries and tools keep what belongs to a digest.
func tagFor(d digest.Digest) string { return strings.Replace(d.String(), ":", "-", 1) }

// referrers reads GET /v2/NAME/referrers/DIGEST, page after page, and keeps none. It ends
// when each returns false.
func (r conn) referrers(ctx context.Context, subject digest.Digest, name string, each func([]ocispec.Descriptor) bool) error {
	address := r.url(r.scheme(), "referrers", subject.String())
	for range maxPages {
		list, next, err := r.referrersPage(ctx, address, name)
		if err != nil {
			return err
		}
		if !each(list) || next == "" {
			return nil
		}
		address = next
	}
	return unusableReferrers(name, fmt.Errorf("registry %s: more than %d pages of referrers", r.host, maxPages))
}

func (r conn) referrersPage(ctx context.Context, address, name string) ([]ocispec.Descriptor, string, error) {
	round := r.limits.round(r.session)
	resp, err := r.do(ctx, http.MethodGet, address, http.Header{"Accept": {ocispec.MediaTypeImageIndex}})
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK:
	case http.StatusNotFound, http.StatusBadRequest, http.StatusMethodNotAllowed, http.StatusNotAcceptable, http.StatusNotImplemented:
		return nil, "", errNoReferrersAPI
	case http.StatusTooManyRequests:
		return nil, "", r.limits.reached(r.session, name, resp, round)
	default:
		return nil, "", statusError(resp, r.session, name)
	}
	if contentType(resp.Header) != ocispec.MediaTypeImageIndex {
		return nil, "", errNoReferrersAPI // such as an HTML page
	}
	raw, err := readLimited(resp, maxMetadata)
	if err != nil {
		return nil, "", fmt.Errorf("%s: referrers from %s: %w", name, r.host, err)
	}
	// Not parsed as a manifest: some registries leave out its schema version, and some
	// answer null for no referrers.
	page, err := manifest.ParseIndex(raw, manifest.Limits{Size: maxMetadata, Data: true}, manifest.MaxDescriptors)
	if err != nil {
		return nil, "", unusableReferrers(name, fmt.Errorf("referrers from %s: %w", r.host, err))
	}
	list := make([]ocispec.Descriptor, len(page.Manifests))
	for i := range page.Manifests {
		list[i] = page.Manifests[i].DescriptorWithData()
	}
	return list, nextPage(resp.Header, resp.Request.URL), nil
}

// nextPage reads `Link: </v2/…?last=x>; rel="next"` (RFC 8288). It returns "" for none and
// for a page at another host, which is not the registry's.
func nextPage(h http.Header, at *url.URL) string {
	for _, v := range h.Values("Link") {
		for part := range strings.SplitSeq(v, ",") {
			target, params, ok := strings.Cut(part, ">")
			target, found := strings.CutPrefix(strings.TrimSpace(target), "<")
			if !ok || !found || !isNext(params) {
				continue
			}
			u, err := at.Parse(target)
			if err != nil || u.Host != at.Host || u.Scheme != at.Scheme || u.User != nil {
				return ""
			}
			return u.String()
		}
	}
	return ""
}

func isNext(params string) bool {
	for p := range strings.SplitSeq(params, ";") {
		k, v, _ := strings.Cut(strings.TrimSpace(p), "=")
		if strings.EqualFold(k, "rel") && strings.EqualFold(strings.Trim(v, `"`), "next") {
			return true
		}
	}
	return false
}

// taggedReferrers finds the index that clients keep under a tag at registries without the
// API.
func (r conn) taggedReferrers(ctx context.Context, subject digest.Digest, name string) ([]ocispec.Descriptor, error) {
	d, err := r.head(ctx, tagFor(subject), name)
	if errors.Is(err, errNoHeadDigest) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return []ocispec.Descriptor{d}, nil
}
