package app

import (
	"bytes"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"tocsin/internal/event"
	"tocsin/internal/figure"
	"tocsin/internal/policy"
	"tocsin/internal/query"
	"tocsin/internal/web"
)

// reportFolder finds the reports of real layout, which are no part of the
// project.
func reportFolder(t testing.TB) string {
	t.Helper()
	root := os.Getenv("TOCSIN_TESTDATA")
	if root == "" {
		dir, err := os.Getwd()
		if err != nil {
			t.Fatal(err)
		}
		for {
			if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
				break
			}
			if dir == filepath.Dir(dir) {
				t.Skip("no module root above the test")
			}
			dir = filepath.Dir(dir)
		}
		root = filepath.Join(dir, "..", "shared", "data")
	}
	dir := filepath.Join(root, "shadowserver", "csv")
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("no reports of real layout at %s: name the folder of test data with TOCSIN_TESTDATA", dir)
	}
	return dir
}

// send brings one delivery in and waits until it is loaded.
func send(t testing.TB, a *App, feed, format, name string, body []byte) query.Delivery {
	t.Helper()
	d, err := a.Ingest(t.Context(), policy.Local(), web.IngestRequest{Feed: feed, Format: format, Name: name, Body: bytes.NewReader(body), Wait: true})
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if d.State != query.StateLoaded {
		t.Fatalf("%s is %s: %s", name, d.State, d.Reason)
	}
	return d
}

// realRow is one row of a report as encoding/csv reads it, with its bytes.
type realRow struct {
	cells map[string]string // by column; not the empty ones
	raw   string            // without the line's end
}

// realReport is one report file.
type realReport struct {
	name string
	body []byte
	rows []realRow
}

// odd is a cell of one report that is no CSV, and even is how it would have to
// stand there to be read as it is: the closing quote is dropped, as other
// readers do, and all after it is kept to the next comma.
const (
	odd  = `"Basic realm=\"\"OpenWebif\"\""`
	even = `"Basic realm=\\""OpenWebif\""\"""""`
)

// readReal reads a report with the standard library's reader, which the
// program does not use.
func readReal(t testing.TB, path string) realReport {
	t.Helper()
	body, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	r := realReport{name: filepath.Base(path), body: body}
	fixed := bytes.ReplaceAll(body, []byte(odd), []byte(even))
	c := csv.NewReader(bytes.NewReader(fixed))
	c.FieldsPerRecord = -1
	header, err := c.Read()
	if err != nil {
		t.Fatalf("%s: %v", r.name, err)
	}
	for i := range header {
		header[i] = strings.TrimSpace(strings.TrimPrefix(header[i], "\ufeff"))
	}
	for {
		from := c.InputOffset()
		rec, err := c.Read()
		if errors.Is(err, io.EOF) {
			return r
		}
		if err != nil {
			t.Fatalf("%s: %v", r.name, err)
		}
		row := realRow{map[string]string{}, strings.Trim(string(fixed[from:c.InputOffset()]), "\r\n")}
		row.raw = strings.ReplaceAll(row.raw, even, odd)
		for i, v := range rec {
			if i < len(header) && v != "" {
				row.cells[header[i]] = v
			}
		}
		r.rows = append(r.rows, row)
	}
}

// reports reads them all, in the order of their names.
func reports(t testing.TB) []realReport {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(reportFolder(t), "*.csv"))
	if err != nil || len(files) < 61 {
		t.Fatalf("%d reports, want at least 61: %v", len(files), err)
	}
	var out []realReport
	for _, f := range files {
		out = append(out, readReal(t, f))
	}
	return out
}

// badRows are the rows of the reports that are truly bad, and why.
var badRows = map[string]map[uint32]string{
	"event4_honeypot_ddos_amp.csv": {5: "address"}, // 37.120.178.9.10
}

