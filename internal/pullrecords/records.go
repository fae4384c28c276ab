package pullrecords

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"maps"
	"path/filepath"
	"slices"

	"github.com/distribution/reference"
)

// Secret identifies an image pull secret and the credentials in it.
type Secret struct {
	UID       string
	Namespace string
	Name      string
	Hash      string // of the credentials, as the kubelet computes it; "" matches none
}

// ServiceAccount identifies a service account whose token pulled an image.
type ServiceAccount struct {
	UID       string
	Namespace string
	Name      string
}

// Pod holds the credentials of a pod for one image. The zero value is a pod without any.
type Pod struct {
	Secrets         []Secret
	ServiceAccounts []ServiceAccount
}

// Intent is the record of a pull that began and has not ended: it is in progress, or the
// kubelet or the node stopped in the middle of it.
type Intent struct {
	Image string // as in the pod, "calico/node:v3.28.0"
	Name  string // normalised, "docker.io/calico/node:v3.28.0"; Image when it is not a name
}

// Records are the pull records of a kubelet. They are not safe for concurrent use.
type Records struct {
	intents store[string]
	pulled  store[record]
}

// record is one ImagePulledRecord.
type record struct {
	ImageRef string
	Format   string // the version of the file's API, "v1beta1"
	// Process is the kubelet that ran when Trust wrote the record, as in [Settings.Process].
	// It is 0 in the records of the kubelet.
	Process uint32
	// Repositories holds the credentials by repository, as the kubelet that wrote the file
	// spells it.
	Repositories map[string]credentials
}

// credentials are what pulled an image from one repository.
type credentials struct {
	Secrets         []Secret
	ServiceAccounts []ServiceAccount
	NodeAccessible  bool // every pod of the node may use the image
}

// Read reads the records of the kubelet whose root directory is root. Missing directories
// are an empty state, as for the kubelet. A file that cannot be read as a record is part of
// the state: see [Records.Problems]. The error is that of a directory, or reports more or
// larger files than any kubelet writes.
func Read(root string) (*Records, error) {
	intents, err := readStore(filepath.Join(root, stateDir, pullingDir), decodeIntent)
	if err != nil {
		return nil, fmt.Errorf("pull records of the kubelet: %w", err)
	}
	pulled, err := readStore(filepath.Join(root, stateDir, pulledDir), decodeRecord)
	if err != nil {
		return nil, fmt.Errorf("pull records of the kubelet: %w", err)
	}
	return &Records{intents: intents, pulled: pulled}, nil
}

// Intents returns the intents, ordered by the name in the pod.
func (r *Records) Intents() []Intent {
	var list []Intent
	for _, image := range slices.Sorted(maps.Keys(r.intents.values)) {
		list = append(list, Intent{Image: image, Name: normalise(image)})
	}
	return list
}

// Problem is a file that the kubelet cannot read as a record. It refuses every use of the
// image whose record it would be.
type Problem struct {
	File string
	Err  error
}

// Problems returns the files that cannot be read, ordered by their path.
func (r *Records) Problems() []Problem {
	list := slices.Concat(r.intents.problems(), r.pulled.problems())
	slices.SortFunc(list, func(a, b Problem) int { return cmp.Compare(a.File, b.File) })
	return list
}

// AtStart changes r as the next start of the kubelet changes the files. present holds the
// image id by each name that CRI lists, tags and digests. An intent whose name is present
// becomes a record without credentials, which no pod satisfies; an intent under another
// spelling of the name stays.
func (r *Records) AtStart(present map[string]string) {
	for image := range r.intents.values {
		imageRef, ok := present[image]
		if !ok {
			continue
		}
		if _, err := reference.ParseNormalizedNamed(image); err != nil {
			continue
		}
		if rec, err := r.pulled.get(imageRef); rec == nil || err != nil {
			r.pulled.put(imageRef, record{ImageRef: imageRef, Format: beta})
		}
		r.intents.remove(image)
	}
}

// Unversioned reports whether the kubelet uses every image that is present, whatever its
// version is: there are no records, and the policy accepts images without one.
func (r *Records) Unversioned(s Settings) bool {
	if len(r.intents.values)+len(r.intents.broken)+len(r.pulled.values)+len(r.pulled.broken) > 0 {
		return false
	}
	return s.Policy == NeverVerify || s.Policy == NeverVerifyPreloadedImages
}

// Remembered reports whether the kubelet believes that it pulled the image: a record of
// imageRef or an intent of name exists.
func (r *Records) Remembered(name, imageRef string) bool {
	rec, err := r.pulled.get(imageRef)
	if rec != nil || err != nil {
		return true
	}
	intent, err := r.intents.get(name)
	return intent != nil || err != nil
}

// fileName returns the name of the file of an image name or image id.
func fileName(key string) string {
	return fmt.Sprintf("%s%x", filePrefix, sha256.Sum256([]byte(key)))
}
