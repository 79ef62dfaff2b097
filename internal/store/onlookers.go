package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"tocsin/internal/coverage"
	"tocsin/internal/episode"
	"tocsin/internal/event"
	"tocsin/internal/policy"
	"tocsin/internal/query"
)

// onlookers is who looked after episodes, for one question.
type onlookers struct {
	panel   *coverage.Panel
	number  map[string]uint32 // of a witness: the least of those of its feeds
	last    map[witnessClass]event.Day
	through map[event.Class]event.Day // the last day that anybody looked on
	joined  map[uint32]uint32         // feeds that are one witness with others, and its number
	fresh   map[witnessGap][]query.Period
	list    []seenBy // the patterns
}

type witnessClass struct {
	name  string
	class event.Class
}

type witnessGap struct {
	witnessClass

	gap event.Day
}

func (s *Store) onlookers(c *conn) (*onlookers, error) {
	panel, err := s.look(c)
	if err != nil {
		return nil, err
	}
	o := &onlookers{panel, map[string]uint32{}, map[witnessClass]event.Day{}, map[event.Class]event.Day{}, map[uint32]uint32{}, map[witnessGap][]query.Period{}, nil}
	if o.list, err = readPatterns(c); err != nil {
		return nil, err
	}
	panel.Each(func(w string, feeds []string, class event.Class) {
		if !episode.Has(class) {
			return
		}
		var ids []uint32
		for _, f := range feeds {
			if id, ok := s.terms.find(f); ok {
				ids = append(ids, id)
			}
		}
		if len(ids) == 0 {
			return
		}
		o.number[w] = slices.Min(ids)
		if len(feeds) > 1 {
			for _, id := range ids {
				o.joined[id] = o.number[w]
			}
		}
		if day, ok := panel.Last(w, class); ok {
			o.last[witnessClass{w, class}] = day
			if t, ok := o.through[class]; !ok || day > t {
				o.through[class] = day
			}
		}
	})
	return o, nil
}

// starts returns the days on which a witness with the gap may see for the
// first time what is not new.
func (o *onlookers) starts(w witnessClass, gap event.Day) []query.Period {
	k := witnessGap{w, gap}
	list, ok := o.fresh[k]
	if !ok {
		list = o.panel.Fresh(w.name, w.class, gap)
		o.fresh[k] = list
	}
	return list
}

// isFresh reports whether the day is one of them.
func (o *onlookers) isFresh(w witnessClass, gap, day event.Day) bool {
	return slices.ContainsFunc(o.starts(w, gap), func(p query.Period) bool { return day >= p.From && day <= p.To })
}

// sawFeed is what a feed saw of an episode.
type sawFeed struct {
	feed              string
	first, last, hold event.Day
	days              int
	mark              event.Marking
}

// judge puts the feeds that saw an episode together into witnesses and says
// what follows of their looks. It narrows the episode to what they say unless
// all is known.
func (o *onlookers) judge(e *query.Episode, saw []sawFeed, all bool) {
	slices.SortFunc(saw, func(a, b sawFeed) int { return strings.Compare(a.feed, b.feed) })
	end := e.Last
	at := map[string]int{}
	for _, f := range saw {
		name := o.panel.Witness(f.feed)
		w := query.Witness{Feed: name, First: f.first, Last: f.last, Days: f.days, Marking: f.mark.String(), Gap: int(f.hold - end)}
		if name != f.feed {
			w.Feeds = []query.WitnessFeed{{Feed: f.feed, Marking: f.mark.String()}}
		}
		i, ok := at[name]
		if !ok {
			at[name] = len(e.Witnesses)
			e.Witnesses = append(e.Witnesses, w)
			continue
		}
		x := &e.Witnesses[i]
		x.First, x.Last, x.Days, x.Gap = min(x.First, w.First), max(x.Last, w.Last), max(x.Days, w.Days), max(x.Gap, w.Gap)
		if x.Feeds == nil { // the feed whose name the upstream has
			x.Feeds = []query.WitnessFeed{{Feed: name, Marking: x.Marking}}
		}
		if was, _ := event.ParseMarking(x.Marking); f.mark > was {
			x.Marking = f.mark.String()
		}
		x.Feeds = append(x.Feeds, query.WitnessFeed{Feed: f.feed, Marking: f.mark.String()})
	}
	slices.SortFunc(e.Witnesses, func(a, b query.Witness) int { return strings.Compare(a.Feed, b.Feed) })
	if !all {
		e.Narrow()
	}
	closed, open := false, false
	for _, w := range e.Witnesses {
		k, hold := witnessClass{w.Feed, e.Class}, end+event.Day(w.Gap)
		last, ok := o.last[k]
		closed = closed || ok && last > hold
		open = open || hold >= o.through[e.Class]
		e.Incident = e.Incident || w.First == e.First && !o.isFresh(k, event.Day(w.Gap), e.First)
	}
	switch {
	case closed:
		e.State = query.EpisodeClosed
	case open:
		e.State = query.EpisodeOpen
	default:
		e.State = query.EpisodeCensored
	}
}

