package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
)

const (
	// leaseTime is how long containerd keeps what a killed load has written, so that the
	// next load of the same bundle can resume.
	leaseTime = 24 * time.Hour
	// labelBoot records on a lease during which boot of the machine it was created.
	labelBoot = "dev.stowage.boot"
	// cleanTimeout limits the cleaning after an error or a cancelled context.
	cleanTimeout = 2 * time.Minute
	// leftoverTimeout is how long dropLeftovers waits for a lock: containerd may not have
	// noticed yet that the process which held it is dead.
	leftoverTimeout = time.Second
)

// transaction is what a load holds on the node while it writes: the lock of its bundle,
// and the lease that keeps blobs and snapshots until image records do.
type transaction struct {
	node  *Node
	lock  content.Writer
	ref   string
	lease leases.Lease
}

// newTransaction names the lock and the lease.
func (n *Node) newTransaction(bundle digest.Digest) *transaction {
	return &transaction{
		node:  n,
		ref:   "stowage-lock-" + bundle.Encoded(),
		lease: leases.Lease{ID: "stowage-" + bundle.Encoded()},
	}
}

// begin waits for the lock of the bundle and creates the lease, or continues that of a
// killed load. Blobs and snapshots must be written with the context it returns.
func (n *Node) begin(ctx context.Context, bundle digest.Digest) (*transaction, context.Context, error) {
	t := n.newTransaction(bundle)
	if err := t.acquire(ctx); err != nil {
		return nil, nil, err
	}
	boot := bootID()
	if err := t.dropUnsynced(ctx, boot); err != nil {
		return nil, nil, errors.Join(err, t.unlock(ctx))
	}
	_, err := n.client.LeasesService().Create(ctx, leases.WithID(t.lease.ID), leases.WithExpiration(leaseTime),
		leases.WithLabels(map[string]string{LabelBundle: bundle.String(), labelBoot: boot}))
	if err != nil && !errdefs.IsAlreadyExists(err) {
		return nil, nil, errors.Join(fmt.Errorf("create lease %s: %w", t.lease.ID, err), t.unlock(ctx))
	}
	return t, leases.WithLease(ctx, t.lease.ID), nil
}

// dropUnsynced deletes the leases of all loads that were running when the machine last
// went down, and with them the snapshots they had committed. containerd has these
// snapshots in its database, but their files were never synced, and a layer with empty
// files cannot be told from a complete one. A load that was only killed is resumed: the
// kernel still has what it wrote.
func (t *transaction) dropUnsynced(ctx context.Context, boot string) error {
	service := t.node.client.LeasesService()
	old, err := service.List(ctx, fmt.Sprintf("labels.%q", LabelBundle))
	if err != nil {
		return fmt.Errorf("list the leases of earlier loads: %w", err)
	}
	for _, lease := range old {
		if lease.Labels[labelBoot] == boot {
			continue
		}
		err := service.Delete(ctx, lease, leases.SynchronousDelete)
		if err != nil && !errdefs.IsNotFound(err) {
			return fmt.Errorf("delete lease %s of a load before the last boot: %w", lease.ID, err)
		}
	}
	return nil
}

// bootID identifies this boot of the machine (proc_sys_kernel(5)). It is empty where the
// kernel does not say.
func bootID() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(id))
}

// acquire waits for the lock, an open and empty ingest of the content store: a ref has one
// writer at a time, and the daemon releases it when the process of the writer dies.
func (t *transaction) acquire(ctx context.Context) error {
	// A cancelled load must hold the lock until it has cleaned up, or it would delete the
	// lease of the next one. So the writer's stream outlives ctx.
	lasting := context.WithoutCancel(ctx)
	w, err := t.node.writer(ctx, lasting, content.WithRef(t.ref))
	if err != nil {
		return fmt.Errorf("lock the bundle on the node: %w", err)
	}
	t.lock = w
	return nil
}

