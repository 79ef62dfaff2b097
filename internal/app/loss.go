package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"tocsin/internal/archive"
	"tocsin/internal/figure"
	"tocsin/internal/loss"
	"tocsin/internal/policy"
	"tocsin/internal/query"
	"tocsin/internal/web"
)

// losses keeps the reports made last: a simulation takes longer than a page.
// Its zero value is empty.
type losses struct {
	mu   sync.Mutex // held while a report is made, so that one is made at a time
	kept map[string]loss.Report
	in   loss.Inputs // of the file read last
}

// lossesKept is how many reports are kept; all go when there are more.
const lossesKept = 64

// estimated gives a figure that is estimated and not counted, in a period: the
// place to add infections-begun and hosts-infected.
type estimated func(ctx context.Context, s policy.Scope, id string, p query.Period) (loss.Value, error)

// SetLoss implements [web.Backend]: the file is refused where anything is wrong
// with it, and otherwise archived and journalled.
func (a *App) SetLoss(ctx context.Context, s policy.Scope, body io.Reader) (web.LossFile, error) {
	if err := admin(s); err != nil {
		return web.LossFile{}, err
	}
	b, err := io.ReadAll(io.LimitReader(body, loss.MaxBytes+1))
	if err != nil {
		return web.LossFile{}, err
	}
	return a.setLoss(ctx, s.Who(), b)
}

func (a *App) setLoss(ctx context.Context, by string, b []byte) (web.LossFile, error) {
	in, err := loss.Parse(b)
	if err != nil {
		return web.LossFile{}, fmt.Errorf("%w: %w", web.ErrBadRequest, err)
	}
	if a.reg.Loss().SHA256 != in.SHA256 {
		if err := a.journalContent(ctx, by, archive.KindLoss, b, struct{}{}); err != nil {
			return web.LossFile{}, err
		}
	}
	x := a.reg.Loss()
	return web.LossFile{SHA256: x.SHA256, Line: x.Seq, At: x.At, By: x.By, Categories: len(in.Categories)}, nil
}

// Loss implements [web.Backend]. It is a national figure: others than those who
// see everything are told that there is nothing.
func (a *App) Loss(ctx context.Context, s policy.Scope, p query.Period) (loss.Report, error) {
	if !s.All() {
		return loss.Report{}, query.ErrNotFound
	}
	if err := (figure.Params{Period: p}).Validate(); err != nil {
		return loss.Report{}, fmt.Errorf("%w: %w", web.ErrBadRequest, err)
	}
	a.losses.mu.Lock()
	defer a.losses.mu.Unlock()
	in, err := a.lossInputs()
	if err != nil {
		return loss.Report{}, err
	}
	values, key := map[string]loss.Value{}, strings.Builder{}
	fmt.Fprintf(&key, "%s %d", in.SHA256, p.Days())
	for _, c := range in.Categories {
		if _, ok := values[c.From]; ok || c.From == "" {
			continue
		}
		v, err := a.lossValue(ctx, s, c.From, p)
		if err != nil {
			return loss.Report{}, err
		}
		values[c.From] = v
		fmt.Fprintf(&key, " %s=%+v", c.From, v)
	}
	if r, ok := a.losses.kept[key.String()]; ok {
		return r, nil
	}
	r, err := loss.Evaluate(in, func(id string) loss.Value { return values[id] }, p.Days())
	if err != nil {
		return loss.Report{}, err
	}
	if a.losses.kept == nil || len(a.losses.kept) >= lossesKept {
		a.losses.kept = map[string]loss.Report{}
	}
	a.losses.kept[key.String()] = r
	return r, nil
}

// lossInputs reads the file in force; without one the inputs are empty. The
// caller holds a.losses.mu.
func (a *App) lossInputs() (loss.Inputs, error) {
	sha := a.reg.Loss().SHA256
	if sha == a.losses.in.SHA256 {
		return a.losses.in, nil
	}
	b, err := a.data.read(sha)
	if err != nil {
		if errors.Is(err, archive.ErrDamaged) || errors.Is(err, archive.ErrNotFound) {
			err = fmt.Errorf("%w: the inputs of the loss page are damaged in the archive: tocsin verify names the place, and tocsin loss set with the same file heals it: %w", web.ErrUnavailable, err)
		}
		return loss.Inputs{}, err
	}
	in, err := loss.Parse(b)
	if err != nil {
		return loss.Inputs{}, fmt.Errorf("%w: the inputs of the loss page are refused by this version of tocsin; set mended ones with tocsin loss set: %w", web.ErrConflict, err)
	}
	a.losses.in = in
	return in, nil
}

// lossValue gives the number of a figure that cases are counted from.
func (a *App) lossValue(ctx context.Context, s policy.Scope, id string, p query.Period) (loss.Value, error) {
	if _, ok := figure.Lookup(id); !ok {
		if a.estimated == nil {
			return loss.Value{Why: id + " is not counted yet"}, nil
		}
		return a.estimated(ctx, s, id, p)
	}
	f, err := a.Figure(ctx, s, id, figure.Params{Period: p})
	switch {
	case err != nil:
		return loss.Value{}, err
	case f.NoData && f.Reason != "":
		return loss.Value{Why: f.Reason}, nil
	case f.NoData:
		return loss.Value{Why: "the figure " + id + " has no data in this period"}, nil
	}
	x := f.Value.Float()
	return loss.Value{Lo: x, Hi: x, OK: true}, nil
}

// simulateLoss sets the inputs of a simulated country.
func (a *App) simulateLoss(ctx context.Context, b []byte) error {
	if len(b) == 0 {
		return nil
	}
	if _, err := a.setLoss(ctx, viaDemo, b); err != nil {
		return fmt.Errorf("inputs of the loss page: %w", err)
	}
	return nil
}
