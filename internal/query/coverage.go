package query

import "tocsin/internal/event"

// Look says whether a witness looked on a day.
type Look byte

// The looks. A day on which a witness looked and saw nothing is [Present]: zero
// is a number, and not looking is none.
const (
	NotExpected Look = '.' // before it began, after it was retired, or not a day of its schedule
	Present     Look = '+' // it reported, or its schedule and history say that its silence is a zero
	Missing     Look = '-' // it should have reported and did not
)

// Covered is which days of a period one witness looked at one class in one
// network, or in all networks.
type Covered struct {
	Witness string      `json:"witness"` // the upstream, or the feed where it has none
	Feeds   []string    `json:"feeds"`   // that are this witness, sorted
	Class   event.Class `json:"class"`
	// ASN is 0 for all networks but those that have a row of their own for the
	// witness and class, since it looks at them on other days.
	ASN  uint32    `json:"asn"`
	From event.Day `json:"from"` // the first day that it ever looked
	Days []Look    `json:"-"`    // element i is the period's i-th day

	Expected int `json:"expected"` // days, Present and Missing together
	Present  int `json:"present"`
	Missing  int `json:"missing"`
}

// BreakState is what an analyst says of a level shift.
type BreakState string

// The states of a break. Until somebody has looked at it, a shift counts as a
// break: no percentage is shown across it.
const (
	BreakSuspected BreakState = "suspected"
	BreakConfirmed BreakState = "confirmed"
	BreakDismissed BreakState = "dismissed" // the level is real: the feed's view did not change
)

// Break is a level shift of one witness in one class and family that no other
// witness of the family shares: what looks changed, not what it looks at.
type Break struct {
	ID      string      `json:"id"` // of the witness, class, family and day
	Witness string      `json:"witness"`
	Class   event.Class `json:"class"`
	Family  string      `json:"family"` // "" for all of the class
	Day     event.Day   `json:"day"`    // the first of the new level
	Before  float64     `json:"before"` // median of 14 days
	After   float64     `json:"after"`
	State   BreakState  `json:"state"`
	By      string      `json:"by,omitzero"` // who confirmed or dismissed it
	Why     string      `json:"why,omitzero"`
}

// Coverage is who looked when, over a period.
type Coverage struct {
	Period Period    `json:"period"`
	Rows   []Covered `json:"rows"`
	Breaks []Break   `json:"breaks"` // in the period, and those before it that its numbers rest on
}
