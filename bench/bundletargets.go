//go:build linux

package main

import "stowage/internal/registrytest"

// bundleTargets returns the targets of bundle. results holds the rows of each condition that
// was run.
func bundleTargets(results map[string][]*bundleRow) []target {
	at := func(key, name string) *bundleRow { return findRow(results[key], name) }
	mine, again := at(inMemory, ourBundle), at(inMemory, ourNoChange)
	capped := at(cappedConnection, ourBundle)
	return []target{
		compare("loopback: wall, ours / crane pull", 1, mine.wall(), at(inMemory, cranePull).wall()),
		compare("loopback: wall, ours / fastest peer", 1, mine.wall(), fastestPeer(results[inMemory])),
		linkTarget(at(slowLink, ourBundle)),
		compare("50 MB/s for each connection: wall, ours / crane pull", 0.25, capped.wall(), at(cappedConnection, cranePull).wall()),
		writtenTarget(at(onDisk, ourBundle)),
		peakTarget(results),
		requests("counted pulls of 3 multi-arch images", 6, mine, func(c registrytest.Counts) int { return c.Counted }),
		requests("counted pulls when nothing changed", 0, again, func(c registrytest.Counts) int { return c.Counted }),
		requests("pings", 1, mine, func(c registrytest.Counts) int { return c.Pings }),
		requests("token requests", 1, mine, func(c registrytest.Counts) int { return c.Tokens }),
	}
}

// fastestPeer returns the shortest wall time of the peers.
func fastestPeer(rows []*bundleRow) float64 {
	var best float64
	for _, r := range rows {
		if r.needs != nil && r.wall() > 0 && (best == 0 || r.wall() < best) {
			best = r.wall()
		}
	}
	return best
}

// linkTarget is the target for a slow network: the wall time is little more than the time
// that the bytes need to pass it.
func linkTarget(r *bundleRow) target {
	floor := r.figure(func(s bundled) int64 { return s.size }) / linkRate
	return compare("100 Mbit/s: wall / (bytes / bandwidth)", 1.03, r.wall(), floor)
}

// writtenTarget is the target for bytes written, with a margin for the journal.
func writtenTarget(r *bundleRow) target {
	return compare("disk: bytes written / tarball", 1.01,
		r.figure(func(s bundled) int64 { return s.Written }), r.figure(func(s bundled) int64 { return s.size }))
}

// peakTarget is the target for memory, for the worst of all runs.
func peakTarget(results map[string][]*bundleRow) target {
	var peak int64
	for _, rows := range results {
		for _, s := range findRow(rows, ourBundle).samples {
			peak = max(peak, s.Peak)
		}
	}
	return atMost("peak memory, the worst of all runs", " MiB", 32, float64(peak)/(1<<20), peak > 0)
}

// requests is a target for a number of requests.
func requests(what string, limit float64, r *bundleRow, pick func(registrytest.Counts) int) target {
	got := r.figure(func(s bundled) int64 { return int64(pick(s.counts)) })
	return atMost(what, "", limit, got, len(r.samples) > 0)
}
