package estimate

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
)

// minMatched is the least share of the current volume that must be matched
// before a percentage is shown.
const minMatched = .6

// Waterfall is how the value then becomes the value now: matched change, plus
// entries, minus exits.
type Waterfall struct {
	Then, Now               float64 // all that was seen
	MatchedThen, MatchedNow float64
	Entries, Exits          float64 // Now - MatchedNow, Then - MatchedThen
}

// RawChange is Now/Then - 1; infinite or NaN where Then is 0.
func (w Waterfall) RawChange() float64 { return w.Now/w.Then - 1 }

// MatchedChange is MatchedNow/MatchedThen - 1; infinite or NaN where
// MatchedThen is 0.
func (w Waterfall) MatchedChange() float64 { return w.MatchedNow/w.MatchedThen - 1 }

// MatchedShare is the matched part of the current value, 0 to 1; 1 where there
// is none.
func (w Waterfall) MatchedShare() float64 {
	if w.Now == 0 {
		return 1
	}
	return w.MatchedNow / w.Now
}

// Refused says why no percentage may be shown, or nil.
func (w Waterfall) Refused() *Refusal {
	switch {
	case w.MatchedThen <= 0:
		return refuse("matched", "Nothing was seen then by those who look now.")
	case w.MatchedShare() < minMatched:
		return refuse("matched", "Only %.0f %% of the current value comes from where was looked in both periods; below 60 %% no percentage is shown.", 100*w.MatchedShare())
	}
	return nil
}

// MatchedPanel compares two periods by disjoint cells. A cell that is absent in
// a period was not monitored then, which is not zero.
func MatchedPanel(prior, current map[string]float64) (Waterfall, error) {
	if len(prior) == 0 && len(current) == 0 {
		return Waterfall{}, errEmpty
	}
	var then, now, mthen, mnow []float64
	for k, v := range prior {
		if err := need("prior."+k, v, 0); err != nil {
			return Waterfall{}, err
		}
		then = append(then, v)
		if _, both := current[k]; both {
			mthen = append(mthen, v)
		}
	}
	for k, v := range current {
		if err := need("current."+k, v, 0); err != nil {
			return Waterfall{}, err
		}
		now = append(now, v)
		if _, both := prior[k]; both {
			mnow = append(mnow, v)
		}
	}
	w := Waterfall{Then: exactSum(then), Now: exactSum(now), MatchedThen: exactSum(mthen), MatchedNow: exactSum(mnow)}
	w.Entries, w.Exits = w.Now-w.MatchedNow, w.Then-w.MatchedThen
	return w, nil
}

// Cell is the smallest unit of which it is known whether it was covered.
type Cell struct {
	Witness, Class string
	AS             uint32
}

// MatchedDays gives, for each cell, the days of the period on which it was
// covered in both years: element i of each list is the period's i-th calendar
// day. Cells without such a day are left out. Values over the result are the
// distinct assets of an AS and day over the witnesses matched on that day.
func MatchedDays(then, now map[Cell][]bool) (map[Cell][]bool, error) {
	out := map[Cell][]bool{}
	for c, a := range then {
		b, ok := now[c]
		if !ok {
			continue
		}
		if len(a) != len(b) {
			return nil, fmt.Errorf("cell %v has %d days then and %d now: leave out 29 February", c, len(a), len(b))
		}
		both := make([]bool, len(a))
		for i := range a {
			both[i] = a[i] && b[i]
		}
		if slices.Contains(both, true) {
			out[c] = both
		}
	}
	return out, nil
}

// Cluster is one AS in both years: unions over its matched witnesses and days,
// in any unit that is the same in both.
type Cluster struct {
	AS        uint32
	Then, Now float64
}

// Years is the same period of two years.
type Years struct {
	Clusters []Cluster
	// Then and Now are the values over all witnesses and days, as published.
	Then, Now float64
	// Breaks names the coverage breaks that lie between; see [CoverageBreaks].
	Breaks []string
	Seed   uint64
	Draws  int // of the bootstrap; 0 for 2,000
}

// Year is a change against the same period of last year.
type Year struct {
	Ratio
	Waterfall
}

