// Package sim is a simulated country with known truth: Simuland, whose
// networks, organisations, botnets, hacked sites and exposed services are made
// up, and whose reports come in the layouts of real feeds.
//
// It takes a seed, a range of days and a number of rows, and gives deliveries
// (the bytes of report files), the reference data that they are looked up in,
// and the truth: what a correct reader must count. One seed gives one country,
// byte for byte, on every machine: all arithmetic is on integers.
//
// It imports the standard library alone and shares no code with the road that
// it judges. It opens nothing, reads no clock, and names no real network:
// addresses are from the benchmark, documentation and reserved ranges (RFC
// 2544, RFC 3849, RFC 9637, RFC 1112), AS numbers from the private ranges (RFC
// 6996), countries from the codes that ISO 3166-1 leaves to its users, names
// from .example (RFC 2606).
package sim

import (
	"errors"
	"fmt"
	"iter"
	"sync"
	"time"
)

// Home is the country code of Simuland.
const Home = "XS"

// DefaultRows is about how many rows a country has if the configuration does
// not say.
const DefaultRows = 300_000

// ErrConfig is wrapped by the errors of [New].
var ErrConfig = errors.New("invalid simulation")

// Day is a civil day in UTC, counted from 1970-01-01.
type Day int32

// DayOf returns the day that t falls on in UTC.
func DayOf(t time.Time) Day {
	s := t.Unix()
	d := s / 86400
	if s%86400 < 0 {
		d--
	}
	return Day(d) //nolint:gosec // days since 1970 stay far below 2^31
}

// Time returns the first instant of the day.
func (d Day) Time() time.Time { return time.Unix(int64(d)*86400, 0).UTC() }

// String gives YYYY-MM-DD.
func (d Day) String() string { return d.Time().Format(time.DateOnly) }

// MarshalText implements [encoding.TextMarshaler].
func (d Day) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// Config says which country to make.
type Config struct {
	Seed uint64
	From time.Time // first day; zero means 13 months up to To
	To   time.Time // last day; required
	Rows int       // about how many rows in all deliveries; 0 means DefaultRows
	// Fault plants one difference between what is delivered and the truth, to
	// prove that a comparison sees it.
	Fault Fault
}

// Delivery is one unit of bytes as a feed would send it.
type Delivery struct {
	Feed     string    // as in [Country.Feeds]
	Format   string    // "shadowserver" or "idf"
	Report   string    // report type of a Shadowserver file; "" for idf
	Name     string    // file name
	Received time.Time // the morning after Day; never goes back from one delivery to the next
	Day      Day       // the day that the file is named after
	Bytes    []byte    // the receiver's to keep
}

// Feed is an origin of deliveries.
type Feed struct {
	Name     string
	Format   string
	Marking  string // TLP 2.0 label
	About    string // one line for people
	Schedule string // how often it sends: "daily" or "weekly"
	Upstream string // the feed that its data come from; "" if they are its own
}

// Country is one simulated country. It is safe for concurrent use.
type Country struct {
	cfg      Config
	from, to Day
	geo      *geography

	truthOnce sync.Once
	truth     *Truth
}

// New returns the country of the configuration. It is inert: reports are made
// while they are asked for.
func New(cfg Config) (*Country, error) {
	if cfg.To.IsZero() {
		return nil, fmt.Errorf("%w: say the last day (To)", ErrConfig)
	}
	to := DayOf(cfg.To)
	from := DayOf((to + 1).Time().AddDate(0, -13, 0))
	if !cfg.From.IsZero() {
		from = DayOf(cfg.From)
	}
	if cfg.Rows == 0 {
		cfg.Rows = DefaultRows
	}
	switch n := int(to-from) + 1; {
	case n < 1 || n > 3660:
		return nil, fmt.Errorf("%w: %s to %s is %d days, want 1 to 3660", ErrConfig, from, to, n)
	case cfg.Rows < 0:
		return nil, fmt.Errorf("%w: %d rows", ErrConfig, cfg.Rows)
	case !cfg.Fault.known():
		return nil, fmt.Errorf("%w: fault %q, want one of %q", ErrConfig, cfg.Fault, Faults)
	}
	return &Country{cfg: cfg, from: from, to: to, geo: newGeography()}, nil
}

// From returns the first day.
func (c *Country) From() Day { return c.from }

// To returns the last day.
func (c *Country) To() Day { return c.to }

// Feeds lists the origins of the deliveries.
func (c *Country) Feeds() []Feed { return append([]Feed(nil), feeds...) }

// Prefixes returns the origin AS of all addresses, the country that they lie in
// and the one that their prefix is registered in, as a CSV with the header
// prefix,asn,as_name,country,registered: the reference data of this world.
func (c *Country) Prefixes() []byte { return c.geo.prefixCSV(c.cfg.Fault == SwapAS) }

// Organisations returns the constituency as a CSV with the header
// organisation,name,sector,region,network,contact: a row for each network,
// where a network is a prefix, an AS number or a domain.
func (c *Country) Organisations() []byte { return c.geo.organisationCSV() }

// Deliveries yields all deliveries in the order of their arrival, making them
// day by day: memory does not grow with the number of rows.
func (c *Country) Deliveries() iter.Seq[Delivery] {
	return func(yield func(Delivery) bool) { newMaker(c, nil).run(yield) }
}

// Truth returns what a correct reader of all [Country.Deliveries] and of the
// reference data counts. It is made at the first call, which takes about as
// long as making the deliveries, and holds 32 bytes for each event.
func (c *Country) Truth() *Truth {
	c.truthOnce.Do(func() {
		t := newTruth(c)
		newMaker(c, t).run(func(Delivery) bool { return true })
		t.finish()
		c.truth = t
	})
	return c.truth
}

// The feeds. Their names are part of the identity of every event.
const (
	feedShadowserver = iota
	feedNorth
	feedPartner
	feedHub
	feedBorder
)

var feeds = []Feed{
	{"shadowserver", "shadowserver", "AMBER", "daily reports in the layouts of The Shadowserver Foundation (simulated)", "daily", ""},
	{"sinkhole-north", "shadowserver", "GREEN", "a second sinkhole operator, which begins to report when it takes brackish over (simulated)", "daily", ""},
	{"partner-idf", "idf", "AMBER", "a partner team's events in the IntelMQ Data Format (simulated)", "daily", ""},
	{"sector-hub", "idf", "AMBER", "a clearing house that sends a part of shadowserver's sinkhole reports on, in the IntelMQ Data Format (simulated)", "weekly", "shadowserver"},
	{"border-sensor", "idf", "AMBER", "sensors of our own at the borders of AS64512, AS64513, AS64521 and AS64528, which see bots with their controllers (simulated)", "daily", ""},
}
