package app

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"tocsin/internal/query"
	"tocsin/internal/web"
)

// gate holds up whoever comes to a point until it is opened.
type gate struct {
	point  atomic.Pointer[string]
	came   chan struct{}
	opened chan struct{}
}

func newGate() *gate { return &gate{came: make(chan struct{}), opened: make(chan struct{})} }

func (g *gate) hook(point string) {
	if p := g.point.Load(); p != nil && *p == point && g.point.CompareAndSwap(p, nil) {
		g.came <- struct{}{}
		<-g.opened
	}
}

// conflict is nil if err says that something else is under way, and what to do.
func conflict(err error) error {
	if !errors.Is(err, web.ErrConflict) || !strings.Contains(err.Error(), "Ask again when it has ended") {
		return wants(err, web.ErrConflict)
	}
	return nil
}

// TestTogether asks for everything while the store is made again: another
// rebuild and a reenrichment are refused, and leave nothing in the journal; a
// withdrawal is done at once, in the store in use and in the one that takes its
// place, so that figures never go back. The same while annotations are made anew.
func TestTogether(t *testing.T) {
	t.Parallel()
	ps := mixedParcels(2, 4, 80)
	g := newGate()
	r := begin(t, smallConfig(filepath.Join(t.TempDir(), "data")), Deps{Hook: g.hook})
	r.reference(t)
	sent := r.mustSend(t, ps...)
	r.settle(t)
	ctx := t.Context()
	docs, ids := without(t, append(ps, parcelOf(2, 1, 70)), 3)

	held := func(point string, work func() error) (end func()) {
		t.Helper()
		g.point.Store(&point)
		done := make(chan error, 1)
		go func() { done <- work() }()
		select {
		case <-g.came:
		case err := <-done:
			t.Fatalf("it never came to %s: %v", point, err)
		}
		return func() {
			t.Helper()
			g.opened <- struct{}{}
			if err := <-done; err != nil {
				t.Errorf("held up at %s: %v", point, err)
			}
		}
	}
	refused := func() {
		t.Helper()
		last := r.arch.Last()
		_, err1 := r.Rebuild(ctx, localScope, nil)
		_, err2 := r.Reenrich(ctx, localScope, nil)
		if err := errors.Join(conflict(err1), conflict(err2)); err != nil {
			t.Error(err)
		}
		if n := r.arch.Last(); n != last {
			t.Errorf("what was refused left %d lines in the journal", n-last)
		}
	}
	check := func(what string) {
		t.Helper()
		same(t, what, r.mustDocuments(t), docs)
		if got := r.ids(t); !slices.Equal(got, ids) {
			t.Errorf("%s: %d events, want %d", what, len(got), len(ids))
		}
	}

	end := held("rebuild-commit", func() error { _, err := r.Rebuild(ctx, localScope, nil); return err })
	refused()
	d, err := r.Withdraw(ctx, localScope, sent[3], "wrong file")
	if err != nil || d.State != query.StateWithdrawn {
		t.Errorf("withdrawn during a rebuild: %v %+v", err, d)
	}
	r.mustSend(t, parcelOf(2, 1, 70))
	r.settle(t)
	check("withdrawn during a rebuild")
	few, err := r.few(ctx)
	if err != nil {
		t.Fatal(err)
	}
	watch, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() {
		for watch.Err() == nil {
			if got, err := r.few(ctx); err != nil || !bytes.Equal(got, few) {
				same(t, "while the stores are exchanged", got, few)
				t.Errorf("while the stores are exchanged: %v", err)
				return
			}
		}
	})
	end()
	check("when the rebuild has ended")
	r.settle(t)
	stop()
	wg.Wait()
	if d := r.deliveries(t)[sent[3]]; d.State != query.StateWithdrawn || d.Reason != "wrong file" {
		t.Errorf("when the rebuild has ended: %+v", d)
	}

	if _, err := r.ImportOrganisations(ctx, localScope, bytes.NewReader(turned())); err != nil {
		t.Fatal(err)
	}
	end = held("resight-day", func() error { _, err := r.Reenrich(ctx, localScope, nil); return err })
	refused()
	wg.Go(func() { // its turn comes after
		if d, err := r.Withdraw(ctx, localScope, sent[0], "wrong file too"); err != nil || d.State != query.StateWithdrawn {
			t.Errorf("withdrawn while annotations are made anew: %v %+v", err, d)
		}
	})
	end()
	wg.Wait()
	got := r.mustDocuments(t)
	if _, err := r.Rebuild(ctx, localScope, nil); err != nil {
		t.Errorf("a rebuild after all of it: %v", err)
	}
	same(t, "made again after all of it", r.mustDocuments(t), got)
	gone, ids := without(t, append(ps, parcelOf(2, 1, 70)), 0, 3)
	if n := r.ids(t); !slices.Equal(n, ids) || bytes.Equal(got, gone) {
		t.Errorf("%d events, want %d, with other annotations", len(n), len(ids))
	}
}

// TestAskerLeaves hangs up on work before and after it has begun.
func TestAskerLeaves(t *testing.T) {
	t.Parallel()
	g := newGate()
	r := begin(t, smallConfig(filepath.Join(t.TempDir(), "data")), Deps{Hook: g.hook})
	r.reference(t)
	r.mustSend(t, mixedParcels(1, 3, 60)...)
	r.settle(t)
	if _, err := r.ImportOrganisations(t.Context(), localScope, bytes.NewReader(turned())); err != nil {
		t.Fatal(err)
	}
	var gone atomic.Bool
	late := make(chan error, 1)
	point := "resight-day"
	g.point.Store(&point)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		_, err := r.Reenrich(ctx, localScope, func(web.Progress) {
			if gone.Load() {
				t.Error("progress is told to somebody who was answered")
			}
		})
		gone.Store(true)
		late <- err
	}()
	<-g.came
	left, leave := context.WithCancel(t.Context())
	leave()
	if err := r.road.while(left, func(context.Context) error { t.Error("what nobody waits for was begun"); return nil }); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	cancel()
	g.opened <- struct{}{}
	if err := <-late; err != nil {
		t.Errorf("it had begun, and its end was not waited for: %v", err)
	}
	r.settle(t)
	docs := r.mustDocuments(t)
	if _, err := r.Rebuild(t.Context(), localScope, nil); err != nil {
		t.Fatal(err)
	}
	same(t, "made again", r.mustDocuments(t), docs)
}

// TestExchangeCutOff opens a directory whose stores were being exchanged: the
// old one is put back, and nothing has to be loaded again.
func TestExchangeCutOff(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	r := begin(t, smallConfig(dir), Deps{})
	r.reference(t)
	r.mustSend(t, mixedParcels(1, 3, 60)...)
	r.settle(t)
	docs := r.mustDocuments(t)
	r.stop()
	store := filepath.Join(dir, "store")
	if err := errors.Join(os.Rename(store, store+oldSuffix), os.Mkdir(store+newSuffix, 0o700)); err != nil {
		t.Fatal(err)
	}
	r = begin(t, smallConfig(dir), Deps{Hook: func(point string) {
		if point == "commit" {
			t.Error("deliveries are loaded again")
		}
	}})
	r.settle(t)
	same(t, "put back", r.mustDocuments(t), docs)
	if !strings.Contains(r.log.String(), "the old one is put back") {
		t.Errorf("the log says nothing of it: %s", r.log)
	}
	for _, rest := range []string{newSuffix, oldSuffix} {
		if _, err := os.Stat(store + rest); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is left behind: %v", store+rest, err)
		}
	}
}
