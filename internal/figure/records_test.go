package figure_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"tocsin/internal/estimate"
	"tocsin/internal/event"
	"tocsin/internal/figure"
	"tocsin/internal/policy"
	"tocsin/internal/query"
)

// land is a country that answers everything in the most obvious way.
type land struct {
	counts
	looks    map[string][]query.Period // when each feed looked, at everything
	upstream map[string]string
	breaks   []query.Break
	control  query.Controlled
	episodes figure.EpisodeCounts
	spells   figure.Spells
	networks map[uint32]figure.Network
}

var _ figure.Source = (*land)(nil)

func (l *land) witness(feed string) string { return cmp.Or(l.upstream[feed], feed) }

func (l *land) looked(feed string, d event.Day) bool {
	for _, p := range l.looks[feed] {
		if d >= p.From && d <= p.To {
			return true
		}
	}
	return false
}

func (l *land) Covered(_ context.Context, _ policy.Scope, classes []event.Class, p query.Period) (query.Coverage, error) {
	c := query.Coverage{Period: p, Breaks: l.breaks}
	feeds := map[string][]string{}
	for f := range l.looks {
		feeds[l.witness(f)] = append(feeds[l.witness(f)], f)
	}
	for _, w := range slices.Sorted(maps.Keys(feeds)) {
		slices.Sort(feeds[w])
		for _, class := range classes {
			r := query.Covered{Witness: w, Feeds: feeds[w], Class: class}
			for d := p.From; d <= p.To; d++ {
				look := query.Missing
				for _, f := range feeds[w] {
					if l.looked(f, d) {
						look = query.Present
					}
				}
				r.Days = append(r.Days, look)
				r.Expected++
				if look == query.Present {
					r.Present++
				} else {
					r.Missing++
				}
			}
			if r.Present == 0 {
				continue
			}
			c.Rows = append(c.Rows, r)
		}
	}
	return c, nil
}

func (l *land) Sole(_ context.Context, s policy.Scope, q query.Sole) (map[string]int64, error) {
	by := map[string]map[string]bool{}
	for _, e := range l.match(s, q.Count) {
		k := e.asset
		if q.Measure == query.AssetDays {
			k += e.day.String()
		}
		if by[k] == nil {
			by[k] = map[string]bool{}
		}
		by[k][cmp.Or(q.Witness[e.dims[query.DimFeed]], e.dims[query.DimFeed])] = true
	}
	out := map[string]int64{}
	for _, ws := range by {
		if len(ws) == 1 {
			for w := range ws {
				out[w]++
			}
		}
	}
	return out, nil
}

func (l *land) Matched(_ context.Context, s policy.Scope, q query.Matched) ([]query.Cluster, error) {
	on := map[query.FeedDay]bool{}
	own := map[query.FeedDay]bool{}
	for _, d := range q.Days {
		on[d] = true
		if d.ASN != 0 {
			own[query.FeedDay{Feed: d.Feed, ASN: d.ASN}] = true
		}
	}
	for _, d := range q.Alone {
		own[d] = true
	}
	sets := map[uint32]map[string]bool{}
	n := map[uint32]int64{}
	for _, e := range l.match(s, query.Count{Period: query.Period{From: -1 << 20, To: 1 << 20}, Class: q.Class, Where: q.Where}) {
		var asn uint32
		_, _ = fmt.Sscan(e.dims[query.DimASN], &asn)
		d := query.FeedDay{Feed: e.dims[query.DimFeed], Day: e.day}
		if own[query.FeedDay{Feed: d.Feed, ASN: asn}] {
			d.ASN = asn
		}
		if !on[d] || slices.Contains(q.Not, query.FeedFamily{Feed: d.Feed, Family: e.dims[query.DimFamily]}) {
			continue
		}
		k := e.asset
		if q.Measure == query.AssetDays {
			k += e.day.String()
		}
		if sets[asn] == nil {
			sets[asn] = map[string]bool{}
		}
		if q.Measure == query.EventRows || !sets[asn][k] {
			n[asn]++
		}
		sets[asn][k] = true
	}
	var out []query.Cluster
	for _, asn := range slices.Sorted(maps.Keys(n)) {
		out = append(out, query.Cluster{ASN: asn, N: n[asn]})
	}
	return out, nil
}

