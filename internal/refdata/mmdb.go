package refdata

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/oschwald/maxminddb-golang/v2"
)

// mmdbMarker stands before the metadata of an MMDB file
// (https://maxmind.github.io/MaxMind-DB/, "Database Metadata").
var mmdbMarker = []byte("\xab\xcd\xefMaxMind.com")

// mmdbRecord has the keys that the usual makers write. They are read as any
// value, since one maker's text is another's map.
type mmdbRecord struct {
	Country     any `maxminddb:"country"`            // MaxMind, DB-IP: {iso_code}; IPinfo: code or name
	CountryCode any `maxminddb:"country_code"`       // IPinfo lite, ip-location-db
	Registered  any `maxminddb:"registered_country"` // MaxMind: {iso_code}
	Number      any `maxminddb:"autonomous_system_number"`
	Org         any `maxminddb:"autonomous_system_organization"`
	ASN         any `maxminddb:"asn"` // IPinfo: "AS64500"
	ASName      any `maxminddb:"as_name"`
	Name        any `maxminddb:"name"` // IPinfo's ASN file
}

type mmdbAnswer struct {
	asn uint32
	cc  uint16
	reg uint16
}

func (m *mmdbRecord) answer() (a mmdbAnswer, name string) {
	if c, ok := m.Country.(map[string]any); ok {
		a.cc = anyCountry(c["iso_code"])
	} else {
		a.cc = anyCountry(m.Country)
	}
	if a.cc == 0 {
		a.cc = anyCountry(m.CountryCode)
	}
	if c, ok := m.Registered.(map[string]any); ok {
		a.reg = anyCountry(c["iso_code"])
	}
	if a.asn = anyAS(m.Number); a.asn == 0 {
		a.asn = anyAS(m.ASN)
	}
	for _, v := range []any{m.Org, m.ASName, m.Name} {
		if s, ok := v.(string); ok && s != "" {
			return a, s
		}
	}
	return a, ""
}

func anyCountry(v any) uint16 {
	s, _ := v.(string)
	n, _ := countryNumber(s)
	return n
}

func anyAS(v any) uint32 {
	switch v := v.(type) {
	case uint64:
		if v <= 1<<32-1 {
			return uint32(v)
		}
	case string:
		n, _ := parseAS(v)
		return n
	}
	return 0
}

// parseAS reads an AS number with or without "AS" before it.
func parseAS(s string) (uint32, bool) {
	if len(s) > 2 && strings.EqualFold(s[:2], "as") {
		s = s[2:]
	}
	n, err := strconv.ParseUint(s, 10, 32)
	return uint32(n), err == nil && n > 0
}

// IPv4 addresses may stand a second and third time in an IPv6 tree.
var mmdbAliases = []netip.Prefix{
	netip.MustParsePrefix("::ffff:0:0/96"),
	netip.MustParsePrefix("2001::/32"),
	netip.MustParsePrefix("2002::/16"),
}