// with begins a query: the tables of until when each witness looked, of the
// days on which what it sees first need not be new, and of the feeds that are
// one witness with others. A witness stands there by its number.
//
// A scope that sees all asks by patterns, and needs none of these.
func (o *onlookers) with(scope policy.Scope) string {
	if scope.All() {
		return "WITH nothing AS (SELECT 1) "
	}
	looked, fresh, one := []string{"(0, 0, 0)"}, []string{"(0, 0, 0, 0, 0)"}, []string{"(0, 0)"}
	for k, day := range o.last {
		looked = append(looked, fmt.Sprintf("(%d, %d, %d)", k.class, o.number[k.name], day))
		for gap := episode.MinGap; gap <= episode.MaxGap; gap++ {
			for _, p := range o.starts(k, gap) {
				fresh = append(fresh, fmt.Sprintf("(%d, %d, %d, %d, %d)", k.class, o.number[k.name], gap, p.From, p.To))
			}
		}
	}
	for feed, n := range o.joined {
		one = append(one, fmt.Sprintf("(%d, %d)", feed, n))
	}
	for _, words := range [][]string{looked, fresh, one} {
		slices.Sort(words[1:])
	}
	return "WITH looked(class, feed, day) AS (VALUES " + strings.Join(looked, ", ") + "), fresh(class, feed, gap, since, upto) AS (VALUES " + strings.Join(fresh, ", ") +
		"), one(feed, number) AS (VALUES " + strings.Join(one, ", ") + ") "
}

// source is the SQL of what each witness saw of episodes, as far as the scope
// may know of it.
func (o *onlookers) source(scope policy.Scope) string {
	if len(o.joined) == 0 {
		return fmt.Sprintf("(SELECT * FROM witness WHERE marking <= %d) w", mostMarking(scope))
	}
	return fmt.Sprintf(`(SELECT v.making, v.class, v.cond, v.family, v.asset, v.first, coalesce(one.number, v.feed) AS feed, min(v.seen_first) AS seen_first, max(v.seen_last) AS seen_last, max(v.hold) AS hold
		FROM witness v LEFT JOIN one ON one.feed = v.feed WHERE v.marking <= %d AND v.making = (SELECT max(making) FROM making) GROUP BY ALL) w`, mostMarking(scope))
}

// closed is the SQL that episode e is closed.
func (o *onlookers) closed(scope policy.Scope) string {
	return "EXISTS (SELECT 1 FROM " + o.source(scope) + " WHERE " + sameEpisode + " AND w.hold < (SELECT max(l.day) FROM looked l WHERE l.feed = w.feed AND l.class = w.class))"
}

// open is the SQL that a witness's gap reaches to the newest look at its class.
func (o *onlookers) open(scope policy.Scope) string {
	return "EXISTS (SELECT 1 FROM " + o.source(scope) + " WHERE " + sameEpisode + " AND w.hold >= (SELECT max(l.day) FROM looked l WHERE l.class = w.class))"
}

// incident is the SQL that the beginning of episode e counts as incidence.
func (o *onlookers) incident(scope policy.Scope) string {
	return "EXISTS (SELECT 1 FROM " + o.source(scope) + " WHERE " + sameEpisode + " AND w.seen_first = " + firstDay(scope) +
		" AND NOT EXISTS (SELECT 1 FROM fresh f WHERE f.class = w.class AND f.feed = w.feed AND f.gap = w.hold - e.last AND w.seen_first BETWEEN f.since AND f.upto))"
}

