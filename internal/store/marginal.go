package store

import (
	"sync"

	"tocsin/internal/event"
	"tocsin/internal/query"
)

// marginals are the totals of every class and day, kept in memory and always
// equal to what is committed: they answer the unrestricted questions of the
// overview without a scan.
//
// The number of distinct assets in any period [a, b] is the number of pairs
// (asset, day) in it whose asset was last seen before a; so it is enough to
// know, for each class and day, how many assets were last seen how many days
// ago.
type marginals struct {
	mu    sync.RWMutex
	tick  int64 // rises with every change
	whole int64 // the tick at which everything was replaced
	class [event.Classes]map[event.Day]*dayMarginal
}

// dayMarginal is one class on one day.
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
	class                event.Class
	day, prev            event.Day
	assets, events, seen int64 // seen: weight of the pair (day, prev)
}

func (m *marginals) apply(changes []change) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.tick++
	for _, c := range changes {
		days := m.class[c.class]
		if days == nil {
			days = map[event.Day]*dayMarginal{}
			m.class[c.class] = days
		}
		d := days[c.day]
		if d == nil {
			d = &dayMarginal{}
			days[c.day] = d
		}
		d.tick = m.tick
		d.assets += c.assets
		d.events += c.events
		if c.seen == 0 {
			continue
		}
		if c.prev == never {
			d.first += c.seen
			continue
		}
		g := int(c.day - c.prev)
		for len(d.gaps) < g {
			d.gaps = append(d.gaps, 0)
		}
		d.gaps[g-1] += c.seen
	}
}

// value returns the class's numbers for the period.
func (m *marginals) value(c event.Class, p query.Period) query.Value {
	v := query.Value{Daily: make([]int64, p.Days()), DailyEvents: make([]int64, p.Days())}
	m.mu.RLock()
	defer m.mu.RUnlock()
	for i := range v.Daily {
		d := m.class[c][p.From+event.Day(i)]
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

// replace takes over another's numbers.
func (m *marginals) replace(o *marginals) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.class = o.class
	m.tick++
	m.whole = m.tick
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
