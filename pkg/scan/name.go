package scan

import (
	_ "crypto/sha256" // a digest only parses when its algorithm is linked in
	_ "crypto/sha512"
	"strings"
	"sync"

	"github.com/distribution/reference"

	"stowage/internal/imagename"
)

// maxText is the longest text that can be a reference: a name of 255 bytes, a tag of 128
// and a sha512 digest.
const maxText = 255 + 1 + 128 + 1 + 7 + 128

// name is a parsed reference.
type name struct {
	full   string // normalised: with tag and digest as written, or :latest without both
	domain string // registry, docker.io when none is written
	path   string // repository without the registry
	tag    string // as written
	digest string // as written
}

// names keeps what parseName returned, by text: manifests repeat the same few thousand names,
// and the regular expressions of the reference package are a fifth of the time of a scan. It
// is emptied when it is full.
var names struct {
	sync.RWMutex
	parsed map[string]parsedName
}

type parsedName struct {
	name
	ok bool
}

// maxNames is how many texts [names] keeps, of some 200 bytes each.
const maxNames = 16 << 10

// parseName normalises a reference as containerd's CRI plugin does (ParseDockerRef there,
// except that a tag beside a digest is kept). ok is false when text is not a reference.
func parseName(text string) (n name, ok bool) {
	if text == "" || len(text) > maxText || !isReferenceText(text) {
		return name{}, false
	}
	names.RLock()
	p, known := names.parsed[text]
	names.RUnlock()
	if known {
		return p.name, p.ok
	}
	text = strings.Clone(text) // it may be a part of a document
	p.name, p.ok = parseNewName(text)
	names.Lock()
	defer names.Unlock()
	if names.parsed == nil || len(names.parsed) >= maxNames {
		names.parsed = map[string]parsedName{}
	}
	names.parsed[text] = p
	return p.name, p.ok
}

// parseNewName is parseName for a text of bytes that may occur in a reference.
func parseNewName(text string) (n name, ok bool) {
	named, err := reference.ParseNormalizedNamed(text)
	if err != nil {
		return name{}, false
	}
	n.domain, n.path = imagename.Split(named)
	if n.domain != strings.ToLower(n.domain) && !strings.ContainsAny(n.domain, ".:") {
		return name{}, false // "Demo/app" parses with a registry named Demo, but is a typing error
	}
	if t, is := named.(reference.Tagged); is {
		n.tag = t.Tag()
	}
	if d, is := named.(reference.Digested); is {
		n.digest = d.Digest().String()
	}
	n.full = reference.TagNameOnly(named).String()
	// Normalisation adds to the length. No registry serves a name that is too long after
	// it.
	return n, len(named.Name()) <= reference.RepositoryNameTotalLengthMax
}

// isReferenceText reports whether every byte may occur in a reference: a cheap test that
// avoids the regular expressions of the reference package.
func isReferenceText(s string) bool {
	for i := range len(s) {
		if !referenceByte(s[i]) {
			return false
		}
	}
	return true
}

func referenceByte(c byte) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		return true
	}
	return strings.IndexByte("./:@_-+[]", c) >= 0
}

// strong reports whether text is certainly an image, wherever it stands: it has a registry
// with a dot, a port or the name localhost, and a tag or a digest; or it has a sha256
// digest. API groups, label keys, hosts with ports, paths and times all lack one of these.
func strong(text string) bool {
	if len(text) < 5 || len(text) > maxText || !isReferenceText(text) {
		return false
	}
	if at := strings.IndexByte(text, '@'); at >= 0 {
		hex, is := strings.CutPrefix(text[at+1:], "sha256:")
		if !is || at == 0 || len(hex) != 64 || isBareVersion(text[:at]) {
			return false
		}
		_, ok := parseName(text)
		return ok
	}
	slash := strings.IndexByte(text, '/')
	if slash <= 0 || !isHost(text[:slash]) {
		return false
	}
	colon := strings.LastIndexByte(text, ':')
	if colon < strings.LastIndexByte(text, '/') || isTaintEffect(text[colon+1:]) {
		return false
	}
	_, ok := parseName(text)
	return ok
}

// isBareVersion reports whether a text without a slash is a version and not a name:
// v1.2.3, 1.27. A digest does not make it a name.
func isBareVersion(text string) bool {
	if strings.Contains(text, "/") {
		return false
	}
	v := strings.TrimPrefix(text, "v")
	return v == "" || '0' <= v[0] && v[0] <= '9' || strings.IndexByte("._-:", v[0]) >= 0
}

// isTaintEffect reports whether tag is one of the three words that make
// "node.example.com/role:NoSchedule" a taint and not an image.
func isTaintEffect(tag string) bool {
	return tag == "NoSchedule" || tag == "PreferNoSchedule" || tag == "NoExecute"
}

// isHost reports whether the part before the first slash is a registry. Beyond the rule of
// the reference package, the last label of a name with dots must not be a number unless all
// four are: 10.0.0.1/x has a host, v1.2/x has none.
func isHost(s string) bool {
	host, port, hasPort := strings.Cut(s, ":")
	if strings.HasPrefix(s, "[") { // an IPv6 address, checked by the reference package
		return strings.Contains(s, "]")
	}
	if host == "" || hasPort && !isDigits(port) {
		return false
	}
	if host == "localhost" || hasPort {
		return true
	}
	dot := strings.LastIndexByte(host, '.')
	if dot <= 0 || dot == len(host)-1 {
		return false
	}
	if isDigits(host[dot+1:]) {
		return isIPv4(host)
	}
	return true
}

func isIPv4(s string) bool {
	parts := strings.Split(s, ".")
	for _, p := range parts {
		if !isDigits(p) || len(p) > 3 {
			return false
		}
	}
	return len(parts) == 4
}

func isDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

// hasHost reports whether text names a registry.
func hasHost(text string) bool {
	i := strings.IndexByte(text, '/')
	return i > 0 && isHost(text[:i])
}

// clusterInternal reports whether a registry is a service inside a cluster.
func clusterInternal(domain string) bool {
	host, _, _ := strings.Cut(domain, ":")
	return strings.HasSuffix(host, ".svc") || strings.Contains(host, ".svc.") || strings.HasSuffix(host, ".cluster.local")
}

// localRegistry reports whether a registry means something else on each machine: a loopback
// address, or a name without a dot.
func localRegistry(domain string) bool {
	if strings.HasPrefix(domain, "[") {
		return strings.HasPrefix(domain, "[::1]")
	}
	host, _, _ := strings.Cut(domain, ":")
	return host == "localhost" || strings.HasPrefix(host, "127.") && isIPv4(host) || !strings.Contains(host, ".")
}

// isFile reports whether text ends like the name of a file: pictures, disks and archives
// stand under keys named image too.
func isFile(text string) bool {
	dot := strings.LastIndexByte(text, '.')
	if dot < 0 || strings.Contains(text, ":") {
		return false
	}
	switch strings.ToLower(text[dot+1:]) {
	case "png", "jpg", "jpeg", "gif", "svg", "webp", "ico", "bmp", "iso", "img", "raw", "qcow2", "vmdk", "vhd", "vhdx",
		"ova", "ovf", "gz", "xz", "zst", "bz2", "zip", "tar", "tgz", "yaml", "yml", "json", "html", "js", "css", "sh", "efi":
		return true
	}
	return false
}
