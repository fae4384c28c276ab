//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stowage/bench/meter"
	"stowage/internal/nodetest"
	"stowage/internal/registrytest"
)

// The measured steps, in order.
var manySteps = []string{"bundle", "bundle again", "load", "load again", "load check"}

// Limits of the measurements. Times are processor seconds, so that a busy machine does not
// fail them. The limits are generous, because they must detect quadratic growth.
const (
	// bundleLimit is the maximum memory of bundle in bytes, and bundleGrowth its maximum
	// difference between the smallest and another number of images. Each image needs some
	// KiB for its manifests.
	bundleLimit  = 32 << 20
	bundleGrowth = 10 << 20
	// loadGrowth is the maximum growth of load's memory per image in bytes: it holds the
	// manifests of the bundle and the records of the node.
	loadGrowth = 64 << 10
	// cpuGrowth is the maximum ratio between the processor time of an image and that of one
	// among the smallest number.
	cpuGrowth = 3
)

// manyRow is the cost of the steps for one number of images.
type manyRow struct {
	images int
	costs  []manyCost // in the order of manySteps
}

// manyCost is the cost of a step, and of containerd meanwhile.
type manyCost struct {
	meter.Report
	daemon time.Duration // processor time
}

// measureMany makes bundles of many images and loads them.
func measureMany(ctx context.Context, o options) (err error) {
	f, err := openField(ctx, o.bin)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.close()) }()
	helper := filepath.Join(f.work.dir, "measure")
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", helper, "stowage/bench/meter/measure").CombinedOutput(); err != nil {
		return fmt.Errorf("build the measuring program: %w\n%s", err, out)
	}
	counts := slices.Sorted(slices.Values(o.images))
	h, err := manyImages(f, counts[len(counts)-1])
	if err != nil {
		return err
	}
	defer h.Close() // opened for reading
	var rows []manyRow
	for _, n := range counts {
		row := manyRow{images: n}
		if row.costs, err = manyCosts(ctx, f, h, helper, n); err != nil {
			return fmt.Errorf("%d images: %w", n, err)
		}
		rows = append(rows, row)
		if err := f.node.Wipe(ctx, nodetest.DefaultSandboxImage); err != nil {
			return err
		}
	}
	fmt.Print(manyTable(rows))
	return tooMuch(rows)
}

// manyImages fills a registry with that many images: each has a small layer on top of a
// shared one.
func manyImages(f *field, n int) (*registrytest.Registry, error) {
	h, err := registrytest.New(registrytest.Options{Dir: f.work.dir})
	if err != nil {
		return nil, err
	}
	base := &registrytest.Layer{Files: []registrytest.File{{Name: "base", Size: 64 << 10, Fill: registrytest.FillText}}}
	for i := range n {
		img := registrytest.Image{Platform: "linux/" + runtime.GOARCH, Config: ocispec.ImageConfig{Cmd: []string{"/none"}}, Layers: []*registrytest.Layer{
			base, {Seed: uint64(i), Files: []registrytest.File{{Name: fmt.Sprint("own", i), Size: 2 << 10}}},
		}}
		if _, err := h.AddImage(manyRepo(i), "v1", img); err != nil {
			return nil, errors.Join(err, h.Close())
		}
	}
	return h, nil
}

func manyRepo(i int) string { return fmt.Sprintf("many/image%04d", i) }

