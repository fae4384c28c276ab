// Package pullmanager compares internal/pullrecords with the package of the kubelet whose
// decisions it predicts, k8s.io/kubernetes/pkg/kubelet/images/pullmanager. It has tests only.
//
// It is a module of its own, so that nothing of Kubernetes is a requirement of the programs
// or of their other tests. go.mod is for Kubernetes 1.37, go136.mod and go135.mod are for
// the versions before:
//
//	go test .
//	go test -modfile=go136.mod .
//	go test -modfile=go135.mod -tags k135 .
package pullmanager
