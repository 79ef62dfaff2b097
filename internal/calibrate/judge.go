package main

import (
	"fmt"
	"math"
	"runtime"
	"slices"
	"sync"

	"tocsin/internal/estimate"
	"tocsin/internal/sim/worlds"
)

// plant is a fault that is put in on purpose: the judgement must turn red.
type plant string

const (
	halfSE    plant = "half-se"    // every interval is half as wide
	swapFeeds plant = "swap-feeds" // two feeds change places between the years
)

// verdict is what an estimator gave in one run.
type verdict struct {
	truth, value float64
	ci           estimate.Interval
	refused      string // the test that refused
	// Of a change against last year: by how many points of per cent the matched
	// and the raw change are off.
	matchedOff, rawOff float64
	// What was decided rightly, of so many decisions, where there is no number.
	right, of int
}

// trial is an estimator in a world.
type trial struct {
	estimator string
	world     worlds.Name
	run       func(d worlds.Dice, p plant) (verdict, error)
	want      float64 // the part of the decisions that must be right, where there is no number
	seed      uint64
}

func trials() []trial {
	var list []trial
	counts := func(name string, f func(worlds.Counts) (verdict, error)) {
		list = append(list, trial{estimator: name, world: worlds.Ideal, run: func(d worlds.Dice, _ plant) (verdict, error) { return f(worlds.MakeCounts(d)) }})
	}
	counts("poisson-rate", func(c worlds.Counts) (verdict, error) {
		r, err := estimate.PoissonRate(c.K[0], c.Exposure[0])
		return verdict{truth: c.Rate[0], value: r.Rate, ci: r.CI}, err
	})
	counts("rate-ratio-exact", func(c worlds.Counts) (verdict, error) {
		r, err := estimate.RateRatio(c.K[0], c.K[1], c.Exposure[0], c.Exposure[1])
		return verdict{truth: c.Rate[0] / c.Rate[1], value: r.Ratio, ci: r.CI}, err
	})
	counts("quasi-poisson-ratio", func(c worlds.Counts) (verdict, error) {
		r, err := estimate.QuasiPoissonRatio(c.Clumped[0], c.Clumped[1], c.Phi)
		return verdict{truth: c.Rate[0] * c.Exposure[0] / (c.Rate[1] * c.Exposure[1]), value: r.Ratio, ci: r.CI}, err
	})
	counts("wilson", func(c worlds.Counts) (verdict, error) {
		p, ci, err := estimate.Wilson(c.Hits, c.Of)
		return verdict{truth: c.Share, value: p, ci: ci}, err
	})
	counts("quantile-ranks", func(c worlds.Counts) (verdict, error) {
		r, err := estimate.QuantileRanks(len(c.Values), .5)
		if err != nil {
			return verdict{}, err
		}
		slices.Sort(c.Values)
		return verdict{truth: c.Median, value: c.Values[len(c.Values)/2], ci: estimate.Interval{Lo: c.Values[r.Lo-1], Hi: c.Values[r.Hi-1]}}, nil
	})
	for _, e := range []struct {
		name   string
		f      func(estimate.Lists) (estimate.Closed, *estimate.Refusal, error)
		worlds []worlds.Name
	}{
		{"chapman", estimate.Unseen, []worlds.Name{worlds.Ideal, worlds.OneInflation, worlds.SpecialisedFeeds, worlds.BrokenMatching, worlds.Turnover}},
		{"chao1", estimate.AtLeast, []worlds.Name{worlds.Ideal, worlds.OneInflation, worlds.SpecialisedFeeds, worlds.BrokenMatching}},
	} {
		for _, w := range e.worlds {
			list = append(list, trial{estimator: e.name, world: w, run: func(d worlds.Dice, _ plant) (verdict, error) {
				c := worlds.MakeCapture(d, w)
				x, r, err := e.f(lists(c))
				return verdict{truth: float64(c.Hosts), value: x.Estimate, ci: x.CI, refused: test(r)}, err
			}})
		}
	}
	for _, w := range []worlds.Name{worlds.Ideal, worlds.PoolReuse, worlds.CGN, worlds.SparseSightings, worlds.SparseReuse, worlds.ShortActivity, worlds.WrongTable} {
		list = append(list, trial{estimator: "cardcount", world: w, run: func(d worlds.Dice, _ plant) (verdict, error) {
			l := worlds.MakeLeases(d, w)
			n := estimate.Network{
				Addresses: l.Addresses, WindowDays: float64(l.WindowDays), DailyAddresses: float64(l.AddressDays) / float64(l.WindowDays), Events: l.Events,
				Pool: l.Pool, IDsPerAddress: l.IDsPerAddress,
			}
			for _, x := range l.Durations {
				n.Durations = append(n.Durations, estimate.Duration{Days: x, Weight: 1})
			}
			h, r, err := estimate.CARDCount(n)
			return verdict{truth: l.Hosts, value: h.Hosts, ci: h.CI, refused: test(r)}, err
		}})
	}
	for _, w := range []worlds.Name{worlds.Ideal, worlds.Autocorrelated, worlds.SinkholeMoved, worlds.UnequalDays, worlds.WitnessAndMove} {
		list = append(list, trial{estimator: "year-on-year", world: w, run: func(d worlds.Dice, p plant) (verdict, error) { return year(d, w, p) }})
	}
	return append(list, decisions()...)
}

