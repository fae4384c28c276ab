package account

import (
	"strings"

	"stowage/internal/redact"
)

// Options says where to look beyond the usual places. The zero value means the
// usual places of this process.
type Options struct {
	// Environment is where variables, files and helpers come from; nil is
	// [System] with the helpers' messages dropped.
	Environment *Environment
	// Logins are accounts given on the command line (--creds).
	Logins []Login
	// AuthFile is a file given on the command line (--authfile), in docker's or
	// podman's form; "" is none.
	AuthFile string
	// Secrets are the pull secrets of the scanned manifests, in their order.
	Secrets []Secret
}

// Login is one --creds HOST=USER with the password that was asked for.
type Login struct {
	Registry string // HOST, or HOST/PATH to confine it to the repositories below
	Username string
	Password redact.Value
}

// Redact returns s as a value that does not print, for [Login] and [Secret].
func Redact(s string) redact.Value { return redact.New(s) }

// The types of secrets that hold registry accounts.
const (
	DockerConfigJSON = "kubernetes.io/dockerconfigjson" // {"auths": {...}}
	DockerCfg        = "kubernetes.io/dockercfg"        // the inside of auths alone
)

// Secret is a pull secret found in a manifest.
type Secret struct {
	Namespace, Name string // no namespace means "default"
	// Type is [DockerConfigJSON] or [DockerCfg].
	Type string
	// Payload is the JSON of the key .dockerconfigjson or .dockercfg, decoded
	// from base64 where the manifest has it so.
	Payload redact.Value
	// Named says that some pod of the manifests names the secret, itself or
	// through its ServiceAccount. Such a secret is offered to those images only
	// for which it is passed to [Store.For]; the others are offered to all.
	Named bool
}

// label is the secret's name as a source.
func (s Secret) label() string {
	if s.Namespace == "" {
		return "secret " + printable(s.Name)
	}
	return "secret " + printable(s.Namespace+"/"+s.Name)
}

// secretID brings the ways to name a secret, "NAMESPACE/NAME", "/NAME" and
// "NAME", to one.
func secretID(name string) string {
	namespace, name, found := strings.Cut(name, "/")
	if !found {
		namespace, name = "", namespace
	}
	if namespace == "" {
		namespace = "default"
	}
	return namespace + "/" + name
}
