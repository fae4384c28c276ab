//go:build linux

package main

// gap is a reader that does not take a form, and why. It fails the run when that is no longer so.
type gap struct{ row, form, why string }

var gaps = []gap{
	{"ctr 1.6.20", "zst", "this containerd does not unpack the file itself: \"zstd -dc bundle.tar.zst | ctr images import -\"; load takes it"},
	{"ctr 1.7.35", "zst", "as 1.6.20"},
	{"skopeo oci-archive:", "", "it takes no images with Docker's media types out of an OCI layout (skopeo issue 1975), and a bundle keeps the documents of the registry; use docker-archive:, which takes the same file"},
	{"docker load", "zst", "Docker 20.10 unpacks gzip but not zstd: \"zstd -dc bundle.tar.zst | docker load\""},
	{"crane push of the layout", "default", "an index is kept byte for byte, so that its digest stays, with only the chosen platforms beside it, and crane wants all of them; use --flat, or --platform all"},
	{"crane push of the layout", "zst", "as default"},
	{"crane validate of one image", "zst", "crane unpacks no zstd"},
}

// gapOf gives the reason why a reader does not take a form, empty when it should.
func gapOf(row, form string) string {
	for _, g := range gaps {
		if g.row == row && (g.form == form || g.form == "") {
			return g.why
		}
	}
	return ""
}
