package loss

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"

	"tocsin/internal/estimate"
)

// Report says what the categories cost in a period. Its fields are written out:
// they are never removed. Amounts are rounded to three digits; there is no total
// over kinds.
type Report struct {
	// Headline says in words why there is no single number. It is never a number.
	Headline string `json:"headline"`
	Given    bool   `json:"given"` // there are inputs

	Currency   string  `json:"currency"`
	Days       int     `json:"days"`
	SHA256     string  `json:"inputs_sha256"`
	Seed       uint64  `json:"seed"`
	Draws      int     `json:"draws"`
	ShockSigma float64 `json:"shock_sigma"` // 0 for none

	Kinds      []Kind    `json:"kinds"`      // those that have a category
	Categories []Row     `json:"categories"` // in the file's order
	Drivers    []Driver  `json:"drivers"`    // the widest first
	Inputs     []Input   `json:"inputs"`     // in the file's order
	LeftOut    []LeftOut `json:"left_out"`   // of every sum
	Text       []string  `json:"text"`       // how to read it
}

// Amount is a median with a 90 % interval, in the report's currency.
type Amount struct {
	Median float64 `json:"median"`
	Lo     float64 `json:"lo"`
	Hi     float64 `json:"hi"`
}

// Kind is what one kind of loss sums to, without what is left out of it.
type Kind struct {
	Kind    estimate.LossKind `json:"kind"`
	Amount  *Amount           `json:"amount"` // null where all of it is left out
	Of      int               `json:"of"`     // categories in the sum
	Without []string          `json:"without"`
}

// Row is one category.
type Row struct {
	Name       string            `json:"name"`
	Kind       estimate.LossKind `json:"kind"`
	Amount     *Amount           `json:"amount"`   // null where there is no number
	Why        string            `json:"why"`      // where it is null
	CasesLo    float64           `json:"cases_lo"` // that cost something, expected in the period
	CasesHi    float64           `json:"cases_hi"`
	Assumption bool              `json:"assumption"` // any input has no source
	Scaled     bool              `json:"scaled"`     // any input comes from another country
}

// Driver is one input and what its kind would be at either end of the input's
// range, the others at their mean.
type Driver struct {
	Name       string            `json:"name"`
	Kind       estimate.LossKind `json:"kind"`
	Lo         float64           `json:"lo"`
	Hi         float64           `json:"hi"`
	Assumption bool              `json:"assumption"`
}

// Input is one input and where it comes from.
type Input struct {
	Category   string `json:"category"`
	What       string `json:"what"`
	Value      string `json:"value"`
	Source     string `json:"source"` // "assumption" where none was given
	Date       string `json:"date"`
	Assumption bool   `json:"assumption"`
	Scaled     bool   `json:"scaled"`

	figure, yearly bool // counted here; scaled to the days of the period
}

// LeftOut is a category that is in no sum, and why.
type LeftOut struct {
	Name string            `json:"name"`
	Kind estimate.LossKind `json:"kind"`
	Why  string            `json:"why"`
}

// assumption stands in the place of a source.
const assumption = "assumption"

// yearDays is the length of a year in days.
const yearDays = 365.25

// z90 is the normal quantile of a two-sided 90 % interval.
const z90 = 1.6448536269514722

// costsDrawn is about how many costs of cases are drawn in all: it bounds the
// time of a report to some seconds.
const costsDrawn = 40_000_000

// mostDrawn bounds the costs that are drawn for one category in one draw.
func mostDrawn(draws, categories int) int {
	return min(1000, max(20, costsDrawn/max(1, draws*categories)))
}

