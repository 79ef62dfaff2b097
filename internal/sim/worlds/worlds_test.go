package worlds_test

import (
	"fmt"
	"math"
	"testing"

	"tocsin/internal/sim/worlds"
)

// What a world tells agrees with itself, and the same dice make it again.
func TestWorldsAgreeWithThemselves(t *testing.T) {
	t.Parallel()
	for run := range uint64(20) {
		for _, w := range []worlds.Name{worlds.Ideal, worlds.OneInflation, worlds.SpecialisedFeeds, worlds.BrokenMatching} {
			c := worlds.MakeCapture(worlds.NewDice(1, run), w)
			if fmt.Sprint(c) != fmt.Sprint(worlds.MakeCapture(worlds.NewDice(1, run), w)) {
				t.Fatalf("%s: the same dice make another world", w)
			}
			var sum [3]int
			for _, s := range c.Strata {
				for i := range s {
					sum[i] += s[i]
				}
			}
			seen := 0
			for _, n := range c.Times {
				seen += n
			}
			if sum != c.Pair || seen != c.Pair[0] || c.Pair[2] > min(c.Pair[0], c.Pair[1]) {
				t.Errorf("%s: %+v", w, c)
			}
			if (w == worlds.Ideal || w == worlds.SpecialisedFeeds) && c.Pair[0]+c.Pair[1]-c.Pair[2] > c.Hosts {
				t.Errorf("%s: more are seen than there are: %+v", w, c)
			}
		}
		l := worlds.MakeLeases(worlds.NewDice(2, run), worlds.Ideal)
		if l.Addresses < int(l.Hosts) || l.AddressDays < l.Addresses || l.Events < l.AddressDays || float64(l.Addresses) > l.Pool || len(l.Durations) < 200 {
			t.Errorf("%g hosts, %d addresses, %d durations", l.Hosts, l.Addresses, len(l.Durations))
		}
	}
}

// Where everybody looks every day, what is seen grows as what there is.
func TestStockIsSeenAsItIs(t *testing.T) {
	t.Parallel()
	for run := range uint64(20) {
		s := worlds.MakeStock(worlds.NewDice(3, run), worlds.Ideal)
		var then, now float64
		for _, as := range s.Seen {
			for day := range worlds.Days {
				for _, n := range as[day] {
					then += float64(n)
				}
				for _, n := range as[2*worlds.Days+day] {
					now += float64(n)
				}
			}
		}
		if math.Abs(now/then/s.Realised-1) > .05 {
			t.Errorf("run %d: seen %.3f, there is %.3f", run, now/then, s.Realised)
		}
	}
}
