//go:build linux

package main

import (
	"context"
	"errors"
	"slices"
	"time"

	"stowage/internal/nodetest"
)

// Keys of the conditions of load besides inMemory.
const (
	oneCore   = "core"
	onLoop    = "loop"
	slowSyncs = "syncs"
	version17 = "1.7"
	version16 = "1.6"
)

// syncDelay is the additional time of a sync under slowSyncs.
const syncDelay = 20 * time.Millisecond

// loadCondition is where containerd runs, and how.
type loadCondition struct {
	key, title string
	sets       []string      // keys of the sets that are measured
	again      bool          // the repetition is measured, too
	loop       bool          // on ext4 on a loop device instead of a tmpfs
	core       bool          // the client and containerd share one processor
	delay      time.Duration // of each sync of the client and of containerd
	version    string        // of containerd; empty: that of the tools
}

// loadConditions is the order of the conditions.
var loadConditions = []loadCondition{
	{key: inMemory, title: "tmpfs", sets: []string{madeUp, real, tiny}, again: true},
	{key: oneCore, title: "tmpfs, one core", sets: []string{madeUp, real}, core: true},
	{key: onLoop, title: "ext4 on a loop device", sets: []string{madeUp, real}, loop: true},
	{key: slowSyncs, title: "ext4, syncs 20 ms slower", sets: []string{madeUp}, loop: true, delay: syncDelay},
	{key: version17, title: "tmpfs, containerd 1.7.35", sets: []string{madeUp}, version: "1.7.35"},
	{key: version16, title: "tmpfs, containerd 1.6.20", sets: []string{madeUp}, version: "1.6.20"},
}

// place is where a condition is met.
type place struct {
	dir     string   // of containerd
	prefix  []string // command that runs the client and containerd
	version string   // of containerd
	remove  func() error
}

// prepare prepares the place of a condition.
func (b *bench) prepare(ctx context.Context, c loadCondition) (p place, err error) {
	p = place{dir: b.memDir, version: c.version, remove: func() error { return nil }}
	switch {
	case c.core:
		p.prefix = []string{b.handicap, "-core"}
	case c.delay > 0:
		p.prefix = []string{b.handicap, "-delay", c.delay.String()}
	}
	if c.loop {
		p.dir, p.remove, err = b.mountLoop(ctx)
	}
	return p, err
}

// load compares the commands under every condition. The report is valid, as far as it
// got, with an error, too.
func (b *bench) load(ctx context.Context) (r loadReport, err error) {
	if r.Sets, err = b.makeSets(ctx); err != nil {
		return r, err
	}
	r.Machine = b.machine(ctx)
	for _, c := range loadConditions {
		if b.wants(c.key) {
			if err = b.loadUnder(ctx, c, &r); err != nil {
				break
			}
		}
	}
	return r, err
}

// loadUnder adds the results of a condition to the report. If the machine cannot meet the
// condition, it adds the reason.
func (b *bench) loadUnder(ctx context.Context, c loadCondition, r *loadReport) (err error) {
	p, trouble := b.prepare(ctx, c)
	if trouble == nil {
		defer func() { err = errors.Join(err, p.remove()) }()
	}
	for _, set := range r.Sets {
		if !slices.Contains(c.sets, set.Key) {
			continue
		}
		result := loadResult{Condition: c.key, Set: set.Key, Title: set.Title + ", " + c.title}
		if trouble == nil {
			result.Rows, err = b.loadRounds(ctx, c, p, set)
		}
		if missing := (*nodetest.MissingError)(nil); errors.As(err, &missing) && c.version != "" {
			trouble = err
		} else if err != nil {
			return err
		}
		if trouble != nil {
			result.Rows, result.Trouble = nil, lastLine(trouble.Error())
		}
		result.Noise = noiseNote(loadNoise(result.Rows))
		r.Results = append(r.Results, result)
	}
	return ctx.Err()
}

// loadRounds measures the commands in rotating order.
func (b *bench) loadRounds(ctx context.Context, c loadCondition, p place, set imageSet) ([]*loadRow, error) {
	rows, err := b.loadRows(ctx, c.version)
	if err != nil {
		return nil, err
	}
	for round := range b.rounds {
		for _, i := range rotate(len(rows), round) {
			if err := b.loadOnce(ctx, c, p, set, rows[i]); err != nil {
				return nil, err
			}
		}
	}
	if c.key == inMemory && b.syncs {
		b.countSyncs(ctx, p, set, rows)
	}
	return rows, nil
}
