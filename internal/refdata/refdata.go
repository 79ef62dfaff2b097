// Package refdata answers which autonomous system originates an address and
// in which country it is used, from tables that are held in memory.
//
// It takes the bytes of a table: the one built into the program ([Embedded]),
// one in tocsin's own format ([Parse]), an operator's MMDB file ([FromMMDB]) or
// an operator's prefix list ([FromCSV]); [Load] tells them apart. It gives
// answers that depend on those bytes alone, each table with its sources, their
// licences and the date of their data. It never opens a file, asks the network
// or reads a clock.
//
// IPv6 is looked up by the first address of the /64, because a /64 is what
// tocsin counts as one asset: its addresses must agree.
package refdata

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// ErrInvalid is wrapped by every error about bytes that are not a usable table.
var ErrInvalid = errors.New("not a usable table")

// Limits on tables that an operator brings. The largest public ones (city
// level) have about 8 million ranges.
const (
	maxRanges  = 16 << 20  // ranges of one address family
	maxBytes   = 1 << 30   // of a file
	maxContent = 256 << 20 // of tocsin's own format, decompressed
	maxASName  = 128       // bytes of an AS's name; the rest is cut off
	maxASNames = 4 << 20
)

// SourceInfo says where the data of a table comes from.
type SourceInfo struct {
	Name        string `json:"name"`        // package and version, or the kind of file
	Gives       Gives  `json:"gives"`       // what it is used for
	Licence     string `json:"licence"`     // SPDX identifier; "" if the operator knows
	Attribution string `json:"attribution"` // must be shown with the results; "" if not asked for
	Date        string `json:"date"`        // of the data, YYYY-MM-DD; "" if the file does not say
	SHA256      string `json:"sha256"`      // of the source as it came, hexadecimal
}

// Gives are the kinds of answer that a source gives.
type Gives uint8

// The kinds of answer; they are added up.
const (
	GivesAS Gives = 1 << iota
	GivesCountry
	GivesASNames
	GivesRegistered // country of registration
)

var givesNames = []string{"as", "country", "as-names", "registered"}

// String lists the kinds, separated by a blank.
func (g Gives) String() string {
	var s []string
	for i, n := range givesNames {
		if g&(1<<i) != 0 {
			s = append(s, n)
		}
	}
	return strings.Join(s, " ")
}

// MarshalText implements [encoding.TextMarshaler].
func (g Gives) MarshalText() ([]byte, error) { return []byte(g.String()), nil }

// UnmarshalText implements [encoding.TextUnmarshaler].
func (g *Gives) UnmarshalText(b []byte) error {
	*g = 0
	for w := range strings.FieldsSeq(string(b)) {
		i := slices.Index(givesNames, w)
		if i < 0 {
			return fmt.Errorf("%w: a source cannot give %.20q", ErrInvalid, w)
		}
		*g |= 1 << i
	}
	return nil
}

// Tables are the reference data: address to origin AS and to country, and AS to
// name. They never change, and any number of goroutines may use them. The zero
// Tables know nothing.
type Tables struct {
	as4  ranges[uint32, uint32]
	as6  ranges[uint64, uint32]
	cc4  ranges[uint32, uint16]
	cc6  ranges[uint64, uint16]
	reg  registered
	asns []uint32 // sorted
	name []uint32 // name i is text[name[i]:name[i+1]]
	text string

	sources []SourceInfo
	version string
}

// AS returns the number of the AS that originates the address; false if it is
// not known.
func (t *Tables) AS(a netip.Addr) (asn uint32, ok bool) {
	switch {
	case a.Is4():
		asn = t.as4.at(key4(a))
	case a.Is4In6():
		asn = t.as4.at(key4(a.Unmap()))
	case a.Is6():
		asn = t.as6.at(key6(a))
	}
	return asn, asn != 0
}

// Country returns the ISO 3166-1 alpha-2 code of the country in which the
// address is used, as far as its holder or registry says; "" if not known.
func (t *Tables) Country(a netip.Addr) string {
	switch {
	case a.Is4():
		return codes[t.cc4.at(key4(a))]
	case a.Is4In6():
		return codes[t.cc4.at(key4(a.Unmap()))]
	case a.Is6():
		return codes[t.cc6.at(key6(a))]
	}
	return ""
}

