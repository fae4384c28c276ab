package install

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strings"
)

// Options are the settings of [Install] and [Uninstall].
type Options struct {
	// Listen is the address of the registry, a port of the loopback interface.
	Listen string
	// Command is the program that serves, with an absolute path, and its arguments.
	Command []string
	// Registries are the hosts as they stand in image names ("docker.io", "quay.io:443"). Those
	// that are wired already stay so.
	Registries []string
	// Containerd is the daemon that asks.
	Containerd Containerd
	// Root is the directory below which all paths are. Empty means "/".
	Root string
	// Systemctl runs systemctl with arguments. Nil runs the program.
	Systemctl func(ctx context.Context, args ...string) error
}

// Containerd describes the containerd of a node.
type Containerd struct {
	Version string
	// Files are its configuration files, the one it was started with first.
	Files []string
	// ConfigPath are the directories of its setting config_path, or of its default.
	ConfigPath []string
	// Mirrors says that the deprecated registry.mirrors is set.
	Mirrors bool
}

// Report is the result of [Install] and [Uninstall].
type Report struct {
	Registries []string `json:"registries"` // that are wired, or were, sorted
	Files      []File   `json:"files"`      // in the order in which they were looked at
	Next       []string `json:"next"`       // the commands that are left to the caller
	Notes      []string `json:"notes,omitempty"`
}

// File is a file that was looked at.
type File struct {
	Path string `json:"file"`
	Done Done   `json:"status"`
}

// Done says what was done to a file.
type Done string

// What is done to files.
const (
	Created   Done = "created"
	Changed   Done = "changed"
	Unchanged Done = "unchanged"
	Removed   Done = "removed"
	Restored  Done = "restored" // is as it was before the installation, as far as it was not changed since
)

// Install wires the registry into the node. Calling it again changes nothing, adds registries,
// or changes the address or the command.
//
// Nothing is changed if it returns an [*EditError], a [*ConfigPathError], a [*SystemdError] or
// an error about the options. After any other error what was written has been undone; an error
// of undoing names the file.
func Install(ctx context.Context, o Options) (*Report, error) {
	i, err := newInstaller(o)
	if err != nil {
		return nil, err
	}
	units, err := i.planUnits()
	if err != nil {
		return nil, err
	}
	entries, err := i.planEntries()
	if err != nil {
		return nil, err
	}
	if err := i.requireSystemd(); err != nil {
		return nil, err
	}
	if err := i.install(ctx, units, entries); err != nil {
		return nil, err
	}
	return i.report, nil
}

// install makes the changes, the units first, and undoes them after an error.
func (i *installer) install(ctx context.Context, units, entries []change) error {
	changed, err := i.applyAll(units)
	if err == nil {
		err = i.start(ctx, len(changed) > 0)
	}
	if err != nil {
		undo := i.undoUnits(ctx, changed)
		if e := (*SystemdError)(nil); errors.As(err, &e) {
			e.Undone = undo == nil
		}
		return errors.Join(err, undo)
	}
	wired, err := i.applyAll(entries)
	if err != nil {
		return errors.Join(err, i.undo(wired), i.undoUnits(ctx, changed))
	}
	return nil
}

// undo reverses changes, the last first.
func (i *installer) undo(made []change) (err error) {
	for _, c := range slices.Backward(made) {
		if e := i.apply(c.reversed()); e != nil {
			err = errors.Join(err, fmt.Errorf("undo: %w", e))
		}
	}
	return err
}

// undoUnits reverses the changes of units, also when ctx has ended.
func (i *installer) undoUnits(ctx context.Context, made []change) error {
	ctx = context.WithoutCancel(ctx)
	fresh := slices.ContainsFunc(made, func(c change) bool { return c.before == nil })
	if fresh {
		i.stop(ctx) // may fail because it never ran
	}
	err := i.undo(made)
	if len(made) > 0 && !fresh {
		return errors.Join(err, i.start(ctx, true))
	}
	return errors.Join(err, i.reload(ctx))
}

// Uninstall removes the entries and then the units. What of Options it needs are Root,
// Containerd, which may be empty, and Systemctl.
//
// If it returns an error it has done what it could: the units stay as long as an entry does.
func Uninstall(ctx context.Context, o Options) (*Report, error) {
	i := &installer{Options: o, report: newReport()}
	entries, err := i.planRemoval()
	if err != nil {
		return nil, err
	}
	if _, err := i.applyAll(entries); err != nil {
		return i.report, err
	}
	units, err := i.planUnitRemoval()
	if err != nil || len(units) == 0 {
		return i.report, err
	}
	if err := i.stop(ctx); err != nil {
		return i.report, err
	}
	if _, err := i.applyAll(units); err != nil {
		return i.report, err
	}
	return i.report, i.reload(ctx)
}

// installer is one call of [Install] or [Uninstall].
type installer struct {
	Options
	report *Report
}

func newReport() *Report {
	return &Report{Registries: []string{}, Files: []File{}, Next: []string{}} // none is [] in JSON
}

// Loopback reports whether an address has an IP of the loopback interface and a port, as
// [Options] want it.
func Loopback(address string) bool {
	hostname, port, err := net.SplitHostPort(address)
	return err == nil && net.ParseIP(hostname).IsLoopback() && port != "" && port != "0"
}

// newInstaller checks the options.
func newInstaller(o Options) (*installer, error) {
	if !Loopback(o.Listen) {
		return nil, fmt.Errorf("listen on %q: want an address of the loopback interface and a port, such as 127.0.0.1:5480", o.Listen)
	}
	if len(o.Command) == 0 || !filepath.IsAbs(o.Command[0]) {
		return nil, fmt.Errorf("command %q: want an absolute path", o.Command)
	}
	if len(o.Registries) == 0 {
		return nil, errors.New("no registry to wire")
	}
	for _, r := range o.Registries {
		if r == "" || strings.ContainsAny(r, "/\\ \t\r\n\"") || strings.HasPrefix(r, ".") || r == defaultDirectory || r == everyRegistry {
			return nil, fmt.Errorf("%q: not the name of a registry", r)
		}
	}
	i := &installer{Options: o, report: newReport()}
	i.report.Registries = append(i.report.Registries, o.Registries...)
	slices.Sort(i.report.Registries)
	i.report.Registries = slices.Compact(i.report.Registries)
	return i, nil
}

// host returns the address of the registry as an entry has it.
func (i *installer) host() string { return "http://" + i.Listen }

// at returns the path of a file below the root.
func (i *installer) at(path string) string { return filepath.Join("/", i.Root, path) }
