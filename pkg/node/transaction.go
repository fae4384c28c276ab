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
	// leaseTime is how long containerd keeps what a killed load has brought, for
	// the next load of the same bundle to go on with.
	leaseTime = 24 * time.Hour
	// labelBoot says on a lease during which boot of the machine it was taken.
	labelBoot = "dev.stowage.boot"
	// cleanTimeout bounds what is done after a failure or a cancelled context.
	cleanTimeout = 2 * time.Minute
)

// session is one load at work: the lock of its bundle, and the lease that keeps
// what it brings until image records do.
type session struct {
	node  *Node
	lock  content.Writer
	ref   string
	lease leases.Lease
}

// begin waits for the lock of the bundle and takes the lease, an old one of a
// killed load if there is one. The context returned is the one to write with.
func (n *Node) begin(ctx context.Context, bundle digest.Digest) (*session, context.Context, error) {
	s := n.newSession(bundle)
	if err := s.acquire(ctx); err != nil {
		return nil, nil, err
	}
	boot := bootID()
	if err := n.dropUnsynced(ctx, boot); err != nil {
		return nil, nil, errors.Join(err, s.release(ctx))
	}
	_, err := n.client.LeasesService().Create(ctx, leases.WithID(s.lease.ID), leases.WithExpiration(leaseTime),
		leases.WithLabels(map[string]string{LabelBundle: bundle.String(), labelBoot: boot}))
	if err != nil && !errdefs.IsAlreadyExists(err) {
		return nil, nil, errors.Join(fmt.Errorf("create lease %s: %w", s.lease.ID, err), s.release(ctx))
	}
	return s, leases.WithLease(ctx, s.lease.ID), nil
}

// dropUnsynced deletes the leases of loads that were under way when the machine went down,
// whatever their bundle, and with them the snapshots they had committed: containerd has
// these in its database, but nothing had synced their files yet, and a layer whose files
// are empty cannot be told from one that is there. A load that was only killed is
// continued: what it wrote is still in the kernel's memory, if not on disk.
func (n *Node) dropUnsynced(ctx context.Context, boot string) error {
	old, err := n.client.LeasesService().List(ctx, fmt.Sprintf("labels.%q", LabelBundle))
	if err != nil {
		return fmt.Errorf("list the leases of earlier loads: %w", err)
	}
	for _, lease := range old {
		if lease.Labels[labelBoot] == boot {
			continue
		}
		err := n.client.LeasesService().Delete(ctx, lease, leases.SynchronousDelete)
		if err != nil && !errdefs.IsNotFound(err) {
			return fmt.Errorf("delete lease %s of a load before the last boot: %w", lease.ID, err)
		}
	}
	return nil
}

// bootID tells one boot of this machine from another (proc_sys_kernel(5)); empty where that
// cannot be known.
func bootID() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(id))
}

// newSession names lock and lease.
func (n *Node) newSession(bundle digest.Digest) *session {
	return &session{node: n, ref: "stowage-lock-" + bundle.Encoded(), lease: leases.Lease{ID: "stowage-" + bundle.Encoded()}}
}

// acquire takes the lock. It is an open, empty ingest of the content store: only
// one writer may hold a name, and the daemon frees it when the writer's process
// dies, however it dies.
func (s *session) acquire(ctx context.Context) error {
	// A cancelled load must hold the lock until it has cleaned up, or the next
	// one would lose its lease to that: the writer's stream outlives ctx.
	lasting := context.WithoutCancel(ctx)
	w, err := s.node.writer(ctx, lasting, content.WithRef(s.ref))
	if err != nil {
		return fmt.Errorf("lock the bundle on the node: %w", err)
	}
	s.lock = w
	return nil
}

// release gives the lock back.
func (s *session) release(ctx context.Context) error {
	s.lock.Close()
	// Close tells the server in passing; until it has heard, the ref is busy.
	for pause := time.Millisecond; ; pause *= 2 {
		err := s.node.content.Abort(ctx, s.ref)
		if err == nil || errdefs.IsNotFound(err) {
			return nil
		}
		if pause > time.Second {
			return fmt.Errorf("unlock the bundle on the node: %w", err)
		}
		time.Sleep(pause)
	}
}

// finish ends the session of a load that ended with err, and joins what goes wrong with
// that. keep leaves what was brought to the next load.
func (s *session) finish(ctx context.Context, err error, keep bool) error {
	err = s.node.gone(ctx, s.node.full(err, s.node.contentRoot, 0)) // before there is room again
	switch {
	case isGone(err):
		s.lock.Close() // there is nobody to end the lease; the next load will
		return err
	case keep:
		return errors.Join(err, s.pause(ctx))
	}
	return errors.Join(err, s.end(ctx))
}

// pause unlocks the bundle and leaves the lease to the next load, or to its time.
func (s *session) pause(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanTimeout)
	defer cancel()
	return s.release(ctx)
}

// end deletes the lease, whatever became of ctx, and waits for the garbage
// collection that frees what no image record holds; then it unlocks the bundle.
func (s *session) end(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanTimeout)
	defer cancel()
	err := s.node.client.LeasesService().Delete(ctx, s.lease, leases.SynchronousDelete)
	if errdefs.IsNotFound(err) {
		err = nil
	}
	if err != nil {
		err = fmt.Errorf("delete lease %s: %w", s.lease.ID, err)
	}
	return errors.Join(err, s.release(ctx))
}

// protect puts what is there already, and what the new images will need, under
// the lease: a record that held it until now may be deleted any moment.
func (s *session) protect(ctx context.Context, p *plan, inv *inventory) error {
	done := map[leases.Resource]bool{}
	for _, ip := range p.images {
		if !ip.lacks() {
			continue
		}
		var resources []leases.Resource
		for _, d := range ip.retained {
			resources = append(resources, leases.Resource{ID: d.String(), Type: "content"})
		}
		for i := len(ip.layers) - 1; i >= 0; i-- {
			if chain := ip.layers[i].chain; inv.chains[chain] { // holds those below, too
				resources = append(resources, leases.Resource{ID: chain.String(), Type: "snapshots/" + s.node.snapshotter.name})
				break
			}
		}
		for _, r := range resources {
			if done[r] {
				continue
			}
			done[r] = true
			if err := s.node.client.LeasesService().AddResource(ctx, s.lease, r); err != nil {
				return fmt.Errorf("add %s to lease %s: %w", r.ID, s.lease.ID, err)
			}
		}
	}
	return nil
}
