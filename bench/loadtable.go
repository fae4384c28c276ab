//go:build linux

package main

import (
	"context"
	"fmt"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stowage/internal/registrytest"
)

// loadTable returns the table of one condition.
func loadTable(rows []*loadRow) string {
	t := table{head: []string{"command", "wall s", "x ctr", "client CPU s", "client peak MiB",
		"containerd CPU s", "containerd peak MiB", "sync calls (client + containerd)", "root MB", "in CRI"}}
	for _, again := range []bool{false, true} {
		theirs := findLoad(rows, ctrImport).wall(again)
		for _, r := range rows {
			name, samples := r.name, r.first
			if again {
				name, samples = r.name+", again", r.again
			}
			if len(samples) == 0 {
				t.add(name, "not run")
				t.note("%s was not run: %s", name, r.trouble)
				continue
			}
			syncs := r.syncs
			if again || syncs == "" {
				syncs = "-"
			}
			t.add(append([]string{name}, loadCells(samples, theirs, syncs)...)...)
		}
	}
	return t.String()
}

// loadCells returns the cells of a row after its name.
func loadCells(samples []loaded, ctr float64, syncs string) []string {
	wall := collect(samples, func(s loaded) float64 { return s.Wall.Seconds() })
	times := "-"
	if x, ok := ratio(median(wall), ctr); ok {
		times = digits(x)
	}
	seconds := func(pick func(loaded) float64) string { return digits(median(collect(samples, pick))) }
	bytes := func(pick func(loaded) int64) float64 { return median(collect(samples, pick)) }
	return []string{
		spreadOf(wall).String(), times,
		seconds(func(s loaded) float64 { return s.CPU.Seconds() }), mib(bytes(func(s loaded) int64 { return s.Peak })),
		seconds(func(s loaded) float64 { return s.daemonCPU.Seconds() }), mib(bytes(func(s loaded) int64 { return s.daemonPeak })),
		syncs, megabytes(bytes(func(s loaded) int64 { return s.root })),
		fmt.Sprint(median(collect(samples, func(s loaded) int { return s.visible }))),
	}
}

// findLoad returns a row by name; without samples if there is none.
func findLoad(rows []*loadRow, name string) *loadRow {
	for _, r := range rows {
		if r.name == name {
			return r
		}
	}
	return &loadRow{loader: loader{name: name}}
}

// wall returns the median of a row's seconds; 0 if it was not run.
func (r *loadRow) wall(again bool) float64 {
	samples := r.first
	if again {
		samples = r.again
	}
	return median(collect(samples, func(s loaded) float64 { return s.Wall.Seconds() }))
}

// loadTargets returns the targets of load. many are the seconds of repeated loads of
// [manyImages] images.
func loadTargets(results map[string][]*loadRow, many []float64) []target {
	rows := results[inMemory]
	if rows == nil {
		rows = results[onDisk]
	}
	mine, discard := findLoad(rows, ourLoad), findLoad(rows, ourDiscard)
	theirs, local := findLoad(rows, ctrImport).wall(false), findLoad(rows, ctrLocal).wall(false)
	var peak int64
	for _, rows := range results {
		for _, name := range []string{ourLoad, ourDiscard} {
			for _, s := range findLoad(rows, name).first {
				peak = max(peak, s.Peak)
			}
		}
	}
	return []target{
		compare("wall, ours / ctr images import", 0.45, mine.wall(false), theirs),
		compare("wall, ours / ctr images import --local", 0.5, mine.wall(false), local),
		compare("wall, ours --discard-layers / ctr images import", 0.4, discard.wall(false), theirs),
		atMost("peak memory of load, the worst of all runs", " MiB", 64, float64(peak)/(1<<20), peak > 0),
		atMost("nothing to do, 3 images", " s", 0.1, mine.wall(true), len(mine.again) > 0),
		atMost(fmt.Sprintf("nothing to do, %d images", manyImages), " s", 1, median(many), len(many) > 0),
	}
}

// manyImages is the number of small images of the last target.
const manyImages = 200

// many returns the seconds that repeated loads of many small images took.
func (b *bench) many(ctx context.Context, program string) ([]float64, error) {
	if !b.wants(inMemory) {
		return nil, nil
	}
	count := manyImages
	if b.quick {
		count = 5
	}
	var refs []string
	for i := range count {
		repo := fmt.Sprintf("many/image-%03d", i)
		// No two images share a layer, unlike images of one distribution.
		layer := &registrytest.Layer{Seed: uint64(i), Files: []registrytest.File{{Name: "file", Size: 10 << 10, Fill: registrytest.FillText}}}
		img := registrytest.Image{Platform: platform, Layers: []*registrytest.Layer{layer}, Config: ocispec.ImageConfig{Cmd: []string{"/file"}}}
		if _, err := b.registry.AddImage(repo, "v1", img); err != nil {
			return nil, err
		}
		refs = append(refs, b.registry.Ref(repo, "v1"))
	}
	tarball, err := b.tarball(ctx, b.memDir, "many", refs)
	if err != nil {
		return nil, err
	}
	row := &loadRow{loader: loaders[0], program: program}
	var seconds []float64
	for range b.rounds {
		p, err := b.loadTwice(ctx, b.memDir, tarball, count, row)
		if err != nil {
			return nil, err
		}
		b.logf("%d images: %.2f s, again %.2f s", count, p.first.Wall.Seconds(), p.again.Wall.Seconds())
		seconds = append(seconds, p.again.Wall.Seconds())
	}
	if b.quick {
		return nil, nil // the target is for more images
	}
	return seconds, nil
}
