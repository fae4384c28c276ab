// Package imagename splits image names into registry and repository, in one way for both
// programs.
package imagename

import (
	"strings"

	"github.com/distribution/reference"
)

// Split returns the registry and the repository of a normalised name, such as "docker.io"
// and "library/busybox".
//
// Package reference knows no registry whose host has an underscore
// ("my_registry.test/app"): for it, the host is the first element of the repository. Such
// hosts are in use, and containerd pulls from what precedes the first slash
// (pkg/reference, Spec.Hostname).
func Split(named reference.Named) (registry, repository string) {
	if registry = reference.Domain(named); registry != "" {
		return registry, reference.Path(named)
	}
	registry, repository, _ = strings.Cut(named.Name(), "/")
	return registry, repository
}
