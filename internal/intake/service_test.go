package intake

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
)

// got is one delivery that a [sink] acked.
type got struct{ feed, format, name, by, body string }

// sink acks everything, in memory, unless its hook returns an error.
type sink struct {
	before func(r Request) error // on arrival; nil for none
	after  func(r Request) error // once the body is read, before the ack; nil for none

	mu    sync.Mutex
	acked []got // held by mu
	calls int   // held by mu
}

var _ Sink = (*sink)(nil)

func (s *sink) Ingest(_ context.Context, r Request) (Receipt, error) {
	s.mu.Lock()
	s.calls++
	s.mu.Unlock()
	if s.before != nil {
		if err := s.before(r); err != nil {
			return Receipt{}, err
		}
	}
	var b bytes.Buffer
	if _, err := io.Copy(&b, r.Body); err != nil {
		return Receipt{}, fmt.Errorf("put: %w", err)
	}
	if s.after != nil {
		if err := s.after(r); err != nil {
			return Receipt{}, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.acked = append(s.acked, got{r.Feed, r.Format, r.Name, r.By, b.String()})
	h := sha256.Sum256(b.Bytes())
	return Receipt{ID: fmt.Sprintf("d%d", len(s.acked)), SHA256: hex.EncodeToString(h[:])}, nil
}

func (s *sink) list() []got {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]got(nil), s.acked...)
}

func service(t *testing.T, cfg ServiceConfig, s Sink) *Service {
	t.Helper()
	svc, err := NewService(cfg, ServiceDeps{
		Sink: s,
		FormatOf: func(feed string) string {
			return map[string]string{"partner": "idf"}[feed]
		},
		Recognise: func(name string) (string, bool) {
			ok := strings.Contains(name, "-event4_")
			return map[bool]string{true: "shadowserver"}[ok], ok
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return svc
}

func TestServiceFindsTheFormat(t *testing.T) {
	t.Parallel()
	s := &sink{}
	svc := service(t, DefaultServiceConfig(), s)
	for _, tt := range []struct {
		feed, format, name string
		want               string // "" for a refusal
	}{
		{"any", "csv", "x", "csv"},
		{"partner", "", "x", "idf"},
		{"partner", "csv", "x", "csv"},
		{"partner", "", "2026-11-01-event4_sinkhole-xx-geo.csv", "idf"},
		{"any", "", "2026-11-01-event4_sinkhole-xx-geo.csv", "shadowserver"},
		{"any", "", "dir/2026-11-01-event4_sinkhole-xx-geo.csv", "shadowserver"},
		{"any", "", "x", ""},
		{"any", "", "", ""},
		{"../any", "csv", "x", ""},
	} {
		before := len(s.list())
		rec, err := svc.Ingest(t.Context(), Request{Feed: tt.feed, Format: tt.format, Name: tt.name, By: "me", Body: strings.NewReader("hello")})
		if tt.want == "" {
			if !errors.Is(err, ErrRefused) || len(s.list()) != before {
				t.Errorf("%v: %v, want ErrRefused", tt, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%v: %v", tt, err)
			continue
		}
		if want := "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"; rec.SHA256 != want || rec.ID == "" {
			t.Errorf("%v: receipt %v", tt, rec)
		}
		if g := s.list()[before]; g != (got{tt.feed, tt.want, CleanName(tt.name), "me", "hello"}) {
			t.Errorf("%v: got %v", tt, g)
		}
	}
	if c, want := svc.Counts(), (ServiceCounts{Taken: 6, Refused: 3, Bytes: 30}); c != want {
		t.Errorf("counts %+v, want %+v", c, want)
	}
}

func TestServiceBoundsTheBody(t *testing.T) {
	t.Parallel()
	cfg := DefaultServiceConfig()
	cfg.MaxBody = 100
	s := &sink{}
	svc := service(t, cfg, s)
	if _, err := svc.Ingest(t.Context(), Request{Feed: "a", Format: "f", Body: strings.NewReader(strings.Repeat("x", 100))}); err != nil {
		t.Error(err)
	}
	_, err := svc.Ingest(t.Context(), Request{Feed: "a", Format: "f", Body: strings.NewReader(strings.Repeat("x", 101))})
	if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "larger") {
		t.Errorf("101 bytes: %v", err)
	}
	if len(s.list()) != 1 {
		t.Errorf("acked %d, want 1", len(s.list()))
	}
	// A Sink that loses the cause does not turn a refusal into something to retry.
	lossy := sinkFunc(func(r Request) error {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return errors.New("no")
		}
		return nil
	})
	if _, err := service(t, cfg, lossy).Ingest(t.Context(), Request{Feed: "a", Format: "f", Body: strings.NewReader(strings.Repeat("x", 101))}); !errors.Is(err, ErrRefused) {
		t.Errorf("lossy sink: %v", err)
	}
}

type sinkFunc func(r Request) error

func (f sinkFunc) Ingest(_ context.Context, r Request) (Receipt, error) {
	return Receipt{ID: "d1"}, f(r)
}

// One feed with slow bodies must not keep the others out.
func TestServiceBoundsEachFeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := ServiceConfig{MaxBody: 100, MaxActive: 5, MaxPerFeed: 3}
		svc := service(t, cfg, &sink{})
		var slow []*io.PipeWriter
		results := make(chan error, 10)
		push := func(feed string) {
			r, w := io.Pipe()
			slow = append(slow, w)
			go func() {
				_, err := svc.Ingest(t.Context(), Request{Feed: feed, Format: "f", Body: r})
				results <- err
			}()
			synctest.Wait()
		}
		quick := func(feed string) error {
			_, err := svc.Ingest(t.Context(), Request{Feed: feed, Format: "f", Body: strings.NewReader("x")})
			return err
		}
		for range 3 {
			push("a")
		}
		if err := quick("a"); !errors.Is(err, ErrBusy) {
			t.Errorf("fourth of a: %v, want ErrBusy", err)
		}
		if err := quick("b"); err != nil {
			t.Errorf("b beside a: %v", err)
		}
		push("b")
		push("b")
		if err := quick("c"); !errors.Is(err, ErrBusy) {
			t.Errorf("sixth in all: %v, want ErrBusy", err)
		}
		for _, w := range slow {
			_ = w.Close()
		}
		for range slow {
			if err := <-results; err != nil {
				t.Error(err)
			}
		}
		if err := quick("a"); err != nil {
			t.Errorf("a afterwards: %v", err)
		}
		if c := svc.Counts(); c.Active != 0 || c.Busy != 2 || c.Taken != 7 || len(svc.active) != 0 {
			t.Errorf("counts %+v, feeds %v", c, svc.active)
		}
	})
}

