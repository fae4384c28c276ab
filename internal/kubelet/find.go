package kubelet

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"stowage/internal/pullrecords"
)

// Find returns the kubelet of this node: that of the running process, else that of the one
// place where a kubelet has left its files. Its error is a [*NotFoundError] when there is
// none or more than one, and a [*ConfigError] when its configuration cannot be used.
func Find(ctx context.Context, o Options) (*Kubelet, error) {
	return finder{proc: "/proc"}.find(ctx, o)
}

// finder finds kubelets below the directories of a system.
type finder struct {
	proc string // of its processes
	root root   // of its files
}

// candidate is a kubelet that may be the one of the node, with its configuration.
type candidate struct {
	start
	flags  flags
	config config
	err    error // of the configuration
}

func (f finder) find(ctx context.Context, o Options) (*Kubelet, error) {
	if o.Dir != "" {
		var err error
		if o.Dir, err = filepath.Abs(o.Dir); err != nil {
			return nil, err
		}
	}
	found, unclear := processes(f.proc, f.root)
	var running []candidate
	for _, p := range found {
		s, err := ofProcess(p)
		running = append(running, f.prepare(s, err))
	}
	c, err := f.choose(o, running, unclear)
	if err != nil {
		return nil, err
	}
	if c.err != nil {
		return nil, c.err
	}
	version := ""
	if !o.NoVersion {
		version = c.version(ctx)
	}
	k := c.kubelet(version)
	if o.Dir != "" {
		k.Root = o.Dir
	}
	if c.pid != 0 {
		k.Changed = c.changed(started(f.proc, c.pid))
	}
	k.Running = len(unclear) > 0 || answers(k.Root) || slices.ContainsFunc(running, func(r candidate) bool {
		return r.root.same(r.flags.root, k.Root)
	})
	if k.Running {
		k.Settings.Process = identity(f.proc, c.pid)
	}
	return k, nil
}

// choose returns the kubelet that o asks for.
func (f finder) choose(o Options, running []candidate, unclear []string) (*candidate, error) {
	if o.Dir != "" {
		return f.of(o.Dir, running)
	}
	none := &NotFoundError{Looked: []string{"no process is a kubelet"}}
	if len(running) > 0 {
		none.Looked = nil
	}
	c, err := pick(running, o.Containerd, none)
	if c != nil || err != nil {
		return c, err
	}
	none.Looked = append(none.Looked, unclear...)
	stopped := f.stopped()
	c, err = pick(stopped, o.Containerd, none)
	if c != nil || err != nil {
		return c, err
	}
	known := slices.ContainsFunc(stopped, func(c candidate) bool { return c.flags.root == defaultRoot })
	if !known && hasSigns(f.root, defaultRoot) {
		c := f.prepare(start{found: defaultRoot, root: f.root, dir: "/"}, nil)
		return &c, nil
	}
	if len(stopped) == 0 {
		none.Looked = append(none.Looked, "no files of a kubelet in "+strings.Join(places, ", "))
	}
	return nil, none
}

// places are the directories that a NotFoundError names.
var places = []string{defaultRoot, "/var/lib/rancher", "/var/lib/k0s/kubelet", snapCommon + "/var/lib/kubelet"}

// of returns the kubelet of a directory that the caller names.
func (f finder) of(dir string, running []candidate) (*candidate, error) {
	info, err := os.Stat(dir)
	if err == nil && !info.IsDir() {
		err = fmt.Errorf("%s: not a directory", dir)
	}
	if err != nil {
		return nil, &NotFoundError{Looked: []string{err.Error()}}
	}
	stopped := f.stopped()
	for _, c := range slices.Concat(running, stopped) {
		if c.root.same(c.flags.root, dir) {
			return &c, nil
		}
	}
	s := ofFiles("", dir)
	if s == nil {
		s = &start{dir: "/", args: []string{"--root-dir=" + dir}}
	}
	s.found = "--kubelet-dir"
	c := f.prepare(*s, nil)
	return &c, nil
}

