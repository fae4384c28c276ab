package node

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync/atomic"

	"github.com/containerd/containerd/v2/core/leases"
	"github.com/opencontainers/go-digest"

	"stowage/pkg/archive"
	"stowage/pkg/node/internal/layer"
	"stowage/pkg/node/internal/referrers"
	"stowage/pkg/node/internal/system"
	"stowage/pkg/node/internal/taskgraph"
)

// LoadOptions are the options of a load. The zero value pins the images and keeps their
// compressed layers.
type LoadOptions struct {
	// NoPin does not set the label that protects the images from the kubelet's garbage
	// collection. Existing pins stay, also those of earlier bundles, which a load with pins
	// removes once it has all their repositories.
	NoPin bool
	// DiscardLayers keeps only the unpacked layers: that needs less disk and time, but the
	// images cannot be exported, pushed or used with another snapshotter.
	DiscardLayers bool
	// NoReferrers leaves the referrers of the images in the bundle: signatures, attestations and
	// SBOMs. Those that are on the node already stay.
	NoReferrers bool
	// NoMove refuses a bundle that would change what a name on the node means, with a
	// [*MovedError] and before anything is written.
	NoMove bool
	// TrustPreloaded records those images that the kubelet would ask a registry for as usable
	// by every pod of the node, whatever credentials they were pulled with. A kubelet that runs
	// sees that only after a restart.
	TrustPreloaded bool
	// Jobs is how many layers are processed at once, not counting small ones. 0 means twice
	// the number of cores, at most 4.
	Jobs int
	// Names are names for images that have none in the tarball of another program; see
	// [archive.Reader.AddNames].
	Names map[digest.Digest]string
	// OnReceive, if set, is called when LoadStream begins to receive the tarball of another
	// program. OnBytes then counts the bytes received, of an unknown total, until OnStart
	// is called.
	OnReceive func()
	// OnStart, if set, is called once with the number that OnBytes will count up to, 0 when
	// there is nothing to do.
	OnStart func(total int64)
	// OnBytes, if set, is called with numbers of compressed bytes sent and unpacked, from
	// several goroutines. A layer that is kept counts twice.
	OnBytes func(int64)
}

// Load puts the images of the bundle into containerd, unpacked and pinned, and verifies that
// the kubelet will find them. It skips what the node has, and writes nothing if the node has
// everything.
//
// The images become visible, in no particular order, when all of them are complete and synced
// to disk. After an error before that, or when ctx ends, no image is visible and nothing is
// left on the node; only what a killed process had written stays under its lease for 24
// hours, and the next load resumes with it. An error after that is an [ErrVisible] as well.
//
// An image that containerd cannot use, by its manifests and config, is a failure of its names
// only: the others are loaded, and the report has the reason.
//
// Errors: [*IncompleteError], with a report, if the load itself succeeded; [archive.ErrDamaged]
// for a bundle whose bytes do not match their digests; [*MovedError]; [*DiskFullError];
// [*StaleSnapshotError]; [*UnavailableError] if containerd ends meanwhile; or an error of
// containerd.
func (n *Node) Load(ctx context.Context, b *archive.Reader, o LoadOptions) (*Report, error) {
	ctx = n.in(ctx)
	if err := b.AddNames(o.Names); err != nil {
		return nil, err
	}
	r, err := n.newLoader(b, o).load(ctx)
	if err == nil && !b.Native() {
		var stream digest.Digest
		if stream, err = b.StreamID(); err == nil {
			err = n.dropLeftovers(ctx, stream)
		}
	}
	return r, err
}

// loader is one load.
type loader struct {
	node    *Node
	bundle  bundle
	opts    LoadOptions
	stream  *layerStream            // nil unless the layers arrive in a native stream
	sent    map[digest.Digest]int64 // bytes of each blob that another program's stream sent before
	local   bool                    // unpack in this process
	volumes []*volume               // nil unless local, and before preflight
	files   *volume                 // of the snapshots, one of volumes
	blobs   *volume                 // of the content store, one of volumes
	placer  *placer                 // nil unless local
	memory  *layer.Memory           // of the layers at work
	spare   *layer.Memory           // of those that can only be read here, and need more
	window  int64                   // of the stream's decoder, see archive.Stream.Window
	rebase  bool                    // and the layers of one image in parallel
	visible bool                    // image records exist, or are being written
	unkept  int                     // see plan
	left    referrers.Left          // referrers that are not kept
	users   map[string][]string     // of the images that names have led to, by moved name

	dropped     []string // images whose interrupted pulls are no longer on record
	kubeletErrs []error  // of changes to the kubelet's records

	ingested, unpacked atomic.Int64
	layers             atomic.Int64
	passed             atomic.Int64 // bytes of progress in this transfer
	repeated           int64        // and in the one before it
}

