package archive

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/opencontainers/go-digest"
	specs "github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// dockerFile turns a tarball of docker into an OCI layout.
type dockerFile struct {
	entryWalk
	files  map[string]extent
	links  map[string]string // old versions store a shared layer once and link to it
	src    *extended
	blobs  tarball
	hashed map[int64]hashedFile // by offset
	index  ocispec.Index
}

func newDockerFile(src *extended, lim limits) *dockerFile {
	d := &dockerFile{hashed: map[int64]hashedFile{}, files: map[string]extent{}, links: map[string]string{}, src: src}
	d.entryWalk = newEntryWalk(lim)
	d.entryWalk.src, d.size = io.NewSectionReader(src.r, 0, src.size), 1<<62
	d.blobs = newEntryWalk(lim).out
	d.index = ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex}
	return d
}

// readDocker opens a plain tarball that has docker's manifest.json and no OCI layout. See
// [OpenOptions].Docker.
func readDocker(src io.ReaderAt, size int64, file string, lim limits) (*Reader, error) {
	d := newDockerFile(&extended{r: src, size: size}, lim)
	d.size = size
	if err := d.list(); err != nil {
		return nil, err
	}
	return d.reader(file)
}

// reader makes a layout of the listed files.
func (d *dockerFile) reader(file string) (*Reader, error) {
	lim := d.lim
	for _, name := range []string{entryLayout, entryIndex} {
		if _, ok := d.files[name]; ok { // an OCI layout must pass the checks of Open
			return nil, d.wrong(name, errors.New("an OCI layout, not only docker's"))
		}
	}
	raw, err := d.small(entryDocker)
	if err != nil {
		return nil, err
	}
	var images []dockerEntry
	if err := json.Unmarshal(raw, &images); err != nil {
		return nil, d.wrong(entryDocker, err)
	}
	for i := range images {
		if err := d.image(&images[i]); err != nil {
			return nil, err
		}
		if n := len(d.index.Manifests); n > lim.names {
			return nil, d.wrong(entryDocker, fmt.Errorf("more than %d names, the limit", lim.names))
		}
	}
	if len(d.index.Manifests) == 0 {
		return nil, d.wrong(entryDocker, errors.New("no image has a tag"))
	}
	layout := ocispec.ImageLayout{Version: ocispec.ImageLayoutVersion}
	if err := errors.Join(d.addFile(entryLayout, layout), d.addFile(entryIndex, d.index)); err != nil {
		return nil, err
	}
	r := &Reader{file: file, src: d.src, size: d.src.size + int64(len(d.src.tail)), lim: lim}
	r.blobs, r.at = d.blobs.blobs, d.blobs.at
	return r, r.check(&d.blobs)
}

// list reads the files and links of the tarball.
func (d *dockerFile) list() error {
	if err := d.checkPlain(); err != nil {
		return err
	}
	tr := tar.NewReader(d.entryWalk.src)
	for {
		h, err := tr.Next()
		if err == io.EOF {
			return d.tail()
		}
		if err != nil {
			return d.headerError(err)
		}
		data, err := d.entryWalk.src.Seek(0, io.SeekCurrent)
		if err != nil {
			return err
		}
		if err := d.add(h, data); err != nil {
			return err
		}
	}
}

// add adds the entry of a header whose content begins at data.
func (d *dockerFile) add(h *tar.Header, data int64) error {
	if d.n++; d.n > d.lim.entries {
		return d.damaged("", adviceLimit, fmt.Errorf("more than %d entries", d.lim.entries))
	}
	name := path.Clean(h.Name)
	switch {
	case sparse(h):
		return d.damaged(printable(name), adviceOther, errSparse)
	case h.Typeflag == tar.TypeReg:
		if h.Size > d.size-data {
			return d.damaged(printable(name), adviceCopy, fmt.Errorf("cut after %d of %d bytes: %w", d.size-data, h.Size, io.ErrUnexpectedEOF))
		}
		if _, ok := d.files[name]; ok {
			return d.damaged(printable(name), adviceOther, errors.New("appears twice"))
		}
		d.files[name] = extent{data, h.Size}
	case h.Typeflag == tar.TypeSymlink, h.Typeflag == tar.TypeLink:
		to := path.Clean(h.Linkname)
		if h.Typeflag == tar.TypeSymlink && !path.IsAbs(to) {
			to = path.Join(path.Dir(name), to)
		}
		if !inside(to) {
			return d.damaged(printable(name), adviceOther, errors.New("a link out of the tarball"))
		}
		d.links[name] = to
	case h.Typeflag == tar.TypeDir:
	default:
		return d.damaged(printable(name), adviceOther, fmt.Errorf("type %q does not belong here", h.Typeflag))
	}
	d.end = data
	if h.Typeflag == tar.TypeReg {
		d.end += padded(h.Size)
	}
	return nil
}

// find returns an entry. It follows links.
func (d *dockerFile) find(name string) (extent, error) {
	file, err := d.follow(name)
	if err != nil {
		return extent{}, err
	}
	at, ok := d.files[file]
	if !ok {
		return at, d.wrong(name, errors.New("not there"))
	}
	return at, nil
}

func (d *dockerFile) wrong(entry string, err error) error {
	return &DamagedError{Entry: printable(entry), Offset: d.files[path.Clean(entry)].off, Err: err, Advice: adviceOther}
}

