//go:build linux

package node

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAdvisoriesOfVersions(t *testing.T) {
	const group, checkpoint, labels, archives = "CVE-2026-47262", "CVE-2026-50195", "CVE-2026-53488", "CVE-2023-25153"
	for version, want := range map[string][]string{
		"1.6.17":     {"label io.cri-containerd.pinned", archives},
		"1.6.18":     {"label io.cri-containerd.pinned"},
		"1.6.20~ds1": {"label io.cri-containerd.pinned"},
		"1.6.22":     nil,
		"1.7.2":      {"label io.cri-containerd.pinned", labels},
		"1.7.3":      {labels},
		"1.7.33":     nil,
		"2.0.9":      {labels},
		"2.0.10":     nil,
		"2.2.4":      {labels, checkpoint, group},
		"2.2.5":      nil,
		"v2.3.1":     {labels, checkpoint},
		"2.4.2":      nil,
		"main":       nil,
	} {
		var got []string
		for _, d := range advisories {
			if d.affects(version) {
				_, source, _ := strings.Cut("; "+d.source, "plugin, ")
				if source == "" {
					source, _, _ = strings.Cut(d.source, ",")
				}
				got = append(got, source)
			}
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s (-want +got):\n%s", version, d)
		}
	}
}

func TestAdvisoryText(t *testing.T) {
	want := "containerd 2.2.4 can be made to exhaust its memory by the group file of an image (fixed in 2.2.5; CVE-2026-47262)"
	last := advisories[len(advisories)-1]
	if got := last.warning("2.2.4"); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestParseAdvisoriesRejects(t *testing.T) {
	for _, bad := range []string{"defect\t1.0.0-1.1.0\ttext", "defect\t1.1.0-1.1.0\ta\tb", "defect\t1.1.0\ta\tb"} {
		if _, err := parseAdvisories(bad); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}
