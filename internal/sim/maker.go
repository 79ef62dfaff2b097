package sim

import (
	"bytes"
	"cmp"
	"fmt"
	"iter"
	"slices"
	"time"
)

// rowsPerDay is how many rows a day has at scale 1000, measured over 13 months.
const rowsPerDay = 670

// kind is what a row says is wrong: a row of the table kinds.
type kind uint8

const (
	kindInfected kind = iota
	kindController
	kindBeacon
	kindBackdoored
	kindSpreading
	kindPhishing
	kindDefaced
	kindExposed
	kindBruteForce
	kindScan
	kindVictim
	kindSpeech
)

// row is one observation on its way into a report.
type row struct {
	t        int64   // seconds since 1970
	a        address // of the subject; zero if only its name is known
	port     int
	net      *network // where a is; nil if unknown
	place    place    // what the reference data say of the subject
	kind     kind
	name     int    // index of names
	site     *site  // of rows that concern a site
	path     uint64 // where in the site
	peer     address
	peerNet  *network
	peerPort int
	x        uint64 // what fills the cells that decide nothing
}

// unique tells rows of one report and day apart, whatever columns a reader
// takes as identity: the address or path, and the time or port.
type unique struct{ a, b, c uint64 }

// maker makes the deliveries of a country in order.
type maker struct {
	c       *Country
	truth   *Truth // nil if nobody asks
	w       *world
	day     Day
	date    []byte // the day's YYYY-MM-DD
	at      int    // thousandth of the time
	clock   time.Time
	rows    [reportCount][]row
	seen    [reportCount]map[unique]struct{}
	layouts [reportCount][2]layout
	cells   sheet
	revised bool // the feed sends a file again with other annotations
	dropped bool // the fault has struck
	shift   int64
	sizes   [reportCount]int // of the last delivery, to reserve
	week    []row            // what the hub sends next
}

func newMaker(c *Country, t *Truth) *maker {
	m := &maker{c: c, truth: t, w: c.world()}
	for i := range reports {
		m.layouts[i] = [2]layout{newLayout(reports[i].before), newLayout(reports[i].after)}
		m.seen[i] = map[unique]struct{}{}
	}
	return m
}

func (m *maker) run(yield func(Delivery) bool) {
	for day, at := range m.c.days(m.w) {
		m.day, m.at = day, at
		m.date = m.day.Time().AppendFormat(m.date[:0], time.DateOnly)
		m.clock = m.day.Time().Add(27 * time.Hour)
		m.observe()
		for r := range m.rows {
			if len(m.rows[r]) > 0 && !m.deliver(r, yield) {
				return
			}
		}
	}
}

// world returns the state of the country on the first day.
func (c *Country) world() *world {
	n := int(c.to-c.from) + 1
	return newWorld(c.geo, c.cfg.Seed, max(c.cfg.Rows*1000/(n*rowsPerDay), 1), c.from)
}

// days moves a world through all days, and gives the thousandth of the time
// with each. Nobody who looks at the world changes it.
func (c *Country) days(w *world) iter.Seq2[Day, int] {
	return func(yield func(Day, int) bool) {
		last := int(c.to - c.from)
		at := 0
		for i := range last + 1 {
			day, before := c.from+Day(i), at
			if last > 0 {
				at = i * 1000 / last
			}
			if i > 0 {
				w.step(c.cfg.Seed, day, at, before)
			}
			if !yield(day, at) {
				return
			}
		}
	}
}

// add puts a row into a report unless the report has one like it already.
func (m *maker) add(rep int, r row, u unique) {
	if _, ok := m.seen[rep][u]; ok {
		return
	}
	m.seen[rep][u] = struct{}{}
	m.rows[rep] = append(m.rows[rep], r)
}

func (m *maker) addTimed(rep int, r row) {
	m.add(rep, r, unique{r.a.hi, r.a.lo, uint64(r.t)}) //nolint:gosec // after 1970
}

// midnight is the first second of the day.
func (m *maker) midnight() int64 { return int64(m.day) * secondsOfOneDay }

