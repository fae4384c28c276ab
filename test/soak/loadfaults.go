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

// loadFault is something that happens to a load. do makes it happen and looks at what is
// particular about it; what is true after all of them, the caller looks at.
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
	{"SIGTERM", func(ctx context.Context, t *trial) error { return t.signalled(ctx, syscall.SIGTERM, 1, 0, -1) }},
	{"SIGINT", func(ctx context.Context, t *trial) error { return t.signalled(ctx, syscall.SIGINT, 1, 0, -1) }},
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

// expect runs a load that must end with one of the codes.
func (t *trial) expect(ctx context.Context, l load, change func(*command), codes ...int) error {
	got, err := t.callLoad(ctx, l, change)
	if err == nil {
		err = got.among(codes...)
	}
	return err
}

// signalled sends a signal in the middle.
func (t *trial) signalled(ctx context.Context, s syscall.Signal, codes ...int) error {
	delay := t.d.part(t.loadTook, 130)
	return t.expect(ctx, t.load, func(c *command) { c.signal, c.delay = s, delay }, codes...)
}

// killedStream kills load when so many bytes of a stream have gone in.
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
				syscall.Kill(pid, syscall.SIGKILL) // it waits for input that does not come, so it is still there
			}()
		}
	}, -1, 0)
}

// tripwire gives the first bytes of a reader, tells that they are gone, and then nothing for
// as long as anybody asks.
type tripwire struct {
	r       io.Reader
	left    int64
	reached chan struct{}
	once    sync.Once
}

func (w *tripwire) Read(p []byte) (int, error) {
	if w.left == 0 {
		w.once.Do(func() { close(w.reached) })
		time.Sleep(50 * time.Millisecond) // until the reader at the other end is gone
		return 0, io.EOF
	}
	n, err := w.r.Read(p[:min(int64(len(p)), w.left)])
	w.left -= int64(n)
	return n, err
}

// place is a random byte of the bundle, never the last.
func (t *trial) place() int64 {
	info, err := os.Stat(t.load.file)
	if err != nil {
		return 0 // load will say so
	}
	return t.d.Int64N(info.Size())
}

// cutStream ends a stream too early. Nothing may have changed.
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

// refused loads a bundle of which a part is missing: it may succeed only when there is
// nothing to do, and must not change anything otherwise. What ended inside the padding at the
// end of a tar is not damaged.
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

// asBefore: no image came, went or changed. What a stream has brought stays under a lease, for
// the next load to go on from, and so does what one that was killed earlier has; strict asks
// for more where neither is the case.
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
		return fmt.Errorf("the images are not what they were: %s", strings.Join(list, ", "))
	}
	return nil
}

// flippedByte changes one bit. A load that succeeds all the same did not need it.
func flippedByte(ctx context.Context, t *trial) error {
	at, bit := t.place(), t.d.IntN(8)
	path, err := t.copyWith("flipped"+filepath.Ext(t.load.file), func(b []byte) []byte {
		b[at] ^= 1 << bit
		return b
	})
	if err != nil {
		return err
	}
	t.say("bit %d of byte %d is flipped", bit, at)
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

// containerdKilled kills containerd in the middle and starts it again.
func containerdKilled(ctx context.Context, t *trial) error {
	delay := t.d.part(t.loadTook, 100)
	var killed error
	err := t.expect(ctx, t.load, func(c *command) {
		c.meddle = func() func() {
			done := make(chan struct{})
			go func() {
				defer close(done)
				time.Sleep(delay)
				killed = t.node.Kill()
			}()
			return func() { <-done }
		}
	}, 0, 1, 7)
	return errors.Join(err, killed, t.node.Restart(ctx))
}

// restartedAfter: what was loaded survives a restart.
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

// fullDisk leaves too little room, or just about enough.
func fullDisk(ctx context.Context, t *trial) error {
	if err := t.root.leave(int64(t.d.Float64() * 1.5 * float64(t.want.size))); err != nil {
		return err
	}
	err := t.expect(ctx, t.load, nil, 0, 1)
	return errors.Join(err, t.root.heal())
}

// diskFillsUp takes the room away while load is at work.
func diskFillsUp(ctx context.Context, t *trial) error {
	delay, free := t.d.part(t.loadTook, 100), int64(t.d.between(0, 200_000))
	var leave error
	err := t.expect(ctx, t.load, func(c *command) {
		c.meddle = func() func() {
			done := make(chan struct{})
			go func() {
				defer close(done)
				time.Sleep(delay)
				leave = t.root.leave(free)
			}()
			return func() { <-done }
		}
	}, 0, 1)
	return errors.Join(err, leave, t.root.heal())
}

// twoAtOnce runs two loads of the same bundle, which both have to succeed.
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
			err = fmt.Errorf("%w: %s", err, got.told)
		}
		second <- err
	}()
	err := t.expect(ctx, t.load, nil, 0)
	return errors.Join(err, <-second)
}

// quietLoad is callLoad without the transcript, which belongs to one goroutine.
func (t *trial) quietLoad(ctx context.Context, l load) (*ran, error) {
	f, err := os.Open(l.file)
	if err != nil {
		return nil, err
	}
	defer f.Close() // only read from
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

// collecting has containerd collect garbage all the time.
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

// removed takes an image away as an administrator does; check has to notice, and a second
// load to mend it.
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
	// A differential bundle has not all that went with it.
	return t.loadBase(ctx)
}

// unpinned gives the images back and collects garbage: they stay.
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
