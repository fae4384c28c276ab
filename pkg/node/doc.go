// Package node puts a bundle into a node's containerd, so that the kubelet finds every image
// of it without asking a registry.
//
//	n, err := node.Connect(ctx, node.Options{})
//	...
//	defer n.Close()
//	report, err := n.Load(ctx, bundle, node.LoadOptions{})
//
// A load is a transaction as far as containerd allows one. What the node has is neither read
// nor sent. Everything new is written under a lease. This process unpacks the layers itself,
// from the bundle straight into the snapshots that containerd prepared. It syncs the file
// systems, and only then creates the image records, so that no incomplete image is ever
// visible. At the end it asks the CRI plugin for each name, as the kubelet would. A load that
// fails or is cancelled leaves no record, no lease and no open snapshot.
//
// The package works with containerd 1.6 and later (content, snapshots, images, leases and
// introspection services, CRI v1). It unpacks layers itself on Linux when it is in the mount
// namespace of containerd and the snapshotter is overlayfs or native. Otherwise containerd's
// diff service unpacks them.
//
// A Node is safe for concurrent use. [Report] and the types in it are encoded as JSON by the
// command load; their keys and values do not change.
package node
