package why

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"stowage/internal/kubelet"
	"stowage/internal/pullrecords"
	"stowage/internal/redact"
	"stowage/pkg/archive"
	"stowage/pkg/node"
)

// Options are the options of [Explain]. The zero value explains all pods of the node.
type Options struct {
	// Pod is the name of a pod, or "namespace/name". Empty: all pods.
	Pod string
	// KubeletDir is the kubelet's root directory. Empty: it is found.
	KubeletDir string
	// Look are directories. Bundles below them that have an image are named.
	Look []string
	// Ask allows HEAD requests to the registries of the images, without any account.
	Ask bool
}

// PodError says that the node has no pod of the name in [Options].
type PodError struct {
	Pod    string
	Source string   // where the pods are from
	Pods   []string // those that there are, "namespace/name", sorted
}

// Error returns a line with the name and the source.
func (e *PodError) Error() string {
	return fmt.Sprintf("%s: no such pod on this node, says %s", e.Pod, e.Source)
}

// Explain returns what pods of the node wait for, and why. Sources that it cannot read are
// in the report; the error is that of containerd, of ctx, or a [*PodError].
func Explain(ctx context.Context, n *node.Node, o Options) (*Report, error) {
	server := n.Server()
	r, err := connect(server)
	if err != nil {
		return nil, err
	}
	defer r.client.Close() // only read from
	e := &explainer{runtime: r, options: o, facts: &facts{platform: server.Platform, address: server.Address, service: "kubelet", containerd: "containerd"}}
	e.report.Node = Node{Address: server.Address, Version: server.Version, Platform: server.Platform}
	if e.facts.sandboxes, e.started, err = r.sandboxes(ctx); err != nil {
		return nil, err
	}
	e.findKubelet(ctx, server.Address)
	if err := e.findPods(ctx); err != nil {
		return nil, err
	}
	var dirs []string
	if pulls, err := n.Pulls(ctx); err != nil {
		e.unread("containerd's configuration: %v", err)
	} else {
		dirs = pulls.ConfigPath
	}
	if err := e.findFacts(ctx, n.SandboxImage(ctx), dirs); err != nil {
		return nil, err
	}
	e.conclude()
	return &e.report, ctx.Err()
}

// explainer collects facts.
type explainer struct {
	*runtime
	options Options
	kubelet *kubelet.Kubelet // nil: not found
	records *pullrecords.Records
	started map[string][]string // containers that were started, by "namespace/name" of their pod
	facts   *facts
	waits   []wait
	report  Report
}

// unread adds a source that could not be read.
func (e *explainer) unread(format string, args ...any) {
	e.report.Unread = append(e.report.Unread, redact.Addresses(fmt.Sprintf(format, args...)))
}

// findKubelet finds the kubelet and its pull records.
func (e *explainer) findKubelet(ctx context.Context, address string) {
	k, err := kubelet.Find(ctx, kubelet.Options{Dir: e.options.KubeletDir, Containerd: address})
	if err != nil {
		e.unread("the kubelet: %v", err)
		return
	}
	e.kubelet = k
	if k.Service != "" {
		e.facts.service = k.Service
	}
	if k.HasContainerd() {
		e.facts.containerd = k.Service
	}
	if e.records, err = pullrecords.Read(k.Root); err != nil {
		e.unread("the kubelet's pull records: %v", err)
	}
}

// findPods finds what the pods of the node wait for.
func (e *explainer) findPods(ctx context.Context) error {
	k := e.kubelet
	if k == nil {
		k = &kubelet.Kubelet{Port: 10250, ReadOnlyPort: 10255}
	}
	var pods []pod
	static := false
	var failed []string
	for _, s := range e.sources(k) {
		found, err := s.pods(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			failed = append(failed, fmt.Sprintf("%s: %v", s, err))
		}
		if err == nil || len(found) > 0 {
			_, static = s.(staticPods)
			pods, e.report.Source = found, s.String()
			break
		}
	}
	if static || e.report.Source == "" { // else the pods are known
		for _, f := range failed {
			e.unread("%s", f)
		}
	}
	if e.report.Source == "" {
		e.report.Source = "CRI"
		e.unread("the pods: no kubelet and no API server lists them, so only sandboxes and pulls in progress are known")
	}
	return e.addPods(pods, static)
}

// sources returns the places to ask for pods.
func (e *explainer) sources(k *kubelet.Kubelet) []source {
	all := sources(k, accounts(kubeconfigsOf(k), kubeletClients))
	if k.StaticPods != "" {
		all = append(all, staticPods(k.StaticPods))
	}
	return all
}

// addPods adds what pods wait for. Of static pods it is what CRI has not started, and what
// the kubelet has recorded a pull for.
func (e *explainer) addPods(pods []pod, static bool) error {
	var names []string
	known := false
	for _, p := range pods {
		name := cmp.Or(p.Metadata.Namespace, "default") + "/" + p.Metadata.Name
		names = append(names, name)
		if e.options.Pod != "" && e.options.Pod != name && e.options.Pod != p.Metadata.Name {
			continue
		}
		known = true
		e.report.Pods++
		p.Metadata.Namespace = cmp.Or(p.Metadata.Namespace, "default")
		for _, w := range p.waits() {
			if w.static = static; !static || idle(e.started, w) {
				e.waits = append(e.waits, w)
			}
		}
	}
	if e.options.Pod != "" && !known {
		slices.Sort(names)
		return &PodError{e.options.Pod, e.report.Source, names}
	}
	if e.records == nil {
		return nil
	}
	e.facts.pulling = map[string]bool{}
	for _, i := range e.records.Intents() {
		e.facts.pulling[i.Image] = true
		unknown := !slices.ContainsFunc(e.waits, func(w wait) bool { return w.image == i.Image })
		if (static || len(pods) == 0) && unknown && e.options.Pod == "" {
			e.waits = append(e.waits, wait{image: i.Image})
		}
	}
	return nil
}

