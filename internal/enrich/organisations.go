package enrich

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/gaissmai/bart"

	"tocsin/internal/event"
	"tocsin/internal/refdata"
)

// Limits of a list of organisations. What is beyond them is reported.
const (
	maxList     = 512 << 20 // bytes
	maxNetworks = 1_000_000
	maxClaims   = 16 // of one network, by validity or by conflict
	maxErrors   = 10_000
	maxID       = 128 // bytes
	maxCell     = 1024
)

// Government is the sector that the government share of hacked sites counts.
const Government = "government"

// Sectors are the words suggested for sectors; others are kept, with a warning.
var Sectors = []string{
	Government, "finance", "health", "education", "energy", "telecom", "isp", "hosting", "transport", "water", "other",
}

// Organisation is somebody who answers for networks.
type Organisation struct {
	ID       string   `json:"id"`
	Name     string   `json:"name"` // the id, if the list gives none
	Sector   string   `json:"sector,omitzero"`
	Region   string   `json:"region,omitzero"` // a network may have another
	Country  string   `json:"country,omitzero"`
	Contact  string   `json:"contact,omitzero"`
	Networks []string `json:"networks"` // prefixes, AS numbers ("AS64500") and domains, sorted; read only
}

// RowError says what is wrong with a row of the list. What it concerns is left
// out, unless it is a warning.
type RowError struct {
	Line    int    `json:"line"` // in the file; the header is line 1
	Reason  string `json:"reason"`
	Warning bool   `json:"warning,omitzero"`
}

// Error implements error.
func (e RowError) Error() string { return fmt.Sprintf("line %d: %s", e.Line, e.Reason) }

// Organisations is the constituency: who answers for which prefixes, AS
// numbers and domains. It never changes, and any number of goroutines may use
// it. The zero Organisations are none.
type Organisations struct {
	list     []Organisation // by id
	claims   []claim
	prefixes bart.Table[int32] // index of the first claim
	as       map[uint32]int32
	domains  map[string]int32
	names    map[string]int32 // folded name or id, index of the organisation
	version  string
}

// claim says that an organisation answers for a network from one day to
// another, both included. The claims of one network are linked in the order of
// the organisations' ids.
type claim struct {
	org      int32
	next     int32 // -1 at the end
	from, to event.Day
	region   string
}

// List returns the organisations by id.
func (o *Organisations) List() []Organisation { return slices.Clone(o.list) }

// Len returns how many organisations there are.
func (o *Organisations) Len() int { return len(o.list) }

// Get returns the organisation with that id.
func (o *Organisations) Get(id string) (Organisation, bool) {
	i, ok := slices.BinarySearchFunc(o.list, id, func(x Organisation, id string) int { return strings.Compare(x.ID, id) })
	if !ok {
		return Organisation{}, false
	}
	return o.list[i], true
}

// Version names the list for the journal: 64 hexadecimal digits, the SHA-256 of
// the bytes that it was read from; "" if there is none.
func (o *Organisations) Version() string { return o.version }

// find returns the claim that decides: for addresses the longest prefix, then
// the AS number, then the longest domain; for sites and accounts the domain
// first; for organisations their name first. Claims that do not hold on the
// event's day are as if they were not there.
func (o *Organisations) find(e *event.Event, s *subject, asn uint32) *claim {
	day := e.Day()
	byName := e.Subject.Asset == event.AssetSite || e.Subject.Asset == event.AssetAccount
	if e.Subject.Kind == event.SubjectOrganisation || e.Subject.Asset == event.AssetOrganisation {
		if i, ok := o.names[fold(e.Subject.Organisation)]; ok {
			return &claim{org: i}
		}
	}
	if byName {
		if c := o.byDomain(s.host, day); c != nil {
			return c
		}
	}
	if c := o.byAddress(s, day); c != nil {
		return c
	}
	if asn != 0 {
		if i, ok := o.as[asn]; ok {
			if c := o.valid(i, day); c != nil {
				return c
			}
		}
	}
	if !byName {
		return o.byDomain(s.host, day)
	}
	return nil
}

// valid returns the first claim of the chain that holds on the day.
func (o *Organisations) valid(i int32, day event.Day) *claim {
	for ; i >= 0; i = o.claims[i].next {
		if c := &o.claims[i]; c.from <= day && day <= c.to {
			return c
		}
	}
	return nil
}

func (o *Organisations) byAddress(s *subject, day event.Day) *claim {
	p := s.prefix
	if !p.IsValid() {
		if !s.lookup.IsValid() {
			return nil
		}
		i, ok := o.prefixes.Lookup(s.lookup)
		if !ok {
			return nil
		}
		if c := o.valid(i, day); c != nil {
			return c
		}
		p = netip.PrefixFrom(s.lookup, s.lookup.BitLen())
	}
	// A network may be shorter than the longest prefix, and the longest prefix
	// may not hold on this day: the next shorter one decides.
	for {
		lpm, i, ok := o.prefixes.LookupPrefixLPM(p)
		if !ok {
			return nil
		}
		if c := o.valid(i, day); c != nil || lpm.Bits() == 0 {
			return c
		}
		p = netip.PrefixFrom(lpm.Addr(), lpm.Bits()-1).Masked()
	}
}