func test(r *estimate.Refusal) string {
	if r == nil {
		return ""
	}
	return r.Test
}

func lists(c worlds.Capture) estimate.Lists {
	pair := func(t [3]int) estimate.Pair { return estimate.Pair{N1: t[0], N2: t[1], M: t[2]} }
	l := estimate.Lists{WindowDays: 7, Stable: true, Upstreams: []string{"a", "b"}, Pair: pair(c.Pair), Turns: c.Turns, Times: c.Times, TimesBy: c.TimesBy}
	for _, s := range c.Strata {
		l.Strata = append(l.Strata, pair(s))
	}
	for _, h := range c.Halves {
		l.Halves = append(l.Halves, pair(h))
	}
	return l
}

// year compares the last period of a stock with the first.
func year(d worlds.Dice, w worlds.Name, p plant) (verdict, error) {
	s := worlds.MakeStock(d, w)
	if p == swapFeeds {
		for _, as := range s.Seen {
			for day := 2 * worlds.Days; day < 3*worlds.Days; day++ {
				var swapped [1 << worlds.Witnesses]int
				for pattern, n := range as[day] {
					swapped[pattern&2|pattern>>2&1|pattern&1<<2] += n
				}
				as[day] = swapped
			}
		}
	}
	then, now := map[estimate.Cell][]bool{}, map[estimate.Cell][]bool{}
	series := map[string][]float64{}
	for i, covered := range s.Covered {
		name := string(rune('a' + i))
		c := estimate.Cell{Witness: name}
		then[c], now[c] = covered[:worlds.Days], covered[2*worlds.Days:]
		series[name] = make([]float64, len(covered))
		for day, on := range covered {
			series[name][day] = math.NaN()
			if on {
				series[name][day] = float64(seen(s, day, 1<<i))
			}
		}
	}
	matched, err := estimate.MatchedDays(then, now)
	if err != nil {
		return verdict{}, err
	}
	breaks, err := estimate.CoverageBreaks(series)
	if err != nil {
		return verdict{}, err
	}
	y := estimate.Years{Seed: d.Uint64(), Draws: 1000}
	for _, b := range breaks {
		y.Breaks = append(y.Breaks, b.Feed)
	}
	var masks [worlds.Days]int
	for c, days := range matched {
		for day, on := range days {
			if on {
				masks[day] |= 1 << (c.Witness[0] - 'a')
			}
		}
	}
	for i, as := range s.Seen {
		c := estimate.Cluster{AS: uint32(i)}
		for day, mask := range masks {
			c.Then += float64(union(as[day], mask))
			c.Now += float64(union(as[2*worlds.Days+day], mask))
		}
		y.Clusters = append(y.Clusters, c)
	}
	for day := range worlds.Days {
		y.Then += float64(seen(s, day, -1))
		y.Now += float64(seen(s, 2*worlds.Days+day, -1))
	}
	out, r, err := estimate.YearOnYear(y)
	return verdict{
		truth: s.Growth, value: out.Ratio.Ratio, ci: out.CI, refused: test(r),
		matchedOff: 100 * math.Abs(out.MatchedNow/out.MatchedThen-s.Realised), rawOff: 100 * math.Abs(out.Now/out.Then-s.Realised),
	}, err
}

// seen counts hosts of all ASes on a day, seen by any witness of the mask.
func seen(s worlds.Stock, day, mask int) int {
	n := 0
	for _, as := range s.Seen {
		n += union(as[day], mask)
	}
	return n
}

func union(patterns [1 << worlds.Witnesses]int, mask int) int {
	n := 0
	for pattern, k := range patterns {
		if pattern&mask != 0 {
			n += k
		}
	}
	return n
}

// score sums up an estimator in a world.
type score struct {
	estimator string
	world     worlds.Name
	runs      int
	refused   map[string]int // by test
	given     int
	covered   int
	bias      float64 // mean of value/truth - 1, where a number is given
	width     float64 // median width of the interval over the truth
	interval  float64 // mean interval score over the truth
	// Medians of what changes are off by, in points of per cent, over the runs in
	// which a number is given and the raw change is off by more than 10.
	matchedOff, rawOff float64
	far                int // how many runs that are
	right, of          int
	want               float64
	broken             []string
}