// firstDay and lastDay are the SQL of the first and last day of episode e by
// what the scope may know.
func firstDay(scope policy.Scope) string {
	if scope.All() {
		return "e.first"
	}
	return fmt.Sprintf("(SELECT min(w.seen_first) FROM witness w WHERE %s AND w.marking <= %d)", sameEpisode, mostMarking(scope))
}

func lastDay(scope policy.Scope) string {
	if scope.All() {
		return "e.last"
	}
	return fmt.Sprintf("(SELECT max(w.seen_last) FROM witness w WHERE %s AND w.marking <= %d)", sameEpisode, mostMarking(scope))
}

// EpisodeDays counts, for each day of the period, the episodes that cover it,
// those that begin on it and count as incidence, those that begin on it and do
// not, and the closed ones that were last seen on it. Of the rest of the
// selection the conditions, classes, state, asset and text count.
func (s *Store) EpisodeDays(ctx context.Context, scope policy.Scope, q query.Episodes) (prevalence, starts, uncounted, ends []int64, err error) {
	if q.Period == (query.Period{}) {
		return nil, nil, nil, nil, errors.New("episodes by day: name a period")
	}
	n := q.Period.Days()
	prevalence, starts, uncounted, ends = make([]int64, n), make([]int64, n), make([]int64, n), make([]int64, n)
	q.Started = false
	put := func(first, last int, closed, incident bool, k int64) {
		if first >= n || last < 0 {
			return
		}
		if first >= 0 {
			if incident {
				starts[first] += k
			} else {
				uncounted[first] += k
			}
		}
		prevalence[max(0, first)] += k
		if last < n {
			if closed {
				ends[last] += k
			}
			if last+1 < n {
				prevalence[last+1] -= k
			}
		}
	}
	err = s.read(ctx, func(c *conn) error {
		o, err := s.onlookers(c)
		if err != nil {
			return err
		}
		where, args := s.episodeWhere(scope, q, o)
		if scope.All() {
			of := s.meanings(o, o.list, asItIs)
			spans, err := s.spans(c, "episode", "count(*)", where, args)
			for x, k := range spans {
				first, last, m := int(x.first-q.Period.From), int(x.last-q.Period.From), &of[x.pattern-1]
				put(first, last, x.last < m.clean, m.isNew(x.first), k)
			}
			return err
		}
		return c.each(func(r *rows) {
			put(int(at[int32](r, 0)-int32(q.Period.From)), int(at[int32](r, 1)-int32(q.Period.From)), at[bool](r, 2), at[bool](r, 3), at[int64](r, 4))
		}, o.with(scope)+fmt.Sprintf(`SELECT first, last, closed, incident, count(*) FROM (SELECT %s AS first, %s AS last, %s AS closed, %s AS incident FROM episode e WHERE %s) GROUP BY ALL`,
			firstDay(scope), lastDay(scope), o.closed(scope), o.incident(scope), where), args...)
	})
	for i := 1; i < n; i++ {
		prevalence[i] += prevalence[i-1]
	}
	return prevalence, starts, uncounted, ends, err
}

// Sensitivity tells how many episodes of a class a period would have with all
// gaps half as long, as they are, and twice as long. The conditions are on an
// episode's last sighting, as everywhere.
func (s *Store) Sensitivity(ctx context.Context, scope policy.Scope, class event.Class, p query.Period, where []query.Cond) ([]query.EpisodeGaps, error) {
	if !scope.All() {
		return s.sensitivitySlowly(ctx, scope, class, p, where)
	}
	scales := gapScales()
	out := make([]query.EpisodeGaps, len(scales))
	err := s.read(ctx, func(c *conn) error {
		o, err := s.onlookers(c)
		if err != nil {
			return err
		}
		sql, args := s.episodeWhere(scope, query.Episodes{Period: p, Classes: []event.Class{class}, Where: where}, o)
		are, err := s.spans(c, "episode", "count(*)", sql, args)
		if err != nil {
			return err
		}
		for i, x := range scales {
			out[i] = query.EpisodeGaps{Factor: x.factor}
			would := are
			if x.stored != 0 {
				if would, err = s.spans(c, "regap", "sum(weight)", sql+fmt.Sprintf(" AND e.scale = %d", x.stored), args); err != nil {
					return err
				}
				for k, n := range are {
					would[k] += n
				}
			}
			of := s.meanings(o, o.list, x.of)
			days := int64(0)
			for k, n := range would {
				if from, to := max(k.first, p.From), min(k.last, p.To); from <= to {
					days += n * int64(to-from+1)
				}
				switch {
				case k.first < p.From || k.first > p.To:
				case of[k.pattern-1].isNew(k.first):
					out[i].Starts += n
				default:
					out[i].Uncounted += n
				}
			}
			out[i].Prevalence = float64(days) / float64(p.Days())
		}
		return nil
	})
	return out, err
}

