package refdata

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// The kinds of facts.
const (
	FactsUsers    = "users"    // how many use the internet, by AS, region or country
	FactsNetworks = "networks" // how an AS assigns its addresses
	FactsLeases   = "leases"   // for how long an AS assigns an address
)

// FactKinds lists the kinds.
var FactKinds = []string{FactsUsers, FactsNetworks, FactsLeases}

// Limits on facts that an operator brings.
const (
	maxFacts       = 64 << 20 // bytes of a file
	maxFactRows    = 1 << 20
	maxFactName    = 128  // bytes of a region's or table's name
	maxFactNumber  = 1e11 // people, addresses, samples
	maxLeaseDays   = 36500
	maxLeaseTables = 100 // of one AS
)

// FactSource says where facts come from. What the file does not say, whoever
// brings it does; Layout, SHA256 and Rows are set by [Facts.With].
type FactSource struct {
	Kind        string `json:"kind"`
	Layout      string `json:"layout"` // which form of the kind; a later file replaces one of the same kind and layout
	Name        string `json:"name"`   // who made the data
	Licence     string `json:"licence"`
	Attribution string `json:"attribution"` // must be shown with the results; "" if not asked for
	Date        string `json:"date"`        // of the data, YYYY-MM-DD; "" if not known
	SHA256      string `json:"sha256"`      // of the file as it came, hexadecimal
	Rows        int    `json:"rows"`        // that were taken
}

// Network is how an AS assigns its addresses.
type Network struct {
	Pool       int64  // addresses that it assigns from; 0 if not known
	Assignment string // static, dynamic, or "" if not known
	Shared     bool   // several customers stand behind one address (CGN)
}

// Lease is a length of address assignments, and how many, or which share of
// them, have it.
type Lease struct{ Days, Weight float64 }

// Facts are what rates and estimates of hosts need to know of the world: users
// by AS, region and country, and how networks assign addresses. They never
// change, and any number of goroutines may use them. The zero Facts know
// nothing.
type Facts struct {
	parts []factPart // by kind and layout, each once
}

// factPart is what one file gives; it has the tables of its kind alone.
type factPart struct {
	src      FactSource
	as       map[uint32]people
	region   map[string]people
	percent  map[string]map[int]float64 // country, year: users per cent of population
	people   map[string]map[int]float64 // country, year (0 if not said): population
	networks map[uint32]Network
	leases   map[uint32]map[string][]Lease // AS, table
}

type people struct{ users, population, samples float64 }

// With returns facts to which those of the bytes are added. The kind is one of
// [FactKinds]; the layout is found from the bytes. Facts of the same kind and
// layout are replaced as a whole. A file with a wrong row is refused; the error
// wraps [ErrInvalid] and names the first ten, with their lines.
func (f *Facts) With(kind string, b []byte, src FactSource) (*Facts, error) {
	p, err := parseFacts(kind, b)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	h := sha256.Sum256(b)
	src.Kind, src.Layout, src.Rows, src.SHA256 = kind, p.src.Layout, p.src.Rows, hex.EncodeToString(h[:])
	p.src = src
	n := &Facts{}
	if f != nil {
		for _, x := range f.parts {
			if x.src.Kind != src.Kind || x.src.Layout != src.Layout {
				n.parts = append(n.parts, x)
			}
		}
	}
	n.parts = append(n.parts, *p)
	slices.SortFunc(n.parts, func(a, b factPart) int {
		return cmp.Or(cmp.Compare(a.src.Kind, b.src.Kind), cmp.Compare(a.src.Layout, b.src.Layout))
	})
	return n, nil
}

// Sources returns where the facts come from, by kind and layout.
func (f *Facts) Sources() []FactSource {
	var out []FactSource
	for i := range f.all() {
		out = append(out, f.parts[i].src)
	}
	return out
}

func (f *Facts) all() []factPart {
	if f == nil {
		return nil
	}
	return f.parts
}

// Users returns the users of an AS; false if they are not known.
func (f *Facts) Users(asn uint32) (float64, bool) {
	for i := range f.all() {
		if p, ok := f.parts[i].as[asn]; ok {
			return p.users, true
		}
	}
	return 0, false
}

// AllUsers returns the users of all AS that are known together.
func (f *Facts) AllUsers() float64 {
	n := 0.0
	for i := range f.all() {
		for _, asn := range slices.Sorted(maps.Keys(f.parts[i].as)) {
			if i == f.firstOf(asn) {
				n += f.parts[i].as[asn].users
			}
		}
	}
	return n
}

