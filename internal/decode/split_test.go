package decode

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"tocsin/internal/event"
)

// refRecord is a record of the slow reference.
type refRecord struct {
	raw   string
	cells []string
	bad   bool
}

// refSplit is the splitter in the plainest words: after the header, a record is
// the shortest run of lines that encoding/csv reads as one record of the
// header's width; a line that starts none is bad, unless its odd quotes can be
// read alone.
func refSplit(in string, cols int) []refRecord {
	var out []refRecord
	lines := strings.SplitAfter(in, "\n")
	if lines[len(lines)-1] == "" {
		lines = lines[:len(lines)-1]
	}
	for i := 0; i < len(lines); i++ {
		line := trimEnd(lines[i])
		if line == "" {
			continue
		}
		cells, ok := refParse(line)
		switch {
		case ok:
			for len(cells) > cols && cells[len(cells)-1] == "" {
				cells = cells[:len(cells)-1]
			}
			bad := len(cells) > cols || len(cells) < cols-1
			if len(cells) == cols-1 {
				cells = append(cells, "")
			}
			out = append(out, refRecord{line, cells, bad})
			continue
		case refClosed(line):
			if c := oddQuotes(line); len(c) == cols {
				out = append(out, refRecord{line, c, false})
				continue
			}
		}
		found := false
		for k := i + 2; k <= len(lines) && !found; k++ {
			raw := strings.Join(lines[i:k], "")
			if len(raw) > maxQuoted {
				break
			}
			cells, ok := refParse(trimEnd(raw))
			if !ok {
				continue
			}
			if len(cells) == cols {
				for j := range cells {
					cells[j] = strings.ReplaceAll(cells[j], "\r\n", "\n")
				}
				out = append(out, refRecord{raw, cells, false})
				i, found = k-1, true
			}
			break
		}
		if !found {
			out = append(out, refRecord{line, nil, true})
		}
	}
	return out
}

func trimEnd(s string) string { return strings.TrimSuffix(strings.TrimSuffix(s, "\n"), "\r") }

// refParse reads s as just one RFC 4180 record, character by character.
func refParse(s string) (cells []string, ok bool) {
	for i := 0; ; i++ {
		cell := ""
		if i < len(s) && s[i] == '"' {
			for i++; ; i++ {
				if i >= len(s) {
					return nil, false
				}
				if s[i] == '"' {
					if i+1 < len(s) && s[i+1] == '"' {
						i++
					} else {
						break
					}
				}
				cell += string(s[i : i+1])
			}
			i++
			if i < len(s) && s[i] != ',' {
				return nil, false
			}
		} else {
			for i < len(s) && s[i] != ',' {
				if s[i] == '\n' {
					return nil, false // the record ended before
				}
				cell += s[i : i+1]
				i++
			}
		}
		cells = append(cells, cell)
		if i >= len(s) {
			return cells, true
		}
	}
}

// refClosed reports whether all quotes that open a cell close in the line.
func refClosed(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] == '"' {
			for i++; ; i++ {
				if i >= len(s) {
					return false
				}
				if s[i] == '"' {
					if i+1 < len(s) && s[i+1] == '"' {
						i++
						continue
					}
					break
				}
			}
		}
		for i < len(s) && s[i] != ',' {
			i++
		}
	}
	return true
}

// split runs the splitter over in.
func split(in io.Reader, cols int) []refRecord {
	s := newSplitter(newLines(in, 1<<20), DefaultLimits())
	s.cols = cols
	var out []refRecord
	for {
		raw, reason, err := s.next()
		if err != nil {
			return out
		}
		r := refRecord{raw: string(raw), bad: reason != ""}
		if !r.bad {
			for _, c := range s.cells {
				r.cells = append(r.cells, string(c))
			}
		}
		out = append(out, r)
	}
}

