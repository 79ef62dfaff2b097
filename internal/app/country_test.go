package app

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"math/big"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"tocsin/internal/event"
	"tocsin/internal/figure"
	"tocsin/internal/policy"
	"tocsin/internal/query"
	"tocsin/internal/registry"
	"tocsin/internal/sim"
	"tocsin/internal/web"
)

// now is the clock of the tests: the figures depend on it nowhere.
var now = time.Date(2026, 11, 2, 9, 0, 0, 0, time.UTC)

// openRunning opens an app on dir and runs it until the test ends.
func openRunning(t testing.TB, dir string) *App {
	t.Helper()
	cfg := DefaultConfig(dir)
	cfg.Inbox = "-"
	a, err := Open(t.Context(), slog.New(slog.DiscardHandler), cfg, Deps{Clock: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		a.Close()
	})
	return a
}

var countryEnd = time.Date(2026, 10, 31, 0, 0, 0, 0, time.UTC)

// long reports whether tests run at full size.
func long() bool {
	return os.Getenv("TOCSIN_HOSTILE") == "full" || os.Getenv("TOCSIN_LONG") != ""
}

// country makes a simulated country and leads it through the real road.
func country(t testing.TB, cfg sim.Config) (*App, *sim.Country) {
	t.Helper()
	c, err := sim.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	a := openRunning(t, t.TempDir())
	s := Simulation{Home: sim.Home, HomeName: "Simuland", Prefixes: c.Prefixes(), Organisations: c.Organisations()}
	for _, f := range c.Feeds() {
		s.Feeds = append(s.Feeds, registry.Feed{Name: f.Name, Format: f.Format, Marking: f.Marking})
	}
	s.Deliveries = func(yield func(SimulatedDelivery) bool) {
		for d := range c.Deliveries() {
			if !yield(SimulatedDelivery{Feed: d.Feed, Format: d.Format, Name: d.Name, Report: d.Report, Received: d.Received, Bytes: d.Bytes}) {
				return
			}
		}
	}
	if err := a.Simulate(t.Context(), s, nil); err != nil {
		t.Fatal(err)
	}
	if err := a.Settled(t.Context()); err != nil {
		t.Fatal(err)
	}
	return a, c
}

// judged lets the simulator's truth ask the app.
type judged struct {
	ctx context.Context
	app *App
}

var _ sim.Counts = judged{}

func (j judged) question(q sim.Query) query.Count {
	class, ok := event.ParseClass(q.Class)
	if !ok {
		panic("no class " + q.Class)
	}
	out := query.Count{Class: class, Period: query.Period{From: event.Day(q.From), To: event.Day(q.To)}}
	for _, c := range q.Where {
		out.Where = append(out.Where, query.Cond{Dim: query.Dim(c.Dim), Value: c.Value, Not: c.Not})
	}
	return out
}

func answer(v query.Value) sim.Value {
	s := sim.Value{Distinct: int(v.Distinct), Events: int(v.Events)}
	for _, n := range v.Daily {
		s.Daily = append(s.Daily, int(n))
	}
	return s
}

// Count implements [sim.Counts].
func (j judged) Count(q sim.Query) (sim.Value, error) {
	v, err := counts{j.app}.Count(j.ctx, policy.Local(), j.question(q))
	return answer(v), err
}

// Breakdown implements [sim.Counts].
func (j judged) Breakdown(q sim.Query, dim string) (map[string]sim.Value, error) {
	groups, err := counts{j.app}.Breakdown(j.ctx, policy.Local(), j.question(q), query.Dim(dim))
	out := map[string]sim.Value{}
	for _, g := range groups {
		if _, twice := out[g.Key]; twice {
			return nil, fmt.Errorf("%s has two rows %q", dim, g.Key)
		}
		out[g.Key] = answer(g.Value)
	}
	return out, err
}

