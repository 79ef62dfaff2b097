package decode

import (
	"bytes"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"tocsin/internal/event"
)

var update = flag.Bool("update", false, "rewrite golden files")

// received is when the deliveries of the tests come in.
var received = time.Date(2026, 3, 24, 12, 0, 0, 0, time.UTC)

// historic is a source that accepts any past.
func historic(report string) Source {
	return Source{Feed: "test", Report: report, Received: received, Historical: true, Confidence: event.NoConfidence}
}

// all reads a delivery to its end.
func all(t testing.TB, format string, r io.Reader, src Source, lim Limits) (events []event.Event, bad []Bad, err error) {
	t.Helper()
	f, err := Lookup(format)
	if err != nil {
		t.Fatal(err)
	}
	rows, last, index := 0, false, 0
	for p, err := range f.Parts(r, src, lim) {
		if err != nil {
			return events, bad, err
		}
		if last || p.Index != index || p.Rows != len(p.Events)+len(p.Bad) || p.Rows > PartRows || !p.Last && p.Rows != PartRows {
			t.Errorf("part %d: index %d, last %v, %d rows, %d events, %d bad", index, p.Index, p.Last, p.Rows, len(p.Events), len(p.Bad))
		}
		index++
		last = p.Last
		events = append(events, p.Events...)
		bad = append(bad, p.Bad...)
		rows += p.Rows
		p.Recycle()
	}
	if !last {
		t.Error("no last part")
	}
	// Every row is there once.
	var seen []uint32
	for i := range events {
		seen = append(seen, events[i].Row)
		if err := events[i].Validate(); err != nil {
			t.Errorf("row %d: %v", events[i].Row, err)
		}
	}
	for i := range bad {
		seen = append(seen, bad[i].Row)
		if bad[i].Reason == "" || len(bad[i].Raw) > maxRaw || len(bad[i].Detail) > maxDetail {
			t.Errorf("bad row %+v", bad[i])
		}
	}
	slices.Sort(seen)
	for i, n := range seen {
		if int(n) != i+1 {
			t.Fatalf("row %d is at place %d", n, i+1)
		}
	}
	if len(seen) != rows {
		t.Fatalf("%d rows, %d are told", rows, len(seen))
	}
	return events, bad, nil
}

// must is all for deliveries that can be read.
func must(t testing.TB, format string, in []byte, src Source) ([]event.Event, []Bad) {
	t.Helper()
	events, bad, err := all(t, format, bytes.NewReader(in), src, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return events, bad
}

// shared returns the path of a file of the test data, which is no part of the
// project: its licence differs.
func shared(t testing.TB, name string) string {
	t.Helper()
	dir := os.Getenv("TOCSIN_TESTDATA")
	if dir == "" {
		wd, err := os.Getwd()
		if err != nil {
			t.Fatal(err)
		}
		for dir = wd; ; dir = filepath.Dir(dir) {
			if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
				break
			}
			if dir == filepath.Dir(dir) {
				t.Fatal("no go.mod above " + wd)
			}
		}
		dir = filepath.Join(dir, "..", "shared", "data")
	}
	p := filepath.Join(dir, filepath.FromSlash(name))
	if _, err := os.Stat(p); err != nil {
		t.Skipf("the shared test data is absent (set TOCSIN_TESTDATA): %v", err)
	}
	return p
}

// ids returns the sorted ids.
func ids(events []event.Event) []string {
	var list []string
	for i := range events {
		list = append(list, events[i].ID.String())
	}
	slices.Sort(list)
	return list
}

func asRefusal(err error) *Refusal {
	r, _ := errors.AsType[*Refusal](err)
	return r
}