// TestRealReports takes in every report of real layout and looks for each row,
// and for each cell of it.
func TestRealReports(t *testing.T) {
	t.Parallel()
	list := reports(t)
	ctx, local := t.Context(), policy.Local()
	a := openRunning(t, t.TempDir())
	var accepted int64
	for _, r := range list {
		d := send(t, a, "shadowserver", "", r.name, r.body)
		sum := sha256.Sum256(r.body)
		if d.SHA256 != hex.EncodeToString(sum[:]) || d.Name != r.name || d.Size != int64(len(r.body)) || d.Feed != "shadowserver" || d.Format != "shadowserver" {
			t.Errorf("%s: delivery %+v", r.name, d)
		}
		if d.Accepted+d.Duplicate+d.Quarantined != d.Received || d.Received != int64(len(r.rows)) {
			t.Errorf("%s: %d accepted, %d duplicate, %d quarantined of %d; the file has %d rows", r.name, d.Accepted, d.Duplicate, d.Quarantined, d.Received, len(r.rows))
		}
		accepted += d.Accepted

		page, err := a.Quarantine(ctx, local, web.QuarantineFilter{Delivery: d.ID})
		if err != nil {
			t.Fatal(err)
		}
		bad := map[uint32]string{}
		for _, q := range page.Rows {
			bad[q.Row] = q.Reason
			if q.Name != r.name || int(q.Row) > len(r.rows) || !strings.HasPrefix(r.rows[q.Row-1].raw, q.Raw) {
				t.Errorf("%s: quarantined %+v", r.name, q)
			}
		}
		if want := badRows[r.name]; !maps.Equal(bad, want) {
			t.Errorf("%s: quarantined %v, want %v", r.name, bad, want)
		}

		events, n, err := a.Events(ctx, local, query.Events{Delivery: d.Seq, Limit: 1000})
		if err != nil || n != d.Accepted || int64(len(events)) != n {
			t.Fatalf("%s: %d of %d events, %d accepted: %v", r.name, len(events), n, d.Accepted, err)
		}
		told := map[string]bool{} // identical rows are one event: the others are duplicates
		for i := range events {
			e, raw, err := a.Event(ctx, local, d.Seq, events[i].Row)
			if err != nil {
				t.Fatalf("%s row %d: %v", r.name, events[i].Row, err)
			}
			row := r.rows[e.Row-1]
			told[row.raw] = true
			if string(raw) != row.raw {
				t.Errorf("%s row %d: raw row\n%q, the file has\n%q", r.name, e.Row, raw, row.raw)
			}
			if e.DeliveryName != r.name || e.DeliverySHA != d.SHA256 || e.Delivery != d.Seq || e.Feed != "shadowserver" || e.ID != events[i].ID {
				t.Errorf("%s row %d: event of %q %s", r.name, e.Row, e.DeliveryName, e.DeliverySHA)
			}
			for _, miss := range missing(t, &e, row) {
				t.Errorf("%s row %d: %s", r.name, e.Row, miss)
			}
		}
		var lost []int
		for i, row := range r.rows {
			if _, isBad := bad[uint32(i+1)]; !isBad && !told[row.raw] {
				lost = append(lost, i+1)
			}
		}
		if int64(len(lost)) > d.Duplicate {
			t.Errorf("%s: rows %v are neither events nor quarantined, %d duplicates", r.name, lost, d.Duplicate)
		}
	}
	st, err := a.Status(ctx, local)
	if err != nil || st.Events != accepted {
		t.Errorf("%d events, %d accepted: %v", st.Events, accepted, err)
	}
	t.Logf("%d reports, %d events", len(list), accepted)
}

// missing lists the cells of a row that are not in the event's IDF object: a
// cell stands there under its own name in extra, or as the value of a field.
func missing(t testing.TB, e *query.Event, row realRow) (out []string) {
	t.Helper()
	var v map[string]any
	d := json.NewDecoder(bytes.NewReader(event.AppendIDF(nil, &e.Event, e.Feed)))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("IDF of %s row %d: %v", e.DeliveryName, e.Row, err)
	}
	var fields []string
	for k, x := range v {
		if !strings.HasPrefix(k, "extra.") {
			fields = append(fields, fmt.Sprint(x))
		}
	}
	for _, col := range slices.Sorted(maps.Keys(row.cells)) {
		cell := row.cells[col]
		if x, ok := v["extra."+col]; ok && fmt.Sprint(x) == cell {
			continue
		}
		if !slices.ContainsFunc(fields, func(f string) bool { return sameValue(f, cell) }) {
			out = append(out, fmt.Sprintf("%s=%q is not in %v", col, cell, v))
		}
	}
	return out
}

