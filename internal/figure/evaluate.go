package figure

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"tocsin/internal/event"
	"tocsin/internal/policy"
	"tocsin/internal/query"
)

// ErrBreakdown is wrapped where a figure cannot be broken down in that way.
var ErrBreakdown = errors.New("no such breakdown")

// MaxDays bounds the length of a period.
const MaxDays = 3700

// Counts answers the two questions that figures are made of. Both see whole
// deliveries only, and only rows of the scope.
type Counts interface {
	// Count gives the numbers of one class. Daily has one number for each day
	// of the period, DailyEvents too (or is nil).
	Count(ctx context.Context, scope policy.Scope, q query.Count) (query.Value, error)
	// Breakdown gives the same for every value of the dimension that occurs,
	// unknown as "", in any order.
	Breakdown(ctx context.Context, scope policy.Scope, q query.Count, by query.Dim) ([]query.Group, error)
}

// Params is what a reader of a figure chooses.
type Params struct {
	Period query.Period
	By     query.Dim    // DimNone for no breakdown
	Where  []query.Cond // narrows the figure; both these and the definition's hold
	Home   string       // country code of the constituency; "" if not configured

	// Since is the first day that there is data of, 0 if unknown. A period that
	// begins before it is not compared with: its days without data are no zeros.
	Since event.Day

	// Enrichment is the version of the reference data that the figures are to
	// rest on, as they stood under it; 0 is the newest.
	Enrichment uint32
}

// Validate reports a period that cannot be counted.
func (p Params) Validate() error {
	switch {
	case p.Period.To < p.Period.From:
		return fmt.Errorf("period %s to %s: the first day must not be after the last", p.Period.From, p.Period.To)
	case p.Period.Days() > MaxDays:
		return fmt.Errorf("period %s to %s: at most %d days", p.Period.From, p.Period.To, MaxDays)
	}
	return nil
}

// Figure is one evaluated definition. Its fields are written out: they are
// never removed, old documents must still open.
type Figure struct {
	ID       string      `json:"id"`
	Title    string      `json:"title"`
	Version  int         `json:"definition_version"`
	Class    event.Class `json:"class"`
	Headline Headline    `json:"headline"`
	Unit     string      `json:"unit"`

	Period query.Period `json:"period"`
	Where  []query.Cond `json:"where"` // all that held, the definition's included

	// NoData says that no event of the class is there for the period and the
	// asker: nothing was delivered, or nothing was seen. Value is null then,
	// and not 0. Reason says more where more is known.
	NoData bool   `json:"no_data"`
	Reason string `json:"reason,omitzero"`

	Value      *Number `json:"value"`
	DailySum   int64   `json:"daily_sum"` // sum of the days' distinct assets; a mean is this by days
	Days       int     `json:"days"`
	Cumulative int64   `json:"cumulative_distinct"`
	Label      string  `json:"cumulative_label"`
	Events     int64   `json:"events"`

	Previous Previous `json:"previous"`
	Change   *Change  `json:"change"` // null where one of the two has no data, or the earlier not for all its days

	Kinds     []PartValue `json:"kinds,omitzero"`
	Shares    []PartValue `json:"shares,omitzero"`
	Breakdown *Breakdown  `json:"breakdown,omitzero"`

	SeriesUnit string  `json:"series_unit"`
	Series     []Point `json:"series"`

	Caveats []string `json:"caveats"`
}

// Previous is the same figure over the period of the same length before.
type Previous struct {
	Period     query.Period `json:"period"`
	NoData     bool         `json:"no_data"`
	Partial    bool         `json:"partial,omitzero"` // it begins before there was any data
	Value      *Number      `json:"value"`
	Cumulative int64        `json:"cumulative_distinct"`
	Events     int64        `json:"events"`
}

// Change is the value against the previous period's.
type Change struct {
	Difference Number `json:"difference"`
	Ratio      Ratio  `json:"ratio"` // value by previous value; null where that is 0
}

// PartValue is a part of the figure.
type PartValue struct {
	ID         string `json:"id"`
	Title      string `json:"title"`
	Value      Number `json:"value"`
	Share      Ratio  `json:"share"` // of the figure's value; null where that is 0
	Cumulative int64  `json:"cumulative_distinct"`
	Events     int64  `json:"events"`

	Where []query.Cond `json:"-"` // what holds of its events
}

// Breakdown is a figure by one dimension.
type Breakdown struct {
	By      query.Dim     `json:"by"`
	Kind    BreakdownKind `json:"kind"`
	Rows    []Row         `json:"rows"`    // value falling, then key rising
	Overlap Number        `json:"overlap"` // sum of the rows less the value, for overlapping ones

	// Mismatch is what the rows of a partition sum to beyond the value. It is
	// always 0 unless one asset has two values on one day, as when reference
	// data changed in the middle of a load; it is printed, never hidden.
	Mismatch Number `json:"mismatch"`
}

