package archive

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// position is how far packs have been written and synced.
type position struct {
	Pack uint32 `json:"pack"` // 0: there is none yet
	Size int64  `json:"size"` // bytes
}

// packs keeps small contents, many to a file. Only the newest pack is written;
// it is sealed with an index when it is full.
type packs struct {
	a *Archive
	g group[*newFrame]

	// Owned by the commit that is running.
	f       File    // the newest pack; nil: open it first
	err     error   // why the last commit went wrong; mended before the next
	entries []entry // of the newest pack, for its seal
	sealed  bool    // the newest pack takes no more
	closed  bool

	// Written by commits alone, under mu; readers hold it for reading.
	mu  sync.RWMutex
	idx index
	pos position // of the newest pack; all that the index names lies before it
}

// entry is one content in a pack's own index.
type entry struct {
	prefix [8]byte // of the SHA-256
	off    uint32
}

// newFrame is a frame on its way into a pack; one without bytes asks for
// mending alone.
type newFrame struct {
	h    header
	b    []byte // the whole frame
	quit bool   // close afterwards
}

func packName(n uint32) string { return fmt.Sprintf("%s/%08d.pack", dirPacks, n) }

// numbered returns the sorted numbers of the files in a directory that are
// called by a number and that suffix.
func (a *Archive) numbered(dir, suffix string) ([]uint32, error) {
	es, err := a.dep.FS.ReadDir(a.path(dir))
	if err != nil {
		return nil, err
	}
	var ns []uint32
	for _, e := range es {
		s, ok := strings.CutSuffix(e.Name(), suffix)
		n, err := strconv.ParseUint(s, 10, 32)
		if ok && err == nil && n > 0 && e.Name() == fmt.Sprintf("%08d%s", n, suffix) {
			ns = append(ns, uint32(n))
		}
	}
	slices.Sort(ns)
	return ns, nil
}

func (p *packs) position() position {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.pos
}

func (p *packs) close() {
	if p.f != nil {
		_ = p.f.Close() // what is acked has been synced
		p.f = nil
	}
}

// open opens a pack for reading and returns its size.
func (a *Archive) open(name string) (File, int64, error) {
	f, err := a.dep.FS.OpenFile(a.path(name), os.O_RDONLY, 0)
	if err != nil {
		return nil, 0, err
	}
	st, err := f.Stat()
	if err != nil {
		return nil, 0, errors.Join(err, f.Close())
	}
	return f, st.Size(), nil
}

// walkPack calls good for each frame, with its offset, and bad for each range
// of bytes that holds none; it looks for the next frame after a bad range. It
// reads headers, not payloads. The error is the reader's or good's.
func walkPack(r io.ReaderAt, from, size int64, good func(int64, header) error, bad func(from, to int64)) error {
	for off := from; off < size; {
		h, err := readHeader(r, off)
		if err == nil && off+h.size() <= size {
			if err := good(off, h); err != nil {
				return err
			}
			off += h.size()
			continue
		}
		if err != nil && !errors.Is(err, errHeader) {
			return err
		}
		if at, ok, err := readSeal(r, size); err != nil {
			return err
		} else if ok && off == size-sealSize && at < off {
			return nil
		}
		next, err := nextFrame(r, off+1, size)
		if err != nil {
			return err
		}
		bad(off, next)
		off = next
	}
	return nil
}

// nextFrame returns the offset of the first whole frame at or after off, or size.
func nextFrame(r io.ReaderAt, off, size int64) (int64, error) {
	buf := make([]byte, 64<<10)
	for off < size {
		n, err := r.ReadAt(buf[:min(int64(len(buf)), size-off)], off)
		if err != nil && !errors.Is(err, io.EOF) {
			return 0, err
		}
		for i := 0; ; i++ {
			j := bytes.Index(buf[i:n], []byte(frameMagic))
			if j < 0 {
				break
			}
			i += j
			h, err := readHeader(r, off+int64(i))
			if err == nil && off+int64(i)+h.size() <= size {
				return off + int64(i), nil
			}
			if err != nil && !errors.Is(err, errHeader) {
				return 0, err
			}
		}
		if n < len(frameMagic) {
			break
		}
		off += int64(n - len(frameMagic) + 1) // a magic may lie across the end
	}
	return size, nil
}

