package estimate

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
)

// Spell is how long an episode lasted, as far as it is known, in days from its
// start: longer than After, at most Until. Until is infinite while it is open.
// Entry is when it came under observation: spells that ended before that were
// never seen.
type Spell struct{ Entry, After, Until float64 }

// Step is a part of the distribution of durations: Mass ends after After and at
// Until or before, and it is not known where between.
type Step struct{ After, Until, Mass float64 }

// Survival is a distribution of durations. Median is where half have ended: an
// interval within which it is not identified, with an infinite end where fewer
// than half have. It is no confidence interval. CI is one, of 95 %: from where
// the distribution reaches 1.96 standard errors less than half, to where it
// reaches as much more (Brookmeyer and Crowley 1982, Biometrics 38, 29), with the
// variance of Greenwood (1926) and ends in the middle of where they can be.
type Survival struct {
	Steps      []Step
	Median, CI Interval
	// Settled is false where the iteration was cut off.
	Settled bool
}

// At gives the least and the greatest share that lasts longer than t days.
func (s Survival) At(t float64) Interval {
	i := Interval{1, 1}
	for _, st := range s.Steps {
		if st.Until <= t {
			i.Hi -= st.Mass
		}
		if st.After < t {
			i.Lo -= st.Mass
		}
	}
	return Interval{max(0, i.Lo), max(0, i.Hi)}
}

// Turnbull gives the distribution of interval-censored durations with delayed
// entry by self-consistency (Turnbull 1976, JRSS B 38, 290; with the entries
// among the ends of the innermost intervals, Frydman 1994, JRSS B 56, 71).
func Turnbull(spells []Spell) (Survival, error) {
	if len(spells) == 0 {
		return Survival{}, errEmpty
	}
	for i, s := range spells {
		if err := errors.Join(need("entry", s.Entry, 0), need("after", s.After, 0)); err != nil {
			return Survival{}, fmt.Errorf("spell %d: %w", i+1, err)
		}
		if !(s.Until > s.After) || s.After < s.Entry {
			return Survival{}, fmt.Errorf("spell %d: entry %g, after %g, until %g: want entry <= after < until", i+1, s.Entry, s.After, s.Until)
		}
	}
	steps := innermost(spells)
	if len(steps) == 0 {
		return Survival{}, errEmpty
	}
	// Steps lo to hi-1 lie within the spell, those from in on after its entry.
	type reach struct{ lo, hi, in int }
	weight := map[reach]float64{} // spells of whole days are alike, most of them
	for _, s := range spells {
		from := func(t float64) int {
			k, _ := slices.BinarySearchFunc(steps, t, func(st Step, t float64) int { return cmp.Compare(st.After, t) })
			return k
		}
		hi := len(steps)
		if !math.IsInf(s.Until, 1) {
			hi = least(0, len(steps), func(k int) bool { return steps[k].Until > s.Until })
		}
		weight[reach{from(s.After), hi, from(s.Entry)}]++
	}
	reaches := slices.SortedFunc(maps.Keys(weight), func(a, b reach) int {
		return cmp.Or(cmp.Compare(a.lo, b.lo), cmp.Compare(a.hi, b.hi), cmp.Compare(a.in, b.in))
	})
	n := len(steps)
	p, sum, add := make([]float64, n), make([]float64, n+1), make([]float64, n+1)
	for i := range p {
		p[i] = 1 / float64(n)
	}
	out := Survival{}
	for range 20_000 {
		for i, x := range p {
			sum[i+1] = sum[i] + x
		}
		clear(add)
		total := 0.0
		for _, r := range reaches {
			in, seen := sum[r.hi]-sum[r.lo], 1-sum[r.in]
			if in <= 0 || seen <= 0 {
				continue
			}
			// The spells, and those that ended before they could be seen.
			w := weight[r]
			add[r.lo] += w / in
			add[r.hi] -= w / in
			add[0] += w / seen
			add[r.in] -= w / seen
			total += w / seen
		}
		moved, run := 0.0, 0.0
		for i := range p {
			run += add[i]
			x := p[i] * run / total
			moved = max(moved, math.Abs(x-p[i]))
			p[i] = x
		}
		if moved < 1e-10 {
			out.Settled = true
			break
		}
	}
	for i, st := range steps {
		if st.Mass = p[i]; st.Mass >= 1e-9 {
			out.Steps = append(out.Steps, st)
		}
	}
	out.Median = out.ended(.5)
	out.CI = out.around(spells)
	return out, nil
}

// around gives the interval of the median.
func (s Survival) around(spells []Spell) Interval {
	entries, ends := make([]float64, len(spells)), make([]float64, len(spells))
	for i, x := range spells {
		entries[i], ends[i] = x.Entry, x.After
		if !math.IsInf(x.Until, 1) {
			ends[i] = (x.After + x.Until) / 2
		}
	}
	slices.Sort(entries)
	slices.Sort(ends)
	upTo := func(sorted []float64, t float64) int {
		return least(0, len(sorted), func(i int) bool { return sorted[i] > t })
	}
	left, sum := 1.0, 0.0
	for _, st := range s.Steps {
		if st.Until > s.Median.Hi || left-st.Mass <= 0 {
			break
		}
		risk := upTo(entries, st.After) - upTo(ends, st.After)
		sum += st.Mass / (left - st.Mass) / float64(max(risk, 1))
		left -= st.Mass
	}
	e := z95 * .5 * math.Sqrt(sum)
	return Interval{s.ended(max(.5-e, 0)).Lo, s.ended(min(.5+e, 1)).Hi}
}

// ended gives the step in which the share that has ended is reached.
func (s Survival) ended(share float64) Interval {
	left := 1.0
	for _, st := range s.Steps {
		if left -= st.Mass; left <= 1-share+1e-9 {
			return Interval{st.After, st.Until}
		}
	}
	return Interval{math.Inf(1), math.Inf(1)}
}

// innermost gives the intervals that can hold mass: from a left end to a right
// end, or to an entry, with no end between.
func innermost(spells []Spell) []Step {
	type end struct {
		at   float64
		left bool
	}
	ends := make([]end, 0, 3*len(spells))
	for _, s := range spells {
		ends = append(ends, end{s.After, true}, end{s.Until, false})
		if s.Entry > 0 {
			ends = append(ends, end{s.Entry, false})
		}
	}
	slices.SortFunc(ends, func(a, b end) int {
		if c := cmp.Compare(a.at, b.at); c != 0 || a.left == b.left {
			return c
		}
		if a.left {
			return 1 // (a,b] and (b,c] share nothing
		}
		return -1
	})
	var out []Step
	for i := 1; i < len(ends); i++ {
		if ends[i-1].left && !ends[i].left {
			out = append(out, Step{After: ends[i-1].at, Until: ends[i].at})
		}
	}
	return out
}
