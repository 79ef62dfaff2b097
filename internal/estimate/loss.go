package estimate

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
)

// LogNormal is a log-normal distribution of an amount.
type LogNormal struct{ Mu, Sigma float64 }

// LogNormalFrom90 takes the 5 % and 95 % points that somebody gave:
// mu = (ln lo + ln hi)/2, sigma = (ln hi - ln lo)/3.2897.
func LogNormalFrom90(p05, p95 float64) (LogNormal, error) {
	if err := errors.Join(above("p05", p05), above("p95", p95)); err != nil {
		return LogNormal{}, err
	}
	if p95 < p05 {
		return LogNormal{}, fmt.Errorf("p95 is %g, below p05 = %g", p95, p05)
	}
	return LogNormal{(math.Log(p05) + math.Log(p95)) / 2, (math.Log(p95) - math.Log(p05)) / (2 * z90)}, nil
}

// Median is the amount that half of the cases stay below.
func (l LogNormal) Median() float64 { return math.Exp(l.Mu) }

// Mean is the mean amount; it may overflow to infinity.
func (l LogNormal) Mean() float64 { return math.Exp(l.Mu + l.Sigma*l.Sigma/2) }

// PERTShape is a beta distribution between Min and Max (Malcolm et al. 1959,
// Operations Research 7, 646; Vose 2008).
type PERTShape struct{ Min, Max, Mean, Alpha, Beta float64 }

// PERT takes the least, the likeliest and the greatest amount; lambda says how
// much the likeliest weighs, 4 as a rule.
func PERT(least, mode, most, lambda float64) (PERTShape, error) {
	if err := errors.Join(need("min", least, -math.MaxFloat64), need("mode", mode, -math.MaxFloat64), need("max", most, -math.MaxFloat64), need("lambda", lambda, 0)); err != nil {
		return PERTShape{}, err
	}
	if !(least <= mode && mode <= most && least < most) {
		return PERTShape{}, fmt.Errorf("min %g, mode %g, max %g: they must rise", least, mode, most)
	}
	width := most - least
	if math.IsInf(width, 0) {
		return PERTShape{}, errors.New("min and max are too far apart")
	}
	a, b := 1+lambda*((mode-least)/width), 1+lambda*((most-mode)/width)
	return PERTShape{least, most, least + width*(a/(a+b)), a, b}, nil
}

// CompoundPoisson gives mean and standard deviation of the sum of Poisson many
// log-normal amounts: lambda e^(mu+s^2/2), sqrt(lambda e^(2mu+2s^2)) (Klugman,
// Panjer and Willmot, Loss Models, chapter 9).
func CompoundPoisson(lambda float64, x LogNormal) (mean, sd float64, err error) {
	if err := errors.Join(need("lambda", lambda, 0), need("mu", x.Mu, -math.MaxFloat64), need("sigma", x.Sigma, 0)); err != nil {
		return 0, 0, err
	}
	mean = lambda * x.Mean()
	sd = math.Sqrt(lambda) * math.Exp(x.Mu+x.Sigma*x.Sigma)
	if math.IsInf(mean, 0) || math.IsInf(sd, 0) || math.IsNaN(mean) || math.IsNaN(sd) {
		return 0, 0, errors.New("mu or sigma is so large that the loss has no finite number")
	}
	return mean, sd, nil
}

// LossKind says who bears a loss: the kinds are never added (Anderson et al.,
// WEIS 2012).
type LossKind string

// The kinds of loss.
const (
	LossDirect   LossKind = "direct"
	LossIndirect LossKind = "indirect"
	LossDefence  LossKind = "defence"
)

// LossCategory is one category of costly cases in a period.
type LossCategory struct {
	Name string
	Kind LossKind
	// LambdaLo and LambdaHi are the 90 % range of the expected number of costly
	// cases (not of infections), log-normal between; both the same where it is
	// known. At most 20,000, or a billion where [Losses.MostDrawn] is set.
	LambdaLo, LambdaHi float64
	// One of the two is the cost of a case, in one currency.
	LogNormal *LogNormal
	PERT      *PERTShape
	// Source of the inputs, with its date; where there is none, they are an
	// assumption. Scaled says that they come from another country by a share of
	// its product: they feed no headline.
	Source string
	Scaled bool
}

// Losses is what a simulation of losses starts from.
type Losses struct {
	Categories []LossCategory
	// ShockSigma is the sigma of a log-normal factor with mean 1 that is common
	// to all categories in a draw; 0 for none.
	ShockSigma float64
	Seed       uint64
	Draws      int // 0 for 10,000
	// MostDrawn bounds how many costs are drawn for a category in one draw. Where
	// there are more cases, the sum of that many is carried to all of them with
	// the mean and the variance of the whole sum kept; its skew is then overstated.
	// 0 draws every cost, of 20,000 cases at most.
	MostDrawn int
}

