package figure_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"tocsin/internal/event"
	"tocsin/internal/figure"
	"tocsin/internal/policy"
	"tocsin/internal/query"
)

var update = flag.Bool("update", false, "write the golden files and docs/metrics.md anew")

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(name), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, got, 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatalf("%v (write it with -update)", err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs (write it with -update):\ngot  %s\nwant %s", name, got, want)
	}
}

// village is a small country whose figures can be counted by hand.
func village() *counts {
	inf, c2, site, exp, att := event.ClassInfection, event.ClassController, event.ClassSite, event.ClassExposure, event.ClassAttempt
	return &counts{list: []seen{
		// Previous period: 1 and 2 of November.
		at("2026-11-01", inf, "192.0.2.1", "asn", "64500", "family", "mirai", "feed", "a", "country", "XS"),
		at("2026-11-02", inf, "192.0.2.1", "asn", "64500", "family", "mirai", "feed", "a", "country", "XS"),
		at("2026-11-02", c2, "198.51.100.7", "country", "XA", "asn", "64999"),
		// Period: 3 to 4. Two feeds and two families see one address: 1 + 3 addresses.
		at("2026-11-03", inf, "192.0.2.1", "asn", "64500", "family", "mirai", "feed", "a", "country", "XS"),
		at("2026-11-03", inf, "192.0.2.1", "asn", "64500", "family", "qakbot", "feed", "b", "country", "XS"),
		at("2026-11-04", inf, "192.0.2.1", "asn", "64500", "family", "mirai", "feed", "a", "country", "XS"),
		at("2026-11-04", inf, "192.0.2.2", "asn", "64500", "family", "mirai", "feed", "a", "country", "XS"),
		at("2026-11-04", inf, "192.0.2.3", "asn", "64501", "family", "", "feed", "a", "country", "XS"),
		at("2026-11-03", c2, "192.0.2.9", "country", "XS", "asn", "64500"),
		at("2026-11-03", c2, "198.51.100.7", "country", "XA", "asn", "64999"),
		at("2026-11-04", c2, "198.51.100.7", "country", "XA", "asn", "64999"),
		at("2026-11-04", c2, "203.0.113.7", "country", "", "asn", ""),
		at("2026-11-03", site, "shop.example", "type", "phishing", "asn", "64500", "country", "XS"),
		at("2026-11-04", site, "shop.example", "type", "unauthorised-information-modification", "asn", "64501", "country", "XS"),
		at("2026-11-04", site, "council.example", "type", "system-compromise", "sector", "government", "asn", "64500", "country", "XS"),
		at("2026-11-04", exp, "192.0.2.4:3389/tcp", "asn", "64500", "country", "XS"),
		at("2026-11-03", att, "198.51.100.1", "asn", "64999", "country", "XA"),
		at("2026-11-03", att, "198.51.100.1", "asn", "64999", "country", "XA"),
		at("2026-11-04", att, "198.51.100.2", "asn", "64999", "country", "XA"),
	}}
}

var november = query.Period{From: day("2026-11-03"), To: day("2026-11-04")}

func TestVillage(t *testing.T) {
	t.Parallel()
	doc, err := figure.EvaluateAll(context.Background(), village(), policy.Local(), figure.Params{Period: november, By: query.DimASN, Home: "XS"})
	if err != nil {
		t.Fatal(err)
	}
	b, err := doc.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	var pretty bytes.Buffer
	if err := json.Indent(&pretty, b, "", "\t"); err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/village.json", pretty.Bytes())

	// By hand.
	f := func(id, value, previous, diff, ratio string, cumulative int64) {
		t.Helper()
		i := slices.IndexFunc(doc.Figures, func(f figure.Figure) bool { return f.ID == id })
		g := doc.Figures[i]
		got := []string{text(g.Value), text(g.Previous.Value), "", ""}
		if g.Change != nil {
			got[2], got[3] = g.Change.Difference.String(), g.Change.Ratio.String()
		}
		if want := []string{value, previous, diff, ratio}; !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", id, got, want)
		}
		if g.Cumulative != cumulative {
			t.Errorf("%s: cumulative %d, want %d", id, g.Cumulative, cumulative)
		}
	}
	f("infected-addresses", "2.00", "1.00", "1.00", "2.0000", 3)
	f("c2-home", "0.50", "", "", "", 1)
	f("c2-abroad", "1.50", "0.50", "1.00", "3.0000", 2)
	f("hacked-sites", "2", "", "", "", 2)
	f("exposed-services", "0.50", "", "", "", 1)
	f("attack-attempts", "3", "", "", "", 2)
}

