package app

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"tocsin/internal/event"
	"tocsin/internal/figure"
	"tocsin/internal/policy"
	"tocsin/internal/query"
	"tocsin/internal/sim"
	"tocsin/internal/web"
)

// TestMain runs the child of [TestKill] in place of the tests, and otherwise
// fails where a goroutine is left behind them.
func TestMain(m *testing.M) {
	if v := os.Getenv(killEnv); v != "" {
		victim(v)
		os.Exit(3)
	}
	goleak.VerifyTestMain(m)
}

// localScope is that of the person at the keyboard.
var localScope = policy.Local()

// full reports whether the tests run at full size.
func full() bool { return os.Getenv("TOCSIN_HOSTILE") == "full" }

// sized gives the reduced size of a test, or the full one.
func sized(reduced, all int) int {
	if full() {
		return all
	}
	return reduced
}

// rounds is sized, with a third of the reduced number for the quick tests.
func rounds(reduced, all int) int {
	if testing.Short() && !full() {
		return max(1, reduced/3)
	}
	return sized(reduced, all)
}

// record keeps what is logged from a level on.
type record struct {
	slog.Handler

	mu   sync.Mutex
	buf  bytes.Buffer
	text slog.Handler
}

func newRecord() *record {
	r := &record{}
	r.text = slog.NewTextHandler(&r.buf, &slog.HandlerOptions{Level: slog.LevelWarn})
	return r
}

func (r *record) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelWarn }

func (r *record) Handle(ctx context.Context, x slog.Record) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.Handle(ctx, x)
}

func (r *record) WithAttrs([]slog.Attr) slog.Handler { return r }
func (r *record) WithGroup(string) slog.Handler      { return r }

func (r *record) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.buf.String()
}

// running is an app that runs.
type running struct {
	*App
	log  *record
	stop func()
}

// smallConfig is that of a data directory in a test: bounded memory, no inbox.
func smallConfig(dir string) Config {
	cfg := DefaultConfig(dir)
	cfg.Inbox = "-"
	cfg.Home = sim.Home
	cfg.Store.Memory = 128 << 20
	return cfg
}

// begin opens and runs the app of a directory; it is stopped at the end of
// the test, or by stop.
func begin(tb testing.TB, cfg Config, deps Deps) *running {
	tb.Helper()
	r, err := start(cfg, deps)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(r.stop)
	return r
}

func start(cfg Config, deps Deps) (*running, error) { return startWith(Open, cfg, deps) }

// launch is start without waiting for the store.
func launch(cfg Config, deps Deps) (*running, error) { return startWith(Start, cfg, deps) }

func startWith(open func(context.Context, *slog.Logger, Config, Deps) (*App, error), cfg Config, deps Deps) (*running, error) {
	r := &running{log: newRecord()}
	var err error
	if r.App, err = open(context.Background(), slog.New(r.log), cfg, deps); err != nil {
		return nil, fmt.Errorf("%w\n%s", err, r.log)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			slog.New(r.log).Error("the app ended", slog.Any("error", err))
		}
		r.Close()
	})
	return r, nil
}

// reference journals the simulated sinkhole's networks and organisations.
func (r *running) reference(tb testing.TB) {
	tb.Helper()
	prefixes, orgs := sim.SinkholeReference()
	ctx := context.Background()
	if err := r.ImportRefdata(ctx, policy.Local(), "prefixes", bytes.NewReader(prefixes)); err != nil {
		tb.Fatal(err)
	}
	if _, err := r.ImportOrganisations(ctx, policy.Local(), bytes.NewReader(orgs)); err != nil {
		tb.Fatal(err)
	}
}

// parcel is a delivery of a test.
type parcel struct {
	feed, name string
	body       []byte
	rows       int // received
	events     int // that no other parcel of its feed has
}

// send brings a parcel in and returns the receipt.
func (r *running) send(ctx context.Context, p parcel) (query.Delivery, error) {
	return r.Ingest(ctx, policy.Local(), web.IngestRequest{Feed: p.feed, Format: "shadowserver", Name: p.name, Body: bytes.NewReader(p.body)})
}

func (r *running) mustSend(tb testing.TB, ps ...parcel) (ids []string) {
	tb.Helper()
	for _, p := range ps {
		d, err := r.send(tb.Context(), p)
		if err != nil {
			tb.Fatalf("send %s: %v", p.name, err)
		}
		ids = append(ids, d.ID)
	}
	return ids
}

// settle waits until all that is acked is in the figures.
func (r *running) settle(tb testing.TB) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(sized(3, 10))*time.Minute)
	defer cancel()
	if err := r.Settled(ctx); err != nil {
		tb.Fatalf("not everything was loaded, %d deliveries wait: %v\n%s", r.waitingCount(), err, r.log)
	}
}

// testDay is the first day of the parcels.
var testDay = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)

// testDays is how many days the parcels are spread over.
const testDays = 12

