package archive

import (
	"bufio"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"slices"
	"sync"

	"github.com/opencontainers/go-digest"

	"stowage/internal/iox"
	"stowage/internal/manifest"
)

// The journal stands beside the file in the making and remembers what a killed run had
// got: the documents themselves, and claims about blobs ("this many bytes at this offset
// of the data file are the start of that blob"). Claims are never believed; they say
// what is worth hashing again.
//
// It is append-only: the magic line, then records of kind (1 byte), payload length
// (4 bytes, big endian), payload, CRC-32C of all that. A record is one write, so that a
// kill leaves at most one torn record, at the end, which the next run cuts off. Nothing
// is synced: a power cut may cost work, not correctness.
const journalMagic = "stowage draft 1\n"

type recordKind byte

const (
	recordDocument   recordKind = 'd' // the raw document
	recordGeneration recordKind = 'g' // number of the data file that claims from here on speak of
	recordRetired    recordKind = 'r' // number of a data file that is no more
	recordBlob       recordKind = 'b' // a whole blob: digest, offset, size
	recordMark       recordKind = 'm' // the start of a blob: digest, offset, size, length, sha256 of it
	recordIsland     recordKind = 'i' // bytes after a gap: digest, offset, size, start, end, CRC-32C of them
	recordDropped    recordKind = 'x' // nothing of this blob is good: digest
)

const recordFrame = 1 + 4 + 4

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// journal is the open journal. Methods may be used from many goroutines.
type journal struct {
	mu   sync.Mutex
	f    *os.File
	end  int64
	docs map[digest.Digest]docPlace
}

// docPlace is where a document's bytes are in the journal.
type docPlace struct {
	off  int64
	size int32
}

// claim is what earlier runs said about one blob.
type claim struct {
	generation uint32
	offset     int64
	size       int64
	whole      bool
	marks      []mark   // ascending
	islands    []island // by start
}

// mark says that the first n bytes have this sha256.
type mark struct {
	n   int64
	sum [sha256.Size]byte
}

// island is a run of bytes of a blob that came before those in front of it. It cannot be
// hashed yet; the checksum tells a later run whether the disk still has it, and the digest
// of the blob whether it was right.
type island struct {
	start, end int64
	sum        uint32
}

// claims is what a journal holds beside documents.
type claims struct {
	generation uint32          // of the data file in use
	aside      map[uint32]bool // generations before it whose data file was not removed yet
	blobs      map[digest.Digest]*claim
}

func newClaims() *claims {
	return &claims{aside: map[uint32]bool{}, blobs: map[digest.Digest]*claim{}}
}

// readJournal takes up the journal in f, cutting off a torn end. A file that is no
// journal at all is emptied: it holds nothing anybody could use.
func readJournal(f *os.File) (*journal, *claims, error) {
	j := &journal{f: f, docs: map[digest.Digest]docPlace{}}
	c := newClaims()
	info, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	r := bufio.NewReaderSize(io.NewSectionReader(f, 0, info.Size()), iox.BufferSize)
	magic := make([]byte, len(journalMagic))
	if _, err := io.ReadFull(r, magic); err == nil && string(magic) == journalMagic {
		j.end = int64(len(magic))
		for {
			kind, payload, err := readRecord(r)
			if err != nil {
				break
			}
			if !j.apply(c, kind, payload) {
				break
			}
			j.end += recordFrame + int64(len(payload))
		}
	}
	if err := f.Truncate(j.end); err != nil {
		return nil, nil, err
	}
	if j.end == 0 {
		if _, err := f.WriteAt([]byte(journalMagic), 0); err != nil {
			return nil, nil, err
		}
		j.end = int64(len(journalMagic))
	}
	return j, c, nil
}

var errTorn = errors.New("torn record")

