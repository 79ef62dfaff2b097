package archive

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"
)

// journal keeps the lines. Only the newest segment is written.
type journal struct {
	a *Archive
	g group[*lines]

	// Owned by the commit that is running.
	f       File      // the newest segment; nil: open or begin it first
	err     error     // why the last commit went wrong; mended before the next
	fresh   bool      // the next commit begins a new segment
	tailLen int64     // bytes of the last line with its newline; 0: not known
	headAt  time.Time // when the head was written
	headSeq uint64    // and for which line
	headOK  bool      // the last head could be read or written
	closed  bool

	// Written by commits alone, under mu; readers hold it for reading.
	mu      sync.RWMutex
	segs    []segment
	last    uint64
	hash    string
	changed chan struct{} // closed when last rises
}

// lines are what one caller appends; none ask for mending alone.
type lines struct {
	l      []Line
	bodies [][]byte
	quit   bool // write the head and close
}

// headEvery is how often the head is written while lines come in.
const headEvery = time.Second

// headLines is after how many lines it is written although the clock stands.
const headLines = 4096

const headName = dirJournal + "/head"

// readHead reads the journal's head. That there is none is damage, unless there
// is nothing else either.
func (j *journal) readHead() (head, error) {
	f, size, err := j.a.open(headName)
	if errors.Is(err, fs.ErrNotExist) {
		for _, d := range []struct{ dir, suffix string }{{dirPacks, ".pack"}, {dirJournal, ".jsonl"}} {
			ns, err := j.a.numbered(d.dir, d.suffix)
			if err != nil {
				return head{}, err
			}
			if len(ns) > 0 {
				j.a.damaged(Damage{Kind: Missing, File: headName, Healed: true, Reason: "the journal's head is gone; it is made again, but lines lost from the journal's end cannot be told"})
				return head{Hash: zeros}, nil
			}
		}
		return head{Hash: zeros, ok: true}, nil
	}
	if err != nil {
		return head{}, err
	}
	defer closeRead(f)
	b := make([]byte, min(size, 4096))
	if _, err := f.ReadAt(b, 0); err != nil && !errors.Is(err, io.EOF) {
		return head{}, err
	}
	h, ok := parseHead(b)
	if !ok {
		j.a.damaged(Damage{Kind: Damaged, File: headName, Length: size, Healed: true, Reason: "the journal's head cannot be read; it is made again, but lines lost from the journal's end cannot be told"})
		return head{Hash: zeros}, nil
	}
	j.headOK = true
	return h, nil
}

// load finds the segments and the last line, and cuts off what a crash left
// behind it. It reads from the segment that the head names; older ones are
// read by [Archive.Lines] and [Archive.Verify]. It reports whether needs holds
// for a content that is named past the head.
func (j *journal) load(h head, needs func(string) bool) (needed bool, err error) {
	j.changed = make(chan struct{})
	if err := j.findSegments(); err != nil {
		return false, err
	}
	start := 0
	for i, s := range j.segs {
		if s.first > 0 && s.first <= h.Seq {
			start = i
		}
	}
	w := &walk{a: j.a, hash: hexHash([]byte(zeros)), hashOK: true, bad: func(d Damage) error {
		j.a.damaged(d)
		return nil
	}}
	if start > 0 {
		w.last, w.hashOK = j.segs[start].first-1, false
	}
	changed := false    // the head's line is another
	settled := int64(0) // in the segment walked last
	w.line = func(l *walked) error {
		j.tailLen = int64(len(l.raw)) + 1
		if l.seq <= h.Seq {
			settled = l.off + j.tailLen
		}
		if l.seq == h.Seq && string(l.hash[:]) != h.Hash {
			changed = true
			j.a.damaged(Damage{Kind: Damaged, File: dirJournal, FirstLine: l.seq, LastLine: l.seq, Reason: "the line is not the one that the head names"})
		}
		if l.seq > h.Seq && !needed {
			var line Line
			if json.Unmarshal(l.raw, &line) == nil {
				needed = slices.ContainsFunc(line.contents(), needs)
			}
		}
		return nil
	}
	for i := start; i < len(j.segs); i++ {
		s := &j.segs[i]
		settled = 0
		if err := w.segment(context.Background(), s, 0, &s.marks); err != nil {
			return false, err
		}
	}
	if err := j.settle(w, h, settled); err != nil {
		return needed, err
	}
	if changed && j.last == h.Seq {
		// The chain goes on from the line that was acked, so that the change
		// shows for ever.
		j.hash, j.fresh = h.Hash, true
	}
	return needed, nil
}