// parcelOf makes delivery n of a feed: rows of a sinkhole of one day, some
// rows of the delivery before, so that there are duplicates, and two rows that
// cannot be read.
func parcelOf(feed, n, rows int) parcel {
	body := sinkholeRows(feed, n, rows)
	p := parcel{feed: fmt.Sprintf("feed-%d", feed), rows: rows + 2, events: rows}
	if n > 0 {
		lines := bytes.SplitAfterN(sinkholeRows(feed, n-1, min(rows, 12)), []byte("\n"), 2)
		body = append(body, lines[1]...)
		p.rows += min(rows, 12)
	}
	p.body = append(body, "\"2026-99-99 00:00:00\",\"tcp\",\"nothing\"\n,,\n"...)
	p.name = fmt.Sprintf("%s-event4_sinkhole_http-test-%d-%05d.csv", parcelDay(feed, n).Format(time.DateOnly), feed, n)
	return p
}

// parcelDay spreads the parcels over all days, so that most come late.
func parcelDay(feed, n int) time.Time {
	return testDay.AddDate(0, 0, (n*5+feed*3)%testDays)
}

func sinkholeRows(feed, n, rows int) []byte {
	for d := range sim.Sinkhole(sim.SinkholeConfig{Seed: uint64(feed*1_000_003 + n), From: parcelDay(feed, n), Total: rows, Rows: rows, PerDay: 86_400 - 4_000*feed}) {
		return d.Bytes
	}
	return nil
}

// documents gives the figures of several periods and breakdowns as one text.
func (r *running) documents(ctx context.Context) ([]byte, error) {
	first := event.DayFrom(testDay)
	return r.documentsBy(ctx, append([]query.Dim{query.DimNone}, query.Dims...),
		query.Period{From: first, To: first + testDays - 1},
		query.Period{From: first + 4, To: first + 7})
}

// documentsBy gives the figures of each period by each of the breakdowns.
func (r *running) documentsBy(ctx context.Context, dims []query.Dim, periods ...query.Period) ([]byte, error) {
	var all []byte
	for _, p := range periods {
		for _, by := range dims {
			d, err := r.Figures(ctx, policy.Local(), figure.Params{Period: p, By: by})
			if err != nil {
				return nil, fmt.Errorf("figures of %s to %s by %q: %w", p.From, p.To, by, err)
			}
			b, err := d.Marshal()
			if err != nil {
				return nil, err
			}
			all = append(all, b...)
		}
	}
	return all, nil
}

func (r *running) mustDocuments(tb testing.TB) []byte {
	tb.Helper()
	b, err := r.documents(tb.Context())
	if err != nil {
		tb.Fatalf("%v\n%s", err, r.log)
	}
	return b
}

// ids returns the ids of all events in rising order, and fails where one is
// there twice.
func (r *running) ids(tb testing.TB) []event.ID {
	tb.Helper()
	var out []event.ID
	for e, err := range r.EventsSeq(tb.Context(), policy.Local(), query.Events{}) {
		if err != nil {
			tb.Fatal(err)
		}
		out = append(out, e.ID)
	}
	slices.SortFunc(out, func(a, b event.ID) int {
		switch {
		case a.Hi != b.Hi && a.Hi < b.Hi, a.Hi == b.Hi && a.Lo < b.Lo:
			return -1
		case a == b:
			return 0
		}
		return 1
	})
	if n := len(out); len(slices.Compact(slices.Clone(out))) != n {
		tb.Errorf("of %d events some are there twice", n)
	}
	return out
}

// deliveries returns all deliveries by id.
func (r *running) deliveries(tb testing.TB) map[string]query.Delivery {
	tb.Helper()
	out := map[string]query.Delivery{}
	for {
		list, total, err := r.Deliveries(tb.Context(), policy.Local(), web.DeliveryFilter{Limit: 1000, Offset: len(out)})
		if err != nil {
			tb.Fatal(err)
		}
		for _, d := range list {
			out[d.ID] = d
		}
		if int64(len(out)) >= total || len(list) == 0 {
			return out
		}
	}
}

// sound fails the test if a delivery is not loaded or its rows are not all
// accounted for, and returns the sums.
func (r *running) sound(tb testing.TB, ds map[string]query.Delivery) (accepted int64) {
	tb.Helper()
	for id, d := range ds {
		if d.State != query.StateLoaded {
			tb.Errorf("%s is %s: %s", id, d.State, d.Reason)
		}
		if d.Accepted+d.Duplicate+d.Quarantined != d.Received {
			tb.Errorf("%s: %d accepted + %d duplicate + %d quarantined are not the %d received", id, d.Accepted, d.Duplicate, d.Quarantined, d.Received)
		}
		accepted += d.Accepted
	}
	return accepted
}

// same fails the test if two sets of figures differ.
func same(tb testing.TB, what string, got, want []byte) {
	tb.Helper()
	if bytes.Equal(got, want) {
		return
	}
	g, w := bytes.SplitAfter(got, []byte("\n")), bytes.SplitAfter(want, []byte("\n"))
	for i := range min(len(g), len(w)) {
		if !bytes.Equal(g[i], w[i]) {
			at := 0
			for at < min(len(g[i]), len(w[i])) && g[i][at] == w[i][at] {
				at++
			}
			from := max(0, at-120)
			tb.Errorf("%s: the figures differ in document %d at byte %d:\n got ...%s\nwant ...%s", what, i, at, clip(g[i][from:], 240), clip(w[i][from:], 240))
			return
		}
	}
	tb.Errorf("%s: %d figures documents, want %d", what, len(g), len(w))
}

func clip(b []byte, n int) []byte { return b[:min(n, len(b))] }
