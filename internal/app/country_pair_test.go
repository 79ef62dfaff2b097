package app

import (
	"testing"

	"tocsin/internal/event"
	"tocsin/internal/policy"
	"tocsin/internal/query"
	"tocsin/internal/sim"
)

// TestCountryPairs holds that the peer which the simulated border sensors name
// is read as a controller, and that of no other feed is.
func TestCountryPairs(t *testing.T) {
	t.Parallel()
	a, c := country(t, sim.Config{Seed: 3, To: countryEnd, Rows: 4_000})
	q := query.Events{Period: query.Period{From: event.Day(c.From()), To: event.Day(c.To())}, Classes: []event.Class{event.ClassInfection}}
	pairs := map[bool]int{}
	for e, err := range a.EventsSeq(t.Context(), policy.Local(), q) {
		if err != nil {
			t.Fatal(err)
		}
		named := e.Subject.Peer == event.RoleC2
		pairs[named]++
		if named != (e.Feed == "border-sensor") || named && (!e.PeerEnd().IP.IsValid() || e.PeerEnd().Port == 0) {
			t.Fatalf("%s row %d: peer %v at %v", e.DeliveryName, e.Row, e.Subject.Peer, e.PeerEnd().IP)
		}
	}
	if pairs[true] < 50 || pairs[false] < 500 {
		t.Errorf("%d events with a controller, %d without", pairs[true], pairs[false])
	}
}
