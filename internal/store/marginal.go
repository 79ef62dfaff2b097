package store

import (
	"sync"

	"tocsin/internal/event"
	"tocsin/internal/query"
)

// marginals are the totals of every question that is always answered, kept in
// memory and always equal to what is committed: they answer the overview
// without a scan. The questions are those of each class without conditions, and
// the standing ones.
type marginals struct {
	mu       sync.RWMutex
	tick     int64 // rises with every change
	whole    int64 // the tick at which everything was replaced
	class    [event.Classes]marginal
	standing map[string]*standing // by key
}

// marginal is one question, day by day.
//
// The number of distinct assets in any period [a, b] is the number of pairs
// (asset, day) in it whose asset was last seen before a; so it is enough to
// know, for each day, how many assets were last seen how many days ago.
type marginal map[event.Day]*dayMarginal

// dayMarginal is one question on one day.
type dayMarginal struct {
	assets int64   // distinct assets
	events int64   // events of loaded deliveries
	first  int64   // assets never seen before
	gaps   []int64 // gaps[g-1]: assets last seen g days before
	tick   int64   // of the last change
}

// change is a difference of the marginals, gathered while a transaction is
// open and applied when it has been committed.
type change struct {
	of                   *standing // nil for the class itself
	class                event.Class
	day, prev            event.Day
	assets, events, seen int64 // seen: weight of the pair (day, prev)
}

func (m *marginals) apply(changes []change) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.tick++
	for i := range changes {
		c := &changes[i]
		if c.of != nil {
			c.of.days.add(c, m.tick)
		} else {
			m.class[c.class].add(c, m.tick)
		}
	}
}

func (m *marginal) add(c *change, tick int64) {
	if *m == nil {
		*m = marginal{}
	}
	d := (*m)[c.day]
	if d == nil {
		d = &dayMarginal{}
		(*m)[c.day] = d
	}
	d.tick = tick
	d.assets += c.assets
	d.events += c.events
	if c.seen == 0 {
		return
	}
	if c.prev == never {
		d.first += c.seen
		return
	}
	g := int(c.day - c.prev)
	for len(d.gaps) < g {
		d.gaps = append(d.gaps, 0)
	}
	d.gaps[g-1] += c.seen
}

// value returns the numbers of a question, if they are kept.
func (m *marginals) value(q query.Count) (v query.Value, ok bool) {
	key := ""
	if len(q.Where) > 0 {
		key = standingKey(q.Class, q.Where)
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	if key == "" {
		return m.class[q.Class].value(q.Period), true
	}
	s := m.standing[key]
	if s == nil {
		return v, false
	}
	return s.days.value(q.Period), true
}

func (m marginal) value(p query.Period) query.Value {
	v := query.Value{Daily: make([]int64, p.Days()), DailyEvents: make([]int64, p.Days())}
	for i := range v.Daily {
		d := m[p.From+event.Day(i)]
		if d == nil {
			continue
		}
		v.Daily[i] = d.assets
		v.DailyEvents[i] = d.events
		v.Events += d.events
		v.Distinct += d.first
		// Day i counts an asset whose gap reaches back before the period.
		for g := i; g < len(d.gaps); g++ {
			v.Distinct += d.gaps[g]
		}
	}
	return v
}

// bounds returns the first and last day that has an event.
func (m *marginals) bounds() (p query.Period, ok bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	for _, days := range m.class {
		for d, n := range days {
			if n.events == 0 {
				continue
			}
			if !ok {
				p, ok = query.Period{From: d, To: d}, true
			}
			p.From, p.To = min(p.From, d), max(p.To, d)
		}
	}
	return p, ok
}

// assets returns how many assets of any class were seen on the day.
func (m *marginals) assets(d event.Day) (n int64) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	for _, days := range m.class {
		if x := days[d]; x != nil {
			n += x.assets
		}
	}
	return n
}

// replace takes over another's numbers of the classes, and new ones of the
// standing questions.
func (m *marginals) replace(o *marginals, list []*standing, days []marginal) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.class = o.class
	m.stand(list, days)
	m.tick++
	m.whole = m.tick
}

// pass lets time go on where something else than the marginals has changed.
func (m *marginals) pass() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.tick++
}

// now returns the tick of the last change.
func (m *marginals) now() int64 {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.tick
}

// changed reports whether the class may have changed on a day of the period
// since the tick.
func (m *marginals) changed(c event.Class, p query.Period, since int64) bool {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if m.whole > since {
		return true
	}
	for d := p.From; d <= p.To; d++ {
		if x := m.class[c][d]; x != nil && x.tick > since {
			return true
		}
	}
	return false
}

// events returns how many events of any class the day has.
func (m *marginals) events(d event.Day) (n int64) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	for _, days := range m.class {
		if x := days[d]; x != nil {
			n += x.events
		}
	}
	return n
}

// totals returns all events and those outside tocsin's scope.
func (m *marginals) totals() (events, outside int64) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	for c, days := range m.class {
		for _, x := range days {
			events += x.events
			if event.Class(c) == event.ClassOutside {
				outside += x.events
			}
		}
	}
	return events, outside
}