func checkSplit(t interface{ Errorf(string, ...any) }, in string, cols int) {
	want := refSplit(in, cols)
	for _, r := range []io.Reader{strings.NewReader(in), &dribble{in: in}} {
		got := split(r, cols)
		if len(got) != len(want) {
			t.Errorf("%q: %d records, the reference has %d\n%v\n%v", in, len(got), len(want), got, want)
			return
		}
		for i := range got {
			if got[i].bad != want[i].bad || !got[i].bad && (!slices.Equal(got[i].cells, want[i].cells) || got[i].raw != want[i].raw) {
				t.Errorf("%q: record %d is %v, the reference has %v", in, i+1, got[i], want[i])
			}
		}
	}
}

// dribble gives one to seven bytes at a time.
type dribble struct {
	in string
	n  int
}

func (d *dribble) Read(p []byte) (int, error) {
	if d.in == "" {
		return 0, io.EOF
	}
	d.n = d.n%7 + 1
	n := copy(p, d.in[:min(d.n, len(d.in))])
	d.in = d.in[n:]
	return n, nil
}

// TestSplitter compares with the reference on small inputs of telling bytes.
func TestSplitter(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		in := rapid.StringOfN(rapid.RuneFrom([]rune("ab,,,\"\"\"\n\n\r\\")), 0, 60, -1).Draw(t, "in")
		// A carriage return alone means what the first line says; the
		// reference knows newlines only.
		in = strings.ReplaceAll(strings.ReplaceAll(in, "\r\n", "\x00"), "\r", "")
		in = strings.ReplaceAll(in, "\x00", "\r\n")
		checkSplit(t, in, rapid.IntRange(1, 4).Draw(t, "columns"))
	})
}

// TestSplitterRFC writes cells with encoding/csv and reads them back.
func TestSplitterRFC(t *testing.T) {
	t.Parallel()
	cell := rapid.StringMatching(`[ab,"\n\\ é]{0,8}`)
	rapid.Check(t, func(t *rapid.T) {
		cols := rapid.IntRange(2, 5).Draw(t, "columns")
		rows := rapid.SliceOf(rapid.SliceOfN(cell, cols, cols)).Draw(t, "rows")
		var b bytes.Buffer
		w := csv.NewWriter(&b)
		w.UseCRLF = rapid.Bool().Draw(t, "CRLF")
		if err := w.WriteAll(rows); err != nil {
			t.Fatal(err)
		}
		got := split(&b, cols)
		if len(got) != len(rows) {
			t.Fatalf("%d records, want %d", len(got), len(rows))
		}
		for i := range rows {
			if !slices.Equal(got[i].cells, rows[i]) {
				t.Fatalf("record %d: %q, want %q", i+1, got[i].cells, rows[i])
			}
		}
	})
}

// TestSplitterFar closes a quote just within and just beyond the bound.
func TestSplitterFar(t *testing.T) {
	t.Parallel()
	for _, n := range []int{maxQuoted - 20, maxQuoted - 8, maxQuoted - 7, maxQuoted - 6, maxQuoted - 5, maxQuoted + 20} {
		cell := strings.Repeat("x\n", n/2) + strings.Repeat("y", n%2)
		in := "a,\"" + cell + "\"\nb,c\n"
		got := split(strings.NewReader(in), 2)
		whole := len("a,\"\"\n")+n <= maxQuoted
		if whole != (len(got) == 2 && len(got[0].cells) == 2 && got[0].cells[1] == cell) {
			t.Errorf("a cell of %d bytes: %d records", n, len(got))
		}
		if last := got[len(got)-1]; !slices.Equal(last.cells, []string{"b", "c"}) {
			t.Errorf("a cell of %d bytes: the last record is %v", n, last)
		}
	}
}

func FuzzSplitter(f *testing.F) {
	f.Add("a,b\n\"a\",\"b\"\n\"a\nb\",c\n\"a,b\nc,d\n", 2)
	f.Add("\"x \\\"y\\\" z\",1\n", 2)
	f.Fuzz(func(t *testing.T, in string, cols int) {
		if cols < 1 || cols > 50 || len(in) > 2000 || strings.Contains(strings.ReplaceAll(in, "\r\n", ""), "\r") {
			t.Skip()
		}
		checkSplit(t, in, cols)
	})
}

