package pull

import (
	"cmp"
	"fmt"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/distribution/reference"

	"stowage/internal/imagename"
)

// Mirror is a registry that serves another registry's images.
type Mirror struct {
	Host     string    // "mirror.example:5000"
	Prefix   string    // put before the repository's path, without slashes at its ends; may be empty
	Root     string    // path of its API, without a slash at its end; empty is "/v2"
	Rewrites []Rewrite // of the repository's path, before Prefix; the first that matches counts

	PullOnly    bool // serves bytes by digest and is not asked to resolve tags
	ResolveOnly bool // is asked to resolve tags and for nothing else
	Last        bool // replaces the origin: no other host is asked after it
}

// Rewrite changes the path of a repository ("library/busybox") for a mirror.
type Rewrite struct {
	Match *regexp.Regexp
	To    string // as for [regexp.Regexp.ReplaceAllString]
}

// path returns the path of a repository at the mirror.
func (m Mirror) path(p string) string {
	for _, r := range m.Rewrites {
		if r.Match.MatchString(p) {
			p = r.Match.ReplaceAllString(p, r.To)
			break
		}
	}
	return path.Join(m.Prefix, p)
}

// endpoint is one host that may serve a repository: a mirror or the origin.
type endpoint struct {
	host   string // as dialled: "registry-1.docker.io", "mirror.example:5000"
	repo   string // path there: "library/busybox", "prefix/library/busybox"
	root   string // path of the API there; empty is "/v2"
	origin string // for mirrors, the registry of the name

	pullOnly, resolveOnly bool
}

// dockerHubHost serves Docker Hub's API; image names say docker.io.
const dockerHubHost = "registry-1.docker.io"

// Repositories lists the repositories that a client with these mirrors asks for name, in
// their order, as [Accounts] receives them ("mirror.example:5000/prefix/library/busybox").
func Repositories(name string, mirrors map[string][]Mirror) ([]string, error) {
	named, err := parse(name)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, e := range (routes{mirrors: mirrors}).endpoints(named) {
		out = append(out, e.repository())
	}
	return out, nil
}

// routes says which endpoints serve a repository.
type routes struct {
	mirrors         map[string][]Mirror // see [Options]
	resolveAtOrigin bool
}

// endpoints lists the endpoints of a repository, mirrors first and the origin last, as
// containerd's hosts.toml orders them.
func (r routes) endpoints(repo reference.Named) []endpoint {
	domain, p := imagename.Split(repo)
	var out []endpoint
	mirrors, ok := r.mirrors[domain]
	if !ok {
		mirrors = r.mirrors["*"]
	}
	for _, m := range mirrors {
		e := endpoint{host: m.Host, repo: m.path(p), root: m.Root, origin: domain, pullOnly: m.PullOnly, resolveOnly: m.ResolveOnly}
		if e.host == dialled(domain) {
			e.origin = "" // the origin itself, with restrictions
		}
		out = append(out, e)
		if m.Last {
			return out
		}
	}
	return append(out, endpoint{host: dialled(domain), repo: p})
}

// resolvers lists the endpoints that may say what a tag means: with
// [Options.ResolveAtOrigin] the origin alone.
func (r routes) resolvers(repo reference.Named) []endpoint {
	list := r.endpoints(repo)
	if r.resolveAtOrigin {
		list = list[len(list)-1:]
	}
	return slices.DeleteFunc(list, func(e endpoint) bool { return e.pullOnly })
}

// pullers lists the endpoints that serve manifests and blobs by their digest.
func (r routes) pullers(repo reference.Named) []endpoint {
	return slices.DeleteFunc(r.endpoints(repo), func(e endpoint) bool { return e.resolveOnly })
}

// repository returns the name that accounts are looked up for. A mirror is a separate
// host: an account for docker.io is not offered to it.
func (e endpoint) repository() string {
	host := e.host
	if host == dockerHubHost {
		host = "docker.io"
	}
	return host + "/" + e.repo
}

// url returns the URL of a manifest, blob or list of referrers; kind is "manifests",
// "blobs" or "referrers".
func (e endpoint) url(scheme, kind, id string) string {
	u := url.URL{Scheme: scheme, Host: e.host, Path: fmt.Sprintf("%s/%s/%s/%s", cmp.Or(e.root, "/v2"), e.repo, kind, id)}
	if e.origin != "" {
		// A mirror is sent the origin as by containerd, core/remotes/docker/resolver.go.
		u.RawQuery = url.Values{"ns": {e.origin}}.Encode()
	}
	return u.String()
}

// ParseMirror parses "docker.io=HOST[/prefix]" into the registry's host and its mirror.
func ParseMirror(s string) (string, Mirror, error) {
	registry, target, ok := strings.Cut(s, "=")
	if !ok || registry == "" || target == "" {
		return "", Mirror{}, fmt.Errorf("mirror %q: want REGISTRY=HOST[/PREFIX]", s)
	}
	if strings.Contains(target, "://") {
		return "", Mirror{}, fmt.Errorf("mirror %q: want HOST without a scheme; plain HTTP is allowed by --insecure", s)
	}
	host, prefix, _ := strings.Cut(strings.TrimSuffix(target, "/"), "/")
	if u, err := url.Parse("//" + host); err != nil || u.Host != host || u.Hostname() == "" {
		return "", Mirror{}, fmt.Errorf("mirror %q: %q is not a host", s, host)
	}
	if prefix != "" {
		if _, err := reference.WithName("host.invalid/" + prefix); err != nil {
			return "", Mirror{}, fmt.Errorf("mirror %q: prefix %q: %w", s, prefix, err)
		}
	}
	if registry == "index.docker.io" || registry == dockerHubHost {
		registry = "docker.io"
	}
	return registry, Mirror{Host: host, Prefix: prefix}, nil
}
