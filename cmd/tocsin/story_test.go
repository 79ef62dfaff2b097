package main

import (
	"context"
	"log/slog"
	"os"
	"testing"
	"time"

	"tocsin/internal/app"
	"tocsin/internal/event"
	"tocsin/internal/policy"
	"tocsin/internal/query"
	"tocsin/internal/sim"
)

// TestDemoKnowsItsBreaks holds that in the country of `tocsin demo` no break of
// what can be compared with last year is left that nobody has decided.
func TestDemoKnowsItsBreaks(t *testing.T) {
	t.Parallel()
	if os.Getenv("TOCSIN_LONG") == "" {
		t.Skip("loads 300,000 rows; set TOCSIN_LONG=1")
	}
	to := time.Date(2026, 10, 31, 0, 0, 0, 0, time.UTC)
	c, err := sim.New(sim.Config{Seed: 1, To: to})
	if err != nil {
		t.Fatal(err)
	}
	cfg := app.DefaultConfig(t.TempDir())
	cfg.Inbox = "-"
	a, err := app.Open(t.Context(), slog.New(slog.DiscardHandler), cfg, app.Deps{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		a.Close()
	})
	s := simulation(c, madeFrom(1, sim.DefaultRows, "2026-10-31"))
	if err := a.Simulate(ctx, s, nil); err != nil {
		t.Fatal(err)
	}
	if err := a.Settled(ctx); err != nil {
		t.Fatal(err)
	}
	if n, err := a.Decide(ctx, s.Decisions); err != nil || n < 4 {
		t.Errorf("%d decisions: %v", n, err)
	}
	classes := []event.Class{event.ClassInfection, event.ClassSite, event.ClassExposure}
	cov, err := a.Coverage(ctx, policy.Local(), classes, query.Period{From: event.Day(c.From()), To: event.Day(c.To())})
	if err != nil {
		t.Fatal(err)
	}
	states := map[query.BreakState]int{}
	for _, b := range cov.Breaks {
		if states[b.State]++; b.State == query.BreakSuspected {
			t.Errorf("nobody knows of %+v", b)
		}
	}
	if states[query.BreakConfirmed] < 2 {
		t.Errorf("%v: the sinkhole that moved shows in a family and in the class", states)
	}
}
