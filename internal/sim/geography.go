package sim

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
)

// owner is one row of the constituency, or of the networks that nobody of the
// constituency answers for (id "").
type owner struct {
	id, name       string
	sector, region string
	asn            uint32 // its own AS; 0 if it lies in the network of another
	in             string // id of that other
	bits           int    // length of its IPv4 prefix
	v6             bool   // has an IPv6 /40
	byAS           bool   // the organisation list names its AS instead of its prefixes
	homes          int    // weight as a place of people's computers
	servers        int    // weight as a place of servers
	domains        int    // how many domains it claims
}

// owners are made up. Regions are the eight provinces of Simuland.
var owners = []owner{
	{"simtel", "Simuland Telecom", "isp", "Calder", 64512, "", 18, true, false, 165, 20, 0},
	{"norlink", "Norlink Broadband", "isp", "Bracken", 64513, "", 18, true, false, 110, 15, 0},
	{"coastnet", "Coastnet", "isp", "Amber Coast", 64514, "", 18, true, false, 85, 10, 0},
	{"valleycable", "Valley Cable", "isp", "Highvale", 64515, "", 19, true, false, 60, 8, 0},
	{"hillwave", "Hillwave Mobile", "telecom", "Dunmoor", 64516, "", 19, true, false, 70, 2, 0},
	{"islandcom", "Island Communications", "isp", "Greywater", 64517, "", 20, false, false, 35, 4, 0},
	{"citifibre", "Citifibre", "isp", "Calder", 64518, "", 20, true, false, 40, 10, 0},
	{"fernnet", "Fernholt Community Net", "isp", "Fernholt", 64519, "", 20, true, false, 30, 4, 0},
	{"", "Openair Wireless", "", "", 64520, "", 20, false, false, 25, 6, 0},
	{"calder-university", "University of Calder", "education", "Calder", 64521, "", 21, true, false, 22, 20, 4},
	{"eastmark-university", "Eastmark University", "education", "Eastmark", 64522, "", 21, true, false, 16, 14, 4},
	{"dunmoor-tech", "Dunmoor Institute of Technology", "education", "Dunmoor", 64523, "", 21, false, true, 12, 10, 3},
	{"bracken-college", "Bracken College", "education", "Bracken", 0, "norlink", 26, false, false, 4, 3, 3},
	{"stackyard", "Stackyard Hosting", "hosting", "Calder", 64524, "", 21, true, false, 4, 70, 0},
	{"boxhost", "Boxhost", "hosting", "Eastmark", 64525, "", 21, true, false, 4, 60, 0},
	{"greyrack", "Greyrack Colocation", "hosting", "Greywater", 64526, "", 21, true, false, 4, 50, 0},
	{"pixelbarn", "Pixelbarn Web", "hosting", "Amber Coast", 64527, "", 22, true, false, 2, 40, 0},
	{"gov-network", "Government Network Agency", "government", "Calder", 64528, "", 21, true, false, 4, 8, 4},
	{"ministry-finance", "Ministry of Finance", "government", "Calder", 0, "gov-network", 24, false, false, 3, 3, 4},
	{"ministry-health", "Ministry of Health", "government", "Calder", 0, "gov-network", 24, false, false, 3, 3, 4},
	{"ministry-interior", "Ministry of the Interior", "government", "Calder", 0, "gov-network", 24, false, false, 3, 3, 3},
	{"tax-office", "Tax Office", "government", "Eastmark", 0, "gov-network", 25, false, false, 2, 2, 3},
	{"parliament", "Parliament of Simuland", "government", "Calder", 0, "gov-network", 25, false, false, 1, 2, 3},
	{"city-calder", "City of Calder", "government", "Calder", 0, "simtel", 26, false, false, 3, 2, 4},
	{"city-amber", "City of Amber", "government", "Amber Coast", 0, "coastnet", 26, false, false, 2, 2, 3},
	{"city-bracken", "City of Bracken", "government", "Bracken", 0, "norlink", 26, false, false, 2, 2, 3},
	{"city-highvale", "City of Highvale", "government", "Highvale", 0, "valleycable", 26, false, false, 2, 1, 3},
	{"first-bank", "First Bank of Simuland", "finance", "Calder", 64529, "", 23, true, false, 6, 5, 4},
	{"harvest-bank", "Harvest Bank", "finance", "Eastmark", 64530, "", 23, false, false, 5, 4, 3},
	{"coast-credit", "Coast Credit Union", "finance", "Amber Coast", 0, "citifibre", 26, false, false, 1, 1, 3},
	{"calder-hospital", "Calder General Hospital", "health", "Calder", 64531, "", 23, false, false, 8, 4, 3},
	{"eastmark-clinic", "Eastmark Clinic", "health", "Eastmark", 64532, "", 23, false, false, 7, 3, 3},
	{"dunmoor-hospital", "Dunmoor Hospital", "health", "Dunmoor", 0, "hillwave", 26, false, false, 2, 2, 3},
	{"gridco", "Simuland Grid Company", "energy", "Highvale", 64533, "", 23, false, false, 5, 4, 3},
	{"greywater-works", "Greywater Water Works", "water", "Greywater", 0, "islandcom", 26, false, false, 1, 2, 3},
	{"railsim", "Simuland Railways", "transport", "Fernholt", 64534, "", 23, false, false, 5, 4, 3},
	{"simpress", "Simuland Press", "other", "Calder", 0, "citifibre", 27, false, false, 1, 2, 3},
	{"mossfibre", "Mossdale Fibre", "isp", "Fernholt", 64535, "", 20, false, false, 4, 8, 0},
	{"tarnlink", "Tarnlink", "isp", "Eastmark", 64536, "", 20, false, false, 4, 8, 0},
	{"eastnet", "Eastnet", "isp", "Eastmark", 64537, "", 21, true, false, 28, 10, 0},
	{"granite", "Granite Broadband", "isp", "Bracken", 64538, "", 21, true, false, 26, 9, 0},
	{"harbour", "Harbour Internet", "isp", "Amber Coast", 64539, "", 21, true, false, 26, 11, 0},
	{"skyreach", "Skyreach Mobile", "telecom", "Calder", 64540, "", 21, true, false, 20, 2, 0},
	{"orchard", "Orchard Telecom", "isp", "Greywater", 64541, "", 21, false, false, 24, 9, 0},
	{"peakline", "Peakline", "isp", "Highvale", 64542, "", 21, true, false, 24, 8, 0},
	{"lowland", "Lowland Cable", "isp", "Dunmoor", 64543, "", 21, true, false, 24, 9, 0},
	{"northwire", "Northwire", "isp", "Fernholt", 64544, "", 21, false, false, 24, 9, 0},
	{"saltmarsh", "Saltmarsh Net", "isp", "Amber Coast", 64545, "", 22, false, false, 20, 8, 0},
	{"millstream", "Millstream Rural Net", "isp", "Dunmoor", 64546, "", 22, false, false, 18, 8, 0},
	{"glenmobile", "Glen Mobile", "telecom", "Bracken", 64547, "", 22, true, false, 14, 2, 0},
	{"quayside", "Quayside Fibre", "isp", "Greywater", 64548, "", 22, true, false, 20, 8, 0},
	{"copse", "Copse Community Net", "isp", "Highvale", 64549, "", 22, false, false, 18, 7, 0},
	{"metroline", "Metroline", "isp", "Eastmark", 64550, "", 22, true, false, 20, 9, 0},
}

