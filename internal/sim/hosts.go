package sim

import "cmp"

// lease is a length of address assignments and how many of 100 have it.
type lease struct{ days, weight int }

// access is how a network gives its addresses to lines.
type access struct {
	static int     // of 1000 lines, how many keep their address for good
	pool   int     // of 1000 addresses of the network, how many are handed out in turn
	share  int     // lines behind one address of the pool; 0 means one
	leases []lease // of the pool's assignments
	stays  int     // of 1000 infections that are cleaned elsewhere, how many are here; 0 means all
}

// accesses are the networks that hand addresses out in turn, by owner. In all
// others every line keeps its address.
var accesses = map[string]access{
	"simtel":              {100, 600, 0, []lease{{1, 10}, {3, 25}, {7, 30}, {14, 20}, {30, 15}}, 0},
	"norlink":             {200, 600, 0, []lease{{7, 30}, {14, 30}, {30, 25}, {60, 15}}, 0},
	"coastnet":            {50, 100, 0, []lease{{1, 70}, {2, 20}, {7, 10}}, 0}, // a small pool: addresses come again soon
	"valleycable":         {400, 500, 0, []lease{{30, 40}, {60, 40}, {90, 20}}, 0},
	"hillwave":            {0, 30, 32, []lease{{1, 70}, {2, 20}, {4, 10}}, 0}, // carrier-grade NAT
	"islandcom":           {150, 700, 0, []lease{{3, 30}, {7, 40}, {21, 30}}, 0},
	"citifibre":           {800, 200, 0, []lease{{60, 50}, {120, 50}}, 0},
	"fernnet":             {300, 500, 0, []lease{{7, 40}, {21, 40}, {45, 20}}, 0},
	"":                    {0, 800, 0, []lease{{1, 30}, {2, 30}, {5, 40}}, 0},
	"calder-university":   {700, 300, 0, []lease{{7, 50}, {30, 50}}, 0},
	"eastmark-university": {700, 300, 0, []lease{{7, 50}, {30, 50}}, 0},
	"dunmoor-tech":        {0, 8, 64, []lease{{90, 60}, {180, 40}}, 0},               // a campus behind a few addresses
	"mossfibre":           {200, 600, 0, []lease{{20, 30}, {30, 40}, {60, 30}}, 150}, // nobody tells its customers
	"tarnlink":            {100, 600, 0, []lease{{20, 40}, {40, 40}, {60, 20}}, 150}, // nor here
	"eastnet":             {100, 600, 0, []lease{{1, 20}, {3, 40}, {7, 40}}, 0},
	"granite":             {200, 600, 0, []lease{{7, 40}, {14, 30}, {30, 30}}, 0},
	"skyreach":            {0, 60, 16, []lease{{1, 60}, {3, 40}}, 0},
	"orchard":             {150, 600, 0, []lease{{1, 30}, {7, 40}, {14, 30}}, 0},
	"peakline":            {250, 600, 0, []lease{{3, 40}, {7, 30}, {21, 30}}, 0},
	"lowland":             {400, 500, 0, []lease{{30, 50}, {60, 30}, {90, 20}}, 0},
	"saltmarsh":           {100, 700, 0, []lease{{2, 30}, {5, 40}, {10, 30}}, 0},
	"glenmobile":          {0, 80, 16, []lease{{1, 80}, {2, 20}}, 0},
	"copse":               {300, 500, 0, []lease{{14, 50}, {45, 50}}, 0},
}

// lines is how the addresses of a network are given to lines: the first pool
// addresses in turn to dynamic lines, the rest for good to static ones.
type lines struct {
	static, dynamic int // how many lines there are
	pool            int // addresses that are handed out in turn
	share           int // dynamic lines behind one address; 1 if each has its own
	leases          []lease
	stays           int   // of 1000 infections that are cleaned elsewhere, how many are here
	sums            []int // running sums of the leases' weights
	held            []int // the same, weighted by their length: of the leases of one moment
}

