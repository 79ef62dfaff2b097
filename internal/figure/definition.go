// Package figure holds the published numbers: one definition each, with unit,
// class, breakdowns and caveats, and the arithmetic that turns counts into a
// figure with its series, its change and its rows.
//
// It takes counts from whoever can count ([Counts]) and gives values that are
// written out the same, byte for byte, for the same counts. It opens nothing,
// reads no clock and never prints a number without its definition.
package figure

import (
	"slices"

	"tocsin/internal/event"
	"tocsin/internal/query"
)

// Headline says which number of a count the figure publishes.
type Headline string

// The headlines.
const (
	// MeanDaily is a stock: the mean over the period's days of the distinct
	// assets seen on each day.
	MeanDaily Headline = "mean-of-daily-distinct"
	// Distinct is the number of distinct assets seen in the period at all.
	Distinct Headline = "distinct"
	// Events is the number of events: a unit of its own, never to be compared
	// with assets.
	Events Headline = "events"
)

// String gives the words of the pages.
func (h Headline) String() string {
	switch h {
	case MeanDaily:
		return "mean of daily distinct"
	case Distinct:
		return "distinct over the period"
	case Events:
		return "count of events"
	}
	return string(h)
}

// BreakdownKind says how the rows of a breakdown add up.
type BreakdownKind string

// The kinds of breakdown.
const (
	// Partition rows sum to the observed value.
	Partition BreakdownKind = "partition"
	// Overlapping rows may count one asset more than once; the overlap is printed.
	Overlapping BreakdownKind = "overlapping"
)

// Place restricts a figure to one side of the home country's border.
type Place string

// The places. Abroad includes what no reference table places anywhere.
const (
	Anywhere Place = "anywhere"
	AtHome   Place = "home"
	Abroad   Place = "abroad"
)

// Part is a named portion of a figure: a kind of its condition or a group
// whose share is published.
type Part struct {
	ID    string
	Title string
	Where []query.Cond
}

// Definition is one row of the table of figures. A published definition is
// never changed: a change of meaning is a new Version, and documents name the
// version that they were made with.
type Definition struct {
	ID       string
	Title    string
	Unit     string // what one of the value is, plural
	Class    event.Class
	Place    Place
	Where    []query.Cond // further conditions; none for most
	Headline Headline

	// Cumulative labels the count of distinct assets over the whole period,
	// which stands beside the value and is not the same thing.
	Cumulative string

	// Breakdowns has the dimensions that the figure can be broken down by.
	Breakdowns map[query.Dim]BreakdownKind

	Kinds  []Part // kinds of the condition; they may overlap
	Shares []Part // groups whose share of the value is published

	Text    string   // the definition in plain words
	Caveats []string // what the number does not say
	Version int      // of this definition, from 1
	Since   string   // the release that first published this version
}

// By returns the dimensions of the definition's breakdowns in page order.
func (d *Definition) By() []query.Dim {
	var by []query.Dim
	for _, dim := range query.Dims {
		if _, ok := d.Breakdowns[dim]; ok {
			by = append(by, dim)
		}
	}
	return by
}

// One asset has one AS, organisation, sector, region and country on a day, as
// these follow from the asset and the day alone; it may have several families
// and be reported by several feeds.
var perAssetDay = map[query.Dim]BreakdownKind{
	query.DimASN:          Partition,
	query.DimOrganisation: Partition,
	query.DimSector:       Partition,
	query.DimRegion:       Partition,
	query.DimCountry:      Partition,
	query.DimFamily:       Overlapping,
	query.DimType:         Overlapping,
	query.DimFeed:         Overlapping,
	query.DimReport:       Overlapping,
}

// A site may move between addresses, and so between everything that follows
// from an address.
var perSite = all(Overlapping)

// One event has one of each.
var perEvent = all(Partition)

func all(k BreakdownKind) map[query.Dim]BreakdownKind {
	m := make(map[query.Dim]BreakdownKind, len(query.Dims))
	for _, d := range query.Dims {
		m[d] = k
	}
	return m
}

func typeIs(names ...string) []query.Cond {
	cs := make([]query.Cond, len(names))
	for i, n := range names {
		cs[i] = query.Cond{Dim: query.DimType, Value: event.MustType(n).String()}
	}
	return cs
}

var government = []Part{{
	ID: "government", Title: "of which government",
	Where: []query.Cond{{Dim: query.DimSector, Value: "government"}},
}}

