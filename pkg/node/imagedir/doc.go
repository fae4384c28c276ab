// Package imagedir places a bundle in the directory from which a Kubernetes distribution
// imports images, for a node whose containerd does not run yet.
//
//	p, err := imagedir.Place(ctx, "calico.tar", imagedir.Options{})
//
// k3s and RKE2 import the tarballs of their agent/images directory, plain or compressed;
// k0s imports plain ones from its images directory. None of them unpacks what it imports:
// the first pod of each image does.
//
// The package needs no containerd and links none.
package imagedir
