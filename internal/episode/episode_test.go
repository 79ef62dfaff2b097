package episode

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"tocsin/internal/event"
)

func sevenDays(uint32) event.Day { return 7 }

func TestSplit(t *testing.T) {
	gaps := func(feed uint32) event.Day { return event.Day(feed) }
	for _, tt := range []struct {
		name string
		in   []Sighting
		want []Episode
	}{
		{"nothing", nil, nil},
		{"one day", []Sighting{{5, 2}}, []Episode{{First: 5, Last: 5, Days: 1, At: 0, End: 1}}},
		{"within the gap", []Sighting{{5, 2}, {7, 2}}, []Episode{{First: 5, Last: 7, Days: 2, At: 0, End: 2}}},
		{"a day later", []Sighting{{5, 2}, {8, 2}}, []Episode{{5, 5, 1, 0, 1}, {8, 8, 1, 1, 2}}},
		{"two feeds on a day are one day", []Sighting{{5, 2}, {5, 3}, {6, 3}}, []Episode{{First: 5, Last: 6, Days: 2, At: 0, End: 3}}},
		{"the slower feed holds it open", []Sighting{{5, 2}, {5, 9}, {14, 2}}, []Episode{{First: 5, Last: 14, Days: 2, At: 0, End: 3}}},
		{"also after a quicker one", []Sighting{{5, 9}, {6, 2}, {13, 2}, {16, 2}}, []Episode{{5, 13, 3, 0, 3}, {16, 16, 1, 3, 4}}},
	} {
		if got := Split(nil, tt.in, gaps); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %+v, want %+v", tt.name, got, tt.want)
		}
	}
	// What is in dst already is left alone.
	dst := Split(nil, []Sighting{{1, 7}}, sevenDays)
	if got := Split(dst, []Sighting{{2, 7}}, sevenDays); len(got) != 2 || got[1].First != 2 {
		t.Errorf("appended to %+v: %+v", dst, got)
	}
}

func drawSightings(t *rapid.T) []Sighting {
	list := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Sighting {
		return Sighting{event.Day(rapid.IntRange(0, 60).Draw(t, "day")), uint32(rapid.IntRange(1, 5).Draw(t, "feed"))}
	}), 0, 40).Draw(t, "sightings")
	slices.SortStableFunc(list, func(a, b Sighting) int { return int(a.Day - b.Day) })
	return list
}

// TestSplitAgainstDays marks every day that some sighting holds open, and takes
// the stretches: slow and obvious.
func TestSplitAgainstDays(t *testing.T) {
	gaps := map[uint32]event.Day{1: 2, 2: 3, 3: 7, 4: 14, 5: 5}
	gap := func(f uint32) event.Day { return gaps[f] }
	rapid.Check(t, func(t *rapid.T) {
		list := drawSightings(t)
		var held [100]bool // from the day before on: the episode goes on
		var seen [100]bool
		for _, s := range list {
			seen[s.Day] = true
			for d := s.Day + 1; d <= s.Day+gap(s.Feed); d++ {
				held[d] = true
			}
		}
		var want []Episode
		for d := range event.Day(100) {
			switch {
			case !seen[d]:
			case len(want) > 0 && func() bool {
				for x := want[len(want)-1].Last + 1; x <= d; x++ {
					if !held[x] {
						return false
					}
				}
				return true
			}():
				want[len(want)-1].Last = d
				want[len(want)-1].Days++
			default:
				want = append(want, Episode{First: d, Last: d, Days: 1})
			}
		}
		got := Split(nil, list, gap)
		at := 0
		for i := range got {
			if got[i].At != at || got[i].End <= at {
				t.Fatalf("episode %d has the sightings %d to %d, after %d", i, got[i].At, got[i].End, at)
			}
			at = got[i].End
			got[i].At, got[i].End = 0, 0
		}
		if at != len(list) || !slices.Equal(got, want) {
			t.Fatalf("%v: %+v, want %+v", list, got, want)
		}
	})
}

