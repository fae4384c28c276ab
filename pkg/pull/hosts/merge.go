package hosts

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"maps"
	"net/http"
	"slices"

	"stowage/pkg/pull"
)

// Merge adds another configuration after c: its mirrors and accounts are tried later. A
// registry that only one of the two names also gets what the other has for all registries.
// Authorities, client certificates and headers of a host add up, and the shorter of two
// dial timeouts applies. Headers of the same name, and whether certificates are verified,
// must be the same in both; otherwise Merge returns an error and leaves c unchanged. It
// never changes other.
func (c *Config) Merge(other *Config) error {
	mirrors := map[string][]pull.Mirror{}
	for _, from := range []*Config{c, other} {
		for registry := range from.Mirrors {
			mirrors[registry] = slices.Concat([]pull.Mirror{}, c.mirrorsOf(registry), other.mirrorsOf(registry))
		}
	}
	hosts := &Config{Hosts: maps.Clone(c.Hosts)}
	for _, name := range slices.Sorted(maps.Keys(other.Hosts)) {
		if err := hosts.addHost(name, other.Hosts[name]); err != nil {
			return err
		}
	}
	c.Mirrors, c.Hosts = mirrors, hosts.Hosts
	c.Secrets = slices.Concat(c.Secrets, other.Secrets)
	return nil
}

func (c *Config) mirrorsOf(registry string) []pull.Mirror {
	if list, ok := c.Mirrors[registry]; ok {
		return list
	}
	return c.Mirrors[everyRegistry]
}

// addHost adds the settings of a host that may have some already.
func (c *Config) addHost(name string, h pull.Host) error {
	if c.Hosts == nil {
		c.Hosts = map[string]pull.Host{}
	}
	old, ok := c.Hosts[name]
	if !ok {
		c.Hosts[name] = h
		return nil
	}
	if old.SkipVerify != h.SkipVerify {
		return fmt.Errorf("host %s: whether its certificate is verified must be the same wherever it is configured", name)
	}
	header := http.Header{}
	maps.Copy(header, old.Header)
	for field, values := range h.Header {
		if had, twice := header[field]; twice && !slices.Equal(had, values) {
			return fmt.Errorf("host %s: header %q must be the same wherever it is configured", name, field)
		}
		header[field] = values
	}
	if len(header) > 0 {
		old.Header = header
	}
	if !bytes.Contains(old.CA, h.CA) {
		old.CA = slices.Concat(old.CA, []byte("\n"), h.CA)
	}
	for _, cert := range h.Certificates {
		same := func(o tls.Certificate) bool { return slices.EqualFunc(o.Certificate, cert.Certificate, bytes.Equal) }
		if !slices.ContainsFunc(old.Certificates, same) {
			old.Certificates = append(slices.Clip(old.Certificates), cert)
		}
	}
	old.Plain = old.Plain || h.Plain
	if old.DialTimeout == 0 || h.DialTimeout > 0 && h.DialTimeout < old.DialTimeout {
		old.DialTimeout = h.DialTimeout
	}
	c.Hosts[name] = old
	return nil
}
