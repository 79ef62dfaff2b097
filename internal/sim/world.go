package sim

import "fmt"

// family is one malware family and its story.
type family struct {
	name    string
	spelled string // as the second sinkhole operator writes it
	tag     string
	domain  string // what its bots look up
	port    int
	bits    witness
	v6      int     // of 1000 new infections, how many have IPv6 addresses
	mobile  int     // of 1000, how many are in the mobile network
	start   int     // infections on the first day
	hazard  int     // of 1000 infections, how many are cleaned in a day
	arrive  []point // new infections in 1000 days
	from    int     // sinkholes see it from this thousandth of the time on
}

// witness is a set of reports that see a family.
type witness uint8

const (
	seesSinkhole witness = 1 << iota
	seesHTTP
	seesNorth
	seesPartner
)

// point is a corner of a line: a value at a thousandth of the time.
type point struct{ at, value int }

// along interpolates on whole numbers.
func along(line []point, at int) int {
	for i := 1; i < len(line); i++ {
		if a, b := line[i-1], line[i]; at < b.at {
			return a.value + (b.value-a.value)*(at-a.at)/(b.at-a.at)
		}
	}
	return line[len(line)-1].value
}

// The days on which something happens, in thousandths of the time.
const (
	takedown      = 350 // the controllers of brackish are taken over by a second sinkhole operator, who begins to report
	newFamily     = 600 // emberworm appears
	outageBegins  = 750 // the second sinkhole operator is silent for some days
	outageEnds    = 775
	layoutChanges = 640 // the vendor moves columns
	webBug        = 300 // a flaw of a web server becomes known
	telnetFilter  = 500 // an access provider filters telnet
	defacements   = 430 // many sites of one hoster are defaced in a night
	bankAttack    = 700 // banks are flooded for a week
	cleanUp       = 800 // the largest provider tells its customers for some weeks
	cleanUpEnds   = 850
	sinkholeMoves = 560 // the partner loses most of foxtail's names
	sensorsFail   = 520 // the border sensors are silent for some days
	sensorsBack   = 535
)

const (
	ambergris = iota
	brackish
	copperbot
	duskloader
	emberworm
	foxtail
	glimmer
	hollow
	familyCount
)

// families are made up. Their names are what a reader must find.
var families = [familyCount]family{
	ambergris:  {"ambergris", "Ambergris", "ambergris-loader", "amber-cdn.example", 80, seesHTTP | seesNorth, 80, 50, 45, 50, []point{{0, 2600}, {1000, 600}}, 0},
	brackish:   {"brackish", "Brackish", "brackish-p2p", "brine-gate.example", 443, seesNorth, 0, 100, 8, 45, []point{{0, 400}, {150, 900}, {takedown, 3400}, {takedown + 1, 0}, {1000, 0}}, takedown},
	copperbot:  {"copperbot", "CopperBot", "copperbot", "patina.example", 8080, seesSinkhole | seesHTTP | seesNorth, 60, 60, 25, 70, []point{{0, 1500}, {500, 2200}, {1000, 2400}}, 0},
	duskloader: {"duskloader", "DuskLoader", "dusk;loader", "dusk-update.example", 80, seesHTTP, 100, 0, 30, 30, []point{{0, 900}, {1000, 700}}, 0},
	emberworm:  {"emberworm", "EmberWorm", "emberworm;iot", "ember-ring.example", 23, seesSinkhole | seesHTTP | seesPartner, 300, 300, 0, 40, []point{{0, 0}, {newFamily, 0}, {newFamily + 80, 6000}, {newFamily + 150, 3000}, {1000, 1100}}, newFamily},
	foxtail:    {"foxtail", "Foxtail", "foxtail-stealer", "foxtail-panel.example", 443, seesSinkhole | seesPartner, 0, 50, 25, 60, []point{{0, 1500}, {250, 900}, {600, 2200}, {1000, 1400}}, 0},
	glimmer:    {"glimmer", "Glimmer", "glimmer-android", "glimmer-api.example", 80, seesHTTP | seesNorth, 350, 450, 30, 40, []point{{0, 1000}, {1000, 1100}}, 0},
	hollow:     {"hollow", "Hollow", "hollow", "hollow-irc.example", 6667, seesSinkhole, 0, 0, 45, 4, []point{{0, 80}, {1000, 80}}, 0},
}

