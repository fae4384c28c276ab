package progress

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// buffer is a writer for concurrent use.
type buffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (p *buffer) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.b.Write(b)
}

func (p *buffer) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.b.String()
}

// show shows a phase of twelve seconds with a message and a warning, and returns the output.
func show(t *testing.T, mode string) string {
	t.Helper()
	var p buffer
	d, err := New(&p, "prog", mode)
	if err != nil {
		t.Fatal(err)
	}
	d.Message("resolving %d images", 3)
	d.Start("fetch", 4000)
	d.Add(1000)
	time.Sleep(interval + time.Second)
	d.Add(1500)
	d.Warning("%s is skipped", "tool")
	time.Sleep(interval + time.Second)
	d.Finish()
	d.Message("done")
	return p.String()
}

func TestLines(t *testing.T) {
	tests := map[string]string{
		None: "prog: warning: tool is skipped\n",
		Plain: "prog: resolving 3 images\nprog: fetch 1.0 kB of 4.0 kB\nprog: warning: tool is skipped\n" +
			"prog: fetch 2.5 kB of 4.0 kB\nprog: done\n",
	}
	tests[Auto] = tests[Plain] // a buffer is not a terminal
	for mode, want := range tests {
		t.Run(mode, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				if got := show(t, mode); got != want {
					t.Errorf("got:\n%s\nwant:\n%s", got, want)
				}
			})
		})
	}
}

func TestJSON(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now().UTC()
		at := func(d time.Duration) string { return start.Add(d).Format(time.RFC3339) }
		last := at(2 * (interval + time.Second))
		want := []Event{
			{Time: at(0), Event: "message", Message: "resolving 3 images"},
			{Time: at(0), Event: "start", Phase: "fetch", Total: 4000},
			{Time: at(interval), Event: "bytes", Phase: "fetch", Done: 1000, Total: 4000},
			{Time: at(interval + time.Second), Event: "warning", Message: "tool is skipped"},
			{Time: at(2 * interval), Event: "bytes", Phase: "fetch", Done: 2500, Total: 4000},
			{Time: last, Event: "done", Phase: "fetch", Done: 2500, Total: 4000},
			{Time: last, Event: "message", Message: "done"},
		}
		lines := strings.Split(strings.TrimSpace(show(t, JSON)), "\n")
		if len(lines) != len(want) {
			t.Fatalf("got %d lines, want %d:\n%s", len(lines), len(want), strings.Join(lines, "\n"))
		}
		for i, line := range lines {
			var got Event
			if err := json.Unmarshal([]byte(line), &got); err != nil || got != want[i] {
				t.Errorf("line %d: got %+v, %v, want %+v", i+1, got, err, want[i])
			}
		}
	})
}

func TestModes(t *testing.T) {
	for _, mode := range Modes() {
		if _, err := New(&buffer{}, "p", mode); err != nil {
			t.Errorf("%s: %v", mode, err)
		}
		if _, err := New(&buffer{}, "p", "no"+mode); err == nil || !strings.Contains(err.Error(), mode) {
			t.Errorf("no%s: got %v, want an error that lists the modes", mode, err)
		}
	}
}

// TestManyGoroutines: bytes and messages come from several goroutines; every line is complete
// and the last number is right. The race detector checks the rest.
func TestManyGoroutines(t *testing.T) {
	for _, mode := range Modes() {
		t.Run(mode, func(t *testing.T) {
			var p buffer
			d, err := New(&p, "p", mode)
			if err != nil {
				t.Fatal(err)
			}
			const workers, rounds = 8, 50
			d.Start("fetch", workers*rounds)
			var g sync.WaitGroup
			for w := range workers {
				g.Go(func() {
					for range rounds {
						d.Add(1)
						d.Message("worker %d", w)
					}
				})
			}
			g.Wait()
			d.Finish()
			messages := strings.Count(p.String(), fmt.Sprintf("worker %d", workers-1))
			if want := rounds; mode != None && messages != want {
				t.Errorf("%d messages, want %d", messages, want)
			}
			if mode == JSON && !strings.Contains(p.String(), `"event":"done","phase":"fetch","done":400,"total":400`) {
				t.Errorf("no correct last event in:\n%s", p.String())
			}
		})
	}
}

// TestFinishWithoutStart: Finish without Start does nothing.
func TestFinishWithoutStart(t *testing.T) {
	for _, mode := range Modes() {
		var p buffer
		d, err := New(&p, "p", mode)
		if err != nil {
			t.Fatal(err)
		}
		d.Add(5)
		d.Finish()
		d.Start("a", 0)
		d.Finish()
		d.Finish()
		if mode == JSON && strings.Count(p.String(), `"event":"done"`) != 1 {
			t.Errorf("%s", p.String())
		}
	}
}
