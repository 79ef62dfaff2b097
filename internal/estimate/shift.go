package estimate

import (
	"fmt"
	"maps"
	"math"
	"slices"
)

// Break is a level shift of one feed that the other feeds of the family do not
// share: what looks changed, not what it looks at.
type Break struct {
	Feed          string
	Day           int // the first day of the new level, from 0
	Before, After float64
}

// What makes a break; the numbers are chosen in worlds of a year
// (docs/calibration.md).
const (
	shiftDays = 14   // how many days before and after are compared,
	stepDays  = 4    // and how many right beside a step
	minMAD    = 3    // by how many MAD the level shifts,
	relMAD    = 2.5  // and it does against the other feeds
	minShift  = .223 // on the logarithm: a fifth less, or a quarter more
	nearShare = .5   // the part that the days beside the step carry,
	loneShare = .75  // and where the feed is alone
	loneUsual = 5    // how many times more they shift than those beside other days, where it is alone
	ownNoise  = .05  // the relative noise that a feed has besides that of counting
)

// CoverageBreaks finds coverage breaks in the daily counts of one family, by
// feed: steps that the other feeds do not take. NaN is a day without data; half
// of the days on both sides must have some. All series have one length.
//
// Counts are compared on the logarithm and without their weekly rhythm, by
// themselves and less the weighted mean of the other feeds. A break is where, in
// one of the two, the medians of 14 days before and after differ by more than
// three median absolute deviations and by a fifth or more, and in both the
// medians of the four days right beside it carry at least half of that: a step
// and no slope, of the feed and not of the others. The change point of two levels
// is its day. A feed alone cannot be told from the world: its steps are breaks
// where they carry three quarters, and are five times what is usual.
func CoverageBreaks(series map[string][]float64) ([]Break, error) {
	n := -1
	names := slices.Sorted(maps.Keys(series))
	for _, f := range names {
		if n < 0 {
			n = len(series[f])
		}
		if len(series[f]) != n {
			return nil, fmt.Errorf("%s has %d days, another feed %d", f, len(series[f]), n)
		}
		for i, v := range series[f] {
			if v < 0 || math.IsInf(v, 0) {
				return nil, fmt.Errorf("%s, day %d: %g is no count", f, i, v)
			}
		}
	}
	logs := make([][]float64, len(names))
	for i, f := range names {
		logs[i] = withoutRhythm(series[f])
	}
	var out []Break
	for i, f := range names {
		s := shifts{counts: series[f], own: logs[i]}
		for j := range logs {
			if j != i {
				s.others = append(s.others, other{series[names[j]], logs[j]})
			}
		}
		for _, day := range s.steps() {
			b, a := present(s.counts[max(0, day-shiftDays):day]), present(s.counts[day:min(n, day+shiftDays)])
			out = append(out, Break{f, day, median(b), median(a)})
		}
	}
	return out, nil
}

// withoutRhythm gives the logarithms of counts less what each day of the week
// has more or less than the days around it, in the median.
func withoutRhythm(counts []float64) []float64 {
	const week = 7
	out := make([]float64, len(counts))
	for i, v := range counts {
		out[i] = math.Log(v + .5)
	}
	var by [week][]float64
	for i := range out {
		if i < week/2 || i+week/2 >= len(out) {
			continue
		}
		if around, n := average(out[i-week/2 : i+week/2+1]); n == week {
			by[i%week] = append(by[i%week], out[i]-around)
		}
	}
	var rhythm [week]float64
	for k, v := range by {
		if len(v) < 4 {
			return out
		}
		rhythm[k] = median(v)
	}
	for i := range out {
		out[i] -= rhythm[i%week]
	}
	return out
}

// other is another feed of the family.
type other struct{ counts, logs []float64 }

// shifts is a feed, as counts and as logarithms, and the others of its family.
type shifts struct {
	counts, own []float64
	others      []other
}

// moment is how the level moves at one day: by is the difference of the medians
// of 14 days, strength the same in MAD, near the difference of those right beside
// the day. The first of each is of the feed, the second of the feed less the
// others.
type moment struct {
	by, strength, near [2]float64
	known              bool // of the feed
	alone              bool
}

// lone and rel are the two of a moment.
const (
	lone = iota
	rel
)

// around gives the days around one: the feed, and the feed less the others,
// with the least variance that chance gives each of them; day is where the one
// is in them.
func (s *shifts) around(at int) (v [2][]float64, chance [2]float64, day int, alone bool) {
	from, to := max(0, at-shiftDays), min(len(s.own), at+shiftDays)
	v = [2][]float64{s.own[from:to], slices.Clone(s.own[from:to])}
	var sum, weight [2 * shiftDays]float64
	total := 0.0
	for _, o := range s.others {
		b, nb := average(o.logs[from:at])
		a, na := average(o.logs[at:to])
		if nb < shiftDays/2 || na < shiftDays/2 {
			continue
		}
		level, _ := average(o.counts[from:to])
		x := 1 / (1/(level+.5) + ownNoise*ownNoise)
		total += x
		for i, y := range o.logs[from:to] {
			if !math.IsNaN(y) {
				sum[i], weight[i] = sum[i]+x*(y-(a+b)/2), weight[i]+x
			}
		}
	}
	level, _ := average(s.counts[from:to])
	chance[lone] = 1 / (level + .5)
	chance[rel] = chance[lone]
	if total > 0 {
		chance[rel] += 1 / total
		for i := range v[rel] {
			v[rel][i] -= sum[i] / weight[i]
		}
	}
	return v, chance, at - from, total == 0
}

