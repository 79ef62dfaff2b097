package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"tocsin/internal/store"
	"tocsin/internal/web"
)

// rebuild loads everything into a second store, and swaps it in when it has
// caught up. Deliveries that arrive meanwhile are acked as always, and loaded
// into both.
func (a *App) rebuild(ctx context.Context, progress func(web.Progress)) (web.Result, error) {
	started := time.Now()
	cfg := a.cfg.Store
	cfg.Dir += ".new"
	if err := os.RemoveAll(cfg.Dir); err != nil {
		return web.Result{}, fmt.Errorf("clear the folder of an earlier attempt: %w", err)
	}
	st, err := store.Open(ctx, a.log, cfg, store.Deps{Clock: a.clock, Hook: a.hook})
	if err != nil {
		return web.Result{}, err
	}
	b := &App{log: a.log, cfg: a.cfg, clock: a.clock, hook: a.hook, version: a.version, arch: a.arch, reg: a.reg, data: a.data, stats: a.stats, st: st}
	b.cfg.Store = cfg
	b.road = newRoad(b)
	run, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	failed := make(chan error, 1)
	wg.Go(func() {
		if err := b.road.pass(run); err != nil {
			failed <- err
		}
		stop()
	})
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	settled := make(chan error, 1)
	wg.Go(func() { settled <- b.road.settled(run) })
	last := a.arch.Last()
wait:
	for {
		select {
		case err = <-settled:
			break wait
		case <-ticker.C:
			if progress != nil {
				b.road.mu.Lock()
				read := b.road.read - min(b.road.read, uint64(b.road.queued)) //nolint:gosec // not negative
				b.road.mu.Unlock()
				progress(web.Progress{Done: int64(read), Total: int64(last), Unit: "journal lines"}) //nolint:gosec // line counts
			}
		}
	}
	stop()
	wg.Wait()
	select {
	case e := <-failed:
		err = errors.Join(e, err)
	default:
	}
	if err != nil {
		b.st.Close()
		return web.Result{}, fmt.Errorf("rebuild: %w", err)
	}
	events, _ := b.st.Totals()
	b.st.Close()
	res := web.Result{Events: events, Deliveries: int64(last)} //nolint:gosec // a line count
	err = a.road.while(ctx, func(ctx context.Context) error { return a.exchange(ctx, cfg.Dir) })
	res.Seconds = time.Since(started).Seconds()
	return res, err
}

// exchange puts the store of another folder in the place of the one in use.
func (a *App) exchange(ctx context.Context, dir string) error {
	a.swap.Lock()
	defer a.swap.Unlock()
	if a.st != nil {
		a.st.Close()
		a.st = nil
	}
	old := a.cfg.Store.Dir + ".old"
	if err := os.RemoveAll(old); err != nil {
		return err
	}
	if err := os.Rename(a.cfg.Store.Dir, old); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("put the old store aside: %w", err)
	}
	if err := os.Rename(dir, a.cfg.Store.Dir); err != nil {
		return errors.Join(fmt.Errorf("put the new store in its place: %w", err), os.Rename(old, a.cfg.Store.Dir), a.openStore(ctx))
	}
	if err := a.openStore(ctx); err != nil {
		return err
	}
	return os.RemoveAll(old)
}
