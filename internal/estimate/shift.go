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

// shiftDays is how many days before and after are compared.
const shiftDays = 14

// CoverageBreaks finds coverage breaks in the daily counts of one family, by
// feed: the medians of 14 days before and after differ by more than three
// median absolute deviations, and no other feed shifts the same way, by half as
// much in proportion or more, around that day. NaN is a day without data; half
// of the days on both sides must have some. All series have one length. A feed
// alone cannot be told from the world: its shifts are breaks.
func CoverageBreaks(series map[string][]float64) ([]Break, error) {
	n := -1
	for _, f := range slices.Sorted(maps.Keys(series)) {
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
	var out []Break
	for _, f := range slices.Sorted(maps.Keys(series)) {
		s := series[f]
		for day := 1; day < n; day++ {
			best, score, last := Break{}, 0.0, 0
			for ; day < n; day++ { // the run of days at which the shift shows
				b, strength := levelShift(s, day)
				if strength <= 3 {
					break
				}
				switch {
				case strength > score:
					best, score, last = Break{f, day, b.Before, b.After}, strength, day
				case strength == score && last == day-1:
					last = day
				}
			}
			// A median turns where half of its days have: around a clean step the shift is
			// as strong on each of them, and the step is in their middle.
			best.Day += (last - best.Day) / 2
			if score > 0 && !shared(series, best) {
				out = append(out, best)
			}
		}
	}
	return out, nil
}

// levelShift gives the medians before and after a day, and by how many MAD they
// differ; 0 where there is too little data.
func levelShift(s []float64, day int) (Break, float64) {
	before, after := present(s[max(0, day-shiftDays):day]), present(s[day:min(len(s), day+shiftDays)])
	if len(before) < shiftDays/2 || len(after) < shiftDays/2 {
		return Break{}, 0
	}
	b := Break{Before: median(before), After: median(after)}
	var dev []float64
	for _, v := range before {
		dev = append(dev, math.Abs(v-b.Before))
	}
	for _, v := range after {
		dev = append(dev, math.Abs(v-b.After))
	}
	// A count cannot be steadier than chance lets it: the MAD of a Poisson count
	// is .6745 times the root of its mean.
	mad := max(median(dev), .6745*math.Sqrt(max(b.Before, b.After)), .5)
	return b, math.Abs(b.After-b.Before) / mad
}

// shared reports whether another feed moves with b.
func shared(series map[string][]float64, b Break) bool {
	logOf := func(x Break) float64 { return math.Log((x.After + 1) / (x.Before + 1)) }
	mine := logOf(b)
	for f, s := range series {
		if f == b.Feed {
			continue
		}
		for day := max(1, b.Day-2); day <= min(len(s)-1, b.Day+2); day++ {
			if x, strength := levelShift(s, day); strength > 0 && logOf(x)/mine >= .5 {
				return true
			}
		}
	}
	return false
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
