package app

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"tocsin/internal/store"
)

// The times of looking after the store.
const (
	mendEvery = time.Second
	mendAgain = time.Minute // after a store that could not be made again
)

// mend makes the store again from the archive when a read has met damage in
// it, until ctx ends. Reading goes on meanwhile with what can be read.
func (a *App) mend(ctx context.Context) error {
	wait := mendEvery
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
		wait = mendEvery
		damaged := false
		if err := a.with(func(st *store.Store) error {
			damaged = st.Damaged() && st.Broken() == nil
			return nil
		}); err != nil || !damaged {
			continue // or the road opens it again by itself
		}
		// A rebuild that runs may mend it.
		if a.work.Acquire(ctx, 1) != nil {
			return nil //nolint:nilerr // it was stopped
		}
		wait = a.look(ctx)
		a.work.Release(1)
	}
}

// look opens a store that reads as if it were damaged again, and makes it again
// from the archive if it is. It returns when to look after it next.
func (a *App) look(ctx context.Context) time.Duration {
	// A database that has given up, as on a full disk, reads as if it were
	// damaged: only a fresh one tells.
	err := a.road.while(ctx, a.reopen)
	if err == nil {
		err = a.with(func(st *store.Store) error { _, err := st.Verify(ctx); return err })
	}
	if err == nil || !errors.Is(err, store.ErrDamaged) {
		return mendEvery
	}
	a.log.LogAttrs(ctx, slog.LevelError, "the store is damaged; it is made again from the archive", slog.Any("error", err))
	a.mending.Store(true)
	defer a.mending.Store(false)
	if _, err := a.rebuild(ctx, nil); err != nil {
		if ctx.Err() != nil {
			return mendEvery // it was stopped
		}
		a.log.LogAttrs(ctx, slog.LevelError, "the store could not be made again", slog.Any("error", err), slog.Duration("next_attempt", mendAgain))
		return mendAgain
	}
	return mendEvery
}