func newLines(owner string, size uint32) lines {
	free := int(size) - 2
	a, ok := accesses[owner]
	if !ok {
		return lines{static: (free + 1) / 2, share: 1, stays: 1000}
	}
	l := lines{pool: free * a.pool / 1000, share: max(a.share, 1), leases: a.leases, stays: cmp.Or(a.stays, 1000)}
	l.dynamic = l.pool * l.share * 6 / 10
	l.static = min(l.dynamic*a.static/(1000-a.static), free-l.pool)
	sum, held := 0, 0
	for _, x := range l.leases {
		sum += x.weight
		held += x.weight * x.days
		l.sums, l.held = append(l.sums, sum), append(l.held, held)
	}
	return l
}

// line is a subscriber's access: what has an address. Only lines with an
// infected host are kept.
type line struct {
	id     uint64
	net    *network
	a      address // now
	static bool
	left   int // days until it changes
	day    Day // on which it was last moved
	hosts  int // infected
}

// host is a machine behind a line. Its id is its own for good: it says which
// host of which line of which network it is.
type host struct {
	id       uint64
	line     *line
	families uint16 // bits of those that it is infected with
	active   int    // of 1000 looks, in how many it is there
}

// infection is one family on one host.
type infection struct {
	host  *host
	fam   int
	begun Day
	dual  bool           // commanded from two places
	by    [2]*controller // nil if by nobody
}

// hostID packs a host's identity; line is unique in the network and protocol.
func hostID(n *network, six bool, line, host int) uint64 {
	id := uint64(n.id)<<41 | uint64(line)<<8 | uint64(host) //nolint:gosec // positive and small
	if six {
		id |= 1 << 40
	}
	return id
}

// population is the infected hosts and what they are reached by.
type population struct {
	seed    uint64
	perLine int // hosts behind a line
	hosts   map[uint64]*host
	lines   map[uint64]*line
	taken   map[address]bool // addresses that only one line can have
	begun   int              // infections of the day
	cleaned []Day            // how long those had lasted that ended on the day
	// begunKept and cleanedKept count those of them in networks where all hosts
	// keep an address of their own.
	begunKept, cleanedKept int
}

func newPopulation(seed uint64, scale int) population {
	// The made-up ranges are small: a large country has more hosts behind a
	// line, so that there are enough of them.
	return population{
		seed: seed, perLine: min(3+scale/20_000, 200),
		hosts: map[uint64]*host{}, lines: map[uint64]*line{}, taken: map[address]bool{},
	}
}

// free draws an address of the pool that no other line has. A pool with shared
// addresses gives any.
func (p *population) free(d dice, n *network, six bool) address {
	for {
		a := address{0, uint64(n.base) + 1 + uint64(d.n(n.lines.pool))} //nolint:gosec // positive
		if six {
			a = address{n.v6 | 1<<(63-n.v6net) | uint64(d.n(1<<(63-n.v6net))), 0} //nolint:gosec // positive
		} else if n.lines.share > 1 {
			return a
		}
		if !p.taken[a] { // at most six of ten are
			p.taken[a] = true
			return a
		}
	}
}

// acquire returns a host that is to be infected, with the line that it is behind.
func (p *population) acquire(d dice, n *network, id uint64, day Day) *host {
	h := p.hosts[id]
	if h != nil {
		return h
	}
	l := p.lines[id>>8]
	if l == nil {
		l = &line{id: id >> 8, net: n, day: day}
		number := int(id >> 8 & 0xffffffff)
		six := id>>40&1 == 1
		switch {
		case number >= n.lines.static:
			k := d.pick(n.lines.held) // in the midst of an assignment
			l.left = 1 + d.n(n.lines.leases[k].days)
			l.a = p.free(d, n, six)
		case six:
			l.static, l.a = true, address{n.v6 | uint64(number+1), 0}
		default:
			l.static, l.a = true, address{0, uint64(n.base) + 1 + uint64(n.lines.pool+number)} //nolint:gosec // positive
		}
		p.lines[l.id] = l
	}
	l.hosts++
	h = &host{id: id, line: l, active: 400 + int(mix(id^p.seed)%601)}
	p.hosts[id] = h
	return h
}