func (s *shifts) moment(at int) moment {
	v, chance, day, alone := s.around(at)
	m := moment{alone: alone}
	for i := range v {
		by, mad, ok := shift(v[i], day, shiftDays, shiftDays/2)
		near, _, beside := shift(v[i], day, stepDays, 2)
		if ok && beside {
			// A count cannot be steadier than chance lets it.
			m.by[i], m.near[i], m.strength[i] = by, near, by/max(mad, .6745*math.Sqrt(chance[i]))
			m.known = m.known || i == lone
		}
	}
	return m
}

// shift gives by how much the medians of up to n present days after and before a
// day of v differ, and the median absolute deviation from them; false where there
// are fewer than least on a side.
func shift(v []float64, day, n, least int) (by, mad float64, ok bool) {
	var a, b, d [2 * shiftDays]float64
	before, after, dev := b[:0], a[:0], d[:0]
	for i := day - 1; i >= 0 && len(before) < n; i-- {
		if !math.IsNaN(v[i]) {
			before = append(before, v[i])
		}
	}
	for i := day; i < len(v) && len(after) < n; i++ {
		if !math.IsNaN(v[i]) {
			after = append(after, v[i])
		}
	}
	if len(before) < least || len(after) < least {
		return 0, 0, false
	}
	x, y := median(before), median(after)
	for _, z := range before {
		dev = append(dev, math.Abs(z-x))
	}
	for _, z := range after {
		dev = append(dev, math.Abs(z-y))
	}
	return y - x, median(dev), true
}

// steps gives the days of the feed's breaks.
func (s *shifts) steps() []int {
	list := make([]moment, len(s.own))
	var near []float64
	for day := 1; day < len(list); day++ {
		list[day] = s.moment(day)
		if list[day].known {
			near = append(near, math.Abs(list[day].near[lone]))
		}
	}
	if len(near) == 0 {
		return nil
	}
	usual := median(near)
	var out []int
	for _, i := range []int{rel, lone} {
		for day := 1; day < len(list); day++ {
			best, most, sign := -1, 0.0, list[day].by[i]
			for ; day < len(list); day++ { // the run of days at which the shift shows
				m := list[day]
				x := math.Abs(m.strength[i])
				if x <= minMAD || math.Abs(m.by[i]) < minShift || sign*m.by[i] < 0 {
					break
				}
				if x > most {
					best, most = day, x
				}
			}
			if best < 0 {
				continue
			}
			if at := s.change(best, i); at > 0 && list[at].isStep(i, usual) {
				out = append(out, at)
			}
		}
	}
	slices.Sort(out)
	return slices.CompactFunc(out, func(a, b int) bool { return b-a <= stepDays })
}

// isStep reports whether the level shifts in one step, and that of the feed and
// not of the others. Of i the shift was found, usual is how much the days beside
// a day shift in the median.
func (m moment) isStep(i int, usual float64) bool {
	by, share := m.by[i], nearShare
	if m.alone {
		share = loneShare
		if math.Abs(m.near[lone]) < loneUsual*usual {
			return false
		}
	}
	return by != 0 && m.by[rel]/by >= .5 && math.Abs(m.strength[rel]) >= relMAD &&
		m.near[rel]/by >= share && m.near[lone]/by >= share && m.near[lone]/m.near[rel] >= .5
}

// change gives the day of the change around one, by least squares of two
// levels; 0 where there is none.
func (s *shifts) change(at, i int) int {
	v, _, day, _ := s.around(at)
	best, most := 0, 0.0
	for k := range v[i] {
		b, nb := average(v[i][:k])
		a, na := average(v[i][k:])
		if nb < stepDays || na < stepDays {
			continue
		}
		if x := (a - b) * (a - b) / (1/float64(na) + 1/float64(nb)); x > most {
			best, most = at-day+k, x
		}
	}
	return best
}

// average is of the values that are there, 0 of none.
func average(v []float64) (mean float64, n int) {
	for _, x := range v {
		if !math.IsNaN(x) {
			mean, n = mean+x, n+1
		}
	}
	return mean / float64(max(n, 1)), n
}

// present gives the values that are there, sorted.
func present(s []float64) []float64 {
	var out []float64
	for _, v := range s {
		if !math.IsNaN(v) {
			out = append(out, v)
		}
	}
	slices.Sort(out)
	return out
}

// median sorts its values, of which there is at least one.
func median(v []float64) float64 {
	slices.Sort(v)
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}