// manyCosts measures the steps for the first n images.
func manyCosts(ctx context.Context, f *field, h *registrytest.Registry, helper string, n int) ([]manyCost, error) {
	list, out := filepath.Join(f.work.dir, "list"), filepath.Join(f.out.dir, fmt.Sprintf("many%d.tar", n))
	var refs strings.Builder
	for i := range n {
		fmt.Fprintln(&refs, h.Host()+"/"+manyRepo(i)+":v1")
	}
	if err := os.WriteFile(list, []byte(refs.String()), 0o600); err != nil {
		return nil, err
	}
	bundle := []string{filepath.Join(f.bin, "bundle"), "-f", list, "-o", out, "--progress", "none"}
	load := []string{filepath.Join(f.bin, "load"), "--address", f.node.Address(), "--progress", "none", out}
	check := []string{load[0], "check", "--address", f.node.Address(), "--progress", "none", out}
	var costs []manyCost
	for _, args := range [][]string{bundle, bundle, load, load, check} {
		before, err := processorTime(f.node.Pid())
		if err != nil {
			return nil, err
		}
		cost, err := meter.Run(ctx, helper, meter.Command{Args: args, Env: environ(f.work.dir)})
		if err != nil {
			return nil, err
		}
		after, err := processorTime(f.node.Pid())
		if err != nil {
			return nil, err
		}
		costs = append(costs, manyCost{cost, after - before})
	}
	return costs, os.Remove(out)
}

// clockTick is the unit of times in /proc/PID/stat: USER_HZ is 100 on every architecture
// that Go supports.
const clockTick = 10 * time.Millisecond

// processorTime returns the processor time of a process, user and system (proc(5), fields
// 14 and 15).
func processorTime(pid int) (time.Duration, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	return parseProcessorTime(string(b))
}

func parseProcessorTime(stat string) (time.Duration, error) {
	// The name of the program is in parentheses and may contain anything.
	_, rest, found := strings.Cut(stat[strings.LastIndexByte(stat, ')')+1:], " ")
	fields := strings.Fields(rest)
	if !found || len(fields) < 13 {
		return 0, fmt.Errorf("no processor time in %q", stat)
	}
	user, err := strconv.ParseInt(fields[11], 10, 64)
	if err != nil {
		return 0, err
	}
	system, err := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * clockTick, err
}

// tooMuch returns an error for everything that has grown faster than the number of images.
func tooMuch(rows []manyRow) error {
	first := rows[0]
	var errs []error
	for _, row := range rows[1:] {
		for i, step := range manySteps {
			was, is := first.costs[i], row.costs[i]
			allowed := min(was.Peak+bundleGrowth, bundleLimit)
			if strings.HasPrefix(step, "load") {
				allowed = was.Peak + int64(row.images-first.images)*loadGrowth
			}
			if is.Peak > allowed {
				errs = append(errs, fmt.Errorf("%s needs %.1f MiB of memory for %d images, %.1f MiB for %d", step, mib(is.Peak), row.images, mib(was.Peak), first.images))
			}
			each, before := (is.CPU+is.daemon).Seconds()/float64(row.images), (was.CPU+was.daemon).Seconds()/float64(first.images)
			if each > cpuGrowth*before {
				errs = append(errs, fmt.Errorf("%s needs %.2f ms of processor time for each of %d images, %.2f ms for each of %d", step, 1000*each, row.images, 1000*before, first.images))
			}
		}
	}
	return errors.Join(errs...)
}

func mib(bytes int64) float64 { return float64(bytes) / (1 << 20) }

// manyTable returns a table in Markdown: for each step the time, the processor time (plus
// that of containerd), and the memory.
func manyTable(rows []manyRow) string {
	var b strings.Builder
	b.WriteString("| images |")
	for _, s := range manySteps {
		fmt.Fprintf(&b, " %s |", s)
	}
	b.WriteString("\n| ---: |" + strings.Repeat(" ---: |", len(manySteps)) + "\n")
	for _, row := range rows {
		fmt.Fprintf(&b, "| %d |", row.images)
		for _, c := range row.costs {
			fmt.Fprintf(&b, " %.2f s, cpu %.2f s", c.Wall.Seconds(), c.CPU.Seconds())
			if c.daemon >= 10*time.Millisecond {
				fmt.Fprintf(&b, " + %.2f s", c.daemon.Seconds())
			}
			fmt.Fprintf(&b, ", %.0f MiB |", mib(c.Peak))
		}
		b.WriteString("\n")
	}
	return b.String()
}
