// Package worlds makes small worlds in memory in which the truth is known, to
// judge estimators by: some in which their assumptions hold, and some in which
// one is broken on purpose. Each world draws its parameters from the prior that
// stands beside it and tells the truth from its own state.
//
// It imports nothing of the program and knows no formula of an estimator, so
// that it cannot repeat its mistakes.
package worlds

import (
	"math"
	"math/rand/v2"
)

// Name names a world.
type Name string

// The worlds. In all but the first an assumption is broken.
const (
	Ideal            Name = "ideal"
	PoolReuse        Name = "pool re-use"
	CGN              Name = "CGN"
	SparseSightings  Name = "sparse sightings"
	OneInflation     Name = "one-inflation"
	SpecialisedFeeds Name = "specialised feeds"
	BrokenMatching   Name = "broken matching"
	Autocorrelated   Name = "autocorrelated stock"
	SinkholeMoved    Name = "sinkhole migration"
	UnequalDays      Name = "unequal days"
	ShortActivity    Name = "short activity"
	WrongTable       Name = "wrong table"
	OneStep          Name = "one step"
	LoneStep         Name = "one step, alone"
	SharedStep       Name = "shared step"
	Turnover         Name = "turnover"
	WitnessAndMove   Name = "new witness and migration"
	SparseReuse      Name = "pool re-use and sparse sightings"
)

// Dice draws from one seeded stream.
type Dice struct{ *rand.Rand }

// NewDice gives the stream of a seed for one run.
func NewDice(seed, run uint64) Dice {
	return Dice{rand.New(rand.NewPCG(seed, run))} //nolint:gosec // a seeded simulation, no secret
}

// between draws evenly, with even logarithms if both ends are above zero and
// far apart.
func (d Dice) between(lo, hi float64) float64 {
	if lo > 0 && hi > 4*lo {
		return lo * math.Pow(hi/lo, d.Float64())
	}
	return lo + (hi-lo)*d.Float64()
}

func (d Dice) hit(p float64) bool { return d.Float64() < p }

// poisson draws a Poisson number: exactly below a mean of 60, and as a rounded
// normal one above.
func (d Dice) poisson(mean float64) int {
	if mean > 60 {
		return max(0, int(math.Round(mean+math.Sqrt(mean)*d.NormFloat64())))
	}
	n := 0
	for t := d.ExpFloat64(); t < mean; t += d.ExpFloat64() {
		n++
	}
	return n
}

// Counts is independent events: a count over an exposure in each of two
// periods, and values of one quantity.
type Counts struct {
	K        [2]int
	Exposure [2]float64
	Rate     [2]float64 // the truth
	Phi      float64    // variance over mean of Clumped
	Clumped  [2]float64 // counts that come in clumps
	Hits, Of int        // a share
	Share    float64    // its truth
	Values   []float64
	Median   float64 // the truth
}

// MakeCounts makes independent counts. Prior: 20 to 400 events expected, clumps
// of 1 to 5, shares of 3 to 50 % among 100 to 2,000, 100 to 500 log-normal values.
func MakeCounts(d Dice) Counts {
	var c Counts
	clump := 1 + d.IntN(5)
	c.Phi = float64(clump)
	for i := range 2 {
		c.Exposure[i] = d.between(100, 1e5)
		mean := d.between(20, 400)
		c.Rate[i] = mean / c.Exposure[i]
		c.K[i] = d.poisson(mean)
		c.Clumped[i] = float64(clump * d.poisson(20*c.Rate[i]*c.Exposure[i]/c.Phi))
	}
	c.Share, c.Of = d.between(.03, .5), int(d.between(100, 2000))
	for range c.Of {
		if d.hit(c.Share) {
			c.Hits++
		}
	}
	mu := d.between(1, 5)
	c.Median = math.Exp(mu)
	for range int(d.between(100, 500)) {
		c.Values = append(c.Values, math.Exp(mu+d.NormFloat64()))
	}
	return c
}

