package decode

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"tocsin/internal/event"
)

// full is true where hostile inputs have their full size.
func full() bool { return os.Getenv("TOCSIN_HOSTILE") == "full" }

func size(reduced, whole int64) int64 {
	if full() {
		return whole
	}
	return reduced
}

const hostileHeader = "timestamp,ip,port,asn,geo,tag\n"

// repeat reads as n times the byte b.
func repeat(b byte, n int64) io.Reader {
	return io.LimitReader(endless(b), n)
}

type endless byte

func (e endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(e)
	}
	return len(p), nil
}

// reasons counts the bad rows.
func reasons(bad []Bad) string {
	m := map[Reason]int{}
	for _, b := range bad {
		m[b.Reason]++
	}
	return fmt.Sprint(m)
}

// TestBomb is a gzip file of many members that unpacks to a thousand times its
// size, before the header and after good rows.
func TestBomb(t *testing.T) {
	t.Parallel()
	zeros, err := io.ReadAll(repeat(0, size(32<<20, 1<<30)))
	if err != nil {
		t.Fatal(err)
	}
	member := gzipped(t, zeros)
	var bomb []byte
	for range 10 {
		bomb = append(bomb, member...)
	}
	for name, in := range map[string][]byte{"gzip": bomb, "zstd": zstded(t, zeros)} {
		before := cpu()
		for _, format := range []string{"shadowserver", "idf"} {
			good := hostileHeader + "2026-03-24 00:00:00,192.0.2.9,80,64500,XX,t\n"
			if format == "idf" {
				good = `{"time.source":"2026-03-24T00:00:00Z","source.ip":"192.0.2.9"}` + "\n"
			}
			_, bad, err := all(t, format, bytes.NewReader(in), historic("scan_telnet"), Limits{})
			if r := asRefusal(err); format == "shadowserver" && (r == nil || r.Reason != ReasonRatio) || format == "idf" && reasons(bad) != "map[ratio:1]" {
				t.Errorf("%s, %s: %v %v", name, format, err, reasons(bad))
			}
			if name == "gzip" {
				events, bad, err := all(t, format, bytes.NewReader(append(gzipped(t, []byte(good)), in...)), historic("scan_telnet"), Limits{})
				if err != nil || len(events) != 1 || reasons(bad) != "map[ratio:1]" {
					t.Errorf("after a good row: %d events, %s, %v", len(events), reasons(bad), err)
				}
			}
		}
		if used := time.Duration(cpu() - before); used > 5*time.Second && !testing.Short() {
			t.Logf("%s: %v of CPU in the process meanwhile", name, used)
		}
	}
}

// TestLongLine is a line of a gigabyte before a good row.
func TestLongLine(t *testing.T) {
	t.Parallel()
	n := size(8<<20, 1<<30)
	events, bad, err := all(t, "shadowserver", io.MultiReader(strings.NewReader(hostileHeader), repeat('a', n),
		strings.NewReader("\n2026-01-01 00:00:00,192.0.2.9,80,64500,XX,t\n")), historic("scan_telnet"), Limits{})
	if err != nil || len(events) != 1 || events[0].Row != 2 || reasons(bad) != "map[line-too-long:1]" || len(bad[0].Raw) != maxRaw {
		t.Errorf("%d events, %s, %v", len(events), reasons(bad), err)
	}
	events, bad, err = all(t, "idf", io.MultiReader(strings.NewReader(`{"a":"`), repeat('a', n),
		strings.NewReader("\"}\n"+`{"time.source":"2026-01-01T00:00:00Z","source.ip":"192.0.2.9"}`)), historic(""), Limits{})
	if err != nil || len(events) != 1 || events[0].Row != 2 || reasons(bad) != "map[line-too-long:1]" {
		t.Errorf("%d events, %s, %v", len(events), reasons(bad), err)
	}
	// A header too long is no header.
	_, _, err = all(t, "shadowserver", repeat('a', n), historic("scan_telnet"), Limits{})
	if r := asRefusal(err); r == nil || r.Reason != ReasonHeader {
		t.Error(err)
	}
	// The budget of bytes ends within the line: one row stands for the rest.
	_, bad, err = all(t, "shadowserver", io.MultiReader(strings.NewReader(hostileHeader), repeat('a', n)), historic("scan_telnet"), Limits{Bytes: 4 << 20})
	if err != nil || reasons(bad) != "map[bytes:1]" {
		t.Errorf("%s, %v", reasons(bad), err)
	}
}

