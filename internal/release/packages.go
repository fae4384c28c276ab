package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// descriptions are those of the packages.
var descriptions = map[string]string{
	"bundle": "write the images that Kubernetes manifests need into one file\nstowage-bundle pulls the container images of manifests on a machine with a network and\nwrites them into one tarball, for a cluster without a registry.",
	"load":   "put the images of a bundle into this node's containerd\nstowage-load imports, unpacks, pins and verifies the container images of a bundle on a node\nof Kubernetes, so that the kubelet needs no registry for them.",
}

// packages writes the .deb and the .rpm of a program. The program is stowage-bundle or
// stowage-load there; the short name, which other packages have too, is an alternative.
func (r *release) packages(p platform, program string, docs files) error {
	name := "stowage-" + program
	dir := filepath.Join(r.work, "package-"+name+"-"+p.String())
	binary, err := os.ReadFile(filepath.Join(r.programs(p), program))
	if err != nil {
		return err
	}
	license, err := os.ReadFile("LICENSE")
	if err != nil {
		return err
	}
	for _, format := range []string{"deb", "rpm"} {
		content := files{
			"usr/bin/" + name:                      {data: binary, exec: true},
			"usr/share/doc/" + name + "/copyright": {data: license},
		}
		slaves, err := packageDocs(content, program, format, docs)
		if err != nil {
			return err
		}
		root := filepath.Join(dir, format)
		if err := writeTree(filepath.Join(root, "root"), content); err != nil {
			return err
		}
		if err := writeTree(root, scripts(program, slaves)); err != nil {
			return err
		}
		if err := r.runNfpm(root, format, p, name, descriptions[program], content); err != nil {
			return err
		}
	}
	return nil
}

// packageDocs adds man pages and completions to the content of a package. It returns the
// names under which the alternative links them beside the short name of the program, each
// with its target.
func packageDocs(content files, program, format string, docs files) (map[string]string, error) {
	zsh := map[string]string{"deb": "usr/share/zsh/vendor-completions", "rpm": "usr/share/zsh/site-functions"}[format]
	slaves := map[string]string{}
	for p, f := range docs.of(program, program) {
		base := path.Base(p)
		switch {
		case strings.HasPrefix(p, "man/"):
			zipped, err := gzipped(f.data)
			if err != nil {
				return nil, err
			}
			to := "usr/share/man/man1/stowage-" + base + ".gz"
			content[to] = file{data: zipped}
			slaves["/usr/share/man/man1/"+base+".gz"] = "/" + to
		default:
			to := "usr/share/stowage/completions/" + base
			content[to] = f
			slaves["/"+completionPath(base, zsh)] = "/" + to
		}
	}
	for p, f := range docs.of(program, "stowage-"+program) {
		if strings.HasPrefix(p, "completions/") {
			content[completionPath(path.Base(p), zsh)] = f
		}
	}
	return slaves, nil
}

// completionPath returns where the shell of a completion looks for it.
func completionPath(base, zsh string) string {
	switch path.Ext(base) {
	case ".bash":
		return "usr/share/bash-completion/completions/" + strings.TrimSuffix(base, ".bash")
	case ".fish":
		return "usr/share/fish/vendor_completions.d/" + base
	}
	return zsh + "/" + base
}

func gzipped(data []byte) ([]byte, error) {
	var b bytes.Buffer
	z, _ := gzip.NewWriterLevel(&b, gzip.BestCompression) // a level that exists
	if _, err := z.Write(data); err != nil {
		return nil, err
	}
	err := z.Close()
	return b.Bytes(), err
}

// scripts returns the scripts that run after the installation and before the removal. A file
// of another package, such as that of Ruby's Bundler, keeps the short name.
func scripts(program string, slaves map[string]string) files {
	var options strings.Builder
	for _, link := range slices.Sorted(maps.Keys(slaves)) {
		fmt.Fprintf(&options, " \\\n    --slave %s %s %s", link, "stowage-"+path.Base(link), slaves[link])
	}
	install := fmt.Sprintf(`#!/bin/sh
set -e
if [ -e /usr/bin/%[1]s ] && [ ! -L /usr/bin/%[1]s ]; then
  echo "stowage-%[1]s: /usr/bin/%[1]s belongs to another package; run stowage-%[1]s"
else
  update-alternatives --install /usr/bin/%[1]s %[1]s /usr/bin/stowage-%[1]s 50%[2]s
fi
`, program, options.String())
	// dpkg calls it with "remove" or "upgrade", rpm with the number of versions that remain.
	remove := fmt.Sprintf(`#!/bin/sh
set -e
case "$1" in
remove|deconfigure|0) update-alternatives --remove %[1]s /usr/bin/stowage-%[1]s ;;
esac
`, program)
	return files{"postinstall": {data: []byte(install), exec: true}, "preremove": {data: []byte(remove), exec: true}}
}

// runNfpm makes a package of the files below root.
func (r *release) runNfpm(dir, format string, p platform, name, description string, content files) error {
	type attributes struct {
		Owner string `json:"owner"`
		Group string `json:"group"`
		Mode  int    `json:"mode"`
		Time  string `json:"mtime"`
	}
	type entry struct {
		From string     `json:"src"`
		To   string     `json:"dst"`
		Info attributes `json:"file_info"`
	}
	var contents []entry
	stamp := r.time.Format("2006-01-02T15:04:05Z")
	for _, to := range slices.Sorted(maps.Keys(content)) {
		mode := 0o644
		if content[to].exec {
			mode = 0o755
		}
		contents = append(contents, entry{filepath.Join(dir, "root", to), "/" + to, attributes{"root", "root", mode, stamp}})
	}
	config := map[string]any{
		"name": name, "version": r.version, "arch": p.arch + p.arm, "platform": "linux", "description": description,
		"maintainer": "The stowage authors <stowage@stowage.invalid>", "section": "admin", "priority": "optional", "license": "Apache-2.0",
		"mtime": stamp, "contents": contents,
		"scripts": map[string]string{"postinstall": filepath.Join(dir, "postinstall"), "preremove": filepath.Join(dir, "preremove")},
		"deb":     map[string]string{"compression": "xz"},
		"rpm":     map[string]string{"compression": "zstd", "buildhost": "stowage.invalid", "summary": strings.Split(description, "\n")[0]},
	}
	data, err := json.Marshal(config) // YAML, too
	if err != nil {
		return err
	}
	path := filepath.Join(dir, "nfpm.yaml")
	if err := os.WriteFile(path, data, 0o644); err != nil {
		return err
	}
	target := filepath.Join(r.out, fmt.Sprintf("%s_%s_%s.%s", name, r.version, p, format))
	out, err := exec.Command(r.nfpm, "package", "-f", path, "-p", format, "-t", target).CombinedOutput()
	if err != nil {
		return fmt.Errorf("nfpm: %w\n%s", err, out)
	}
	return nil
}