// Evaluate simulates what the categories cost in a period of that many days.
// values gives a figure's number in the period by its id. The same inputs,
// values and days give the same report. Without inputs it is a report that says
// so. The error is for inputs that [Parse] would have refused.
func Evaluate(in Inputs, values func(id string) Value, days int) (Report, error) {
	r := Report{
		Given: in.Given(), Currency: in.Currency, Days: days, SHA256: in.SHA256, Seed: in.Seed, Draws: in.Draws, ShockSigma: in.ShockSigma,
		Kinds: []Kind{}, Categories: []Row{}, Drivers: []Driver{}, Inputs: []Input{}, LeftOut: []LeftOut{}, Text: []string{},
	}
	if !r.Given {
		r.Headline = "No number is given: nobody has said yet what a case costs, and how many of them cost something."
		return r, nil
	}
	if days < 1 {
		return Report{}, fmt.Errorf("a period of %d days", days)
	}
	l := estimate.Losses{ShockSigma: in.ShockSigma, Seed: in.Seed, Draws: in.Draws, MostDrawn: mostDrawn(in.Draws, len(in.Categories))}
	var rows []int // of the report, by category of the simulation
	var parts []part
	for i := range in.Categories {
		c := &in.Categories[i]
		row := Row{Name: c.Name, Kind: c.Kind, Assumption: c.Cases.Source == "" || c.Cost.Source == "", Scaled: c.scaled()}
		r.Inputs = append(r.Inputs, inputs(c, values)...)
		p, err := newPart(c, values, days)
		switch {
		case err != nil:
			return Report{}, fmt.Errorf("category %q: %w", c.Name, err)
		case p.why != "":
			row.Why = p.why
			r.LeftOut = append(r.LeftOut, LeftOut{c.Name, c.Kind, p.why})
		case p.none:
			row.Amount = &Amount{}
		default:
			row.CasesLo, row.CasesHi = digits3(p.loss.LambdaLo), digits3(p.loss.LambdaHi)
			l.Categories = append(l.Categories, p.loss)
			rows, parts = append(rows, i), append(parts, p)
		}
		if p.why == "" && row.Scaled {
			r.LeftOut = append(r.LeftOut, LeftOut{c.Name, c.Kind, "scaled from another country: shown by itself, in no sum"})
		}
		r.Categories = append(r.Categories, row)
	}
	var sums map[estimate.LossKind]estimate.LossRange
	if len(l.Categories) > 0 {
		x, err := estimate.Loss(l)
		if err != nil {
			return Report{}, err
		}
		sums = x.Kinds
		for k, i := range rows {
			r.Categories[i].Amount = amount(x.Categories[k])
		}
		r.Drivers = drivers(x.Tornado, parts)
	}
	r.kinds(sums)
	r.headline()
	r.tell(l, parts)
	return r, nil
}

// part is a category in the simulation, or why it is not in it.
type part struct {
	loss estimate.LossCategory
	why  string // there is no number
	none bool   // there is no case, and so no loss

	assumedCases, assumedCost bool

	// Of a category that is counted from a figure, the two factors of its cases.
	figure       string
	count, share estimate.LogNormal
	countOf      Value
}

func newPart(c *Category, values func(string) Value, days int) (p part, err error) {
	p.loss = estimate.LossCategory{Name: c.Name, Kind: c.Kind, Scaled: c.scaled()}
	p.assumedCases, p.assumedCost = c.Cases.Source == "", c.Cost.Source == ""
	cases, err := estimate.LogNormalFrom90(c.Cases.Lo, c.Cases.Hi)
	if err != nil {
		return p, fmt.Errorf("cases: %w", err)
	}
	if c.Cases.PerYear {
		cases.Mu += math.Log(float64(days) / yearDays)
	}
	cases.Mu += math.Log(1 - c.Cost.Zero) // cases that cost nothing fall out of a Poisson number
	if c.From != "" {
		v := values(c.From)
		switch {
		case !v.OK:
			p.why = "no number: " + cmp.Or(v.Why, "the figure "+c.From+" has none")
			return p, nil
		case v.Lo == 0 && v.Hi == 0:
			p.none = true
			return p, nil
		case !(v.Lo > 0 && v.Lo <= v.Hi && v.Hi <= math.MaxInt64):
			p.why = fmt.Sprintf("no number: the figure %s is between %s and %s, of which no range of cases can be made", c.From, plain(v.Lo), plain(v.Hi))
			return p, nil
		}
		p.figure, p.countOf, p.share = c.From, v, cases
		if p.count, err = estimate.LogNormalFrom90(v.Lo, v.Hi); err != nil {
			return p, fmt.Errorf("figure %s: %w", c.From, err)
		}
		cases = estimate.LogNormal{Mu: p.count.Mu + p.share.Mu, Sigma: math.Hypot(p.count.Sigma, p.share.Sigma)}
	}
	p.loss.LambdaLo, p.loss.LambdaHi = math.Exp(cases.Mu-z90*cases.Sigma), math.Exp(cases.Mu+z90*cases.Sigma)
	if p.loss.LambdaHi < p.loss.LambdaLo { // by rounding, where the range is a point
		p.loss.LambdaHi = p.loss.LambdaLo
	}
	if p.loss.LambdaHi > mostCases {
		p.why = fmt.Sprintf("no number: up to %s cases are expected; at most a billion are simulated", plain(digits3(p.loss.LambdaHi)))
		return p, nil
	}
	if c.Cost.Most > 0 {
		x, err := estimate.PERT(c.Cost.Least, c.Cost.Mode, c.Cost.Most, 4)
		if err != nil {
			return p, fmt.Errorf("cost: %w", err)
		}
		p.loss.PERT = &x
		return p, nil
	}
	x, err := estimate.LogNormalFrom90(c.Cost.Lo, c.Cost.Hi)
	if err != nil {
		return p, fmt.Errorf("cost: %w", err)
	}
	p.loss.LogNormal = &x
	return p, nil
}