// names are what can stand in the malware name of an event; index 0 is none,
// the families follow in order.
var names = func() []string {
	n := []string{""}
	for _, f := range families {
		n = append(n, f.name)
	}
	return append(n, "ssh-brute-force", "telnet-brute-force", "http-scan", "ddos-amplification", "ddos")
}()

const (
	nameFamily = 1 + iota // the first family
	nameSSH    = iota + familyCount
	nameTelnet
	nameWebScan
	nameAmplification
	nameDDoS
)

// service is one exposed service.
type service struct {
	net  *network
	a    address
	port int
	rep  int // the report that lists it
}

// site is a web site that can be hacked.
type site struct {
	domain string // registrable domain; "" if the site is known by its address alone
	place  place
	net    *network // where it is hosted; nil if no address is known
	a      address
}

// hack is one hacked site.
type hack struct {
	site *site
	how  hackKind
	x    uint64 // where in the site
	shy  uint8  // bits by feed: that feed hardly ever finds it
}

type hackKind uint8

const (
	backdoored hackKind = iota
	spreading           // malware
	spreadingBare
	phishing
	defaced
	hackKinds
)

var (
	// hackHazard is how many of 1000 hacked sites are cleaned in a day, and
	// hackArrivals how many are hacked in 1000 days.
	hackHazard   = [hackKinds]int{50, 60, 80, 350, 500}
	hackArrivals = [hackKinds]int{2400, 1800, 400, 2300, 240}
	hackTrend    = []point{{0, 85}, {1000, 115}} // percent of that

	monthPercent   = [12]int{105, 102, 100, 98, 97, 95, 85, 80, 98, 108, 112, 106}
	weekdayPercent = [7]int{86, 104, 104, 102, 101, 98, 88} // from Sunday on

	// servicePorts are where the services of a report listen, serviceStart how
	// many there are on the first day, and serviceHazard how many of 1000 are
	// fixed in a day.
	servicePorts  = map[int][]int{repRDP: {3389, 3389, 3389, 33890}, repTelnet: {23, 23, 2323}, repDNS: {53}, repWebVulnerable: {80, 80, 443, 8080}}
	serviceStart  = map[int]int{repRDP: 60, repTelnet: 55, repDNS: 45, repWebVulnerable: 20}
	serviceHazard = map[int]int{repRDP: 15, repTelnet: 10, repDNS: 12, repWebVulnerable: 30}
	serviceArrive = map[int][]point{
		repRDP:           {{0, 1100}, {1000, 700}},
		repTelnet:        {{0, 500}, {1000, 300}},
		repDNS:           {{0, 520}, {1000, 430}},
		repWebVulnerable: {{0, 500}, {webBug, 500}, {webBug + 5, 9000}, {webBug + 35, 500}, {1000, 500}},
	}
	serviceReports = []int{repRDP, repTelnet, repDNS, repWebVulnerable} // in order, since maps have none

	trades = []string{"bakery", "garage", "florist", "notary", "dentist", "brewery", "tailor", "museum", "theatre", "printer", "joinery", "vineyard"}
)

// mostSites bounds the sites of nobody in particular, which are held in memory.
const mostSites = 300_000

// world is the state of the country on one day.
type world struct {
	geo        *geography
	scale      int // of all numbers, in thousandths
	infections []infection
	population
	services []service
	botnets
	hacks   []hack
	sites   []site // at home; those of organisations first
	claimed int    // how many sites are of organisations
	away    []site // abroad
	lures   []site // phishing sites without a known address
	gateway []int  // running sums of weights for hosting
}