// loaded returns the deliveries in the order in which they came.
func loaded(t testing.TB, a *App) []query.Delivery {
	t.Helper()
	var all []query.Delivery
	for {
		list, total, err := a.Deliveries(t.Context(), policy.Local(), web.DeliveryFilter{Limit: 1000, Offset: len(all)})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, list...)
		if int64(len(all)) >= total || len(list) == 0 {
			break
		}
	}
	slices.SortFunc(all, func(x, y query.Delivery) int { return int(x.Seq) - int(y.Seq) })
	return all
}

func deliveryDifferences(t testing.TB, a *App, c *sim.Country) []string {
	t.Helper()
	var got []sim.DeliveryCount
	days := c.Truth().Deliveries()
	for i, d := range loaded(t, a) {
		if d.State != query.StateLoaded {
			t.Errorf("%s %s is %s: %s", d.ID, d.Name, d.State, d.Reason)
		}
		n := sim.DeliveryCount{
			Feed: d.Feed, Name: d.Name, Received: int(d.Received), Accepted: int(d.Accepted),
			Duplicate: int(d.Duplicate), Quarantined: int(d.Quarantined), Outside: int(d.Outside),
		}
		if i < len(days) {
			n.Day = days[i].Day // the simulator's own word for the file
		}
		got = append(got, n)
	}
	return c.Truth().DeliveryDifferences(got)
}

// TestCountry leads a whole simulated country through the road and holds every
// count of the store, every published figure and the way from each figure down
// to the raw rows against the simulator's own truth.
func TestCountry(t *testing.T) {
	t.Parallel()
	rows := 30_000
	switch {
	case long():
		rows = 300_000
	case testing.Short():
		rows = 10_000
	}
	started := time.Now()
	a, c := country(t, sim.Config{Seed: 1, To: countryEnd, Rows: rows})
	truth := c.Truth()
	t.Logf("%d deliveries loaded after %.1f s", len(truth.Deliveries()), time.Since(started).Seconds())

	t.Run("deliveries", func(t *testing.T) {
		for _, d := range first(deliveryDifferences(t, a, c)) {
			t.Error(d)
		}
	})
	t.Run("counts", func(t *testing.T) {
		dims := []string{sim.ASN, sim.Organisation, sim.CountryCode, sim.FeedName} // the others are in the figures
		if long() {
			dims = withoutFamily
		}
		diff, err := truth.Differences(judged{t.Context(), a}, dims)
		if err != nil {
			t.Fatal(err)
		}
		diff = append(diff, familyDifferences(t, a, truth)...)
		for _, d := range first(diff) {
			t.Error(d)
		}
	})
	t.Run("conditions", func(t *testing.T) {
		for _, where := range [][]sim.Cond{
			{{Dim: sim.CountryCode, Value: sim.Home}, {Dim: sim.Sector, Value: "government", Not: true}},
			{{Dim: sim.Family, Value: "copperbot"}, {Dim: sim.Family, Value: "glimmer"}, {Dim: sim.Organisation, Value: "", Not: true}},
		} {
			diff, err := truth.Differences(judged{t.Context(), a}, []string{}, where...)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range first(diff) {
				t.Errorf("%v: %s", where, d)
			}
		}
	})
	t.Run("figures", func(t *testing.T) {
		for _, p := range [][2]sim.Day{
			{truth.From(), truth.To()},
			{truth.To() - 30, truth.To()},
			{truth.From() + 200, truth.From() + 200},
		} {
			figuresAgree(t, a, truth, p[0], p[1], sim.Dims...)
		}
		// Half before the first day, across months, and after the last day.
		figuresAgree(t, a, truth, truth.From()-20, truth.From()+3)
		figuresAgree(t, a, truth, truth.From()+100, truth.From()+127)
		figuresAgree(t, a, truth, truth.To()+10, truth.To()+12, sim.ASN)
	})
	t.Run("down to the raw rows", func(t *testing.T) {
		walk(t, a, c, query.Period{From: event.Day(truth.To() - 13), To: event.Day(truth.To())})
	})
}

// first keeps a report of differences readable.
func first(diff []string) []string {
	if n := len(diff); n > 10 {
		return append(slices.Clone(diff[:10]), fmt.Sprintf("and %d more", n-10))
	}
	return diff
}

