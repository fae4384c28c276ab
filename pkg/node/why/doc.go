// Package why explains why pods of this node wait for their images: for each image the
// likely causes, the most likely first, each with its cure.
//
//	report, err := why.Explain(ctx, why.Options{Address: "/run/containerd/containerd.sock"})
//	for _, w := range report.Waiting {
//		fmt.Println(w.Image, w.Causes[0].Text, w.Causes[0].Cure)
//	}
//
// Explain only reads: the pods from the kubelet, the API server or the files of static pods,
// the images and sandboxes from CRI and containerd's image store, the kubelet's pull records,
// the free space of the disks, and the bundles below a directory. It sends nothing to a
// registry unless Options say so, and then HEAD requests only.
//
// The causes come from a table of rules (rules.go), functions from facts to a cause. Evidence
// of the node ranks above the text of the kubelet's message: an image that containerd has in
// another namespace explains more than the pull that failed because of it. The texts are those
// of containerd (core/remotes/docker, internal/cri/server/images) and of the kubelet
// (pkg/kubelet/images of Kubernetes).
package why
