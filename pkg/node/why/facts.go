package why

import (
	"path"
	"slices"
	"strings"
	"time"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"

	"stowage/internal/fsutil"
	"stowage/internal/imagename"
	"stowage/pkg/archive"
)

// facts are what is known of the node. Rules only read them.
type facts struct {
	platform  string             // of the node, as in linux/arm64
	address   string             // containerd's socket
	hostsDir  string             // config_path, where containerd looks for hosts.toml; may be empty
	present   map[string]string  // by name as in a pod: the image ID in CRI
	stored    []storedImage      // images of containerd that may be one that a pod waits for
	sandbox   sandbox            // the sandbox image
	sandboxes map[string]bool    // "namespace/name" of pods that have one
	disks     []disk             // of containerd and the kubelet
	offers    map[string][]offer // bundles that have it, by name as in a pod
	answers   map[string]answer  // of registries, by name as in a pod
	verdicts  map[string]verdict // of the pull records, by name as in a pod
	// service is the kubelet's of systemd, and containerd that of containerd.
	service, containerd string
	pulling             map[string]bool // names that a pull is recorded for
}

// sandbox is the image of pod sandboxes. An empty name is not known.
type sandbox struct {
	name    string
	present bool
}

// storedImage is an image record of containerd.
type storedImage struct {
	namespace, name string
	target          digest.Digest
	contents
}

// contents are what an image holds.
type contents struct {
	platforms []string // of its manifests that are there; nil when they are not known
	matches   bool     // one of them is for this node
	lacks     int      // blobs of that manifest that are not there
	artifact  bool
}

// disk is a file system of the node.
type disk struct {
	path string
	fsutil.Usage
	threshold int // usage in percent above which the kubelet frees space
}

// offer is a bundle with an image that a pod waits for.
type offer struct {
	file string
	contents
}

// answer is what a registry answered to a HEAD request.
type answer struct {
	err   string // of containerd's resolver; empty: the registry has the image
	quota quota
}

// quota is a limit of pulls, as the headers of an answer state it.
type quota struct {
	known            bool
	limit, remaining int
	window           time.Duration
	retry            time.Duration // Retry-After; 0 when not stated
}

// verdict is the rule of the kubelet's pull records for an image that is there.
type verdict struct {
	pull    bool
	text    string
	secrets []string // "namespace/name" of secrets that it was pulled with
	policy  bool     // no record can help: the policy verifies every image
	unread  bool     // a record helps as soon as the kubelet reads it, at its next start
}

// policyOf returns the pull policy of a container, by default the one that the API server
// sets.
func policyOf(image, policy string) string {
	if policy != "" {
		return policy
	}
	if names, err := archive.Names(image); err == nil && len(names) == 1 && strings.HasSuffix(names[0], ":latest") {
		return "Always"
	}
	return "IfNotPresent"
}

// sandboxWaits replaces the waits of each pod that has no sandbox by one for the sandbox
// image, if that is not on the node.
func (f *facts) sandboxWaits(waits []wait) []wait {
	if f.sandbox.name == "" || f.sandbox.present {
		return waits
	}
	var out []wait
	seen := map[string]bool{}
	for _, w := range waits {
		if w.sure || w.Reason == evicted || f.hasSandbox(w) {
			out = append(out, w)
			continue
		}
		if key := w.Namespace + "/" + w.Pod; !seen[key] {
			seen[key] = true
			w.Container, w.Policy, w.image, w.volume, w.forSandbox = "sandbox", "", f.sandbox.name, false, true
			out = append(out, w)
		}
	}
	return out
}

// hasSandbox reports whether CRI has a sandbox of the pod.
func (f *facts) hasSandbox(w wait) bool {
	for name := range f.sandboxes {
		if ownName(name, w) {
			return true
		}
	}
	return false
}

// find returns the first stored image for which ok holds.
func (f *facts) find(ok func(storedImage) bool) (storedImage, bool) {
	if i := slices.IndexFunc(f.stored, ok); i >= 0 {
		return f.stored[i], true
	}
	return storedImage{}, false
}

// relevant reports whether a record of containerd may be an image that a pod waits for.
func relevant(names []string, stored storedImage) bool {
	return slices.Contains(names, stored.name) || isOther(names, stored)
}

// isOther reports whether a record is the same image under another name: the same repository
// and tag of another registry, a name that is not normalised, or the digest in question.
func isOther(names []string, stored storedImage) bool {
	if slices.Contains(names, stored.name) {
		return false
	}
	have, err := reference.ParseDockerRef(stored.name)
	if err != nil {
		return false
	}
	for _, name := range names {
		want, err := reference.ParseDockerRef(name)
		if err != nil {
			continue
		}
		if digested, ok := want.(reference.Digested); ok {
			if digested.Digest() == stored.target {
				return true
			}
			continue
		}
		if tagOf(want) == tagOf(have) && samePath(want, have) {
			return true
		}
	}
	return false
}

func tagOf(n reference.Named) string {
	if t, ok := n.(reference.Tagged); ok {
		return t.Tag()
	}
	return ""
}

// samePath reports whether two names have the same repository: a registry may have it below
// a prefix of its own, and Docker Hub has official images below "library".
func samePath(want, have reference.Named) bool {
	_, w := imagename.Split(want)
	_, h := imagename.Split(have)
	w, h = strings.TrimPrefix(w, "library/"), strings.TrimPrefix(h, "library/")
	return w == h || strings.HasSuffix(h, "/"+w) && strings.Contains(w, "/")
}

// registryOf returns the host of a normalised name.
func registryOf(name string) string {
	named, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return "the registry"
	}
	registry, _ := imagename.Split(named)
	return registry
}

// fileFor returns the name of a bundle of one image.
func fileFor(name string) string {
	named, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return "image.tar"
	}
	_, repository := imagename.Split(named)
	return path.Base(repository) + ".tar"
}
