package node

import (
	"context"
	"fmt"
	"runtime"
	"sync/atomic"

	"github.com/opencontainers/go-digest"

	"stowage/pkg/archive"
	"stowage/pkg/node/internal/taskgraph"
)

// LoadOptions say how a bundle is loaded. The zero value pins the images and
// keeps their compressed layers.
type LoadOptions struct {
	// NoPin leaves out the label that keeps the images from the kubelet's garbage
	// collection. Pins that are there stay, also those of earlier bundles, which
	// a load with pins takes back once it has all their repositories.
	NoPin bool
	// DiscardLayers keeps only the unpacked layers: less disk and time, but the
	// images cannot be exported, pushed or used by another snapshotter.
	DiscardLayers bool
	// Jobs is how many layers are worked on at once, small ones apart. 0: twice as
	// many as there are cores, at most 4.
	Jobs int
	// OnStart, if set, is called once with the number of bytes that OnBytes will
	// count up to, 0 when there is nothing to do. See also [Node.LoadForeign].
	OnStart func(total int64)
	// OnBytes, if set, is called with the numbers of compressed bytes sent and
	// unpacked, from several goroutines. A layer that is kept counts twice.
	OnBytes func(int64)
}

// Load brings the images of the bundle into containerd, unpacked and pinned, and
// proves that the kubelet will find them. What is there is skipped; when all is
// there nothing is written.
//
// The images become visible, in no particular order, when all of them are complete
// and synced to disk. On an error before that, or when ctx ends, nothing is
// visible and nothing is left behind; only what a killed process had brought
// stays under its lease for 24 hours, and the next load goes on from it. An error
// after that is an [ErrVisible] as well.
//
// Errors: [ErrIncomplete] (with a report when the load itself went well),
// [archive.ErrDamaged] for a bundle whose bytes do not match their digests,
// [*DiskFullError], [*UnavailableError] when containerd ends meanwhile, or what it answered.
func (n *Node) Load(ctx context.Context, b *archive.Reader, o LoadOptions) (*Report, error) {
	ctx = n.in(ctx)
	r, err := n.load(ctx, b, o)
	if err == nil && !b.Native() {
		var stream digest.Digest
		if stream, err = b.StreamID(); err == nil {
			err = n.dropLeftovers(ctx, stream)
		}
	}
	return r, n.withBase(ctx, err, b)
}

// loader is one load at work.
type loader struct {
	node    *Node
	bundle  bundle
	opts    LoadOptions
	stream  *arrivals               // nil for a bundle that can be read anywhere
	sent    map[digest.Digest]int64 // bytes of each blob that a foreign stream has brought
	local   bool                    // unpack in this process
	rebase  bool                    // and the layers of one image side by side
	visible bool                    // names are there, or are being made
	unkept  int                     // see plan

	ingested, unpacked atomic.Int64
	layers             atomic.Int64
}

func (n *Node) load(ctx context.Context, b bundle, o LoadOptions) (*Report, error) {
	return n.newLoader(b, o).load(ctx)
}

func (l *loader) load(ctx context.Context) (*Report, error) {
	n, b := l.node, l.bundle
	imgs, err := selectImages(ctx, b, n.server.Platform)
	if err != nil {
		return nil, err
	}
	p, inv, err := l.plan(ctx, imgs)
	if err != nil {
		return nil, n.asUnavailable(ctx, err)
	}
	l.unkept = len(p.unkept)
	report := l.newReport(p, inv)
	if p.empty() {
		err = l.confirm(ctx, imgs, report)
	} else {
		report, err = l.bring(ctx, imgs)
	}
	if err == nil && !l.opts.NoPin {
		report.Released, err = n.release(ctx, b, imgs, inv)
	}
	if err = n.asUnavailable(ctx, err); err != nil && l.visible {
		err = fmt.Errorf("%w (%w)", err, ErrVisible)
	}
	if err != nil {
		return nil, err
	}
	n.warn(ctx, report, inv, l)
	return report, report.err()
}

// confirm is a load with nothing to do. A load that was killed when its names were there
// has left its lease and its lock; nothing needs them any more.
func (l *loader) confirm(ctx context.Context, imgs []*image, report *Report) error {
	l.visible = true
	l.start(0)
	if err := l.arrived(); err != nil {
		return err
	}
	if err := l.node.dropLeftovers(ctx, l.bundle.Digest()); err != nil {
		return err
	}
	return l.node.verify(ctx, imgs, report, verifyOptions{wait: true, pinned: l.pins()})
}

// newLoader decides how layers are unpacked.
func (n *Node) newLoader(b bundle, o LoadOptions) *loader {
	if o.Jobs <= 0 {
		// Twice the cores: a blob that is sent waits for the answer to each message, and its
		// core is free meanwhile.
		o.Jobs = min(4, 2*runtime.NumCPU())
	}
	l := &loader{node: n, bundle: b, opts: o, local: n.local}
	l.rebase = l.local && n.snapshotter.rebase
	return l
}

// plan compares the bundle with the node.
func (l *loader) plan(ctx context.Context, imgs []*image) (*plan, *inventory, error) {
	inv, err := l.node.takeInventory(ctx, imgs)
	if err != nil {
		return nil, nil, err
	}
	p, err := newPlan(imgs, inv, l.bundle.Has, planOptions{
		snapshotter: l.node.snapshotter.name,
		discard:     l.opts.DiscardLayers,
		labels:      recordLabels(l.bundle.Digest(), !l.opts.NoPin),
	})
	return p, inv, err
}

