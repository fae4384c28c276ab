package kubelet

import "fmt"

// printVersion prints what a program answers to --version.
func printVersion(name string) {
	switch name {
	case "k3s":
		fmt.Println("k3s version v1.35.4+k3s1 (0a1b2c3d)\ngo version go1.26.8")
	default:
		fmt.Println("Kubernetes v1.35.4")
	}
}