// tail is what stands at the end of the newest pack and may be cut.
type tail struct {
	any     bool
	pack    uint32
	from    int64
	entries []entry // whole frames in it
	damaged bool    // what stands before it is damaged too
	settled int64   // up to where the pack is known to have been synced
}

// load builds the index and finds the tail that a crash may have left.
func (p *packs) load(h head) (tail, error) {
	ns, err := p.a.numbered(dirPacks, ".pack")
	if err != nil {
		return tail{}, err
	}
	want := uint32(1)
	for i, n := range ns {
		p.missing(want, n)
		want = n + 1
		if i < len(ns)-1 || n < h.Pack {
			if err := p.loadSealed(n); err != nil {
				return tail{}, fmt.Errorf("%s: %w", packName(n), err)
			}
		}
	}
	p.missing(want, h.Pack+1)
	switch {
	case len(ns) == 0 && h.Pack == 0:
		p.sealed = true // there is none to write to
		return tail{}, nil
	case want <= h.Pack:
		p.pos, p.sealed = position{Pack: h.Pack}, true
		return tail{}, nil
	}
	t, err := p.loadNewest(want-1, h)
	if err != nil {
		return tail{}, fmt.Errorf("%s: %w", packName(want-1), err)
	}
	return t, nil
}

// missing reports the packs from want up to, not including, n.
func (p *packs) missing(want, n uint32) {
	for ; want < n; want++ {
		p.a.damaged(Damage{Kind: Missing, File: packName(want), Reason: "the pack is gone"})
	}
}

// loadSealed enters the contents of a pack that is complete.
func (p *packs) loadSealed(n uint32) error {
	f, size, err := p.a.open(packName(n))
	if err != nil {
		return err
	}
	defer closeRead(f)
	es, ok, err := readIndex(f, size)
	if err != nil {
		return err
	}
	if ok {
		for _, e := range es {
			p.idx.add(e.prefix[:], place(n, int64(e.off)))
		}
		return nil
	}
	p.a.damaged(Damage{Kind: Damaged, File: packName(n), Offset: max(0, size-sealSize), Length: min(size, sealSize), Reason: "the pack does not end with its index"})
	return walkPack(f, packHeader, size, func(off int64, h header) error {
		if h.codec != codecIndex {
			p.idx.add(h.sha[:], place(n, off))
		}
		return nil
	}, func(from, to int64) {
		p.a.damaged(Damage{Kind: Damaged, File: packName(n), Offset: from, Length: to - from, Reason: "no frame can be read there"})
	})
}

// readIndex reads the index of a sealed pack; ok is false if there is none or
// it is damaged.
func readIndex(r io.ReaderAt, size int64) (es []entry, ok bool, err error) {
	off, ok, err := readSeal(r, size)
	if err != nil || !ok {
		return nil, false, err
	}
	h, err := readHeader(r, off)
	if errors.Is(err, errHeader) || err == nil && (h.codec != codecIndex || off+h.size()+sealSize != size || h.stored%entrySize != 0) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	b := make([]byte, h.stored)
	if _, err := r.ReadAt(b, off+frameHeader); err != nil {
		return nil, false, err
	}
	if sha256.Sum256(b) != h.sha {
		return nil, false, nil
	}
	es = make([]entry, 0, len(b)/entrySize)
	for ; len(b) > 0; b = b[entrySize:] {
		es = append(es, entry{[8]byte(b), binary.LittleEndian.Uint32(b[8:])})
	}
	return es, true, nil
}

