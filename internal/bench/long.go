package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/pprof"
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

// long loads all rows, a day at a time, and says what each million costs with
// its checkpoint, what memory and disk it takes, and how fast figures are over
// all of it while loading goes on. What making the reports costs is measured
// on its own thread and subtracted.
func long(ctx context.Context, b *bench) (err error) {
	m, err := b.open(ctx)
	if err != nil {
		return err
	}
	defer os.RemoveAll(m.dir) //nolint:errcheck // temporary
	defer func() { err = errors.Join(err, m.close()) }()
	stop := peaks(ctx)
	var gen meter
	var costs []float64
	begun, total, loaded := time.Now(), 0.0, int64(0)
	for n := range days {
		deliveries, err := b.mixed(n)
		if err != nil {
			return err
		}
		cpu := processCPU() - gen.spent()
		if err := m.feed(ctx, metered(&gen, deliveries)); err != nil {
			return err
		}
		if err := m.loaded(ctx); err != nil {
			return err
		}
		if err := m.checkpoint(); err != nil {
			return err
		}
		cpu = processCPU() - gen.spent() - cpu
		total += cpu
		have, err := m.events()
		if err != nil {
			return err
		}
		costs = append(costs, cpu/float64(have-loaded)*1e6)
		loaded = have
	}
	wall := time.Since(begun).Seconds()
	mem := stop()
	if b.cfg.profile != "" {
		if err := writeHeap(b.cfg.profile + ".heap"); err != nil {
			return err
		}
	}
	b.print("long.events", float64(loaded), "events")
	b.print("long.per_cpu_second", float64(loaded)/total, "events/cpu-s")
	b.print("long.per_second", float64(loaded)/wall, "events/s")
	b.print("long.generator", gen.spent()/float64(loaded)*1e6, "cpu-us/event")
	for i, c := range costs {
		b.print(fmt.Sprintf("long.cost.%02d", i+1), c, "cpu-us/event")
	}
	b.print("long.cost.20th_to_2nd", costs[19]/costs[1], "ratio")
	b.print("long.cost.last_five_to_first_five", median(costs[15:])/median(costs[:5]), "ratio")
	b.print("long.memory.anonymous_peak", float64(mem.anonymous)/(1<<20), "MiB")
	b.print("long.memory.resident_peak", float64(mem.resident)/(1<<20), "MiB")
	b.print("long.memory.go_peak", float64(mem.golang)/(1<<20), "MiB")
	for _, part := range []string{"archive", "store"} {
		n, err := size(filepath.Join(m.dir, part))
		if err != nil {
			return err
		}
		b.print("long.disk."+part, float64(n)/float64(loaded), "bytes/event")
	}
	return figures(ctx, b, m)
}

// writeHeap writes what the Go heap holds.
func writeHeap(file string) error {
	f, err := os.Create(file) //nolint:gosec // the operator's choice
	if err != nil {
		return err
	}
	return errors.Join(pprof.WriteHeapProfile(f), f.Close())
}

// evaluation is a figure's times, and how often it was another one than in the
// round before.
type evaluation struct {
	ms      []float64
	last    figure.Figure
	changes int
}

// Figures are asked for in rounds, at an even pace; where a round takes longer
// than that, the next one follows at once.
const (
	pause     = 50 * time.Millisecond
	maxAsking = 4 * time.Minute // then five rounds are enough
)

