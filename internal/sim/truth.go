package sim

import (
	"encoding/json"
	"io"
	"iter"
	"slices"
	"strconv"
)

// The classes that are counted, and what is counted as one asset of each.
const (
	Infection  = "infection"   // an IPv4 address, or the /64 of an IPv6 address
	Controller = "controller"  // an address
	HackedSite = "hacked-site" // a registrable domain; an address where there is no name
	Exposure   = "exposure"    // an address with port and transport
	Attempt    = "attempt"     // the attacking address; its figure counts events instead
	Victim     = "victim"      // the attacked address
	Outside    = "outside-scope"
)

// Classes lists the classes that have assets.
var Classes = []string{Infection, Controller, HackedSite, Exposure, Attempt, Victim}

// The dimensions that the truth can be broken down by.
const (
	ASN          = "asn"
	Organisation = "organisation"
	Sector       = "sector"
	Region       = "region"
	CountryCode  = "country"
	Family       = "family"
	Type         = "type"
	FeedName     = "feed"
	ReportType   = "report"
)

// Dims lists the dimensions.
var Dims = []string{ASN, Organisation, Sector, Region, CountryCode, Family, Type, FeedName, ReportType}

// kinds says what each kind of row means: its classification.type and the
// class that it counts in.
var kinds = []struct{ typ, class string }{
	kindInfected:   {"infected-system", Infection},
	kindController: {"c2-server", Controller},
	kindBeacon:     {"c2-server", Controller},
	kindBackdoored: {"system-compromise", HackedSite},
	kindSpreading:  {"malware-distribution", HackedSite},
	kindPhishing:   {"phishing", HackedSite},
	kindDefaced:    {"unauthorised-information-modification", HackedSite},
	kindExposed:    {"vulnerable-system", Exposure},
	kindBruteForce: {"brute-force", Attempt},
	kindScan:       {"scanner", Attempt},
	kindVictim:     {"ddos", Victim},
	kindSpeech:     {"harmful-speech", Outside},
}

// reportIDF is the report type of events in the IntelMQ Data Format.
const reportIDF = "idf"

// unknownCountry is the place.cc of what has no address.
const unknownCountry = 255

// assetKey is what makes two sightings one asset.
type assetKey struct {
	name string
	a    address
	port int32
	udp  bool
	of   kind // kindExposed, kindDefaced (a site) or kindInfected (an address)
}

// sighting is one accepted event.
type sighting struct {
	day   Day
	asset uint32
	place place
	kind  kind
	name  uint8
	rep   uint8
}

// Truth is what a correct reader counts. It is never changed once made.
type Truth struct {
	c          *Country
	assets     map[assetKey]uint32
	days       [][]sighting // by day since From
	deliveries []DeliveryCount
}

// DeliveryCount is what becomes of the rows of one delivery, loaded in the
// order of [Country.Deliveries]. Accepted + Duplicate + Quarantined = Received.
type DeliveryCount struct {
	Feed        string `json:"feed"`
	Name        string `json:"name"`
	Day         Day    `json:"day"`
	Received    int    `json:"received"`
	Accepted    int    `json:"accepted"`
	Duplicate   int    `json:"duplicate"`
	Quarantined int    `json:"quarantined"`
	Outside     int    `json:"outside"` // of the accepted
}

// FeedCount sums up the deliveries of a feed.
type FeedCount struct {
	Feed        string `json:"feed"`
	Deliveries  int    `json:"deliveries"`
	Received    int    `json:"received"`
	Accepted    int    `json:"accepted"`
	Duplicate   int    `json:"duplicate"`
	Quarantined int    `json:"quarantined"`
	Outside     int    `json:"outside"`
}

// Cond keeps events whose dimension has the value; Not turns it round. The
// empty value means unknown. Conditions on one dimension are alternatives;
// different dimensions must all hold.
type Cond struct {
	Dim   string
	Value string
	Not   bool
}

// Query selects events of a class; both days are included.
type Query struct {
	Class    string
	From, To Day
	Where    []Cond
}

// Value is what a [Query] finds.
type Value struct {
	Daily    []int // distinct assets on each day
	Distinct int   // distinct assets over all days
	Events   int   // events without duplicates
}

func newTruth(c *Country) *Truth {
	return &Truth{c: c, assets: map[assetKey]uint32{}, days: make([][]sighting, int(c.to-c.from)+1)}
}

