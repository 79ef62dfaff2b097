package worlds

import "math"

// Family is a year of daily counts of one family, by feed: NaN on a day without
// data. Step is the planted change, if there is one.
type Family struct {
	Feeds [][]float64
	Step  Step
}

// Step is a change of level on a day. Feed is the one that changed, -1 where all
// did, and Factor is 0 where there is none.
type Step struct {
	Feed, Day int
	Factor    float64
}

// YearDays is how long a year of feeds is.
const YearDays = 365

// MakeFeeds makes a year of 2 to 5 feeds that see 3 families. Prior: a feed sees
// 10 to 500 of a family a day, log-uniform, where the family is as usual; a
// sixth of the families are seen by one feed alone. Of each family all feeds see
// the same curve in proportion: a wavering with a standard deviation of .1 to .3
// on the logarithm and an autocorrelation of .97 from day to day; up to two
// outbreaks that rise by a factor of 1.5 to 4, most of it within 10 to 28 days,
// and fade with a mean of 20 to 60 days; in half of them a decline to .3 to .7,
// most of it within 14 to 60 days. At week-ends there is .5 to 1 of it. What a
// feed sees is Poisson, with a noise of 3 to 10 % of its own, and it misses up to
// 5 % of the days.
//
// One step: one feed of several sees one family by a factor of .3 to .7, or one
// over that, from some day on, a month or more from either end of the year; the
// family is alone in its year, and seen by that feed at least 20 times a day
// before and after where it is as usual. One step, alone: there is no other feed.
// Shared step: all feeds of several take it, within 7 days of each other.
func MakeFeeds(d Dice, w Name) []Family {
	feeds := 2 + d.IntN(4)
	noise, misses := make([]float64, feeds), make([]float64, feeds)
	for i := range noise {
		noise[i], misses[i] = d.between(.03, .1), d.between(0, .05)
	}
	list := make([]Family, 3)
	if w != Ideal {
		list = list[:1]
	}
	for i := range list {
		n := feeds
		if w == LoneStep || w == Ideal && d.hit(1./6) {
			n = 1
		}
		levels := make([]float64, n)
		for j := range levels {
			levels[j] = d.between(10, 500)
		}
		f := &list[i]
		late := make([]int, n)
		if w != Ideal {
			f.Step = Step{Feed: -1, Day: 30 + d.IntN(YearDays-60), Factor: d.between(.3, .7)}
			if d.hit(.5) {
				f.Step.Factor = 1 / f.Step.Factor
			}
			if w != SharedStep {
				f.Step.Feed = d.IntN(n)
				levels[f.Step.Feed] = d.between(20/min(1, f.Step.Factor), 500)
			} else {
				for j := range late {
					late[j] = d.IntN(8)
				}
			}
		}
		curve := d.curve()
		for j, level := range levels {
			series := make([]float64, YearDays)
			for day := range series {
				mean := level * math.Exp(curve[day]+noise[j]*d.NormFloat64())
				if s := f.Step; s.Factor > 0 && (s.Feed == j || s.Feed < 0) && day >= s.Day+late[j] {
					mean *= s.Factor
				}
				series[day] = float64(d.poisson(mean))
				if d.hit(misses[j]) {
					series[day] = math.NaN()
				}
			}
			f.Feeds = append(f.Feeds, series)
		}
	}
	return list
}

// curve is the logarithm of how much of a family there is, day by day.
func (d Dice) curve() []float64 {
	out := make([]float64, YearDays)
	logistic := func(at, within float64, day int) float64 {
		return 1 / (1 + math.Exp(-(float64(day)-at)/within*2*math.Log(9))) // 10 to 90 %
	}
	const rho = .97
	waver, weekend, x := d.between(.1, .3), d.between(.5, 1), d.NormFloat64()
	for day := range out {
		x = rho*x + math.Sqrt(1-rho*rho)*d.NormFloat64()
		out[day] = waver * x
		if day%7 > 4 {
			out[day] += math.Log(weekend)
		}
	}
	for range d.IntN(3) {
		at, rise, height, fade := d.between(0, YearDays), d.between(10, 28), d.between(1.5, 4)-1, d.between(20, 60)
		for day := range out {
			up := height * logistic(at, rise, day)
			out[day] += math.Log1p(up * math.Exp(-max(0, float64(day)-at)/fade))
		}
	}
	if d.hit(.5) {
		at, within, left := d.between(0, YearDays), d.between(14, 60), d.between(.3, .7)
		for day := range out {
			out[day] += math.Log(1 - (1-left)*logistic(at, within, day))
		}
	}
	return out
}