// loadNewest enters the contents of the pack that may still be written to.
// What lies past the head's position is not known to have been synced: its
// payloads are checked too.
func (p *packs) loadNewest(n uint32, h head) (tail, error) {
	f, err := p.a.dep.FS.OpenFile(p.a.path(packName(n)), os.O_RDWR, 0)
	if err != nil {
		return tail{}, err
	}
	p.f = f
	st, err := f.Stat()
	if err != nil {
		return tail{}, err
	}
	size, settled := st.Size(), int64(0)
	switch {
	case !h.ok:
		settled = size // nothing says what may be cut, so nothing is
	case h.Pack == n:
		settled = h.Size
	}
	t := tail{pack: n, settled: settled}
	bad := func(from, to int64, why string) {
		if from >= settled {
			if !t.any {
				t.any, t.from = true, from
			}
			return
		}
		t.damaged = true
		p.a.damaged(Damage{Kind: Damaged, File: packName(n), Offset: from, Length: to - from, Reason: why})
	}
	if size < settled {
		bad(size, settled, "the pack has been cut short")
	}
	if ok, err := checkPackHeader(f, n); err != nil {
		return t, err
	} else if !ok && size > 0 {
		bad(0, min(packHeader, size), "the pack's header is damaged")
	}
	err = walkPack(f, packHeader, size, func(off int64, fh header) error {
		if off+fh.size() > settled {
			ok, err := checkPayload(f, off, fh)
			if err != nil {
				return err
			}
			if !ok {
				bad(off, off+fh.size(), "the payload is damaged")
				return nil
			}
		}
		e := entry{[8]byte(fh.sha[:8]), uint32(off)} //nolint:gosec // a pack is below 2^32 bytes
		switch {
		case fh.codec == codecIndex:
		case t.any:
			t.entries = append(t.entries, e)
		default:
			p.entries = append(p.entries, e)
			p.idx.add(fh.sha[:], place(n, off))
		}
		return nil
	}, func(from, to int64) { bad(from, to, "no frame can be read there") })
	if err != nil {
		return t, err
	}
	_, p.sealed, err = readIndex(f, size)
	p.pos = position{n, max(size, settled)}
	return t, err
}

// checkPayload reports whether a payload has its checksum.
func checkPayload(r io.ReaderAt, off int64, h header) (bool, error) {
	crc := crc32.New(castagnoli)
	if _, err := io.Copy(crc, io.NewSectionReader(r, off+frameHeader, h.stored)); err != nil {
		return false, err
	}
	var b [frameTail]byte
	if n, err := r.ReadAt(b[:], off+frameHeader+h.stored); n < len(b) {
		if errors.Is(err, io.EOF) {
			return false, nil
		}
		return false, err
	}
	return binary.LittleEndian.Uint32(b[:]) == crc.Sum32(), nil
}

// needs reports whether a content that the journal names can be had from the
// tail alone, if at all.
func (p *packs) needs(sha string, t tail) bool {
	if !t.any {
		return false
	}
	h, ok := parseSHA(sha)
	return ok && !p.a.has(&h)
}

// settle cuts the tail off if no acked line needs it, or else leaves the pack
// as it is; then it makes durable what was read past the head's position.
func (p *packs) settle(t tail, needed bool) error {
	if p.f == nil {
		return p.a.dep.FS.SyncDir(p.a.path(dirPacks))
	}
	keep := t.damaged
	if t.any && needed {
		p.a.damaged(Damage{Kind: Damaged, File: packName(t.pack), Offset: t.from, Length: p.pos.Size - t.from, Reason: "the journal needs contents that cannot be read there"})
		keep = true
	}
	switch {
	case keep:
		for _, e := range t.entries {
			p.idx.add(e.prefix[:], place(t.pack, int64(e.off)))
		}
		p.sealed = true // evidence: the next content begins a new pack
	case t.any:
		p.a.log.Warn("archive cut off an unfinished write",
			slog.String("file", packName(t.pack)), slog.Int64("offset", t.from), slog.Int64("bytes", p.pos.Size-t.from))
		if err := p.f.Truncate(t.from); err != nil {
			return err
		}
		p.pos.Size = t.from
	}
	if err := rewrite(p.f, t.settled, p.pos.Size); err != nil {
		return err
	}
	return p.a.dep.FS.SyncDir(p.a.path(dirPacks))
}

// rewrite makes durable the bytes from one offset to another. They may stand in
// the cache alone, left by a process that was killed before its sync, or after
// one that failed: the system then takes the pages for clean, and a sync alone
// would not write them.
func rewrite(f File, from, to int64) error {
	b := make([]byte, chunk)
	for off := from; off < to; {
		n, err := f.ReadAt(b[:min(int64(len(b)), to-off)], off)
		if n == 0 {
			if ignoreEOF(err) != nil {
				return err
			}
			break
		}
		if _, err := f.WriteAt(b[:n], off); err != nil {
			return err
		}
		off += int64(n)
	}
	return f.Sync()
}

// store brings a frame into a pack. When it returns nil, the content is durable.
func (p *packs) store(f *newFrame) error { return p.g.do(f, p.commit) }

// mend puts right what went wrong, and waits for the commit that is running.
func (p *packs) mend() error { return p.g.do(&newFrame{}, p.commit) }

// quit waits for the commit that is running and closes.
func (p *packs) quit() error { return p.g.do(&newFrame{quit: true}, p.commit) }