func (t *Truth) event(rep int, r *row) {
	k := assetKey{a: r.a, of: kindInfected}
	switch r.kind {
	case kindExposed:
		k.of, k.port, k.udp = kindExposed, int32(r.port), r.port == 53 //nolint:gosec // a port
	case kindBackdoored, kindSpreading, kindPhishing, kindDefaced:
		k.of = kindDefaced
		if r.site.domain != "" {
			k.a, k.name = address{}, r.site.domain
		}
	default:
	}
	if r.a.is6() {
		k.a.lo = 0 // a host picks the rest itself
	}
	id, ok := t.assets[k]
	if !ok {
		id = uint32(len(t.assets)) //nolint:gosec // one for each row at most
		t.assets[k] = id
	}
	day := Day(r.t / secondsOfOneDay) //nolint:gosec // days
	i := int(day - t.c.from)
	t.days[i] = append(t.days[i], sighting{day, id, r.place, r.kind, uint8(r.name), uint8(rep)}) //nolint:gosec // small tables
}

func (t *Truth) delivery(d *Delivery, n DeliveryCount) {
	n.Feed, n.Name, n.Day = d.Feed, d.Name, d.Day
	t.deliveries = append(t.deliveries, n)
}

func (t *Truth) finish() { t.assets = nil }

// From returns the first day of the events.
func (t *Truth) From() Day { return t.c.from }

// To returns the last day of the events.
func (t *Truth) To() Day { return t.c.to }

// Deliveries lists what becomes of each delivery, in order.
func (t *Truth) Deliveries() []DeliveryCount { return slices.Clone(t.deliveries) }

// Feeds sums the deliveries up by feed, in the order of [Country.Feeds].
func (t *Truth) Feeds() []FeedCount {
	f := make([]FeedCount, len(feeds))
	for i := range feeds {
		f[i].Feed = feeds[i].Name
		for _, d := range t.deliveries {
			if d.Feed == f[i].Feed {
				f[i].Deliveries++
				f[i].Received += d.Received
				f[i].Accepted += d.Accepted
				f[i].Duplicate += d.Duplicate
				f[i].Quarantined += d.Quarantined
				f[i].Outside += d.Outside
			}
		}
	}
	return f
}

// value gives a sighting's value of a dimension.
func (t *Truth) value(s *sighting, dim string) string {
	switch dim {
	case ASN:
		if s.place.asn != 0 {
			return strconv.FormatUint(uint64(s.place.asn), 10)
		}
	case Organisation:
		if s.place.org >= 0 {
			return owners[s.place.org].id
		}
	case Sector:
		if s.place.org >= 0 {
			return owners[s.place.org].sector
		}
	case Region:
		if s.place.org >= 0 {
			return owners[s.place.org].region
		}
	case CountryCode:
		if s.place.cc != unknownCountry {
			return t.c.geo.countries[s.place.cc]
		}
	case Family:
		return names[s.name]
	case Type:
		return kinds[s.kind].typ
	case FeedName:
		return feeds[reports[s.rep].feed].Name
	case ReportType:
		if reports[s.rep].name == "" {
			return reportIDF
		}
		return reports[s.rep].name
	}
	return ""
}

func (t *Truth) keeps(s *sighting, where []Cond) bool {
	for i, c := range where {
		if slices.ContainsFunc(where[:i], func(o Cond) bool { return o.Dim == c.Dim }) {
			continue // looked at with the first of its dimension
		}
		v, any := t.value(s, c.Dim), false
		for _, o := range where[i:] {
			any = any || o.Dim == c.Dim && (o.Value == v) != o.Not
		}
		if !any {
			return false
		}
	}
	return true
}

// of yields the sightings that a query selects, day by day.
func (t *Truth) of(q Query) iter.Seq[*sighting] {
	return func(yield func(*sighting) bool) {
		for d := max(q.From, t.c.from); d <= min(q.To, t.c.to); d++ {
			day := t.days[d-t.c.from]
			for i := range day {
				s := &day[i]
				if kinds[s.kind].class == q.Class && t.keeps(s, q.Where) && !yield(s) {
					return
				}
			}
		}
	}
}

// counter counts one value.
type counter struct {
	from   Day
	v      Value
	daily  []map[uint32]struct{}
	always map[uint32]struct{}
}

func newCounter(q Query) *counter {
	n := max(int(q.To-q.From)+1, 0)
	return &counter{from: q.From, v: Value{Daily: make([]int, n)}, daily: make([]map[uint32]struct{}, n), always: map[uint32]struct{}{}}
}

func (c *counter) add(s *sighting) {
	c.v.Events++
	c.always[s.asset] = struct{}{}
	i := s.day - c.from
	if c.daily[i] == nil {
		c.daily[i] = map[uint32]struct{}{}
	}
	c.daily[i][s.asset] = struct{}{}
}

