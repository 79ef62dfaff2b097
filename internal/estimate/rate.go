package estimate

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// Rate is events per unit of exposure with its 95 % interval.
type Rate struct {
	Rate float64
	CI   Interval
}

// PoissonRate gives k rare and independent events over an exposure (users,
// address-days, hours) with the exact interval of Garwood (1936), Biometrika
// 28, 437: quantiles of chi-squared with 2k and 2k+2 degrees of freedom. It is
// no interval for a stock that is counted day after day.
func PoissonRate(k int, exposure float64) (Rate, error) {
	if err := errors.Join(whole("k", k, 0), above("exposure", exposure)); err != nil {
		return Rate{}, err
	}
	lo := 0.0
	if k > 0 {
		lo = gammaQuantile(float64(k), .025)
	}
	return Rate{float64(k) / exposure, Interval{lo / exposure, gammaQuantile(float64(k)+1, .975) / exposure}}, nil
}

// Ratio is one value over another with its 95 % interval. ClearChange is false
// where the interval contains 1, and where there is none.
type Ratio struct {
	Ratio       float64
	CI          Interval
	ClearChange bool
}

func newRatio(r float64, ci Interval) Ratio {
	return Ratio{r, ci, ci.Known() && !ci.Has(1)}
}

// RateRatio compares two small independent Poisson counts over their exposures:
// given their sum, k1 is binomial, and the interval of Clopper and Pearson
// (1934), Biometrika 26, 404, for its share becomes one for the ratio. Where k2
// is 0, ratio and upper end are infinite.
func RateRatio(k1, k2 int, exposure1, exposure2 float64) (Ratio, error) {
	if err := errors.Join(whole("k[0]", k1, 0), whole("k[1]", k2, 0), above("exposure[0]", exposure1), above("exposure[1]", exposure2)); err != nil {
		return Ratio{}, err
	}
	if k1+k2 == 0 {
		return Ratio{}, errEmpty
	}
	scale := exposure2 / exposure1
	if math.IsInf(scale, 0) || scale == 0 {
		return Ratio{}, errors.New("the exposures are too far apart to be divided")
	}
	p := ClopperPearson(k1, k1+k2)
	odds := func(x float64) float64 {
		if x >= 1 {
			return math.Inf(1)
		}
		return x / (1 - x) * scale
	}
	r := math.Inf(1)
	if k2 > 0 {
		r = float64(k1) / float64(k2) * scale
	}
	return newRatio(r, Interval{odds(p.Lo), odds(p.Hi)}), nil
}

// ClopperPearson gives the exact 95 % interval for the share of k among n;
// [None] unless 0 <= k <= n and n > 0.
func ClopperPearson(k, n int) Interval {
	if n <= 0 || k < 0 || k > n {
		return None()
	}
	i := Interval{0, 1}
	if k > 0 {
		i.Lo = betaQuantile(float64(k), float64(n-k+1), .025)
	}
	if k < n {
		i.Hi = betaQuantile(float64(k+1), float64(n-k), .975)
	}
	return i
}

// QuasiPoissonRatio compares two independent counts whose variance is phi times
// their mean (McCullagh and Nelder 1989, section 6.2): ln R +- 1.96 sqrt(phi(1/a+1/b)).
// For weekly stocks of long infections it covers half of what it says: those
// are for [YearOnYear].
func QuasiPoissonRatio(current, prior, phi float64) (Ratio, error) {
	if err := errors.Join(need("current", current, 0), need("prior", prior, 0), above("phi", phi)); err != nil {
		return Ratio{}, err
	}
	if current == 0 || prior == 0 {
		return Ratio{}, errors.New("one of the counts is zero: use rate-ratio-exact")
	}
	r := current / prior
	f := math.Exp(z95 * math.Sqrt(phi*(1/current+1/prior)))
	return newRatio(r, Interval{r / f, r * f}), nil
}

// Wilson gives the score interval of Wilson (1927), JASA 22, 209, for the share
// of k among n at 95 %.
func Wilson(k, n int) (share float64, ci Interval, err error) {
	if err := errors.Join(whole("k", k, 0), whole("n", n, 1)); err != nil {
		return 0, None(), err
	}
	if k > n {
		return 0, None(), fmt.Errorf("k is %d of n = %d: a part cannot exceed the whole", k, n)
	}
	m, p := float64(n), float64(k)/float64(n)
	mid := (p + z95*z95/(2*m)) / (1 + z95*z95/m)
	half := z95 / (1 + z95*z95/m) * math.Sqrt(p*(1-p)/m+z95*z95/(4*m*m))
	return p, Interval{max(0, mid-half), min(1, mid+half)}, nil
}

// Region is a count among users.
type Region struct {
	Name  string
	Count int
	Users float64
}

// RegionRate is a region's rate per 100,000 users. Shrunk is drawn towards the
// country's rate, the more the fewer users there are; CI is its 95 % posterior
// interval.
type RegionRate struct {
	Name         string
	Rate, Shrunk float64
	CI           Interval
	// Within95 and Within998 are the funnel: where the region's raw rate would
	// be expected if it had the country's.
	Within95, Within998 Interval
}

