package main

import (
	"slices"

	"stowage/cmd/internal/cli"
	"stowage/pkg/bundle"
	"stowage/pkg/scan"
)

// podUse is a place where a pod needs an image. Uses are kept instead of the result of the
// scan, which takes ten times as much memory while images are fetched.
type podUse struct {
	image string
	scan.Position
	form   scan.Form
	secret string // the first pull secret of the pod, or ""
}

// usesOf returns the uses of the pods in a result.
func usesOf(found *scan.Result) []podUse {
	var list []podUse
	for _, r := range found.References {
		u := podUse{image: r.Name, Position: r.Position, form: r.Form}
		if len(r.PullSecrets) > 0 {
			u.secret = r.PullSecrets[0]
		}
		if r.Class == scan.Required && (u.isVolume() || u.isContainer() || u.secret != "") {
			list = append(list, u)
		}
	}
	return list
}

// isVolume reports whether the use is an image volume.
func (u podUse) isVolume() bool { return u.form == scan.FormVolume }

// isContainer reports whether the use is a container.
func (u podUse) isContainer() bool {
	return u.form == scan.FormContainer || u.form == scan.FormInit || u.form == scan.FormEphemeral
}

// artifact displays a warning about an artifact that a pod needs, with the place of the pod.
func (j *job) artifact(e bundle.EventArtifact) {
	needs, why := podUse.isContainer, "a container of it starts only with a runtime handler for such artifacts, as there are for WebAssembly"
	if e.Volume {
		needs, why = podUse.isVolume, "containerd cannot mount it as an image volume, so the pod will not start; put its files into an image"
	}
	for _, u := range j.uses {
		if u.image == e.Name && needs(u) {
			j.display.Warning("%s:%d:%d: %s is an artifact without a root file system: %s", u.File, u.Line, u.Column, e.Name, why)
			return
		}
	}
}

// hintSecrets says when images must be loaded for which pods name pull secrets: a kubelet that
// has pulled one of them with a secret asks a registry again for other pods.
func (j *job) hintSecrets(r *bundle.Result) {
	if !slices.ContainsFunc(j.uses, func(u podUse) bool { return u.secret != "" }) {
		return
	}
	names := map[string]bool{}
	for _, img := range r.Images {
		names[img.Name] = true
	}
	secret, images := "", map[string]bool{}
	for _, u := range j.uses {
		if u.secret == "" || !names[u.image] {
			continue
		}
		images[u.image] = true
		if secret == "" {
			secret = u.secret
		}
	}
	if secret != "" {
		j.display.Message("hint: pods name the pull secret %s for %s in this bundle: load it before the kubelet pulls with that secret; since Kubernetes 1.35 the kubelet then asks a registry for pods without it, see \"load check\"", secret, cli.Count(len(images), "image"))
	}
}
