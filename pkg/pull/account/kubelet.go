package account

import (
	"cmp"
	"path"
	"slices"
	"strings"
)

// kubeletScope parses a key of a pull secret as the kubelet does: the scheme and
// a leading /v1 or /v2 are dropped, the rest of the path is kept as it is.
func kubeletScope(key string) scope {
	s, scheme := splitKey(key)
	switch {
	case strings.HasPrefix(s.path, "/v1/"), strings.HasPrefix(s.path, "/v2/"):
		s.path = s.path[3:]
	case scheme && (s.path == "/v1" || s.path == "/v2"):
		s.path = ""
	}
	if s.path == "/" {
		s.path = ""
	}
	return s
}

// globs reports whether s, a key of a pull secret, matches the repository: same
// port, same number of host labels, each label a glob, the path a plain prefix.
func (s scope) globs(repo scope) bool {
	if s.host == "" || !strings.HasPrefix(repo.path, s.path) {
		return false
	}
	if strings.Contains(s.host+repo.host, "[") {
		// An IPv6 address, whose brackets a glob would take for a set of characters.
		return s.host == repo.host
	}
	host, port := splitPort(s.host)
	repoHost, repoPort := splitPort(repo.host)
	if port != repoPort {
		return false
	}
	labels, repoLabels := strings.Split(host, "."), strings.Split(repoHost, ".")
	return slices.EqualFunc(labels, repoLabels, func(glob, label string) bool {
		matched, err := path.Match(glob, label)
		return matched && err == nil
	})
}

// splitPort leaves the colon with the port.
func splitPort(hostport string) (host, port string) {
	if i := strings.LastIndexByte(hostport, ':'); i >= 0 {
		return hostport[:i], hostport[i:]
	}
	return hostport, ""
}

// sortAsKubelet sorts what matches one repository in the kubelet's order: by key,
// descending, which puts longer paths before shorter ones and globs after names;
// equal keys keep the order of their secrets. Of Docker Hub's names the kubelet
// prefers docker.io, and index.docker.io is its fallback.
func sortAsKubelet[T any](found []T, at func(T) (key string, s scope)) {
	slices.SortStableFunc(found, func(a, b T) int {
		aKey, aScope := at(a)
		bKey, bScope := at(b)
		return cmp.Or(
			cmp.Compare(bScope.String(), aScope.String()),
			cmp.Compare(dockerHubFallback(aKey), dockerHubFallback(bKey)),
		)
	})
}

func dockerHubFallback(key string) int {
	_, rest, found := strings.Cut(key, "://")
	if !found {
		rest = key
	}
	host, _, _ := strings.Cut(rest, "/")
	switch {
	case sameRegistry(host) == host:
		return 0
	case host == "index.docker.io":
		return 1
	default:
		return 2
	}
}
