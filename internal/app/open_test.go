package app

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tocsin/internal/event"
	"tocsin/internal/query"
	"tocsin/internal/store"
	"tocsin/internal/web"
)

// TestAckBeforeStore holds the opening of the store up: deliveries are acked
// all the same, reads are told to wait, and when it is open everything is there.
func TestAckBeforeStore(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	r := begin(t, smallConfig(dir), Deps{})
	r.reference(t)
	r.mustSend(t, parcelOf(0, 1, 60))
	r.settle(t)
	r.stop()

	opening, open := make(chan struct{}), make(chan struct{})
	r, err := launch(smallConfig(dir), Deps{Hook: func(point string) {
		if point == "opening" {
			close(opening)
			<-open
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.stop)
	r.patience = 10 * time.Millisecond
	<-opening
	d, err := r.send(t.Context(), parcelOf(0, 2, 60))
	if err != nil || d.State != query.StateWaiting || d.ID == "" {
		t.Errorf("a delivery while the store is opened: %v %+v", err, d)
	}
	if err := r.Health(t.Context()); err != nil {
		t.Errorf("deliveries can be acked, and the program says it is not well: %v", err)
	}
	if _, err := r.documents(t.Context()); !errors.Is(err, web.ErrUnavailable) {
		t.Errorf("figures while the store is opened: %v", err)
	}
	server, err := web.New(r.App.log, web.Config{Hosts: []string{"tocsin"}}, web.Deps{Backend: r.App, Auth: r.Authenticator(), Metrics: r.Metrics(), IDF: event.AppendIDF})
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/", "/api/v1/deliveries/d3", "/events", "/events.json"} {
		q := httptest.NewRequestWithContext(Local(t.Context()), http.MethodGet, "http://tocsin"+path, nil)
		w := httptest.NewRecorder()
		server.ServeHTTP(w, q)
		if body := w.Body.String(); w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" || !strings.Contains(body, "store is being opened") {
			t.Errorf("%s while the store is opened: %d %v %.300s", path, w.Code, w.Header(), body)
		}
	}
	close(open)
	r.settle(t)
	got := r.mustDocuments(t)
	ds := r.deliveries(t)
	if len(ds) != 2 || ds[d.ID].State != query.StateLoaded {
		t.Errorf("when the store is open: %+v", ds)
	}
	r.stop()
	whole := begin(t, smallConfig(filepath.Join(t.TempDir(), "whole")), Deps{})
	whole.reference(t)
	whole.mustSend(t, parcelOf(0, 1, 60), parcelOf(0, 2, 60))
	whole.settle(t)
	same(t, "acked before the store was open", got, whole.mustDocuments(t))
}

// TestReadsWait closes the store under those who read, as after a failed
// transaction: none of them fails.
func TestReadsWait(t *testing.T) {
	t.Parallel()
	var slow atomic.Bool
	r := begin(t, smallConfig(filepath.Join(t.TempDir(), "data")), Deps{Hook: func(point string) {
		if point == "opening" && slow.Load() {
			<-time.After(100 * time.Millisecond)
		}
	}})
	r.reference(t)
	r.mustSend(t, parcelOf(0, 1, 60))
	r.settle(t)
	docs, err := r.few(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	slow.Store(true)
	ctx, cancel := context.WithCancel(t.Context())
	read := make(chan int)
	for range 2 {
		go func() {
			n := 0
			for ctx.Err() == nil {
				got, err := r.few(context.WithoutCancel(ctx))
				if err != nil || !bytes.Equal(got, docs) {
					t.Errorf("figures while the store is opened again: %v", err)
				}
				n++
			}
			read <- n
		}()
	}
	for range sized(5, 50) {
		if err := r.road.while(t.Context(), r.reopen); err != nil {
			t.Fatal(err)
		}
	}
	// A database that has given up reads as if it were damaged, until another is
	// opened in its place.
	asked := 0
	done := make(chan error, 1)
	go func() {
		done <- r.read(t.Context(), func(*store.Store) error {
			if asked++; asked == 1 {
				return store.ErrDamaged
			}
			return nil
		})
	}()
	if err := r.road.while(t.Context(), r.reopen); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-done:
		if err != nil {
			t.Errorf("asked %d times: %v", asked, err)
		}
	case <-time.After(time.Second): // it asked the store after it had been opened
		if err := r.road.while(t.Context(), r.reopen); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil {
			t.Errorf("asked %d times: %v", asked, err)
		}
	}
	cancel()
	if n := <-read + <-read; n == 0 {
		t.Error("nothing was read meanwhile")
	}
}