// firstOf returns the part that answers for the users of an AS.
func (f *Facts) firstOf(asn uint32) int {
	return slices.IndexFunc(f.parts, func(p factPart) bool { _, ok := p.as[asn]; return ok })
}

// Samples returns how many samples the users of an AS were estimated from;
// false if that is not known.
func (f *Facts) Samples(asn uint32) (float64, bool) {
	for i := range f.all() {
		if p, ok := f.parts[i].as[asn]; ok && p.samples > 0 {
			return p.samples, true
		}
	}
	return 0, false
}

// RegionUsers returns the users of a region, by the name that organisations
// have; false if they are not known.
func (f *Facts) RegionUsers(region string) (float64, bool) {
	for i := range f.all() {
		if p, ok := f.parts[i].region[region]; ok {
			return p.users, true
		}
	}
	return 0, false
}

// Regions returns the users of all regions that are known.
func (f *Facts) Regions() map[string]float64 {
	out := map[string]float64{}
	for i := range f.all() {
		for k, p := range f.parts[i].region {
			out[k] = p.users
		}
	}
	return out
}

// CountryUsers returns the users of a country, by its ISO 3166-1 alpha-2 code,
// and the year of the data: the share of the population that uses the internet
// times the population, of the latest year that both have. Where the
// population has no year (CLDR), the year is that of the share.
func (f *Facts) CountryUsers(cc string) (users float64, year int, ok bool) {
	var percent, people, undated map[int]float64
	for i := range f.all() {
		p := &f.parts[i]
		if x := p.percent[cc]; x != nil {
			percent = x
		}
		switch x := p.people[cc]; {
		case x == nil:
		case p.src.Layout == layoutCLDR:
			undated = x
		default:
			people = x
		}
	}
	for _, y := range slices.Backward(slices.Sorted(maps.Keys(percent))) {
		if n, ok := people[y]; ok {
			return percent[y] / 100 * n, y, true
		}
	}
	if n, ok := undated[0]; ok && len(percent) > 0 {
		y := slices.Max(slices.Collect(maps.Keys(percent)))
		return percent[y] / 100 * n, y, true
	}
	return 0, 0, false
}

// Network returns how an AS assigns addresses; false if that is not known.
func (f *Facts) Network(asn uint32) (Network, bool) {
	for i := range f.all() {
		if n, ok := f.parts[i].networks[asn]; ok {
			return n, true
		}
	}
	return Network{}, false
}

// Leases returns the lengths of an AS's assignments: the main sample, and the
// plausible alternatives in order of their names. Both are nil where nothing
// is known.
func (f *Facts) Leases(asn uint32) (main []Lease, plausible [][]Lease) {
	for i := range f.all() {
		tables := f.parts[i].leases[asn]
		for _, name := range slices.Sorted(maps.Keys(tables)) {
			if name == "" {
				main = slices.Clone(tables[name])
			} else {
				plausible = append(plausible, slices.Clone(tables[name]))
			}
		}
	}
	return main, plausible
}

// The layouts of the kinds.
const (
	layoutList      = "list"       // an operator's CSV
	layoutWorldBank = "world-bank" // with the indicator's code behind it
	layoutCLDR      = "cldr"
)

func parseFacts(kind string, b []byte) (*factPart, error) {
	if len(b) > maxFacts {
		return nil, fmt.Errorf("the file has %d bytes, at most %d are taken", len(b), maxFacts)
	}
	b = bytes.TrimPrefix(b, []byte("\xef\xbb\xbf"))
	var (
		p   *factPart
		err error
	)
	switch kind {
	case FactsUsers:
		if t := bytes.TrimLeft(b, " \t\r\n"); len(t) > 0 && t[0] == '{' {
			p, err = parseCLDR(b)
		} else if skip, line := worldBankHeader(b); line > 0 {
			p, err = parseWorldBank(b[skip:], line)
		} else {
			p, err = parseList(b, readUsers)
		}
	case FactsNetworks:
		p, err = parseList(b, readNetworks)
	case FactsLeases:
		p, err = parseList(b, readLeases)
	default:
		return nil, fmt.Errorf("%.40q is no kind of facts: use %s", kind, strings.Join(FactKinds, ", "))
	}
	if err != nil {
		return nil, err
	}
	if p.src.Rows == 0 {
		return nil, errors.New("the file has no row that says anything")
	}
	return p, nil
}

// badRows collects the first reasons why rows are wrong.
type badRows struct{ errs []error }

func (b *badRows) add(line int, err error) {
	b.errs = append(b.errs, &RowError{line, err.Error()})
}

func (b *badRows) full() bool { return len(b.errs) >= shownErrors }

func (b *badRows) err() error { return errors.Join(b.errs...) }