func text(n *figure.Number) string {
	if n == nil {
		return ""
	}
	return n.String()
}

func TestDocumentIsTheSameInAnyOrder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		c := village()
		p := figure.Params{Period: november, By: rapid.SampledFrom(query.Dims).Draw(t, "by"), Home: "XS"}
		first, err := figure.EvaluateAll(context.Background(), c, policy.Local(), p)
		if err != nil {
			t.Fatal(err)
		}
		c.list = rapid.Permutation(c.list).Draw(t, "order")
		second, err := figure.EvaluateAll(context.Background(), c, policy.Local(), p)
		if err != nil {
			t.Fatal(err)
		}
		a, _ := first.Marshal()
		b, _ := second.Marshal()
		if !bytes.Equal(a, b) {
			t.Fatalf("%s\n%s", a, b)
		}
	})
}

// world draws events whose AS, country and the like follow from asset and day.
func world(t *rapid.T) *counts {
	perAsset := []query.Dim{query.DimASN, query.DimOrganisation, query.DimSector, query.DimRegion, query.DimCountry}
	free := []query.Dim{query.DimFamily, query.DimType, query.DimFeed, query.DimReport}
	c := &counts{}
	fixed := map[string]string{}
	for range rapid.IntRange(0, 60).Draw(t, "events") {
		e := seen{
			day:   day("2026-11-01") + event.Day(rapid.IntRange(0, 5).Draw(t, "day")),
			class: rapid.SampledFrom([]event.Class{event.ClassInfection, event.ClassController, event.ClassSite, event.ClassExposure, event.ClassAttempt}).Draw(t, "class"),
			asset: rapid.SampledFrom([]string{"a", "b", "c", "d", "e"}).Draw(t, "asset"),
			dims:  map[query.Dim]string{},
		}
		for _, d := range perAsset {
			k := fmt.Sprint(e.asset, e.day, d)
			if _, ok := fixed[k]; !ok {
				fixed[k] = rapid.SampledFrom([]string{"", "1", "2", "3"}).Draw(t, string(d))
			}
			e.dims[d] = fixed[k]
		}
		for _, d := range free {
			e.dims[d] = rapid.SampledFrom([]string{"", "1", "2", "3"}).Draw(t, string(d))
		}
		c.list = append(c.list, e)
	}
	return c
}

func drawConds(t *rapid.T) []query.Cond {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) query.Cond {
		return query.Cond{
			Dim:   rapid.SampledFrom(query.Dims).Draw(t, "dim"),
			Value: rapid.SampledFrom([]string{"", "1", "2", "3"}).Draw(t, "value"),
			Not:   rapid.Bool().Draw(t, "not"),
		}
	}), 0, 3).Draw(t, "where")
}

// TestRowsAddUp holds the promise of every breakdown: the rows of a partition
// sum to the value, exactly; overlapping ones are at least the value and print
// by how much more.
func TestRowsAddUp(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		c := world(t)
		def := &figure.Definitions[rapid.IntRange(0, len(figure.Definitions)-1).Draw(t, "figure")]
		p := figure.Params{
			Period: query.Period{From: day("2026-11-02"), To: day("2026-11-02") + event.Day(rapid.IntRange(0, 3).Draw(t, "days"))},
			By:     rapid.SampledFrom(def.By()).Draw(t, "by"),
			Where:  drawConds(t), Home: "1",
		}
		f, err := figure.Evaluate(context.Background(), c, policy.Local(), def, p)
		if err != nil {
			t.Fatal(err)
		}
		if f.NoData {
			if f.Value != nil || f.Change != nil || len(f.Series) != 0 {
				t.Fatalf("no data, and yet %+v", f)
			}
			return
		}
		var rows, events int64
		for i, r := range f.Breakdown.Rows {
			rows += r.Value.Sum
			events += r.Events
			if i > 0 {
				l := f.Breakdown.Rows[i-1]
				if l.Value.Sum < r.Value.Sum || l.Value.Sum == r.Value.Sum && l.Key >= r.Key {
					t.Fatalf("rows out of order: %+v", f.Breakdown.Rows)
				}
			}
		}
		if events != f.Events {
			t.Fatalf("rows have %d events, figure %d", events, f.Events)
		}
		switch over := rows - f.Value.Sum; f.Breakdown.Kind {
		case figure.Partition:
			if over != 0 || f.Breakdown.Mismatch.Sum != 0 {
				t.Fatalf("partition by %s: rows %d, value %d, mismatch %v", p.By, rows, f.Value.Sum, f.Breakdown.Mismatch)
			}
		case figure.Overlapping:
			if over < 0 || f.Breakdown.Overlap.Sum != over {
				t.Fatalf("overlapping by %s: rows %d, value %d, overlap %v", p.By, rows, f.Value.Sum, f.Breakdown.Overlap)
			}
		}

		// The value once more, from the events alone.
		assets, perDay := map[string]bool{}, map[string]bool{}
		var n int64
		for _, e := range c.list {
			in := e.class == def.Class && e.day >= p.Period.From && e.day <= p.Period.To
			in = in && (def.Place != figure.AtHome || e.dims[query.DimCountry] == "1")
			in = in && (def.Place != figure.Abroad || e.dims[query.DimCountry] != "1")
			if in && holds(e, p.Where) {
				assets[e.asset] = true
				perDay[fmt.Sprint(e.day, e.asset)] = true
				n++
			}
		}
		want := map[figure.Headline]*big.Rat{
			figure.MeanDaily: big.NewRat(int64(len(perDay)), int64(p.Period.Days())),
			figure.Distinct:  big.NewRat(int64(len(assets)), 1),
			figure.Events:    big.NewRat(n, 1),
		}[def.Headline]
		if got := big.NewRat(f.Value.Sum, max(f.Value.Days, 1)); got.Cmp(want) != 0 {
			t.Fatalf("%s: %s, counted %s", def.ID, got, want)
		}
		if f.Cumulative != int64(len(assets)) || f.Events != n {
			t.Fatalf("%s: cumulative %d of %d, events %d of %d", def.ID, f.Cumulative, len(assets), f.Events, n)
		}
		var series int64
		for _, pt := range f.Series {
			series += pt.Value
		}
		if len(f.Series) != p.Period.Days() || def.Headline != figure.Events && series != f.DailySum || def.Headline == figure.Events && series != n {
			t.Fatalf("series %v does not sum to the figure", f.Series)
		}
	})
}

