package node

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/opencontainers/go-digest"

	"stowage/pkg/archive"
)

// ErrIncomplete says that the kubelet would not find an image of the bundle. Check returns
// it when something is missing, Load when the CRI plugin does not show a name afterwards, or
// when the bundle and the node together lack a platform or a blob.
var ErrIncomplete = errors.New("incomplete")

// ErrVisible is part of the error of a load that failed while it wrote image records, after
// that, or when all records were there before: images of the bundle may be visible. Those
// that are visible are complete.
var ErrVisible = errors.New("images may be visible already")

// Reason says why no containerd is usable; see [UnavailableError].
type Reason string

// The reasons why no containerd is usable.
const (
	NotRunning    Reason = "not running"               // there is no socket
	Refused       Reason = "connection refused"        // the process that served the socket is gone
	Permission    Reason = "permission denied"         // the socket belongs to another user, usually root
	NotContainerd Reason = "no answer as containerd"   // the socket does not serve containerd's API
	NoCRI         Reason = "no CRI plugin"             // containerd without the part the kubelet uses
	CRIFailed     Reason = "CRI plugin failed"         // it did not start; Err says why
	NoSnapshotter Reason = "snapshotter not usable"    // the requested snapshotter is missing or failed
	Gone          Reason = "it has ended"              // containerd ended during the operation
	Ambiguous     Reason = "several containerds found" // several are usable; Attempts lists them
)

// Attempt is one socket that was tried, with the result.
type Attempt struct {
	Address string // path of the socket
	Reason  Reason // why it was not used; Ambiguous for a usable one
	Err     error  // the cause, may be nil
}

// UnavailableError says that no containerd is usable, and why.
type UnavailableError struct {
	Reason   Reason
	Address  string    // the socket that Reason is about; empty when none was found
	Attempts []Attempt // every socket that was tried, in order
	Err      error     // the cause, may be nil
}

// Error names the socket and the reason. After a search it lists the sockets that were
// tried.
func (e *UnavailableError) Error() string {
	var b strings.Builder
	b.WriteString("connect to containerd")
	if e.Address != "" {
		b.WriteString(" at " + e.Address)
	}
	if e.Reason == NotRunning && e.Address != "" {
		b.WriteString(": there is no such socket")
		return b.String()
	}
	b.WriteString(": " + string(e.Reason))
	if e.Err != nil && !strings.HasSuffix(e.Err.Error(), string(e.Reason)) { // not "permission denied" twice
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

// Unwrap returns the cause.
func (e *UnavailableError) Unwrap() error { return e.Err }

// PlatformError says that images of the bundle do not support the node's platform. It is an
// [ErrIncomplete].
type PlatformError struct {
	Platform string   // the node's, as in linux/arm64
	Names    []string // images without a manifest for it
}

// Error lists the images.
func (e *PlatformError) Error() string {
	return fmt.Sprintf("this node is %s, and the bundle has no manifest for it of %s", e.Platform, strings.Join(e.Names, ", "))
}

// Is reports whether target is [ErrIncomplete].
func (e *PlatformError) Is(target error) bool { return target == ErrIncomplete }

// StaleSnapshotError says that containerd's snapshotter has a directory that its database does
// not know and whose ID it assigns, as after a power cut that only the directory has survived.
// containerd removes the directory when it reports it. A load that is not a stream has been
// repeated; the next one finds fewer of them, or none.
type StaleSnapshotError struct{ Err error }

// Error has the path of the directory.
func (e *StaleSnapshotError) Error() string {
	return fmt.Sprintf("the snapshotter has files of a snapshot that containerd does not know: %v", e.Err)
}

// Unwrap returns containerd's error.
func (e *StaleSnapshotError) Unwrap() error { return e.Err }

// NamelessError says that no image of a tarball has a name that a kubelet could request. Nothing
// was loaded. It is an [ErrIncomplete].
type NamelessError struct{ Images []archive.Nameless }

// Error lists the images by their digests.
func (e *NamelessError) Error() string {
	if len(e.Images) == 0 {
		return "select the images: there is none"
	}
	return "select the images: no name is given to " + describeNameless(e.Images)
}

// Is reports whether target is [ErrIncomplete].
func (e *NamelessError) Is(target error) bool { return target == ErrIncomplete }

// describeNameless lists images by their digests and tags.
func describeNameless(images []archive.Nameless) string {
	var list []string
	for _, n := range images {
		text := n.Target.Digest.String()
		if n.Tag != "" {
			text += fmt.Sprintf(" (tag %q)", n.Tag)
		}
		list = append(list, text)
	}
	return strings.Join(list, ", ")
}

// MissingError says that a differential bundle omits blobs that the node does not have.
// Nothing was written. It is an [ErrIncomplete].
type MissingError struct {
	Digests []digest.Digest
	Base    digest.Digest // the bundle that this one was made against; may be empty
	// Loaded says that Base was loaded on this node, but without its compressed layers. A
	// layer that is only unpacked can be used only on top of the same layers.
	Loaded bool
}

// Error returns the number of blobs, the first of them, and the bundle that has them.
func (e *MissingError) Error() string {
	text := fmt.Sprintf("this is a differential bundle, and the node lacks %d of the layers that it omits; the first is %s",
		len(e.Digests), e.Digests[0])
	if e.Base != "" {
		text += fmt.Sprintf("; it was made against %s", e.Base)
	}
	if e.Loaded {
		text += ", which this node has, but with its layers only unpacked"
	}
	return text
}

// Is reports whether target is [ErrIncomplete].
func (e *MissingError) Is(target error) bool { return target == ErrIncomplete }

// withBase sets Base and Loaded of a [*MissingError]. Base was loaded if image records have
// its label.
func (n *Node) withBase(ctx context.Context, err error, b bundle) error {
	missing, ok := errors.AsType[*MissingError](err)
	if !ok {
		return err
	}
	if missing.Base = b.Base(); missing.Base == "" {
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
	// Reserve is how many of the free bytes are not used, so that containerd's databases can
	// commit.
	Reserve int64
	Inodes  bool // the numbers are inodes, not bytes
}

// Error returns the numbers, bytes in MiB.
func (e *DiskFullError) Error() string {
	need, free, reserve, unit := (max(e.Need, 1)-1)>>20+1, e.Free>>20, e.Reserve>>20, "MiB"
	if e.Inodes {
		need, free, reserve, unit = e.Need, e.Free, e.Reserve, "inodes"
	}
	text := fmt.Sprintf("check the space below %s: about %d %s needed, %d %s free", e.Path, need, unit, free, unit)
	switch {
	case e.Reserve > 0 && free <= reserve:
		text += ", all of it reserved for containerd"
	case e.Reserve > 0:
		text += fmt.Sprintf(", %d of them reserved for containerd", reserve)
	}
	return text
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
	Unpacked int64 // bytes unpacked when it was stopped, or that its files and directories take
	Err      error // the [*DiskFullError] that ended it, if any
}

// Unwrap returns Err.
func (e *InflatedError) Unwrap() error { return e.Err }

// Error returns the sizes. The caller adds the name of the layer.
func (e *InflatedError) Error() string {
	text := fmt.Sprintf("stopped after %d bytes were unpacked from its %d", e.Unpacked, e.Size)
	if e.Stated > 0 {
		text += fmt.Sprintf("; it states %d", e.Stated)
	}
	if e.Err != nil {
		text += "; " + e.Err.Error()
	}
	return text
}

// Is reports whether target is [archive.ErrDamaged].
func (e *InflatedError) Is(target error) bool { return target == archive.ErrDamaged }
