package figure

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"

	"tocsin/internal/estimate"
	"tocsin/internal/event"
	"tocsin/internal/query"
)

// RatePer is how many users rates are given for.
const RatePer = 100_000

// Users are the users that rates are computed for, and where they come from.
type Users struct {
	By      map[string]float64 // by the key of the breakdown
	Samples map[string]float64 // that these were estimated from, where that is known
	Country float64            // of the home country; less than 1 if not known
	Year    int                // of Country's data
	Sources []UsersSource
}

// UsersSource says where numbers of users come from.
type UsersSource struct {
	Name        string `json:"name"`
	Licence     string `json:"licence"`
	Attribution string `json:"attribution,omitzero"`
	Date        string `json:"date"`
	SHA256      string `json:"sha256"`
}

// Decimal is an estimate, written with three decimals.
type Decimal float64

// String gives digits and three decimals.
func (d Decimal) String() string { return strconv.FormatFloat(float64(d), 'f', 3, 64) }

// MarshalJSON writes a JSON number, null where there is none.
func (d Decimal) MarshalJSON() ([]byte, error) {
	if math.IsNaN(float64(d)) || math.IsInf(float64(d), 0) {
		return []byte("null"), nil
	}
	return []byte(d.String()), nil
}

// Range is an interval, both ends in it.
type Range [2]Decimal

// RateTable is a figure per 100,000 users, by region or network.
type RateTable struct {
	Figure   string       `json:"figure"`
	Title    string       `json:"title"`
	Version  int          `json:"definition_version"`
	Class    event.Class  `json:"class"`
	Unit     string       `json:"unit"` // of the rates
	Counted  string       `json:"counted"`
	Headline Headline     `json:"headline"`
	Period   query.Period `json:"period"`
	By       query.Dim    `json:"by"`

	NoData bool   `json:"no_data"`
	Reason string `json:"reason,omitzero"` // why there is no rate at all

	Country CountryRate   `json:"country"`
	Rows    []RateRow     `json:"rows"` // shrunk rate falling, then key; those without a rate last
	Methods []string      `json:"methods"`
	Caveats []string      `json:"caveats"`
	Sources []UsersSource `json:"sources"`
}

// CountryRate is the rate of the country as a whole. Where its users are not
// known, it is that of all rows that have users, and Year is 0.
type CountryRate struct {
	Of       string   `json:"of"`
	Value    Number   `json:"value"`
	Users    *Decimal `json:"users"`
	Year     int      `json:"year,omitzero"` // of the users
	Rate     *Decimal `json:"rate"`
	Interval *Range   `json:"interval"`
}

// RateRow is the rate of one region or network. Fields that need users are
// null where none are known.
type RateRow struct {
	Key       string   `json:"key"` // "" if unknown
	Value     Number   `json:"value"`
	Count     int64    `json:"count"` // the value, rounded: what the methods take
	Users     *Decimal `json:"users"`
	Samples   *Decimal `json:"samples,omitzero"`
	Rate      *Decimal `json:"rate"`
	Interval  *Range   `json:"interval"`
	Shrunk    *Decimal `json:"shrunk"`
	Credible  *Range   `json:"shrunk_interval"`
	Within95  *Range   `json:"funnel95"`
	Within998 *Range   `json:"funnel998"`
	Place     string   `json:"place,omitzero"` // above or below the funnel: above 99.8 %, above 95 %, below 95 %, below 99.8 %
	Why       string   `json:"why,omitzero"`   // there is no rate
}

// The places of a row by the funnel.
const (
	PlaceAbove998 = "above 99.8 %"
	PlaceAbove95  = "above 95 %"
	PlaceBelow95  = "below 95 %"
	PlaceBelow998 = "below 99.8 %"
)

// ByUsers lists the dimensions that rates can be given by.
var ByUsers = []query.Dim{query.DimRegion, query.DimASN}

