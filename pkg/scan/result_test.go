package scan

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestJSON holds the output that scripts read: names of fields never change, new ones may
// come.
func TestJSON(t *testing.T) {
	res, err := scanString(t, Options{}, `apiVersion: v1
kind: Pod
metadata: {name: p, namespace: demo}
spec:
  os: {name: windows}
  imagePullSecrets: [{name: s}]
  containers:
  - {name: c, image: "registry.demo.svc/app:1", imagePullPolicy: Never}
  - {name: d, image: "{{ x }}"}
---
apiVersion: v1
kind: Secret
metadata: {name: s, namespace: demo}
type: kubernetes.io/dockerconfigjson
stringData: {.dockerconfigjson: '{"auths":{}}'}
`)
	if err != nil {
		t.Fatal(err)
	}
	got, err := json.MarshalIndent(res, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	got = append(got, '\n')
	if diff := cmp.Diff(string(golden(t, "result.json", got)), string(got)); diff != "" {
		t.Errorf("want -, got +:\n%s", diff)
	}
}

// TestCodes holds the strings that scripts compare with.
func TestCodes(t *testing.T) {
	got := fmt.Sprintln(Required, Indirect, []Form{FormContainer, FormInit, FormEphemeral, FormVolume, FormField, FormRelated, FormGroup, FormEnv,
		FormArg, FormScalar, FormText, FormAnnotation, FormList}, []Code{CodePullPolicyAlways, CodeDefaultAlways, CodeMutableTag,
		CodeAlwaysPullImages, CodePlaceholder, CodeInvalid, CodeUnclear, CodeDuplicateKey, CodeOperands, CodeClusterInternal,
		CodeLocalRegistry, CodeWindows})
	want := "required indirect [container init-container ephemeral-container image-volume field related-images group env arg scalar text " +
		"annotation list] [pull-policy-always default-pull-always mutable-tag always-pull-images placeholder invalid-reference " +
		"unclear-reference duplicate-key operands-unwritten cluster-internal-registry local-registry windows-image]\n"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestErrorTexts(t *testing.T) {
	cause := errors.New("cause")
	syntax := &SyntaxError{File: "a.yaml", Line: 3, Column: 4, Err: cause}
	if syntax.Error() != "a.yaml:3:4: cause" || !errors.Is(syntax, cause) {
		t.Error(syntax)
	}
	if got := (&LimitError{File: "a.yaml", Line: 3, Limit: LimitDepth, Max: 100}).Error(); got != "a.yaml:3: document exceeds the depth limit of 100" {
		t.Error(got)
	}
	for want, o := range map[string]Object{"": {Name: "x"}, "Pod/x": {Kind: "Pod", Name: "x"}, "Pod/n/x": {Kind: "Pod", Namespace: "n", Name: "x"}} {
		if o.String() != want {
			t.Errorf("%+v is %q", o, o.String())
		}
	}
}

// TestWarningClass distinguishes a gap in a pod spec from one in the values of a chart.
func TestWarningClass(t *testing.T) {
	for src, want := range map[string]Class{
		"kind: Pod\nspec: {containers: [{image: '${X}'}]}\n":                                                                         Required,
		"kind: Pod\nspec: {containers: [{image: 'A/B'}]}\n":                                                                          Required,
		"kind: Pod\nspec: {containers: [{image: x:1, args: ['--y-image=${Y}']}]}\n":                                                  Indirect,
		"apiVersion: x.y/v1\nkind: Z\nspec: {image: '${X}'}\n":                                                                       Required,
		"apiVersion: x.y/v1\nkind: Z\nspec: {image: nginx}\n":                                                                        Required,
		"apiVersion: x.y/v1\nkind: Z\nspec: {a: {image: '${X}'}}\n":                                                                  Indirect,
		"apiVersion: monitoring.coreos.com/v1\nkind: Prometheus\nspec: {image: '${X}'}\n":                                            Required,
		"apiVersion: ceph.rook.io/v1\nkind: CephCluster\nspec: {cephVersion: {image: '${X}'}}\n":                                     Required,
		"apiVersion: ray.io/v1\nkind: RayCluster\nspec: {workerGroupSpecs: [{template: {spec: {containers: [{image: '${X}'}]}}}]}\n": Required,
		"${X}\nbusybox\n": Required,
	} {
		res, err := scanString(t, Options{}, src)
		if err != nil || len(res.Warnings) == 0 || res.Warnings[0].Class != want {
			t.Errorf("%s: %v, %+v, want %s", src, err, res.Warnings, want)
		}
	}
}

// TestOperandsOnce scans many objects of one operator: each file has one warning.
func TestOperandsOnce(t *testing.T) {
	doc := "apiVersion: operator.tigera.io/v1\nkind: Installation\nmetadata: {name: default}\n"
	s := New(Options{})
	for _, file := range []string{"a.yaml", "b.yaml"} {
		if err := s.Scan(file, strings.NewReader(doc+"---\n"+doc)); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(s.Result().Warnings); n != 2 {
		t.Errorf("%d warnings", n)
	}
}
