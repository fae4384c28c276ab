package archive

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"

	"stowage/pkg/archive/internal/archivetest"
)

// drain reads a stream to its end and returns the bundle.
func drain(ctx context.Context, r io.Reader) (*Reader, error) {
	return drainWithin(ctx, r, defaultLimits)
}

func drainWithin(ctx context.Context, r io.Reader, lim limits) (*Reader, error) {
	s, err := openStream(ctx, r, lim)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	for {
		e, err := s.Next()
		if err == nil {
			_, err = io.Copy(io.Discard, e)
		}
		if err == io.EOF {
			return s.Reader()
		} else if err != nil {
			return nil, err
		}
	}
}

// summary is what two readers of one tarball must agree on.
func summary(r *Reader) []string {
	out := []string{r.Digest().String()}
	for _, i := range r.Images() {
		platform := ""
		if i.Target.Platform != nil {
			platform = formatPlatform(i.Target.Platform)
		}
		out = append(out, fmt.Sprint(i.Name, " ", i.Target.MediaType, " ", i.Target.Digest, " ", i.Target.Size, " ", platform, " ", len(i.Present), len(i.Referrers)))
	}
	for _, b := range r.Blobs() {
		out = append(out, fmt.Sprint(b.Digest, " ", b.Size, " ", b.MediaType, " ", b.Manifest))
	}
	return out
}

// TestOtherStreamMatchesFile reads layouts in every order of their entries.
func TestOtherStreamMatchesFile(t *testing.T) {
	ownTemp(t)
	s := newStore()
	m := s.Manifest(amd64, s.Layer(1, 3000), s.Layer(2, 5))
	chart := s.Artifact("application/vnd.cncf.helm.config.v1+json", "", s.Layer(7, 9999))
	items := s.layoutOf("", annotated(m, byContainerd, "docker.io/library/a:1"), annotated(s.Index(m), byLayout, "docker.io/library/b:2"), annotated(chart, byLayout, "c.test/chart:1"))
	for turn := range items {
		turned := append(append([]item{}, items[turn:]...), items[:turn]...)
		raw := pack(turned...)
		want := open(t, raw)
		for _, in := range []io.Reader{bytes.NewReader(raw), iotest.HalfReader(bytes.NewReader(raw)), strings.NewReader(gzipped(string(raw)))} {
			got, err := drain(t.Context(), in)
			if err != nil {
				t.Fatalf("turn %d: %v", turn, err)
			}
			if d := cmp.Diff(summary(want), summary(got)); d != "" {
				t.Errorf("turn %d (-file +stream):\n%s", turn, d)
			}
		}
	}
}

