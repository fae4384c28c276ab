//go:build linux

package main

// gap is a form that a reader cannot read, and the reason. The run fails if the reader can
// read it.
type gap struct{ row, form, why string }

var gaps = []gap{
	{"ctr 1.6.20", "zst", "this containerd does not decompress the file: use \"zstd -dc bundle.tar.zst | ctr images import -\", or load"},
	{"ctr 1.7.35", "zst", "as 1.6.20"},
	{"skopeo oci-archive:", "", "skopeo rejects images with Docker's media types in an OCI layout (skopeo issue 1975), and a bundle keeps the registry's manifests; use docker-archive: with the same file"},
	{"docker load", "zst", "Docker 20.10 decompresses gzip but not zstd: use \"zstd -dc bundle.tar.zst | docker load\""},
	{"crane push of the layout", "default", "an index keeps its bytes and digest but only the chosen platforms are present, and crane requires all of them; use --flat, or --platform all"},
	{"crane push of the layout", "zst", "as default"},
	{"crane validate of one image", "zst", "crane does not decompress zstd"},
}

// gapOf returns the reason why a reader cannot read a form; empty if it should.
func gapOf(row, form string) string {
	for _, g := range gaps {
		if g.row == row && (g.form == form || g.form == "") {
			return g.why
		}
	}
	return ""
}
