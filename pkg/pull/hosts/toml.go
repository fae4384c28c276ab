package hosts

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"

	"stowage/pkg/pull"
)

// hostsFile is hosts.toml. The keys before the first table are for the server.
type hostsFile struct {
	hostTable
	Server string               `toml:"server"`
	Hosts  map[string]hostTable `toml:"host"`
}

type hostTable struct {
	Capabilities []string       `toml:"capabilities"`
	CA           any            `toml:"ca"`     // a path or a list of them
	Client       any            `toml:"client"` // a path, or a list of paths and pairs of them
	SkipVerify   bool           `toml:"skip_verify"`
	OverridePath bool           `toml:"override_path"`
	Header       map[string]any `toml:"header"` // a text or a list of them
	DialTimeout  string         `toml:"dial_timeout"`
}

// maxHosts bounds the number of hosts in one hosts.toml.
const maxHosts = 1000

// everyRegistry is the key in [pull.Options] for registries without an entry.
const everyRegistry = "*"

// ParseHosts parses a hosts.toml of containerd, which lists the hosts of one registry
// ("quay.io:443"), see docs/hosts.md of containerd 2. The registry "*" or "_default" is
// for all registries without a file. readFile reads the certificates and keys that it
// names, by the paths as written. Unknown fields are errors, as in [ParseRegistries]. An
// error contains the line, and never the value of a header.
//
// As in containerd, hosts are asked in the order of the file, then the server, and no
// others; without a server the registry itself is the last. Hosts without "resolve" among
// their capabilities are not asked to resolve tags. Headers are sent to the host only, not
// to the host of its tokens.
func ParseHosts(registry string, raw []byte, readFile func(path string) ([]byte, error)) (*Config, error) {
	if registry == defaultDirectory {
		registry = everyRegistry
	}
	p := &hostsParser{registry: registry, files: &pems{read: readFile}}
	if err := p.parse(raw); err != nil {
		return nil, fmt.Errorf("hosts.toml of %s: %w", registry, err)
	}
	return p.config, nil
}

// hostsParser builds a Config from one hosts.toml.
type hostsParser struct {
	registry string
	origin   string // as dialled; empty for all registries
	files    *pems
	config   *Config
	mirrors  []pull.Mirror
}

func (p *hostsParser) parse(raw []byte) error {
	if len(raw) > maxFile {
		return fmt.Errorf("larger than %d bytes", maxFile)
	}
	var f hostsFile
	dec := toml.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&f); err != nil {
		return tomlError(err)
	}
	if len(f.Hosts) > maxHosts {
		return fmt.Errorf("more than %d hosts", maxHosts)
	}
	return p.add(&f, hostOrder(raw))
}

// add adds the content of a file, its hosts in the given order.
func (p *hostsParser) add(f *hostsFile, order []tablePlace) error {
	p.config = &Config{Mirrors: map[string][]pull.Mirror{}, Hosts: map[string]pull.Host{}}
	if p.registry != everyRegistry {
		host, root, plain, err := endpoint(p.registry)
		if err != nil || root != "" || plain || strings.ContainsAny(p.registry, "/@") {
			return errors.New("not the name of a registry")
		}
		p.origin = host
	}
	for _, place := range order {
		if err := p.addHost(place.key, f.Hosts[place.key], false); err != nil {
			return fmt.Errorf("line %d: %w", place.line, err)
		}
	}
	if len(f.Hosts) > len(order) {
		// containerd finds hosts by their headings and ignores all others.
		return errors.New(`a host has no heading [host."ADDRESS"] of its own`)
	}
	p.trim()
	if f.Server != "" {
		if err := p.addHost(f.Server, f.hostTable, true); err != nil {
			return fmt.Errorf("server: %w", err)
		}
	} else if err := p.addOrigin(f.hostTable); err != nil {
		return err
	}
	p.config.Mirrors[p.registry] = append([]pull.Mirror{}, p.mirrors...)
	return nil
}

// trim removes the registry itself from the end of its mirrors: it is asked last anyway.
func (p *hostsParser) trim() {
	for n := len(p.mirrors); n > 0 && p.isOrigin(p.mirrors[n-1]); n-- {
		p.mirrors = p.mirrors[:n-1]
	}
}

func (p *hostsParser) isOrigin(m pull.Mirror) bool {
	return m.Host == p.origin && m.Root == "" && !m.PullOnly && !m.ResolveOnly
}

// addHost adds a host, or the server, which is asked last.
func (p *hostsParser) addHost(address string, t hostTable, server bool) error {
	host, root, plain, err := apiOf(address, t.OverridePath)
	if err != nil {
		return err
	}
	m := pull.Mirror{Host: host, Root: root, Last: server}
	if m.PullOnly, m.ResolveOnly, err = capable(t.Capabilities); err != nil {
		return err
	}
	if !server || !p.isOrigin(m) {
		p.mirrors = append(p.mirrors, m)
	}
	return p.addSettings(host, t, plain)
}

// addOrigin adds the settings of the registry itself when no server is named. containerd
// ignores capabilities and path then.
func (p *hostsParser) addOrigin(t hostTable) error {
	if _, _, err := capable(t.Capabilities); err != nil {
		return err
	}
	if p.origin != "" {
		return p.addSettings(p.origin, t, false)
	}
	if t.CA != nil || t.Client != nil || t.SkipVerify || len(t.Header) > 0 || t.DialTimeout != "" {
		return errors.New("settings without a server are supported for named hosts only")
	}
	return nil
}

