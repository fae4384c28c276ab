//go:build linux

package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"syscall"

	"stowage/cmd/internal/cli"
	"stowage/cmd/load/internal/engine"
	"stowage/pkg/archive"
	"stowage/pkg/node"
	"stowage/pkg/node/imagedir"
)

// outcome returns err with its exit code and the hint for its type.
func outcome(err error) *cli.Error {
	var (
		unavailable *node.UnavailableError
		platform    *node.PlatformError
		missing     *node.MissingError
		space       *node.DiskFullError
		file        *archive.SpaceError
		directory   *imagedir.DirectoryError
		inflated    *node.InflatedError
		moved       *node.MovedError
		name        *archive.NameError
		incomplete  *node.IncompleteError
		temp        *archive.TempError
		stale       *node.StaleSnapshotError
		nodes       *engine.NotFoundError
		foreign     *engine.ArchitectureError
	)
	e := &cli.Error{Code: cli.Failed, Err: err}
	switch {
	case errors.As(err, &unavailable):
		e.Code, e.Hint = cli.NoNode, nodeHint(unavailable)
	case errors.As(err, &nodes):
		e.Code, e.Hint = cli.NoNode, "\"docker ps\" or \"podman ps\" lists the containers; name one with --node, or the cluster as in --kind=NAME"
	case errors.As(err, &foreign):
		e.Code, e.Hint = cli.NoNode, foreignHint(foreign)
	case errors.Is(err, engine.ErrDynamic):
		e.Hint = "use a released load, or build it with CGO_ENABLED=0"
	case errors.Is(err, archive.ErrNoMetadata):
		e.Hint = "save it to a file first and load the file"
	case errors.Is(err, archive.ErrEmpty):
		e.Code, e.Err, e.Hint = cli.Damaged, errors.New("standard input is empty"), "check the command that writes to the pipe"
	case errors.As(err, &stale):
		e.Code, e.Hint = cli.NoNode, "containerd removes such files when it meets them: run the same command again; if they stay, stop containerd and remove that directory"
	case errors.As(err, &inflated):
		e.Code, e.Hint = cli.Damaged, "no image of it became visible on the node; the layer is damaged or was made to fill disks: report it to the author of the image"
	case errors.Is(err, archive.ErrDamaged):
		e.Code, e.Hint = cli.Damaged, "no image of it became visible on the node; copy the file again, and if \"bundle verify\" fails for the original too, make it again"
	case errors.As(err, &name):
		e.Code, e.Hint = cli.Usage, "nothing was loaded; \"load FILE\" without --name lists the images that have no name"
	case errors.As(err, &moved):
		e.Code, e.Hint = cli.Damaged, "nothing was written; compare the digests with those you expect, and load without --no-move to accept them"
	case errors.As(err, &platform):
		e.Code, e.Hint = cli.NoNode, fmt.Sprintf("make the bundle with --platform %s", platform.Platform)
	case errors.As(err, &missing):
		e.Code, e.Hint = cli.Incomplete, missingHint(missing)
	case errors.As(err, &directory):
		e.Code, e.Hint = cli.NoNode, directoryHint(directory)
	case errors.Is(err, imagedir.ErrForm):
		e.Hint = "place a complete, uncompressed bundle"
	case errors.As(err, &temp):
		e.Hint = "what cannot be read twice is kept there: choose another directory with TMPDIR"
	case errors.As(err, &file) && file.Path == os.TempDir():
		e.Hint = "free some space there, or choose another directory with TMPDIR"
	case errors.As(err, &incomplete):
		e.Code, e.Err = cli.Incomplete, notReady{incomplete}
	case errors.Is(err, node.ErrIncomplete):
		e.Code = cli.Incomplete
	case errors.As(err, &file):
		e.Hint = "free some space on the disk of that path"
	case errors.As(err, &space), errors.Is(err, syscall.ENOSPC):
		e.Hint = "free some space below containerd's root, or use --discard-layers"
	}
	return e
}

// foreignHint returns the commands that load into a node of another architecture.
func foreignHint(e *engine.ArchitectureError) string {
	return fmt.Sprintf("copy the load for linux/%s into it and run that: %s cp LOAD %s:/usr/local/bin/load; %s exec -i %s load - < FILE",
		e.Architecture, e.Node.Engine, e.Node.Name, e.Node.Engine, e.Node.Name)
}

