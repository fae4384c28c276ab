//go:build linux

package e2e

import (
	"fmt"
	"io"
	"os/exec"
	"syscall"
)

// janitorScript cleans up after a machine, whether its owner ended in order or was killed:
// both end the script's input, which tells the pid namespace and the folders. The kernel
// ends the machine's processes and takes its mounts and loop devices away; what stays are
// the control groups of containers that had no time to be removed, and the folders.
const janitorScript = `
ns=none dirs= containers=
while read -r key value; do
	case "$key" in
	ns) ns=$value ;;
	dir) dirs="$dirs $value" ;;
	container) containers="$containers $value" ;;
	esac
done
while readlink /proc/[0-9]*/ns/pid 2>/dev/null | grep -qxF "$ns"; do sleep 0.05; done
status=0
for dir in $dirs; do
	for container in "$dir"/state/io.containerd.runtime.v2.task/k8s.io/*; do
		containers="$containers ${container##*/}"
	done
	rm -rf "$dir" || status=1
done
for container in $containers; do
	for group in /sys/fs/cgroup/k8s.io/$container /sys/fs/cgroup/*/k8s.io/$container; do
		[ ! -d "$group" ] || rmdir "$group" || status=1
	done
done
exit $status
`

// janitor is the running script.
type janitor struct {
	cmd   *exec.Cmd
	input io.WriteCloser
}

// hireJanitor starts the script. Its input ends with this process, however that ends.
func hireJanitor() (*janitor, error) {
	cmd := exec.Command("/bin/sh", "-c", janitorScript)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // out of reach of Ctrl-C
	input, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("start the janitor: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the janitor: %w", err)
	}
	return &janitor{cmd, input}, nil
}

// tell gives the janitor one more thing to know.
func (j *janitor) tell(key, value string) error {
	_, err := fmt.Fprintln(j.input, key, value)
	return err
}

// finish lets the janitor work and waits for its end.
func (j *janitor) finish() error {
	j.input.Close()
	if err := j.cmd.Wait(); err != nil {
		return fmt.Errorf("janitor: %w", err)
	}
	return nil
}
