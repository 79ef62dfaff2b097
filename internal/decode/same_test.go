package decode

import (
	"bytes"
	"encoding/csv"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf16"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"golang.org/x/tools/txtar"

	"tocsin/internal/event"
)

func gzipped(t testing.TB, parts ...[]byte) []byte {
	t.Helper()
	var b bytes.Buffer
	for _, p := range parts {
		w := gzip.NewWriter(&b)
		if _, err := w.Write(p); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}

func zstded(t testing.TB, in []byte) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return w.EncodeAll(in, nil)
}

func utf16d(in []byte, order int) []byte {
	out := []byte{0xff, 0xfe}
	if order == 1 {
		out = []byte{0xfe, 0xff}
	}
	for _, c := range utf16.Encode([]rune(string(in))) {
		b := [2]byte{byte(c), byte(c >> 8)}
		out = append(out, b[order], b[1-order])
	}
	return out
}

// TestSameFile reads the same rows in other clothes: the ids stay.
func TestSameFile(t *testing.T) {
	t.Parallel()
	_, inputs := fixtures(t, "shadowserver")
	for _, f := range inputs {
		src := fixtureSource(f)
		events, bad := must(t, "shadowserver", f.Data, src)
		want := ids(events)
		same := func(what string, in []byte) {
			t.Helper()
			got, b := must(t, "shadowserver", in, src)
			if !slices.Equal(ids(got), want) || len(b) != len(bad) {
				t.Errorf("%s, %s: %d events and %d bad rows, want %d and %d with the same ids", f.Name, what, len(got), len(b), len(events), len(bad))
			}
		}
		same("twice", f.Data)
		same("CRLF", bytes.ReplaceAll(f.Data, []byte("\n"), []byte("\r\n")))
		same("CR alone", bytes.ReplaceAll(f.Data, []byte("\n"), []byte("\r")))
		same("no last line end", bytes.TrimRight(f.Data, "\n"))
		same("byte order mark", append([]byte{0xef, 0xbb, 0xbf}, f.Data...))
		same("UTF-16LE", utf16d(f.Data, 0))
		same("UTF-16BE", utf16d(f.Data, 1))
		same("gzip", gzipped(t, f.Data))
		same("gzip in members", gzipped(t, f.Data[:7], f.Data[7:40], nil, f.Data[40:]))
		same("zstd", zstded(t, f.Data))
		same("blank lines", bytes.ReplaceAll(f.Data, []byte("\n2026"), []byte("\n\n\r\n2026")))
		in, err := all2(t, iotest.OneByteReader(bytes.NewReader(f.Data)), src)
		if err != nil || !slices.Equal(ids(in), want) {
			t.Errorf("%s: byte by byte: %v", f.Name, err)
		}
		rows := records(f, len(bad) > 0)
		if rows == nil {
			continue
		}
		r := rand.New(rand.NewPCG(7, 7))
		for range 3 {
			r.Shuffle(len(rows)-1, func(i, j int) { rows[i+1], rows[j+1] = rows[j+1], rows[i+1] })
			same("shuffled", write(t, rows))
			order := r.Perm(len(rows[0]))
			permuted := make([][]string, len(rows))
			for i, row := range rows {
				for _, k := range order {
					permuted[i] = append(permuted[i], row[k])
				}
			}
			same("columns permuted", write(t, permuted))
		}
		var split []event.Event
		for _, row := range rows[1:] {
			got, _ := must(t, "shadowserver", write(t, [][]string{rows[0], row}), src)
			split = append(split, got...)
		}
		if !slices.Equal(ids(split), want) {
			t.Errorf("%s: split by rows, the ids differ", f.Name)
		}
		// A new column of the vendor, full or empty.
		for _, cell := range []string{"", "new"} {
			wider := make([][]string, len(rows))
			for i, row := range rows {
				wider[i] = append([]string{cell}, row...)
			}
			wider[0][0] = "vendor_news"
			same("a column added", write(t, wider))
		}
	}
}

func all2(t testing.TB, r io.Reader, src Source) ([]event.Event, error) {
	t.Helper()
	events, _, err := all(t, "shadowserver", r, src, Limits{})
	return events, err
}

// records returns the cells of a fixture; nil if it has rows that no CSV writer
// would write.
func records(f txtar.File, odd bool) [][]string {
	if odd {
		return nil
	}
	r := csv.NewReader(bytes.NewReader(f.Data))
	r.FieldsPerRecord = -1
	rows, err := r.ReadAll()
	if err != nil {
		return nil
	}
	for i := range rows {
		for len(rows[i]) < len(rows[0]) {
			rows[i] = append(rows[i], "")
		}
	}
	return rows
}

