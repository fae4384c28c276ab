//go:build linux

package main

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestBundlerCommands(t *testing.T) {
	j := job{program: "/bin/peer", refs: []string{"reg:1/a:v1", "reg:1/b:v1"}, host: "reg:1", dir: "/d", out: "/d/images.tar"}
	tar := "tar -cf /d/images.tar -C /d/layout ."
	arch := runtime.GOARCH
	skopeo := "/bin/peer --insecure-policy --override-os linux --override-arch " + arch +
		" copy -q --src-tls-verify=false --authfile /d/config.json "
	regctl := "/bin/peer --host reg=reg:1,tls=disabled image copy --platform linux/" + arch + " "
	oras := "/bin/peer copy --from-plain-http --platform linux/" + arch + " --no-tty --to-oci-layout "
	want := map[string][]string{
		ourBundle:   {"/bin/peer -f /d/pod.yaml -o /d/images.tar"},
		ourNoChange: {"/bin/peer -f /d/pod.yaml -o /d/images.tar"},
		cranePull:   {"/bin/peer pull --insecure --platform linux/" + arch + " reg:1/a:v1 reg:1/b:v1 /d/images.tar"},
		"crane pull --format oci, tar": {
			"/bin/peer pull --insecure --platform linux/" + arch + " --format oci --annotate-ref reg:1/a:v1 reg:1/b:v1 /d/layout", tar,
		},
		"skopeo copy to oci:, tar": {
			skopeo + "docker://reg:1/a:v1 oci:/d/layout:reg:1/a:v1", skopeo + "docker://reg:1/b:v1 oci:/d/layout:reg:1/b:v1", tar,
		},
		"regctl image copy to ocidir:, tar": {regctl + "reg:1/a:v1 ocidir:///d/layout:0", regctl + "reg:1/b:v1 ocidir:///d/layout:1", tar},
		"oras copy --to-oci-layout, tar":    {oras + "reg:1/a:v1 /d/layout:0", oras + "reg:1/b:v1 /d/layout:1", tar},
	}
	got := map[string][]string{}
	for _, b := range bundlers {
		for _, args := range b.commands(j) {
			got[b.name] = append(got[b.name], strings.Join(args, " "))
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestLoaderCommands(t *testing.T) {
	want := []string{
		"p --address sock x.tar",
		"p --address sock --discard-layers x.tar",
		"p --address sock -n k8s.io images import x.tar",
		"p --address sock -n k8s.io images import --local x.tar",
	}
	var got []string
	for _, l := range loaders {
		got = append(got, strings.Join(l.command("p", "sock", "x.tar"), " "))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestManifest(t *testing.T) {
	want := `apiVersion: v1
kind: Pod
metadata: {name: bench}
spec:
  containers:
  - {name: c0, image: "reg:1/a:v1"}
  - {name: c1, image: "reg:1/b:v1"}
`
	if diff := cmp.Diff(want, manifest([]string{"reg:1/a:v1", "reg:1/b:v1"})); diff != "" {
		t.Error(diff)
	}
}

func TestBuiltVersion(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	text := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(text, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if got := builtVersion(self); got == "" {
		t.Error("this program: no version")
	}
	for name, file := range map[string]string{"script": text, "missing file": text + "-missing"} {
		if got := builtVersion(file); got != "" {
			t.Errorf("%s: version %q", name, got)
		}
	}
}

func TestLastLine(t *testing.T) {
	for in, want := range map[string]string{"": "", "one": "one", "one\ntwo\n\n": "two", "\n \n": ""} {
		if got := lastLine(in); got != want {
			t.Errorf("lastLine(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestSumOf(t *testing.T) {
	file := filepath.Join(t.TempDir(), "x.tar")
	if err := os.WriteFile(file, []byte("abc"), 0o644); err != nil {
		t.Fatal(err)
	}
	// FIPS 180-4, the example "abc" for SHA-256.
	if n, sum, err := sumOf(file); n != 3 || sum != "ba7816bf8f01cfea" || err != nil {
		t.Errorf("got %d, %s, %v", n, sum, err)
	}
	if _, _, err := sumOf(file + "-missing"); !os.IsNotExist(err) {
		t.Errorf("missing file: got %v", err)
	}
}

func TestSame(t *testing.T) {
	for _, c := range []struct {
		name string
		sums []string
		want string
	}{
		{"none", nil, "-"},
		{"one", []string{"a"}, "-"},
		{"equal", []string{"a", "a", "a"}, "yes"},
		{"last differs", []string{"a", "a", "b"}, "no"},
	} {
		var samples []bundled
		for _, s := range c.sums {
			samples = append(samples, bundled{sum: s})
		}
		if got := same(samples); got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
}

// TestClone checks that measurements of one condition do not appear in another.
func TestClone(t *testing.T) {
	rows := []*bundleRow{{bundler: bundler{name: "a"}, trouble: "missing"}}
	copies := clone(rows)
	copies[0].samples = append(copies[0].samples, bundled{size: 1})
	if len(rows[0].samples) != 0 || copies[0].name != "a" || copies[0].trouble != "missing" {
		t.Errorf("row %+v, copy %+v", rows[0], copies[0])
	}
}

func TestNoise(t *testing.T) {
	rows := []*bundleRow{
		{samples: []bundled{{others: 0.1}, {others: 0.2}}},
		{}, // not run
		{samples: []bundled{{others: 0.3}}},
	}
	if diff := cmp.Diff([]float64{0.1, 0.2, 0.3}, bundleNoise(rows)); diff != "" {
		t.Errorf("bundle: %s", diff)
	}
	loads := []*loadRow{{First: []loaded{{Others: 0.4}}, Again: []loaded{{Others: 9}}}}
	if diff := cmp.Diff([]float64{0.4}, loadNoise(loads)); diff != "" {
		t.Errorf("load: %s", diff)
	}
}

func TestFastestPeer(t *testing.T) {
	wall := func(d time.Duration) []bundled {
		s := bundled{}
		s.Wall = d
		return []bundled{s}
	}
	rows := []*bundleRow{
		{bundler: bundler{name: ourBundle}, samples: wall(time.Second)},
		{bundler: bundler{name: "slow", needs: &oras}, samples: wall(5 * time.Second)},
		{bundler: bundler{name: "fast", needs: &oras}, samples: wall(3 * time.Second)},
		{bundler: bundler{name: "absent", needs: &oras}},
	}
	if got := fastestPeer(rows); got != 3 {
		t.Errorf("got %v s, want 3", got)
	}
	if got := fastestPeer(rows[:1]); got != 0 {
		t.Errorf("without peers: got %v s, want 0", got)
	}
}

func TestPublish(t *testing.T) {
	var out strings.Builder
	if err := publish("table\n", "", &out); err != nil || out.String() != "table\n" {
		t.Errorf("standard output: %q, %v", out.String(), err)
	}
	file := filepath.Join(t.TempDir(), "tables.md")
	if err := publish("table\n", file, &out); err != nil {
		t.Fatal(err)
	}
	if raw, err := os.ReadFile(file); err != nil || string(raw) != "table\n" || out.String() != "table\n" {
		t.Errorf("file: %q, %v; standard output: %q", raw, err, out.String())
	}
}
