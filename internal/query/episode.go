package query

import (
	"tocsin/internal/event"
)

// EpisodeState says whether an episode is over.
type EpisodeState string

// The states of an episode, as of the newest data.
const (
	EpisodeOpen     EpisodeState = "open"     // seen so lately that silence means nothing yet
	EpisodeClosed   EpisodeState = "closed"   // a feed that had seen it looked on, for longer than its gap, and saw nothing
	EpisodeCensored EpisodeState = "censored" // no feed that had seen it looked long enough afterwards
)

// EpisodeStates lists them.
var EpisodeStates = []EpisodeState{EpisodeOpen, EpisodeClosed, EpisodeCensored}

// Episodes selects episodes. Conditions as in [Count], those on a report
// excepted.
type Episodes struct {
	Period  Period        // that they overlap; the zero period means any
	Started bool          // they must have begun in the period
	Classes []event.Class // empty: any
	Where   []Cond
	State   EpisodeState // "": any
	// Incident keeps those whose beginning counts as incidence, or the others;
	// nil keeps both.
	Incident *bool
	Revised  bool     // late sightings must have changed it
	Asset    event.ID // zero: any
	Text     string   // an address, network, AS number, name of a site, or family; "" for any
	Limit    int      // rows of a page, at most 1,000; 0 means as many
	Offset   int
}

// Episode is an asset in a condition, from the first day that anybody saw it to
// the last.
type Episode struct {
	Class     event.Class     `json:"class"`
	Type      event.Type      `json:"-"`
	TypeName  string          `json:"type"`            // of the last sighting
	Family    string          `json:"family,omitzero"` // or the identifier of the condition
	Kind      event.AssetKind `json:"-"`               //
	Asset     event.ID        `json:"-"`               //
	AssetID   string          `json:"asset_id"`        // of the asset, for addresses of pages
	AssetName string          `json:"asset"`           // the address, or the name where an event of it says so
	First     event.Day       `json:"first_seen"`      //
	Last      event.Day       `json:"last_seen"`       //
	Days      int             `json:"days_seen"`       // at most Last-First+1
	State     EpisodeState    `json:"state"`           //
	// Incident is whether its beginning was seen to be one: a witness that saw it on
	// its first day had looked before for as long as its gap, without a longer
	// outage. The beginning of the others may have been missed.
	Incident bool `json:"incident"`
	// Revised is how much sightings that came late have changed: its first day, its
	// last, and joints of what had been two. It is 0 for those who may not know of all
	// witnesses. RevisedBy is the newest delivery that brought one, for those who see all.
	Revised   int       `json:"revised,omitzero"`
	RevisedBy string    `json:"revised_by,omitzero"`
	ASN       uint32    `json:"asn,omitzero"` // of the last sighting, as all that follow
	CC        string    `json:"cc,omitzero"`  //
	Org       string    `json:"organisation,omitzero"`
	Sector    string    `json:"sector,omitzero"`
	Region    string    `json:"region,omitzero"`
	Witnesses []Witness `json:"witnesses"` // those that the asker may know of
}

// Narrow leaves what the witnesses at hand say, where others are not to be
// known of: the days from the first that one of them saw it to the last, and of
// the days seen those of the one that saw most.
func (e *Episode) Narrow() {
	for i, w := range e.Witnesses {
		if i == 0 || w.First < e.First {
			e.First = w.First
		}
		if i == 0 || w.Last > e.Last {
			e.Last = w.Last
		}
		if i == 0 || w.Days > e.Days {
			e.Days = w.Days
		}
	}
}

// Witness is what one feed, or the feeds of one upstream, saw of an episode.
type Witness struct {
	Feed    string    `json:"feed"` // or the upstream
	First   event.Day `json:"first_seen"`
	Last    event.Day `json:"last_seen"`
	Days    int       `json:"days_seen"`
	Marking string    `json:"marking"`  // the strictest of its feeds
	Gap     int       `json:"gap_days"` // days after a sighting for which its silence means nothing

	// Feeds are those of an upstream that the asker may know of; none for a feed
	// without one.
	Feeds []WitnessFeed `json:"feeds,omitzero"`
}

// WitnessFeed is one feed of a witness with an upstream.
type WitnessFeed struct {
	Feed    string `json:"feed"`
	Marking string `json:"marking"`
}

// EpisodeGaps is how many episodes there are if every gap is Factor times as
// long.
type EpisodeGaps struct {
	Factor     float64 `json:"factor"`
	Prevalence float64 `json:"prevalence"` // mean over the days of those that cover the day
	Starts     int64   `json:"starts"`     // that count as incidence
	Uncounted  int64   `json:"uncounted"`  // starts that do not
}

// EpisodesAsOf says what the episodes are made of.
type EpisodesAsOf struct {
	Through event.Day `json:"through"` // the newest day that anything was seen on
	Pending int64     `json:"pending"` // sightings that are not in them yet

	Whole bool `json:"whole,omitzero"` // all of them are being made anew
}
