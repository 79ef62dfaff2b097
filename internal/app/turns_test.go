package app

import (
	"bytes"
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"tocsin/internal/policy"
	"tocsin/internal/query"
	"tocsin/internal/sim"
	"tocsin/internal/store"
	"tocsin/internal/web"
)

// TestTurns loads one very large delivery while small ones of another feed
// come in: those do not wait for it.
func TestTurns(t *testing.T) {
	rows, small := sized(200_000, 1_000_000), sized(4, 20)
	r := begin(t, smallConfig(t.TempDir()), Deps{})
	r.reference(t)
	r.mustSend(t, parcelOf(0, 1, 100)) // the first of all pays for the tables
	r.settle(t)
	big := parcel{feed: "big", name: "2026-03-05-event4_sinkhole_http-big.csv"}
	for d := range sim.Sinkhole(sim.SinkholeConfig{Seed: 5, From: testDay.AddDate(0, 0, 4), Total: rows, Rows: rows}) {
		big.body = d.Bytes
	}
	began := time.Now()
	id := r.mustSend(t, big)[0]
	acked := time.Since(began)
	var (
		wg    sync.WaitGroup
		whole time.Duration
	)
	wg.Go(func() {
		seq, err := parseDelivery(id)
		if err == nil {
			err = r.road.settle(context.Background(), func(st *store.Store) bool { return st.Complete(seq) })
		}
		if err != nil {
			t.Error(err)
		}
		whole = time.Since(began)
	})
	// A delivery that is partly in shows nowhere.
	list, n, err := r.Events(t.Context(), policy.Local(), query.Events{Where: []query.Cond{{Dim: query.DimFeed, Value: "big"}}, Limit: 1})
	if d, derr := r.Delivery(t.Context(), policy.Local(), id); derr == nil && d.State != query.StateLoaded && (err != nil || n != 0 || len(list) != 0) {
		t.Errorf("a delivery that is not whole shows %d events: %v", n, err)
	}
	var took []time.Duration
	for i := range small {
		p := parcelOf(1, i, 10_000)
		body := web.IngestRequest{Feed: p.feed, Format: "shadowserver", Name: p.name, Wait: true}
		body.Body = bytes.NewReader(p.body)
		since := time.Now()
		if _, err := r.Ingest(t.Context(), policy.Local(), body); err != nil {
			t.Fatal(err)
		}
		took = append(took, time.Since(since))
	}
	alone := time.Since(began)
	wg.Wait()
	slices.Sort(took)
	t.Logf("%d rows acked after %.2f s and in after %.2f s; meanwhile %d deliveries of 10,000 rows took %v to %v from their bytes to the figures, the last of them after %.2f s",
		rows, acked.Seconds(), whole.Seconds(), small, took[0], took[len(took)-1], alone.Seconds())
	// Generous, since other tests may have the machine at the same time: the
	// benchmark measures it.
	if worst, bound := took[len(took)-1], time.Duration(sized(15, 5))*time.Second; worst > bound && worst > whole*2/3 {
		t.Errorf("a small delivery took %v beside a large one, want at most %v", worst, bound)
	}
	if d, err := r.Delivery(t.Context(), policy.Local(), id); err != nil || d.Received != int64(rows) || d.Accepted != int64(rows) {
		t.Errorf("%+v %v", d, err)
	}
}