// abroad are the countries around Simuland: user-assigned codes, made-up names.
var abroad = []struct{ code, name string }{
	{"QM", "Arvonia"},
	{"QN", "Belmark"},
	{"QO", "Corvand"},
	{"QP", "Drevania"},
	{"QQ", "Estrell"},
	{"QR", "Faronia"},
	{"QT", "Gallmark"},
	{"QV", "Hestria"},
	{"XA", "Iskander"},
	{"XB", "Jorvland"},
	{"XC", "Kestovia"},
	{"XD", "Lorenna"},
}

// The ranges that the world is carved from.
const (
	homeV4   = 198<<24 | 18<<16         // 198.18.0.0/15, benchmarks, RFC 2544
	homeV6   = uint64(0x20010db8) << 32 // 2001:db8::/32, documentation, RFC 3849
	abroadV4 = 240 << 24                // 240.0.0.0/4, reserved, RFC 1112
	abroadV6 = uint64(0x3fff) << 48     // 3fff::/20, documentation, RFC 9637
)

// place is what the reference data say of an address or a site.
type place struct {
	asn uint32
	org int16 // index of owners; -1 if nobody is known
	cc  uint8 // index of the geography's countries
}

// network is a range of addresses of one place.
type network struct {
	place
	name   string
	prefix netip.Prefix // IPv4
	base   uint32       // first IPv4 address
	size   uint32       // how many of the addresses are given to hosts
	v6     uint64       // upper half of the first IPv6 address; 0 if it has none
	v6net  int          // length of the IPv6 prefix

	id         uint8 // index of the geography's networks
	keeps      bool  // all hosts of its AS keep an address of their own
	registered uint8 // like cc: where the prefix is registered
	lines      lines // how its addresses are given to hosts; at home alone
}

