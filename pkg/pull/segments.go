package pull

// segment is a part of a blob that is fetched in order. The crew's lock guards it.
type segment struct{ off, end int64 }

func (s *segment) left() int64 { return s.end - s.off }

// largest is the part of d most worth a helper, nil when there is none. The crew is locked.
func (d *download) largest() *segment {
	if d.alone {
		return nil
	}
	var best *segment
	for s := range d.busy {
		if s.left() >= 2*d.crew.piece && (best == nil || s.left() > best.left()) {
			best = s
		}
	}
	for _, s := range d.todo {
		if s.left() >= d.crew.piece && (best == nil || s.left() > best.left()) {
			best = s
		}
	}
	return best
}

// cut gives a helper its part: the far half of one that somebody fetches, or all of one
// that nobody does. The crew is locked.
func (d *download) cut(s *segment) *segment {
	d.helpers++
	for i, t := range d.todo {
		if t == s && s.left() < 2*d.crew.piece {
			d.todo = append(d.todo[:i:i], d.todo[i+1:]...)
			d.busy[s] = true
			return s
		}
	}
	middle := s.off + s.left()/2
	far := &segment{off: middle, end: s.end}
	s.end = middle
	d.busy[far] = true
	return far
}

// help fetches seg. What goes wrong is not told: the rest of the part is given back to the
// worker in charge of the blob, and meets the fault again if it is one.
func (d *download) help(seg *segment) {
	for d.ctx.Err() == nil {
		n, err := d.request(d.ctx, seg, true)
		if err == nil {
			break
		}
		if n == 0 {
			d.crew.mu.Lock()
			d.alone = true
			d.crew.mu.Unlock()
			break
		}
	}
	d.crew.mu.Lock()
	defer d.crew.mu.Unlock()
	d.helpers--
	d.giveBack(seg)
}

// giveBack ends the work on seg; what is missing of it is to be done again. The crew is locked.
func (d *download) giveBack(seg *segment) {
	delete(d.busy, seg)
	if seg.left() > 0 {
		d.todo = append(d.todo, seg)
	}
	d.crew.changed.Broadcast()
}

// take gives the worker in charge of the blob its next part; nil when all are there. It
// waits for helpers, whose parts may come back.
func (d *download) take() *segment {
	d.crew.mu.Lock()
	defer d.crew.mu.Unlock()
	for len(d.todo) == 0 && d.helpers > 0 {
		d.crew.changed.Wait()
	}
	if len(d.todo) == 0 {
		return nil
	}
	first := 0
	for i, s := range d.todo {
		if s.off < d.todo[first].off {
			first = i
		}
	}
	seg := d.todo[first]
	d.todo = append(d.todo[:first:first], d.todo[first+1:]...)
	d.busy[seg] = true
	return seg
}

// release is giveBack for the worker in charge.
func (d *download) release(seg *segment) {
	d.crew.mu.Lock()
	defer d.crew.mu.Unlock()
	d.giveBack(seg)
}

// dismiss lets no more helpers in and waits for those at work, whose context has ended or
// whose part is of use.
func (d *download) dismiss() {
	d.crew.mu.Lock()
	defer d.crew.mu.Unlock()
	d.alone = true
	for d.helpers > 0 {
		d.crew.changed.Wait()
	}
	delete(d.crew.active, d)
}

// begin sets what is to be done and shows the blob to the crew.
func (d *download) begin(parts []segment) {
	d.crew.mu.Lock()
	defer d.crew.mu.Unlock()
	d.todo = nil
	for _, r := range parts {
		d.todo = append(d.todo, &segment{r.off, r.end})
	}
	d.crew.active[d] = true
	d.crew.changed.Broadcast()
}

// startOver asks for the whole without any range once the helpers are done.
func (d *download) startOver() {
	d.dismiss()
	d.crew.mu.Lock()
	defer d.crew.mu.Unlock()
	d.todo = []*segment{{0, d.blob.Size}}
}
