package decode

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tocsin/internal/event"
)

// samples returns the report files of the shared data by report type, with
// their cells as encoding/csv and, where that gives up, a plain reading of the
// line sees them.
func samples(t testing.TB) map[string]sample {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(shared(t, "shadowserver/csv"), "*.csv"))
	if err != nil || len(files) == 0 {
		t.Fatal(err, len(files))
	}
	m := map[string]sample{}
	for _, f := range files {
		in, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		m[strings.TrimSuffix(filepath.Base(f), ".csv")] = sample{in, cellsOf(t, in)}
	}
	return m
}

type sample struct {
	in   []byte
	rows [][]string // the header first
}

func cellsOf(t testing.TB, in []byte) [][]string {
	t.Helper()
	var rows [][]string
	for line := range bytes.Lines(in) {
		r := csv.NewReader(bytes.NewReader(line))
		rec, err := r.Read()
		if err != nil {
			rec = oddQuotes(strings.TrimRight(string(line), "\r\n"))
		}
		rows = append(rows, rec)
	}
	return rows
}

// oddQuotes reads a line as Python's csv module does, one character at a time.
func oddQuotes(s string) []string {
	var cells []string
	var cell strings.Builder
	quoted, after := false, false
	for i := range len(s) {
		c := s[i]
		switch {
		case quoted && c == '"':
			quoted, after = false, true
		case quoted:
			cell.WriteByte(c)
		case c == '"' && after:
			cell.WriteByte(c)
			quoted, after = true, false
		case c == '"' && cell.Len() == 0 && (i == 0 || s[i-1] == ','):
			quoted = true
		case c == ',':
			cells = append(cells, cell.String())
			cell.Reset()
			after = false
		default:
			cell.WriteByte(c)
			after = false
		}
	}
	return append(cells, cell.String())
}

// badSamples are the rows of the samples that are rightly quarantined.
var badSamples = map[string]Reason{
	"event4_honeypot_ddos_amp 5": ReasonAddress, // 37.120.178.9.10
}

// TestSamples reads real report files: every row is told, only rows that are
// wrong are quarantined, and every cell is found again.
func TestSamples(t *testing.T) {
	t.Parallel()
	total := 0
	for name, s := range samples(t) {
		events, bad := must(t, "shadowserver", s.in, Source{Feed: "test", Name: name + ".csv", Received: received, Historical: true, Confidence: event.NoConfidence})
		if got, want := len(events)+len(bad), len(s.rows)-1; got != want {
			t.Errorf("%s: %d rows told, %d are there", name, got, want)
		}
		total += len(events)
		for _, b := range bad {
			if badSamples[fmt.Sprintf("%s %d", name, b.Row)] != b.Reason {
				t.Errorf("%s: row %d quarantined: %s: %s", name, b.Row, b.Reason, b.Detail)
			}
		}
		for i := range events {
			e := &events[i]
			if e.Report != name {
				t.Errorf("report type %q, want %q", e.Report, name)
			}
			where := fields(e)
			for k, cell := range s.rows[e.Row] {
				if cell != "" && !where[cell] && !where[strings.Replace(cell, " ", "T", 1)+"+00:00"] {
					t.Errorf("%s row %d: %s = %q is lost", name, e.Row, s.rows[0][k], cell)
				}
			}
		}
	}
	if total < 490 {
		t.Errorf("%d events, want all but one of 564 rows", total)
	}
}

// fields returns the values of the event as IDF has them.
func fields(e *event.Event) map[string]bool {
	var m map[string]any
	if err := json.Unmarshal(event.AppendIDF(nil, e, ""), &m); err != nil {
		panic(err)
	}
	found := map[string]bool{}
	for _, v := range m {
		switch v := v.(type) {
		case float64:
			found[fmt.Sprintf("%.0f", v)] = true
		default:
			found[fmt.Sprint(v)] = true
		}
	}
	return found
}

// disagreements are the keys in which the reference is wrong or says less, by
// report type ("" means all), with the reason; docs/decode-reference.md tells
// the same.
var disagreements = []struct{ report, key, why string }{
	{"event4_sinkhole_http", "malware.name", "infection is empty and family names the malware; the reference looks at infection alone"},
	{"event4_sinkhole_http_referer", "malware.name", "infection is empty and family names the malware; the reference looks at infection alone"},
}

