package web

import (
	"net/url"
	"testing"
	"time"

	"tocsin/internal/event"
)

// The page that nobody asked a period of shows the last whole month.
func TestPeriodWithoutAQuestion(t *testing.T) {
	t.Parallel()
	day := func(s string) event.Day {
		d, err := event.ParseDay(s)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	for _, tt := range []struct{ dataFrom, dataTo, from, to string }{
		{"2025-10-01", "2026-10-31", "2026-10-01", "2026-10-31"},
		{"2025-10-01", "2026-10-30", "2026-09-01", "2026-09-30"},
		{"2025-10-01", "2026-01-01", "2025-12-01", "2025-12-31"},
		{"2024-01-05", "2024-03-02", "2024-02-01", "2024-02-29"},
		{"2026-10-02", "2026-10-31", "2026-10-02", "2026-10-31"}, // no whole month yet
		{"2026-09-02", "2026-10-20", "2026-09-21", "2026-10-20"},
		{"2026-10-20", "2026-10-20", "2026-10-20", "2026-10-20"},
		{"", "", "2026-10-24", "2026-11-22"},
	} {
		st := Status{Now: time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)}
		if tt.dataFrom != "" {
			st.HasData, st.DataFrom, st.DataTo = true, day(tt.dataFrom), day(tt.dataTo)
		}
		p, err := figureParams(url.Values{}, st)
		if err != nil || p.Period.From.String() != tt.from || p.Period.To.String() != tt.to {
			t.Errorf("data %s to %s: period %s to %s, %v; want %s to %s", tt.dataFrom, tt.dataTo, p.Period.From, p.Period.To, err, tt.from, tt.to)
		}
	}
}

func TestPeriodSaysWhatLiesOutside(t *testing.T) {
	t.Parallel()
	st := Status{HasData: true, DataFrom: 20000, DataTo: 20009}
	for _, tt := range []struct {
		from, to event.Day
		out      int
	}{
		{20000, 20009, 0}, {20003, 20004, 0}, {19999, 20009, 1}, {20000, 20010, 1}, {19990, 20019, 20}, {19980, 19989, 10}, {20020, 20029, 10},
	} {
		v := url.Values{"from": {tt.from.String()}, "to": {tt.to.String()}}
		p, err := figureParams(v, st)
		if err != nil {
			t.Fatal(err)
		}
		if f := newPeriodForm("/", v, p.Period, st); f.Outside != tt.out {
			t.Errorf("%d to %d: %d days outside, want %d", tt.from, tt.to, f.Outside, tt.out)
		}
	}
}
