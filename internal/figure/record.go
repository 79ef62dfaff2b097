package figure

import (
	"context"
	"hash/fnv"
	"math"
	"strconv"

	"tocsin/internal/estimate"
	"tocsin/internal/event"
	"tocsin/internal/policy"
	"tocsin/internal/query"
)

// Source answers what records are made of. All that it gives is of the scope
// alone, and of whole deliveries.
type Source interface {
	Counts
	// Covered says who looked at the classes when.
	Covered(ctx context.Context, scope policy.Scope, classes []event.Class, p query.Period) (query.Coverage, error)
	// Sole says how much of a count each witness alone has seen.
	Sole(ctx context.Context, scope policy.Scope, q query.Sole) (map[string]int64, error)
	// Matched counts what feeds saw on certain days, by network.
	Matched(ctx context.Context, scope policy.Scope, q query.Matched) ([]query.Cluster, error)
	// Controlled says who was controlled from where.
	Controlled(ctx context.Context, scope policy.Scope, q query.Control) (query.Controlled, error)
	// Sightings gives the sightings of a class, those of one asset after the
	// other. The slice is used again.
	Sightings(ctx context.Context, scope policy.Scope, q query.Count, f func([]query.Seen)) error
	// Episodes counts episodes day by day, with how they change with the gap.
	Episodes(ctx context.Context, scope policy.Scope, q query.Episodes) (EpisodeCounts, error)
	// Spells gives how long episodes of stable assets lasted, as far as it is
	// known, and how many assets are stable among all.
	Spells(ctx context.Context, scope policy.Scope, q query.Episodes) (Spells, error)
	// Network tells what is known of how an AS hands out addresses.
	Network(asn uint32) Network
	// Users is how many people use the internet in an AS, if known, and
	// AllUsers in all networks of which that is known.
	Users(asn uint32) (float64, bool)
	AllUsers() float64
}

// EpisodeCounts are episodes of a class, on each day of a period.
type EpisodeCounts struct {
	Covering  []int64 // episodes that the day lies in
	Begun     []int64 // that began, seen by a witness that had been looking before
	Uncounted []int64 // that were first seen by witnesses who had only begun to look, or looked again after an outage
	Closed    []int64 // that ended: their last day, of those that a clean look closed

	// Half and Double are the same with every gap halved and doubled.
	Half, Double EpisodeTotals
	Known        bool // whether Half and Double were counted
}

// EpisodeTotals are the means and sums of [EpisodeCounts].
type EpisodeTotals struct {
	Covering float64 // mean of the days
	Begun    int64   // sum
}

// Spells are durations of episodes.
type Spells struct {
	List           []estimate.Spell
	Stable, Others int // episodes of assets that keep their name or address, and of those that may not
}

// Network is what is known of an AS by the operator's tables.
type Network struct {
	Known     bool
	Pool      float64 // addresses that it assigns from; 0 if unknown
	Static    bool    // assignments do not change
	Shared    bool    // hosts share addresses
	Leases    []estimate.Duration
	Plausible [][]estimate.Duration
}

// UnmarshalJSON reads what [Decimal.MarshalJSON] writes.
func (d *Decimal) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		*d = Decimal(math.NaN())
		return nil
	}
	f, err := strconv.ParseFloat(string(b), 64)
	*d = Decimal(f)
	return err
}

func rangeOf(i estimate.Interval) *Range {
	if !i.Known() {
		return nil
	}
	return asIs(i)
}

// The kinds of uncertainty.
const (
	UncertaintyNone        = "none"        // a complete count of what the panel saw
	UncertaintySampling    = "sampling"    // an interval for what chance could have made of it
	UncertaintyModel       = "model"       // the range over the models that could be true
	UncertaintySensitivity = "sensitivity" // the range over choices that had to be made
)

// Uncertainty says how sure a number is. A complete count has the kind none,
// and what it would be without each witness beside it.
type Uncertainty struct {
	Kind   string  `json:"kind"`
	Range  *Range  `json:"range"` // null for a complete count
	Level  Decimal `json:"level"` // of an interval, 0 to 1; 0 for a range
	Method string  `json:"method"`
}

// Without is a value as it would be without one witness.
type Without struct {
	Witness string  `json:"witness"`
	Value   Decimal `json:"value"`
}

// Sensitivity is how a value depends on what was chosen.
type Sensitivity struct {
	What  string    `json:"what"`
	Range Range     `json:"range"`
	Each  []Without `json:"each,omitzero"`
}

// Panel is who looked.
type Panel struct {
	Witnesses        []string `json:"witnesses"`
	FeedDaysPresent  int      `json:"feed_days_present"`
	FeedDaysExpected int      `json:"feed_days_expected"`
}

// Coverage is how far the panel sees.
type Coverage struct {
	ShareOfUsers *Decimal `json:"share_of_users"` // per cent of the internet's users at home, in networks with any sighting; null where users are not known
	Lost         []string `json:"witnesses_lost"` // looked a year before, and not now
	Gained       []string `json:"witnesses_gained"`
	Breaks       []string `json:"breaks"` // in the year, in words
}

