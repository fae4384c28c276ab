//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"stowage/bench/meter"
	"stowage/internal/nodetest"
)

// Names of the rows of the targets.
const (
	ourLoad    = "load"
	ourDiscard = "load --discard-layers"
	ctrImport  = "ctr images import"
	ctrLocal   = "ctr images import --local"
)

// loader is a command that loads a tarball into containerd.
type loader struct {
	Name string
	ours bool
	args []string // between the address and the tarball
}

// loaders is the order of comparison.
var loaders = []loader{
	{Name: ourLoad, ours: true},
	{Name: ourDiscard, ours: true, args: []string{"--discard-layers"}},
	{Name: ctrImport, args: []string{"-n", "k8s.io", "images", "import"}},
	{Name: ctrLocal, args: []string{"-n", "k8s.io", "images", "import", "--local"}},
}

// rowName returns the name of the loader's row.
func (l loader) rowName() string { return l.Name }

// command returns the loader's command line.
func (l loader) command(program, address, tarball string) []string {
	return append(append([]string{program, "--address", address}, l.args...), tarball)
}

// loaded is one measurement.
type loaded struct {
	meter.Report               // of the client
	DaemonCPU    time.Duration // of containerd, until it was idle
	DaemonPeak   int64
	Root         int64   // bytes below containerd's root
	Visible      int     // names of images that CRI lists
	Snapshots    int     // unpacked layers
	Others       float64 // cores that other processes used meanwhile
}

// loadPair is a load into a new containerd and its repetition.
type loadPair struct{ first, again loaded }

func (p loadPair) noise() float64 { return p.first.Others }

// loadRow is one command and its measurements, with a new containerd and repeated.
type loadRow struct {
	loader
	First   []loaded
	Again   []loaded `json:",omitempty"`
	Syncs   string   `json:",omitempty"` // sync calls of one load; see countSyncs
	Trouble string   `json:",omitempty"` // why it was not run
	program string
}

// loadRows finds the programs for a version of containerd; empty: that of the tools.
func (b *bench) loadRows(ctx context.Context, version string) ([]*loadRow, error) {
	mine, err := ours(b.bin, "load")
	if err != nil {
		return nil, err
	}
	theirs, missing := b.findCtr(ctx, version)
	var rows []*loadRow
	for _, l := range loaders {
		row := &loadRow{loader: l, program: mine}
		if !l.ours {
			if !b.compares(l.Name) {
				continue
			}
			row.program = theirs
			if missing != nil {
				row.Trouble = missing.Error()
			} else if l.Name == ctrLocal && !strings.Contains(outputOf(ctx, theirs, "images", "import", "--help"), "--local") {
				row.Trouble = "this ctr has no --local"
			}
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// findCtr finds the ctr of a version of containerd.
func (b *bench) findCtr(ctx context.Context, version string) (string, error) {
	if version == "" {
		found, err := ctr.find(ctx, b.tools, b.install)
		return found.path, err
	}
	file := filepath.Join(b.tools, "containerd-"+version, "ctr")
	_, err := os.Stat(file)
	return file, err
}

// loadOnce adds a measurement to a row, or the reason for its failure.
func (b *bench) loadOnce(ctx context.Context, c loadCondition, p place, set imageSet, row *loadRow) error {
	if row.Trouble != "" {
		return nil
	}
	pair, err := calmest(ctx, b.calm, func() (loadPair, error) { return b.loadPair(ctx, c, p, set, row) })
	if err == nil {
		b.logf("%s: %s: %s: %.2f s", c.key, set.Key, row.Name, pair.first.wall())
		row.First = append(row.First, pair.first)
		if c.again {
			row.Again = append(row.Again, pair.again)
		}
		return nil
	}
	if row.ours || ctx.Err() != nil {
		return err
	}
	b.logf("%s: %v", row.Name, err)
	row.Trouble = "failed: " + lastLine(err.Error())
	return nil
}

// loadPair measures a load into a new containerd and, if the condition asks for it, its
// repetition.
func (b *bench) loadPair(ctx context.Context, c loadCondition, p place, set imageSet, row *loadRow) (pair loadPair, err error) {
	samples := []*loaded{&pair.first, &pair.again}
	if !c.again {
		samples = samples[:1]
	}
	err = b.withNode(ctx, p, func(node *nodetest.Node) error {
		args := slices.Concat(p.prefix, row.command(row.program, node.Address(), set.file))
		for _, sample := range samples {
			if err := syncFS(p.dir); err != nil {
				return err
			}
			if *sample, err = b.loadSample(ctx, node, args); err != nil {
				return err
			}
		}
		if row.ours && pair.first.Visible < set.Images {
			return fmt.Errorf("%s: CRI lists %d of %d images", row.Name, pair.first.Visible, set.Images)
		}
		return nil
	})
	return pair, err
}

// withNode calls f with a new containerd.
func (b *bench) withNode(ctx context.Context, p place, f func(*nodetest.Node) error) (err error) {
	// No sandbox image is needed: no pod is started.
	node, err := nodetest.Launch(ctx, nodetest.Options{Dir: p.dir, Version: p.version, Prefix: p.prefix})
	if err != nil {
		return err
	}
	defer func() {
		if stopErr := node.Stop(); err == nil {
			err = stopErr
		}
	}()
	if _, err := waitIdle(ctx, node.Pid()); err != nil { // its start is complete
		return err
	}
	return f(node)
}

// loadSample measures one load.
func (b *bench) loadSample(ctx context.Context, node *nodetest.Node, args []string) (loaded, error) {
	before, err := daemonTime(node.Pid())
	if err != nil {
		return loaded{}, err
	}
	if err := resetPeak(node.Pid()); err != nil {
		return loaded{}, err
	}
	m := startMonitor()
	report, err := b.measure(ctx, nil, args)
	if err != nil {
		return loaded{}, err
	}
	now, err := daemonTime(node.Pid())
	if err != nil {
		return loaded{}, err
	}
	s := loaded{Report: report, Others: m.others(now - before)}
	after, err := waitIdle(ctx, node.Pid())
	if err != nil {
		return loaded{}, err
	}
	s.DaemonCPU = after - before
	if s.DaemonPeak, err = daemonPeak(node.Pid()); err != nil {
		return loaded{}, err
	}
	if s.Root, err = diskUsage(node.Root()); err != nil {
		return loaded{}, err
	}
	if s.Visible, err = visible(ctx, node); err != nil {
		return loaded{}, err
	}
	s.Snapshots, err = snapshots(node)
	return s, err
}

// loadNoise returns the cores that other processes used during each first load of a table.
func loadNoise(rows []*loadRow) []float64 {
	var cores []float64
	for _, r := range rows {
		cores = append(cores, collect(r.First, func(s loaded) float64 { return s.Others })...)
	}
	return cores
}

// visible returns the number of tagged images that CRI lists.
func visible(ctx context.Context, node *nodetest.Node) (int, error) {
	list, err := node.Images().ListImages(ctx, &cri.ListImagesRequest{})
	if err != nil {
		return 0, fmt.Errorf("list images through CRI: %w", err)
	}
	n := 0
	for _, image := range list.Images {
		n += len(image.RepoTags)
	}
	return n, nil
}

// snapshots returns the number of layers that containerd has unpacked.
func snapshots(node *nodetest.Node) (int, error) {
	list, err := node.Ctr("-n", "k8s.io", "snapshots", "list")
	return strings.Count(list, "Committed"), err
}
