package store

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"tocsin/internal/episode"
	"tocsin/internal/event"
	"tocsin/internal/policy"
	"tocsin/internal/query"
)

// seasons makes deliveries over months in which assets fall ill, are seen by
// several feeds with rhythms of their own, and get well. What the last feed
// alone sees is lost from sight when that feed ends.
func seasons(r *rand.Rand, feeds int, rows int) []*Part {
	type ill struct {
		host, family, every int
		from, to            event.Day
	}
	var list []ill
	for range rows / 8 {
		from := event.Day(r.IntN(110))
		list = append(list, ill{r.IntN(rows / 12), r.IntN(4), 1 + r.IntN(9), from, from + event.Day(r.IntN(25))})
	}
	names := [][]string{{"mirai", "mirai", "mirai"}, {"qakbot", "qbot", "pinkslipbot"}, {"", "", ""}, {"zeus", "zbot", "zeus"}}
	types := []string{"infected-system", "infected-system", "vulnerable-system", "phishing", "c2-server"}
	var out []*Part
	seq := uint32(0)
	for feed := range feeds {
		rhythm := 1 + 2*feed
		byDay := map[event.Day][]ill{}
		for _, x := range list {
			for d := x.from; d <= x.to; d += event.Day(max(rhythm, x.every)) {
				alone, ended := x.host%5 == 0 && feed != feeds-1, feed == feeds-1 && d > 80
				if r.IntN(3) > 0 && !alone && !ended {
					byDay[d] = append(byDay[d], x)
				}
			}
		}
		days := make([]event.Day, 0, len(byDay))
		for d := range byDay {
			days = append(days, d)
		}
		slices.Sort(days)
		for _, d := range days {
			seq++
			p := &Part{Delivery: delivery(seq, fmt.Sprintf("feed%d", feed)), Enrichment: 1, Last: true, Rows: len(byDay[d])}
			if p.Delivery.At = (day0 + d + 1).Time(); seq%7 == 0 {
				p.Delivery.At = (day0 + d + 40).Time()
			}
			for i, x := range byDay[d] {
				e := event.Event{
					Delivery: seq, Row: uint32(i + 1), Report: "test", Type: event.MustType(types[(x.family+x.host)%len(types)]), Family: names[x.family][feed%3], Identifier: "thing",
					Time: int64(day0+d)*dayMicros + int64(i), Marking: []event.Marking{event.Green, event.Amber, event.Red}[feed%3], Confidence: event.NoConfidence,
					ID: event.Hash(fmt.Appendf(nil, "%d|%d|%d", feed, d, i)),
				}
				e.Source.IP = netip.AddrFrom4([4]byte{192, 0, byte(x.host >> 8), byte(x.host)})
				if x.host%7 == 0 {
					e.Source.IP = netip.MustParseAddr(fmt.Sprintf("2001:db8:%x::1", x.host))
				}
				e.Subject = event.Subject{Kind: event.SubjectAddress, Asset: event.AssetAddress, Role: event.RoleVictim}
				n := event.Annotation{Asset: event.AddressAsset(e.Source.IP), ASN: uint32(64500 + x.host%3), CC: "XS", Organisation: []string{"uni", "isp"}[x.host%2]}
				if e.Type == event.MustType("phishing") {
					e.Subject.Asset = event.AssetSite
					n.Domain = fmt.Sprintf("site%d.example", x.host)
					n.Asset = event.NamedAsset(event.AssetSite, n.Domain)
				}
				p.Events, p.Notes = append(p.Events, e), append(p.Notes, n)
			}
			out = append(out, p)
		}
	}
	return out
}

// allEpisodes returns every episode that the scope may see, page by page.
func allEpisodes(t *testing.T, s *Store, scope policy.Scope, q query.Episodes) []query.Episode {
	t.Helper()
	var all []query.Episode
	for {
		q.Limit, q.Offset = 1000, len(all)
		list, total, err := s.Episodes(t.Context(), scope, q)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, list...)
		if len(all) >= int(total) || len(list) == 0 {
			if len(all) != int(total) {
				t.Errorf("%d episodes on the pages, %d in all", len(all), total)
			}
			slices.SortFunc(all, func(a, b query.Episode) int { return slices.Compare(line(a), line(b)) })
			return all
		}
	}
}

