package store

import (
	"context"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"

	"tocsin/internal/coverage"
	"tocsin/internal/episode"
	"tocsin/internal/event"
	"tocsin/internal/query"
)

// feedClass names the sightings of a feed in a class.
type feedClass struct {
	class event.Class
	feed  uint32
}

// watch is what is known of who looked when: how many assets each feed saw of
// each class on each day, always as committed or a transaction ahead.
type watch struct {
	feeds   func() []coverage.Feed
	classOf func(report string) (event.Class, bool)

	mu      sync.Mutex // taken under the store's lock; guards all that follows
	seen    map[feedClass]map[event.Day]int64
	changes int // of seen

	// The last panel, and what it was made of.
	panel  *coverage.Panel
	as     int
	set    []coverage.Feed
	empty  []coverage.Seen
	byAS   map[event.Class]classNetworks
	byASIn int // rows in byAS
}

// looks notes what new sightings, which are in order of their days, say of who
// looked. The store's lock is held.
func (s *Store) looks(fresh []sighting) {
	if len(fresh) == 0 || s.fresh {
		return
	}
	w := &s.watch
	w.mu.Lock()
	defer w.mu.Unlock()
	var days [event.Classes]struct {
		feed uint32
		m    map[event.Day]int64
		day  event.Day
		n    int64
	}
	for i := range fresh {
		c := &fresh[i]
		x := &days[c.class]
		if x.m == nil || x.feed != c.feed {
			if x.m != nil {
				x.m[x.day] = x.n
			}
			k := feedClass{c.class, c.feed}
			if w.seen[k] == nil {
				w.seen[k] = map[event.Day]int64{}
			}
			x.feed, x.m, x.day, x.n = c.feed, w.seen[k], c.day, w.seen[k][c.day]
		}
		if x.day != c.day {
			x.m[x.day] = x.n
			x.day, x.n = c.day, x.m[c.day]
		}
		if c.flags&firstOfFeed != 0 {
			x.n++
		}
	}
	for i := range days {
		if x := &days[i]; x.m != nil {
			x.m[x.day] = x.n
		}
	}
	w.changes++
}

// readLooks reads what a generation says of who looked. The lock is held.
func (s *Store) readLooks(gen uint32) error {
	seen := map[feedClass]map[event.Day]int64{}
	if err := s.w.each(func(r *rows) {
		k := feedClass{event.Class(at[uint8](r, 0)), at[uint32](r, 1)}
		if seen[k] == nil {
			seen[k] = map[event.Day]int64{}
		}
		seen[k][event.Day(at[int32](r, 2))] = at[int64](r, 3)
	}, fmt.Sprintf(`SELECT class, feed, day, count(*) FILTER (flags & %d <> 0) FROM sighting WHERE gen = %d GROUP BY ALL`, firstOfFeed, gen)); err != nil {
		return err
	}
	s.watch.mu.Lock()
	defer s.watch.mu.Unlock()
	s.watch.seen = seen
	s.watch.changes++
	return nil
}

