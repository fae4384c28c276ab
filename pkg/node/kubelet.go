package node

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"

	"stowage/internal/kubelet"
	"stowage/internal/pullrecords"
)

// Kubelet is what a report says of the kubelet whose pull records it takes into account.
// Since Kubernetes 1.35 a kubelet asks a registry for an image that CRI has, if it believes
// that it pulled the image and a pod cannot show the same credentials.
type Kubelet struct {
	Directory string `json:"directory,omitempty"`          // its root directory
	Config    string `json:"configFile,omitempty"`         // its configuration file
	Version   string `json:"version,omitempty"`            // "v1.35.4", empty if it is not known or nothing depends on it
	Running   bool   `json:"running"`                      // it runs, or that is not known
	Verifies  bool   `json:"verifies"`                     // it compares credentials with its records, as far as is known
	Policy    string `json:"verificationPolicy,omitempty"` // of its configuration, for images without a record
	Found     string `json:"foundBy,omitempty"`            // how it was found
	Service   string `json:"service,omitempty"`            // the service of systemd to restart
	// HasContainerd says that the service runs containerd as well.
	HasContainerd bool   `json:"runsContainerd,omitempty"`
	NotLooked     string `json:"notLookedAt,omitempty"` // why it was not looked at; nothing else is set then

	// Dropped are the images, as pods name them, whose interrupted pulls were on record until
	// this load removed the records.
	Dropped []string `json:"intentsRemoved,omitempty"`
	// Trusted are the names of the bundle that this load recorded as usable by every pod.
	Trusted []string `json:"trusted,omitempty"`
}

// KubeletStatus says what the kubelet will do with an image when a pod starts.
type KubeletStatus string

// The states of an image for the kubelet. They are those of a pod without credentials whose
// pull policy is not Always.
const (
	KubeletReady    KubeletStatus = "ready"         // it asks no registry
	KubeletNotReady KubeletStatus = "not-ready"     // it asks one, or the image is not there
	KubeletUnknown  KubeletStatus = "not-looked-at" // no kubelet was found; the image itself is ready
)

// kubeletView is the kubelet with its pull records.
type kubeletView struct {
	*kubelet.Kubelet
	records *pullrecords.Records
	intents []pullrecords.Intent // as they are on disk
	// unversioned says that the decisions do not depend on the kubelet's version.
	unversioned bool
}

// look finds the kubelet of this containerd, with its version if that is wanted. Its error
// completes "not looked at: ...".
func (n *Node) look(ctx context.Context, version bool) (*kubelet.Kubelet, error) {
	switch n.server.CRI {
	case CRIAbsent:
		return nil, errors.New("this containerd has no CRI plugin")
	case CRIElsewhere:
		return nil, fmt.Errorf("the kubelet uses another namespace, %s", KubernetesNamespace)
	}
	address, err := filepath.Abs(n.server.Address)
	if err != nil {
		return nil, err
	}
	return kubelet.Find(ctx, kubelet.Options{Dir: n.kubeletDir, Containerd: address, NoVersion: !version})
}

// lookAt reads the records of a kubelet as it will see them: one that does not run turns, at
// its start, each intent whose image is there into a record that no pod satisfies.
func (n *Node) lookAt(ctx context.Context, k *kubelet.Kubelet) (*kubeletView, error) {
	records, err := pullrecords.Read(k.Root)
	if err != nil {
		return nil, err
	}
	intents, unversioned := records.Intents(), records.Unversioned(k.Settings)
	if !k.Running && len(intents) > 0 {
		present, err := n.present(ctx)
		if err != nil {
			return nil, err
		}
		records.AtStart(present)
	}
	return &kubeletView{k, records, intents, unversioned}, nil
}

// present returns the image ID by each name that CRI lists.
func (n *Node) present(ctx context.Context) (map[string]string, error) {
	listed, err := n.listImages(ctx)
	if err != nil {
		return nil, err
	}
	names := map[string]string{}
	for ref, i := range listed {
		names[ref] = i.Id
	}
	return names, nil
}

// dropIntents removes the records of interrupted pulls of the images, unless the kubelet
// runs. It comes before their names are visible: a kubelet that finds such a record and the
// image at its start lets no pod use the image. Without the image, and without the record, it
// pulls.
func (l *loader) dropIntents(ctx context.Context, imgs []*image) {
	k, err := l.node.look(ctx, false)
	if err != nil || k.Running {
		return
	}
	var names []string
	for _, img := range imgs {
		names = append(names, img.recordNames()...)
	}
	dropped, err := pullrecords.RemoveIntents(k.Root, names)
	l.dropped = append(l.dropped, dropped...)
	if err != nil {
		l.kubeletErrs = append(l.kubeletErrs, err)
	}
}

