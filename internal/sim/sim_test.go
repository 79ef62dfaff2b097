package sim

import (
	"bytes"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var update = flag.Bool("update", false, "rewrite golden files")

var lastDay = time.Date(2026, 10, 31, 0, 0, 0, 0, time.UTC)

// small is a country of 13 months that is quick to make.
func small(t testing.TB, seed uint64, fault Fault) *Country {
	t.Helper()
	c, err := New(Config{Seed: seed, To: lastDay, Rows: 20_000, Fault: fault})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// digest covers every byte that a country gives.
func digest(t testing.TB, c *Country) string {
	t.Helper()
	h := sha256.New()
	for d := range c.Deliveries() {
		_, _ = fmt.Fprintln(h, d.Feed, d.Format, d.Report, d.Name, d.Received.UTC().Format(time.RFC3339), d.Day, len(d.Bytes))
		h.Write(d.Bytes)
	}
	h.Write(c.Prefixes())
	h.Write(c.Organisations())
	if err := c.Truth().WriteJSON(h); err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(h.Sum(nil))
}

func TestSeedGivesBytes(t *testing.T) {
	t.Parallel()
	c := small(t, 1, "")
	got := digest(t, c)
	if again := digest(t, c); again != got {
		t.Error("the same country gives other bytes when asked again")
	}
	if other := digest(t, small(t, 2, "")); other == got {
		t.Error("another seed gives the same bytes")
	}
	golden := filepath.Join("testdata", "seed1.sha256")
	if *update {
		if err := os.WriteFile(golden, []byte(got+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got != strings.TrimSpace(string(want)) {
		t.Errorf("seed 1 gives %s, want %s: if the simulation was changed on purpose, run go test -update", got, want)
	}
}

func TestTruthAgreesWithPlainReader(t *testing.T) {
	t.Parallel()
	for seed := range uint64(2) {
		if diff := readAll(t, small(t, 10+seed, "")); len(diff) > 0 {
			t.Errorf("seed %d: %d differences, first %s", 10+seed, len(diff), diff[0])
		}
	}
}

func TestFaultsTurnComparisonRed(t *testing.T) {
	t.Parallel()
	tellTale := map[Fault]string{ // what one of the differences must name
		DropRow: "exposure from 2025-10-01 to 2026-10-31: ", SwapAS: `by asn "64513"`, DayOff: " assets on ", RenameFamily: `by family "chromebot"`,
	}
	for f := range tellTale {
		t.Run(string(f), func(t *testing.T) {
			t.Parallel()
			diff := readAll(t, small(t, 10, f))
			if !slices.ContainsFunc(diff, func(s string) bool { return strings.Contains(s, tellTale[f]) }) {
				t.Errorf("%d differences, none names %s: %q", len(diff), tellTale[f], diff[:min(len(diff), 3)])
			}
			t.Logf("%d differences, such as %q", len(diff), diff[:min(len(diff), 3)])
		})
	}
}

func readAll(t *testing.T, c *Country) []string {
	t.Helper()
	r, err := newReader(c.Prefixes(), c.Organisations())
	if err != nil {
		t.Fatal(err)
	}
	for d := range c.Deliveries() {
		if err := r.read(&d); err != nil {
			t.Fatalf("%s: %v", d.Name, err)
		}
	}
	diff, err := c.Truth().Differences(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	return append(c.Truth().DeliveryDifferences(r.counts), diff...)
}

func TestDeliveries(t *testing.T) {
	t.Parallel()
	c := small(t, 3, "")
	name := regexp.MustCompile(`^(\d{4}-\d{2}-\d{2})-([^-]+)-.+\.csv$`)
	var last time.Time
	seen := map[string]int{}
	headers := map[string]int{}
	crlf, rows, bad, multiline := 0, 0, 0, 0
	for d := range c.Deliveries() {
		if !d.Received.After(last) || d.Received.Before((d.Day + 1).Time()) || d.Received.After((d.Day + 1).Time().Add(12*time.Hour)) {
			t.Fatalf("%s: received at %s, after %s", d.Name, d.Received, last)
		}
		last = d.Received
		seen[d.Feed+" "+d.Report]++
		if bytes.HasSuffix(d.Bytes, []byte("\r\n")) {
			crlf++
		}
		if d.Format == "idf" {
			for line := range bytes.Lines(d.Bytes) {
				rows++
				if !json.Valid(line) {
					bad++
				}
			}
			continue
		}
		m := name.FindStringSubmatch(d.Name)
		if m == nil || m[1] != d.Day.String() || m[2] != d.Report {
			t.Fatalf("name %q of report %q on %s", d.Name, d.Report, d.Day)
		}
		table, broken, err := table(&d)
		if err != nil {
			t.Fatalf("%s: %v", d.Name, err)
		}
		headers[d.Feed+" "+d.Report+" "+strings.Join(table[0], ",")]++
		rows += len(table) - 1 + broken
		bad += broken
		for _, row := range table {
			if slices.ContainsFunc(row, func(s string) bool { return strings.Contains(s, "\n") }) {
				multiline++
			}
		}
	}
	if want := len(meanings) + 4; len(seen) != want {
		t.Errorf("%d kinds of report, want %d: %v", len(seen), want, seen)
	}
	if want := 2*len(meanings) + 1; len(headers) != want {
		t.Errorf("%d headers, want %d: each report changes its layout once, but for the second sinkhole's", len(headers), want)
	}
	if rows < 16_000 || rows > 28_000 || crlf < 50 || bad < 20 || multiline == 0 {
		t.Errorf("%d rows, %d files with CRLF, %d unreadable rows, %d rows over two lines", rows, crlf, bad, multiline)
	}
}

func TestCountsAddUp(t *testing.T) {
	t.Parallel()
	truth := small(t, 4, "").Truth()
	var sum, feeds FeedCount
	twice := 0
	for _, d := range truth.Deliveries() {
		if d.Accepted+d.Duplicate+d.Quarantined != d.Received || d.Outside > d.Accepted {
			t.Fatalf("%+v does not add up", d)
		}
		if d.Accepted == 0 && d.Duplicate > 0 {
			twice++
		}
		sum.Deliveries++
		sum.Received += d.Received
		sum.Accepted += d.Accepted
		sum.Duplicate += d.Duplicate
		sum.Quarantined += d.Quarantined
		sum.Outside += d.Outside
	}
	for _, f := range truth.Feeds() {
		feeds.Deliveries += f.Deliveries
		feeds.Received += f.Received
		feeds.Accepted += f.Accepted
		feeds.Duplicate += f.Duplicate
		feeds.Quarantined += f.Quarantined
		feeds.Outside += f.Outside
	}
	if sum != feeds {
		t.Errorf("deliveries %+v, feeds %+v", sum, feeds)
	}
	events := sum.Outside
	for _, class := range Classes {
		events += truth.Count(Query{Class: class, From: truth.From(), To: truth.To()}).Events
	}
	if events != sum.Accepted {
		t.Errorf("%d events in classes and outside, %d accepted", events, sum.Accepted)
	}
	if twice < 10 || sum.Duplicate < 200 || sum.Quarantined < 30 || sum.Outside < 50 {
		t.Errorf("%d deliveries twice, %+v: want some of each", twice, sum)
	}
}

func TestTruthProperties(t *testing.T) {
	t.Parallel()
	truth := small(t, 5, "").Truth()
	// A breakdown is a partition where the asset decides the value.
	partition := map[string][]string{
		Infection:  {ASN, Organisation, Sector, Region, CountryCode, Type},
		Controller: {ASN, Organisation, Sector, Region, CountryCode},
		HackedSite: {ASN, Organisation, Sector, Region, CountryCode},
		Exposure:   {ASN, Organisation, Sector, Region, CountryCode, Type, FeedName, ReportType},
		Attempt:    Dims, // events
		Victim:     {ASN, Organisation, Sector, Region, CountryCode, Type},
	}
	rapid.Check(t, func(t *rapid.T) {
		class := rapid.SampledFrom(Classes).Draw(t, "class")
		from := truth.From() + Day(rapid.Int32Range(0, 380).Draw(t, "from"))
		to := min(from+Day(rapid.Int32Range(0, 30).Draw(t, "days")), truth.To())
		dim := rapid.SampledFrom(Dims).Draw(t, "dim")
		q := Query{Class: class, From: from, To: to}
		whole := truth.Count(q)
		daily := 0
		for i, n := range whole.Daily {
			daily += n
			if whole.Distinct < n {
				t.Fatalf("%d assets over all, %d on one day", whole.Distinct, n)
			}
			if d := truth.Daily(class, from+Day(i)); class != Attempt && d != n {
				t.Fatalf("Daily gives %d, Count %d", d, n)
			}
		}
		if whole.Distinct > daily || daily > whole.Events {
			t.Fatalf("%d assets, %d by day, %d events", whole.Distinct, daily, whole.Events)
		}
		sum, events := 0, 0
		for key, v := range truth.Breakdown(q, dim) {
			sum += v.Distinct
			events += v.Events
			is, not := q, q
			is.Where = []Cond{{Dim: dim, Value: key}}
			not.Where = []Cond{{Dim: dim, Value: key, Not: true}}
			x, y := truth.Count(is), truth.Count(not)
			if x.Distinct != v.Distinct || x.Events != v.Events || x.Events+y.Events != whole.Events {
				t.Fatalf("%s %q: breakdown %d of %d, count %d of %d and %d others, whole %d", dim, key, v.Distinct, v.Events, x.Distinct, x.Events, y.Events, whole.Events)
			}
		}
		if events != whole.Events || sum < whole.Distinct {
			t.Fatalf("%s: %d of %d events, %d of %d assets", dim, events, whole.Events, sum, whole.Distinct)
		}
		if class != Attempt && slices.Contains(partition[class], dim) && sum != whole.Distinct {
			t.Fatalf("%s by %s: %d, whole %d", class, dim, sum, whole.Distinct)
		}
		if day := truth.By(class, dim, from); slices.Contains(partition[class], dim) && total(day) != truth.Daily(class, from) {
			t.Fatalf("%s by %s on %s: %d, whole %d", class, dim, from, total(day), truth.Daily(class, from))
		}
	})
}

func total(m map[string]int) (n int) {
	for _, v := range m {
		n += v
	}
	return n
}

// TestStory checks that what is told of the country is in its numbers.
func TestStory(t *testing.T) {
	t.Parallel()
	c, err := New(Config{Seed: 6, To: lastDay, Rows: 150_000})
	if err != nil {
		t.Fatal(err)
	}
	truth := c.Truth()
	day := func(at int) Day { return c.From() + (c.To()-c.From())*Day(at)/1000 }
	seen := func(at int, class string, where ...Cond) int {
		return truth.Distinct(class, day(at), day(at)+6, where...)
	}
	family := func(f string) Cond { return Cond{Dim: Family, Value: f} }
	feed := Cond{Dim: FeedName, Value: "sinkhole-north"}
	for _, tt := range []struct {
		what      string
		less, too int
	}{
		{"brackish shows after the takedown", seen(300, Infection, family("brackish")), seen(360, Infection, family("brackish"))},
		{"brackish is cleaned", 3 * seen(550, Infection, family("brackish")), seen(360, Infection, family("brackish"))},
		{"emberworm is new", seen(550, Infection, family("emberworm")), seen(720, Infection, family("emberworm"))},
		{"hollow fades", seen(980, Infection, family("hollow")), seen(0, Infection, family("hollow"))},
		{"the second sinkhole begins with the takedown", seen(325, Infection, feed), seen(360, Infection, feed)},
		{"and has an outage", seen(755, Infection, feed), seen(700, Infection, feed)},
		{"a web flaw is found", 2 * seen(250, Exposure, Cond{Dim: ReportType, Value: "scan_http_vulnerable"}), seen(340, Exposure, Cond{Dim: ReportType, Value: "scan_http_vulnerable"})},
		{"government sites are hacked", 0, truth.Distinct(HackedSite, c.From(), c.To(), Cond{Dim: Sector, Value: "government"})},
		{"banks are flooded", 2 * seen(650, Victim, Cond{Dim: Organisation, Value: "first-bank"}), seen(701, Victim, Cond{Dim: Organisation, Value: "first-bank"})},
	} {
		if tt.less >= tt.too {
			t.Errorf("%s: %d, then %d", tt.what, tt.less, tt.too)
		}
	}
	both := func(from Day) int { // hosts that two feeds report
		q := Query{Class: Infection, From: from, To: from}
		n := 0
		for _, v := range truth.Breakdown(q, FeedName) {
			n += v.Distinct
		}
		return n - truth.Count(q).Distinct
	}
	if both(day(600)) < 5 {
		t.Error("hardly any infected host is seen by two feeds")
	}
	home, away := truth.Controllers(c.From(), c.To())
	gov, all := truth.Government(c.From(), c.To())
	if home < 10 || away < home || gov < 5 || all < 5*gov {
		t.Errorf("%d controllers at home, %d abroad; %d government sites of %d", home, away, gov, all)
	}
}

func TestWorldIsMadeUp(t *testing.T) {
	t.Parallel()
	c := small(t, 1, "")
	reserved := []netip.Prefix{
		netip.MustParsePrefix("198.18.0.0/15"), netip.MustParsePrefix("240.0.0.0/4"),
		netip.MustParsePrefix("2001:db8::/32"), netip.MustParsePrefix("3fff::/20"),
	}
	rows, err := csv.NewReader(bytes.NewReader(c.Prefixes())).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range rows[1:] {
		p := netip.MustParsePrefix(r[0])
		if !slices.ContainsFunc(reserved, func(q netip.Prefix) bool { return q.Contains(p.Addr()) && q.Bits() <= p.Bits() }) {
			t.Errorf("%s is not reserved", p)
		}
		for _, o := range rows[1 : i+1] {
			if p.Overlaps(netip.MustParsePrefix(o[0])) {
				t.Errorf("%s overlaps %s", p, o[0])
			}
		}
		if cc := r[3]; cc != Home && (cc < "QM" || cc > "QZ") && (cc < "XA" || cc > "XZ") {
			t.Errorf("country %s is not user-assigned", cc)
		}
	}
	addr := regexp.MustCompile(`"(\d+\.\d+\.\d+\.\d+|[0-9a-f]*:[0-9a-f:]+)"`)
	for d := range c.Deliveries() {
		for _, m := range addr.FindAllSubmatch(d.Bytes, -1) {
			if a, err := netip.ParseAddr(string(m[1])); err == nil && !slices.ContainsFunc(reserved, func(q netip.Prefix) bool { return q.Contains(a) }) {
				t.Fatalf("%s: %s is not reserved", d.Name, a)
			}
		}
		if d.Day > c.From()+20 {
			break
		}
	}
}

func TestTruthJSON(t *testing.T) {
	t.Parallel()
	truth := small(t, 1, "").Truth()
	var b bytes.Buffer
	if err := truth.WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Simulated bool
		From      string
		Classes   map[string]struct {
			Assets, Events []int
			Distinct       int
		}
	}
	if err := json.Unmarshal(b.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	if !doc.Simulated || doc.From != truth.From().String() || len(doc.Classes) != len(Classes) {
		t.Errorf("document %+v", doc)
	}
	for class, v := range doc.Classes {
		for i, n := range v.Events {
			if want := truth.Events(class, truth.From()+Day(i)); n != want {
				t.Fatalf("%s on day %d: %d events, want %d", class, i, n, want)
			}
		}
		if want := truth.Count(Query{Class: class, From: truth.From(), To: truth.To()}); !slices.Equal(v.Assets, want.Daily) || v.Distinct != want.Distinct {
			t.Errorf("%s: %v, want %+v", class, v, want)
		}
	}
}

func TestConfig(t *testing.T) {
	t.Parallel()
	for _, cfg := range []Config{
		{},
		{To: lastDay, From: lastDay.AddDate(0, 0, 1)},
		{To: lastDay, From: lastDay.AddDate(-20, 0, 0)},
		{To: lastDay, Rows: -1},
		{To: lastDay, Fault: "no such"},
	} {
		if _, err := New(cfg); !errors.Is(err, ErrConfig) {
			t.Errorf("%+v: %v", cfg, err)
		}
	}
	c, err := New(Config{To: lastDay})
	if err != nil || c.From().String() != "2025-10-01" || c.To().String() != "2026-10-31" {
		t.Errorf("13 months are %s to %s: %v", c.From(), c.To(), err)
	}
	one, err := New(Config{To: lastDay, From: lastDay, Rows: 500})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for range one.Deliveries() {
		n++
	}
	if n == 0 || n != len(one.Truth().Deliveries()) {
		t.Errorf("%d deliveries on one day, truth has %d", n, len(one.Truth().Deliveries()))
	}
}

// TestMemory holds that a large country streams: what is live while it is read
// does not grow with the rows that went by.
func TestMemory(t *testing.T) {
	c, err := New(Config{Seed: 1, From: lastDay.AddDate(0, 0, -9), To: lastDay, Rows: 200_000})
	if err != nil {
		t.Fatal(err)
	}
	var first, last uint64
	for d := range c.Deliveries() {
		if d.Report != "event4_sinkhole_http" || d.Feed != "shadowserver" {
			continue
		}
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		if first == 0 {
			first = m.HeapAlloc
		}
		last = m.HeapAlloc
	}
	if last > 2*first+32<<20 {
		t.Errorf("%d MB live on the first day, %d MB on the last", first>>20, last>>20)
	}
}

func TestSinkhole(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		often float64
		rows  int
	}{{1.5, 10_000}, {10, 7_000}} {
		cfg := SinkholeConfig{Seed: 7, From: lastDay, Total: 45_000, Rows: tt.rows, PerDay: 30_000, EventsPerAddressDay: tt.often}
		n, size := 0, 0
		ids := map[string]bool{}
		days := map[Day]map[string]int{}
		var last time.Time
		h := sha256.New()
		for d := range Sinkhole(cfg) {
			h.Write(d.Bytes)
			size += len(d.Bytes)
			rows, err := csv.NewReader(bytes.NewReader(d.Bytes)).ReadAll()
			if err != nil {
				t.Fatal(err)
			}
			if len(rows) > tt.rows+1 || !d.Received.After(last) {
				t.Errorf("%s: %d rows at %s", d.Name, len(rows), d.Received)
			}
			last = d.Received
			if days[d.Day] == nil {
				days[d.Day] = map[string]int{}
			}
			for _, r := range rows[1:] {
				n++
				ids[r[0]+r[2]+r[3]] = true
				days[d.Day][r[2]]++
				if !strings.HasPrefix(r[0], d.Day.String()) {
					t.Fatalf("%s: row of %s", d.Name, r[0])
				}
			}
		}
		first := days[DayOf(lastDay)]
		if got := 30_000 / float64(len(first)); got < tt.often*.99 || got > tt.often*1.01 {
			t.Errorf("%.2f events per address-day, want %.2f", got, tt.often)
		}
		again := 0
		for a := range days[DayOf(lastDay)+1] {
			if first[a] > 0 {
				again++
			}
		}
		if n != 45_000 || len(ids) != n || again < len(first)/20 {
			t.Errorf("%d rows, %d of them distinct, %d addresses again the next day", n, len(ids), again)
		}
		if per := size / n; per < 290 || per > 360 {
			t.Errorf("%d bytes a row", per)
		}
		h2 := sha256.New()
		for d := range Sinkhole(cfg) {
			h2.Write(d.Bytes)
		}
		if !bytes.Equal(h.Sum(nil), h2.Sum(nil)) {
			t.Error("the same seed gives other bytes")
		}
	}
	prefixes, orgs := SinkholeReference()
	if _, err := newReader(prefixes, orgs); err != nil {
		t.Error(err)
	}
}

func BenchmarkCountry(b *testing.B) {
	rows := 0
	for b.Loop() {
		c, err := New(Config{Seed: 1, To: lastDay})
		if err != nil {
			b.Fatal(err)
		}
		for d := range c.Deliveries() {
			rows += bytes.Count(d.Bytes, []byte{'\n'})
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(rows), "ns/row")
}

func BenchmarkTruth(b *testing.B) {
	for b.Loop() {
		c, err := New(Config{Seed: 1, To: lastDay})
		if err != nil {
			b.Fatal(err)
		}
		c.Truth()
	}
}

func BenchmarkSinkhole(b *testing.B) {
	b.ReportAllocs()
	rows := 0
	for b.Loop() {
		for range Sinkhole(SinkholeConfig{Seed: 1, From: lastDay, Total: 200_000}) {
			rows += 10_000
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(rows), "ns/row")
}