// figures times every figure of the overview over all days that long has
// loaded, while reports of all kinds are being loaded, some of them for those
// days, so that every figure changes all the time. Then it compares each with
// the same figure counted from the rows.
func figures(ctx context.Context, b *bench, m *machine) error {
	from := event.DayFrom(day(0))
	p := figure.Params{Period: query.Period{From: from, To: from + days - 1}, Home: sim.Home}
	before, err := m.events()
	if err != nil {
		return err
	}
	load, halt := context.WithCancel(ctx)
	defer halt()
	var wg sync.WaitGroup
	var failed error
	begun := time.Now()
	wg.Go(func() {
		var gen meter
		if err := m.feed(load, metered(&gen, b.late())); err != nil && load.Err() == nil {
			failed = err
		}
	})
	times, overview, err := ask(ctx, b, m, p)
	took := time.Since(begun).Seconds()
	after, e := m.events()
	halt()
	wg.Wait()
	if err := errors.Join(err, e, failed); err != nil {
		return err
	}
	b.print("figure.evaluations", float64(len(overview)), "each")
	b.print("figure.loading_meanwhile", float64(after-before)/took, "events/s")
	b.print("figure.overview.p50", quantile(overview, 0.5), "ms")
	b.print("figure.overview.p95", quantile(overview, 0.95), "ms")
	if err := m.loaded(ctx); err != nil {
		return err
	}
	for j := range figure.Definitions {
		def, t := &figure.Definitions[j], times[j]
		name := "figure." + def.ID
		b.print(name+".p50", quantile(t.ms, 0.5), "ms")
		b.print(name+".p95", quantile(t.ms, 0.95), "ms")
		b.print(name+".max", quantile(t.ms, 1), "ms")
		b.print(name+".changes", float64(t.changes), "evaluations")
		now, err := m.Figure(ctx, policy.Local(), def.ID, p)
		if err != nil {
			return err
		}
		at := time.Now()
		raw, err := figure.Evaluate(ctx, rawCounts{m.App}, policy.Local(), def, p)
		if err != nil {
			return err
		}
		ms := time.Since(at).Seconds() * 1000
		b.print(name+".raw", ms, "ms")
		b.print(name+".raw_to_p95", ms/quantile(t.ms, 0.95), "ratio")
		same, err := equal(now, raw)
		if err != nil {
			return err
		}
		if b.print(name+".equals_raw", same, "1=yes"); same != 1 {
			return fmt.Errorf("%s differs from its raw query", def.ID)
		}
	}
	for _, by := range []query.Dim{query.DimOrganisation, query.DimFamily} {
		p.By = by
		at := time.Now()
		if _, err := m.Figure(ctx, policy.Local(), "infected-addresses", p); err != nil {
			return err
		}
		b.print("figure.infected-addresses.by_"+string(by), time.Since(at).Seconds()*1000, "ms")
	}
	return nil
}

// ask evaluates all figures in turns, and gives the times of each and of the
// rounds.
func ask(ctx context.Context, b *bench, m *machine, p figure.Params) (times []evaluation, overview []float64, err error) {
	begun := time.Now()
	times = make([]evaluation, len(figure.Definitions))
	for i := 0; i < b.cfg.evals || time.Since(begun) < b.cfg.asking; i++ {
		round, sum := time.Now(), 0.0
		for j := range figure.Definitions {
			at := time.Now()
			f, err := m.Figure(ctx, policy.Local(), figure.Definitions[j].ID, p)
			if err != nil {
				return nil, nil, err
			}
			ms := time.Since(at).Seconds() * 1000
			sum += ms
			t := &times[j]
			same, err := equal(t.last, f)
			if err != nil {
				return nil, nil, err
			}
			if i > 0 && same != 1 {
				t.changes++
			}
			t.ms, t.last = append(t.ms, ms), f
		}
		overview = append(overview, sum)
		if i >= 4 && time.Since(begun) > maxAsking {
			break
		}
		select {
		case <-ctx.Done():
			return nil, nil, context.Cause(ctx)
		case <-time.After(time.Until(round.Add(pause))):
		}
	}
	return times, overview, nil
}

// equal is 1 if two figures are the same to the byte.
func equal(a, b figure.Figure) (float64, error) {
	x, err := json.Marshal(a)
	if err != nil {
		return 0, err
	}
	y, err := json.Marshal(b)
	if err != nil || !bytes.Equal(x, y) {
		return 0, err
	}
	return 1, nil
}

// rawCounts answers from the events themselves.
type rawCounts struct{ app *app.App }

var _ figure.Counts = rawCounts{}

// Count implements [figure.Counts].
func (c rawCounts) Count(ctx context.Context, s policy.Scope, q query.Count) (v query.Value, err error) {
	err = c.app.Store(func(st *store.Store) error { v, err = st.CountBy(ctx, s, q, store.PlanRaw); return err })
	return v, err
}

// Breakdown implements [figure.Counts].
func (c rawCounts) Breakdown(ctx context.Context, s policy.Scope, q query.Count, by query.Dim) (g []query.Group, err error) {
	err = c.app.Store(func(st *store.Store) error { g, err = st.BreakdownBy(ctx, s, q, by, store.PlanRaw); return err })
	return g, err
}
