package app

import (
	"errors"
	"io"
	"sync"
)

// bodies keeps the bytes of deliveries that have just been acked until the
// road takes them, so that they need not be read back, unpacked and hashed
// again. What does not fit is read from the archive. Memory of bodies that
// have been decoded is used for those that come.
type bodies struct {
	mu    sync.Mutex
	m     map[string][]byte // by SHA-256
	size  int
	full  int // bodies in a row that there was no room for
	spare [][]byte
}

const (
	firstBody = 64 << 10 // bytes of memory that a body begins with
	maxBody   = 8 << 20  // bytes of one body that is kept
	maxBodies = 32 << 20 // bytes of all
	maxSpare  = 3        // bodies whose memory waits for others
	maxFull   = 100      // bodies without room, after which those that are kept count as unwanted
)

// read takes a body into memory, whole if it is small. Otherwise rest gives
// what comes after b.
func (x *bodies) read(body io.Reader) (b []byte, rest io.Reader, err error) {
	b = x.memory()
	n := 0
	for {
		m, err := io.ReadFull(body, b[n:])
		if n += m; errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return b[:n], nil, nil
		}
		if err != nil {
			x.recycle(b)
			return nil, nil, err
		}
		if n > maxBody {
			return b[:n], body, nil
		}
		// Grown by the size of most reports at once: io.ReadAll would clear and
		// copy several times as much.
		bigger := make([]byte, max(4<<20, 2*n))
		copy(bigger, b)
		b = bigger
	}
}

func (x *bodies) memory() []byte {
	x.mu.Lock()
	defer x.mu.Unlock()
	if n := len(x.spare); n > 0 {
		b := x.spare[n-1]
		x.spare = x.spare[:n-1]
		return b
	}
	return make([]byte, firstBody)
}

// recycle gives back the memory of a body that nobody reads any more.
func (x *bodies) recycle(b []byte) {
	b = b[:cap(b)]
	x.mu.Lock()
	defer x.mu.Unlock()
	if len(b) > firstBody && len(b) <= 2*maxBody && len(x.spare) < maxSpare {
		x.spare = append(x.spare, b)
	}
}

// put keeps a body that is in the archive, if there is room: those that came
// before it are wanted before it. It takes b over.
func (x *bodies) put(sha string, b []byte) {
	x.mu.Lock()
	if x.full > maxFull || x.m == nil {
		x.m, x.size, x.full = map[string][]byte{}, 0, 0
	}
	x.full++
	keep := x.m[sha] == nil && len(b) > 0 && x.size+cap(b) <= maxBodies
	if keep {
		x.m[sha] = b
		x.size += cap(b)
		x.full = 0
	}
	x.mu.Unlock()
	if !keep {
		x.recycle(b)
	}
}

// take returns the body, which is to be recycled, and forgets it; nil if it is
// not here.
func (x *bodies) take(sha string) []byte {
	x.mu.Lock()
	defer x.mu.Unlock()
	b := x.m[sha]
	x.size -= cap(b)
	delete(x.m, sha)
	return b
}