// unlock releases the lock.
func (t *transaction) unlock(ctx context.Context) error {
	t.lock.Close()
	// Close is asynchronous: the ref stays locked until containerd has processed it.
	for pause := time.Millisecond; ; pause *= 2 {
		err := t.node.content.Abort(ctx, t.ref)
		if err == nil || errdefs.IsNotFound(err) {
			return nil
		}
		if pause > time.Second {
			return fmt.Errorf("unlock the bundle on the node: %w", err)
		}
		time.Sleep(pause)
	}
}

// finish ends the transaction of a load that returns err, and joins its own errors to
// that. With keep, what was written stays for the next load.
func (t *transaction) finish(ctx context.Context, err error, keep bool) error {
	// The free space is looked at first: cleaning makes room.
	err = t.node.asUnavailable(ctx, t.node.asNoSpace(err, t.node.contentRoot, 0))
	switch {
	case hasEnded(err):
		t.lock.Close() // the daemon that held the lease is gone; the next load deletes it
		return err
	case keep:
		return errors.Join(err, t.suspend(ctx))
	}
	return errors.Join(err, t.end(ctx))
}

// suspend unlocks the bundle and leaves the lease to the next load, or until it expires.
func (t *transaction) suspend(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanTimeout)
	defer cancel()
	return t.unlock(ctx)
}

// end deletes the lease, even if ctx has ended, and waits for the garbage collection that
// frees whatever no image record refers to. Then it unlocks the bundle.
func (t *transaction) end(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanTimeout)
	defer cancel()
	err := t.node.client.LeasesService().Delete(ctx, t.lease, leases.SynchronousDelete)
	if errdefs.IsNotFound(err) {
		err = nil
	}
	if err != nil {
		err = fmt.Errorf("delete lease %s: %w", t.lease.ID, err)
	}
	return errors.Join(err, t.unlock(ctx))
}

// protect adds to the lease what is on the node already and what the new images need: an
// image record that refers to it now may be deleted at any moment. It skips what is in kept,
// adds the rest there, and returns how much that was.
func (t *transaction) protect(ctx context.Context, p *plan, inv *inventory, kept map[leases.Resource]bool) (added int, err error) {
	for _, ip := range p.images {
		if !ip.lacks() {
			continue
		}
		for _, r := range t.resources(ip, inv) {
			if kept[r] {
				continue
			}
			if err := t.node.client.LeasesService().AddResource(ctx, t.lease, r); err != nil {
				return added, fmt.Errorf("add %s to lease %s: %w", r.ID, t.lease.ID, err)
			}
			kept[r] = true
			added++
		}
	}
	return added, nil
}

// resources lists what an image needs and the node has.
func (t *transaction) resources(ip *imagePlan, inv *inventory) []leases.Resource {
	var all []leases.Resource
	for _, d := range ip.retained {
		all = append(all, leases.Resource{ID: d.String(), Type: "content"})
	}
	for i := len(ip.layers) - 1; i >= 0; i-- {
		if chain := ip.layers[i].chain; inv.chains[chain] { // keeps those below, too
			return append(all, leases.Resource{ID: chain.String(), Type: "snapshots/" + t.node.snapshotter.name})
		}
	}
	return all
}

// dropLeftovers deletes the lease and the lock, or whichever of them exists, that a killed
// load left of a bundle or of a tarball read as a stream. It does nothing while another
// load of the same bundle runs.
func (n *Node) dropLeftovers(ctx context.Context, id digest.Digest) error {
	if id == "" {
		return nil
	}
	t := n.newTransaction(id)
	found, err := n.client.LeasesService().List(ctx, "id=="+t.lease.ID)
	if err != nil {
		return fmt.Errorf("look for lease %s: %w", t.lease.ID, err)
	}
	if len(found) == 0 {
		if _, err := n.content.Status(ctx, t.ref); errdefs.IsNotFound(err) {
			return nil
		} else if err != nil {
			return fmt.Errorf("look for lock %s: %w", t.ref, err)
		}
	}
	short, cancel := context.WithTimeout(ctx, leftoverTimeout)
	defer cancel()
	switch err := t.acquire(short); {
	case err == nil:
		return t.end(ctx)
	case short.Err() != nil:
		return ctx.Err()
	default:
		return err
	}
}