func line(e query.Episode) []byte {
	b, err := json.Marshal(e)
	if err != nil {
		panic(err)
	}
	return b
}

func derive(t *testing.T, s *Store) Derived {
	t.Helper()
	var sum Derived
	for range 10 {
		d, err := s.Derive(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		sum.Assets += d.Assets
		sum.Whole = sum.Whole || d.Whole
		if n, whole := s.Underived(); n == 0 && !whole {
			return sum
		}
	}
	t.Fatal("the making of episodes does not end")
	return sum
}

// reference makes the episodes of the parts' events in the most obvious way.
func reference(parts []*Part) map[string]int {
	type key struct {
		class  event.Class
		typ    event.Type
		family string
		asset  event.ID
	}
	seen := map[key]map[string]map[event.Day]bool{} // by feed
	for _, p := range parts {
		for i := range p.Events {
			e := &p.Events[i]
			if !episode.Has(e.Class()) {
				continue
			}
			k := key{e.Class(), e.Type, e.Family, p.Notes[i].Asset.Key}
			if k.family == "" {
				k.family = e.Identifier
			}
			if k.class == event.ClassInfection || k.class == event.ClassController {
				k.typ = 0
				if one, ok := episode.Family(k.family); ok {
					k.family = one
				}
			}
			if seen[k] == nil {
				seen[k] = map[string]map[event.Day]bool{}
			}
			if seen[k][p.Delivery.Feed] == nil {
				seen[k][p.Delivery.Feed] = map[event.Day]bool{}
			}
			seen[k][p.Delivery.Feed][e.Day()] = true
		}
	}
	sorted := func(m map[event.Day]bool) []event.Day {
		var l []event.Day
		for d := range m {
			l = append(l, d)
		}
		slices.Sort(l)
		return l
	}
	var gaps episode.Gaps
	numbers := map[string]uint32{}
	number := func(w string) uint32 {
		if _, ok := numbers[w]; !ok {
			numbers[w] = uint32(len(numbers) + 1)
		}
		return numbers[w]
	}
	cond := func(k key) episode.Condition {
		return episode.Condition{Class: k.class, Type: k.typ, Family: number(k.family)}
	}
	for k, feeds := range seen {
		for f, days := range feeds {
			l := sorted(days)
			for i := 1; i < len(l); i++ {
				gaps.Of(cond(k), number(f)).Add(l[i]-l[i-1], 1)
			}
		}
	}
	table := gaps.Table()
	out := map[string]int{}
	for k, feeds := range seen {
		any, held := map[event.Day]bool{}, map[event.Day]bool{}
		for f, days := range feeds {
			g, _ := table.Gap(cond(k), number(f))
			for d := range days {
				any[d] = true
				for h := d + 1; h <= d+g; h++ {
					held[h] = true
				}
			}
		}
		var first, last event.Day
		n := 0
		write := func() {
			if n > 0 {
				out[fmt.Sprintf("%v|%s|%v|%d-%d|%d", k.class, k.family, k.asset, first, last, n)]++
			}
		}
		for _, d := range sorted(any) {
			whole := n > 0
			for x := last + 1; whole && x <= d; x++ {
				whole = held[x]
			}
			if !whole {
				write()
				first, n = d, 0
			}
			last = d
			n++
		}
		write()
	}
	return out
}

// TestEpisodes loads in pieces and in another order, makes episodes in between,
// opens the store again: the episodes are those of one making of everything,
// and those of the reference.
func TestEpisodes(t *testing.T) {
	t.Parallel()
	for seed := range uint64(2) {
		r := rand.New(rand.NewPCG(seed, 5))
		parts := seasons(r, 3, 600)
		all := open(t, t.TempDir())
		if seed == 1 { // in many slices, and many transactions
			all.derive.slice, all.derive.batch = 500, 50
		}
		if err := all.Load(t.Context(), func() (l []*Part) {
			for _, p := range parts {
				l = append(l, clone(p))
			}
			return l
		}()...); err != nil {
			t.Fatal(err)
		}
		if d := derive(t, all); !d.Whole {
			t.Error("the first making was not of everything")
		}
		want := allEpisodes(t, all, policy.Local(), query.Episodes{})
		ref := reference(parts)
		for _, e := range want {
			k := fmt.Sprintf("%v|%s|%v|%d-%d|%d", e.Class, e.Family, e.Asset, e.First, e.Last, e.Days)
			if ref[k]--; ref[k] < 0 {
				t.Fatalf("seed %d: %s is no episode of the reference", seed, k)
			}
		}
		for k, n := range ref {
			if n != 0 {
				t.Fatalf("seed %d: %s is missing", seed, k)
			}
		}
		checkStates(t, all, want)
		all.Close()

		dir := t.TempDir()
		s := open(t, dir)
		other := slices.Clone(parts)
		r.Shuffle(len(other), func(i, j int) { other[i], other[j] = other[j], other[i] })
		marked := 0
		for i, p := range other {
			if err := s.Load(t.Context(), clone(p)); err != nil {
				t.Fatal(err)
			}
			switch r.IntN(12) {
			case 0:
				if d, err := s.Derive(t.Context()); err != nil {
					t.Fatal(err)
				} else if !d.Whole {
					marked++
				}
			case 1:
				if i%3 == 0 {
					derive(t, s) // otherwise all is made anew
				}
				s.Close()
				s = open(t, dir)
				if _, whole := s.Underived(); i%3 == 0 && whole {
					t.Error("a store whose episodes were made wants them anew")
				}
			}
		}
		derive(t, s)
		got := allEpisodes(t, s, policy.Local(), query.Episodes{})
		if marked == 0 {
			t.Error("nothing was made in part: the test shows nothing of it")
		}
		if len(got) != len(want) {
			t.Fatalf("seed %d: %d episodes, want %d", seed, len(got), len(want))
		}
		for i := range got {
			if g, w := string(line(got[i])), string(line(want[i])); g != w {
				t.Fatalf("seed %d: episode %d is\n%s, want\n%s", seed, i, g, w)
			}
		}
		// Sightings made anew: so are the episodes.
		if err := s.Resight(t.Context(), "test", 0, nil, nil); err != nil {
			t.Fatal(err)
		}
		if !derive(t, s).Whole {
			t.Error("the episodes of sightings made anew were not made anew")
		}
		got = allEpisodes(t, s, policy.Local(), query.Episodes{})
		if !slices.EqualFunc(got, want, func(a, b query.Episode) bool { return slices.Equal(line(a), line(b)) }) {
			t.Errorf("seed %d: after sightings were made anew the episodes differ", seed)
		}
		s.Close()
	}
}

// checkStates asks for each state: every episode is in one, and the filters
// agree with the rows.
func checkStates(t *testing.T, s *Store, all []query.Episode) {
	t.Helper()
	n := 0
	for _, state := range query.EpisodeStates {
		list := allEpisodes(t, s, policy.Local(), query.Episodes{State: state})
		n += len(list)
		for _, e := range list {
			if e.State != state {
				t.Errorf("asked for %s: %s", state, line(e))
			}
		}
		if len(list) == 0 {
			t.Errorf("no episode is %s: the test shows nothing of it", state)
		}
	}
	if n != len(all) {
		t.Errorf("%d episodes have a state, of %d", n, len(all))
	}
	for _, q := range []query.Episodes{
		{Where: []query.Cond{{Dim: query.DimFeed, Value: "feed1"}}},
		{Where: []query.Cond{{Dim: query.DimFeed, Value: "feed1", Not: true}}},
		{Where: []query.Cond{{Dim: query.DimFamily, Value: "qakbot"}}},
		{Where: []query.Cond{{Dim: query.DimASN, Value: "64501"}, {Dim: query.DimOrganisation, Value: "uni"}}},
		{Classes: []event.Class{event.ClassSite}},
		{Period: query.Period{From: day0 + 20, To: day0 + 30}},
		{Period: query.Period{From: day0 + 20, To: day0 + 30}, Started: true},
		{Text: "qbot"},
		{Text: "192.0.0.0/24"},
		{Text: "AS64502"},
		{Text: "nothing of the kind"},
		{Text: all[0].AssetName},
		{Text: all[len(all)-1].AssetName},
	} {
		want := 0
		for _, e := range all {
			if holds(e, q) {
				want++
			}
		}
		got := allEpisodes(t, s, policy.Local(), q)
		if len(got) != want {
			t.Errorf("%+v: %d episodes, want %d", q, len(got), want)
		}
		if want == 0 && q.Text != "nothing of the kind" {
			t.Errorf("%+v selects nothing: the test shows nothing of it", q)
		}
	}
}

// holds is the reference of the conditions.
func holds(e query.Episode, q query.Episodes) bool {
	feeds := func(f string) bool {
		return slices.ContainsFunc(e.Witnesses, func(w query.Witness) bool { return w.Feed == f })
	}
	for _, c := range q.Where {
		is := map[query.Dim]bool{query.DimFeed: feeds(c.Value), query.DimFamily: e.Family == c.Value, query.DimASN: decimal(e.ASN) == c.Value, query.DimOrganisation: e.Org == c.Value}[c.Dim]
		if is == c.Not {
			return false
		}
	}
	if len(q.Classes) > 0 && !slices.Contains(q.Classes, e.Class) {
		return false
	}
	if p := q.Period; p != (query.Period{}) && (e.First > p.To || !q.Started && e.Last < p.From || q.Started && e.First < p.From) {
		return false
	}
	switch q.Text {
	case "":
		return true
	case "qbot":
		return e.Family == "qakbot" || e.Family == "qbot"
	case "192.0.0.0/24":
		a, err := netip.ParseAddr(e.AssetName)
		return err == nil && netip.MustParsePrefix(q.Text).Contains(a)
	case "AS64502":
		return e.ASN == 64502
	}
	return e.AssetName == q.Text
}

// TestEpisodesOfScope shows an organisation what the feeds that may be shown to
// it saw, and nothing of the others.
func TestEpisodesOfScope(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	defer s.Close()
	if err := s.Load(t.Context(), seasons(rand.New(rand.NewPCG(1, 6)), 3, 600)...); err != nil {
		t.Fatal(err)
	}
	derive(t, s)
	scope := policy.For("someone", policy.Organisation, []string{"uni"}, nil, true)
	list := allEpisodes(t, s, scope, query.Episodes{})
	narrowed := 0
	all := map[string]query.Episode{}
	for _, e := range allEpisodes(t, s, policy.Local(), query.Episodes{}) {
		for _, w := range e.Witnesses {
			all[fmt.Sprintf("%v%s%v%s%d", e.Class, e.Family, e.Asset, w.Feed, w.First)] = e
		}
	}
	for _, e := range list {
		if e.Org != "uni" || len(e.Witnesses) == 0 {
			t.Errorf("shown: %s", line(e))
		}
		for _, w := range e.Witnesses {
			if w.Feed == "feed2" {
				t.Errorf("a red witness is shown: %s", line(e))
			}
			whole := all[fmt.Sprintf("%v%s%v%s%d", e.Class, e.Family, e.Asset, w.Feed, w.First)]
			if whole.First < e.First || whole.Last > e.Last {
				narrowed++
			}
		}
	}
	if len(list) == 0 || narrowed == 0 {
		t.Errorf("%d episodes, of which %d are narrower: the test shows nothing", len(list), narrowed)
	}
}
