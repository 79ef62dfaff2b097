package app

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"tocsin/internal/event"
	"tocsin/internal/figure"
	"tocsin/internal/policy"
	"tocsin/internal/query"
	"tocsin/internal/registry"
	"tocsin/internal/sim"
)

// told is a simulated country with all that a statement takes, whose
// deliveries can be changed before they are taken in.
func told(t *testing.T, c *sim.Country, change func([]SimulatedDelivery) []SimulatedDelivery) *running {
	t.Helper()
	cfg := smallConfig(t.TempDir())
	cfg.Store.Threads = runtime.GOMAXPROCS(0)
	r := begin(t, cfg, Deps{Clock: func() time.Time { return now }})
	s := Simulation{
		Home: sim.Home, HomeName: "Simuland", Prefixes: c.Prefixes(), Organisations: c.Organisations(),
		Users: c.Users(), Networks: c.Networks(), Leases: c.Leases(),
	}
	for _, f := range c.Feeds() {
		s.Feeds = append(s.Feeds, registry.Feed{Name: f.Name, Format: f.Format, Marking: f.Marking, Schedule: f.Schedule, Upstream: f.Upstream})
	}
	var list []SimulatedDelivery
	for d := range c.Deliveries() {
		list = append(list, SimulatedDelivery{Feed: d.Feed, Format: d.Format, Name: d.Name, Report: d.Report, Received: d.Received, Bytes: d.Bytes})
	}
	if change != nil {
		list = change(list)
	}
	s.Deliveries = slices.Values(list)
	if err := r.Simulate(t.Context(), s, nil); err != nil {
		t.Fatal(err)
	}
	r.settle(t)
	return r
}

var october = query.Period{From: event.DayFrom(time.Date(2026, 10, 1, 0, 0, 0, 0, time.UTC)), To: event.DayFrom(countryEnd)}

// states returns the statement's bytes, and each record's.
func (r *running) states(t *testing.T) ([]byte, map[string]string) {
	t.Helper()
	if err := r.Derived(t.Context()); err != nil {
		t.Fatalf("%v\n%s", err, r.log)
	}
	s, err := r.Statement(t.Context(), policy.Local(), figure.Params{Period: october})
	if err != nil {
		t.Fatalf("%v\n%s", err, r.log)
	}
	b, err := s.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	m := map[string]string{}
	for _, x := range s.Records {
		one, err := json.Marshal(x)
		if err != nil {
			t.Fatal(err)
		}
		m[x.ID] = string(one)
	}
	return b, m
}

// TestStatementReplay holds that a statement is the same to the byte whatever
// the order of the deliveries, with all of them sent twice, after a rebuild, and
// on any number of CPUs. It runs alone: it changes how many there are.
func TestStatementReplay(t *testing.T) { //nolint:paralleltest // see above
	c, err := sim.New(sim.Config{Seed: 5, To: countryEnd, Rows: sized(9_000, 60_000)})
	if err != nil {
		t.Fatal(err)
	}
	r := told(t, c, nil)
	want, records := r.states(t)
	numbers := 0
	for _, x := range records {
		if strings.Contains(x, `"refusal":null`) {
			numbers++
		}
	}
	if numbers < 9 {
		t.Errorf("%d records have a number", numbers)
	}
	if _, err := r.Rebuild(t.Context(), policy.Local(), nil); err != nil {
		t.Fatal(err)
	}
	got, _ := r.states(t)
	same(t, "rebuilt", got, want)
	r.stop()
	rng := rand.New(rand.NewPCG(5, 5))
	for _, cpus := range []int{1, 2} {
		before := runtime.GOMAXPROCS(cpus)
		x := told(t, c, func(list []SimulatedDelivery) []SimulatedDelivery {
			for i, n := 0, len(list); i < n; i++ {
				again := list[i]
				again.Name = "again-" + again.Name
				list = append(list, again)
			}
			rng.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
			return list
		})
		got, _ := x.states(t)
		same(t, fmt.Sprintf("twice and in another order, %d CPU", cpus), got, want)
		x.stop()
		runtime.GOMAXPROCS(before)
	}
}

// depends is which records an event of a class may change.
var depends = map[event.Class][]string{
	event.ClassInfection:  {"infected-addresses-home", "infected-hosts", "infections", "infections-begun", "infections-ended", "hosts-controlled-abroad", "organisations-affected"},
	event.ClassController: {"controllers-home", "controllers-abroad"},
	event.ClassSite:       {"hacked-sites-home", "hacked-sites-all", "organisations-affected", "time-to-clean"},
	event.ClassExposure:   {"exposed-services-home", "time-to-clean"},
	event.ClassAttempt:    {"attack-attempts-seen"},
}

// TestStatementDepends leaves out one row, or one report, and looks which
// records change: those of its class, and no other.
func TestStatementDepends(t *testing.T) {
	t.Parallel()
	c, err := sim.New(sim.Config{Seed: 8, To: countryEnd, Rows: 12_000})
	if err != nil {
		t.Fatal(err)
	}
	r := told(t, c, nil)
	_, want := r.states(t)
	r.stop()
	rng := rand.New(rand.NewPCG(8, 8))
	changedAny := map[event.Class]bool{}
	for round := range sized(3, 8) {
		for n, class := range slices.Sorted(maps.Keys(depends)) {
			if changedAny[class] && !full() {
				continue
			}
			what := ""
			x := told(t, c, func(list []SimulatedDelivery) []SimulatedDelivery {
				var of []int
				for i, d := range list {
					if k, ok := classOf(d.Report); ok && k == class && event.DayFrom(d.Received) > october.From+1 && bytes.Count(d.Bytes, []byte("\n")) > 1 {
						of = append(of, i)
					}
				}
				if len(of) == 0 { // small countries have few controllers
					return list
				}
				i := of[rng.IntN(len(of))]
				d := list[i]
				if (round+n)%2 == 0 {
					what = "without " + d.Name
					return slices.Delete(list, i, i+1)
				}
				what = "without a row of " + d.Name
				d.Bytes = bytes.Join(slices.Delete(bytes.SplitAfter(d.Bytes, []byte("\n")), 1, 2), nil)
				list[i] = d
				return list
			})
			_, got := x.states(t)
			x.stop()
			for id := range want {
				if got[id] == want[id] {
					continue
				}
				changedAny[class] = true
				if !slices.Contains(depends[class], id) {
					t.Errorf("%s (%s): %s changed", what, class, id)
				}
			}
		}
	}
	if len(changedAny) < 4 {
		t.Errorf("only records of %v have changed", changedAny)
	}
}