// eachRow calls f with each row until too many are wrong.
func eachRow(in *Rows, bad *badRows, f func(cell []string) error) error {
	for n := 0; !bad.full(); n++ {
		cell, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if row, ok := errors.AsType[*RowError](err); ok {
			bad.errs = append(bad.errs, row)
			continue
		}
		if err != nil {
			return err
		}
		if n >= maxFactRows {
			return fmt.Errorf("line %d: more than %d rows", in.Line(), maxFactRows)
		}
		if err := f(cell); err != nil {
			bad.add(in.Line(), err)
		}
	}
	return bad.err()
}

// listReader reads the header of an operator's list into p, and returns what
// reads its rows, with what is to be done behind the last.
type listReader func(in *Rows, p *factPart) (row func(cell []string) error, end func() error, err error)

func parseList(b []byte, read listReader) (*factPart, error) {
	in, err := NewRows(bytes.NewReader(b), maxFacts)
	if err != nil {
		return nil, err
	}
	p := &factPart{src: FactSource{Layout: layoutList}}
	row, end, err := read(in, p)
	if err != nil {
		return nil, err
	}
	var bad badRows
	if err := eachRow(in, &bad, func(cell []string) error {
		p.src.Rows++
		return row(cell)
	}); err != nil {
		return nil, err
	}
	return p, end()
}

// readUsers reads asn and region (either may be absent), users, and population
// and samples where there are any. An AS's users are those of its row without a
// region, and without one the sum of its rows; likewise a region's.
func readUsers(in *Rows, p *factPart) (func([]string) error, func() error, error) {
	asn, region, users := in.Column("asn"), in.Column("region"), in.Column("users")
	population, samples := in.Column("population"), in.Column("samples")
	if users < 0 || asn < 0 && region < 0 {
		return nil, nil, errors.New("the header has no column users, or neither asn nor region")
	}
	type key struct {
		asn    uint32
		region string
	}
	seen := map[key]int{}
	own := [2]map[key]bool{{}, {}} // ASes, and regions, that have a row of their own
	p.as, p.region = map[uint32]people{}, map[string]people{}
	row := func(cell []string) error {
		var k key
		var n people
		if err := errors.Join(
			optional(cell, asn, func(s string) (err error) { k.asn, err = asNumber(s); return err }),
			optional(cell, region, func(s string) (err error) { k.region, err = factName("region", s); return err }),
			need(cell, users, "users", &n.users),
			optional(cell, population, func(s string) error { return number("population", s, &n.population) }),
			optional(cell, samples, func(s string) error { return number("samples", s, &n.samples) }),
		); err != nil {
			return err
		}
		switch {
		case k == key{}:
			return errors.New("neither asn nor region says whose users these are")
		case n.population > 0 && n.users > n.population:
			return fmt.Errorf("users %s exceed the population %s", cell[users], cell[population])
		case seen[k] > 0:
			return fmt.Errorf("the same asn and region as on line %d: remove one of them", seen[k])
		}
		seen[k] = in.Line()
		if k.asn != 0 {
			own[0][key{asn: k.asn}] = own[0][key{asn: k.asn}] || k.region == ""
			addPeople(p.as, k.asn, n, k.region == "", own[0][key{asn: k.asn}])
		}
		if k.region != "" {
			own[1][key{region: k.region}] = own[1][key{region: k.region}] || k.asn == 0
			addPeople(p.region, k.region, n, k.asn == 0, own[1][key{region: k.region}])
		}
		return nil
	}
	return row, func() error { return nil }, nil
}

// addPeople adds n to m[k], unless a row of k's own holds: that replaces the
// sum of the others, whichever came first.
func addPeople[K comparable](m map[K]people, k K, n people, isOwn, hasOwn bool) {
	switch {
	case isOwn:
		m[k] = n
	case !hasOwn:
		x := m[k]
		m[k] = people{x.users + n.users, x.population + n.population, x.samples + n.samples}
	}
}