// sameValue reports whether a field of IDF says what a cell of a report says.
func sameValue(field, cell string) bool {
	cell = strings.TrimSpace(cell)
	if field == cell || strings.EqualFold(field, cell) {
		return true
	}
	if x, err := netip.ParseAddr(cell); err == nil && x.Unmap().String() == field {
		return true
	}
	if x, err := strconv.ParseUint(cell, 10, 64); err == nil && strconv.FormatUint(x, 10) == field {
		return true
	}
	for _, layout := range []string{time.DateTime, "2006-01-02 15:04:05 -0700", "2006-01-02T15:04:05Z07:00", "2006-01-02 15:04:05.999999"} {
		if x, err := time.Parse(layout, cell); err == nil {
			y, err := time.Parse(time.RFC3339, field)
			return err == nil && x.Equal(y)
		}
	}
	x, err := url.Parse(field)
	return err == nil && x.Host != "" && strings.EqualFold(x.Hostname(), cell)
}

// organisationOf makes a list in which each address has its own organisation.
func organisationsOf(addresses ...string) string {
	var b strings.Builder
	b.WriteString("organisation,name,sector,region,network,contact\n")
	for i, a := range addresses {
		fmt.Fprintf(&b, "org-%d,Organisation %d,health,north,%s/32,abuse%d@example.net\n", i, i, a, i)
	}
	return b.String()
}

// TestRealSubjects holds who is concerned in two reports where a reader who
// takes the source for the subject tells the wrong people.
func TestRealSubjects(t *testing.T) {
	t.Parallel()
	dir := reportFolder(t)
	ctx, local := t.Context(), policy.Local()
	a := openRunning(t, t.TempDir())
	target := readReal(t, filepath.Join(dir, "event4_honeypot_ddos_target.csv"))
	amp := readReal(t, filepath.Join(dir, "event4_honeypot_ddos_amp.csv"))
	var claimed []string
	owner := map[string]string{}
	for _, r := range []struct {
		rows []realRow
		col  string
	}{{target.rows, "dst_ip"}, {amp.rows, "src_ip"}} {
		for _, row := range r.rows {
			ip := row.cells[r.col]
			if _, err := netip.ParseAddr(ip); err != nil || owner[ip] != "" {
				continue
			}
			owner[ip] = fmt.Sprintf("org-%d", len(claimed))
			claimed = append(claimed, ip)
		}
	}
	// Somebody else answers for the sources of the attack.
	list := organisationsOf(claimed...) + "attackers,The wrong people,health,north,192.168.0.0/16,abuse@example.org\n"
	if res, err := a.ImportOrganisations(ctx, local, strings.NewReader(list)); err != nil || len(res.Rows) > 0 || res.Organisations != len(claimed)+1 {
		t.Fatalf("organisations: %+v, %v", res, err)
	}

	d := send(t, a, "shadowserver", "", target.name, target.body)
	events, _, err := a.Events(ctx, local, query.Events{Delivery: d.Seq})
	if err != nil || len(events) != len(target.rows) {
		t.Fatalf("%d events: %v", len(events), err)
	}
	for i := range events {
		e := &events[i]
		row := target.rows[e.Row-1].cells
		if e.Subject.Side != event.SideDestination || e.SubjectEnd().IP.String() != row["dst_ip"] || e.Note.Organisation != owner[row["dst_ip"]] || e.Subject.Role != event.RoleVictim {
			t.Errorf("ddos_target row %d concerns %s as %s, want %s as the victim", e.Row, e.Note.Organisation, e.Subject.Role, owner[row["dst_ip"]])
		}
		if e.Subject.Peer != event.RoleC2 || e.PeerEnd().IP.String() != row["src_ip"] {
			t.Errorf("ddos_target row %d: the peer %s is %s, want the controller %s", e.Row, e.PeerEnd().IP, e.Subject.Peer, row["src_ip"])
		}
	}
	if _, n, err := a.Events(ctx, local, query.Events{Where: []query.Cond{{Dim: query.DimOrganisation, Value: "attackers"}}}); err != nil || n != 0 {
		t.Errorf("%d events concern the source's organisation: %v", n, err)
	}

	d = send(t, a, "shadowserver", "", amp.name, amp.body)
	if events, _, err = a.Events(ctx, local, query.Events{Delivery: d.Seq}); err != nil || int64(len(events)) != d.Accepted || d.Accepted == 0 {
		t.Fatalf("%d events of %d: %v", len(events), d.Accepted, err)
	}
	for i := range events {
		e := &events[i]
		row := amp.rows[e.Row-1].cells
		if e.Subject.Side != event.SideSource || e.SubjectEnd().IP.String() != row["src_ip"] || e.Subject.Role != event.RoleVictim || e.Class() != event.ClassVictim || e.Note.Organisation != owner[row["src_ip"]] {
			t.Errorf("ddos_amp row %d: %s is %s, class %s, of %s", e.Row, e.SubjectEnd().IP, e.Subject.Role, e.Class(), e.Note.Organisation)
		}
	}
	f, err := a.Figure(ctx, local, "attack-attempts", figure.Params{Period: query.Period{From: mustDay(t, "2020-01-01"), To: mustDay(t, "2026-12-31")}})
	if err != nil || !f.NoData {
		t.Errorf("attack attempts of victims alone: %+v, %v", f.Value, err)
	}
	// The same report type that does show attackers is counted.
	brute := readReal(t, filepath.Join(dir, "event4_honeypot_brute_force.csv"))
	d = send(t, a, "shadowserver", "", brute.name, brute.body)
	f, err = a.Figure(ctx, local, "attack-attempts", figure.Params{Period: query.Period{From: mustDay(t, "2020-01-01"), To: mustDay(t, "2026-12-31")}, By: query.DimReport})
	if err != nil || f.NoData || f.Events != d.Accepted || len(f.Breakdown.Rows) != 1 || f.Breakdown.Rows[0].Key != "event4_honeypot_brute_force" {
		t.Errorf("attack attempts: %+v, %v", f, err)
	}
}

