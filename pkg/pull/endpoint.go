package pull

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/distribution/reference"
)

// Mirror is a registry that serves another registry's images.
type Mirror struct {
	Host     string    // "mirror.example:5000"
	Prefix   string    // put before the repository's path, without slashes at its ends; may be empty
	Root     string    // path of its API, without a slash at its end; empty is "/v2"
	Rewrites []Rewrite // of the repository's path, before Prefix; the first that matches counts

	PullOnly    bool // gives bytes by digest and is not asked what a tag means
	ResolveOnly bool // is asked what a tag means and for nothing else
	Last        bool // takes the origin's place: nobody is asked after it
}

// Rewrite changes the path of a repository ("library/busybox") for a mirror.
type Rewrite struct {
	Match *regexp.Regexp
	To    string // as for [regexp.Regexp.ReplaceAllString]
}

// Repository is what stands for a repository ("library/busybox") at the mirror, as accounts
// are looked up for it: "mirror.example:5000/prefix/library/busybox".
func (m Mirror) Repository(path string) string {
	return endpoint{host: m.Host, repo: m.path(path)}.repository()
}

// path of a repository at the mirror.
func (m Mirror) path(p string) string {
	for _, r := range m.Rewrites {
		if r.Match.MatchString(p) {
			p = r.Match.ReplaceAllString(p, r.To)
			break
		}
	}
	return path.Join(m.Prefix, p)
}

// endpoint is one place that may serve a repository: a mirror or the origin.
type endpoint struct {
	host   string // as dialled: "registry-1.docker.io", "mirror.example:5000"
	repo   string // path there: "library/busybox", "prefix/library/busybox"
	root   string // path of the API there; empty is "/v2"
	origin string // registry of the name; set for mirrors, which learn it as containerd tells them

	pullOnly, resolveOnly bool
}

// registryHost is where Docker Hub's API answers; names say docker.io.
const registryHost = "registry-1.docker.io"

// errNowhere says that the mirrors of a registry leave nobody to ask.
var errNowhere = errors.New("no host is configured that may be asked for this")

// endpoints lists the places to ask for a repository, mirrors first and the origin last,
// as containerd's hosts.toml has it.
func (c *Client) endpoints(repo reference.Named) []endpoint {
	domain, p := reference.Domain(repo), reference.Path(repo)
	var out []endpoint
	mirrors, ok := c.opts.Mirrors[domain]
	if !ok {
		mirrors = c.opts.Mirrors["*"]
	}
	for _, m := range mirrors {
		e := endpoint{host: m.Host, repo: m.path(p), root: m.Root, origin: domain, pullOnly: m.PullOnly, resolveOnly: m.ResolveOnly}
		if e.host == dialled(domain) {
			e.origin = "" // itself, under conditions
		}
		out = append(out, e)
		if m.Last {
			return out
		}
	}
	return append(out, endpoint{host: dialled(domain), repo: p})
}

// resolvers are the places that may say what a tag means.
func (c *Client) resolvers(repo reference.Named) []endpoint {
	places := c.endpoints(repo)
	if c.opts.ResolveAtOrigin {
		places = places[len(places)-1:]
	}
	return slices.DeleteFunc(places, func(e endpoint) bool { return e.pullOnly })
}

// pullers are the places that may be asked for bytes by their digest.
func (c *Client) pullers(repo reference.Named) []endpoint {
	return slices.DeleteFunc(c.endpoints(repo), func(e endpoint) bool { return e.resolveOnly })
}

// repository is the endpoint as accounts are looked up for it. A mirror is a host of its
// own: an account for docker.io is not offered to it.
func (e endpoint) repository() string {
	host := e.host
	if host == registryHost {
		host = "docker.io"
	}
	return host + "/" + e.repo
}

// url of a manifest, blob or list of referrers; kind is "manifests", "blobs" or "referrers".
func (e endpoint) url(scheme, kind, id string) string {
	u := url.URL{Scheme: scheme, Host: e.host, Path: fmt.Sprintf("%s/%s/%s/%s", cmp.Or(e.root, "/v2"), e.repo, kind, id)}
	if e.origin != "" {
		// containerd names the origin to its mirrors, core/remotes/docker/resolver.go.
		u.RawQuery = url.Values{"ns": {e.origin}}.Encode()
	}
	return u.String()
}

// ParseMirror reads "docker.io=HOST[/prefix]" into the registry's host and its mirror.
func ParseMirror(s string) (string, Mirror, error) {
	registry, target, ok := strings.Cut(s, "=")
	if !ok || registry == "" || target == "" {
		return "", Mirror{}, fmt.Errorf("mirror %q: want REGISTRY=HOST[/PREFIX]", s)
	}
	if strings.Contains(target, "://") {
		return "", Mirror{}, fmt.Errorf("mirror %q: give HOST without a scheme; plain HTTP is allowed by --insecure", s)
	}
	host, prefix, _ := strings.Cut(strings.TrimSuffix(target, "/"), "/")
	if u, err := url.Parse("//" + host); err != nil || u.Host != host || u.Hostname() == "" {
		return "", Mirror{}, fmt.Errorf("mirror %q: %q is no host", s, host)
	}
	if prefix != "" {
		if _, err := reference.WithName("host.invalid/" + prefix); err != nil {
			return "", Mirror{}, fmt.Errorf("mirror %q: prefix %q: %w", s, prefix, err)
		}
	}
	if registry == "index.docker.io" || registry == registryHost {
		registry = "docker.io"
	}
	return registry, Mirror{Host: host, Prefix: prefix}, nil
}

// loopback hosts are on this machine: plain HTTP leaks nothing there.
func loopback(host string) bool {
	h := host
	if name, _, err := net.SplitHostPort(host); err == nil {
		h = name
	}
	if h == "localhost" {
		return true
	}
	ip := net.ParseIP(strings.Trim(h, "[]"))
	return ip != nil && ip.IsLoopback()
}
