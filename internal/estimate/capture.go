package estimate

import (
	"errors"
	"fmt"
	"math"
)

// Closed is an estimated size of a closed population: seen and unseen ids.
type Closed struct {
	Estimate, SE float64
	CI           Interval // 95 %, log-normal in the unseen part; None where that part is estimated as nobody
}

// logNormal is the interval of Burnham et al. (1987), as in Chao (1987),
// Biometrics 43, 783: the unseen part, times and through C.
func logNormal(seen, n, variance float64) Interval {
	unseen := n - seen
	if unseen <= 0 || variance <= 0 {
		return None()
	}
	c := math.Exp(z95 * math.Sqrt(math.Log1p(variance/(unseen*unseen))))
	return Interval{seen + unseen/c, seen + unseen*c}
}

// Chapman estimates a population from two lists of n1 and n2 stable ids with m
// on both (Chapman 1951, University of California Publications in Statistics 1,
// 131; variance of Seber 1970). To publish it, ask [Unseen].
func Chapman(n1, n2, m int) (Closed, error) {
	if err := errors.Join(whole("n1", n1, 1), whole("n2", n2, 1), whole("m", m, 0)); err != nil {
		return Closed{}, err
	}
	if m > min(n1, n2) {
		return Closed{}, fmt.Errorf("m is %d: it cannot exceed n1 = %d or n2 = %d, since m counts what is on both lists", m, n1, n2)
	}
	a, b, c := float64(n1), float64(n2), float64(m)
	n := (a+1)*(b+1)/(c+1) - 1
	v := ((a + 1) * (b + 1)) * ((a - c) * (b - c)) / ((c + 1) * (c + 1) * (c + 2))
	return Closed{n, math.Sqrt(v), logNormal(a+b-c, n, v)}, nil
}

// Chao1 gives a lower bound for a population of stable ids from how many were
// detected once (f1) and twice (f2) among seen ids in n detections: Chao
// (1984), Scandinavian Journal of Statistics 11, 265, and (1987), in the form
// of iNEXT. Without any seen twice, the bias-corrected form stands for it. To
// publish it, ask [Unseen].
func Chao1(seen, f1, f2, n int) (Closed, error) {
	if err := errors.Join(whole("S_obs", seen, 1), whole("f1", f1, 0), whole("f2", f2, 0), whole("n", n, 1)); err != nil {
		return Closed{}, err
	}
	if f1+f2 > seen {
		return Closed{}, fmt.Errorf("f1 + f2 is %d: it cannot exceed S_obs = %d", f1+f2, seen)
	}
	s, r1, r2, d := float64(seen), float64(f1), float64(f2), float64(n)
	if least := r1 + 2*r2 + 3*(s-r1-r2); d < least {
		return Closed{}, fmt.Errorf("n is %d: S_obs, f1 and f2 take at least %.0f detections", n, least)
	}
	k := (d - 1) / d
	var unseen, v float64
	if f2 > 0 {
		r := r1 / r2
		unseen = k * r1 * r1 / (2 * r2)
		v = r2 * (k/2*r*r + k*k*r*r*r + k*k/4*r*r*r*r)
	} else {
		unseen = k * r1 * (r1 - 1) / 2
		v = k*r1*(r1-1)/2 + k*k*r1*(2*r1-1)*(2*r1-1)/4 - k*k*r1*r1*r1*r1/(4*(s+unseen))
	}
	return Closed{s + unseen, math.Sqrt(max(0, v)), logNormal(s, s+unseen, v)}, nil
}

// Three counts ids by the lists that they are on: Z110 is on the first and the
// second only.
type Three struct{ Z111, Z110, Z101, Z011, Z100, Z010, Z001 int }

// ThreeListsResult is a sample-coverage estimate. It is no figure: models that
// fit equally well differ by a factor of three.
type ThreeListsResult struct {
	Estimate float64 // N0 = D/C
	Coverage float64 // C, 0 to 1
	Overlap  float64 // D, the mean of the distinct ids without those of one list only
}

