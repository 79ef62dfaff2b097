package sim

import (
	"encoding/json"
	"io"
	"math/bits"
	"slices"
	"strconv"
)

// Estimand is a number that the simulator knows from the state of its hosts,
// controllers and sites, whatever any feed reports. docs/simulation.md defines
// each.
type Estimand struct {
	ID    string             `json:"id"`
	Unit  string             `json:"unit"`
	Text  string             `json:"text"`
	Value float64            `json:"value"`
	By    map[string]float64 `json:"by,omitempty"` // parts; they need not sum up to the value
}

// EstimandPeriod holds the estimands of a range of days, both included.
type EstimandPeriod struct {
	From      Day        `json:"from"`
	To        Day        `json:"to"`
	Estimands []Estimand `json:"estimands"`
}

// places is a set of countries, by their index.
type places uint32

// control is who commands what has one address or is one host.
type control struct {
	asn    uint32
	keeps  bool   // the host keeps an address of its own
	abroad places // where controllers abroad lie
	unsure bool   // a controller's location and registration disagree on home
}

func (c *control) join(o control) {
	c.asn, c.keeps = o.asn, o.keeps
	c.abroad |= o.abroad
	c.unsure = c.unsure || o.unsure
}

// ledger sums up what a world shows on the days of a range. It holds one entry
// for each host, address and site that it meets.
type ledger struct {
	first    Day // of the country
	from, to Day
	geo      *geography

	hosts                  census[uint64]
	addresses              census[address]
	begun                  int
	cleaned                []Day
	begunKept, cleanedKept int // in networks where all hosts keep an address of their own
	hostsKept              int // host-days there
	ctlHome, ctlAway       int // controller-days
	ctlUnsure              int
	ctlCountry             map[uint8]int
	sites, sitesBegun      map[string]place
	hackedBefore, hacked   map[string]place
	services               int // service-days
	victims                [4]map[int16]bool
	serviceOf              map[assetKey]bool
	hostToday              map[uint64]control
	addressToday           map[address]control
	organisationsAffected  map[int16]bool
}

// census counts hosts or addresses.
type census[K comparable] struct {
	days     int // host-days
	byAS     map[uint32]int
	all      controls // of all networks
	watched  controls // of those that the sensors watch
	everSeen map[K]control
}

// controls counts those that are controlled from abroad.
type controls struct {
	days, unsure              int
	total, exclusive, sharing map[int]int // by country
}

func newControls() controls {
	return controls{total: map[int]int{}, exclusive: map[int]int{}, sharing: map[int]int{}}
}

func (c *controls) add(x control) {
	if x.unsure {
		c.unsure++
	}
	if x.abroad == 0 {
		return
	}
	c.days++
	for cc := range 32 {
		if x.abroad>>cc&1 == 0 {
			continue
		}
		c.total[cc]++
		if bits.OnesCount32(uint32(x.abroad)) == 1 {
			c.exclusive[cc]++
		} else {
			c.sharing[cc]++
		}
	}
}

func newCensus[K comparable]() census[K] {
	return census[K]{byAS: map[uint32]int{}, all: newControls(), watched: newControls(), everSeen: map[K]control{}}
}

// look takes one host or address of a day in.
func (c *census[K]) look(key K, x control) {
	c.days++
	c.byAS[x.asn]++
	c.all.add(x)
	if slices.Contains(sensorNetworks[:], x.asn) {
		c.watched.add(x)
	}
	e := c.everSeen[key]
	e.join(x)
	c.everSeen[key] = e
}

// everControls counts over the whole range of days.
func (c *census[K]) everControls(watched bool) controls {
	out := newControls()
	for _, x := range c.everSeen {
		if !watched || slices.Contains(sensorNetworks[:], x.asn) {
			out.add(x)
		}
	}
	return out
}

func (c *census[K]) everByAS() map[string]float64 {
	by := map[string]float64{}
	for _, x := range c.everSeen {
		by[strconv.FormatUint(uint64(x.asn), 10)]++
	}
	return by
}

func newLedger(c *Country, from, to Day) *ledger {
	l := &ledger{
		first: c.from, from: from, to: to, geo: c.geo, hosts: newCensus[uint64](), addresses: newCensus[address](),
		ctlCountry: map[uint8]int{}, sites: map[string]place{}, sitesBegun: map[string]place{},
		hackedBefore: map[string]place{}, hacked: map[string]place{},
		serviceOf: map[assetKey]bool{}, hostToday: map[uint64]control{}, addressToday: map[address]control{},
		organisationsAffected: map[int16]bool{},
	}
	for i := range l.victims {
		l.victims[i] = map[int16]bool{}
	}
	return l
}

// The ways in which an organisation can be affected.
const (
	byInfection = iota
	byController
	bySite
	byService
)

// abroadOf tells whether a controller lies and is registered abroad, and
// whether only one of both is so.
func abroadOf(n *network) (abroad, unsure bool) {
	return n.cc != 0 && n.registered != 0, (n.cc != 0) != (n.registered != 0)
}

