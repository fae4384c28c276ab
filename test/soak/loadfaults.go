//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// loadFault is a fault during a load. do causes it and checks what is specific to it; the
// caller checks what is true after all of them.
type loadFault struct {
	name string
	do   func(context.Context, *trial) error
}

var loadFaults = []loadFault{
	{"no fault", func(ctx context.Context, t *trial) error { return t.expect(ctx, t.load, nil, 0) }},
	{"SIGKILL", func(ctx context.Context, t *trial) error { return t.signalled(ctx, syscall.SIGKILL, -1, 0) }},
	{"SIGKILL again and again", func(ctx context.Context, t *trial) error {
		for range t.d.between(2, 4) {
			if err := t.signalled(ctx, syscall.SIGKILL, -1, 0); err != nil {
				return err
			}
		}
		return nil
	}},
	{"SIGTERM", func(ctx context.Context, t *trial) error {
		return t.signalled(ctx, syscall.SIGTERM, interrupted, 0, -1)
	}},
	{"SIGINT", func(ctx context.Context, t *trial) error { return t.signalled(ctx, syscall.SIGINT, interrupted, 0, -1) }},
	{"killed inside a stream", killedStream},
	{"cut stream", cutStream},
	{"cut file", cutFile},
	{"flipped byte", flippedByte},
	{"containerd killed", containerdKilled},
	{"containerd restarted after it", restartedAfter},
	{"full disk", fullDisk},
	{"disk fills up", diskFillsUp},
	{"two at once", twoAtOnce},
	{"garbage collection", collecting},
	{"an image removed, then again", removed},
	{"unpin", unpinned},
}

// expect runs a load that must exit with one of the codes.
func (t *trial) expect(ctx context.Context, l load, change func(*command), codes ...int) error {
	got, err := t.callLoad(ctx, l, change)
	if err == nil {
		err = got.among(codes...)
	}
	return err
}

// signalled sends a signal during the load.
func (t *trial) signalled(ctx context.Context, s syscall.Signal, codes ...int) error {
	delay := t.d.part(t.loadTook, 130)
	return t.expect(ctx, t.load, func(c *command) { c.signal, c.delay = s, delay }, codes...)
}

// killedStream kills load after that many bytes of a stream.
func killedStream(ctx context.Context, t *trial) error {
	at := t.place()
	l := t.load
	l.pipe = true
	return t.expect(ctx, l, func(c *command) {
		reached := make(chan struct{})
		c.stdin = &tripwire{r: c.stdin, left: at, reached: reached}
		c.started = func(pid int) {
			go func() {
				<-reached
				syscall.Kill(pid, syscall.SIGKILL) // it is still waiting for input
			}()
		}
	}, -1, 0)
}

// tripwire returns the first bytes of a reader, reports that they were read, and then
// returns no bytes until its reader stops.
type tripwire struct {
	r       io.Reader
	left    int64
	reached chan struct{}
	once    sync.Once
}

func (w *tripwire) Read(p []byte) (int, error) {
	if w.left == 0 {
		w.once.Do(func() { close(w.reached) })
		time.Sleep(50 * time.Millisecond) // until the other end of the pipe is closed
		return 0, io.EOF
	}
	n, err := w.r.Read(p[:min(int64(len(p)), w.left)])
	w.left -= int64(n)
	return n, err
}

// place returns a random offset in the bundle, never that of the last byte.
func (t *trial) place() int64 {
	info, err := os.Stat(t.load.file)
	if err != nil {
		return 0 // load will report the error
	}
	return t.d.Int64N(info.Size())
}

// cutStream ends a stream too early. Nothing may change.
func cutStream(ctx context.Context, t *trial) error {
	at := t.place()
	l := t.load
	l.pipe = true
	return t.refused(ctx, l, func(c *command) { c.stdin = io.LimitReader(c.stdin, at) })
}

func cutFile(ctx context.Context, t *trial) error {
	at := t.place()
	path, err := t.copyWith("cut"+filepath.Ext(t.load.file), func(b []byte) []byte { return b[:at] })
	if err != nil {
		return err
	}
	l := t.load
	l.file = path
	return t.refused(ctx, l, nil)
}

// refused loads an incomplete bundle: load may succeed only if there is nothing to do, and
// must not change anything otherwise. A bundle that ends inside the padding at the end of a
// tar is not damaged.
func (t *trial) refused(ctx context.Context, l load, change func(*command)) error {
	before, err := t.eye.state()
	if err != nil {
		return err
	}
	got, err := t.callLoad(ctx, l, change)
	if err == nil {
		err = got.among(6)
	}
	if err == nil {
		err = t.asBefore(before, !l.pipe && filepath.Ext(l.file) == ".tar")
	}
	return err
}

// asBefore checks that no image was added, removed or changed. What a stream or a killed
// load has stored stays under a lease, for the next load to resume; strict excludes both
// cases.
func (t *trial) asBefore(before *nodeState, strict bool) error {
	if strict && len(before.leases) == 0 {
		return t.sameAs(t.eye, before)
	}
	now, err := t.eye.state()
	if err != nil {
		return err
	}
	was, is := &nodeState{images: before.images}, &nodeState{images: now.images}
	if list := was.changes(is); len(list) > 0 {
		return fmt.Errorf("the images have changed: %s", strings.Join(list, ", "))
	}
	return nil
}

