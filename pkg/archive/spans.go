package archive

import "slices"

// spans is a set of bytes as ascending, disjoint, non-touching ranges. It stays short:
// as many ranges as there are writers ahead of each other.
type spans struct{ list []Range }

// add puts [start, end) into the set.
func (s *spans) add(start, end int64) {
	if start >= end {
		return
	}
	i := 0
	for i < len(s.list) && s.list[i].End < start {
		i++
	}
	j := i
	for j < len(s.list) && s.list[j].Start <= end {
		start, end = min(start, s.list[j].Start), max(end, s.list[j].End)
		j++
	}
	s.list = slices.Replace(s.list, i, j, Range{start, end})
}

// remove takes [start, end) out of the set.
func (s *spans) remove(start, end int64) {
	if start >= end {
		return
	}
	out := make([]Range, 0, len(s.list)+1)
	for _, r := range s.list {
		if r.Start < start {
			out = append(out, Range{r.Start, min(r.End, start)})
		}
		if r.End > end {
			out = append(out, Range{max(r.Start, end), r.End})
		}
	}
	s.list = out
}

// overlap tells whether any byte of [start, end) is in the set.
func (s *spans) overlap(start, end int64) bool {
	for _, r := range s.list {
		if start < end && r.Start < end && start < r.End {
			return true
		}
	}
	return false
}

// from gives the end of the range that holds start, or start when none does.
func (s *spans) from(start int64) int64 {
	for _, r := range s.list {
		if r.Start <= start && start < r.End {
			return r.End
		}
	}
	return start
}

// holes gives what of [start, end) is not in the set.
func (s *spans) holes(start, end int64) []Range {
	var out []Range
	for _, r := range s.list {
		if r.End <= start || r.Start >= end {
			continue
		}
		if start < r.Start {
			out = append(out, Range{start, r.Start})
		}
		start = r.End
	}
	if start < end {
		out = append(out, Range{start, end})
	}
	return out
}
