package node

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Move is a name on the node that leads to another image than the one of the bundle.
type Move struct {
	Name string        `json:"name"`
	From digest.Digest `json:"was"`    // the target on the node
	To   digest.Digest `json:"digest"` // the target in the bundle
}

// MovedError says that a load with NoMove would change what names on the node mean. No
// image record was written.
type MovedError struct{ Moves []Move }

// Error lists the names with both digests.
func (e *MovedError) Error() string {
	var b strings.Builder
	for i, m := range e.Moves {
		if i > 0 {
			b.WriteString("; ")
		}
		fmt.Fprintf(&b, "%s is %s on this node, the bundle has %s", m.Name, m.From, m.To)
	}
	return b.String()
}

// moves lists the names that the plan moves.
func (p *plan) moves() []Move {
	var out []Move
	for _, ip := range p.images {
		for _, name := range ip.names {
			i := slices.IndexFunc(ip.records, func(r record) bool { return r.image.Name == name })
			if r := ip.records[i]; r.action == recordMove {
				out = append(out, Move{name, r.was, ip.target.Digest})
			}
		}
	}
	return out
}

// users returns, by moved name, what uses the image that the name has led to until now:
// the pod sandboxes, and the containers that run. Without a CRI plugin, or without an answer
// of it, there is none.
func (n *Node) users(ctx context.Context, moves []Move) map[string][]string {
	if n.criRuntime == nil || len(moves) == 0 {
		return nil
	}
	sandbox, _ := n.sandboxImage(ctx)
	running, err := n.criRuntime.ListContainers(ctx, &cri.ListContainersRequest{
		Filter: &cri.ContainerFilter{State: &cri.ContainerStateValue{State: cri.ContainerState_CONTAINER_RUNNING}},
	})
	if err != nil {
		running = nil
	}
	out := map[string][]string{}
	for _, m := range moves {
		if m.Name == sandbox {
			out[m.Name] = append(out[m.Name], "every new pod, as its sandbox image")
		}
		image, err := n.criImages.ImageStatus(ctx, &cri.ImageStatusRequest{Image: &cri.ImageSpec{Image: m.Name}})
		if err != nil || image.GetImage().GetId() == "" {
			continue
		}
		for _, c := range running.GetContainers() {
			if c.ImageRef == image.Image.Id || c.GetImage().GetImage() == image.Image.Id {
				out[m.Name] = append(out[m.Name], describe(c))
			}
		}
	}
	return out
}

// describe names a container as the kubelet does: by the pod, if there is one.
func describe(c *cri.Container) string {
	name := c.GetMetadata().GetName()
	pod, namespace := c.Labels["io.kubernetes.pod.name"], c.Labels["io.kubernetes.pod.namespace"]
	if pod == "" {
		return fmt.Sprintf("container %s", name)
	}
	return fmt.Sprintf("pod %s/%s (container %s)", namespace, pod, name)
}

// warnMoved adds a warning for each name that now leads to another image.
func (r *Report) warnMoved(users map[string][]string) {
	for _, i := range r.Images {
		if i.Status != Moved {
			continue
		}
		text := fmt.Sprintf("%s led to %s on this node and now leads to %s", i.Name, i.Was, i.Target)
		if by := users[i.Name]; len(by) > 0 {
			text += "; the former image is used by " + strings.Join(by, ", ")
		}
		r.warn(WarnMoved, "%s", text)
	}
}
