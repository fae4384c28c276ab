//go:build linux

package nodetest

import (
	"fmt"
	"io"
	"os/exec"
	"syscall"
)

// janitorScript waits for the end of its input. A line before the end says that
// Stop has done everything; an end without one says that the owner of the node
// was killed, and then the script does it: containerd and its shims with the
// containers below them, the mounts, the folder. $1 is the folder of the node,
// which no process of anybody else has in the arguments looked for.
const janitorScript = `
read -r word && exit 0
dir=$1
ours() {
	for p in /proc/[0-9]*; do
		args=$(tr '\0' ' ' <$p/cmdline 2>/dev/null) || continue
		case "$args" in
		*"containerd -c $dir/config.toml "*|*" -address $dir/c.sock "*) echo ${p#/proc/} ;;
		esac
	done
}
for pid in $(ours); do
	kill -9 $pid $(cat /proc/$pid/task/*/children 2>/dev/null) 2>/dev/null
done
while [ -n "$(ours)" ]; do sleep 0.1; done
while read -r _ _ _ _ point _; do
	case "$point" in "$dir"/*) points="$point $points" ;; esac
done </proc/self/mountinfo
for point in $points; do umount -l "$point"; done
rm -rf "$dir"
`

// janitor cleans up after a node whose owner was killed.
type janitor struct {
	cmd   *exec.Cmd
	input io.WriteCloser
}

// hireJanitor starts the janitor of a node's folder. Its input ends with this
// process, however that ends.
func hireJanitor(dir string) (*janitor, error) {
	cmd := exec.Command("/bin/sh", "-c", janitorScript, "janitor", dir)
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

// dismiss ends the janitor: there is nothing left to do, or there is.
func (j *janitor) dismiss(clean bool) error {
	if clean {
		io.WriteString(j.input, "clean\n")
	}
	j.input.Close()
	if err := j.cmd.Wait(); err != nil {
		return fmt.Errorf("janitor: %w", err)
	}
	return nil
}
