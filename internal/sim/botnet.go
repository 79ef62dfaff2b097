package sim

// controller is one command and control server. It stays itself when it moves.
type controller struct {
	net  *network
	a    address
	a6   address // under which bots with IPv6 reach it
	fam  int
	port int
	gone bool
}

// botnets are the controllers of all families.
type botnets struct {
	controllers []*controller
	known       int // of 1000 controllers, how many a feed can know of
	few         int // scale of their number, in thousandths
	of          [familyCount][]*controller
}

const (
	fewestControllers = 600 // the least scale of the number of controllers
	leastOfFamily     = 2   // controllers of a family that has bots
	homeControllers   = 5   // at scale 1000
	awayControllers   = 40
	controllerEnds    = 10 // of 1000 a day
	controllerMoves   = 15
)

// openBotnets makes the controllers of the first day.
func (w *world) openBotnets(d dice) {
	w.few = max(w.scale, fewestControllers)
	w.known = max(w.scale*1000/w.few, 1)
	for range d.times(homeControllers * w.few) {
		w.command(d, true, 0)
	}
	for range d.times(awayControllers * w.few) {
		w.command(d, false, 0)
	}
	w.staff(d, 0)
}

// lives reports whether anybody runs a family at a thousandth of the time.
func lives(f, at int) bool {
	return (f != brackish || at < takedown) && (f != emberworm || at >= newFamily)
}

// command adds a controller of any family.
func (w *world) command(d dice, home bool, at int) {
	f := d.n(familyCount)
	if !lives(f, at) {
		f = copperbot
	}
	ports := []int{443, 8080, 50050, 4443, families[f].port}
	c := &controller{fam: f, port: ports[d.n(len(ports))]}
	w.settle(d, c, home)
	w.controllers = append(w.controllers, c)
}

// settle gives a controller an address, in a network that has IPv6 too.
func (w *world) settle(d dice, c *controller, home bool) {
	for {
		switch x := d.n(100); {
		case home:
			c.net = &w.geo.networks[d.pick(w.gateway)]
		case x < 25:
			c.net = &w.geo.networks[w.geo.abroad+d.n(2)]
		case x < 40:
			c.net = &w.geo.networks[w.geo.abroad+2+d.n(2)]
		default:
			c.net = &w.geo.networks[w.geo.abroad+d.n(len(w.geo.networks)-w.geo.abroad)]
		}
		if c.net.v6 != 0 {
			break
		}
	}
	c.a, c.a6 = c.net.host(d), c.net.host6(d)
	c.a6.lo = 1
}

// staff sees to it that every family that somebody runs has controllers.
func (w *world) staff(d dice, at int) {
	for f := range w.of {
		w.of[f] = w.of[f][:0]
	}
	for _, c := range w.controllers {
		w.of[c.fam] = append(w.of[c.fam], c)
	}
	for f := range w.of {
		for lives(f, at) && len(w.of[f]) < leastOfFamily {
			c := &controller{fam: f, port: families[f].port}
			w.settle(d, c, false)
			w.controllers = append(w.controllers, c)
			w.of[f] = append(w.of[f], c)
		}
	}
}

// moveControllers ends some controllers, moves others and adds new ones. What a
// sinkhole takes over is no controller any more.
func (w *world) moveControllers(d dice, at, before int) {
	seized := at >= takedown && before < takedown
	keep := w.controllers[:0]
	for _, c := range w.controllers {
		switch {
		case seized && c.fam == brackish, d.hit(controllerEnds):
			c.gone = true
			continue
		case d.hit(controllerMoves):
			w.settle(d, c, d.n(homeControllers+awayControllers) < homeControllers)
		}
		keep = append(keep, c)
	}
	clear(w.controllers[len(keep):])
	w.controllers = keep
	for range d.times(homeControllers * controllerEnds * w.few / 1000) {
		w.command(d, true, at)
	}
	for range d.times(awayControllers * controllerEnds * w.few / 1000) {
		w.command(d, false, at)
	}
	w.staff(d, at)
}

// enlist puts an infection under controllers of its family in the place of those
// that are gone.
func (w *world) enlist(d dice, x *infection) {
	for i := range x.by {
		if c := x.by[i]; c != nil && !c.gone || i == 1 && !x.dual {
			continue
		}
		x.by[i] = nil
		all := w.of[x.fam]
		if len(all) == 0 { // nobody runs the family
			continue
		}
		k := d.n(len(all))
		if all[k] == x.by[1-i] { // a family that is run has at least two
			k = (k + 1) % len(all)
		}
		x.by[i] = all[k]
	}
}
