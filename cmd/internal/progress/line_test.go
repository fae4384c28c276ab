package progress

import (
	"math"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// at returns a meter of a phase that has done bytes after each of the seconds.
func at(p Phase, seconds map[int]int64, last int) (*meter, time.Time) {
	start := time.Unix(1000, 0)
	m := newMeter(p, start)
	done := p.Done
	for s := 1; s <= last; s++ {
		if n, ok := seconds[s]; ok {
			done = n
		}
		m.observe(start.Add(time.Duration(s)*time.Second), done)
	}
	return m, start.Add(time.Duration(last) * time.Second)
}

// TestLine: what a line says, and that it never fills the width, for then it would wrap.
func TestLine(t *testing.T) {
	const mb = 1e6
	fetch := Phase{Name: "fetch", Total: 650 * mb, Patience: time.Minute, Source: "registry-1.docker.io"}
	resumed := fetch
	resumed.Done = 343 * mb
	load := Phase{Name: "load", Total: 1300 * mb, Work: true}
	receive := Phase{Name: "receive", Total: -1, Source: "standard input"}
	for _, tt := range []struct {
		name  string
		phase Phase
		done  map[int]int64
		last  int
		width int
		want  string
	}{
		{"no rate yet", fetch, nil, 0, 80, "fetch   0% |                                                        | 0/650 MB"},
		{"under way", fetch, map[int]int64{1: 20 * mb, 2: 40 * mb, 3: 60 * mb}, 3, 80,
			"fetch   9% |##                            | 60/650 MB, 20.0 MB/s, 30 s left"},
		{"resumed", resumed, map[int]int64{1: 363 * mb}, 1, 80, "fetch  55% |################              | 363/650 MB, 20.0 MB/s, 14 s left"},
		{"all of it", fetch, map[int]int64{1: 650 * mb}, 1, 80, "fetch 100% |########################################| 650/650 MB, 650.0 MB/s"},
		{"the rate is that of the last ten seconds", fetch, map[int]int64{1: 500 * mb, 12: 510 * mb}, 12, 80,
			"fetch  78% |#######################       | 510/650 MB, 1.0 MB/s, 2 min 20 s left"},
		{"stalled", fetch, map[int]int64{1: 157 * mb}, 11, 100,
			"fetch  24% |##            | no data from registry-1.docker.io for 10 s (reconnects after 60 s)"},
		{"stalled, no room for a bar", fetch, map[int]int64{1: 157 * mb}, 13, 80,
			"fetch 24 %: no data from registry-1.docker.io for 12 s (reconnects after 60 s)"},
		{"nearly stalled", fetch, map[int]int64{1: 157 * mb}, 9, 80, "fetch  24% |#######                       | 157/650 MB, 17.4 MB/s, 28 s left"},
		{"40 columns", fetch, map[int]int64{1: 91 * mb, 2: 91 * mb}, 2, 40, "fetch 14 % 91/650 MB 12s"},
		{"40 columns, stalled", fetch, map[int]int64{1: 91 * mb}, 12, 40, "fetch 14 % no data for 11 s"},
		{"10 columns", fetch, map[int]int64{1: 91 * mb}, 2, 10, "fetch 14 "},
		{"work", load, map[int]int64{1: 169 * mb}, 1, 80, "load  13% |######                                                    | 7 s left"},
		{"work, stalled", load, map[int]int64{1: 169 * mb}, 11, 80, "load  13% |#####                                     | no progress for 10 s"},
		{"unknown total", receive, map[int]int64{1: 29 * mb, 2: 58 * mb}, 2, 80, "receive 58.0 MB, 29.0 MB/s"},
		{"unknown total, stalled", receive, map[int]int64{1: 29 * mb}, 11, 80, "receive no data from standard input for 10 s"},
		{"taken back", fetch, map[int]int64{1: 40 * mb, 2: -10 * mb}, 2, 40, "fetch 0 % -10/650 MB"},
		{"hours", Phase{Name: "fetch", Total: math.MaxInt64}, map[int]int64{1: 1}, 5, 40, "fetch 0 % 0.0/9.2 EB 99h0min"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, now := at(tt.phase, tt.done, tt.last)
			got := m.line(now, tt.width, ascii)
			if unpadded(got) != unpadded(tt.want) {
				t.Errorf("got\n%s\nwant\n%s", got, tt.want)
			}
			for _, theme := range []bool{false, true} {
				for width := range 200 {
					line := m.line(now, width, ascii)
					if theme {
						line = m.line(now, width, blocks)
					}
					if n := utf8.RuneCountInString(line); n > max(width-1, 0) {
						t.Fatalf("%d columns of %d: %q", n, width, line)
					}
				}
			}
		})
	}
}

