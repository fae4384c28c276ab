package node

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/opencontainers/go-digest"

	"stowage/pkg/archive"
)

// ErrIncomplete is returned (see [errors.Is]) when an image of the bundle is not
// there for the kubelet: after a Check that misses something, after a Load whose
// names the CRI plugin does not show, and before a Load for which the bundle and
// the node together lack a platform or a blob.
var ErrIncomplete = errors.New("incomplete")

// ErrVisible is part of the error of a load (see [errors.Is]) that ended when names had
// been made, were being made, or had been there before: images of the bundle may be
// visible, and those that are, are complete.
var ErrVisible = errors.New("images may be visible already")

// Reason says why no containerd can be used; see [UnavailableError].
type Reason string

// The reasons, from "nothing there" to "too much there".
const (
	NotRunning    Reason = "not running"               // no socket
	Refused       Reason = "connection refused"        // a socket that nobody serves any more
	Permission    Reason = "permission denied"         // the socket belongs to somebody else, mostly root
	NotContainerd Reason = "no answer as containerd"   // somebody serves, but not containerd's API
	NoCRI         Reason = "no CRI plugin"             // containerd without the part the kubelet uses
	CRIFailed     Reason = "CRI plugin failed"         // it is there but did not start; Err says why
	NoSnapshotter Reason = "snapshotter not usable"    // the snapshotter asked for is missing or failed
	Gone          Reason = "it has ended"              // it was there, but ended in the midst of the work
	Ambiguous     Reason = "several containerds found" // more than one would do; Attempts lists them
)

// Attempt is one socket that was tried and what came of it.
type Attempt struct {
	Address string // path of the socket
	Reason  Reason // why it was not used; Ambiguous for one that would do
	Err     error  // the cause, may be nil
}

// UnavailableError says that no containerd can be used, and why.
type UnavailableError struct {
	Reason   Reason
	Address  string    // the socket the reason is about; empty when none was found
	Attempts []Attempt // every socket that was tried, in order
	Err      error     // the cause, may be nil
}

// Error names the socket and the reason; the other sockets that were tried
// follow when the address was not given by the user.
func (e *UnavailableError) Error() string {
	var b strings.Builder
	b.WriteString("connect to containerd")
	if e.Address != "" {
		b.WriteString(" at " + e.Address)
	}
	b.WriteString(": " + string(e.Reason))
	if e.Err != nil {
		b.WriteString(": " + e.Err.Error())
	}
	if e.Address == "" && len(e.Attempts) > 0 {
		var tried []string
		for _, a := range e.Attempts {
			tried = append(tried, a.Address)
		}
		b.WriteString(" (" + strings.Join(tried, ", ") + ")")
	}
	return b.String()
}

// Unwrap gives the cause.
func (e *UnavailableError) Unwrap() error { return e.Err }

// PlatformError says that images of the bundle are not for this node.
type PlatformError struct {
	Platform string   // the node's, as in linux/arm64
	Names    []string // images that have nothing for it
}

// Error lists the images.
func (e *PlatformError) Error() string {
	return fmt.Sprintf("select the images for %s: the bundle has nothing for this platform of %s",
		e.Platform, strings.Join(e.Names, ", "))
}

// Is makes the error an [ErrIncomplete].
func (e *PlatformError) Is(target error) bool { return target == ErrIncomplete }

// MissingError says that a differential bundle counts on blobs that the node
// does not hold. Nothing was written.
type MissingError struct {
	Digests []digest.Digest
	Base    digest.Digest // the bundle this one was made against; may be empty
	// Loaded: that bundle was loaded here, but without the compressed layers. What it
	// has unpacked is of use only below the layers it lay below before.
	Loaded bool
}

// Error counts the blobs, names the first, and the bundle that has them.
func (e *MissingError) Error() string {
	text := fmt.Sprintf("plan the load: %d blobs are neither in the bundle nor on the node, the first is %s",
		len(e.Digests), e.Digests[0])
	if e.Base != "" {
		text += fmt.Sprintf("; the bundle was made against %s", e.Base)
	}
	if e.Loaded {
		text += ", which this node has, but with its layers only unpacked"
	}
	return text
}

// Is makes the error an [ErrIncomplete].
func (e *MissingError) Is(target error) bool { return target == ErrIncomplete }

// baseOf is the bundle that b was made against, "" for a whole one.
func baseOf(b bundle) digest.Digest {
	if d, ok := b.(interface{ Base() digest.Digest }); ok {
		return d.Base()
	}
	return ""
}

// withBase tells a [*MissingError] what the bundle was made against, and whether that
// was loaded: its names, or what a later bundle left of them, tell.
func (n *Node) withBase(ctx context.Context, err error, b bundle) error {
	missing, ok := errors.AsType[*MissingError](err)
	if !ok {
		return err
	}
	if missing.Base = baseOf(b); missing.Base == "" {
		return err
	}
	all, lerr := n.images.List(ctx, fmt.Sprintf("labels.%q==%q", LabelBundle, missing.Base))
	missing.Loaded = lerr == nil && len(all) > 0
	return err
}

// DiskFullError says that a file system of the node is too small for what the bundle adds to
// it. Usually Load finds that before it writes anything; if the disk fills up later, the
// error of containerd is wrapped as well.
type DiskFullError struct {
	Path string // a directory on the file system
	Need int64  // bytes that the load adds; unpacked sizes are partly estimates
	Free int64  // bytes that are free
}

// Error returns both numbers in MiB.
func (e *DiskFullError) Error() string {
	return fmt.Sprintf("check the space below %s: about %d MiB needed, %d MiB free", e.Path, (e.Need+1<<20-1)>>20, e.Free>>20)
}

// asUnavailable returns err as an [*UnavailableError] if containerd has ended since Connect:
// gRPC reports that as Unavailable, EOF or a broken stream, depending on timing.
func (n *Node) asUnavailable(ctx context.Context, err error) error {
	if err == nil || ctx.Err() != nil || hasEnded(err) || errors.Is(err, archive.ErrDamaged) || errors.Is(err, ErrIncomplete) {
		return err
	}
	if _, refused := dial(ctx, n.server.Address); refused == nil {
		return err
	}
	return &UnavailableError{Reason: Gone, Address: n.server.Address, Err: err}
}

// hasEnded reports whether asUnavailable found that containerd has ended.
func hasEnded(err error) bool {
	e, ok := errors.AsType[*UnavailableError](err)
	return ok && e.Reason == Gone
}

// InflatedError says that a layer unpacks to more than any real layer of its size: it is
// damaged, or made to fill disks. It is an [archive.ErrDamaged].
type InflatedError struct {
	Layer    digest.Digest
	Size     int64 // bytes of the blob
	Stated   int64 // unpacked bytes that it states, 0 if it does not
	Unpacked int64 // bytes unpacked when it was stopped
}

// Error returns the sizes. The caller adds the name of the layer.
func (e *InflatedError) Error() string {
	text := fmt.Sprintf("stopped after %d bytes were unpacked from its %d", e.Unpacked, e.Size)
	if e.Stated > 0 {
		text += fmt.Sprintf("; it states %d", e.Stated)
	}
	return text
}

// Is reports whether target is [archive.ErrDamaged].
func (e *InflatedError) Is(target error) bool { return target == archive.ErrDamaged }