// commit writes the frames of a batch and syncs them once, or once for each
// pack that they fill.
func (p *packs) commit(batch []*ticket[*newFrame]) {
	quit := slices.ContainsFunc(batch, func(t *ticket[*newFrame]) bool { return t.v.quit })
	err := p.repair()
	defer func() {
		if quit {
			p.close()
			p.closed = true
		}
	}()
	for len(batch) > 0 {
		n := 1
		if err == nil {
			n, err = p.commitRun(batch)
		}
		if err != nil {
			p.err = err
			for _, t := range batch {
				t.err = err
			}
			return
		}
		batch = batch[n:]
	}
}

// commitRun writes frames up to the end of a pack and returns how many of the
// batch are durable.
func (p *packs) commitRun(batch []*ticket[*newFrame]) (int, error) {
	var (
		fresh []entry
		added []*newFrame
		seen  = map[[32]byte]bool{}
		n     int
		off   int64
	)
	for _, t := range batch {
		if len(t.v.b) == 0 || seen[t.v.h.sha] || p.a.hasWhole(&t.v.h.sha) {
			n++
			continue
		}
		if len(added) == 0 {
			if err := p.ready(); err != nil {
				return 0, err
			}
			off = p.pos.Size // only commits change it
		} else if off >= p.a.cfg.PackSize {
			break
		}
		if _, err := p.f.WriteAt(t.v.b, off); err != nil {
			return 0, fmt.Errorf("write %s: %w", packName(p.pos.Pack), err)
		}
		fresh = append(fresh, entry{[8]byte(t.v.h.sha[:8]), uint32(off)})
		added = append(added, t.v)
		seen[t.v.h.sha] = true
		off += int64(len(t.v.b))
		n++
	}
	if len(added) == 0 {
		return n, nil
	}
	p.a.dep.Hook("content-written")
	if err := p.f.Sync(); err != nil {
		return 0, fmt.Errorf("sync %s: %w", packName(p.pos.Pack), err)
	}
	p.a.dep.Hook("content-synced")
	p.entries = append(p.entries, fresh...)
	p.mu.Lock()
	for i, e := range fresh {
		p.idx.add(added[i].h.sha[:], place(p.pos.Pack, int64(e.off)))
	}
	p.pos.Size = off
	p.mu.Unlock()
	return n, nil
}

// ready sees to it that the newest pack is open and has room.
func (p *packs) ready() error {
	if !p.sealed && p.pos.Size >= p.a.cfg.PackSize {
		if err := p.seal(); err != nil {
			return fmt.Errorf("seal %s: %w", packName(p.pos.Pack), err)
		}
	}
	if p.sealed {
		return p.begin(p.pos.Pack + 1)
	}
	if p.pos.Size == 0 {
		return p.begin(p.pos.Pack)
	}
	return nil
}

// begin makes pack n the newest. It may exist, with nothing in it that counts.
func (p *packs) begin(n uint32) error {
	p.close()
	name := p.a.path(packName(n))
	f, err := p.a.dep.FS.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	var b [packHeader]byte
	putPackHeader(b[:], n)
	_, err = f.WriteAt(b[:], 0)
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = p.a.dep.FS.SyncDir(filepath.Dir(name))
	}
	if err != nil {
		return errors.Join(fmt.Errorf("begin %s: %w", packName(n), err), f.Close())
	}
	p.f, p.entries = f, nil
	p.sealed = false
	p.mu.Lock()
	p.pos = position{n, packHeader}
	p.mu.Unlock()
	return nil
}

// seal ends the newest pack with its index.
func (p *packs) seal() error {
	payload := make([]byte, 0, len(p.entries)*entrySize)
	for _, e := range p.entries {
		payload = append(payload, e.prefix[:]...)
		payload = binary.LittleEndian.AppendUint32(payload, e.off)
	}
	h := header{codec: codecIndex, sha: sha256.Sum256(payload), raw: int64(len(payload)), stored: int64(len(payload))}
	b := make([]byte, frameHeader, h.size()+sealSize)
	b = append(b, payload...)
	b = finishFrame(b, h)
	b = append(b, make([]byte, sealSize)...)
	putSeal(b[len(b)-sealSize:], p.pos.Size)
	if _, err := p.f.WriteAt(b, p.pos.Size); err != nil {
		return err
	}
	if err := p.f.Sync(); err != nil {
		return err
	}
	p.sealed = true
	p.mu.Lock()
	p.pos.Size += int64(len(b))
	p.mu.Unlock()
	return nil
}