func (o *Organisations) byDomain(host string, day event.Day) *claim {
	if len(o.domains) == 0 {
		return nil
	}
	for host != "" {
		if i, ok := o.domains[host]; ok {
			if c := o.valid(i, day); c != nil {
				return c
			}
		}
		i := strings.IndexByte(host, '.')
		if i < 0 {
			return nil
		}
		host = host[i+1:]
	}
	return nil
}

// ParseOrganisations reads a list of organisations: CSV with the column
// organisation (an id) and any of name, sector, region, country, network or
// networks, contact, valid_from and valid_to (days, both included), in any
// order; docs/refdata.md describes them. An organisation may have one row or a
// row for each network. Rows that are wrong are reported and left out, the
// others kept; an error is returned only if there is no list to read.
//
// Where two organisations claim one network at one time, both rows are
// reported, and the lower id has it.
func ParseOrganisations(r io.Reader) (*Organisations, []RowError, error) {
	sum := sha256.New()
	in, err := refdata.NewRows(io.TeeReader(r, sum), maxList)
	if err != nil {
		return nil, nil, fmt.Errorf("list of organisations: %w", err)
	}
	p := &parser{orgs: map[string]*entry{}, words: map[string]bool{}}
	if err := p.columns(in); err != nil {
		return nil, nil, fmt.Errorf("list of organisations: %w", err)
	}
	for {
		f, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if row, ok := errors.AsType[*refdata.RowError](err); ok {
			p.report(row.Line, false, row.Reason)
			continue
		}
		if err != nil {
			return nil, nil, fmt.Errorf("list of organisations: %w", err)
		}
		p.row(in.Line(), f)
	}
	o := p.build()
	o.version = hex.EncodeToString(sum.Sum(nil))
	return o, p.errors(), nil
}

// parser collects the rows.
type parser struct {
	col   columns
	orgs  map[string]*entry
	nets  []network
	words map[string]bool // sectors warned of
	bad   []RowError
	more  int
}

type columns struct {
	id, name, sector, region, country, contact, from, to int
	networks                                             []int
}

// entry is an organisation while it is read.
type entry struct {
	Organisation
	lines [6]int // where name, sector, region, country and contact were said first
	index int32
}

// network is one claim while it is read.
type network struct {
	text   string // canonical
	prefix netip.Prefix
	asn    uint32
	domain string
	of     *entry
	region string
	from   event.Day
	to     event.Day
	line   int
}

func (p *parser) report(line int, warning bool, reason string) {
	if len(p.bad) >= maxErrors {
		p.more++
		return
	}
	p.bad = append(p.bad, RowError{line, reason, warning})
}

func (p *parser) errors() []RowError {
	slices.SortStableFunc(p.bad, func(a, b RowError) int { return cmp.Compare(a.Line, b.Line) })
	if p.more > 0 {
		p.bad = append(p.bad, RowError{p.bad[len(p.bad)-1].Line, fmt.Sprintf("and %d more findings", p.more), false})
	}
	return p.bad
}

func (p *parser) columns(in *refdata.Rows) error {
	p.col = columns{id: -1, name: -1, sector: -1, region: -1, country: -1, contact: -1, from: -1, to: -1}
	for i, name := range in.Header() {
		var to *int
		switch name {
		case "organisation", "organization":
			to = &p.col.id
		case "name":
			to = &p.col.name
		case "sector":
			to = &p.col.sector
		case "region":
			to = &p.col.region
		case "country":
			to = &p.col.country
		case "contact":
			to = &p.col.contact
		case "valid_from":
			to = &p.col.from
		case "valid_to":
			to = &p.col.to
		case "network", "networks":
			p.col.networks = append(p.col.networks, i)
			continue
		case "":
			continue
		default:
			p.report(1, true, fmt.Sprintf("column %.40q is not known and is not read", name))
			continue
		}
		if *to >= 0 {
			return fmt.Errorf("header: two columns for the organisation's id: remove %q", name)
		}
		*to = i
	}
	if p.col.id < 0 {
		return errors.New("header: there is no column organisation")
	}
	return nil
}