// geography is the country and the world around it. It is never changed.
type geography struct {
	countries []string // by place.cc; 0 is home
	networks  []network
	abroad    int   // index of the first network abroad
	homes     []int // running sums of weights of networks[:abroad]
	servers   []int
	mobiles   []*network // where infected telephones are
	reach     [][]int    // of feeds into networks, of 1000
}

func newGeography() *geography {
	g := &geography{countries: []string{Home}}
	byID := map[string]int{}
	order := make([]int, len(owners)) // the longest prefixes last, so that all are aligned
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(owners[a].bits, owners[b].bits) })

	next, n6 := uint32(homeV4), uint64(0)
	top := map[string]uint32{} // where the next network inside another one ends
	for _, i := range order {
		o := &owners[i]
		n := network{place: place{o.asn, int16(i), 0}, name: o.name, size: 1 << (32 - o.bits)} //nolint:gosec // some dozens
		if o.id == "" {
			n.org = -1
		}
		if o.in == "" {
			n.base = next
			next += n.size
			top[o.id] = next
			n.prefix = netip.PrefixFrom(addr4(n.base), o.bits)
		} else {
			top[o.in] -= n.size
			n.base = top[o.in]
			n.asn = g.networks[byID[o.in]].asn
			n.prefix = netip.PrefixFrom(addr4(n.base), o.bits)
		}
		if o.v6 {
			n.v6, n.v6net = homeV6|n6<<24, 40
			n6++
		}
		byID[o.id] = len(g.networks)
		g.networks = append(g.networks, n)
	}
	h, s := 0, 0
	for i := range g.networks {
		o := &owners[order[i]]
		if o.in == "" {
			g.networks[i].size = top[o.id] - g.networks[i].base // without the networks inside
		}
		g.networks[i].lines = newLines(o.id, g.networks[i].size)
		h += o.homes
		s += o.servers
		g.homes = append(g.homes, h)
		g.servers = append(g.servers, s)
	}
	g.abroad = len(g.networks)
	for i, c := range abroad {
		g.countries = append(g.countries, c.code)
		for k := range 2 {
			j := uint32(2*i + k)
			n := network{
				place: place{4200000000 + j, -1, uint8(i + 1)},
				name:  fmt.Sprintf("%s Net %d", c.name, k+1),
				base:  abroadV4 + j<<20, size: 1 << 20,
				v6: abroadV6 | uint64(j)<<32, v6net: 32,
			}
			n.prefix = netip.PrefixFrom(addr4(n.base), 12)
			g.networks = append(g.networks, n)
		}
	}
	for i := range g.networks {
		n := &g.networks[i]
		n.id, n.registered = uint8(i), n.cc
		if cc, ok := registeredElsewhere[n.name]; ok {
			n.registered = uint8(slices.Index(g.countries, cc)) //nolint:gosec // some dozens
		}
	}
	for i := range g.networks[:g.abroad] {
		n := &g.networks[i]
		if n.org < 0 || owners[n.org].in == "" {
			n.keeps = n.lines.pool == 0
			continue
		}
		n.keeps = g.networks[byID[owners[n.org].in]].lines.pool == 0
	}
	for _, id := range mobiles {
		g.mobiles = append(g.mobiles, &g.networks[byID[id]])
	}
	g.setReach()
	return g
}

// mobiles are the mobile networks, each as often as it has a share of telephones.
var mobiles = []string{"hillwave", "hillwave", "hillwave", "skyreach", "skyreach", "glenmobile", "glenmobile"}

// registeredElsewhere are the networks whose prefixes are registered in another
// country than the one that their addresses lie in.
var registeredElsewhere = map[string]string{"Greyrack Colocation": "QM", "Kestovia Net 2": Home, "Estrell Net 1": "QN"}

