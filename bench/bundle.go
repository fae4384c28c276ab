//go:build linux

package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"stowage/bench/meter"
	"stowage/internal/registrytest"
)

// Keys of the conditions.
const (
	inMemory         = "memory"
	onDisk           = "disk"
	slowLink         = "link"
	cappedConnection = "connection"
)

// The networks: 100 Mbit/s for all connections together, or 50 MB/s for each of them.
const (
	linkRate = 100e6 / 8
	connRate = 50e6
	latency  = 30 * time.Millisecond
)

// condition is where bundles are written and over which network.
type condition struct {
	key, title string
	faults     registrytest.Faults
}

var bundleConditions = []condition{
	{inMemory, "loopback, output on a tmpfs", registrytest.Faults{}},
	{onDisk, "loopback, output on a disk", registrytest.Faults{}},
	{slowLink, "100 Mbit/s, 30 ms", registrytest.Faults{LinkRate: linkRate, Latency: latency}},
	{cappedConnection, "50 MB/s for each connection, 30 ms", registrytest.Faults{ConnRate: connRate, Latency: latency}},
}

// bundled is one measurement.
type bundled struct {
	meter.Report
	size   int64  // of the tarball
	sum    string // sha256 of the tarball
	counts registrytest.Counts
	others float64 // cores that other processes used meanwhile
}

func (s bundled) noise() float64 { return s.others }

// bundleRow is one command and its measurements.
type bundleRow struct {
	bundler
	program string
	samples []bundled
	trouble string // why it was not run or failed
}

// bundle compares the commands that make a tarball, under every condition.
func (b *bench) bundle(ctx context.Context, w io.Writer) error {
	rows, err := b.bundleRows(ctx)
	if err != nil {
		return err
	}
	b.logf("making the images")
	if err := b.makeCalico(); err != nil {
		return err
	}
	fmt.Fprint(w, b.machine(ctx), b.imagesNote())
	results := map[string][]*bundleRow{}
	for _, c := range bundleConditions {
		if !b.wants(c.key) {
			continue
		}
		b.registry.SetFaults(func(f *registrytest.Faults) { *f = c.faults })
		run := clone(rows)
		for round := range b.rounds {
			for _, i := range rotate(len(run), round) {
				if err := b.bundleOnce(ctx, c, run[i]); err != nil {
					return err
				}
			}
		}
		results[c.key] = run
		fmt.Fprint(w, heading("bundle: %s", c.title), bundleTable(c.key, run), "\n", noiseNote(bundleNoise(run)))
	}
	fmt.Fprint(w, heading("bundle: targets"), targetsTable(bundleTargets(results)))
	return nil
}

// imagesNote describes the images.
func (b *bench) imagesNote() string {
	var bytes int64
	for _, image := range b.calico {
		bytes += image.Bytes(platform)
	}
	return fmt.Sprintf("- images: %d, %s MB for %s, a shared base counted in each\n", len(b.calico), megabytes(float64(bytes)), platform)
}