// readRecord gives the next sound record.
func readRecord(r io.Reader) (recordKind, []byte, error) {
	var head [5]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	n := binary.BigEndian.Uint32(head[1:])
	if n > MaxDocument {
		return 0, nil, errTorn
	}
	body, err := iox.ReadExactly(r, int(n)+4)
	if err != nil {
		return 0, nil, err
	}
	payload := body[:n]
	sum := crc32.Update(crc32.Checksum(head[:], castagnoli), castagnoli, payload)
	if sum != binary.BigEndian.Uint32(body[n:]) {
		return 0, nil, errTorn
	}
	return recordKind(head[0]), payload, nil
}

// apply takes a record into account; false means that it makes no sense.
func (j *journal) apply(c *claims, kind recordKind, p []byte) bool {
	switch {
	case kind == recordDocument:
		j.docs[digest.FromBytes(p)] = docPlace{off: j.end + 5, size: int32(len(p))}
	case kind == recordGeneration && len(p) == 4:
		c.advance(binary.BigEndian.Uint32(p))
	case kind == recordRetired && len(p) == 4:
		c.retire(binary.BigEndian.Uint32(p))
	case kind == recordBlob && len(p) == 48:
		d, offset, size := blobFields(p)
		if offset < 0 || size < 0 {
			return false
		}
		c.blobs[d] = &claim{generation: c.generation, offset: offset, size: size, whole: true}
	case kind == recordMark && len(p) == 88:
		d, offset, size := blobFields(p)
		m := mark{n: int64(binary.BigEndian.Uint64(p[48:])), sum: [32]byte(p[56:])}
		return offset >= 0 && c.mark(d, offset, size, m)
	case kind == recordIsland && len(p) == 68:
		d, offset, size := blobFields(p)
		i := island{
			start: int64(binary.BigEndian.Uint64(p[48:])), end: int64(binary.BigEndian.Uint64(p[56:])),
			sum: binary.BigEndian.Uint32(p[64:]),
		}
		return offset >= 0 && c.island(d, offset, size, i)
	case kind == recordDropped && len(p) == 32:
		delete(c.blobs, fromRaw(p))
	default:
		return false
	}
	return true
}

// mark adds to the claim about the start of a blob.
func (c *claims) mark(d digest.Digest, offset, size int64, m mark) bool {
	if m.n < 0 || m.n > size {
		return false
	}
	cl := c.part(d, offset, size)
	for len(cl.marks) > 0 && cl.marks[len(cl.marks)-1].n >= m.n {
		cl.marks = cl.marks[:len(cl.marks)-1]
	}
	cl.marks = append(cl.marks, m)
	return true
}

// island adds to the claim about bytes after a gap, replacing what it has grown from.
func (c *claims) island(d digest.Digest, offset, size int64, i island) bool {
	if i.start < 0 || i.start >= i.end || i.end > size {
		return false
	}
	cl := c.part(d, offset, size)
	at, found := slices.BinarySearchFunc(cl.islands, i.start, func(x island, start int64) int { return cmp.Compare(x.start, start) })
	if found {
		cl.islands[at] = i
	} else {
		cl.islands = slices.Insert(cl.islands, at, i)
	}
	return true
}

// part gives the claim about a blob that is not whole, a new one when the blob has moved.
func (c *claims) part(d digest.Digest, offset, size int64) *claim {
	old := c.blobs[d]
	if old == nil || old.whole || old.generation != c.generation || old.offset != offset || old.size != size {
		old = &claim{generation: c.generation, offset: offset, size: size}
		c.blobs[d] = old
	}
	return old
}

// advance puts the data file in use aside for a new one.
func (c *claims) advance(generation uint32) {
	c.aside[c.generation] = true
	c.generation = generation
}

// retire forgets what was claimed about a data file that is gone.
func (c *claims) retire(generation uint32) {
	delete(c.aside, generation)
	for d, cl := range c.blobs {
		if cl.generation == generation {
			delete(c.blobs, d)
		}
	}
}

func fromRaw(p []byte) digest.Digest {
	return digest.NewDigestFromEncoded(digest.SHA256, hex.EncodeToString(p[:sha256.Size]))
}

