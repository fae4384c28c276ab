//go:build linux

package main

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"strconv"
	"time"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"stowage/internal/nodetest"
	"stowage/internal/registrytest"
)

// filler is a way in which a job fills a new node, such as one of a cluster in containers.
type filler struct {
	name   string
	faults registrytest.Faults // of the network to the registry
	fill   func(*bench, context.Context, *nodetest.Node) error
}

// ci compares the ways. All end when CRI has every image.
func (b *bench) ci(ctx context.Context, w io.Writer) error {
	if err := b.makeCalico(); err != nil {
		return err
	}
	cached, err := b.tarball(ctx, "cached", b.refs())
	if err != nil {
		return err
	}
	mine, err := ours(b.bin, "load")
	if err != nil {
		return err
	}
	theirs, err := b.findCtr(ctx, "")
	if err != nil {
		return err
	}
	// restored copies the bundle, as the cache of a CI system does, and runs a command on it.
	restored := func(command func(address, file string) []string) func(*bench, context.Context, *nodetest.Node) error {
		return func(b *bench, ctx context.Context, n *nodetest.Node) error {
			file := filepath.Join(b.memDir, "restored.tar")
			_, err := b.measure(ctx, nil, []string{"cp", cached, file}, command(n.Address(), file))
			return err
		}
	}
	fillers := []filler{
		{"pull through CRI, 100 Mbit/s, 30 ms", registrytest.Faults{LinkRate: linkRate, Latency: latency}, (*bench).pullThroughCRI},
		{"pull through CRI, loopback", registrytest.Faults{}, (*bench).pullThroughCRI},
		{"restore the bundle, ctr images import", registrytest.Faults{}, restored(func(address, file string) []string {
			return []string{theirs, "--address", address, "-n", "k8s.io", "images", "import", file}
		})},
		{"restore the bundle, load", registrytest.Faults{}, restored(func(address, file string) []string {
			return []string{mine, "--address", address, file}
		})},
	}
	times, pulls := make([][]float64, len(fillers)), make([]int, len(fillers))
	for round := range b.rounds {
		for _, i := range rotate(len(fillers), round) {
			before := b.registry.Counts().Counted
			took, err := b.fillOnce(ctx, fillers[i])
			if err != nil {
				return fmt.Errorf("%s: %w", fillers[i].name, err)
			}
			b.logf("%s: %.2f s", fillers[i].name, took)
			times[i] = append(times[i], took)
			pulls[i] = b.registry.Counts().Counted - before
		}
	}
	t := table{head: []string{"a new node gets the images", "seconds", "pulls"}}
	for i, f := range fillers {
		t.add(f.name, spreadOf(times[i]).String(), strconv.Itoa(pulls[i]))
	}
	fmt.Fprint(w, b.machine(ctx), b.imagesNote(), "\n", t.String())
	return nil
}

// fillOnce returns the seconds that a new node needs to get all images.
func (b *bench) fillOnce(ctx context.Context, f filler) (seconds float64, err error) {
	b.registry.SetFaults(func(all *registrytest.Faults) { *all = f.faults })
	err = b.withNode(ctx, place{dir: b.memDir}, func(n *nodetest.Node) error {
		start := time.Now()
		if err := f.fill(b, ctx, n); err != nil {
			return err
		}
		seconds = time.Since(start).Seconds()
		if has, err := visible(ctx, n); err != nil || has < len(b.calico) {
			return fmt.Errorf("CRI lists %d of %d images: %w", has, len(b.calico), err)
		}
		return nil
	})
	return seconds, err
}

// pullThroughCRI pulls the images one after the other, as a kubelet does by default.
func (b *bench) pullThroughCRI(ctx context.Context, n *nodetest.Node) error {
	for _, ref := range b.refs() {
		_, err := n.Images().PullImage(ctx, &cri.PullImageRequest{
			Image: &cri.ImageSpec{Image: ref}, Auth: &cri.AuthConfig{Username: user, Password: password},
		})
		if err != nil {
			return err
		}
	}
	return nil
}