// YearOnYear compares matched values with a bootstrap over AS clusters, the
// same AS in both years, percentile (Efron and Tibshirani 1993, chapter 13;
// Field and Welsh 2007, JRSS B 69, 369), widened on the logarithm for few
// clusters as Hesterberg (2015), American Statistician 69, 371, does: by
// sqrt(n/(n-1)), and by Student's quantile over the normal one, here with the
// number of equal clusters that would be as unequal. The same seed gives the
// same bytes. Clusters may come in any order. It refuses:
//
//	matched   less than 60 % of the current value is matched
//	break     a coverage break lies between
//	clusters  fewer than 12 clusters, or as unequal as fewer than 6 equal ones
func YearOnYear(y Years) (Year, *Refusal, error) {
	if err := errors.Join(need("then", y.Then, 0), need("now", y.Now, 0)); err != nil {
		return Year{}, nil, err
	}
	if y.Draws < 0 || y.Draws > 1_000_000 {
		return Year{}, nil, fmt.Errorf("%d draws: want at most a million", y.Draws)
	}
	list := slices.Clone(y.Clusters)
	slices.SortFunc(list, func(a, b Cluster) int { return int(int64(a.AS) - int64(b.AS)) })
	var a, b, squares float64
	w := Waterfall{Then: y.Then, Now: y.Now}
	for i, c := range list {
		if err := errors.Join(need(fmt.Sprintf("AS%d then", c.AS), c.Then, 0), need(fmt.Sprintf("AS%d now", c.AS), c.Now, 0)); err != nil {
			return Year{}, nil, err
		}
		if i > 0 && c.AS == list[i-1].AS {
			return Year{}, nil, fmt.Errorf("AS%d is there twice", c.AS)
		}
		a, b = a+c.Then, b+c.Now
		squares += (c.Then + c.Now) * (c.Then + c.Now)
	}
	const rounding = 1 + 1e-9
	if a > y.Then*rounding || b > y.Now*rounding {
		return Year{}, nil, errors.New("the matched values exceed the values over everything")
	}
	w.MatchedThen, w.MatchedNow = a, b
	w.Entries, w.Exits = max(0, w.Now-b), max(0, w.Then-a)
	out := Year{Waterfall: w}
	if len(y.Breaks) > 0 {
		return out, refuse("break", "A coverage break lies between the two periods: %v.", y.Breaks), nil
	}
	if r := w.Refused(); r != nil {
		return out, r, nil
	}
	if b == 0 {
		return out, refuse("clusters", "Nothing was seen now by those who looked in both years; use an exact interval for small counts."), nil
	}
	eff := (a + b) * (a + b) / squares
	if len(list) < 12 || eff < 6 {
		return out, refuse("clusters", "%d networks, as unequal as %.1f equal ones, are too few for an interval.", len(list), eff), nil
	}
	draws := y.Draws
	if draws == 0 {
		draws = 2000
	}
	rng := rand.New(rand.NewPCG(y.Seed, 0x79656172)) //nolint:gosec // a seeded simulation, no secret
	logs := make([]float64, draws)
	r := b / a
	widen := math.Sqrt(float64(len(list))/float64(len(list)-1)) * student95(eff-1) / z95
	for i := range logs {
		var s, t float64
		for range list {
			c := list[rng.IntN(len(list))]
			s, t = s+c.Then, t+c.Now
		}
		// Zero over something is the least there is, something over zero the most.
		logs[i] = widen * math.Log(t/s/r)
		if s == 0 {
			logs[i] = math.Inf(1)
		}
	}
	slices.Sort(logs)
	out.Ratio = newRatio(r, Interval{r * math.Exp(quantile(logs, .025)), r * math.Exp(quantile(logs, .975))})
	return out, nil, nil
}

// quantile interpolates between sorted values, of which there is at least one.
func quantile(sorted []float64, p float64) float64 {
	x := p * float64(len(sorted)-1)
	i := int(x)
	if i+1 >= len(sorted) || sorted[i] == sorted[i+1] {
		return sorted[i]
	}
	switch a, b := sorted[i], sorted[i+1]; {
	case math.IsInf(a, -1):
		return a
	case math.IsInf(b, 1):
		return b
	default:
		return a + (x-float64(i))*(b-a)
	}
}