// observe fills the reports of the day from the state of the world.
func (m *maker) observe() {
	for r := range m.rows {
		m.rows[r] = m.rows[r][:0]
		clear(m.seen[r])
	}
	d := newDice(m.c.cfg.Seed, "observe", m.day)
	now := func() int64 { return m.midnight() + int64(d.n(secondsOfOneDay)) }
	season := season(m.day)
	w := m.w

	m.observeInfections(d, now, season)

	for i := range w.services {
		s := &w.services[i]
		if d.hit(930) {
			r := row{t: now(), a: s.a, port: s.port, net: s.net, place: s.net.place, kind: kindExposed, x: d.Uint64()}
			m.add(s.rep, r, unique{s.a.hi, s.a.lo, uint64(s.port)}) //nolint:gosec // positive
		}
	}

	for _, c := range w.controllers {
		r := row{t: now(), a: c.a, port: c.port, net: c.net, place: c.net.place, kind: kindController, name: nameFamily + c.fam, x: d.Uint64()}
		if d.hit(600 * w.known / 1000) {
			m.partner(d, r)
		}
		if c.net.cc == 0 && d.hit(700*w.known/1000) {
			r.t, r.kind, r.name, r.x = now(), kindBeacon, 0, d.Uint64()
			m.add(repBeacon, r, unique{c.a.hi, c.a.lo, uint64(c.port)}) //nolint:gosec // positive
		}
	}

	m.observeAttacks(d, now, season)
	m.observeSites(d, now)
	m.passOn()
}

// observeAttacks fills the honeypots' reports.
func (m *maker) observeAttacks(d dice, now func() int64, season int) {
	w := m.w
	sensor := func() *network { return &w.geo.networks[w.geo.abroad+d.n(len(w.geo.networks)-w.geo.abroad)] }
	attacker := func() (*network, address) {
		if len(w.infections) > 0 && d.hit(700) { // bots attack
			if l := w.infections[d.n(len(w.infections))].host.line; !l.a.is6() {
				return l.net, l.a
			}
		}
		n := w.home(d)
		return n, n.host(d)
	}
	attack := func(rep int, k kind, name, peerPort int) {
		n, a := attacker()
		s := sensor()
		r := row{t: now(), a: a, port: 1024 + d.n(64000), net: n, place: n.place, kind: k, name: name, peer: s.host(d), peerNet: s, peerPort: peerPort, x: d.Uint64()}
		m.addTimed(rep, r)
	}
	for range w.rate(d, 48000*season/100) {
		if d.hit(300) {
			attack(repBrute, kindBruteForce, nameTelnet, 23)
		} else {
			attack(repBrute, kindBruteForce, nameSSH, 22)
		}
	}
	for range w.rate(d, 32000*season/100) {
		attack(repWebScan, kindScan, nameWebScan, 80)
	}
	flood := 1
	if m.at >= bankAttack && m.at < bankAttack+20 {
		flood = 4
	}
	for range w.rate(d, 12000*flood) {
		n := &w.geo.networks[d.pick(w.geo.servers)]
		if flood > 1 && d.hit(700) {
			n = w.geo.ownerNetwork("first-bank")
		}
		s := sensor()
		r := row{t: now(), a: n.host(d), port: 80 + 363*d.n(2), net: n, place: n.place, kind: kindVictim, name: nameDDoS, peer: s.host(d), peerNet: s, peerPort: 1024 + d.n(64000), x: d.Uint64()}
		m.addTimed(repTarget, r)
	}
	for range w.rate(d, 10000) {
		n := w.home(d)
		r := row{t: now(), a: n.host(d), net: n, place: n.place, kind: kindVictim, name: nameAmplification, peerPort: []int{53, 123, 389, 1900}[d.n(4)], x: d.Uint64()}
		m.addTimed(repAmp, r)
	}
	for range w.rate(d, 11000) { // the partner's own honeypots, attacked from abroad
		s, n := sensor(), w.home(d)
		m.partner(d, row{t: now(), a: s.host(d), port: 1024 + d.n(64000), net: s, place: s.place, kind: kindBruteForce, peer: n.host(d), peerNet: n, peerPort: 22, x: d.Uint64()})
	}
}

