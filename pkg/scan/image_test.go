package scan

import (
	"encoding/json"
	"fmt"
	"math/rand"
	"strings"
	"testing"
)

// podKinds are the objects with a pod spec; %s is the spec in flow style.
var podKinds = []string{
	"apiVersion: v1\nkind: Pod\nspec: %s\n",
	"kind: Pod\nspec: %s\n",
	"apiVersion: v1\nkind: PodTemplate\ntemplate: {spec: %s}\n",
	"apiVersion: v1\nkind: ReplicationController\nspec: {template: {spec: %s}}\n",
	"apiVersion: apps/v1\nkind: Deployment\nspec: {template: {spec: %s}}\n",
	"apiVersion: apps/v1\nkind: DaemonSet\nspec: {template: {spec: %s}}\n",
	"apiVersion: apps/v1\nkind: StatefulSet\nspec: {template: {spec: %s}}\n",
	"apiVersion: apps/v1\nkind: ReplicaSet\nspec: {template: {spec: %s}}\n",
	"apiVersion: batch/v1\nkind: Job\nspec: {template: {spec: %s}}\n",
	"apiVersion: batch/v1\nkind: CronJob\nspec: {jobTemplate: {spec: {template: {spec: %s}}}}\n",
	"kind: List\nitems: [{apiVersion: v1, kind: Pod, spec: %s}]\n",
}

// podFields are the image fields of a pod spec; %s is the value in flow style.
var podFields = []string{
	"containers: [{name: c, image: %s}]",
	"containers: [{image: %s, command: [sh], env: [{name: A, value: b}]}]",
	"containers: [{image: %s, tag: x, version: v1, repository: y}]",
	"initContainers: [{name: i, image: %s}]",
	"ephemeralContainers: [{name: e, image: %s}]",
	"volumes: [{name: v, image: {reference: %s}}]",
}

// oddValues are values that stood, or may stand, in image fields.
var oddValues = []string{
	`nginx`, `""`, `~`, `1.25`, `true`, `[nginx]`, `[]`, `{}`, `{a: b}`, `{repository: a/b, tag: c}`, `[[ .Image ]]`, `{{ .Values.image }}`, `"nginx\n"`, `"\n"`, `" "`,
	`"nginx\nredis"`, `"[nginx]"`, `"[fe80::1%eth0]:5000/app:1"`, `"[::ffff:192.0.2.1]:5000/app:1"`, `acme/app:[VERSION]`, `"acme/app:1.0["`,
	`"{VERSION}"`, `"[REGISTRY]/app:1"`, `"{\"image\": \"a/b:1\"}"`, `"#!/bin/sh\nnerdctl pull a/b:1"`, `"image: a/b:1\nx: y"`, `"- a\n- b"`,
	`docker://quay.io/a/b:1`, `oci://quay.io/a/b:1`, `"a=quay.io/a/b:1"`, `"sha256:` + hex64 + `"`, `logo.png`, `!!binary YS9iOjE=`, `"*"`,
}

// TestPodImages: an image field of a pod spec is an image or a warning, whatever it holds.
func TestPodImages(t *testing.T) {
	for _, kind := range podKinds {
		for _, field := range podFields {
			for _, value := range oddValues {
				// A template that an alias or a flow context breaks is a syntax error.
				checkPodImage(t, fmt.Sprintf(kind, "{"+fmt.Sprintf(field, value)+"}"))
			}
		}
	}
	for _, value := range []string{"|\n    nginx:1\n", ">-\n    a/b:1\n    c\n", "|\n    {a: b}\n", "|+\n    [x]\n\n"} {
		checkPodImage(t, "kind: Pod\nspec:\n  containers:\n  - image: "+value)
	}
}

// TestRandomPodImages repeats it with random values, as quoted text.
func TestRandomPodImages(t *testing.T) {
	rnd := rand.New(rand.NewSource(1))
	pieces := []string{"a", "nginx", "/", ":", "@", "1", "[", "]", "{", "}", "\n", " ", "$", "(", ")", "<", ">", "%", "*", "#", "!", "-", "_", ".", "VERSION",
		"image", "docker://", "=", "\"", "'", "|", "{{", "}}", "é", "\t", "\x00", "sha256:", hex64}
	for range 1000 {
		var b strings.Builder
		for range rnd.Intn(6) {
			b.WriteString(pieces[rnd.Intn(len(pieces))])
		}
		value, err := json.Marshal(b.String())
		if err != nil {
			t.Fatal(err)
		}
		kind, field := podKinds[rnd.Intn(len(podKinds))], podFields[rnd.Intn(len(podFields))]
		checkPodImage(t, fmt.Sprintf(kind, "{"+fmt.Sprintf(field, value)+"}"))
	}
}

// checkPodImage checks that the one image field of a manifest is an image or a warning.
func checkPodImage(t *testing.T, src string) {
	t.Helper()
	res, err := scanString(t, Options{}, src)
	answers := 0
	for _, r := range res.References {
		if strings.Contains(r.Field, ".image") && !strings.Contains(r.Field, ".env") {
			answers++
		}
	}
	for _, w := range res.Warnings {
		switch w.Code {
		case CodeInvalid, CodePlaceholder, CodeUnclear:
			answers++
		}
	}
	if err == nil && answers == 0 {
		t.Errorf("neither an image nor a warning:\n%s", src)
	}
}