// Definitions is the table of the figures, in the order of the pages.
var Definitions = []Definition{
	{
		ID: "infected-addresses", Title: "Addresses with an infected host", Unit: "addresses",
		Class: event.ClassInfection, Place: Anywhere, Headline: MeanDaily,
		Cumulative: "distinct addresses over the period (not hosts)",
		Breakdowns: perAssetDay,
		Text: "The IPv4 addresses, and IPv6 /64 networks, from which at least one host was seen on a day that malware, or an intruder, controls. " +
			"An address is counted once a day, however many feeds, families or events saw it. The value is the mean of the days' numbers; days without any count as 0.",
		Caveats: []string{
			"Addresses are not hosts: several hosts can stand behind one address, and one host that changes its address is counted at each.",
			"The cumulative number grows with the length of the period and with address changes. It is not a number of hosts, and not comparable between networks.",
			"Only what the feeds see is counted; a feed that starts, stops or fails changes the value. The breakdown by feed shows which.",
			"Network, organisation and country come from reference data, not from what the report claims.",
		},
		Version: 1, Since: "0.1.0",
	},
	{
		ID: "c2-home", Title: "C2 servers at home", Unit: "addresses",
		Class: event.ClassController, Place: AtHome, Headline: MeanDaily,
		Cumulative: "distinct controller addresses over the period",
		Breakdowns: perAssetDay,
		Text: "Addresses in the home country that were reported on a day as a command and control server. " +
			"Sinkholes are not controllers and are not counted. The value is the mean of the days' numbers.",
		Caveats: []string{
			"The country is that of the address by reference data on that day, which is not always where the machine stands.",
			"A proxy that hides a controller is counted where the proxy is.",
		},
		Version: 1, Since: "0.1.0",
	},
	{
		ID: "c2-abroad", Title: "C2 servers abroad", Unit: "addresses",
		Class: event.ClassController, Place: Abroad, Headline: MeanDaily,
		Cumulative: "distinct controller addresses over the period",
		Breakdowns: perAssetDay,
		Text: "Addresses outside the home country that were reported on a day as a command and control server. " +
			"Sinkholes are not controllers and are not counted. The value is the mean of the days' numbers.",
		Caveats: []string{
			"Addresses that no reference table places in a country are counted here; the breakdown by country shows them as unknown.",
			"Only controllers that a feed reports to this constituency are seen: the value says nothing of how many there are in the world.",
		},
		Version: 1, Since: "0.1.0",
	},
	{
		ID: "hacked-sites", Title: "Hacked sites", Unit: "registrable domains",
		Class: event.ClassSite, Place: Anywhere, Headline: Distinct,
		Cumulative: "distinct sites over the period",
		Breakdowns: perSite,
		Kinds: []Part{
			{ID: "defaced", Title: "defaced", Where: typeIs("unauthorised-information-modification")},
			{ID: "backdoored", Title: "backdoored", Where: typeIs("application-compromise", "system-compromise")},
			{ID: "phishing", Title: "phishing", Where: typeIs("phishing")},
			{ID: "malware-hosting", Title: "malware-hosting", Where: typeIs("malware-distribution")},
		},
		Shares: government,
		Text: "Registrable domains (or, where only an address is known, addresses) under which at least one defaced, backdoored, phishing or malware-hosting page was reported in the period. " +
			"A domain is counted once in the period, however many pages or reports there were; it may be of several kinds.",
		Caveats: []string{
			"Phishing and malware are also put on domains registered for it: those are not told apart from hacked ones.",
			"Under a shared domain (a hoster's subdomains that are not public suffixes) many sites count as one.",
			"A site can move between networks within the period: the breakdowns overlap and print by how much.",
		},
		Version: 1, Since: "0.1.0",
	},
	{
		ID: "exposed-services", Title: "Exposed and vulnerable services", Unit: "services",
		Class: event.ClassExposure, Place: Anywhere, Headline: MeanDaily,
		Cumulative: "distinct services over the period",
		Breakdowns: perAssetDay,
		Shares:     government,
		Text: "Services (address, port and transport) that were reported on a day as vulnerable, or as open to the Internet where they can be abused. " +
			"The value is the mean of the days' numbers.",
		Caveats: []string{
			"A feed that scans once a week makes the daily number jump: compare periods of whole weeks.",
			"A service at a changing address is counted at each address.",
			"Reported means that the service answered in a way that fits the weakness; it has not been attacked.",
		},
		Version: 1, Since: "0.1.0",
	},
	{
		ID: "attack-attempts", Title: "Attack attempts", Unit: "events",
		Class: event.ClassAttempt, Place: Anywhere, Headline: Events,
		Cumulative: "distinct attacking addresses over the period",
		Breakdowns: perEvent,
		Text: "Events in which a sensor saw an attempt: brute force, exploits, scans, denial of service. " +
			"Events are a unit of their own: how many there are says how much the sensors record, not how many attackers there are; the distinct attacking addresses stand beside.",
		Caveats: []string{
			"The number follows the number of sensors and how finely they record. It is not comparable between feeds, nor across a change of sensors.",
			"An attempt is not a success.",
			"The victims of reflected denial of service are not counted as attackers.",
		},
		Version: 1, Since: "0.1.0",
	},
}

// Lookup returns the definition of that id.
func Lookup(id string) (*Definition, bool) {
	i := slices.IndexFunc(Definitions, func(d Definition) bool { return d.ID == id })
	if i < 0 {
		return nil, false
	}
	return &Definitions[i], true
}