// observeSites fills the reports of hacked sites.
func (m *maker) observeSites(d dice, now func() int64) {
	for i := range m.w.hacks {
		h := &m.w.hacks[i]
		r := row{a: h.site.a, net: h.site.net, place: h.site.place, site: h.site, port: 443}
		finds := func(feed, permille int) bool {
			if h.shy>>feed&1 == 1 {
				permille /= 50
			}
			return d.hit(permille)
		}
		for k := range uint64(3) {
			r.t, r.x, r.path = now(), d.Uint64(), mix(h.x+k)
			u := unique{1, r.path, 0}
			again := d.hit(250) // another page of the same site
			switch h.how {
			case backdoored:
				r.kind = kindBackdoored
				if r.name = 0; d.hit(300) {
					r.name = nameFamily + int(h.x%familyCount)
				}
				if finds(feedShadowserver, 165) {
					m.add(repCompromised, r, u)
				}
				if finds(feedPartner, 160) {
					m.partner(d, r)
				}
			case spreading, spreadingBare:
				r.kind, r.name = kindSpreading, 0
				if h.how == spreadingBare {
					r.port = 1024 + int(h.x%60000)
				}
				if finds(feedShadowserver, 175) {
					m.add(repMalwareURL, r, u)
				}
				if finds(feedPartner, 170) {
					m.partner(d, r)
				}
			case phishing:
				r.kind, r.name = kindPhishing, 0
				if finds(feedPartner, 750) {
					m.partner(d, r)
				}
			default:
				r.kind, r.name = kindDefaced, 0
				if finds(feedPartner, 800) {
					m.partner(d, r)
				}
			}
			if !again {
				break
			}
		}
	}
	for range m.w.rate(d, 3000) { // not for tocsin to count
		s := &m.w.sites[d.n(len(m.w.sites))]
		m.partner(d, row{t: now(), a: s.a, net: s.net, place: s.place, site: s, kind: kindSpeech, path: d.Uint64(), x: d.Uint64()})
	}
}

// partner adds a row to the partner's feed, which is late at times.
func (m *maker) partner(d dice, r row) {
	if d.hit(80) {
		r.t = max(r.t-int64(1+d.n(4))*secondsOfOneDay, int64(m.c.from)*secondsOfOneDay+r.t%secondsOfOneDay)
	}
	r.x = mix(r.x + 1)
	m.add(repIDF, r, unique{r.a.hi ^ r.path, r.a.lo, uint64(r.t)<<8 | uint64(r.kind)}) //nolint:gosec // after 1970
}

// deliver writes a report of the day and yields it, at times twice.
func (m *maker) deliver(rep int, yield func(Delivery) bool) bool {
	rows := m.rows[rep]
	slices.SortStableFunc(rows, func(a, b row) int { return cmp.Compare(a.t, b.t) })
	d := newDice(m.c.cfg.Seed, feeds[reports[rep].feed].Name+"/"+reports[rep].name, m.day)
	again := d.hit(12)
	bytesAgain := d.hit(500)
	if d.hit(lost[reports[rep].feed]) {
		return true
	}

	faulty := m.at >= faultyPermille && !m.dropped && !again
	m.shift = 0
	drop := false
	switch {
	case faulty && m.c.cfg.Fault == DropRow && reports[rep].name == dropRowReport:
		m.dropped, drop = true, true
	case faulty && m.c.cfg.Fault == DayOff && reports[rep].name == dayOffReport:
		m.dropped, m.shift = true, secondsOfOneDay
	}

	del, n := m.write(rep, rows, d, drop)
	if m.truth != nil {
		for i := range rows {
			m.truth.event(rep, &rows[i])
		}
		m.truth.delivery(&del, n)
	}
	if !yield(del) {
		return false
	}
	if !again {
		return true
	}
	n.Duplicate += n.Accepted
	n.Accepted, n.Outside = 0, 0
	second := del
	if bytesAgain {
		second.Bytes = bytes.Clone(del.Bytes)
		second.Received = m.received()
	} else {
		m.revised = true
		d = newDice(m.c.cfg.Seed, feeds[reports[rep].feed].Name+"/"+reports[rep].name, m.day)
		for range 3 { // as above
			d.n(1000)
		}
		second, _ = m.write(rep, rows, d, false)
		m.revised = false
	}
	if m.truth != nil {
		m.truth.delivery(&second, n)
	}
	return yield(second)
}

// received is the time of the next delivery: some minutes after the last.
func (m *maker) received() time.Time {
	m.clock = m.clock.Add(7 * time.Minute)
	return m.clock
}

