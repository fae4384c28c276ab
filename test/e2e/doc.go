//go:build linux

// Package e2e tests with real kubelets and real containerds, with and without a control
// plane, on a machine without access to any registry, that pods run from what bundle wrote
// and load transferred.
//
//	m := newMachine(t, defaultDisk, "") // new namespaces: no network, own processes
//	n := m.startNode(t, "")             // containerd inside
//	n.load(t, tarball)
//	k := n.startKubelet(t, nil)
//	k.put(t, p) // a static pod
//	k.waitPod(t, p.Metadata.Name, running)
//
// A [machine] is a set of Linux namespaces (pid, mount, network, IPC; namespaces(7)). All
// processes of a node run in it, so that they can be killed at once, as by a power cut, and
// so that nothing remains if the test binary itself is killed: the first process of the
// machine exits when the pipe to its owner closes, and the kernel kills the rest.
//
// # What runs where
//
// Inside: containerd, its shims and containers, the kubelet, load, and what [machine.do]
// does. Outside: the registry and bundle, unless a test says otherwise, and the clients of
// CRI and of the kubelet: a unix socket can be reached across network namespaces, and
// connections to the kubelet's port are made inside.
//
// The roots of containerd and the kubelet are on an ext4 file system in a file (mkfs.ext4,
// a loop device), because a kubelet checks the size of its disk, and because a copy of that
// file, made after all processes were killed, is the state after a power cut.
//
// # The kubelet
//
// In most tests it has no API server. Its pods are files in a directory (static pods), and
// their status is read from /pods of its read-only port. Pods use the network of the
// machine. It is the kubelet of k8s.io/kubernetes, which "make e2e" builds from unchanged
// code; "make e2e KUBELET=v1.35.4" uses another version.
//
// # The cluster
//
// A [cluster] is a control plane in a machine, also of unchanged code. Its nodes are in the
// same machine: each has a containerd, a kubelet, directories and an address of its own, and
// the CNI plugins ptp, host-local and loopback connect its pods to the machine.
//
//	c := m.startCluster(t)
//	n := c.addNode(t, nil) // containerd
//	k := n.startKubelet(t, nil)
//	k.put(t, p) // through the API server
//
// A [lab] is a node with a registry that can be cut off, for what a kubelet decides about
// images that are already there: the pod, "load check" and the kubelet's own counter of its
// decisions have to agree.
//
// The tests mostly wait, so they run in parallel (-parallel); they share only the built
// programs.
package e2e