func write(t testing.TB, rows [][]string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	if err := w.WriteAll(rows); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestParts cuts a delivery at the bounds of parts.
func TestParts(t *testing.T) {
	t.Parallel()
	in := []byte("timestamp,ip,port\n")
	line := []byte("2026-03-24 00:00:00,192.0.2.1,23\n")
	for _, n := range []int{0, 1, PartRows - 1, PartRows, PartRows + 1} {
		for _, odd := range []bool{false, true} {
			b := slices.Concat(in, bytes.Repeat(line, n))
			if odd && n > 0 {
				b = append(b[:len(b)-len(line)], "odd\n"...)
			}
			f, _ := Lookup("shadowserver")
			rows, parts := 0, 0
			for p, err := range f.Parts(bytes.NewReader(b), historic("scan_telnet"), Limits{}) {
				if err != nil {
					t.Fatal(err)
				}
				for i := range p.Events {
					if int(p.Events[i].Row-1)/PartRows != p.Index {
						t.Errorf("row %d is in part %d", p.Events[i].Row, p.Index)
					}
				}
				for _, x := range p.Bad {
					if int(x.Row-1)/PartRows != p.Index || string(x.Raw) != "odd" {
						t.Errorf("bad row %d is in part %d: %q", x.Row, p.Index, x.Raw)
					}
				}
				rows += p.Rows
				parts++
				p.Recycle()
			}
			if want := max(1, (n+PartRows-1)/PartRows); rows != n || parts != want {
				t.Errorf("%d rows: %d rows in %d parts, want %d", n, rows, parts, want)
			}
		}
	}
}

// TestRawRow gives the evidence of each row.
func TestRawRow(t *testing.T) {
	t.Parallel()
	for _, f := range Formats {
		_, inputs := fixtures(t, f.Name)
		for _, in := range inputs {
			events, bad := must(t, f.Name, in.Data, fixtureSource(in))
			for _, b := range bad {
				raw, err := RawRow(bytes.NewReader(in.Data), f, b.Row, Limits{})
				if err != nil || !bytes.HasPrefix(raw, b.Raw) || len(b.Raw) < min(len(raw), maxRaw) {
					t.Errorf("%s row %d: %q %v, want %q", in.Name, b.Row, raw, err, b.Raw)
				}
			}
			header, _, _ := bytes.Cut(in.Data, []byte("\n"))
			for i := range events {
				raw, err := RawRow(bytes.NewReader(gzipped(t, in.Data)), f, events[i].Row, Limits{})
				if err != nil || len(raw) == 0 || !bytes.Contains(in.Data, raw) {
					t.Errorf("%s row %d: %q %v", in.Name, events[i].Row, raw, err)
					continue
				}
				if f.Name == "shadowserver" {
					raw = slices.Concat(header, []byte("\n"), raw)
				}
				again, _ := must(t, f.Name, raw, fixtureSource(in))
				if len(again) != 1 || again[0].ID != events[i].ID {
					t.Errorf("%s row %d: its raw bytes make another event", in.Name, events[i].Row)
				}
			}
			if raw, err := RawRow(bytes.NewReader(in.Data), f, uint32(len(events)+len(bad)+1), Limits{}); err == nil || !strings.Contains(err.Error(), "no row") {
				t.Errorf("%s: a row beyond the end: %q %v", in.Name, raw, err)
			}
		}
	}
}

// TestReadError gives the error of the reader, not a short delivery.
func TestReadError(t *testing.T) {
	t.Parallel()
	for _, f := range Formats {
		_, inputs := fixtures(t, f.Name)
		for _, in := range inputs {
			for n := 0; n <= len(in.Data); n += 1 + len(in.Data)/20 {
				for _, b := range [][]byte{in.Data[:n], gzipped(t, in.Data)[:min(n, 20)]} {
					r := io.MultiReader(bytes.NewReader(b), iotest.ErrReader(iotest.ErrTimeout))
					for _, err := range f.Parts(r, fixtureSource(in), Limits{}) {
						if err == nil {
							t.Errorf("%s: a part before a read error at %d", in.Name, n)
						} else if err != iotest.ErrTimeout && asRefusal(err) == nil { //nolint:errorlint // it comes as it is
							t.Errorf("%s: %v", in.Name, err)
						}
					}
				}
			}
		}
	}
}
