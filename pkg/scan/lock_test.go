package scan_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"stowage/pkg/scan"
)

// TestCheckLock compares manifests with lock files of earlier ones.
func TestCheckLock(t *testing.T) {
	const d = "@sha256:1111111111111111111111111111111111111111111111111111111111111111"
	pod := func(fields string) string { return "apiVersion: v1\nkind: Pod\nspec:\n  " + fields + "\n" }
	one := pod("containers: [{name: a, image: 'quay.io/t/one:v1'}]")
	arg := pod("containers: [{name: a, image: 'quay.io/t/one:v1', args: [--x-image=quay.io/t/side:v1]}]")
	for _, test := range []struct {
		name, manifests, lock string
		uncovered             []scan.Uncovered
		unused                []string
	}{
		{"covered", one, "quay.io/t/one:v1" + d, nil, nil},
		{"no image", "apiVersion: v1\nkind: ConfigMap\n", "", nil, nil},
		{"new image", one, "", []scan.Uncovered{{"quay.io/t/one:v1", "not in the lock file", scan.Position{Line: 4, Column: 34}}}, nil},
		{"new tag", one, "quay.io/t/one:v0" + d, []scan.Uncovered{{"quay.io/t/one:v1", "not in the lock file", scan.Position{Line: 4, Column: 34}}}, []string{"quay.io/t/one:v0"}},
		{"no longer named", one, "quay.io/t/one:v1" + d + "\nquay.io/t/two:v1" + d, nil, []string{"quay.io/t/two:v1"}},
		{"indirect", arg, "quay.io/t/one:v1" + d + "\nquay.io/t/side:v1" + d + " # indirect", nil, nil},
		{"indirect and left out", arg, "quay.io/t/one:v1" + d + "\n# left out: quay.io/t/side:v1 not found", nil, nil},
		{"required now", one, "quay.io/t/one:v1" + d + " # indirect", []scan.Uncovered{{"quay.io/t/one:v1", "locked as indirect, and required now", scan.Position{Line: 4, Column: 34}}}, nil},
		{"left out and required now", one, "quay.io/t/two:v1" + d + "\n# left out: quay.io/t/one:v1 not found", []scan.Uncovered{{"quay.io/t/one:v1", "left out when the lock file was made, and required now", scan.Position{Line: 4, Column: 34}}}, []string{"quay.io/t/two:v1"}},
		{"was for Windows", one, "quay.io/t/one:v1" + d + " # windows", []scan.Uncovered{{"quay.io/t/one:v1", "locked for Windows nodes, and needed on others now", scan.Position{Line: 4, Column: 34}}}, nil},
		{
			"volume now", pod("{containers: [], volumes: [{name: a, image: {reference: 'quay.io/t/one:v1'}}]}"), "quay.io/t/one:v1" + d,
			[]scan.Uncovered{{"quay.io/t/one:v1", "locked as the image of containers, and an image volume now", scan.Position{Line: 4, Column: 60}}}, nil,
		},
		{"volume", pod("{containers: [], volumes: [{name: a, image: {reference: 'quay.io/t/one:v1'}}]}"), "quay.io/t/one:v1" + d + " # image-volume", nil, nil},
		{"registry in the cluster", pod("containers: [{name: a, image: 'quay.io/t/one:v1'}, {name: b, image: 'r.infra.svc/one:v1'}]"), "quay.io/t/one:v1" + d + "\n# left out: r.infra.svc/one:v1 inside", nil, nil},
		{"digest", pod("containers: [{name: a, image: 'quay.io/t/one:v1" + d + "'}]"), "quay.io/t/one:v1" + d + " # digest", nil, nil},
		{
			"digest instead of a tag", pod("containers: [{name: a, image: 'quay.io/t/one:v1" + d + "'}]"), "quay.io/t/one:v1" + d,
			[]scan.Uncovered{{"quay.io/t/one:v1" + d, "not in the lock file", scan.Position{Line: 4, Column: 34}}}, []string{"quay.io/t/one:v1"},
		},
		{"tag and its digest", pod("containers: [{name: a, image: 'quay.io/t/one:v1'}, {name: b, image: 'quay.io/t/one:v1" + d + "'}]"), "quay.io/t/one:v1" + d + "\nquay.io/t/one:v1" + d + " # digest", nil, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			uncovered, unused := scan.CheckLock(scanned(t, test.manifests), scanned(t, scan.LockHeader+"\n"+test.lock+"\n"))
			if diff := cmp.Diff(test.uncovered, uncovered); diff != "" {
				t.Errorf("uncovered (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.unused, unused); diff != "" {
				t.Errorf("unused (-want +got):\n%s", diff)
			}
		})
	}
}

func scanned(t *testing.T, text string) *scan.Result {
	t.Helper()
	s := scan.New(scan.Options{})
	if err := s.Scan("", strings.NewReader(text)); err != nil {
		t.Fatal(err)
	}
	return s.Result()
}