// finishFrame writes the header into the first bytes of b, which are kept for
// it, and appends the checksum of the payload that follows them.
func finishFrame(b []byte, h header) []byte {
	h.put(b)
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b[frameHeader:], castagnoli))
}

// repair undoes a commit that went wrong: a handle whose sync has failed is
// never used again, and the pack is cut back to what was durable before.
func (p *packs) repair() error {
	if p.closed {
		return ErrClosed
	}
	if p.err == nil {
		return nil
	}
	p.close()
	if p.sealed || p.pos.Size == 0 {
		p.err = nil // the next content begins a pack of its own
		return nil
	}
	f, err := p.a.dep.FS.OpenFile(p.a.path(packName(p.pos.Pack)), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	if err := p.cutBack(f); err != nil {
		return errors.Join(fmt.Errorf("mend %s: %w", packName(p.pos.Pack), err), f.Close())
	}
	p.f, p.err = f, nil
	return nil
}

// cutBack cuts f to its durable length and checks that the last content of it
// is whole; if not, the pack is left to [Archive.Verify] and a new one begins.
func (p *packs) cutBack(f File) error {
	st, err := f.Stat()
	if err != nil {
		return err
	}
	if st.Size() < p.pos.Size {
		p.sealed = true
		return fmt.Errorf("%w: %d bytes left of %d", ErrDamaged, st.Size(), p.pos.Size)
	}
	if err := f.Truncate(p.pos.Size); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if len(p.entries) == 0 {
		return nil
	}
	off := int64(p.entries[len(p.entries)-1].off)
	h, err := readHeader(f, off)
	if err != nil && !errors.Is(err, errHeader) {
		return err
	}
	ok := err == nil
	if ok {
		ok, err = checkPayload(f, off, h)
	}
	if err != nil {
		return err
	}
	if !ok {
		p.sealed = true
		return fmt.Errorf("%w: the frame at %d", ErrDamaged, off)
	}
	return nil
}

// candidates returns the places that may hold a content, newest first.
func (p *packs) candidates(sha *[32]byte) []loc {
	var few [2]loc
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.idx.find(sha, few[:0])
}

// frames calls f with each stored frame of a content, newest first, until it
// returns false. Frames that cannot be read are passed over and their errors
// joined.
func (a *Archive) frames(sha *[32]byte, f func(r File, off int64, h header) (more bool)) error {
	var errs error
	for _, l := range a.packs.candidates(sha) {
		name := packName(l.pack())
		r, _, err := a.open(name)
		if err != nil {
			errs = errors.Join(errs, fmt.Errorf("%w: %s: %w", ErrDamaged, name, err))
			continue
		}
		h, err := readHeader(r, l.off())
		switch {
		case err != nil:
			errs = errors.Join(errs, fmt.Errorf("%w: %s at %d: %w", ErrDamaged, name, l.off(), err), r.Close())
			continue
		case h.sha != *sha:
			errs = errors.Join(errs, r.Close())
			continue
		}
		if !f(r, l.off(), h) {
			return nil
		}
	}
	r, size, err := a.open(blobName(sha))
	if errors.Is(err, fs.ErrNotExist) {
		return errs
	}
	if err != nil {
		return errors.Join(errs, fmt.Errorf("%w: %w", ErrDamaged, err))
	}
	h, err := readHeader(r, 0)
	if err != nil || h.sha != *sha || h.size() != size {
		return errors.Join(errs, fmt.Errorf("%w: %s: its header does not fit", ErrDamaged, blobName(sha)), r.Close())
	}
	if !f(r, 0, h) {
		return nil
	}
	return errs
}

// has reports whether a frame of the content is stored, without its payload.
func (a *Archive) has(sha *[32]byte) (found bool) {
	_ = a.frames(sha, func(r File, _ int64, _ header) bool {
		_ = r.Close() // read only
		found = true
		return false
	})
	return found
}

// hasWhole reports whether the content is stored and its payload is whole.
func (a *Archive) hasWhole(sha *[32]byte) (found bool) {
	_ = a.frames(sha, func(r File, off int64, h header) bool {
		ok, err := checkPayload(r, off, h)
		_ = r.Close() // read only
		found = ok && err == nil
		return !found
	})
	return found
}
