// Package progress shows the progress of a command: a bar on a terminal, lines otherwise, or
// one JSON object a line for programs.
package progress

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"stowage/cmd/internal/cli"
	"stowage/cmd/internal/document"
)

// Modes of [New].
const (
	Auto  = "auto"  // a bar on a terminal, lines otherwise
	Plain = "plain" // lines
	JSON  = "json"  // one object a line
	None  = "none"  // errors and warnings only
)

// Modes returns the values of --progress.
func Modes() []string { return []string{Auto, Plain, JSON, None} }

// The intervals of reports: the screen is drawn at every frame, lines and events come at each
// interval.
const (
	frame    = 200 * time.Millisecond
	tick     = time.Second
	interval = 10 * time.Second
)

// Phase is a part of a run that takes long.
type Phase struct {
	Name     string        // such as "fetch"
	Total    int64         // bytes; negative when unknown
	Done     int64         // bytes of the total that an earlier run has done
	Work     bool          // the bytes measure work and are no file's: per cent are shown
	Source   string        // which the bytes come from; [Display.AddFrom] may name another
	Patience time.Duration // after which a silent source is asked again; 0 for never
	Parts    []Part        // which the bytes are for; may be empty
}

// Display shows messages and progress to a person or a program. It is safe for concurrent
// use, but for Start and Finish, which one goroutine calls.
type Display struct {
	w       io.Writer
	program string
	mode    string
	screen  *screen // of the auto mode

	done   atomic.Int64
	source atomic.Pointer[string]
	parts  atomic.Pointer[[]*part] // of the phase

	mu    sync.Mutex
	meter *meter // of the phase; nil between phases
	waits waits
	next  time.Time // when the next line is due
	told  bool      // that bytes have stopped
	stop  chan struct{}
	ended sync.WaitGroup

	noWaits  chan struct{} // closed when the run waits for nothing any more; nil before it waits
	counting sync.WaitGroup

	faults    []document.Error // of the run, in the JSON mode
	onWarning func(string)
}

// New returns a display on w, normally standard error. Lines begin with program. Mode is one
// of [Modes]; any other is a usage error.
func New(w io.Writer, program, mode string) (*Display, error) {
	if err := cli.OneOf("progress", mode, Modes()...); err != nil {
		return nil, err
	}
	d := &Display{w: w, program: program, mode: mode}
	if mode == Auto {
		if d.screen = newScreen(w); d.screen == nil {
			d.mode = Plain
		}
	}
	return d, nil
}

// ShowsParts reports whether the parts of a phase are shown: on a screen, and as JSON.
func (d *Display) ShowsParts() bool { return d.screen != nil || d.mode == JSON }

// Message shows something that is neither a result nor a fault.
func (d *Display) Message(format string, args ...any) {
	if d.mode == None {
		return
	}
	d.print("message", "", format, args)
}

// OnWarning sets a function that receives the text of each warning, too, from the goroutine
// that shows it, one at a time.
func (d *Display) OnWarning(f func(text string)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.onWarning = f
}

// Warning shows something that a person should look at. Every mode shows it.
func (d *Display) Warning(format string, args ...any) {
	d.print("warning", "warning: ", format, args)
}

// print shows a line. The arguments may come from outside: JSON escapes them, and
// [cli.Fprintf] for people.
func (d *Display) print(event, prefix, format string, args []any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if event == "warning" && d.onWarning != nil {
		d.onWarning(cli.Sprintf(format, args...))
	}
	switch {
	case d.mode == JSON:
		d.emit(Event{Event: event, Message: fmt.Sprintf(format, args...)})
		return
	case d.screen != nil:
		d.screen.clear()
	}
	_, _ = io.WriteString(d.w, d.program+": "+prefix+cli.Sprintf(format, args...)+"\n")
	d.draw(time.Now())
}

// Relay shows a line that the same program has printed on a node. Its mode is that of d, but
// plain for auto.
func (d *Display) Relay(node, line string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.mode == JSON {
		e := Event{Event: "message"}
		if err := json.Unmarshal([]byte(line), &e); err != nil { // of another program
			e = Event{Event: "message", Message: line}
		}
		e.Node = node
		d.emit(e)
		return
	}
	line = strings.TrimPrefix(line, d.program+": ")
	_ = cli.Fprintf(d.w, "%s: %s: %s\n", d.program, node, line) // there is no other place for it
}

// Fault shows one of the errors with which the run will end, and its hint. In the JSON mode
// it is a part of the event "error" that [Display.End] shows.
func (d *Display) Fault(f document.Error) {
	if d.mode == JSON {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.faults = append(d.faults, f)
		return
	}
	d.print("error", "error: ", "%s", []any{f.Message})
	if f.Hint != "" {
		d.print("error", "hint: ", "%s", []any{f.Hint})
	}
}

