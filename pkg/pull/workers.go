package pull

import (
	"context"
	"sync"
)

// defaultPiece is the least that a request of its own is worth, bytes: a blob is divided
// only while twice as much of a part is to come. Docker Hub's limit on the pace of requests
// asks for few, and a server that limits each connection still serves a big blob as fast as
// there are connections.
const defaultPiece = 16 << 20

// crew is the workers of one FetchAll and the blobs they have on the way. A worker for
// whom no blob is left takes half of the largest part that another is fetching. So big
// blobs come in several streams at the end, when connections would be idle otherwise, and
// in one before.
type crew struct {
	mu      sync.Mutex
	changed *sync.Cond // a part was given back, or a blob began or ended
	active  map[*download]bool
	blobs   int   // of which a worker has charge
	piece   int64 // see defaultPiece
}

func newCrew(piece int64) *crew {
	w := &crew{active: map[*download]bool{}, piece: piece}
	w.changed = sync.NewCond(&w.mu)
	return w
}

// charge counts a blob that a worker begins with (+1) or has done with (-1).
func (w *crew) charge(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.blobs += n
	w.changed.Broadcast()
}

// assist fetches parts of other workers' blobs until none of those is on the way any more.
func (w *crew) assist(ctx context.Context) {
	for ctx.Err() == nil {
		d, seg := w.steal()
		if d == nil {
			return
		}
		d.help(seg)
	}
}

// steal takes the largest part there is to take, waiting for one while blobs are on the way.
func (w *crew) steal() (*download, *segment) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.blobs > 0 {
		var from *download
		var part *segment
		for d := range w.active {
			if s := d.largest(); s != nil && (part == nil || s.left() > part.left()) {
				from, part = d, s
			}
		}
		if from != nil {
			return from, from.cut(part)
		}
		w.changed.Wait()
	}
	return nil, nil
}
