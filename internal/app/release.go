package app

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"tocsin/internal/archive"
	"tocsin/internal/event"
	"tocsin/internal/figure"
	"tocsin/internal/policy"
	"tocsin/internal/query"
	"tocsin/internal/registry"
	"tocsin/internal/store"
	"tocsin/internal/web"
)

// Release implements [web.Backend]. It waits until everything that is
// journalled is in the figures.
func (a *App) Release(ctx context.Context, s policy.Scope, month, revise string) (web.Released, error) {
	if err := admin(s); err != nil {
		return web.Released{}, err
	}
	period, err := figure.ReleaseMonth(month, event.DayFrom(a.clock()))
	if err != nil {
		return web.Released{}, fmt.Errorf("%w: %w", web.ErrBadRequest, err)
	}
	if revise = strings.TrimSpace(revise); len(revise) > 1000 {
		return web.Released{}, fmt.Errorf("%w: the reason of a revision has at most 1000 bytes", web.ErrBadRequest)
	}
	a.releasing.Lock()
	defer a.releasing.Unlock()
	i := slices.IndexFunc(a.reg.Releases(), func(r registry.Release) bool { return r.Month == month })
	revision := 1
	switch {
	case i < 0 && revise != "":
		return web.Released{}, fmt.Errorf("%w: %s was not released yet: there is nothing to revise", web.ErrBadRequest, month)
	case i >= 0 && revise == "":
		return web.Released{}, fmt.Errorf("%w: %s was released on %s; who has two versions can subtract one from the other, so another takes a reason: --revise \"REASON\"", web.ErrConflict, month, a.reg.Releases()[i].At.UTC().Format(time.DateOnly))
	case i >= 0:
		revision = a.reg.Releases()[i].Revision + 1
	}
	if err := a.road.settled(ctx); err != nil {
		return web.Released{}, err
	}
	home, _ := a.reg.Home()
	r := figure.Release{
		Month: month, Revision: revision, Reason: revise, Home: home, Simulated: a.reg.Simulated(), Journal: a.arch.Last(),
		Period: period, Tables: []figure.ReleasedTable{}, Method: figure.ReleaseMethod,
	}
	if err := a.read(ctx, func(st *store.Store) error {
		if b, ok := st.Bounds(); ok {
			r.Note = figure.ReleaseNote(period, b)
		}
		return nil
	}); err != nil {
		return web.Released{}, err
	}
	empty := true
	for _, x := range figure.ReleaseTables {
		f, err := a.Figure(ctx, policy.ForRelease(), x.Figure, figure.Params{Period: period, By: x.By})
		if err != nil {
			return web.Released{}, err
		}
		t, err := figure.NewReleasedTable(&f)
		if err != nil {
			return web.Released{}, fmt.Errorf("%w: %w", web.ErrBadRequest, err)
		}
		r.Tables, empty = append(r.Tables, t), empty && t.NoData
	}
	if empty {
		return web.Released{}, fmt.Errorf("%w: nothing was delivered for %s: there is nothing to release", web.ErrBadRequest, month)
	}
	b, err := r.Marshal()
	if err != nil {
		return web.Released{}, err
	}
	if err := a.journalContent(ctx, s.Who(), archive.KindReleased, b, registry.Released{Month: month, Reason: revise}); err != nil {
		return web.Released{}, err
	}
	for _, x := range a.reg.Releases() {
		if x.Month == month && x.Revision == revision {
			return released(x), nil
		}
	}
	return web.Released{}, errors.New("the release is journalled and not in the registry")
}

func released(r registry.Release) web.Released {
	return web.Released{Month: r.Month, Revision: r.Revision, Reason: r.Reason, At: r.At, SHA256: r.Content}
}

// Releases implements [web.Backend].
func (a *App) Releases(context.Context, policy.Scope) ([]web.Released, error) {
	out := []web.Released{}
	for _, r := range a.reg.Releases() {
		out = append(out, released(r))
	}
	return out, nil
}

// Released implements [web.Backend].
func (a *App) Released(_ context.Context, _ policy.Scope, month string, revision int) ([]byte, error) {
	for _, r := range a.reg.Releases() {
		if r.Month == month && (revision == 0 || r.Revision == revision) {
			return a.data.read(r.Content)
		}
	}
	return nil, fmt.Errorf("%s is not released: %w", month, query.ErrNotFound)
}
