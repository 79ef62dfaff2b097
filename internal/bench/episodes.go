package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"

	"tocsin/internal/app"
	"tocsin/internal/sim"
)

// episodes measures what sightings and episodes cost: the road until all
// episodes are made, and the same road without either, in turns.
func episodes(ctx context.Context, b *bench) error {
	for _, density := range []float64{1.5, 10} {
		name := fmt.Sprintf("episodes.%g_per_address_day", density)
		per := max(b.cfg.road/episodeDays, 1)
		k, err := keep(sim.Sinkhole(sim.SinkholeConfig{Seed: 1, From: firstDay, Total: per * episodeDays, Rows: b.cfg.delta, PerDay: per, EventsPerAddressDay: density}))
		if err != nil {
			return err
		}
		var shares, with, without []float64
		for range b.cfg.runs {
			var us [2]float64
			for i, bare := range []bool{false, true} {
				if us[i], err = b.kept(ctx, k, per*episodeDays, bare); err != nil {
					k.free()
					return err
				}
			}
			with, without, shares = append(with, us[0]), append(without, us[1]), append(shares, 100*(us[0]-us[1])/us[0])
		}
		k.free()
		b.print(name+".road", median(with), "cpu-us/event")
		b.print(name+".road_without", median(without), "cpu-us/event")
		b.print(name+".share", median(shares), "percent")
		b.print(name+".share.max", quantile(shares, 1), "percent")
	}
	return nil
}

// episodeDays is how many days the rows lie in: most assets are seen on
// several.
const episodeDays = 5

// kept takes in deliveries and waits until all episodes of them are made, and
// returns what an event costs, in microseconds of CPU. Where bare, neither
// sightings nor episodes are kept.
func (b *bench) kept(ctx context.Context, k *kept, rows int, bare bool) (us float64, err error) {
	m, err := b.openAt(ctx, b.folder(), func(c *app.Config) { c.Store.Unsighted = bare })
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(m.dir) //nolint:errcheck // temporary
	defer func() { err = errors.Join(err, m.close()) }()
	runtime.GC()
	cpu := processCPU()
	if err := m.feed(ctx, k.all()); err != nil {
		return 0, err
	}
	if err := m.loaded(ctx); err != nil {
		return 0, err
	}
	if err := m.Derived(ctx); err != nil {
		return 0, err
	}
	if err := m.checkpoint(); err != nil {
		return 0, err
	}
	cpu = processCPU() - cpu
	n, err := m.events()
	if err == nil && n != int64(rows) {
		err = fmt.Errorf("%d events of %d rows are in the store", n, rows)
	}
	return cpu / float64(rows) * 1e6, err
}