func (p *parser) row(line int, f []string) {
	cell := func(i int) string {
		if i < 0 {
			return ""
		}
		return strings.Clone(f[i])
	}
	for i, s := range f {
		if len(s) > maxCell && !slices.Contains(p.col.networks, i) {
			p.report(line, false, fmt.Sprintf("a cell is longer than %d bytes", maxCell))
			return
		}
	}
	id := cell(p.col.id)
	switch {
	case id == "":
		p.report(line, false, "the organisation has no id")
		return
	case len(id) > maxID:
		p.report(line, false, fmt.Sprintf("the organisation's id is longer than %d bytes", maxID))
		return
	}
	from, to, err := validity(cell(p.col.from), cell(p.col.to))
	if err != nil {
		p.report(line, false, err.Error())
		return
	}
	said := cell(p.col.country)
	country := strings.ToUpper(said)
	if country != "" && (len(country) != 2 || country[0] < 'A' || country[0] > 'Z' || country[1] < 'A' || country[1] > 'Z') {
		p.report(line, true, fmt.Sprintf("country %.40q: want two letters (ISO 3166-1 alpha-2)", said))
		country = ""
	}
	o := p.orgs[id]
	if o == nil {
		if len(p.orgs) >= maxNetworks {
			p.report(line, false, fmt.Sprintf("more than %d organisations", maxNetworks))
			return
		}
		o = &entry{}
		o.ID = id
		p.orgs[id] = o
	}
	region := cell(p.col.region)
	tokens := p.tokens(f)
	p.say(o, 0, &o.Name, "name", cell(p.col.name), line)
	p.say(o, 1, &o.Sector, "sector", p.sector(cell(p.col.sector), line), line)
	if o.Region == "" || len(tokens) == 0 {
		p.say(o, 2, &o.Region, "region", region, line)
	}
	p.say(o, 3, &o.Country, "country", country, line)
	p.say(o, 4, &o.Contact, "contact", cell(p.col.contact), line)
	if len(tokens) == 0 && (from != math.MinInt32 || to != math.MaxInt32) {
		p.report(line, true, "valid_from and valid_to say nothing without a network")
	}
	for _, t := range tokens {
		n, err := parseNetwork(t)
		if err != nil {
			p.report(line, false, err.Error())
			continue
		}
		if len(p.nets) >= maxNetworks {
			p.report(line, false, fmt.Sprintf("network %.80q: more than %d networks", t, maxNetworks))
			continue
		}
		n.of, n.region, n.from, n.to, n.line = o, region, from, to, line
		p.nets = append(p.nets, n)
	}
}

// say keeps the first thing said of an organisation and reports what differs.
func (p *parser) say(o *entry, i int, field *string, name, value string, line int) {
	switch {
	case value == "":
	case *field == "":
		*field, o.lines[i] = value, line
	case *field != value:
		p.report(line, true, fmt.Sprintf("the %s of %.60q is %.80q here and %.80q on line %d, which holds", name, o.ID, value, *field, o.lines[i]))
	}
}

func (p *parser) sector(s string, line int) string {
	s = fold(s)
	if s != "" && !slices.Contains(Sectors, s) && !p.words[s] && len(p.words) < maxErrors {
		p.words[s] = true
		p.report(line, true, fmt.Sprintf("sector %.60q is not one of %s: it is kept as it is", s, strings.Join(Sectors, ", ")))
	}
	return s
}

func (p *parser) tokens(f []string) (out []string) {
	for _, i := range p.col.networks {
		for t := range strings.FieldsFuncSeq(f[i], func(r rune) bool { return r == ' ' || r == ';' || r == ',' || r == '\t' }) {
			out = append(out, t)
		}
	}
	return out
}

func validity(from, to string) (event.Day, event.Day, error) {
	a, b := event.Day(math.MinInt32), event.Day(math.MaxInt32)
	var err error
	if from != "" {
		if a, err = event.ParseDay(from); err != nil {
			return 0, 0, fmt.Errorf("valid_from: %w", err)
		}
	}
	if to != "" {
		if b, err = event.ParseDay(to); err != nil {
			return 0, 0, fmt.Errorf("valid_to: %w", err)
		}
	}
	if a > b {
		return 0, 0, fmt.Errorf("valid_from %s is after valid_to %s", from, to)
	}
	return a, b, nil
}

// parseNetwork reads a prefix, an address, an AS number or a domain.
func parseNetwork(s string) (n network, err error) {
	if len(s) > 2 && strings.EqualFold(s[:2], "as") && strings.Trim(s[2:], "0123456789") == "" {
		v, err := strconv.ParseUint(s[2:], 10, 32)
		if err != nil || v == 0 {
			return n, fmt.Errorf("network %.80q: AS numbers go from 1 to 4294967295", s)
		}
		n.asn = uint32(v)
		n.text = "AS" + strconv.FormatUint(v, 10)
		return n, nil
	}
	if strings.ContainsAny(s, "/:") {
		return parsePrefix(s)
	}
	if a, err := netip.ParseAddr(s); err == nil {
		return parsePrefix(a.String() + "/32")
	}
	name, _ := Host(strings.TrimPrefix(s, "."))
	switch {
	case name == "":
		return n, fmt.Errorf("network %.80q is no prefix (192.0.2.0/24), AS number (AS64500) or domain (example.org)", s)
	case !strings.Contains(name, ".") && !strings.HasPrefix(s, "."):
		return n, fmt.Errorf("network %.80q: a domain needs a dot; write .%.80s if a whole top-level domain is meant", s, name)
	}
	n.text, n.domain = name, name
	if !strings.Contains(name, ".") {
		n.text = "." + name
	}
	return n, nil
}

