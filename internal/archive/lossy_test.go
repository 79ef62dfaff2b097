package archive

import (
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// lossyFS is a file system in memory that knows what has been synced. A power
// cut drops a random part of the rest: writes in any order, torn at sectors,
// and entries of directories that were not synced. Any call can be made to go
// wrong.
type lossyFS struct {
	mu     sync.Mutex
	now    map[string]*node // what programs see
	disk   map[string]*node // entries that survive
	dirops map[string][]dirop
	noSync bool // Sync and SyncDir do nothing: the negative control
	locked map[string]bool

	calls int                                   // calls that change or sync something
	fault func(call int, op, name string) error // asked before each of them
	syncs map[string]int                        // by the name's last extension
}

// node is a file or directory.
type node struct {
	dir     bool
	data    []byte
	durable []byte
	pending []change
}

// change is a write (data not nil) or a truncation that has not been synced.
type change struct {
	off  int64
	data []byte
}

// dirop is an entry that was made or removed.
type dirop struct {
	name string
	n    *node // nil: removed
}

var (
	errPower = errors.New("the power is off")
	_        = FS((*lossyFS)(nil))
)

func newLossyFS() *lossyFS {
	l := &lossyFS{now: map[string]*node{}, disk: map[string]*node{}, dirops: map[string][]dirop{}, locked: map[string]bool{}, syncs: map[string]int{}}
	for _, d := range []string{"/", "/srv"} {
		n := &node{dir: true}
		l.now[d], l.disk[d] = n, n
	}
	return l
}

// call counts a call and asks for its fault; l.mu is held.
func (l *lossyFS) call(op, name string) error {
	l.calls++
	if l.fault == nil {
		return nil
	}
	if err := l.fault(l.calls, op, name); err != nil {
		return &fs.PathError{Op: op, Path: name, Err: err}
	}
	return nil
}

func (l *lossyFS) enter(name string, n *node) {
	d := filepath.Dir(name)
	if n == nil {
		delete(l.now, name)
	} else {
		l.now[name] = n
	}
	l.dirops[d] = append(l.dirops[d], dirop{name, n})
}

func (l *lossyFS) OpenFile(name string, flag int, _ fs.FileMode) (File, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := l.now[name]
	switch {
	case n == nil && flag&os.O_CREATE == 0:
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	case n != nil && flag&os.O_EXCL != 0:
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrExist}
	case n == nil:
		if p := l.now[filepath.Dir(name)]; p == nil || !p.dir {
			return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
		}
		if err := l.call("create", name); err != nil {
			return nil, err
		}
		n = &node{}
		l.enter(name, n)
	case flag&os.O_TRUNC != 0 && len(n.data) > 0:
		if err := l.call("truncate", name); err != nil {
			return nil, err
		}
		n.data = nil
		n.pending = append(n.pending, change{})
	}
	return &lossyFile{l: l, n: n, name: name, write: flag&(os.O_RDWR|os.O_WRONLY) != 0}, nil
}

func (l *lossyFS) Rename(from, to string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.call("rename", to); err != nil {
		return err
	}
	n := l.now[from]
	if n == nil || l.now[filepath.Dir(to)] == nil {
		return &fs.PathError{Op: "rename", Path: from, Err: fs.ErrNotExist}
	}
	l.enter(to, n)
	l.enter(from, nil)
	return nil
}

func (l *lossyFS) Remove(name string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.call("remove", name); err != nil {
		return err
	}
	if l.now[name] == nil {
		return &fs.PathError{Op: "remove", Path: name, Err: fs.ErrNotExist}
	}
	l.enter(name, nil)
	return nil
}

func (l *lossyFS) Stat(name string) (fs.FileInfo, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := l.now[name]
	if n == nil {
		return nil, &fs.PathError{Op: "stat", Path: name, Err: fs.ErrNotExist}
	}
	return info{filepath.Base(name), int64(len(n.data)), n.dir}, nil
}

func (l *lossyFS) ReadDir(name string) ([]fs.DirEntry, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := l.now[name]; n == nil || !n.dir {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: fs.ErrNotExist}
	}
	var es []fs.DirEntry
	for p, n := range l.now {
		if filepath.Dir(p) == name && p != name {
			es = append(es, fs.FileInfoToDirEntry(info{filepath.Base(p), int64(len(n.data)), n.dir}))
		}
	}
	slices.SortFunc(es, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return es, nil
}

func (l *lossyFS) MkdirAll(name string, _ fs.FileMode) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range parents(name) {
		if l.now[p] != nil {
			continue
		}
		if err := l.call("mkdir", p); err != nil {
			return err
		}
		l.enter(p, &node{dir: true})
	}
	return nil
}

// parents lists the directories above name and name itself, outermost first.
func parents(name string) (ps []string) {
	for p := name; ; p = filepath.Dir(p) {
		ps = append(ps, p)
		if p == "/" || p == "." {
			break
		}
	}
	slices.Reverse(ps)
	return ps
}

func (l *lossyFS) SyncDir(name string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.call("syncdir", name); err != nil {
		return err
	}
	if n := l.now[name]; n == nil || !n.dir {
		return &fs.PathError{Op: "syncdir", Path: name, Err: fs.ErrNotExist}
	}
	if l.noSync {
		return nil
	}
	for _, o := range l.dirops[name] {
		l.apply(o)
	}
	delete(l.dirops, name)
	return nil
}

func (l *lossyFS) apply(o dirop) {
	if o.n == nil {
		delete(l.disk, o.name)
	} else {
		l.disk[o.name] = o.n
	}
}