// TestAnd compares the joined conditions with holding each list in turn.
func TestAnd(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawConds(t), drawConds(t)
		joined, ok := figure.And(a, b)
		for range 10 {
			e := seen{dims: map[query.Dim]string{}}
			for _, d := range query.Dims {
				e.dims[d] = rapid.SampledFrom([]string{"", "1", "2", "3"}).Draw(t, "v")
			}
			want := holds(e, a) && holds(e, b)
			if got := ok && holds(e, joined); got != want {
				t.Fatalf("%v and %v: joined %v (%v) says %v of %v", a, b, joined, ok, got, e.dims)
			}
		}
	})
}

func TestScopeIsPassedOn(t *testing.T) {
	t.Parallel()
	c := &counts{list: []seen{
		at("2026-11-03", event.ClassInfection, "1", "organisation", "mine"),
		at("2026-11-03", event.ClassInfection, "2", "organisation", "theirs"),
		at("2026-11-01", event.ClassInfection, "3", "organisation", "theirs"),
	}}
	def, _ := figure.Lookup("infected-addresses")
	mine := policy.For("m", policy.Organisation, []string{"mine"}, nil, true)
	f, err := figure.Evaluate(context.Background(), c, mine, def, figure.Params{Period: november, By: query.DimOrganisation})
	if err != nil {
		t.Fatal(err)
	}
	if f.Value.Sum != 1 || len(f.Breakdown.Rows) != 1 || f.Breakdown.Rows[0].Key != "mine" || !f.Previous.NoData {
		t.Errorf("saw another's rows: %+v", f)
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	def, _ := figure.Lookup("c2-home")
	f := func(p figure.Params) (figure.Figure, error) {
		return figure.Evaluate(context.Background(), village(), policy.Local(), def, p)
	}
	if _, err := f(figure.Params{Period: query.Period{From: 5, To: 4}}); err == nil {
		t.Error("a period that ends before it begins was counted")
	}
	if _, err := f(figure.Params{Period: query.Period{From: 0, To: figure.MaxDays}}); err == nil {
		t.Error("an endless period was counted")
	}
	if _, err := f(figure.Params{Period: november, By: "shoe-size", Home: "XS"}); !errors.Is(err, figure.ErrBreakdown) {
		t.Errorf("by shoe size: %v", err)
	}
	g, err := f(figure.Params{Period: november})
	if err != nil || !g.NoData || g.Reason == "" {
		t.Errorf("no home country: %+v, %v", g, err)
	}
	g, err = f(figure.Params{Period: november, Home: "XS", Where: []query.Cond{{Dim: query.DimCountry, Value: "XA"}}})
	if err != nil || !g.NoData || g.Reason == "" {
		t.Errorf("at home and in XA: %+v, %v", g, err)
	}
}

// TestMismatch: a partition that does not add up is asked again, then says so.
func TestMismatch(t *testing.T) {
	t.Parallel()
	c := village()
	c.list = append(c.list, at("2026-11-03", event.ClassInfection, "192.0.2.1", "asn", "64777"))
	def, _ := figure.Lookup("infected-addresses")
	f, err := figure.Evaluate(context.Background(), c, policy.Local(), def, figure.Params{Period: november, By: query.DimASN})
	if err != nil {
		t.Fatal(err)
	}
	if f.Breakdown.Mismatch.Sum != 1 || c.asked != 7 {
		t.Errorf("mismatch %v after %d questions", f.Breakdown.Mismatch, c.asked)
	}
}

func TestNumber(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		n    figure.Number
		want string
	}{
		{figure.Number{}, "0"},
		{figure.Number{Sum: 1234567}, "1234567"},
		{figure.Number{Days: 7}, "0.00"},
		{figure.Number{Sum: 1, Days: 3}, "0.33"},
		{figure.Number{Sum: 2, Days: 3}, "0.67"},
		{figure.Number{Sum: 1, Days: 8}, "0.13"}, // 0.125
		{figure.Number{Sum: -1, Days: 8}, "-0.13"},
		{figure.Number{Sum: -1, Days: 1000}, "0.00"},
		{figure.Number{Sum: 9007199254740993, Days: 1}, "9007199254740993.00"},
		{figure.Number{Sum: 9223372036854775807, Days: 10}, "922337203685477580.70"},
	} {
		if got := tt.n.String(); got != tt.want {
			t.Errorf("%+v: got %s, want %s", tt.n, got, tt.want)
		}
		var back figure.Number
		if err := json.Unmarshal([]byte(tt.want), &back); err != nil && len(tt.want) < 19 {
			t.Error(err)
		} else if err == nil && back.String() != tt.want {
			t.Errorf("%s read as %s", tt.want, back)
		}
	}
	if got := (figure.Ratio{Num: 2, Den: 3}).String(); got != "0.6667" {
		t.Error(got)
	}
	if b, _ := json.Marshal(figure.Ratio{Num: 2}); string(b) != "null" {
		t.Errorf("a ratio without a base: %s", b)
	}
	rapid.Check(t, func(t *rapid.T) {
		n := figure.Number{Sum: rapid.Int64().Draw(t, "sum"), Days: rapid.Int64Range(1, 4000).Draw(t, "days")}
		if got, want := n.String(), strings.TrimPrefix(big.NewRat(n.Sum, n.Days).FloatString(2), ""); got != want && want != "-0.00" {
			t.Fatalf("%+v: %s, by big.Rat %s", n, got, want)
		}
	})
}