// newLoader decides how layers are unpacked.
func (n *Node) newLoader(b bundle, o LoadOptions) *loader {
	if o.Jobs <= 0 {
		// Twice the cores: sending a blob waits for the answer to each message, and its
		// core is idle meanwhile.
		o.Jobs = min(4, 2*runtime.NumCPU())
	}
	l := &loader{node: n, bundle: b, opts: o, local: n.local}
	l.rebase = l.local && n.snapshotter.rebase
	return l
}

// load selects the images, compares them with the node and transfers what is missing.
func (l *loader) load(ctx context.Context) (*Report, error) {
	n, b := l.node, l.bundle
	s, err := selectImages(b, n.server.Platform)
	if err != nil {
		return nil, err
	}
	imgs := s.images
	if !l.opts.NoReferrers {
		l.left = s.addReferrers(b)
	}
	p, inv, err := l.plan(ctx, imgs)
	if err != nil {
		return nil, n.asUnavailable(ctx, n.withBase(ctx, err, b))
	}
	l.left.Join(p.left)
	l.unkept, l.users = len(p.unkept), n.users(ctx, p.moves())
	report := l.newReport(p, inv)
	if p.empty() {
		err = l.confirm(ctx, imgs, report)
	} else {
		report, err = l.transfer(ctx, imgs)
	}
	if err == nil && !l.opts.NoPin {
		report.Released, err = n.release(ctx, b, imgs, inv)
	}
	if err = n.asUnavailable(ctx, n.withBase(ctx, err, b)); err != nil && l.visible {
		err = fmt.Errorf("%w (%w)", err, ErrVisible)
	}
	if err != nil {
		return nil, err
	}
	return report, n.conclude(ctx, report, b, s, inv, l)
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
	if err == nil && l.opts.NoMove {
		if moves := p.moves(); len(moves) > 0 {
			err = &MovedError{moves}
		}
	}
	return p, inv, err
}

// planProtected compares the bundle with the node until the lease of tx keeps everything that
// the plan counts on: between an inventory and its lease a garbage collection may delete what
// the inventory has, such as the blobs of a pull that failed just now. The plan before the
// transaction does not count, as another load of this bundle may have finished meanwhile.
func (l *loader) planProtected(ctx context.Context, tx *transaction, imgs []*image) (*plan, *inventory, error) {
	kept := map[leases.Resource]bool{}
	for {
		p, inv, err := l.plan(ctx, imgs)
		if err != nil {
			return nil, nil, err
		}
		added, err := tx.protect(ctx, p, inv, kept)
		if err != nil || added == 0 {
			return p, inv, err
		}
	}
}

// newReport returns the report of a plan. What a stream has sent before the plan counts as
// sent, not as found.
func (l *loader) newReport(p *plan, inv *inventory) *Report {
	inv.sent = l.sent
	return newReport(l.node.server, l.bundle.Digest(), p, inv)
}

// confirm is a load with nothing to do. It deletes the lease and the lock that a load leaves
// if it is killed after it has written its records.
func (l *loader) confirm(ctx context.Context, imgs []*image, report *Report) error {
	l.visible = true
	l.start(0)
	if err := l.endStream(); err != nil {
		return err
	}
	l.dropIntents(ctx, imgs)
	if err := l.node.dropLeftovers(ctx, l.bundle.Digest()); err != nil {
		return err
	}
	return l.verify(ctx, imgs, report)
}

// transfer is the part of a load that writes. After a [StaleSnapshotError] it is done once more,
// unless that would have to read a stream again: containerd has removed the directories that
// were in its way.
func (l *loader) transfer(ctx context.Context, imgs []*image) (*Report, error) {
	r, err := l.transferOnce(ctx, imgs)
	if _, stale := errors.AsType[*StaleSnapshotError](err); !stale || l.stream != nil || ctx.Err() != nil {
		return r, err
	}
	l.repeated = l.passed.Swap(0)
	l.ingested.Store(0)
	l.unpacked.Store(0)
	l.layers.Store(0)
	return l.transferOnce(ctx, imgs)
}