// Rates gives a figure per 100,000 users. F is evaluated with a breakdown by
// one of [ByUsers]; home is the same figure of the home country alone, nil
// where that is not known.
//
// A count of events is taken for a Poisson count. A stock of addresses is none:
// the same address is counted on every day, and each is there for longer than
// a day. Its mean daily number, rounded, is taken as a share of the users, and
// the table says so.
func Rates(f *Figure, home *Figure, u Users) (RateTable, error) {
	t := RateTable{
		Figure: f.ID, Title: f.Title, Version: f.Version, Class: f.Class, Headline: f.Headline, Period: f.Period,
		Unit: f.Unit + " per 100,000 users", Counted: f.Headline.String(), Rows: []RateRow{}, Methods: []string{}, Caveats: slices.Clone(f.Caveats), Sources: u.Sources,
		NoData: f.NoData, Reason: f.Reason,
	}
	if t.Sources == nil {
		t.Sources = []UsersSource{}
	}
	if f.Breakdown == nil || !slices.Contains(ByUsers, f.Breakdown.By) {
		return t, fmt.Errorf("%w: rates are by region or asn", ErrBreakdown)
	}
	t.By = f.Breakdown.By
	if len(u.By) == 0 {
		t.Reason = fmt.Sprintf("no users by %s are known: load them with `tocsin refdata users FILE`; docs/refdata.md tells the columns", t.By)
	}
	if f.NoData {
		return t, nil
	}
	if err := t.rows(f, u); err != nil {
		return t, err
	}
	if err := t.shrink(); err != nil {
		return t, err
	}
	if err := t.country(f, home, u); err != nil {
		return t, err
	}
	t.say(f.Unit)
	slices.SortFunc(t.Rows, func(a, b RateRow) int {
		return cmp.Or(cmp.Compare(b.order(), a.order()), cmp.Compare(a.Key, b.Key))
	})
	return t, nil
}

// order is what rows are sorted by: the shrunk rate, or the raw one where
// there is none; below all rates where there is neither.
func (r *RateRow) order() Decimal {
	switch {
	case r.Shrunk != nil:
		return *r.Shrunk
	case r.Rate != nil:
		return *r.Rate
	}
	return -1
}

// rows gives each key its raw rate. A region without any row in the breakdown
// has a rate of 0; of networks there are too many in the world for that.
func (t *RateTable) rows(f *Figure, u Users) error {
	values := map[string]Number{}
	for _, r := range f.Breakdown.Rows {
		values[r.Key] = r.Value
	}
	if t.By == query.DimRegion {
		for k := range u.By {
			if _, ok := values[k]; !ok && k != "" {
				values[k] = Number{Days: f.Value.Days}
			}
		}
	}
	for _, k := range slices.Sorted(maps.Keys(values)) {
		r := RateRow{Key: k, Value: values[k], Count: rounded(values[k])}
		n, known := u.By[k]
		switch {
		case k == "":
			r.Why = fmt.Sprintf("the %s is not known", t.By)
		case !known:
			r.Why = "no users known"
		case n < 1:
			r.Why = "no users: the source says less than one"
		default:
			var err error
			if r.Users = new(Decimal(n)); u.Samples[k] > 0 {
				r.Samples = new(Decimal(u.Samples[k]))
			}
			if r.Rate, r.Interval, err = rate(f.Headline, r.Value, n, u.Samples[k]); err != nil {
				return fmt.Errorf("rate of %s %q: %w", t.By, k, err)
			}
		}
		t.Rows = append(t.Rows, r)
	}
	return nil
}

// rounded gives a mean as a whole number, halves up.
func rounded(n Number) int64 {
	if n.Days == 0 {
		return n.Sum
	}
	return (2*n.Sum + n.Days) / (2 * n.Days)
}

// rate gives a value per 100,000 users with the interval of its kind; samples
// is 0 where nobody knows what the users were estimated from.
func rate(h Headline, value Number, users, samples float64) (*Decimal, *Range, error) {
	k := rounded(value)
	raw := new(Decimal(value.Float() / users * RatePer))
	if samples >= 1 && k > 0 {
		s, err := estimate.SampledRate(int(k), users, samples)
		if err != nil {
			return nil, nil, err
		}
		return raw, per(s.CI), nil
	}
	if h == Events || float64(k) > users {
		p, err := estimate.PoissonRate(int(k), users)
		if err != nil {
			return nil, nil, err
		}
		return raw, per(p.CI), nil
	}
	_, ci, err := estimate.Wilson(int(k), int(users))
	if err != nil {
		return nil, nil, err
	}
	return raw, per(ci), nil
}

func per(i estimate.Interval) *Range {
	return new(Range{Decimal(i.Lo * RatePer), Decimal(i.Hi * RatePer)})
}

func asIs(i estimate.Interval) *Range { return new(Range{Decimal(i.Lo), Decimal(i.Hi)}) }