// withoutFamily are the dimensions that the truth writes as the store does.
var withoutFamily = slices.DeleteFunc(slices.Clone(sim.Dims), func(d string) bool { return d == sim.Family })

// defaced is the one type that the partner gives an identifier.
const defaced = "unauthorised-information-modification"

// identifiers are what stands in the place of the family where a report tells
// of no malware: classification.identifier, by report type and what holds of
// its events.
var identifiers = map[string]map[string][]sim.Cond{
	"scan_rdp":                         {"open-rdp": nil},
	"scan_telnet":                      {"open-telnet": nil},
	"scan_dns":                         {"dns-open-resolver": nil},
	"scan_http_vulnerable":             {"vulnerable-http": nil},
	"scan_post_exploitation_framework": {"c2-beacon": nil},
	"malware_url":                      {"malware-url": nil},
	"compromised_website":              {"compromised-website": nil},
	"idf":                              {"defacement": {{Dim: sim.Type, Value: defaced}}, "": {{Dim: sim.Type, Value: defaced, Not: true}}},
}

// breakdown is the truth's, with the identifier in the place of a family that
// is not there.
func breakdown(t testing.TB, truth *sim.Truth, q sim.Query, dim string) map[string]sim.Value {
	t.Helper()
	rows := truth.Breakdown(q, dim)
	if _, some := rows[""]; dim != sim.Family || !some {
		return rows
	}
	delete(rows, "")
	q.Where = append(slices.Clone(q.Where), sim.Cond{Dim: sim.Family})
	for report := range truth.Breakdown(q, sim.ReportType) {
		if identifiers[report] == nil {
			t.Fatalf("%s tells of no family and has no identifier", report)
		}
		for k, where := range identifiers[report] {
			of := q
			of.Where = append(slices.Concat(q.Where, where), sim.Cond{Dim: sim.ReportType, Value: report})
			if v := truth.Count(of); v.Events > 0 {
				if _, twice := rows[k]; twice {
					t.Fatalf("%v: two counts of %q", q, k)
				}
				rows[k] = v
			}
		}
	}
	return rows
}

// familyDifferences is [sim.Truth.Differences] for the family.
func familyDifferences(t testing.TB, a *App, truth *sim.Truth) (diff []string) {
	t.Helper()
	j := judged{t.Context(), a}
	periods := [][2]sim.Day{{truth.From(), truth.To()}}
	for d := truth.From(); d <= truth.To(); d += 50 {
		periods = append(periods, [2]sim.Day{d, d}, [2]sim.Day{d, d + 49})
	}
	for _, class := range sim.Classes {
		for _, p := range periods {
			q := sim.Query{Class: class, From: p[0], To: p[1]}
			got, err := j.Breakdown(q, sim.Family)
			if err != nil {
				t.Fatal(err)
			}
			want := breakdown(t, truth, q, sim.Family)
			if !reflect.DeepEqual(got, want) {
				diff = append(diff, fmt.Sprintf("%s from %s to %s by family: %v, truth %v", class, q.From, q.To, slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want))))
			}
		}
	}
	return diff
}

// published is what the simulator knows of each figure of the first set.
var published = []struct {
	id, class, headline string
	where               []sim.Cond
	kinds               map[string][]string // by classification.type
	government          bool
}{
	{id: "infected-addresses", class: sim.Infection, headline: "mean"},
	{id: "c2-home", class: sim.Controller, headline: "mean", where: []sim.Cond{{Dim: sim.CountryCode, Value: sim.Home}}},
	{id: "c2-abroad", class: sim.Controller, headline: "mean", where: []sim.Cond{{Dim: sim.CountryCode, Value: sim.Home, Not: true}}},
	{id: "hacked-sites", class: sim.HackedSite, headline: "distinct", government: true, kinds: map[string][]string{
		"defaced": {"unauthorised-information-modification"}, "backdoored": {"system-compromise"},
		"phishing": {"phishing"}, "malware-hosting": {"malware-distribution"},
	}},
	{id: "exposed-services", class: sim.Exposure, headline: "mean", government: true},
	{id: "attack-attempts", class: sim.Attempt, headline: "events"},
}

