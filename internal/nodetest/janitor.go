//go:build linux

package nodetest

import (
	"fmt"
	"io"
	"os/exec"
	"syscall"
)

// janitorScript waits for the end of its input. A line before the end means that Stop has
// removed everything; an end without one means that the owner of the node was killed. The
// script then kills containerd and its shims with their containers, and removes the mounts
// and the directory. $1 is the directory of the node; only its own processes have it in the
// arguments that the script searches.
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

// Janitor is a shell script that outlives the process that started it. It reads its
// standard input, which ends when that process exits, even after kill -9, and then cleans
// up.
type Janitor struct {
	cmd   *exec.Cmd
	input io.WriteCloser
}

// StartJanitor starts a script with its arguments, $1 and so on.
func StartJanitor(script string, args ...string) (*Janitor, error) {
	cmd := exec.Command("/bin/sh", append([]string{"-c", script, "janitor"}, args...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C must not reach it
	input, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("start the janitor: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the janitor: %w", err)
	}
	return &Janitor{cmd, input}, nil
}

// Send writes a line to the script's input.
func (j *Janitor) Send(line string) error {
	_, err := io.WriteString(j.input, line+"\n")
	return err
}

// Finish ends the script's input and waits for the script.
func (j *Janitor) Finish() error {
	j.input.Close()
	if err := j.cmd.Wait(); err != nil {
		return fmt.Errorf("janitor: %w", err)
	}
	return nil
}
