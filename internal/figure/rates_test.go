package figure_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"tocsin/internal/event"
	"tocsin/internal/figure"
	"tocsin/internal/policy"
	"tocsin/internal/query"
)

var ratePeriod = query.Period{From: 20_000, To: 20_001}

// placed has n assets of a class on both days in each region.
func placed(class event.Class, in map[string]int) *counts {
	c := &counts{}
	for region, n := range in {
		for i := range n {
			for d := ratePeriod.From; d <= ratePeriod.To; d++ {
				c.list = append(c.list, seen{day: d, class: class, asset: fmt.Sprint(region, i), dims: map[query.Dim]string{query.DimRegion: region, query.DimSector: region, query.DimCountry: "NL"}})
			}
		}
	}
	return c
}

func evaluated(tb testing.TB, c *counts, id string, by query.Dim) figure.Figure {
	tb.Helper()
	d, _ := figure.Lookup(id)
	f, err := figure.Evaluate(tb.Context(), c, policy.Local(), d, figure.Params{Period: ratePeriod, By: by, Home: "NL"})
	if err != nil {
		tb.Fatal(err)
	}
	return f
}

func near(got *figure.Decimal, want float64) bool {
	return got != nil && math.Abs(float64(*got)-want) < 1e-3
}

// TestRates checks a table worked out by hand: 20 of 10,000 users are 200 of
// 100,000, Wilson's interval for 20 of 10,000 is 129.5 to 308.7; 20 counted and
// 40 samples give 200 times or by exp(1.96 sqrt(1/20+1/40)), 116.9 to 342.1.
func TestRates(t *testing.T) {
	f := evaluated(t, placed(event.ClassInfection, map[string]int{"big": 20, "sampled": 20, "small": 3, "": 2, "stray": 1}), "infected-addresses", query.DimRegion)
	users := figure.Users{
		By: map[string]float64{"big": 10_000, "sampled": 10_000, "small": 500, "quiet": 4_000, "empty": 0}, Samples: map[string]float64{"sampled": 40},
		Country: 20_000, Year: 2024, Sources: []figure.UsersSource{{Name: "office", Date: "2026-01-02"}},
	}
	got, err := figure.Rates(&f, &f, users)
	if err != nil {
		t.Fatal(err)
	}
	var keys []string
	rows := map[string]figure.RateRow{}
	for _, r := range got.Rows {
		keys = append(keys, r.Key)
		rows[r.Key] = r
	}
	if want := []string{"small", "big", "sampled", "quiet", "", "empty", "stray"}; !slices.Equal(keys, want) {
		t.Errorf("rows %q, want %q: by shrunk rate, those without one last", keys, want)
	}
	big, small, quiet := rows["big"], rows["small"], rows["quiet"]
	if big.Count != 20 || !near(big.Rate, 200) || math.Abs(float64(big.Interval[0])-129.5) > .1 || math.Abs(float64(big.Interval[1])-308.7) > .1 {
		t.Errorf("big: %+v, rate %v in %v", big, *big.Rate, *big.Interval)
	}
	if r := rows["sampled"]; !near(r.Rate, 200) || math.Abs(float64(r.Interval[0])-116.9) > .1 || math.Abs(float64(r.Interval[1])-342.1) > .1 || !near(r.Samples, 40) {
		t.Errorf("sampled: %+v, %v in %v", r, *r.Rate, *r.Interval)
	}
	if !near(small.Rate, 600) || *small.Shrunk >= *small.Rate || *small.Shrunk <= *big.Shrunk || small.Credible[0] > *small.Shrunk {
		t.Errorf("small: rate %v, shrunk %v in %v", *small.Rate, *small.Shrunk, *small.Credible)
	}
	if !near(quiet.Rate, 0) || quiet.Interval[0] != 0 || quiet.Interval[1] <= 0 || quiet.Place != figure.PlaceBelow95 && quiet.Place != figure.PlaceBelow998 {
		t.Errorf("quiet: %+v", quiet)
	}
	for key, why := range map[string]string{"": "the region is not known", "stray": "no users known", "empty": "no users: "} {
		if r := rows[key]; r.Rate != nil || r.Interval != nil || r.Shrunk != nil || !strings.HasPrefix(r.Why, why) {
			t.Errorf("%q: %+v, want %q", key, r, why)
		}
	}
	if c := got.Country; c.Year != 2024 || !near(c.Rate, 230) || !near(c.Users, 20_000) || c.Interval == nil {
		t.Errorf("country %+v", c)
	}
	if got.Unit != "addresses per 100,000 users" || len(got.Sources) != 1 || !strings.Contains(strings.Join(got.Methods, " "), "A stock is no Poisson count") || !strings.Contains(strings.Join(got.Methods, " "), "mean daily number") {
		t.Errorf("unit %q, methods %q", got.Unit, got.Methods)
	}
	b, err := json.Marshal(got)
	if err != nil || !strings.Contains(string(b), `"rate":200.000,`) {
		t.Errorf("%s, %v", b, err)
	}
}