// readNetworks reads asn, pool, assignment and shared.
func readNetworks(in *Rows, p *factPart) (func([]string) error, func() error, error) {
	asn, pool, assignment, shared := in.Column("asn"), in.Column("pool"), in.Column("assignment"), in.Column("shared")
	if asn < 0 || pool < 0 && assignment < 0 && shared < 0 {
		return nil, nil, errors.New("the header has no column asn, or none of pool, assignment and shared")
	}
	p.networks = map[uint32]Network{}
	seen := map[uint32]int{}
	row := func(cell []string) error {
		n, err := asNumber(cell[asn])
		if err != nil {
			return err
		}
		var x Network
		if err := errors.Join(
			optional(cell, pool, func(s string) (err error) {
				if x.Pool, err = strconv.ParseInt(s, 10, 64); err != nil || x.Pool < 1 || x.Pool > 1<<48 {
					return fmt.Errorf("pool %.40q: want a number of addresses above 0, or nothing", s)
				}
				return nil
			}),
			optional(cell, assignment, func(s string) error {
				if x.Assignment = strings.ToLower(s); x.Assignment != "static" && x.Assignment != "dynamic" {
					return fmt.Errorf("assignment %.40q: want static or dynamic, or nothing", s)
				}
				return nil
			}),
			optional(cell, shared, func(s string) error {
				switch strings.ToLower(s) {
				case "yes":
					x.Shared = true
				case "no":
				default:
					return fmt.Errorf("shared %.40q: want yes or no", s)
				}
				return nil
			}),
		); err != nil {
			return err
		}
		if seen[n] > 0 {
			return fmt.Errorf("AS%d stands on line %d already: remove one of them", n, seen[n])
		}
		seen[n], p.networks[n] = in.Line(), x
		return nil
	}
	return row, func() error { return nil }, nil
}

// readLeases reads asn, days, and weight and table where there are any.
func readLeases(in *Rows, p *factPart) (func([]string) error, func() error, error) {
	asn, days, weight, table := in.Column("asn"), in.Column("days"), in.Column("weight"), in.Column("table")
	if asn < 0 || days < 0 {
		return nil, nil, errors.New("the header has no column asn, or no column days")
	}
	p.leases = map[uint32]map[string][]Lease{}
	row := func(cell []string) error {
		n, err := asNumber(cell[asn])
		if err != nil {
			return err
		}
		x, name := Lease{Weight: 1}, ""
		if err := errors.Join(
			need(cell, days, "days", &x.Days),
			optional(cell, weight, func(s string) error { return number("weight", s, &x.Weight) }),
			optional(cell, table, func(s string) (err error) { name, err = factName("table", s); return err }),
		); err != nil {
			return err
		}
		switch {
		case x.Days <= 0 || x.Days > maxLeaseDays:
			return fmt.Errorf("days %s: want more than 0 and at most %d", cell[days], maxLeaseDays)
		case x.Weight <= 0:
			return fmt.Errorf("weight %s: want more than 0", cell[weight])
		}
		if p.leases[n] == nil {
			p.leases[n] = map[string][]Lease{}
		}
		t := p.leases[n]
		if t[name] = append(t[name], x); len(t) > maxLeaseTables {
			return fmt.Errorf("AS%d has more than %d tables", n, maxLeaseTables)
		}
		return nil
	}
	// The order of rows says nothing: samples are sorted, so that two files with
	// the same rows give the same estimate to the last digit.
	end := func() error {
		for n, tables := range p.leases {
			if len(tables[""]) == 0 {
				return fmt.Errorf("AS%d has alternatives alone: leave the table empty on the rows of its main sample", n)
			}
			for _, t := range tables {
				slices.SortFunc(t, func(a, b Lease) int { return cmp.Or(cmp.Compare(a.Days, b.Days), cmp.Compare(a.Weight, b.Weight)) })
			}
		}
		return nil
	}
	return row, end, nil
}

// optional reads a cell that may be empty, or a column that may be absent.
func optional(cell []string, i int, read func(string) error) error {
	if i < 0 || cell[i] == "" {
		return nil
	}
	return read(cell[i])
}

func need(cell []string, i int, name string, to *float64) error {
	if cell[i] == "" {
		return fmt.Errorf("%s is empty", name)
	}
	return number(name, cell[i], to)
}

// number reads a finite number from 0 on, in digits.
func number(name, s string, to *float64) error {
	x, err := strconv.ParseFloat(s, 64)
	if err != nil || strings.Trim(s, "0123456789.eE+-") != "" || math.IsInf(x, 0) || x < 0 || x > maxFactNumber {
		return fmt.Errorf("%s %.40q: want a number from 0 to %.0f, such as 1234.5", name, s, maxFactNumber)
	}
	*to = x + 0 // no negative zero
	return nil
}

func asNumber(s string) (uint32, error) {
	n, ok := parseAS(s)
	if !ok {
		return 0, fmt.Errorf("asn %.40q: want a number from 1 to 4294967295", s)
	}
	return n, nil
}

func factName(what, s string) (string, error) {
	if len(s) > maxFactName || cleanName(s) != s || !utf8.ValidString(s) {
		return "", fmt.Errorf("%s %.40q: want one line of printable text of at most %d bytes, without blanks in a row", what, s, maxFactName)
	}
	return s, nil
}
