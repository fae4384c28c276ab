//go:build linux

package e2e

// janitorScript cleans up after a machine, whether its owner ended normally or was killed: in
// both cases the script's input ends, which names the pid namespace and the directories. The
// kernel ends the processes of the machine and removes its mounts and loop devices; what
// remains are the control groups of containers that had no time to be removed, and the
// directories.
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