// ownerNetwork returns the network of the owner with that id.
func (g *geography) ownerNetwork(id string) *network {
	for i := range g.networks[:g.abroad] {
		if o := g.networks[i].org; o >= 0 && owners[o].id == id {
			return &g.networks[i]
		}
	}
	panic("sim: no network of " + id)
}

// domains returns the domains that an owner claims.
func (o *owner) domainNames() []string {
	var d []string
	for i := range o.domains {
		if i == 0 {
			d = append(d, o.id+".example")
		} else {
			d = append(d, fmt.Sprintf("%s-portal%d.example", o.id, i))
		}
	}
	return d
}

func (g *geography) prefixCSV(swap bool) []byte {
	b := []byte("prefix,asn,as_name,country,registered\n")
	names := map[uint32]string{}
	for i := range g.networks {
		n := &g.networks[i]
		if i >= g.abroad || n.org < 0 || owners[n.org].in == "" {
			names[n.asn] = n.name
		}
	}
	for i := range g.networks {
		n := &g.networks[i]
		if i < g.abroad && n.org >= 0 && owners[n.org].in != "" {
			continue // announced by the network it lies in
		}
		asn := n.asn
		switch {
		case swap && asn == swappedAS1:
			asn = swappedAS2
		case swap && asn == swappedAS2:
			asn = swappedAS1
		}
		b = fmt.Appendf(b, "%s,%d,%s,%s,%s\n", n.prefix, asn, names[asn], g.countries[n.cc], g.countries[n.registered])
		if n.v6 != 0 {
			b = fmt.Appendf(b, "%s/%d,%d,%s,%s,%s\n", addr6(n.v6, 0), n.v6net, asn, names[asn], g.countries[n.cc], g.countries[n.registered])
		}
	}
	return b
}

func (g *geography) organisationCSV() []byte {
	var b bytes.Buffer
	b.WriteString("organisation,name,sector,region,network,contact\n")
	for i := range owners {
		o := &owners[i]
		if o.id == "" {
			continue
		}
		var nets []string
		n := g.ownerNetwork(o.id)
		if o.byAS {
			nets = append(nets, fmt.Sprintf("AS%d", o.asn))
		} else {
			nets = append(nets, n.prefix.String())
			if n.v6 != 0 {
				nets = append(nets, fmt.Sprintf("%s/%d", addr6(n.v6, 0), n.v6net))
			}
		}
		for _, net := range append(nets, o.domainNames()...) {
			fmt.Fprintf(&b, "%s,%s,%s,%s,%s,abuse@%s.example\n", o.id, o.name, o.sector, o.region, net, o.id)
		}
	}
	return b.Bytes()
}

// address is where a host is reached: IPv4 in lo if hi is 0.
type address struct{ hi, lo uint64 }

func (a address) is6() bool { return a.hi != 0 }

func (a address) append(b []byte) []byte {
	if a.is6() {
		return addr6(a.hi, a.lo).AppendTo(b)
	}
	return appendV4(b, uint32(a.lo)) //nolint:gosec // an IPv4 address
}

func appendV4(b []byte, v uint32) []byte {
	for i := 24; i >= 0; i -= 8 {
		b = appendInt(b, int(v>>i&255))
		if i > 0 {
			b = append(b, '.')
		}
	}
	return b
}

func addr4(v uint32) netip.Addr {
	var x [4]byte
	binary.BigEndian.PutUint32(x[:], v)
	return netip.AddrFrom4(x)
}

func addr6(hi, lo uint64) netip.Addr {
	var x [16]byte
	binary.BigEndian.PutUint64(x[:8], hi)
	binary.BigEndian.PutUint64(x[8:], lo)
	return netip.AddrFrom16(x)
}

// host draws an IPv4 address of the network.
func (n *network) host(d dice) address {
	return address{0, uint64(n.base) + 1 + uint64(d.n(int(n.size)-2))} //nolint:gosec // positive
}

// host6 draws a /64 of the network; the lower half is drawn by whoever reports
// it, since a host picks that itself.
func (n *network) host6(d dice) address {
	return address{n.v6 | uint64(d.n(1<<(64-n.v6net))), 0} //nolint:gosec // positive
}