// part is what the tests read of a number with its companions.
type part struct {
	ID, Key    string
	Value      json.Number
	DailySum   int `json:"daily_sum"`
	Cumulative int `json:"cumulative_distinct"`
	Events     int
	Share      json.Number
}

// printed reads a document of figures as a stranger would.
type printed struct {
	Period  struct{ From, To string }
	Home    string
	Figures []struct {
		part
		NoData   bool `json:"no_data"`
		Previous struct {
			part
			Period struct{ From, To string }
			NoData bool `json:"no_data"`
		}
		Kinds, Shares []part
		Breakdown     *struct {
			By, Kind          string
			Rows              []part
			Overlap, Mismatch json.Number
		}
		Series []struct {
			Day   string
			Value int
		}
	}
}

// headline writes the published value of a count: two decimals for a mean,
// halves away from zero.
func headline(how string, v sim.Value) string {
	switch how {
	case "mean":
		return big.NewRat(int64(total(v.Daily)), int64(len(v.Daily))).FloatString(2)
	case "distinct":
		return strconv.Itoa(v.Distinct)
	}
	return strconv.Itoa(v.Events)
}

func total(list []int) (n int) {
	for _, x := range list {
		n += x
	}
	return n
}

// figuresAgree compares the published document of a period, by the
// dimensions given, with the truth.
func figuresAgree(t *testing.T, a *App, truth *sim.Truth, from, to sim.Day, dims ...string) {
	t.Helper()
	fail := func(format string, args ...any) {
		t.Helper()
		t.Errorf("%s to %s, %s", from, to, fmt.Sprintf(format, args...))
	}
	// same compares a part of a document with the count that it stands for.
	same := func(what, how string, got part, v sim.Value) {
		t.Helper()
		if want := headline(how, v); string(got.Value) != want || got.Cumulative != v.Distinct || got.Events != v.Events {
			fail("%s: %s, cumulative %d, %d events; truth %s, %d, %d", what, got.Value, got.Cumulative, got.Events, want, v.Distinct, v.Events)
		}
	}
	for _, by := range append([]string{""}, dims...) {
		doc, err := a.Figures(t.Context(), policy.Local(), figure.Params{Period: query.Period{From: event.Day(from), To: event.Day(to)}, By: query.Dim(by)})
		if err != nil {
			t.Fatal(err)
		}
		b, err := doc.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		var p printed
		d := json.NewDecoder(bytes.NewReader(b))
		d.UseNumber()
		if err := d.Decode(&p); err != nil {
			t.Fatal(err)
		}
		if p.Home != sim.Home || p.Period.From != from.String() || p.Period.To != to.String() || len(p.Figures) != len(published) {
			fail("home %q, period %v, %d figures", p.Home, p.Period, len(p.Figures))
			return
		}
		for i, w := range published {
			f := p.Figures[i]
			what := w.id
			if f.ID != w.id {
				fail("figure %d is %s, want %s", i, f.ID, w.id)
				continue
			}
			q := sim.Query{Class: w.class, From: from, To: to, Where: w.where}
			v := truth.Count(q)
			if f.NoData != (v.Events == 0) {
				fail("%s: no data %t with %d events", what, f.NoData, v.Events)
			}
			n := to - from + 1
			pq := q
			pq.From, pq.To = from-n, from-1
			pv := truth.Count(pq)
			if f.Previous.NoData != (pv.Events == 0) || f.Previous.Period.From != pq.From.String() || f.Previous.Period.To != pq.To.String() {
				fail("%s: previous %+v with %d events", what, f.Previous, pv.Events)
			}
			if !f.Previous.NoData {
				same(what+", previous", w.headline, f.Previous.part, pv)
			}
			if f.NoData {
				if f.Value != "" && f.Value != "null" || f.Breakdown != nil && len(f.Breakdown.Rows) > 0 {
					fail("%s: %q without data", what, f.Value)
				}
				continue
			}
			same(what, w.headline, f.part, v)
			if f.DailySum != total(v.Daily) {
				fail("%s: daily sum %d, truth %d", what, f.DailySum, total(v.Daily))
			}
			if len(f.Series) != int(n) {
				fail("%s: %d days", what, len(f.Series))
			}
			for i, s := range f.Series {
				day := from + sim.Day(i)
				want := v.Daily[i]
				if w.headline == "events" {
					want = truth.Events(w.class, day, w.where...)
				}
				if s.Day != day.String() || s.Value != want {
					fail("%s: day %s is %d, truth %d on %s", what, s.Day, s.Value, want, day)
					break
				}
			}
			if len(f.Kinds) != len(w.kinds) || (len(f.Shares) == 1) != w.government {
				fail("%s: kinds %v, shares %v", what, f.Kinds, f.Shares)
			}
			for _, k := range f.Kinds {
				kq := q
				for _, typ := range w.kinds[k.ID] {
					kq.Where = append(slices.Clip(kq.Where), sim.Cond{Dim: sim.Type, Value: typ})
				}
				same(what+", "+k.ID, w.headline, k, truth.Count(kq))
			}
			for _, k := range f.Shares {
				kq := q
				kq.Where = append(slices.Clip(kq.Where), sim.Cond{Dim: sim.Sector, Value: "government"})
				kv := truth.Count(kq)
				same(what+", government", w.headline, k, kv)
				num, den := kv.Distinct, v.Distinct
				if w.headline == "mean" {
					num, den = total(kv.Daily), total(v.Daily)
				}
				if want := big.NewRat(int64(num), int64(den)).FloatString(4); string(k.Share) != want {
					fail("%s: government share %s, truth %s", what, k.Share, want)
				}
			}
			if by == "" {
				continue
			}
			rows := breakdown(t, truth, q, by)
			if f.Breakdown == nil || len(f.Breakdown.Rows) != len(rows) {
				fail("%s by %s: %+v, truth has %d rows", what, by, f.Breakdown, len(rows))
				continue
			}
			sum := new(big.Rat)
			for _, r := range f.Breakdown.Rows {
				v, ok := rows[r.Key]
				if !ok {
					fail("%s by %s: no row %q in truth", what, by, r.Key)
					continue
				}
				same(fmt.Sprintf("%s by %s %q", what, by, r.Key), w.headline, r, v)
				if r.DailySum != total(v.Daily) {
					fail("%s by %s %q: daily sum %d, truth %d", what, by, r.Key, r.DailySum, total(v.Daily))
				}
			}
			for _, v := range rows {
				switch w.headline {
				case "mean":
					sum.Add(sum, big.NewRat(int64(total(v.Daily)), int64(len(v.Daily))))
				case "distinct":
					sum.Add(sum, big.NewRat(int64(v.Distinct), 1))
				default:
					sum.Add(sum, big.NewRat(int64(v.Events), 1))
				}
			}
			var value big.Rat
			switch w.headline {
			case "mean":
				value.SetFrac64(int64(total(v.Daily)), int64(len(v.Daily)))
			case "distinct":
				value.SetInt64(int64(v.Distinct))
			default:
				value.SetInt64(int64(v.Events))
			}
			over := new(big.Rat).Sub(sum, &value)
			decimals := 0
			if w.headline == "mean" {
				decimals = 2
			}
			want := over.FloatString(decimals)
			if f.Breakdown.Kind == "partition" {
				if over.Sign() != 0 || string(f.Breakdown.Mismatch) != want {
					fail("%s by %s is a partition: mismatch %s, truth %s", what, by, f.Breakdown.Mismatch, want)
				}
			} else if string(f.Breakdown.Overlap) != want {
				fail("%s by %s: overlap %s, truth %s", what, by, f.Breakdown.Overlap, want)
			}
		}
	}
}

