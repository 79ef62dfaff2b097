package store

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"tocsin/internal/event"
	"tocsin/internal/policy"
	"tocsin/internal/query"
)

// sighted makes a delivery of one row for each host and day.
func sighted(seq uint32, feed string, arrived event.Day, mark event.Marking, rows ...[2]int) *Part {
	p := &Part{Delivery: delivery(seq, feed), Enrichment: 1, Last: true, Rows: len(rows)}
	p.Delivery.At = (day0 + arrived).Time().Add(time.Hour)
	for i, x := range rows {
		host, day := x[0], event.Day(x[1])
		e := event.Event{
			Delivery: seq, Row: uint32(i + 1), Report: "test", Type: event.MustType("infected-system"), Family: "mirai", Time: int64(day0+day)*dayMicros + int64(i),
			Marking: mark, Confidence: event.NoConfidence, ID: event.Hash(fmt.Appendf(nil, "%d|%d", seq, i)),
		}
		e.Source.IP = netip.AddrFrom4([4]byte{192, 0, 2, byte(host)})
		e.Subject = event.Subject{Kind: event.SubjectAddress, Asset: event.AssetAddress, Role: event.RoleVictim}
		p.Events, p.Notes = append(p.Events, e), append(p.Notes, event.Annotation{Asset: event.AddressAsset(e.Source.IP), Organisation: "uni"})
	}
	return p
}

// TestRevised loads deliveries in every kind of order: what was late has
// changed the same.
func TestRevised(t *testing.T) {
	t.Parallel()
	parts := []*Part{
		sighted(1, "a", 2, event.Amber, [2]int{1, 0}, [2]int{1, 1}, [2]int{2, 1}, [2]int{5, 1}),
		sighted(2, "a", 13, event.Amber, [2]int{1, 12}, [2]int{2, 6}, [2]int{4, 12}),
		sighted(3, "b", 40, event.Red, [2]int{1, 7}, [2]int{3, 7}, [2]int{4, 9}), // 1: joins two; 3: late alone; 4: an earlier first day
		sighted(4, "a", 41, event.Amber, [2]int{2, 4}, [2]int{2, 6}),             // within, and a day that was seen in time
		sighted(5, "b", 42, event.Red, [2]int{1, 7}, [2]int{4, 14}),              // 1: brought before; 4: a later last day
		sighted(6, "a", 60, event.Amber, [2]int{5, 60}),
	}
	want := map[string]string{
		"192.0.2.1 0-12": "1 d3", "192.0.2.2 1-6": "0 ", "192.0.2.3 7-7": "0 ", "192.0.2.4 9-14": "2 d5", "192.0.2.5 1-1": "0 ", "192.0.2.5 60-60": "0 ",
	}
	check := func(s *Store, when string) {
		t.Helper()
		derive(t, s)
		got := allEpisodes(t, s, policy.Local(), query.Episodes{})
		if len(got) != len(want) {
			t.Errorf("%s: %d episodes, want %d", when, len(got), len(want))
		}
		revised := 0
		for _, e := range got {
			k := fmt.Sprintf("%s %d-%d", e.AssetName, e.First-day0, e.Last-day0)
			if x := fmt.Sprintf("%d %s", e.Revised, e.RevisedBy); want[k] != x {
				t.Errorf("%s: %s is %q, want %q", when, k, x, want[k])
			}
			if e.Revised > 0 {
				revised++
			}
		}
		if n := len(allEpisodes(t, s, policy.Local(), query.Episodes{Revised: true})); n != revised {
			t.Errorf("%s: asked for revised ones: %d, want %d", when, n, revised)
		}
		scope := policy.For("someone", policy.Organisation, []string{"uni"}, nil, true)
		for _, e := range allEpisodes(t, s, scope, query.Episodes{}) {
			if e.Revised > 0 || e.RevisedBy != "" {
				t.Errorf("%s: what a red witness has changed is shown: %s", when, line(e))
			}
		}
		if n := len(allEpisodes(t, s, scope, query.Episodes{Revised: true})); n != 0 {
			t.Errorf("%s: an organisation is shown %d revised ones", when, n)
		}
	}
	r := rand.New(rand.NewPCG(8, 8))
	for i := range 12 {
		s := open(t, t.TempDir())
		for _, p := range parts {
			if err := s.Load(t.Context(), clone(p)); err != nil {
				t.Fatal(err)
			}
			if r.IntN(2) == 0 {
				derive(t, s)
			}
		}
		check(s, fmt.Sprint("order ", i))
		if i%4 == 0 {
			if err := s.Resight(t.Context(), "test", 0, nil, nil); err != nil {
				t.Fatal(err)
			}
			check(s, "made anew")
		}
		s.Close()
		r.Shuffle(len(parts), func(i, j int) { parts[i], parts[j] = parts[j], parts[i] })
	}
}