// ASName returns the name of the AS for display; "" if not known. It is text
// that somebody else wrote: escape it.
func (t *Tables) ASName(asn uint32) string {
	i, ok := slices.BinarySearch(t.asns, asn)
	if !ok {
		return ""
	}
	return t.text[t.name[i]:t.name[i+1]]
}

// Sources returns where the data comes from. Attributions are to be shown
// beside the results.
func (t *Tables) Sources() []SourceInfo { return slices.Clone(t.sources) }

// Version names the tables' content for the journal: 64 hexadecimal digits,
// the SHA-256 of the bytes that they were read from. Equal versions give equal
// answers.
func (t *Tables) Version() string { return t.version }

// Size is how many ranges with a known answer the tables hold.
type Size struct{ AS4, AS6, Country4, Country6, ASNames int }

// Size counts the ranges.
func (t *Tables) Size() Size {
	return Size{t.as4.known(), t.as6.known(), t.cc4.known(), t.cc6.known(), len(t.asns)}
}

// HasAS tells whether the tables know the origin of any address.
func (t *Tables) HasAS() bool { return t.as4.known()+t.as6.known() > 0 }

// HasCountry tells whether the tables know any country.
func (t *Tables) HasCountry() bool { return t.cc4.known()+t.cc6.known() > 0 }

// With returns tables that answer from o wherever o has that kind of answer,
// and from t otherwise: an operator's country file replaces the countries and
// leaves the AS numbers. The two are not mixed within a kind, so that a gap in
// o stays a gap. Names of AS numbers that o does not know are kept, and so are
// the countries of registration where o has none.
func (t *Tables) With(o *Tables) *Tables {
	n := *t
	var gone Gives
	if o.HasAS() {
		n.as4, n.as6 = o.as4, o.as6
		gone |= GivesAS
	}
	if o.HasCountry() {
		n.cc4, n.cc6 = o.cc4, o.cc6
		gone |= GivesCountry
	}
	if o.HasRegistered() {
		n.reg = o.reg
		gone |= GivesRegistered
	}
	names := make(map[uint32]string, len(t.asns)+len(o.asns))
	for _, x := range []*Tables{t, o} {
		for _, asn := range x.asns {
			names[asn] = x.ASName(asn)
		}
	}
	n.putNames(names)
	n.sources = nil
	for _, s := range t.sources {
		if n.reg.country && s.Gives&gone&GivesCountry != 0 && !o.HasRegistered() {
			s.Gives |= GivesRegistered // what it still is used for
		}
		if s.Gives &^= gone; s.Gives != 0 {
			n.sources = append(n.sources, s)
		}
	}
	if o.HasCountry() && !o.HasRegistered() {
		n.reg.country = false // the registries' countries are no longer those of use
	}
	n.sources = append(n.sources, o.sources...)
	h := sha256.Sum256([]byte("tocsin-refdata-with\n" + t.version + "\n" + o.version + "\n"))
	n.version = hex.EncodeToString(h[:])
	return &n
}

func (t *Tables) putNames(names map[uint32]string) {
	t.asns = make([]uint32, 0, len(names))
	for asn, s := range names {
		if asn != 0 && s != "" {
			t.asns = append(t.asns, asn)
		}
	}
	slices.Sort(t.asns)
	var b strings.Builder
	t.name = make([]uint32, 1, len(t.asns)+1)
	for _, asn := range t.asns {
		b.WriteString(names[asn])
		t.name = append(t.name, uint32(b.Len())) //nolint:gosec // at most maxASNames times maxASName
	}
	t.text = b.String()
}

// codes are the two-letter strings in order, after "" for unknown; a country's
// number in the tables is its index.
var codes = func() (c [1 + 26*26]string) {
	for i := range 26 * 26 {
		c[i+1] = string([]byte{'A' + byte(i/26), 'A' + byte(i%26)})
	}
	return c
}()

