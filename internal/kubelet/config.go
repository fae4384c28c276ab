package kubelet

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"reflect"
	"strings"

	"gopkg.in/yaml.v3"

	"stowage/internal/pullrecords"
)

// maxDropIns limits the number of files of a directory of --config-dir.
const maxDropIns = 256

// config is the part of a KubeletConfiguration (kubelet.config.k8s.io/v1beta1) that matters
// here.
type config struct {
	Policy        pullrecords.Policy
	Allowlist     []string
	Gates         map[string]bool
	StaticPods    string
	Address       string
	Port          int
	ReadOnlyPort  int
	Endpoint      string
	ImageEndpoint string
	ImageGCHigh   int
}

// field returns where the value of a field of a KubeletConfiguration goes, nil for a field
// that does not matter.
func (c *config) field(name string) any {
	switch name {
	case "imagePullCredentialsVerificationPolicy":
		return &c.Policy
	case "preloadedImagesVerificationAllowlist":
		return &c.Allowlist
	case "staticPodPath":
		return &c.StaticPods
	case "address":
		return &c.Address
	case "port":
		return &c.Port
	case "readOnlyPort":
		return &c.ReadOnlyPort
	case "containerRuntimeEndpoint":
		return &c.Endpoint
	case "imageServiceEndpoint":
		return &c.ImageEndpoint
	case "imageGCHighThresholdPercent":
		return &c.ImageGCHigh
	}
	return nil
}

// complete sets what is empty to the defaults of the kubelet
// (SetDefaults_KubeletConfiguration in pkg/kubelet/apis/config/v1beta1, v1.35.4).
func (c *config) complete() {
	setDefault(&c.Policy, pullrecords.NeverVerifyPreloadedImages)
	setDefault(&c.Address, "0.0.0.0")
	setDefault(&c.Port, 10250)
	setDefault(&c.Endpoint, "unix:///run/containerd/containerd.sock")
	if !strings.Contains(c.Endpoint, "://") {
		c.Endpoint = "unix://" + c.Endpoint // deprecated, and still read (cri-client's util)
	}
}

// setDefault sets an empty value.
func setDefault[T comparable](to *T, value T) {
	var zero T
	if *to == zero {
		*to = value
	}
}

// gate sets a feature gate.
func (c *config) gate(name string, on bool) {
	c.Gates = maps.Clone(c.Gates) // the map of base is shared
	if c.Gates == nil {
		c.Gates = map[string]bool{}
	}
	c.Gates[name] = on
}

// apply merges a KubeletConfiguration, YAML or JSON, over c: a field replaces the value, a
// list the whole list, the entries of featureGates those of the same name, and null sets a
// field to its value in base. For the file of --config, over the defaults, this is decoding;
// for those of --config-dir it is the merge patch of RFC 7386 that the kubelet applies
// (mergeKubeletConfigurations in cmd/kubelet/app/server.go, v1.35.4).
func (c *config) apply(text []byte, base config) error {
	if len(text) == 0 {
		return errors.New("empty") // the kubelet does not start with it
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return yamlError(err)
	}
	if doc.Kind != yaml.DocumentNode || doc.Content[0].Kind != yaml.MappingNode {
		return errors.New("line 1: not a KubeletConfiguration")
	}
	fields := doc.Content[0]
	kind, version := scalar(fields, "kind"), scalar(fields, "apiVersion")
	if kind != "KubeletConfiguration" || version != "kubelet.config.k8s.io/v1beta1" {
		return fmt.Errorf("line %d: apiVersion %q, kind %q instead of kubelet.config.k8s.io/v1beta1, KubeletConfiguration",
			fields.Line, version, kind)
	}
	return pairs(fields, func(name string, value *yaml.Node) error { return c.set(name, value, base) })
}

// pairs calls f with the entries of a mapping. A key may appear twice: the kubelet then
// decodes its file again, leniently, and the last one counts (DecodeKubeletConfiguration in
// pkg/kubelet/kubeletconfig/util/codec, v1.35.4).
func pairs(mapping *yaml.Node, f func(name string, value *yaml.Node) error) error {
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		if err := f(mapping.Content[i].Value, mapping.Content[i+1]); err != nil {
			return err
		}
	}
	return nil
}

