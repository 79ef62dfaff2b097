package query

import "tocsin/internal/event"

// EpisodeRef names an episode by its asset and a day in it, so that the name
// holds when late sightings move its first day. An asset may be in several
// conditions of a class on one day: then Family, or Type, tells which; "" is any.
type EpisodeRef struct {
	Class  event.Class
	Asset  event.ID
	Day    event.Day
	Family string // or identifier, by any of its names
	Type   string // of the last sighting
}

// Timeline is one episode with what its page shows beside it.
type Timeline struct {
	Episode Episode   `json:"episode"`
	Through event.Day `json:"through"` // the newest day that anything was seen on
	Names   []string  `json:"names"`   // other names of the family, under which events may stand
	// Witnesses are those of the episode, in their order.
	Witnesses []WitnessDays `json:"timeline"`
	// Half is what the sightings fall into if every gap is half as long, and Twice
	// the episode that they belong to if it is twice as long.
	Half  []Period `json:"with_half_the_gaps"`
	Twice Period   `json:"with_twice_the_gaps"`
	// Others are the other episodes of the asset, of all classes, newest first; at
	// most 100.
	Others []Episode `json:"others"`
}

// WitnessDays is on which days a witness saw an asset in a condition. Missing
// and Clean are for those who may know who looked when; others get none.
type WitnessDays struct {
	Witness string      `json:"witness"`
	Seen    []event.Day `json:"seen_on"`
	Missing []Period    `json:"outages,omitzero"`    // days on which it should have looked and did not
	Clean   *event.Day  `json:"clean_look,omitzero"` // its first look, after its gap, that saw nothing
}

// The days that a timeline shows.
const (
	lineAround = 7       // before the first sighting, and after the last day that counts
	lineMost   = 3 * 366 // the newest of these, if there are more
)

// Line returns the days that the timeline shows: from a week before the first
// sighting to a week after the longest gap behind the last, as far as there is
// data.
func (t *Timeline) Line() Period {
	gap := 0
	for _, w := range t.Episode.Witnesses {
		gap = max(gap, w.Gap)
	}
	p := Period{From: t.Episode.First - lineAround, To: max(t.Episode.Last, min(t.Through, t.Episode.Last+event.Day(gap)+lineAround))}
	p.From = max(p.From, p.To-lineMost+1)
	return p
}