// LossRange is a median and a 90 % interval.
type LossRange struct {
	Median float64
	CI90   Interval
}

// Driver is one input and what the expected loss of its kind is at either end
// of its 90 % range, the other inputs at their mean. For the cost of a case,
// that is if every case cost as much.
type Driver struct {
	Name   string
	Kind   LossKind
	At     Interval
	Source string // "assumption" where none was given
}

// LossReport is what a simulation gives. There is no total over kinds.
type LossReport struct {
	Kinds      map[LossKind]LossRange // without scaled categories
	Categories []LossRange            // as given
	Tornado    []Driver               // the widest first; without scaled categories
}

// Loss simulates the losses of a period: in each draw lambda from its range,
// Poisson many cases, a cost for each, and a common factor. The same seed gives
// the same bytes.
func Loss(l Losses) (LossReport, error) {
	draws := l.Draws
	if draws == 0 {
		draws = 10_000
	}
	if draws < 1000 || draws > 1_000_000 {
		return LossReport{}, fmt.Errorf("%d draws: want 1,000 to a million", draws)
	}
	if err := need("shock sigma", l.ShockSigma, 0); err != nil {
		return LossReport{}, err
	}
	if l.MostDrawn < 0 {
		return LossReport{}, fmt.Errorf("at most %d costs drawn: want 1 or more, or 0 for all", l.MostDrawn)
	}
	if len(l.Categories) == 0 {
		return LossReport{}, errEmpty
	}
	lambdas := make([]LogNormal, len(l.Categories))
	work := 0.0
	for i, c := range l.Categories {
		var err error
		if lambdas[i], err = c.check(l.MostDrawn > 0); err != nil {
			return LossReport{}, fmt.Errorf("category %q: %w", c.Name, err)
		}
		cases := c.LambdaHi
		if l.MostDrawn > 0 {
			cases = min(cases, float64(l.MostDrawn))
		}
		work += cases * float64(draws)
	}
	if work > 1e9 {
		return LossReport{}, errors.New("too many cases to draw: fewer draws, or one category less at a time")
	}
	rng := rand.New(rand.NewPCG(l.Seed, 0x6c6f7373)) //nolint:gosec // a seeded simulation, no secret
	by := make([][]float64, len(l.Categories))
	kinds := map[LossKind][]float64{}
	for i, c := range l.Categories {
		by[i] = make([]float64, draws)
		if !c.Scaled {
			kinds[c.Kind] = make([]float64, draws)
		}
	}
	for d := range draws {
		shock := math.Exp(l.ShockSigma*rng.NormFloat64() - l.ShockSigma*l.ShockSigma/2)
		for i, c := range l.Categories {
			lambda := math.Exp(lambdas[i].Mu + lambdas[i].Sigma*rng.NormFloat64())
			by[i][d] = shock * c.sum(rng, lambda, l.MostDrawn)
			if !c.Scaled {
				kinds[c.Kind][d] += by[i][d]
			}
		}
	}
	out := LossReport{Kinds: map[LossKind]LossRange{}, Tornado: l.tornado(lambdas)}
	for k, v := range kinds {
		out.Kinds[k] = lossRange(v)
	}
	for _, v := range by {
		out.Categories = append(out.Categories, lossRange(v))
	}
	return out, nil
}

func lossRange(v []float64) LossRange {
	slices.Sort(v)
	return LossRange{quantile(v, .5), Interval{quantile(v, .05), quantile(v, .95)}}
}

// check gives the distribution of the expected number of cases; many says that
// not all of them are drawn.
func (c LossCategory) check(many bool) (LogNormal, error) {
	if c.Kind != LossDirect && c.Kind != LossIndirect && c.Kind != LossDefence {
		return LogNormal{}, fmt.Errorf("kind %q: want direct, indirect or defence", c.Kind)
	}
	if (c.LogNormal == nil) == (c.PERT == nil) {
		return LogNormal{}, errors.New("give the cost of a case as log-normal or as PERT, one of the two")
	}
	if x := c.LogNormal; x != nil {
		if _, _, err := CompoundPoisson(1, *x); err != nil {
			return LogNormal{}, err
		}
	} else if err := errors.Join(need("PERT min", c.PERT.Min, 0), need("PERT max", c.PERT.Max, c.PERT.Min), above("PERT alpha", c.PERT.Alpha), above("PERT beta", c.PERT.Beta)); err != nil {
		return LogNormal{}, err
	}
	if c.LambdaHi > 20_000 && !many {
		return LogNormal{}, fmt.Errorf("%g cases: split the category, at most 20,000 are drawn", c.LambdaHi)
	}
	if c.LambdaHi > 1e9 {
		return LogNormal{}, fmt.Errorf("%g cases: at most a billion", c.LambdaHi)
	}
	return LogNormalFrom90(c.LambdaLo, c.LambdaHi)
}