// walk goes the way of somebody who doubts a number: from each figure and
// breakdown row to its events, and from one of them to the raw row.
func walk(t *testing.T, a *App, c *sim.Country, p query.Period) {
	ctx, local := t.Context(), policy.Local()
	files := map[string][]byte{}
	for d := range c.Deliveries() {
		if d.Day >= sim.Day(p.From)-1 {
			sum := sha256.Sum256(d.Bytes)
			files[hex.EncodeToString(sum[:])] = d.Bytes
		}
	}
	opened := map[[2]uint32]bool{}
	for i := range figure.Definitions {
		def := &figure.Definitions[i]
		whole, err := a.Figure(ctx, local, def.ID, figure.Params{Period: p})
		if err != nil {
			t.Fatal(err)
		}
		var all []query.Event
		for e, err := range a.EventsSeq(ctx, local, query.Events{Period: p, Classes: []event.Class{whole.Class}, Where: whole.Where}) {
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, e)
		}
		for _, by := range def.By() {
			f, err := a.Figure(ctx, local, def.ID, figure.Params{Period: p, By: by})
			if err != nil {
				t.Fatal(err)
			}
			if f.NoData || f.Breakdown == nil || len(f.Breakdown.Rows) == 0 {
				t.Fatalf("%s by %s: no data", def.ID, by)
			}
			// All events of the figure, put under the rows by what is told of each.
			rows := map[string][]*query.Event{}
			for i := range all {
				k := dimOf(&all[i], by)
				rows[k] = append(rows[k], &all[i])
			}
			n := int64(len(all))
			var sum, events int64
			for _, r := range f.Breakdown.Rows {
				what := fmt.Sprintf("%s by %s %q", def.ID, by, r.Key)
				sum += r.Value.Sum
				events += r.Events
				where, ok := figure.And(f.Where, []query.Cond{{Dim: by, Value: r.Key}})
				if !ok {
					t.Fatalf("%s: nothing can meet %v", what, where)
				}
				list, total, err := a.Events(ctx, local, query.Events{Period: p, Classes: []event.Class{f.Class}, Where: where, Limit: 50})
				if err != nil {
					t.Fatal(err)
				}
				mine := rows[r.Key]
				assets := map[event.Asset]bool{}
				daily := map[event.Day]map[event.Asset]bool{}
				for _, e := range mine {
					k := event.Asset{Kind: e.Note.Asset.Kind, Key: e.Note.Asset.Key}
					assets[k] = true
					if daily[e.Day()] == nil {
						daily[e.Day()] = map[event.Asset]bool{}
					}
					daily[e.Day()][k] = true
				}
				var days int64
				for _, d := range daily {
					days += int64(len(d))
				}
				if total != r.Events || int64(len(mine)) != r.Events || int64(len(assets)) != r.Cumulative || days != r.DailySum || len(list) != int(min(total, 50)) {
					t.Errorf("%s says %d events, %d assets, %d by day: the page of events has %d (%d shown), under it stand %d with %d assets, %d by day",
						what, r.Events, r.Cumulative, r.DailySum, total, len(list), len(mine), len(assets), days)
				}
				for i := range list {
					if dimOf(&list[i], by) != r.Key {
						t.Errorf("%s: event %s row %d is of %q", what, list[i].DeliveryName, list[i].Row, dimOf(&list[i], by))
					}
				}
				if len(list) > 0 {
					opened[[2]uint32{list[0].Delivery, list[0].Row}] = true
					last := list[len(list)-1]
					opened[[2]uint32{last.Delivery, last.Row}] = true
				}
			}
			if n != f.Events || events < f.Events || f.Breakdown.Kind == figure.Partition && (sum != f.Value.Sum || events != f.Events) {
				t.Errorf("%s by %s: %v of %d events; rows have %d of %d, the list %d", def.ID, by, f.Value, f.Events, sum, events, n)
			}
		}
	}
	if len(opened) < 50 {
		t.Errorf("only %d events opened", len(opened))
	}
	keys := slices.SortedFunc(maps.Keys(opened), func(x, y [2]uint32) int { return slices.Compare(x[:], y[:]) })
	for _, k := range keys {
		e, raw, err := a.Event(ctx, local, k[0], k[1])
		if err != nil {
			t.Fatalf("open d%d row %d: %v", k[0], k[1], err)
		}
		file, ok := files[e.DeliverySHA]
		if !ok || len(raw) == 0 || !bytes.Contains(file, raw) {
			t.Fatalf("d%d row %d: %q is not in %s", k[0], k[1], raw, e.DeliveryName)
		}
		text, at := string(raw), e.At().Format(time.DateTime)
		if raw[0] == '{' {
			var v map[string]any
			if err := json.Unmarshal(raw, &v); err != nil {
				t.Fatalf("d%d row %d: %v", k[0], k[1], err)
			}
			text = fmt.Sprint(v)
			if when, err := time.Parse(time.RFC3339, fmt.Sprint(v["time.source"])); err != nil || !when.Equal(e.At()) {
				t.Errorf("d%d row %d: at %s, %v", k[0], k[1], e.At(), err)
			}
		} else if !strings.Contains(text, at) {
			t.Errorf("d%d row %d: %s is not of the raw row %q", k[0], k[1], at, raw)
		}
		end := e.SubjectEnd()
		if end.IP.IsValid() && !strings.Contains(text, end.IP.String()) || !strings.Contains(strings.ReplaceAll(text, `""`, `"`), end.URL) {
			t.Errorf("d%d row %d: %v is not of the raw row %q", k[0], k[1], *end, raw)
		}
	}
}

