package worlds

import "math"

// Spell is an episode as it was looked at, in days from its start: it lasted
// longer than After and no longer than Until, which is infinite where nobody saw
// the end; it came under observation after Entry.
type Spell struct{ Entry, After, Until float64 }

// Spells is episodes whose durations have a known median.
type Spells struct {
	Median float64 // the truth
	List   []Spell
}

// MakeSpells makes episodes. Prior: Weibull durations with a shape of .7 to 2
// and a median of 5 to 60 days; 50 to 400 that are looked at every 1 to 7 days,
// each from a day of its own, with 10 % of the looks missed; up to half of them
// came under observation late, by up to the median, and would not have been seen
// had they ended before; looking ends for each after one to four medians.
func MakeSpells(d Dice) Spells {
	shape, gap := d.between(.7, 2), d.between(1, 7)
	s := Spells{Median: d.between(5, 60)}
	late := d.between(0, .5)
	for n := int(d.between(50, 400)); len(s.List) < n; {
		lasts := s.Median * math.Pow(d.ExpFloat64()/math.Ln2, 1/shape)
		x := Spell{Until: math.Inf(1)}
		if d.hit(late) {
			x.Entry = s.Median * d.Float64()
		}
		if lasts <= x.Entry {
			continue
		}
		x.After = x.Entry
		end := x.Entry + s.Median*d.between(1, 4)
		for at := x.Entry + gap*d.Float64(); at < end; at += gap {
			if d.hit(.1) {
				continue
			}
			if lasts <= at {
				x.Until = at
				break
			}
			x.After = at
		}
		s.List = append(s.List, x)
	}
	return s
}

// Region is a count among users, and the rate behind it.
type Region struct {
	Count int
	Users float64
	Rate  float64 // the truth
}

// MakeRegions makes the regions of a country. Prior: 10 to 60 regions,
// log-normal in size (sigma 1), 5 to 100 counted in a middle one, rates that
// differ between regions by a gamma distribution with a coefficient of variation
// of .2 to .8.
func MakeRegions(d Dice) []Region {
	list := make([]Region, 10+d.IntN(51))
	cv, mean := d.between(.2, .8), d.between(5, 100)
	const users = 100_000
	for i := range list {
		r := &list[i]
		r.Users = math.Round(users * math.Exp(d.NormFloat64()))
		r.Rate = mean / users * cv * cv * d.gamma(1/(cv*cv))
		r.Count = d.poisson(r.Rate * r.Users)
	}
	list[0].Count = max(1, list[0].Count) // one at least is seen
	return list
}

// gamma draws from a gamma distribution of a shape of 1 or more, with rate 1
// (Marsaglia and Tsang 2000).
func (d Dice) gamma(shape float64) float64 {
	a := shape - 1./3
	for c := 1 / math.Sqrt(9*a); ; {
		x := d.NormFloat64()
		v := 1 + c*x
		if v = v * v * v; v > 0 && math.Log(1-d.Float64()) < x*x/2+a-a*v+a*math.Log(v) {
			return a * v
		}
	}
}

// MakeTable makes a table of counts to be released: 2 to 6 rows and columns,
// each with a weight of its own, 1 to 10 in a middle cell.
func MakeTable(d Dice) [][]int {
	rows, cols := make([]float64, 2+d.IntN(5)), make([]float64, 2+d.IntN(5))
	for i := range rows {
		rows[i] = math.Exp(d.NormFloat64())
	}
	for j := range cols {
		cols[j] = math.Exp(d.NormFloat64())
	}
	level := d.between(1, 10)
	t := make([][]int, len(rows))
	for i, r := range rows {
		t[i] = make([]int, len(cols))
		for j, c := range cols {
			t[i][j] = d.poisson(level * r * c)
		}
	}
	return t
}
