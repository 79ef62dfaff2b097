package app

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"tocsin/internal/event"
	"tocsin/internal/query"
	"tocsin/internal/registry"
)

// TestDecided says which decision a break gets.
func TestDecided(t *testing.T) {
	t.Parallel()
	view := SimulatedDecision{"north", event.ClassInfection, "foxtail", 100, 102, query.BreakConfirmed, "moved"}
	world := SimulatedDecision{"", event.ClassInfection, "", 95, 110, query.BreakDismissed, "an outbreak"}
	for _, tt := range []struct {
		name  string
		b     query.Break
		known []SimulatedDecision
		want  string // reason; "" for none
	}{
		{"first day", query.Break{Witness: "north", Class: event.ClassInfection, Family: "foxtail", Day: 93}, []SimulatedDecision{view}, "moved"},
		{"a day before", query.Break{Witness: "north", Class: event.ClassInfection, Family: "foxtail", Day: 92}, []SimulatedDecision{view}, ""},
		{"last day", query.Break{Witness: "north", Class: event.ClassInfection, Family: "foxtail", Day: 109}, []SimulatedDecision{view}, "moved"},
		{"a day after", query.Break{Witness: "north", Class: event.ClassInfection, Family: "foxtail", Day: 110}, []SimulatedDecision{view}, ""},
		{"another witness", query.Break{Witness: "south", Class: event.ClassInfection, Family: "foxtail", Day: 101}, []SimulatedDecision{view}, ""},
		{"another class", query.Break{Witness: "north", Class: event.ClassExposure, Family: "foxtail", Day: 101}, []SimulatedDecision{view, world}, ""},
		{"another family", query.Break{Witness: "north", Class: event.ClassInfection, Family: "hollow", Day: 101}, []SimulatedDecision{view}, ""},
		{"the whole class", query.Break{Witness: "north", Class: event.ClassInfection, Day: 101}, []SimulatedDecision{view}, ""},
		{"any witness and family", query.Break{Witness: "south", Class: event.ClassInfection, Family: "hollow", Day: 101}, []SimulatedDecision{view, world}, "an outbreak"},
		{"a change of view is never dismissed", query.Break{Witness: "north", Class: event.ClassInfection, Family: "foxtail", Day: 101}, []SimulatedDecision{world, view}, "moved"},
		{"in any order", query.Break{Witness: "north", Class: event.ClassInfection, Family: "foxtail", Day: 101}, []SimulatedDecision{view, world}, "moved"},
		{"nothing known", query.Break{Witness: "north", Class: event.ClassInfection, Day: 101}, nil, ""},
	} {
		if d, ok := decided(tt.known, tt.b); d.Why != tt.want || ok != (tt.want != "") {
			t.Errorf("%s: %+v", tt.name, d)
		}
	}
}

// TestDecide lets a simulated country of two feeds have two breaks, one of which
// is known of.
func TestDecide(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	day0 := event.DayFrom(testDay)
	s := Simulation{Home: "XS", Feeds: []registry.Feed{{Name: "north", Format: "shadowserver", Marking: "GREEN"}, {Name: "south", Format: "shadowserver", Marking: "GREEN"}}}
	s.Prefixes, s.Organisations = []byte("prefix,asn,country\n198.18.0.0/15,64500,XS\n"), []byte("organisation,network\nuni,198.18.0.0/15\n")
	s.Deliveries = func(yield func(SimulatedDelivery) bool) {
		for i := range event.Day(90) {
			for _, feed := range []string{"north", "south"} {
				hosts := 40
				if feed == "north" && i >= 30 || feed == "south" && i >= 60 {
					hosts = 4
				}
				day := day0 + i
				if !yield(SimulatedDelivery{
					Feed: feed, Format: "shadowserver", Report: "event4_sinkhole", Name: fmt.Sprintf("%s-event4_sinkhole-%s-geo.csv", day, feed),
					Received: day.Time().Add(27 * time.Hour), Bytes: sinkhole(day, hosts),
				}) {
					return
				}
			}
		}
	}
	s.Decisions = []SimulatedDecision{
		{"", event.ClassInfection, "otherbot", day0, day0 + 89, query.BreakDismissed, "of another family"},
		{"", event.ClassInfection, "", day0 + 25, day0 + 26, query.BreakDismissed, "an outbreak"},
		{"north", event.ClassInfection, "examplebot", day0 + 29, day0 + 29, query.BreakConfirmed, "the sinkhole moved"},
	}
	a := openRunning(t, t.TempDir())
	if _, err := a.Decide(ctx, s.Decisions); err == nil {
		t.Error("decides where nothing is simulated")
	}
	if err := a.Simulate(ctx, s, nil); err != nil {
		t.Fatal(err)
	}
	if err := a.Settled(ctx); err != nil {
		t.Fatal(err)
	}
	told := func() []string {
		c, err := a.Coverage(ctx, localScope, nil, query.Period{From: day0, To: day0 + 89})
		if err != nil {
			t.Fatal(err)
		}
		var list []string
		for _, b := range c.Breaks {
			list = append(list, strings.Join([]string{b.Witness, b.Family, string(b.State), b.By, b.Why}, "|"))
		}
		slices.Sort(list)
		return list
	}
	n, err := a.Decide(ctx, s.Decisions)
	want := []string{
		"north|examplebot|confirmed|simulated analyst|the sinkhole moved", "north||dismissed|simulated analyst|an outbreak",
		"south|examplebot|suspected||", "south||suspected||",
	}
	if got := told(); err != nil || n != 2 || !slices.Equal(got, want) {
		t.Fatalf("%d decisions, %q: %v", n, got, err)
	}
	if n, err := a.Decide(ctx, s.Decisions); err != nil || n != 0 {
		t.Errorf("%d decisions taken again: %v", n, err)
	}
	if _, err := a.Rebuild(ctx, localScope, nil); err != nil {
		t.Fatal(err)
	}
	if err := a.Settled(ctx); err != nil {
		t.Fatal(err)
	}
	if got := told(); !slices.Equal(got, want) {
		t.Errorf("after a rebuild %q", got)
	}
}
