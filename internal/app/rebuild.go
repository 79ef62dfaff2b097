package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"tocsin/internal/store"
	"tocsin/internal/web"
)

// The folders beside the store's own: the one that a rebuild fills, and the one
// that it has taken the place of.
const (
	newSuffix = ".new"
	oldSuffix = ".old"
)

// alone lets one long work run at a time. What is asked for meanwhile is
// refused, before anything of it is journalled.
func (a *App) alone() (done func(), err error) {
	if !a.work.TryAcquire(1) {
		return nil, fmt.Errorf("%w: a rebuild or a reenrichment is under way, and one comes after the other. Ask again when it has ended", web.ErrConflict)
	}
	return func() { a.work.Release(1) }, nil
}

// rebuild loads everything into a second store, and swaps it in when it has
// caught up. Deliveries that arrive meanwhile are acked as always, and loaded
// into both; what is withdrawn meanwhile is taken out of both. The caller holds
// a.work.
func (a *App) rebuild(ctx context.Context, progress func(web.Progress)) (web.Result, error) {
	started := time.Now()
	cfg := a.cfg.Store
	cfg.Dir += newSuffix
	if err := os.RemoveAll(cfg.Dir); err != nil {
		return web.Result{}, fmt.Errorf("clear the folder of an earlier attempt: %w", err)
	}
	hook := func(point string) { a.hook("rebuild-" + point) }
	st, err := store.Open(ctx, a.log, cfg, store.Deps{Clock: a.clock, Hook: hook, Feeds: a.witnesses, ClassOf: classOf, Began: a.began})
	if err != nil {
		return web.Result{}, err
	}
	b := &App{
		log: a.log, cfg: a.cfg, clock: a.clock, hook: hook, version: a.version, arch: a.arch, reg: a.reg, data: a.data, stats: a.stats,
		st: opening(st), turned: make(chan struct{}), patience: a.patience,
	}
	defer b.closeStore()
	b.cfg.Store = cfg
	b.road = newRoad(b)
	// The second time takes what came, or was withdrawn, during the first.
	for range 2 {
		if err := b.fill(ctx, progress); err != nil {
			return web.Result{}, fmt.Errorf("rebuild: %w", err)
		}
	}
	if err := b.Derived(ctx); err != nil {
		return web.Result{}, fmt.Errorf("rebuild: %w", err)
	}
	res := web.Result{Deliveries: int64(a.arch.Last())} //nolint:gosec // a line count
	err = a.road.while(ctx, func(ctx context.Context) error {
		// And the third what the store in use has and this one has not: figures do
		// not go back.
		if err := b.fill(ctx, nil); err != nil {
			return fmt.Errorf("rebuild: %w", err)
		}
		if err := b.with(func(st *store.Store) error { res.Events, _ = st.Totals(); return nil }); err != nil {
			return err
		}
		b.closeStore()
		return a.exchange(ctx, cfg.Dir)
	})
	res.Seconds = time.Since(started).Seconds()
	return res, err
}

// fill loads what is journalled into the store of an app that does not run.
func (a *App) fill(ctx context.Context, progress func(web.Progress)) error {
	a.road.mu.Lock()
	a.road.idle = false // of the time before, which settled must not take for this one
	a.road.mu.Unlock()
	run, stop := context.WithCancel(ctx)
	defer stop()
	var wg sync.WaitGroup
	failed := make(chan error, 1)
	wg.Go(func() {
		if err := a.road.pass(run); err != nil {
			failed <- err
		}
		stop()
	})
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	settled := make(chan error, 1)
	last := a.arch.Last()
	wg.Go(func() { settled <- a.road.settled(run) })
	var err error
wait:
	for {
		select {
		case err = <-settled:
			break wait
		case <-ticker.C:
			if progress != nil {
				a.road.mu.Lock()
				read := a.road.read - min(a.road.read, uint64(a.road.queued)) //nolint:gosec // not negative
				a.road.mu.Unlock()
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
	return err
}

// exchange puts the store of another folder in the place of the one in use.
func (a *App) exchange(ctx context.Context, dir string) error {
	a.hook("exchange")
	a.closeStore()
	old := a.cfg.Store.Dir + oldSuffix
	if err := os.RemoveAll(old); err != nil {
		return err
	}
	if err := rename(a.cfg.Store.Dir, old); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("put the old store aside: %w", err)
	}
	a.hook("exchange-aside")
	if err := rename(dir, a.cfg.Store.Dir); err != nil {
		return errors.Join(fmt.Errorf("put the new store in its place: %w", err), rename(old, a.cfg.Store.Dir), a.openStore(ctx))
	}
	a.hook("exchange-in")
	if err := a.openStore(ctx); err != nil {
		return err
	}
	a.hook("exchanged")
	return os.RemoveAll(old)
}

// rename moves a folder to a name beside it, for good.
func rename(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return err
	}
	d, err := os.Open(filepath.Dir(to))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// tidy puts the old store back where the process ended between putting it aside
// and putting the new one in its place, and removes what a rebuild that was cut
// off has left.
func (a *App) tidy(ctx context.Context) error {
	dir := a.cfg.Store.Dir
	if _, err := os.Stat(store.File(dir)); errors.Is(err, os.ErrNotExist) {
		if _, err := os.Stat(store.File(dir + oldSuffix)); err == nil {
			a.log.LogAttrs(ctx, slog.LevelWarn, "a rebuild was cut off while the stores were exchanged; the old one is put back")
			if err := errors.Join(os.RemoveAll(dir), rename(dir+oldSuffix, dir)); err != nil {
				return fmt.Errorf("put the old store back: %w", err)
			}
		}
	}
	return errors.Join(os.RemoveAll(dir+newSuffix), os.RemoveAll(dir+oldSuffix))
}