// meanCost is the mean cost of a case.
func (p *part) meanCost() float64 {
	if p.loss.PERT != nil {
		return p.loss.PERT.Mean
	}
	return p.loss.LogNormal.Mean()
}

// drivers ranks the inputs. The cases of a category that is counted from a
// figure are two inputs: the figure, and its share.
func drivers(tornado []estimate.Driver, parts []part) []Driver {
	cases, costs := map[string]*part{}, map[string]*part{}
	for i := range parts {
		cases[parts[i].loss.Name+": cases"] = &parts[i]
		costs[parts[i].loss.Name+": cost of a case"] = &parts[i]
	}
	out := []Driver{}
	for _, d := range tornado {
		add := func(name string, lo, hi float64, assumed bool) {
			out = append(out, Driver{name, d.Kind, lo, hi, assumed})
		}
		p := cases[d.Name]
		switch {
		case costs[d.Name] != nil:
			add(d.Name, d.At.Lo, d.At.Hi, costs[d.Name].assumedCost)
		case p == nil: // the common factor
			add(d.Name, d.At.Lo, d.At.Hi, true)
		case p.figure == "":
			add(d.Name, d.At.Lo, d.At.Hi, p.assumedCases)
		default:
			rest := d.At.Lo - p.loss.LambdaLo*p.meanCost()
			if p.countOf.Lo != p.countOf.Hi {
				each := p.share.Mean() * p.meanCost()
				add(p.loss.Name+": "+p.figure, rest+p.countOf.Lo*each, rest+p.countOf.Hi*each, false)
			}
			each := p.count.Mean() * p.meanCost()
			lo, hi := math.Exp(p.share.Mu-z90*p.share.Sigma), math.Exp(p.share.Mu+z90*p.share.Sigma)
			add(p.loss.Name+": share of "+p.figure, rest+lo*each, rest+hi*each, p.assumedCases)
		}
	}
	slices.SortStableFunc(out, func(a, b Driver) int { return cmp.Compare(b.Hi-b.Lo, a.Hi-a.Lo) })
	for i := range out {
		out[i].Lo, out[i].Hi = digits3(max(0, out[i].Lo)), digits3(out[i].Hi)
	}
	return out
}

func amount(x estimate.LossRange) *Amount {
	return &Amount{digits3(x.Median), digits3(x.CI90.Lo), digits3(x.CI90.Hi)}
}

// digits3 rounds to three digits: a simulation has no more.
func digits3(x float64) float64 {
	y, err := strconv.ParseFloat(strconv.FormatFloat(x, 'e', 2, 64), 64)
	if err != nil {
		return x
	}
	return y
}

// kinds sums up by kind. A category without any case is in its sum with 0.
func (r *Report) kinds(sums map[estimate.LossKind]estimate.LossRange) {
	for _, k := range kinds {
		row := Kind{Kind: k, Without: []string{}}
		all := 0
		for _, c := range r.Categories {
			if c.Kind != k {
				continue
			}
			if all++; c.Amount != nil && !c.Scaled {
				row.Of++
			}
		}
		if all == 0 {
			continue
		}
		for _, o := range r.LeftOut {
			if o.Kind == k {
				row.Without = append(row.Without, o.Name)
			}
		}
		if row.Of > 0 {
			row.Amount = amount(sums[k])
		}
		r.Kinds = append(r.Kinds, row)
	}
}

