package manual

// The images of the pages besides those of Calico, which every registry has, and of k3s.
var (
	hubImages  = []string{"acme/app:1", "library/nginx:latest", "calico/cni:v3.28.1", "calico/node:v3.28.1", "calico/kube-controllers:v3.28.1"}
	siteImages = []string{"pause:3.10.2", "tigera/operator:v1.34.0"}
)
