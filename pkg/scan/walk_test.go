package scan

import "testing"

// TestWalkKeys scans keys that choose a rule, or hide what is below them.
func TestWalkKeys(t *testing.T) {
	resource := func(spec string) string {
		return "apiVersion: example.net/v1\nkind: Thing\nmetadata: {name: t}\nspec:\n" + spec
	}
	checkGolden(t, "walk_keys", []input{
		{name: "names of image fields", src: resource("  image: demo/a:1\n  sidecarImage: demo/b:1\n  init_image: demo/c:1\n  proxy-image: demo/d:1\n" +
			"  imageName: demo/e:1\n  imageRef: demo/f:1\n  imageURL: quay.io/demo/g:1\n  picture: demo/h:1\n")},
		{name: "lists of images", src: resource("  images: [demo/a:1, demo/b:1]\n  relatedImages: [{name: x, image: demo/c:1}]\n  extra_images: {a: demo/d:1}\n")},
		{name: "properties of images", src: resource("  imageTag: v1\n  imagePullPolicy: Always\n  imagePullSecrets: [{name: demo/a}]\n  imageVersion: 1.2.3\n  imageID: demo/a:1\n")},
		{name: "values that are no image", src: resource("  image: logo.png\n  bannerImage: https://example.net/a:1\n  baseImage: disk.qcow2\n  image2: projects/x/global/images/y\n")},
		{name: "doubtful values", src: resource("  image: redis\n  otherImage: projects/x/global/images/y\n  thirdImage: oci://quay.io/demo/a:1\n")},
		{name: "included values", src: resource("  image: redis\n  thirdImage: oci://quay.io/demo/a:1\n"), opts: Options{Include: []string{"*"}}},
		{name: "complete reference under any key", src: resource("  a: quay.io/demo/a:1\n  b: demo/b:1\n  c: localhost/c:1\n  d: [quay.io/demo/d:1]\n  e: x=quay.io/demo/e:1\n")},
		{name: "docker scheme", src: resource("  from: docker://quay.io/demo/a:1\n  image: docker://quay.io/demo/b:1\n")},
		{name: "documentation", src: resource("  description: 'uses quay.io/demo/a:1'\n  example: {image: demo/b:1}\n  examples: [{image: demo/c:1}]\n")},
		{name: "selectors and labels", src: resource("  labels: {image: demo/a:1}\n  matchLabels: {image: demo/b:1}\n")},
		{name: "targets of builds", src: resource("  output: {image: demo/a:1}\n  destinationImage: demo/b:1\n  pushTo: demo/c:1\n  tags: [quay.io/demo/d:1, v1]\n  tag: quay.io/demo/e:1\n")},
		{name: "status", src: resource("  image: demo/a:1\n") + "status:\n  image: demo/b:1\n"},
		{name: "status without a kind", src: "status: {image: demo/b:1}\n"},
		{name: "nested status counts", src: resource("  status: {image: demo/a:1}\n")},
		{name: "overrides", src: resource("  images: ['demo/a=quay.io/demo/b:1', 'old:1=demo/c:1']\n")},
		{name: "image below image", src: resource("  image: {image: demo/a:1, policy: x}\n  images: [{image: demo/b:1}, {name: demo/c}]\n")},
		{name: "image as YAML text", src: resource("  image: |\n    image: demo/a:1\n    tag: v1\n")},
		{name: "capital key", src: resource("  IMAGE: demo/a:1\n  FOO_IMAGES: demo/b:1,demo/c:1\n")},
		{name: "dotted key", src: resource("  spec.image: demo/a:1\n  'example.net/image': demo/b:1\n")},
		{name: "key is not a string", src: resource("  1: quay.io/demo/a:1\n  true: quay.io/demo/b:1\n  ? [a]\n  : quay.io/demo/c:1\n")},
	})
}

