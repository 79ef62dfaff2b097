package episode

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"tocsin/internal/event"
)

func TestLate(t *testing.T) {
	for _, tt := range []struct {
		day, arrived, began event.Day
		want                bool
	}{
		{10, 10, 0, false},
		{10, 24, 0, false},
		{10, 25, 0, true},
		{10, 25, 24, true},
		{10, 25, 25, false}, // the first day of all
		{10, 9, 0, false},   // a clock that is ahead
	} {
		if got := Late(tt.day, tt.arrived, tt.began); got != tt.want {
			t.Errorf("%+v: %v", tt, got)
		}
	}
}

func TestRevisions(t *testing.T) {
	ep := func(first, last event.Day) Episode { return Episode{First: first, Last: last} }
	for _, tt := range []struct {
		name   string
		e      Episode
		timely []Episode
		want   int
	}{
		{"as it was", ep(3, 9), []Episode{ep(3, 9)}, 0},
		{"late alone", ep(3, 9), []Episode{ep(20, 30)}, 0},
		{"an earlier first day", ep(1, 9), []Episode{ep(3, 9)}, 1},
		{"a later last day", ep(3, 12), []Episode{ep(3, 9)}, 1},
		{"both", ep(1, 12), []Episode{ep(3, 9), ep(30, 31)}, 2},
		{"two are one", ep(3, 20), []Episode{ep(3, 9), ep(18, 20)}, 1},
		{"three are one, and earlier", ep(1, 40), []Episode{ep(3, 9), ep(18, 20), ep(35, 40)}, 3},
	} {
		if got := Revisions(tt.e, tt.timely); got != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, got, tt.want)
		}
	}
}

// TestRevisionsOfSplits holds it against the days: an episode is revised if it
// has days in time, and its first and last of these are not its own or lie in
// different episodes without the late ones.
func TestRevisionsOfSplits(t *testing.T) {
	gap := func(f uint32) event.Day { return event.Day(2 * f) }
	rapid.Check(t, func(t *rapid.T) {
		all := drawSightings(t)
		late := map[Sighting]bool{}
		for _, s := range all {
			late[s] = rapid.Bool().Draw(t, "late")
		}
		timely := slices.DeleteFunc(slices.Clone(all), func(s Sighting) bool { return late[s] })
		was := Split(nil, timely, gap)
		for _, e := range Split(nil, all, gap) {
			within := slices.DeleteFunc(slices.Clone(timely), func(s Sighting) bool { return s.Day < e.First || s.Day > e.Last })
			want := 0
			if n := len(within); n > 0 {
				if within[0].Day != e.First {
					want++
				}
				if within[n-1].Day != e.Last {
					want++
				}
				want += len(Split(nil, within, gap)) - 1
			}
			if got := Revisions(e, was); got != want {
				t.Fatalf("%v, late %v: %+v has %d, want %d", all, late, e, got, want)
			}
		}
	})
}
