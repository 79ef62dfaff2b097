package app

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"time"

	"golang.org/x/sync/errgroup"

	"tocsin/internal/archive"
	"tocsin/internal/policy"
	"tocsin/internal/registry"
)

// Simulation is a country whose deliveries are to be taken in.
type Simulation struct {
	Home, HomeName string
	MadeFrom       string // what the country was made from; see [Deps]
	Prefixes       []byte // reference data
	Organisations  []byte
	Users          []byte // facts, as `tocsin refdata` takes them; empty for none
	Networks       []byte
	Leases         []byte
	Feeds          []registry.Feed
	Loss           []byte // inputs of the loss page; nil for none
	Deliveries     iter.Seq[SimulatedDelivery]
	Decisions      []SimulatedDecision // for [App.Decide], when all is loaded
}

// SimulatedDelivery is one delivery and when it arrived.
type SimulatedDelivery struct {
	Feed, Format, Name, Report string
	Received                   time.Time
	Bytes                      []byte
}

// ackBatch is how many deliveries of a simulation share a journal write.
const ackBatch = 64

// Simulate takes a simulated country in through the real road: reference data
// and organisations first, then every delivery at its own time of arrival. All
// pages say SIMULATED from then on. The data directory must be new.
func (a *App) Simulate(ctx context.Context, s Simulation, progress func(deliveries int)) error {
	if !a.Empty() {
		return fmt.Errorf("%s holds data already: a simulation takes a new directory", a.cfg.Dir)
	}
	yes := true
	if err := a.journal(ctx, viaDemo, archive.KindConfig, nil, registry.Config{Home: &s.Home, HomeName: &s.HomeName, Simulated: &yes, Simulation: &s.MadeFrom}); err != nil {
		return err
	}
	if err := a.ImportRefdata(ctx, policy.Local(), "simulated prefixes", bytes.NewReader(s.Prefixes)); err != nil {
		return err
	}
	if _, err := a.ImportOrganisations(ctx, policy.Local(), bytes.NewReader(s.Organisations)); err != nil {
		return err
	}
	if err := a.simulatedFacts(ctx, s); err != nil {
		return err
	}
	for _, f := range s.Feeds {
		if err := a.journal(ctx, viaDemo, archive.KindFeed, nil, f); err != nil {
			return err
		}
	}
	if err := a.simulateLoss(ctx, s.Loss); err != nil {
		return err
	}
	n := 0
	batch := make([]SimulatedDelivery, 0, ackBatch)
	for d := range s.Deliveries {
		if batch = append(batch, d); len(batch) < ackBatch {
			continue
		}
		if err := a.take(ctx, batch); err != nil {
			return err
		}
		if n += len(batch); progress != nil {
			progress(n)
		}
		batch = batch[:0]
	}
	return a.take(ctx, batch)
}

// take acks several deliveries: the contents side by side, then their lines in
// order with one write.
func (a *App) take(ctx context.Context, batch []SimulatedDelivery) error {
	lines := make([]archive.Line, len(batch))
	g, ctx := errgroup.WithContext(ctx)
	for i, d := range batch {
		g.Go(func() error {
			c, err := a.arch.Put(ctx, bytes.NewReader(d.Bytes), a.cfg.MaxBody)
			if err != nil {
				return fmt.Errorf("take %s: %w", d.Name, err)
			}
			f, _ := a.reg.Feed(d.Feed)
			lines[i] = archive.Line{Kind: archive.KindDelivery, At: d.Received, By: viaDemo, Delivery: &archive.Delivery{
				Feed: d.Feed, Format: d.Format, Report: d.Report, Name: d.Name, SHA256: c.SHA256, Size: c.Size, Intake: viaDemo,
				Marking: f.Marking, Historical: f.Historical, Enrichment: a.reg.Enrichment(), Versions: map[string]string{"tocsin": a.version}, Limits: f.Limits,
			}}
			return nil
		})
	}
	if err := g.Wait(); err != nil || len(lines) == 0 {
		return err
	}
	_, err := a.arch.Append(context.WithoutCancel(ctx), lines...)
	return err
}

// Settled waits until everything that is journalled is in the store.
func (a *App) Settled(ctx context.Context) error { return a.road.settled(ctx) }

// Empty reports whether the data directory holds nothing but what the program
// itself put there.
func (a *App) Empty() bool { return a.arch.Last() == a.bare && !a.reg.Simulated() }
