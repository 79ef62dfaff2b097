package figure_test

import (
	"context"
	"math"
	"slices"

	"tocsin/internal/event"
	"tocsin/internal/figure"
	"tocsin/internal/policy"
	"tocsin/internal/query"
)

// seen is one event as a counter sees it.
type seen struct {
	day   event.Day
	class event.Class
	asset string
	dims  map[query.Dim]string
}

// counts counts lists of events in the most obvious way.
type counts struct {
	list  []seen
	asked int
}

var _ figure.Counts = (*counts)(nil)

func (c *counts) match(s policy.Scope, q query.Count) []seen {
	var out []seen
	for _, e := range c.list {
		if e.class != q.Class || e.day < q.Period.From || e.day > q.Period.To {
			continue
		}
		if s.Sees(e.dims[query.DimOrganisation], event.Amber) && holds(e, q.Where) {
			out = append(out, e)
		}
	}
	return out
}

func holds(e seen, where []query.Cond) bool {
	for _, dim := range query.Dims {
		alternatives, met := false, false
		for _, c := range where {
			if c.Dim != dim {
				continue
			}
			if c.Not {
				if e.dims[dim] == c.Value {
					return false
				}
				continue
			}
			alternatives = true
			met = met || e.dims[dim] == c.Value
		}
		if alternatives && !met {
			return false
		}
	}
	return true
}

func tally(p query.Period, list []seen) query.Value {
	v := query.Value{Daily: make([]int64, p.Days()), DailyEvents: make([]int64, p.Days()), Events: int64(len(list))}
	assets := map[string]bool{}
	for i := range v.Daily {
		day := map[string]bool{}
		for _, e := range list {
			if e.day == p.From+event.Day(i) {
				day[e.asset] = true
				assets[e.asset] = true
				v.DailyEvents[i]++
			}
		}
		v.Daily[i] = int64(len(day))
	}
	v.Distinct = int64(len(assets))
	return v
}

func (c *counts) Count(_ context.Context, s policy.Scope, q query.Count) (query.Value, error) {
	c.asked++
	return tally(q.Period, c.match(s, q)), nil
}

func (c *counts) Breakdown(_ context.Context, s policy.Scope, q query.Count, by query.Dim) ([]query.Group, error) {
	c.asked++
	groups := map[string][]seen{}
	for _, e := range c.match(s, q) {
		groups[e.dims[by]] = append(groups[e.dims[by]], e)
	}
	var out []query.Group
	for k, list := range groups { // in no order, as promised
		out = append(out, query.Group{Key: k, Value: tally(q.Period, list)})
	}
	return out, nil
}

var inf = math.Inf(1)

func day(s string) event.Day {
	d, err := event.ParseDay(s)
	if err != nil {
		panic(err)
	}
	return d
}

func at(d string, class event.Class, asset string, kv ...string) seen {
	e := seen{day: day(d), class: class, asset: asset, dims: map[query.Dim]string{}}
	for p := range slices.Chunk(kv, 2) {
		e.dims[query.Dim(p[0])] = p[1]
	}
	return e
}