// findSegments lists the segments and the sequence with which each begins.
func (j *journal) findSegments() error {
	ns, err := j.a.numbered(dirJournal, ".jsonl")
	if err != nil {
		return err
	}
	want := uint32(1)
	for _, n := range ns {
		for ; want < n; want++ {
			j.a.damaged(Damage{Kind: Missing, File: segmentName(want), Reason: "the segment is gone"})
		}
		want = n + 1
		s := segment{n: n}
		f, size, err := j.a.open(segmentName(n))
		if err != nil {
			return err
		}
		var b [32]byte
		m, err := f.ReadAt(b[:], 0)
		if err = errors.Join(ignoreEOF(err), f.Close()); err != nil {
			return err
		}
		if _, err := fmt.Sscanf(string(b[:m]), `{"seq":%d,"pre`, &s.first); err != nil {
			s.first = 0
		}
		s.size = size
		j.segs = append(j.segs, s)
	}
	if len(j.segs) > 0 && j.segs[0].n == 1 && j.segs[0].size > 0 {
		j.segs[0].first = 1
	}
	return nil
}

func ignoreEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// settle decides where the journal goes on: behind its last good line, or,
// where lines that the head speaks of are gone, in a new segment behind those.
// Up to settled the newest segment is known to have been synced.
func (j *journal) settle(w *walk, h head, settled int64) error {
	j.last, j.hash = w.last, string(w.hash[:])
	if len(j.segs) == 0 {
		j.fresh = true
	} else {
		s := &j.segs[len(j.segs)-1]
		f, err := j.a.dep.FS.OpenFile(j.a.path(segmentName(s.n)), os.O_RDWR, 0)
		if err != nil {
			return err
		}
		j.f = f
		if len(w.pending) > 0 {
			if from := w.pending[0]; h.ok && !w.odd && w.last >= h.Seq && from.File == segmentName(s.n) {
				j.a.log.Warn("archive cut off an unfinished write",
					slog.String("file", from.File), slog.Int64("offset", from.Offset), slog.Int64("bytes", s.size-from.Offset))
				if err := f.Truncate(from.Offset); err != nil {
					return err
				}
				s.size = from.Offset
				w.pending = nil
			} else {
				j.fresh = true // evidence: the next line begins a new segment
			}
		}
		if err := rewrite(f, settled, s.size); err != nil {
			return err
		}
	}
	if h.ok && w.last < h.Seq {
		j.last, j.hash, j.fresh, j.tailLen = h.Seq, h.Hash, true, 0
	}
	if err := w.finish(j.last); err != nil {
		return err
	}
	return j.a.dep.FS.SyncDir(j.a.path(dirJournal))
}

func (j *journal) close() {
	if j.f != nil {
		_ = j.f.Close() // what is acked has been synced
		j.f = nil
	}
}

// Append journals lines, all of them or none. When it returns nil they are on
// disk, with their sequence and their place in the chain, in the lines that it
// returns. A content that a line names must have been put before. The error
// wraps [ErrInvalid] if the lines cannot be journalled, or [ErrUnavailable];
// after the latter nobody may be told that anything was accepted, although a
// line may turn up. Callers that come together share one sync.
func (a *Archive) Append(ctx context.Context, ls ...Line) ([]Line, error) {
	if err := a.ready(); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	b := &lines{l: slices.Clone(ls), bodies: make([][]byte, len(ls))}
	for i := range b.l {
		l := &b.l[i]
		if err := l.check(a.Has); err != nil {
			return nil, err
		}
		if l.At.IsZero() {
			l.At = a.dep.Clock()
		}
		l.At = l.At.Round(0).UTC()
		body, err := l.body()
		if err != nil {
			return nil, err
		}
		b.bodies[i] = body
	}
	if err := a.noted(halfJournal, a.journal.g.do(b, a.journal.commit)); err != nil {
		return nil, fmt.Errorf("append to journal: %w", err)
	}
	return b.l, nil
}

// mend puts right what went wrong, and waits for the commit that is running.
func (j *journal) mend() error { return j.g.do(&lines{}, j.commit) }

// quit waits for the commit that is running, writes the head and closes.
func (j *journal) quit() error { return j.g.do(&lines{quit: true}, j.commit) }

// commit writes the lines of a batch and syncs them once.
func (j *journal) commit(batch []*ticket[*lines]) {
	err := j.repair()
	if err == nil {
		err = j.write(batch)
	}
	if err != nil {
		j.err = err
		for _, t := range batch {
			t.err = err
		}
		return
	}
	for _, t := range batch {
		if t.v.quit {
			t.err = j.writeHead(j.a.packs.position())
			j.close()
			j.closed = true
			return
		}
	}
	now := j.a.dep.Clock()
	if d := now.Sub(j.headAt); j.last != j.headSeq && (d >= headEvery || d < 0 || j.last-j.headSeq >= headLines || !j.headOK) {
		was := j.headOK
		if err := j.writeHead(j.a.packs.position()); err != nil && was {
			// The lines are durable all the same: the head only guards against
			// their loss.
			j.a.log.Warn("archive head not written", slog.Any("error", err))
		}
	}
}

