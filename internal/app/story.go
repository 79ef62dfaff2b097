package app

import (
	"context"
	"fmt"

	"tocsin/internal/archive"
	"tocsin/internal/event"
	"tocsin/internal/policy"
	"tocsin/internal/query"
	"tocsin/internal/registry"
	"tocsin/internal/store"
)

// SimulatedDecision is what the analyst of a simulated country knows of one
// thing that happened, and so says of the breaks that it made.
type SimulatedDecision struct {
	Witness  string      // "" for any
	Class    event.Class // of the breaks
	Family   string      // "" for any
	From, To event.Day   // when it happened, both included
	State    query.BreakState
	Why      string // what happened
}

// decisionDays is how many days before and after a happening a break may be
// found that it made.
const decisionDays = 7

// analyst is who takes the decisions of a simulated country.
const analyst = "simulated analyst"

// fits reports whether the break can be of what happened.
func (d SimulatedDecision) fits(b query.Break) bool {
	return d.Class == b.Class && (d.Witness == "" || d.Witness == b.Witness) && (d.Family == "" || d.Family == b.Family) &&
		b.Day >= d.From-decisionDays && b.Day <= d.To+decisionDays
}

// decided gives the decision on a break: of those that fit, one that confirms
// it, so that no change of a view is dismissed for what the world did in the
// same days.
func decided(decisions []SimulatedDecision, b query.Break) (SimulatedDecision, bool) {
	var out SimulatedDecision
	found := false
	for _, d := range decisions {
		if d.fits(b) && (!found || out.State != query.BreakConfirmed && d.State == query.BreakConfirmed) {
			out, found = d, true
		}
	}
	return out, found
}

// Decide goes over the suspected breaks of all data as an analyst would who
// knows what happened: those that a decision fits are confirmed or dismissed
// with its reason, and the others stay suspected. Each decision is a line of
// the journal. It is for simulated countries, after [App.Settled], and returns
// how many it took.
func (a *App) Decide(ctx context.Context, decisions []SimulatedDecision) (int, error) {
	if !a.reg.Simulated() {
		return 0, fmt.Errorf("%s holds no simulated country: its breaks are for people to decide", a.cfg.Dir)
	}
	p, err := a.bounds(ctx)
	if err != nil || p.To == 0 {
		return 0, err
	}
	c, err := a.Coverage(ctx, policy.Local(), nil, p)
	if err != nil {
		return 0, err
	}
	n := 0
	for _, b := range c.Breaks {
		d, ok := decided(decisions, b)
		if !ok || b.State != query.BreakSuspected {
			continue
		}
		if err := a.journal(ctx, analyst, archive.KindDecision, nil, registry.Decision{What: registry.DecisionBreak, ID: b.ID, State: string(d.State), Why: d.Why}); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

// bounds gives the days that there is data of; the zero Period for none.
func (a *App) bounds(ctx context.Context) (p query.Period, err error) {
	err = a.read(ctx, func(st *store.Store) error {
		p, _ = st.Bounds()
		return nil
	})
	return p, err
}
