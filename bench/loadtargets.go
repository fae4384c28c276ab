//go:build linux

package main

import "fmt"

// loadTargets returns the targets of load.
func loadTargets(results []loadResult) []target {
	var targets []target
	for _, set := range sets {
		rows := findResult(results, inMemory, set.Key)
		if set.Key == tiny {
			continue
		}
		targets = append(targets,
			comparePaired(set.Title+": wall, load / ctr import", 0.27, rows, ourLoad, ctrImport, loaded.wall),
			comparePaired(set.Title+": wall, load / ctr import --local", 0.35, rows, ourLoad, ctrLocal, loaded.wall),
			comparePaired(set.Title+": processor, load / ctr import --local", 0.5, rows, ourLoad, ctrLocal, loaded.cpu),
			comparePaired(set.Title+": wall, load --discard-layers / ctr import", 0.24, rows, ourDiscard, ctrImport, loaded.wall),
			comparePaired(set.Title+": memory of containerd, load / ctr import", 1, rows, ourLoad, ctrImport, loaded.memory),
		)
	}
	many := findResult(results, inMemory, tiny)
	var peak int64
	for _, r := range results {
		for _, name := range []string{ourLoad, ourDiscard} {
			for _, s := range findRow(r.Rows, name).First {
				peak = max(peak, s.Peak)
			}
		}
	}
	return append(targets,
		comparePaired("one core, made-up images: wall, load / ctr import", 0.42, findResult(results, oneCore, madeUp), ourLoad, ctrImport, loaded.wall),
		comparePaired(fmt.Sprintf("%d tiny images: wall, load / ctr import", tinyImages), 0.5, many, ourLoad, ctrImport, loaded.wall),
		atMost("peak memory of load, the worst of all runs", " MiB", 48, float64(peak)/(1<<20), peak > 0),
		nothingToDo("nothing to do, 3 images", 0.05, findResult(results, inMemory, madeUp)),
		nothingToDo(fmt.Sprintf("nothing to do, %d images", tinyImages), 1, many),
	)
}

// findResult returns the rows of a set under a condition; nil if it was not measured.
func findResult(results []loadResult, condition, set string) []*loadRow {
	for _, r := range results {
		if r.Condition == condition && r.Set == set {
			return r.Rows
		}
	}
	return nil
}

// comparePaired returns a target for the median of the ratios of two commands' figures.
func comparePaired(what string, limit float64, rows []*loadRow, ours, theirs string, pick func(loaded) float64) target {
	ratios := paired(findRow(rows, ours).First, findRow(rows, theirs).First, pick)
	return atMost(what, " x", limit, median(ratios), len(ratios) > 0)
}

// nothingToDo returns a target for the seconds of a repeated load.
func nothingToDo(what string, limit float64, rows []*loadRow) target {
	again := findRow(rows, ourLoad).Again
	return atMost(what, " s", limit, median(collect(again, loaded.wall)), len(again) > 0)
}