// Capture is what two feeds saw of a population of hosts in seven days, by id.
// A triple is: on the first, on the second, on both.
type Capture struct {
	Hosts   int // the truth
	Pair    [3]int
	Strata  [][3]int  // by family
	Halves  [][3]int  // each feed's first half of the window against its second
	Turns   [2][2]int // on both: by the first feed's half and the second's
	Times   []int     // ids that the first feed detected once, twice, ...
	TimesBy [][]int   // the same by family
}

// MakeCapture makes two feeds. Prior: 800 to 6,000 hosts in three families,
// each feed detects a host .5 to 1.5 times on average. One-inflation: a third
// to all as many ids that come once as there are hosts. Specialised feeds: each
// sees one family 3 to 6 times as often as the other does. Broken matching: for
// 25 to 40 % of the hosts the feeds have two ids, or every detection has its own.
// Turnover: hosts come and go within the window; they stay for 1 to 5 days in the
// mean, exponential, and the truth is all that were there.
func MakeCapture(d Dice, w Name) Capture {
	c := Capture{Hosts: int(d.between(800, 6000)), Strata: make([][3]int, 3), Halves: make([][3]int, 2), Times: make([]int, 40), TimesBy: [][]int{make([]int, 40), make([]int, 40), make([]int, 40)}}
	rate := [2]float64{d.between(.5, 1.5), d.between(.5, 1.5)}
	special := math.Sqrt(d.between(3, 6))
	broken, session := d.between(.25, .4), d.hit(.5)
	stay := d.between(1, 5)
	mark := func(family int, feed int, early, late int) {
		c.Pair[feed]++
		c.Strata[family][feed]++
		h := &c.Halves[feed]
		if early > 0 {
			h[0]++
		}
		if late > 0 {
			h[1]++
		}
		if early > 0 && late > 0 {
			h[2]++
		}
		if feed == 0 {
			k := min(early+late, len(c.Times)) - 1
			c.Times[k]++
			c.TimesBy[family][k]++
		}
	}
	once := func(family, feed int) {
		late := d.IntN(2)
		mark(family, feed, 1-late, late)
	}
	for range c.Hosts {
		family := d.IntN(3)
		here := [2]float64{1, 1} // the part of each half that the host is there
		if w == Turnover {
			here = d.stay(stay)
		}
		var n [2][2]int
		for feed := range 2 {
			r := rate[feed]
			if w == SpecialisedFeeds && family < 2 {
				if family == feed {
					r *= special
				} else {
					r /= special
				}
			}
			n[feed] = [2]int{d.poisson(r / 2 * here[0]), d.poisson(r / 2 * here[1])}
		}
		odd := w == BrokenMatching && d.hit(broken)
		for feed := range 2 {
			total := n[feed][0] + n[feed][1]
			switch {
			case total == 0:
			case odd && session:
				for range total {
					once(family, feed)
				}
			default:
				mark(family, feed, n[feed][0], n[feed][1])
			}
		}
		if !odd && n[0][0]+n[0][1] > 0 && n[1][0]+n[1][1] > 0 {
			c.Pair[2]++
			c.Strata[family][2]++
			for i, a := range n[0] {
				for j, b := range n[1] {
					if a > 0 && b > 0 {
						c.Turns[i][j]++
					}
				}
			}
		}
	}
	if w == OneInflation {
		for range int(float64(c.Hosts) * d.between(.33, 1)) {
			once(d.IntN(3), d.IntN(2))
		}
	}
	return c
}

// stay gives the parts of the two halves of seven days that a host is there,
// which stays for so many days in the mean and is there at some time of them.
func (d Dice) stay(days float64) [2]float64 {
	const window = 7
	from := -1.0 // there when the window opens, or comes later
	if d.hit(window / (window + days)) {
		from = window * d.Float64()
	}
	to := max(0, from) + days*d.ExpFloat64()
	from = max(0, from)
	part := func(a, b float64) float64 { return max(0, min(to, b)-max(from, a)) / (window / 2.) }
	return [2]float64{part(0, window/2.), part(window/2., window)}
}

