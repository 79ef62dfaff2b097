package app

import (
	"context"
	"fmt"

	"tocsin/internal/figure"
	"tocsin/internal/policy"
	"tocsin/internal/query"
)

// Record makes one record of the statement of a period, as it stands now: what
// [App.Statement] keeps is not asked.
func (a *App) Record(ctx context.Context, s policy.Scope, id string, p query.Period) (figure.Record, error) {
	if !s.All() {
		return figure.Record{}, fmt.Errorf("records are about the whole country: %w", query.ErrNotFound)
	}
	def, ok := figure.LookupRecord(id)
	if !ok {
		return figure.Record{}, fmt.Errorf("no record %q: %w", id, query.ErrNotFound)
	}
	src, params, err := a.nationalParams(ctx, figure.Params{Period: p})
	if err != nil {
		return figure.Record{}, err
	}
	return figure.EvaluateRecord(ctx, src, s, def, params)
}
