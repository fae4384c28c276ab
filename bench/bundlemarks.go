//go:build linux

package main

import "stowage/internal/registrytest"

// bundleMarks are what a bundle is meant to reach. results holds the rows of each
// condition that was run.
func bundleMarks(results map[string][]*bundleRow) []mark {
	at := func(key, name string) *bundleRow { return theRow(results[key], name) }
	mine, again := at(inMemory, ourBundle), at(inMemory, ourNoChange)
	capped := at(cappedConnection, ourBundle)
	return []mark{
		compare("loopback: wall, ours / crane pull", 1, mine.wall(), at(inMemory, cranePull).wall()),
		compare("loopback: wall, ours / fastest peer", 1, mine.wall(), fastestPeer(results[inMemory])),
		linkMark(at(slowLink, ourBundle)),
		compare("50 MB/s for each connection: wall, ours / crane pull", 0.25, capped.wall(), at(cappedConnection, cranePull).wall()),
		writtenMark(at(onDisk, ourBundle)),
		peakMark(results),
		requests("counted pulls of 3 multi-arch images", 6, mine, func(c registrytest.Counts) int { return c.Counted }),
		requests("counted pulls when nothing changed", 0, again, func(c registrytest.Counts) int { return c.Counted }),
		requests("pings", 1, mine, func(c registrytest.Counts) int { return c.Pings }),
		requests("token requests", 1, mine, func(c registrytest.Counts) int { return c.Tokens }),
	}
}

// fastestPeer is the shortest wall time of those that are not ours.
func fastestPeer(rows []*bundleRow) float64 {
	var best float64
	for _, r := range rows {
		if r.needs != nil && r.wall() > 0 && (best == 0 || r.wall() < best) {
			best = r.wall()
		}
	}
	return best
}

// linkMark: a slow link is used to the full when the wall time is little more than the
// bytes need to pass it.
func linkMark(r *bundleRow) mark {
	floor := r.figure(func(s bundled) int64 { return s.size }) / linkRate
	return compare("100 Mbit/s: wall / (bytes / bandwidth)", 1.03, r.wall(), floor)
}

// writtenMark allows for the journal of a run.
func writtenMark(r *bundleRow) mark {
	return compare("disk: bytes written / tarball", 1.01,
		r.figure(func(s bundled) int64 { return s.Written }), r.figure(func(s bundled) int64 { return s.size }))
}

// peakMark is about the worst run of all.
func peakMark(results map[string][]*bundleRow) mark {
	var peak int64
	for _, rows := range results {
		for _, s := range theRow(rows, ourBundle).samples {
			peak = max(peak, s.Peak)
		}
	}
	return atMost("peak memory, the worst of all runs", " MiB", 32, float64(peak)/(1<<20), peak > 0)
}

// requests is about a number of requests.
func requests(what string, limit float64, r *bundleRow, pick func(registrytest.Counts) int) mark {
	got := r.figure(func(s bundled) int64 { return int64(pick(s.counts)) })
	return atMost(what, "", limit, got, len(r.samples) > 0)
}
