package query

import (
	"net/netip"

	"tocsin/internal/event"
)

// Measure is what of the sightings of a class is added up.
type Measure string

// The measures.
const (
	AssetDays Measure = "asset-days" // distinct assets of each day, summed over the days
	Assets    Measure = "assets"     // distinct assets of all days together
	EventRows Measure = "events"     // events, without duplicates
)

// FeedDay is a day on which a feed's sightings count. ASN is 0 for every
// network but those that another FeedDay of the same feed names, on whatever
// day.
type FeedDay struct {
	Feed string
	ASN  uint32
	Day  event.Day
}

// Matched asks for what feeds saw on certain days alone.
type Matched struct {
	Class   event.Class
	Where   []Cond // as in [Count]
	Measure Measure
	Days    []FeedDay
	// Alone names feeds with networks of their own in which none of their days
	// count.
	Alone []FeedDay
	// Not names what does not count: families of a feed.
	Not []FeedFamily
}

// FeedFamily is a family as one feed sees it.
type FeedFamily struct{ Feed, Family string }

// Cluster is a number of one network.
type Cluster struct {
	ASN uint32 // 0 if unknown
	N   int64
}

// Sole asks what one witness alone has seen of a count: what would be missing
// without it.
type Sole struct {
	Count
	Measure Measure           // AssetDays or Assets
	Witness map[string]string // the witness of each feed; a feed that is not in it is its own
}

// Control asks who was seen to exchange traffic with their controllers. Only
// events count whose other end is known to be a controller, by a feed that
// sees both ends; a sinkhole is none.
type Control struct {
	Period Period
	Where  []Cond // of the infected assets
}

// Side is where a controller is.
type Side uint8

// The sides.
const (
	SideUnknown      Side = iota // neither located nor registered anywhere that is known
	SideHome                     // located and registered at home
	SideAbroad                   // located and registered abroad
	SideUndetermined             // located on one side, registered on the other, or one of the two is not known
)

// Place is where a controller's address is, by the reference data.
type Place struct {
	Side Side
	CC   string // where it is located; "" if unknown
}

// Locate says where a controller's address is, by that version of the
// reference data.
type Locate func(controller netip.Addr, version uint32) Place

// Controlled is who was controlled from where. All numbers are of distinct
// infected assets.
type Controlled struct {
	Daily    []int64 // of each day: controlled from abroad
	Distinct int64   // of the period: controlled from abroad

	Evidence      int64 // of the period: with any evidence of a controller
	EvidenceDaily []int64
	Undetermined  int64 // of the period: no controller is surely abroad, and one may be
	AtHome        int64 // of the period: every controller is at home

	Countries []ControllerCountry // by total falling, then code
	Feeds     []string            // that gave the evidence, sorted
}

// ControllerCountry is who was controlled from one country abroad, distinct
// over the period.
type ControllerCountry struct {
	CC        string  `json:"cc"`
	Exclusive int64   `json:"exclusive"` // from there, and from no other country abroad
	Shared    int64   `json:"shared"`    // from there, and from elsewhere abroad too
	Total     int64   `json:"total"`     // the two together
	Mean      float64 `json:"-"`         // of the days
	DaySum    int64   `json:"asset_days"`
}

// Seen is a sighting of an asset, as far as estimates need it.
type Seen struct {
	Asset  event.ID
	Day    event.Day
	Feed   string
	Type   event.Type
	Family string
	ASN    uint32
}