func parsePrefix(s string) (n network, err error) {
	p, err := netip.ParsePrefix(s)
	if err != nil {
		if a, aerr := netip.ParseAddr(s); aerr == nil {
			p, err = netip.PrefixFrom(a.WithZone(""), a.BitLen()), nil
		}
	}
	switch {
	case err != nil:
		return n, fmt.Errorf("network %.80q is not a prefix: want an address and a length, such as 192.0.2.0/24", s)
	case p.Addr().Is4In6():
		return n, fmt.Errorf("network %.80q: write it as IPv4", s)
	case p.Addr().Is6() && p.Bits() > 64:
		return n, fmt.Errorf("network %.80q is longer than /64: the addresses of a /64 are one asset and cannot belong to two; write %s", s, netip.PrefixFrom(p.Addr(), 64).Masked())
	case p != p.Masked():
		return n, fmt.Errorf("network %.80q has host bits set: write %s", s, p.Masked())
	}
	n.prefix, n.text = p, p.String()
	return n, nil
}

// build links the claims.
func (p *parser) build() *Organisations {
	o := &Organisations{as: map[uint32]int32{}, domains: map[string]int32{}, names: map[string]int32{}}
	ids := make([]string, 0, len(p.orgs))
	for id := range p.orgs {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	for i, id := range ids {
		x := p.orgs[id]
		x.index = int32(i)
		if x.Name == "" {
			x.Name = id
		}
	}
	slices.SortStableFunc(p.nets, func(a, b network) int {
		return cmp.Or(strings.Compare(a.text, b.text), cmp.Compare(a.of.index, b.of.index), cmp.Compare(a.from, b.from))
	})
	for i := 0; i < len(p.nets); {
		n := 1
		for i+n < len(p.nets) && p.nets[i+n].text == p.nets[i].text {
			n++
		}
		p.link(o, p.nets[i:i+n])
		i += n
	}
	for _, id := range ids {
		x := p.orgs[id]
		x.Networks = slices.Compact(x.Networks)
		o.list = append(o.list, x.Organisation)
	}
	// Names before ids, and the lowest id first: a name decides.
	for i := range o.list {
		if s := fold(o.list[i].Name); o.names[s] == 0 {
			o.names[s] = int32(i) + 1
		}
	}
	for i := range o.list {
		if s := fold(o.list[i].ID); o.names[s] == 0 {
			o.names[s] = int32(i) + 1
		}
	}
	for s := range o.names {
		o.names[s]--
	}
	return o
}

// link adds the claims of one network, sorted by organisation and day.
func (p *parser) link(o *Organisations, nets []network) {
	var kept []network
	for _, n := range nets {
		if len(kept) >= maxClaims {
			p.report(n.line, false, fmt.Sprintf("network %.80s has more than %d claims", n.text, maxClaims))
			continue
		}
		drop := false
		for _, k := range kept {
			if n.to < k.from || k.to < n.from {
				continue
			}
			switch {
			case k.of != n.of:
				p.report(k.line, true, fmt.Sprintf("network %.80s of %.60q is also claimed by %.60q on line %d; %.60q has it", k.text, k.of.ID, n.of.ID, n.line, k.of.ID))
				p.report(n.line, true, fmt.Sprintf("network %.80s of %.60q is also claimed by %.60q on line %d, which has it", n.text, n.of.ID, k.of.ID, k.line))
			case k.from <= n.from && n.to <= k.to:
				drop = true // said twice
				if k.region != n.region && n.region != "" {
					p.report(n.line, true, fmt.Sprintf("network %.80s is in another region on line %d, which holds", n.text, k.line))
				}
			}
		}
		if !drop {
			kept = append(kept, n)
		}
	}
	first := int32(len(o.claims)) //nolint:gosec // at most maxNetworks
	for i, n := range kept {
		next := int32(-1)
		if i+1 < len(kept) {
			next = first + int32(i) + 1
		}
		o.claims = append(o.claims, claim{n.of.index, next, n.from, n.to, n.region})
		n.of.Networks = append(n.of.Networks, n.text)
	}
	switch n := nets[0]; {
	case n.asn != 0:
		o.as[n.asn] = first
	case n.prefix.IsValid():
		o.prefixes.Insert(n.prefix, first)
	default:
		o.domains[n.domain] = first
	}
}