// FuzzReader checks that what was packed comes out, whatever it is.
func FuzzReader(f *testing.F) {
	f.Add([]byte("plain"), uint8(0))
	f.Add([]byte{0xff, 0xfe, 'a', 0}, uint8(1))
	f.Add([]byte("\x1f\x8b\x08"), uint8(2))
	f.Fuzz(func(t *testing.T, in []byte, how uint8) {
		lim := Limits{Bytes: 1 << 16, Ratio: 100}.withDefaults()
		packed := in
		switch how % 3 {
		case 1:
			packed = gzipped(t, in)
		case 2:
			packed = zstded(t, in)
		}
		r, err := newReader(bytes.NewReader(packed), lim)
		if err != nil {
			if how%3 != 0 {
				t.Fatal(err)
			}
			return
		}
		defer r.close()
		out, err := io.ReadAll(r)
		if int64(len(out)) > lim.Bytes {
			t.Fatalf("%d bytes, the budget is %d", len(out), lim.Bytes)
		}
		if _, ok := errors.AsType[*stopped](err); err != nil && !ok {
			t.Fatal(err)
		}
		marked := bytes.HasPrefix(in, []byte{0xff, 0xfe}) || bytes.HasPrefix(in, []byte{0xfe, 0xff})
		if how%3 != 0 && err == nil && !marked && !bytes.Equal(out, bytes.TrimPrefix(in, []byte{0xef, 0xbb, 0xbf})) {
			t.Fatalf("%q, want %q", out, in)
		}
	})
}

func FuzzShadowserver(f *testing.F) {
	_, inputs := fixtures(f, "shadowserver")
	for _, in := range inputs {
		f.Add(strings.TrimSuffix(in.Name, ".csv"), in.Data)
	}
	format, err := Lookup("shadowserver")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, report string, in []byte) {
		events, _, err := all(t, "shadowserver", bytes.NewReader(in), historic(report), Limits{Bytes: 1 << 20})
		if err != nil {
			return
		}
		for i := range events {
			e := &events[i]
			roundTrip(t, e)
			if _, err := RawRow(bytes.NewReader(in), format, e.Row, Limits{Bytes: 1 << 20}); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// roundTrip exports an event, imports it and exports it again.
func roundTrip(t testing.TB, e *event.Event) {
	t.Helper()
	out := event.AppendIDF(nil, e, "test")
	again, bad := must(t, "idf", out, historic(""))
	if len(again) != 1 {
		t.Fatalf("%s: %+v", out, bad)
	}
	if twice := event.AppendIDF(nil, &again[0], "test"); !bytes.Equal(out, twice) {
		t.Fatalf("exported, imported and exported again:\n%s\n%s", out, twice)
	}
	if a, b := e.Subject, again[0].Subject; a != b || e.Time != again[0].Time || e.Type != again[0].Type || e.Class() != again[0].Class() || e.Report != again[0].Report {
		t.Fatalf("%s: subject %+v, imported %+v", out, a, b)
	}
}

// TestText compares what looks at eight bytes at a time with what looks at one.
func TestText(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		b := rapid.SliceOfN(rapid.SampledFrom([]byte("aZ09 ~\x7f\"\\\x00\x01\x1f\n\x80\xc3\xa9\xff")), 0, 40).Draw(t, "text")
		if want := utf8.Valid(b) && bytes.IndexByte(b, 0) < 0; plain(b) != want {
			t.Fatalf("plain %q: %v", b, plain(b))
		}
		got := appendString(nil, b)
		if !json.Valid(got) {
			t.Fatalf("%q: %s", b, got)
		}
		var s string
		if err := json.Unmarshal(got, &s); err != nil {
			t.Fatal(err)
		}
		if utf8.Valid(b) && s != string(b) {
			t.Fatalf("%q: %s", b, got)
		}
	})
}
