//go:build linux

package main

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"stowage/bench/meter"
	"stowage/internal/registrytest"
)

func TestTable(t *testing.T) {
	x := table{head: []string{"way", "wall s", ""}}
	x.add("bundle", "0.66 (0.60-0.70)", "1")
	x.add("a|b", "two\nlines")
	want := `
| way    |           wall s |    |
| ------ | ---------------: | -: |
| bundle | 0.66 (0.60-0.70) |  1 |
| a\|b   |        two lines |    |
`
	if diff := cmp.Diff(strings.TrimPrefix(want, "\n"), x.String()); diff != "" {
		t.Error(diff)
	}
}

func TestTargets(t *testing.T) {
	got := targetsTable([]target{
		compare("at the limit", 0.25, 1, 4),
		compare("above it", 0.25, 1.1, 4),
		compare("the peer is missing", 1, 1, 0),
		compare("ours is missing", 1, 0, 1),
		atMost("memory", " MiB", 32, 15.06, true),
		atMost("pulls", "", 0, 1, true),
		atMost("not measured", " s", 1, 0, false),
	})
	want := `
| target              | at most | measured | reached |
| ------------------- | ------: | -------: | ------: |
| at the limit        |  0.25 x |   0.25 x |     yes |
| above it            |  0.25 x |   0.28 x |      no |
| the peer is missing |  1.00 x |        - | not run |
| ours is missing     |  1.00 x |        - | not run |
| memory              | 32.0 MiB | 15.1 MiB |     yes |
| pulls               |       0 |        1 |      no |
| not measured        |  1.00 s |        - | not run |
`
	if diff := cmp.Diff(cells(want), cells(got)); diff != "" {
		t.Error(diff)
	}
}

// cells returns the words of a table, independent of its widths.
func cells(table string) [][]string {
	var rows [][]string
	for line := range strings.Lines(strings.TrimSpace(table)) {
		if !strings.Contains(line, "| --") {
			rows = append(rows, strings.Fields(line))
		}
	}
	return rows
}

// sampleRows returns invented measurements with easily recognised figures.
func sampleRows() []*bundleRow {
	sample := func(wall time.Duration, sum string) bundled {
		return bundled{
			Report: meter.Report{Wall: wall, CPU: wall / 2, Peak: 16 << 20, Written: 202e6},
			size:   200e6, sum: sum,
			counts: registrytest.Counts{ManifestHeads: 3, ManifestGets: 6, Counted: 6, BlobGets: 9, BlobBytes: 125e6, Pings: 1, Tokens: 1},
		}
	}
	return []*bundleRow{
		{bundler: bundler{name: ourBundle}, samples: []bundled{sample(time.Second, "a"), sample(3*time.Second, "a")}},
		{bundler: bundler{name: cranePull, needs: &crane}, samples: []bundled{sample(4*time.Second, "a"), sample(4*time.Second, "b")}},
		{bundler: bundler{name: "fast", needs: &oras}, samples: []bundled{sample(time.Second, "a")}},
		{bundler: bundler{name: "absent", needs: &skopeo}, trouble: "skopeo is not installed"},
	}
}

func TestBundleTable(t *testing.T) {
	got := cells(bundleTable(inMemory, sampleRows()))
	want := cells(`
| command | wall s | x crane pull | CPU s | peak MiB | tarball MB | manifest HEAD | manifest GET | counted | blob GET | blob MB | pings | tokens | same bytes twice |
| bundle | 2.00 (1.00-3.00) | 0.50 | 1.00 | 16.0 | 200 | 3 | 6 | 6 | 9 | 125 | 1 | 1 | yes |
| crane pull | 4.00 (4.00-4.00) | 1.00 | 2.00 | 16.0 | 200 | 3 | 6 | 6 | 9 | 125 | 1 | 1 | no |
| fast | 1.00 | 0.25 | 0.50 | 16.0 | 200 | 3 | 6 | 6 | 9 | 125 | 1 | 1 | - |
| absent | not run | | | | | | | | | | | | |

absent was not run: skopeo is not installed
`)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got := bundleTable(onDisk, sampleRows()); !strings.Contains(got, " 202 |") || !strings.Contains(got, "written / tarball") {
		t.Errorf("on a disk the bytes written are missing:\n%s", got)
	}
}

