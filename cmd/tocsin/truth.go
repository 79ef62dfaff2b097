package main

import (
	"fmt"
	"sync"
	"time"

	"tocsin/internal/event"
	"tocsin/internal/figure"
	"tocsin/internal/query"
	"tocsin/internal/sim"
)

// madeFrom writes what a simulated country is made from, for the journal.
func madeFrom(seed uint64, rows int, to string) string {
	return fmt.Sprintf("seed=%d rows=%d to=%s", seed, rows, to)
}

// truths knows what is so in simulated countries. It makes a country again to
// ask it, and keeps the last answers.
type truths struct {
	mu      sync.Mutex
	from    string
	country *sim.Country
	known   map[query.Period][]figure.Truth
}

// maxTruths bounds how many periods are remembered.
const maxTruths = 64

func (t *truths) of(from string, p query.Period) []figure.Truth {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.from != from || t.country == nil {
		var seed uint64
		var rows int
		var to string
		if _, err := fmt.Sscanf(from, "seed=%d rows=%d to=%s", &seed, &rows, &to); err != nil {
			return nil // made by a program that says it otherwise
		}
		day, err := time.Parse(time.DateOnly, to)
		if err != nil {
			return nil
		}
		c, err := sim.New(sim.Config{Seed: seed, To: day, Rows: rows})
		if err != nil {
			return nil
		}
		t.from, t.country, t.known = from, c, nil
	}
	if list, ok := t.known[p]; ok {
		return list
	}
	if p.To < event.Day(t.country.From()) || p.From > event.Day(t.country.To()) {
		return nil
	}
	list := []figure.Truth{}
	for _, e := range t.country.Estimands(sim.Day(p.From), sim.Day(p.To)) {
		list = append(list, figure.Truth{ID: e.ID, Text: e.Text, Value: figure.Decimal(e.Value)})
	}
	if len(t.known) >= maxTruths || t.known == nil {
		t.known = map[query.Period][]figure.Truth{}
	}
	t.known[p] = list
	return list
}
