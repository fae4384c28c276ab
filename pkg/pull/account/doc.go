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
// Sources are asked in this order, and every account that covers the repository
// is offered once, at its first place:
//
//  1. logins given on the command line, then the file given there
//  2. pull secrets of the scanned manifests: those the image's pods name (the
//     pod first, then its ServiceAccount, as the caller lists them), then those
//     that no pod names
//  3. the environment variable DOCKER_AUTH_CONFIG (its JSON is read leniently)
//  4. the file named by REGISTRY_AUTH_FILE
//  5. $DOCKER_CONFIG/config.json, or ~/.docker/config.json where it is not set
//  6. $XDG_RUNTIME_DIR/containers/auth.json, /run/containers/UID/auth.json,
//     $XDG_CONFIG_HOME (or ~/.config)/containers/auth.json
//  7. ~/.dockercfg
//
// No account at all means anonymous. A source that is there but empty hides none
// of the later ones.
//
// # Matching
//
// In files and in DOCKER_AUTH_CONFIG a key is a registry, optionally followed by
// a path: it covers the repositories below that path, whole path elements only,
// and the longest path comes first. HOST/teama says nothing about HOST/teamb.
// Within one file credHelpers come before credsStore, and that before auths.
// A scheme, and an API root such as /v1/, make no difference. See
// containers-auth.json(5) and docker/cli cli/config/configfile.
//
// In secrets the kubelet's rules hold (kubernetes pkg/credentialprovider,
// keyring.go): ports are equal, host labels are equally many and each is a glob,
// a path is a plain prefix, more specific keys come first, all matches are kept.
//
// docker.io, index.docker.io, registry-1.docker.io and registry.registry.docker.com
// are one registry. Apart from that a credential is only offered for the host it
// was written for: a mirror is asked about under its own name.
//
// # Damage
//
// A place named by the user (a flag or an environment variable) that is missing
// or cannot be read is an error of [Load], as is every file whose JSON or
// structure is broken; two exceptions follow docker: DOCKER_CONFIG may name a
// directory without a file, and a default file may be missing or unreadable. A
// single damaged entry, a damaged secret that a pod names, and a credential
// helper that fails are errors of [Store.For], and only where no better account
// was found. Errors carry the source's name and a position, never its content.
//
// # Limits
//
// A file, a secret's payload and DOCKER_AUTH_CONFIG may have up to 4 MiB each;
// a credential helper's answer 1 MiB.
//
// # Values stay inside
//
// No type of this package shows a password or token through fmt (any verb),
// encoding/json or log/slog, not even as a private field of somebody else's
// struct. [Auth.Authorization] is the only way to them.
package account
