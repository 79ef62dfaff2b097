package app

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"tocsin/internal/archive"
	"tocsin/internal/coverage"
	"tocsin/internal/decode"
	"tocsin/internal/estimate"
	"tocsin/internal/event"
	"tocsin/internal/policy"
	"tocsin/internal/query"
	"tocsin/internal/registry"
	"tocsin/internal/store"
	"tocsin/internal/web"
)

// Breaks are looked for in a period and this many days around it; those that
// many days before it count for its numbers.
const breakDays = 28

// breakLevel is the median, in sightings a day, that one side of a break has at
// least: smaller numbers come and go.
const breakLevel = 10

// maxWhy bounds a reason, in bytes.
const maxWhy = 2000

// witnesses returns how the feeds are set up, for the store.
func (a *App) witnesses() []coverage.Feed {
	list := a.reg.Feeds()
	out := make([]coverage.Feed, len(list))
	for i, f := range list {
		out[i] = coverage.Feed{Name: f.Name, Upstream: f.Upstream, Schedule: coverage.Schedule(f.Schedule)}
	}
	return out
}

// reportClasses is the class of each report type.
var reportClasses = func() map[string]event.Class {
	m := map[string]event.Class{}
	for _, f := range decode.Formats {
		for _, r := range f.ReportTypes() {
			m[r.Name] = r.Class
		}
	}
	return m
}()

func classOf(report string) (event.Class, bool) {
	c, ok := reportClasses[report]
	return c, ok
}

// setWitness changes what settings say of a feed as a witness. "history" takes
// a schedule back.
func setWitness(x *registry.Feed, f web.FeedSettings) {
	if f.Schedule != nil {
		if x.Schedule = strings.ToLower(*f.Schedule); x.Schedule == "history" {
			x.Schedule = ""
		}
	}
	if f.Upstream != nil {
		x.Upstream = *f.Upstream
	}
}

// Coverage implements [web.Backend].
func (a *App) Coverage(ctx context.Context, s policy.Scope, classes []event.Class, p query.Period) (query.Coverage, error) {
	out := query.Coverage{Period: p, Rows: []query.Covered{}, Breaks: []query.Break{}}
	if !s.All() {
		return out, nil
	}
	around := query.Period{From: p.From - 2*breakDays, To: p.To + breakDays} // what lies at its edges is not told
	var families []store.FamilyDays
	if err := a.read(ctx, func(st *store.Store) error {
		rows, err := st.Coverage(ctx, classes, p)
		if err != nil {
			return err
		}
		out.Rows = append(out.Rows, rows...)
		families, err = st.Families(ctx, classes, around)
		return err
	}); err != nil {
		return out, err
	}
	said := a.reg.Decisions(registry.DecisionBreak)
	for _, f := range families {
		list, err := breaks(f, around.From)
		if err != nil {
			return out, err
		}
		for _, b := range list {
			if b.Day < p.From-breakDays || b.Day > p.To {
				continue
			}
			if d, ok := said[b.ID]; ok {
				b.State, b.By, b.Why = query.BreakState(d.State), d.By, d.Why
			}
			out.Breaks = append(out.Breaks, b)
		}
	}
	return out, nil
}

// breaks finds the breaks in the daily numbers of a class and family, the
// first of which is that of the day from.
func breaks(f store.FamilyDays, from event.Day) ([]query.Break, error) {
	series := map[string][]float64{}
	for w, days := range f.Days {
		s := make([]float64, len(days))
		seen := false
		for i, n := range days {
			if s[i] = float64(n); n < 0 {
				s[i] = math.NaN()
			}
			seen = seen || n > 0
		}
		if seen { // one that never sees the family says nothing of it
			series[w] = s
		}
	}
	found, err := estimate.CoverageBreaks(series)
	out := make([]query.Break, 0, len(found))
	for _, b := range found {
		if max(b.Before, b.After) < breakLevel {
			continue
		}
		day := from + event.Day(b.Day) //nolint:gosec // a day of the period
		out = append(out, query.Break{
			ID: breakID(b.Feed, f.Class, f.Family, day), Witness: b.Feed, Class: f.Class, Family: f.Family, Day: day, Before: b.Before, After: b.After, State: query.BreakSuspected,
		})
	}
	return out, err
}

// breakID names a break: its day, so that it can be found again, and a hash of
// what it is of.
func breakID(witness string, class event.Class, family string, day event.Day) string {
	h := event.Hash(fmt.Appendf(nil, "%q %s %q %s", witness, class, family, day))
	return "b" + strings.ReplaceAll(day.String(), "-", "") + "-" + h.String()[:12]
}

// DecideBreak implements [web.Backend].
func (a *App) DecideBreak(ctx context.Context, s policy.Scope, id string, state query.BreakState, why string) (query.Break, error) {
	if err := admin(s); err != nil {
		return query.Break{}, err
	}
	if state != query.BreakConfirmed && state != query.BreakDismissed {
		return query.Break{}, fmt.Errorf("%w: a break is %s or %s, not %q", web.ErrBadRequest, query.BreakConfirmed, query.BreakDismissed, state)
	}
	if why = strings.TrimSpace(strings.ToValidUTF8(why, "\uFFFD")); why == "" || len(why) > maxWhy {
		return query.Break{}, fmt.Errorf("%w: say why, in at most %d bytes; it is kept in the journal", web.ErrBadRequest, maxWhy)
	}
	absent := fmt.Errorf("break %q: %w", id, query.ErrNotFound)
	if len(id) != len("b20060102-0123456789ab") {
		return query.Break{}, absent
	}
	t, err := time.Parse("20060102", id[1:9])
	if err != nil {
		return query.Break{}, absent
	}
	day := event.DayFrom(t)
	c, err := a.Coverage(ctx, s, nil, query.Period{From: day, To: day})
	if err != nil {
		return query.Break{}, err
	}
	i := slices.IndexFunc(c.Breaks, func(b query.Break) bool { return b.ID == id })
	if i < 0 {
		return query.Break{}, absent
	}
	if err := a.journal(ctx, s.Who(), archive.KindDecision, nil, registry.Decision{What: registry.DecisionBreak, ID: id, State: string(state), Why: why}); err != nil {
		return query.Break{}, err
	}
	b := c.Breaks[i]
	b.State, b.By, b.Why = state, s.Who(), why
	return b, nil
}