// cover is the part of the given intervals that hold the truth, and its Monte
// Carlo error.
func (s score) cover() (part, mcError float64) {
	if s.given == 0 {
		return math.NaN(), math.NaN()
	}
	n := float64(s.given)
	p := float64(s.covered) / n
	return p, math.Sqrt(max(p*(1-p), .95*.05) / n)
}

// safe is the part of all runs in which nothing wrong is said.
func (s score) safe() float64 { return 1 - float64(s.given-s.covered)/float64(s.runs) }

// judge runs every trial, or those of one estimator, and holds the rules
// against it.
func judge(runs int, seed uint64, p plant, only string) ([]score, error) {
	list := trials()
	for i := range list {
		list[i].seed = seed + uint64(i)<<32
	}
	list = slices.DeleteFunc(list, func(t trial) bool { return only != "" && t.estimator != only })
	if len(list) == 0 {
		return nil, fmt.Errorf("there is no estimator %q", only)
	}
	scores, errs := make([]score, len(list)), make([]error, len(list))
	var wg sync.WaitGroup
	free := make(chan struct{}, runtime.GOMAXPROCS(0))
	for i, t := range list {
		wg.Go(func() {
			free <- struct{}{}
			defer func() { <-free }()
			scores[i], errs[i] = t.judge(runs, p)
		})
	}
	wg.Wait()
	for i, err := range errs {
		if err != nil {
			return nil, fmt.Errorf("%s in %s: %w", list[i].estimator, list[i].world, err)
		}
	}
	return scores, nil
}

func (t trial) judge(runs int, p plant) (score, error) {
	s := score{estimator: t.estimator, world: t.world, runs: runs, refused: map[string]int{}, want: t.want}
	var widths, matched, raw []float64
	for run := range runs {
		v, err := t.run(worlds.NewDice(t.seed, uint64(run)), p)
		if err != nil {
			return s, fmt.Errorf("run %d: %w", run, err)
		}
		if v.refused != "" {
			s.refused[v.refused]++
			continue
		}
		if s.right, s.of = s.right+v.right, s.of+v.of; v.of > 0 {
			continue
		}
		if p == halfSE {
			v.ci = estimate.Interval{Lo: math.Sqrt(v.ci.Lo * v.value), Hi: math.Sqrt(v.ci.Hi * v.value)}
		}
		s.given++
		if v.ci.Has(v.truth) {
			s.covered++
		}
		s.bias += v.value/v.truth - 1
		widths = append(widths, (v.ci.Hi-v.ci.Lo)/v.truth)
		// Gneiting and Raftery (2007), JASA 102, 359, equation 43, at 95 %.
		s.interval += (v.ci.Hi - v.ci.Lo + 40*max(0, v.ci.Lo-v.truth) + 40*max(0, v.truth-v.ci.Hi)) / v.truth
		if v.rawOff > 10 {
			matched, raw = append(matched, v.matchedOff), append(raw, v.rawOff)
		}
	}
	if s.given > 0 {
		s.bias, s.interval = s.bias/float64(s.given), s.interval/float64(s.given)
	}
	s.width, s.matchedOff, s.rawOff, s.far = middle(widths), middle(matched), middle(raw), len(raw)
	s.rules()
	return s, nil
}

func middle(v []float64) float64 {
	if len(v) == 0 {
		return math.NaN()
	}
	slices.Sort(v)
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}

// rules notes which rules are broken.
func (s *score) rules() {
	note := func(format string, args ...any) { s.broken = append(s.broken, fmt.Sprintf(format, args...)) }
	if s.of > 0 {
		// What is wanted must be told from what was found by two Monte Carlo errors.
		x := float64(s.right) / float64(s.of)
		if e := math.Sqrt(x * (1 - x) / float64(s.of)); x+2*e < s.want {
			note("%.1f %% are right, want %.0f %%", 100*x, 100*s.want)
		}
		return
	}
	if s.world == worlds.Ideal {
		if g := float64(s.given) / float64(s.runs); g < .8 {
			note("a number in %.1f %% of runs, want 80 %%", 100*g)
		}
		// A coverage beyond 93 to 97 % must be told from it by two Monte Carlo errors.
		if c, e := s.cover(); !(c+2*e >= .93 && c-2*e <= .97) {
			note("covers %.1f %%, want 93 to 97 %%", 100*c)
		}
	} else if s.safe() < .9 {
		note("refuses or covers in %.1f %% of runs, want 90 %%", 100*s.safe())
	}
	if s.far > 0 && s.matchedOff >= 1 {
		note("the matched change is off by %.2f points in the median, want less than 1", s.matchedOff)
	}
	if s.world == worlds.UnequalDays && s.far == 0 {
		note("the raw change was never off by 10 points: the world tests nothing")
	}
}