// TestRevisedFirstDay has history that all came on the first day: nobody had
// been told otherwise.
func TestRevisedFirstDay(t *testing.T) {
	t.Parallel()
	s, err := Open(t.Context(), slog.New(slog.DiscardHandler), DefaultConfig(t.TempDir()), Deps{
		Clock: time.Now, Began: func() (event.Day, bool) { return day0 + 40, true },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Load(t.Context(), sighted(1, "a", 40, event.Amber, [2]int{1, 20}, [2]int{1, 24}, [2]int{1, 28}), sighted(2, "a", 41, event.Amber, [2]int{2, 22}, [2]int{2, 28})); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		derive(t, s)
		list := allEpisodes(t, s, policy.Local(), query.Episodes{Revised: true})
		if len(list) != 1 || list[0].AssetName != "192.0.2.2" || list[0].RevisedBy != "d2" {
			t.Errorf("%+v", list)
		}
		if err := s.Resight(t.Context(), "test", 0, nil, nil); err != nil {
			t.Fatal(err)
		}
	}
}

// TestMigrateLate opens a store of the schema before: its sightings are to be
// made anew, and then say what was late.
func TestMigrateLate(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	if err := s.Load(t.Context(), sighted(1, "a", 13, event.Amber, [2]int{1, 12}), sighted(2, "a", 40, event.Amber, [2]int{1, 9})); err != nil {
		t.Fatal(err)
	}
	derive(t, s)
	want := allEpisodes(t, s, policy.Local(), query.Episodes{Revised: true})
	for _, q := range []string{`ALTER TABLE episode DROP COLUMN revised`, `UPDATE sighting SET flags = flags & 7`, `UPDATE meta SET value = '2' WHERE key = 'schema'`} {
		if err := s.w.exec(q); err != nil {
			t.Fatal(err)
		}
	}
	s.Close()
	s = open(t, dir)
	defer s.Close()
	if !s.Dirty() {
		t.Error("the sightings are not made anew")
	}
	if err := s.Resight(t.Context(), "test", 0, nil, nil); err != nil {
		t.Fatal(err)
	}
	derive(t, s)
	got := allEpisodes(t, s, policy.Local(), query.Episodes{Revised: true})
	if len(want) != 1 || !slices.EqualFunc(got, want, func(a, b query.Episode) bool { return slices.Equal(line(a), line(b)) }) {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// TestGapsOfRows has rows of one day that differ in their marking come one
// after the other: how the sightings follow each other is counted once.
func TestGapsOfRows(t *testing.T) {
	t.Parallel()
	parts := []*Part{
		sighted(1, "a", 2, event.Green, [2]int{1, 0}, [2]int{1, 4}),
		sighted(2, "a", 5, event.Amber, [2]int{1, 4}),
		sighted(3, "a", 40, event.Amber, [2]int{1, 4}),
	}
	s := open(t, t.TempDir())
	defer s.Close()
	for _, p := range parts {
		if err := s.Load(t.Context(), p); err != nil {
			t.Fatal(err)
		}
		derive(t, s)
		n := int64(0)
		if err := s.w.each(func(r *rows) { n += at[int64](r, 0) }, `SELECT n FROM reobserved`); err != nil {
			t.Fatal(err)
		}
		if n != 1 {
			t.Errorf("after delivery %d: %d re-observations, want 1", p.Delivery.Seq, n)
		}
	}
}
