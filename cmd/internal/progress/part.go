package progress

import (
	"cmp"
	"slices"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"stowage/cmd/internal/cli"
)

// Part is an image of a phase.
type Part struct {
	Name  string
	Total int64 // bytes
	Done  int64 // bytes of the total that an earlier run has done
}

// maxParts is how many parts are shown at a time.
const maxParts = 4

// part is a Part with what is done of it.
type part struct {
	Part
	done  atomic.Int64
	meter *meter // since its first bytes; nil before
}

func newParts(list []Part) []*part {
	out := make([]*part, len(list))
	for i, p := range list {
		out[i] = &part{Part: p}
		out[i].done.Store(p.Done)
	}
	return out
}

// running measures the parts at now and returns those that are at work: begun and not
// complete. Of many it returns those whose bytes arrived last. They keep their order.
func running(parts []*part, now time.Time) []*part {
	var at []int
	for i, p := range parts {
		done := p.done.Load()
		switch {
		case done == p.Done && p.meter == nil:
			continue
		case done >= p.Total:
			p.meter = nil // its samples are of no use any more
			p.Done = done
			continue
		case p.meter == nil:
			p.meter = newMeter(Phase{Name: p.Name, Total: p.Total, Done: p.Done}, now)
		}
		p.meter.observe(now, done)
		at = append(at, i)
	}
	if len(at) > maxParts {
		slices.SortStableFunc(at, func(a, b int) int { return parts[b].meter.moved.Compare(parts[a].meter.moved) })
		at = at[:maxParts]
		slices.SortFunc(at, cmp.Compare[int])
	}
	out := make([]*part, len(at))
	for i, k := range at {
		out[i] = parts[k]
	}
	return out
}

// line returns the state of the part in one line of less than width columns: its name and
// what is done, how fast, and the time left.
func (p *part) line(now time.Time, width int, ellipsis string) string {
	details := p.meter.details(now)
	if width < fullWidth {
		details = strings.NewReplacer(", ", " ", " left", "", " B", "B", " kB", "kB", " MB", "MB", " GB", "GB", " min", "min", " s", "s", " h", "h").Replace(details)
	}
	name := shortName(cli.Text(p.Name), width-1-len("  ")-len(" ")-len(details), ellipsis)
	if pad := width - 1 - len("  ") - len(" ") - utf8.RuneCountInString(name) - len(details); width >= fullWidth {
		name += strings.Repeat(" ", max(0, min(pad, nameWidth-utf8.RuneCountInString(name))))
	}
	return cut("  "+name+" "+details, width-1)
}

// nameWidth is the width up to which names are padded, so that the numbers are below each
// other.
const nameWidth = 36

// shortName shortens the name of an image to at most n columns: first its digest, then its
// registry and repository from the left.
func shortName(name string, n int, ellipsis string) string {
	if i := strings.Index(name, "@sha256:"); i > 0 {
		name = name[:min(len(name), i+len("@sha256:")+7)]
	}
	if r := []rune(name); len(r) > n {
		keep := max(0, n-utf8.RuneCountInString(ellipsis))
		return ellipsis + string(r[len(r)-keep:])
	}
	return name
}
