//go:build linux

// Package e2e proves with a real kubelet and a real containerd that what bundle wrote and
// load brought over is what pods run from, on a machine that has no way to any registry.
//
//	m := newMachine(t, defaultDisk, "") // namespaces of its own: no network, own processes
//	n := m.startNode(t, "")             // containerd inside
//	n.load(t, tarball)
//	k := n.startKubelet(t, nil)
//	k.put(t, p) // a static pod
//	k.waitPod(t, p.Metadata.Name, running)
//
// A [machine] is a set of Linux namespaces (pid, mount, network, IPC; namespaces(7)). All
// of a node's processes live in it, so that they can be ended at one stroke as a power cut
// does, and so that nothing of them stays when the test binary itself is killed: the first
// process of the machine ends with the pipe to its owner, and the kernel ends the rest.
//
// # What runs where
//
// Inside: containerd, its shims and containers, the kubelet, load, and what [machine.do]
// does. Outside: the registry and bundle, unless a test says otherwise, and the clients of CRI and
// of the kubelet: a socket that is a file is reached across network namespaces, and for the
// kubelet's port the connection is made inside.
//
// containerd's root and the kubelet's lie on an ext4 file system in a file (mkfs.ext4, a
// loop device), because a kubelet wants to know the size of its disk, and because a copy of
// that file, taken when all processes were killed, is what a power cut leaves behind.
//
// # The kubelet
//
// It has no API server. Its pods are files in a folder (static pods), and what became of
// them is read at /pods of its read-only port. Pods use the network of the machine: there
// is no CNI. It is the kubelet of k8s.io/kubernetes, built by "make e2e" without a change
// to its code.
//
// The tests wait more than they work, so they run side by side (-parallel); no two of them
// share anything but the registry's programs.
package e2e