// dimOf gives an event's value of a dimension from what is told of it.
func dimOf(e *query.Event, d query.Dim) string {
	switch d {
	case query.DimASN:
		if e.Note.ASN == 0 {
			return ""
		}
		return strconv.FormatUint(uint64(e.Note.ASN), 10)
	case query.DimOrganisation:
		return e.Note.Organisation
	case query.DimSector:
		return e.Note.Sector
	case query.DimRegion:
		return e.Note.Region
	case query.DimCountry:
		return e.Note.CC
	case query.DimFamily:
		return cmp.Or(e.Family, e.Identifier)
	case query.DimType:
		return e.Type.String()
	case query.DimFeed:
		return e.Feed
	case query.DimReport:
		return e.Report
	default:
		return ""
	}
}

// TestCountryFaults plants faults between what is delivered and the truth: a
// comparison that stays green with one of them proves nothing.
func TestCountryFaults(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		fault      sim.Fault
		dims       []string // none but the family for the one that is about it
		says       string   // one of the differences
		deliveries bool     // whether the counts of deliveries differ too
	}{
		{sim.DropRow, []string{}, "exposure from 2025-10-01 to 2026-10-31: ", true},
		{sim.SwapAS, []string{sim.ASN}, `by asn "64513"`, false},
		{sim.DayOff, []string{}, " assets on ", false},
		{sim.RenameFamily, []string{}, `[ambergris brackish chromebot`, false},
	} {
		t.Run(string(tt.fault), func(t *testing.T) {
			t.Parallel()
			rows := 8_000
			if long() {
				rows = 60_000
			}
			a, c := country(t, sim.Config{Seed: 10, To: countryEnd, Rows: rows, Fault: tt.fault})
			diff, err := c.Truth().Differences(judged{t.Context(), a}, tt.dims)
			if err != nil {
				t.Fatal(err)
			}
			if tt.fault == sim.RenameFamily {
				diff = append(diff, familyDifferences(t, a, c.Truth())...)
			}
			if !slices.ContainsFunc(diff, func(s string) bool { return strings.Contains(s, tt.says) }) {
				t.Errorf("%d differences, none says %s: %q", len(diff), tt.says, first(diff))
			}
			if d := deliveryDifferences(t, a, c); (len(d) > 0) != tt.deliveries {
				t.Errorf("differences of deliveries: %q", first(d))
			}
		})
	}
}
