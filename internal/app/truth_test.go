package app

import (
	"testing"

	"tocsin/internal/event"
	"tocsin/internal/figure"
	"tocsin/internal/policy"
	"tocsin/internal/sim"
)

// TestStatementTruth holds records against what is so in the simulated country.
// What was counted cannot be more than there is: every report is of something
// real, and an address counts once however many feeds, files and families tell
// of it.
func TestStatementTruth(t *testing.T) {
	t.Parallel()
	c, err := sim.New(sim.Config{Seed: 11, To: countryEnd, Rows: sized(20_000, 300_000)})
	if err != nil {
		t.Fatal(err)
	}
	r := told(t, c, nil)
	if err := r.Derived(t.Context()); err != nil {
		t.Fatal(err)
	}
	s, err := r.Statement(t.Context(), policy.Local(), figure.Params{Period: october})
	if err != nil {
		t.Fatal(err)
	}
	truth := map[string]sim.Estimand{}
	for _, e := range c.Estimands(sim.DayOf(october.From.Time()), sim.DayOf(october.To.Time())) {
		truth[e.ID] = e
	}
	value := func(id string) float64 {
		t.Helper()
		x := s.Record(id)
		if !x.Publishable() {
			t.Errorf("%s has no number: %+v %v", id, x.Refusal, x.NotMet)
			return 0
		}
		return float64(*x.Value)
	}
	for _, x := range []struct {
		record, truth string
		least         float64 // share of the truth that the feeds see at least
	}{
		{"infected-addresses-home", "addresses-infected", .3},
		{"hosts-controlled-abroad", "addresses-controlled-abroad-sensors", .3},
		{"hacked-sites-home", "sites-hacked", .2},
		{"exposed-services-home", "services-exposed", .2},
		{"organisations-affected", "organisations-affected", .5},
	} {
		got, want := value(x.record), truth[x.truth].Value
		// A site without a name counts by its address; the truth has domains alone.
		if want == 0 || got > want*1.02+2 || got < want*x.least {
			t.Errorf("%s is %.1f, the truth of %s %.1f", x.record, got, x.truth, want)
		}
	}
	if got, want := float64(*s.Record("hosts-controlled-abroad").Cumulative), truth["addresses-controlled-abroad-sensors-ever"].Value; got > want || got < want*.2 {
		t.Errorf("controlled from abroad, ever: %.0f of %.0f", got, want)
	}
	// Countries: what is seen of each cannot be more than there is.
	all := truth["addresses-controlled-abroad-ever"].By
	for _, l := range s.Record("hosts-controlled-abroad").Breakdown {
		if l.By != "controller country" {
			continue
		}
		if len(l.Rows) < 3 {
			t.Errorf("%d countries", len(l.Rows))
		}
		for _, row := range l.Rows {
			if want := all[row.Key]; float64(row.Value) > want {
				t.Errorf("from %s: %.0f of %.0f", row.Key, float64(row.Value), want)
			}
			if float64(*row.Exclusive)+float64(*row.Shared) != float64(row.Value) {
				t.Errorf("%s: %v + %v is not %v", row.Key, *row.Exclusive, *row.Shared, row.Value)
			}
		}
	}
	// Without a feed that sees both ends there is no such number.
	none := told(t, c, func(list []SimulatedDelivery) (out []SimulatedDelivery) {
		for _, d := range list {
			if d.Feed != "border-sensor" && event.DayFrom(d.Received) > october.From {
				out = append(out, d)
			}
		}
		return out
	})
	s, err = none.Statement(t.Context(), policy.Local(), figure.Params{Period: october})
	if err != nil {
		t.Fatal(err)
	}
	if x := s.Record("hosts-controlled-abroad"); x.Refusal == nil || x.Refusal.Test != "pairs" {
		t.Errorf("without the sensors: %+v", x)
	}
}
