package main

import (
	"tocsin/internal/app"
	"tocsin/internal/event"
	"tocsin/internal/query"
	"tocsin/internal/sim"
)

// decisions gives what an analyst who knows what happened in a simulated
// country says of breaks: where only a view changed, they are, and where the
// world did, they are none.
func decisions(c *sim.Country) []app.SimulatedDecision {
	upstream := map[string]string{} // the witness of feeds that pass on what others saw
	for _, f := range c.Feeds() {
		if f.Upstream != "" {
			upstream[f.Name] = f.Upstream
		}
	}
	var list []app.SimulatedDecision
	for _, h := range c.Story() {
		class, ok := event.ParseClass(h.Class)
		if !ok {
			continue
		}
		d := app.SimulatedDecision{
			Witness: h.Feed, Class: class, Family: h.Family, From: event.Day(h.From), To: event.Day(h.To), State: query.BreakDismissed, Why: h.What,
		}
		if u := upstream[h.Feed]; u != "" {
			d.Witness = u
		}
		if h.View {
			d.State = query.BreakConfirmed
		}
		list = append(list, d)
	}
	return list
}
