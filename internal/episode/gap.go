package episode

import (
	"tocsin/internal/event"
)

// The bounds of a gap, in days, and what is taken where nothing is known.
const (
	MinGap     event.Day = 2
	MaxGap     event.Day = 14
	AssumedGap event.Day = 7
)

// enough is from how many re-observations on their distribution is used.
const enough = 100

// quantile is the part of re-observations that come within the gap.
const quantile = 0.95

// Reobserved counts how many days passed from one sighting of an asset in a
// condition to the next by the same feed: element i those of i days, the last
// those of more than MaxGap. Element 0 is not used.
type Reobserved [MaxGap + 2]int64

// Add counts a re-observation after so many days, n times; n may be negative.
func (r *Reobserved) Add(days event.Day, n int64) {
	if days > 0 {
		r[min(days, MaxGap+1)] += n
	}
}

// Merge adds what o counts.
func (r *Reobserved) Merge(o *Reobserved) {
	for i := range r {
		r[i] += o[i]
	}
}

// N returns how many re-observations are counted.
func (r *Reobserved) N() (n int64) {
	for _, k := range r {
		n += k
	}
	return n
}

// Gap returns the 95th percentile, the least number of days within which 95 of
// 100 re-observations came, clipped to MinGap and MaxGap. ok is false where
// there are too few of them to say.
func (r *Reobserved) Gap() (gap event.Day, ok bool) {
	n := r.N()
	if n < enough {
		return AssumedGap, false
	}
	seen := int64(0)
	for d := event.Day(1); d <= MaxGap; d++ {
		seen += r[d]
		if float64(seen) >= quantile*float64(n) {
			return max(d, MinGap), true
		}
	}
	return MaxGap, true
}

// Count adds the re-observations of the sightings, which are in order of their
// days, times n, to the distribution of each sighting's feed.
func Count(list []Sighting, n int64, of func(feed uint32) *Reobserved) {
	for i, s := range list {
		for j := i - 1; j >= 0; j-- { // the feeds of an asset are few
			if list[j].Feed == s.Feed {
				of(s.Feed).Add(s.Day-list[j].Day, n)
				break
			}
		}
	}
}

// Condition is what is wrong with an asset. Infections and controllers of one
// family are one condition, whatever type each feed gives them; where there is
// no family, and for sites and exposures, the type and the identifier decide.
type Condition struct {
	Class  event.Class
	Type   event.Type // 0 where the family decides
	Family uint32     // of the family or identifier, any number; 0 for none
}

// Gaps holds what is known of the gaps of each feed and condition.
type Gaps struct {
	by map[Condition]map[uint32]*Reobserved
}

// Of returns the distribution of a feed and condition, made if there is none.
func (g *Gaps) Of(c Condition, feed uint32) *Reobserved {
	if g.by == nil {
		g.by = map[Condition]map[uint32]*Reobserved{}
	}
	m := g.by[c]
	if m == nil {
		m = map[uint32]*Reobserved{}
		g.by[c] = m
	}
	r := m[feed]
	if r == nil {
		r = &Reobserved{}
		m[feed] = r
	}
	return r
}

// Each calls f for every distribution, in no order.
func (g *Gaps) Each(f func(c Condition, feed uint32, r *Reobserved)) {
	for c, m := range g.by {
		for feed, r := range m {
			f(c, feed, r)
		}
	}
}

// Table gives each feed and condition its gap: that of its own distribution;
// where that says too little, that of the feed's conditions of the class taken
// together; and AssumedGap where these say too little as well.
func (g *Gaps) Table() *Table {
	pooled := map[Condition]*Reobserved{} // by class, and feed in place of the family
	g.Each(func(c Condition, feed uint32, r *Reobserved) {
		k := Condition{Class: c.Class, Family: feed}
		if pooled[k] == nil {
			pooled[k] = &Reobserved{}
		}
		pooled[k].Merge(r)
	})
	t := &Table{own: map[Condition]map[uint32]event.Day{}, class: map[Condition]event.Day{}}
	for k, r := range pooled {
		if d, ok := r.Gap(); ok {
			t.class[k] = d
		}
	}
	g.Each(func(c Condition, feed uint32, r *Reobserved) {
		if d, ok := r.Gap(); ok {
			if t.own[c] == nil {
				t.own[c] = map[uint32]event.Day{}
			}
			t.own[c][feed] = d
		}
	})
	return t
}

// Basis says what a gap rests on.
type Basis string

// The bases of a gap.
const (
	OwnBasis     Basis = "condition" // the feed's re-observations of the condition
	ClassBasis   Basis = "class"     // the feed's re-observations of all conditions of the class
	AssumedBasis Basis = "assumed"   // nothing: too few re-observations
)

// Table is a gap for each feed and condition. The zero value assumes all.
type Table struct {
	own   map[Condition]map[uint32]event.Day
	class map[Condition]event.Day
}

// Gap returns the gap, in days, and what it rests on.
func (t *Table) Gap(c Condition, feed uint32) (event.Day, Basis) {
	if d, ok := t.own[c][feed]; ok {
		return d, OwnBasis
	}
	if d, ok := t.class[Condition{Class: c.Class, Family: feed}]; ok {
		return d, ClassBasis
	}
	return AssumedGap, AssumedBasis
}
