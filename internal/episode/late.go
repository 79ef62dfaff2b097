package episode

import "tocsin/internal/event"

// LateAfter is after how many days a sighting counts as late: the longest gap.
// Whoever asked for the episode before it arrived had been told that it was
// over, or of another first day. No feed's own gap or schedule enters, so that
// what is late stays late when these change.
const LateAfter = MaxGap

// Late reports whether a sighting of the day was late when it arrived. Nothing
// is late that arrived on the day on which the journal began, began, or before:
// nobody had been told anything.
func Late(day, arrived, began event.Day) bool { return arrived > began && arrived-day > LateAfter }

// Revisions says how much late sightings have changed an episode: one for its
// first day if that was later without them, one for its last day if that was
// earlier, and one for each two episodes that they have made one. timely are all
// episodes that the sightings of the asset and condition make without the late
// ones, with the same gaps. An episode that has none but late sightings was
// never told otherwise, and is not revised.
func Revisions(e Episode, timely []Episode) int {
	var first, last event.Day
	n, changed := 0, 0
	for _, t := range timely {
		if t.First < e.First || t.Last > e.Last {
			continue
		}
		if n == 0 {
			first = t.First
		}
		last = t.Last
		n++
	}
	if n == 0 {
		return 0
	}
	if first != e.First {
		changed++
	}
	if last != e.Last {
		changed++
	}
	return changed + n - 1
}
