//go:build linux

package main

import (
	"context"
	"fmt"
	"io"
	"slices"
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
	name string
	ours bool
	args []string // between the address and the tarball
}

// loaders is the order of comparison.
var loaders = []loader{
	{name: ourLoad, ours: true},
	{name: ourDiscard, ours: true, args: []string{"--discard-layers"}},
	{name: ctrImport, args: []string{"-n", "k8s.io", "images", "import"}},
	{name: ctrLocal, args: []string{"-n", "k8s.io", "images", "import", "--local"}},
}

// command returns the loader's command line.
func (l loader) command(program, address, tarball string) []string {
	return append(append([]string{program, "--address", address}, l.args...), tarball)
}

// loaded is one measurement.
type loaded struct {
	meter.Report               // of the client
	daemonCPU    time.Duration // of containerd, until it was idle
	daemonPeak   int64
	root         int64   // bytes below containerd's root
	visible      int     // names of images that CRI lists
	others       float64 // cores that other processes used meanwhile
}

// loadPair is a load into a new containerd and its repetition.
type loadPair struct{ first, again loaded }

func (p loadPair) noise() float64 { return p.first.others }

// loadRow is one command and its measurements, with a new containerd and repeated.
type loadRow struct {
	loader
	program string
	first   []loaded
	again   []loaded
	syncs   string // sync calls of one load; see countSyncs
	trouble string
}

// loadCondition is where containerd runs.
type loadCondition struct {
	key, title string
	sets       []string // keys of the sets that are measured there
	again      bool     // measure the repetition, too
}

// loadConditions is the order of the conditions.
var loadConditions = []loadCondition{
	{key: inMemory, title: "tmpfs", sets: []string{madeUp, tiny}, again: true},
	{key: onDisk, title: "disk", sets: []string{madeUp}},
}

// loadResult is the measurements of one set under one condition.
type loadResult struct {
	condition, set string // keys
	rows           []*loadRow
}

// load compares the commands under every condition.
func (b *bench) load(ctx context.Context, w io.Writer) error {
	rows, err := b.loadRows(ctx)
	if err != nil {
		return err
	}
	sets, err := b.makeSets(ctx)
	if err != nil {
		return err
	}
	fmt.Fprint(w, b.machine(ctx), setsNote(sets))
	var results []loadResult
	for _, c := range loadConditions {
		for _, set := range sets {
			if !b.wants(c.key) || !slices.Contains(c.sets, set.key) {
				continue
			}
			run := clone(rows)
			if err := b.loadUnder(ctx, w, c, set, run); err != nil {
				return err
			}
			results = append(results, loadResult{c.key, set.key, run})
		}
	}
	fmt.Fprint(w, heading("load: targets"), targetsTable(loadTargets(results)))
	return nil
}

// loadUnder measures one set under one condition and prints the table.
func (b *bench) loadUnder(ctx context.Context, w io.Writer, c loadCondition, set imageSet, rows []*loadRow) error {
	parent := b.memDir
	if c.key == onDisk {
		parent = b.dskDir
	}
	for round := range b.rounds {
		for _, i := range rotate(len(rows), round) {
			if err := b.loadOnce(ctx, c, parent, set, rows[i]); err != nil {
				return err
			}
		}
	}
	note := noiseNote(loadNoise(rows))
	if c.key == inMemory && b.syncs {
		b.countSyncs(ctx, parent, set.file, rows)
	}
	fmt.Fprint(w, heading("load: %s, %s", set.title, c.title), loadTable(rows, c.again), "\n", note)
	return nil
}

// loadRows finds the programs.
func (b *bench) loadRows(ctx context.Context) ([]*loadRow, error) {
	mine, err := ours(b.bin, "load")
	if err != nil {
		return nil, err
	}
	theirs, missing := ctr.find(ctx, b.tools, b.install)
	var rows []*loadRow
	for _, l := range loaders {
		row := &loadRow{loader: l, program: mine}
		if !l.ours {
			if !b.compares(l.name) {
				continue
			}
			row.program = theirs.path
			if missing != nil {
				row.trouble = missing.Error()
			}
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// loadOnce adds a measurement to a row, or the reason for its failure.
func (b *bench) loadOnce(ctx context.Context, c loadCondition, parent string, set imageSet, row *loadRow) error {
	if row.trouble != "" {
		return nil
	}
	p, err := calmest(ctx, b.calm, func() (loadPair, error) { return b.loadPair(ctx, c, parent, set, row) })
	if err == nil {
		b.logf("%s: %s: %s: %.2f s, again %.2f s", c.key, set.key, row.name, p.first.Wall.Seconds(), p.again.Wall.Seconds())
		row.first = append(row.first, p.first)
		if c.again {
			row.again = append(row.again, p.again)
		}
		return nil
	}
	if row.ours || ctx.Err() != nil {
		return err
	}
	b.logf("%s: %v", row.name, err)
	row.trouble = "failed: " + lastLine(err.Error())
	return nil
}

// loadPair measures a load into a new containerd and, if the condition asks for it, its
// repetition.
func (b *bench) loadPair(ctx context.Context, c loadCondition, parent string, set imageSet, row *loadRow) (p loadPair, err error) {
	samples := []*loaded{&p.first, &p.again}
	if !c.again {
		samples = samples[:1]
	}
	err = b.withNode(ctx, parent, func(node *nodetest.Node) error {
		args := row.command(row.program, node.Address(), set.file)
		for _, sample := range samples {
			if err := syncFS(parent); err != nil {
				return err
			}
			if *sample, err = b.loadSample(ctx, node, args); err != nil {
				return err
			}
		}
		if row.ours && p.first.visible < len(set.refs) {
			return fmt.Errorf("%s: CRI lists %d of %d images", row.name, p.first.visible, len(set.refs))
		}
		return nil
	})
	return p, err
}

// withNode calls f with a new containerd.
func (b *bench) withNode(ctx context.Context, parent string, f func(*nodetest.Node) error) (err error) {
	// No sandbox image is needed: no pod is started.
	node, err := nodetest.Launch(ctx, nodetest.Options{Dir: parent})
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
	s := loaded{Report: report, others: m.others(now - before)}
	after, err := waitIdle(ctx, node.Pid())
	if err != nil {
		return loaded{}, err
	}
	s.daemonCPU = after - before
	if s.daemonPeak, err = daemonPeak(node.Pid()); err != nil {
		return loaded{}, err
	}
	if s.root, err = diskUsage(node.Root()); err != nil {
		return loaded{}, err
	}
	s.visible, err = visible(ctx, node)
	return s, err
}

// loadNoise returns the cores that other processes used during each first load of a table.
func loadNoise(rows []*loadRow) []float64 {
	var cores []float64
	for _, r := range rows {
		cores = append(cores, collect(r.first, func(s loaded) float64 { return s.others })...)
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