func newWorld(geo *geography, seed uint64, scale int, first Day) *world {
	w := &world{geo: geo, scale: scale, population: newPopulation(seed, scale)}
	d := newDice(seed, "world", 0)
	sum := 0
	for i := range geo.networks[:geo.abroad] {
		if o := geo.networks[i].org; o >= 0 {
			if s := owners[o].sector; s == "hosting" || s == "isp" {
				sum += owners[o].servers
			}
		}
		w.gateway = append(w.gateway, sum)
	}
	host := func() *network { return &geo.networks[d.pick(w.gateway)] }
	for i := range owners {
		o := &owners[i]
		for _, name := range o.domainNames() {
			n := geo.ownerNetwork(o.id)
			if d.hit(400) {
				n = host()
			}
			p := n.place
			p.org = int16(i)
			w.sites = append(w.sites, site{name, p, n, n.host(d)})
		}
	}
	w.claimed = len(w.sites)
	n := host()
	w.sites = append(w.sites, site{"xn--bcher-kva.example", n.place, n, n.host(d)})
	many := max(scale, 100)
	for i := range min(many*3, mostSites) {
		n := host()
		w.sites = append(w.sites, site{fmt.Sprintf("%s-%d.example", trades[d.n(len(trades))], i+1), n.place, n, n.host(d)})
	}
	for i := range many / 5 {
		n := &geo.networks[geo.abroad+d.n(len(geo.networks)-geo.abroad)]
		w.away = append(w.away, site{fmt.Sprintf("parcel-%d.example", i+1), n.place, n, n.host(d)})
	}
	for i := range many / 10 {
		w.lures = append(w.lures, site{fmt.Sprintf("login-secure-%d.example", i+1), place{org: -1, cc: unknownCountry}, nil, address{}})
	}
	w.openBotnets(d)
	for f := range families {
		for range d.times(families[f].start * scale) {
			w.found(d, f, first)
		}
	}
	for _, rep := range serviceReports {
		for range d.times(serviceStart[rep] * scale) {
			w.expose(d, rep)
		}
	}
	for how := range hackKinds {
		for range d.times(hackArrivals[how] * hackTrend[0].value / 100 * scale / hackHazard[how]) {
			w.hack(d, how)
		}
	}
	w.begun, w.begunKept = 0, 0 // before the first day
	return w
}

// home draws a network of people's computers.
func (w *world) home(d dice) *network { return &w.geo.networks[d.pick(w.geo.homes)] }

// rate scales a number for 1000 days and draws for one.
func (w *world) rate(d dice, per1000Days int) int { return d.times(per1000Days * w.scale / 1000) }

func (w *world) expose(d dice, rep int) {
	n := w.home(d)
	if d.hit(450) {
		n = &w.geo.networks[d.pick(w.geo.servers)]
	}
	p := servicePorts[rep]
	w.services = append(w.services, service{n, n.host(d), p[d.n(len(p))], rep})
}

func (w *world) hack(d dice, how hackKind) {
	s := &w.sites[d.n(len(w.sites))]
	if d.hit(200) {
		s = &w.sites[d.n(w.claimed)]
	}
	switch {
	case how == spreadingBare:
		n := w.home(d)
		s = &site{"", n.place, n, n.host(d)}
	case how == phishing && d.hit(250):
		s = &w.lures[d.n(len(w.lures))]
	case how == phishing && d.hit(900), how == spreading && d.hit(300):
		s = &w.away[d.n(len(w.away))]
	}
	w.hacks = append(w.hacks, hack{s, how, d.Uint64(), shyness(d)})
}

// shyness draws which feeds hardly ever find a hacked site.
func shyness(d dice) (bits uint8) {
	if d.hit(50) {
		return 0xff
	}
	for i := range feeds {
		if d.hit(40) {
			bits |= 1 << i
		}
	}
	return bits
}

// step moves the world to the next day, at a thousandth of the time.
func (w *world) step(seed uint64, day Day, at, before int) {
	d := newDice(seed, "step", day)
	w.moveControllers(d, at, before)
	w.moveInfections(d, day, at)

	filter := at >= telnetFilter && before < telnetFilter
	kept := w.services[:0]
	for _, s := range w.services {
		if d.hit(serviceHazard[s.rep]) || filter && s.rep == repTelnet && s.net.asn == owners[1].asn {
			continue
		}
		kept = append(kept, s)
	}
	w.services = kept
	for _, rep := range serviceReports {
		for range w.rate(d, along(serviceArrive[rep], at)) {
			w.expose(d, rep)
		}
	}

	still := w.hacks[:0]
	for _, h := range w.hacks {
		if !d.hit(hackHazard[h.how]) {
			still = append(still, h)
		}
	}
	w.hacks = still
	for how := range hackKinds {
		for range w.rate(d, hackArrivals[how]*along(hackTrend, at)/100) {
			w.hack(d, how)
		}
	}
	if at >= defacements && before < defacements {
		asn := w.geo.ownerNetwork("pixelbarn").asn
		for i := range w.sites {
			if s := &w.sites[i]; s.place.asn == asn && d.hit(100) {
				w.hacks = append(w.hacks, hack{s, defaced, d.Uint64(), shyness(d)})
			}
		}
	}
}

// season is the percentage of the month and of the day of the week.
func season(day Day) int {
	t := day.Time()
	return monthPercent[t.Month()-1] * weekdayPercent[t.Weekday()] / 100
}
