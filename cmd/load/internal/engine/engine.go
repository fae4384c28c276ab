// Package engine runs this program in the nodes of clusters whose nodes are containers of
// docker or podman: kind, k3d, and minikube with its docker driver.
//
// It talks to the engine through its command line, as these cluster tools do. What it runs in
// a node are fixed scripts; names and arguments are arguments of theirs, never text of them.
package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"syscall"
)

// A Tool makes clusters whose nodes are containers.
type Tool struct {
	Name    string // "kind"
	Cluster string // name of a cluster that was made without one

	labels []string // of the nodes, the first one with the name of the cluster as its value
	role   string   // label with the role of a container of the cluster
	roles  []string // those of nodes; nil: all
}

// Tools are the tools whose clusters are found by the name of the cluster.
var Tools = []Tool{
	{Name: "kind", Cluster: "kind", labels: []string{"io.x-k8s.kind.cluster"}, role: "io.x-k8s.kind.role", roles: []string{"control-plane", "worker"}},
	{Name: "k3d", Cluster: "k3s-default", labels: []string{"k3d.cluster", "app=k3d"}, role: "k3d.role", roles: []string{"server", "agent"}},
	{Name: "minikube", Cluster: "minikube", labels: []string{"name.minikube.sigs.k8s.io", "role.minikube.sigs.k8s.io"}, role: "role.minikube.sigs.k8s.io"},
}

// programs are the engines, in the order in which they are asked.
var programs = []string{"docker", "podman"}

// name is the grammar of names of containers and clusters: no flag, no path.
var name = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]*$`)

// ValidName reports whether s can be the name of a container or of a cluster.
func ValidName(s string) bool { return name.MatchString(s) }

// NotFoundError reports that no engine has the nodes.
type NotFoundError struct {
	What  string  // "container a", `nodes of the kind cluster "a"`
	Tried []error // one for each engine: why it has none
}

func (e *NotFoundError) Error() string {
	var why []string
	for _, err := range e.Tried {
		why = append(why, err.Error())
	}
	return fmt.Sprintf("no %s found (%s)", e.What, strings.Join(why, "; "))
}

// A Node is a container that is a node.
type Node struct {
	Name    string
	Running bool
	Engine  string // the program: "docker" or "podman"
	role    string
}

// Nodes returns the nodes of a cluster, sorted by name. The error is a [*NotFoundError] when
// there are none, or that of ctx.
func (t Tool) Nodes(ctx context.Context, cluster string) ([]*Node, error) {
	args := []string{"ps", "--all", "--format", "{{.Names}}", "--filter", "label=" + t.labels[0] + "=" + cluster}
	for _, l := range t.labels[1:] {
		args = append(args, "--filter", "label="+l)
	}
	return find(ctx, fmt.Sprintf("nodes of the %s cluster %q", t.Name, cluster), func(program string) ([]*Node, error) {
		out, err := output(ctx, program, args...)
		if err != nil {
			return nil, err
		}
		names := strings.Fields(out)
		if i := slices.IndexFunc(names, func(s string) bool { return !ValidName(s) }); i >= 0 {
			return nil, fmt.Errorf("%s: unexpected name of a container: %q", program, names[i])
		}
		var nodes []*Node
		for _, name := range slices.Sorted(slices.Values(names)) {
			n, err := inspect(ctx, program, name, t.role)
			if err != nil {
				return nil, err
			}
			if t.roles == nil || slices.Contains(t.roles, n.role) {
				nodes = append(nodes, n)
			}
		}
		return nodes, nil
	})
}

// Container returns the node in the container of the given name, which must be a [ValidName].
// The errors are those of [Tool.Nodes].
func Container(ctx context.Context, name string) (*Node, error) {
	nodes, err := find(ctx, "container "+name, func(program string) ([]*Node, error) {
		n, err := inspect(ctx, program, name, "role")
		return []*Node{n}, err
	})
	if err != nil {
		return nil, err
	}
	return nodes[0], nil
}

// find asks one engine after the other until one has nodes.
func find(ctx context.Context, what string, ask func(program string) ([]*Node, error)) ([]*Node, error) {
	e := &NotFoundError{What: what}
	for _, program := range programs {
		if _, err := exec.LookPath(program); err != nil {
			e.Tried = append(e.Tried, fmt.Errorf("%s: not installed", program))
			continue
		}
		nodes, err := ask(program)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err == nil && len(nodes) > 0 {
			return nodes, nil
		}
		if err == nil {
			err = fmt.Errorf("%s: none", program)
		}
		e.Tried = append(e.Tried, err)
	}
	return nil, e
}

// inspect returns a container and the value of a label of it.
func inspect(ctx context.Context, program, name, label string) (*Node, error) {
	format := fmt.Sprintf("{{.State.Running}} {{index .Config.Labels %q}}", label)
	out, err := output(ctx, program, "container", "inspect", "--format", format, name)
	if err != nil {
		return nil, err
	}
	running, role, _ := strings.Cut(strings.TrimSpace(out), " ")
	return &Node{Name: name, Running: running == "true", Engine: program, role: role}, nil
}

// output runs an engine and returns its output. The error has the first line of its messages.
func output(ctx context.Context, program string, args ...string) (string, error) {
	cmd := command(ctx, program, args...)
	var out, messages bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &messages
	if err := cmd.Run(); err != nil {
		return "", commandError(program, err, messages.String())
	}
	return out.String(), nil
}

// command returns an engine in a process group of its own: Ctrl-C on the terminal is for this
// program, which ends what runs in the node first.
func command(ctx context.Context, program string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd
}

// commandError returns the error of an engine with the first line of its messages.
func commandError(program string, err error, messages string) error {
	first, _, _ := strings.Cut(strings.TrimSpace(messages), "\n")
	if first == "" {
		return fmt.Errorf("%s: %w", program, err)
	}
	return fmt.Errorf("%s: %w", program, errors.New(first))
}