// write brings the lines of a batch to the disk.
func (j *journal) write(batch []*ticket[*lines]) error {
	var (
		out   []byte
		marks []mark
		seq   = j.last
		hash  = j.hash
		tail  int
		s     *segment
	)
	for _, t := range batch {
		for i := range t.v.l {
			if s == nil {
				if err := j.ready(); err != nil {
					return err
				}
				s = &j.segs[len(j.segs)-1]
			}
			seq++
			off := s.size + int64(len(out))
			if n := lastMark(s.marks, marks); n < 0 || off >= n+markEvery {
				marks = append(marks, mark{seq, off, hexHash([]byte(hash))})
			}
			line := compose(seq, hash, t.v.bodies[i])
			h := hashOf(line)
			t.v.l[i].Seq, t.v.l[i].Prev = seq, hash
			hash = string(h[:])
			tail = len(line) + 1
			out = append(append(out, line...), '\n')
		}
	}
	if s == nil {
		return nil
	}
	if _, err := j.f.WriteAt(out, s.size); err != nil {
		return fmt.Errorf("write %s: %w", segmentName(s.n), err)
	}
	j.a.dep.Hook("journal-written")
	if err := j.f.Sync(); err != nil {
		return fmt.Errorf("sync %s: %w", segmentName(s.n), err)
	}
	j.a.dep.Hook("journal-synced")
	j.tailLen = int64(tail)
	j.mu.Lock()
	if s.first == 0 {
		s.first = j.last + 1
	}
	s.size += int64(len(out))
	s.marks = append(s.marks, marks...)
	j.last, j.hash = seq, hash
	close(j.changed)
	j.changed = make(chan struct{})
	j.mu.Unlock()
	return nil
}

// lastMark returns the offset of the last mark, -1 if there is none.
func lastMark(lists ...[]mark) int64 {
	off := int64(-1)
	for _, l := range lists {
		if len(l) > 0 {
			off = l[len(l)-1].off
		}
	}
	return off
}

