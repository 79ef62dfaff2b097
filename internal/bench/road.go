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
	"tocsin/internal/store"
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
		var perCPU, perSec []float64
		bares := make([]struct{ rows, ratio []float64 }, len(bareKinds))
		for range b.cfg.runs {
			r, err := b.road(ctx, k)
			if err != nil {
				k.free()
				return err
			}
			perCPU, perSec = append(perCPU, r.rows/r.cpu), append(perSec, r.rows/r.wall)
			for i, kind := range bareKinds {
				rows, err := b.bare(ctx, r.m.dir, kind.transaction, kind.clear)
				if err != nil {
					k.free()
					return err
				}
				bares[i].rows, bares[i].ratio = append(bares[i].rows, rows), append(bares[i].ratio, r.rows/r.cpu/rows)
			}
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
		for i, kind := range bareKinds {
			b.print(name+".bare"+kind.name, median(bares[i].rows), "rows/cpu-s")
			b.print(name+".to_bare"+kind.name, median(bares[i].ratio), "ratio")
		}
	}
	return nil
}

// bareKinds are the bare loads that the road is compared with. The first is
// the measure: columns in clear, and a delivery's rows a transaction. The road
// puts a row group into a transaction when so much waits, which is what the
// second has too. The others have the numbers that the road gave to words,
// and so a part of its work done.
var bareKinds = []struct {
	name        string
	transaction int
	clear       bool
}{
	{"", 10_000, true},
	{"_large_transactions", store.RowGroup, true},
	{"_encoded", 10_000, false},
	{"_encoded_large_transactions", store.RowGroup, false},
}

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
