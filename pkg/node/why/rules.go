package why

import (
	"fmt"
	"slices"
	"strings"

	"stowage/pkg/archive"
)

// subject is an image that a pod waits for, with all that is known.
type subject struct {
	wait
	*facts
	names   []string // normalised
	invalid error    // why there are none
}

func newSubject(w wait, f *facts) *subject {
	s := &subject{wait: w, facts: f}
	s.names, s.invalid = archive.Names(w.image)
	return s
}

// rule is a possible cause. explain returns the text of the cause and its cure, or "" when
// the facts do not support it.
type rule struct {
	kind    Kind
	explain func(*subject) (string, Cure)
}

// rules are all of them, the most likely cause first: what is wrong with the name or the
// node, what the node has, and then what the kubelet or the registry says.
var rules = []rule{
	{InvalidName, invalidName},
	{DiskFull, diskFull},
	{Artifact, artifact},
	{WrongPlatform, wrongPlatform},
	{PolicyAlways, policyAlways},
	{Records, pullRecords},
	{Retry, retry},
	{WrongNamespace, wrongNamespace},
	{OtherName, otherName},
	{Damaged, incomplete},
	{NoSandbox, noSandbox},
	{WrongPlatform, wrongBundle},
	{NeverPolicy, neverPolicy},
	{"", failedPull},
	{Pulling, pullInProgress},
	{DiskFull, diskLow},
}

// explain returns the causes of a wait, none when it is not about an image.
func explain(w wait, f *facts) []Cause {
	s := newSubject(w, f)
	var causes []Cause
	for _, r := range rules {
		text, cure := r.explain(s)
		if text == "" {
			continue
		}
		kind := r.kind
		if kind == "" {
			kind, _ = s.failure()
		}
		if !slices.ContainsFunc(causes, func(c Cause) bool { return c.Kind == kind }) {
			causes = append(causes, Cause{kind, text, cure})
		}
	}
	if len(causes) == 0 && (s.sure || s.open() && !s.here()) && s.Reason != evicted {
		causes = append(causes, s.unknown())
	}
	return causes
}

// here reports whether CRI has the image under its name.
func (s *subject) here() bool { return s.present[s.image] != "" }

// open reports whether the container may wait for the image although the kubelet does not
// say so.
func (s *subject) open() bool {
	return s.Reason == "" || s.Reason == creating || s.Reason == initializing
}

// missing reports whether the image is not there and the container may wait for it.
func (s *subject) missing() bool {
	return !s.here() && len(s.names) > 0 && (s.sure || s.open())
}

// failure returns the kind of failure of a pull, with its text: of the registry's answer if
// it was asked, else of the kubelet's message.
func (s *subject) failure() (Kind, string) {
	if a, asked := s.answers[s.image]; asked {
		if a.quota.known && a.quota.remaining <= 0 {
			return PullLimit, s.Message
		}
		if a.err != "" {
			return classify(a.err), a.err
		}
	}
	return classify(s.Message), s.Message
}

// unknown is the cause of a wait that no rule explains.
func (s *subject) unknown() Cause {
	says := ""
	if s.Message != "" {
		says = fmt.Sprintf("; the kubelet says %q", ending(s.Message))
	}
	if s.here() {
		return Cause{NotExplained, "it is on the node" + says, Cure{{Say: "the kubelet's log says more:", Run: []string{"journalctl", "-u", "kubelet", "-n", "50"}}}}
	}
	return Cause{Absent, "it is not on the node" + says, s.bring()}
}

func invalidName(s *subject) (string, Cure) {
	if s.invalid == nil && s.Reason != "InvalidImageName" {
		return "", nil
	}
	text := fmt.Sprintf("%q is not an image name", s.image)
	if s.invalid != nil {
		text += ": " + s.invalid.Error()
	}
	return text, Cure{{Say: "correct it in the manifest; this lists the images of a manifest with their lines:", Run: []string{"bundle", "scan", "-f", "FILE"}}}
}

// diskFull explains a pull or a start that failed for lack of space, and a pod that was
// refused because of it while the disk is still full.
func diskFull(s *subject) (string, Cure) {
	d, low := fullest(s.disks)
	refused := s.Reason == evicted && low
	if kind, _ := s.failure(); kind != DiskFull && !refused {
		return "", nil
	}
	text := "the disk was full when the kubelet last tried"
	if d.Size > 0 {
		text += fmt.Sprintf("; now %s", d)
	}
	return text, s.freeSpace(d)
}

// diskLow explains an image that is gone: the kubelet removes unused ones from a full disk.
func diskLow(s *subject) (string, Cure) {
	d, low := fullest(s.disks[:min(1, len(s.disks))])
	if !low || !s.missing() {
		return "", nil
	}
	return fmt.Sprintf("the kubelet may have removed it: %s, and above %d%% it removes unused images", d, d.threshold), s.freeSpace(d)
}

// artifact explains a volume that containerd cannot mount.
func artifact(s *subject) (string, Cure) {
	if _, ok := s.find(func(i storedImage) bool { return i.artifact && slices.Contains(s.names, i.name) }); !ok || !s.volume {
		return "", nil
	}
	return "it is an OCI artifact, and containerd mounts only images as volumes",
		Cure{{Say: `build an image with the same files ("FROM scratch", "COPY . /") and name that in the pod`}}
}