func mustDay(t testing.TB, s string) event.Day {
	t.Helper()
	d, err := event.ParseDay(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// exported returns all events as IDF lines.
func exported(t testing.TB, a *App) []string {
	t.Helper()
	var out []string
	for e, err := range a.EventsSeq(t.Context(), policy.Local(), query.Events{}) {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, string(event.AppendIDF(nil, &e.Event, e.Feed)))
	}
	return out
}

// TestRealRoundTrip moves a whole history to another tocsin as IDF lines and
// back out: nothing is lost and nothing changes, not by a byte.
func TestRealRoundTrip(t *testing.T) {
	t.Parallel()
	list := reports(t)
	a, b := openRunning(t, t.TempDir()), openRunning(t, t.TempDir())
	for _, r := range list {
		send(t, a, "shadowserver", "", r.name, r.body)
	}
	want := exported(t, a)
	d := send(t, b, "shadowserver", "idf", "history.jsonl", []byte(strings.Join(want, "\n")+"\n"))
	if d.Accepted != int64(len(want)) || d.Received != d.Accepted {
		page, err := b.Quarantine(t.Context(), policy.Local(), web.QuarantineFilter{Delivery: d.ID})
		t.Errorf("%d lines: %d received, %d accepted, %d duplicate, quarantined %+v, %v", len(want), d.Received, d.Accepted, d.Duplicate, page.Rows, err)
	}
	got := exported(t, b)
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(want, got) {
		for _, l := range want {
			if i := slices.Index(got, l); i >= 0 {
				got = slices.Delete(got, i, i+1)
			} else {
				t.Errorf("lost\n%s", l)
			}
		}
		t.Errorf("not in what came in: %q", got)
	}
	// The figures of the history are the same, but for the feed's format.
	p := figure.Params{Period: query.Period{From: mustDay(t, "2016-12-01"), To: mustDay(t, "2026-12-31")}}
	for _, by := range []query.Dim{query.DimNone, query.DimASN, query.DimCountry, query.DimFamily, query.DimType, query.DimReport} {
		p.By = by
		var docs [2][]byte
		for i, x := range []*App{a, b} {
			doc, err := x.Figures(t.Context(), policy.Local(), p)
			if err != nil {
				t.Fatal(err)
			}
			if docs[i], err = doc.Marshal(); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(docs[0], docs[1]) {
			t.Errorf("figures by %q are not the same", by)
		}
	}
}
