// Package account answers one question: which accounts may be used for a
// repository, best first, and where does each of them come from?
//
//	store, err := account.Load(account.Options{AuthFile: "auth.json"})
//	...
//	accounts, err := store.For(ctx, "quay.io/team/app", []string{"prod/regcred"})
//	for _, a := range accounts {
//		fmt.Println("trying", a) // names the source, never a value
//		// a.Auth is an authn.Authenticator
//	}
//
// # Order
//
// Sources are searched in this order, and every account that covers the repository
// is returned once, at its first position:
//
//  1. logins given on the command line, then the file given there
//  2. pull secrets of the scanned manifests that the image's pods name (the pod
//     first, then its ServiceAccount, as the caller lists them)
//  3. the accounts of a node's registry configuration
//  4. the environment variable DOCKER_AUTH_CONFIG (its JSON is read leniently)
//  5. the file named by REGISTRY_AUTH_FILE
//  6. $DOCKER_CONFIG/config.json, or ~/.docker/config.json where it is not set
//  7. $XDG_RUNTIME_DIR/containers/auth.json, /run/containers/UID/auth.json,
//     $XDG_CONFIG_HOME (or ~/.config)/containers/auth.json
//  8. ~/.dockercfg
//  9. pull secrets of the scanned manifests that no pod names: the manifests of
//     others may contain some, so they never replace an account of the operator
//
// No account at all means anonymous. A source that exists but is empty does not
// hide later ones.
//
// # Matching
//
// In files and in DOCKER_AUTH_CONFIG a key is a registry, optionally followed by
// a path: it covers the repositories below that path, whole path elements only,
// and the longest path comes first. HOST/teama does not cover HOST/teamb.
// Within one file credHelpers come before credsStore, and that before auths.
// A scheme, and an API root such as /v1/, make no difference. See
// containers-auth.json(5) and docker/cli cli/config/configfile.
//
// In secrets the kubelet's rules apply (kubernetes pkg/credentialprovider,
// keyring.go): ports must be equal, the number of host labels too, each label is a
// glob, a path is a plain prefix, more specific keys come first, and all matches
// are returned.
//
// docker.io, index.docker.io, registry-1.docker.io and registry.hub.docker.com
// are one registry. Apart from that a credential is returned only for the host it
// was written for: the accounts of a mirror are found by the mirror's own name.
//
// # Damage
//
// A file named by the user (by a flag or an environment variable) that is missing
// or cannot be read is an error of [Load], as is every file whose JSON or
// structure is damaged; two exceptions follow docker: DOCKER_CONFIG may name a
// directory without a file, and a default file may be missing or unreadable. A
// single damaged entry, a damaged secret that a pod names, and a credential
// helper that fails are errors of [Store.For], and only when no better account
// was found. Errors contain the source's name and a position, never its content.
//
// # Limits
//
// A file, a secret's payload and DOCKER_AUTH_CONFIG may have up to 4 MiB each;
// a credential helper's answer 1 MiB.
//
// # Secrecy
//
// No type of this package shows a password or token through fmt (any verb),
// encoding/json or log/slog, not even as an unexported field of another package's
// struct. Only [Auth.Authorization] returns them.
package account
