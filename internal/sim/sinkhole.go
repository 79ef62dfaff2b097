package sim

import (
	"fmt"
	"iter"
	"strconv"
	"strings"
	"time"
)

// SinkholeConfig says how much a simulated sinkhole sends. Zero fields take
// the values in brackets.
type SinkholeConfig struct {
	Seed   uint64
	From   time.Time // first day; required
	Total  int       // rows in all; 0 means without end
	Rows   int       // of one delivery [10,000]; the last of a day may have fewer
	PerDay int       // rows of one day [1,000,000]
	// EventsPerAddressDay is how often an address is seen in a day on which it
	// is seen at all [1.5].
	EventsPerAddressDay float64
}

// The world of a sinkhole: 240.0.0.0/4 in blocks of a /16, each an AS and an
// organisation of its own.
const (
	sinkholeBlocks = 1 << 12
	sinkholeAS     = 4200100000
	sinkholeMask   = 1<<28 - 1
	sinkholeTails  = 256
)

var sinkholeSectors = []string{"isp", "isp", "isp", "telecom", "hosting", "education", "government", "finance", "health", "other"}

// SinkholeReference returns the reference data of [Sinkhole]'s addresses in
// the layouts of [Country.Prefixes] and [Country.Organisations]: 4,096 of each, the same for every seed.
func SinkholeReference() (prefixes, organisations []byte) {
	prefixes = []byte("prefix,asn,as_name,country,registered\n")
	organisations = []byte("organisation,name,sector,region,network,contact\n")
	for i := range sinkholeBlocks {
		net := fmt.Sprintf("%d.%d.0.0/16", 240+i>>8, i&255)
		prefixes = fmt.Appendf(prefixes, "%s,%d,Network %d,%s,%[4]s\n", net, sinkholeAS+i, i, Home)
		organisations = fmt.Appendf(organisations, "org-%04d,Organisation %d,%s,%s,%s,abuse@org-%04d.example\n",
			i, i, sinkholeSectors[i%len(sinkholeSectors)], owners[i%8].region, net, i)
	}
	return prefixes, organisations
}

// Sinkhole yields deliveries in the layout of event4_sinkhole_http with about
// 320 bytes a row, for measurements: cheap to make, streamed, without planted
// duplicates or broken rows, without truth. Addresses come again as often a
// day as the configuration says, and about seven in ten come again the next
// day. The bytes of each delivery are the receiver's to keep.
func Sinkhole(cfg SinkholeConfig) iter.Seq[Delivery] {
	if cfg.Rows <= 0 {
		cfg.Rows = 10_000
	}
	if cfg.PerDay <= 0 {
		cfg.PerDay = 1_000_000
	}
	if cfg.EventsPerAddressDay < 1 {
		cfg.EventsPerAddressDay = 1.5
	}
	return func(yield func(Delivery) bool) {
		s := newSinkhole(cfg)
		left := cfg.Total
		for day := DayOf(cfg.From); ; day++ {
			s.begin(day)
			for n, part := 0, 1; n < cfg.PerDay; part++ {
				k := min(cfg.Rows, cfg.PerDay-n)
				if cfg.Total > 0 {
					k = min(k, left)
					left -= k
				}
				d := Delivery{
					Feed: "sinkhole", Format: "shadowserver", Report: "event4_sinkhole_http", Day: day,
					Name:     fmt.Sprintf("%s-event4_sinkhole_http-bench-%05d.csv", s.date, part),
					Received: day.Time().Add(24*time.Hour + time.Duration(part)*time.Second),
					Bytes:    s.render(n, k),
				}
				n += k
				if !yield(d) || cfg.Total > 0 && left == 0 {
					return
				}
			}
		}
	}
}

