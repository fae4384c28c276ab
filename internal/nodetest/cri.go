//go:build linux

package nodetest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// RunContainer does what a kubelet does for a pod with one container whose image is on the
// node: ImageStatus, sandbox, container, start. It waits for the program to exit and
// returns what it printed on both streams; an exit status other than zero is an error. The
// pod uses the network of the machine and is removed before RunContainer returns. If args
// are given they replace the command of the image.
func (n *Node) RunContainer(ctx context.Context, ref string, args ...string) (string, error) {
	status, err := n.Images().ImageStatus(ctx, &cri.ImageStatusRequest{Image: &cri.ImageSpec{Image: ref}})
	if err != nil {
		return "", fmt.Errorf("image status %s: %w", ref, err)
	}
	if status.Image == nil {
		return "", fmt.Errorf("image status %s: not found by the CRI plugin", ref)
	}
	sandbox := n.sandboxConfig()
	pod, err := n.Runtime().RunPodSandbox(ctx, &cri.RunPodSandboxRequest{Config: sandbox})
	if err != nil {
		return "", fmt.Errorf("run a pod sandbox: %w", err)
	}
	defer n.removePod(context.WithoutCancel(ctx), pod.PodSandboxId)
	container, err := n.Runtime().CreateContainer(ctx, &cri.CreateContainerRequest{
		PodSandboxId: pod.PodSandboxId, SandboxConfig: sandbox,
		Config: &cri.ContainerConfig{
			Metadata: &cri.ContainerMetadata{Name: "c"},
			Image:    &cri.ImageSpec{Image: status.Image.Id, UserSpecifiedImage: ref},
			Command:  args,
			LogPath:  "c.log",
		},
	})
	if err != nil {
		return "", fmt.Errorf("create a container of %s: %w", ref, err)
	}
	if _, err := n.Runtime().StartContainer(ctx, &cri.StartContainerRequest{ContainerId: container.ContainerId}); err != nil {
		return "", fmt.Errorf("start a container of %s: %w", ref, err)
	}
	code, err := n.waitContainer(ctx, container.ContainerId)
	if err != nil {
		return "", err
	}
	out, err := readLog(filepath.Join(sandbox.LogDirectory, "c.log"))
	if err == nil && code != 0 {
		err = fmt.Errorf("container of %s: exit status %d", ref, code)
	}
	return out, err
}

// sandboxConfig returns the config of a new pod in the network of the machine.
func (n *Node) sandboxConfig() *cri.PodSandboxConfig {
	uid := fmt.Sprint(time.Now().UnixNano())
	return &cri.PodSandboxConfig{
		Metadata:     &cri.PodSandboxMetadata{Name: "p" + uid, Uid: uid, Namespace: "default"},
		LogDirectory: filepath.Join(n.dir, "pods", uid),
		Linux: &cri.LinuxPodSandboxConfig{SecurityContext: &cri.LinuxSandboxSecurityContext{
			NamespaceOptions: &cri.NamespaceOption{Network: cri.NamespaceMode_NODE},
		}},
	}
}

// waitContainer waits until the container has exited and returns its exit status.
func (n *Node) waitContainer(ctx context.Context, id string) (int32, error) {
	for {
		st, err := n.Runtime().ContainerStatus(ctx, &cri.ContainerStatusRequest{ContainerId: id})
		if err != nil {
			return 0, fmt.Errorf("container status: %w", err)
		}
		if st.Status.State == cri.ContainerState_CONTAINER_EXITED {
			return st.Status.ExitCode, nil
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return 0, fmt.Errorf("wait for a container: %w", ctx.Err())
		}
	}
}

// readLog returns the text of a log in the format of the CRI: each line is "time stream tag
// text", where the tag P marks an incomplete line.
func readLog(path string) (string, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("read a container's log: %w", err)
	}
	var out strings.Builder
	for line := range strings.Lines(string(b)) {
		parts := strings.SplitN(line, " ", 4)
		if len(parts) < 4 {
			return "", fmt.Errorf("read %s: %q not a line of a CRI log", path, line)
		}
		text := parts[3]
		if parts[2] == "P" {
			text = strings.TrimSuffix(text, "\n")
		}
		out.WriteString(text)
	}
	return out.String(), nil
}

// removePods removes every pod of the node.
func (n *Node) removePods() error {
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	pods, err := n.Runtime().ListPodSandbox(ctx, &cri.ListPodSandboxRequest{})
	if err != nil {
		return fmt.Errorf("list the pods: %w", err)
	}
	var errs []error
	for _, p := range pods.Items {
		errs = append(errs, n.removePod(ctx, p.Id))
	}
	return errors.Join(errs...)
}

// removePod stops and removes one pod.
func (n *Node) removePod(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(ctx, stopTimeout)
	defer cancel()
	_, err := n.Runtime().StopPodSandbox(ctx, &cri.StopPodSandboxRequest{PodSandboxId: id})
	_, err2 := n.Runtime().RemovePodSandbox(ctx, &cri.RemovePodSandboxRequest{PodSandboxId: id})
	if err := errors.Join(err, err2); err != nil {
		return fmt.Errorf("remove pod %s: %w", id, err)
	}
	return nil
}
