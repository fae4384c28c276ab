// Package progress shows the progress of a command: a bar on a terminal, lines otherwise, or
// one JSON object a line for programs.
package progress

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/schollz/progressbar/v3"

	"stowage/cmd/internal/cli"
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

// interval between two reports of bytes when there is no bar.
const interval = 5 * time.Second

// Event is a line of the JSON mode. Fields may be added later; none is renamed.
type Event struct {
	Time    string `json:"time"`              // RFC 3339, UTC
	Event   string `json:"event"`             // "message", "warning", "error", "start", "bytes", "done"
	Phase   string `json:"phase,omitempty"`   // of the run, with start, bytes and done
	Message string `json:"message,omitempty"` // for people, with message, warning and error
	Hint    string `json:"hint,omitempty"`    // what to do next, with error
	Code    int    `json:"code,omitempty"`    // exit code, with error
	Done    int64  `json:"done,omitempty"`    // bytes
	Total   int64  `json:"total,omitempty"`   // bytes
}

// Display shows messages and progress to a person or a program. It is safe for concurrent use.
type Display struct {
	w       io.Writer
	program string
	mode    string

	mu    sync.Mutex
	bar   *progressbar.ProgressBar
	phase string
	total int64
	done  atomic.Int64
	stop  chan struct{}
	ended sync.WaitGroup
}

// New returns a display on w, normally standard error. Lines begin with program. Mode is one
// of [Modes]; any other is a usage error.
func New(w io.Writer, program, mode string) (*Display, error) {
	if err := cli.OneOf("progress", mode, Modes()...); err != nil {
		return nil, err
	}
	if mode == Auto && !cli.Terminal(w) {
		mode = Plain
	}
	return &Display{w: w, program: program, mode: mode}, nil
}

// Message shows something that is neither a result nor a fault.
func (d *Display) Message(format string, args ...any) {
	if d.mode == None {
		return
	}
	d.print("message", "", format, args)
}

// Warning shows something that a person should look at. Every mode shows it.
func (d *Display) Warning(format string, args ...any) {
	d.print("warning", "warning: ", format, args)
}

// Fail shows err in the JSON mode and returns it marked as reported, so that [cli.Report]
// does not print it as text as well. In the other modes it returns err unchanged.
func (d *Display) Fail(err error) error {
	if err == nil || d.mode != JSON {
		return err
	}
	reported := &cli.Error{Code: cli.Failed, Err: err, Reported: true}
	var e *cli.Error
	if errors.As(err, &e) {
		reported.Code, reported.Hint = e.Code, e.Hint
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.emit(Event{Event: "error", Message: err.Error(), Hint: reported.Hint, Code: reported.Code})
	return reported
}

// print shows a line. The arguments may come from outside: JSON escapes them, and
// [cli.Fprintf] for people.
func (d *Display) print(event, prefix, format string, args []any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.mode == JSON {
		d.emit(Event{Event: event, Message: fmt.Sprintf(format, args...)})
		return
	}
	if d.bar != nil {
		_ = d.bar.Clear() // cosmetic: the bar is drawn again below the line
	}
	_, _ = io.WriteString(d.w, d.program+": "+prefix+cli.Sprintf(format, args...)+"\n")
	if d.bar != nil {
		_ = d.bar.RenderBlank()
	}
}

// Start begins a phase of total bytes, such as "pull". A negative total is unknown. Add counts
// bytes, Finish ends the phase.
func (d *Display) Start(phase string, total int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.phase, d.total = phase, max(total, 0)
	d.done.Store(0)
	switch d.mode {
	case Auto:
		d.bar = progressbar.NewOptions64(total,
			progressbar.OptionSetWriter(d.w),
			progressbar.OptionSetDescription(phase),
			progressbar.OptionShowBytes(true),
			progressbar.OptionShowCount(),
			progressbar.OptionSetPredictTime(true),
			progressbar.OptionFullWidth(),
			progressbar.OptionThrottle(100*time.Millisecond),
			progressbar.OptionClearOnFinish(),
		)
	case JSON:
		d.emit(Event{Event: "start", Phase: phase, Total: d.total})
		d.report()
	case Plain:
		d.report()
	}
}

// Add counts n bytes.
func (d *Display) Add(n int64) {
	d.done.Add(n)
	if d.mode == Auto && d.bar != nil {
		_ = d.bar.Add64(n) // it fails only past the total
	}
}

// Finish ends the phase.
func (d *Display) Finish() {
	if d.stop != nil {
		close(d.stop)
		d.ended.Wait()
		d.stop = nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.bar != nil {
		_ = d.bar.Finish() // cosmetic
		d.bar = nil
	}
	if d.mode == JSON && d.phase != "" {
		d.emit(Event{Event: "done", Phase: d.phase, Done: d.done.Load(), Total: d.total})
	}
	d.phase = ""
}

// report prints the progress of the phase at intervals, in the modes without a bar.
func (d *Display) report() {
	stop := make(chan struct{})
	d.stop = stop
	d.ended.Go(func() {
		t := time.NewTicker(interval)
		defer t.Stop()
		for {
			select {
			case <-stop:
				return
			case <-t.C:
				d.mu.Lock()
				if d.mode == JSON {
					d.emit(Event{Event: "bytes", Phase: d.phase, Done: d.done.Load(), Total: d.total})
				} else {
					of := ""
					if d.total > 0 {
						of = " of " + cli.Bytes(d.total)
					}
					_ = cli.Fprintf(d.w, "%s: %s %s%s\n", d.program, d.phase, cli.Bytes(d.done.Load()), of)
				}
				d.mu.Unlock()
			}
		}
	})
}

func (d *Display) emit(e Event) {
	e.Time = time.Now().UTC().Format(time.RFC3339)
	b, err := json.Marshal(e)
	if err != nil {
		return // strings and numbers always encode
	}
	_, _ = d.w.Write(append(b, '\n'))
}