// decide returns what the kubelet does with an image of the report, under every spelling of
// its name on record. That an interrupted pull is on record counts as the reason for what the
// next start of the kubelet makes of it.
func (v *kubeletView) decide(i *ImageReport) pullrecords.Decision {
	spellings := []string{i.Name}
	for _, intent := range v.intents {
		if intent.Name == i.Name || intent.Name == byDigest(i.Name, i.Target) {
			spellings = append(spellings, intent.Image)
		}
	}
	var d pullrecords.Decision
	for _, name := range spellings {
		if d = v.records.DecideImage(v.Settings, name, i.Image.String(), pullrecords.Pod{}); d.Pull {
			break
		}
	}
	if d.Reason == pullrecords.NoCredentials && len(spellings) > 1 {
		d.Reason, d.Text = pullrecords.Interrupted, "an interrupted pull is recorded"
	}
	return d
}

// judgeRecords sets what the kubelet does with each image that CRI has, and adds a cause for
// each of which it asks a registry. It returns whether a kubelet was found.
func (n *Node) judgeRecords(ctx context.Context, r *Report, l *loader) (found bool) {
	r.Kubelet = &Kubelet{}
	k, err := n.look(ctx, false)
	if none := (*kubelet.NotFoundError)(nil); err != nil {
		r.Kubelet.NotLooked = err.Error()
		return n.server.CRI == CRIReady && !errors.As(err, &none)
	}
	r.Kubelet.describe(k)
	v, err := n.lookAt(ctx, k)
	if err == nil && !v.unversioned {
		if k, err = n.look(ctx, true); err == nil {
			r.Kubelet.describe(k)
			v, err = n.lookAt(ctx, k)
		}
	}
	if err == nil && l != nil {
		r.Kubelet.Dropped = l.dropped
		if l.opts.TrustPreloaded {
			v, err = l.trust(ctx, v, r)
		}
	}
	if err != nil {
		r.Kubelet.NotLooked = err.Error()
		return true
	}
	if len(v.Changed) > 0 {
		r.Kubelet.NotLooked = fmt.Sprintf("the kubelet has not read %s since it was changed: systemctl restart %s", strings.Join(v.Changed, ", "), v.Service)
	}
	for i := range r.Images {
		if out := &r.Images[i]; out.CRI == Ready {
			v.judge(r, out)
		}
	}
	return true
}

// judge sets what the kubelet does with an image.
func (v *kubeletView) judge(r *Report, i *ImageReport) {
	switch d := v.decide(i); {
	case d.Reason == pullrecords.Unread:
		r.refuse(i, CauseRestart, "restart the kubelet", "the kubelet sees the new record only when it starts")
	case d.Pull:
		r.refuse(i, causeOf(d.Reason), d.Text, "the kubelet would ask a registry: "+d.Text)
	case len(v.Changed) == 0: // otherwise it still decides by what its configuration said before
		i.Kubelet = KubeletReady
	}
}

// describe copies what the report says of a kubelet.
func (k *Kubelet) describe(found *kubelet.Kubelet) {
	k.Directory, k.Config, k.Version, k.Found = found.Root, found.ConfigFile, found.Version, found.Found
	k.Service, k.HasContainerd = found.Service, found.HasContainerd()
	k.Running, k.Verifies, k.Policy = found.Running, found.Settings.Enabled, string(found.Settings.Policy)
}

// refuse makes an image not ready. short is for the table.
func (r *Report) refuse(i *ImageReport, kind CauseKind, short, text string) {
	i.Kubelet, i.KubeletReason = KubeletNotReady, short
	r.blame(kind, i.Name, "%s", text)
}

// causeOf returns the kind of cause for a reason of the kubelet.
func causeOf(reason pullrecords.Reason) CauseKind {
	switch reason {
	case pullrecords.PolicyAlways, pullrecords.NotAllowed:
		return CausePolicy
	case pullrecords.Interrupted:
		return CauseInterrupted
	case pullrecords.Unreadable, pullrecords.BadName:
		return CauseUnreadable
	}
	return CausePulled
}

// trust records the images of the report that the kubelet would ask a registry for as usable
// by every pod of the node. It returns the records as they are then.
func (l *loader) trust(ctx context.Context, v *kubeletView, r *Report) (*kubeletView, error) {
	refs := map[digest.Digest]bool{}
	for i := range r.Images {
		if out := &r.Images[i]; out.CRI == Ready {
			if d := v.decide(out); d.Pull && d.Reason != pullrecords.Unread {
				refs[out.Image] = true
			}
		}
	}
	if len(refs) == 0 {
		return v, nil
	}
	present, err := l.node.present(ctx)
	if err != nil {
		return nil, err
	}
	repositories := map[string][]string{} // by image ID, all that CRI has: a record is for the content
	for name, id := range present {
		if ref, err := reference.ParseNormalizedNamed(name); err == nil {
			repositories[id] = append(repositories[id], reference.TrimNamed(ref).String())
		}
	}
	for ref := range refs {
		list := repositories[ref.String()]
		slices.Sort(list)
		if err := pullrecords.Trust(v.Root, v.Settings, ref.String(), slices.Compact(list)...); err != nil {
			l.kubeletErrs = append(l.kubeletErrs, err)
			delete(refs, ref)
		}
	}
	for _, i := range r.Images {
		if refs[i.Image] && i.CRI == Ready {
			r.Kubelet.Trusted = append(r.Kubelet.Trusted, i.Name)
		}
	}
	return l.node.lookAt(ctx, v.Kubelet)
}