// ThreeLists is the sample-coverage estimate for three lists (Chao and Tsay
// 1998, JASA 93, 283). It is an error where no id is on two lists.
func ThreeLists(z Three) (ThreeListsResult, error) {
	for _, c := range []struct {
		name string
		n    int
	}{{"z111", z.Z111}, {"z110", z.Z110}, {"z101", z.Z101}, {"z011", z.Z011}, {"z100", z.Z100}, {"z010", z.Z010}, {"z001", z.Z001}} {
		if err := whole(c.name, c.n, 0); err != nil {
			return ThreeListsResult{}, err
		}
	}
	single := [3]float64{float64(z.Z100), float64(z.Z010), float64(z.Z001)}
	size := [3]float64{
		float64(z.Z111) + float64(z.Z110) + float64(z.Z101) + single[0],
		float64(z.Z111) + float64(z.Z110) + float64(z.Z011) + single[1],
		float64(z.Z111) + float64(z.Z101) + float64(z.Z011) + single[2],
	}
	d := float64(z.Z111) + float64(z.Z110) + float64(z.Z101) + float64(z.Z011)
	if d == 0 {
		return ThreeListsResult{}, errors.New("no id is on two lists: nothing can be said of those on none")
	}
	c := 1.0
	for i := range 3 {
		if size[i] == 0 {
			return ThreeListsResult{}, fmt.Errorf("list %d is empty: leave it out and use chapman", i+1)
		}
		d += single[i] * 2 / 3
		c -= single[i] / size[i] / 3
	}
	return ThreeListsResult{d / c, c, d}, nil
}

// Pair is two lists of stable ids and how many are on both.
type Pair struct{ N1, N2, M int }

// Lists is what must be known before the unseen part of a population may be
// estimated. Fields that are not known stay empty, and then refuse.
type Lists struct {
	WindowDays float64
	// Stable says that ids outlast the window and are the same in every list:
	// never true of addresses in networks with churn.
	Stable bool
	// Upstreams names where each list comes from in the end; two lists with one
	// upstream are one witness.
	Upstreams []string
	// Pair is the two lists.
	Pair Pair
	// Strata splits the pair, by family and AS.
	Strata []Pair
	// Halves compares each list's first half of the window with its own second.
	Halves []Pair
	// Turns is how many ids the first list has in one half of the window and the
	// second list in another: Turns[0][1] those of the first list's first half and
	// the second list's second.
	Turns [2][2]int
	// Times is how many ids the first list detected once, twice, and so on;
	// TimesBy is the same split by family and AS.
	Times   []int
	TimesBy [][]int
}

// alpha is how often a test may refuse where nothing is wrong.
const alpha = .01

// Unseen estimates the population behind two lists by [Chapman], or says which
// test refuses:
//
//	window      longer than 7 days: the population is not closed
//	ids         not stable
//	upstream    not two different upstreams
//	strata      the strata's capture shares differ (chi-squared), or are not given
//	halves      a list against itself gives another population than against the
//	            other: matching is broken, or some are easier to see in both
//	closed      the lists agree more within a half of the window than across the
//	            halves (log odds ratio; Woolf 1955): hosts come and go
//	singletons  more ids seen once than a zero-truncated Poisson allows (Boehning,
//	            Kaskasamkul and van der Heijden 2019, Metrika 82, 361), or too few
//	            seen twice to tell
//	overlap     fewer than seven on both
//
// Each test refuses 1 to 2 % of lists with which nothing is wrong (docs/calibration.md).
func Unseen(l Lists) (Closed, *Refusal, error) {
	c, err := Chapman(l.Pair.N1, l.Pair.N2, l.Pair.M)
	if err != nil {
		return Closed{}, nil, err
	}
	r, err := l.window()
	if err != nil || r != nil {
		return Closed{}, r, err
	}
	if len(l.Upstreams) != 2 || l.Upstreams[0] == l.Upstreams[1] || l.Upstreams[0] == "" || l.Upstreams[1] == "" {
		return Closed{}, refuse("upstream", "The two lists are not known to come from two different upstreams; what shares one is one witness."), nil
	}
	if l.Pair.M < 7 {
		return Closed{}, refuse("overlap", "Only %d ids are on both lists; below 7 the estimate is biased.", l.Pair.M), nil
	}
	for _, f := range []func() (*Refusal, error){l.strata, func() (*Refusal, error) { return l.halves(c) }, l.closed, l.singletons} {
		if r, err := f(); err != nil || r != nil {
			return Closed{}, r, err
		}
	}
	return c, nil, nil
}

