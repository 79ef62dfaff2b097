package sim

import (
	"fmt"
	"slices"
)

// Of 100 people in a place, how many use the Internet; and how many use one
// line of an access network.
const (
	usersPerLine     = 5 // of two lines
	usersPer100      = 82
	regionStep       = 3 // by which regions differ in that
	leaseSample      = 200
	oldLeaseSample   = 60
	leaseWindow      = 28 // days
	assignedForGood  = 3650
	oldLeasesPercent = 75 // of the lengths of today
)

// elsewhere are the access networks that serve regions beside that of their
// organisation, and how many of 100 users are there.
var elsewhere = map[string][]struct {
	region string
	users  int
}{
	"simtel":   {{"Eastmark", 12}, {"Highvale", 6}, {"Dunmoor", 6}},
	"hillwave": {{"Eastmark", 10}, {"Calder", 20}},
	"":         {{"Highvale", 100}},
}

// access lists the networks of people's computers at home, in order.
func (g *geography) access() (list []*network) {
	for i := range g.networks[:g.abroad] {
		n := &g.networks[i]
		if n.org < 0 || owners[n.org].in == "" && (owners[n.org].sector == "isp" || owners[n.org].sector == "telecom") {
			list = append(list, n)
		}
	}
	return list
}

// Users returns the Internet users of each access network in each region as a
// CSV with the header asn,region,users,population. Population is the people of
// the region whom the network serves: both columns sum up over networks.
func (c *Country) Users() []byte {
	var regions []string
	for i := range owners {
		if r := owners[i].region; r != "" && !slices.Contains(regions, r) {
			regions = append(regions, r)
		}
	}
	b := []byte("asn,region,users,population\n")
	for _, n := range c.geo.access() {
		id, home := "", ""
		if n.org >= 0 {
			id, home = owners[n.org].id, owners[n.org].region
		}
		users := (n.lines.static + n.lines.dynamic) * usersPerLine / 2
		put := func(region string, users int) {
			share := usersPer100 - regionStep*slices.Index(regions, region)
			if users > 0 {
				b = fmt.Appendf(b, "%d,%s,%d,%d\n", n.asn, region, users, users*100/share)
			}
		}
		left := users
		for _, e := range elsewhere[id] {
			put(e.region, users*e.users/100)
			left -= users * e.users / 100
		}
		put(home, left)
	}
	return b
}

// own lists the networks at home that have an AS of their own.
func (g *geography) own() (list []*network) {
	for i := range g.networks[:g.abroad] {
		if n := &g.networks[i]; n.org < 0 || owners[n.org].in == "" {
			list = append(list, n)
		}
	}
	return list
}

// Networks returns how each AS at home gives addresses to hosts, as a CSV with
// the header asn,pool,assignment,shared: how many IPv4 addresses it hands out in
// turn (or for good, if all are), static or dynamic, and yes if hosts share
// addresses.
func (c *Country) Networks() []byte {
	b := []byte("asn,pool,assignment,shared\n")
	for _, n := range c.geo.own() {
		pool, assignment, shared := n.lines.pool, "dynamic", "no"
		if pool == 0 {
			pool, assignment = int(n.size), "static"
		}
		if n.lines.share > 1 {
			shared = "yes"
		}
		b = fmt.Appendf(b, "%d,%d,%s,%s\n", n.asn, pool, assignment, shared)
	}
	return b
}

// Leases returns the lengths of assignments of each AS at home as a CSV with the
// header asn,days,weight,table. Table "" is a sample of those that are active
// within 28 days, in full length, a row each; 3650 days stand for lines that
// keep their address. Table "old" is what somebody measured years ago.
func (c *Country) Leases() []byte {
	b := []byte("asn,days,weight,table\n")
	d := newDice(c.cfg.Seed, "leases", 0)
	for _, n := range c.geo.own() {
		for _, days := range n.lines.sample(d, leaseSample) {
			b = fmt.Appendf(b, "%d,%d,1,\n", n.asn, days)
		}
		for _, days := range n.lines.sample(d, oldLeaseSample) {
			if days != assignedForGood {
				days = max(days*oldLeasesPercent/100, 1)
			}
			b = fmt.Appendf(b, "%d,%d,1,old\n", n.asn, days)
		}
	}
	return b
}

// sample draws lines until at least n of their assignments were active within
// the window, and returns the lengths of all of these.
func (l *lines) sample(d dice, n int) (days []int) {
	for len(days) < n {
		if d.n(l.static+l.dynamic) < l.static {
			days = append(days, assignedForGood)
			continue
		}
		length := l.leases[d.pick(l.held)].days
		days = append(days, length)
		for left := 1 + d.n(length); left < leaseWindow; left += length {
			length = l.leases[d.pick(l.sums)].days
			days = append(days, length)
		}
	}
	return days
}