// release forgets a host that is clean, and its line if no other is infected.
func (p *population) release(h *host) {
	delete(p.hosts, h.id)
	if h.line.hosts--; h.line.hosts == 0 {
		delete(p.lines, h.line.id)
		delete(p.taken, h.line.a)
	}
}

// move gives a line its address of the day.
func (p *population) move(d dice, l *line, day Day) {
	if l.static || l.day == day {
		return
	}
	l.day = day
	if l.left--; l.left > 0 {
		return
	}
	old := l.a
	l.left = l.net.lines.leases[d.pick(l.net.lines.sums)].days
	l.a = p.free(d, l.net, old.is6())
	delete(p.taken, old)
}

// victim draws a host that a family infects next: most often any, at times one
// that has another family, or another one behind the same line.
func (w *world) victim(d dice, f int) (*network, uint64) {
	if x := d.n(1000); x < 70 && len(w.infections) > 0 {
		h := w.infections[d.n(len(w.infections))].host
		if x < 30 {
			return h.line.net, h.id
		}
		return h.line.net, h.line.id<<8 | uint64(d.n(w.perLine)) //nolint:gosec // positive
	}
	n := w.home(d)
	if d.hit(families[f].mobile) {
		n = w.geo.mobiles[d.n(len(w.geo.mobiles))]
	}
	six := n.v6 != 0 && d.hit(families[f].v6)
	return n, hostID(n, six, d.n(n.lines.static+n.lines.dynamic), d.n(w.perLine))
}

// infect adds an infection, unless no host is found that does not have it.
func (w *world) infect(d dice, f int, day Day) {
	for range 8 {
		if n, id := w.victim(d, f); w.infectHost(d, n, id, f, day) {
			return
		}
	}
}

// infectHost adds an infection of a host that does not have it.
func (w *world) infectHost(d dice, n *network, id uint64, f int, day Day) bool {
	if h := w.hosts[id]; h != nil && h.families>>f&1 == 1 {
		return false
	}
	h := w.acquire(d, n, id, day)
	h.families |= 1 << f
	x := infection{host: h, fam: f, begun: day, dual: d.hit(300)}
	w.enlist(d, &x)
	w.infections = append(w.infections, x)
	if w.begun++; n.keeps {
		w.begunKept++
	}
	return true
}

// found makes the infections of a family that are there before the first day:
// more where they stay for longer.
func (w *world) found(d dice, f int, first Day) {
	at := len(w.infections)
	w.infect(d, f, first)
	for i := at; i < len(w.infections); i++ {
		x := &w.infections[i]
		n := x.host.line.net
		x.begun = first - 1 - d.age(families[f].hazard*n.lines.stays)
		if i > at {
			continue
		}
		for range d.times(1000_000/n.lines.stays - 1000) {
			w.infectHost(d, n, hostID(n, false, d.n(n.lines.static+n.lines.dynamic), d.n(w.perLine)), f, first)
		}
	}
}

// moveInfections gives hosts their address of the day, cleans some and infects
// others.
func (w *world) moveInfections(d dice, day Day, at int) {
	w.begun, w.cleaned = 0, w.cleaned[:0]
	w.begunKept, w.cleanedKept = 0, 0
	for i := range w.infections {
		w.move(d, w.infections[i].host.line, day)
		w.enlist(d, &w.infections[i])
	}
	keep := w.infections[:0]
	for _, x := range w.infections {
		n := x.host.line.net
		h := families[x.fam].hazard * n.lines.stays
		if at >= cleanUp && at < cleanUpEnds && n.asn == owners[0].asn {
			h *= 3
		}
		if !d.rare(h) {
			keep = append(keep, x)
			continue
		}
		if w.cleaned = append(w.cleaned, day-x.begun); n.keeps {
			w.cleanedKept++
		}
		if x.host.families &^= 1 << x.fam; x.host.families == 0 {
			w.release(x.host)
		}
	}
	clear(w.infections[len(keep):])
	w.infections = keep
	for f := range families {
		for range w.rate(d, along(families[f].arrive, at)*season(day)/100) {
			w.infect(d, f, day)
		}
	}
}
