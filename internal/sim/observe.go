package sim

import "time"

// reach says in how many of 1000 cases a feed sees what its share of the
// traffic lets it see in a network, by the network's owner; 1000 if nothing is
// said. Inner networks share the reach of the one they lie in.
var reach = [...]map[string]int{
	feedShadowserver: {"valleycable": 500, "fernnet": 0, "hillwave": 700},
	feedNorth:        {"hillwave": 200, "coastnet": 400, "valleycable": 1300, "fernnet": 1300},
	feedPartner:      {"coastnet": 200, "norlink": 500, "islandcom": 0, "gov-network": 1800},
	feedHub:          {},
	feedBorder:       {},
}

// lost says of how many of 1000 deliveries of a feed nobody hears again.
var lost = [...]int{feedShadowserver: 3, feedNorth: 10, feedPartner: 15, feedHub: 20, feedBorder: 5}

// hubOpens is a second of the day.
const hubOpens = 8 * 3600

// sensorNetworks are the AS numbers at whose borders the sensors stand.
var sensorNetworks = [...]uint32{64512, 64513, 64521, 64528}

func watched(n *network) bool {
	for _, asn := range sensorNetworks {
		if n.asn == asn {
			return true
		}
	}
	return false
}

// reaches gives a feed's reach into a network of the country.
func (g *geography) reaches(feed int, n *network) int { return g.reach[feed][n.id] }

func (g *geography) setReach() {
	g.reach = make([][]int, len(feeds))
	for f := range g.reach {
		byAS := map[uint32]int{}
		for owner, permille := range reach[f] {
			byAS[g.ownerNetwork(owner).asn] = permille
		}
		for i := range g.networks {
			permille, ok := byAS[g.networks[i].asn]
			if !ok {
				permille = 1000
			}
			g.reach[f] = append(g.reach[f], permille)
		}
	}
}

// sinkholes is the network of the operator whose sinkholes they are: 256
// addresses of it for each report.
func (g *geography) sinkholes() *network { return &g.networks[g.abroad] }

// observeInfections fills the reports of infected hosts.
func (m *maker) observeInfections(d dice, now func() int64, season int) {
	w := m.w
	operator := w.geo.sinkholes()
	north := m.at >= takedown && (m.at < outageBegins || m.at >= outageEnds)
	sensors := m.at < sensorsFail || m.at >= sensorsBack
	for i := range w.infections {
		x := &w.infections[i]
		f := &families[x.fam]
		l := x.host.line
		bot := func() row {
			r := row{t: now(), a: l.a, port: 1024 + d.n(64000), net: l.net, place: l.net.place, kind: kindInfected, name: nameFamily + x.fam, peerNet: operator, peerPort: f.port, x: d.Uint64()}
			if r.a.is6() {
				r.a.lo = d.Uint64()
			}
			return r
		}
		// there draws whether a feed sees the host today.
		there := func(feed, permille int) bool {
			return d.hit(permille * season / 100 * x.host.active / 1000 * w.geo.reaches(feed, l.net) / 1000)
		}
		if sensors && watched(l.net) {
			m.observeControl(x, bot, there)
		}
		if m.at < f.from {
			continue
		}
		see := func(rep, permille int) {
			if !there(reports[rep].feed, permille) {
				return
			}
			for n := 1; ; n++ {
				r := bot()
				r.peer = address{0, uint64(operator.base) + 256*uint64(rep) + uint64(x.fam)} //nolint:gosec // positive
				if r.a.is6() {
					r.peer = address{operator.v6, uint64(x.fam) + 1} //nolint:gosec // positive
				}
				m.addTimed(rep, r)
				if n == 6 || !d.hit(350) {
					return
				}
			}
		}
		switch {
		case l.a.is6():
			if f.bits&seesHTTP != 0 {
				see(repSinkholeHTTP6, 900)
			}
			continue
		case f.bits&seesHTTP != 0:
			see(repSinkholeHTTP, 900)
		}
		if f.bits&seesSinkhole != 0 {
			see(repSinkhole, 850)
		}
		if f.bits&seesNorth != 0 && north {
			see(repNorth, 700)
		}
		permille := 450
		switch {
		case x.fam == foxtail && m.at < sinkholeMoves:
			permille = 800
		case x.fam == foxtail:
			permille = 160
		}
		if f.bits&seesPartner != 0 && there(feedPartner, permille) {
			r := bot()
			r.peer = address{0, uint64(operator.base) + 7}
			m.partner(d, r)
		}
	}
}

// observeControl fills the report of the border sensors: a bot with each of its
// controllers.
func (m *maker) observeControl(x *infection, bot func() row, there func(feed, permille int) bool) {
	for _, c := range x.by {
		if c == nil || !there(feedBorder, 800) {
			continue
		}
		r := bot()
		r.peer, r.peerNet, r.peerPort = c.a, c.net, c.port
		if r.a.is6() {
			r.peer = c.a6
		}
		if m.c.cfg.Fault == WrongController && x.fam == copperbot {
			r.peerNet = m.w.geo.sinkholes()
			r.peer = address{0, uint64(r.peerNet.base) + 8}
		}
		m.add(repBorder, r, unique{r.a.hi ^ r.peer.lo<<1, r.a.lo ^ r.peer.hi, uint64(r.t)}) //nolint:gosec // after 1970
	}
}

// passOn lets the hub take its part of the sinkhole reports of the day, and send
// those of a week on Mondays. It leaves out what was seen on a Tuesday before
// eight, as that would be older than a week when it arrives.
func (m *maker) passOn() {
	weekday := m.day.Time().Weekday()
	for _, rep := range []int{repSinkhole, repSinkholeHTTP} {
		for _, r := range m.rows[rep] {
			if o := r.place.org; o < 0 || mix(r.x)%1000 >= 150 && (owners[o].sector == "isp" || owners[o].sector == "telecom") {
				continue
			}
			if weekday == time.Tuesday && r.t-m.midnight() < hubOpens {
				continue
			}
			r.x = mix(r.x + 2)
			m.week = append(m.week, r)
		}
	}
	if weekday == time.Monday {
		m.rows[repHub] = append(m.rows[repHub], m.week...)
		m.week = m.week[:0]
	}
}
