package archive

import (
	"archive/tar"
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Bundle gives what has come as a bundle without its layers, checked as [Open] or
// [OpenDocker] checks a file, once [ForeignStream.Next] has returned io.EOF. It lasts
// until the stream is closed. Layers opened from it are an [ErrHeadOnly], but for those of
// a few bytes.
func (s *ForeignStream) Bundle() (*Reader, error) {
	if s.bundle != nil {
		return s.bundle, nil
	}
	r, err := s.assemble()
	if errors.Is(err, ErrHeadOnly) {
		err = s.damaged("", adviceForeign, errors.New("a manifest or config is no JSON document"))
	}
	if err != nil {
		return nil, s.in.p.named(err)
	}
	s.bundle = r
	return r, nil
}

// assemble takes the entries for a layout if one of them says so, else for docker's.
func (s *ForeignStream) assemble() (*Reader, error) {
	for i := range s.entries {
		switch path.Clean(s.entries[i].name) {
		case entryLayout, entryIndex:
			return s.layout()
		}
	}
	return s.docker()
}

// layout reads the entries by the rules for a tarball.
func (s *ForeignStream) layout() (*Reader, error) {
	w := entryWalk{size: 1 << 62, lim: s.lim, out: tarball{files: map[string]extent{}, at: map[digest.Digest]int32{}}}
	for i := range s.entries {
		e := &s.entries[i]
		h := &tar.Header{Name: e.name, Typeflag: e.kind, Size: e.at.size}
		if err := w.entry(h, e.at.off); err != nil {
			return nil, err
		}
	}
	r := &Reader{file: streamName, src: s.spool.f, size: s.in.n, lim: s.lim, head: layersFrom}
	r.blobs, r.at = w.out.blobs, w.out.at
	return r, r.check(&w.out)
}

// docker makes a layout of docker's tarball, of which all layers have been hashed.
func (s *ForeignStream) docker() (*Reader, error) {
	d := newDockerFile(&joined{r: s.spool.f, size: s.kept}, s.lim)
	for i := range s.entries {
		e := &s.entries[i]
		if err := d.take(&tar.Header{Name: e.name, Linkname: e.link, Typeflag: e.kind, Size: e.at.size}, e.at.off); err != nil {
			return nil, err
		}
		if e.kind == tar.TypeReg {
			d.hashed[e.at.off] = hashedFile{e.digest, e.packed}
		}
	}
	r, err := d.reader(streamName)
	if err != nil {
		return nil, err
	}
	r.head = layersFrom
	return r, nil
}

// hashedFile is what is known of a layer of docker's.
type hashedFile struct {
	digest digest.Digest
	packed Compression
}

// mediaType is that of a layer.
func (h hashedFile) mediaType() string {
	switch h.packed {
	case Gzip:
		return ocispec.MediaTypeImageLayerGzip
	case Zstd:
		return ocispec.MediaTypeImageLayerZstd
	}
	return ocispec.MediaTypeImageLayer
}

// maxLinks bounds how many links lead from a name to its file.
const maxLinks = 8

// follow gives the file behind a name.
func (d *dockerFile) follow(name string) (string, error) {
	name = path.Clean(name)
	for range maxLinks {
		to, ok := d.links[name]
		if !ok {
			return name, nil
		}
		name = to
	}
	return "", d.wrong(name, fmt.Errorf("more than %d links", maxLinks))
}

// inside tells whether a link stays in the tarball.
func inside(name string) bool {
	return name != ".." && !strings.HasPrefix(name, "../") && !strings.HasPrefix(name, "/")
}