// findFacts reads what the node knows of the images that pods wait for.
// sandboxImage is the name of the sandbox image, and dirs are those of hosts.toml files.
func (e *explainer) findFacts(ctx context.Context, sandboxImage string, dirs []string) error {
	f := e.facts
	if len(dirs) > 0 {
		f.hostsDir = dirs[0]
	}
	if len(e.waits) == 0 {
		return nil
	}
	if f.sandbox.name = sandboxImage; f.sandbox.name != "" {
		id, err := e.imageID(ctx, f.sandbox.name)
		if err != nil {
			return err
		}
		f.sandbox.present = id != ""
	}
	e.waits = f.sandboxWaits(e.waits)
	wants := map[string][]string{}
	for _, w := range e.waits {
		names, err := archive.Names(w.image)
		if err != nil {
			names = nil // a rule says so
		}
		wants[w.image] = names
	}
	var err error
	if f.present, err = e.present(ctx, slices.Sorted(maps.Keys(wants))); err != nil {
		return err
	}
	if f.stored, err = e.stored(ctx, slices.Collect(maps.Values(wants))); err != nil {
		return err
	}
	e.findDisks(ctx)
	if err := e.findVerdicts(ctx); err != nil {
		return err
	}
	if err := e.look(ctx, wants); err != nil {
		return err
	}
	e.ask(ctx, wants, dirs)
	return nil
}

// findDisks reads the usage of the disks.
func (e *explainer) findDisks(ctx context.Context) {
	d, err := e.imageDisk(ctx)
	if err != nil {
		e.unread("the disk of the images: %v", err)
		return
	}
	d.threshold = 85 // the default of imageGCHighThresholdPercent
	if e.kubelet != nil {
		d.threshold = e.kubelet.ImageGCHighThresholdPercent
	}
	e.facts.disks = append(e.facts.disks, d)
	if e.kubelet == nil {
		return
	}
	if d, err = diskOf(e.kubelet.Root); err == nil {
		d.threshold = 90 // the default of evictionHard: nodefs.available 10%
		e.facts.disks = append(e.facts.disks, d)
	}
}

// findVerdicts evaluates the kubelet's pull records for the images that are there.
func (e *explainer) findVerdicts(ctx context.Context) error {
	if e.records == nil {
		return nil
	}
	if !e.kubelet.Running {
		ids, err := e.listed(ctx)
		if err != nil {
			return err
		}
		e.records.AtStart(ids)
	}
	e.facts.verdicts = map[string]verdict{}
	for image, id := range e.facts.present {
		if id == "" {
			continue
		}
		d := e.records.Decide(e.kubelet.Settings, image, id, pullrecords.Pod{})
		policy := d.Reason == pullrecords.PolicyAlways || d.Reason == pullrecords.NotAllowed
		e.facts.verdicts[image] = verdict{d.Pull, d.Text, d.Secrets, policy, d.Reason == pullrecords.Unread}
	}
	return nil
}

// look searches for bundles.
func (e *explainer) look(ctx context.Context, wants map[string][]string) error {
	s := &search{wants: wants, on: e.on, found: map[string][]offer{}}
	for _, dir := range e.options.Look {
		if err := s.below(ctx, dir); err != nil {
			return fmt.Errorf("look for bundles below %s: %w", dir, err)
		}
	}
	for _, text := range s.unread {
		e.unread("%s", text)
	}
	e.facts.offers = s.found
	return nil
}

// ask asks registries for the images that would be pulled.
func (e *explainer) ask(ctx context.Context, wants map[string][]string, dirs []string) {
	if !e.options.Ask {
		return
	}
	images := map[string]string{}
	for _, image := range slices.Sorted(maps.Keys(wants)) {
		if len(wants[image]) == 0 {
			continue
		}
		if len(images) == maxAsked {
			e.unread("the registries: %d images were asked for, and not the others", maxAsked)
			break
		}
		images[image] = wants[image][len(wants[image])-1] // the digest, if there is one
	}
	e.facts.answers = ask(ctx, images, dirs)
}

// conclude explains each wait, and joins those of the same image and causes.
func (e *explainer) conclude() {
	e.report.Waiting = []Waiting{}
	for _, w := range e.waits {
		causes := explain(w, e.facts)
		if len(causes) == 0 {
			continue
		}
		at := slices.IndexFunc(e.report.Waiting, func(other Waiting) bool {
			return other.Image == w.image && reflect.DeepEqual(other.Causes, causes)
		})
		if at < 0 {
			at = len(e.report.Waiting)
			e.report.Waiting = append(e.report.Waiting, Waiting{Image: w.image, Causes: causes})
		}
		e.report.Waiting[at].Pods = append(e.report.Waiting[at].Pods, w.Waiter)
	}
	slices.SortStableFunc(e.report.Waiting, func(a, b Waiting) int { return strings.Compare(a.Image, b.Image) })
}
