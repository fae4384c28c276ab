package account

import (
	"strings"

	"stowage/internal/redact"
)

// Options are the sources beside the default ones. The zero value means the default
// sources of this process.
type Options struct {
	// Environment provides variables, files and helpers; nil is [System] without the
	// messages of helpers.
	Environment *Environment
	// Logins are accounts given on the command line (--creds).
	Logins []Login
	// AuthFile is a file given on the command line (--authfile), in docker's or
	// podman's form; "" is none.
	AuthFile string
	// Secrets are the pull secrets of the scanned manifests, in their order.
	Secrets []Secret
	// Nodes are the accounts of a node's registry configuration (--registries), matched as
	// secrets are. They apply to all images.
	Nodes []Secret
}

// Login is one --creds HOST=USER with its password.
type Login struct {
	Registry string // HOST, or HOST/PATH for the repositories below only
	Username string
	Password redact.Value
}

// Redact returns s as a value that does not print, for [Login] and [Secret].
func Redact(s string) redact.Value { return redact.New(s) }

// The types of secrets that hold registry accounts.
const (
	DockerConfigJSON = "kubernetes.io/dockerconfigjson" // {"auths": {...}}
	DockerCfg        = "kubernetes.io/dockercfg"        // the value of auths alone
)

// Secret is a pull secret found in a manifest.
type Secret struct {
	Namespace, Name string // no namespace means "default"
	// Type is [DockerConfigJSON] or [DockerCfg].
	Type string
	// Payload is the JSON of the key .dockerconfigjson or .dockercfg, decoded
	// from base64 if the manifest has it encoded.
	Payload redact.Value
	// Named says that a pod of the manifests names the secret, itself or through its
	// ServiceAccount. Such a secret is used only for images for which it is passed to
	// [Store.For]; the others are used for all images, after every other source.
	Named bool
}

// label returns the secret's name as a source.
func (s Secret) label() string {
	if s.Namespace == "" {
		return "secret " + printable(s.Name)
	}
	return "secret " + printable(s.Namespace+"/"+s.Name)
}

// secretID normalises the ways to name a secret: "NAMESPACE/NAME", "/NAME" and
// "NAME".
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