// look takes the state of a day in.
func (l *ledger) look(w *world, day Day) {
	l.hackedBefore, l.hacked = l.hacked, l.hackedBefore
	clear(l.hacked)
	for i := range w.hacks {
		if s := w.hacks[i].site; s.domain != "" && s.place.cc == 0 {
			l.hacked[s.domain] = s.place
		}
	}
	if day < l.from || day > l.to {
		return
	}
	for domain, p := range l.hacked {
		l.sites[domain] = p
		l.affect(bySite, p.org)
		if _, before := l.hackedBefore[domain]; !before && day > l.first {
			l.sitesBegun[domain] = p
		}
	}
	l.begun += w.begun
	l.cleaned = append(l.cleaned, w.cleaned...)
	l.begunKept += w.begunKept
	l.cleanedKept += w.cleanedKept

	clear(l.hostToday)
	clear(l.addressToday)
	for i := range w.infections {
		x := &w.infections[i]
		c := control{asn: x.host.line.net.asn, keeps: x.host.line.net.keeps}
		for _, by := range x.by {
			if by == nil {
				continue
			}
			abroad, unsure := abroadOf(by.net)
			if abroad {
				c.abroad |= 1 << by.net.cc
			}
			c.unsure = c.unsure || unsure
		}
		h, a := l.hostToday[x.host.id], l.addressToday[x.host.line.a]
		h.join(c)
		a.join(c)
		l.hostToday[x.host.id], l.addressToday[x.host.line.a] = h, a
		l.affect(byInfection, x.host.line.net.org)
	}
	for id, c := range l.hostToday {
		if l.hosts.look(id, c); c.keeps {
			l.hostsKept++
		}
	}
	for a, c := range l.addressToday {
		l.addresses.look(a, c)
	}
	for _, c := range w.controllers {
		switch abroad, unsure := abroadOf(c.net); {
		case unsure:
			l.ctlUnsure++
		case abroad:
			l.ctlAway++
			l.ctlCountry[c.net.cc]++
		default:
			l.ctlHome++
			l.affect(byController, c.net.org)
		}
	}
	clear(l.serviceOf)
	for i := range w.services {
		s := &w.services[i]
		l.serviceOf[assetKey{a: s.a, port: int32(s.port)}] = true //nolint:gosec // a port
		l.affect(byService, s.net.org)
	}
	l.services += len(l.serviceOf)
}

func (l *ledger) affect(how int, org int16) {
	if org < 0 {
		return
	}
	l.victims[how][org] = true
	if how != byService {
		l.organisationsAffected[org] = true
	}
}

// yearBefore is the same day of the year before; March 1 for February 29.
func yearBefore(d Day) Day { return DayOf(d.Time().AddDate(-1, 0, 0)) }

// Estimands returns what is true of the days from from to to, both included and
// cut to those of the country, from the simulator's own state: it moves the
// country through its days again, without making reports. Changes are left
// out where the same days of the year before are not simulated.
func (c *Country) Estimands(from, to Day) []Estimand {
	from, to = max(from, c.from), min(to, c.to)
	if from > to {
		return nil
	}
	now := newLedger(c, from, to)
	then := newLedger(c, yearBefore(from), yearBefore(to))
	w := c.world()
	for day := range c.days(w) {
		now.look(w, day)
		then.look(w, day)
		if day == to {
			break
		}
	}
	out := now.estimands()
	if then.from >= c.from {
		out = append(out, now.changes(then)...)
	}
	return out
}

// estimandPeriods gives the last 28 days and all days.
func (c *Country) estimandPeriods() []EstimandPeriod {
	last := max(c.to-27, c.from)
	return []EstimandPeriod{{last, c.to, c.Estimands(last, c.to)}, {c.from, c.to, c.Estimands(c.from, c.to)}}
}

// WriteEstimands writes the estimands of the last 28 days and of all days as one
// JSON document.
func (c *Country) WriteEstimands(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", " ")
	return e.Encode(struct {
		Simulated bool             `json:"simulated"`
		Home      string           `json:"home"`
		Seed      uint64           `json:"seed"`
		Periods   []EstimandPeriod `json:"estimands"`
	}{true, Home, c.cfg.Seed, c.estimandPeriods()})
}

// per divides by the days of the range.
func (l *ledger) per(n int) float64 { return float64(n) / float64(l.to-l.from+1) }

// byCountry gives the parts of a count of what is controlled from abroad;
// divided by days if it is a mean.
func (l *ledger) byCountry(c controls, mean bool) map[string]float64 {
	out := map[string]float64{}
	put := func(counts map[int]int, suffix string) {
		for cc, n := range counts {
			if out[l.geo.countries[cc]+suffix] = float64(n); mean {
				out[l.geo.countries[cc]+suffix] = l.per(n)
			}
		}
	}
	put(c.total, "")
	put(c.exclusive, " exclusive")
	put(c.sharing, " shared")
	return out
}

