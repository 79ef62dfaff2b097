package app

import (
	"testing"

	"tocsin/internal/archive"
	"tocsin/internal/event"
	"tocsin/internal/query"
	"tocsin/internal/registry"
	"tocsin/internal/store"
)

// TestStanding holds that the questions whose answers the store keeps follow
// the home country: when the program starts, when it starts with another one,
// and while it runs.
func TestStanding(t *testing.T) {
	dir := t.TempDir()
	stands := func(r *running, want string) {
		t.Helper()
		day := event.Day(20_000)
		for _, home := range []string{"XS", "DE", "NL"} {
			for _, not := range []bool{false, true} {
				q := query.Count{Period: query.Period{From: day, To: day}, Class: event.ClassController, Where: []query.Cond{{Dim: query.DimCountry, Value: home, Not: not}}}
				if err := r.Store(func(st *store.Store) error {
					_, err := st.CountBy(t.Context(), localScope, q, store.PlanMarginals)
					return err
				}); (err == nil) != (home == want) {
					t.Errorf("home is %s: %v: %v", want, q.Where, err)
				}
			}
		}
	}
	cfg := smallConfig(dir)
	for _, home := range []string{"XS", "DE"} {
		cfg.Home = home
		r := begin(t, cfg, Deps{})
		stands(r, home)
		if home == "DE" {
			other := "NL"
			if err := r.journal(t.Context(), "test", archive.KindConfig, nil, registry.Config{Home: &other}); err != nil {
				t.Fatal(err)
			}
			stands(r, other)
		}
		r.stop()
	}
}
