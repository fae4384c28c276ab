package writer

import (
	"bufio"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
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
	"stowage/pkg/archive"
)

// The journal lies beside the unfinished file and holds what a killed run had: the
// manifests themselves, and records about blobs ("this many bytes at this offset of the
// data file are the start of that blob"). Records are hints: whatever they name is hashed
// again before it is used.
//
// It is append-only: the magic line, then records of kind (1 byte), payload length
// (4 bytes, big endian), payload, CRC-32C of all that. A record is one write, so that a
// kill leaves at most one torn record, at the end, which the next run cuts off. The
// journal is not synced: a power cut may cost work, not correctness.
const journalMagic = "stowage draft 1\n"

type recordKind byte

const (
	recordMetadata   recordKind = 'd' // the raw manifest, index or config
	recordGeneration recordKind = 'g' // number of the data file that the records after it are about
	recordRetired    recordKind = 'r' // number of a data file that was removed
	recordBlob       recordKind = 'b' // a complete blob: digest, offset, size
	recordCheckpoint recordKind = 'm' // the start of a blob: digest, offset, size, length, sha256 of it
	recordAhead      recordKind = 'i' // bytes after a gap: digest, offset, size, start, end, CRC-32C of them
	recordDropped    recordKind = 'x' // no byte of this blob is good: digest
)

const recordFrame = 1 + 4 + 4

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// journal is the open journal. Methods may be used from many goroutines.
type journal struct {
	mu   sync.Mutex
	f    *os.File
	end  int64
	docs map[digest.Digest]metadataPlace
}

// metadataPlace is where the bytes of a manifest are in the journal.
type metadataPlace struct {
	off  int64
	size int32
}

// record is what earlier runs recorded about one blob.
type record struct {
	generation  uint32
	offset      int64
	size        int64
	complete    bool
	checkpoints []checkpoint // ascending
	ahead       []aheadRange // by start
}

// checkpoint records that the first n bytes have this sha256.
type checkpoint struct {
	n   int64
	sum [sha256.Size]byte
}

// aheadRange is an out-of-order range: a run of bytes of a blob that arrived before those
// in front of it. It cannot be hashed yet. Its checksum shows a later run whether the disk
// still has it, and the digest of the blob whether it was right.
type aheadRange struct {
	start, end int64
	sum        uint32
}

// records is what a journal holds beside manifests.
type records struct {
	generation uint32          // of the data file in use
	aside      map[uint32]bool // earlier generations whose data file was not removed yet
	blobs      map[digest.Digest]*record
}

func newRecords() *records {
	return &records{aside: map[uint32]bool{}, blobs: map[digest.Digest]*record{}}
}

