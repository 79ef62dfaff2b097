package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"tocsin/internal/app"
	"tocsin/internal/policy"
	"tocsin/internal/query"
	"tocsin/internal/sim"
	"tocsin/internal/store"
	"tocsin/internal/web"
)

// firstDay is the first day of all simulated reports.
var firstDay = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)

// days is how many days the long load has: each is a twentieth of its rows.
const days = 20

// ahead is how many deliveries may be acked and not yet decoded.
const ahead = 8

// machine is the program, running.
type machine struct {
	*app.App
	dir   string
	close func() error // stops it; returns why it stopped before, or nil
}

// open makes a data directory with the reference data of the simulated
// sinkhole and country, and starts the program on it.
func (b *bench) open(ctx context.Context) (*machine, error) {
	return b.openAt(ctx, b.folder(), func(*app.Config) {})
}

// openAt is open in a folder, which may be there already, with other settings.
func (b *bench) openAt(ctx context.Context, dir string, set func(*app.Config)) (*machine, error) {
	m := &machine{dir: dir}
	cfg := app.DefaultConfig(m.dir)
	cfg.Inbox, cfg.Home, cfg.HomeName = "-", sim.Home, "Simuland"
	if b.cfg.memory > 0 {
		cfg.Store.Memory = int64(b.cfg.memory) << 20
	}
	set(&cfg)
	var err error
	if m.App, err = app.Open(ctx, b.log, cfg, app.Deps{}); err != nil {
		return nil, err
	}
	run, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- m.Run(run) }()
	m.close = func() error {
		stop()
		defer m.Close()
		return <-done
	}
	if n, err := m.events(); err != nil || n > 0 { // it has its reference data
		if err != nil {
			err = errors.Join(err, m.close())
		}
		return m, err
	}
	country, err := b.country(0)
	if err != nil {
		return nil, errors.Join(err, m.close())
	}
	prefixes, organisations := sim.SinkholeReference()
	prefixes = append(prefixes, rowsOf(country.Prefixes())...)
	organisations = append(organisations, rowsOf(country.Organisations())...)
	if err = m.ImportRefdata(ctx, policy.Local(), "simulated prefixes", bytes.NewReader(prefixes)); err == nil {
		_, err = m.ImportOrganisations(ctx, policy.Local(), bytes.NewReader(organisations))
	}
	if err == nil {
		err = m.ImportFacts(ctx, policy.Local(), web.FactsRequest{Kind: "networks", From: "the bench", Licence: "none", Date: day(0).Format(time.DateOnly), Body: bytes.NewReader(networks(prefixes))})
	}
	if err == nil { // the tables are built when they are first asked for
		_, err = m.Labels(ctx, policy.Local(), query.DimASN, []string{"64512"})
	}
	if err != nil {
		return nil, errors.Join(err, m.close())
	}
	return m, nil
}

// networks says of each network of a table of prefixes how it hands out
// addresses: each fourth keeps them.
func networks(prefixes []byte) []byte {
	out, seen := []byte("asn,pool,assignment,shared\n"), map[string]bool{}
	for line := range strings.Lines(string(rowsOf(prefixes))) {
		asn := strings.Split(line, ",")[1]
		if seen[asn] {
			continue
		}
		how := "dynamic"
		if len(seen)%4 == 0 {
			how = "static"
		}
		seen[asn] = true
		out = fmt.Appendf(out, "%s,65536,%s,no\n", asn, how)
	}
	return out
}

// rowsOf returns a table without its header.
func rowsOf(table []byte) []byte {
	_, rows, _ := bytes.Cut(table, []byte("\n"))
	return rows
}

// loaded returns when everything acked is in the store.
func (m *machine) loaded(ctx context.Context) error {
	if err := m.Settled(ctx); err != nil {
		return fmt.Errorf("wait until everything is loaded: %w", err)
	}
	return nil
}

// checkpoint moves the store's log into its file.
func (m *machine) checkpoint() error {
	return m.Store(func(st *store.Store) error { return st.Checkpoint() })
}

// events returns how many events are in the store.
func (m *machine) events() (n int64, err error) {
	err = m.Store(func(st *store.Store) error { n, _ = st.Totals(); return nil })
	return n, err
}

// take acks one delivery.
func (m *machine) take(ctx context.Context, d sim.Delivery) error {
	_, err := m.Ingest(ctx, policy.Local(), web.IngestRequest{Feed: d.Feed, Format: d.Format, Name: d.Name, Body: bytes.NewReader(d.Bytes)})
	return err
}

// feed acks deliveries as fast as the road takes them.
func (m *machine) feed(ctx context.Context, deliveries iter.Seq[sim.Delivery]) error {
	for d := range deliveries {
		if err := m.take(ctx, d); err != nil {
			return err
		}
		for {
			s, err := m.Status(ctx, policy.Local())
			if err != nil {
				return err
			}
			if s.Waiting < ahead {
				break
			}
			select {
			case <-ctx.Done():
				return context.Cause(ctx)
			case <-time.After(2 * time.Millisecond):
			}
		}
	}
	return nil
}

