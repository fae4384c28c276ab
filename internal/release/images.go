package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// images writes the container images as OCI layouts in tarballs: each program alone for
// every platform of Linux, and both with the shell of busybox, for CI systems that run
// scripts in an image, for linux/amd64.
func (r *release) images() error {
	certificates, err := r.bundleOfCertificates()
	if err != nil {
		return err
	}
	for _, program := range []string{"bundle", "load"} {
		var images []v1.Image
		for _, p := range r.platforms {
			if p.os != "linux" {
				continue
			}
			in, err := r.imageFiles(p, certificates, program)
			if err != nil {
				return err
			}
			image, err := r.image(p, in, []string{"/usr/bin/" + program})
			if err != nil {
				return err
			}
			images = append(images, image)
		}
		if err := r.writeImages("stowage-"+program, images); err != nil {
			return err
		}
	}
	return r.shellImage(certificates)
}

// shellImage writes the image for CI.
func (r *release) shellImage(certificates []byte) error {
	p := platform{os: "linux", arch: "amd64"}
	if r.busybox == "" || !slices.Contains(r.platforms, p) {
		return errors.New("the image for CI needs -busybox and the platform linux/amd64")
	}
	in, err := r.imageFiles(p, certificates, "bundle", "load")
	if err != nil {
		return err
	}
	busybox, err := os.ReadFile(r.busybox)
	if err != nil {
		return err
	}
	list, err := exec.Command(r.busybox, "--list").Output()
	if err != nil {
		return fmt.Errorf("%s --list: %w", r.busybox, err)
	}
	for name := range strings.FieldsSeq(string(list)) {
		in["bin/"+name] = file{link: "busybox"}
	}
	in["bin/busybox"] = file{data: busybox, exec: true}
	in["etc/passwd"] = file{data: []byte("root:x:0:0:root:/root:/bin/sh\n")}
	in["etc/group"] = file{data: []byte("root:x:0:\n")}
	image, err := r.image(p, in, nil)
	if err != nil {
		return err
	}
	return r.writeImages("stowage-ci", []v1.Image{image})
}

// bundleOfCertificates returns the certificates for TLS in one file.
func (r *release) bundleOfCertificates() ([]byte, error) {
	var paths []string
	if err := filepath.WalkDir(r.certificates, func(path string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".crt") {
			paths = append(paths, path)
		}
		return err
	}); err != nil {
		return nil, fmt.Errorf("-certificates: %w", err)
	}
	if len(paths) == 0 {
		return nil, fmt.Errorf("-certificates %s: has no file *.crt", r.certificates)
	}
	var all []byte
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		all = append(all, data...)
	}
	return all, nil
}

// imageFiles returns the files of an image with programs.
func (r *release) imageFiles(p platform, certificates []byte, programs ...string) (files, error) {
	in := files{"etc/ssl/certs/ca-certificates.crt": {data: certificates}, "tmp/.keep": {}}
	for _, program := range programs {
		data, err := os.ReadFile(filepath.Join(r.programs(p), program))
		if err != nil {
			return nil, err
		}
		in["usr/bin/"+program] = file{data: data, exec: true}
		in["usr/bin/stowage-"+program] = file{link: program}
	}
	return in, nil
}

// image returns an image of one layer.
func (r *release) image(p platform, in files, entrypoint []string) (v1.Image, error) {
	var b bytes.Buffer
	if err := r.tar(&b, in); err != nil {
		return nil, err
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.Bytes())), nil },
		tarball.WithMediaType(types.OCILayer), tarball.WithCompressionLevel(9))
	if err != nil {
		return nil, err
	}
	image := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	if image, err = mutate.Append(image, mutate.Addendum{Layer: layer, MediaType: types.OCILayer, History: v1.History{Created: v1.Time{Time: r.time}, CreatedBy: "stowage " + r.version}}); err != nil {
		return nil, err
	}
	config, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture, config.Created = p.os, p.arch, v1.Time{Time: r.time}
	if p.arm != "" {
		config.Variant = "v" + p.arm
	}
	config.Config.Entrypoint = entrypoint
	if entrypoint == nil {
		config.Config.Cmd = []string{"/bin/sh"}
	}
	config.Config.Env = []string{"PATH=/usr/bin:/bin"}
	config.Config.Labels = map[string]string{"org.opencontainers.image.version": r.version, "org.opencontainers.image.title": "stowage"}
	return mutate.ConfigFile(image, config)
}

// writeImages writes the images of one name, with an index of their platforms, as a layout in
// a tarball.
func (r *release) writeImages(name string, images []v1.Image) error {
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, image := range images {
		config, err := image.ConfigFile()
		if err != nil {
			return err
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: image, Descriptor: v1.Descriptor{Platform: config.Platform()}})
	}
	dir := filepath.Join(r.work, "layout-"+name)
	path, err := layout.Write(dir, empty.Index)
	if err != nil {
		return err
	}
	reference := "docker.io/stowage/" + strings.TrimPrefix(name, "stowage-") + ":" + r.version
	if err := path.AppendIndex(index, layout.WithAnnotations(map[string]string{
		"io.containerd.image.name": reference, "org.opencontainers.image.ref.name": r.version,
	})); err != nil {
		return err
	}
	in := files{}
	if err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		rel, _ := filepath.Rel(dir, path) // path is below dir
		in[filepath.ToSlash(rel)] = file{data: data}
		return err
	}); err != nil {
		return err
	}
	return r.write(name+"_"+r.version+"_oci.tar", func(w io.Writer) error { return r.tar(w, in) })
}
