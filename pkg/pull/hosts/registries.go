package hosts

import (
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"stowage/pkg/pull"
	"stowage/pkg/pull/account"
)

// registries is registries.yaml.
type registries struct {
	Mirrors map[string]mirror `yaml:"mirrors"`
	Configs map[string]config `yaml:"configs"`
}

type mirror struct {
	Endpoints []string          `yaml:"endpoint"`
	Rewrites  map[string]string `yaml:"rewrite"`
}

type config struct {
	Auth *auth  `yaml:"auth"`
	TLS  *files `yaml:"tls"`
}

type auth struct {
	Username      string `yaml:"username"`
	Password      string `yaml:"password"`
	Auth          string `yaml:"auth"`
	IdentityToken string `yaml:"identity_token"`
}

type files struct {
	CA         string `yaml:"ca_file"`
	Cert       string `yaml:"cert_file"`
	Key        string `yaml:"key_file"`
	SkipVerify bool   `yaml:"insecure_skip_verify"`
}

// secretName is the name of the secret with the accounts of a registries.yaml, as in
// "secret k3s/registries.yaml".
const secretName = "registries.yaml"

// ParseRegistries parses registries.yaml of k3s and RKE2. readFile reads the certificates
// and keys that it names. Unknown fields are errors: a misspelt one would be an account or
// an authority that is silently missing. An error never shows a value of an account.
//
// As in k3s, the API of an endpoint is at its path, or at "/v2" without one; rewrites are
// for mirrors only. Of several rewrites that match a repository the first in the order of
// their texts applies here, while k3s takes any.
func ParseRegistries(raw []byte, readFile func(path string) ([]byte, error)) (*Config, error) {
	if len(raw) > maxFile {
		return nil, fmt.Errorf("registries.yaml: larger than %d bytes", maxFile)
	}
	var r registries
	dec := yaml.NewDecoder(bytes.NewReader(raw))
	dec.KnownFields(true)
	if err := dec.Decode(&r); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("registries.yaml: %w", yamlError(err))
	}
	out := &Config{Mirrors: map[string][]pull.Mirror{}, Hosts: map[string]pull.Host{}}
	for _, name := range slices.Sorted(maps.Keys(r.Mirrors)) {
		if err := out.addMirrors(name, r.Mirrors[name]); err != nil {
			return nil, fmt.Errorf("registries.yaml: mirrors of %s: %w", name, err)
		}
	}
	accounts := map[string]map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(r.Configs)) {
		c := r.Configs[name]
		host, err := hostOf(name)
		if err != nil {
			return nil, fmt.Errorf("registries.yaml: configs: %w", err)
		}
		if err := out.addTLS(host, c.TLS, readFile); err != nil {
			return nil, fmt.Errorf("registries.yaml: configs of %s: tls: %w", name, err)
		}
		if c.Auth == nil {
			continue
		}
		entry, err := c.Auth.entry()
		if err != nil {
			return nil, fmt.Errorf("registries.yaml: configs of %s: auth: %w", name, err)
		}
		if entry != nil {
			accounts[host] = entry
		}
	}
	return out, out.addAccounts(accounts)
}

// yamlError returns err with the lines but without the values that it quotes, which may be
// passwords.
func yamlError(err error) error {
	var typed *yaml.TypeError
	if !errors.As(err, &typed) {
		return err
	}
	var lines []string
	for _, e := range typed.Errors {
		if before, _, ok := strings.Cut(e, ": cannot unmarshal"); ok {
			e = before + ": a value of another kind is wanted here"
		}
		lines = append(lines, e)
	}
	return errors.New(strings.Join(lines, "; "))
}

// addMirrors adds the endpoints of one registry.
func (c *Config) addMirrors(registry string, m mirror) error {
	var rewrites []pull.Rewrite
	for _, pattern := range slices.Sorted(maps.Keys(m.Rewrites)) {
		match, err := regexp.Compile(pattern)
		if err != nil {
			return fmt.Errorf("rewrite: %w", err)
		}
		rewrites = append(rewrites, pull.Rewrite{Match: match, To: m.Rewrites[pattern]})
	}
	if registry == "index.docker.io" || registry == "registry-1.docker.io" {
		registry = "docker.io"
	}
	for _, e := range m.Endpoints {
		host, root, plain, err := endpoint(e)
		if err != nil {
			return err
		}
		if host == registry || host == "registry-1.docker.io" && registry == "docker.io" {
			continue // the origin, which is asked last anyway
		}
		if plain {
			h := c.Hosts[host]
			h.Plain = true
			c.Hosts[host] = h
		}
		next := pull.Mirror{Host: host, Root: root, Rewrites: rewrites}
		same := func(o pull.Mirror) bool { return o.Host == host && o.Root == root }
		if !slices.ContainsFunc(c.Mirrors[registry], same) {
			c.Mirrors[registry] = append(c.Mirrors[registry], next)
		}
	}
	return nil
}

