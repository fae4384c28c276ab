package scan

import (
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// class reports whether a kubelet pulls what stands here as soon as the object is applied.
func (r *recorder) class(form Form, s scope) Class {
	if form == FormList || s.level == 0 && r.pulled(form, s) || s.level == 1 && s.annotated && form.inPod() && !s.off {
		return Required
	}
	return Indirect
}

// pulled reports whether the object makes a kubelet pull what stands at a place of it.
func (r *recorder) pulled(form Form, s scope) bool {
	o := &r.object
	switch {
	case o.builtin:
		return form.inPod() && s.pod != nil
	case s.off || !strings.Contains(apiGroup(o.APIVersion), "."):
		return false
	}
	keys := s.path.keys()
	for _, pattern := range o.paths {
		if below(keys, pattern) && (form.inPod() || form == FormField || form == FormGroup || len(pattern) == len(keys) || keys[len(keys)-1] == "storageUri") {
			return true
		}
	}
	switch form {
	case FormContainer, FormInit, FormEphemeral, FormVolume, FormField, FormGroup:
		return !descriptive(o.Kind) && (startsPod(keys) || ownImage(keys))
	}
	return false
}

// startsPod reports whether keys lead to an image of a pod spec that a controller starts:
// the containers or volumes of a pod template, of a podSpec, or of the spec of the resource
// itself.
func startsPod(keys []string) bool {
	if n := len(keys); n > 1 && keys[n-1] == "reference" {
		keys = keys[:n-1]
	}
	n := len(keys)
	if n < 3 || keys[n-1] != "image" {
		return false
	}
	switch keys[n-2] {
	case "containers", "initContainers", "ephemeralContainers", "volumes":
	default:
		return false
	}
	pod, above := keys[n-3], ""
	if n > 3 {
		above = keys[n-4]
	}
	switch {
	case pod == "spec":
		return above == "" || strings.HasSuffix(above, "emplate")
	default:
		return strings.HasSuffix(pod, "odSpec") || strings.HasSuffix(pod, "odTemplate")
	}
}

// ownImage reports whether keys lead to the image of a resource: spec.image or
// spec.imageName, also when other fields of spec hold its tag.
func ownImage(keys []string) bool {
	return len(keys) == 2 && keys[0] == "spec" && (keys[1] == "image" || keys[1] == "imageName")
}

// descriptive reports whether the resources of a kind describe what others start later.
func descriptive(kind string) bool {
	for _, end := range [...]string{"Template", "Config", "Class", "Catalog", "Runtime", "Policy", "Definition", "Task", "Strategy",
		"Profile", "Composition"} {
		if strings.HasSuffix(kind, end) {
			return true
		}
	}
	return false
}

// switchedOff reports whether one of the fields keeps a controller from starting what
// stands beside it.
func switchedOff(f fields) bool {
	return slices.ContainsFunc(f, func(e pair) bool {
		if e.value.Kind != yaml.ScalarNode {
			return false
		}
		switch e.key {
		case "enabled", "enable", "running":
			return e.value.Value == "false"
		case "suspend":
			return e.value.Value == "true"
		case "runStrategy":
			return e.value.Value == "Halted"
		case "replicas":
			return e.value.Value == "0"
		}
		return false
	})
}

// keys returns the keys of a path, without indexes and steps into texts.
func (p *path) keys() []string {
	var keys []string
	for ; p != nil; p = p.up {
		if p.key != "" {
			keys = append(keys, p.key)
		}
	}
	slices.Reverse(keys)
	return keys
}

// below reports whether keys are at or below a pattern.
func below(keys, pattern []string) bool {
	return len(keys) >= len(pattern) && slices.Equal(keys[:len(pattern)], pattern)
}
