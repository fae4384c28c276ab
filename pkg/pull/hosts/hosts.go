// Package hosts reads the registry configuration of a cluster's nodes, so that a bundle is
// made through the same mirrors, with the same authorities and accounts:
//
//	config, err := hosts.ParseRegistries(raw, os.ReadFile)
//	...
//	c, err := pull.New(pull.Options{Mirrors: config.Mirrors, Hosts: config.Hosts, ...})
//
// It supports registries.yaml of k3s and RKE2
// (https://docs.k3s.io/installation/private-registry) and the directories with hosts.toml
// of containerd (https://github.com/containerd/containerd/blob/main/docs/hosts.md). It
// opens no files: the caller passes functions that read configurations and certificates.
package hosts

import (
	"stowage/pkg/pull"
	"stowage/pkg/pull/account"
)

// maxFile is the largest configuration, key or certificate accepted, in bytes.
const maxFile = 1 << 20

// Config is a configuration as [pull.Options] and [account.Options] take it.
type Config struct {
	// Mirrors by registry host; "*" is for all registries that have no entry.
	Mirrors map[string][]pull.Mirror
	// Hosts by host as dialled: authorities, client certificates, plain HTTP, headers.
	Hosts map[string]pull.Host
	// Secrets holds the accounts, as one secret that applies to every image; nil when there
	// are none.
	Secrets []account.Secret
}
