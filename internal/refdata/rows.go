package refdata

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

// Limits of a list that an operator writes.
const (
	maxLine    = 64 << 10 // bytes of a line
	maxColumns = 256
)

// RowError says why one line is not a row. Reading may go on behind it.
type RowError struct {
	Line   int // in the file; the header is line 1
	Reason string
}

// Error implements error.
func (e *RowError) Error() string { return fmt.Sprintf("line %d: %s", e.Line, e.Reason) }

// Rows reads the small lists that operators write: CSV with a header,
// separated by commas, semicolons or tabs. It gives one row at a time, each
// with its line, or the reason why a line is not a row; memory is bounded by
// one line. A row is one line: a quote that is not closed costs its line and no
// other. It must not be copied or shared.
type Rows struct {
	in     *bufio.Reader
	left   int64
	line   int
	sep    byte
	header []string
	fields []string
}

// NewRows reads the header from r and returns the rows below it, or
// the reason why there are none to be had. More than limit bytes are refused.
// Names of columns are folded to lower case, and blanks around them dropped.
func NewRows(r io.Reader, limit int64) (*Rows, error) {
	c := &Rows{in: bufio.NewReaderSize(r, maxLine+2), left: limit}
	if b, err := c.in.Peek(3); err == nil && string(b) == "\xef\xbb\xbf" {
		_, _ = c.in.Discard(3)
		c.left -= 3
	}
	text, err := c.next()
	switch {
	case errors.Is(err, io.EOF):
		return nil, errors.New("there is no header line")
	case err != nil:
		return nil, fmt.Errorf("header: %w", err)
	}
	most := -1
	for _, sep := range []byte{',', ';', '\t'} {
		if n := strings.Count(text, string(sep)); n > most {
			c.sep, most = sep, n
		}
	}
	names, reason := splitLine(nil, text, c.sep)
	if reason != "" {
		return nil, fmt.Errorf("header: %s", reason)
	}
	for i, n := range names {
		names[i] = strings.ToLower(strings.TrimSpace(n))
		if names[i] != "" && slices.Contains(names[:i], names[i]) {
			return nil, fmt.Errorf("header: two columns are called %.40q: remove or rename one", names[i])
		}
	}
	c.header = names
	return c, nil
}

// Header returns the names of the columns.
func (c *Rows) Header() []string { return c.header }

// Column returns the index of the first column that has one of the names, or
// -1.
func (c *Rows) Column(names ...string) int {
	for _, n := range names {
		if i := slices.Index(c.header, n); i >= 0 {
			return i
		}
	}
	return -1
}

// Line is the line of the row that Next returned last.
func (c *Rows) Line() int { return c.line }

// Next returns the next row's fields, as many as the header has, without the
// blanks around them. The slice is used again; the strings are not. It
// returns an [*RowError] for a line that is not a row, io.EOF at the end, and any
// other error if reading cannot go on.
func (c *Rows) Next() ([]string, error) {
	text, err := c.next()
	if err != nil {
		return nil, err
	}
	f, reason := splitLine(c.fields[:0], text, c.sep)
	c.fields = f
	if reason == "" && len(f) != len(c.header) {
		reason = fmt.Sprintf("%d fields where the header has %d", len(f), len(c.header))
	}
	if reason != "" {
		return nil, &RowError{c.line, reason}
	}
	for i := range f {
		f[i] = strings.TrimSpace(f[i])
	}
	return f, nil
}

// next returns the next line that is not blank.
func (c *Rows) next() (string, error) {
	for {
		b, err := c.in.ReadSlice('\n')
		c.line++
		c.left -= int64(len(b))
		if long := errors.Is(err, bufio.ErrBufferFull); long || len(b) > maxLine {
			for errors.Is(err, bufio.ErrBufferFull) && c.left >= 0 {
				b, err = c.in.ReadSlice('\n')
				c.left -= int64(len(b))
			}
			if c.left >= 0 && (err == nil || errors.Is(err, io.EOF)) {
				return "", &RowError{c.line, fmt.Sprintf("longer than %d bytes", maxLine)}
			}
		}
		if c.left < 0 {
			return "", fmt.Errorf("line %d: the file is too large", c.line)
		}
		if err != nil && (!errors.Is(err, io.EOF) || len(b) == 0) {
			return "", err
		}
		b = bytes.TrimSuffix(bytes.TrimSuffix(b, []byte("\n")), []byte("\r"))
		if len(bytes.TrimSpace(b)) == 0 {
			continue
		}
		if !utf8.Valid(b) {
			return "", &RowError{c.line, "not UTF-8: save the file as UTF-8"}
		}
		for _, x := range b {
			if x < ' ' && x != '\t' || x == 0x7f {
				return "", &RowError{c.line, fmt.Sprintf("holds the control character %#02x", x)}
			}
		}
		return string(b), nil
	}
}

// splitLine appends the fields of one line to f (RFC 4180, section 2, without
// line breaks in fields). A quote inside a field that does not begin with one
// is an ordinary character. The reason is "" if the line is well formed.
func splitLine(f []string, line string, sep byte) (_ []string, reason string) {
	for {
		if len(f) >= maxColumns {
			return f, fmt.Sprintf("more than %d columns", maxColumns)
		}
		if line == "" || line[0] != '"' {
			i := strings.IndexByte(line, sep)
			if i < 0 {
				return append(f, line), ""
			}
			f, line = append(f, line[:i]), line[i+1:]
			continue
		}
		var (
			i      = 1
			double = false
		)
		for {
			j := strings.IndexByte(line[i:], '"')
			if j < 0 {
				return f, "a quote is not closed on this line"
			}
			i += j + 1
			if i == len(line) || line[i] != '"' {
				break
			}
			double = true
			i++
		}
		s := line[1 : i-1]
		if double {
			s = strings.ReplaceAll(s, `""`, `"`)
		}
		f = append(f, s)
		if i == len(line) {
			return f, ""
		}
		if line[i] != sep {
			return f, "text behind a closing quote"
		}
		line = line[i+1:]
	}
}
