package progress

import (
	"fmt"
	"slices"
	"time"

	"stowage/cmd/internal/cli"
)

// wait is something that a run waits for.
type wait struct {
	source string
	text   string
	until  time.Time
}

// waits are those of a run, at most one of each source.
type waits []wait

// Wait shows that the run waits for source until a time, and why. The time passes on a
// terminal as long as the run does not end.
func (d *Display) Wait(source, text string, until time.Time) {
	if d.mode == None {
		return
	}
	now := time.Now()
	if d.mode == JSON {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.emit(Event{Event: "waiting", Message: text, Host: source, RetryAt: until.UTC().Format(time.RFC3339)})
		return
	}
	d.Message("%s: %s; trying again in %s, at %s", source, text, until.Sub(now).Round(100*time.Millisecond), until.Format(time.TimeOnly))
	if d.screen == nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.waits = append(slices.DeleteFunc(d.waits, func(w wait) bool { return w.source == source }), wait{source, text, until})
	if len(d.waits) == 1 {
		over := make(chan struct{})
		d.noWaits = over
		d.counting.Go(func() { d.countDown(over) })
	}
	d.draw(now)
}

// endWaits ends the count of time.
func (d *Display) endWaits() {
	d.mu.Lock()
	if d.noWaits != nil {
		close(d.noWaits)
	}
	d.waits, d.noWaits = nil, nil
	d.mu.Unlock()
	d.counting.Wait()
}

// countDown draws the screen every second as long as the run waits for something, whether or
// not a phase is shown, and until ended is closed.
func (d *Display) countDown(ended chan struct{}) {
	t := time.NewTicker(tick)
	defer t.Stop()
	for {
		var now time.Time
		select {
		case <-ended:
			return
		case now = <-t.C:
		}
		d.mu.Lock()
		d.waits = slices.DeleteFunc(d.waits, func(w wait) bool { return !now.Before(w.until) })
		over := len(d.waits) == 0
		d.draw(now)
		d.mu.Unlock()
		if over {
			return
		}
	}
}

// lines returns a line of less than width columns for each wait.
func (w waits) lines(now time.Time, width int) []string {
	var lines []string
	for _, one := range w {
		left, at := duration(max(0, one.until.Sub(now)).Round(time.Second)), one.until.Format(time.TimeOnly)
		line := fmt.Sprintf("waiting until %s (%s) for %s: %s", at, left, cli.Text(one.source), cli.Text(one.text))
		if width < fullWidth {
			line = fmt.Sprintf("until %s: %s", at, cli.Text(one.source))
		}
		lines = append(lines, cut(line, width-1))
	}
	return lines
}