// newReport counts what a stream has brought as sent, and not as found.
func (l *loader) newReport(p *plan, inv *inventory) *Report {
	inv.sent = l.sent
	return newReport(l.node.server, l.bundle.Digest(), p, inv)
}

// bring does the part of a load that writes, under the lock of the bundle and a
// lease. Both end with it, however it ends.
func (l *loader) bring(ctx context.Context, imgs []*image) (_ *Report, err error) {
	s, lctx, err := l.node.begin(ctx, l.bundle.Digest())
	if err != nil {
		return nil, err
	}
	defer func() { err = s.finish(ctx, err, l.worthKeeping(ctx, err)) }()
	// Again: another load of this bundle may just have done it all.
	p, inv, err := l.plan(lctx, imgs)
	if err != nil {
		return nil, err
	}
	if err := s.protect(lctx, p, inv); err != nil {
		return nil, err
	}
	if err := l.preflight(lctx, p); err != nil {
		return nil, err
	}
	report := l.newReport(p, inv)
	if err := l.work(lctx, p); err != nil {
		return nil, err
	}
	report.Unpacked, report.Layers = l.unpacked.Load(), int(l.layers.Load())
	report.Ingested += l.ingested.Load()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	l.visible = true
	if err := writeRecords(lctx, l.node.images, p.images); err != nil {
		return nil, err
	}
	return report, l.node.verify(ctx, imgs, report, verifyOptions{wait: true, pinned: l.pins()})
}

// work brings blobs and snapshots and makes them safe on disk.
func (l *loader) work(ctx context.Context, p *plan) error {
	tasks, unpacks, total := l.tasks(p)
	l.start(total)
	err := taskgraph.Run(ctx, tasks, l.opts.Jobs)
	if err == nil {
		err = l.arrived()
	}
	if err != nil {
		for _, u := range unpacks {
			u.discard(ctx) // filled, but its turn to be committed never came
		}
		return err
	}
	return l.sync()
}

// arrived waits for the end of a stream.
func (l *loader) arrived() error {
	if l.stream == nil {
		return nil
	}
	return l.stream.finish()
}

// lightWork is the size of a blob, in bytes, up to which bringing or unpacking it is
// mostly waiting for containerd.
const lightWork = 64 << 10

// tasks makes one task for each blob and each snapshot, two for a snapshot that
// is filled before its parent is there. total is what progress counts up to.
func (l *loader) tasks(p *plan) (tasks []*taskgraph.Task, unpacks []*unpack, total int64) {
	blobs := map[digest.Digest]*taskgraph.Task{}
	var arriving *taskgraph.Task // the latest; what a stream brings comes in its order
	addBlob := func(w *blobWork) {
		bring := l.ingest
		t := &taskgraph.Task{Light: w.there || w.desc.Size <= lightWork}
		if !w.there {
			t.Cost = w.desc.Size
			if l.stream.brings(w.desc.Digest) {
				bring = l.receive
				t.After(arriving)
				arriving = t
			}
		}
		t.Run = func(ctx context.Context) error {
			sent, err := bring(ctx, w)
			l.ingested.Add(sent)
			return err
		}
		blobs[w.desc.Digest] = t
		tasks, total = append(tasks, t), total+t.Cost
	}
	for _, w := range l.blobWork(p) {
		addBlob(w)
	}
	commits := map[*unpackWork]*taskgraph.Task{}
	for _, w := range p.unpacks {
		if !l.local && blobs[w.Digest] == nil && l.bundle.Has(w.Digest) {
			// containerd unpacks from its own store only; nothing will hold the
			// blob after the lease.
			addBlob(&blobWork{desc: w.Descriptor})
		}
		u := &unpack{unpackWork: w, loader: l, rebase: l.rebase && w.parentID != ""}
		fill := &taskgraph.Task{Cost: w.Size, Light: w.Size <= lightWork, Run: u.fill}
		commit := &taskgraph.Task{Urgent: true, Light: fill.Light, Run: u.commit}
		if !l.local || l.stream != nil {
			fill.After(blobs[w.Digest])
		}
		if !l.rebase {
			fill.After(commits[w.parent])
		}
		commit.After(fill, commits[w.parent])
		commits[w] = commit
		tasks, total = append(tasks, fill, commit), total+w.Size
		unpacks = append(unpacks, u)
	}
	return tasks, unpacks, total
}

// sync makes blobs and unpacked files safe before a name shows them: containerd
// syncs its metadata, but not the files of a snapshot, and an image that lost its
// files in a power cut would look complete for ever.
func (l *loader) sync() error {
	if !l.local {
		return nil // the diff service was told to sync
	}
	seen := map[uint64]bool{}
	for _, root := range []string{l.node.snapshotter.root, l.node.contentRoot} {
		disk, err := usage(root)
		if err != nil {
			return fmt.Errorf("sync %s: %w", root, err)
		}
		if seen[disk.Device] {
			continue
		}
		seen[disk.Device] = true
		if err := syncFile(root); err != nil {
			return err
		}
	}
	return nil
}

// start and progress report to the caller.
func (l *loader) start(total int64) {
	if l.opts.OnStart != nil {
		l.opts.OnStart(total)
	}
}

func (l *loader) progress(n int64) {
	if l.opts.OnBytes != nil && n > 0 {
		l.opts.OnBytes(n)
	}
}

// pins tells whether the CRI plugin will show the images as pinned.
func (l *loader) pins() bool {
	return !l.opts.NoPin && keepsPins(l.node.server.Version)
}
