package node

import (
	"cmp"
	"context"
	"slices"

	"github.com/opencontainers/go-digest"

	"stowage/pkg/node/internal/taskgraph"
)

// lightWork is the size of a blob, in bytes, up to which sending or unpacking it is mostly
// waiting for containerd.
const lightWork = 64 << 10

// graph is the work of a plan as tasks: one per blob, and two per snapshot, because a
// snapshot can be filled before its parent exists.
type graph struct {
	loader  *loader
	tasks   []*taskgraph.Task
	unpacks []*unpack
	total   int64 // what progress counts up to

	places  map[digest.Digest]*taskgraph.Task // what places a small blob
	blobs   map[digest.Digest]*taskgraph.Task
	seen    map[digest.Digest][]*taskgraph.Task // what computes the label of a blob written after it
	commits map[*unpackWork]*taskgraph.Task
	arrival *taskgraph.Task // of the last layer of the stream; layers arrive in order
}

// newGraph returns the tasks of a plan with their dependencies.
func (l *loader) newGraph(p *plan) *graph {
	g := &graph{
		loader: l, seen: l.labelledAtOnce(p),
		places: map[digest.Digest]*taskgraph.Task{}, blobs: map[digest.Digest]*taskgraph.Task{}, commits: map[*unpackWork]*taskgraph.Task{},
	}
	all := l.blobWork(p)
	g.addPlaces(all)
	for _, w := range all {
		if _, later := g.seen[w.desc.Digest]; !later {
			g.addBlob(w)
		}
	}
	for _, w := range p.unpacks {
		g.addUnpack(w)
	}
	for _, w := range p.compare {
		u := &unpack{unpackWork: w, loader: l}
		t := &taskgraph.Task{Cost: w.Size, Light: w.Size <= lightWork, Run: u.compare}
		if l.stream.has(w.Digest) {
			t.After(g.blobs[w.Digest])
		}
		g.tasks, g.total = append(g.tasks, t), g.total+t.Cost
		g.addLabel(u, t)
	}
	for _, w := range all {
		if seen, later := g.seen[w.desc.Digest]; later {
			g.addBlob(w)
			g.blobs[w.desc.Digest].After(seen...)
		}
	}
	return g
}

// labelledAtOnce returns the small layers whose blobs are created with their diffID as a
// label, after that was computed: a label that is added later costs containerd a transaction.
// To read them, no blob has to be in the content store.
func (l *loader) labelledAtOnce(p *plan) map[digest.Digest][]*taskgraph.Task {
	later := map[digest.Digest][]*taskgraph.Task{}
	if !l.local || l.stream != nil {
		return later
	}
	missing := map[digest.Digest]*blobWork{}
	for _, w := range p.blobs {
		if !w.there && w.desc.Size <= lightWork {
			missing[w.desc.Digest] = w
		}
	}
	for _, u := range slices.Concat(p.unpacks, p.compare) {
		if w := missing[u.Digest]; w != nil && u.label {
			w.labels[labelUncompressed] = u.diffID.String()
			later[u.Digest] = nil
		}
	}
	return later
}

// addPlaces adds the tasks that place small blobs.
func (g *graph) addPlaces(all []*blobWork) {
	if g.loader.placer == nil {
		return
	}
	for _, batch := range g.loader.smallBatches(all) {
		t := &taskgraph.Task{Urgent: true, Light: true, Run: func(ctx context.Context) error { return g.loader.placeBatch(ctx, batch) }}
		g.tasks = append(g.tasks, t)
		for _, w := range batch {
			g.places[w.desc.Digest] = t
		}
	}
}

// addBlob adds the task that writes or labels one blob.
func (g *graph) addBlob(w *blobWork) {
	write := g.loader.ingest
	t := &taskgraph.Task{Light: w.there || w.desc.Size <= lightWork}
	t.After(g.places[w.desc.Digest])
	if !w.there {
		t.Cost = w.desc.Size
		if g.loader.stream.has(w.desc.Digest) {
			write = g.loader.receive
			t.After(g.arrival)
			g.arrival = t
		}
	}
	t.Run = func(ctx context.Context) error {
		sent, err := write(ctx, w)
		g.loader.ingested.Add(sent)
		return err
	}
	g.blobs[w.desc.Digest] = t
	g.tasks, g.total = append(g.tasks, t), g.total+t.Cost
}

// addUnpack adds the tasks that fill and commit one snapshot.
func (g *graph) addUnpack(w *unpackWork) {
	l := g.loader
	if !l.local && g.blobs[w.Digest] == nil && l.bundle.Has(w.Digest) {
		// containerd unpacks from its own store only. The garbage collection after the
		// lease removes the blob again.
		g.addBlob(&blobWork{desc: w.Descriptor})
	}
	u := &unpack{unpackWork: w, loader: l, rebase: l.rebase && w.parentID != ""}
	fill := &taskgraph.Task{Cost: w.Size, Light: w.Size <= lightWork, Run: u.fill}
	commit := &taskgraph.Task{Urgent: true, Light: fill.Light, Run: u.commit}
	if !l.local || l.stream != nil {
		fill.After(g.blobs[w.Digest])
	}
	if !l.rebase {
		fill.After(g.commits[w.parent])
	}
	commit.After(fill, g.commits[w.parent])
	g.commits[w] = commit
	g.tasks, g.total = append(g.tasks, fill, commit), g.total+w.Size
	g.unpacks = append(g.unpacks, u)
	g.addLabel(u, commit)
}

// addLabel adds the task that labels the blob of a layer once seen has computed its diffID. A
// blob that is created with the label waits for seen.
func (g *graph) addLabel(u *unpack, seen *taskgraph.Task) {
	if !u.label {
		return
	}
	if tasks, later := g.seen[u.Digest]; later {
		g.seen[u.Digest] = append(tasks, seen)
		return
	}
	t := &taskgraph.Task{Urgent: true, Light: true, Run: u.record}
	t.After(seen, g.blobs[u.Digest])
	g.tasks = append(g.tasks, t)
}

// blobWork returns the blobs to write or label. The layers of a stream come last, in its
// order, and include those that are only unpacked or compared: until then they can only be in
// the content store.
func (l *loader) blobWork(p *plan) []*blobWork {
	if l.stream == nil {
		return p.blobs
	}
	all := slices.Clone(p.blobs)
	listed := map[digest.Digest]bool{}
	for _, w := range all {
		listed[w.desc.Digest] = true
	}
	for _, u := range slices.Concat(p.unpacks, p.compare) {
		if l.stream.has(u.Digest) && !listed[u.Digest] {
			listed[u.Digest] = true
			all = append(all, &blobWork{desc: u.Descriptor})
		}
	}
	position := func(w *blobWork) int {
		if w.there || !l.stream.has(w.desc.Digest) {
			return -1
		}
		return l.stream.position[w.desc.Digest]
	}
	slices.SortStableFunc(all, func(a, b *blobWork) int { return cmp.Compare(position(a), position(b)) })
	return all
}