// TestReference compares with what another decoder makes of the same files.
func TestReference(t *testing.T) {
	t.Parallel()
	keys := []string{
		"time.source", "source.ip", "source.port", "source.asn", "destination.ip", "destination.port", "destination.asn",
		"classification.type", "classification.taxonomy", "classification.identifier", "malware.name",
	}
	f, err := os.Open(shared(t, "shadowserver/expected-idf.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	want := map[string][]map[string]any{}
	sc := bufio.NewScanner(f)
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		var line struct {
			Report string         `json:"report"`
			Event  map[string]any `json:"event"`
		}
		if err := json.Unmarshal(sc.Bytes(), &line); err != nil {
			t.Fatal(err)
		}
		want[line.Report] = append(want[line.Report], line.Event)
	}
	if err := sc.Err(); err != nil {
		t.Fatal(err)
	}
	compared := 0
	used := map[int]bool{}
	for name, s := range samples(t) {
		if len(want[name]) == 0 {
			continue
		}
		events, bad := must(t, "shadowserver", s.in, historic(name))
		if len(want[name]) != len(events)+len(bad) {
			t.Errorf("%s: %d rows, the reference has %d", name, len(events)+len(bad), len(want[name]))
			continue
		}
		for i := range events {
			e := &events[i]
			ref := want[name][e.Row-1]
			var got map[string]any
			if err := json.Unmarshal(event.AppendIDF(nil, e, ""), &got); err != nil {
				t.Fatal(err)
			}
			for _, k := range keys {
				compared++
				if got[k] == ref[k] {
					continue
				}
				n := slices.IndexFunc(disagreements, func(d struct{ report, key, why string }) bool {
					return d.key == k && (d.report == "" || d.report == name)
				})
				if n < 0 {
					t.Errorf("%s row %d: %s is %v, the reference has %v", name, e.Row, k, got[k], ref[k])
				}
				used[n] = true
			}
		}
	}
	for i, d := range disagreements {
		if !used[i] {
			t.Errorf("%s %s: no disagreement any more", d.report, d.key)
		}
	}
	if compared < 5000 {
		t.Errorf("only %d values compared", compared)
	}
}

// TestIdentity checks that rows of one id differ in nothing that counts.
func TestIdentity(t *testing.T) {
	t.Parallel()
	for name, s := range samples(t) {
		events, _ := must(t, "shadowserver", s.in, historic(name))
		seen := map[event.ID]uint32{}
		for i := range events {
			e := &events[i]
			first, twice := seen[e.ID]
			if !twice {
				seen[e.ID] = e.Row
				continue
			}
			for k, col := range s.rows[0] {
				if !annotations[strings.ToLower(col)] && s.rows[e.Row][k] != s.rows[first][k] {
					t.Errorf("%s: rows %d and %d have one id and differ in %s: %q, %q", name, first, e.Row, col, s.rows[first][k], s.rows[e.Row][k])
				}
			}
		}
	}
}

// TestIdentityCells changes each cell of a row of each sample in turn: the id
// changes unless the cell is an annotation.
func TestIdentityCells(t *testing.T) {
	t.Parallel()
	for name, s := range samples(t) {
		if len(s.rows[1]) != len(s.rows[0]) {
			continue
		}
		var b bytes.Buffer
		w := csv.NewWriter(&b)
		put := func(rec []string) {
			if err := w.Write(rec); err != nil {
				t.Fatal(err)
			}
		}
		put(s.rows[0])
		put(s.rows[1])
		for k, col := range s.rows[0] {
			rec := slices.Clone(s.rows[1])
			switch {
			case col == "timestamp":
				rec[k] = "2020-02-02 02:02:02"
			case strings.HasSuffix(col, "ip"):
				rec[k] = "192.0.2.77"
			default:
				rec[k] += "1"
			}
			put(rec)
		}
		w.Flush()
		events, bad := must(t, "shadowserver", b.Bytes(), historic(name))
		if len(bad) > 0 {
			t.Errorf("%s: %+v", name, bad)
			continue
		}
		for k, col := range s.rows[0] {
			same := events[0].ID == events[k+1].ID
			if same != annotations[strings.ToLower(col)] {
				t.Errorf("%s: another %s gives the same id: %v", name, col, same)
			}
		}
	}
}

// TestSharedTable checks the table against the list of report types.
func TestSharedTable(t *testing.T) {
	t.Parallel()
	f, err := os.Open(shared(t, "shadowserver/reports.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	r := csv.NewReader(f)
	r.Comma, r.LazyQuotes, r.FieldsPerRecord = '\t', true, -1
	rows, err := r.ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	differs := map[string]string{
		"blocklist classification.type":                        "blacklist", // the name in IDF
		"scan_post_exploitation_framework classification.type": "c2-server", // the host answers as the team server of an attack framework
	}
	for _, row := range rows[1:] {
		name, class, ident, sev := row[0], row[3], row[4], row[6]
		rep := reportNames[name]
		if rep == nil {
			t.Errorf("%s is not in the table", name)
			continue
		}
		if d := differs[name+" classification.type"]; d != "" {
			class = d
		}
		if class != "" && rep.class != class {
			t.Errorf("%s: class %s, listed %s", name, rep.class, class)
		}
		if ident != "" && rep.identifier != ident {
			t.Errorf("%s: identifier %s, listed %s", name, rep.identifier, ident)
		}
		if sev != "" && rep.severity.String() != sev {
			t.Errorf("%s: severity %s, listed %s", name, rep.severity, sev)
		}
	}
	// Every column that a report has is an identity column or an annotation.
	b, err := os.ReadFile(shared(t, "shadowserver/schema/reports.json"))
	if err != nil {
		t.Fatal(err)
	}
	var schema map[string]struct {
		Fields []string `json:"fields"`
	}
	if err := json.Unmarshal(b, &schema); err != nil {
		t.Fatal(err)
	}
	for name, s := range schema {
		seen := reportNames[name].seen()
		for _, c := range s.Fields {
			if !slices.Contains(seen, c) && !annotations[c] && (c != "timestamp" || !reportNames[name].profile.snapshot) {
				t.Errorf("%s: column %s is neither identity nor annotation", name, c)
			}
		}
	}
}
