package web_test

import (
	"context"

	"tocsin/internal/event"
	"tocsin/internal/policy"
	"tocsin/internal/query"
)

// Timeline gives the first of the fake's episodes that the address names, seen
// on its first and last day, with an outage between for those who see all.
func (f *fake) Timeline(ctx context.Context, s policy.Scope, ref query.EpisodeRef) (query.Timeline, error) {
	list, _, _, err := f.Episodes(ctx, s, query.Episodes{Classes: []event.Class{ref.Class}, Period: query.Period{From: 0, To: 1 << 20}, Limit: 1 << 20})
	if err != nil {
		return query.Timeline{}, err
	}
	for _, e := range list {
		if e.Asset != ref.Asset || ref.Day < e.First || ref.Day > e.Last || ref.Family != "" && ref.Family != e.Family || ref.Type != "" && ref.Type != e.TypeName {
			continue
		}
		t := query.Timeline{Episode: e, Through: f.status.DataTo, Names: []string{"other " + e.Family}, Twice: query.Period{From: e.First, To: e.Last}, Others: list[:min(2, len(list))]}
		t.Half = []query.Period{{From: e.First, To: e.First}, {From: e.Last, To: e.Last}}
		for _, w := range e.Witnesses {
			d := query.WitnessDays{Witness: w.Feed, Seen: []event.Day{w.First, w.Last}}
			if s.All() {
				d.Missing, d.Clean = []query.Period{{From: w.First + 1, To: w.Last - 1}}, new(w.Last+8)
			}
			t.Witnesses = append(t.Witnesses, d)
		}
		return t, nil
	}
	return query.Timeline{}, query.ErrNotFound
}
