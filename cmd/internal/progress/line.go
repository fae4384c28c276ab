package progress

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"

	"stowage/cmd/internal/cli"
)

const (
	fullWidth = 60 // columns below which there is no bar
	minBar    = 10 // columns of the smallest bar
)

// blocks and ascii are what bars are drawn with.
var (
	blocks = progressbar.ThemeDefault
	ascii  = progressbar.Theme{Saucer: "#", SaucerPadding: " ", BarStart: "|", BarEnd: "|"}
)

// text describes the state of the phase in words, for lines without a bar.
func (m *meter) text(now time.Time) string {
	if m.Total <= 0 {
		return m.Name + " " + m.details(now)
	}
	return fmt.Sprintf("%s %d %%: %s", m.Name, m.percent(), m.details(now))
}

// details is what is said beside the per cent.
func (m *meter) details(now time.Time) string {
	if idle := m.stalled(now); idle > 0 {
		return m.stall(idle)
	}
	var parts []string
	if !m.Work {
		parts = append(parts, m.amount())
		if rate := m.rate(now); rate > 0 {
			parts = append(parts, cli.Bytes(int64(rate))+"/s")
		}
	}
	if left := m.left(now); left > 0 {
		parts = append(parts, duration(left)+" left")
	}
	return strings.Join(parts, ", ")
}

// stall says that no bytes arrive, and what happens next.
func (m *meter) stall(idle time.Duration) string {
	what := "no data"
	if m.source != "" {
		what += " from " + cli.Text(m.source)
	}
	if m.Work {
		what = "no progress"
	}
	what += " for " + duration(idle)
	if m.Patience > 0 {
		what += fmt.Sprintf(" (reconnects after %s)", duration(m.Patience))
	}
	return what
}

// short describes the state of the phase for narrow terminals.
func (m *meter) short(now time.Time) string {
	parts := []string{m.Name}
	if m.Total > 0 {
		parts = append(parts, fmt.Sprintf("%d %%", m.percent()))
	}
	if idle := m.stalled(now); idle > 0 {
		return strings.Join(append(parts, "no data for "+duration(idle)), " ")
	}
	if !m.Work {
		parts = append(parts, m.amount())
	}
	if left := m.left(now); left > 0 {
		parts = append(parts, strings.ReplaceAll(duration(left), " ", ""))
	}
	return strings.Join(parts, " ")
}

// amount returns what is done, and of how much if that is known: "157/650 MB".
func (m *meter) amount() string {
	if m.Total <= 0 {
		return cli.Bytes(m.done)
	}
	value, unit := float64(m.Total), 0
	for value >= 999.5 && unit < len(units)-1 {
		value /= 1000
		unit++
	}
	done := float64(m.done)
	for range unit {
		done /= 1000
	}
	format := "%.1f/%.1f %s"
	if value >= 99.95 || unit == 0 {
		format = "%.0f/%.0f %s"
	}
	return fmt.Sprintf(format, done, value, units[unit])
}

var units = []string{"B", "kB", "MB", "GB", "TB", "PB", "EB"}

// duration writes a time for people: "90 s", "3 min 20 s", "2 h 5 min".
func duration(d time.Duration) string {
	s := int64(d / time.Second)
	switch {
	case s < 120:
		return fmt.Sprintf("%d s", s)
	case s < 3600 && s%60 == 0:
		return fmt.Sprintf("%d min", s/60)
	case s < 3600:
		return fmt.Sprintf("%d min %d s", s/60, s%60)
	}
	return fmt.Sprintf("%d h %d min", s/3600, s%3600/60)
}

// line returns the state of the phase in one line of less than width columns, with a bar if
// there is room for one.
func (m *meter) line(now time.Time, width int, theme progressbar.Theme) string {
	if width < fullWidth {
		return cut(m.short(now), width-1)
	}
	details := m.details(now)
	// The library writes "NAME  24% |bar|"; the details follow.
	room := width - 1 - len(m.Name) - len(" 100% || ") - max(len(details), m.widest)
	if m.Total <= 0 || room < minBar {
		return cut(m.text(now), width-1)
	}
	if m.stalled(now) == 0 {
		m.widest = max(m.widest, len(details)) // so that the end of the bar does not jump
	}
	return m.bar(room, theme) + " " + details
}

// bar draws a bar.
func (m *meter) bar(width int, theme progressbar.Theme) string {
	b := progressbar.NewOptions64(m.Total,
		progressbar.OptionSetWriter(io.Discard),
		progressbar.OptionSetDescription(m.Name),
		progressbar.OptionSetPredictTime(false),
		progressbar.OptionSetTheme(theme),
		progressbar.OptionSetWidth(width),
	)
	_ = b.RenderBlank()
	_ = b.Set64(min(max(m.done, 0), m.Total)) // it fails only past the total
	return strings.TrimSpace(b.String())
}

// cut shortens a line to at most n columns.
func cut(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:max(n, 0)])
	}
	return s
}
