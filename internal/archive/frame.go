package archive

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// A frame is how a content stands in a pack, and the whole of a blob:
//
//	0   4  magic "TOCF"
//	4   1  version, 1
//	5   1  codec
//	6   2  zero
//	8  32  SHA-256 of the content as received
//	40  8  raw length: bytes as received
//	48  8  stored length: bytes of the payload
//	56  4  CRC-32C of bytes 0 to 55
//	60  n  payload
//	60+n 4 CRC-32C of the payload
//
// Numbers are little-endian.
const (
	frameMagic   = "TOCF"
	frameVersion = 1
	frameHeader  = 60
	frameTail    = 4
)

// codec says how a payload is kept.
type codec uint8

const (
	codecRaw   codec = 0   // as it came
	codecZstd  codec = 1   // one zstd frame
	codecIndex codec = 255 // not a content: the index of a sealed pack
)

// castagnoli is the table of CRC-32C, which processors compute.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// header is the head of a frame.
type header struct {
	codec  codec
	sha    [32]byte
	raw    int64
	stored int64
}

// size is the number of bytes of the whole frame.
func (h *header) size() int64 { return frameHeader + h.stored + frameTail }

// put writes the header into the first bytes of b.
func (h *header) put(b []byte) {
	copy(b, frameMagic)
	b[4], b[5], b[6], b[7] = frameVersion, byte(h.codec), 0, 0
	copy(b[8:], h.sha[:])
	binary.LittleEndian.PutUint64(b[40:], uint64(h.raw))    //nolint:gosec // not negative
	binary.LittleEndian.PutUint64(b[48:], uint64(h.stored)) //nolint:gosec // not negative
	binary.LittleEndian.PutUint32(b[56:], crc32.Checksum(b[:56], castagnoli))
}

var errHeader = errors.New("the bytes are not a frame header")

// parseHeader reads a header and checks it.
func parseHeader(b []byte) (h header, err error) {
	if len(b) < frameHeader || string(b[:4]) != frameMagic ||
		binary.LittleEndian.Uint32(b[56:]) != crc32.Checksum(b[:56], castagnoli) {
		return h, errHeader
	}
	raw, stored := binary.LittleEndian.Uint64(b[40:]), binary.LittleEndian.Uint64(b[48:])
	if b[4] != frameVersion || raw > 1<<56 || stored > 1<<56 {
		return h, fmt.Errorf("%w: version %d", errHeader, b[4])
	}
	h.codec, h.raw, h.stored = codec(b[5]), int64(raw), int64(stored)
	copy(h.sha[:], b[8:])
	return h, nil
}

// readHeader reads the header at off.
func readHeader(r io.ReaderAt, off int64) (header, error) {
	var b [frameHeader]byte
	if n, err := r.ReadAt(b[:], off); n < len(b) {
		if errors.Is(err, io.EOF) {
			return header{}, errHeader
		}
		return header{}, err
	}
	return parseHeader(b[:])
}

// A pack begins with 16 bytes: "TOCPACK", version 1, its number, and the
// CRC-32C of those 12. A sealed pack ends with a frame of codecIndex, whose
// payload has 12 bytes a content (the first 8 of its SHA-256, its offset), and
// 16 bytes: "TOCI", the CRC-32C of the rest, and the offset of that frame.
const (
	packMagic  = "TOCPACK\x01"
	packHeader = 16
	sealMagic  = "TOCI"
	sealSize   = 16
	entrySize  = 12
)

func putPackHeader(b []byte, n uint32) {
	copy(b, packMagic)
	binary.LittleEndian.PutUint32(b[8:], n)
	binary.LittleEndian.PutUint32(b[12:], crc32.Checksum(b[:12], castagnoli))
}

// checkPackHeader reports whether f begins as pack n does.
func checkPackHeader(r io.ReaderAt, n uint32) (bool, error) {
	var got, want [packHeader]byte
	putPackHeader(want[:], n)
	if _, err := r.ReadAt(got[:], 0); err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	return got == want, nil
}

func putSeal(b []byte, off int64) {
	copy(b, sealMagic)
	binary.LittleEndian.PutUint64(b[8:], uint64(off)) //nolint:gosec // not negative
	binary.LittleEndian.PutUint32(b[4:], crc32.Checksum(b[8:16], castagnoli))
}

// readSeal returns the offset of the index frame of a sealed pack of that
// size, and false if the pack does not end with a seal.
func readSeal(r io.ReaderAt, size int64) (int64, bool, error) {
	if size < packHeader+frameHeader+frameTail+sealSize {
		return 0, false, nil
	}
	var b [sealSize]byte
	if _, err := r.ReadAt(b[:], size-sealSize); err != nil && !errors.Is(err, io.EOF) {
		return 0, false, err
	}
	off := binary.LittleEndian.Uint64(b[8:])
	if string(b[:4]) != sealMagic || binary.LittleEndian.Uint32(b[4:]) != crc32.Checksum(b[8:], castagnoli) || off > 1<<56 {
		return 0, false, nil
	}
	return int64(off), true, nil
}
