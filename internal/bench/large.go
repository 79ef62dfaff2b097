package main

import (
	"context"
	"errors"
	"os"
	"sync"
	"time"

	"tocsin/internal/app"
	"tocsin/internal/event"
	"tocsin/internal/figure"
	"tocsin/internal/policy"
	"tocsin/internal/query"
	"tocsin/internal/sim"
	"tocsin/internal/store"
)

// largeDays is how many days the large load has: a whole month, so that there
// is a statement of it.
const largeDays = 31

// eventsPerEpisode is how many events of the large load one episode has. About
// seven in ten addresses come again the next day, so that each is seen on about
// three days.
const eventsPerEpisode = 12

// large loads a month through the road, makes all episodes, and says what
// pages cost at that size. It is no part of the default run.
func large(ctx context.Context, b *bench) (err error) {
	dir := b.cfg.data
	if dir == "" {
		dir = b.folder()
	}
	m, err := b.openAt(ctx, dir, func(*app.Config) {})
	if err != nil {
		return err
	}
	if b.cfg.data == "" {
		defer os.RemoveAll(m.dir) //nolint:errcheck // temporary
	}
	defer func() { err = errors.Join(err, m.close()) }()
	stop := peaks(ctx)
	ended := false
	memory := func() {
		if ended {
			return
		}
		ended = true
		mem := stop()
		b.print("large.memory.anonymous_peak", float64(mem.anonymous)/(1<<20), "MiB")
		b.print("large.memory.resident_peak", float64(mem.resident)/(1<<20), "MiB")
		b.print("large.memory.go_peak", float64(mem.golang)/(1<<20), "MiB")
	}
	defer memory()
	have, err := m.events()
	if err != nil {
		return err
	}
	if have == 0 {
		if err := b.loadLarge(ctx, m); err != nil {
			return err
		}
		if have, err = m.events(); err != nil {
			return err
		}
	}
	b.print("large.events", float64(have), "events")
	if err := b.deriveLarge(ctx, m, float64(have)); err != nil {
		return err
	}
	if err := b.pages(ctx, m); err != nil {
		return err
	}
	memory()
	n, err := size(m.dir)
	b.print("large.disk", float64(n)/float64(have), "bytes/event")
	return err
}

func (b *bench) loadLarge(ctx context.Context, m *machine) error {
	rows := b.cfg.large / largeDays
	var gen meter
	at, cpu := time.Now(), processCPU()
	for n := range largeDays {
		c, err := b.country(n)
		if err != nil {
			return err
		}
		if err := m.feed(ctx, metered(&gen, c.Deliveries())); err != nil {
			return err
		}
		// Three tenths of a day's addresses are new on the next.
		density := float64(rows) * (1 + .3*(largeDays-1)) / (float64(b.cfg.large) / eventsPerEpisode)
		s := sim.Sinkhole(sim.SinkholeConfig{Seed: 1, From: day(n), Total: rows, Rows: b.cfg.delta, PerDay: rows, EventsPerAddressDay: density})
		if err := m.feed(ctx, metered(&gen, s)); err != nil {
			return err
		}
	}
	if err := m.loaded(ctx); err != nil {
		return err
	}
	if err := m.checkpoint(); err != nil {
		return err
	}
	have, err := m.events()
	b.print("large.per_cpu_second", float64(have)/(processCPU()-cpu-gen.spent()), "events/cpu-s")
	b.print("large.per_second", float64(have)/time.Since(at).Seconds(), "events/s")
	return err
}

// deriveLarge makes all episodes anew.
func (b *bench) deriveLarge(ctx context.Context, m *machine, events float64) error {
	if err := m.Derived(ctx); err != nil {
		return err
	}
	if err := m.Store(func(st *store.Store) error { st.Anew(); return nil }); err != nil {
		return err
	}
	locked := m.lockWaits(ctx)
	at, cpu := time.Now(), processCPU()
	if err := m.Derived(ctx); err != nil {
		return err
	}
	b.print("large.making", time.Since(at).Seconds(), "s")
	b.print("large.making.cpu", (processCPU()-cpu)/events*1e6, "cpu-us/event")
	b.print("large.making.lock_held", locked(), "ms")
	_, total, _, err := m.Episodes(ctx, policy.Local(), query.Episodes{Limit: 1})
	b.print("large.episodes", float64(total), "episodes")
	return err
}

