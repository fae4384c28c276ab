package progress

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"stowage/cmd/internal/cli"
	"stowage/cmd/internal/document"
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

// show shows a phase of two intervals with a message and a warning, and returns the output.
func show(t *testing.T, mode string) string {
	t.Helper()
	var p buffer
	d, err := New(&p, "prog", mode)
	if err != nil {
		t.Fatal(err)
	}
	d.Message("resolving %d images", 3)
	d.Start(Phase{Name: "fetch", Total: 4000})
	time.Sleep(500 * time.Millisecond) // between the ticks
	for range 2 {
		d.Add(1000)
		time.Sleep(interval / 2)
		d.Add(500)
		time.Sleep(interval / 2)
		d.Warning("%s is skipped", "tool")
	}
	d.Finish()
	d.Message("done")
	return p.String()
}

func TestLines(t *testing.T) {
	tests := map[string]string{
		None: "prog: warning: tool is skipped\nprog: warning: tool is skipped\n",
		Plain: "prog: resolving 3 images\nprog: fetch 37 %: 1.5/4.0 kB, 150 B/s, 17 s left\nprog: warning: tool is skipped\n" +
			"prog: fetch 75 %: 3.0/4.0 kB, 150 B/s, 7 s left\nprog: warning: tool is skipped\nprog: done\n",
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

// decode returns the events of the JSON mode.
func decode(t *testing.T, text string) (events []Event) {
	t.Helper()
	for line := range strings.Lines(text) {
		var e Event
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		events = append(events, e)
	}
	return events
}

func TestJSON(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now().UTC()
		at := func(d time.Duration) string { return start.Add(d).Format(time.RFC3339) }
		last := at(2*interval + time.Second/2)
		want := []Event{
			{Time: at(0), Event: "message", Message: "resolving 3 images"},
			{Time: at(0), Event: "start", Phase: "fetch", Total: 4000},
			{Time: at(interval), Event: "bytes", Phase: "fetch", Done: 1500, Total: 4000},
			{Time: at(interval + time.Second/2), Event: "warning", Message: "tool is skipped"},
			{Time: at(2 * interval), Event: "bytes", Phase: "fetch", Done: 3000, Total: 4000},
			{Time: last, Event: "warning", Message: "tool is skipped"},
			{Time: last, Event: "done", Phase: "fetch", Done: 3000, Total: 4000},
			{Time: last, Event: "message", Message: "done"},
		}
		if d := cmp.Diff(want, decode(t, show(t, JSON))); d != "" {
			t.Errorf("(-want +got):\n%s", d)
		}
	})
}

// TestEnd: in the JSON mode errors and the result are events, whatever the run's end.
func TestEnd(t *testing.T) {
	cause := &cli.Error{Code: cli.RateLimited, Err: errors.New("a: 429"), Hint: "wait"}
	fault := document.Error{Message: "a: 429", Image: "a", Host: "r.test", HTTPStatus: 429, RetryAt: "2026-01-02T03:04:05Z"}
	for _, tt := range []struct {
		name string
		mode string
		err  error
		want string
	}{
		{"done", JSON, nil, `{"schema":1,"event":"result","exitCode":0,"identity":"sha256:1","imageCount":3,"pullCount":0}`},
		{"failed", JSON, cause, `{"schema":1,"event":"error","message":"a: 429","hint":"wait","exitCode":4,"errors":[{"message":"a: 429","image":"a","host":"r.test","httpStatus":429,"retryAt":"2026-01-02T03:04:05Z"}]}
{"schema":1,"event":"result","exitCode":4,"identity":"sha256:1","imageCount":3,"pullCount":0}`},
		{"without a code", JSON, errors.New("broken"), `{"schema":1,"event":"error","message":"broken","exitCode":1,"errors":[{"message":"a: 429","image":"a","host":"r.test","httpStatus":429,"retryAt":"2026-01-02T03:04:05Z"}]}
{"schema":1,"event":"result","exitCode":1,"identity":"sha256:1","imageCount":3,"pullCount":0}`},
		{"for people", Plain, cause, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var p, report buffer
			d, err := New(&p, "prog", tt.mode)
			if err != nil {
				t.Fatal(err)
			}
			err = d.End(tt.err, Result{Identity: "sha256:1", Images: new(3), Pulls: new(int64(0))}, fault)
			got := regexp.MustCompile(`"time":"[^"]*",`).ReplaceAllString(strings.TrimSpace(p.String()), "")
			if got != tt.want {
				t.Errorf("got:\n%s\nwant:\n%s", got, tt.want)
			}
			code := cli.Report(&report, "prog", err)
			if want := cli.Report(&buffer{}, "prog", tt.err); code != want || tt.mode == JSON && report.String() != "" {
				t.Errorf("code %d, want %d; printed %q", code, want, report.String())
			}
		})
	}
}

// TestStall: a source that sends nothing is named within ten seconds.
func TestStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p buffer
		d, err := New(&p, "prog", Plain)
		if err != nil {
			t.Fatal(err)
		}
		d.Start(Phase{Name: "fetch", Total: 4000, Done: 1000, Patience: time.Minute})
		time.Sleep(1500 * time.Millisecond)
		d.AddFrom("r.test", -1, 1000)
		time.Sleep(30 * time.Second)
		d.AddFrom("r.test", -1, 1000)
		time.Sleep(90 * time.Second)
		d.Finish()
		want := `prog: fetch 50 %: 2.0/4.0 kB, 100 B/s, 20 s left
prog: fetch 50 %: no data from r.test for 9 s (reconnects after 60 s)
prog: fetch 50 %: no data from r.test for 19 s (reconnects after 60 s)
prog: fetch 50 %: no data from r.test for 29 s (reconnects after 60 s)
prog: fetch 75 %: no data from r.test for 9 s (reconnects after 60 s)
prog: fetch 75 %: no data from r.test for 19 s (reconnects after 60 s)
prog: fetch 75 %: no data from r.test for 29 s (reconnects after 60 s)
prog: fetch 75 %: no data from r.test for 39 s (reconnects after 60 s)
prog: fetch 75 %: no data from r.test for 49 s (reconnects after 60 s)
prog: fetch 75 %: no data from r.test for 59 s (reconnects after 60 s)
prog: fetch 75 %: no data from r.test for 69 s (reconnects after 60 s)
prog: fetch 75 %: no data from r.test for 79 s (reconnects after 60 s)
prog: fetch 75 %: no data from r.test for 89 s (reconnects after 60 s)
`
		if got := p.String(); got != want {
			t.Errorf("got:\n%s\nwant:\n%s", got, want)
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
			d.Start(Phase{Name: "fetch", Total: workers * rounds})
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
		d.Start(Phase{Name: "a"})
		d.Finish()
		d.Finish()
		if mode == JSON && strings.Count(p.String(), `"event":"done"`) != 1 {
			t.Errorf("%s", p.String())
		}
	}
}