// TestOpenQuote is a quote that never closes before many good rows.
func TestOpenQuote(t *testing.T) {
	t.Parallel()
	n := int(size(20_000, 100_000))
	for _, quoted := range []bool{false, true} {
		var b bytes.Buffer
		b.WriteString(hostileHeader + "2026-01-01 00:00:00,192.0.2.1,80,64500,XX,\"boom\n")
		for i := range n {
			if quoted {
				fmt.Fprintf(&b, "\"2026-01-01 00:00:00\",\"192.0.2.%d\",\"80\",\"\",\"XX\",\"a \"\"b\"\"\"\n", i%250)
			} else {
				fmt.Fprintf(&b, "2026-01-01 00:00:00,192.0.2.%d,80,64500,XX,t\n", i%250)
			}
		}
		events, bad := must(t, "shadowserver", b.Bytes(), historic("scan_telnet"))
		if len(events) != n || reasons(bad) != "map[unclosed-quote:1]" || bad[0].Row != 1 {
			t.Errorf("%d events, %s", len(events), reasons(bad))
		}
	}
	// Open quotes everywhere cost a multiple of the size, not its square.
	before := cpu()
	b := []byte(hostileHeader + strings.Repeat("2026-01-01 00:00:00,192.0.2.1,80,,,\"\"\"a\n\"\"\"\",\n", n))
	events, bad := must(t, "shadowserver", b, historic("scan_telnet"))
	if len(events) > 0 || len(bad) != 2*n {
		t.Errorf("%d events, %s", len(events), reasons(bad))
	}
	t.Logf("%d open quotes, %d bytes: %v of CPU", n, len(b), time.Duration(cpu()-before))
}

// TestDepth is JSON nested a million deep.
func TestDepth(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]string{1_000_000: "map[line-too-long:1]", 100_000: "map[depth:1]", 65: "map[depth:1]", 63: "map[]"} {
		for _, p := range [][2]string{{"[", "]"}, {`{"a":`, "}"}} {
			leaf := ""
			if p[0] != "[" {
				leaf = "1"
			}
			in := `{"time.source":"2026-01-01T00:00:00Z","source.ip":"192.0.2.9","x":` + strings.Repeat(p[0], n) + leaf + strings.Repeat(p[1], n) + "}\n" +
				`{"time.source":"2026-01-01T00:00:00Z","source.ip":"192.0.2.9"}`
			if n == 100_000 && p[0] != "[" || n == 63 && p[0] != "[" {
				continue
			}
			events, bad := must(t, "idf", []byte(in), historic(""))
			if reasons(bad) != want || len(events)+len(bad) != 2 {
				t.Errorf("depth %d of %s: %d events, %s, want %s", n, p[0], len(events), reasons(bad), want)
			}
		}
	}
	_, bad := must(t, "idf", []byte(strings.Repeat("[", 1_000_000)+strings.Repeat("]", 1_000_000)), historic(""))
	if reasons(bad) != "map[line-too-long:1]" {
		t.Error(reasons(bad))
	}
}

