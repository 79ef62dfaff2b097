package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"tocsin/internal/event"
	"tocsin/internal/figure"
	"tocsin/internal/policy"
	"tocsin/internal/query"
	"tocsin/internal/sim"
)

// The days of latency's deliveries: those of the other feed begin with 0,
// those of the large ones with bulkDay, and every probe has its own, so that
// its figure shows when it is in.
const (
	bulkDay  = 60
	probeDay = 100
)

// maxWait bounds the time until a probe shows.
const maxWait = 2 * time.Minute

// latency times the way of a delivery from its ack into a figure.
func latency(ctx context.Context, b *bench) (err error) {
	m, err := b.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.close()) }()
	pr := &prober{b: b, m: m}
	if err := pr.idle(ctx); err != nil {
		return err
	}
	if err := pr.paced(ctx); err != nil {
		return err
	}
	return pr.bulk(ctx)
}

// prober pushes small deliveries and waits for them.
type prober struct {
	b *bench
	m *machine
	n int // probes so far
}

// one sends a probe and returns the milliseconds from its ack until its rows
// are in a figure.
func (p *prober) one(ctx context.Context) (float64, error) {
	ctx, cancel := context.WithTimeout(ctx, maxWait)
	defer cancel()
	n := probeDay + p.n
	p.n++
	d := slices.Collect(sim.Sinkhole(sim.SinkholeConfig{Seed: 2, From: day(n), Total: p.b.cfg.delta, Rows: p.b.cfg.delta, PerDay: p.b.cfg.delta}))[0]
	d.Feed = "probe"
	if err := p.m.take(ctx, d); err != nil {
		return 0, err
	}
	at := time.Now()
	if err := p.m.shows(ctx, n, p.b.cfg.delta); err != nil {
		return 0, err
	}
	return time.Since(at).Seconds() * 1000, nil
}

// shows waits until the figure of a day has so many events.
func (m *machine) shows(ctx context.Context, n, events int) error {
	d := event.DayFrom(day(n))
	for {
		f, err := m.Figure(ctx, policy.Local(), "infected-addresses", figure.Params{Period: query.Period{From: d, To: d}})
		if err != nil {
			return err
		}
		if f.Events == int64(events) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("a delivery of %d rows shows %d events: %w", events, f.Events, context.Cause(ctx))
		case <-time.After(time.Millisecond):
		}
	}
}

func (p *prober) print(name string, ms []float64) {
	p.b.print(name+".p50", quantile(ms, 0.5), "ms")
	p.b.print(name+".p99", quantile(ms, 0.99), "ms")
	p.b.print(name+".max", quantile(ms, 1), "ms")
	p.b.print(name+".probes", float64(len(ms)), "deliveries")
}

// idle probes while nothing else is going on.
func (p *prober) idle(ctx context.Context) error {
	var ms []float64
	for range max(p.b.cfg.probes/5, 1) {
		x, err := p.one(ctx)
		if err != nil {
			return err
		}
		ms = append(ms, x)
	}
	p.print("latency.idle", ms)
	return nil
}

// paced probes while another feed sends at an even pace.
func (p *prober) paced(ctx context.Context) error {
	every := time.Duration(float64(p.b.cfg.delta) / float64(p.b.cfg.pace) * float64(time.Second))
	load, halt := context.WithCancel(ctx)
	defer halt()
	var wg sync.WaitGroup
	var failed error
	rows, begun := 0, time.Now()
	wg.Go(func() {
		var gen meter
		next := time.Now()
		for d := range metered(&gen, sim.Sinkhole(sim.SinkholeConfig{Seed: 1, From: day(0), Rows: p.b.cfg.delta})) {
			select {
			case <-load.Done():
				return
			case <-time.After(time.Until(next)):
			}
			next = next.Add(every)
			if err := p.m.take(load, d); err != nil {
				if load.Err() == nil {
					failed = err
				}
				return
			}
			rows += p.b.cfg.delta
		}
	})
	var ms []float64
	for range p.b.cfg.probes {
		at := time.Now()
		x, err := p.one(ctx)
		if err != nil {
			halt()
			wg.Wait()
			return errors.Join(err, failed)
		}
		ms = append(ms, x)
		select { // probes come at most four a second, not in step with the other feed
		case <-ctx.Done():
		case <-time.After(time.Until(at.Add(min(257*time.Millisecond, 3*every)))):
		}
	}
	took := time.Since(begun).Seconds()
	halt()
	wg.Wait()
	p.print("latency.other_feed", ms)
	p.b.print("latency.other_feed.rate", float64(rows)/took, "rows/s")
	return errors.Join(failed, p.m.loaded(ctx))
}

// bulk probes from the ack of one large delivery until it shows.
func (p *prober) bulk(ctx context.Context) error {
	var ms, took []float64
	for n := range p.b.cfg.runs {
		d := slices.Collect(sim.Sinkhole(sim.SinkholeConfig{Seed: 3, From: day(bulkDay + n), Total: p.b.cfg.bulk, Rows: p.b.cfg.bulk, PerDay: p.b.cfg.bulk}))[0]
		d.Feed = "bulk"
		if err := p.m.take(ctx, d); err != nil {
			return err
		}
		at := time.Now()
		d.Bytes = nil
		done := make(chan error, 1)
		wait, cancel := context.WithTimeout(ctx, 10*maxWait)
		go func() { done <- p.m.shows(wait, bulkDay+n, p.b.cfg.bulk) }()
		for loading := true; loading; {
			x, err := p.one(ctx)
			select {
			case e := <-done:
				loading = false
				err = errors.Join(e, err)
				took = append(took, time.Since(at).Seconds())
			default:
			}
			if err != nil {
				cancel()
				return err
			}
			ms = append(ms, x) // also the last one, which began while it was loading
		}
		cancel()
	}
	p.print("latency.large_delivery", ms)
	p.b.print("latency.large_delivery.loaded_after", median(took), "s")
	return nil
}
