package store

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"tocsin/internal/coverage"
	"tocsin/internal/event"
	"tocsin/internal/policy"
	"tocsin/internal/query"
)

// openWatched opens a store whose feeds are set up.
func openWatched(t testing.TB, dir string, feeds func() []coverage.Feed) *Store {
	t.Helper()
	s, err := Open(t.Context(), slog.New(slog.DiscardHandler), DefaultConfig(dir), Deps{
		Clock: func() time.Time { return time.Unix(1_790_000_000, 0) }, Feeds: feeds,
		ClassOf: func(report string) (event.Class, bool) { return event.ClassInfection, report == "empty" },
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// loadAll loads copies of the parts.
func loadAll(t *testing.T, s *Store, parts []*Part) {
	t.Helper()
	list := make([]*Part, len(parts))
	for i, p := range parts {
		list[i] = clone(p)
	}
	if err := s.Load(t.Context(), list...); err != nil {
		t.Fatal(err)
	}
}

// reported is the days on which each feed reported anything, by what the parts
// hold.
func reported(parts []*Part) map[string]map[event.Day]bool {
	out := map[string]map[event.Day]bool{}
	for _, p := range parts {
		m := out[p.Delivery.Feed]
		if m == nil {
			m = map[event.Day]bool{}
			out[p.Delivery.Feed] = m
		}
		for i := range p.Events {
			m[p.Events[i].Day()] = true
		}
	}
	return out
}

// looksOf is the looks of each witness at a class on all days, by the store's
// own word.
func looksOf(t *testing.T, s *Store, p query.Period) map[string][]query.Look {
	t.Helper()
	rows, err := s.Coverage(t.Context(), nil, p)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]query.Look{}
	for _, r := range rows {
		if r.ASN == 0 {
			out[fmt.Sprintf("%s %s", r.Witness, r.Class)] = r.Days
		}
	}
	return out
}

// checkEpisode says of an episode whether its state and its beginning are as
// the days say, written out.
func checkEpisode(t *testing.T, e query.Episode, looks map[string][]query.Look, p query.Period, newest event.Day) {
	t.Helper()
	through := p.From
	for k, l := range looks {
		if strings.HasSuffix(k, " "+e.Class.String()) {
			for i, x := range l {
				if x == query.Present {
					through = max(through, p.From+event.Day(i))
				}
			}
		}
	}
	closed, open, incident := false, false, false
	for _, w := range e.Witnesses {
		days := looks[fmt.Sprintf("%s %s", w.Feed, e.Class)]
		at := func(d event.Day) query.Look {
			if d < p.From || d > p.To {
				return query.NotExpected
			}
			return days[d-p.From]
		}
		for d := e.Last + event.Day(w.Gap) + 1; d <= newest; d++ {
			closed = closed || at(d) == query.Present
		}
		open = open || e.Last+event.Day(w.Gap) >= through
		if w.First != e.First {
			continue
		}
		// Back from the first day: gap days of looking, outages of at most gap
		// days among them, none longer.
		ok, away := true, 0
		d := e.First - 1
		for ; d >= e.First-event.Day(w.Gap) || away > 0; d-- {
			if d < p.From {
				ok = false
				break
			}
			if at(d) == query.Present {
				away = 0
				continue
			}
			if away++; away > w.Gap {
				ok = false
				break
			}
		}
		incident = incident || ok
	}
	want := query.EpisodeCensored
	if closed {
		want = query.EpisodeClosed
	} else if open {
		want = query.EpisodeOpen
	}
	if e.State != want {
		t.Fatalf("%s, want %s: %s", e.State, want, line(e))
	}
	if e.Incident != incident {
		t.Fatalf("incident %v, want %v: %s", e.Incident, incident, line(e))
	}
}

// TestWatched holds the states and beginnings of episodes, the filters on them,
// and the counts by day against the looks, day by day, with feeds that are
// witnesses of their own and with two that are one.
func TestWatched(t *testing.T) {
	t.Parallel()
	parts := seasons(rand.New(rand.NewPCG(3, 7)), 3, 600)
	parts = slices.DeleteFunc(parts, func(p *Part) bool { // an outage of all for longer than any gap
		d := p.Events[0].Day() - day0
		return d > 45 && d < 63
	})
	var set []coverage.Feed
	s := openWatched(t, t.TempDir(), func() []coverage.Feed { return set })
	defer s.Close()
	loadAll(t, s, parts)
	derive(t, s)
	bounds, _ := s.Bounds()
	raw := reported(parts)
	for _, set = range [][]coverage.Feed{
		nil,
		{{Name: "feed0", Schedule: coverage.None}, {Name: "feed1", Schedule: coverage.Daily}, {Name: "feed2", Schedule: coverage.Weekly}},
		{{Name: "feed0", Upstream: "scanner"}, {Name: "feed1"}, {Name: "feed2", Upstream: "scanner"}},
	} {
		looks := looksOf(t, s, bounds)
		all := allEpisodes(t, s, policy.Local(), query.Episodes{})
		n := map[string]int{}
		for _, e := range all {
			checkEpisode(t, e, looks, bounds, bounds.To)
			n[string(e.State)]++
			n[strconv.FormatBool(e.Incident)]++
			if e.State != query.EpisodeClosed {
				continue
			}
			// Nobody's silence closes anything: one that saw it reported something later.
			later := false
			for _, w := range e.Witnesses {
				feeds := []string{w.Feed}
				for _, f := range w.Feeds {
					feeds = append(feeds, f.Feed)
				}
				if w.Feed == "scanner" {
					feeds = []string{"feed0", "feed2"}
				}
				for _, f := range feeds {
					for d := range raw[f] {
						later = later || d > e.Last+event.Day(w.Gap)
					}
				}
			}
			if !later {
				t.Fatalf("closed by silence: %s", line(e))
			}
		}
		if n["closed"] == 0 || n["open"] == 0 || n["true"] == 0 || n["false"] == 0 {
			t.Errorf("%v: the test shows too little", n)
		}
		for _, yes := range []bool{true, false} {
			if got := allEpisodes(t, s, policy.Local(), query.Episodes{Incident: &yes}); len(got) != n[strconv.FormatBool(yes)] {
				t.Errorf("incident %v: %d episodes, want %d", yes, len(got), n[strconv.FormatBool(yes)])
			}
		}
		for _, state := range query.EpisodeStates {
			if got := allEpisodes(t, s, policy.Local(), query.Episodes{State: state}); len(got) != n[string(state)] {
				t.Errorf("%s: %d episodes, want %d", state, len(got), n[string(state)])
			}
		}
		checkDays(t, s)
		checkSensitivity(t, s)
	}
}

// checkDays compares the counts by day with the rows.
func checkDays(t *testing.T, s *Store) {
	t.Helper()
	p := query.Period{From: day0 + 20, To: day0 + 90}
	for name, scope := range map[string]policy.Scope{"all": policy.Local(), "uni": policy.For("uni", policy.Organisation, []string{"uni"}, nil, true)} {
		for _, q := range []query.Episodes{
			{Period: p},
			{Period: p, Classes: []event.Class{event.ClassInfection}, Where: []query.Cond{{Dim: query.DimASN, Value: "64501"}}},
			{Period: p, State: query.EpisodeClosed, Where: []query.Cond{{Dim: query.DimFeed, Value: "feed1"}}},
		} {
			n := p.Days()
			prevalence, starts, uncounted, ends := make([]int64, n), make([]int64, n), make([]int64, n), make([]int64, n)
			sum := int64(0)
			for _, e := range allEpisodes(t, s, scope, q) {
				for d := p.From; d <= p.To; d++ {
					i := d - p.From
					if e.First <= d && d <= e.Last {
						prevalence[i]++
						sum++
					}
					if e.First == d && e.Incident {
						starts[i]++
					}
					if e.First == d && !e.Incident {
						uncounted[i]++
					}
					if e.Last == d && e.State == query.EpisodeClosed {
						ends[i]++
					}
				}
			}
			a, b, c, d, err := s.EpisodeDays(t.Context(), scope, q)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(a, prevalence) || !slices.Equal(b, starts) || !slices.Equal(c, uncounted) || !slices.Equal(d, ends) {
				t.Errorf("%s %+v:\n%v\n%v\n%v\n%v, want\n%v\n%v\n%v\n%v", name, q, a, b, c, d, prevalence, starts, uncounted, ends)
			}
			if sum == 0 {
				t.Errorf("%s %+v: nothing is counted", name, q)
			}
		}
	}
}

// checkSensitivity compares the gaps as they are with the episodes that are
// stored, and looks which way longer ones lead.
func checkSensitivity(t *testing.T, s *Store) {
	t.Helper()
	p := query.Period{From: day0 + 20, To: day0 + 90}
	s.derive.slice = 300
	list, err := s.Sensitivity(t.Context(), policy.Local(), event.ClassInfection, p, nil)
	if err != nil {
		t.Fatal(err)
	}
	prevalence, starts, uncounted, _, err := s.EpisodeDays(t.Context(), policy.Local(), query.Episodes{Period: p, Classes: []event.Class{event.ClassInfection}})
	if err != nil {
		t.Fatal(err)
	}
	want := query.EpisodeGaps{Factor: 1, Prevalence: float64(total(prevalence)) / float64(p.Days()), Starts: total(starts), Uncounted: total(uncounted)}
	if len(list) != 3 || list[1] != want {
		t.Errorf("%+v, want %+v in the middle", list, want)
	}
	slowly, err := s.sensitivitySlowly(t.Context(), policy.Local(), event.ClassInfection, p, nil)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(list, slowly) {
		t.Errorf("%+v, from the sightings %+v", list, slowly)
	}
	if list[0].Prevalence >= list[1].Prevalence || list[1].Prevalence >= list[2].Prevalence {
		t.Errorf("longer gaps do not make longer episodes: %+v", list)
	}
}

func total(l []int64) (n int64) {
	for _, x := range l {
		n += x
	}
	return n
}

// TestEmptyReport lets a feed see an infection, deliver reports without a row,
// and these close the episode; those whose names do not say the day do not.
func TestEmptyReport(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		report, name string
		arrived      event.Day
		want         query.EpisodeState
	}{
		{"empty", fmt.Sprintf("%s-empty.csv", day0+30), day0 + 31, query.EpisodeClosed},
		{"empty", `C:\in\` + fmt.Sprintf("%s-empty.csv", day0+30), day0 + 31, query.EpisodeClosed},
		{"empty", "empty.csv", day0 + 31, query.EpisodeOpen},
		{"empty", fmt.Sprintf("%s-empty.csv", day0+30), day0 + 10, query.EpisodeOpen}, // of a day to come
		{"unknown", fmt.Sprintf("%s-empty.csv", day0+30), day0 + 31, query.EpisodeOpen},
	} {
		s := openWatched(t, t.TempDir(), nil)
		p := seasons(rand.New(rand.NewPCG(1, 9)), 1, 600)[0]
		p.Events, p.Notes = p.Events[:1], p.Notes[:1]
		p.Rows = 1
		p.Events[0].Type = event.MustType("infected-system")
		d := delivery(2, "feed0")
		d.Report, d.Name, d.At = tt.report, tt.name, tt.arrived.Time()
		if err := s.Load(t.Context(), p, &Part{Delivery: d, Enrichment: 1, Last: true}); err != nil {
			t.Fatal(err)
		}
		derive(t, s)
		if list := allEpisodes(t, s, policy.Local(), query.Episodes{}); len(list) != 1 || list[0].State != tt.want {
			t.Errorf("%+v: %s, want %s", tt, line(list[0]), tt.want)
		}
		s.Close()
	}
}

// TestLooksOverTime loads in another order, opens again and makes the sightings
// anew: who looked stays the same.
func TestLooksOverTime(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(4, 4))
	parts := seasons(r, 3, 600)
	dir := t.TempDir()
	s := openWatched(t, dir, nil)
	loadAll(t, s, parts)
	bounds, _ := s.Bounds()
	rows := func() string {
		list, err := s.Coverage(t.Context(), nil, bounds)
		if err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		for _, x := range list {
			fmt.Fprintf(&b, "%s %v %s %d %s %s\n", x.Witness, x.Feeds, x.Class, x.ASN, x.From, lookText(x.Days))
		}
		return b.String()
	}
	want := rows()
	if !strings.Contains(want, "feed2 [feed2]") {
		t.Fatal(want)
	}
	s.Close()
	s = openWatched(t, dir, nil)
	if got := rows(); got != want {
		t.Errorf("opened again:\n%s, want\n%s", got, want)
	}
	if err := s.Resight(t.Context(), "test", 0, nil, nil); err != nil {
		t.Fatal(err)
	}
	if got := rows(); got != want {
		t.Errorf("made anew:\n%s, want\n%s", got, want)
	}
	s.Close()
	r.Shuffle(len(parts), func(i, j int) { parts[i], parts[j] = parts[j], parts[i] })
	s = openWatched(t, t.TempDir(), nil)
	defer s.Close()
	for _, p := range parts {
		if err := s.Load(t.Context(), clone(p)); err != nil {
			t.Fatal(err)
		}
		if r.IntN(20) == 0 {
			rows() // what is kept must not stay
		}
	}
	if got := rows(); got != want {
		t.Errorf("in another order:\n%s, want\n%s", got, want)
	}
}

func lookText(l []query.Look) (b []byte) {
	for _, x := range l {
		b = append(b, byte(x))
	}
	return b
}

// TestFamilies counts the sightings of each family by witness in the obvious
// way: those of its feed that saw most on the day.
func TestFamilies(t *testing.T) {
	t.Parallel()
	parts := seasons(rand.New(rand.NewPCG(5, 5)), 3, 9000)
	s := openWatched(t, t.TempDir(), func() []coverage.Feed {
		return []coverage.Feed{{Name: "feed0", Upstream: "u"}, {Name: "feed1", Upstream: "u"}}
	})
	defer s.Close()
	loadAll(t, s, parts)
	p := query.Period{From: day0 + 5, To: day0 + 100}
	list, err := s.Families(t.Context(), []event.Class{event.ClassInfection}, p)
	if err != nil {
		t.Fatal(err)
	}
	if len(list) < 2 || list[0].Family != "" {
		t.Fatalf("%d families", len(list))
	}
	for _, f := range list {
		for w, days := range f.Days {
			for i, got := range days {
				seen := map[string]map[string]bool{} // by feed
				any := false
				for _, part := range parts {
					if (w == "u") != (part.Delivery.Feed != "feed2") {
						continue
					}
					for j := range part.Events {
						e := &part.Events[j]
						if e.Class() != event.ClassInfection || e.Day() != p.From+event.Day(i) {
							continue
						}
						any = true
						family := e.Family
						if family == "" {
							family = e.Identifier
						}
						if f.Family == "" || oneFamily(family) == f.Family {
							feed := part.Delivery.Feed
							if seen[feed] == nil {
								seen[feed] = map[string]bool{}
							}
							seen[feed][fmt.Sprint(e.Type, family, part.Notes[j].Asset.Key)] = true
						}
					}
				}
				want := int64(0)
				for _, x := range seen {
					want = max(want, int64(len(x)))
				}
				if got != want && (any || got != -1) && got+want != 0 {
					t.Fatalf("%q by %s on day %d: %d, want %d", f.Family, w, i, got, want)
				}
			}
		}
	}
}