// stopped returns the kubelets that distributions have left on disk: those whose root
// directory shows that they have run.
func (f finder) stopped() []candidate {
	var all []candidate
	for _, find := range distributions {
		s, err := find(f.root)
		if s == nil || s.off {
			continue
		}
		if c := f.prepare(*s, err); hasSigns(c.root, c.flags.root) {
			all = append(all, c)
		}
	}
	return all
}

// prepare reads the configuration of a kubelet.
func (f finder) prepare(s start, err error) candidate {
	c := candidate{start: s, flags: parseFlags(s.args), config: s.base, err: err}
	setDefault(&c.flags.root, defaultRoot)
	c.flags.root = absolute(s.dir, c.flags.root)
	if c.err != nil {
		return c
	}
	c.config.ImageGCHigh = 85
	if c.flags.config == "" {
		c.config.ReadOnlyPort = 10255 // applyLegacyDefaults in cmd/kubelet/app/options, v1.35.4
	}
	var files []string
	if files, c.err = c.config.read(s.root, s.dir, c.flags); c.err != nil {
		return c
	}
	c.files = append(c.files, files...)
	for _, set := range c.flags.settings {
		if err := set(&c.config); err != nil && c.err == nil {
			c.err = &ConfigError{File: "the flags of " + s.found, Err: err}
		}
	}
	c.config.complete()
	return c
}

// pick returns the candidate of the container runtime at the socket, nil for none, and adds
// to none why the others are not it. One whose configuration cannot be used counts when there
// is no other.
func pick(all []candidate, socket string, none *NotFoundError) (*candidate, error) {
	var ours, broken *candidate
	var roots []string
	for _, c := range all {
		switch {
		case c.off:
			none.Looked = append(none.Looked, c.found+" starts no kubelet")
		case c.err != nil:
			setDefault(&broken, &c)
		case !c.uses(socket):
			none.Looked = append(none.Looked, fmt.Sprintf("%s has the container runtime %s", c.found, c.config.Endpoint))
		default:
			setDefault(&ours, &c)
			roots = append(roots, c.root.path(c.flags.root))
		}
	}
	slices.Sort(roots)
	if roots = slices.Compact(roots); len(roots) > 1 {
		return nil, &NotFoundError{Roots: roots}
	}
	setDefault(&ours, broken)
	return ours, nil
}

// uses reports whether the kubelet has its images from the container runtime at the socket.
func (c candidate) uses(socket string) bool {
	if socket == "" {
		return true
	}
	for _, endpoint := range []string{c.config.ImageEndpoint, c.config.Endpoint} {
		path := strings.TrimPrefix(endpoint, "unix://")
		if path != "" && (c.root.same(path, socket) || c.root == "" && filepath.Clean(path) == filepath.Clean(socket)) {
			return true
		}
	}
	return false
}

// kubelet returns what is known of the kubelet of this version.
func (c candidate) kubelet(version string) *Kubelet {
	k := &Kubelet{
		Root:    c.root.path(c.flags.root),
		Found:   c.found,
		PID:     c.pid,
		Service: strings.TrimSuffix(c.unit, ".service"),
		Version: version,
		Settings: pullrecords.Settings{
			Enabled:   recordsEnabled(c.config.Gates, version),
			Policy:    c.config.Policy,
			Allowlist: c.config.Allowlist,
			Version:   version,
		},
		Endpoint:     c.config.Endpoint,
		Address:      c.config.Address,
		Port:         c.config.Port,
		ReadOnlyPort: c.config.ReadOnlyPort,
		NodeName:     c.flags.nodeName,

		ImageGCHighThresholdPercent: c.config.ImageGCHigh,
	}
	if c.flags.config != "" {
		k.ConfigFile = c.root.path(absolute(c.dir, c.flags.config))
	}
	if c.flags.kubeconfig != "" {
		k.Kubeconfig = c.root.path(absolute(c.dir, c.flags.kubeconfig))
	}
	if c.config.StaticPods != "" {
		k.StaticPods = c.root.path(absolute(c.dir, c.config.StaticPods))
	}
	return k
}
