package refdata

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"math/bits"

	"github.com/klauspost/compress/zstd"
)

// magic opens the content of a table file; docs/refdata.md gives the rest.
// Version 2 adds the countries of registration; in version 1 the countries are
// the registries' own.
const (
	magic  = "tocsin-refdata 1\n"
	magic2 = "tocsin-refdata 2\n"
)

var zstdMagic = []byte{0x28, 0xb5, 0x2f, 0xfd}

// Append appends the tables to b in tocsin's own format, one zstd frame. The
// same tables give the same bytes in one release of the program.
func (t *Tables) Append(b []byte) ([]byte, error) {
	w, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedBestCompression), zstd.WithWindowSize(16<<20))
	if err != nil {
		return nil, fmt.Errorf("compress reference data: %w", err)
	}
	return w.EncodeAll(t.content(), b), nil
}

// content writes the tables out: magic, the sources as JSON, the names, and the
// four lists of ranges, or six.
func (t *Tables) content() []byte {
	b := []byte(magic)
	if !t.reg.country {
		b = []byte(magic2)
	}
	src, err := json.Marshal(t.sources)
	if err != nil {
		src = []byte("[]") // cannot happen: strings and a number
	}
	b = appendBytes(b, src)
	b = binary.AppendUvarint(b, uint64(len(t.asns)))
	last := uint32(0)
	for _, asn := range t.asns {
		b = binary.AppendUvarint(b, uint64(asn-last))
		last = asn
	}
	for i := range t.asns {
		b = append(b, byte(t.name[i+1]-t.name[i])) //nolint:gosec // at most maxASName
	}
	b = append(b, t.text...)
	b = appendRanges(b, t.as4)
	b = appendRanges(b, t.as6)
	b = appendRanges(b, t.cc4)
	b = appendRanges(b, t.cc6)
	if !t.reg.country {
		b = appendRanges(b, t.reg.cc4)
		b = appendRanges(b, t.reg.cc6)
	}
	return b
}

func appendBytes(b, x []byte) []byte {
	return append(binary.AppendUvarint(b, uint64(len(x))), x...)
}

// appendRanges writes the number of ranges and then, column by column: for
// each but the first, which starts at 0, the trailing zero bits of the distance
// to the start before; that distance without them; and for each its value.
func appendRanges[K key, V uint16 | uint32](b []byte, r ranges[K, V]) []byte {
	b = binary.AppendUvarint(b, uint64(len(r.start)))
	var zeros, dist []byte
	for i := 1; i < len(r.start); i++ {
		d := uint64(r.start[i] - r.start[i-1])
		z := bits.TrailingZeros64(d)
		zeros = append(zeros, byte(z)) //nolint:gosec // at most 63
		dist = binary.AppendUvarint(dist, d>>z)
	}
	var vals []byte
	for _, v := range r.value {
		vals = binary.AppendUvarint(vals, uint64(v))
	}
	b = append(b, zeros...)
	b = appendBytes(b, dist)
	return appendBytes(b, vals)
}

// Parse reads tables in tocsin's own format, as [Tables.Append] writes them.
func Parse(b []byte) (*Tables, error) {
	r, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxContent))
	if err != nil {
		return nil, fmt.Errorf("decompress reference data: %w", err)
	}
	defer r.Close()
	c, err := r.DecodeAll(b, nil)
	if err != nil {
		return nil, fmt.Errorf("%w: decompress: %w", ErrInvalid, err)
	}
	t, err := parseContent(c)
	if err != nil {
		return nil, err
	}
	h := sha256.Sum256(c)
	t.version = hex.EncodeToString(h[:])
	return t, nil
}

func parseContent(c []byte) (*Tables, error) {
	second := bytes.HasPrefix(c, []byte(magic2))
	if !second && !bytes.HasPrefix(c, []byte(magic)) {
		return nil, fmt.Errorf("%w: not a tocsin table of version 1 or 2", ErrInvalid)
	}
	in := &input{b: c[len(magic):]}
	t := &Tables{}
	if err := json.Unmarshal(in.bytes(in.count()), &t.sources); err != nil {
		return nil, fmt.Errorf("%w: sources: %w", ErrInvalid, err)
	}
	n := in.count()
	t.asns = make([]uint32, n)
	asn := uint64(0)
	for i := range t.asns {
		d := in.uvarint()
		if asn += d; d == 0 || asn > math.MaxUint32 {
			return nil, fmt.Errorf("%w: AS numbers are not in order", ErrInvalid)
		}
		t.asns[i] = uint32(asn)
	}
	t.name = make([]uint32, n+1)
	for i, l := range in.bytes(n) {
		t.name[i+1] = t.name[i] + uint32(l)
	}
	t.text = string(in.bytes(int(t.name[n])))
	t.as4 = readRanges[uint32, uint32](in, math.MaxUint32)
	t.as6 = readRanges[uint64, uint32](in, math.MaxUint32)
	t.cc4 = readRanges[uint32, uint16](in, uint64(len(codes)-1))
	t.cc6 = readRanges[uint64, uint16](in, uint64(len(codes)-1))
	if second {
		t.reg.cc4 = readRanges[uint32, uint16](in, uint64(len(codes)-1))
		t.reg.cc6 = readRanges[uint64, uint16](in, uint64(len(codes)-1))
	} else {
		t.ofRegistries()
	}
	if in.bad || len(in.b) > 0 {
		return nil, fmt.Errorf("%w: the table is damaged", ErrInvalid)
	}
	return t, nil
}

func readRanges[K key, V uint16 | uint32](in *input, maxValue uint64) (r ranges[K, V]) {
	n := in.count()
	if n == 0 || in.bad {
		in.bad = true // even a table that knows nothing has one range
		return r
	}
	zeros := in.bytes(n - 1)
	dist := &input{b: in.bytes(in.count())}
	vals := &input{b: in.bytes(in.count())}
	if in.bad {
		return r
	}
	r.start, r.value = make([]K, n), make([]V, n)
	var z K
	at, end := uint64(0), uint64(^z)
	for i, k := range zeros {
		d := dist.uvarint()
		if k > 63 || d == 0 || d > end>>k || d<<k > end-at {
			in.bad = true
			return r
		}
		at += d << k
		r.start[i+1] = K(at)
	}
	for i := range r.value {
		v := vals.uvarint()
		if v > maxValue {
			in.bad = true
			return r
		}
		r.value[i] = V(v)
	}
	if dist.bad || vals.bad || len(dist.b) > 0 || len(vals.b) > 0 {
		in.bad = true
		return r
	}
	r.index()
	return r
}

// input reads a table's content; bad is set when it ends too early.
type input struct {
	b   []byte
	bad bool
}

func (in *input) uvarint() uint64 {
	if len(in.b) > 0 && in.b[0] < 0x80 {
		v := in.b[0]
		in.b = in.b[1:]
		return uint64(v)
	}
	v, n := binary.Uvarint(in.b)
	if n <= 0 {
		in.bad = true
		return 0
	}
	in.b = in.b[n:]
	return v
}

// count reads a number of things that take at least a byte each.
func (in *input) count() int {
	v := in.uvarint()
	if v > uint64(len(in.b)) {
		in.bad = true
		return 0
	}
	return int(v) //nolint:gosec // at most the length of a slice
}

func (in *input) bytes(n int) []byte {
	if n < 0 || n > len(in.b) {
		in.bad = true
		return nil
	}
	b := in.b[:n]
	in.b = in.b[n:]
	return b
}
