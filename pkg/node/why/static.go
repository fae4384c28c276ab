package why

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// staticPods are the pods in the kubelet's directory of manifests, for a node whose kubelet
// does not answer.
type staticPods string

// String names the directory.
func (s staticPods) String() string { return "the static pods in " + string(s) }

// pods reads the manifests. A kubelet reads files that do not begin with a dot, JSON or YAML
// (pkg/kubelet/config/file.go of Kubernetes).
func (s staticPods) pods(context.Context) ([]pod, error) {
	info, err := os.Stat(string(s))
	if err != nil {
		return nil, err
	}
	files := []string{string(s)}
	if info.IsDir() {
		if files, err = filepath.Glob(filepath.Join(string(s), "[^.]*")); err != nil {
			return nil, err
		}
	}
	var all []pod
	var errs []error
	for _, file := range files {
		found, err := readManifest(file)
		if err != nil {
			errs = append(errs, err)
		}
		all = append(all, found...)
	}
	return all, errors.Join(errs...)
}

// readManifest reads the pods of a file. What is no pod is passed over.
func readManifest(file string) ([]pod, error) {
	info, err := os.Stat(file)
	switch {
	case errors.Is(err, fs.ErrNotExist) || err == nil && !info.Mode().IsRegular():
		return nil, nil
	case err != nil:
		return nil, err
	case info.Size() > maxFile:
		return nil, fmt.Errorf("%s: larger than %d MiB", file, maxFile>>20)
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var all []pod
	for decoder := yaml.NewDecoder(bytes.NewReader(raw)); ; {
		var doc struct {
			Kind  string `yaml:"kind"`
			Items []pod  `yaml:"items"`
			pod   `yaml:",inline"`
		}
		err := decoder.Decode(&doc)
		switch {
		case err == io.EOF:
			return all, nil
		case err != nil:
			return all, fmt.Errorf("%s: %w", file, err)
		case doc.Kind == "Pod":
			all = append(all, doc.pod)
		}
		all = append(all, doc.Items...)
	}
}

// idle reports whether no container of the pod with this name has been started, as far as
// CRI knows. A kubelet adds the name of the node to that of a static pod.
func idle(started map[string][]string, w wait) bool {
	for pod, containers := range started {
		if ownName(pod, w) && slices.Contains(containers, w.Container) {
			return false
		}
	}
	return true
}

// ownName reports whether "namespace/name" is the pod of a wait.
func ownName(name string, w wait) bool {
	own := w.Namespace + "/" + w.Pod
	return name == own || w.static && strings.HasPrefix(name, own+"-")
}
