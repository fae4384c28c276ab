package kubelet

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// options are the flags of k3s or RKE2 by name, the last value last. Both have the same, on
// the command line and in a file.
type options map[string][]string

// last returns the value of a flag with one value.
func (o options) last(name, byDefault string) string {
	if v := o[name]; len(v) > 0 {
		return v[len(v)-1]
	}
	return byDefault
}

// rancher returns how k3s or RKE2, which name is, starts its kubelet: from its command line,
// environment and configuration file (pkg/configfilearg and pkg/daemons/agent of k3s).
func rancher(r root, name string, args []string, env map[string]string) (start, error) {
	cli := cliOptions(args)
	file := cli.last("config", "/etc/rancher/"+name+"/config.yaml")
	prefix := strings.ToUpper(name) + "_"
	if v := env[prefix+"CONFIG_FILE"]; v != "" {
		file = v
	}
	o, files, err := readOptions(r, file)
	if err != nil {
		return start{}, err
	}
	for flag, values := range cli {
		o[flag] = append(o[flag], values...)
	}
	data := o.last("data-dir", "/var/lib/rancher/"+name)
	if v := env[prefix+"DATA_DIR"]; v != "" && o["data-dir"] == nil {
		data = v
	}
	agent := filepath.Join(data, "agent")
	s := start{
		root: r, dir: "/", files: files, off: o.last("disable-agent", "false") == "true",
		base: config{
			Endpoint:   "unix:///run/k3s/containerd/containerd.sock",
			StaticPods: filepath.Join(agent, "pod-manifests"),
		},
		args:     []string{"--read-only-port=0", "--kubeconfig=" + filepath.Join(agent, "kubelet.kubeconfig")},
		programs: []string{filepath.Join(data, "bin", "kubelet"), filepath.Join(data, "data", "current", "bin", "k3s"), "/usr/local/bin/" + name},
	}
	if v := o.last("container-runtime-endpoint", ""); v != "" {
		s.args = append(s.args, "--container-runtime-endpoint="+v)
	}
	if o.last("rootless", "false") == "true" {
		s.args = append(s.args, "--root-dir="+filepath.Join(agent, "kubelet"))
	}
	if v := o.last("node-name", env[prefix+"NODE_NAME"]); v != "" {
		s.args = append(s.args, "--hostname-override="+v)
	}
	s.args = append(s.args, kubeletArgs(r, agent, o["kubelet-arg"])...)
	return s, nil
}

// kubeletArgs returns the arguments of the kubelet from the values of kubelet-arg. Since
// 1.32 there is a directory for --config-dir, to which k3s copies what --config and
// --config-dir name.
func kubeletArgs(r root, agent string, values []string) []string {
	dropIns := filepath.Join(agent, "etc", "kubelet.conf.d")
	managed := r.exists(dropIns)
	var args []string
	if managed {
		args = append(args, "--config-dir="+dropIns)
	}
	for _, v := range values {
		name, _, _ := strings.Cut(strings.TrimLeft(v, "-"), "=")
		if managed && (name == "config" || name == "config-dir") {
			continue
		}
		args = append(args, "--"+strings.TrimLeft(v, "-"))
	}
	return args
}

// cliOptions returns the flags of a command line.
func cliOptions(args []string) options {
	o := options{}
	for i, a := range args {
		if !strings.HasPrefix(a, "-") {
			continue
		}
		name, value, joined := strings.Cut(strings.TrimLeft(a, "-"), "=")
		if !joined {
			value = "true"
			if i+1 < len(args) && !strings.HasPrefix(args[i+1], "-") {
				value = args[i+1]
			}
		}
		name = canonical(name)
		o[name] = append(o[name], value)
	}
	return o
}

// canonical returns the long name of a flag.
func canonical(name string) string {
	switch name {
	case "d":
		return "data-dir"
	case "c":
		return "config"
	}
	return name
}

// readOptions reads the configuration file of k3s or RKE2 and those of its directory .d, of
// which each key replaces an earlier value; "key+" appends. It returns these files too.
func readOptions(r root, file string) (o options, files []string, err error) {
	o, files = options{}, []string{file}
	entries, _ := os.ReadDir(r.path(file + ".d"))
	for _, e := range entries {
		if ext := strings.ToLower(filepath.Ext(e.Name())); !e.IsDir() && (ext == ".yaml" || ext == ".yml") {
			files = append(files, filepath.Join(file+".d", e.Name()))
		}
	}
	if len(files) > maxDropIns {
		return nil, nil, &ConfigError{File: r.path(file + ".d"), Err: fmt.Errorf("more than %d files", maxDropIns)}
	}
	for _, name := range files {
		text, err := r.read(name)
		if os.IsNotExist(err) {
			continue
		}
		if err == nil {
			err = o.merge(text)
		}
		if err != nil {
			return nil, nil, &ConfigError{File: r.path(name), Err: err}
		}
	}
	return o, files, nil
}

// merge applies one file.
func (o options) merge(text []byte) error {
	var values map[string]yaml.Node
	if err := yaml.Unmarshal(text, &values); err != nil {
		return yamlError(err)
	}
	for _, key := range slices.Sorted(maps.Keys(values)) {
		name, add := strings.CutSuffix(key, "+")
		node := values[key]
		items := []*yaml.Node{&node}
		if node.Kind == yaml.SequenceNode {
			items = node.Content
		}
		var list []string
		for _, item := range items {
			list = append(list, item.Value)
		}
		if name = canonical(name); add {
			list = append(slices.Clone(o[name]), list...)
		}
		o[name] = list
	}
	return nil
}