// TestSplitOrder gives the sightings of a day in another order: the days of the
// episodes stay.
func TestSplitOrder(t *testing.T) {
	gap := func(f uint32) event.Day { return event.Day(2 * f) }
	rapid.Check(t, func(t *rapid.T) {
		list := drawSightings(t)
		other := rapid.Permutation(list).Draw(t, "other")
		slices.SortStableFunc(other, func(a, b Sighting) int { return int(a.Day - b.Day) })
		a, b := Split(nil, list, gap), Split(nil, other, gap)
		if !slices.Equal(a, b) {
			t.Fatalf("%+v and %+v", a, b)
		}
	})
}

func TestGap(t *testing.T) {
	for _, tt := range []struct {
		name string
		n    map[event.Day]int64
		want event.Day
		ok   bool
	}{
		{"nothing", nil, AssumedGap, false},
		{"too few", map[event.Day]int64{1: 99}, AssumedGap, false},
		{"every day", map[event.Day]int64{1: 100}, MinGap, true},
		{"95 of 100 within 4", map[event.Day]int64{1: 80, 4: 15, 9: 5}, 4, true},
		{"94 of 100 within 4", map[event.Day]int64{1: 80, 4: 14, 9: 6}, 9, true},
		{"mostly new infections", map[event.Day]int64{1: 50, 40: 50}, MaxGap, true},
		{"once in fourteen days", map[event.Day]int64{14: 100}, MaxGap, true},
	} {
		var r Reobserved
		for d, n := range tt.n {
			r.Add(d, n)
		}
		if got, ok := r.Gap(); got != tt.want || ok != tt.ok {
			t.Errorf("%s: %d %v, want %d %v", tt.name, got, ok, tt.want, tt.ok)
		}
	}
}

// TestCount takes sightings out again: what is left is as if they had never
// been there.
func TestCount(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		list, more := drawSightings(t), drawSightings(t)
		var g Gaps
		c := Condition{Class: event.ClassInfection, Family: 3}
		of := func(f uint32) *Reobserved { return g.Of(c, f) }
		Count(list, 1, of)
		Count(more, 1, of)
		Count(more, -1, of)
		var want Gaps
		for _, f := range []uint32{1, 2, 3, 4, 5} {
			last := event.Day(-1)
			for _, s := range list {
				if s.Feed == f {
					if last >= 0 {
						want.Of(c, f).Add(s.Day-last, 1)
					}
					last = s.Day
				}
			}
			if *g.Of(c, f) != *want.Of(c, f) {
				t.Fatalf("feed %d: %v, want %v", f, g.Of(c, f), want.Of(c, f))
			}
		}
	})
}

func TestTable(t *testing.T) {
	var g Gaps
	a, b, other := Condition{Class: event.ClassInfection, Family: 1}, Condition{Class: event.ClassInfection, Family: 2}, Condition{Class: event.ClassExposure, Family: 1}
	g.Of(a, 7).Add(1, 1000)
	g.Of(b, 7).Add(9, 50)
	g.Of(b, 8).Add(1, 50)
	tab := g.Table()
	for _, tt := range []struct {
		c    Condition
		feed uint32
		gap  event.Day
		on   Basis
	}{
		{a, 7, MinGap, OwnBasis},
		{b, 7, MinGap, ClassBasis}, // 1,000 of 1,050 within a day
		{b, 8, AssumedGap, AssumedBasis},
		{other, 7, AssumedGap, AssumedBasis},
	} {
		if gap, on := tab.Gap(tt.c, tt.feed); gap != tt.gap || on != tt.on {
			t.Errorf("%v of feed %d: %d by %s, want %d by %s", tt.c, tt.feed, gap, on, tt.gap, tt.on)
		}
	}
	if gap, on := new(Table).Gap(a, 7); gap != AssumedGap || on != AssumedBasis {
		t.Errorf("the zero table gives %d by %s", gap, on)
	}
}
