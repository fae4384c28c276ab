//go:build linux

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"testing"

	"stowage/cmd/internal/cli"
	"stowage/pkg/archive"
	"stowage/pkg/node"
	"stowage/pkg/node/imagedir"
)

// TestOutcome: every error type has its exit code and hint, also when it is wrapped.
func TestOutcome(t *testing.T) {
	tests := []struct {
		name string
		err  error
		code int
		hint string // a part of it; "" means no hint
	}{
		{"no containerd", &node.UnavailableError{Err: errors.New("x")}, cli.NoNode, "name its socket with --address"},
		{"permission", &node.UnavailableError{Reason: node.Permission, Err: errors.New("x")}, cli.NoNode, "as root, with sudo"},
		{"several", &node.UnavailableError{Reason: node.Ambiguous, Err: errors.New("x")}, cli.NoNode, "choose one with --address"},
		{"CRI failed", &node.UnavailableError{Reason: node.CRIFailed, Err: errors.New("x")}, cli.NoNode, "check its log"},
		{"no CRI", &node.UnavailableError{Reason: node.NoCRI, Err: errors.New("x")}, cli.NoNode, "check its log"},
		{"containerd ended", &node.UnavailableError{Reason: node.Gone, Err: errors.New("x")}, cli.NoNode, "to resume"},
		{"no snapshotter", &node.UnavailableError{Reason: node.NoSnapshotter, Err: errors.New("x")}, cli.NoNode, "--snapshotter"},
		{"stale snapshot", &node.StaleSnapshotError{Err: errors.New("x")}, cli.NoNode, "run the same command again"},
		{"platform", &node.PlatformError{Platform: "linux/arm64"}, cli.NoNode, "--platform linux/arm64"},
		{"damaged", &archive.DamagedError{File: "f", Err: errors.New("x")}, cli.Damaged, "bundle verify"},
		{"a name that cannot be given", &archive.NameError{Name: "a", Reason: "x"}, cli.Usage, "without --name"},
		{"moved names", &node.MovedError{Moves: []node.Move{{Name: "a", From: "b", To: "c"}}}, cli.Damaged, "without --no-move"},
		{"too large", &node.InflatedError{}, cli.Damaged, "author of the image"},
		{"base missing", &node.MissingError{Base: "sha256:1"}, cli.Incomplete, "load the bundle sha256:1 first"},
		{"base without layers", &node.MissingError{Base: "sha256:1", Loaded: true}, cli.Incomplete, "--discard-layers"},
		{"not ready", &node.IncompleteError{Ready: 3, Total: 4}, cli.Incomplete, ""},
		{"incomplete", node.ErrIncomplete, cli.Incomplete, ""},
		{"no temporary file", &archive.TempError{Dir: "/none", Err: fs.ErrNotExist}, cli.Failed, "TMPDIR"},
		{"no space for temporary files", &archive.SpaceError{Path: os.TempDir()}, cli.Failed, "TMPDIR"},
		{"no space", syscall.ENOSPC, cli.Failed, "free some space"},
		{"no space, known before", &node.DiskFullError{}, cli.Failed, "free some space"},
		{"no space for a file", &archive.SpaceError{}, cli.Failed, "free some space on the disk"},
		{"no image directory", &imagedir.DirectoryError{}, cli.NoNode, "mkdir -p"},
		{"several image directories", &imagedir.DirectoryError{Found: []string{"a", "b"}}, cli.NoNode, "--dir"},
		{"not importable", imagedir.ErrForm, cli.Failed, "uncompressed"},
		{"nothing on standard input", &archive.DamagedError{Err: archive.ErrEmpty}, cli.Damaged, "writes to the pipe"},
		{"no socket there", &node.UnavailableError{Reason: node.NotRunning, Address: "/c.sock"}, cli.NoNode, "check the path"},
		{"anything else", errors.New("x"), cli.Failed, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, err := range []error{tt.err, fmt.Errorf("wrapped: %w", tt.err)} {
				got := outcome(err)
				if got.Code != tt.code || !strings.Contains(got.Hint, tt.hint) || (got.Hint == "") != (tt.hint == "") {
					t.Errorf("%v: got code %d, hint %q, want %d, %q", err, got.Code, got.Hint, tt.code, tt.hint)
				}
			}
		})
	}
}

// TestCauseHint: every kind of cause has a hint, which fits a kubelet that runs and one that
// does not.
func TestCauseHint(t *testing.T) {
	stopped, running := &node.Kubelet{Config: "/k/config.yaml"}, &node.Kubelet{Running: true, Service: "kubelet"}
	k3s := &node.Kubelet{Running: true, Service: "k3s-agent", HasContainerd: true}
	for _, tt := range []struct {
		kind    node.CauseKind
		job     string
		kubelet *node.Kubelet
		want    string
	}{
		{node.CauseMissing, "load check", stopped, `load 'a b.tar'`},
		{node.CauseMissing, "load", stopped, `check containerd's log and "crictl inspecti x:1", and run "load 'a b.tar'" again`},
		{node.CauseOther, "load check", stopped, `load 'a b.tar'`},
		{node.CauseUnusable, "load", stopped, `make the bundle with another version of the image, or without it: bundle --exclude x:1`},
		{node.CausePlatform, "load", stopped, `make the bundle for the platform of this node too, with --platform`},
		{node.CauseLeftOut, "load", stopped, `where there is a network run "bundle x:1 -o more.tar", and here "load more.tar"`},
		{node.CauseNoSandbox, "load", stopped, `where there is a network run "bundle x:1 -o more.tar", and here "load more.tar"`},
		{node.CauseArtifact, "load", stopped, `containerd cannot mount artifacts: pack the files into an image, or use a runtime that mounts artifacts`},
		{node.CauseHandler, "load", stopped, `load 'a b.tar' without --discard-layers`},
		{node.CausePulled, "load", stopped, `"load --trust-preloaded 'a b.tar'" lets every pod of this node use it; "load serve --install" answers the kubelet instead`},
		{node.CausePulled, "load", running, `"load --trust-preloaded 'a b.tar'; systemctl restart kubelet" lets every pod of this node use it; "load serve --install" answers the kubelet instead`},
		{node.CauseUnreadable, "load", stopped, `"load --trust-preloaded 'a b.tar'" lets every pod of this node use it; "load serve --install" answers the kubelet instead`},
		{node.CauseInterrupted, "load check", stopped, `load 'a b.tar'`},
		{node.CauseInterrupted, "load", running, `wait until the pull fails, or: systemctl stop kubelet; load 'a b.tar'; systemctl start kubelet`},
		{node.CausePolicy, "load", stopped, `set imagePullCredentialsVerificationPolicy to NeverVerify in /k/config.yaml and restart the kubelet; or "load --trust-preloaded 'a b.tar'" lets every pod of this node use it; "load serve --install" answers the kubelet instead`},
		{node.CauseRestart, "load", running, `systemctl restart kubelet`},
		{node.CauseRestart, "load", k3s, `systemctl restart k3s-agent`},
		{node.CauseInterrupted, "load", k3s, `wait until the pull fails; or "load --trust-preloaded 'a b.tar'; systemctl restart k3s-agent" lets every pod of this node use it; "load serve --install" answers the kubelet instead`},
	} {
		s := &settings{name: tt.job, file: "a b.tar"}
		if got := s.causeHint(node.Cause{Kind: tt.kind, Image: "x:1"}, tt.kubelet); got != tt.want {
			t.Errorf("%s: %s: got %q, want %q", tt.job, tt.kind, got, tt.want)
		}
	}
}