// FromMMDB reads an operator's MMDB file with countries, AS numbers or both, in
// the layouts of MaxMind (GeoLite2), DB-IP, IPinfo and ip-location-db. The
// work that b can cause is bounded by its size. The date is the file's own.
func FromMMDB(b []byte) (*Tables, error) {
	if len(b) > maxBytes {
		return nil, fmt.Errorf("%w: larger than %d bytes", ErrInvalid, maxBytes)
	}
	db, err := maxminddb.OpenBytes(b)
	if err != nil {
		return nil, fmt.Errorf("%w: MMDB: %w", ErrInvalid, err)
	}
	if v := db.Metadata.IPVersion; v != 4 && v != 6 {
		return nil, fmt.Errorf("%w: MMDB: IP version %d", ErrInvalid, v)
	}
	var (
		out   Builder
		known = map[uintptr]mmdbAnswer{}
		left  = 4*uint64(db.Metadata.NodeCount) + 8 // a tree of n nodes has n+1 ends; the IPv4 part may stand in four places
	)
	// Empty and repeated networks are asked for, so that each step of the walk
	// is seen here: nodes that share their children can make 2^128 ends.
	for r := range db.Networks(maxminddb.IncludeNetworksWithoutData(), maxminddb.IncludeAliasedNetworks()) {
		if err := r.Err(); err != nil {
			return nil, fmt.Errorf("%w: MMDB: %w", ErrInvalid, err)
		}
		if left--; left == 0 {
			return nil, fmt.Errorf("%w: MMDB: the search tree is not a tree", ErrInvalid)
		}
		if !r.Found() {
			continue
		}
		p := r.Prefix()
		if aliased(p) {
			continue
		}
		a, ok := known[r.Offset()]
		if !ok {
			var m mmdbRecord
			if err := r.Decode(&m); err != nil {
				return nil, fmt.Errorf("%w: MMDB: record of %s: %w", ErrInvalid, p, err)
			}
			var name string
			if a, name = m.answer(); a.asn != 0 && name != "" {
				out.AddASName(a.asn, name)
			}
			known[r.Offset()] = a
		}
		if err := out.addAnswer(p, a); err != nil {
			return nil, err
		}
	}
	t := out.tables()
	h := sha256.Sum256(b)
	t.version = hex.EncodeToString(h[:])
	if !t.HasAS() && !t.HasCountry() {
		return nil, fmt.Errorf("%w: MMDB of type %.60q has neither countries nor AS numbers under the names known to tocsin", ErrInvalid, db.Metadata.DatabaseType)
	}
	t.sources = []SourceInfo{{
		Name: "MMDB " + cleanName(db.Metadata.DatabaseType), Gives: t.gives(),
		Date: mmdbDate(db.Metadata.BuildEpoch), SHA256: t.version,
	}}
	return t, nil
}

// addAnswer appends p's answer. The walk is in rising order, so that equal
// neighbours are merged at once.
func (b *Builder) addAnswer(p netip.Prefix, a mmdbAnswer) error {
	last := lastAddr(p)
	lo, hi, ok := keys(p.Addr(), last)
	if !ok {
		return nil
	}
	as, cc, reg := &b.as6, &b.cc6, &b.reg6
	if p.Addr().Is4() {
		as, cc, reg = &b.as4, &b.cc4, &b.reg4
	}
	*as = appendSpan(*as, span{lo, hi, a.asn})
	*cc = appendSpan(*cc, span{lo, hi, uint32(a.cc)})
	*reg = appendSpan(*reg, span{lo, hi, uint32(a.reg)})
	if max(len(*as), len(*cc), len(*reg)) > maxRanges {
		return fmt.Errorf("%w: more than %d ranges", ErrInvalid, maxRanges)
	}
	return nil
}

func aliased(p netip.Prefix) bool {
	for _, a := range mmdbAliases {
		if p.Addr().Is6() && p.Bits() > a.Bits() && a.Contains(p.Addr()) {
			return true
		}
	}
	return false
}

func mmdbDate(epoch uint) string {
	if epoch == 0 || epoch > 4102444800 { // the year 2100
		return ""
	}
	return time.Unix(int64(epoch), 0).UTC().Format(time.DateOnly)
}

// gives tells what the tables answer.
func (t *Tables) gives() (g Gives) {
	if t.HasAS() {
		g |= GivesAS
	}
	if t.HasCountry() {
		g |= GivesCountry
	}
	if len(t.asns) > 0 {
		g |= GivesASNames
	}
	if t.HasRegistered() {
		g |= GivesRegistered
	}
	return g
}

// lastAddr returns the last address of a prefix.
func lastAddr(p netip.Prefix) netip.Addr {
	if p.Addr().Is4() {
		b := p.Addr().As4()
		for i := p.Bits(); i < 32; i++ {
			b[i>>3] |= 0x80 >> (i & 7)
		}
		return netip.AddrFrom4(b)
	}
	b := p.Addr().As16()
	for i := p.Bits(); i < 128; i++ {
		b[i>>3] |= 0x80 >> (i & 7)
	}
	return netip.AddrFrom16(b)
}