// TestBytes are bytes that are no text: they come back as they were.
func TestBytes(t *testing.T) {
	t.Parallel()
	odd := "a\x00b\xff\xfe\xed\xa0\x80 \x1b]0;pwn\x07\x1b[2J \u202e \u2028 \\ \u00e9"
	in := hostileHeader + "2026-01-01 00:00:00,192.0.2.1,80,64500,XX,\"" + odd + "\r\n2026-01-01 INFO admin login ok\"\n"
	events, bad := must(t, "shadowserver", []byte(in), historic("scan_telnet"))
	if len(events) != 1 {
		t.Fatal(reasons(bad))
	}
	out := event.AppendIDF(nil, &events[0], "")
	if !json.Valid(out) || bytes.IndexByte(out, '\n') >= 0 || bytes.ContainsAny(out, "\x00\x1b\x07\xff") {
		t.Errorf("%q", out)
	}
	for k, v := range events[0].Extras() {
		if k == "extra.tag" {
			got := string(unescape(v[1 : len(v)-1]))
			// The lone surrogates U+DC80 to U+DCFF stand for the bytes.
			var b []byte
			for i := 0; i < len(got); i++ {
				if got[i] == 0xed && i+2 < len(got) && got[i+1] >= 0xb2 {
					b = append(b, got[i+1]<<6|got[i+2]&0x3f)
					i += 2
					continue
				}
				b = append(b, got[i])
			}
			if want := odd + "\n2026-01-01 INFO admin login ok"; string(b) != want {
				t.Errorf("got  %q\nwant %q", b, want)
			}
		}
	}
	for name := range map[string]bool{"geo": true, "region": true, "hostname": true, "infection": true, "device_vendor": true, "url": true} {
		in := "timestamp,ip,port," + name + "\n2026-01-01 00:00:00,192.0.2.1,80,\"" + odd + "\"\n"
		report := "scan_telnet"
		if name == "url" {
			report = "malware_url"
		}
		events, bad := must(t, "shadowserver", []byte(in), historic(report))
		if len(events) != 1 || !bytes.Contains(events[0].Extra, []byte(`"extra.`+name+`":"a\u0000b\udcff\udcfe\udced\udca0\udc80 `)) {
			t.Errorf("%s: %s %v", name, events[0].Extra, bad)
		}
	}
}

// TestShape are headers of odd shapes.
func TestShape(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	b.WriteString("timestamp,ip,port,asn,geo,")
	for i := range 100_000 {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "c%d", i)
	}
	b.WriteString("\n2026-01-01 00:00:00,192.0.2.1,80,64500,XX" + strings.Repeat(",x", 100_000) + "\n")
	_, _, err := all(t, "shadowserver", strings.NewReader(b.String()), historic("scan_telnet"), Limits{})
	if r := asRefusal(err); r == nil || r.Reason != ReasonHeader {
		t.Error(err)
	}
	// A row of 100,001 cells under a good header is one bad row.
	events, bad := must(t, "shadowserver", []byte(hostileHeader+"2026-01-01 00:00:00,192.0.2.1,80,64500,XX"+strings.Repeat(",x", 100_000)+"\n2026-01-01 00:00:00,192.0.2.1,80,64500,XX,t\n"), historic("scan_telnet"))
	if len(events) != 1 || reasons(bad) != "map[columns:1]" {
		t.Errorf("%d events, %s", len(events), reasons(bad))
	}
	// Thousands of equal columns without meaning are all kept.
	n := DefaultLimits().Columns - 3
	events, bad = must(t, "shadowserver", []byte("timestamp,ip,port"+strings.Repeat(",x", n)+"\n2026-01-01 00:00:00,192.0.2.1,80"+strings.Repeat(",y", n)+"\n"), historic("scan_telnet"))
	if len(events) != 1 || bytes.Count(events[0].Extra, []byte(`:"y"`)) != n {
		t.Errorf("%d events, %s", len(events), reasons(bad))
	}
	seen := map[string]bool{}
	for k := range events[0].Extras() {
		seen[k] = true
	}
	if len(seen) != n {
		t.Errorf("%d keys of %d columns", len(seen), n)
	}
	// As many keys in one object.
	b.Reset()
	b.WriteString(`{"time.source":"2026-01-01T00:00:00Z","source.ip":"192.0.2.9"`)
	for i := range 100_000 {
		fmt.Fprintf(&b, `,"%d":1`, i)
	}
	b.WriteString("}")
	if _, bad := must(t, "idf", []byte(b.String()), historic("")); reasons(bad) != "map[json:1]" && reasons(bad) != "map[line-too-long:1]" {
		t.Error(reasons(bad))
	}
	// Long keys within each other do not multiply.
	long := strings.Repeat("k", 250)
	in := `{"time.source":"2026-01-01T00:00:00Z","source.ip":"192.0.2.9","` + long + `":{"` + long + `":{"a":1}}}`
	if _, bad := must(t, "idf", []byte(in), historic("")); reasons(bad) != "map[json:1]" {
		t.Error(reasons(bad))
	}
}