func TestRatesOfEvents(t *testing.T) {
	f := evaluated(t, placed(event.ClassAttempt, map[string]int{"north": 5}), "attack-attempts", query.DimRegion)
	got, err := figure.Rates(&f, nil, figure.Users{By: map[string]float64{"north": 1000}})
	if err != nil {
		t.Fatal(err)
	}
	// 10 events: Garwood's 95 % interval is 4.795 to 18.390.
	if r := got.Rows[0]; r.Count != 10 || !near(r.Rate, 1000) || math.Abs(float64(r.Interval[0])-479.5) > .1 || math.Abs(float64(r.Interval[1])-1839.0) > .1 || r.Shrunk != nil {
		t.Errorf("%+v: %v in %v", r, *r.Rate, *r.Interval)
	}
	if got.Country.Of != "all rows with users" || got.Country.Year != 0 || !near(got.Country.Rate, 1000) || strings.Contains(strings.Join(got.Methods, " "), "no Poisson") {
		t.Errorf("country %+v, methods %q", got.Country, got.Methods)
	}
}

func TestRatesWithout(t *testing.T) {
	none := evaluated(t, &counts{}, "infected-addresses", query.DimRegion)
	if got, err := figure.Rates(&none, nil, figure.Users{By: map[string]float64{"x": 1}}); err != nil || !got.NoData || len(got.Rows) != 0 || got.Country.Rate != nil {
		t.Errorf("no data: %+v, %v", got, err)
	}
	some := evaluated(t, placed(event.ClassInfection, map[string]int{"north": 5}), "infected-addresses", query.DimRegion)
	got, err := figure.Rates(&some, nil, figure.Users{})
	if err != nil || got.Reason == "" || len(got.Rows) != 1 || got.Rows[0].Rate != nil || got.Country.Rate != nil {
		t.Errorf("no users: %+v, %v", got, err)
	}
	by := evaluated(t, placed(event.ClassInfection, nil), "infected-addresses", query.DimSector)
	if _, err := figure.Rates(&by, nil, figure.Users{}); !errors.Is(err, figure.ErrBreakdown) {
		t.Errorf("by sector: %v", err)
	}
}

// TestRatesHold checks what holds of every table: intervals hold the rate that
// they are of, the order is that of the shrunk rates, and the same input gives
// the same bytes.
func TestRatesHold(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in, users, samples := map[string]int{}, map[string]float64{}, map[string]float64{}
		for _, k := range []string{"", "a", "b", "c", "d"} {
			if n := rapid.IntRange(0, 12).Draw(t, "assets"); n > 0 {
				in[k] = n
			}
			n := rapid.SampledFrom([]float64{0, 5e-324, 1e-9, 1, 1e3, 1e7, 1e11}).Draw(t, "scale") * rapid.Float64Range(.5, 3).Draw(t, "users")
			if rapid.Bool().Draw(t, "known") {
				users[k] = n
			}
			if m := rapid.SampledFrom([]float64{0, 1e-9, 1, 1e11}).Draw(t, "samples"); m > 0 {
				samples[k] = m
			}
		}
		d, _ := figure.Lookup("infected-addresses")
		f, err := figure.Evaluate(t.Context(), placed(event.ClassInfection, in), policy.Local(), d, figure.Params{Period: ratePeriod, By: query.DimRegion})
		if err != nil {
			t.Fatal(err)
		}
		if !f.NoData {
			for i := range f.Breakdown.Rows {
				f.Breakdown.Rows[i].Value.Sum *= rapid.SampledFrom([]int64{1, 1, 1_000, 1_000_000_000}).Draw(t, "times")
			}
		}
		got, err := figure.Rates(&f, nil, figure.Users{By: users, Samples: samples})
		if err != nil {
			t.Fatal(err)
		}
		for i, r := range got.Rows {
			if (r.Rate == nil) != (r.Why != "") || (r.Rate == nil) != (r.Users == nil) {
				t.Fatalf("%+v", r)
			}
			if r.Rate != nil && (float64(r.Interval[0]) > float64(*r.Rate)*(1+1e-9)+1e-9 || float64(r.Interval[1]) < float64(*r.Rate)*(1-1e-9)-1e-9) {
				t.Fatalf("%q: %v outside %v", r.Key, *r.Rate, *r.Interval)
			}
			if i > 0 && r.Shrunk != nil && *got.Rows[i-1].Shrunk < *r.Shrunk {
				t.Fatalf("row %d is above a greater one", i)
			}
		}
		again, err := figure.Rates(&f, nil, figure.Users{By: users, Samples: samples})
		if err != nil {
			t.Fatal(err)
		}
		x, _ := json.Marshal(got)
		y, _ := json.Marshal(again)
		if string(x) != string(y) {
			t.Fatal("twice asked, two answers")
		}
	})
}