// lockWaits asks for the writer's lock every few milliseconds until the
// function that it returns is called, which gives the longest wait, in
// milliseconds.
func (m *machine) lockWaits(ctx context.Context) func() float64 {
	ctx, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	longest := time.Duration(0)
	wg.Go(func() {
		for ctx.Err() == nil {
			at := time.Now()
			_ = m.Store(func(st *store.Store) error { return st.Broken() })
			longest = max(longest, time.Since(at))
			time.Sleep(5 * time.Millisecond)
		}
	})
	return func() float64 { stop(); wg.Wait(); return longest.Seconds() * 1000 }
}

// times runs f again and again, for three seconds and three times at least, 50
// times at most, and returns how long each took, in milliseconds.
func times(f func() error) (ms []float64, err error) {
	begun := time.Now()
	for i := 0; i < 50 && (i < 3 || time.Since(begun) < 3*time.Second); i++ {
		at := time.Now()
		if err := f(); err != nil {
			return nil, err
		}
		ms = append(ms, time.Since(at).Seconds()*1000)
	}
	return ms, nil
}

// pages times what the pages of the month ask.
func (b *bench) pages(ctx context.Context, m *machine) error {
	from := event.DayFrom(day(0))
	month := query.Period{From: from, To: from + largeDays - 1}
	timed := func(name string, f func() error) error {
		locked := m.lockWaits(ctx)
		ms, err := times(f)
		held := locked()
		if err != nil {
			return err
		}
		b.print(name+".cold", ms[0], "ms")
		b.print(name+".p50", quantile(ms[1:], 0.5), "ms")
		b.print(name+".p95", quantile(ms[1:], 0.95), "ms")
		if held > 100 {
			b.print(name+".lock_held", held, "ms")
		}
		return nil
	}
	for i := range figure.Definitions {
		id := figure.Definitions[i].ID
		if err := timed("large.figure."+id, func() error {
			_, err := m.Figure(ctx, policy.Local(), id, figure.Params{Period: month, Home: sim.Home})
			return err
		}); err != nil {
			return err
		}
	}
	for _, x := range []struct {
		name string
		q    query.Episodes
	}{
		{"any", query.Episodes{}},
		{"open", query.Episodes{State: query.EpisodeOpen}},
		{"closed", query.Episodes{State: query.EpisodeClosed}},
		{"new", query.Episodes{Started: true, Incident: new(true)}},
	} {
		q := x.q
		q.Period, q.Classes, q.Limit = month, []event.Class{event.ClassInfection}, 100
		if err := timed("large.episode_list."+x.name, func() error {
			_, _, _, err := m.Episodes(ctx, policy.Local(), q)
			return err
		}); err != nil {
			return err
		}
	}
	if err := timed("large.coverage", func() error {
		_, err := m.Coverage(ctx, policy.Local(), nil, month)
		return err
	}); err != nil {
		return err
	}
	if err := b.records(ctx, m, "large", month); err != nil {
		return err
	}
	return timed("large.statement", func() error {
		_, err := m.Statement(ctx, policy.Local(), figure.Params{Period: month})
		return err
	})
}

// records times each record of a period, counted for the first time and again.
func (b *bench) records(ctx context.Context, m *machine, section string, p query.Period) error {
	for i := range figure.RecordDefinitions {
		id := figure.RecordDefinitions[i].ID
		locked := m.lockWaits(ctx)
		var ms [2]float64
		for j := range ms {
			at := time.Now()
			if _, err := m.Record(ctx, policy.Local(), id, p); err != nil {
				return err
			}
			ms[j] = time.Since(at).Seconds() * 1000
		}
		held := locked()
		b.print(section+".record."+id+".cold", ms[0], "ms")
		b.print(section+".record."+id+".again", ms[1], "ms")
		if held > 100 {
			b.print(section+".record."+id+".lock_held", held, "ms")
		}
	}
	return nil
}