func (l *lossyFS) Lock(name string) (io.Closer, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.locked[name] {
		return nil, ErrLocked
	}
	l.locked[name] = true
	return unlocker{l, name}, nil
}

type unlocker struct {
	l    *lossyFS
	name string
}

func (u unlocker) Close() error {
	u.l.mu.Lock()
	defer u.l.mu.Unlock()
	delete(u.l.locked, u.name)
	return nil
}

// cut returns the file system as it may be found after a power cut.
func (l *lossyFS) cut(rng *rand.Rand) *lossyFS {
	l.mu.Lock()
	defer l.mu.Unlock()
	for d, ops := range l.dirops {
		for _, o := range ops[:rng.IntN(len(ops)+1)] { // a journalling file system keeps their order
			l.apply(o)
		}
		delete(l.dirops, d)
	}
	r := newLossyFS()
	for name, n := range l.disk {
		whole := true
		for _, p := range parents(name) {
			whole = whole && l.disk[p] != nil
		}
		if !whole {
			continue
		}
		data := slices.Clone(n.durable)
		for _, c := range n.pending {
			data = c.tear(data, rng)
		}
		m := &node{dir: n.dir, data: data, durable: slices.Clone(data)}
		r.now[name], r.disk[name] = m, m
	}
	return r
}

// sector is what a disk writes whole.
const sector = 64

// tear applies a random part of the change.
func (c change) tear(data []byte, rng *rand.Rand) []byte {
	mode := rng.IntN(4)
	if mode == 0 {
		return data
	}
	if c.data == nil {
		return resize(data, c.off)
	}
	end := c.off + int64(len(c.data))
	if mode == 1 { // the length is written, the bytes are not
		return resize(data, max(end, int64(len(data))))
	}
	for off := c.off; off < end; {
		next := min(end, (off/sector+1)*sector)
		if mode == 2 || rng.IntN(2) == 0 {
			data = resize(data, max(next, int64(len(data))))
			copy(data[off:next], c.data[off-c.off:])
		}
		off = next
	}
	return data
}

// apply makes the whole change.
func (c change) apply(data []byte) []byte {
	if c.data == nil {
		return resize(data, c.off)
	}
	end := c.off + int64(len(c.data))
	data = resize(data, max(end, int64(len(data))))
	copy(data[c.off:end], c.data)
	return data
}

// clone returns a copy of the file system as programs see it, all of it durable.
func (l *lossyFS) clone() *lossyFS {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := newLossyFS()
	for name, n := range l.now {
		m := &node{dir: n.dir, data: slices.Clone(n.data), durable: slices.Clone(n.data)}
		r.now[name], r.disk[name] = m, m
	}
	return r
}

// files lists the files whose name ends like that, sorted.
func (l *lossyFS) files(match func(string) bool) (names []string) {
	for name, n := range l.now {
		if !n.dir && match(name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// resize cuts the data or fills it up with zeros.
func resize(data []byte, n int64) []byte {
	if n <= int64(len(data)) {
		return data[:n]
	}
	return append(data, make([]byte, n-int64(len(data)))...)
}

type lossyFile struct {
	l     *lossyFS
	n     *node
	name  string
	write bool
	bad   bool // a sync has failed: the handle may not be trusted again
}

func (f *lossyFile) ReadAt(p []byte, off int64) (int, error) {
	f.l.mu.Lock()
	defer f.l.mu.Unlock()
	if off >= int64(len(f.n.data)) {
		return 0, io.EOF
	}
	n := copy(p, f.n.data[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (f *lossyFile) WriteAt(p []byte, off int64) (int, error) {
	f.l.mu.Lock()
	defer f.l.mu.Unlock()
	if !f.write || f.bad {
		return 0, syscall.EBADF
	}
	err := f.l.call("write", f.name)
	if err != nil {
		p = p[:len(p)/2] // a short write
	}
	c := change{off, append([]byte{}, p...)}
	f.n.data = c.apply(f.n.data)
	f.n.pending = append(f.n.pending, c)
	return len(p), err
}

func (f *lossyFile) Truncate(size int64) error {
	f.l.mu.Lock()
	defer f.l.mu.Unlock()
	if f.bad {
		return syscall.EBADF
	}
	if err := f.l.call("truncate", f.name); err != nil {
		return err
	}
	f.n.data = resize(f.n.data, size)
	f.n.pending = append(f.n.pending, change{off: size})
	return nil
}

func (f *lossyFile) Sync() error {
	f.l.mu.Lock()
	defer f.l.mu.Unlock()
	if f.bad {
		return syscall.EBADF
	}
	if err := f.l.call("sync", f.name); err != nil {
		// As Linux does: the pages count as clean, and no later sync writes them.
		f.bad, f.n.pending = true, nil
		return err
	}
	f.l.syncs[filepath.Ext(f.name)]++
	if f.l.noSync {
		return nil
	}
	for _, c := range f.n.pending {
		f.n.durable = c.apply(f.n.durable)
	}
	f.n.pending = nil
	return nil
}

func (f *lossyFile) Stat() (fs.FileInfo, error) {
	f.l.mu.Lock()
	defer f.l.mu.Unlock()
	return info{filepath.Base(f.name), int64(len(f.n.data)), false}, nil
}
func (f *lossyFile) Close() error { return nil }

type info struct {
	name string
	size int64
	dir  bool
}

func (i info) Name() string       { return i.name }
func (i info) Size() int64        { return i.size }
func (i info) ModTime() time.Time { return time.Time{} }
func (i info) IsDir() bool        { return i.dir }
func (i info) Sys() any           { return nil }
func (i info) Mode() fs.FileMode {
	if i.dir {
		return fs.ModeDir | 0o700
	}
	return 0o600
}
