package serve

import (
	"context"
	"regexp"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"stowage/internal/lazy"
)

// repository is what a request names.
type repository struct {
	registry string // "" if the request has no ns
	path     string
}

// named returns the repository of a request. One of docker.io may be named as its registry
// before the path, without "library/".
func named(registry, path string) repository {
	if rest, ok := strings.CutPrefix(path, dockerHub+"/"); ok && registry == "" {
		return repository{dockerHub, rest}
	}
	return repository{registry, path}
}

// pattern matches the names of the images that the repository may mean. It is RE2, for a
// [Source].
func (r repository) pattern() *regexp.Regexp {
	p := "^"
	switch {
	case r.registry != "":
		p += regexp.QuoteMeta(r.registry) + "/"
	default:
		p += "([^/]+/)?"
	}
	if !strings.Contains(r.path, "/") && (r.registry == "" || r.registry == dockerHub) {
		p += "(library/)?"
	}
	return regexp.MustCompile(p + regexp.QuoteMeta(r.path) + "[:@]")
}

// dockerHub is the registry whose repositories without a slash are below library/.
const dockerHub = "docker.io"

// exact returns the name of the repository as a name of an image begins.
func (r repository) exact() string {
	if r.registry == "" {
		return r.path
	}
	return r.registry + "/" + r.path
}

// splitName returns the repository and the tag of an image's name. One that has a digest
// only has no tag.
func splitName(name string) (repo, tag string) {
	name, _, _ = strings.Cut(name, "@")
	if i := strings.LastIndexByte(name, ':'); i > strings.LastIndexByte(name, '/') {
		return name[:i], name[i+1:]
	}
	return name, ""
}

// tagged is a tag of a repository.
type tagged struct {
	tag    string
	digest digest.Digest
}

// find returns the tags of what the repository means: of the repository of exactly that
// name, or else of all that may be meant. It fails if there is no such repository.
func (h *handler) find(ctx context.Context, r repository) ([]tagged, *failure) {
	images, err := h.source.Images(ctx, r.pattern())
	if err != nil {
		return nil, broken(err)
	}
	if len(images) == 0 {
		return nil, failed(codeNameUnknown, "no such repository")
	}
	var exact, all []tagged
	found := false
	for _, i := range images {
		repo, tag := splitName(i.Name)
		t := tagged{tag, i.Digest}
		if all = append(all, t); repo == r.exact() {
			exact, found = append(exact, t), true
		}
	}
	if found {
		return exact, nil
	}
	return all, nil
}

// resolve returns the digest of a tag.
func (h *handler) resolve(ctx context.Context, r repository, tag string) (digest.Digest, *failure) {
	list, f := h.find(ctx, r)
	if f != nil {
		return "", f
	}
	list = slices.DeleteFunc(list, func(t tagged) bool { return t.tag != tag })
	if len(list) == 0 {
		if list, f = h.about(ctx, r, tag); f != nil {
			return "", f
		}
	}
	switch {
	case len(list) == 0:
		return "", failed(codeManifestUnknown, "no such tag")
	case slices.ContainsFunc(list, func(t tagged) bool { return t.digest != list[0].digest }):
		return "", failed(codeManifestUnknown, "several registries have the tag; name one with ?ns= or before the repository")
	}
	return list[0].digest, nil
}

// digestTag matches the tag of a digest.
var digestTag = lazy.Regexp(`^sha256-([0-9a-f]{64})\.`)

// about returns what the repository has under the tag of a digest.
func (h *handler) about(ctx context.Context, r repository, tag string) ([]tagged, *failure) {
	source, ok := h.source.(TagSource)
	part := digestTag().FindStringSubmatch(tag)
	if !ok || part == nil {
		return nil, nil
	}
	images, err := source.Tags(ctx, digest.NewDigestFromEncoded(digest.SHA256, part[1]))
	if err != nil {
		return nil, broken(err)
	}
	var list []tagged
	pattern := r.pattern()
	for _, i := range images {
		if _, t := splitName(i.Name); t == tag && pattern.MatchString(i.Name) {
			list = append(list, tagged{t, i.Digest})
		}
	}
	return list, nil
}
