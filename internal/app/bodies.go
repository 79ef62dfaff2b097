package app

import (
	"bytes"
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
	maxBodies = 32 << 20 // bytes of all
)

// read takes a body into memory if it is small. Otherwise b is nil. Either way
// r gives all of it.
func (x *bodies) read(body io.Reader) (r io.Reader, b []byte, err error) {
	b, err = io.ReadAll(io.LimitReader(body, maxBody+1))
	if err != nil {
		return nil, nil, err
	}
	if len(b) > maxBody {
		return io.MultiReader(bytes.NewReader(b), body), nil, nil
	}
	return bytes.NewReader(b), b, nil
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
