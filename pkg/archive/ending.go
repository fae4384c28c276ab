package archive

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
)

// maxBlocks bounds the walk over a zstd file: it is enough for 512 GiB in blocks of
// 128 KiB, the largest there are.
const maxBlocks = 1 << 22

// ending tells, without unpacking it, whether a compressed file is all there and can hold
// a tarball of size bytes. [ErrNoHead] when the file does not say.
func (p *packedFile) ending(size int64) error {
	if p.kind == Gzip {
		return p.gzipEnding(size)
	}
	content, err := p.zstdEnding()
	switch {
	case err != nil:
		return err
	case content >= 0 && (content < size || content > size+p.lim.tail):
		return p.wrongEnding(0, fmt.Errorf("%d bytes when unpacked, and its entries take %d", content, size))
	}
	return nil
}

// wrongEnding is damage at a place of the compressed file.
func (p *packedFile) wrongEnding(off int64, err error) error {
	return &DamagedError{File: p.path, Offset: off, Err: err, Advice: adviceCopy}
}

// gzipEnding reads the last field, the size modulo 2^32 (RFC 1952, 2.3.1). It is the size
// of all where the file is one member, as ours are; it need not be in other files.
func (p *packedFile) gzipEnding(size int64) error {
	var last [4]byte
	if _, err := p.src.ReadAt(last[:], p.size-int64(len(last))); err != nil && err != io.EOF {
		return err
	}
	if binary.LittleEndian.Uint32(last[:]) != uint32(size) {
		return fmt.Errorf("size at the end of the gzip stream: %w", ErrNoHead)
	}
	return nil
}

// zstdEnding seeks from block to block (RFC 8878, 3.1.1) to the end, which must be where
// the file ends. It gives the size of the content, or -1 when a frame does not state it.
func (p *packedFile) zstdEnding() (content int64, err error) {
	cut := func(off int64) error {
		return p.wrongEnding(off, fmt.Errorf("zstd stream is cut: %w", io.ErrUnexpectedEOF))
	}
	blocks := 0
	for off := int64(0); off < p.size; {
		var buf [zstd.HeaderMaxSize]byte
		n, err := p.src.ReadAt(buf[:], off)
		if err != nil && err != io.EOF {
			return 0, err
		}
		var h zstd.Header
		if err := h.Decode(buf[:n]); err != nil {
			if errors.Is(err, io.ErrUnexpectedEOF) {
				return 0, cut(off)
			}
			return 0, p.wrongEnding(off, fmt.Errorf("zstd stream: %w", err))
		}
		if h.Skippable {
			off += int64(h.HeaderSize) + int64(h.SkippableSize)
			continue
		}
		switch {
		case !h.HasFCS, content < 0, h.FrameContentSize > 1<<60:
			content = -1
		default:
			content += int64(h.FrameContentSize)
		}
		off += int64(h.HeaderSize)
		for last := false; !last; blocks++ {
			if blocks > maxBlocks {
				return 0, fmt.Errorf("more than %d zstd blocks: %w", maxBlocks, ErrNoHead)
			}
			var b [4]byte
			if _, err := p.src.ReadAt(b[:3], off); err == io.EOF {
				return 0, cut(off)
			} else if err != nil {
				return 0, err
			}
			last = b[0]&1 != 0
			off += 3 + blockContent(binary.LittleEndian.Uint32(b[:]))
		}
		if h.HasCheckSum {
			off += 4
		}
		if off > p.size {
			return 0, cut(p.size)
		}
	}
	return content, nil
}

// blockContent gives the bytes after a block's header: of a run there is one. What is
// wrong with a block shows when it is unpacked.
func blockContent(header uint32) int64 {
	const run = 1
	if header>>1&3 == run {
		return 1
	}
	return int64(header >> 3)
}