// small reads an entry that is a manifest or config.
func (d *dockerFile) small(name string) ([]byte, error) {
	at, err := d.find(name)
	if err != nil {
		return nil, err
	}
	if at.size > d.lim.metadata {
		return nil, d.wrong(name, fmt.Errorf("%d bytes, the limit is %d", at.size, d.lim.metadata))
	}
	if at.off >= layersFrom {
		return nil, fmt.Errorf("%s: %w", printable(name), ErrMetadataOnly)
	}
	raw := make([]byte, at.size)
	if n, err := d.src.ReadAt(raw, at.off); n < len(raw) {
		return nil, err
	}
	return raw, nil
}

// image makes a manifest for one image of manifest.json.
func (d *dockerFile) image(e *dockerEntry) error {
	if len(e.RepoTags) == 0 {
		return nil
	}
	raw, err := d.small(e.Config)
	if err != nil {
		return err
	}
	var config ocispec.Image
	if err := json.Unmarshal(raw, &config); err != nil {
		return d.wrong(e.Config, err)
	}
	diffs := config.RootFS.DiffIDs
	if len(diffs) != len(e.Layers) || len(diffs) > d.lim.descriptors {
		return d.wrong(e.Config, fmt.Errorf("%d diffIDs for %d layers", len(diffs), len(e.Layers)))
	}
	at, err := d.find(e.Config)
	if err != nil {
		return err
	}
	m := ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest}
	m.Config = d.blob(ocispec.MediaTypeImageConfig, digest.FromBytes(raw), at)
	for i, name := range e.Layers {
		l, err := d.layer(name, diffs[i])
		if err != nil {
			return err
		}
		m.Layers = append(m.Layers, l)
	}
	made, err := d.addMade(ocispec.MediaTypeImageManifest, m)
	if err != nil {
		return err
	}
	made.Platform = &config.Platform
	for _, tag := range e.RepoTags {
		names, err := Names(tag)
		if err != nil {
			return d.wrong(entryDocker, err)
		}
		named := made
		named.Annotations = map[string]string{annotationImageName: names[0], ocispec.AnnotationRefName: names[0]}
		d.index.Manifests = append(d.index.Manifests, named)
	}
	return nil
}

// layer hashes a layer. A plain one must match the config; a compressed one is compared
// with it when it is unpacked.
func (d *dockerFile) layer(name string, diff digest.Digest) (ocispec.Descriptor, error) {
	at, err := d.find(name)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	h, ok := d.hashed[at.off]
	if !ok {
		content := io.NewSectionReader(d.src, at.off, at.size)
		if h.packed, err = sniff(content); err != nil {
			return ocispec.Descriptor{}, err
		}
		if h.digest, err = digest.FromReader(content); err != nil {
			return ocispec.Descriptor{}, err
		}
		d.hashed[at.off] = h
	}
	if h.packed == Plain && h.digest != diff {
		return ocispec.Descriptor{}, d.wrong(name, &DigestError{Want: diff, Got: h.digest, Size: at.size})
	}
	return d.blob(h.mediaType(), h.digest, at), nil
}

// blob adds an entry under its digest.
func (d *dockerFile) blob(mediaType string, dg digest.Digest, at extent) ocispec.Descriptor {
	desc := ocispec.Descriptor{MediaType: mediaType, Digest: dg, Size: at.size}
	if _, ok := d.blobs.at[dg]; !ok {
		d.blobs.at[dg] = int32(len(d.blobs.blobs))
		b := Blob{Offset: at.off}
		b.Digest, b.Size = dg, at.size
		d.blobs.blobs = append(d.blobs.blobs, b)
	}
	return desc
}

// addMade adds a manifest that the file does not have.
func (d *dockerFile) addMade(mediaType string, v any) (ocispec.Descriptor, error) {
	raw, err := json.Marshal(v)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	return d.blob(mediaType, digest.FromBytes(raw), d.src.append(raw)), nil
}

// addFile adds an entry of the layout.
func (d *dockerFile) addFile(name string, v any) error {
	raw, err := json.Marshal(v)
	if err == nil {
		d.blobs.files[name] = d.src.append(raw)
	}
	return err
}

// hashedFile is a layer of docker's that was hashed.
type hashedFile struct {
	digest digest.Digest
	packed Compression
}

// mediaType returns the media type of the layer.
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

// follow returns the file that a name leads to.
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

// inside reports whether a link stays in the tarball.
func inside(name string) bool {
	return name != ".." && !strings.HasPrefix(name, "../") && !strings.HasPrefix(name, "/")
}

// extended is a file with bytes appended to it in memory.
type extended struct {
	r    io.ReaderAt
	size int64
	tail []byte
}

func (x *extended) append(raw []byte) extent {
	at := extent{x.size + int64(len(x.tail)), int64(len(raw))}
	x.tail = append(x.tail, raw...)
	return at
}

// ReadAt implements [io.ReaderAt]. No entry lies on both sides of the end of the file.
func (x *extended) ReadAt(p []byte, off int64) (int, error) {
	if off < x.size {
		return x.r.ReadAt(p, off)
	}
	return bytes.NewReader(x.tail).ReadAt(p, off-x.size)
}