// ready sees to it that the newest segment is open and has room.
func (j *journal) ready() error {
	if !j.fresh && j.segs[len(j.segs)-1].size < j.a.cfg.SegmentSize {
		return nil
	}
	j.fresh = true
	j.close()
	n := uint32(1)
	if len(j.segs) > 0 {
		n = j.segs[len(j.segs)-1].n + 1
	}
	f, err := j.a.dep.FS.OpenFile(j.a.path(segmentName(n)), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err == nil {
		if err = j.a.dep.FS.SyncDir(j.a.path(dirJournal)); err != nil {
			err = errors.Join(err, f.Close())
		}
	}
	if err != nil {
		return fmt.Errorf("begin %s: %w", segmentName(n), err)
	}
	j.f, j.fresh = f, false
	j.mu.Lock()
	j.segs = append(j.segs, segment{n: n})
	j.mu.Unlock()
	return nil
}

// repair undoes a commit that went wrong: a handle whose sync has failed is
// never used again, and the segment is cut back to what was durable before.
func (j *journal) repair() error {
	if j.closed {
		return ErrClosed
	}
	if j.err == nil {
		return nil
	}
	j.close()
	if j.fresh {
		j.err = nil // the next line begins a segment of its own
		return nil
	}
	s := j.segs[len(j.segs)-1]
	f, err := j.a.dep.FS.OpenFile(j.a.path(segmentName(s.n)), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	if err := j.cutBack(f, s.size); err != nil {
		return errors.Join(fmt.Errorf("mend %s: %w", segmentName(s.n), err), f.Close())
	}
	j.f, j.err = f, nil
	return nil
}

// cutBack cuts f to its durable length and checks that it still ends with the
// last line; if not, the segment is left to [Archive.Verify] and a new one
// begins.
func (j *journal) cutBack(f File, size int64) error {
	st, err := f.Stat()
	if err != nil {
		return err
	}
	if st.Size() < size {
		j.fresh = true
		return fmt.Errorf("%w: %d bytes left of %d", ErrDamaged, st.Size(), size)
	}
	if err := f.Truncate(size); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if size == 0 || j.tailLen == 0 || j.tailLen > size {
		return nil
	}
	b := make([]byte, j.tailLen)
	if _, err := f.ReadAt(b, size-j.tailLen); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if h := hashOf(b[:len(b)-1]); string(h[:]) != j.hash {
		j.fresh = true
		return fmt.Errorf("%w: the last line has changed", ErrDamaged)
	}
	return nil
}

// writeHead replaces the head by one for the last line. What lines up to it
// name was put before, so it lies before pos.
func (j *journal) writeHead(pos position) error {
	err := j.replaceHead(head{Seq: j.last, Hash: j.hash, position: pos})
	j.headAt, j.headOK = j.a.dep.Clock(), err == nil
	if err == nil {
		j.headSeq = j.last
	}
	return err
}

// renewHead writes the head that goes with what was loaded, if it is another.
// Where there is one that can be read, a full disk keeps nothing from opening.
func (j *journal) renewHead(was head, pos position) error {
	had := j.headOK
	if had && was.Seq == j.last && was.Hash == j.hash && was.position == pos {
		j.headSeq, j.headAt = j.last, j.a.dep.Clock()
		return nil
	}
	err := j.writeHead(pos)
	if err != nil && had {
		j.a.log.Warn("archive head not written", slog.Any("error", err))
		return nil
	}
	return err
}

func (j *journal) replaceHead(h head) error {
	b, err := h.encode()
	if err != nil {
		return err
	}
	to := j.a.path(headName)
	f, err := j.a.dep.FS.OpenFile(to+".tmp", os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(b, 0)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := j.a.dep.FS.Rename(to+".tmp", to); err != nil {
		return err
	}
	return j.a.dep.FS.SyncDir(j.a.path(dirJournal))
}

// Last returns the sequence of the last line, 0 if there is none.
func (a *Archive) Last() uint64 {
	a.journal.mu.RLock()
	defer a.journal.mu.RUnlock()
	return a.journal.last
}

// Wait waits until the journal has a line after seq and returns the sequence
// of its last line, or the error of ctx.
func (a *Archive) Wait(ctx context.Context, seq uint64) (uint64, error) {
	for {
		a.journal.mu.RLock()
		last, changed := a.journal.last, a.journal.changed
		a.journal.mu.RUnlock()
		if last > seq {
			return last, nil
		}
		select {
		case <-ctx.Done():
			return last, context.Cause(ctx)
		case <-changed:
		}
	}
}

// Lines reads the journal from disk, beginning with the line from (0 and 1 are
// the first), up to what is the last line when the reading begins. It checks
// each line and the chain. Damage comes as a zero Line with an error that wraps
// [ErrDamaged] and is a [*DamageError]; the reading then goes on with the next
// line that is whole, so that a reader may choose to serve the rest. Another
// error is the last.
func (a *Archive) Lines(ctx context.Context, from uint64) iter.Seq2[Line, error] {
	return func(yield func(Line, error) bool) {
		segs, last, _ := a.journal.snapshot()
		err := a.walkLines(ctx, segs, max(from, 1), last, func(l *walked) error {
			var line Line
			if err := json.Unmarshal(l.raw, &line); err != nil {
				return errIf(!yield(Line{}, &DamageError{Damage{Kind: Damaged, File: dirJournal, FirstLine: l.seq, LastLine: l.seq, Reason: err.Error()}}))
			}
			return errIf(!yield(line, nil))
		}, func(d Damage) error {
			return errIf(!yield(Line{}, &DamageError{d}))
		})
		if err != nil && !errors.Is(err, errStop) {
			yield(Line{}, fmt.Errorf("read journal: %w", err))
		}
	}
}

// errStop ends a walk whose reader has seen enough.
var errStop = errors.New("stop")

func errIf(stop bool) error {
	if stop {
		return errStop
	}
	return nil
}

// snapshot returns the segments as they are now, and the last line.
func (j *journal) snapshot() ([]segment, uint64, string) {
	j.mu.RLock()
	defer j.mu.RUnlock()
	return slices.Clone(j.segs), j.last, j.hash
}

// walkLines walks the lines from to last.
func (a *Archive) walkLines(ctx context.Context, segs []segment, from, last uint64, line func(*walked) error, bad func(Damage) error) error {
	if from > last {
		return nil
	}
	w := &walk{a: a, hash: hexHash([]byte(zeros)), hashOK: true}
	w.line = func(l *walked) error {
		if l.seq < from {
			return nil
		}
		return line(l)
	}
	w.bad = func(d Damage) error {
		if d.LastLine > 0 && d.LastLine < from {
			return nil
		}
		return bad(d)
	}
	start, off := 0, int64(0)
	for i, s := range segs {
		if s.first > 0 && s.first <= from {
			start = i
			w.last, w.hashOK = s.first-1, s.first == 1
		}
	}
	if len(segs) > 0 {
		for _, m := range segs[start].marks {
			if m.seq <= from {
				w.last, w.hash, w.hashOK, off = m.seq-1, m.prev, true, m.off
			}
		}
	}
	for i := start; i < len(segs); i++ {
		if i > start {
			off = 0
		}
		if err := w.segment(ctx, &segs[i], off, nil); err != nil {
			return err
		}
	}
	return w.finish(last)
}