// bundleRows finds the programs. It fails without ours.
func (b *bench) bundleRows(ctx context.Context) ([]*bundleRow, error) {
	var rows []*bundleRow
	for _, p := range bundlers {
		row := &bundleRow{bundler: p}
		if p.needs == nil {
			var err error
			if row.program, err = ours(b.bin, "bundle"); err != nil {
				return nil, err
			}
		} else if !b.compares(p.name) {
			continue
		} else if found, err := p.needs.find(ctx, b.tools, b.install); err != nil {
			row.trouble = err.Error()
		} else {
			row.program = found.path
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// clone returns a shallow copy of each row.
func clone[T any](rows []*T) []*T {
	copies := make([]*T, len(rows))
	for i, r := range rows {
		c := *r
		copies[i] = &c
	}
	return copies
}

// bundleOnce adds a measurement to a row. A peer that fails is skipped from then on; a
// failure of ours is an error.
func (b *bench) bundleOnce(ctx context.Context, c condition, row *bundleRow) error {
	if row.trouble != "" {
		return nil
	}
	sample, err := calmest(ctx, b.calm, func() (bundled, error) { return b.bundleSample(ctx, c, row) })
	if err == nil {
		b.logf("%s: %s: %.2f s", c.title, row.name, sample.Wall.Seconds())
		row.samples = append(row.samples, sample)
		return nil
	}
	if row.needs == nil || ctx.Err() != nil {
		return err
	}
	b.logf("%s: %v", row.name, err)
	row.trouble = "failed: " + lastLine(err.Error())
	return nil
}

// bundleSample measures making one tarball in a new directory.
func (b *bench) bundleSample(ctx context.Context, c condition, row *bundleRow) (bundled, error) {
	parent := b.memDir
	if c.key == onDisk {
		parent = b.dskDir
	}
	dir, remove, err := tempDir(parent)
	if err != nil {
		return bundled{}, err
	}
	defer remove()
	env, err := b.home(dir)
	if err != nil {
		return bundled{}, err
	}
	j := job{row.program, b.refs(), b.registry.Host(), dir, filepath.Join(dir, "images.tar")}
	if err := os.WriteFile(j.manifest(), []byte(manifest(j.refs)), 0o644); err != nil {
		return bundled{}, err
	}
	if row.prepared {
		if _, err := b.measure(ctx, env, row.commands(j)...); err != nil {
			return bundled{}, err
		}
	}
	if err := syncFS(parent); err != nil {
		return bundled{}, err
	}
	b.registry.Reset()
	m := startMonitor()
	report, err := b.measure(ctx, env, row.commands(j)...)
	if err != nil {
		return bundled{}, err
	}
	s := bundled{Report: report, counts: b.registry.Counts(), others: m.others(0)}
	s.size, s.sum, err = sumOf(j.out)
	return s, err
}

// sumOf returns the size of a file and the start of its sha256.
func sumOf(file string) (int64, string, error) {
	f, err := os.Open(file)
	if err != nil {
		return 0, "", err
	}
	defer f.Close() // opened for reading
	h := sha256.New()
	n, err := io.Copy(h, f)
	return n, hex.EncodeToString(h.Sum(nil))[:16], err
}

// same returns "yes" if all tarballs of a row were equal.
func same(samples []bundled) string {
	if len(samples) < 2 {
		return "-"
	}
	for _, s := range samples {
		if s.sum != samples[0].sum {
			return "no"
		}
	}
	return "yes"
}

// bundleNoise returns the cores that other processes used during each measurement of a
// table.
func bundleNoise(rows []*bundleRow) []float64 {
	var cores []float64
	for _, r := range rows {
		cores = append(cores, collect(r.samples, bundled.noise)...)
	}
	return cores
}

// wall returns the median of a row's seconds; 0 if it was not run.
func (r *bundleRow) wall() float64 {
	return median(collect(r.samples, func(s bundled) float64 { return s.Wall.Seconds() }))
}

// figure returns the median of a value of a row's samples.
func (r *bundleRow) figure(pick func(bundled) int64) float64 {
	return median(collect(r.samples, pick))
}

// mib and megabytes format bytes in the units of memory and of files.
func mib(bytes float64) string       { return digits(bytes / (1 << 20)) }
func megabytes(bytes float64) string { return digits(bytes / 1e6) }

// bundleTable returns the table of one condition.
func bundleTable(key string, rows []*bundleRow) string {
	t := table{head: []string{"command", "wall s", "x crane pull", "CPU s", "peak MiB", "tarball MB"}}
	if key == onDisk {
		t.head = append(t.head, "written MB", "written / tarball")
	} else {
		t.head = append(t.head, "manifest HEAD", "manifest GET", "counted", "blob GET", "blob MB", "pings", "tokens", "same bytes twice")
	}
	theirs := findRow(rows, cranePull).wall()
	for _, r := range rows {
		if len(r.samples) == 0 {
			t.add(r.name, "not run")
			t.note("%s was not run: %s", r.name, r.trouble)
			continue
		}
		t.add(append([]string{r.name}, r.cells(key, theirs)...)...)
	}
	return t.String()
}

// cells returns the cells of a row after its name.
func (r *bundleRow) cells(key string, crane float64) []string {
	times := "-"
	if x, ok := ratio(r.wall(), crane); ok {
		times = digits(x)
	}
	size := r.figure(func(s bundled) int64 { return s.size })
	cells := []string{
		spreadOf(collect(r.samples, func(s bundled) float64 { return s.Wall.Seconds() })).String(), times,
		digits(median(collect(r.samples, func(s bundled) float64 { return s.CPU.Seconds() }))),
		mib(r.figure(func(s bundled) int64 { return s.Peak })), megabytes(size),
	}
	if key == onDisk {
		written := r.figure(func(s bundled) int64 { return s.Written })
		x, _ := ratio(written, size)
		return append(cells, megabytes(written), digits(x))
	}
	for _, pick := range []func(registrytest.Counts) int{
		func(c registrytest.Counts) int { return c.ManifestHeads }, func(c registrytest.Counts) int { return c.ManifestGets },
		func(c registrytest.Counts) int { return c.Counted }, func(c registrytest.Counts) int { return c.BlobGets }, func(c registrytest.Counts) int { return c.Pings },
		func(c registrytest.Counts) int { return c.Tokens },
	} {
		cells = append(cells, fmt.Sprint(r.figure(func(s bundled) int64 { return int64(pick(s.counts)) })))
	}
	// Bytes sent, whether read or not, follow the number of requests.
	cells = slices.Insert(cells, len(cells)-2, megabytes(r.figure(func(s bundled) int64 { return s.counts.BlobBytes })))
	return append(cells, same(r.samples))
}
