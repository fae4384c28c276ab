// Package kubelet finds the kubelet of this node and what of its configuration decides over
// the images that containerd has: the policy of its pull records, the feature gates and the
// version behind it, the directories of the records and of the static pods, the ports.
//
//	k, err := kubelet.Find(ctx, kubelet.Options{Containerd: "/run/containerd/containerd.sock"})
//	var none *kubelet.NotFoundError
//	if errors.As(err, &none) {
//		fmt.Println("not looked at:", none)
//	}
//
// The rules are those of the kubelet's own source (cmd/kubelet/app/server.go and
// cmd/kubelet/app/options of k8s.io/kubernetes v1.35.4): the file of --config, over it the
// files of --config-dir, over these the flags.
package kubelet

import (
	"strings"

	"stowage/internal/pullrecords"
)

// Options say which kubelet to find. The zero value finds the one of any container runtime.
type Options struct {
	// Dir is the root directory of the kubelet, as --kubelet-dir names it. It replaces the
	// search; the process that uses it is found all the same, if it is visible.
	Dir string
	// Containerd is the socket of the containerd in use, without "unix://". A kubelet of
	// another container runtime is not ours.
	Containerd string
	// NoVersion leaves the version unknown, for a caller that does not depend on it: to ask
	// for it, Find executes the kubelet, which takes a quarter of a second of processor time.
	NoVersion bool
}

// Kubelet is the kubelet of this node. Paths are valid for this process: those of a kubelet
// in another mount namespace begin with /proc/PID/root.
type Kubelet struct {
	// Root is the kubelet's root directory, the parent of image_manager and pods.
	Root string
	// ConfigFile is the file of --config, "" without one.
	ConfigFile string
	// Found says how the kubelet was found, for people: "process 812 (kubelet)".
	Found string

	// Service is the service of systemd to restart, "kubelet" or that of its distribution,
	// and "" when it does not run.
	Service string

	// PID is the process, 0 when none is visible.
	PID int
	// Running reports whether a kubelet uses Root, or whether that cannot be excluded. It has
	// its pull records in memory: a change on disk reaches it at its next start.
	Running bool

	// Changed are the files of its configuration that changed after it started. What is known
	// of the kubelet is what they say now, which it reads at its next start.
	Changed []string

	// Version is the kubelet's version, "v1.35.4", or "" when it is not known.
	Version string
	// Settings decide over images that are present.
	Settings pullrecords.Settings

	// Endpoint is the socket of the container runtime, as the kubelet names it, with
	// "unix://".
	Endpoint string
	// StaticPods is the directory or file of static pods, "" without.
	StaticPods string
	// Address, Port and ReadOnlyPort are what the kubelet serves at. A port of 0 is closed.
	Address            string
	Port, ReadOnlyPort int
	// Kubeconfig is the file with the kubelet's account at the API server, "" without.
	Kubeconfig string
	// NodeName is the value of --hostname-override, "" without.
	NodeName string
	// ImageGCHighThresholdPercent is the usage of the image file system, in percent, above
	// which the kubelet removes unused images; 100 or more: never.
	ImageGCHighThresholdPercent int
}

// NotFoundError says that this node has no kubelet that Find may choose, and where it looked.
type NotFoundError struct {
	Looked []string // "/var/lib/kubelet", "no process is a kubelet"
	Roots  []string // of several kubelets, between which only the caller can choose
}

// Error completes the sentence "not looked at: ...".
func (e *NotFoundError) Error() string {
	if len(e.Roots) > 0 {
		return "more than one kubelet: " + strings.Join(e.Roots, ", ") + "; choose one with --kubelet-dir"
	}
	return "no kubelet found (" + strings.Join(e.Looked, ", ") + ")"
}

// ConfigError says that a file of the kubelet's configuration cannot be used. Err has the
// position.
type ConfigError struct {
	File string
	Err  error
}

func (e *ConfigError) Error() string { return e.File + ": " + e.Err.Error() }

// Unwrap returns Err.
func (e *ConfigError) Unwrap() error { return e.Err }

// HasContainerd reports whether the service runs containerd too, as those of k3s, RKE2 and
// k0s do: images cannot be loaded while it is stopped.
func (k *Kubelet) HasContainerd() bool {
	return k.Service != "" && !strings.HasPrefix(k.Service, "kubelet") && !strings.HasPrefix(k.Service, "snap.")
}
