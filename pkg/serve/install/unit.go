package install

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// The units of systemd. The socket holds the port from early boot on; a connection starts the
// service, also after it has failed.
const (
	unitDir     = "/etc/systemd/system"
	socketUnit  = "stowage-load-serve.socket"
	serviceUnit = "stowage-load-serve.service"
)

// unitMark is the first line of a unit that this package wrote.
const unitMark = "# Written by load serve --install; load serve --uninstall removes it.\n"

// socketText is the socket unit. It never stops to listen when the service fails, as the port
// would then be free for another process, and it drops the connections that wait for a service
// that has failed, so that containerd goes on to the next host.
const socketText = unitMark + `
[Unit]
Description=Read-only image registry of this node (load serve)

[Socket]
ListenStream=%s
NoDelay=yes
FlushPending=yes
TriggerLimitIntervalSec=0

[Install]
WantedBy=sockets.target
`

// serviceText is the service unit. It gets the socket from systemd and needs no other way to
// a network; it reads the content store and talks to containerd's socket as root.
const serviceText = unitMark + `
[Unit]
Description=Read-only image registry of this node (load serve)
Requires=stowage-load-serve.socket
After=stowage-load-serve.socket
StartLimitIntervalSec=0

[Service]
ExecStart=%s
CapabilityBoundingSet=CAP_DAC_READ_SEARCH
LockPersonality=yes
MemoryDenyWriteExecute=yes
MemoryMax=256M
NoNewPrivileges=yes
PrivateDevices=yes
PrivateNetwork=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHome=read-only
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectSystem=strict
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
TasksMax=128
`

// planUnits returns the changes of the units, the service first.
func (i *installer) planUnits() ([]change, error) {
	var quoted []string
	for _, arg := range i.Command {
		q, err := quoteUnit(arg)
		if err != nil {
			return nil, err
		}
		quoted = append(quoted, q)
	}
	texts := []struct{ name, text string }{
		{serviceUnit, fmt.Sprintf(serviceText, strings.Join(quoted, " "))},
		{socketUnit, fmt.Sprintf(socketText, i.Listen)},
	}
	var changes []change
	for _, t := range texts {
		c := change{path: filepath.Join(unitDir, t.name), after: []byte(t.text), done: Changed}
		raw, err := i.read(c.path)
		if err != nil {
			return nil, err
		}
		if raw == nil {
			c.done = Created
		} else if !bytes.HasPrefix(raw, []byte(unitMark)) {
			return nil, i.editError(c.path, errForeignUnit, "")
		}
		c.before = raw
		changes = append(changes, c)
	}
	return changes, nil
}

// errForeignUnit reports a unit of our name that this package did not write.
var errForeignUnit = errors.New("was not written by load serve --install")

// planUnitRemoval returns the changes that remove the units, the socket first.
func (i *installer) planUnitRemoval() ([]change, error) {
	var changes []change
	for _, name := range []string{socketUnit, serviceUnit} {
		path := filepath.Join(unitDir, name)
		raw, err := i.read(path)
		if err != nil {
			return nil, err
		}
		if raw == nil {
			continue
		}
		if !bytes.HasPrefix(raw, []byte(unitMark)) {
			i.note("%s %s and stays", path, errForeignUnit)
			continue
		}
		changes = append(changes, change{path: path, before: raw, done: Removed})
	}
	return changes, nil
}

// quoteUnit quotes an argument of a command for a unit (systemd.service(5), "Command lines").
func quoteUnit(arg string) (string, error) {
	if strings.ContainsFunc(arg, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return "", fmt.Errorf("argument %q: control character", arg)
	}
	arg = strings.NewReplacer("%", "%%", "$", "$$").Replace(arg)
	if arg != "" && !strings.ContainsAny(arg, " '\"\\;#") {
		return arg, nil
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(arg) + `"`, nil
}

// SystemdError reports that systemd is missing or that systemctl failed.
type SystemdError struct {
	Args   []string // of systemctl; nil if it is missing
	Undone bool     // what was written before has been undone
	Err    error
}

func (e *SystemdError) Error() string {
	if e.Args == nil {
		return "systemctl: " + e.Err.Error()
	}
	return fmt.Sprintf("systemctl %s: %v", strings.Join(e.Args, " "), e.Err)
}

// Unwrap returns the reason.
func (e *SystemdError) Unwrap() error { return e.Err }

// requireSystemd returns a [*SystemdError] if there is no systemctl.
func (i *installer) requireSystemd() error {
	if i.Systemctl != nil {
		return nil
	}
	if _, err := exec.LookPath("systemctl"); err != nil {
		return &SystemdError{Err: err}
	}
	return nil
}

// booted reports whether systemd runs, as sd_booted(3).
func (i *installer) booted() bool {
	_, err := os.Lstat(i.at("/run/systemd/system"))
	return err == nil
}

// start enables the socket and, if systemd runs, starts it. If a unit has changed, it starts
// what runs again.
func (i *installer) start(ctx context.Context, changed bool) error {
	if !i.booted() { // in a chroot: systemctl makes the links for the next boot
		i.report.Next = append(i.report.Next, "systemctl start "+socketUnit)
		return i.systemctl(ctx, "enable", socketUnit)
	}
	steps := [][]string{{"daemon-reload"}, {"enable", socketUnit}, {"start", socketUnit}}
	if changed {
		steps = [][]string{{"daemon-reload"}, {"enable", socketUnit}, {"stop", serviceUnit}, {"restart", socketUnit}}
	}
	for _, args := range steps {
		if err := i.systemctl(ctx, args...); err != nil {
			return err
		}
	}
	return nil
}

// stop stops the units and disables the socket.
func (i *installer) stop(ctx context.Context) error {
	if !i.booted() {
		return i.systemctl(ctx, "disable", socketUnit)
	}
	err := i.systemctl(ctx, "disable", "--now", socketUnit, serviceUnit)
	// A unit that has failed stays in the list of units otherwise. Of others it is an error.
	i.systemctl(ctx, "reset-failed", socketUnit, serviceUnit)
	return err
}

// reload makes systemd read its units again.
func (i *installer) reload(ctx context.Context) error {
	if !i.booted() {
		return nil
	}
	return i.systemctl(ctx, "daemon-reload")
}

// systemctl runs systemctl.
func (i *installer) systemctl(ctx context.Context, args ...string) error {
	run := i.Systemctl
	if run == nil {
		run = func(ctx context.Context, args ...string) error {
			out, err := exec.CommandContext(ctx, "systemctl", args...).CombinedOutput()
			if text := strings.TrimSpace(string(out)); err != nil && text != "" {
				err = fmt.Errorf("%w: %q", err, text)
			}
			return err
		}
	}
	if err := run(ctx, args...); err != nil {
		return &SystemdError{Args: args, Err: err}
	}
	return nil
}