func TestOtherStreamOfDocker(t *testing.T) {
	ownTemp(t)
	one, two := string(archivetest.Noise(1, 5000)), string(archivetest.Noise(2, 3000))
	config := dockerConfig(t, one, two, one)
	path := dockerTar(t,
		"a/VERSION", "1.0", "a/layer.tar", one, "b/layer.tar", "-> ../c/layer.tar", "c/layer.tar", "-> ../a/layer.tar",
		digest.FromString(gzipped(two)).Encoded()+".tar.gz", gzipped(two), "x.json", config,
		"manifest.json", `[{"Config":"x.json","RepoTags":["busybox:1"],"Layers":["a/layer.tar","`+digest.FromString(gzipped(two)).Encoded()+`.tar.gz","b/layer.tar"]}]`)
	file, err := openDocker(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	s, err := OpenStream(t.Context(), bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if id, err := file.StreamID(); err != nil || id != s.ID() {
		t.Errorf("id of the file %s, %v, of the stream %s", id, err, s.ID())
	}
	var got []string
	for i := 0; ; i++ {
		b, err := s.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if i > 0 { // the first is passed over, and hashed all the same
			if n, err := io.Copy(io.Discard, b); err != nil || n != b.Size || b.Sum() == "" {
				t.Errorf("%s: %d of %d bytes, %v", b.Name, n, b.Size, err)
			}
		}
		got = append(got, fmt.Sprint(b.Name, " ", b.Digest, " ", b.Checked()))
	}
	second := digest.FromString(gzipped(two))
	want := []string{"a/layer.tar  false", second.Encoded() + ".tar.gz " + second.String() + " false"}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("blobs (-want +got):\n%s", d)
	}
	r, err := s.Reader()
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(summary(file), summary(r)); d != "" {
		t.Errorf("(-file +stream):\n%s", d)
	}
	if _, err := r.Open(second); !errors.Is(err, ErrMetadataOnly) {
		t.Errorf("a layer: %v, want ErrMetadataOnly", err)
	}
	if raw, err := r.Metadata(digest.FromString(config)); err != nil || string(raw) != config {
		t.Errorf("config: %q, %v", raw, err)
	}
	if id, err := r.StreamID(); id != "" || err != nil {
		t.Errorf("ID of a stream: %s, %v", id, err)
	}
}

// TestOtherStreamDamage cuts and alters a layout at many places: the stream accepts no
// more than the file does.
func TestOtherStreamDamage(t *testing.T) {
	ownTemp(t)
	s := newStore()
	m := s.Manifest(amd64, s.Layer(1, 3000))
	items := s.layoutOf("", annotated(m, byContainerd, "docker.io/library/a:1"))
	raw := pack(append(items[1:], items[0])...)
	for at := 0; at < len(raw); at += 97 {
		if _, err := drain(t.Context(), bytes.NewReader(raw[:at])); !errors.Is(err, ErrDamaged) || at > 4096 && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("cut at %d: %v", at, err)
		}
		flipped := bytes.Clone(raw)
		flipped[at] ^= 0x41
		r, err := NewReader(bytes.NewReader(flipped), int64(len(flipped)))
		if err == nil {
			err = r.Verify(t.Context(), 1, nil)
		}
		if _, serr := drain(t.Context(), bytes.NewReader(flipped)); (serr == nil) != (err == nil) {
			t.Errorf("bit at %d: the file says %v, the stream %v", at, err, serr)
		}
	}
	bad := errors.New("bad disk")
	if _, err := drain(t.Context(), io.MultiReader(bytes.NewReader(raw[:5000]), iotest.ErrReader(bad))); !errors.Is(err, bad) || errors.Is(err, ErrDamaged) {
		t.Errorf("a source that fails: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	pr, pw := io.Pipe()
	go func() {
		pw.Write(raw[:5000])
		cancel()
	}()
	if _, err := drain(ctx, pr); !errors.Is(err, context.Canceled) {
		t.Errorf("a source that stalls: %v", err)
	}
	pr.Close()
}

// TestRepackedBundle: a native bundle whose entries were moved is refused, as the file is.
func TestRepackedBundle(t *testing.T) {
	ownTemp(t)
	var items []item
	tr := tar.NewReader(bytes.NewReader(small().bundle(t, PlanOptions{})))
	for {
		h, err := tr.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		raw, err := io.ReadAll(tr)
		if err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeReg {
			items = append(items, item{name: h.Name, data: string(raw)})
		}
	}
	for name, moved := range map[string][]item{
		"layers first":  append(append([]item{}, items[5:]...), items[:5]...),
		"as it was":     items,
		"last is first": append(append([]item{}, items[len(items)-1]), items[:len(items)-1]...),
	} {
		_, err := drain(t.Context(), bytes.NewReader(pack(moved...)))
		if (err == nil) != (name == "as it was") || err != nil && !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// endless yields entries without end.
type endless struct {
	n, limit int
	buf      bytes.Buffer
	name     func(int) string
	data     []byte
}

// Read implements [io.Reader].
func (e *endless) Read(p []byte) (int, error) {
	if e.buf.Len() == 0 {
		if e.n++; e.n > e.limit {
			return 0, io.EOF
		}
		w := tar.NewWriter(&e.buf)
		if err := w.WriteHeader(&tar.Header{Name: e.name(e.n), Typeflag: tar.TypeReg, Size: int64(len(e.data)), Mode: 0o644}); err != nil {
			return 0, err
		}
		if _, err := w.Write(e.data); err != nil {
			return 0, err
		}
		if err := w.Flush(); err != nil {
			return 0, err
		}
	}
	return e.buf.Read(p)
}

// TestOtherStreamBounds: none of what is remembered of a stream grows without end.
func TestOtherStreamBounds(t *testing.T) {
	ownTemp(t)
	long := strings.Repeat("x/", 200_000)
	document := append([]byte("{"), bytes.Repeat([]byte(" "), MaxMetadata-1)...)
	for name, e := range map[string]*endless{
		"a million empty entries": {limit: 1_000_000, name: func(i int) string { return fmt.Sprint("a", i) }},
		"names":                   {limit: 1000, name: func(i int) string { return fmt.Sprint(long, i) }},
		"documents":               {limit: 1000, name: func(i int) string { return fmt.Sprint("a", i) }, data: document},
	} {
		before := archivetest.Heap()
		_, err := drain(t.Context(), e)
		if !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "more than") {
			t.Errorf("%s: %v, want it to be over a limit", name, err)
		}
		if e.n == e.limit {
			t.Errorf("%s: all of it was read", name)
		}
		if after := archivetest.Heap(); after > before+64<<20 {
			t.Errorf("%s: %.0f MiB are held", name, archivetest.MiB(after-before))
		}
	}
}

func TestOtherStreamLimits(t *testing.T) {
	ownTemp(t)
	s := newStore()
	m := s.Manifest(amd64, s.Layer(1, 3000))
	items := s.layoutOf("", annotated(m, byContainerd, "docker.io/library/a:1"))
	raw := pack(append(items[1:], items[0])...)
	for name, set := range map[string]func(*limits, int64){
		"entries": func(l *limits, n int64) { l.entries = len(items) + int(n) },
		"blob":    func(l *limits, n int64) { l.blob = 3000 + n },
	} {
		for n := int64(-1); n <= 1; n++ {
			lim := defaultLimits
			set(&lim, n)
			if _, err := drainWithin(t.Context(), bytes.NewReader(raw), lim); (err == nil) != (n >= 0) || err != nil && !errors.Is(err, ErrDamaged) {
				t.Errorf("%s, limit %+d: %v", name, n, err)
			}
		}
	}
}

func TestDigestOfName(t *testing.T) {
	hex := digest.FromString("x").Encoded()
	for name, want := range map[string]bool{
		"blobs/sha256/" + hex: true, "./blobs/sha256/" + hex: true, hex + ".tar": false, hex + ".tar.gz": false, "sha256:" + hex: false, hex + ".json": false,
	} {
		d, named := digestOfName(name)
		if d.Encoded() != hex || named != want {
			t.Errorf("%s: %s, %t", name, d, named)
		}
	}
	for _, name := range []string{"", "manifest.json", hex + "/layer.tar", "blobs/sha256/" + hex[1:], "blobs/sha512/" + hex, strings.ToUpper(hex) + ".tar"} {
		if d, _ := digestOfName(name); d != "" {
			t.Errorf("%s: %s, want nothing", name, d)
		}
	}
}

// FuzzOtherStream: whatever the bytes, a stream of them ends with a bundle that the file
// returns as well, or with ErrDamaged.
func FuzzOtherStream(f *testing.F) {
	s := newStore()
	m := s.Manifest(amd64, s.Layer(1, 3))
	items := s.layoutOf("./", annotated(m, byLayout, "docker.io/library/a:1"))
	f.Add(pack(items...))
	f.Add(pack(append(items[1:], items[0])...))
	f.Add(pack(item{name: "l.tar", data: "one"}, item{name: "x.json", data: `{"os":"linux","rootfs":{"diff_ids":["` + digest.FromString("one").String() + `"]}}`},
		item{name: "manifest.json", data: `[{"Config":"x.json","RepoTags":["a:1"],"Layers":["l.tar"]}]`}))
	f.Fuzz(func(t *testing.T, raw []byte) {
		ownTemp(t)
		r, err := drain(t.Context(), bytes.NewReader(raw))
		if err != nil {
			if !errors.Is(err, ErrDamaged) {
				t.Fatalf("not ErrDamaged: %v", err)
			}
			return
		}
		if r.Compression() != Plain {
			return
		}
		file, err := NewReader(bytes.NewReader(raw), int64(len(raw)))
		if err != nil {
			file, err = readDocker(bytes.NewReader(raw), int64(len(raw)), "", defaultLimits)
		}
		if err != nil {
			t.Fatalf("the stream is taken, the file is not: %v", err)
		}
		if d := cmp.Diff(summary(file), summary(r)); d != "" {
			t.Fatalf("(-file +stream):\n%s", d)
		}
	})
}