func TestBundleTargets(t *testing.T) {
	rows := sampleRows()
	targets := bundleTargets(map[string][]*bundleRow{inMemory: rows, slowLink: rows, onDisk: rows})
	got := map[string]float64{}
	for _, m := range targets {
		if m.measured {
			got[m.what] = m.got
		}
	}
	want := map[string]float64{
		"loopback: wall, ours / crane pull":      0.5,
		"loopback: wall, ours / fastest peer":    2,
		"100 Mbit/s: wall / (bytes / bandwidth)": 0.125, // 2 s for what takes 16 s
		"disk: bytes written / tarball":          1.01,
		"peak memory, the worst of all runs":     16,
		"counted pulls of 3 multi-arch images":   6,
		"pings":                                  1,
		"token requests":                         1,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// loadRows returns invented measurements, too.
func madeUpLoads() []*loadRow {
	row := func(name string, first, again time.Duration) *loadRow {
		sample := func(wall time.Duration) loaded {
			return loaded{
				Report: meter.Report{Wall: wall, CPU: wall, Peak: 32 << 20}, DaemonCPU: wall / 2,
				DaemonPeak: 64 << 20, Root: 500e6, Visible: 3, Snapshots: 6,
			}
		}
		return &loadRow{loader: loader{Name: name}, First: []loaded{sample(first)}, Again: []loaded{sample(again)}}
	}
	return []*loadRow{
		row(ourLoad, 2*time.Second, 50*time.Millisecond), row(ourDiscard, time.Second, 50*time.Millisecond),
		row(ctrImport, 5*time.Second, time.Second), {loader: loader{Name: ctrLocal}, Trouble: "failed"},
	}
}

func TestLoadTable(t *testing.T) {
	rows := madeUpLoads()
	rows[0].Syncs = "1 + 20"
	got := cells(loadTable(rows))
	if len(got) != 1+2*len(rows)-1+2 {
		t.Fatalf("%d lines, want a head, two for each way that was run, one for the other, and a note", len(got))
	}
	for i, want := range map[int]string{
		1: "| load | 2.00 | 0.40 | - | 2.00 | 1.00 | - | 32.0 | 64.0 | 500 | 6 | 3 | 1 + 20 |",
		4: "| ctr images import --local | not run | | | | | | | | | | | |",
		5: "| load, again | 0.05 | 0.05 | - | 0.05 | 0.03 | - | 32.0 | 64.0 | 500 | 6 | 3 | |",
	} {
		if diff := cmp.Diff(strings.Fields(want), got[i]); diff != "" {
			t.Errorf("row %d:\n%s", i, diff)
		}
	}
}

// TestPaired checks that the ratios are those of rounds, not of medians.
func TestPaired(t *testing.T) {
	load := func(seconds ...int) (samples []loaded) {
		for _, s := range seconds {
			samples = append(samples, loaded{Report: meter.Report{Wall: time.Duration(s) * time.Second}})
		}
		return samples
	}
	for _, c := range []struct {
		name         string
		mine, theirs []loaded
		want         []float64
	}{
		{"three rounds", load(1, 2, 3), load(2, 8, 3), []float64{0.5, 0.25, 1}},
		{"theirs failed in the second round", load(1, 2), load(2), []float64{0.5}},
		{"no time", load(1, 2), load(0, 4), []float64{0.5}},
		{"not run", load(1), nil, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, paired(c.mine, c.theirs, loaded.wall)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestLoadTargets(t *testing.T) {
	rows := madeUpLoads()
	got := map[string]string{}
	for _, m := range loadTargets([]loadResult{{Condition: inMemory, Set: madeUp, Rows: rows}, {Condition: inMemory, Set: tiny, Rows: rows}}) {
		got[m.what] = m.verdict()
	}
	want := map[string]string{
		"one core, made-up images: wall, load / ctr import":        "not run",
		"real images: wall, load / ctr import":                     "not run",
		"real images: wall, load / ctr import --local":             "not run",
		"real images: processor, load / ctr import --local":        "not run",
		"real images: wall, load --discard-layers / ctr import":    "not run",
		"real images: memory of containerd, load / ctr import":     "not run",
		"made-up images: wall, load / ctr import":                  "no", // 0.4
		"made-up images: wall, load / ctr import --local":          "not run",
		"made-up images: processor, load / ctr import --local":     "not run",
		"made-up images: wall, load --discard-layers / ctr import": "yes",
		"made-up images: memory of containerd, load / ctr import":  "yes",
		"200 tiny images: wall, load / ctr import":                 "yes",
		"peak memory of load, the worst of all runs":               "yes",
		"nothing to do, 3 images":                                  "yes",
		"nothing to do, 200 images":                                "yes",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
