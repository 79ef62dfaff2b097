// Package loss says what abuse cost, between what and what: it takes a file of
// inputs that an operator wrote ([Parse]) and the numbers of figures, and gives
// a report with medians, intervals, what drives them, and where each input
// comes from ([Evaluate]).
//
// Values in, values out: it opens nothing and draws from the file's seed alone.
// It never adds direct losses, indirect losses and the cost of defence into one
// number (Anderson et al., Measuring the Cost of Cybercrime, WEIS 2012), and
// what comes from other countries stays out of every sum.
package loss

import (
	_ "embed"

	"tocsin/internal/estimate"
)

// Example is a file of inputs with comments, to begin with. All of its numbers
// are assumptions.
//
//go:embed example.yaml
var Example []byte

// Simulated is the file of inputs of the simulated country. Its numbers are
// made up.
//
//go:embed simulated.yaml
var Simulated []byte

// Bounds of a file of inputs.
const (
	MaxBytes      = 64 << 10
	MaxCategories = 100
	maxDraws      = 100_000
	maxWork       = 2_000_000 // draws times categories
	maxText       = 500       // bytes of a source
	maxName       = 100       // bytes of a category's name
)

// Figure is a figure that a category can count its cases from.
type Figure struct {
	ID    string
	Title string
	// Stock says that the figure is a number at a time, and not a number of a
	// period: how many cases come of it depends on how long, so that its share is
	// given per year.
	Stock bool
}

// Figures lists the figures that `from` may name.
var Figures = []Figure{
	{"infections-begun", "infections that began in the period", false},
	{"hosts-infected", "hosts infected at a time", true},
	{"hacked-sites", "hacked sites of the period", false},
	{"exposed-services", "exposed services, mean of the days", true},
	{"attack-attempts", "attack attempts of the period", false},
}

// Value is what a figure is in a period: its range, with both ends the same
// where it is a complete count, or why there is no number.
type Value struct {
	Lo, Hi float64
	OK     bool
	Why    string // where not OK
}

// Origin says where an input comes from. Without a source it is an assumption.
type Origin struct {
	Source string // "" for an assumption
	Date   string // YYYY, YYYY-MM or YYYY-MM-DD, of the source
	Scaled bool   // taken from another country's study
}

// Range is a 90 % range that somebody gave; the ends are the same where the
// number is known. Between them it is taken as log-normal.
type Range struct {
	Lo, Hi  float64
	PerYear bool // times days/365.25 for the period; otherwise as it stands
	Origin
}

// Cost is what a case costs: a 90 % range, or the least, likeliest and greatest.
type Cost struct {
	Lo, Hi            float64 // 0 where the three are given
	Least, Mode, Most float64
	Zero              float64 // share of cases that cost nothing, 0 to below 1
	Origin
}

// Category is one kind of costly case.
type Category struct {
	Name string
	Kind estimate.LossKind
	// From is the figure that cases are counted from, and Cases then the share of
	// it that costs something. Where From is "", Cases are the cases themselves.
	From  string
	Cases Range
	Cost  Cost
}

// scaled reports whether any input comes from another country.
func (c *Category) scaled() bool { return c.Cases.Scaled || c.Cost.Scaled }

// Inputs is a file of inputs.
type Inputs struct {
	SHA256     string // of the file
	Currency   string // ISO 4217, such as EUR
	ShockSigma float64
	Draws      int
	Seed       uint64
	Categories []Category
}

// Given reports whether there are inputs at all.
func (in *Inputs) Given() bool { return len(in.Categories) > 0 }