func (c LossCategory) draw(rng *rand.Rand) float64 {
	if x := c.LogNormal; x != nil {
		return math.Exp(x.Mu + x.Sigma*rng.NormFloat64())
	}
	a, b := gamma(rng, c.PERT.Alpha), gamma(rng, c.PERT.Beta)
	return c.PERT.Min + (c.PERT.Max-c.PERT.Min)*a/(a+b)
}

// sum draws what the cases of a period cost together, lambda of them expected,
// and at most as many costs as most says; 0 is all.
func (c LossCategory) sum(rng *rand.Rand, lambda float64, most int) (s float64) {
	if most == 0 || lambda <= float64(most) {
		for range poisson(rng, lambda) {
			s += c.draw(rng)
		}
		return s
	}
	// With so many expected, a normal of the same mean and variance is close.
	n := math.Round(lambda + math.Sqrt(lambda)*rng.NormFloat64())
	m := min(n, float64(most))
	if m <= 0 {
		return 0
	}
	for range int(m) {
		s += c.draw(rng)
	}
	// n times the mean, and the deviation of m costs widened to that of n: it
	// cannot fall below 0, since n >= m.
	mean, _ := c.cost()
	return n*mean + (s-m*mean)*math.Sqrt(n/m)
}

// cost gives the mean cost of a case and its 90 % range.
func (c LossCategory) cost() (mean float64, at Interval) {
	if x := c.LogNormal; x != nil {
		return x.Mean(), Interval{math.Exp(x.Mu - z90*x.Sigma), math.Exp(x.Mu + z90*x.Sigma)}
	}
	p := c.PERT
	return p.Mean, Interval{p.Min + (p.Max-p.Min)*betaQuantile(p.Alpha, p.Beta, .05), p.Min + (p.Max-p.Min)*betaQuantile(p.Alpha, p.Beta, .95)}
}

func (l Losses) tornado(lambdas []LogNormal) []Driver {
	total := map[LossKind]float64{}
	for i, c := range l.Categories {
		if c.Scaled {
			continue
		}
		m, _ := c.cost()
		total[c.Kind] += lambdas[i].Mean() * m
	}
	var out []Driver
	add := func(name string, kind LossKind, base, lo, hi float64, source string) {
		out = append(out, Driver{name, kind, Interval{base + lo, base + hi}, cmp.Or(source, "assumption")})
	}
	for i, c := range l.Categories {
		if c.Scaled {
			continue
		}
		m, at := c.cost()
		n := lambdas[i].Mean()
		rest := total[c.Kind] - n*m
		add(c.Name+": cases", c.Kind, rest, c.LambdaLo*m, c.LambdaHi*m, c.Source)
		add(c.Name+": cost of a case", c.Kind, rest, n*at.Lo, n*at.Hi, c.Source)
	}
	if s := l.ShockSigma; s > 0 {
		for _, k := range []LossKind{LossDirect, LossIndirect, LossDefence} {
			if t, ok := total[k]; ok {
				add("common shock", k, 0, t*math.Exp(-s*s/2-z90*s), t*math.Exp(-s*s/2+z90*s), "")
			}
		}
	}
	slices.SortStableFunc(out, func(a, b Driver) int { return cmp.Compare(b.At.Hi-b.At.Lo, a.At.Hi-a.At.Lo) })
	return out
}

// poisson draws by Knuth's products, of means of 16 at most, since a product of
// more underflows slowly into bias.
func poisson(rng *rand.Rand, mean float64) int {
	n := 0
	for mean > 0 {
		m := min(mean, 16)
		mean -= m
		for p, stop := rng.Float64(), math.Exp(-m); p > stop; n++ {
			p *= rng.Float64()
		}
	}
	return n
}

// gamma draws by Marsaglia and Tsang (2000), ACM TOMS 26, 363.
func gamma(rng *rand.Rand, shape float64) float64 {
	if shape < 1 {
		return gamma(rng, shape+1) * math.Pow(1-rng.Float64(), 1/shape)
	}
	d := shape - 1.0/3
	for {
		x := rng.NormFloat64()
		v := 1 + x/(3*math.Sqrt(d))
		if v <= 0 {
			continue
		}
		v *= v * v
		if math.Log(1-rng.Float64()) < x*x/2+d-d*v+d*math.Log(v) {
			return d * v
		}
	}
}
