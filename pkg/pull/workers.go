package pull

import (
	"context"
	"sync"
)

// defaultPiece is the smallest range worth a separate request, in bytes: a range is split
// only while at least twice as much of it is missing. Docker Hub limits the rate of
// requests, which asks for few, and a server that limits each connection still serves a
// large blob as fast as the number of connections allows.
const defaultPiece = 16 << 20

// workers are the goroutines of one FetchAll and the blobs they fetch. A worker without a
// blob steals half of the largest range that another one is fetching. So large blobs are
// fetched in several streams at the end, when connections would be idle otherwise, and in
// one stream before.
type workers struct {
	mu      sync.Mutex
	changed *sync.Cond // a range was returned, or a blob began or ended
	active  map[*download]bool
	blobs   int   // not finished yet
	piece   int64 // see defaultPiece
}

func newWorkers(piece int64) *workers {
	w := &workers{active: map[*download]bool{}, piece: piece}
	w.changed = sync.NewCond(&w.mu)
	return w
}

// add adds n to the number of blobs that are not finished.
func (w *workers) add(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.blobs += n
	w.changed.Broadcast()
}

// stealWork fetches ranges of other workers' blobs until all blobs are finished.
func (w *workers) stealWork(ctx context.Context) {
	for ctx.Err() == nil {
		d, seg := w.steal()
		if d == nil {
			return
		}
		d.fetchStolen(seg)
	}
}

// steal returns the largest range that can be stolen. It waits for one until all blobs are
// finished, and returns nil then.
func (w *workers) steal() (*download, *segment) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.blobs > 0 {
		var from *download
		var largest *segment
		for d := range w.active {
			if s := d.largest(w.piece); s != nil && (largest == nil || s.left() > largest.left()) {
				from, largest = d, s
			}
		}
		if from != nil {
			return from, from.split(largest, w.piece)
		}
		w.changed.Wait()
	}
	return nil, nil
}
