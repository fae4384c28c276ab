package writer

import "slices"

// A span is a run of bytes from start up to but not including end.
type span struct{ start, end int64 }

// ranges is a set of bytes as ascending, disjoint, non-touching spans. It stays short: it
// has at most as many spans as there are writers ahead of each other.
type ranges struct{ list []span }

// add puts [start, end) into the set.
func (r *ranges) add(start, end int64) {
	if start >= end {
		return
	}
	i := 0
	for i < len(r.list) && r.list[i].end < start {
		i++
	}
	j := i
	for j < len(r.list) && r.list[j].start <= end {
		start, end = min(start, r.list[j].start), max(end, r.list[j].end)
		j++
	}
	r.list = slices.Replace(r.list, i, j, span{start, end})
}

// remove takes [start, end) out of the set.
func (r *ranges) remove(start, end int64) {
	if start >= end {
		return
	}
	out := make([]span, 0, len(r.list)+1)
	for _, s := range r.list {
		if s.start < start {
			out = append(out, span{s.start, min(s.end, start)})
		}
		if s.end > end {
			out = append(out, span{max(s.start, end), s.end})
		}
	}
	r.list = out
}

// overlap reports whether any byte of [start, end) is in the set.
func (r *ranges) overlap(start, end int64) bool {
	for _, s := range r.list {
		if start < end && s.start < end && start < s.end {
			return true
		}
	}
	return false
}

// from returns the end of the span that holds start, or start when none does.
func (r *ranges) from(start int64) int64 {
	for _, s := range r.list {
		if s.start <= start && start < s.end {
			return s.end
		}
	}
	return start
}

// missing returns what of [start, end) is not in the set.
func (r *ranges) missing(start, end int64) []span {
	var out []span
	for _, s := range r.list {
		if s.end <= start || s.start >= end {
			continue
		}
		if start < s.start {
			out = append(out, span{start, s.start})
		}
		start = s.end
	}
	if start < end {
		out = append(out, span{start, end})
	}
	return out
}
