// Package pullrecords is the kubelet's own rule on images that the node has: its pull
// records, and whether it asks a registry for an image that is present (KEP-2535, feature
// gate KubeletEnsureSecretPulledImages, on by default since Kubernetes 1.35).
//
//	records, err := pullrecords.Read("/var/lib/kubelet")
//	...
//	records.AtStart(present) // when the kubelet is yet to start
//	d := records.Decide(settings, "docker.io/calico/node:v3.28.0", imageID, pullrecords.Pod{})
//	if d.Pull {
//		fmt.Println(d.Text) // pulled before with secret default/regcred
//	}
//
// The kubelet keeps two kinds of files below its root directory, each named after a SHA-256:
//
//	image_manager/pulling/sha256-HEX  ImagePullIntent: a pull began; HEX of the name in the pod
//	image_manager/pulled/sha256-HEX   ImagePulledRecord: a pull succeeded; HEX of the image id of CRI
//
// An image without either was not pulled by the kubelet: it is preloaded, and the default
// policy accepts it. All others are accepted for the repositories and the credentials that
// their record lists. The record belongs to the content: every name of the same image id
// shares it.
//
// The rule is that of pkg/kubelet/images/pullmanager of Kubernetes 1.35.4, 1.36.3 and
// 1.37.2; the module test/pullmanager compares it with that package. Where versions differ
// and the version is unknown, the stricter answer counts. The kubelet reads the files when
// it starts: a change has no effect until it restarts.
package pullrecords