// inputs lists what a category rests on.
func inputs(c *Category, values func(string) Value) (out []Input) {
	add := func(what, value string, o Origin) {
		out = append(out, Input{Category: c.Name, What: what, Value: value, Source: cmp.Or(o.Source, assumption), Date: o.Date, Assumption: o.Source == "", Scaled: o.Scaled})
	}
	per := ""
	if c.Cases.PerYear {
		per = " a year"
	}
	what := "cases"
	if c.From != "" {
		v := values(c.From)
		var text string
		switch {
		case !v.OK:
			text = "no number: " + v.Why
		case v.Lo == v.Hi:
			text = hundredths(v.Lo)
		default:
			text = hundredths(v.Lo) + " to " + hundredths(v.Hi)
		}
		out = append(out, Input{Category: c.Name, What: "figure " + c.From, Value: text, Source: "this instance", figure: true})
		what = "share of " + c.From + " that costs something"
	}
	add(what, plain(c.Cases.Lo)+" to "+plain(c.Cases.Hi)+per, c.Cases.Origin)
	out[len(out)-1].yearly = c.Cases.PerYear
	cost := plain(c.Cost.Lo) + " to " + plain(c.Cost.Hi)
	if c.Cost.Most > 0 {
		cost = fmt.Sprintf("at least %s, likeliest %s, at most %s", plain(c.Cost.Least), plain(c.Cost.Mode), plain(c.Cost.Most))
	}
	if c.Cost.Zero > 0 {
		cost += fmt.Sprintf("; nothing for a share of %s", plain(c.Cost.Zero))
	}
	add("cost of a case", cost, c.Cost.Origin)
	return out
}

// hundredths writes a figure as its own page does, at most.
func hundredths(x float64) string { return plain(math.Round(x*100) / 100) }

// headline says why there is no single number.
func (r *Report) headline() {
	assumed, given := 0, 0
	for _, i := range r.Inputs {
		if i.figure {
			continue
		}
		if given++; i.Assumption {
			assumed++
		}
	}
	r.Headline = "No single number is given. Direct losses, indirect losses and the cost of defence fall on different people, and are not added up; " +
		fmt.Sprintf("%d of %d inputs are assumptions", assumed, given)
	if n := len(r.LeftOut); n > 0 {
		r.Headline += fmt.Sprintf(", and %d of %d categories are in no sum", n, len(r.Categories))
	}
	r.Headline += "."
}

// tell says how to read the report.
func (r *Report) tell(l estimate.Losses, parts []part) {
	say := func(format string, args ...any) { r.Text = append(r.Text, fmt.Sprintf(format, args...)) }
	say("Each amount is the median of %d simulated periods with the 90 %% interval around it, to three digits. It holds if the inputs hold: an interval says nothing of categories that nobody listed, nor of inputs that are wrong.", r.Draws)
	say("In each simulated period the expected number of cases is drawn from its range, the number of cases from a Poisson distribution around it, and a cost for each case. Ranges given by two ends are log-normal with nine of ten values between them.")
	if s := r.ShockSigma; s > 0 {
		say("A common shock factor multiplies all categories of a simulated period: log-normal with mean 1 and sigma %s, between %.2f and %.2f in nine of ten. What makes one kind of case dear often makes the others dear too. Its size is an assumption.", plain(s), math.Exp(-s*s/2-z90*s), math.Exp(-s*s/2+z90*s))
	} else {
		say("There is no common shock factor: categories vary independently of each other, which makes the interval of a kind narrower than it is where bad years are bad for all.")
	}
	if slices.ContainsFunc(r.Categories, func(c Row) bool { return c.Scaled }) {
		say("Categories marked scaled rest on studies of other countries. They are shown by themselves, and are in no sum and no driver: a share of the product says little about a share of the losses.")
	}
	if slices.ContainsFunc(r.Inputs, func(i Input) bool { return i.yearly }) {
		say("What is given per year is taken times %d/365.25 for the period of %d days, as if cases came evenly.", r.Days, r.Days)
	}
	if slices.ContainsFunc(parts, func(p part) bool { return p.figure != "" }) {
		say("A figure counts infections, sites, services or attempts, not losses: the share of them that costs something is an input of its own. Where the figure is a complete count its own range is a point; what no feed saw is not in it.")
	}
	if slices.ContainsFunc(r.Categories, func(c Row) bool { return c.Amount != nil && c.Amount.Median == 0 && c.CasesHi > 0 }) {
		say("Where fewer than one case is expected in the period, most simulated periods have none, and the median is 0, or even the upper end. That is a rare loss and not no loss: look at a longer period, or at the drivers, which show what is expected.")
	}
	if slices.ContainsFunc(parts, func(p part) bool { return p.loss.LambdaHi > float64(l.MostDrawn) }) {
		say("Where more than %d cases are expected, the costs of that many are drawn and carried to all with mean and variance kept.", l.MostDrawn)
	}
}