// sensitivitySlowly is Sensitivity from the sightings, with the conditions on
// each of them: what an organisation may see of an episode is not in its row. It
// reads those that
// meet the conditions in the period and as long around it as a gap can be: what
// lies further away changes nothing. They come in slices, so that any number
// of them costs bounded memory.
func (s *Store) sensitivitySlowly(ctx context.Context, scope policy.Scope, class event.Class, p query.Period, where []query.Cond) ([]query.EpisodeGaps, error) {
	d := &s.derive
	s.mu.Lock()
	total := d.total
	s.mu.Unlock()
	d.mu.Lock()
	table := d.table
	d.mu.Unlock()
	if table == nil {
		table = &episode.Table{}
	}
	named := s.timelineNames()
	scales := gapScales()
	out := make([]query.EpisodeGaps, len(scales))
	for i := range scales {
		out[i].Factor = scales[i].factor
	}
	n := uint64(total/d.slice) | 1
	gen := s.gen.Load()
	around := fmt.Sprintf("day BETWEEN %d AND %d AND %s", p.From-2*episode.MaxGap, p.To+2*episode.MaxGap, s.where(where, sightingColumn))
	for i := range n {
		if err := s.read(ctx, func(c *conn) error {
			o, err := s.onlookers(c)
			if err != nil {
				return err
			}
			var list []sighting
			flush := func() {
				for at, x := range scales {
					s.tally(o, named, table, list, x, p, &out[at])
				}
				list = list[:0]
			}
			if err := c.each(func(r *rows) {
				x := readSighting(r)
				if len(list) > 0 && list[0].asset != x.asset {
					flush()
				}
				list = append(list, x)
			}, fmt.Sprintf(`SELECT %s FROM sighting WHERE gen = %d AND class = %d AND %s AND %s AND asset %% %d = %d ORDER BY asset, day`, sightingFields, gen, class, around, s.visible(scope), n, i)); err != nil {
				return err
			}
			flush()
			return nil
		}); err != nil {
			return nil, err
		}
	}
	for i := range out {
		out[i].Prevalence /= float64(p.Days())
	}
	return out, nil
}

// gapScale is how much longer gaps are taken.
type gapScale struct {
	factor float64
	of     func(event.Day) event.Day
	stored int // in table regap
}

func gapScales() []gapScale { return []gapScale{{.5, halved, 1}, {1, asItIs, 0}, {2, doubled, 2}} }

// tally adds the episodes of one asset, whose sightings are in order of their
// days. Prevalence is a sum of days.
func (s *Store) tally(o *onlookers, d *deriving, table *episode.Table, list []sighting, scale gapScale, p query.Period, out *query.EpisodeGaps) {
	by := map[episode.Condition][]episode.Sighting{}
	for i := range list {
		c := d.condition(list[i].class, list[i].typ, list[i].family)
		by[c] = append(by[c], episode.Sighting{Day: list[i].day, Feed: list[i].feed})
	}
	for c, seen := range by {
		gap := func(feed uint32) event.Day { g, _ := table.Gap(c, feed); return scale.of(g) }
		for _, e := range episode.Split(nil, seen, gap) {
			if from, to := max(e.First, p.From), min(e.Last, p.To); from <= to {
				out.Prevalence += float64(to - from + 1)
			}
			if e.First < p.From || e.First > p.To {
				continue
			}
			gaps, first := map[string]event.Day{}, map[string]bool{}
			for _, x := range seen[e.At:e.End] {
				w := o.panel.Witness(s.terms.word(x.Feed))
				gaps[w] = max(gaps[w], gap(x.Feed))
				first[w] = first[w] || x.Day == e.First
			}
			incident := false
			for w := range first {
				incident = incident || first[w] && !o.isFresh(witnessClass{w, c.Class}, gaps[w], e.First)
			}
			if incident {
				out.Starts++
			} else {
				out.Uncounted++
			}
		}
	}
}
