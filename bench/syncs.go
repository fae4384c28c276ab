//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"stowage/internal/nodetest"
)

// countSyncs counts the calls of the client and of containerd that wait for a disk, in one
// load into a new containerd. It is a separate run, because counting slows both down.
func (b *bench) countSyncs(ctx context.Context, p place, set imageSet, rows []*loadRow) {
	for _, row := range rows {
		if row.Trouble != "" {
			continue
		}
		client, daemon, err := b.syncsOf(ctx, p, set, row)
		if err != nil {
			row.Syncs = "not counted"
			b.logf("syncs of %s: %v", row.Name, err)
			continue
		}
		row.Syncs = fmt.Sprintf("%d + %d", client, daemon)
	}
}

// syncsOf returns the number of calls in one load.
func (b *bench) syncsOf(ctx context.Context, p place, set imageSet, row *loadRow) (client, daemon int, err error) {
	dir, remove, err := tempDir(b.memDir)
	if err != nil {
		return 0, 0, err
	}
	defer remove()
	mine, theirs := filepath.Join(dir, "client"), filepath.Join(dir, "containerd")
	p.prefix = []string{b.handicap, "-count", theirs}
	err = b.withNode(ctx, p, func(node *nodetest.Node) error {
		before, err := readCount(theirs)
		if err != nil {
			return err
		}
		command := row.command(row.program, node.Address(), set.file)
		if _, err := b.measure(ctx, nil, append([]string{b.handicap, "-count", mine}, command...)); err != nil {
			return err
		}
		if daemon, err = readCount(theirs); err != nil {
			return err
		}
		daemon -= before
		client, err = readCount(mine)
		return err
	})
	return client, daemon, err
}

// readCount reads a number of calls; an empty file is 0.
func readCount(file string) (int, error) {
	text, err := os.ReadFile(file)
	if err != nil || len(text) == 0 {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(text)))
}
