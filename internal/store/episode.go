package store

import (
	"context"
	"fmt"
	"slices"

	"tocsin/internal/episode"
	"tocsin/internal/event"
	"tocsin/internal/policy"
	"tocsin/internal/query"
)

// othersShown is how many other episodes of an asset stand beside one.
const othersShown = 100

// Timeline returns one episode with the days on which each witness saw it.
// [query.ErrNotFound] if the scope may know of none.
func (s *Store) Timeline(ctx context.Context, scope policy.Scope, ref query.EpisodeRef) (t query.Timeline, err error) {
	list, _, err := s.Episodes(ctx, scope, query.Episodes{Classes: []event.Class{ref.Class}, Asset: ref.Asset, Period: query.Period{From: ref.Day, To: ref.Day}})
	if err != nil {
		return t, err
	}
	names := s.timelineNames()
	family := ref.Family
	if ref.Class == event.ClassInfection || ref.Class == event.ClassController {
		family = oneFamily(family)
	}
	at := slices.IndexFunc(list, func(e query.Episode) bool {
		return e.First <= ref.Day && ref.Day <= e.Last && // as far as the scope may know
			(ref.Family == "" || e.Family == family) && (ref.Type == "" || e.TypeName == ref.Type)
	})
	if at < 0 {
		return t, fmt.Errorf("episode of %s %s on %s: %w", ref.Class, ref.Asset, ref.Day, query.ErrNotFound)
	}
	t = query.Timeline{Episode: list[at], Names: []string{}, Others: []query.Episode{}}
	e := &t.Episode
	if b, ok := s.Bounds(); ok {
		t.Through = b.To
	}
	if e.Class == event.ClassInfection || e.Class == event.ClassController {
		t.Names = append(t.Names, episode.Names(e.Family)...)
	}
	others, _, err := s.Episodes(ctx, scope, query.Episodes{Asset: ref.Asset, Limit: othersShown + 1})
	if err != nil {
		return t, err
	}
	for i := range others {
		o := &others[i]
		if o.Class == e.Class && o.First == e.First && o.Family == e.Family && o.TypeName == e.TypeName || len(t.Others) == othersShown {
			continue
		}
		t.Others = append(t.Others, *o)
	}
	s.derive.mu.Lock()
	table := s.derive.table
	s.derive.mu.Unlock()
	if table == nil {
		table = &episode.Table{}
	}
	id, _ := s.terms.find(e.Family)
	cond := names.condition(e.Class, e.Type, id)
	var all []episode.Sighting
	return t, s.read(ctx, func(c *conn) error {
		o, err := s.onlookers(c)
		if err != nil {
			return err
		}
		if all, err = s.sightingsOf(c, scope, names, cond, e); err != nil {
			return err
		}
		gap := func(feed uint32) event.Day { g, _ := table.Gap(cond, feed); return g }
		s.splitOther(&t, o, all, gap)
		s.witnessDays(&t, o, all)
		if scope.All() {
			lookedAfter(&t, o)
		}
		return nil
	})
}

// timelineNames is what the conditions of sightings follow from.
func (s *Store) timelineNames() *deriving {
	s.derive.mu.Lock()
	defer s.derive.mu.Unlock()
	return &deriving{names: s.derive.names}
}

// sightingsOf reads the days on which feeds saw the episode's asset in its
// condition, in their order.
func (s *Store) sightingsOf(c *conn, scope policy.Scope, names *deriving, cond episode.Condition, e *query.Episode) (all []episode.Sighting, err error) {
	err = c.each(func(r *rows) {
		if names.condition(e.Class, event.Type(at[uint8](r, 2)), at[uint32](r, 3)) == cond {
			all = append(all, episode.Sighting{Day: event.Day(at[int32](r, 0)), Feed: at[uint32](r, 1)})
		}
	}, fmt.Sprintf(`SELECT DISTINCT day, feed, type, family FROM sighting WHERE gen = %d AND class = %d AND asset = ? AND %s ORDER BY day, feed`,
		s.gen.Load(), e.Class, s.visible(scope)), e.Asset)
	return slices.Compact(all), err
}

// splitOther says what the sightings would make with other gaps.
func (s *Store) splitOther(t *query.Timeline, o *onlookers, all []episode.Sighting, gap func(uint32) event.Day) {
	e := &t.Episode
	known := map[string]bool{}
	for _, w := range e.Witnesses {
		known[w.Feed] = true
	}
	within := slices.DeleteFunc(slices.Clone(all), func(x episode.Sighting) bool {
		return x.Day < e.First || x.Day > e.Last || !known[o.panel.Witness(s.terms.word(x.Feed))]
	})
	for _, p := range episode.Split(nil, within, func(f uint32) event.Day { return max(1, gap(f)/2) }) {
		t.Half = append(t.Half, query.Period{From: p.First, To: p.Last})
	}
	t.Twice = query.Period{From: e.First, To: e.Last}
	for _, p := range episode.Split(nil, all, func(f uint32) event.Day { return 2 * gap(f) }) {
		if p.First <= e.Last && p.Last >= e.First {
			t.Twice = query.Period{From: min(t.Twice.From, p.First), To: max(t.Twice.To, p.Last)}
		}
	}
}

// witnessDays fills in the days on which each witness saw the episode.
func (s *Store) witnessDays(t *query.Timeline, o *onlookers, all []episode.Sighting) {
	e := &t.Episode
	t.Witnesses = make([]query.WitnessDays, len(e.Witnesses))
	at0 := map[string]int{}
	for i, w := range e.Witnesses {
		t.Witnesses[i] = query.WitnessDays{Witness: w.Feed, Seen: []event.Day{}}
		at0[w.Feed] = i
	}
	for _, x := range all {
		i, ok := at0[o.panel.Witness(s.terms.word(x.Feed))]
		if !ok || x.Day < e.First || x.Day > e.Last {
			continue
		}
		if w := &t.Witnesses[i]; len(w.Seen) == 0 || w.Seen[len(w.Seen)-1] != x.Day {
			w.Seen = append(w.Seen, x.Day)
		}
	}
}

// lookedAfter fills in the outages of the witnesses and their first looks that
// saw nothing.
func lookedAfter(t *query.Timeline, o *onlookers) {
	e := &t.Episode
	period := t.Line()
	rows := o.panel.Rows([]event.Class{e.Class}, period)
	for i := range t.Witnesses {
		w := &t.Witnesses[i]
		if day, ok := o.panel.Next(w.Witness, e.Class, e.Last+event.Day(e.Witnesses[i].Gap)+1); ok {
			w.Clean = &day
		}
		j := slices.IndexFunc(rows, func(r query.Covered) bool { return r.Witness == w.Witness })
		if j < 0 {
			continue
		}
		for k, look := range rows[j].Days {
			day := period.From + event.Day(k)
			switch n := len(w.Missing); {
			case look != query.Missing:
			case n > 0 && w.Missing[n-1].To == day-1:
				w.Missing[n-1].To = day
			default:
				w.Missing = append(w.Missing, query.Period{From: day, To: day})
			}
		}
	}
}