func (l *land) Controlled(_ context.Context, _ policy.Scope, q query.Control) (query.Controlled, error) {
	c := l.control
	if len(q.Where) > 1 { // hosting
		c = query.Controlled{Daily: make([]int64, q.Period.Days()), EvidenceDaily: make([]int64, q.Period.Days())}
	}
	return c, nil
}

func (l *land) Sightings(_ context.Context, s policy.Scope, q query.Count, f func([]query.Seen)) error {
	by := map[string][]query.Seen{}
	for _, e := range l.match(s, q) {
		t, _ := event.ParseType(e.dims[query.DimType])
		by[e.asset] = append(by[e.asset], query.Seen{Asset: event.Hash([]byte(e.asset)), Day: e.day, Feed: e.dims[query.DimFeed], Type: t})
	}
	for _, a := range slices.Sorted(maps.Keys(by)) {
		slices.SortStableFunc(by[a], func(x, y query.Seen) int { return int(x.Day - y.Day) })
		f(by[a])
	}
	return nil
}

func (l *land) Episodes(_ context.Context, _ policy.Scope, q query.Episodes) (figure.EpisodeCounts, error) {
	c := l.episodes
	if c.Covering == nil {
		n := q.Period.Days()
		c.Covering, c.Begun, c.Uncounted, c.Closed = make([]int64, n), make([]int64, n), make([]int64, n), make([]int64, n)
	}
	return c, nil
}

func (l *land) Spells(context.Context, policy.Scope, query.Episodes) (figure.Spells, error) {
	return l.spells, nil
}

func (l *land) Network(asn uint32) figure.Network { return l.networks[asn] }
func (l *land) Users(asn uint32) (float64, bool)  { return 1000, asn < 130 }
func (l *land) AllUsers() float64                 { return 40_000 }
func days(from, to string) query.Period           { return query.Period{From: day(from), To: day(to)} }

func eventsOf(l *land, f func(e *seen) bool) []seen {
	return slices.DeleteFunc(slices.Clone(l.list), func(e seen) bool { return !f(&e) })
}

// twoYears is a country in which feed a sees A networks grow by a fifth and B
// networks shrink by a fifth, and feed c joins and sees as much again: example
// A 1000 to 1200, B 500 to 400, C new 900.
func twoYears() *land {
	l := &land{looks: map[string][]query.Period{
		"a": {days("2025-10-01", "2026-12-31")}, "b": {days("2025-10-01", "2026-12-31")}, "c": {days("2026-09-01", "2026-12-31")},
	}}
	put := func(d event.Day, feed string, asn, n, offset int) {
		for i := range n {
			l.list = append(l.list, seen{d, event.ClassInfection, fmt.Sprintf("192.0.%d.%d", asn, i+offset), map[query.Dim]string{
				query.DimASN: strconv.Itoa(asn), query.DimFeed: feed, query.DimCountry: "XS", query.DimFamily: "mirai", query.DimOrganisation: fmt.Sprintf("o%d", asn),
			}})
		}
	}
	for _, y := range []struct {
		day     string
		a, b, c int
	}{{"2025-11-10", 50, 25, 0}, {"2026-11-10", 60, 20, 45}} {
		for asn := range 20 {
			for i := range 3 {
				put(day(y.day)+event.Day(i), "a", 100+asn, y.a, 0)
				put(day(y.day)+event.Day(i), "b", 200+asn, y.b, 0)
				put(day(y.day)+event.Day(i), "c", 300+asn, y.c, 0)
			}
		}
	}
	return l
}

func statement(t *testing.T, l *land, p query.Period) *figure.Statement {
	t.Helper()
	s, err := figure.MakeStatement(t.Context(), l, policy.Local(), figure.Params{Period: p, Home: "XS", Since: day("2025-10-01")}, figure.Extra{HomeName: "Simuland", Simulated: true})
	if err != nil {
		t.Fatal(err)
	}
	return &s
}

