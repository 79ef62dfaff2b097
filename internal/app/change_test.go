package app

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"tocsin/internal/archive"
	"tocsin/internal/event"
	"tocsin/internal/figure"
	"tocsin/internal/policy"
	"tocsin/internal/query"
	"tocsin/internal/registry"
	"tocsin/internal/sim"
	"tocsin/internal/store"
	"tocsin/internal/web"
)

// without gives a directory's figures and events that never had some of the
// parcels.
func without(tb testing.TB, ps []parcel, gone ...int) ([]byte, []event.ID) {
	tb.Helper()
	r := begin(tb, smallConfig(filepath.Join(tb.TempDir(), "without")), Deps{})
	defer r.stop()
	r.reference(tb)
	for i, p := range ps {
		if !slices.Contains(gone, i) {
			r.mustSend(tb, p)
		}
	}
	r.settle(tb)
	return r.mustDocuments(tb), r.ids(tb)
}

// TestWithdraw takes deliveries back: the figures are those of a directory that
// never had them, rows that others had too are theirs now, and the journal says
// who and why.
func TestWithdraw(t *testing.T) {
	t.Parallel()
	ps := mixedParcels(2, 6, 120)
	dir := filepath.Join(t.TempDir(), "data")
	r := begin(t, smallConfig(dir), Deps{})
	r.reference(t)
	sent := r.mustSend(t, ps...)
	r.settle(t)
	ctx := t.Context()

	for what, call := range map[string]func() error{
		"analyst": func() error {
			_, err := r.Withdraw(ctx, policy.For("ann", policy.Analyst, nil, nil, true), sent[4], "mine")
			return wants(err, web.ErrForbidden)
		},
		"no reason": func() error {
			_, err := r.Withdraw(ctx, localScope, sent[4], " ")
			return wants(err, web.ErrBadRequest)
		},
		"no such": func() error {
			_, err := r.Withdraw(ctx, localScope, "d9999", "gone")
			return wants(err, query.ErrNotFound)
		},
		"no delivery": func() error { // a line of the journal, but none of a delivery
			_, err := r.Withdraw(ctx, localScope, "d1", "gone")
			return wants(err, query.ErrNotFound)
		},
	} {
		if err := call(); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	ann := policy.For("ann", policy.Admin, nil, nil, true)
	for _, i := range []int{4, 5} {
		d, err := r.Withdraw(ctx, ann, sent[i], "wrong file")
		if err != nil {
			t.Fatal(err)
		}
		if d.State != query.StateWithdrawn || d.Reason != "wrong file" {
			t.Errorf("%+v", d)
		}
	}
	if _, err := r.Withdraw(ctx, ann, sent[4], "again"); !errors.Is(err, web.ErrConflict) {
		t.Errorf("withdrawn twice: %v", err)
	}
	docs, ids := without(t, ps, 4, 5)
	check := func(what string, r *running) {
		t.Helper()
		r.settle(t)
		same(t, what, r.mustDocuments(t), docs)
		if !slices.Equal(r.ids(t), ids) {
			t.Errorf("%s: other events", what)
		}
		ds := r.deliveries(t)
		for _, i := range []int{4, 5} {
			if d := ds[sent[i]]; d.State != query.StateWithdrawn || d.Reason != "wrong file" {
				t.Errorf("%s: %+v", what, d)
			}
			delete(ds, sent[i])
		}
		if n := r.sound(t, ds); n != int64(len(ids)) {
			t.Errorf("%s: %d events accepted, %d there", what, n, len(ids))
		}
	}
	check("withdrawn", r)
	audit, err := r.Audit(ctx, localScope, 10)
	if err != nil {
		t.Fatal(err)
	}
	if a := audit[0]; a.Who != "ann" || a.Kind != "withdrawn" || !strings.Contains(a.Detail, "wrong file") {
		t.Errorf("the journal says %+v", a)
	}
	if _, err := r.Rebuild(ctx, localScope, nil); err != nil {
		t.Fatal(err)
	}
	check("withdrawn and rebuilt", r)
	r.stop()
	r = begin(t, smallConfig(dir), Deps{})
	check("withdrawn and opened again", r)
	r.stop()
	if err := os.RemoveAll(filepath.Join(dir, "store")); err != nil {
		t.Fatal(err)
	}
	check("withdrawn and the store deleted", begin(t, smallConfig(dir), Deps{}))
}

// wants is nil if err is the error that is wanted.
func wants(err, want error) error {
	if errors.Is(err, want) {
		return nil
	}
	return fmt.Errorf("got %w, want %w", err, want)
}

// TestWithdrawCutOff ends the process in the middle of taking a delivery back:
// after the journal says so, and after the store's own transaction.
func TestWithdrawCutOff(t *testing.T) {
	t.Parallel()
	ps := mixedParcels(2, 5, 100)
	docs, ids := without(t, ps, 4)
	for _, after := range []string{"journal", "transaction"} {
		dir := filepath.Join(t.TempDir(), "data")
		r := begin(t, smallConfig(dir), Deps{})
		r.reference(t)
		sent := r.mustSend(t, ps...)
		r.settle(t)
		r.stop()
		seq, err := parseDelivery(sent[4])
		if err != nil {
			t.Fatal(err)
		}
		still(t, dir, func(ctx context.Context, a *App) error {
			d, err := a.delivery(ctx, seq)
			if err != nil {
				return err
			}
			if err := a.journal(ctx, "ann", archive.KindWithdrawn, nil, registry.Withdrawn{Delivery: seq, Why: "wrong file"}); err != nil {
				return err
			}
			if after == "journal" {
				return nil
			}
			d.Reason = "wrong file"
			return a.with(func(st *store.Store) error { _, err := st.Withdraw(ctx, &d); return err })
		})
		r = begin(t, smallConfig(dir), Deps{})
		r.settle(t)
		same(t, "cut off after the "+after, r.mustDocuments(t), docs)
		if !slices.Equal(r.ids(t), ids) {
			t.Errorf("cut off after the %s: other events", after)
		}
		if d := r.deliveries(t)[sent[4]]; d.State != query.StateWithdrawn || d.Reason != "wrong file" {
			t.Errorf("cut off after the %s: %+v", after, d)
		}
		r.stop()
	}
}

// still does something with an app that does not run.
func still(tb testing.TB, dir string, f func(context.Context, *App) error) {
	tb.Helper()
	a, err := Open(tb.Context(), slog.New(newRecord()), smallConfig(dir), Deps{})
	if err != nil {
		tb.Fatal(err)
	}
	defer a.Close()
	if err := f(tb.Context(), a); err != nil {
		tb.Fatal(err)
	}
}

// turned gives the sinkhole's organisations with every network in another's
// hands.
func turned() []byte {
	_, b := sim.SinkholeReference()
	lines := strings.SplitAfter(string(b), "\n")
	rows := lines[1 : len(lines)-1]
	var out bytes.Buffer
	out.WriteString(lines[0])
	for i, row := range rows {
		mine := strings.Split(strings.TrimSpace(row), ",")
		theirs := strings.Split(strings.TrimSpace(rows[(i+7)%len(rows)]), ",")
		mine[4] = theirs[4] // the network
		out.WriteString(strings.Join(mine, ",") + "\n")
	}
	return out.Bytes()
}

// TestReenrich brings in a list of organisations that gives every network to
// another: what is there does not change before somebody asks for it, then it
// does, the old figures can still be had, and the journal says who.
func TestReenrich(t *testing.T) {
	t.Parallel()
	ps := mixedParcels(2, 5, 120)
	dir := filepath.Join(t.TempDir(), "data")
	r := begin(t, smallConfig(dir), Deps{})
	r.reference(t)
	r.mustSend(t, ps...)
	r.settle(t)
	before, ids := r.mustDocuments(t), r.ids(t)
	old := r.reg.Enrichment()
	ctx := t.Context()
	if _, err := r.ImportOrganisations(ctx, localScope, bytes.NewReader(turned())); err != nil {
		t.Fatal(err)
	}
	r.settle(t)
	same(t, "a list imported and nothing asked for", r.mustDocuments(t), before)
	ann := policy.For("ann", policy.Admin, nil, nil, true)
	res, err := r.Reenrich(ctx, ann, nil)
	if err != nil {
		t.Fatal(err)
	}
	if res.Version != old+1 || res.Events != int64(len(ids)) {
		t.Errorf("%+v, want version %d and %d events", res, old+1, len(ids))
	}
	after := r.mustDocuments(t)
	if bytes.Equal(after, before) {
		t.Error("the figures by organisation did not change")
	}
	want := begin(t, smallConfig(filepath.Join(t.TempDir(), "want")), Deps{})
	prefixes, _ := sim.SinkholeReference()
	if err := want.ImportRefdata(ctx, localScope, "prefixes", bytes.NewReader(prefixes)); err != nil {
		t.Fatal(err)
	}
	if _, err := want.ImportOrganisations(ctx, localScope, bytes.NewReader(turned())); err != nil {
		t.Fatal(err)
	}
	want.mustSend(t, ps...)
	want.settle(t)
	same(t, "new annotations, against a directory that had the new list from the start", after, want.mustDocuments(t))
	want.stop()

	// The figures as they stood, by organisation.
	first := event.DayFrom(testDay)
	p := figure.Params{Period: query.Period{From: first, To: first + testDays - 1}, By: query.DimOrganisation}
	then := begin(t, smallConfig(filepath.Join(t.TempDir(), "then")), Deps{})
	then.reference(t)
	then.mustSend(t, ps...)
	then.settle(t)
	a, err := then.Figures(ctx, localScope, p)
	if err != nil {
		t.Fatal(err)
	}
	then.stop()
	p.Enrichment = old
	b, err := r.Figures(ctx, localScope, p)
	if err != nil {
		t.Fatal(err)
	}
	if b.Enrichment != old {
		t.Errorf("the document speaks of version %d, want %d", b.Enrichment, old)
	}
	b.Enrichment = a.Enrichment
	x, err1 := a.Marshal()
	y, err2 := b.Marshal()
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	same(t, "as it stood", y, x)

	audit, err := r.Audit(ctx, localScope, 2)
	if err != nil {
		t.Fatal(err)
	}
	if l := audit[0]; l.Who != "ann" || l.Kind != "reenrich" || !strings.Contains(l.Detail, strconv.FormatUint(uint64(res.Version), 10)) {
		t.Errorf("the journal says %+v", l)
	}
	if l := audit[1]; l.Who != "local" || l.Kind != "organisations" {
		t.Errorf("the journal says %+v", l)
	}
	if !slices.Equal(r.ids(t), ids) {
		t.Error("new annotations changed the events")
	}
	if e, _, err := r.Events(ctx, localScope, query.Events{Limit: 1}); err != nil || len(e) != 1 {
		t.Errorf("events: %v", err)
	}

	// A delivery that comes later, and the store made again.
	r.mustSend(t, parcelOf(2, 3, 90))
	r.settle(t)
	later := r.mustDocuments(t)
	r.stop()
	r = begin(t, smallConfig(dir), Deps{})
	r.settle(t)
	same(t, "opened again", r.mustDocuments(t), later)
	if _, err := r.Rebuild(ctx, localScope, nil); err != nil {
		t.Fatal(err)
	}
	same(t, "rebuilt", r.mustDocuments(t), later)
}

// TestReenrichCutOff ends the process after the journal says that annotations
// are made again, and before they are.
func TestReenrichCutOff(t *testing.T) {
	t.Parallel()
	ps := mixedParcels(2, 4, 100)
	dir := filepath.Join(t.TempDir(), "data")
	r := begin(t, smallConfig(dir), Deps{})
	r.reference(t)
	r.mustSend(t, ps...)
	r.settle(t)
	before := r.mustDocuments(t)
	r.stop()
	still(t, dir, func(ctx context.Context, a *App) error {
		if _, err := a.ImportOrganisations(ctx, localScope, bytes.NewReader(turned())); err != nil {
			return err
		}
		return a.journal(ctx, "ann", archive.KindReenrich, nil, registry.Reenriched{Version: a.reg.Enrichment()})
	})
	r = begin(t, smallConfig(dir), Deps{})
	r.settle(t)
	got := r.mustDocuments(t)
	if bytes.Equal(got, before) {
		t.Error("what was journalled was not done")
	}
	if _, err := r.Rebuild(t.Context(), localScope, nil); err != nil {
		t.Fatal(err)
	}
	same(t, "rebuilt", got, r.mustDocuments(t))
}
