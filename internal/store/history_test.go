package store

import (
	"math/rand/v2"
	"slices"
	"testing"

	"tocsin/internal/event"
)

// TestHistories compares histories with plain lists of days.
func TestHistories(t *testing.T) {
	t.Parallel()
	const first = 20_000
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 1))
		var l histories
		days := map[event.ID][]event.Day{}
		span := []int{5, 40, 400}[seed%3]
		unknown, late := 0, 0
		for range 20_000 {
			k := event.ID{Lo: 0xffff<<32 | uint64(r.IntN(500))} // IPv4
			if r.IntN(2) == 0 {
				k = event.ID{Hi: 0x20010db8<<32 | uint64(r.IntN(500)), Lo: uint64(r.IntN(2))}
			}
			d := event.Day(first + r.IntN(span))
			list := days[k]
			at, found := slices.BinarySearch(list, d)
			want := visit{known: true, seen: found}
			if !found {
				want.prev, want.next = never, never
				if at > 0 {
					want.prev = list[at-1]
				}
				if at < len(list) {
					want.next = list[at]
					late++
				}
			}
			got := l.look(k, d)
			if got.known && !got.far != (len(list) == 0 || list[len(list)-1]-d <= window) {
				t.Fatalf("%v on %d: %+v with %v", k, d, got, list)
			}
			got.far = false
			switch {
			case !got.known:
				unknown++
				if len(list) == 0 || int(list[len(list)-1]-d) < 1 || at > 0 && list[len(list)-1]-list[at-1] <= window && !found {
					t.Fatalf("%v on %d is not known, with %v", k, d, list)
				}
			case got != want:
				t.Fatalf("%v on %d: %+v, want %+v with %v", k, d, got, want, list)
			}
			l.mark(k, d)
			if !found {
				days[k] = slices.Insert(list, at, d)
			}
		}
		if late == 0 || span <= window && unknown > 0 || span > 2*window && unknown == 0 {
			t.Errorf("over %d days %d were late, %d not known", span, late, unknown)
		}
	}
}
