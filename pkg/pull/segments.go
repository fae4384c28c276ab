package pull

// segment is a range of a blob that one goroutine fetches in order: from off up to but not
// including end. While it is being fetched, the lock of workers guards it.
type segment struct{ off, end int64 }

func (s *segment) left() int64 { return s.end - s.off }

// segments is which ranges of a blob are missing, and which of these are being fetched, by
// the worker that has the blob and by those that steal from it.
type segments struct {
	workers *workers

	// Guarded by the lock of workers.
	missing []*segment
	busy    map[*segment]bool
	thieves int
	closed  bool // to thieves: the sink cannot take several ranges, or the server
}

// setMissing sets the missing ranges and shows the blob to the other workers.
func (d *download) setMissing(ranges []segment) {
	d.workers.mu.Lock()
	defer d.workers.mu.Unlock()
	d.missing = nil
	for _, m := range ranges {
		d.missing = append(d.missing, &m)
	}
	d.workers.active[d] = true
	d.workers.changed.Broadcast()
}

// closeToThieves keeps further thieves out and waits for those at work, whose context has
// ended or whose segment is of use.
func (d *download) closeToThieves() {
	d.workers.mu.Lock()
	defer d.workers.mu.Unlock()
	d.closed = true
	for d.thieves > 0 {
		d.workers.changed.Wait()
	}
	delete(d.workers.active, d)
}

// startOver makes the whole blob missing, once the thieves have finished.
func (d *download) startOver() {
	d.closeToThieves()
	d.count(d.left() - d.blob.Size)
	d.workers.mu.Lock()
	defer d.workers.mu.Unlock()
	d.missing = []*segment{{0, d.blob.Size}}
}

// left returns how many bytes are missing while no segment is being fetched.
func (d *download) left() (n int64) {
	d.workers.mu.Lock()
	defer d.workers.mu.Unlock()
	for _, m := range d.missing {
		n += m.left()
	}
	return n
}

// largest returns the segment most worth stealing from, nil for none. The caller holds the
// lock.
func (s *segments) largest(piece int64) *segment {
	if s.closed {
		return nil
	}
	var best *segment
	for seg := range s.busy {
		if seg.left() >= 2*piece && (best == nil || seg.left() > best.left()) {
			best = seg
		}
	}
	for _, seg := range s.missing {
		if seg.left() >= piece && (best == nil || seg.left() > best.left()) {
			best = seg
		}
	}
	return best
}

// split returns what a thief fetches of seg: the second half if seg is being fetched or
// large, or else all of it. The caller holds the lock.
func (s *segments) split(seg *segment, piece int64) *segment {
	s.thieves++
	for i, m := range s.missing {
		if m == seg && seg.left() < 2*piece {
			s.missing = append(s.missing[:i:i], s.missing[i+1:]...)
			s.busy[seg] = true
			return seg
		}
	}
	middle := seg.off + seg.left()/2
	half := &segment{off: middle, end: seg.end}
	seg.end = middle
	s.busy[half] = true
	return half
}

// next returns the first missing segment for the worker that has the blob, nil when there
// is none. It waits for thieves, which may return a part of theirs.
func (s *segments) next() *segment {
	s.workers.mu.Lock()
	defer s.workers.mu.Unlock()
	for len(s.missing) == 0 && s.thieves > 0 {
		s.workers.changed.Wait()
	}
	if len(s.missing) == 0 {
		return nil
	}
	first := 0
	for i, m := range s.missing {
		if m.off < s.missing[first].off {
			first = i
		}
	}
	seg := s.missing[first]
	s.missing = append(s.missing[:first:first], s.missing[first+1:]...)
	s.busy[seg] = true
	return seg
}

// finish ends the work on seg; what is left of it is missing again. A thief that failed
// without any progress closes the blob to thieves.
func (s *segments) finish(seg *segment, thief, failed bool) {
	s.workers.mu.Lock()
	defer s.workers.mu.Unlock()
	if thief {
		s.thieves--
		s.closed = s.closed || failed
	}
	delete(s.busy, seg)
	if seg.left() > 0 {
		s.missing = append(s.missing, seg)
	}
	s.workers.changed.Broadcast()
}

// rest returns what is left of seg at the moment.
func (s *segments) rest(seg *segment) segment {
	s.workers.mu.Lock()
	defer s.workers.mu.Unlock()
	return *seg
}

// written moves the start of seg by n bytes and returns what is left of it.
func (s *segments) written(seg *segment, n int) segment {
	s.workers.mu.Lock()
	defer s.workers.mu.Unlock()
	seg.off += int64(n)
	return *seg
}
