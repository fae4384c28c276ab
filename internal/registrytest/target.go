package registrytest

import "strings"

// Kind is what a request is about.
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

// target is what a URL's path names.
type target struct {
	kind Kind
	repo string // empty where the kind has none
	ref  string // tag, digest or upload
}

// cdnPrefix opens the paths of the second host; what follows is as below /v2/.
const cdnPrefix = "/cdn/"

// parseTarget reads a path (distribution-spec 1.1, "Endpoints"). Repository names hold
// slashes, so paths are read from the end.
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
		mark string
		kind Kind
	}{
		{"/manifests/", KindManifest}, {"/blobs/", KindBlob},
		{"/tags/", KindTags}, {"/referrers/", KindReferrers},
	} {
		repo, ref, ok := cutLast(rest, part.mark)
		if ok && repo != "" && ref != "" && !strings.Contains(ref, "/") {
			return target{kind: part.kind, repo: repo, ref: ref}
		}
	}
	return target{kind: KindOther}
}

// cutLast cuts s around the last mark.
func cutLast(s, mark string) (before, after string, found bool) {
	i := strings.LastIndex(s, mark)
	if i < 0 {
		return "", "", false
	}
	return s[:i], s[i+len(mark):], true
}

// isDigest tells a digest from a tag; tags hold no colon.
func isDigest(ref string) bool { return strings.Contains(ref, ":") }
