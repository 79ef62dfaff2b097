// Package episode makes episodes of sightings: an infection, a compromise of a
// site or an exposure from the first day that anybody saw it to the last.
//
// It takes the sightings of one asset in one condition, by whichever feeds, and
// gives the stretches of days that belong together. The same sightings give the
// same episodes, in whatever order they became known. It opens nothing, reads
// no clock, and does not say whether an episode is over: that depends on who
// looked afterwards.
package episode

import "tocsin/internal/event"

// Classes lists the classes of condition that episodes are made of. An attempt
// has no duration, a victim no condition to be cleaned of, and a leak no end.
var Classes = []event.Class{event.ClassInfection, event.ClassController, event.ClassSite, event.ClassExposure}

// Has reports whether episodes are made of the class.
func Has(c event.Class) bool {
	switch c {
	case event.ClassInfection, event.ClassController, event.ClassSite, event.ClassExposure:
		return true
	}
	return false
}

// Sighting is that a feed saw the asset in the condition on a day.
type Sighting struct {
	Day  event.Day
	Feed uint32 // any number that tells feeds apart
}

// Episode is a run of the sightings that it was made of.
type Episode struct {
	First, Last event.Day // first and last day seen, both included
	Days        int       // distinct days seen, at most Last-First+1
	At, End     int       // its sightings are those from At up to, not including, End
}

// Split appends the episodes of the sightings, which are in order of their
// days, to dst. A sighting by a feed whose gap is g holds the episode open for
// g days: the next sighting, by any feed, belongs to the same episode if it is
// not later than that (docs/episodes.md). gap must be at least 0.
func Split(dst []Episode, list []Sighting, gap func(feed uint32) event.Day) []Episode {
	var reach event.Day
	n := len(dst)
	for i, s := range list {
		if len(dst) == n || s.Day > reach {
			dst = append(dst, Episode{First: s.Day, Last: s.Day, Days: 1, At: i, End: i + 1})
			reach = s.Day + gap(s.Feed)
			continue
		}
		e := &dst[len(dst)-1]
		if s.Day > e.Last {
			e.Last = s.Day
			e.Days++
		}
		e.End = i + 1
		reach = max(reach, s.Day+gap(s.Feed))
	}
	return dst
}
