// Package enrich says whose an event's subject is: the asset that is counted,
// origin AS, country, registrable domain, organisation, sector and region.
//
// It takes an event and gives an [event.Annotation] that depends on the
// subject, the event's day, the reference tables and the list of organisations
// alone; [Enricher.Version] names the last two for the journal. What a report
// claims of AS and geography enters nothing. What is not known stays empty: it
// never fails an event, asks the network, opens a file or reads a clock.
package enrich

import (
	"crypto/sha256"
	"encoding/hex"
	"net/netip"
	"strings"

	"golang.org/x/net/publicsuffix"

	"tocsin/internal/event"
	"tocsin/internal/refdata"
)

// rulesVersion changes with every change of this package that can change an
// answer.
const rulesVersion = "1"

// Enricher annotates events. It never changes, and any number of goroutines
// may use it.
type Enricher struct {
	tables  *refdata.Tables
	orgs    *Organisations
	version string
}

// New returns an Enricher over the tables and the organisations; nil means
// none of them.
func New(tables *refdata.Tables, orgs *Organisations) *Enricher {
	if tables == nil {
		tables = &refdata.Tables{}
	}
	if orgs == nil {
		orgs = &Organisations{}
	}
	h := sha256.Sum256([]byte(strings.Join([]string{
		"tocsin-enrich", rulesVersion, tables.Version(), orgs.Version(), publicsuffix.List.String(),
	}, "\n")))
	return &Enricher{tables, orgs, hex.EncodeToString(h[:])}
}

// Tables returns the reference tables.
func (x *Enricher) Tables() *refdata.Tables { return x.tables }

// Organisations returns the organisations.
func (x *Enricher) Organisations() *Organisations { return x.orgs }

// Version names all that the answers depend on besides the event: 64
// hexadecimal digits, a hash over the versions of the tables, of the
// organisations, of the public suffix list and of this package's rules.
func (x *Enricher) Version() string { return x.version }

// Annotate overwrites n with what is known of e's subject. Events outside
// tocsin's scope get an empty annotation: no list is made of them.
func (x *Enricher) Annotate(e *event.Event, n *event.Annotation) {
	*n = event.Annotation{}
	if int(e.Type) >= len(event.Types) || !e.Type.InScope() {
		return
	}
	var (
		end  = e.SubjectEnd()
		s    = subject{addr: plain(end.IP)}
		name string // that the subject is counted by, where it is a name
	)
	if e.Subject.Kind == event.SubjectAccount || e.Subject.Asset == event.AssetAccount {
		name = fold(end.Account)
		if i := strings.LastIndexByte(name, '@'); i >= 0 {
			s.host, _ = Host(name[i+1:])
		}
	}
	if s.host == "" && (end.FQDN != "" || end.URL != "") {
		s.named(e, end)
	}
	if s.host != "" {
		n.Domain = registrable(s.host)
	}

	switch e.Subject.Asset {
	case event.AssetAddress:
		if s.addr.IsValid() {
			n.Asset = event.AddressAsset(s.addr)
		}
	case event.AssetService:
		if s.addr.IsValid() {
			n.Asset = event.ServiceAsset(s.addr, end.Port, strings.ToLower(e.Transport))
		}
	case event.AssetSite:
		if site := s.site(n.Domain); site != "" {
			n.Asset = event.NamedAsset(event.AssetSite, site)
		}
	case event.AssetAccount:
		if name != "" {
			n.Asset = event.NamedAsset(event.AssetAccount, name)
		}
	case event.AssetOrganisation:
		if name = fold(e.Subject.Organisation); name != "" {
			n.Asset = event.NamedAsset(event.AssetOrganisation, name)
		}
	case event.AssetNone:
	}

	s.network(end)
	if s.lookup.IsValid() {
		n.ASN, _ = x.tables.AS(s.lookup)
		n.CC = x.tables.Country(s.lookup)
	}
	if len(x.orgs.list) == 0 {
		return
	}
	if c := x.orgs.find(e, &s, n.ASN); c != nil {
		o := &x.orgs.list[c.org]
		n.Organisation, n.Sector, n.Region = o.ID, o.Sector, c.region
		if n.Region == "" {
			n.Region = o.Region
		}
	}
}

// subject is what an event's subject is known by.
type subject struct {
	addr   netip.Addr   // its address; may be invalid
	host   string       // its name, as Host gives it; may be empty
	lookup netip.Addr   // the address that tables are asked for: IPv6 the /64's first
	prefix netip.Prefix // where it is known as a network only
}

// named finds the name, or the address that stands in a name's place. The URL
// speaks before the name where the subject is a URL.
func (s *subject) named(e *event.Event, end *event.End) {
	texts := [2]string{end.FQDN, URLHost(end.URL)}
	if e.Subject.Kind == event.SubjectURL {
		texts[0], texts[1] = texts[1], texts[0]
	}
	for _, t := range texts {
		host, addr := Host(t)
		if host != "" {
			s.host = host
			return
		}
		if addr.IsValid() && !s.addr.IsValid() {
			s.addr = addr
		}
	}
}

// site is the name that a site is counted by: its registrable domain; the name
// itself where it is a public suffix; its address where it has no name with a
// dot.
func (s *subject) site(domain string) string {
	switch {
	case domain != "":
		return domain
	case strings.IndexByte(s.host, '.') >= 0:
		return s.host
	case s.addr.IsValid():
		return s.addr.String()
	}
	return s.host
}

// network fills lookup and prefix.
func (s *subject) network(end *event.End) {
	s.lookup = s.addr
	if !s.addr.IsValid() {
		if end.Network == "" || len(end.Network) > 64 {
			return
		}
		p, err := netip.ParsePrefix(end.Network)
		if err != nil || p.Addr().Is4In6() {
			return
		}
		if p.Addr().Is6() && p.Bits() > 64 {
			p = netip.PrefixFrom(p.Addr(), 64)
		}
		s.prefix = p.Masked()
		s.lookup = s.prefix.Addr()
	}
	if s.lookup.Is6() {
		s.lookup = slash64(s.lookup)
	}
}

// plain returns the address without the IPv6 wrapping of IPv4 and without a
// zone.
func plain(a netip.Addr) netip.Addr {
	if a.Is6() {
		return a.Unmap().WithZone("")
	}
	return a
}

// slash64 returns the first address of a's /64.
func slash64(a netip.Addr) netip.Addr {
	b := a.As16()
	clear(b[8:])
	return netip.AddrFrom16(b)
}

// fold makes names of accounts and organisations comparable: lower case,
// without blanks around it and with one blank for several.
func fold(s string) string {
	return strings.ToLower(strings.Join(strings.Fields(s), " "))
}
