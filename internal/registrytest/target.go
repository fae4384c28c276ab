package registrytest

import "strings"

// Kind is the kind of a request.
type Kind string

// The kinds of requests.
const (
	KindPing      Kind = "ping"      // /v2/
	KindToken     Kind = "token"     // /token
	KindManifest  Kind = "manifest"  // /v2/REPO/manifests/REF
	KindBlob      Kind = "blob"      // /v2/REPO/blobs/DIGEST, and the same on the second host
	KindUpload    Kind = "upload"    // /v2/REPO/blobs/uploads/...
	KindTags      Kind = "tags"      // /v2/REPO/tags/list
	KindReferrers Kind = "referrers" // /v2/REPO/referrers/DIGEST
	KindCatalog   Kind = "catalog"   // /v2/_catalog
	KindOther     Kind = "other"
)

// target is what the path of a URL names.
type target struct {
	kind Kind
	repo string // empty if the kind has none
	ref  string // tag, digest or upload
}

// cdnPrefix is the path prefix of the second host; the rest is as below /v2/.
const cdnPrefix = "/cdn/"

// parseTarget parses a path (distribution-spec 1.1, "Endpoints"). Repository names contain
// slashes, so it parses from the end.
func parseTarget(path string) target {
	switch path {
	case "/v2", "/v2/":
		return target{kind: KindPing}
	case "/token":
		return target{kind: KindToken}
	case "/v2/_catalog":
		return target{kind: KindCatalog}
	}
	rest, ok := strings.CutPrefix(path, "/v2/")
	if !ok {
		if rest, ok = strings.CutPrefix(path, cdnPrefix); !ok {
			return target{kind: KindOther}
		}
	}
	if repo, ref, ok := cutLast(rest, "/blobs/uploads"); ok {
		return target{kind: KindUpload, repo: repo, ref: strings.Trim(ref, "/")}
	}
	for _, part := range []struct {
		sep  string
		kind Kind
	}{
		{"/manifests/", KindManifest}, {"/blobs/", KindBlob},
		{"/tags/", KindTags}, {"/referrers/", KindReferrers},
	} {
		repo, ref, ok := cutLast(rest, part.sep)
		if ok && repo != "" && ref != "" && !strings.Contains(ref, "/") {
			return target{kind: part.kind, repo: repo, ref: ref}
		}
	}
	return target{kind: KindOther}
}

// cutLast cuts s around the last occurrence of sep.
func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return "", "", false
	}
	return s[:i], s[i+len(sep):], true
}

// isDigest reports whether ref is a digest; tags contain no colon.
func isDigest(ref string) bool { return strings.Contains(ref, ":") }
