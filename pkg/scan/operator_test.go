package scan

import "testing"

func TestTables(t *testing.T) {
	if k := kinds(); len(k.pulled) < 10 || !k.ignored[kindKey{"apiextensions.k8s.io", "CustomResourceDefinition"}] {
		t.Errorf("kinds: %v", k)
	}
	for _, row := range operators() {
		if len(row.Repositories)+len(row.Groups) == 0 || !row.Complete && (row.Operands == "" || row.Advice == "") {
			t.Errorf("operator without what it needs: %+v", row)
		}
		for _, r := range row.Repositories {
			if _, ok := parseName(r); !ok {
				t.Errorf("%q is no repository", r)
			}
		}
	}
	if _, known := operatorByRepository("mirror/tigera/operator"); !known {
		t.Error("a mirrored operator is not known")
	}
	if _, known := operatorByRepository("nottigera/operator"); known {
		t.Error("nottigera/operator is known")
	}
}