// write renders a report. Among its rows are some that come twice and, in some
// files, one or two that no reader can make an event of.
func (m *maker) write(rep int, rows []row, d dice, drop bool) (Delivery, DeliveryCount) {
	r := &reports[rep]
	del := Delivery{Feed: feeds[r.feed].Name, Format: feeds[r.feed].Format, Report: r.name, Day: m.day, Received: m.received()}
	var n DeliveryCount
	crlf := d.hit(50)
	bad := 0
	if d.hit(15) {
		bad = 1 + d.n(2)
	}
	b := make([]byte, 0, m.sizes[rep]+m.sizes[rep]/4+1024)
	var l *layout
	if r.name == "" {
		del.Name = fmt.Sprintf("%s-%s.jsonl", feeds[r.feed].Name, m.date)
	} else {
		del.Name = fmt.Sprintf("%s-%s-simuland-geo.csv", m.date, r.name)
		if r.feed == feedNorth {
			del.Name = fmt.Sprintf("%s-%s-north-simuland.csv", m.date, r.name)
		}
		l = &m.layouts[rep][0]
		if m.at >= layoutChanges {
			l = &m.layouts[rep][1]
		}
		b = append(b, l.header...)
		b = endLine(b, crlf)
	}
	var later []int // rows that come again at the end
	for i := range rows {
		twice := d.hit(7)
		atEnd := twice && d.hit(500)
		from := len(b)
		b = m.line(b, rep, l, &rows[i], d, 0, crlf)
		to := len(b)
		if drop && !twice {
			drop, b = false, b[:from]
		}
		n.Received, n.Accepted = n.Received+1, n.Accepted+1
		if rows[i].kind == kindSpeech {
			n.Outside++
		}
		switch {
		case atEnd:
			later = append(later, i)
		case twice:
			b = append(b, b[from:to]...)
			n.Received, n.Duplicate = n.Received+1, n.Duplicate+1
		}
		if bad > 0 && d.n(len(rows)) < 2 {
			bad--
			b = m.line(b, rep, l, &rows[i], d, 1+d.n(3), crlf)
			n.Received, n.Quarantined = n.Received+1, n.Quarantined+1
		}
	}
	for _, i := range later {
		b = m.line(b, rep, l, &rows[i], d, 0, crlf)
		n.Received, n.Duplicate = n.Received+1, n.Duplicate+1
	}
	m.sizes[rep] = len(b)
	del.Bytes = b
	return del, n
}

func endLine(b []byte, crlf bool) []byte {
	if crlf {
		b = append(b, '\r')
	}
	return append(b, '\n')
}

// line renders one row; broken is 0 or the way in which it is broken.
func (m *maker) line(b []byte, rep int, l *layout, r *row, d dice, broken int, crlf bool) []byte {
	if reports[rep].name == "" {
		return endLine(m.appendIDF(b, rep, r, d, broken), crlf)
	}
	s := &m.cells
	s.reset()
	s.begin(colTimestamp)
	s.text = append(s.text, '"')
	s.text = m.appendTime(s.text, r.t-m.shift, ' ')
	s.text = append(s.text, '"')
	s.end(colTimestamp)
	s.str(colSeverity, reports[rep].severity)
	reports[rep].fill(m, s, r)
	if broken == 2 && reports[rep].subject == colOther {
		broken = 1
	}
	switch broken {
	case 1:
		s.str(colTimestamp, badTimes[d.n(len(badTimes))])
	case 2:
		s.str(reports[rep].subject, badAddresses[d.n(len(badAddresses))])
		s.str(colHostname, "")
		s.str(colSrcHostname, "")
	case 3: // a quote that nobody closes
		b = s.write(b, l, 4+d.n(4))
		b = append(b, `,"gone`...)
		return endLine(b, crlf)
	}
	return endLine(s.write(b, l, len(l.columns)), crlf)
}

var (
	badTimes     = []string{"", "yesterday", "2026-02-30 00:00:00", "0001-01-01 00:00:00", "9999-12-31 23:59:59", "1969-12-31 12:00:00"}
	badAddresses = []string{"", "n/a", "198.18.999.1", "not an address"}
)

// appendTime appends a time in UTC; sep stands between date and time of day.
func (m *maker) appendTime(b []byte, t int64, sep byte) []byte {
	s := t - m.midnight()
	if s >= 0 && s < secondsOfOneDay {
		b = append(b, m.date...)
	} else {
		b = time.Unix(t, 0).UTC().AppendFormat(b, time.DateOnly)
	}
	b = append(b, sep)
	return appendClock(b, int(((s%secondsOfOneDay)+secondsOfOneDay)%secondsOfOneDay))
}
