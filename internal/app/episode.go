package app

import (
	"context"

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