// AtLeast is [Chao1] over one list's Times, with the tests of [Unseen] that
// concern a single list: window, ids, singletons, and strata, by the share of
// the ids seen that were seen again.
func AtLeast(l Lists) (Closed, *Refusal, error) {
	r, err := l.window()
	if err != nil || r != nil {
		return Closed{}, r, err
	}
	for _, f := range []func() (*Refusal, error){l.again, l.singletons} {
		if r, err := f(); err != nil || r != nil {
			return Closed{}, r, err
		}
	}
	seen, n := 0, 0
	for i, f := range l.Times {
		seen, n = seen+f, n+f*(i+1)
	}
	c, err := Chao1(seen, l.Times[0], l.Times[1], n)
	return c, nil, err
}

func (l Lists) window() (*Refusal, error) {
	if err := above("window_days", l.WindowDays); err != nil {
		return nil, err
	}
	if l.WindowDays > 7 {
		return refuse("window", "The window has %g days; beyond 7 hosts come and go, and the population is not closed.", l.WindowDays), nil
	}
	if !l.Stable {
		return refuse("ids", "The ids are not known to be stable: an id that changes is counted as a further host."), nil
	}
	return nil, nil
}

// strata compares the share of the first list found on the second, and of the
// second on the first, between strata.
func (l Lists) strata() (*Refusal, error) {
	if len(l.Strata) < 2 {
		return refuse("strata", "The lists are not split by family and network, so that it cannot be told whether the feeds see the same part."), nil
	}
	var k1, n1, k2, n2 []float64
	for i, s := range l.Strata {
		if err := errors.Join(whole("n1", s.N1, 0), whole("n2", s.N2, 0), whole("m", s.M, 0)); err != nil {
			return nil, fmt.Errorf("stratum %d: %w", i+1, err)
		}
		if s.M > min(s.N1, s.N2) {
			return nil, fmt.Errorf("stratum %d: m is %d: it cannot exceed n1 = %d or n2 = %d", i+1, s.M, s.N1, s.N2)
		}
		k1, n1 = append(k1, float64(s.M)), append(n1, float64(s.N1))
		k2, n2 = append(k2, float64(s.M)), append(n2, float64(s.N2))
	}
	for i, p := range []float64{homogeneous(k1, n1), homogeneous(k2, n2)} {
		if p < alpha/2 {
			return refuse("strata", "The share of list %d that the other list has differs between families or networks (p = %.2g): the feeds see different parts.", i+1, p), nil
		}
	}
	return nil, nil
}

// again compares the share of ids seen more than once between strata.
func (l Lists) again() (*Refusal, error) {
	if len(l.TimesBy) < 2 {
		return refuse("strata", "The list is not split by family and network, so that it cannot be told whether the feed sees all of them alike."), nil
	}
	var k, n []float64
	for i, s := range l.TimesBy {
		var seen, once float64
		for j, f := range s {
			if err := whole(fmt.Sprintf("stratum %d: times[%d]", i+1, j), f, 0); err != nil {
				return nil, err
			}
			if seen += float64(f); j == 0 {
				once = float64(f)
			}
		}
		k, n = append(k, seen-once), append(n, seen)
	}
	if p := homogeneous(k, n); p < alpha {
		return refuse("strata", "The share of ids that were seen again differs between families or networks (p = %.2g): the feed does not see them alike.", p), nil
	}
	return nil, nil
}

// homogeneous gives the probability that shares k/n differ as they do, or more,
// where they are the same: Pearson's chi-squared.
func homogeneous(k, n []float64) float64 {
	var ks, ns float64
	for i := range k {
		ks, ns = ks+k[i], ns+n[i]
	}
	p := 0.0
	if ns > 0 {
		p = ks / ns
	}
	if p <= 0 || p >= 1 {
		return 1
	}
	x, df := 0.0, -1
	for i := range k {
		if n[i] == 0 {
			continue
		}
		d := k[i] - n[i]*p
		x += d * d / (n[i] * p * (1 - p))
		df++
	}
	if df < 1 {
		return 1
	}
	return chiTail(x, df)
}