// unpadded removes what depends on the width of the bar.
func unpadded(s string) string {
	bar := false
	return strings.Map(func(r rune) rune {
		if r == '|' {
			bar = !bar
		} else if bar {
			return -1
		}
		return r
	}, s)
}

// TestBarWidth: the bar fills the line, and its filled part is the per cent.
func TestBarWidth(t *testing.T) {
	m, now := at(Phase{Name: "fetch", Total: 100}, map[int]int64{1: 50}, 1)
	line := m.line(now, 80, ascii)
	if len(line) != 79 {
		t.Errorf("%d columns of 80: %q", len(line), line)
	}
	full, empty := strings.Count(line, "#"), strings.Count(line[strings.Index(line, "|"):strings.LastIndex(line, "|")], " ")
	if full == 0 || full-empty > 1 || empty-full > 1 {
		t.Errorf("%d of %d are filled at 50 %%: %q", full, full+empty, line)
	}
}

// TestRateNeedsASecond: the first bytes arrive at once and say nothing about the rate.
func TestRateNeedsASecond(t *testing.T) {
	start := time.Unix(1000, 0)
	m := newMeter(Phase{Name: "fetch", Total: 1e9}, start)
	m.observe(start.Add(10*time.Microsecond), 33_000)
	m.observe(start.Add(999*time.Millisecond), 66_000)
	if rate := m.rate(start.Add(999 * time.Millisecond)); rate != 0 {
		t.Errorf("%v B/s in the first second", rate)
	}
	m.observe(start.Add(time.Second), 100_000)
	if rate := m.rate(start.Add(time.Second)); rate != 100_000 {
		t.Errorf("%v B/s after a second, want 100000", rate)
	}
}

// TestMeterMemory: samples are kept for the window only.
func TestMeterMemory(t *testing.T) {
	start := time.Unix(1000, 0)
	m := newMeter(Phase{Total: 1}, start)
	for i := range 10_000 {
		m.observe(start.Add(time.Duration(i)*frame), int64(i))
	}
	if want := int(window/frame) + 1; len(m.samples) > want {
		t.Errorf("%d samples, want at most %d", len(m.samples), want)
	}
}

func TestLocale(t *testing.T) {
	for _, tt := range []struct {
		env  map[string]string
		want bool
	}{
		{map[string]string{"LANG": "en_US.UTF-8"}, true},
		{map[string]string{"LANG": "de_DE.utf8"}, true},
		{map[string]string{"LANG": "C"}, false},
		{map[string]string{"LANG": "en_US.UTF-8", "LC_ALL": "C"}, false},
		{map[string]string{"LANG": "C", "LC_CTYPE": "C.UTF-8"}, true},
		{map[string]string{"LANG": "de_DE.ISO-8859-1"}, false},
	} {
		if got := showsUTF8(func(name string) string { return tt.env[name] }); got != tt.want {
			t.Errorf("%v: %v, want %v", tt.env, got, tt.want)
		}
	}
	for term, want := range map[string]bool{"dumb": true, "xterm-256color": false, "linux": false} {
		if got := dumb(term); got != want {
			t.Errorf("TERM=%s: %v, want %v", term, got, want)
		}
	}
}

// TestScreen: a shorter line covers a longer one, a cleared line leaves nothing, and several
// lines leave the cursor at the start of the first.
func TestScreen(t *testing.T) {
	var p buffer
	s := &screen{w: &p, theme: ascii}
	s.draw("long line")
	s.draw("long line") // the same again is not written
	s.draw("short")
	s.clear()
	s.clear()
	s.draw("a", "b", "c")
	s.draw("a")
	s.draw()
	s.draw("a", "b")
	s.clear()
	want := "\rlong line\r\rshort    \r\r     \r" +
		"\ra\x1b[K\r\nb\x1b[K\r\nc\x1b[J\r\x1b[2A" + "\ra\x1b[J\r" + "\r  \r" +
		"\ra\x1b[K\r\nb\x1b[J\r\x1b[1A" + "\r\x1b[J"
	if p.String() != want {
		t.Errorf("got %q, want %q", p.String(), want)
	}
}
