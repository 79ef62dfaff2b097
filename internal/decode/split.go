package decode

import (
	"bytes"
	"errors"
	"io"
)

// maxQuoted bounds a record that spans lines, in bytes.
const maxQuoted = 64 << 10

// splitter cuts a CSV file (RFC 4180) into records and cells. A record is one
// line, unless a quote that the line leaves open closes within 64 KiB and the
// record then has just as many cells as the header; otherwise that line is bad
// and reading goes on at the next. So a stray quote costs its line.
type splitter struct {
	lines *lines
	cols  int // columns of the header; 0 while it is read
	max   int // most columns of a header
	cells [][]byte

	// credit is how many bytes may still be looked at to close quotes. Lines
	// earn it, so that a file of open quotes costs a fixed multiple of its size.
	credit int
}

// The credit at the start and for each byte read.
const (
	firstCredit = 1 << 20
	byteCredit  = 8
)

func newSplitter(l *lines, lim Limits) *splitter {
	return &splitter{lines: l, max: lim.Columns, credit: firstCredit}
}

// next cuts the next record into s.cells, which are valid until the next call;
// their bytes stay. Empty lines are no records. reason is "" or why the record
// is bad.
func (s *splitter) next() (raw []byte, reason Reason, err error) {
	var line []byte
	var long bool
	for {
		line, long, err = s.lines.next()
		if err != nil {
			return line, "", err
		}
		if len(line) > 0 {
			break
		}
	}
	if long {
		return line, ReasonLine, nil
	}
	s.credit = min(s.credit+byteCredit*len(line), 1<<30)
	reason = s.line(line)
	if reason == ReasonQuote && s.cols > 0 {
		if s.lax(line) {
			reason = ""
		} else if n := s.spanning(); n > 0 {
			line = s.lines.ahead(maxQuoted)[:n]
			s.lines.take(n)
			reason = ""
		}
	}
	if reason == "" && s.cols > 0 {
		reason = s.pad()
	}
	return line, reason, nil
}

// pad makes as many cells as the header has. Real files leave out the last
// cell of a row; more than that is a row cut short.
func (s *splitter) pad() Reason {
	if len(s.cells) < s.cols-1 || len(s.cells) == 0 {
		return ReasonColumns
	}
	for len(s.cells) < s.cols {
		s.cells = append(s.cells, nil)
	}
	return ""
}

// put adds a cell. Empty cells beyond the header's are dropped.
func (s *splitter) put(cell []byte) bool {
	switch {
	case s.cols == 0:
		if len(s.cells) >= s.max {
			return false
		}
	case len(s.cells) >= s.cols:
		return len(cell) == 0
	}
	s.cells = append(s.cells, cell)
	return true
}

// line cuts a record of one line.
func (s *splitter) line(b []byte) Reason {
	s.cells = s.cells[:0]
	for i := 0; ; i++ {
		var cell []byte
		if i < len(b) && b[i] == '"' {
			j := bytes.IndexByte(b[i+1:], '"')
			if j < 0 {
				return ReasonQuote
			}
			end := i + 1 + j
			if end+1 < len(b) && b[end+1] == '"' {
				var ok bool
				if cell, end, ok = unquote(b, i+1); !ok {
					return ReasonQuote
				}
			} else {
				cell = b[i+1 : end : end]
			}
			i = end + 1
			if i < len(b) && b[i] != ',' {
				return ReasonQuote
			}
		} else {
			j := i
			for j < len(b) && b[j] != ',' {
				j++
			}
			cell = b[i:j:j]
			i = j
		}
		if s.cols > 0 && len(s.cells) < s.cols {
			s.cells = append(s.cells, cell)
		} else if !s.put(cell) {
			return ReasonColumns
		}
		if i >= len(b) {
			return ""
		}
	}
}

// lax cuts a line whose quotes break RFC 4180, such as "a \"b\"", as Python's csv
// module does: after a quote that closes inside a cell the rest of the cell
// stands as it is. It must have as many cells as the header, so that nothing
// moves to another column.
func (s *splitter) lax(b []byte) bool {
	s.cells = s.cells[:0]
	for i := 0; ; i++ {
		var cell []byte
		if i < len(b) && b[i] == '"' {
			head, end, ok := unquote(b, i+1)
			if !ok {
				return false
			}
			cell, i = head, end+1
		}
		j := i
		for j < len(b) && b[j] != ',' {
			j++
		}
		cell = append(cell, b[i:j]...)
		i = j
		if len(s.cells) == s.cols {
			return false
		}
		s.cells = append(s.cells, cell)
		if i >= len(b) {
			return len(s.cells) == s.cols
		}
	}
}

// unquote copies the cell whose text starts at b[i] after the quote, with
// doubled quotes made single, and tells where its closing quote is.
func unquote(b []byte, i int) (cell []byte, end int, ok bool) {
	for {
		j := bytes.IndexByte(b[i:], '"')
		if j < 0 {
			return nil, 0, false
		}
		cell = append(cell, b[i:i+j]...)
		i += j
		if i+1 >= len(b) || b[i+1] != '"' {
			return cell, i, true
		}
		cell = append(cell, '"')
		i += 2
	}
}

// spanning cuts a record of several lines and returns its length with its line
// end, or 0 if there is none. Line ends within cells become newlines, so that a
// file means the same with any.
func (s *splitter) spanning() int {
	b := s.lines.ahead(min(maxQuoted, s.credit))
	s.cells = s.cells[:0]
	used := 0
	defer func() { s.credit -= used }()
	eol := s.lines.eol
	whole := errors.Is(s.lines.end, io.EOF) && s.lines.last+len(b) == len(s.lines.buf)
	for i := 0; ; i++ {
		var cell []byte
		if i < len(b) && b[i] == '"' {
			text, end, ok := unquote(b, i+1)
			if !ok {
				used = len(b)
				return 0
			}
			cell, i = text, end+1
			if eol == '\r' {
				cell = bytes.ReplaceAll(cell, []byte{'\r'}, []byte{'\n'})
			} else {
				cell = bytes.ReplaceAll(cell, []byte{'\r', '\n'}, []byte{'\n'})
			}
		} else {
			j := i
			for j < len(b) && b[j] != ',' && b[j] != eol {
				j++
			}
			cell = b[i:j:j]
			i = j
			if k := len(cell); k > 0 && cell[k-1] == '\r' && i < len(b) && b[i] == '\n' {
				cell = cell[: k-1 : k-1]
			}
		}
		used = i
		if len(s.cells) == s.cols {
			return 0
		}
		s.cells = append(s.cells, cell)
		n := i + 1
		switch {
		case i >= len(b) && !whole:
			return 0 // the window ends in this cell
		case i >= len(b):
			n = len(b)
		case b[i] == eol:
		case b[i] == '\r' && i+1 < len(b) && b[i+1] == '\n':
			n = i + 2
		case b[i] == ',':
			continue
		default:
			return 0
		}
		if len(s.cells) != s.cols {
			return 0
		}
		return n
	}
}