// endpoint parses "https://mirror.example:5000/path".
func endpoint(s string) (host, root string, plain bool, err error) {
	address := s
	if !strings.Contains(address, "://") {
		address = "https://" + address
	}
	u, err := url.Parse(address)
	switch {
	case err != nil || u.Host == "" || u.Hostname() == "":
		return "", "", false, fmt.Errorf("endpoint %q: no address", strip(s))
	case u.User != nil:
		return "", "", false, fmt.Errorf("endpoint of %s: accounts belong in configs", u.Host)
	case u.Scheme != "https" && u.Scheme != "http" || u.RawQuery != "" || u.Fragment != "":
		return "", "", false, fmt.Errorf("endpoint %q: want http(s)://HOST[/PATH]", s)
	}
	host = u.Host
	if host == "docker.io" || host == "index.docker.io" {
		host = "registry-1.docker.io"
	}
	root = strings.TrimRight(u.Path, "/")
	if root == "/v2" {
		root = ""
	}
	return host, root, u.Scheme == "http", nil
}

// strip removes what may be a password from an address that cannot be parsed.
func strip(s string) string {
	if i := strings.LastIndex(s, "@"); i >= 0 {
		return s[i+1:]
	}
	return s
}

// hostOf parses the key of a config, which is a host or its address.
func hostOf(name string) (string, error) {
	if name == "*" {
		return "", errors.New(`"*": settings are for named hosts only here`)
	}
	host, _, _, err := endpoint(name)
	return host, err
}

// addTLS adds the authorities and certificates of a host.
func (c *Config) addTLS(host string, f *files, readFile func(string) ([]byte, error)) error {
	if f == nil {
		return nil
	}
	h := c.Hosts[host]
	h.SkipVerify = f.SkipVerify
	read := func(path string) ([]byte, error) {
		if path == "" {
			return nil, nil
		}
		raw, err := readFile(path)
		if err == nil && len(raw) > maxFile {
			err = fmt.Errorf("%s: larger than %d bytes", path, maxFile)
		}
		return raw, err
	}
	ca, err := read(f.CA)
	if err != nil {
		return err
	}
	h.CA = ca
	if (f.Cert == "") != (f.Key == "") {
		return errors.New("cert_file and key_file belong together")
	}
	if f.Cert != "" {
		cert, err := read(f.Cert)
		if err != nil {
			return err
		}
		key, err := read(f.Key)
		if err != nil {
			return err
		}
		pair, err := tls.X509KeyPair(cert, key)
		if err != nil {
			return fmt.Errorf("%s: %w", f.Cert, err)
		}
		h.Certificates = []tls.Certificate{pair}
	}
	c.Hosts[host] = h
	return nil
}

// entry returns the account as in a docker configuration, nil for none.
func (a *auth) entry() (map[string]string, error) {
	switch {
	case a.IdentityToken != "":
		return map[string]string{"identitytoken": a.IdentityToken}, nil
	case a.Username != "" && a.Password != "":
		pair := base64.StdEncoding.EncodeToString([]byte(a.Username + ":" + a.Password))
		return map[string]string{"auth": pair}, nil
	case a.Username != "" || a.Password != "":
		return nil, errors.New("username and password belong together")
	case a.Auth != "":
		pair, err := base64.StdEncoding.DecodeString(strings.TrimSpace(a.Auth))
		if err != nil || !bytes.Contains(pair, []byte(":")) {
			return nil, errors.New("auth is not base64 of NAME:PASSWORD")
		}
		return map[string]string{"auth": base64.StdEncoding.EncodeToString(pair)}, nil
	}
	return nil, nil
}

func (c *Config) addAccounts(accounts map[string]map[string]string) error {
	if len(accounts) == 0 {
		return nil
	}
	payload, err := json.Marshal(map[string]any{"auths": accounts})
	if err != nil {
		return fmt.Errorf("registries.yaml: accounts: %w", err)
	}
	c.Secrets = []account.Secret{{
		Namespace: "k3s", Name: secretName, Type: account.DockerConfigJSON, Payload: account.Redact(string(payload)),
	}}
	return nil
}