// countryNumber is the inverse of codes; false for anything but two letters.
func countryNumber(s string) (uint16, bool) {
	if len(s) != 2 {
		return 0, false
	}
	a, b := s[0]&^0x20, s[1]&^0x20
	if a < 'A' || a > 'Z' || b < 'A' || b > 'Z' {
		return 0, false
	}
	return 1 + uint16(a-'A')*26 + uint16(b-'A'), true
}

// cleanName makes one line of printable text of at most maxASName bytes.
func cleanName(s string) string {
	if len(s) > 8*maxASName {
		s = s[:8*maxASName]
	}
	s = strings.Join(strings.FieldsFunc(strings.ToValidUTF8(s, "\uFFFD"), func(r rune) bool {
		return unicode.IsSpace(r) || unicode.IsControl(r) || unicode.Is(unicode.Cf, r)
	}), " ")
	if len(s) > maxASName {
		n := maxASName
		for !utf8.RuneStart(s[n]) {
			n--
		}
		s = strings.TrimSpace(s[:n])
	}
	return s
}

// Builder collects ranges and makes [Tables] of them. Of ranges that overlap
// the narrower one wins, and of equal ones the first that was added. The zero
// Builder is ready for use.
type Builder struct {
	as4, as6, cc4, cc6 []span
	reg4, reg6         []span
	names              map[uint32]string
	sources            []SourceInfo
}

// AddAS says that the addresses from first to last originate from asn.
func (b *Builder) AddAS(first, last netip.Addr, asn uint32) error {
	return add(&b.as4, &b.as6, first, last, asn)
}

// AddCountry says that the addresses from first to last are used in the
// country with that ISO 3166-1 alpha-2 code.
func (b *Builder) AddCountry(first, last netip.Addr, cc string) error {
	n, err := country(cc)
	if err != nil {
		return err
	}
	return add(&b.cc4, &b.cc6, first, last, n)
}

func country(cc string) (uint32, error) {
	n, ok := countryNumber(cc)
	if !ok {
		return 0, fmt.Errorf("%w: country %.40q: want two letters (ISO 3166-1 alpha-2)", ErrInvalid, cc)
	}
	return uint32(n), nil
}

func add(v4, v6 *[]span, first, last netip.Addr, val uint32) error {
	first, last = first.Unmap().WithZone(""), last.Unmap().WithZone("")
	if !first.IsValid() || first.BitLen() != last.BitLen() || last.Less(first) {
		return fmt.Errorf("%w: %s to %s is not a range of addresses", ErrInvalid, first, last)
	}
	to := v4
	if first.Is6() {
		to = v6
	}
	lo, hi, ok := keys(first, last)
	if !ok {
		return nil
	}
	if len(*to) >= maxRanges {
		return fmt.Errorf("%w: more than %d ranges", ErrInvalid, maxRanges)
	}
	*to = append(*to, span{lo, hi, val})
	return nil
}

// AddASName names an AS; the first name is kept.
func (b *Builder) AddASName(asn uint32, name string) {
	if b.names == nil {
		b.names = map[uint32]string{}
	}
	if b.names[asn] != "" || len(b.names) >= maxASNames {
		return
	}
	b.names[asn] = cleanName(name)
}

// AddSource says where what was added comes from.
func (b *Builder) AddSource(s SourceInfo) { b.sources = append(b.sources, s) }

// Tables returns tables of what was added. Their version is that of the bytes
// that [Tables.Append] writes. Where no registered country was added, the
// countries are taken to be the registries'.
func (b *Builder) Tables() *Tables {
	t := b.tables()
	if !t.HasRegistered() {
		t.ofRegistries()
	}
	h := sha256.Sum256(t.content())
	t.version = hex.EncodeToString(h[:])
	return t
}

func (b *Builder) tables() *Tables {
	t := &Tables{
		as4:     newRanges[uint32, uint32](flatten(b.as4)),
		as6:     newRanges[uint64, uint32](flatten(b.as6)),
		cc4:     newRanges[uint32, uint16](flatten(b.cc4)),
		cc6:     newRanges[uint64, uint16](flatten(b.cc6)),
		sources: slices.Clone(b.sources),
		reg:     registered{cc4: newRanges[uint32, uint16](flatten(b.reg4)), cc6: newRanges[uint64, uint16](flatten(b.reg6))},
	}
	t.putNames(b.names)
	return t
}
