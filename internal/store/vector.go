package store

import (
	"errors"
	"net/netip"
	"strings"
	"syscall"
	"unicode/utf8"
	"unsafe"

	b "github.com/duckdb/duckdb-go-bindings"

	"tocsin/internal/event"
)

// vectorSize is how many rows a chunk of DuckDB's holds (STANDARD_VECTOR_SIZE).
const vectorSize = 2048

// chunkWriter writes typed columns straight into DuckDB's vectors. A column
// that is not put in a row is NULL there. It belongs to the writing connection
// and is used by one goroutine.
//
// Text longer than the 12 bytes that a vector entry holds is copied to an
// arena outside the Go heap, since DuckDB keeps the pointer until the chunk is
// appended.
type chunkWriter struct {
	app   b.Appender
	chunk b.DataChunk
	data  []unsafe.Pointer
	valid [][]uint64
	n     int
	arena []byte
	used  int
	err   error
}

// arenaSize bounds the long text of one chunk, in bytes; a chunk is appended
// early when the next row might not fit.
const arenaSize = 16 << 20

// maxText bounds one value, in bytes; a line is at most 1 MiB.
const maxText = 4 << 20

func newChunkWriter(c *conn, table string, types []b.Type) (*chunkWriter, error) {
	w := &chunkWriter{}
	if b.AppenderCreate(c.c, "", table, &w.app) != b.StateSuccess {
		err := duckError(b.AppenderError(w.app))
		b.AppenderDestroy(&w.app)
		return nil, err
	}
	lt := make([]b.LogicalType, len(types))
	for i, t := range types {
		lt[i] = b.CreateLogicalType(t)
	}
	w.chunk = b.CreateDataChunk(lt)
	for i := range lt {
		b.DestroyLogicalType(&lt[i])
	}
	var err error
	if w.arena, err = syscall.Mmap(-1, 0, arenaSize, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE); err != nil {
		return nil, err
	}
	w.data = make([]unsafe.Pointer, len(types))
	w.valid = make([][]uint64, len(types))
	w.reset()
	return w, nil
}

// reset fetches the vectors of an empty chunk and makes every value NULL.
func (w *chunkWriter) reset() {
	for i := range w.data {
		v := b.DataChunkGetVector(w.chunk, b.IdxT(i))
		w.data[i] = b.VectorGetData(v)
		b.VectorEnsureValidityWritable(v)
		w.valid[i] = unsafe.Slice((*uint64)(b.VectorGetValidity(v)), vectorSize/64)
		clear(w.valid[i])
	}
	w.n, w.used = 0, 0
}

func (w *chunkWriter) set(c int) { w.valid[c][w.n>>6] |= 1 << (w.n & 63) }

func put[T any](w *chunkWriter, c int, v T) {
	*(*T)(unsafe.Add(w.data[c], w.n*int(unsafe.Sizeof(v)))) = v
	w.set(c)
}

func (w *chunkWriter) id(c int, v event.ID) { put(w, c, [2]uint64{v.Lo, v.Hi}) }

func (w *chunkWriter) addr(c int, a netip.Addr) {
	if a.IsValid() {
		w.id(c, event.AddressKey(a))
	}
}

// text puts s; the empty string is NULL. Bytes that are not UTF-8 become
// U+FFFD: DuckDB's functions rely on it, and the bytes stand in the archive.
func (w *chunkWriter) text(c int, s string) {
	if s == "" {
		return
	}
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "\uFFFD")
	}
	w.bytes(c, unsafe.Slice(unsafe.StringData(s), len(s)))
}

// bytes puts text that is known to be UTF-8.
func (w *chunkWriter) bytes(c int, s []byte) {
	p := unsafe.Add(w.data[c], w.n*16)
	if len(s) <= 12 {
		*(*[16]byte)(p) = [16]byte{}
		*(*uint32)(p) = uint32(len(s))
		copy((*[12]byte)(unsafe.Add(p, 4))[:], s)
		w.set(c)
		return
	}
	if len(s) > maxText || w.used+len(s) > len(w.arena) {
		w.err = errors.New("store: a row's text is larger than 4 MiB")
		return
	}
	*(*uint32)(p) = uint32(len(s))
	copy(w.arena[w.used:], s)
	copy((*[4]byte)(unsafe.Add(p, 4))[:], s)
	*(*unsafe.Pointer)(unsafe.Add(p, 8)) = unsafe.Pointer(&w.arena[w.used])
	w.used += len(s)
	w.set(c)
}

// row ends the row.
func (w *chunkWriter) row() {
	if w.n++; w.n == vectorSize || w.used > arenaSize-2*maxText {
		w.append()
	}
}

func (w *chunkWriter) append() {
	if w.n == 0 || w.err != nil {
		return
	}
	b.DataChunkSetSize(w.chunk, b.IdxT(w.n))
	if b.AppendDataChunk(w.app, w.chunk) != b.StateSuccess {
		w.err = duckError(b.AppenderError(w.app))
		return
	}
	b.DataChunkReset(w.chunk)
	w.reset()
}

// flush hands everything to the open transaction.
func (w *chunkWriter) flush() error {
	w.append()
	if w.err == nil && b.AppenderFlush(w.app) != b.StateSuccess {
		w.err = duckError(b.AppenderError(w.app))
	}
	return w.err
}

// close drops what was not flushed.
func (w *chunkWriter) close() {
	b.AppenderClear(w.app)
	b.AppenderDestroy(&w.app)
	b.DestroyDataChunk(&w.chunk)
	_ = syscall.Munmap(w.arena)
}
