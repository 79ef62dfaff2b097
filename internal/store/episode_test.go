package store

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"tocsin/internal/event"
	"tocsin/internal/policy"
	"tocsin/internal/query"
)

// TestTimeline asks for every episode by a day in it and holds the days against
// the events.
func TestTimeline(t *testing.T) {
	t.Parallel()
	parts := seasons(rand.New(rand.NewPCG(3, 7)), 3, 400)
	s := open(t, t.TempDir())
	defer s.Close()
	if err := s.Load(t.Context(), parts...); err != nil {
		t.Fatal(err)
	}
	derive(t, s)
	type seenBy struct {
		asset event.ID
		feed  string
		day   event.Day
	}
	seen := map[seenBy]bool{}
	for _, p := range parts {
		for i := range p.Events {
			seen[seenBy{p.Notes[i].Asset.Key, p.Delivery.Feed, p.Events[i].Day()}] = true
		}
	}
	all := allEpisodes(t, s, policy.Local(), query.Episodes{})
	of := map[event.ID]int{}
	for _, e := range all {
		of[e.Asset]++
	}
	apart, joined, clean := 0, 0, 0
	for i := 0; i < len(all); i += 3 {
		e := all[i]
		x, err := s.Timeline(t.Context(), policy.Local(), query.EpisodeRef{Class: e.Class, Asset: e.Asset, Day: e.First + event.Day(i)%(e.Last-e.First+1), Family: e.Family, Type: e.TypeName})
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(line(x.Episode), line(e)) {
			t.Fatalf("%s, want %s", line(x.Episode), line(e))
		}
		if len(x.Others) != of[e.Asset]-1 {
			t.Errorf("%d other episodes, want %d", len(x.Others), of[e.Asset]-1)
		}
		days := map[event.Day]bool{}
		for j, w := range x.Witnesses {
			want := e.Witnesses[j]
			if w.Witness != want.Feed || len(w.Seen) != want.Days || w.Seen[0] != want.First || w.Seen[len(w.Seen)-1] != want.Last {
				t.Errorf("%s saw it on %v, want %+v", w.Witness, w.Seen, want)
			}
			for _, d := range w.Seen {
				days[d] = true
				if !seen[seenBy{e.Asset, w.Witness, d}] {
					t.Errorf("%s did not see it on %s", w.Witness, d)
				}
			}
			if w.Clean != nil {
				clean++
				if *w.Clean <= e.Last+event.Day(want.Gap) || e.State != query.EpisodeClosed {
					t.Errorf("clean on %s: %s", *w.Clean, line(e))
				}
			}
		}
		if len(days) != e.Days {
			t.Errorf("seen on %d days, want %d", len(days), e.Days)
		}
		if n := len(x.Half); n == 0 || x.Half[0].From != e.First || x.Half[n-1].To != e.Last {
			t.Errorf("half the gaps give %v of %s", x.Half, line(e))
		} else if n > 1 {
			apart++
		}
		if x.Twice.From > e.First || x.Twice.To < e.Last {
			t.Errorf("twice the gaps give %v of %s", x.Twice, line(e))
		} else if x.Twice != (query.Period{From: e.First, To: e.Last}) {
			joined++
		}
		if p := x.Line(); p.From > e.First || p.To < e.Last {
			t.Errorf("a line from %s to %s of %s", p.From, p.To, line(e))
		}
	}
	if apart == 0 || joined == 0 || clean == 0 {
		t.Errorf("%d fall apart, %d join, %d clean looks: the test shows nothing of one", apart, joined, clean)
	}
	e := all[0]
	for _, ref := range []query.EpisodeRef{
		{Class: e.Class, Asset: e.Asset, Day: e.First - 100},
		{Class: e.Class, Asset: e.Asset, Day: e.First, Family: "nothing of the kind"},
		{Class: event.ClassExposure, Asset: event.ID{Lo: 1}, Day: e.First},
	} {
		if _, err := s.Timeline(t.Context(), policy.Local(), ref); !errors.Is(err, query.ErrNotFound) {
			t.Errorf("%+v: %v", ref, err)
		}
	}
}

// TestTimelineOfScope shows an organisation the days of the witnesses that may
// be shown to it, and neither outages nor clean looks.
func TestTimelineOfScope(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	defer s.Close()
	if err := s.Load(t.Context(), seasons(rand.New(rand.NewPCG(1, 6)), 3, 600)...); err != nil {
		t.Fatal(err)
	}
	derive(t, s)
	scope := policy.For("someone", policy.Organisation, []string{"uni"}, nil, true)
	hidden, narrow := 0, 0
	for i, e := range allEpisodes(t, s, policy.Local(), query.Episodes{}) {
		if i%3 != 0 {
			continue
		}
		x, err := s.Timeline(t.Context(), scope, query.EpisodeRef{Class: e.Class, Asset: e.Asset, Day: e.First, Family: e.Family, Type: e.TypeName})
		if errors.Is(err, query.ErrNotFound) {
			hidden++
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if e.Org != "uni" || x.Episode.First != e.First {
			t.Errorf("shown: %s", line(x.Episode))
		}
		if len(x.Episode.Witnesses) < len(e.Witnesses) {
			narrow++
		}
		for _, w := range x.Witnesses {
			if w.Witness == "feed2" || w.Missing != nil || w.Clean != nil || len(w.Seen) == 0 {
				t.Errorf("shown: %+v", w)
			}
			for _, d := range w.Seen {
				if d < x.Episode.First || d > x.Episode.Last {
					t.Errorf("a day outside of the episode: %+v of %s", w, line(x.Episode))
				}
			}
		}
	}
	if hidden == 0 || narrow == 0 {
		t.Errorf("%d hidden, %d narrower: the test shows nothing", hidden, narrow)
	}
}
