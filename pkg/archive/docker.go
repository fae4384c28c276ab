package archive

import (
	"archive/tar"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	specs "github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stowage/internal/manifest"
)

// dockerFile turns a tarball of docker into an OCI layout.
type dockerFile struct {
	entryWalk
	files  map[string]extent
	links  map[string]string // old versions store a shared layer once and link to it
	src    *extended
	blobs  tarball
	hashed map[int64]hashedFile // by offset
	docs   *documents
	made   map[digest.Digest]ocispec.Descriptor // manifests, by config and layers
	index  ocispec.Index
}

func newDockerFile(src *extended, b *budget) *dockerFile {
	d := &dockerFile{hashed: map[int64]hashedFile{}, files: map[string]extent{}, links: map[string]string{}, src: src}
	d.docs, d.made = newDocuments(b), map[digest.Digest]ocispec.Descriptor{}
	d.entryWalk = newEntryWalk(b)
	d.entryWalk.src, d.size = io.NewSectionReader(src.r, 0, src.size), 1<<62
	d.blobs = newEntryWalk(b).out
	d.index = ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex}
	return d
}

// readDocker opens a plain tarball that has docker's manifest.json and no OCI layout. See
// [OpenOptions].Docker.
func readDocker(src io.ReaderAt, size int64, file string, lim limits) (*Reader, error) {
	d := newDockerFile(&extended{r: src, size: size}, newBudget(lim))
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
	if err := manifest.ParseDocker(raw, lim.manifest(), d.image); err != nil {
		if errors.Is(err, ErrDamaged) || errors.Is(err, ErrMetadataOnly) {
			return nil, err
		}
		return nil, d.wrong(entryDocker, err)
	}
	if len(d.index.Manifests) == 0 {
		return nil, d.wrong(entryDocker, errors.New("no image in it"))
	}
	layout := ocispec.ImageLayout{Version: ocispec.ImageLayoutVersion}
	if err := errors.Join(d.addFile(entryLayout, layout), d.addFile(entryIndex, d.index)); err != nil {
		return nil, err
	}
	r := makeReader(file, d.src, d.budget)
	r.docs, r.size = d.docs, max(d.src.size, d.src.end)
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
	err := d.hold(costName + int64(len(h.Name)+len(h.Linkname)))
	switch {
	case err != nil:
		return d.damaged(printable(name), adviceLimit, err)
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
	if _, ok := errors.AsType[*DamagedError](err); ok {
		return err
	}
	advice := adviceOther
	if isBudget(err) {
		advice = adviceLimit
	}
	return &DamagedError{Entry: printable(entry), Offset: d.files[path.Clean(entry)].off, Err: err, Advice: advice}
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
	if err := d.spend(at.size); err != nil {
		return nil, d.wrong(name, err)
	}
	raw := make([]byte, at.size)
	if n, err := d.src.ReadAt(raw, at.off); n < len(raw) {
		return nil, err
	}
	return raw, nil
}

// image makes a manifest for one image of manifest.json. Images that differ in their tags
// only share it.
func (d *dockerFile) image(e *manifest.DockerImage) error {
	dg, err := d.config(e.Config)
	if err != nil {
		return err
	}
	key := digest.FromString(string(dg) + "\x00" + strings.Join(e.Layers, "\x00"))
	made, ok := d.made[key]
	if !ok {
		if made, err = d.make(e, dg); err != nil {
			return err
		}
		d.made[key] = made
	}
	if len(e.Tags) == 0 {
		return d.addImage(made, "")
	}
	for _, tag := range e.Tags {
		names, err := Names(tag)
		if err != nil {
			return d.wrong(entryDocker, err)
		}
		if err := d.addImage(made, names[0]); err != nil {
			return err
		}
	}
	return nil
}

// addImage adds an image to index.json; name may be empty.
func (d *dockerFile) addImage(made ocispec.Descriptor, name string) error {
	if len(d.index.Manifests) >= d.lim.names {
		return d.wrong(entryDocker, fmt.Errorf("more than %d names, the limit", d.lim.names))
	}
	if err := d.hold(costImage + int64(len(name))); err != nil {
		return d.wrong(entryDocker, err)
	}
	if name != "" {
		made.Annotations = map[string]string{annotationImageName: name, ocispec.AnnotationRefName: name}
	}
	d.index.Manifests = append(d.index.Manifests, made)
	return nil
}

// config reads and parses a config, once for each file, and returns its digest.
func (d *dockerFile) config(name string) (digest.Digest, error) {
	at, err := d.find(name)
	if err != nil {
		return "", err
	}
	if h, ok := d.hashed[at.off]; ok && d.docs.configs[h.digest] != nil {
		return h.digest, nil
	}
	raw, err := d.small(name)
	if err != nil {
		return "", err
	}
	dg := digest.FromBytes(raw)
	c, err := d.docs.addConfig(dg, raw)
	if err == nil {
		err = c.err
	}
	if err == nil {
		d.hashed[at.off] = hashedFile{digest: dg}
		err = d.blob(dg, at)
	}
	if err != nil {
		return "", d.wrong(name, err)
	}
	return dg, nil
}

// make makes the manifest of an image.
func (d *dockerFile) make(e *manifest.DockerImage, dg digest.Digest) (ocispec.Descriptor, error) {
	config := d.docs.configs[dg]
	if len(config.diffIDs) != len(e.Layers) {
		return ocispec.Descriptor{}, d.wrong(e.Config, fmt.Errorf("%d diffIDs for %d layers", len(config.diffIDs), len(e.Layers)))
	}
	m := ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest}
	m.Config = ocispec.Descriptor{MediaType: ocispec.MediaTypeImageConfig, Digest: dg, Size: d.blobs.blobs[d.blobs.at[dg]].Size}
	for i, name := range e.Layers {
		l, err := d.layer(name, digest.NewDigestFromBytes(digest.SHA256, config.diffIDs[i][:]))
		if err != nil {
			return ocispec.Descriptor{}, err
		}
		m.Layers = append(m.Layers, l)
	}
	raw, err := json.Marshal(m)
	if err == nil {
		err = d.hold(int64(len(raw)))
	}
	if err != nil {
		return ocispec.Descriptor{}, d.wrong(entryDocker, err)
	}
	made := ocispec.Descriptor{MediaType: m.MediaType, Digest: digest.FromBytes(raw), Size: int64(len(raw)), Platform: &ocispec.Platform{}}
	if config.platform != nil {
		made.Platform = config.platform
	}
	return made, d.blob(made.Digest, d.src.append(raw))
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
	return ocispec.Descriptor{MediaType: h.mediaType(), Digest: h.digest, Size: at.size}, d.blob(h.digest, at)
}