// sinkhole holds the text that rows are put together from.
type sinkhole struct {
	cfg    SinkholeConfig
	pool   int // addresses of a day
	start  int // the first of them
	date   string
	octet  [256]string
	header string
	blocks [sinkholeBlocks]string // claimed AS and place of a block
	tails  [sinkholeTails][2]string
	clock  []byte // the part of a row up to the address
	second int    // that clock stands at
	size   int    // bytes of a row
}

func newSinkhole(cfg SinkholeConfig) *sinkhole {
	s := &sinkhole{cfg: cfg, pool: max(int(float64(cfg.PerDay)/cfg.EventsPerAddressDay), 1), size: 380}
	l := newLayout(reports[repSinkholeHTTP].before)
	s.header = string(l.header) + "\n"
	for i := range s.octet {
		s.octet[i] = strconv.Itoa(i)
	}
	for i := range s.blocks {
		region := strings.ToUpper(owners[i%8].region)
		s.blocks[i] = fmt.Sprintf(`,%d,"%s","%s","NEW %s",`, sinkholeAS+i, Home, region, region)
	}
	d := newDice(cfg.Seed, "sinkhole", 0)
	for i := range s.tails {
		f := &families[d.n(familyCount)]
		dst := fmt.Sprintf(`"198.18.%d.%d"`, i&7, 1+d.n(250))
		sector := ""
		if i%2 == 0 {
			sector = `"` + longSector + `"`
		}
		s.tails[i][0] = fmt.Sprintf(`,517311,%s,,,,%s,%d,64512,"XS","CALDER","CALDER",,518210,,,"%s","%s","%s",,,,"GET /%08x`,
			sector, dst, f.port, f.name, f.name, f.tag, d.n(1<<31))
		agent := agents[d.n(3)]
		s.tails[i][1] = fmt.Sprintf(` HTTP/1.1","%s","%s",,,`, f.domain, agent[:48]) + "\n"
	}
	return s
}

func (s *sinkhole) begin(day Day) {
	s.date = day.String()
	s.start = int(day) * (s.pool * 3 / 10)
	s.second = -1
}

// render writes rows n to n+k-1 of the day.
func (s *sinkhole) render(n, k int) []byte {
	b := make([]byte, 0, len(s.header)+k*s.size)
	b = append(b, s.header...)
	for i := n; i < n+k; i++ {
		if sec := i * secondsOfOneDay / s.cfg.PerDay; sec != s.second {
			s.second = sec
			s.clock = append(append(append(s.clock[:0], '"'), s.date...), ' ')
			s.clock = append(appendClock(s.clock, sec%secondsOfOneDay), `","tcp","`...)
		}
		// Multiplication by an odd number is a bijection on 28 bits: the
		// addresses of a day are told apart and scattered over the blocks.
		x := uint32(s.start+i%s.pool) * 0x9e3779b1 & sinkholeMask //nolint:gosec // cut to 28 bits
		h := mix(uint64(x) ^ s.cfg.Seed)
		tail := &s.tails[h%sinkholeTails]
		r := mix(h + uint64(i)) //nolint:gosec // any number does
		b = append(b, s.clock...)
		b = append(b, s.octet[240+x>>24]...)
		b = append(b, '.')
		b = append(b, s.octet[x>>16&255]...)
		b = append(b, '.')
		b = append(b, s.octet[x>>8&255]...)
		b = append(b, '.')
		b = append(b, s.octet[x&255]...)
		b = append(b, '"', ',')
		b = appendInt(b, 1024+int(r>>50))
		b = append(b, s.blocks[x>>16]...)
		if h>>40&3 == 0 {
			b = append(b, `"h`...)
			b = append(b, s.octet[x>>8&255]...)
			b = append(b, '-')
			b = append(b, s.octet[x&255]...)
			b = append(b, `.net.example"`...)
		}
		b = append(b, tail[0]...)
		for j := range 8 {
			b = append(b, "0123456789abcdef"[r>>(4*j)&15])
		}
		b = append(b, tail[1]...)
	}
	return b
}