// Shrink gives rates per 100,000 users so that small regions do not top a
// ranking by chance: gamma-Poisson empirical Bayes with moments (Marshall 1991,
// Applied Statistics 40, 283) and exact Poisson funnel limits (Spiegelhalter
// 2005, Statistics in Medicine 24, 1185). How much regions differ is not known
// where there are few, and never known to be nothing: its variance is taken as
// larger by 4/(n-1) of it and of what chance adds (chosen in the worlds of
// docs/calibration.md; Morris 1983, JASA 78, 47, says why), and the interval has
// the variance of the country's rate in it.
func Shrink(regions []Region) ([]RegionRate, error) {
	if len(regions) < 2 {
		return nil, errors.New("fewer than two regions: there is nothing to compare")
	}
	var y, u float64
	for _, r := range regions {
		if err := errors.Join(whole(r.Name+": count", r.Count, 0), above(r.Name+": users", r.Users)); err != nil {
			return nil, err
		}
		y, u = y+float64(r.Count), u+r.Users
	}
	if y == 0 {
		return nil, errEmpty
	}
	mean, between := y/u, 0.0
	for _, r := range regions {
		d := float64(r.Count)/r.Users - mean
		between += r.Users * d * d / u
	}
	n := float64(len(regions))
	chance := mean / (u / n)
	between = max(0, between-chance)
	between += 4 / (n - 1) * (between + chance)
	const per = 100_000
	out := make([]RegionRate, len(regions))
	for i, r := range regions {
		v := RegionRate{Name: r.Name, Rate: per * float64(r.Count) / r.Users}
		shape, rate := mean*mean/between+float64(r.Count), mean/between+r.Users
		v.Shrunk = per * shape / rate
		drawn := mean / between / rate // to the country's rate, whose own variance comes with it
		variance := shape/rate/rate + drawn*drawn*(between+chance)/n
		shape, rate = shape/rate*shape/rate/variance, shape/rate/variance
		v.CI = Interval{per * gammaQuantile(shape, .025) / rate, per * gammaQuantile(shape, .975) / rate}
		v.Within95 = funnel(mean, r.Users, .025)
		v.Within998 = funnel(mean, r.Users, .001)
		out[i] = v
	}
	return out, nil
}

// funnel gives the counts between which all but tail at either side lie, as
// rates per 100,000.
func funnel(mean, users, tail float64) Interval {
	e := mean * users
	return Interval{1e5 * float64(poissonQuantile(e, tail)) / users, 1e5 * float64(poissonQuantile(e, 1-tail)) / users}
}

// poissonQuantile is the least k with P(X <= k) >= p.
func poissonQuantile(mean, p float64) int {
	hi := int(mean+10*math.Sqrt(mean)) + 10
	return least(0, hi, func(k int) bool { return poissonCDF(k, mean) >= p })
}

// least gives the least k from lo to hi-1 for which f holds, hi where it holds
// for none; f must go on holding once it does.
func least(lo, hi int, f func(int) bool) int {
	for lo < hi {
		mid := lo + (hi-lo)/2
		if f(mid) {
			hi = mid
		} else {
			lo = mid + 1
		}
	}
	return lo
}

// Ranks are the ranks, from 1, of the two sorted values that enclose a
// quantile, and the exact probability with which they do.
type Ranks struct {
	Lo, Hi   int
	Coverage float64
}

// QuantileRanks gives the ranks among n independent values between which the p
// quantile lies with at least 95 %, at most 2.5 % on either side: binomial order
// statistics (Hahn and Meeker 1991, section 5.2). It is an error where n is too
// small for that.
func QuantileRanks(n int, p float64) (Ranks, error) {
	if err := whole("n", n, 1); err != nil {
		return Ranks{}, err
	}
	if !(p > 0 && p < 1) {
		return Ranks{}, fmt.Errorf("p is %g: it must lie between 0 and 1", p)
	}
	lo := least(1, n+1, func(l int) bool { return binomialCDF(l, n, p) > .025 })
	hi := least(1, n+1, func(u int) bool { return binomialCDF(u-1, n, p) >= .975 })
	if binomialCDF(lo-1, n, p) > .025 || hi > n {
		return Ranks{}, fmt.Errorf("n is %d: too few values for a 95 %% interval of the %g quantile", n, p)
	}
	return Ranks{lo, hi, binomialCDF(hi-1, n, p) - binomialCDF(lo-1, n, p)}, nil
}

// Columns says what the columns of a breakdown add up to.
type Columns struct {
	Sum       float64
	Partition bool
}

// ControllerColumns compares a total of hosts with its columns by controller's
// country. One host may have controllers in several countries: the columns are
// a partition only where they add up to the total.
func ControllerColumns(total float64, by map[string]float64) (Columns, error) {
	if err := need("total", total, 0); err != nil {
		return Columns{}, err
	}
	parts := make([]float64, 0, len(by))
	for k, v := range by {
		if err := need("by_country."+k, v, 0); err != nil {
			return Columns{}, err
		}
		if v > total {
			return Columns{}, fmt.Errorf("by_country.%s is %g of a total of %g: a part cannot exceed the whole", k, v, total)
		}
		parts = append(parts, v)
	}
	sum := exactSum(parts)
	return Columns{sum, sum == total}, nil
}

// exactSum adds from the least to the greatest, so that the order in which the
// values came changes nothing.
func exactSum(v []float64) float64 {
	slices.Sort(v)
	s := 0.0
	for _, x := range v {
		s += x
	}
	return s
}
