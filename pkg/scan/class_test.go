package scan

import (
	"strings"
	"testing"
)

// TestBelow compares paths with patterns.
func TestBelow(t *testing.T) {
	keys := scope{}.at("spec").at("containers").element(0).at("image").path.keys()
	for pattern, want := range map[string]bool{
		"spec": true, "spec.containers": true, "spec.containers.image": true, "spec.containers.image.x": false, "containers": false, "spec.container": false,
	} {
		if below(keys, strings.Split(pattern, ".")) != want {
			t.Errorf("below(%s, %q) = %v", keys, pattern, !want)
		}
	}
	if below(nil, []string{"spec"}) {
		t.Error("the root is below spec")
	}
}

// TestClass: what a custom resource makes a kubelet pull as soon as it is applied, by the
// path and the kind, not by a list of kinds.
func TestClass(t *testing.T) {
	for _, tc := range []struct {
		kind, spec string
		want       Class
	}{
		{"Gadget", "{template: {spec: {containers: [{image: x/y:1}]}}}", Required},
		{"Gadget", "{roles: {Head: {template: {spec: {initContainers: [{image: x/y:1}]}}}}}", Required},
		{"Gadget", "{groups: [{workerTemplate: {spec: {containers: [{image: x/y:1}]}}}]}", Required},
		{"Gadget", "{jobTemplate: {spec: {template: {spec: {volumes: [{image: {reference: x/y:1}}]}}}}}", Required},
		{"Gadget", "{podTemplate: {spec: {containers: [{image: x/y:1}]}}}", Required},
		{"Gadget", "{podTemplate: {containers: [{image: x/y:1}]}}", Required},
		{"Gadget", "{a: {podSpec: {containers: [{image: x/y:1}]}}}", Required},
		{"Gadget", "{containers: [{image: x/y:1}]}", Required},
		{"Gadget", "{image: x/y:1}", Required},
		{"Gadget", "{image: x/y:1, command: [sh]}", Required},
		{"Gadget", "{imageName: x/y:1}", Required},
		{"Gadget", "{image: {repository: x/y, tag: v1}}", Required},
		{"Gadget", "{a: {image: x/y:1}}", Indirect},
		{"Gadget", "{sidecar: {spec: {containers: [{image: x/y:1}]}}}", Indirect},
		{"Gadget", "{template: {spec: {containers: [{env: [{name: A_IMAGE, value: x/y:1}]}]}}}", Indirect},
		{"Gadget", "{template: {spec: {thing: {image: x/y:1}}}}", Indirect},
		{"Gadget", "{replicas: 0, image: x/y:1}", Indirect},
		{"Gadget", "{running: false, template: {spec: {containers: [{image: x/y:1}]}}}", Indirect},
		{"Gadget", "{runStrategy: Halted, template: {spec: {containers: [{image: x/y:1}]}}}", Indirect},
		{"Gadget", "{suspend: true, template: {spec: {containers: [{image: x/y:1}]}}}", Indirect},
		{"Gadget", "{a: {enabled: false, template: {spec: {containers: [{image: x/y:1}]}}}}", Indirect},
		{"Gadget", "{enable: false, image: x/y:1}", Indirect},
		{"Gadget", "{replicas: 1, enabled: true, running: true, suspend: false, image: x/y:1}", Required},
		{"GadgetTemplate", "{image: x/y:1}", Indirect},
		{"GadgetConfig", "{template: {spec: {containers: [{image: x/y:1}]}}}", Indirect},
		{"GadgetClass", "{image: x/y:1}", Indirect},
		{"ImageCatalog", "{image: x/y:1}", Indirect},
		{"GadgetRuntime", "{containers: [{image: x/y:1}]}", Indirect},
		{"GadgetPolicy", "{image: x/y:1}", Indirect},
		{"GadgetDefinition", "{image: x/y:1}", Indirect},
		{"GadgetTask", "{image: x/y:1}", Indirect},
		{"GadgetStrategy", "{image: x/y:1}", Indirect},
		{"GadgetProfile", "{image: x/y:1}", Indirect},
		{"", "{template: {spec: {containers: [{image: x/y:1}]}}}", Indirect},
	} {
		kind := ""
		if tc.kind != "" {
			kind = "apiVersion: demo.example.net/v1\nkind: " + tc.kind + "\n"
		}
		res, err := scanString(t, Options{}, kind+"spec: "+tc.spec+"\n")
		if err != nil || len(res.References) != 1 || res.References[0].Class != tc.want {
			t.Errorf("%s %s: %v, %+v, want %s", tc.kind, tc.spec, err, res.References, tc.want)
		}
	}
}