// day returns firstDay and the days after it.
func day(n int) time.Time { return firstDay.AddDate(0, 0, n) }

// country returns one day of the simulated country: reports of all kinds.
func (b *bench) country(n int) (*sim.Country, error) { return b.another(1, n) }

// another returns the day as another seed has it: other reports from the same
// networks.
func (b *bench) another(seed uint64, n int) (*sim.Country, error) {
	return sim.New(sim.Config{Seed: seed, From: day(n), To: day(n), Rows: max(b.cfg.rows/days/50, 100)})
}

// mixed yields one day of the sinkhole, with the country's reports of that day
// between its own.
func (b *bench) mixed(n int) (iter.Seq[sim.Delivery], error) {
	c, err := b.country(n)
	if err != nil {
		return nil, err
	}
	rows := b.cfg.rows / days
	return func(yield func(sim.Delivery) bool) {
		others := slices.Collect(c.Deliveries())
		each := max(len(others)*b.cfg.delta/rows, 1)
		for d := range sim.Sinkhole(sim.SinkholeConfig{Seed: 1, From: day(n), Total: rows, Rows: b.cfg.delta, PerDay: rows}) {
			if !yield(d) {
				return
			}
			for range min(each, len(others)) {
				if !yield(others[0]) {
					return
				}
				others = others[1:]
			}
		}
		for _, d := range others {
			if !yield(d) {
				return
			}
		}
	}, nil
}

// late yields reports of all kinds without end: of the days of the long load
// again, as when a feed sends them late or a second time with other rows, and of
// the days after those. A delivery of the sinkhole follows on each day of them.
func (b *bench) late() iter.Seq[sim.Delivery] {
	rows := max(b.cfg.rows/days, b.cfg.delta)
	return func(yield func(sim.Delivery) bool) {
		next, stop := iter.Pull(sim.Sinkhole(sim.SinkholeConfig{Seed: 1, From: day(days), Rows: b.cfg.delta, PerDay: rows}))
		defer stop()
		for k := 0; ; k++ {
			seed := uint64(2 + k)
			again := k * 7 % days
			for _, x := range []int{again, again + 1, days + k} {
				c, err := b.another(seed, x)
				if err != nil { // beyond the calendar
					return
				}
				for d := range c.Deliveries() {
					if !yield(d) {
						return
					}
				}
				if x != again {
					if d, ok := next(); ok && !yield(d) {
						return
					}
					continue
				}
				for d := range sim.Sinkhole(sim.SinkholeConfig{Seed: seed, From: day(x), Total: b.cfg.delta, Rows: b.cfg.delta, PerDay: rows}) {
					if !yield(d) { // the same addresses, in other events
						return
					}
				}
			}
		}
	}
}

// meter tells what making the reports costs, so that it can be subtracted.
type meter struct {
	mu  sync.Mutex
	cpu float64
}

func (m *meter) add(s float64) { m.mu.Lock(); m.cpu += s; m.mu.Unlock() }

func (m *meter) spent() float64 { m.mu.Lock(); defer m.mu.Unlock(); return m.cpu }

// metered yields what seq yields. It makes each value on a thread of its own
// and notes that thread's CPU time; at most one is made ahead.
func metered[T any](m *meter, seq iter.Seq[T]) iter.Seq[T] {
	return func(yield func(T) bool) {
		out, quit := make(chan T), make(chan struct{})
		go func() {
			runtime.LockOSThread() // not unlocked: the thread ends with the goroutine
			defer close(out)
			at := threadCPU()
			for v := range seq {
				now := threadCPU()
				m.add(now - at)
				select {
				case out <- v:
				case <-quit:
					return
				}
				at = threadCPU()
			}
		}()
		defer func() {
			close(quit)
			for range out { // until the maker has ended
			}
		}()
		for v := range out {
			if !yield(v) {
				return
			}
		}
	}
}

// kept are deliveries made beforehand. Their bytes stand outside the Go heap:
// inside, they would make the collector's work look rarer than it is.
type kept struct {
	list []sim.Delivery
	mem  [][]byte
}

func keep(deliveries iter.Seq[sim.Delivery]) (*kept, error) {
	k := &kept{}
	for d := range deliveries {
		b, err := syscall.Mmap(-1, 0, len(d.Bytes), syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
		if err != nil {
			k.free()
			return nil, fmt.Errorf("memory for simulated reports: %w", err)
		}
		copy(b, d.Bytes)
		d.Bytes = b
		k.mem, k.list = append(k.mem, b), append(k.list, d)
	}
	return k, nil
}

func (k *kept) all() iter.Seq[sim.Delivery] { return slices.Values(k.list) }

func (k *kept) free() {
	for _, b := range k.mem {
		_ = syscall.Munmap(b)
	}
}