// TestTimes are times that are none, or that the delivery cannot report.
func TestTimes(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		in       string
		reason   Reason // of a feed with the usual window
		historic Reason
	}{
		{"2026-03-24 11:00:00", "", ""},
		{"2026-03-24T11:00:00Z", "", ""},
		{"2026-03-24T13:00:00+02:00", "", ""},
		{"2026-03-24 11:00:00.123456789", "", ""},
		{"2026-03-24 12:10:00", "", ""},
		{"2026-03-24 12:10:01", ReasonWindow, ReasonWindow},
		{"2026-03-17 12:00:00", "", ""},
		{"2026-03-17 11:59:59", ReasonWindow, ""},
		{"2025-02-17 00:00:00", ReasonWindow, ""},
		{"2027-03-24 00:00:00", ReasonWindow, ReasonWindow},
		{"0001-01-01 00:00:00", ReasonWindow, ReasonWindow},
		{"9999-12-31 23:59:59", ReasonWindow, ReasonWindow},
		{"1969-12-31 23:59:59", ReasonWindow, ReasonWindow},
		{"2038-01-19T03:14:08Z", ReasonWindow, ReasonWindow},
		{"2026-03-23 23:59:60", ReasonTime, ReasonTime},
		{"2026-03-23 24:00:00", ReasonTime, ReasonTime},
		{"2026-03-24T11:00:00+99:99", ReasonTime, ReasonTime},
		{"2026-02-30 00:00:00", ReasonTime, ReasonTime},
		{"1000000000000000000", ReasonTime, ReasonTime},
		{"1774350000", ReasonTime, ReasonTime},
		{"-1", ReasonTime, ReasonTime},
		{"NaN", ReasonTime, ReasonTime},
		{"", ReasonTime, ReasonTime},
		{"2026-03-24", ReasonTime, ReasonTime},
		{"2026-03-24 11:00", ReasonTime, ReasonTime},
		{"2026-03-24 11:00:00 tomorrow", ReasonTime, ReasonTime},
		{"2026-3-24 11:00:00", ReasonTime, ReasonTime},
	} {
		for _, past := range []bool{false, true} {
			src := historic("scan_telnet")
			src.Historical = past
			want := tt.reason
			if past {
				want = tt.historic
			}
			check := func(format, in string) {
				t.Helper()
				_, bad := must(t, format, []byte(in), src)
				got := Reason("")
				if len(bad) > 0 {
					got = bad[0].Reason
				}
				if got != want {
					t.Errorf("%s, %q, historical %v: %q, want %q", format, tt.in, past, got, want)
				}
			}
			check("shadowserver", hostileHeader+tt.in+",192.0.2.1,80,64500,XX,t\n")
			check("idf", fmt.Sprintf(`{"time.source":%q,"source.ip":"192.0.2.1"}`, tt.in))
		}
	}
}

// TestBudgets end a delivery between rows.
func TestBudgets(t *testing.T) {
	t.Parallel()
	in := hostileHeader + strings.Repeat("2026-01-01 00:00:00,192.0.2.1,80,64500,XX,t\n", 10)
	for _, tt := range []struct {
		lim    Limits
		events int
		bad    string
	}{
		{Limits{Rows: 10}, 10, "map[]"},
		{Limits{Rows: 9}, 9, "map[rows:1]"},
		{Limits{Rows: 1}, 1, "map[rows:1]"},
		{Limits{Bytes: int64(len(in))}, 10, "map[]"},
		{Limits{Bytes: int64(len(in)) - 1}, 9, "map[bytes:1]"},
		{Limits{Bytes: int64(len(hostileHeader)) + 1}, 0, "map[bytes:1]"},
	} {
		events, bad, err := all(t, "shadowserver", strings.NewReader(in), historic("scan_telnet"), tt.lim)
		if err != nil || len(events) != tt.events || reasons(bad) != tt.bad {
			t.Errorf("%+v: %d events, %s, %v", tt.lim, len(events), reasons(bad), err)
		}
	}
	// Damaged in the middle: what was before is kept.
	z := gzipped(t, []byte(in), bytes.Repeat([]byte("2026-01-01 00:00:00,192.0.2.1,80,64500,XX,t\n"), 1000))
	first := len(gzipped(t, []byte(in)))
	for _, cut := range [][]byte{z[:first+5], z[:len(z)-20], append(z[:first:first], "garbage"...)} {
		events, bad, err := all(t, "shadowserver", bytes.NewReader(cut), historic("scan_telnet"), Limits{})
		if err != nil || len(events) < 10 || reasons(bad) != "map[compression:1]" {
			t.Errorf("%d events, %s, %v", len(events), reasons(bad), err)
		}
	}
}
