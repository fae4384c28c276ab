package scan_test

import (
	"fmt"
	"strings"

	"stowage/pkg/scan"
)

const manifest = `apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  template:
    spec:
      containers:
      - name: web
        image: nginx:1.27.1
        args: [--proxy-image=quay.io/shop/proxy:v2]
      - name: later
        image: ${REGISTRY}/shop/later:v1
`

// Every image with its class and its place, and what should be known before relying on
// them.
func Example() {
	s := scan.New(scan.Options{})
	if err := s.Scan("shop.yaml", strings.NewReader(manifest)); err != nil {
		fmt.Println(err)
	}
	res := s.Result()
	for _, ref := range res.References {
		fmt.Printf("%s %s:%d:%d %s\n", ref.Class, ref.File, ref.Line, ref.Column, ref.Name)
	}
	for _, w := range res.Warnings {
		fmt.Printf("%s %s:%d: %s\n", w.Code, w.File, w.Line, w.Message)
	}
	// Output:
	// required shop.yaml:9:16 docker.io/library/nginx:1.27.1
	// indirect shop.yaml:10:30 quay.io/shop/proxy:v2
	// placeholder shop.yaml:12: "${REGISTRY}/shop/later:v1" is a placeholder, not an image
}

// An image list is an input like any other.
func ExampleScanner_Scan_list() {
	s := scan.New(scan.Options{})
	err := s.Scan("images.txt", strings.NewReader("# the rest\nbusybox\nquay.io/shop/tool:v3\n"))
	fmt.Println(s.Result().Names(), err)
	// Output:
	// [docker.io/library/busybox:latest quay.io/shop/tool:v3] <nil>
}

// Tags are pinned to digests where they stand.
func ExampleRewrite() {
	out, edits, err := scan.Rewrite([]byte("image: 'nginx:1.27.1' # keep\n"), scan.RewriteOptions{Digests: map[string]string{
		"docker.io/library/nginx:1.27.1": "sha256:04ba374043ccd2fc5c593885c0eacddebabd5ca375f9323666f28dfd5a9710e3",
	}})
	fmt.Println(len(edits), err)
	fmt.Print(string(out))
	// Output:
	// 1 <nil>
	// image: 'nginx:1.27.1@sha256:04ba374043ccd2fc5c593885c0eacddebabd5ca375f9323666f28dfd5a9710e3' # keep
}