// emptyReports returns the reports that were delivered without a row, of which
// it is known what they would have told and of which day: both stand in their
// names.
func (s *Store) emptyReports(c *conn) (list []coverage.Seen, err error) {
	if s.watch.classOf == nil {
		return nil, nil
	}
	err = c.each(func(r *rows) {
		class, ok := s.watch.classOf(r.str(1))
		name := path.Base(strings.ReplaceAll(r.str(2), `\`, "/"))
		if !ok || len(name) < len("2006-01-02") {
			return
		}
		day, err := event.ParseDay(name[:len("2006-01-02")])
		if err != nil || day > event.DayOf(at[int64](r, 3)) { // of a day that was not over when it came
			return
		}
		list = append(list, coverage.Seen{Feed: r.str(0), Class: class, Day: day})
	}, `SELECT feed, report, name, arrived FROM delivery WHERE state = 'loaded' AND received = 0 ORDER BY seq`)
	return list, err
}

// look returns who looked when, as of what is loaded.
func (s *Store) look(c *conn) (*coverage.Panel, error) {
	empty, err := s.emptyReports(c)
	if err != nil {
		return nil, err
	}
	w := &s.watch
	var set []coverage.Feed
	if w.feeds != nil {
		set = w.feeds()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.panel != nil && w.as == w.changes && slices.Equal(w.set, set) && slices.Equal(w.empty, empty) {
		return w.panel, nil
	}
	seen := slices.Clone(empty)
	for k, days := range w.seen {
		feed := s.terms.word(k.feed)
		for d, n := range days {
			seen = append(seen, coverage.Seen{Feed: feed, Class: k.class, Day: d, N: n})
		}
	}
	w.panel, w.as, w.set, w.empty = coverage.New(set, seen), w.changes, set, empty
	return w.panel, nil
}

// networkDay is how many assets of a network a feed saw in a class on a day.
type networkDay struct {
	ASN uint32
	coverage.Seen
}

// classNetworks are those of one class, kept until the class changes.
type classNetworks struct {
	list []networkDay
	gen  uint32
	tick int64
}

// maxNetworkDays bounds how many of them are kept, of 48 bytes.
const maxNetworkDays = 1 << 18

// networkDays returns what each feed saw of each network in a class, on all
// days, in order of the networks. Those that were hardly seen are left out.
func (s *Store) networkDays(c *conn, class event.Class) (list []networkDay, err error) {
	bounds, ok := s.marg.bounds()
	if !ok {
		return nil, nil
	}
	w := &s.watch
	gen, tick := s.gen.Load(), s.marg.now()
	w.mu.Lock()
	k, ok := w.byAS[class]
	w.mu.Unlock()
	if ok && k.gen == gen && !s.marg.changed(class, bounds, k.tick) {
		return k.list, nil
	}
	names := map[uint32]string{}
	if err := c.each(func(r *rows) {
		feed := at[uint32](r, 1)
		if _, ok := names[feed]; !ok {
			names[feed] = s.terms.word(feed)
		}
		list = append(list, networkDay{at[uint32](r, 0), coverage.Seen{Feed: names[feed], Class: class, Day: event.Day(at[int32](r, 2)), N: at[int64](r, 3)}})
	}, fmt.Sprintf(`SELECT asn, feed, day, n FROM (
			SELECT asn, feed, day, count(*) FILTER (flags & %d <> 0) AS n FROM sighting WHERE gen = %d AND class = %d AND asn <> 0 GROUP BY ALL
		) QUALIFY sum(n) OVER (PARTITION BY asn) >= %d ORDER BY asn, feed, day`, firstOfFeed, gen, class, coverage.LeastSeen)); err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(list) <= maxNetworkDays {
		if w.byAS == nil || w.byASIn+len(list) > maxNetworkDays {
			w.byAS, w.byASIn = map[event.Class]classNetworks{}, 0
		}
		w.byASIn += len(list) - len(w.byAS[class].list)
		w.byAS[class] = classNetworks{list, gen, tick}
	}
	return list, nil
}

// Coverage returns who looked when in a period at the classes, all if none are
// named: a row for each witness, and for each network where it looked on other
// days. The caller decides who may see it.
func (s *Store) Coverage(ctx context.Context, classes []event.Class, p query.Period) (out []query.Covered, err error) {
	err = s.read(ctx, func(c *conn) error {
		panel, err := s.look(c)
		if err != nil {
			return err
		}
		out = panel.Rows(classes, p)
		done := map[event.Class]bool{}
		for _, r := range slices.Clone(out) {
			if done[r.Class] {
				continue
			}
			done[r.Class] = true
			list, err := s.networkDays(c, r.Class)
			if err != nil {
				return err
			}
			for i := 0; i < len(list); {
				j := i
				for j < len(list) && list[j].ASN == list[i].ASN {
					j++
				}
				seen := make([]coverage.Seen, 0, j-i)
				for _, x := range list[i:j] {
					seen = append(seen, x.Seen)
				}
				out = append(out, panel.Network(r.Class, list[i].ASN, seen, p)...)
				i = j
			}
		}
		coverage.Sort(out)
		return nil
	})
	return out, err
}

// FamilyDays is what each witness saw of a class and family on each day of a
// period.
type FamilyDays struct {
	Class  event.Class
	Family string             // its one name; "" for all of the class together
	Days   map[string][]int64 // by witness: sightings; -1 where it did not look
}

// The families whose daily numbers are given: those with so many sightings in
// the period, and of these the largest. What [Store.Families] leaves out for
// having fewer never has a median of ten in a fortnight with seven looks.
const (
	familySightings = 40
	familiesOfClass = 200
)

// Families returns the daily numbers of each class, as a whole and by family as
// far as there are enough, in order of class and family.
func (s *Store) Families(ctx context.Context, classes []event.Class, p query.Period) (out []FamilyDays, err error) {
	err = s.read(ctx, func(c *conn) error {
		panel, err := s.look(c)
		if err != nil {
			return err
		}
		witnesses := map[event.Class][]string{}
		panel.Each(func(w string, _ []string, class event.Class) {
			if len(classes) == 0 || slices.Contains(classes, class) {
				witnesses[class] = append(witnesses[class], w)
			}
		})
		for _, class := range slices.Sorted(maps.Keys(witnesses)) {
			list, err := s.familyDays(c, panel, class, witnesses[class], p)
			if err != nil {
				return err
			}
			out = append(out, list...)
		}
		return nil
	})
	return out, err
}

// familyDays is Families of one class.
func (s *Store) familyDays(c *conn, panel *coverage.Panel, class event.Class, witnesses []string, p query.Period) ([]FamilyDays, error) {
	by := map[string]*FamilyDays{}
	sums := map[string]int64{}
	row := func(family string) *FamilyDays {
		f := by[family]
		if f == nil {
			f = &FamilyDays{class, family, map[string][]int64{}}
			for _, w := range witnesses {
				days := make([]int64, p.Days())
				for i := range days {
					if !panel.Looked(w, class, p.From+event.Day(i)) {
						days[i] = -1
					}
				}
				f.Days[w] = days
			}
			by[family] = f
		}
		return f
	}
	row("")
	type part struct{ feed, family string }
	feeds := map[part][]int64{}
	add := func(k part, i int32, n int64) {
		if feeds[k] == nil {
			feeds[k] = make([]int64, p.Days())
		}
		feeds[k][i] += n
	}
	if err := c.each(func(r *rows) {
		feed, family := s.terms.word(at[uint32](r, 0)), oneFamily(s.terms.word(at[uint32](r, 1)))
		i, n := at[int32](r, 2)-int32(p.From), at[int64](r, 3)
		sums[family] += n
		if add(part{feed, ""}, i, n); family != "" {
			add(part{feed, family}, i, n)
		}
	}, fmt.Sprintf(`SELECT feed, family, day, count(*) FROM sighting WHERE gen = %d AND class = %d AND day BETWEEN %d AND %d GROUP BY ALL`, s.gen.Load(), class, p.From, p.To)); err != nil {
		return nil, err
	}
	// One feed passes on what another of the witness has: the one that saw most on
	// the day counts, so that it makes no step where it is late or lost.
	for k, numbers := range feeds {
		days := row(k.family).Days[panel.Witness(k.feed)]
		for i := range days {
			if days[i] >= 0 {
				days[i] = max(days[i], numbers[i])
			}
		}
	}
	names := slices.DeleteFunc(slices.Sorted(maps.Keys(by)), func(f string) bool { return f != "" && sums[f] < familySightings })
	slices.SortStableFunc(names, func(a, b string) int { // the whole class first, then the largest
		switch {
		case a == "" || b == "":
			return strings.Compare(a, b)
		case sums[a] != sums[b]:
			return int(min(1, max(-1, sums[b]-sums[a])))
		default:
			return 0
		}
	})
	names = names[:min(len(names), 1+familiesOfClass)]
	slices.Sort(names)
	out := make([]FamilyDays, 0, len(names))
	for _, f := range names {
		out = append(out, *by[f])
	}
	return out, nil
}

// oneFamily is [episode.Family] for names of one name, too.
func oneFamily(name string) string {
	if one, ok := episode.Family(name); ok {
		return one
	}
	return name
}