func TestConfigs(t *testing.T) {
	t.Parallel()
	if err := DefaultServiceConfig().Validate(); err != nil {
		t.Error(err)
	}
	for _, c := range []ServiceConfig{{}, {MaxBody: 1}, {MaxBody: 1, MaxActive: 1, MaxPerFeed: 2}, {MaxBody: 1<<60 + 1, MaxActive: 1, MaxPerFeed: 1}} {
		if _, err := NewService(c, ServiceDeps{Sink: &sink{}}); err == nil {
			t.Errorf("%+v: no error", c)
		}
	}
	if _, err := NewService(DefaultServiceConfig(), ServiceDeps{}); err == nil {
		t.Error("no sink: no error")
	}
	good := DefaultFolderConfig()
	if err := good.Validate(); err == nil {
		t.Error("no directory: no error")
	}
	good.Dir = "x"
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
	for _, f := range []func(*FolderConfig){
		func(c *FolderConfig) { c.Interval = 0 },
		func(c *FolderConfig) { c.Settle = 0 },
		func(c *FolderConfig) { c.MaxBackoff = 1 },
		func(c *FolderConfig) { c.Parallel = 0 },
		func(c *FolderConfig) { c.Track = 0 },
		func(c *FolderConfig) { c.MaxFeeds = 0 },
	} {
		bad := good
		f(&bad)
		if bad.Validate() == nil {
			t.Errorf("%+v: no error", bad)
		}
	}
}
