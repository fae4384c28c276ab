package serve

import (
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"stowage/internal/lazy"
)

// kind is what a path asks for.
type kind string

const (
	kindBase      kind = "base"
	kindManifest  kind = "manifests"
	kindBlob      kind = "blobs"
	kindTags      kind = "tags"
	kindReferrers kind = "referrers"
)

// target is a parsed path. Tag or digest is set where the kind has one.
type target struct {
	kind   kind
	path   string // of the repository
	tag    string
	digest digest.Digest
}

// Names and tags as distribution-spec v1.1 "Pulling manifests" has them. A name has at most
// 255 characters with its registry.
var (
	pathPattern     = lazy.Regexp(`^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$`)
	tagPattern      = lazy.Regexp(`^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$`)
	registryPattern = lazy.Regexp(`^([a-zA-Z0-9._-]+|\[[0-9a-fA-F:]+\])(:[0-9]{1,5})?$`)
)

// maxName bounds the path of a repository, and a registry, in bytes.
const maxName = 255

// parsePath returns what the path of an address asks for.
func parsePath(p string) (target, *failure) {
	rest, ok := strings.CutPrefix(p, "/v2/")
	if rest == "" && ok || p == "/v2" {
		return target{kind: kindBase}, nil
	}
	parts := strings.Split(rest, "/")
	if !ok || len(parts) < 3 {
		return target{}, failed(codeUnsupported, "no such path")
	}
	last := len(parts) - 1
	t := target{kind: kind(parts[last-1]), path: strings.Join(parts[:last-1], "/")}
	reference := parts[last]
	if !slices.Contains([]kind{kindManifest, kindBlob, kindTags, kindReferrers}, t.kind) || t.kind == kindTags && reference != "list" {
		return target{}, failed(codeUnsupported, "no such path")
	}
	if len(t.path) > maxName || !pathPattern().MatchString(t.path) {
		return target{}, failed(codeNameInvalid, "not the name of a repository")
	}
	return t, t.setReference(reference)
}

// setReference sets the tag or the digest.
func (t *target) setReference(s string) *failure {
	switch {
	case t.kind == kindTags:
	case t.kind == kindManifest && !strings.Contains(s, ":"):
		if !tagPattern().MatchString(s) {
			return failed(codeTagInvalid, "not a tag")
		}
		t.tag = s
	default:
		if digest.Digest(s).Validate() != nil {
			return failed(codeDigestInvalid, "not a digest")
		}
		t.digest = digest.Digest(s)
	}
	return nil
}