// End shows the end of a run. In the JSON mode it shows err and then the result as events
// and returns err marked as reported, so that [cli.Report] does not print it as text as
// well. In the other modes it returns err unchanged. It ends a phase that is still shown.
func (d *Display) End(err error, r Result, faults ...document.Error) error {
	d.Finish()
	d.endWaits()
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.screen != nil {
		d.screen.clear()
	}
	if d.mode != JSON {
		return err
	}
	if err == nil {
		d.emitResult(cli.OK, r)
		return nil
	}
	reported := &cli.Error{Code: cli.Failed, Err: err, Reported: true}
	if e, ok := errors.AsType[*cli.Error](err); ok {
		reported.Code, reported.Hint = e.Code, e.Hint
	}
	d.emit(Event{Event: "error", Message: err.Error(), Hint: reported.Hint, Code: &reported.Code, Errors: slices.Concat(d.faults, faults)})
	d.emitResult(reported.Code, r)
	return reported
}

// Start begins a phase. Add counts bytes, Finish ends the phase.
func (d *Display) Start(p Phase) {
	if d.mode == None {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	d.done.Store(p.Done)
	d.source.Store(&p.Source)
	parts := newParts(p.Parts)
	d.parts.Store(&parts)
	d.meter, d.next, d.told = newMeter(p, now), now.Add(interval), false
	every := tick
	switch d.mode {
	case Auto:
		every = frame
	case JSON:
		d.emit(Event{Event: "start", Phase: p.Name, Done: p.Done, Total: max(p.Total, 0)})
	}
	stop := make(chan struct{})
	d.stop = stop
	d.ended.Go(func() { d.watch(stop, every) })
}

// Add counts n bytes; a negative number takes back what has to be done again.
func (d *Display) Add(n int64) { d.done.Add(n) }

// AddFrom counts n bytes that source sent for a part of the phase, by its index; -1 stands for
// none. The last source is named when nothing arrives.
func (d *Display) AddFrom(source string, part int, n int64) {
	d.done.Add(n)
	if parts := d.parts.Load(); parts != nil && part >= 0 && part < len(*parts) {
		(*parts)[part].done.Add(n)
	}
	if last := d.source.Load(); source != "" && (last == nil || *last != source) {
		d.source.Store(&source)
	}
}

// Finish ends the phase, if there is one.
func (d *Display) Finish() {
	if d.stop != nil {
		close(d.stop)
		d.ended.Wait()
		d.stop = nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.meter == nil {
		return
	}
	if d.mode == JSON {
		d.emit(Event{Event: "done", Phase: d.meter.Name, Done: d.done.Load(), Total: max(d.meter.Total, 0)})
	}
	d.meter = nil
	d.draw(time.Now())
}

// watch shows the phase until stop is closed. Time passes here and not in Add, so that a
// source that sends nothing is noticed.
func (d *Display) watch(stop chan struct{}, every time.Duration) {
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		select {
		case <-stop:
			return
		case now := <-t.C:
			d.mu.Lock()
			d.show(now)
			d.mu.Unlock()
		}
	}
}

// show measures the phase and shows it where it is time to; d.mu is held.
func (d *Display) show(now time.Time) {
	m := d.meter
	m.observe(now, d.done.Load())
	m.source = *d.source.Load()
	m.running = running(*d.parts.Load(), now)
	if d.screen != nil {
		d.draw(now)
		return
	}
	stalled := m.stalled(now) > 0
	if now.Before(d.next) && (d.told || !stalled) {
		d.told = d.told && stalled
		return
	}
	d.told = stalled
	d.next = now.Add(interval)
	if d.mode == JSON {
		d.emitBytes(now)
		return
	}
	_ = cli.Fprintf(d.w, "%s: %s\n", d.program, m.text(now)) // there is no other place for it
}

// draw draws the phase, its parts that are at work, and what the run waits for on the screen,
// if there is one; d.mu is held.
func (d *Display) draw(now time.Time) {
	if d.screen == nil {
		return
	}
	width, height := d.screen.size()
	var lines []string
	if m := d.meter; m != nil {
		lines = append(lines, m.line(now, width, d.screen.theme))
	}
	lines = append(lines, d.waits.lines(now, width)...)
	if d.meter != nil {
		for _, p := range d.meter.running {
			lines = append(lines, p.line(now, width, d.screen.ellipsis()))
		}
	}
	d.screen.draw(lines[:min(len(lines), max(height-1, 1))]...)
}