func nearly(t *testing.T, what string, got *figure.Decimal, want float64) {
	t.Helper()
	if got == nil || float64(*got) < want-.005 || float64(*got) > want+.005 {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

func TestYear(t *testing.T) {
	t.Parallel()
	p := days("2026-11-10", "2026-11-12")
	l := twoYears()
	s := statement(t, l, p)
	r := s.Record("infected-addresses-home")
	c := r.Comparability
	nearly(t, "value", r.Value, 2500)
	nearly(t, "raw", c.Raw, 2500.0/1500)
	if !c.OK {
		t.Fatalf("refused: %s %s", c.Test, c.Why)
	}
	nearly(t, "matched", c.Ratio, 1600.0/1500)
	if w := c.Waterfall; w.Then != 1500 || w.Exits != 0 || w.MatchedThen != 1500 || w.MatchedNow != 1600 || w.Entries != 900 || w.Now != 2500 {
		t.Errorf("waterfall %+v", w)
	}
	if c.MatchedDays != 6 || c.Clusters != 40 {
		t.Errorf("%d days, %d networks", c.MatchedDays, c.Clusters)
	}
	if !slices.Equal(r.Coverage.Gained, []string{"c"}) || len(r.Coverage.Lost) != 0 {
		t.Errorf("coverage %+v", r.Coverage)
	}
	if got := r.Sensitivity[0]; got.Range != (figure.Range{1300, 2100}) {
		t.Errorf("without each witness: %+v", got)
	}
	if !strings.Contains(s.Sentences[4].Printed, "67 % more") {
		t.Errorf("printed %q", s.Sentences[4].Printed)
	}

	// An outage of a last year takes the day out of both years.
	l = twoYears()
	l.looks["a"] = []query.Period{days("2025-10-01", "2025-11-10"), days("2025-11-12", "2026-12-31")}
	l.list = eventsOf(l, func(e *seen) bool {
		return (e.day != day("2025-11-11") || e.dims[query.DimFeed] != "a") && e.dims[query.DimFeed] != "c"
	})
	c = statement(t, l, p).Record("infected-addresses-home").Comparability
	nearly(t, "with an outage", c.Ratio, (2*1200+3*400)/float64(2*1000+3*500))
	if w := c.Waterfall; w.Exits != 0 || w.Entries != 400 {
		t.Errorf("waterfall %+v", w)
	}

	// What both feeds see is one address.
	l = twoYears()
	for _, e := range eventsOf(l, func(e *seen) bool { return e.dims[query.DimFeed] == "a" }) {
		e.dims = maps.Clone(e.dims)
		e.dims[query.DimFeed] = "b"
		l.list = append(l.list, e)
	}
	nearly(t, "seen by both", statement(t, l, p).Record("infected-addresses-home").Comparability.Ratio, 1600.0/1500)

	// Refusals.
	for _, x := range []struct {
		name, test string
		change     func(*land)
	}{
		{"a new witness sees most", "matched", func(l *land) {
			l.list = eventsOf(l, func(e *seen) bool { return e.dims[query.DimFeed] != "a" })
		}},
		{"a suspected break", "break", func(l *land) {
			l.breaks = []query.Break{{Witness: "a", Class: event.ClassInfection, Day: day("2026-03-01"), State: query.BreakSuspected}}
		}},
		{"a confirmed break leaves too little", "matched", func(l *land) {
			l.breaks = []query.Break{{Witness: "a", Class: event.ClassInfection, Day: day("2026-03-01"), State: query.BreakConfirmed}}
		}},
		{"a confirmed break of a family leaves too little", "matched", func(l *land) {
			l.breaks = []query.Break{{Witness: "a", Family: "mirai", Class: event.ClassInfection, Day: day("2026-03-01"), State: query.BreakConfirmed}}
		}},
		{"few networks", "clusters", func(l *land) {
			l.list = eventsOf(l, func(e *seen) bool { return e.dims[query.DimASN] == "100" || e.dims[query.DimASN] == "201" })
		}},
	} {
		l := twoYears()
		x.change(l)
		c := statement(t, l, p).Record("infected-addresses-home").Comparability
		if c.OK || c.Test != x.test || c.Ratio != nil || c.Interval != nil || c.Why == "" {
			t.Errorf("%s: %+v, want it refused by %s", x.name, c, x.test)
		}
	}
	for _, x := range []query.Break{
		{Witness: "a", Class: event.ClassInfection, Day: day("2026-03-01"), State: query.BreakDismissed},
		{Witness: "a", Class: event.ClassSite, Day: day("2026-03-01"), State: query.BreakSuspected},
		{Witness: "a", Class: event.ClassInfection, Day: day("2025-11-01"), State: query.BreakSuspected},
		{Witness: "c", Class: event.ClassInfection, Day: day("2026-10-01"), State: query.BreakConfirmed},
		{Witness: "a", Class: event.ClassInfection, Family: "other", Day: day("2026-10-01"), State: query.BreakConfirmed},
	} {
		l := twoYears()
		l.breaks = []query.Break{x}
		if c := statement(t, l, p).Record("infected-addresses-home").Comparability; !c.OK {
			t.Errorf("%+v: refused by %s", x, c.Test)
		}
	}
	if c := statement(t, twoYears(), days("2025-11-10", "2025-11-12")).Record("infected-addresses-home").Comparability; c.OK || c.Test != "data" {
		t.Errorf("before there was data: %+v", c)
	}
}

func TestLastYear(t *testing.T) {
	t.Parallel()
	for _, x := range [][4]string{
		{"2026-11-01", "2026-11-30", "2025-11-01", "2025-11-30"},
		{"2028-02-29", "2028-03-02", "2027-03-01", "2027-03-02"},
		{"2028-02-01", "2028-02-29", "2027-02-01", "2027-02-28"},
		{"2027-02-01", "2027-03-01", "2026-02-01", "2026-03-01"},
	} {
		if got := figure.LastYear(days(x[0], x[1])); got != days(x[2], x[3]) {
			t.Errorf("%s to %s: %v", x[0], x[1], got)
		}
	}
}

// republic has something of everything.
func republic() *land {
	l := twoYears()
	r := rand.New(rand.NewPCG(3, 5))
	for _, y := range []string{"2025-11-10", "2026-11-10"} {
		for i := range 300 {
			d := day(y) + event.Day(r.IntN(3))
			asn := strconv.Itoa(100 + i%30)
			for _, f := range []string{"a", "b"} {
				if r.IntN(2) > 0 {
					continue
				}
				dims := map[query.Dim]string{query.DimASN: asn, query.DimFeed: f, query.DimCountry: "XS", query.DimType: []string{"phishing", "malware-distribution"}[i%2], query.DimOrganisation: fmt.Sprintf("o%d", i%30)}
				if i%10 == 0 {
					dims[query.DimSector] = "government"
				}
				l.list = append(l.list, seen{d, event.ClassSite, fmt.Sprintf("s%d.example", i), dims})
			}
			l.list = append(l.list,
				at(d.String(), event.ClassAttempt, fmt.Sprintf("203.0.113.%d", i%200), "feed", "b", "country", "XA", "asn", "64999"),
				at(d.String(), event.ClassController, fmt.Sprintf("203.0.113.%d", i%9), "feed", "a", "country", []string{"XA", "XB", "XS"}[i%3], "asn", "64999"),
				at(d.String(), event.ClassExposure, fmt.Sprintf("192.0.%d.9:23/tcp", i%30), "feed", "a", "country", "XS", "asn", asn))
		}
	}
	for _, e := range slices.Clone(l.list) { // a network whose hosts are seen often
		if e.class == event.ClassInfection && e.dims[query.DimASN] == "102" {
			l.list = append(l.list, e, e)
		}
	}
	l.control = query.Controlled{
		Daily: []int64{40, 50, 60}, EvidenceDaily: []int64{70, 80, 90}, Distinct: 100, Evidence: 150, Undetermined: 10, AtHome: 40, Feeds: []string{"b"},
		Countries: []query.ControllerCountry{{CC: "XA", Exclusive: 60, Shared: 20, Total: 80, Mean: 30, DaySum: 90}, {CC: "XB", Exclusive: 20, Shared: 20, Total: 40, Mean: 20, DaySum: 60}},
	}
	l.episodes = figure.EpisodeCounts{
		Covering: []int64{900, 950, 1000}, Begun: []int64{100, 90, 80}, Uncounted: []int64{5, 0, 0}, Closed: []int64{50, 40, 0},
		Half: figure.EpisodeTotals{Covering: 880, Begun: 300}, Double: figure.EpisodeTotals{Covering: 1010, Begun: 240}, Known: true,
	}
	for i := range 40 {
		x := estimate.Spell{After: float64(i % 9), Until: float64(i%9 + 3)}
		if i%5 == 0 {
			x.Until = inf
		}
		l.spells.List = append(l.spells.List, x)
	}
	l.spells.Stable, l.spells.Others = 40, 7
	var leases []estimate.Duration
	for i := range 60 {
		leases = append(leases, estimate.Duration{Days: 20 + float64(i), Weight: 1})
	}
	l.networks = map[uint32]figure.Network{
		100: {Known: true, Static: true}, 101: {Known: true, Shared: true},
		102: {Known: true, Pool: 65536, Leases: leases, Plausible: [][]estimate.Duration{{{Days: 10, Weight: 1}}}},
		103: {Known: true, Pool: 100, Leases: leases},
	}
	return l
}

func TestStatement(t *testing.T) {
	t.Parallel()
	s := statement(t, republic(), days("2026-11-10", "2026-11-12"))
	b, err := s.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	var pretty bytes.Buffer
	if err := json.Indent(&pretty, b, "", "\t"); err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/statement.json", pretty.Bytes())
	var back figure.Statement
	if err := json.Unmarshal(b, &back); err != nil {
		t.Fatal(err)
	}
	for _, r := range s.Records {
		if (r.Value == nil) == (r.Refusal == nil) {
			t.Errorf("%s has both or neither, a number and a refusal", r.ID)
		}
		if r.Value != nil && !r.Publishable() {
			t.Errorf("%s is not publishable: %v", r.ID, r.NotMet)
		}
		for _, l := range r.Breakdown {
			if l.Kind == figure.Partition && r.ID != "hosts-controlled-abroad" && r.Value != nil && l.Sum != *r.Value {
				t.Errorf("%s by %s sums to %v, the value is %v", r.ID, l.By, l.Sum, *r.Value)
			}
		}
		if strings.Contains(strings.ToLower(r.Unit+r.Title), "computer") {
			t.Errorf("%s: never computers", r.ID)
		}
	}
	c := s.Record("hosts-controlled-abroad")
	nearly(t, "controlled", c.Value, 50)
	if c.Breakdown[0].Overlap != 20 {
		t.Errorf("overlap %v", c.Breakdown[0].Overlap)
	}
}

// TestOnlyWhatDepends changes one thing at a time and looks which records
// change.
func TestOnlyWhatDepends(t *testing.T) {
	t.Parallel()
	p := days("2026-11-10", "2026-11-12")
	all := func(l *land) map[string]string {
		m := map[string]string{}
		for _, r := range statement(t, l, p).Records {
			b, err := json.Marshal(r)
			if err != nil {
				t.Fatal(err)
			}
			m[r.ID] = string(b)
		}
		return m
	}
	base := all(republic())
	infected := []string{"infected-addresses-home", "infected-hosts", "hosts-controlled-abroad", "organisations-affected", "infections-begun", "infections-ended"} // the last two say which share of the addresses they speak of
	sites := []string{"hacked-sites-home", "hacked-sites-all", "organisations-affected"}
	for _, x := range []struct {
		name    string
		change  func(*land)
		depends []string
	}{
		{"an infection at home", func(l *land) {
			for i := range 200 {
				l.list = append(l.list, at("2026-11-11", event.ClassInfection, fmt.Sprintf("198.18.102.%d", i), "feed", "a", "country", "XS", "asn", "102", "organisation", "o102"))
			}
		}, infected},
		{"an infection abroad", func(l *land) {
			l.list = append(l.list, at("2026-11-11", event.ClassInfection, "192.0.102.250", "feed", "a", "country", "XA", "asn", "102"))
		}, nil},
		{"an infection on another day", func(l *land) {
			l.list = append(l.list, at("2026-11-13", event.ClassInfection, "192.0.102.250", "feed", "a", "country", "XS", "asn", "102"))
		}, nil},
		{"an infection of last year", func(l *land) {
			l.list = append(l.list, at("2025-11-11", event.ClassInfection, "192.0.102.250", "feed", "a", "country", "XS", "asn", "102"))
		}, []string{"infected-addresses-home"}},
		{"a site", func(l *land) {
			l.list = append(l.list, at("2026-11-11", event.ClassSite, "new.example", "feed", "a", "country", "XS", "asn", "102", "type", "phishing", "organisation", "o102"))
		}, sites},
		{"a controller abroad", func(l *land) {
			l.list = append(l.list, at("2026-11-11", event.ClassController, "203.0.113.99", "feed", "a", "country", "XA"))
		}, []string{"controllers-abroad"}},
		{"an attempt", func(l *land) {
			l.list = append(l.list, at("2026-11-11", event.ClassAttempt, "203.0.113.99", "feed", "a", "country", "XA", "asn", "64999"))
		}, []string{"attack-attempts-seen"}},
		{"a network's pool", func(l *land) {
			n := l.networks[102]
			n.Pool = 10
			l.networks[102] = n
		}, []string{"infected-hosts"}},
		{"an episode", func(l *land) { l.episodes.Begun = []int64{101, 90, 80} }, []string{"infections-begun"}},
		{"a spell", func(l *land) { l.spells.List = append(l.spells.List, estimate.Spell{After: 90, Until: 95}) }, []string{"time-to-clean"}},
		{"a break", func(l *land) {
			l.breaks = []query.Break{{Witness: "a", Class: event.ClassExposure, Day: day("2026-03-01"), State: query.BreakSuspected}}
		}, []string{"exposed-services-home"}},
	} {
		l := republic()
		x.change(l)
		var changed []string
		for id, b := range all(l) {
			if b != base[id] {
				changed = append(changed, id)
			}
		}
		slices.Sort(changed)
		slices.Sort(x.depends)
		if !slices.Equal(changed, x.depends) {
			t.Errorf("%s changes %v, want %v", x.name, changed, x.depends)
		}
	}
	// A day without a look changes whatever has the feed in its panel.
	l := republic()
	l.looks["c"] = []query.Period{days("2026-09-01", "2026-11-10"), days("2026-11-12", "2026-12-31")}
	for id, b := range all(l) {
		if (b == base[id]) != (id == "hosts-controlled-abroad") { // its panel is feed b alone
			t.Errorf("a day without feed c: %s", id)
		}
	}
}

func TestNoPairs(t *testing.T) {
	t.Parallel()
	l := republic()
	l.control = query.Controlled{Daily: make([]int64, 3), EvidenceDaily: make([]int64, 3)}
	s := statement(t, l, days("2026-11-10", "2026-11-12"))
	r := s.Record("hosts-controlled-abroad")
	if r.Value != nil || r.Refusal == nil || r.Refusal.Test != "pairs" || !strings.Contains(s.Sentences[1].Text, "Not measurable with these feeds") {
		t.Errorf("%+v %q", r, s.Sentences[1].Text)
	}
}

func TestWords(t *testing.T) {
	t.Parallel()
	for f, want := range map[float64]string{0: "0", 9.96: "10.0", 3: "3", 3.25: "3.2", 999: "999", 1000: "1\u202f000", 1234567.8: "1\u202f234\u202f568", -.3: "-0.3", -1200: "-1\u202f200", inf: "no number"} {
		if got := figure.Words(figure.Decimal(f)); got != want {
			t.Errorf("%v: %q, want %q", f, got, want)
		}
	}
}
