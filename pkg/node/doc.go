// Package node puts a bundle into a node's containerd so that the kubelet finds
// every image of it without asking a registry.
//
//	n, err := node.Connect(ctx, node.Options{})
//	...
//	defer n.Close()
//	report, err := n.Load(ctx, bundle, node.LoadOptions{})
//
// A load is a transaction as far as containerd allows one: what is there already
// is neither read nor sent; everything new is written under a lease; layers are
// unpacked by this process, straight from the bundle into the snapshots that
// containerd prepared; file systems are synced; only then are the image records
// made, so that no half image is ever visible. The last step asks the CRI plugin
// for each name, as the kubelet would. A load that fails or is cancelled leaves
// no record, no lease and no open snapshot.
//
// The package speaks to containerd 1.6 and later (content, snapshots, images,
// leases and introspection services, CRI v1). It unpacks by itself on Linux when
// it shares the mount namespace of containerd and the snapshotter is overlayfs or
// native; everywhere else containerd's own diff service does it.
package node
