package bundle

import (
	"io"
	"os"
	"slices"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stowage/pkg/archive"
	"stowage/pkg/pull"
)

// An Image is a reference to bundle.
type Image struct {
	Name     string   // "busybox", "quay.io/a/b:v1@sha256:…"; read as containerd reads it
	Required bool     // the run fails when it is not available; otherwise it is skipped then
	Volume   bool     // a pod needs it as an image volume
	Secrets  []string // pull secrets that apply to it, "namespace/name", best first

	Windows         bool // only Windows pods use it: skipped without a Windows platform
	ClusterInternal bool // its registry exists only inside a cluster: skipped

	// Locked reports that the digest of Name is that of its tag in a lock file: the bundle
	// has the image under its tag, as if Name had no digest.
	Locked bool

	// Early reports that a node should have the image before others.
	Early bool
}

// A Request says what to bundle and where to.
type Request struct {
	Images    []Image
	Skipped   []archive.Skipped  // images known to be not available
	Platforms []ocispec.Platform // in order of preference
	All       bool               // every platform of each image, instead of Platforms
	Referrers bool               // also signatures, attestations and SBOMs

	// Rank orders the images of the bundle, and so the load: those of a lower rank come first,
	// those of equal rank by name. It gets images as [Request.Select] returns them. nil ranks
	// all of them equal.
	Rank func(Image) int

	// Flat lists the manifests of an index in index.json directly and does not store the
	// index; see [archive.PlanOptions].
	Flat bool

	// Since are paths of bundles that the receiver has loaded, Have digests of blobs that it
	// holds: the new bundle omits these layers.
	Since []string
	Have  []digest.Digest

	// Output is the path of the bundle; a name that ends in ".gz" or ".zst" makes a
	// compressed one. A bundle at this path is reused and replaced. Only a dry run needs
	// neither Output nor Writer.
	Output string

	// Writer receives the bundle instead of Output. A run that fails has written a tar
	// without an end, which readers refuse.
	Writer io.Writer
}

// check returns an [*OutputError] for an output that is one of Since.
func (r *Request) check() error {
	if r.Output == "" || r.Writer != nil {
		return nil
	}
	out, err := os.Stat(r.Output)
	if err != nil {
		return nil // no file yet
	}
	for _, path := range r.Since {
		if old, err := os.Stat(path); err == nil && os.SameFile(old, out) {
			return &OutputError{Path: path}
		}
	}
	return nil
}

// Select returns the images that [Make] will request, with their full names, each once and in
// order of first appearance, and those that it will skip because no connected host can pull
// them. An image that is listed twice is required when either entry is, and is
// skipped only when both are. The error is a [*NameError].
func (r *Request) Select() (selected []Image, skipped []archive.Skipped, err error) {
	all, err := merge(r.Images)
	if err != nil {
		return nil, nil, err
	}
	windows := r.All || slices.ContainsFunc(r.Platforms, func(p ocispec.Platform) bool { return p.OS == "windows" })
	for _, img := range all {
		switch {
		case img.ClusterInternal:
			skipped = append(skipped, archive.Skipped{Name: img.Name, Reason: "its registry exists only inside a cluster"})
		case img.Windows && !windows:
			skipped = append(skipped, archive.Skipped{Name: img.Name, Reason: "only Windows pods use it"})
		default:
			selected = append(selected, img)
		}
	}
	return selected, skipped, nil
}

// merge returns images with their full names, each once.
func merge(images []Image) ([]Image, error) {
	var out []Image
	at := map[string]int{}
	for _, img := range images {
		named, err := reference.ParseNormalizedNamed(img.Name)
		if err != nil {
			return nil, &NameError{Name: img.Name, Err: err}
		}
		img.Name = reference.TagNameOnly(named).String()
		i, seen := at[img.Name]
		if !seen {
			at[img.Name] = len(out)
			out = append(out, img)
			continue
		}
		old := &out[i]
		old.Required = old.Required || img.Required
		old.Volume = old.Volume || img.Volume
		old.Windows = old.Windows && img.Windows
		old.ClusterInternal = old.ClusterInternal && img.ClusterInternal
		old.Locked = old.Locked && img.Locked
		old.Early = old.Early || img.Early
		for _, s := range img.Secrets {
			if !slices.Contains(old.Secrets, s) {
				old.Secrets = append(slices.Clip(old.Secrets), s)
			}
		}
	}
	return out, nil
}

// Options control how a bundle is made. The zero value works.
type Options struct {
	// Pull says how registries are asked. Make sets Platforms, All, Referrers, Metadata,
	// Before and OnBytes.
	Pull pull.Options

	// Reuse are paths of bundles whose content is copied instead of fetched.
	Reuse []string

	// Strict also fails for an image that is not required.
	Strict bool

	// KeepGoing writes the bundle without the required images that are not available. Make
	// then returns its result together with an [*IncompleteError].
	KeepGoing bool

	// DryRun ends the run before its first counted request. Nothing is written.
	DryRun bool

	// MaxPulls is how many counted requests the run may need, estimated before the first of
	// them; beyond it Make fails with a [*MaxPullsError]. nil means no limit.
	MaxPulls *int

	// Events receives each event of the run, from several goroutines.
	Events func(Event)
	// Parts asks for the Parts of [EventStart]. They cost about a kilobyte an image.
	Parts bool
}

// A Result describes the bundle that a [Make] has written.
type Result struct {
	Images    []archive.Image   // in the order of the bundle
	Digest    digest.Digest     // identity of the bundle
	Size      int64             // of the tarball, bytes
	Requested int               // images of the request, each counted once
	Skipped   []archive.Skipped // of these, those that the bundle does not hold, or not for all platforms
	Missing   int               // of Skipped, those that the bundle does not hold
	UpToDate  bool              // the output was the same bundle already and was not touched
	Stats     pull.Stats        // requests made
	Quotas    []pull.Quota      // as the registries stated them last; see [pull.Client.Quotas]
}