// Row is one row of a breakdown.
type Row struct {
	Key        string `json:"key"` // "" if unknown
	Value      Number `json:"value"`
	DailySum   int64  `json:"daily_sum"`
	Cumulative int64  `json:"cumulative_distinct"`
	Events     int64  `json:"events"`
}

// Point is one day of a series.
type Point struct {
	Day   event.Day `json:"day"`
	Value int64     `json:"value"`
}

// Evaluate counts one definition. It returns an error for a period that cannot
// be counted, [ErrBreakdown], and whatever the counter returns.
func Evaluate(ctx context.Context, c Counts, scope policy.Scope, def *Definition, p Params) (Figure, error) {
	if err := p.Validate(); err != nil {
		return Figure{}, err
	}
	f := Figure{
		ID: def.ID, Title: def.Title, Version: def.Version, Class: def.Class, Headline: def.Headline, Unit: def.Unit,
		Period: p.Period, Days: p.Period.Days(), Label: def.Cumulative, Caveats: def.Caveats,
		SeriesUnit: def.Unit + " a day", Where: []query.Cond{}, Series: []Point{},
		Previous: Previous{Period: p.Period.Previous(), NoData: true},
	}
	if f.Caveats == nil {
		f.Caveats = []string{}
	}
	kind, ok := def.Breakdowns[p.By]
	if p.By != query.DimNone && !ok {
		return Figure{}, fmt.Errorf("%w: %s by %q", ErrBreakdown, def.ID, p.By)
	}
	if def.Place != Anywhere && p.Home == "" {
		f.NoData, f.Reason = true, "no home country is configured: say `home: NL`, or yours, in tocsin.yaml to tell home from abroad"
		return f, nil
	}
	where, ok := And(def.Where, def.place(p.Home), p.Where)
	f.Where = where
	if !ok {
		f.NoData, f.Reason = true, "the conditions exclude each other: nothing can meet them all"
		return f, nil
	}

	q := query.Count{Period: p.Period, Class: def.Class, Where: where, Enrichment: p.Enrichment}
	// Deliveries come in between two questions; a partition that does not add
	// up is asked again before it is believed.
	for range 3 {
		v, err := c.Count(ctx, scope, q)
		if err != nil {
			return Figure{}, fmt.Errorf("count %s: %w", def.ID, err)
		}
		if err := f.set(def, v); err != nil {
			return Figure{}, err
		}
		if p.By == query.DimNone || f.NoData {
			break
		}
		g, err := c.Breakdown(ctx, scope, q, p.By)
		if err != nil {
			return Figure{}, fmt.Errorf("count %s by %s: %w", def.ID, p.By, err)
		}
		f.Breakdown = breakdown(def, p.By, kind, g, *f.Value, f.Days)
		if f.Breakdown.Mismatch.Sum == 0 {
			break
		}
	}
	if f.NoData && p.By != query.DimNone {
		f.Breakdown = &Breakdown{By: p.By, Kind: kind, Rows: []Row{}}
	}

	q.Period = f.Previous.Period
	v, err := c.Count(ctx, scope, q)
	if err != nil {
		return Figure{}, fmt.Errorf("count %s in the previous period: %w", def.ID, err)
	}
	if v.Events > 0 {
		n := def.number(v, f.Days)
		f.Previous = Previous{Period: q.Period, Partial: q.Period.From < p.Since, Value: &n, Cumulative: v.Distinct, Events: v.Events}
	}
	if !f.NoData && !f.Previous.NoData && !f.Previous.Partial {
		f.Change = &Change{
			Difference: Number{Sum: f.Value.Sum - f.Previous.Value.Sum, Days: f.Value.Days},
			Ratio:      Ratio{Num: f.Value.Sum, Den: f.Previous.Value.Sum},
		}
	}
	if f.NoData {
		return f, nil
	}

	q.Period = p.Period
	if f.Kinds, err = parts(ctx, c, scope, def, q, def.Kinds, *f.Value); err != nil {
		return Figure{}, err
	}
	if f.Shares, err = parts(ctx, c, scope, def, q, def.Shares, *f.Value); err != nil {
		return Figure{}, err
	}
	return f, nil
}

