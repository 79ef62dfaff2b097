package app

import (
	"context"

	"tocsin/internal/archive"
	"tocsin/internal/event"
	"tocsin/internal/policy"
	"tocsin/internal/query"
	"tocsin/internal/store"
)

// Timeline implements [web.Backend].
func (a *App) Timeline(ctx context.Context, s policy.Scope, ref query.EpisodeRef) (t query.Timeline, err error) {
	err = a.read(ctx, func(st *store.Store) error {
		t, err = st.Timeline(ctx, s, ref)
		return err
	})
	return t, err
}

// began returns the day on which the first delivery of the journal arrived.
// Before that nobody had been told of any episode.
func (a *App) began() (event.Day, bool) {
	for l, err := range a.arch.Lines(context.Background(), 1) {
		if err == nil && l.Kind == archive.KindDelivery && l.Delivery != nil {
			return event.DayFrom(l.At), true
		}
	}
	return 0, false
}