// TestWalkAnnotations scans annotations in and out of pod templates.
func TestWalkAnnotations(t *testing.T) {
	checkGolden(t, "walk_annotations", []input{
		{name: "pod", src: "kind: Pod\nmetadata:\n  annotations: {sidecar.example.net/proxyImage: demo/a:1, note: demo/b:1}\nspec: {containers: []}\n"},
		{name: "template", src: "apiVersion: apps/v1\nkind: Deployment\nmetadata: {annotations: {x.net/image: demo/no:1}}\nspec:\n  template:\n" +
			"    metadata: {annotations: {x.net/image: demo/a:1, image: demo/b:1}}\n"},
		{name: "other object", src: "kind: Service\nmetadata: {annotations: {x.net/image: demo/a:1, image: demo/b:1}}\n"},
		{name: "metadata below another key", src: "kind: Thing\napiVersion: a.b/v1\nspec: {x: {metadata: {annotations: {image: demo/a:1, y/image: demo/b:1}}}}\n"},
		{name: "included", src: "kind: Service\nmetadata: {annotations: {x.net/image: demo/a:1}}\n", opts: Options{Include: []string{"demo/*"}}},
		{name: "values that are no image", src: "kind: Pod\nmetadata: {annotations: {x.net/image: redis, y.net/image: 'a b', z.net/image: 42}}\n"},
		{name: "not a mapping", src: "kind: Pod\nmetadata: {annotations: [x.net/image]}\n"},
		{name: "annotations elsewhere", src: "kind: Thing\napiVersion: a.b/v1\nspec: {annotations: {image: demo/a:1}}\n"},
	})
}

// TestWalkRoles scans containers outside of pod specs.
func TestWalkRoles(t *testing.T) {
	checkGolden(t, "walk_roles", []input{
		{name: "steps of a task", src: "apiVersion: tekton.dev/v1\nkind: Task\nspec:\n  steps: [{name: a, image: redis}]\n  sidecars: [{image: nginx}]\n"},
		{name: "fields of a container", src: "kind: Workflow\napiVersion: argoproj.io/v1alpha1\nspec:\n  templates:\n" +
			"  - {name: a, container: {image: redis, command: [x]}}\n  - {name: b, script: {image: nginx, source: \"echo\"}}\n" +
			"  - {name: c, other: {image: busybox}}\n"},
		{name: "env alone", src: "a: {image: redis, env: []}\nb: {image: redis, env: {}}\n"},
		{name: "working directory", src: "a: {image: redis, workingDir: /x}\nb: {image: redis, workingDir: ''}\n"},
		{name: "containers without images", src: "spec: {containers: [{name: a}, {name: b, args: [--x-image=demo/a:1]}]}\n"},
		{name: "ephemeral containers", src: "spec: {ephemeralContainers: [{name: a, image: busybox}]}\n"},
	})
}

// TestWalkDuplicates scans keys that are written twice, and merges that are no repetition.
func TestWalkDuplicates(t *testing.T) {
	checkGolden(t, "walk_duplicates", []input{
		{name: "marker is missing", src: "kind: Pod\nmetadata: {name: a}\nspec: {containers: [{image: demo/a:1}]}\nkind: Pod\nmetadata: {name: b}\nspec: {containers: [{image: demo/b:1}]}\n"},
		{name: "three times", src: "a: {image: demo/a:1, image: demo/b:1, image: demo/c:1}\n"},
		{name: "merge is no repetition", src: "b: &b {image: demo/a:1}\nc: {<<: *b, image: demo/b:1}\n"},
		{name: "two merges", src: "b: &b {image: demo/a:1}\nc: {<<: *b, <<: *b}\n"},
		{name: "repetition in a merged mapping", src: "b: &b {image: demo/a:1, image: demo/b:1}\nc: {<<: *b}\n"},
		{name: "JSON", src: `{"image": "demo/a:1", "image": "demo/b:1"}`},
		{name: "long key", src: "a: {" + hex64 + hex64 + ": 1, " + hex64 + hex64 + ": 2}\n"},
		{name: "many keys", src: "{k1: 1, k2: 1, k3: 1, k4: 1, k5: 1, k6: 1, k7: 1, k8: 1, k9: 1, k10: 1, k11: 1, k12: 1, k13: 1, k14: 1, k15: 1, k16: 1, k17: 1, image: demo/a:1, image: demo/b:1, k1: 2}\n"},
	})
}
