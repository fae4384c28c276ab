package why

import (
	"slices"
	"strings"

	"stowage/internal/redact"
)

// pod is what this package reads of a v1 Pod. Fields that a kubelet does not know are empty.
type pod struct {
	Metadata struct {
		Namespace string `json:"namespace" yaml:"namespace"`
		Name      string `json:"name" yaml:"name"`
		UID       string `json:"uid" yaml:"-"`
		// DeletionTimestamp is set while the pod ends.
		DeletionTimestamp string            `json:"deletionTimestamp" yaml:"-"`
		Annotations       map[string]string `json:"annotations" yaml:"-"`
	} `json:"metadata" yaml:"metadata"`
	Spec   podSpec   `json:"spec" yaml:"spec"`
	Status podStatus `json:"status" yaml:"-"`
}

type podSpec struct {
	ImagePullSecrets []struct {
		Name string `json:"name" yaml:"name"`
	} `json:"imagePullSecrets" yaml:"imagePullSecrets"`
	InitContainers      []container `json:"initContainers" yaml:"initContainers"`
	Containers          []container `json:"containers" yaml:"containers"`
	EphemeralContainers []container `json:"ephemeralContainers" yaml:"ephemeralContainers"`
	Volumes             []struct {
		Name  string `json:"name" yaml:"name"`
		Image *struct {
			Reference  string `json:"reference" yaml:"reference"`
			PullPolicy string `json:"pullPolicy" yaml:"pullPolicy"`
		} `json:"image" yaml:"image"`
	} `json:"volumes" yaml:"volumes"`
}

type container struct {
	Name            string `json:"name" yaml:"name"`
	Image           string `json:"image" yaml:"image"`
	ImagePullPolicy string `json:"imagePullPolicy" yaml:"imagePullPolicy"`
}

type podStatus struct {
	Phase                      string            `json:"phase"`
	Reason                     string            `json:"reason"`
	Message                    string            `json:"message"`
	InitContainerStatuses      []containerStatus `json:"initContainerStatuses"`
	ContainerStatuses          []containerStatus `json:"containerStatuses"`
	EphemeralContainerStatuses []containerStatus `json:"ephemeralContainerStatuses"`
}

type containerStatus struct {
	Name  string `json:"name"`
	State struct {
		Waiting    *stateText `json:"waiting"`
		Running    *struct{}  `json:"running"`
		Terminated *stateText `json:"terminated"`
	} `json:"state"`
	LastState struct {
		Terminated *stateText `json:"terminated"`
	} `json:"lastState"`
}

type stateText struct {
	Reason   string `json:"reason"`
	Message  string `json:"message"`
	ExitCode int    `json:"exitCode"`
}

// wait is an image that a container of a pod waits for, as far as the kubelet tells.
type wait struct {
	Waiter
	image      string // as the pod has it
	uid        string // of the pod
	volume     bool
	forSandbox bool     // it is the sandbox image of the pod
	static     bool     // from a manifest, whose name lacks that of the node
	secrets    []string // "namespace/name"
	// sure says that the kubelet waits for the image, not for something else.
	sure bool
}

// imageReasons are reasons of a waiting container that are about its image
// (pkg/kubelet/images/types.go and k8s.io/cri-api/pkg/errors).
var imageReasons = []string{
	"ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName", "ImageInspectError",
	"RegistryUnavailable", "SignatureValidationFailed",
}

// Reasons of a container that may wait for its image or for something else.
const (
	creating     = "ContainerCreating"
	initializing = "PodInitializing"
	evicted      = "Evicted"
)

