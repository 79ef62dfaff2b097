package sim

import (
	"fmt"
	"slices"
)

// Counts is what is compared with the truth: a reader of the deliveries that
// answers the same questions. Days of Daily are those of the query, and keys of
// a breakdown are the values as the truth writes them, "" for unknown.
type Counts interface {
	Count(q Query) (Value, error)
	Breakdown(q Query, dim string) (map[string]Value, error)
}

// Differences asks got for all days together, for each month, for one day in
// fifty, and for each of them by the dimensions given (nil means [Dims]), and
// lists where the answers are not the truth, in words. No difference means that
// they are equal to the last event. Conditions are part of every question.
func (t *Truth) Differences(got Counts, dims []string, where ...Cond) ([]string, error) {
	if dims == nil {
		dims = Dims
	}
	var diff []string
	for _, class := range Classes {
		for _, p := range t.periods() {
			q := Query{class, p[0], p[1], where}
			v, err := got.Count(q)
			if err != nil {
				return diff, fmt.Errorf("count %s from %s to %s: %w", class, q.From, q.To, err)
			}
			diff = t.differ(diff, q, "", "", v, t.Count(q))
			for _, dim := range dims {
				rows, err := got.Breakdown(q, dim)
				if err != nil {
					return diff, fmt.Errorf("break %s from %s to %s down by %s: %w", class, q.From, q.To, dim, err)
				}
				diff = t.differRows(diff, q, dim, rows)
			}
		}
	}
	return diff, nil
}

// DeliveryDifferences lists the deliveries whose counts are not the truth, in
// words; got is in the order in which they were yielded.
func (t *Truth) DeliveryDifferences(got []DeliveryCount) []string {
	var diff []string
	if len(got) != len(t.deliveries) {
		diff = append(diff, fmt.Sprintf("%d deliveries, truth %d", len(got), len(t.deliveries)))
	}
	for i, want := range t.deliveries {
		if i < len(got) && got[i] != want {
			diff = append(diff, fmt.Sprintf("delivery %d: %+v, truth %+v", i+1, got[i], want))
		}
	}
	return diff
}

// periods are the ranges of days that are compared.
func (t *Truth) periods() [][2]Day {
	p := [][2]Day{{t.c.from, t.c.to}}
	for first := t.c.from; first <= t.c.to; {
		x := first.Time()
		next := DayOf(x.AddDate(0, 1, 1-x.Day()))
		p = append(p, [2]Day{first, min(next-1, t.c.to)})
		first = next
	}
	for d := t.c.from; d <= t.c.to; d += 50 {
		p = append(p, [2]Day{d, d})
	}
	return p
}

func (t *Truth) differRows(diff []string, q Query, dim string, got map[string]Value) []string {
	want := t.Breakdown(q, dim)
	var keys []string
	for k := range want {
		keys = append(keys, k)
	}
	for k := range got {
		if _, ok := want[k]; !ok {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	for _, k := range keys {
		diff = t.differ(diff, q, dim, k, got[k], want[k])
	}
	return diff
}

func (t *Truth) differ(diff []string, q Query, dim, key string, got, want Value) []string {
	say := func(format string, v ...any) {
		what := fmt.Sprintf("%s from %s to %s", q.Class, q.From, q.To)
		if dim != "" {
			what += fmt.Sprintf(" by %s %q", dim, key)
		}
		diff = append(diff, what+": "+fmt.Sprintf(format, v...))
	}
	if got.Events != want.Events {
		say("%d events, truth %d", got.Events, want.Events)
	}
	if got.Distinct != want.Distinct {
		say("%d assets, truth %d", got.Distinct, want.Distinct)
	}
	for i := range max(len(got.Daily), len(want.Daily)) {
		var g, w int // a day that an answer leaves out is 0
		if i < len(got.Daily) {
			g = got.Daily[i]
		}
		if i < len(want.Daily) {
			w = want.Daily[i]
		}
		if g != w {
			say("%d assets on %s, truth %d; and maybe on other days", g, q.From+Day(i), w)
			break
		}
	}
	return diff
}
