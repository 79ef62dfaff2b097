package app

import (
	"bytes"
	"errors"
	"io"
	"sync"
)

// bodies keeps the bytes of deliveries that have just been acked until the
// road takes them, so that they need not be read back, unpacked and hashed
// again. What does not fit is read from the archive.
type bodies struct {
	mu   sync.Mutex
	m    map[string][]byte // by SHA-256
	size int
}

const (
	maxBody   = 8 << 20  // bytes of one body that is kept
	maxBodies = 24 << 20 // bytes of all
)

// read takes a body into memory if it is small. Otherwise b is nil. Either way
// r gives all of it.
func (x *bodies) read(body io.Reader) (r io.Reader, b []byte, err error) {
	b = make([]byte, 64<<10)
	n := 0
	for {
		m, err := io.ReadFull(body, b[n:])
		if n += m; errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			b = b[:n:n]
			return bytes.NewReader(b), b, nil
		}
		if err != nil {
			return nil, nil, err
		}
		if n > maxBody {
			return io.MultiReader(bytes.NewReader(b), body), nil, nil
		}
		// Grown by the size of most reports at once: io.ReadAll would clear and
		// copy several times as much.
		bigger := make([]byte, max(4<<20, 2*n))
		copy(bigger, b)
		b = bigger
	}
}

func (x *bodies) put(sha string, b []byte) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if b == nil || x.m[sha] != nil {
		return
	}
	for old, o := range x.m { // any: all are in the archive
		if x.size+len(b) <= maxBodies {
			break
		}
		x.size -= len(o)
		delete(x.m, old)
	}
	if x.m == nil {
		x.m = map[string][]byte{}
	}
	x.m[sha] = b
	x.size += len(b)
}

// take returns the body and forgets it; nil if it is not here.
func (x *bodies) take(sha string) []byte {
	x.mu.Lock()
	defer x.mu.Unlock()
	b := x.m[sha]
	x.size -= len(b)
	delete(x.m, sha)
	return b
}
