package store

import (
	"errors"
	"net/netip"
	"syscall"
	"unsafe"

	b "github.com/duckdb/duckdb-go-bindings"

	"tocsin/internal/event"
)

// vectorSize is how many rows a chunk of DuckDB's holds (STANDARD_VECTOR_SIZE).
const vectorSize = 2048

// chunkWriter writes typed columns straight into DuckDB's vectors. A column
// that is not put in a row is 0 there, or NULL if it is text. It belongs to the writing connection
// and is used by one goroutine.
//
// Text longer than the 12 bytes that a vector entry holds is copied to an
// arena outside the Go heap, since DuckDB keeps the pointer until the chunk is
// appended.
type chunkWriter struct {
	app   b.Appender
	chunk b.DataChunk
	types []b.Type
	data  []unsafe.Pointer
	valid [][]uint64 // of columns of text; nil for others
	n     int
	arena []byte
	used  int
	held  bool // rows are appended and not yet flushed
	err   error
}

// arenaSize bounds the long text of one chunk, in bytes; a chunk is appended
// early when the next row might not fit. Pages of it that are never written
// take no memory.
const arenaSize = 16 << 20

// maxText bounds one value, in bytes; a line is at most 1 MiB.
const maxText = 4 << 20

func newChunkWriter(c *conn, table string, types []b.Type) (*chunkWriter, error) {
	w := &chunkWriter{types: types}
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

var typeSize = map[b.Type]int{tU8: 1, tU16: 2, tU32: 4, tI32: 4, tI64: 8, tU128: 16, tTime: 8}

// reset fetches the vectors of an empty chunk and makes every value 0 or NULL.
func (w *chunkWriter) reset() {
	for i, t := range w.types {
		v := b.DataChunkGetVector(w.chunk, b.IdxT(i))
		w.data[i] = b.VectorGetData(v)
		if t != tText {
			clear(unsafe.Slice((*byte)(w.data[i]), vectorSize*typeSize[t]))
			continue
		}
		b.VectorEnsureValidityWritable(v)
		w.valid[i] = unsafe.Slice((*uint64)(b.VectorGetValidity(v)), vectorSize/64)
		clear(w.valid[i])
	}
	w.n, w.used = 0, 0
}

func put[T any](w *chunkWriter, c int, v T) {
	*(*T)(unsafe.Add(w.data[c], w.n*int(unsafe.Sizeof(v)))) = v
}

func (w *chunkWriter) id(c int, v event.ID) { put(w, c, [2]uint64{v.Lo, v.Hi}) }

func (w *chunkWriter) addr(c int, a netip.Addr) {
	if a.IsValid() {
		w.id(c, event.AddressKey(a))
	}
}

// text puts s, which must be UTF-8: DuckDB's functions rely on it.
func (w *chunkWriter) text(c int, s []byte) {
	w.valid[c][w.n>>6] |= 1 << (w.n & 63)
	p := unsafe.Add(w.data[c], w.n*16)
	if len(s) <= 12 {
		*(*[16]byte)(p) = [16]byte{}
		*(*uint32)(p) = uint32(len(s))
		copy((*[12]byte)(unsafe.Add(p, 4))[:], s)
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
}

// str puts text from outside; what is not UTF-8 becomes U+FFFD, and it is cut
// to a bounded length.
func (w *chunkWriter) str(c int, s string) {
	s = clean(s)
	w.text(c, unsafe.Slice(unsafe.StringData(s), len(s)))
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
	w.held = true
}

// flush hands everything to the open transaction.
func (w *chunkWriter) flush() error {
	w.append()
	if w.err == nil && w.held && b.AppenderFlush(w.app) != b.StateSuccess {
		w.err = duckError(b.AppenderError(w.app))
	}
	w.held = false
	return w.err
}

// close drops what was not flushed.
func (w *chunkWriter) close() {
	b.AppenderClear(w.app)
	b.AppenderDestroy(&w.app)
	b.DestroyDataChunk(&w.chunk)
	_ = syscall.Munmap(w.arena)
}
