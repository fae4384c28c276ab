package kubelet

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// flags are the flags of a kubelet that matter here. Those that are deprecated in favour of
// its configuration file are settings, applied over it.
type flags struct {
	root, config, configDir, nodeName, kubeconfig string

	settings []func(*config) error
}

// parseFlags reads the arguments of a kubelet, in which a later flag overrides an earlier
// one (options.AddFlags and AddKubeletConfigFlags in cmd/kubelet/app/options, v1.35.4). The
// kubelet's --feature-gates add up.
func parseFlags(args []string) flags {
	var f flags
	for name, value := range eachFlag(args) {
		switch name {
		case "root-dir":
			f.root = value
		case "config":
			f.config = value
		case "config-dir":
			f.configDir = value
		case "hostname-override":
			f.nodeName = value
		case "kubeconfig":
			f.kubeconfig = value
		default:
			if set, ok := settingFlags[name]; ok {
				f.settings = append(f.settings, func(c *config) error {
					if err := set(c, value); err != nil {
						return fmt.Errorf("--%s %q: %w", name, value, err)
					}
					return nil
				})
			}
		}
	}
	return f
}

// flagNames are the flags that parseFlags knows, all of which have a value.
var flagNames = []string{"root-dir", "config", "config-dir", "hostname-override", "kubeconfig"}

// settingFlags are the flags that set a field of the configuration.
var settingFlags = map[string]func(*config, string) error{
	"pod-manifest-path":          func(c *config, v string) error { c.StaticPods = v; return nil },
	"address":                    func(c *config, v string) error { c.Address = v; return nil },
	"container-runtime-endpoint": func(c *config, v string) error { c.Endpoint = v; return nil },
	"image-service-endpoint":     func(c *config, v string) error { c.ImageEndpoint = v; return nil },
	"port":                       func(c *config, v string) error { return parseInt(&c.Port, v) },
	"read-only-port":             func(c *config, v string) error { return parseInt(&c.ReadOnlyPort, v) },
	"image-gc-high-threshold":    func(c *config, v string) error { return parseInt(&c.ImageGCHigh, v) },
	"feature-gates":              func(c *config, v string) error { return c.setGates(v) },
}

// eachFlag iterates over the flags of args that parseFlags knows, as pflag reads them:
// "--name=value" or "--name value", with "_" for "-" (WordSepNormalizeFunc of
// k8s.io/component-base/cli/flag), up to "--".
func eachFlag(args []string) func(yield func(name, value string) bool) {
	return func(yield func(name, value string) bool) {
		for i := 0; i < len(args) && args[i] != "--"; i++ {
			name, isFlag := strings.CutPrefix(args[i], "--")
			if !isFlag {
				continue
			}
			name, value, joined := strings.Cut(name, "=")
			name = strings.ReplaceAll(name, "_", "-")
			if !slices.Contains(flagNames, name) && settingFlags[name] == nil {
				continue
			}
			if !joined {
				if i++; i == len(args) {
					return
				}
				value = args[i]
			}
			if !yield(name, value) {
				return
			}
		}
	}
}

func parseInt(to *int, value string) error {
	n, err := strconv.ParseInt(value, 0, 32)
	if err != nil {
		return err
	}
	*to = int(n)
	return nil
}

// setGates adds the pairs of a value of --feature-gates (MapStringBool of
// k8s.io/component-base/cli/flag).
func (c *config) setGates(value string) error {
	for pair := range strings.SplitSeq(value, ",") {
		if pair == "" {
			continue
		}
		name, text, _ := strings.Cut(pair, "=")
		on, err := strconv.ParseBool(strings.TrimSpace(text))
		if err != nil {
			return err
		}
		c.gate(strings.TrimSpace(name), on)
	}
	return nil
}