// transferOnce writes in a transaction.
func (l *loader) transferOnce(ctx context.Context, imgs []*image) (_ *Report, err error) {
	tx, lctx, err := l.node.begin(ctx, l.bundle.Digest())
	if err != nil {
		return nil, err
	}
	defer func() {
		if _, stale := errors.AsType[*StaleSnapshotError](err); stale {
			err = errors.Join(err, l.node.sweepSnapshots(lctx))
		}
		keep := l.stream != nil && resumable(ctx, err)
		if err = tx.finish(ctx, err, keep); err != nil && !keep && !hasEnded(err) {
			err = l.checkReturned(err)
		}
	}()
	p, inv, err := l.planProtected(lctx, tx, imgs)
	if err != nil {
		return nil, err
	}
	if err := l.preflight(lctx, p); err != nil {
		return nil, err
	}
	report := l.newReport(p, inv)
	if err := l.run(lctx, p); err != nil {
		return nil, err
	}
	report.Unpacked, report.Layers = l.unpacked.Load(), int(l.layers.Load())
	report.Ingested += l.ingested.Load()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	l.dropIntents(ctx, imgs)
	l.visible = true
	if err := writeRecords(lctx, l.node.images, p.images); err != nil {
		return nil, err
	}
	return report, l.verify(ctx, imgs, report)
}

// Layers may use little or much memory for windows and names, in bytes, depending on how much
// there is to load: a bundle of up to smallLoad bytes must not need more than a few layers
// with common windows do. containerd unpacks what needs more.
const (
	smallLoad    = 16 << 20
	littleMemory = 40 << 20
	muchMemory   = 176 << 20

	// usualWindow is what the window of the stream's decoder may have besides, in bytes. What
	// it has above that is taken from the layers.
	usualWindow = 32 << 20
)

// allowMemory decides how much memory the layers of the plan may use.
func (l *loader) allowMemory(p *plan) {
	var size int64
	for _, u := range slices.Concat(p.unpacks, p.compare) {
		size += u.Size
	}
	l.spare = layer.NewMemory(muchMemory - max(l.window-usualWindow, 0))
	if l.memory = l.spare; l.local && size <= smallLoad {
		l.memory = layer.NewMemory(littleMemory)
	}
}

// run writes blobs and snapshots and syncs them to disk.
func (l *loader) run(ctx context.Context, p *plan) error {
	l.allowMemory(p)
	var err error
	if l.placer, err = l.node.newPlacer(ctx, l.blobs.draws()); err != nil {
		return err
	}
	g := l.newGraph(p)
	l.start(g.total)
	err = taskgraph.Run(ctx, g.tasks, l.opts.Jobs)
	if err == nil {
		err = l.endStream()
	}
	if err != nil {
		for _, u := range g.unpacks {
			err = errors.Join(err, u.discard(ctx)) // filled, but not committed
		}
		l.leave(ctx)
		return err
	}
	return l.sync()
}

// sync writes blobs and unpacked files to disk before a name refers to them. containerd syncs
// its database, but not the files of a snapshot, and an image that lost its files in a power
// cut would look complete for ever.
func (l *loader) sync() error {
	if !l.local {
		return nil // the diff service syncs
	}
	synced := map[uint64]bool{}
	for _, root := range []string{l.node.snapshotter.root, l.node.contentRoot} {
		disk, err := system.Usage(root)
		if err != nil {
			return fmt.Errorf("sync %s: %w", root, err)
		}
		if synced[disk.Device] {
			continue
		}
		synced[disk.Device] = true
		if err := system.SyncFile(root); err != nil {
			return err
		}
	}
	return nil
}

// verify asks the CRI plugin until it has all images.
func (l *loader) verify(ctx context.Context, imgs []*image, report *Report) error {
	return l.node.verify(ctx, imgs, report, verifyOptions{wait: true, pinned: l.pins()})
}

// pins reports whether the CRI plugin will show the images as pinned.
func (l *loader) pins() bool {
	return !l.opts.NoPin && keepsPins(l.node.server.Version)
}

// start reports to the caller what progress will count up to.
func (l *loader) start(total int64) {
	if l.opts.OnStart != nil && l.repeated == 0 {
		l.opts.OnStart(total)
	}
}

// progress reports n bytes to the caller, but for those that were reported before the transfer
// was repeated.
func (l *loader) progress(n int64) {
	if n = min(n, l.passed.Add(n)-l.repeated); l.opts.OnBytes != nil && n > 0 {
		l.opts.OnBytes(n)
	}
}
