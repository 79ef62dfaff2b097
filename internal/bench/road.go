package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"time"

	"tocsin/internal/policy"
	"tocsin/internal/sim"
)

// roadResult is one run of the road.
type roadResult struct {
	rows, cpu, wall float64 // events, seconds, seconds
	m               *machine
}

// road takes in deliveries that have been made beforehand, and measures until
// they are in the store and its log is in its file. The machine is closed, its
// folder is the caller's to remove.
func (b *bench) road(ctx context.Context, k *kept) (_ roadResult, err error) {
	m, err := b.open(ctx)
	if err != nil {
		return roadResult{}, err
	}
	defer func() { err = errors.Join(err, m.close()) }()
	runtime.GC()
	cpu, at := processCPU(), time.Now()
	if err := m.feed(ctx, k.all()); err != nil {
		return roadResult{}, err
	}
	if err := m.loaded(ctx); err != nil {
		return roadResult{}, err
	}
	if err := m.checkpoint(); err != nil {
		return roadResult{}, err
	}
	r := roadResult{cpu: processCPU() - cpu, wall: time.Since(at).Seconds(), m: m}
	n, err := m.events()
	if err != nil {
		return roadResult{}, err
	}
	if n != int64(b.cfg.road) {
		return roadResult{}, fmt.Errorf("%d events of %d rows are in the store", n, b.cfg.road)
	}
	r.rows = float64(n)
	return r, nil
}

// roads measures the road with both densities, each run beside bare loads of
// the rows that it wrote.
func roads(ctx context.Context, b *bench) error {
	for _, density := range []float64{1.5, 10} {
		name := fmt.Sprintf("road.%g_per_address_day", density)
		k, err := keep(sim.Sinkhole(sim.SinkholeConfig{Seed: 1, From: firstDay, Total: b.cfg.road, Rows: b.cfg.delta, PerDay: b.cfg.road, EventsPerAddressDay: density}))
		if err != nil {
			return err
		}
		var perCPU, perSec, ratio, ratioBig, bare, bareBig []float64
		for range b.cfg.runs {
			r, err := b.road(ctx, k)
			if err != nil {
				k.free()
				return err
			}
			perCPU, perSec = append(perCPU, r.rows/r.cpu), append(perSec, r.rows/r.wall)
			small, err := b.bare(ctx, r.m.dir, b.cfg.delta)
			if err != nil {
				k.free()
				return err
			}
			bare, ratio = append(bare, small), append(ratio, r.rows/r.cpu/small)
			big, err := b.bare(ctx, r.m.dir, bigTransaction)
			if err != nil {
				k.free()
				return err
			}
			bareBig, ratioBig = append(bareBig, big), append(ratioBig, r.rows/r.cpu/big)
			if err := os.RemoveAll(r.m.dir); err != nil {
				k.free()
				return err
			}
		}
		k.free()
		b.print(name+".per_cpu_second", median(perCPU), "events/cpu-s")
		b.print(name+".per_cpu_second.min", quantile(perCPU, 0), "events/cpu-s")
		b.print(name+".per_cpu_second.max", quantile(perCPU, 1), "events/cpu-s")
		b.print(name+".per_second", median(perSec), "events/s")
		b.print(name+".bare", median(bare), "rows/cpu-s")
		b.print(name+".to_bare", median(ratio), "ratio")
		b.print(name+".bare_large_transactions", median(bareBig), "rows/cpu-s")
		b.print(name+".to_bare_large_transactions", median(ratioBig), "ratio")
	}
	return nil
}

// bigTransaction is the number of rows that the road puts into a transaction
// when more wait: a row group of the store.
const bigTransaction = 122_880

// rebuild measures loading everything again from the archive.
func rebuild(ctx context.Context, b *bench) (err error) {
	m, err := b.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.close()) }()
	if err := m.feed(ctx, sim.Sinkhole(sim.SinkholeConfig{Seed: 1, From: firstDay, Total: b.cfg.road, Rows: b.cfg.delta, PerDay: b.cfg.road})); err != nil {
		return err
	}
	if err := m.loaded(ctx); err != nil {
		return err
	}
	var perCPU, perSec []float64
	for range b.cfg.runs {
		runtime.GC()
		cpu, at := processCPU(), time.Now()
		res, err := m.Rebuild(ctx, policy.Local(), nil)
		if err != nil {
			return err
		}
		if res.Events != int64(b.cfg.road) {
			return fmt.Errorf("%d events of %d are in the rebuilt store", res.Events, b.cfg.road)
		}
		n := float64(res.Events)
		perCPU, perSec = append(perCPU, n/(processCPU()-cpu)), append(perSec, n/time.Since(at).Seconds())
	}
	b.print("rebuild.per_cpu_second", median(perCPU), "events/cpu-s")
	b.print("rebuild.per_second", median(perSec), "events/s")
	return nil
}