// blob adds an entry under its digest.
func (d *dockerFile) blob(dg digest.Digest, at extent) error {
	if _, ok := d.blobs.at[dg]; ok {
		return nil
	}
	if err := d.hold(costBlob); err != nil {
		return d.wrong(entryDocker, err)
	}
	d.blobs.at[dg] = int32(len(d.blobs.blobs))
	b := Blob{Offset: at.off}
	b.Digest, b.Size = dg, at.size
	d.blobs.blobs = append(d.blobs.blobs, b)
	return nil
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

// extended is a file with entries appended to it in memory.
type extended struct {
	r     io.ReaderAt
	size  int64
	end   int64 // of the entries
	added []addedEntry
}

// addedEntry is an entry that the file does not have.
type addedEntry struct {
	off  int64
	data []byte
}

func (x *extended) append(raw []byte) extent {
	x.end = max(x.end, x.size)
	at := extent{x.end, int64(len(raw))}
	x.added = append(x.added, addedEntry{at.off, raw})
	x.end += at.size
	return at
}

// ReadAt implements [io.ReaderAt] within one entry, which is all that a Reader reads at once.
func (x *extended) ReadAt(p []byte, off int64) (int, error) {
	if off < x.size {
		return x.r.ReadAt(p, off)
	}
	i, found := slices.BinarySearchFunc(x.added, off, func(e addedEntry, off int64) int { return cmp.Compare(e.off, off) })
	if !found {
		i--
	}
	if i < 0 {
		return 0, io.EOF
	}
	return bytes.NewReader(x.added[i].data).ReadAt(p, off-x.added[i].off)
}
