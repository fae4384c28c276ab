package progress

import (
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

const mb = 1_000_000

// work returns parts of which the first is complete, the last has not begun, and the others
// are at work, after some seconds.
func work(seconds int) ([]*part, time.Time) {
	parts := newParts([]Part{
		{Name: "docker.io/library/done:v1", Total: mb},
		{Name: "docker.io/calico/node:v3.28.0", Total: 115 * mb, Done: 10 * mb},
		{Name: "registry.example.com/team/with/a/very/long/path/to/the/image:v1.2.3-rc.4", Total: 2 * mb},
		{Name: "quay.io/app@sha256:" + strings.Repeat("a", 64), Total: 50 * mb},
		{Name: "docker.io/library/later:v1", Total: mb},
	})
	now := time.Unix(1000, 0)
	parts[0].done.Store(mb)
	for i, rate := range []int64{0, 5 * mb, 1000, mb} {
		parts[i].done.Add(rate)
	}
	running(parts, now)
	for range seconds {
		now = now.Add(time.Second)
		parts[1].done.Add(5 * mb)
		parts[3].done.Add(mb)
		running(parts, now)
	}
	return parts, now
}

// TestPartLines: an image that is at work has a line with its bytes, its rate and the time
// left, whatever the width; one whose bytes stop says so.
func TestPartLines(t *testing.T) {
	for _, tt := range []struct {
		seconds, width int
		want           []string
	}{
		{0, 80, []string{
			"  docker.io/calico/node:v3.28.0        15/115 MB",
			"  ...example.com/team/with/a/very/long/path/to/the/image:v1.2.3-rc.4 0.0/2.0 MB",
			"  quay.io/app@sha256:aaaaaaa           1.0/50.0 MB",
		}},
		{10, 80, []string{
			"  docker.io/calico/node:v3.28.0        65/115 MB, 5.0 MB/s, 10 s left",
			"  ...e.com/team/with/a/very/long/path/to/the/image:v1.2.3-rc.4 no data for 10 s",
			"  quay.io/app@sha256:aaaaaaa           11.0/50.0 MB, 1.0 MB/s, 39 s left",
		}},
		{10, 40, []string{
			"  .../node:v3.28.0 65/115MB 5.0MB/s 10s",
			"  .../image:v1.2.3-rc.4 no data for 10s",
			"  ...56:aaaaaaa 11.0/50.0MB 1.0MB/s 39s",
		}},
	} {
		parts, now := work(tt.seconds)
		var got []string
		for _, p := range running(parts, now) {
			got = append(got, p.line(now, tt.width, "..."))
			for width := range 200 {
				if n := utf8.RuneCountInString(p.line(now, width, "…")); n > max(width-1, 0) {
					t.Fatalf("%d columns of %d", n, width)
				}
			}
		}
		if d := cmp.Diff(tt.want, got); d != "" {
			t.Errorf("%d s, %d columns (-want +got):\n%s", tt.seconds, tt.width, d)
		}
	}
}

// TestManyParts: of many images those are shown whose bytes arrived last, in their order; an
// image whose bytes are taken back is at work again.
func TestManyParts(t *testing.T) {
	parts := newParts(make([]Part, 10))
	now := time.Unix(1000, 0)
	for i, p := range parts {
		p.Name, p.Total = string(rune('a'+i)), 100
		p.done.Add(1)
	}
	running(parts, now)
	shown := func(who ...int) string {
		now = now.Add(time.Second)
		for _, i := range who {
			parts[i].done.Add(1)
		}
		var names string
		for _, p := range running(parts, now) {
			names += p.Name
		}
		return names
	}
	if got := shown(9, 2, 4); got != "acej" {
		t.Errorf("got %s, want acej", got)
	}
	parts[9].done.Store(100)
	if got := shown(2); got != "abce" {
		t.Errorf("got %s, want abce", got)
	}
	parts[9].done.Store(0)
	if got := shown(); got != "acej" {
		t.Errorf("got %s, want acej", got)
	}
}

// TestPartEvents: the events of the JSON mode name the images whose bytes are on their way.
func TestPartEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p buffer
		d, err := New(&p, "prog", JSON)
		if err != nil {
			t.Fatal(err)
		}
		d.Start(Phase{Name: "fetch", Total: 300, Done: 10, Parts: []Part{{Name: "a", Total: 100, Done: 10}, {Name: "b", Total: 200}}})
		d.AddFrom("r.test", 0, 20)
		d.AddFrom("r.test", -1, 5)
		time.Sleep(interval + time.Second/2)
		d.AddFrom("r.test", 0, 70)
		d.AddFrom("r.test", 1, 1)
		time.Sleep(interval)
		d.Finish()
		var got [][]ImageBytes
		for _, e := range decode(t, p.String()) {
			if e.Event == "bytes" {
				got = append(got, e.Images)
			}
		}
		if d := cmp.Diff([][]ImageBytes{{{"a", 30, 100}}, {{"b", 1, 200}}}, got); d != "" {
			t.Errorf("(-want +got):\n%s", d)
		}
	})
}

// TestWait: what a run waits for is a line or an event.
func TestWait(t *testing.T) {
	for mode, want := range map[string]string{
		None:  "",
		Plain: "prog: r.test: 429; trying again in 1m0s, at 00:01:00\n",
		JSON:  `{"schema":1,"time":"2000-01-01T00:00:00Z","event":"waiting","message":"429","host":"r.test","retryAt":"2000-01-01T00:01:00Z"}` + "\n",
	} {
		synctest.Test(t, func(t *testing.T) {
			var p buffer
			d, err := New(&p, "prog", mode)
			if err != nil {
				t.Fatal(err)
			}
			d.Wait("r.test", "429", time.Now().UTC().Add(time.Minute))
			if err := d.End(nil, Result{}); err != nil {
				t.Fatal(err)
			}
			got := p.String()
			if mode == JSON {
				got, _, _ = strings.Cut(got, "\n")
				got += "\n"
				if !json.Valid([]byte(got)) {
					t.Errorf("no JSON: %s", got)
				}
			}
			if got != want {
				t.Errorf("%s: got %q, want %q", mode, got, want)
			}
		})
	}
}

// TestWaitLines: the time is shown whatever the width.
func TestWaitLines(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	w := waits{{"registry-1.docker.io", "the limit of 100 pulls in 6h for anonymous pulls is used up", now.Add(90 * time.Second)}}
	for width, want := range map[int]string{
		80: "waiting until 03:05:35 (90 s) for registry-1.docker.io: the limit of 100 pulls ",
		40: "until 03:05:35: registry-1.docker.io",
		10: "until 03:",
	} {
		if got := w.lines(now, width); len(got) != 1 || got[0] != want {
			t.Errorf("%d columns: %q, want %q", width, got, want)
		}
	}
}