// Comparability is a value against the same period of last year.
type Comparability struct {
	Prior query.Period `json:"prior"`
	OK    bool         `json:"ok"`
	Why   string       `json:"why"`  // why not, or how it was compared
	Test  string       `json:"test"` // that refuses; "" where OK

	Raw         *Decimal   `json:"raw_ratio"` // as bulletins print it; null where nothing was counted then
	Ratio       *Decimal   `json:"ratio"`     // like for like; null unless OK
	Interval    *Range     `json:"interval"`  // 95 %
	ClearChange bool       `json:"clear_change"`
	Waterfall   *Waterfall `json:"waterfall"`
	MatchedDays int        `json:"matched_days"` // of witnesses
	Clusters    int        `json:"networks"`     // that the interval rests on
	Seed        uint64     `json:"seed"`
}

// Waterfall is how the value of last year becomes this year's.
type Waterfall struct {
	Then        Decimal `json:"then"`
	Exits       Decimal `json:"exits"` // where nobody looks any more, or other days
	MatchedThen Decimal `json:"matched_then"`
	MatchedNow  Decimal `json:"matched_now"`
	Entries     Decimal `json:"entries"` // where nobody looked then
	Now         Decimal `json:"now"`
}

// Refusal says why there is no number: the test that refuses, in one word, and
// a sentence.
type Refusal = estimate.Refusal

// Line is a row of a record's breakdown.
type Line struct {
	Key       string   `json:"key"`
	Value     Decimal  `json:"value"`
	Exclusive *Decimal `json:"exclusive,omitzero"`
	Shared    *Decimal `json:"shared,omitzero"`
	Share     *Decimal `json:"share_percent,omitzero"`
	Interval  *Range   `json:"interval,omitzero"`
	Note      string   `json:"note,omitzero"`
	Evidence  string   `json:"evidence,omitzero"`
}

// Lines is a record's breakdown.
type Lines struct {
	By      string        `json:"by"`
	Kind    BreakdownKind `json:"kind"`
	Sum     Decimal       `json:"sum"`
	Overlap Decimal       `json:"overlap"` // the sum less what it breaks down
	Rows    []Line        `json:"rows"`
}

// Input is what a record was computed from.
type Input struct {
	Rows       int64  `json:"rows"` // events behind it
	Enrichment uint32 `json:"enrichment"`
	Version    int    `json:"definition_version"`
	Seed       uint64 `json:"seed"`
}

// Record is a published number with all that it takes to read it. Its fields
// are written out: they are never removed.
type Record struct {
	ID         string       `json:"id"`
	Title      string       `json:"title"`
	Unit       string       `json:"unit"`
	Definition string       `json:"definition"`
	Version    int          `json:"definition_version"`
	Period     query.Period `json:"period"`
	Geography  string       `json:"geography"`

	Estimate bool     `json:"estimate"` // computed by a model from what was observed; it has no rows of its own
	Value    *Decimal `json:"value"`    // null where there is none
	Refusal  *Refusal `json:"refusal"`  // why there is none
	Part     *Decimal `json:"part"`     // per cent of the infected addresses of a day that the value speaks of; null for all

	Cumulative      *Decimal `json:"cumulative"` // distinct over the period, where the value is a mean
	CumulativeLabel string   `json:"cumulative_label,omitzero"`

	Uncertainty   Uncertainty    `json:"uncertainty"`
	Sensitivity   []Sensitivity  `json:"sensitivity"`
	Panel         Panel          `json:"panel"`
	Coverage      Coverage       `json:"coverage"`
	Comparability *Comparability `json:"comparability"`
	Breakdown     []Lines        `json:"breakdown"`
	Series        []Point        `json:"series,omitzero"`
	Input         Input          `json:"input"`
	Evidence      string         `json:"evidence"` // a page's address
	Caveats       []string       `json:"caveats"`
	NotMet        []string       `json:"not_publishable"` // what is missing for it to be published
}

// check notes what is missing for the record to be published: a number without
// unit, definition, panel, uncertainty and evidence is none.
func (r *Record) check() {
	r.NotMet = []string{}
	for _, c := range []struct {
		ok   bool
		what string
	}{
		{r.Unit != "", "unit"},
		{r.Definition != "", "definition"},
		{len(r.Panel.Witnesses) > 0, "panel"},
		{r.Uncertainty.Kind != "" && r.Uncertainty.Method != "", "uncertainty"},
		{r.Evidence != "", "evidence"},
	} {
		if !c.ok {
			r.NotMet = append(r.NotMet, c.what)
		}
	}
}

// Publishable reports whether the record has a number that may be printed.
func (r *Record) Publishable() bool { return r.Value != nil && r.Refusal == nil && len(r.NotMet) == 0 }

func value(f float64) *Decimal { r := Decimal(f); return &r }

// seedOf gives the seed of what is drawn for a record: it follows from what is
// asked, and is printed.
func seedOf(id string, version int, p query.Period) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(id + " " + strconv.Itoa(version) + " " + p.From.String() + " " + p.To.String()))
	return h.Sum64() >> 1 // so that JSON readers that know no unsigned numbers keep most of it
}