// Witnesses is how many independent feeds look at a stock, and Days how long a
// period is; as many days lie between the two periods.
const (
	Witnesses = 3
	Days      = 28
)

// Stock is infected hosts, day by day over three periods of [Days]: the first is
// the period then, the last the period now.
type Stock struct {
	Growth   float64 // the truth: what the infections of an AS grow by, in the mean
	Realised float64 // the truth: all hosts now over all hosts then, seen or not
	// Seen[as][day][pattern] is hosts seen by exactly the witnesses whose bits are
	// set in pattern; pattern 0 is not told.
	Seen [][][1 << Witnesses]int
	// Covered[witness][day] says whether it looked.
	Covered [Witnesses][]bool
}

// MakeStock makes the stock of a country. Prior: 24 to 60 ASes, log-normal in
// size (sigma .8), 20 to 80 infections in a middle one; growth by .6 to 1.6,
// differing between ASes by a factor of e^.1 to e^.3; each witness sees 20 to
// 60 %; from day to day the stock wavers by 5 to 10 %, with an autocorrelation
// of .5. Autocorrelated stock: by 20 to 40 %, with .95. Sinkhole migration: from
// some day on, the first witness sees a tenth to a half of what it saw. Unequal
// days: the second looked on 20 to 60 % of the days then, and the third began
// between the periods. New witness and migration: the third began between the
// periods, and the first moved as above.
func MakeStock(d Dice, w Name) Stock {
	s := Stock{Growth: d.between(.6, 1.6)}
	n := 24 + d.IntN(37)
	level, differ := d.between(20, 80), d.between(.1, .3)
	rho, waver := .5, d.between(.05, .1)
	if w == Autocorrelated {
		rho, waver = .95, d.between(.2, .4)
	}
	var p [Witnesses]float64
	for i := range p {
		p[i] = d.between(.2, .6)
		s.Covered[i] = make([]bool, 3*Days)
		for day := range s.Covered[i] {
			s.Covered[i][day] = true
		}
	}
	moved, left := 3*Days, 1.0
	if w == SinkholeMoved || w == WitnessAndMove {
		moved, left = Days/2+d.IntN(2*Days), d.between(.1, .5)
	}
	if w == UnequalDays {
		share := d.between(.2, .6)
		for day := range Days {
			s.Covered[1][day] = d.hit(share)
		}
	}
	if w == UnequalDays || w == WitnessAndMove {
		for day := range Days + d.IntN(Days) {
			s.Covered[2][day] = false
		}
	}
	var then, now float64
	for range n {
		size := level * math.Exp(.8*d.NormFloat64())
		growth := s.Growth * math.Exp(differ*d.NormFloat64()-differ*differ/2)
		as := make([][1 << Witnesses]int, 3*Days)
		x := d.NormFloat64()
		for day := range as {
			x = rho*x + math.Sqrt(1-rho*rho)*d.NormFloat64()
			// Growth comes in the days between the two periods.
			g := math.Pow(growth, min(1, max(0, float64(day-Days+1)/Days)))
			stock := size * g * math.Exp(waver*x-waver*waver/2)
			if day < Days {
				then += stock
			} else if day >= 2*Days {
				now += stock
			}
			for pattern := 1; pattern < 1<<Witnesses; pattern++ {
				mean, told := stock, 0
				for i, q := range p {
					if i == 0 && day >= moved {
						q *= left
					}
					if pattern>>i&1 == 1 {
						mean *= q
					} else {
						mean *= 1 - q
					}
					if s.Covered[i][day] {
						told |= pattern & (1 << i)
					}
				}
				as[day][told] += d.poisson(mean)
			}
			as[day][0] = 0
		}
		s.Seen = append(s.Seen, as)
	}
	s.Realised = now / then
	return s
}