func TestDefinitions(t *testing.T) {
	t.Parallel()
	ids := map[string]bool{}
	for _, d := range figure.Definitions {
		if ids[d.ID] || d.Title == "" || d.Unit == "" || d.Text == "" || d.Cumulative == "" || d.Version < 1 || d.Since == "" || len(d.Caveats) == 0 || len(d.Breakdowns) == 0 {
			t.Errorf("definition %q is not complete or not alone", d.ID)
		}
		ids[d.ID] = true
		if (d.Headline == figure.Events) != (d.Unit == "events") {
			t.Errorf("%s: only events are counted in events", d.ID)
		}
		if d.Class == event.ClassOutside {
			t.Errorf("%s counts what is outside the scope", d.ID)
		}
	}
	var b bytes.Buffer
	if err := figure.WriteDocs(&b); err != nil {
		t.Fatal(err)
	}
	golden(t, "../../docs/metrics.md", b.Bytes())
}

// A period before the first day with data is no base to compare with.
func TestChangeNeedsAWholePeriod(t *testing.T) {
	t.Parallel()
	period := query.Period{From: day("2026-11-03"), To: day("2026-11-04")}
	for _, tt := range []struct {
		since  string
		change bool
	}{
		{"2026-10-01", true},
		{"2026-11-01", true},
		{"2026-11-02", false},
	} {
		def, _ := figure.Lookup("infected-addresses")
		f, err := figure.Evaluate(t.Context(), village(), policy.Local(), def, figure.Params{Period: period, Home: "XS", Since: day(tt.since)})
		if err != nil {
			t.Fatal(err)
		}
		if (f.Change != nil) != tt.change || f.Previous.Partial == tt.change || f.Previous.Value == nil {
			t.Errorf("data since %s: change %v, previous %+v", tt.since, f.Change, f.Previous)
		}
	}
}
