//go:build linux

package main

import (
	"encoding/base64"
	"fmt"
	"path/filepath"
	"runtime"
)

// Names of the rows of the targets.
const (
	ourBundle   = "bundle"
	ourNoChange = "bundle, nothing changed"
	cranePull   = "crane pull"
)

// bundler is a command that pulls all images from a registry to one tarball.
type bundler struct {
	name     string
	needs    *program // nil: our program
	commands func(job) [][]string
	prepared bool // the commands have run once before, unmeasured, and their output is kept
}

// rowName returns the name of the bundler's row.
func (b bundler) rowName() string { return b.name }

// job is the input of a bundler.
type job struct {
	program string   // the bundler's own
	refs    []string // images
	host    string   // of the registry
	dir     string   // temporary: DOCKER_CONFIG, layouts, our manifest
	out     string   // the tarball to write
}

// platform is the platform of all images.
const platform = "linux/" + runtime.GOARCH

// bundlers is the order of comparison.
var bundlers = []bundler{
	{name: ourBundle, commands: bundleCommand},
	{name: ourNoChange, commands: bundleCommand, prepared: true},
	{name: cranePull, needs: &crane, commands: func(j job) [][]string {
		return [][]string{append(append([]string{j.program, "pull", "--insecure", "--platform", platform}, j.refs...), j.out)}
	}},
	{name: "crane pull --format oci, tar", needs: &crane, commands: func(j job) [][]string {
		pull := append([]string{j.program, "pull", "--insecure", "--platform", platform, "--format", "oci", "--annotate-ref"}, j.refs...)
		return [][]string{append(pull, j.layout()), j.tar()}
	}},
	{name: "skopeo copy to oci:, tar", needs: &skopeo, commands: func(j job) [][]string {
		return j.each(func(_ int, ref string) []string {
			return []string{j.program, "--insecure-policy", "--override-os", "linux", "--override-arch", runtime.GOARCH,
				"copy", "-q", "--src-tls-verify=false", "--authfile", filepath.Join(j.dir, "config.json"),
				"docker://" + ref, "oci:" + j.layout() + ":" + ref}
		})
	}},
	{name: "regctl image copy to ocidir:, tar", needs: &regctl, commands: func(j job) [][]string {
		return j.each(func(i int, ref string) []string {
			return []string{j.program, "--host", "reg=" + j.host + ",tls=disabled", "image", "copy",
				"--platform", platform, ref, fmt.Sprintf("ocidir://%s:%d", j.layout(), i)}
		})
	}},
	{name: "oras copy --to-oci-layout, tar", needs: &oras, commands: func(j job) [][]string {
		return j.each(func(i int, ref string) []string {
			return []string{j.program, "copy", "--from-plain-http", "--platform", platform, "--no-tty",
				"--to-oci-layout", ref, fmt.Sprintf("%s:%d", j.layout(), i)}
		})
	}},
}

// bundleCommand returns our command.
func bundleCommand(j job) [][]string {
	return [][]string{{j.program, "-f", j.manifest(), "-o", j.out}}
}

func (j job) layout() string   { return filepath.Join(j.dir, "layout") }
func (j job) manifest() string { return filepath.Join(j.dir, "pod.yaml") }
func (j job) tar() []string    { return []string{"tar", "-cf", j.out, "-C", j.layout(), "."} }

// each returns a command for every image, then tar.
func (j job) each(command func(i int, ref string) []string) [][]string {
	var all [][]string
	for i, ref := range j.refs {
		all = append(all, command(i, ref))
	}
	return append(all, j.tar())
}

// basic returns the value of "auth" in docker's config.json.
func basic(user, password string) string {
	return base64.StdEncoding.EncodeToString([]byte(user + ":" + password))
}