func blobFields(p []byte) (d digest.Digest, offset, size int64) {
	return fromRaw(p), int64(binary.BigEndian.Uint64(p[32:])), int64(binary.BigEndian.Uint64(p[40:]))
}

// append writes one record. When the disk is full the journal stays as it was.
func (j *journal) append(kind recordKind, payload []byte) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	_, err := j.appendLocked(kind, payload)
	return err
}

func (j *journal) appendLocked(kind recordKind, payload []byte) (at int64, err error) {
	rec := make([]byte, 0, recordFrame+len(payload))
	rec = append(rec, byte(kind))
	rec = binary.BigEndian.AppendUint32(rec, uint32(len(payload)))
	rec = append(rec, payload...)
	rec = binary.BigEndian.AppendUint32(rec, crc32.Checksum(rec, castagnoli))
	if _, err := j.f.WriteAt(rec, j.end); err != nil {
		j.f.Truncate(j.end) // best effort: the next append overwrites the torn record anyway
		return 0, fmt.Errorf("write journal %s: %w", j.f.Name(), noSpace(err))
	}
	at = j.end
	j.end += int64(len(rec))
	return at, nil
}

// addDocument keeps a document unless it is there already.
func (j *journal) addDocument(raw []byte) (digest.Digest, error) {
	d := digest.FromBytes(raw)
	j.mu.Lock()
	defer j.mu.Unlock()
	if _, ok := j.docs[d]; ok {
		return d, nil
	}
	at, err := j.appendLocked(recordDocument, raw)
	if err != nil {
		return "", err
	}
	j.docs[d] = docPlace{off: at + 5, size: int32(len(raw))}
	return d, nil
}

// document reads a document back and checks it again.
func (j *journal) document(d digest.Digest) ([]byte, error) {
	j.mu.Lock()
	p, ok := j.docs[d]
	j.mu.Unlock()
	if !ok {
		return nil, fmt.Errorf("document %s: %w", d, ErrNotFound)
	}
	raw := make([]byte, p.size)
	if _, err := j.f.ReadAt(raw, p.off); err != nil {
		return nil, fmt.Errorf("read journal %s: %w", j.f.Name(), err)
	}
	if got := digest.FromBytes(raw); got != d {
		return nil, fmt.Errorf("read journal %s: %w", j.f.Name(), &DigestError{Want: d, Got: got, Size: int64(len(raw))})
	}
	return raw, nil
}

func (j *journal) blobDone(b *Blob) error {
	return j.append(recordBlob, blobPayload(b))
}

func (j *journal) blobMark(b *Blob, n int64, sum []byte) error {
	p := binary.BigEndian.AppendUint64(blobPayload(b), uint64(n))
	return j.append(recordMark, append(p, sum...))
}

func (j *journal) blobIsland(b *Blob, i island) error {
	p := binary.BigEndian.AppendUint64(blobPayload(b), uint64(i.start))
	p = binary.BigEndian.AppendUint64(p, uint64(i.end))
	return j.append(recordIsland, binary.BigEndian.AppendUint32(p, i.sum))
}

func (j *journal) blobDropped(b *Blob) error {
	raw := manifest.RawDigest(b.Digest)
	return j.append(recordDropped, raw[:])
}

func (j *journal) number(kind recordKind, n uint32) error {
	return j.append(kind, binary.BigEndian.AppendUint32(nil, n))
}

func blobPayload(b *Blob) []byte {
	raw := manifest.RawDigest(b.Digest)
	p := binary.BigEndian.AppendUint64(raw[:], uint64(b.Offset))
	return binary.BigEndian.AppendUint64(p, uint64(b.Size))
}

// empty tells whether the journal holds no record.
func (j *journal) empty() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.end == int64(len(journalMagic))
}

// remove deletes the journal. Where locks are, it is deleted while still locked, so that
// no other run can take it up in between; some systems only delete closed files.
func (j *journal) remove() error {
	if os.Remove(j.f.Name()) == nil {
		return nil
	}
	j.f.Close()
	return os.Remove(j.f.Name())
}