// shrink draws the rows with users towards their common rate.
func (t *RateTable) shrink() error {
	var in []estimate.Region
	var at []int
	total := int64(0)
	for i, r := range t.Rows {
		if r.Users != nil {
			in, at, total = append(in, estimate.Region{Name: r.Key, Count: int(r.Count), Users: float64(*r.Users)}), append(at, i), total+r.Count
		}
	}
	if len(in) < 2 || total == 0 {
		return nil // nothing to compare: the raw rates stand
	}
	out, err := estimate.Shrink(in)
	if err != nil {
		return fmt.Errorf("shrink: %w", err)
	}
	for i, s := range out {
		r := &t.Rows[at[i]]
		r.Shrunk, r.Credible, r.Within95, r.Within998 = new(Decimal(s.Shrunk)), asIs(s.CI), asIs(s.Within95), asIs(s.Within998)
		switch {
		case s.Rate > s.Within998.Hi:
			r.Place = PlaceAbove998
		case s.Rate > s.Within95.Hi:
			r.Place = PlaceAbove95
		case s.Rate < s.Within998.Lo:
			r.Place = PlaceBelow998
		case s.Rate < s.Within95.Lo:
			r.Place = PlaceBelow95
		}
	}
	return nil
}

// country gives the rate of all.
func (t *RateTable) country(f, home *Figure, u Users) error {
	c := CountryRate{Of: "all rows with users", Value: Number{Days: f.Value.Days}}
	users := 0.0
	if u.Country >= 1 && home != nil {
		c.Of, c.Year, users = "the home country", u.Year, u.Country
		if home.Value != nil {
			c.Value = *home.Value
		}
	} else {
		for _, r := range t.Rows {
			if r.Users != nil {
				c.Value.Sum += r.Value.Sum
				users += float64(*r.Users)
			}
		}
	}
	if users >= 1 {
		var err error
		c.Users = new(Decimal(users))
		if c.Rate, c.Interval, err = rate(f.Headline, c.Value, users, 0); err != nil {
			return fmt.Errorf("rate of the country: %w", err)
		}
	}
	t.Country = c
	return nil
}

// say lists the methods, and what the rates do not say.
func (t *RateTable) say(unit string) {
	if t.Headline == Events {
		t.Methods = append(t.Methods, "Interval: exact 95 % interval of a Poisson count (Garwood 1936). Attempts come in series, so that it is too narrow.")
	} else {
		what := "the number of the period"
		if t.Headline == MeanDaily {
			what = "the mean daily number, rounded to a whole one,"
		}
		t.Methods = append(t.Methods, "A stock is no Poisson count: one of the "+unit+" that is there for many days is counted on each. Interval: "+what+
			" taken as a share of the users, at 95 % (Wilson 1927); Poisson (Garwood 1936) where it exceeds them. It says how far chance alone would move a place of that size, and nothing of what feeds do not see.")
	}
	t.Methods = append(t.Methods,
		"Where it is known from how many samples the users of a place were estimated, the interval is that of the logarithm of the rate, with variance 1/count + 1/samples (delta method): the error of the users is in it.",
		"Shrunk rate: drawn towards the common rate of the rows, the more the fewer users there are (gamma-Poisson empirical Bayes, Marshall 1991), so that small places do not top the list by chance; rows are sorted by it. Where the rows differ by no more than chance, they are nearly equal.",
		"Funnel: between these limits a place's rate lies, in 95 and 99.8 of 100 cases, that has the common rate (exact Poisson, Spiegelhalter 2005).")
	if t.Country.Year > 0 {
		t.Methods = append(t.Methods, fmt.Sprintf("The country's users are the share of its population that uses the internet times its population; the share is of %d.", t.Country.Year))
	} else {
		t.Methods = append(t.Methods, "The country's users are not known: its rate is that of all rows with users.")
	}
	if t.By == query.DimRegion {
		t.Caveats = append(t.Caveats, "A region with users in which nothing was seen has a rate of 0; that nobody looked there is not told apart.")
	} else {
		t.Caveats = append(t.Caveats, "Only networks in which something was seen are listed and compared: the common rate is theirs, not that of all networks.")
	}
	t.Caveats = append(t.Caveats, "The numbers of users are estimates of their own, of another date than the period; their error is in the interval where their samples are known, and nowhere else.")
}
