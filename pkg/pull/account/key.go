package account

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// dockerHub is the name that all names of Docker Hub are mapped to.
const dockerHub = "docker.io"

// dockerHubLogin is the name docker login stores Docker Hub's account under.
const dockerHubLogin = "https://index.docker.io/v1/"

// sameRegistry maps the spellings of a registry to one: lower case, no colon
// without a port behind it, one name for Docker Hub.
func sameRegistry(host string) string {
	host = strings.TrimSuffix(strings.ToLower(host), ":")
	switch host {
	case "index.docker.io", "registry-1.docker.io", "registry.hub.docker.com":
		return dockerHub
	}
	return host
}

// scope is what a repository or a key of a source refers to: a registry, and a path
// there that is empty or begins with a slash.
type scope struct{ host, path string }

func (s scope) String() string { return s.host + s.path }

// repository splits "docker.io/calico/cni" at the first slash.
func repository(repo string) scope {
	host, path, found := strings.Cut(repo, "/")
	s := scope{host: sameRegistry(host)}
	if found && path != "" {
		s.path = "/" + path
	}
	return s
}

// splitKey splits a key of a source into the registry (without scheme and user
// information), the path as written, and whether there was a scheme.
func splitKey(key string) (s scope, scheme bool) {
	if _, rest, found := strings.Cut(key, "://"); found {
		key, scheme = rest, true
	}
	if i := strings.IndexAny(key, "?#"); i >= 0 {
		key = key[:i]
	}
	host := key
	if i := strings.IndexByte(key, '/'); i >= 0 {
		host, s.path = key[:i], key[i:]
	}
	if i := strings.LastIndexByte(host, '@'); i >= 0 {
		host = host[i+1:]
	}
	s.host = sameRegistry(host)
	return s, scheme
}

// fileScope parses a key of docker's and podman's files. "https://HOST/v1/" stands for
// all of HOST there; HOST/v1 without scheme or final slash is a namespace with this
// name.
func fileScope(key string) scope {
	s, scheme := splitKey(key)
	path := strings.TrimRight(s.path, "/")
	if (path == "/v1" || path == "/v2") && (scheme || path != s.path) {
		path = ""
	}
	s.path = path
	return s
}

// covers reports whether s, the scope of a key in a file, includes the repository.
func (s scope) covers(repo scope) bool {
	if s.host != repo.host || s.host == "" {
		return false
	}
	rest, found := strings.CutPrefix(repo.path, s.path)
	return found && (rest == "" || rest[0] == '/')
}

// sortBySpecificity sorts keys that cover one repository: longest path first, then
// the spelling that docker login writes, then by key.
func sortBySpecificity[T any](found []T, at func(T) (key string, s scope)) {
	slices.SortStableFunc(found, func(a, b T) int {
		aKey, aScope := at(a)
		bKey, bScope := at(b)
		return cmp.Or(
			cmp.Compare(len(bScope.path), len(aScope.path)),
			cmp.Compare(oddity(aKey, aScope), oddity(bKey, bScope)),
			cmp.Compare(aKey, bKey),
		)
	})
}

// oddity ranks the spellings of one scope; 0 is the one that docker login writes.
func oddity(key string, s scope) int {
	switch {
	case s == scope{host: dockerHub} && key == dockerHubLogin:
		return 0
	case key == s.String():
		return 1
	case strings.HasPrefix(key, "index.docker.io"):
		return 2
	default:
		return 3
	}
}

// printable makes a key safe for messages: without user information, query and
// control characters, and shortened.
func printable(key string) string {
	const longest = 300 // a repository's name has at most 255
	var scheme string
	for _, known := range []string{"https://", "http://"} {
		if rest, found := strings.CutPrefix(key, known); found {
			scheme, key = known, rest
			break
		}
	}
	// Registries and repositories contain no "@": everything before the last one may
	// be user and password, whatever characters these have.
	key = scheme + key[strings.LastIndexByte(key, '@')+1:]
	if i := strings.IndexAny(key, "?#"); i >= 0 {
		key = key[:i]
	}
	if quoted := strconv.Quote(key); quoted != `"`+key+`"` {
		key = quoted
	}
	if len(key) > longest {
		key = strings.ToValidUTF8(key[:longest], "") + "..."
	}
	return key
}