// addSettings adds the connection settings of a host.
func (p *hostsParser) addSettings(host string, t hostTable, plain bool) error {
	h := pull.Host{SkipVerify: t.SkipVerify, Plain: plain}
	var err error
	if h.CA, err = p.files.authorities(t.CA); err != nil {
		return fmt.Errorf("ca: %w", err)
	}
	if h.Certificates, err = p.files.clients(t.Client); err != nil {
		return fmt.Errorf("client: %w", err)
	}
	if h.Header, err = headerOf(t.Header); err != nil {
		return err
	}
	if t.DialTimeout != "" {
		if h.DialTimeout, err = time.ParseDuration(t.DialTimeout); err != nil || h.DialTimeout <= 0 {
			return errors.New(`dial_timeout: want a duration such as "5s"`)
		}
	}
	return p.config.addHost(host, h)
}

// apiOf parses "https://mirror.example:5000/path" into the host and the path of its API:
// /v2 below the path, unless the path ends in /v2 or override is set. Its errors show
// nothing that may be an account.
func apiOf(address string, override bool) (host, root string, plain bool, err error) {
	if strings.ContainsAny(address, "@?#") {
		return "", "", false, errors.New("address: want http(s)://HOST[:PORT][/PATH] and nothing else")
	}
	if host, root, plain, err = endpoint(address); err != nil {
		return "", "", false, err
	}
	if root != "" {
		root = path.Clean(root)
	}
	switch {
	case override && root == "" && !strings.HasSuffix(strings.TrimRight(address, "/"), "/v2"):
		return "", "", false, errors.New("override_path: the address has no path")
	case !override && root != "" && !strings.HasSuffix(root, "/v2"):
		root += "/v2"
	}
	if root == "/" || root == "/v2" {
		root = ""
	}
	return host, root, plain, nil
}

// capable parses the capabilities of a host; none means all.
func capable(list []string) (pullOnly, resolveOnly bool, err error) {
	if len(list) == 0 {
		return false, false, nil
	}
	pulls, resolves := false, false
	for _, c := range list {
		switch strings.ToLower(c) {
		case "pull":
			pulls = true
		case "resolve":
			resolves = true
		case "push", "referrers": // nothing is pushed; referrers are listed where tags are resolved
		default:
			return false, false, fmt.Errorf("capabilities: unknown %q; want pull, resolve, push or referrers", c)
		}
	}
	return !resolves, !pulls, nil
}

// headerOf parses the header of a host.
func headerOf(in map[string]any) (http.Header, error) {
	var out http.Header
	for name, v := range in {
		values, ok := texts(v)
		if !ok {
			return nil, fmt.Errorf("header %q: want a string or a list of strings", name)
		}
		if name == "" || strings.ContainsFunc(name, notInName) {
			return nil, fmt.Errorf("header %q: not the name of a header", name)
		}
		for _, text := range values {
			if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
				return nil, fmt.Errorf("header %q: control character in its value", name)
			}
		}
		if out == nil {
			out = http.Header{}
		}
		key := http.CanonicalHeaderKey(name)
		if _, twice := out[key]; twice {
			return nil, fmt.Errorf("header %q: listed twice", key)
		}
		out[key] = values
	}
	return out, nil
}

// notInName reports whether a rune is not allowed in a header's name (RFC 9110 section
// 5.1).
func notInName(r rune) bool {
	return r <= ' ' || r >= 0x7f || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r)
}

// texts returns a string or a list of strings as a list.
func texts(v any) ([]string, bool) {
	switch v := v.(type) {
	case nil:
		return nil, true
	case string:
		return []string{v}, true
	case []any:
		var out []string
		for _, e := range v {
			s, ok := e.(string)
			if !ok {
				return nil, false
			}
			out = append(out, s)
		}
		return out, true
	}
	return nil, false
}

// tablePlace is the heading of a host.
type tablePlace struct {
	key  string
	line int
}

// hostOrder returns the headings [host."ADDRESS"] of a valid file in their order, each
// address once. The decoder does not keep it.
func hostOrder(raw []byte) []tablePlace {
	var p unstable.Parser
	p.Reset(raw)
	var out []tablePlace
	seen := map[string]bool{}
	for p.NextExpression() {
		e := p.Expression()
		if e.Kind != unstable.Table {
			continue
		}
		var parts []string
		var line int
		for it := e.Key(); it.Next(); {
			parts = append(parts, string(it.Node().Data))
			line = p.Shape(it.Node().Raw).Start.Line
		}
		if len(parts) < 2 || parts[0] != "host" || seen[parts[1]] {
			continue
		}
		seen[parts[1]] = true
		out = append(out, tablePlace{key: parts[1], line: line})
	}
	return out
}

// tomlError returns err with the positions but without what it quotes, which may be the
// value of a header. It keeps the name of an unknown field, which is probably misspelt.
func tomlError(err error) error {
	var unknown *toml.StrictMissingError
	if errors.As(err, &unknown) && len(unknown.Errors) > 0 {
		var lines []string
		for _, e := range unknown.Errors {
			row, _ := e.Position()
			name := ""
			if key := e.Key(); len(key) > 0 {
				name = key[len(key)-1]
			}
			lines = append(lines, fmt.Sprintf("line %d: field %q not found", row, strip(name)))
		}
		return errors.New(strings.Join(lines, "; "))
	}
	var at *toml.DecodeError
	if errors.As(err, &at) {
		row, column := at.Position()
		return fmt.Errorf("line %d, column %d: not TOML, or a value of the wrong type", row, column)
	}
	return errors.New("not TOML, or a value of the wrong type")
}
