package app

import (
	"context"
	"log/slog"
	"time"

	"tocsin/internal/policy"
	"tocsin/internal/query"
	"tocsin/internal/store"
)

// The pace of the making of episodes: it looks every second, and rests ten times
// as long as it has worked. Where so much was loaded that all have to be made
// anew, it waits until nothing has come for a look, or ten minutes; few are made
// at once.
const (
	deriveEvery = time.Second
	deriveRest  = 10
	deriveAll   = 10 * time.Minute
	deriveFew   = 100_000         // sightings
	deriveAtEnd = 5 * time.Second // what is left when the program stops
)

// derive makes the episodes of what has been sighted, until ctx ends.
func (a *App) derive(ctx context.Context) error {
	all := time.Now() // when all were made, or could first have been
	var before uint64 // the journal's last line when everything before it was in; 0 if it was not
	for wait := deriveEvery; ; {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
		since := time.Now()
		last := a.arch.Last()
		if !a.road.resting() {
			last = 0
		}
		anew := last > 0 && last == before || since.Sub(all) >= deriveAll
		before = last
		err := a.deriveOnce(ctx, !anew)
		if anew {
			all = time.Now()
		}
		wait = max(deriveEvery, deriveRest*time.Since(since))
		if err == nil || ctx.Err() != nil {
			continue
		}
		a.log.LogAttrs(ctx, slog.LevelError, "episodes cannot be made", slog.Any("error", err))
		broken := false
		if a.with(func(st *store.Store) error { broken = st.Broken() != nil; return nil }) == nil && broken {
			if err := a.road.while(ctx, a.reopen); err != nil && ctx.Err() == nil {
				a.log.LogAttrs(ctx, slog.LevelError, "the store cannot be opened", slog.Any("error", err))
			}
		}
	}
}

// deriveOnce makes the episodes of what has been sighted by now; with marked
// not where everything has to be made anew. It is broken off when the store is
// to be closed.
func (a *App) deriveOnce(ctx context.Context, marked bool) error {
	st, _ := a.borrow()
	if st == nil {
		return nil // it is being opened
	}
	defer st.users.Done()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	go func() {
		select {
		case <-st.closing:
			stop()
		case <-ctx.Done():
		}
	}()
	n, whole := st.Underived()
	if n == 0 && !whole || whole && marked && n > deriveFew {
		return nil
	}
	since := time.Now()
	d, err := st.Derive(ctx)
	st.Underived() // so that Pending tells what is left
	if err != nil {
		select {
		case <-st.closing:
			return nil // it was broken off
		default:
			return err
		}
	}
	a.log.LogAttrs(ctx, slog.LevelDebug, "episodes made", slog.Int("assets", d.Assets), slog.Int("episodes", d.Episodes), slog.Bool("all", d.Whole), slog.Duration("took", time.Since(since)))
	return nil
}

// deriveLast makes the episodes that are left when the program stops. Where
// that cannot be done, or everything is to be made anew, the next start does it.
func (a *App) deriveLast(ctx context.Context) {
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), deriveAtEnd)
	defer stop()
	if err := a.deriveOnce(ctx, true); err != nil {
		a.log.LogAttrs(ctx, slog.LevelWarn, "episodes are left to be made", slog.Any("error", err))
	}
}

// Derived makes the episodes of everything that is loaded, and waits for it.
func (a *App) Derived(ctx context.Context) error {
	for {
		if err := a.deriveOnce(ctx, false); err != nil {
			return err
		}
		done := false
		if err := a.read(ctx, func(st *store.Store) error {
			n, whole := st.Underived()
			done = n == 0 && !whole
			return nil
		}); err != nil || done {
			return err
		}
	}
}

// Episodes implements [web.Backend].
func (a *App) Episodes(ctx context.Context, s policy.Scope, q query.Episodes) (list []query.Episode, total int64, as query.EpisodesAsOf, err error) {
	err = a.read(ctx, func(st *store.Store) error {
		list, total, err = st.Episodes(ctx, s, q)
		if b, ok := st.Bounds(); ok {
			as.Through = b.To
		}
		as.Pending, as.Whole = st.Pending()
		return err
	})
	return list, total, as, err
}
