package archive

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
)

// segment is one file of the journal.
type segment struct {
	n     uint32
	first uint64 // sequence of its first line; 0: it cannot be read
	size  int64  // bytes that count; what lies behind them has not been acked
	marks []mark // places to begin reading at, in order; may be empty
}

// mark is a place in a segment where a line begins.
type mark struct {
	seq  uint64
	off  int64
	prev hexHash // of the line before
}

// markEvery is about how many bytes lie between two marks.
const markEvery = 64 << 10

// hexHash is a SHA-256 in hexadecimal digits.
type hexHash [64]byte

func hashOf(b []byte) (h hexHash) {
	s := sha256.Sum256(b)
	hex.Encode(h[:], s[:])
	return h
}

func segmentName(n uint32) string { return fmt.Sprintf("%s/%08d.jsonl", dirJournal, n) }

// walked is a line that a walk came to.
type walked struct {
	seq  uint64
	raw  []byte // without the newline; valid until the next line
	off  int64
	hash hexHash
}

// walk goes through the journal in order and checks each line's sum and the
// chain. After damage it goes on with the next line that can be read.
type walk struct {
	a    *Archive
	line func(w *walked) error
	bad  func(Damage) error

	last   uint64  // sequence of the last good line, or of the line before the first
	hash   hexHash // of that line
	hashOK bool    // hash is known
	odd    bool    // a whole line stood where it does not belong

	pending []Damage // bytes that are no line, since the last good line
}

// segment walks one segment from an offset. An error of the file is damage.
func (w *walk) segment(ctx context.Context, s *segment, off int64, marks *[]mark) error {
	name := segmentName(s.n)
	f, size, err := w.a.open(name)
	if errors.Is(err, fs.ErrNotExist) {
		w.pending = append(w.pending, Damage{Kind: Missing, File: name, Reason: "the segment is gone"})
		return nil
	}
	if err != nil {
		return err
	}
	defer closeRead(f)
	if size < s.size {
		defer func() {
			w.pending = append(w.pending, Damage{Kind: Damaged, File: name, Offset: size, Length: s.size - size, Reason: "the segment has been cut short"})
		}()
	}
	r := bufio.NewReaderSize(io.NewSectionReader(f, off, min(size, s.size)-off), 256<<10)
	var buf []byte
	next := int64(0) // where the next mark is due
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		raw, n, whole, err := readLine(r, &buf)
		if err != nil {
			return fmt.Errorf("%s at %d: %w", name, off, err)
		}
		if n == 0 {
			return nil
		}
		seq, prev, ok := parsePrefix(raw)
		if !whole || !ok {
			w.pending = append(w.pending, Damage{Kind: Damaged, File: name, Offset: off, Length: n, Reason: "no journal line can be read there"})
			off += n
			continue
		}
		if marks != nil && off >= next && w.hashOK && seq == w.last+1 {
			*marks = append(*marks, mark{seq, off, w.hash})
			next = off + markEvery
		}
		if err := w.step(&walked{seq: seq, raw: raw, off: off}, prev, name); err != nil {
			return err
		}
		off += n
	}
}

// step takes a line that has its sum.
func (w *walk) step(l *walked, prev []byte, name string) error {
	if l.seq <= w.last {
		w.odd = true
		w.pending = append(w.pending, Damage{Kind: Damaged, File: name, Offset: l.off, Length: int64(len(l.raw)) + 1, Reason: "the line is out of order"})
		return nil
	}
	follows := l.seq == w.last+1
	if !follows && len(w.pending) == 0 {
		w.pending = append(w.pending, Damage{Kind: Missing, File: name, Offset: l.off, Reason: "lines are gone from the journal"})
	}
	broken := follows && w.hashOK && len(w.pending) == 0 && string(w.hash[:]) != string(prev)
	if err := w.flush(l.seq - 1); err != nil {
		return err
	}
	if broken {
		d := Damage{Kind: Damaged, File: name, Offset: l.off, Length: int64(len(l.raw)) + 1, FirstLine: w.last, LastLine: l.seq, Reason: "the chain is broken: one of two lines has been changed"}
		if err := w.bad(d); err != nil {
			return err
		}
	}
	l.hash = hashOf(l.raw)
	w.last, w.hash, w.hashOK = l.seq, l.hash, true
	return w.line(l)
}

// flush reports what was found damaged since the last good line; the line
// after it has the sequence to+1.
func (w *walk) flush(to uint64) error {
	for _, d := range w.pending {
		if to > w.last {
			d.FirstLine, d.LastLine = w.last+1, to
		}
		if err := w.bad(d); err != nil {
			return err
		}
	}
	w.pending = nil
	return nil
}

// finish reports what is missing up to the last line.
func (w *walk) finish(last uint64) error {
	if len(w.pending) == 0 && w.last < last {
		w.pending = append(w.pending, Damage{Kind: Missing, File: dirJournal, Reason: "lines are gone from the journal's end"})
	}
	return w.flush(max(last, w.last))
}

// readLine returns the next line without its newline, the bytes it takes, and
// whether it ends with a newline and is of a possible length.
func readLine(r *bufio.Reader, buf *[]byte) (line []byte, n int64, whole bool, err error) {
	*buf = (*buf)[:0]
	for {
		part, err := r.ReadSlice('\n')
		n += int64(len(part))
		switch {
		case err == nil && len(*buf) == 0:
			return part[:len(part)-1], n, true, nil
		case n <= 2*maxLine:
			*buf = append(*buf, part...)
		}
		switch {
		case err == nil:
			return (*buf)[:len(*buf)-1], n, n <= 2*maxLine, nil
		case errors.Is(err, io.EOF):
			return *buf, n, false, nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, n, false, err
		}
	}
}