// flippedByte changes one bit. A load that succeeds even so did not need it.
func flippedByte(ctx context.Context, t *trial) error {
	at, bit := t.place(), t.d.IntN(8)
	path, err := t.copyWith("flipped"+filepath.Ext(t.load.file), func(b []byte) []byte {
		b[at] ^= 1 << bit
		return b
	})
	if err != nil {
		return err
	}
	t.say("flipped bit %d of byte %d", bit, at)
	before, err := t.eye.state()
	if err != nil {
		return err
	}
	l := t.load
	l.file = path
	got, err := t.callLoad(ctx, l, nil)
	if err == nil {
		err = got.among(6, 0)
	}
	if err != nil || got.code == 0 {
		return err
	}
	return t.asBefore(before, !l.pipe && filepath.Ext(l.file) == ".tar")
}

// containerdKilled kills containerd during the load and starts it again.
func containerdKilled(ctx context.Context, t *trial) error {
	delay := t.d.part(t.loadTook, 100)
	var killed error
	err := t.expect(ctx, t.load, func(c *command) {
		c.meddle = after(delay, func() { killed = t.node.Kill() })
	}, 0, 1, 7)
	return errors.Join(err, killed, t.node.Restart(ctx))
}

// after returns a function for command.meddle that calls f after a delay.
func after(delay time.Duration, f func()) func() func() {
	return func() func() {
		done := make(chan struct{})
		go func() {
			defer close(done)
			time.Sleep(delay)
			f()
		}()
		return func() { <-done }
	}
}

// restartedAfter checks that loaded images survive a restart.
func restartedAfter(ctx context.Context, t *trial) error {
	if err := t.expect(ctx, t.load, nil, 0); err != nil {
		return err
	}
	kill := t.d.chance(50)
	if kill {
		if err := t.node.Kill(); err != nil {
			return err
		}
	}
	if err := t.node.Restart(ctx); err != nil {
		return err
	}
	return errors.Join(t.check(ctx, 0), t.resolves(ctx))
}

// fullDisk leaves too little space, or just enough.
func fullDisk(ctx context.Context, t *trial) error {
	if err := t.root.leave(int64(t.d.Float64() * 1.5 * float64(t.want.size))); err != nil {
		return err
	}
	err := t.expect(ctx, t.load, nil, 0, 1)
	return errors.Join(err, t.root.heal())
}

// diskFillsUp fills the disk during the load.
func diskFillsUp(ctx context.Context, t *trial) error {
	delay, free := t.d.part(t.loadTook, 100), int64(t.d.between(0, 200_000))
	var leave error
	err := t.expect(ctx, t.load, func(c *command) {
		c.meddle = after(delay, func() { leave = t.root.leave(free) })
	}, 0, 1)
	return errors.Join(err, leave, t.root.heal())
}

// twoAtOnce runs two concurrent loads of the same bundle, which must both succeed.
func twoAtOnce(ctx context.Context, t *trial) error {
	delay, other := t.d.part(t.loadTook, 100), t.load
	other.pipe = t.d.chance(50)
	second := make(chan error, 1)
	go func() {
		time.Sleep(delay)
		got, err := t.quietLoad(ctx, other)
		if err == nil {
			err = got.among(0)
		}
		if err != nil && got != nil {
			err = fmt.Errorf("%w: %s", err, got.stderr)
		}
		second <- err
	}()
	err := t.expect(ctx, t.load, nil, 0)
	return errors.Join(err, <-second)
}

// quietLoad is callLoad without the transcript, which is not safe for concurrent use.
func (t *trial) quietLoad(ctx context.Context, l load) (*ran, error) {
	f, err := os.Open(l.file)
	if err != nil {
		return nil, err
	}
	defer f.Close() // opened for reading
	c := command{program: t.programPath("load"), env: environ(t.dir)}
	c.args = append([]string{"--address", t.node.Address(), "--output", "json", "--progress", "none"}, l.flags...)
	if l.pipe {
		c.stdin = struct{ io.Reader }{f}
		c.args = append(c.args, "-")
	} else {
		c.args = append(c.args, l.file)
	}
	got, err := c.run(ctx)
	if err != nil {
		return nil, err
	}
	return got, errors.Join(got.sane(), t.believed(ctx, got))
}

// collecting runs garbage collections during the load.
func collecting(ctx context.Context, t *trial) error {
	var failed error
	err := t.expect(ctx, t.load, func(c *command) {
		c.meddle = func() func() {
			stop, done := make(chan struct{}), make(chan struct{})
			go func() {
				defer close(done)
				for failed == nil {
					select {
					case <-stop:
						return
					default:
						failed = t.eye.collect()
					}
				}
			}()
			return func() { close(stop); <-done }
		}
	}, 0)
	return errors.Join(err, failed)
}

// removed removes an image as an administrator would; check must report it, and a second
// load must restore it.
func removed(ctx context.Context, t *trial) error {
	if err := t.expect(ctx, t.load, nil, 0); err != nil {
		return err
	}
	name := pick(t.d, t.world.names(pick(t.d, t.world.items...))...)
	if out, err := t.node.Ctr("images", "rm", "--sync", name); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	t.say("ctr images rm %s", name)
	if err := t.check(ctx, 3); err != nil {
		return err
	}
	// A differential bundle does not contain everything that was removed.
	return t.loadBase(ctx)
}

// unpinned unpins the images and collects garbage: they must stay.
func unpinned(ctx context.Context, t *trial) error {
	if err := t.expect(ctx, t.load, nil, 0); err != nil {
		return err
	}
	got, err := t.call(ctx, command{program: t.programPath("load"), env: environ(t.dir), args: []string{"unpin", "--address", t.node.Address(), t.load.file}})
	if err == nil {
		err = got.among(0)
	}
	return errors.Join(err, t.eye.collect(), t.check(ctx, 0), t.resolves(ctx))
}
