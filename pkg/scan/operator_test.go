package scan

import (
	"strings"
	"testing"
)

// TestTables shows that the embedded tables are read, and have what every row needs.
func TestTables(t *testing.T) {
	k := kinds()
	if len(k.pulled) < 10 || !k.ignored[kindKey{"apiextensions.k8s.io", "CustomResourceDefinition"}] {
		t.Errorf("kinds: %v", k)
	}
	for key, paths := range k.pulled {
		if key.kind == "" || len(paths) == 0 || k.ignored[key] {
			t.Errorf("%v: paths %q, ignored %v", key, paths, k.ignored[key])
		}
		for _, p := range paths {
			if p[0] != "spec" || strings.ContainsAny(strings.Join(p, ""), "[]* .") {
				t.Errorf("%v: path %q", key, p)
			}
		}
	}
	for _, row := range operators() {
		if len(row.Repositories)+len(row.Groups) == 0 || !row.Complete && (row.Operands == "" || row.Advice == "") {
			t.Errorf("operator without what it needs: %+v", row)
		}
		for _, r := range row.Repositories {
			if _, ok := parseName(r); !ok {
				t.Errorf("%q is not a repository", r)
			}
		}
		for _, text := range []string{row.Operands, row.Advice} {
			if strings.HasSuffix(text, ".") || strings.Contains(text, "\n") {
				t.Errorf("text of %v: %q", row.Repositories, text)
			}
		}
	}
}

func TestOperatorByRepository(t *testing.T) {
	for repository, want := range map[string]bool{
		"tigera/operator": true, "mirror/tigera/operator": true, "a/b/tigera/operator": true,
		"nottigera/operator": false, "tigera/operator/x": false, "operator": false, "": false,
	} {
		if _, known := operatorByRepository(repository); known != want {
			t.Errorf("operatorByRepository(%q) is %v", repository, known)
		}
	}
}

// TestOperandsOf recognises operators by the table and by their names.
func TestOperandsOf(t *testing.T) {
	for _, tc := range []struct {
		image string
		named bool
		want  string // part of the message
	}{
		{"quay.io/tigera/operator:v1", false, "the components of Calico"},
		{"quay.io/tigera/operator:v1", true, "the components of Calico"},
		{"mirror.example.net/x/tigera/operator", false, "the components of Calico"},
		{"rook/ceph:v1", false, "the CSI drivers of Ceph"},
		{"rook/ceph:v1", true, ""},
		{"demo/demo-operator:v1", false, "the images it starts"},
		{"demo/demo-operator:v1", true, ""},
		{"demo/operator", false, "the images it starts"},
		{"demo/operator-controller", false, "the images it starts"},
		{"demo/operatorx", false, ""},
		{"quay.io/cilium/operator-generic:v1", false, ""},
		{"demo/app:1", false, ""},
		{"Not/An/Image", false, ""},
		{"", false, ""},
	} {
		w, is := operandsOf(tc.image, tc.named)
		if is != (tc.want != "") || !strings.Contains(w.Message, tc.want) {
			t.Errorf("%s, named %v: %v, %+v, want %q", tc.image, tc.named, is, w, tc.want)
		}
		if is && (w.Code != CodeOperands || w.Name == "" || !strings.Contains(w.Message, tc.image) || w.Advice == "") {
			t.Errorf("%s: %+v", tc.image, w)
		}
	}
}

// TestOperandsOfResource recognises custom resources by group, kind and whether they name
// images.
func TestOperandsOfResource(t *testing.T) {
	for _, tc := range []struct {
		version, kind string
		named, want   bool
	}{
		{"operator.tigera.io/v1", "Installation", false, true},
		{"operator.tigera.io/v1", "Installation", true, true},
		{"helm.cattle.io/v1", "HelmChart", false, true},
		{"helm.cattle.io/v1", "Addon", false, false},
		{"elasticsearch.k8s.elastic.co/v1", "Elasticsearch", false, true},
		{"elasticsearch.k8s.elastic.co/v1", "Elasticsearch", true, false},
		{"example.net/v1", "Installation", false, false},
		{"apps/v1", "Deployment", false, false},
		{"v1", "Pod", false, false},
		{"", "", false, false},
	} {
		w, is := operandsOfResource(Object{APIVersion: tc.version, Kind: tc.kind, Name: "x"}, tc.named)
		if is != tc.want || is && (w.Code != CodeOperands || !strings.HasPrefix(w.Message, tc.kind+"/x ("+apiGroup(tc.version)+") ")) {
			t.Errorf("%s %s, named %v: %v, %+v", tc.version, tc.kind, tc.named, is, w)
		}
	}
}