// readJournal reads the journal in f and cuts off a torn end. A file that is not a journal
// is an error and is not changed.
func readJournal(f *os.File) (*journal, *records, error) {
	j := &journal{f: f, docs: map[digest.Digest]metadataPlace{}}
	rs := newRecords()
	info, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	r := bufio.NewReaderSize(io.NewSectionReader(f, 0, info.Size()), iox.BufferSize)
	magic := make([]byte, len(journalMagic))
	n, err := io.ReadFull(r, magic)
	if string(magic[:n]) != journalMagic[:n] {
		return nil, nil, fmt.Errorf("%s is not a journal of an unfinished bundle; remove it, or write the bundle to another path", f.Name())
	}
	if err == nil {
		j.end = int64(len(magic))
		for {
			kind, payload, err := readRecord(r)
			if err != nil {
				break
			}
			if !j.apply(rs, kind, payload) {
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
	return j, rs, nil
}

var errTorn = errors.New("torn record")

// readRecord returns the next intact record.
func readRecord(r io.Reader) (recordKind, []byte, error) {
	var frame [5]byte
	if _, err := io.ReadFull(r, frame[:]); err != nil {
		return 0, nil, err
	}
	n := binary.BigEndian.Uint32(frame[1:])
	if n > archive.MaxMetadata {
		return 0, nil, errTorn
	}
	body, err := iox.ReadExactly(r, int(n)+4)
	if err != nil {
		return 0, nil, err
	}
	payload := body[:n]
	sum := crc32.Update(crc32.Checksum(frame[:], castagnoli), castagnoli, payload)
	if sum != binary.BigEndian.Uint32(body[n:]) {
		return 0, nil, errTorn
	}
	return recordKind(frame[0]), payload, nil
}

// apply adds a record to rs; false when it is inconsistent.
func (j *journal) apply(rs *records, kind recordKind, p []byte) bool {
	switch {
	case kind == recordMetadata:
		j.docs[digest.FromBytes(p)] = metadataPlace{off: j.end + 5, size: int32(len(p))}
	case kind == recordGeneration && len(p) == 4:
		rs.advance(binary.BigEndian.Uint32(p))
	case kind == recordRetired && len(p) == 4:
		rs.retire(binary.BigEndian.Uint32(p))
	case kind == recordBlob && len(p) == 48:
		d, offset, size := blobFields(p)
		if offset < 0 || size < 0 {
			return false
		}
		rs.blobs[d] = &record{generation: rs.generation, offset: offset, size: size, complete: true}
	case kind == recordCheckpoint && len(p) == 88:
		d, offset, size := blobFields(p)
		c := checkpoint{n: int64(binary.BigEndian.Uint64(p[48:])), sum: [32]byte(p[56:])}
		return offset >= 0 && rs.addCheckpoint(d, offset, size, c)
	case kind == recordAhead && len(p) == 68:
		d, offset, size := blobFields(p)
		a := aheadRange{
			start: int64(binary.BigEndian.Uint64(p[48:])), end: int64(binary.BigEndian.Uint64(p[56:])),
			sum: binary.BigEndian.Uint32(p[64:]),
		}
		return offset >= 0 && rs.addAhead(d, offset, size, a)
	case kind == recordDropped && len(p) == 32:
		delete(rs.blobs, fromRaw(p))
	default:
		return false
	}
	return true
}

// addCheckpoint records the hash of the start of a blob.
func (rs *records) addCheckpoint(d digest.Digest, offset, size int64, c checkpoint) bool {
	if c.n < 0 || c.n > size {
		return false
	}
	r := rs.partial(d, offset, size)
	for len(r.checkpoints) > 0 && r.checkpoints[len(r.checkpoints)-1].n >= c.n {
		r.checkpoints = r.checkpoints[:len(r.checkpoints)-1]
	}
	r.checkpoints = append(r.checkpoints, c)
	return true
}

// addAhead records an out-of-order range. It replaces the shorter one it has grown from.
func (rs *records) addAhead(d digest.Digest, offset, size int64, a aheadRange) bool {
	if a.start < 0 || a.start >= a.end || a.end > size {
		return false
	}
	r := rs.partial(d, offset, size)
	at, found := slices.BinarySearchFunc(r.ahead, a.start, func(x aheadRange, start int64) int { return cmp.Compare(x.start, start) })
	if found {
		r.ahead[at] = a
	} else {
		r.ahead = slices.Insert(r.ahead, at, a)
	}
	return true
}

// partial returns the record of a blob that is not complete, a new one when the blob has
// moved.
func (rs *records) partial(d digest.Digest, offset, size int64) *record {
	r := rs.blobs[d]
	if r == nil || r.complete || r.generation != rs.generation || r.offset != offset || r.size != size {
		r = &record{generation: rs.generation, offset: offset, size: size}
		rs.blobs[d] = r
	}
	return r
}

// advance puts the data file in use aside for a new one.
func (rs *records) advance(generation uint32) {
	rs.aside[rs.generation] = true
	rs.generation = generation
}

// retire drops what was recorded about a data file that is removed.
func (rs *records) retire(generation uint32) {
	delete(rs.aside, generation)
	for d, r := range rs.blobs {
		if r.generation == generation {
			delete(rs.blobs, d)
		}
	}
}

func fromRaw(p []byte) digest.Digest {
	return digest.NewDigestFromBytes(digest.SHA256, p[:sha256.Size])
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
		return 0, fmt.Errorf("write journal %s: %w", j.f.Name(), archive.NoSpace(err))
	}
	at = j.end
	j.end += int64(len(rec))
	return at, nil
}

// addMetadata appends a manifest, index or config unless the journal has it already.
func (j *journal) addMetadata(raw []byte) (digest.Digest, error) {
	d := digest.FromBytes(raw)
	j.mu.Lock()
	defer j.mu.Unlock()
	if _, ok := j.docs[d]; ok {
		return d, nil
	}
	at, err := j.appendLocked(recordMetadata, raw)
	if err != nil {
		return "", err
	}
	j.docs[d] = metadataPlace{off: at + 5, size: int32(len(raw))}
	return d, nil
}

// metadata reads a manifest, index or config back and checks it again.
func (j *journal) metadata(d digest.Digest) ([]byte, error) {
	j.mu.Lock()
	p, ok := j.docs[d]
	j.mu.Unlock()
	if !ok {
		return nil, fmt.Errorf("manifest %s: %w", d, archive.ErrNotFound)
	}
	raw := make([]byte, p.size)
	if _, err := j.f.ReadAt(raw, p.off); err != nil {
		return nil, fmt.Errorf("read journal %s: %w", j.f.Name(), err)
	}
	if got := digest.FromBytes(raw); got != d {
		return nil, fmt.Errorf("read journal %s: %w", j.f.Name(), &archive.DigestError{Want: d, Got: got, Size: int64(len(raw))})
	}
	return raw, nil
}

func (j *journal) blobDone(b *archive.Blob) error {
	return j.append(recordBlob, blobPayload(b))
}

func (j *journal) blobCheckpoint(b *archive.Blob, n int64, sum []byte) error {
	p := binary.BigEndian.AppendUint64(blobPayload(b), uint64(n))
	return j.append(recordCheckpoint, append(p, sum...))
}

func (j *journal) blobAhead(b *archive.Blob, a aheadRange) error {
	p := binary.BigEndian.AppendUint64(blobPayload(b), uint64(a.start))
	p = binary.BigEndian.AppendUint64(p, uint64(a.end))
	return j.append(recordAhead, binary.BigEndian.AppendUint32(p, a.sum))
}

func (j *journal) blobDropped(b *archive.Blob) error {
	raw := manifest.RawDigest(b.Digest)
	return j.append(recordDropped, raw[:])
}

func (j *journal) number(kind recordKind, n uint32) error {
	return j.append(kind, binary.BigEndian.AppendUint32(nil, n))
}

func blobPayload(b *archive.Blob) []byte {
	raw := manifest.RawDigest(b.Digest)
	p := binary.BigEndian.AppendUint64(raw[:], uint64(b.Offset))
	return binary.BigEndian.AppendUint64(p, uint64(b.Size))
}

// empty reports whether the journal holds no record.
func (j *journal) empty() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.end == int64(len(journalMagic))
}

// remove deletes the journal. Where the system allows, it does so while the journal is
// still locked, so that no other run can open it in between; some systems only delete
// closed files.
func (j *journal) remove() error {
	if os.Remove(j.f.Name()) == nil {
		return nil
	}
	j.f.Close()
	return os.Remove(j.f.Name())
}
