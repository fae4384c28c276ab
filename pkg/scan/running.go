package scan

import (
	"strings"

	"gopkg.in/yaml.v3"
)

// running is what the status of a pod says about the image of one of its containers.
type running struct {
	name    string  // of the image, with the tag
	digest  string  // of a registry, or "" when the status has none
	warning Warning // when no other container has a digest for the name, or one has another
}

// containerKinds are the lists of containers of a pod spec with those of its status.
var containerKinds = [...][2]string{
	{"containers", "containerStatuses"}, {"initContainers", "initContainerStatuses"}, {"ephemeralContainers", "ephemeralContainerStatuses"},
}

// statuses reads which digests the containers of the pod f run: the references of its
// containers, which come later, have them.
func (w *walker) statuses(f fields, s scope) {
	w.digests = map[string]string{}
	for _, kind := range containerKinds {
		list := w.budget.dig(f.get("status"), kind[1])
		at := map[string]int{}
		for i, name := range w.budget.keyed(list, "name") {
			at[name] = i
		}
		containers := w.budget.dig(f.get("spec"), kind[0])
		for i, name := range w.budget.keyed(containers, "name") {
			image := w.budget.dig(containers.Content[i], "image")
			n, ok := parseName(scalarText(image))
			if !ok || n.digest != "" || w.opts.excluded(n.full, image.Value) {
				continue
			}
			place, here := image, s.at("spec").at(kind[0]).element(i).at("image")
			if j, is := at[name]; is {
				if id := w.budget.dig(list.Content[j], "imageID"); isText(id) {
					place, here = id, s.at("status").at(kind[1]).element(j).at("imageID")
				}
			}
			here.container = name
			w.digests[name] = w.status(n, place, here)
		}
	}
}

// status records the digest that a container runs of the image n and returns it. place is its
// image ID, or its image when it has none.
func (w *walker) status(n name, place *yaml.Node, s scope) string {
	id := ""
	if s.key == "imageID" {
		id = place.Value
	}
	digest, why := runningDigest(id, n)
	before := len(w.out.warnings)
	w.warn(Warning{
		Code: CodeUnknownDigest, Name: n.full, Message: why,
		Advice: "the registry decides what " + n.full + " is; write its digest if it must be another",
	}, s.src.inner(place), 0, len(place.Value), s)
	r := running{name: n.full, digest: digest, warning: w.out.warnings[before]}
	w.out.warnings = w.out.warnings[:before]
	w.out.running = append(w.out.running, r)
	return digest
}

// runningDigest returns the digest that an image ID of the Kubernetes API has for the image n,
// or the reason why it has none that a registry knows. containerd and CRI-O write
// repository@digest, dockershim and cri-dockerd write docker-pullable:// before it; an ID
// without a repository is the digest of the image's config.
func runningDigest(id string, n name) (digest, why string) {
	text := strings.TrimPrefix(strings.TrimPrefix(id, "docker-pullable://"), dockerScheme)
	if text == "" {
		return "", "the status has no digest for " + n.full + ": the container has not started"
	}
	running, ok := parseName(text)
	switch {
	case isChecksum(text) || !ok || running.digest == "":
		return "", "the node has " + n.full + " as " + quote(id) + ", which no registry knows"
	case running.domain != n.domain || running.path != n.path:
		return "", "the node has " + n.full + " as " + quote(id) + ", from another repository"
	}
	return running.digest, ""
}

// keyed returns the text that each mapping of a sequence has under a key, "" for none.
func (b *budget) keyed(n *yaml.Node, key string) []string {
	if n = resolve(n); n == nil || n.Kind != yaml.SequenceNode {
		return nil
	}
	out := make([]string, len(n.Content))
	for i, e := range n.Content {
		out[i] = strings.Clone(scalarText(b.dig(e, key)))
	}
	return out
}

// ran keeps the digests of the images that containers run. The first one decides what a tag
// is; the warnings of the document say where that may be wrong.
func (s *Scanner) ran(d *docResult) {
	for _, r := range d.running {
		first, known := s.digests[r.name]
		switch {
		case r.digest == "":
			d.unknown = append(d.unknown, r.warning)
		case !known:
			if s.digests == nil {
				s.digests, s.differ = map[string]string{}, map[string]bool{}
			}
			s.digests[r.name] = r.digest
		case first != r.digest && !s.differ[r.name]:
			s.differ[r.name] = true
			r.warning.Message = "pods run different images as " + r.name + ": " + first + " and " + r.digest
			r.warning.Advice = "both are taken, and the tag is the first; restart the pods of the older one if it is not meant"
			d.unknown = append(d.unknown, r.warning)
		}
	}
	d.running = nil
}

// ranAs returns a reference with the digest that its container runs, or another container with
// the same name of the image.
func (s *Scanner) ranAs(f found) Reference {
	ref, digest := f.Reference, f.running
	if f.digest != "" || ref.Locked {
		return ref
	}
	if digest == "" {
		digest = s.digests[ref.Name]
	}
	if digest != "" {
		ref.Name, ref.Locked = ref.Name+"@"+digest, true
	}
	return ref
}

// warnings returns the warnings of a document, in order: without those that a digest answers,
// and with those about digests that stayed unknown.
func (s *Scanner) warnings(d *docResult) []Warning {
	if s.digests == nil && len(d.unknown) == 0 {
		return d.warnings
	}
	var out []Warning
	for _, w := range d.warnings {
		if w.Code != CodeMutableTag || s.digests[w.Name] == "" {
			out = append(out, w)
		}
	}
	for _, w := range d.unknown {
		if s.digests[w.Name] == "" || s.differ[w.Name] {
			out = append(out, w)
		}
	}
	sortWarnings(out)
	return out
}
