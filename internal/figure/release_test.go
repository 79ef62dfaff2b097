package figure_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"tocsin/internal/event"
	"tocsin/internal/figure"
	"tocsin/internal/policy"
	"tocsin/internal/query"
)

func TestReleaseMonth(t *testing.T) {
	day := func(s string) event.Day {
		d, err := event.ParseDay(s)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	p, err := figure.ReleaseMonth("2024-02", day("2024-03-01"))
	if err != nil || p.From != day("2024-02-01") || p.To != day("2024-02-29") {
		t.Errorf("%v, %v", p, err)
	}
	for month, today := range map[string]string{"2024-02": "2024-02-29", "2024-03": "2024-03-01", "2024-13": "2025-06-01", "2024-2": "2025-06-01", "": "2025-06-01", "2024-02-01": "2025-06-01"} {
		if _, err := figure.ReleaseMonth(month, day(today)); !errors.Is(err, figure.ErrRelease) {
			t.Errorf("%q on %s: %v", month, today, err)
		}
	}
}

func TestReleaseNote(t *testing.T) {
	month := query.Period{From: 100, To: 130}
	for _, tt := range []struct {
		data query.Period
		want int // sentences
	}{{query.Period{From: 90, To: 140}, 0}, {month, 0}, {query.Period{From: 101, To: 140}, 2}, {query.Period{From: 90, To: 129}, 2}, {query.Period{From: 110, To: 120}, 3}} {
		if got := figure.ReleaseNote(month, tt.data); strings.Count(got, ".") != tt.want {
			t.Errorf("%v: %q", tt.data, got)
		}
	}
}

// TestReleaseTables holds that what is released can be evaluated.
func TestReleaseTables(t *testing.T) {
	for _, r := range figure.ReleaseTables {
		d, ok := figure.Lookup(r.Figure)
		if !ok {
			t.Fatalf("there is no figure %s", r.Figure)
		}
		if _, ok := d.Breakdowns[r.By]; !ok {
			t.Errorf("%s has no breakdown by %s", r.Figure, r.By)
		}
	}
}

func tableText(t figure.ReleasedTable) string {
	var b strings.Builder
	for _, r := range t.Rows {
		if r.Suppressed != (r.Value == nil) {
			b.WriteString("! ")
		}
		if r.Value == nil {
			fmt.Fprintf(&b, "%s=x ", r.Key)
		} else {
			fmt.Fprintf(&b, "%s=%d ", r.Key, *r.Value)
		}
	}
	for _, n := range []*int64{t.Total, t.Distinct} {
		if n == nil {
			b.WriteString("- ")
		} else {
			fmt.Fprintf(&b, "%d ", *n)
		}
	}
	return strings.TrimSpace(b.String())
}

func TestReleasedTable(t *testing.T) {
	for _, tt := range []struct {
		id   string
		in   map[string]int
		want string // rows, total, distinct
	}{
		{"infected-addresses", map[string]int{"n": 20, "s": 3, "w": 9, "": 30}, "=30 n=20 s=x w=x 62 -"},
		{"infected-addresses", map[string]int{"n": 20, "s": 5}, "n=20 s=5 25 -"},
		{"infected-addresses", map[string]int{"n": 3, "s": 4}, "n=x s=x 7 -"},
		{"infected-addresses", map[string]int{"n": 3}, "n=x - -"},
		{"infected-addresses", map[string]int{"n": 1, "s": 1}, "n=x s=x - -"},
		{"infected-addresses", nil, "- -"},
		{"hacked-sites", map[string]int{"n": 20, "s": 6}, "n=20 s=6 26 26"},
		{"hacked-sites", map[string]int{"n": 2}, "n=x - -"},
	} {
		class, by := event.ClassInfection, query.DimRegion
		if tt.id == "hacked-sites" {
			class, by = event.ClassSite, query.DimSector
		}
		f := evaluated(t, placed(class, tt.in), tt.id, by)
		got, err := figure.NewReleasedTable(&f)
		if err != nil || tableText(got) != tt.want || got.NoData != (tt.in == nil) {
			t.Errorf("%s %v: %q, %v, want %q", tt.id, tt.in, tableText(got), err, tt.want)
		}
	}
	f := evaluated(t, placed(event.ClassInfection, nil), "infected-addresses", query.DimNone)
	if _, err := figure.NewReleasedTable(&f); !errors.Is(err, figure.ErrBreakdown) {
		t.Errorf("without a breakdown: %v", err)
	}
}

// TestReleasedTableHides tries all tables that agree with a released one: each
// suppressed row could have at least two values.
func TestReleasedTableHides(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := map[string]int{}
		for _, k := range []string{"a", "b", "c"} {
			if n := rapid.IntRange(0, 9).Draw(t, k); n > 0 {
				in[k] = n
			}
		}
		d, _ := figure.Lookup("infected-addresses")
		f, err := figure.Evaluate(t.Context(), placed(event.ClassInfection, in), policy.Local(), d, figure.Params{Period: ratePeriod, By: query.DimRegion})
		if err != nil {
			t.Fatal(err)
		}
		got, err := figure.NewReleasedTable(&f)
		if err != nil {
			t.Fatal(err)
		}
		known, hidden := 0, []int{}
		for i, r := range got.Rows {
			n := in[r.Key]
			if n < 5 && !r.Suppressed {
				t.Fatalf("%s: %d is released", r.Key, n)
			}
			if r.Suppressed {
				hidden = append(hidden, i)
			} else if known += int(*r.Value); int(*r.Value) != n {
				t.Fatalf("%s: %d, was %d", r.Key, *r.Value, n)
			}
		}
		if got.Total == nil {
			return
		}
		rest := int(*got.Total) - known
		for at := range hidden {
			var values []int
			for v := 1; v <= rest; v++ { // the others take what is left, at least 1 each
				if left, others := rest-v, len(hidden)-1; left >= others && (others > 0 || left == 0) {
					values = append(values, v)
				}
			}
			if len(slices.Compact(values)) < 2 {
				t.Fatalf("row %d of %v is known to be %v: %s", at, in, values, tableText(got))
			}
		}
	})
}

func TestReleaseBytes(t *testing.T) {
	f := evaluated(t, placed(event.ClassInfection, map[string]int{"<n>": 20, "s": 3, "w": 9}), "infected-addresses", query.DimRegion)
	table, err := figure.NewReleasedTable(&f)
	if err != nil {
		t.Fatal(err)
	}
	r := figure.Release{Month: "2026-10", Revision: 2, Reason: "a late feed", Period: ratePeriod, Tables: []figure.ReleasedTable{table}, Method: figure.ReleaseMethod}
	b, err := r.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	again, err := figure.ParseRelease(b)
	if err != nil || tableText(again.Tables[0]) != tableText(table) {
		t.Errorf("%+v, %v", again, err)
	}
	c, err := again.Marshal()
	if err != nil || string(b) != string(c) || !strings.Contains(string(b), `"value": null,`) {
		t.Errorf("%s\n%s", b, c)
	}
	if _, err := figure.ParseRelease(b[:20]); err == nil {
		t.Error("half a release is read")
	}
}

func FuzzParseRelease(f *testing.F) {
	f.Add([]byte(`{"month":"2026-10","tables":[{"rows":[{"key":"x","value":null}],"total":7}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := figure.ParseRelease(b)
		if err != nil {
			return
		}
		if _, err := r.Marshal(); err != nil {
			t.Fatal(err)
		}
	})
}
