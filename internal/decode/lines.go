package decode

import (
	"bytes"
	"errors"
	"io"
)

// The sizes of a block of text. The first is small, since most deliveries are.
const (
	firstBlock = 16 << 10
	fullBlock  = 256 << 10
)

// lines cuts a delivery into lines. The memory of a line is never written
// again: strings may point into it for as long as they are held.
type lines struct {
	r    io.Reader
	max  int  // longest line
	eol  byte // '\n', or '\r' in files whose first line ends so
	buf  []byte
	pos  int   // what is before is given
	last int   // where the line given last starts
	size int   // of the next block
	end  error // why nothing more can be read; io.EOF or another
}

func newLines(r io.Reader, longest int) *lines {
	return &lines{r: r, max: longest, eol: '\n', size: firstBlock}
}

// sniff chooses the line end: a carriage return without a newline after it,
// before any newline, is one.
func (l *lines) sniff() {
	for at := 0; ; {
		b := l.buf[l.pos:]
		i := bytes.IndexAny(b[at:], "\r\n")
		switch {
		case i < 0 && l.end == nil && len(b) <= l.max:
			at = len(b)
			l.fill()
			continue
		case i < 0 || b[at+i] == '\n':
			return
		case at+i+1 < len(b):
			if b[at+i+1] != '\n' {
				l.eol = '\r'
			}
			return
		case l.end != nil:
			l.eol = '\r'
			return
		}
		at += i
		l.fill()
	}
}

// fill reads at least one byte more, or sets end. What is not given yet moves
// to the start of a new block.
func (l *lines) fill() {
	if l.end != nil {
		return
	}
	tail := l.buf[l.pos:]
	b := make([]byte, max(l.size, 2*len(tail)))
	n := copy(b, tail)
	l.size = min(2*l.size, fullBlock)
	for empty := 0; n < len(b); {
		k, err := l.r.Read(b[n:])
		n += k
		if err != nil {
			l.end = err
			break
		}
		if k > 0 {
			empty = 0
		} else if empty++; empty == 100 {
			l.end = io.ErrNoProgress
			break
		}
	}
	l.buf, l.pos = b[:n], 0
}

// next gives the next line without its end. long means that the line is longer
// than the budget and only its start is given; the rest is skipped. A last line
// without an end counts. err is io.EOF, or what ended the reading, with the
// start of the line that it cut.
func (l *lines) next() (line []byte, long bool, err error) {
	at := 0
	for {
		if i := bytes.IndexByte(l.buf[l.pos+at:], l.eol); i >= 0 {
			l.last = l.pos
			l.pos += at + i + 1
			line = l.buf[l.last : l.pos-1]
			break
		}
		at = len(l.buf) - l.pos
		if at > l.max {
			return l.skip()
		}
		if l.end != nil {
			l.last = l.pos
			l.pos = len(l.buf)
			line = l.buf[l.last:]
			if at == 0 || !errors.Is(l.end, io.EOF) {
				return line, false, l.end
			}
			break
		}
		l.fill()
	}
	if n := len(line); n > 0 && line[n-1] == '\r' && l.eol == '\n' {
		line = line[:n-1]
	}
	return line, len(line) > l.max, nil
}

// skip gives the start of a line that is too long and passes over its rest,
// in memory of its own.
func (l *lines) skip() ([]byte, bool, error) {
	start := bytes.Clone(l.buf[l.pos:min(l.pos+maxRaw, len(l.buf))])
	b := make([]byte, fullBlock)
	l.buf, l.pos, l.last = nil, 0, 0
	for l.end == nil {
		n, err := l.r.Read(b)
		l.end = err
		if i := bytes.IndexByte(b[:n], l.eol); i >= 0 {
			l.buf = bytes.Clone(b[i+1 : n])
			return start, true, nil
		}
	}
	if !errors.Is(l.end, io.EOF) {
		return start, false, l.end
	}
	return start, true, nil
}

// ahead gives the line that next gave last and what follows it: n bytes from
// its start, or fewer at the end.
func (l *lines) ahead(n int) []byte {
	for len(l.buf)-l.last < n && l.end == nil {
		given := l.pos - l.last
		l.pos = l.last
		l.fill()
		l.last, l.pos = 0, given
	}
	return l.buf[l.last:min(l.last+n, len(l.buf))]
}

// take makes the line given last n bytes long, its end included.
func (l *lines) take(n int) { l.pos = l.last + n }