// notReady is an IncompleteError in one line, without the causes, which have lines of their
// own.
type notReady struct{ *node.IncompleteError }

func (e notReady) Error() string { return fmt.Sprintf("%d of %d images ready", e.Ready, e.Total) }

func (e notReady) Unwrap() error { return e.IncompleteError }

// causeHint says what to do about a cause: a command, or the flag of one.
func (s *settings) causeHint(c node.Cause, k *node.Kubelet) string {
	file, image := cli.Quote(s.file), cli.Quote(c.Image)
	switch c.Kind {
	case node.CauseMissing, node.CauseOther:
		if s.name == "load" { // it did what it could
			return fmt.Sprintf("check containerd's log and \"crictl inspecti %s\", and run \"load %s\" again", image, file)
		}
		return "load " + file
	case node.CausePlatform:
		return "make the bundle for the platform of this node too, with --platform"
	case node.CauseUnusable:
		return fmt.Sprintf("make the bundle with another version of the image, or without it: bundle --exclude %s", image)
	case node.CauseLeftOut, node.CauseNoSandbox:
		return fmt.Sprintf("where there is a network run \"bundle %s -o more.tar\", and here \"load more.tar\"", image)
	case node.CauseArtifact:
		return "containerd cannot mount artifacts: pack the files into an image, or use a runtime that mounts artifacts"
	case node.CauseHandler:
		return fmt.Sprintf("load %s without --discard-layers", file)
	}
	return s.recordHint(c.Kind, k)
}

// recordHint says what to do about what the kubelet has on record of an image.
func (s *settings) recordHint(kind node.CauseKind, k *node.Kubelet) string {
	load, again, service := "load "+cli.Quote(s.file), "", cmp.Or(k.Service, "kubelet")
	if k.Running {
		again = "; systemctl restart " + service
	}
	trust := fmt.Sprintf("\"load --trust-preloaded %s%s\" lets every pod of this node use it; \"load serve --install\" answers the kubelet instead", cli.Quote(s.file), again)
	switch kind {
	case node.CauseRestart:
		return "systemctl restart " + service
	case node.CauseInterrupted:
		switch {
		case k.Running && k.HasContainerd: // which a stop of the service would end
			return "wait until the pull fails; or " + trust
		case k.Running:
			return fmt.Sprintf("wait until the pull fails, or: systemctl stop %[1]s; %[2]s; systemctl start %[1]s", service, load)
		}
		return load
	case node.CausePolicy:
		return fmt.Sprintf("set imagePullCredentialsVerificationPolicy to NeverVerify in %s and restart the kubelet; or %s", cmp.Or(k.Config, "its configuration"), trust)
	}
	return trust
}

// missingHint names the bundle to load first.
func missingHint(e *node.MissingError) string {
	if e.Loaded {
		return "load that bundle again without --discard-layers, or make this one without --since"
	}
	if e.Base == "" {
		return "load the bundle that this one builds on first"
	}
	return fmt.Sprintf("load the bundle %s first; \"bundle inspect FILE\" shows the identity of a file", e.Base)
}

func directoryHint(e *imagedir.DirectoryError) string {
	if len(e.Found) > 0 {
		return "choose one with --dir"
	}
	return "create the image directory of your distribution with mkdir -p, or name another with --dir"
}

// nodeHint says what to do without a usable containerd.
func nodeHint(e *node.UnavailableError) string {
	switch e.Reason {
	case node.Permission:
		return "run the command as root, with sudo"
	case node.Ambiguous:
		return "choose one with --address"
	case node.CRIFailed, node.NoCRI:
		return "the kubelet cannot use this containerd either: check its log"
	case node.Gone:
		return "check its log, start it, and run the same command again to resume"
	case node.NoSnapshotter:
		return "choose another with --snapshotter, or drop the flag"
	}
	if e.Address != "" { // it was named
		return "check the path, or start that containerd; without --address and CONTAINERD_ADDRESS the usual sockets are tried"
	}
	return "start containerd (or k3s, RKE2, k0s), or name its socket with --address"
}