// controlled gives what a census says of who commands hosts or addresses.
func controlled[K comparable](l *ledger, unit string, c *census[K]) []Estimand {
	id := unit + "-controlled-abroad"
	what := unit + " at home with a controller abroad, "
	watched := unit + " of these in the networks that the border sensors watch, "
	ever, everWatched := c.everControls(false), c.everControls(true)
	return []Estimand{
		{id, unit, what + "mean of the days", l.per(c.all.days), l.byCountry(c.all, true)},
		{id + "-ever", unit, what + "on any day", float64(ever.days), l.byCountry(ever, false)},
		{id + "-sensors", unit, watched + "mean of the days", l.per(c.watched.days), l.byCountry(c.watched, true)},
		{id + "-sensors-ever", unit, watched + "on any day", float64(everWatched.days), l.byCountry(everWatched, false)},
		{unit + "-controlled-undetermined", unit, unit + " at home with a controller of which location or registration, but not both, is abroad, mean of the days", l.per(c.all.unsure), nil},
	}
}

func (l *ledger) estimands() []Estimand {
	var out []Estimand
	add := func(id, unit, text string, v float64, by map[string]float64) {
		out = append(out, Estimand{id, unit, text, v, by})
	}
	perAS := func(counts map[uint32]int) map[string]float64 {
		by := map[string]float64{}
		for asn, n := range counts {
			by[strconv.FormatUint(uint64(asn), 10)] = l.per(n)
		}
		return by
	}
	add("hosts-infected", "hosts", "infected hosts at home, mean of the days", l.per(l.hosts.days), perAS(l.hosts.byAS))
	add("hosts-infected-ever", "hosts", "hosts at home that were infected on any day", float64(len(l.hosts.everSeen)), l.hosts.everByAS())
	add("addresses-infected", "addresses", "addresses (IPv6: /64) with an infected host, mean of the days", l.per(l.addresses.days), perAS(l.addresses.byAS))
	add("addresses-infected-ever", "addresses", "addresses (IPv6: /64) with an infected host on any day", float64(len(l.addresses.everSeen)), l.addresses.everByAS())
	add("infections-begun", "infections", "infections (a family on a host) that began", float64(l.begun), nil)
	add("infections-cleaned", "infections", "infections (a family on a host) that ended", float64(len(l.cleaned)), nil)
	const kept = ", in networks where every host keeps an address of its own"
	add("hosts-infected-static", "hosts", "infected hosts at home, mean of the days"+kept, l.per(l.hostsKept), nil)
	add("infections-begun-static", "infections", "infections (a family on a host) that began"+kept, float64(l.begunKept), nil)
	add("infections-cleaned-static", "infections", "infections (a family on a host) that ended"+kept, float64(l.cleanedKept), nil)
	if len(l.cleaned) > 0 {
		add("time-to-clean-median-days", "days", "days until an infection ended, median of those that ended", median(l.cleaned), nil)
	}
	out = append(out, controlled(l, "hosts", &l.hosts)...)
	out = append(out, controlled(l, "addresses", &l.addresses)...)
	countries := map[string]float64{}
	for cc, n := range l.ctlCountry {
		countries[l.geo.countries[cc]] = l.per(n)
	}
	add("controllers-home", "controllers", "controllers at home by location and registration, mean of the days", l.per(l.ctlHome), nil)
	add("controllers-abroad", "controllers", "controllers abroad by location and registration, mean of the days", l.per(l.ctlAway), countries)
	add("controllers-undetermined", "controllers", "of which location or registration, but not both, is abroad, mean of the days", l.per(l.ctlUnsure), nil)
	government := 0
	for _, p := range l.sites {
		if p.org >= 0 && owners[p.org].sector == "government" {
			government++
		}
	}
	add("sites-hacked", "registrable domains", "sites at home that were hacked on any day", float64(len(l.sites)), nil)
	add("sites-hacked-begun", "registrable domains", "at home, hacked on one of the days and not on the day before", float64(len(l.sitesBegun)), nil)
	add("sites-hacked-government", "registrable domains", "of the government among them", float64(government), nil)
	add("services-exposed", "services", "address, port and transport at home, mean of the days", l.per(l.services), nil)
	add("organisations-affected", "organisations", "with an infected host, a controller or a hacked site on any day", float64(len(l.organisationsAffected)), map[string]float64{
		"infection": float64(len(l.victims[byInfection])), "controller": float64(len(l.victims[byController])),
		"hacked-site": float64(len(l.victims[bySite])), "exposure": float64(len(l.victims[byService])),
	})
	return out
}

// changes compares with the same days of the year before.
func (l *ledger) changes(then *ledger) (out []Estimand) {
	add := func(id, text string, now, before float64) {
		if before != 0 {
			out = append(out, Estimand{id, "ratio", text, now / before, map[string]float64{"now": now, "then": before}})
		}
	}
	const same = ", against the same days of last year"
	add("change-hosts-infected", "infected hosts"+same, l.per(l.hosts.days), then.per(then.hosts.days))
	add("change-addresses-infected", "infected addresses"+same, l.per(l.addresses.days), then.per(then.addresses.days))
	add("change-sites-hacked", "hacked sites"+same, float64(len(l.sites)), float64(len(then.sites)))
	return out
}

// median of a list that is not empty.
func median(list []Day) float64 {
	s := slices.Sorted(slices.Values(list))
	n := len(s)
	return float64(s[(n-1)/2]+s[n/2]) / 2
}