// halves compares the population that the two lists give with those that each
// list gives with itself.
func (l Lists) halves(c Closed) (*Refusal, error) {
	if len(l.Halves) == 0 {
		return refuse("halves", "No list is split by time, so that it cannot be told whether ids match between lists as they do within one."), nil
	}
	for i, h := range l.Halves {
		s, err := Chapman(h.N1, h.N2, h.M)
		if err != nil {
			return nil, fmt.Errorf("halves %d: %w", i+1, err)
		}
		if h.M < 7 {
			return refuse("halves", "Only %d ids of list %d are in both halves of the window, too few to hold the lists against.", h.M, i+1), nil
		}
		v := c.SE*c.SE/(c.Estimate*c.Estimate) + s.SE*s.SE/(s.Estimate*s.Estimate)
		z := math.Abs(math.Log(c.Estimate/s.Estimate)) / math.Sqrt(v)
		if v > 0 && 2*normalCDF(-z) < alpha {
			return refuse("halves", "List %d against itself gives %.0f, the lists against each other %.0f: matching is broken, or some hosts are easier to see than others.", i+1, s.Estimate, c.Estimate), nil
		}
	}
	return nil, nil
}

// closed compares how often the lists agree within a half of the window with how
// often they do across the halves: as often, where everybody is there all the
// time. An id may count in several, which makes the variance too great.
func (l Lists) closed() (*Refusal, error) {
	var z, v float64
	for i, t := range l.Turns {
		for j, n := range t {
			if err := whole(fmt.Sprintf("turns[%d][%d]", i, j), n, 0); err != nil {
				return nil, err
			}
			x := float64(n) + .5
			v += 1 / x
			if i == j {
				z += math.Log(x)
			} else {
				z -= math.Log(x)
			}
		}
	}
	if l.Turns == [2][2]int{} {
		return refuse("closed", "What both lists have is not split by time, so that it cannot be told whether hosts come and go."), nil
	}
	if z /= math.Sqrt(v); normalCDF(-z) < alpha {
		return refuse("closed", "The lists agree more on one half of the window than across its halves: hosts come and go, and the population is not closed."), nil
	}
	return nil, nil
}

// singletons compares the ids seen once with what those seen more often let
// expect.
func (l Lists) singletons() (*Refusal, error) {
	var more, sum float64
	for i, f := range l.Times {
		if err := whole(fmt.Sprintf("times[%d]", i), f, 0); err != nil {
			return nil, err
		}
		if i > 0 {
			more, sum = more+float64(f), sum+float64(f)*float64(i+1)
		}
	}
	if more < 20 || len(l.Times) < 3 || sum <= 2*more {
		return refuse("singletons", "Only %.0f ids were seen more than once: too few to tell how many should have been seen once.", more), nil
	}
	want, sd := onceExpected(more, sum/more)
	if once := float64(l.Times[0]); once > want+2.326*sd {
		return refuse("singletons", "%.0f ids were seen once, where those seen more often let expect %.0f: ids that come once inflate every estimate.", once, want), nil
	}
	return nil, nil
}

// onceExpected gives how many ids a Poisson process detects once, where more
// ids were detected twice or more with this mean, and the standard deviation of
// the difference from what is seen.
func onceExpected(more, mean float64) (want, sd float64) {
	// mean = x(1-e^-x)/(1-e^-x-xe^-x) rises with x from 2.
	at := func(x float64) float64 { e := math.Exp(-x); return x * (1 - e) / (1 - e - x*e) }
	lo, hi := 1e-3, mean
	for range 60 {
		if mid := (lo + hi) / 2; at(mid) < mean {
			lo = mid
		} else {
			hi = mid
		}
	}
	x := (lo + hi) / 2
	once := func(x float64) float64 { e := math.Exp(-x); return x * e / (1 - e - x*e) }
	const h = 1e-4
	slope := (once(x+h) - once(x-h)) / (2 * h)
	rise := (at(x+h) - at(x-h)) / (2 * h)
	// The variance of one truncated count is x times the slope of its mean.
	vx := x / (rise * more)
	q := once(x)
	return more * q, math.Sqrt(more*q + more*q*q + more*more*slope*slope*vx)
}