// scalar returns the value of a field of a mapping, "" if it has none.
func scalar(mapping *yaml.Node, name string) (value string) {
	_ = pairs(mapping, func(key string, node *yaml.Node) error {
		if key == name {
			value = node.Value
		}
		return nil
	})
	return value
}

// set sets one field.
func (c *config) set(name string, value *yaml.Node, base config) error {
	if name == "featureGates" {
		return c.mergeGates(value, base)
	}
	field := c.field(name)
	if field == nil {
		return nil
	}
	to := reflect.ValueOf(field).Elem()
	if isNull(value) {
		to.Set(reflect.ValueOf(base.field(name)).Elem())
		return nil
	}
	fresh := reflect.New(to.Type())
	if err := value.Decode(fresh.Interface()); err != nil {
		return fmt.Errorf("%s: %w", name, yamlError(err))
	}
	to.Set(fresh.Elem())
	return nil
}

// mergeGates merges the field featureGates.
func (c *config) mergeGates(value *yaml.Node, base config) error {
	if isNull(value) {
		c.Gates = base.Gates
		return nil
	}
	if value.Kind != yaml.MappingNode {
		return fmt.Errorf("featureGates: line %d: not a mapping", value.Line)
	}
	return pairs(value, func(name string, value *yaml.Node) error {
		if isNull(value) {
			c.Gates = maps.Clone(c.Gates)
			delete(c.Gates, name)
			return nil
		}
		var on bool
		if err := value.Decode(&on); err != nil {
			return fmt.Errorf("featureGates: %w", yamlError(err))
		}
		c.gate(name, on)
		return nil
	})
}

// isNull reports whether a value is null.
func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

// yamlError returns the first error of a YAML document, which begins with its position.
func yamlError(err error) error {
	var types *yaml.TypeError
	if errors.As(err, &types) {
		return errors.New(types.Errors[0])
	}
	return errors.New(strings.TrimPrefix(err.Error(), "yaml: "))
}

// read applies the files of --config and --config-dir, below r, to c, and returns them. A
// relative path is one of dir. A static pod path is relative to the file of --config, in a
// drop-in to dir.
func (c *config) read(r root, dir string, f flags) (files []string, err error) {
	base := *c
	if f.config != "" {
		name := absolute(dir, f.config)
		if err := c.readFile(r, name, base); err != nil {
			return nil, err
		}
		files = append(files, name)
		if c.StaticPods != "" {
			c.StaticPods = absolute(filepath.Dir(name), c.StaticPods)
		}
	}
	if f.configDir == "" {
		return files, nil
	}
	more, err := dropIns(r, absolute(dir, f.configDir))
	if err != nil {
		return nil, err
	}
	for _, name := range more {
		if err := c.readFile(r, name, base); err != nil {
			return nil, err
		}
	}
	return append(files, more...), nil
}

// readFile applies one file.
func (c *config) readFile(r root, name string, base config) error {
	text, err := r.read(name)
	if err == nil {
		err = c.apply(text, base)
	}
	if err != nil {
		return &ConfigError{File: r.path(name), Err: err}
	}
	return nil
}

// dropIns returns the files of a directory of --config-dir, in the order in which the
// kubelet merges them: *.conf, sorted by path, also those of its subdirectories.
func dropIns(r root, dir string) ([]string, error) {
	var files []string
	top := r.path(dir)
	err := filepath.WalkDir(top, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return withoutPath(err)
		}
		if !e.IsDir() && filepath.Ext(path) == ".conf" {
			files = append(files, filepath.Join(dir, strings.TrimPrefix(path, top)))
		}
		if len(files) > maxDropIns {
			return fmt.Errorf("more than %d files", maxDropIns)
		}
		return nil
	})
	if err != nil {
		return nil, &ConfigError{File: top, Err: err}
	}
	return files, nil
}

// absolute returns name, below dir if it is relative.
func absolute(dir, name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join("/", dir, name)
}