// waits returns what the containers of the pod wait for.
func (p *pod) waits() []wait {
	switch {
	case p.Status.Phase == "Succeeded" || p.Metadata.DeletionTimestamp != "":
		return nil
	case p.Status.Phase == "Failed" && p.Status.Reason != evicted:
		return nil
	}
	var all []wait
	states := slices.Concat(p.Status.InitContainerStatuses, p.Status.ContainerStatuses, p.Status.EphemeralContainerStatuses)
	blocked := false // an init container has not ended, so that the others do not start
	for i, c := range slices.Concat(p.Spec.InitContainers, p.Spec.Containers, p.Spec.EphemeralContainers) {
		initial := i < len(p.Spec.InitContainers)
		if blocked && !initial {
			break
		}
		at := slices.IndexFunc(states, func(s containerStatus) bool { return s.Name == c.Name })
		var state containerStatus
		if at >= 0 {
			state = states[at]
		}
		if state.ended() {
			continue
		}
		if w, waiting := p.wait(c, state); waiting && !(blocked && w.Reason == initializing) {
			all = append(all, w)
		}
		blocked = blocked || initial && state.State.Running == nil
	}
	return append(all, p.volumeWaits(all)...)
}

// ended reports whether the container has done its work.
func (s *containerStatus) ended() bool {
	return s.State.Terminated != nil && s.State.Terminated.ExitCode == 0
}

// wait returns what a container waits for, with the text of the kubelet.
func (p *pod) wait(c container, state containerStatus) (wait, bool) {
	w := p.newWait(c.Name, c.Image, c.ImagePullPolicy)
	text := state.State.Waiting
	switch {
	case state.State.Running != nil:
		return w, false
	case p.Status.Reason == evicted:
		text = &stateText{Reason: evicted, Message: p.Status.Message}
	case text == nil && state.State.Terminated != nil:
		text = state.State.Terminated
	case text == nil:
		return w, true // not known to the kubelet yet
	}
	w.Reason, w.Message = text.Reason, redact.Addresses(text.Message)
	w.sure = isImageReason(text.Reason) && !p.aboutVolume(w)
	if strings.Contains(w.Reason, " ") {
		w.Message = redact.Addresses(w.Reason) + ": " + w.Message
		w.Reason = ""
	}
	if last := state.LastState.Terminated; last != nil && !w.sure {
		w.Message += " " + redact.Addresses(last.Message) // why it did not stay up
	}
	return w, true
}

// isImageReason reports whether a reason is about the image. Where the kubelet cannot read or
// write its pull records, the reason is the text of that error.
func isImageReason(reason string) bool {
	return slices.Contains(imageReasons, reason) || strings.Contains(reason, " ")
}

// aboutVolume reports whether the message of a container is about the image of a volume, and
// not about its own.
func (p *pod) aboutVolume(w wait) bool {
	for _, v := range p.Spec.Volumes {
		if v.Image != nil && v.Image.Reference != "" && strings.Contains(w.Message, v.Image.Reference) {
			return !strings.Contains(w.Message, w.image)
		}
	}
	return false
}

// volumeWaits returns the images of the pod's volumes, if a container waits.
func (p *pod) volumeWaits(containers []wait) []wait {
	if len(containers) == 0 {
		return nil
	}
	var all []wait
	for _, v := range p.Spec.Volumes {
		if v.Image == nil || v.Image.Reference == "" {
			continue
		}
		w := p.newWait("volume "+v.Name, v.Image.Reference, v.Image.PullPolicy)
		w.volume = true
		for _, c := range containers {
			if w.Reason == "" || strings.Contains(c.Message, v.Image.Reference) {
				w.Reason, w.Message = c.Reason, c.Message
				w.sure = strings.Contains(c.Message, v.Image.Reference) && isImageReason(c.Reason)
			}
		}
		all = append(all, w)
	}
	return all
}

func (p *pod) newWait(name, image, policy string) wait {
	w := wait{Waiter: Waiter{Namespace: p.Metadata.Namespace, Pod: p.Metadata.Name, Container: name, Policy: policyOf(image, policy)}, image: image, uid: p.Metadata.UID}
	for _, s := range p.Spec.ImagePullSecrets {
		w.secrets = append(w.secrets, p.Metadata.Namespace+"/"+s.Name)
	}
	return w
}