func (c *counter) value() Value {
	c.v.Distinct = len(c.always)
	for i := range c.daily {
		c.v.Daily[i] = len(c.daily[i])
	}
	return c.v
}

// Count answers a query, reading all events of its days.
func (t *Truth) Count(q Query) Value {
	c := newCounter(q)
	for s := range t.of(q) {
		c.add(s)
	}
	return c.value()
}

// Breakdown answers a query for each value of a dimension; the key "" is
// unknown. Its rows sum up to the whole only where an asset has one value.
func (t *Truth) Breakdown(q Query, dim string) map[string]Value {
	by := map[string]*counter{}
	for s := range t.of(q) {
		k := t.value(s, dim)
		c := by[k]
		if c == nil {
			c = newCounter(q)
			by[k] = c
		}
		c.add(s)
	}
	out := make(map[string]Value, len(by))
	for k, c := range by {
		out[k] = c.value()
	}
	return out
}

// Daily returns the number of a day in the unit of the class: distinct assets,
// and events for [Attempt].
func (t *Truth) Daily(class string, day Day, where ...Cond) int {
	return t.Distinct(class, day, day, where...)
}

// Distinct returns the number of a range of days, both included, in the unit
// of the class: distinct assets, and events for [Attempt].
func (t *Truth) Distinct(class string, from, to Day, where ...Cond) int {
	return unit(class, t.Count(Query{class, from, to, where}))
}

// Events returns how many events of a class a day has, without duplicates.
func (t *Truth) Events(class string, day Day, where ...Cond) int {
	return t.Count(Query{class, day, day, where}).Events
}

// By returns the numbers of a day by the values of a dimension, in the unit of
// the class.
func (t *Truth) By(class, dim string, day Day) map[string]int {
	out := map[string]int{}
	for k, v := range t.Breakdown(Query{Class: class, From: day, To: day}, dim) {
		out[k] = unit(class, v)
	}
	return out
}

func unit(class string, v Value) int {
	if class == Attempt {
		return v.Events
	}
	return v.Distinct
}

// Government returns how many hacked sites a range of days has whose
// organisation is of the sector government, and how many in all.
func (t *Truth) Government(from, to Day) (government, all int) {
	return t.Distinct(HackedSite, from, to, Cond{Dim: Sector, Value: "government"}), t.Distinct(HackedSite, from, to)
}

// Controllers returns how many command and control servers a range of days has
// at home and abroad.
func (t *Truth) Controllers(from, to Day) (home, away int) {
	return t.Distinct(Controller, from, to, Cond{Dim: CountryCode, Value: Home}),
		t.Distinct(Controller, from, to, Cond{Dim: CountryCode, Value: Home, Not: true})
}

// document is the JSON form of the truth. Its fields are never removed.
type document struct {
	Simulated  bool                     `json:"simulated"`
	Home       string                   `json:"home"`
	Seed       uint64                   `json:"seed"`
	From       Day                      `json:"from"`
	To         Day                      `json:"to"`
	Feeds      []FeedCount              `json:"feeds"`
	Classes    map[string]documentClass `json:"classes"`
	Deliveries []DeliveryCount          `json:"deliveries"`
	Estimands  []EstimandPeriod         `json:"estimands"`
}

type documentClass struct {
	Assets     []int                     `json:"assets"` // distinct on each day
	Events     []int                     `json:"events"` // of each day
	Distinct   int                       `json:"distinct"`
	Breakdowns map[string]map[string]int `json:"breakdowns"` // distinct assets over all days
}

// WriteJSON writes the truth as one JSON document: the counts of feeds and
// deliveries, for each class the numbers of each day and the breakdowns of all
// days together, and the estimands of the last 28 days and of all days.
func (t *Truth) WriteJSON(w io.Writer) error {
	doc := document{true, Home, t.c.cfg.Seed, t.c.from, t.c.to, t.Feeds(), map[string]documentClass{}, t.deliveries, t.c.estimandPeriods()}
	for _, class := range Classes {
		q := Query{Class: class, From: t.c.from, To: t.c.to}
		v := t.Count(q)
		dc := documentClass{v.Daily, make([]int, len(v.Daily)), v.Distinct, map[string]map[string]int{}}
		for s := range t.of(q) {
			dc.Events[s.day-t.c.from]++
		}
		for _, dim := range Dims {
			rows := map[string]int{}
			for k, v := range t.Breakdown(q, dim) {
				rows[k] = v.Distinct
			}
			dc.Breakdowns[dim] = rows
		}
		doc.Classes[class] = dc
	}
	e := json.NewEncoder(w)
	e.SetIndent("", " ")
	return e.Encode(doc)
}
