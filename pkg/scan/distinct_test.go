package scan

import (
	"fmt"
	"strings"
	"testing"
)

// TestDistinct keeps the first of the references that differ only in their places.
func TestDistinct(t *testing.T) {
	pod := func(name, namespace, rest string) string {
		return fmt.Sprintf("---\nkind: Pod\nmetadata: {name: %s, namespace: %s}\nspec: {containers: [{image: demo/a:1, args: [--x-image=demo/b:1]}], %s}\n", name, namespace, rest)
	}
	src := pod("a", "one", "restartPolicy: Never") + pod("b", "one", "restartPolicy: Never") + pod("c", "two", "restartPolicy: Never") +
		pod("d", "one", "imagePullSecrets: [{name: s}]") + pod("e", "one", "imagePullSecrets: [{name: s}]") + pod("f", "one", "os: {name: windows}") +
		"---\nkind: ConfigMap\ndata: {image: \"demo/a:1\"}\n---\nkind: ConfigMap\ndata: {image: \"demo/a:1\"}\n" +
		"---\nkind: ServiceAccount\nmetadata: {name: default, namespace: two}\nimagePullSecrets: [{name: t}]\n"
	all, err := scanString(t, Options{}, src)
	if err != nil {
		t.Fatal(err)
	}
	res, err := scanString(t, Options{Distinct: true}, src)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range res.References {
		got = append(got, fmt.Sprintf("%s%s %s %s %s", r.Object.Name, r.OS, r.Name[10:], r.Class, strings.Join(r.PullSecrets, ",")))
	}
	want := []string{
		"a demo/a:1 required ", "a demo/b:1 indirect ", "c demo/a:1 required two/t", "c demo/b:1 indirect two/t",
		"d demo/a:1 required one/s", "d demo/b:1 indirect one/s", "fwindows demo/a:1 required ", "fwindows demo/b:1 indirect ", " demo/a:1 indirect ",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s", strings.Join(got, "\n"))
	}
	if len(all.References) != 14 || strings.Join(all.Names(), " ") != strings.Join(res.Names(), " ") || len(all.Warnings) != len(res.Warnings) || all.Documents != res.Documents {
		t.Errorf("%d references of %v, %d warnings", len(all.References), all.Names(), len(all.Warnings))
	}
}

// TestNamesAreBounded parses more names than are kept, twice.
func TestNamesAreBounded(t *testing.T) {
	for range 2 {
		for i := range maxNames + 10 {
			text := fmt.Sprintf("demo/bounded:%d", i)
			if n, ok := parseName(text); !ok || n.full != "docker.io/"+text {
				t.Fatalf("%s: %+v, %v", text, n, ok)
			}
		}
	}
	if len(names.parsed) > maxNames {
		t.Errorf("%d names kept", len(names.parsed))
	}
}

// TestDistinctMemory: with Distinct, what stays of 4 MB of Deployments does not grow with
// their number.
func TestDistinctMemory(t *testing.T) {
	run := func(size int) (kept int) {
		s := New(Options{Distinct: true})
		if err := s.Scan("test", &stream{next: deployment, left: size}); err != nil {
			t.Fatal(err)
		}
		return len(s.docs)
	}
	if small, large := run(512<<10), run(4<<20); small != large {
		t.Errorf("%d documents kept of 0.5 MB, %d of 4 MB", small, large)
	}
}
