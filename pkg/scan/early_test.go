package scan

import (
	"strings"
	"testing"
)

// TestEarly finds the containers of DaemonSets in kube-system, also in a lock file.
func TestEarly(t *testing.T) {
	daemonSet := func(kind, namespace, image string) string {
		return "apiVersion: apps/v1\nkind: " + kind + "\nmetadata: {name: x, namespace: " + namespace + "}\n" +
			"spec: {template: {spec: {containers: [{name: a, image: '" + image + "', env: [{name: X_IMAGE, value: 'demo/env:1'}]}]}}}\n---\n"
	}
	src := daemonSet("Deployment", "kube-system", "demo/both:1") + daemonSet("DaemonSet", "kube-system", "demo/both:1") +
		daemonSet("DaemonSet", "shop", "demo/shop:1") + daemonSet("StatefulSet", "kube-system", "demo/set:1")
	for _, distinct := range []bool{false, true} {
		res, err := scanString(t, Options{Distinct: distinct}, src)
		if err != nil {
			t.Fatal(err)
		}
		var early, lock []string
		for _, img := range res.Images() {
			if img.Early() {
				early = append(early, img.Name)
			}
			lock = append(lock, img.Name+"@sha256:"+hex64+LockNote(img))
		}
		if strings.Join(early, " ") != "docker.io/demo/both:1" {
			t.Errorf("early are %q", early)
		}
		res, err = scanString(t, Options{}, LockHeader+"\n"+strings.Join(lock, "\n")+"\n")
		if err != nil {
			t.Fatal(err)
		}
		for _, img := range res.Images() {
			if img.Early() != strings.Contains(img.Name, "/both:") {
				t.Errorf("%s is early: %v", img.Name, img.Early())
			}
		}
	}
}

// TestMatchName matches names in full and as they are usually written.
func TestMatchName(t *testing.T) {
	for _, tc := range []struct {
		pattern, name string
		want          bool
	}{
		{"docker.io/library/busybox:1", "docker.io/library/busybox:1", true},
		{"busybox:*", "docker.io/library/busybox:1", true},
		{"calico/*", "docker.io/calico/node:1", true},
		{"library/busybox:1", "docker.io/library/busybox:1", true},
		{"calico/*", "quay.io/calico/node:1", false},
		{"*/calico/*", "quay.io/calico/node:1", true},
	} {
		if got := Match(tc.pattern, tc.name); got != tc.want {
			t.Errorf("Match(%q, %q) is %v", tc.pattern, tc.name, got)
		}
	}
}