// wrongPlatform explains an image that is only there for other platforms, or that a registry
// has only for others.
func wrongPlatform(s *subject) (string, Cure) {
	kind, text := s.failure()
	stored, ok := s.find(func(i storedImage) bool {
		return i.namespace == kubernetes && slices.Contains(s.names, i.name) && i.foreign()
	})
	switch {
	case ok && (!s.here() || kind == WrongPlatform):
		return fmt.Sprintf("the node has it for %s only, and is %s itself", strings.Join(stored.platforms, ", "), s.platform), s.bring()
	case kind == WrongPlatform && s.here():
		return fmt.Sprintf("its program is not for %s: %q", s.platform, ending(text)), s.bring()
	case kind == WrongPlatform:
		return fmt.Sprintf("%s does not have it for %s", s.registry(text), s.platform),
			Cure{{Say: "name an image that has this platform; where there is a network, this says which ones it has:", Run: []string{"bundle", "--dry-run", "--platform", s.platform, s.image}}}
	}
	return "", nil
}

// wrongBundle explains an image that bundles have only for other platforms.
func wrongBundle(s *subject) (string, Cure) {
	if _, ok := s.offer(true); ok || !s.missing() {
		return "", nil
	}
	o, ok := s.offer(false)
	if !ok {
		return "", nil
	}
	return fmt.Sprintf("%s has it for %s only, and this node is %s", o.file, strings.Join(o.platforms, ", "), s.platform), s.bring()
}

// policyAlways explains an image that is there and must be pulled all the same.
func policyAlways(s *subject) (string, Cure) {
	if !s.here() || s.Policy != "Always" || !s.sure {
		return "", nil
	}
	text := "it is on the node, but imagePullPolicy Always makes the kubelet ask the registry"
	if _, why := s.failure(); why != "" {
		text += fmt.Sprintf(": %q", ending(why))
	}
	return text, Cure{serveStep, {Say: "or set IfNotPresent in the manifest:", Run: []string{"bundle", "rewrite", "-f", "FILE"}}}
}

// pullRecords explains an image that is there and that the kubelet's pull records reserve.
func pullRecords(s *subject) (string, Cure) {
	v := s.verdicts[s.image]
	if !s.here() || !v.pull || s.Policy == "Always" || !s.sure && !s.open() {
		return "", nil
	}
	text := "it is on the node, but the kubelet asks a registry: " + v.text
	if i := slices.IndexFunc(s.secrets, func(n string) bool { return slices.Contains(v.secrets, n) }); i >= 0 {
		if !s.sure {
			return "", nil // the pod has the secret
		}
		text += fmt.Sprintf("; the pod has %s, which may have changed", s.secrets[i])
	}
	restart := Step{Run: []string{"sudo", "systemctl", "restart", s.service}}
	if v.unread {
		return text, Cure{restart}
	}
	if o, ok := s.offer(true); ok && !v.policy {
		return text, Cure{{Run: []string{"sudo", "load", "--trust-preloaded", o.file}}, restart}
	}
	return text, Cure{serveStep}
}

// retry explains an image that is there by now.
func retry(s *subject) (string, Cure) {
	v := s.verdicts[s.image]
	if !s.here() || !s.sure || s.Policy == "Always" || v.pull || s.Reason == "ImageInspectError" || s.Reason == "InvalidImageName" {
		return "", nil
	}
	return "it is on the node now, and the kubelet has not tried again yet: it does within minutes",
		Cure{{Say: "wait, then ask again:", Run: []string{"sudo", "load", "why", s.Namespace + "/" + s.Pod}}}
}

// wrongNamespace explains an image that only another namespace of containerd has.
func wrongNamespace(s *subject) (string, Cure) {
	stored, ok := s.find(func(i storedImage) bool {
		return i.namespace != kubernetes && slices.Contains(s.names, i.name) && !i.foreign()
	})
	if !ok || !s.missing() {
		return "", nil
	}
	file := fileFor(s.names[0])
	return fmt.Sprintf("containerd has it in namespace %q, and the kubelet uses %q only", stored.namespace, kubernetes),
		Cure{
			{Run: s.ctr("-n", stored.namespace, "images", "export", file, stored.name)},
			{Run: []string{"sudo", "load", file}},
		}
}

// otherName explains an image that is there under another name only.
func otherName(s *subject) (string, Cure) {
	stored, ok := s.find(func(i storedImage) bool {
		return i.namespace == kubernetes && isOther(s.names, i) && !i.foreign()
	})
	if !ok || !s.missing() {
		return "", nil
	}
	return fmt.Sprintf("the node has it as %q only", stored.name),
		Cure{{Run: s.ctr("-n", kubernetes, "images", "tag", stored.name, s.names[0])}}
}

// incomplete explains a name whose content is not complete, or that CRI does not see.
func incomplete(s *subject) (string, Cure) {
	stored, ok := s.find(func(i storedImage) bool {
		return i.namespace == kubernetes && slices.Contains(s.names, i.name) && !i.foreign()
	})
	switch {
	case !ok || !s.missing():
		return "", nil
	case stored.lacks > 0:
		return fmt.Sprintf("containerd has the name, but %d of the image's blobs are missing", stored.lacks), s.bring()
	}
	return "containerd has it, but its CRI plugin does not show it to the kubelet",
		Cure{{Run: []string{"sudo", "systemctl", "restart", s.containerd}}}
}

// noSandbox explains a pod that has no sandbox: containerd makes each from the sandbox image.
func noSandbox(s *subject) (string, Cure) {
	if !s.forSandbox {
		return "", nil
	}
	return "the sandbox image, from which every pod starts, is not on the node", s.bring()
}

func neverPolicy(s *subject) (string, Cure) {
	if s.Policy != "Never" || !s.missing() {
		return "", nil
	}
	return "it is not on the node, and imagePullPolicy Never forbids a pull", s.bring()
}

// pullInProgress explains a pod that waits without a failure so far.
func pullInProgress(s *subject) (string, Cure) {
	if !s.missing() || s.sure || s.forSandbox || !s.pulling[s.image] && s.Reason == "" {
		return "", nil
	}
	return "it is not on the node, and a pull is in progress or about to begin", s.bring()
}