func (f *Figure) set(def *Definition, v query.Value) error {
	f.NoData = v.Events == 0
	f.Value, f.Series, f.DailySum = nil, []Point{}, 0
	if f.NoData {
		return nil
	}
	if len(v.Daily) != f.Days {
		return fmt.Errorf("count %s: %d daily numbers for %d days", def.ID, len(v.Daily), f.Days)
	}
	n := def.number(v, f.Days)
	f.Value, f.Cumulative, f.Events = &n, v.Distinct, v.Events
	f.DailySum = sum(v.Daily)
	daily := v.Daily
	if def.Headline == Events {
		daily = v.DailyEvents
		if len(daily) != f.Days {
			daily, f.SeriesUnit = v.Daily, "distinct addresses a day"
		}
	}
	for i, n := range daily {
		f.Series = append(f.Series, Point{f.Period.From + event.Day(i), n})
	}
	return nil
}

func (d *Definition) number(v query.Value, days int) Number {
	switch d.Headline {
	case Events:
		return Number{Sum: v.Events}
	case Distinct:
		return Number{Sum: v.Distinct}
	default:
		return Number{Sum: sum(v.Daily), Days: int64(days)}
	}
}

func (d *Definition) place(home string) []query.Cond {
	switch d.Place {
	case AtHome:
		return []query.Cond{{Dim: query.DimCountry, Value: home}}
	case Abroad:
		return []query.Cond{{Dim: query.DimCountry, Value: home, Not: true}}
	}
	return nil
}

func sum(ns []int64) (s int64) {
	for _, n := range ns {
		s += n
	}
	return s
}

func parts(ctx context.Context, c Counts, scope policy.Scope, def *Definition, q query.Count, ps []Part, whole Number) ([]PartValue, error) {
	var out []PartValue
	for _, p := range ps {
		pv := PartValue{ID: p.ID, Title: p.Title, Value: Number{Days: whole.Days}, Share: Ratio{Den: whole.Sum}}
		w, ok := And(q.Where, p.Where)
		pv.Where = w
		if ok {
			q := q
			q.Where = w
			v, err := c.Count(ctx, scope, q)
			if err != nil {
				return nil, fmt.Errorf("count %s, %s: %w", def.ID, p.ID, err)
			}
			pv.Value, pv.Cumulative, pv.Events = def.number(v, q.Period.Days()), v.Distinct, v.Events
			pv.Share.Num = pv.Value.Sum
		}
		out = append(out, pv)
	}
	return out, nil
}

func breakdown(def *Definition, by query.Dim, kind BreakdownKind, groups []query.Group, whole Number, days int) *Breakdown {
	b := &Breakdown{By: by, Kind: kind, Rows: make([]Row, 0, len(groups))}
	var total int64
	for _, g := range groups {
		if g.Value.Events == 0 {
			continue
		}
		n := def.number(g.Value, days)
		total += n.Sum
		b.Rows = append(b.Rows, Row{Key: g.Key, Value: n, DailySum: sum(g.Value.Daily), Cumulative: g.Value.Distinct, Events: g.Value.Events})
	}
	slices.SortFunc(b.Rows, func(x, y Row) int {
		return cmp.Or(cmp.Compare(y.Value.Sum, x.Value.Sum), cmp.Compare(x.Key, y.Key))
	})
	over := Number{Sum: total - whole.Sum, Days: whole.Days}
	if kind == Partition {
		b.Mismatch, b.Overlap.Days = over, whole.Days
	} else {
		b.Overlap, b.Mismatch.Days = over, whole.Days
	}
	return b
}

// And joins lists of conditions that must all hold into one list with the same
// meaning, sorted. It returns false where nothing can meet them.
func And(lists ...[]query.Cond) ([]query.Cond, bool) {
	out := []query.Cond{}
	for _, dim := range query.Dims {
		var pos, neg []string
		narrowed := false
		for _, l := range lists {
			var p []string
			for _, c := range l {
				switch {
				case c.Dim != dim:
				case c.Not:
					neg = append(neg, c.Value)
				default:
					p = append(p, c.Value)
				}
			}
			switch {
			case p == nil:
			case !narrowed:
				pos, narrowed = p, true
			default:
				pos = slices.DeleteFunc(slices.Clone(pos), func(v string) bool { return !slices.Contains(p, v) })
			}
		}
		if narrowed {
			pos = slices.DeleteFunc(slices.Clone(pos), func(v string) bool { return slices.Contains(neg, v) })
			if len(pos) == 0 {
				return out, false
			}
			neg = nil
		}
		slices.Sort(pos)
		slices.Sort(neg)
		for _, v := range slices.Compact(pos) {
			out = append(out, query.Cond{Dim: dim, Value: v})
		}
		for _, v := range slices.Compact(neg) {
			out = append(out, query.Cond{Dim: dim, Value: v, Not: true})
		}
	}
	return out, true
}
