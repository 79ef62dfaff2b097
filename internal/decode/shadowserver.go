package decode

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
	"unsafe"

	"tocsin/internal/event"
)

// reportNames finds the row of a report type.
var reportNames = func() map[string]*report {
	m := map[string]*report{}
	for i := range reports {
		for n := range strings.FieldsSeq(reports[i].names) {
			m[n] = &reports[i]
		}
	}
	return m
}()

// dated is a Shadowserver file name: date, report type, then whatever the
// subscription is called.
var dated = regexp.MustCompile(`^\d{4}-\d{2}-\d{2}-([a-z0-9_]+)(?:[-.].*)?$`)

// ReportOf returns the report type that a Shadowserver file name tells, such as
// event4_sinkhole_http for 2026-03-24-event4_sinkhole_http-example_org-asn.csv.gz
// or for event4_sinkhole_http.csv. It is false if the name tells none or one
// that the table does not have; report is what the name says even then.
func ReportOf(name string) (report string, ok bool) {
	name = strings.ToLower(path.Base(strings.ReplaceAll(name, `\`, "/")))
	for _, end := range []string{".gz", ".zst", ".csv"} {
		name = strings.TrimSuffix(name, end)
	}
	if m := dated.FindStringSubmatch(name); m != nil {
		name = m[1]
	}
	return name, reportNames[name] != nil
}

// field is what a column fills.
type field uint8

// The fields of an end are in the same order for both ends. The order of the
// others matters: a column fills its field after those of earlier fields.
const (
	none field = iota // extra only
	timeSource
	sourceIP
	sourcePort
	sourceASN
	sourceCC
	sourceRegion
	sourceCity
	sourceFQDN
	sourceReverse
	sourceURL
	sourceAccount
	sourceNetwork
	destinationIP
	destinationPort
	destinationASN
	destinationCC
	destinationRegion
	destinationCity
	destinationFQDN
	destinationReverse
	destinationURL
	destinationAccount
	destinationNetwork
	transport
	application
	infection // malware.name
	family    // malware.name where infection is empty
	severity
	vendor
	product
	version
	vulnerabilities
	tag   // extra, and its CVE identifiers as product.vulnerabilities
	email // extra, and the account where no other is known
	entity
)

// fieldNames are the names of fields in IDF, as report.columns and the
// reference page write them.
var fieldNames = map[string]field{
	"time.source": timeSource,
	"source.ip":   sourceIP, "source.port": sourcePort, "source.asn": sourceASN,
	"source.geolocation.cc": sourceCC, "source.geolocation.region": sourceRegion, "source.geolocation.city": sourceCity,
	"source.fqdn": sourceFQDN, "source.reverse_dns": sourceReverse, "source.url": sourceURL,
	"source.account": sourceAccount, "source.network": sourceNetwork,
	"destination.ip": destinationIP, "destination.port": destinationPort, "destination.asn": destinationASN,
	"destination.geolocation.cc": destinationCC, "destination.geolocation.region": destinationRegion, "destination.geolocation.city": destinationCity,
	"destination.fqdn": destinationFQDN, "destination.reverse_dns": destinationReverse, "destination.url": destinationURL,
	"destination.account": destinationAccount, "destination.network": destinationNetwork,
	"protocol.transport": transport, "protocol.application": application,
	"malware.name": infection, "malware.name where infection is empty": family, "severity": severity,
	"product.vendor": vendor, "product.name": product, "product.version": version,
	"product.vulnerabilities": vulnerabilities, "product.vulnerabilities (its CVE identifiers)": tag,
	"source.account where there is no other mail address": email, "extra.tocsin.organisation": entity,
}

// columns says which field a column fills in every report type; one that is
// not here, or whose cell does not fit its field, is kept in extra.
var columns = map[string]field{
	"timestamp": timeSource,
	"ip":        sourceIP, "src_ip": sourceIP, "dst_ip": destinationIP,
	"port": sourcePort, "src_port": sourcePort, "dst_port": destinationPort,
	"asn": sourceASN, "src_asn": sourceASN, "dst_asn": destinationASN,
	"geo": sourceCC, "src_geo": sourceCC, "dst_geo": destinationCC,
	"region": sourceRegion, "src_region": sourceRegion, "dst_region": destinationRegion,
	"city": sourceCity, "src_city": sourceCity, "dst_city": destinationCity,
	"hostname": sourceReverse, "src_hostname": sourceReverse, "dst_hostname": destinationReverse,
	"http_host": destinationFQDN, "http_url": destinationURL,
	"protocol": transport, "application": application,
	"infection": infection, "family": family, "severity": severity,
	"device_vendor": vendor, "manufacturername": vendor,
	"device_model": product, "product": product, "productname": product,
	"device_version": version, "product_version": version,
	"vulnerability_id": vulnerabilities, "tag": tag, "email": email, "entity_name": entity,
}

// extraNames are the keys of columns that IDF has a name for but the record no
// field; all others are extra.COLUMN.
var extraNames = map[string]string{
	"md5": "malware.hash.md5", "sha1": "malware.hash.sha1", "sha256": "malware.hash.sha256", "status": "status",
}

// annotations are what the vendor looks up: no part of an identity.
var annotations = func() map[string]bool {
	m := map[string]bool{}
	for w := range strings.FieldsSeq("asn geo region city naics sic sector hostname hostname_source device_vendor device_type device_model device_version device_sector severity") {
		for _, p := range []string{"", "src_", "dst_", "http_referer_"} {
			m[p+w] = true
		}
	}
	return m
}()

// seen returns the identity columns of the type, in the table's order.
func (r *report) seen() []string {
	var list []string
	for w := range strings.FieldsSeq(r.profile.see + " " + r.see) {
		if g, ok := strings.CutPrefix(w, "@"); ok {
			list = append(list, strings.Fields(groups[g])...)
		} else if !r.profile.snapshot || w != "timestamp" {
			list = append(list, w)
		}
	}
	seen := map[string]bool{}
	return slices.DeleteFunc(list, func(w string) bool { dup := seen[w]; seen[w] = true; return dup })
}

// field returns what the column fills in this type.
func (r *report) field(column string) field {
	for w := range strings.FieldsSeq(r.columns) {
		if c, f, _ := strings.Cut(w, "="); c == column {
			return fieldNames[f]
		}
	}
	if f := columns[column]; f != email && f != entity ||
		f == email && r.profile == account || f == entity && r.profile == organisation {
		return f
	}
	return none
}

// table decodes the rows of one Shadowserver report.
type table struct {
	split  *splitter
	report *report
	src    Source
	window window

	first event.Event // what all rows share
	org   string      // the organisation of this row
	mail  string      // the account that the row has besides

	ops    []op     // columns that fill fields, in the order of the fields
	extras []column // all columns by key, those that fill fields only where spilled
	plain  []column // those of extras that fill none
	ident  int      // column of the identifier; -1 if the type has one for all rows
	ids    []column // identity columns
	spill  []bool   // by column: the cell must be kept in extra
	spilt  bool
	alts   []option

	head  []byte // of the identity
	buf   []byte
	ext   []byte
	arena []byte
	clock clock
	cve   struct{ tag, list string }
}

type op struct {
	col   int
	field field
}

// column is a column with the bytes that go before its cell.
type column struct {
	col    int
	prefix []byte
}

// option is a compiled alternative.
type option struct {
	col  int
	word []byte
	row  event.Event
	as   *profile
}

func openShadowserver(r *Reader, src Source, lim Limits) (rower, error) {
	l := newLines(r, lim.Line)
	l.sniff()
	s := newSplitter(l, lim)
	_, reason, err := s.next()
	if err != nil {
		return nil, headless(err)
	}
	switch reason {
	case "":
	case ReasonColumns:
		return nil, &Refusal{ReasonHeader, fmt.Sprintf("more than %d columns", lim.Columns)}
	default:
		return nil, &Refusal{ReasonHeader, "the first line is no CSV header (" + string(reason) + ")"}
	}
	header := make([]string, len(s.cells))
	for i, c := range s.cells {
		header[i] = strings.ToValidUTF8(string(trim(c)), "\uFFFD")
	}
	name, row, err := chooseReport(src, header)
	if err != nil {
		return nil, err
	}
	return compile(s, src, name, row, header)
}

// rowsShadowserver gives the records after the header as received.
func rowsShadowserver(r *Reader, lim Limits) (func() ([]byte, error), error) {
	l := newLines(r, lim.Line)
	l.sniff()
	s := newSplitter(l, lim)
	if _, _, err := s.next(); err != nil {
		return nil, headless(err)
	}
	s.cols = len(s.cells)
	return func() ([]byte, error) {
		raw, _, err := s.next()
		return raw, err
	}, nil
}

// chooseReport finds the report type: named by the source, told by the file
// name, or else the only one that the header fits.
func chooseReport(src Source, header []string) (string, *report, error) {
	name := src.Report
	if name == "" {
		told, ok := ReportOf(src.Name)
		if !ok {
			if r := fitting(header); r != nil {
				told, _, _ = strings.Cut(r.names, " ")
			}
		}
		name = told
	}
	if r := reportNames[name]; r != nil {
		return name, r, nil
	}
	return "", nil, &Refusal{ReasonReport, fmt.Sprintf("report type %q is not known: name it in the file name as in 2026-01-31-scan_ssl-example.csv; `tocsin formats` lists the types", printable(name, 60))}
}

// fitting returns the only report type that knows all columns of the header
// and whose own columns, at least two, are all there; nil if there is not just
// one.
func fitting(header []string) *report {
	have := map[string]bool{}
	for _, h := range header {
		have[strings.ToLower(h)] = true
	}
	var found *report
next:
	for i := range reports {
		r := &reports[i]
		known := map[string]bool{"timestamp": true}
		for _, w := range r.seen() {
			known[w] = true
		}
		for h := range have {
			if !known[h] && !annotations[h] {
				continue next
			}
		}
		own := 0
		for w := range strings.FieldsSeq(r.see) {
			if w[0] != '@' {
				if !have[w] {
					continue next
				}
				own++
			}
		}
		if own >= 2 {
			if found != nil {
				return nil
			}
			found = r
		}
	}
	return found
}

// compile turns the header into the list of what to do with each column.
func compile(s *splitter, src Source, name string, r *report, header []string) (*table, error) {
	t := &table{split: s, report: r, src: src, window: windowOf(src), ident: -1, spill: make([]bool, len(header))}
	s.cols = len(header)
	app, proto, _ := strings.Cut(r.service, "/")
	t.first = event.Event{
		Delivery: src.Delivery, Report: name, Type: event.MustType(r.class), Identifier: r.identifier,
		Severity: r.severity, Confidence: src.Confidence, Marking: src.Marking, Application: app, Transport: proto,
		Subject: event.Subject{Side: r.profile.side, Role: r.profile.role, Peer: r.profile.peer},
	}
	at := map[string]int{}
	keys := map[string]int{} // how often each was wanted
	identity := r.seen()
	for i, h := range header {
		lower := strings.ToLower(h)
		f := r.field(lower)
		if j, twice := at[lower]; twice && lower != "" {
			if f != none || slices.Contains(identity, lower) {
				return nil, &Refusal{ReasonHeader, fmt.Sprintf("column %q is there twice, as number %d and %d: which one holds?", printable(lower, 60), j+1, i+1)}
			}
		} else {
			at[lower] = i
		}
		key := "extra." + h
		switch {
		case extraNames[lower] != "":
			key = extraNames[lower]
		case h == "":
			key = fmt.Sprintf("extra.column_%d", i+1)
		case strings.HasPrefix(lower, "tocsin"):
			key = "extra.column_" + h // extra.tocsin.* is ours
		}
		if len(key) > maxKey-16 {
			key = strings.ToValidUTF8(key[:maxKey-32], "")
		}
		for whole := key; keys[key] > 0; {
			keys[whole]++ // so that thousands of equal columns take one look each
			key = fmt.Sprintf("%s#%d", whole, keys[whole])
		}
		keys[key] = 1
		c := column{i, append(appendString([]byte{','}, []byte(key)), ':')}
		t.extras = append(t.extras, c)
		if f != none {
			t.ops = append(t.ops, op{i, f})
		}
		if f == none || f == tag || f == email {
			t.plain = append(t.plain, c)
		}
	}
	if _, ok := at["timestamp"]; !ok && !r.profile.snapshot {
		return nil, &Refusal{ReasonHeader, "the first line has no column timestamp: is the header missing?"}
	}
	if !slices.ContainsFunc(t.ops, func(o op) bool { return names(o.field, r.profile) }) {
		return nil, &Refusal{ReasonHeader, fmt.Sprintf("no column tells whom a row of %s concerns: is it of another type, or the header missing?", name)}
	}
	slices.SortFunc(t.ops, func(a, b op) int { return int(a.field) - int(b.field) })
	byKey := func(a, b column) int { return bytes.Compare(a.prefix, b.prefix) }
	slices.SortFunc(t.extras, byKey)
	slices.SortFunc(t.plain, byKey)
	if c, ok := strings.CutPrefix(r.identifier, "="); ok {
		t.first.Identifier = ""
		if i, ok := at[c]; ok {
			t.ident = i
		}
	}
	t.head = lengthPrefixed(t.head, src.Feed)
	t.head = lengthPrefixed(t.head, name)
	for _, w := range identity {
		if i, ok := at[w]; ok {
			t.ids = append(t.ids, column{i, lengthPrefixed(nil, w)})
		}
	}
	for _, a := range alternatives {
		if i, ok := at[a.column]; ok && strings.HasPrefix(r.names+" ", a.report+" ") {
			e := t.first
			e.Type, e.Identifier = event.MustType(a.class), a.identifier
			e.Subject = event.Subject{Side: a.profile.side, Role: a.profile.role, Peer: a.profile.peer}
			t.alts = append(t.alts, option{i, []byte(a.word), e, a.profile})
		}
	}
	return t, nil
}

// names reports whether the field can name the subject.
func names(f field, p *profile) bool {
	if p.side == event.SideDestination {
		f -= destinationIP - sourceIP
	}
	for _, k := range p.kind {
		switch k {
		case event.SubjectAddress:
			if f == sourceIP {
				return true
			}
		case event.SubjectNetwork:
			if f == sourceNetwork {
				return true
			}
		case event.SubjectName:
			if f == sourceFQDN {
				return true
			}
		case event.SubjectURL:
			if f == sourceURL {
				return true
			}
		case event.SubjectAccount:
			if f == sourceAccount || f == email {
				return true
			}
		case event.SubjectOrganisation:
			if f == entity {
				return true
			}
		}
	}
	return false
}

func lengthPrefixed(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

// next implements rower.
func (t *table) next(e *event.Event) ([]byte, *Bad, error) {
	raw, reason, err := t.split.next()
	if err != nil {
		return raw, nil, err
	}
	if reason != "" {
		return raw, &Bad{Reason: reason, Detail: t.explain(reason)}, nil
	}
	as := t.report.profile
	*e = t.first
	for i := range t.alts {
		if bytes.Contains(t.split.cells[t.alts[i].col], t.alts[i].word) {
			*e, as = t.alts[i].row, t.alts[i].as
		}
	}
	if bad := t.fill(e, as); bad != nil {
		return raw, bad, nil
	}
	t.identify(e, as)
	t.keep(e)
	return raw, nil, nil
}

func (t *table) explain(r Reason) string {
	switch r {
	case ReasonColumns:
		if len(t.split.cells) >= t.split.cols {
			return fmt.Sprintf("more cells than the header's %d columns", t.split.cols)
		}
		return fmt.Sprintf("%d cells, the header has %d columns", len(t.split.cells), t.split.cols)
	case ReasonQuote:
		return "a quote does not close, or closes inside a cell"
	case ReasonLine:
		return fmt.Sprintf("longer than %d bytes", t.split.lines.max)
	default:
		return ""
	}
}

// fill sets the typed fields.
func (t *table) fill(e *event.Event, as *profile) *Bad {
	cells := t.split.cells
	if t.spilt {
		clear(t.spill)
	}
	t.spilt, t.org, t.mail = false, "", ""
	timed := false
	for _, o := range t.ops {
		cell := cells[o.col]
		if len(cell) == 0 {
			continue
		}
		if o.field == timeSource {
			us, exact, ok := t.clock.parse(trim(cell))
			if !ok {
				return &Bad{Reason: ReasonTime, Detail: "not a time: " + printable(text(cell), 60)}
			}
			e.Time, timed = us, true
			if !exact {
				t.spilt, t.spill[o.col] = true, true
			}
			continue
		}
		if !t.set(e, o.field, cell) {
			t.spilt, t.spill[o.col] = true, true
		}
	}
	if !timed {
		if !as.snapshot {
			return &Bad{Reason: ReasonTime, Detail: "no time"}
		}
		e.Time = t.src.Received.UnixMicro()
	}
	if bad := t.window.check(e.Time); bad != nil {
		return bad
	}
	if t.ident >= 0 {
		if c := trim(cells[t.ident]); plain(c) {
			e.Identifier = text(c)
		}
	}
	return t.subject(e, as)
}

// subject decides by what the row's subject is known.
func (t *table) subject(e *event.Event, as *profile) *Bad {
	end := e.SubjectEnd()
	for _, k := range as.kind {
		switch k {
		case event.SubjectAddress:
			if !end.IP.IsValid() || end.IP.IsUnspecified() {
				continue
			}
		case event.SubjectNetwork:
			if end.Network == "" {
				continue
			}
		case event.SubjectName:
			if end.FQDN == "" {
				continue
			}
		case event.SubjectURL:
			if end.URL == "" {
				continue
			}
		case event.SubjectAccount:
			t.mailbox(end)
			if end.Account == "" {
				continue
			}
		case event.SubjectOrganisation:
			if t.org == "" {
				continue
			}
			e.Subject.Organisation = t.org
		}
		e.Subject.Kind, e.Subject.Asset = k, as.asset
		switch {
		case k == event.SubjectNetwork:
			e.Subject.Asset = event.AssetNone // nobody says how many hosts
		case as.asset == event.AssetService && end.Port == 0:
			e.Subject.Asset = event.AssetAddress
		}
		return nil
	}
	for _, o := range t.ops {
		if names(o.field, as) {
			if c := t.split.cells[o.col]; len(trim(c)) > 0 {
				return &Bad{Reason: ReasonAddress, Detail: "not a host: " + printable(text(c), 60)}
			}
		}
	}
	return &Bad{Reason: ReasonSubject, Detail: "no cell tells whom the row concerns"}
}

// mailbox takes the mail address for the account where the account is none: it
// tells more of whose it is than a name that many services know.
func (t *table) mailbox(end *event.End) {
	if t.mail == "" || strings.Contains(end.Account, "@") {
		return
	}
	if end.Account != "" {
		for _, o := range t.ops {
			if o.field == sourceAccount {
				t.spilt, t.spill[o.col] = true, true
			}
		}
	}
	end.Account = t.mail
}

// set fills a field and reports whether it holds the cell to the byte.
func (t *table) set(e *event.Event, f field, cell []byte) bool {
	end := &e.Source
	switch {
	case f >= transport:
	case f >= destinationIP:
		f -= destinationIP - sourceIP
		end = &e.Destination
	}
	switch f {
	case sourceIP:
		if end.IP.IsValid() {
			return false
		}
		ip, exact, ok := address(trim(cell))
		if ok {
			end.IP = ip
		}
		return exact && len(trim(cell)) == len(cell)
	case sourcePort:
		n, ok := number(cell, 65535)
		end.Port = uint16(n) //nolint:gosec // at most 65535
		return ok
	case sourceASN:
		n, ok := number(cell, 1<<32-1)
		end.ASN = uint32(n) //nolint:gosec // at most 1<<32-1
		return ok
	case sourceCC:
		cc, exact := country(cell)
		end.CC = cc
		return exact
	case sourceRegion:
		return keepText(&end.Region, cell)
	case sourceCity:
		return keepText(&end.City, cell)
	case sourceFQDN:
		name, exact, ok := hostname(cell)
		if !ok || end.FQDN != "" {
			return false
		}
		end.FQDN = name
		return exact
	case sourceReverse:
		if !plain(cell) {
			return false
		}
		name, exact := lower(bytes.TrimRight(cell, "."))
		end.ReverseDNS = name
		return exact && len(name) == len(cell)
	case sourceURL:
		if !absolute(cell) {
			return false
		}
		return keepText(&end.URL, cell)
	case sourceAccount:
		return keepText(&end.Account, cell)
	case sourceNetwork:
		p, err := netip.ParsePrefix(text(trim(cell)))
		if err != nil {
			if end.IP.IsValid() {
				return false
			}
			ip, exact, ok := address(trim(cell))
			if ok {
				end.IP = ip
			}
			return exact && len(trim(cell)) == len(cell)
		}
		end.Network = p.String()
		return end.Network == text(cell)
	case transport:
		if len(cell) > 11 || !word(cell) {
			return false
		}
		s, exact := lower(cell)
		e.Transport = s
		return exact
	case application:
		if e.Application != "" {
			return e.Application == text(cell)
		}
		if len(cell) > 100 || !printing(cell) {
			return false
		}
		s, exact := lower(cell)
		e.Application = s
		return exact
	case infection, family:
		if e.Family != "" {
			return false
		}
		c := trim(cell)
		if !printing(c) {
			return false
		}
		s, exact := lower(c)
		e.Family = s
		return exact && len(c) == len(cell)
	case severity:
		s, exact := lower(cell)
		v, ok := event.ParseSeverity(s)
		if ok {
			e.Severity = v
		}
		return ok && exact && v != event.SeverityUndefined
	case vendor:
		return keepText(&e.ProductVendor, cell)
	case product:
		return keepText(&e.ProductName, cell)
	case version:
		return keepText(&e.ProductVersion, cell)
	case vulnerabilities:
		return keepText(&e.Vulnerabilities, cell)
	case tag:
		if e.Vulnerabilities == "" {
			e.Vulnerabilities = t.cves(cell)
		}
		return true
	case email:
		return keepText(&t.mail, cell)
	case entity:
		return keepText(&t.org, cell)
	default:
		return false
	}
}

// cves returns the CVE identifiers among the words of a tag, separated by
// semicolons.
func (t *table) cves(cell []byte) string {
	named := false
	for i := 0; i+4 <= len(cell); i++ {
		named = named || cell[i]|0x20 == 'c' && cell[i+1]|0x20 == 'v' && cell[i+3] == '-'
	}
	if !named {
		return ""
	}
	if string(cell) == t.cve.tag {
		return t.cve.list
	}
	t.cve.tag, t.cve.list = string(cell), ""
	var list []string
	for _, w := range strings.FieldsFunc(t.cve.tag, func(r rune) bool { return r == ';' || r == ',' || r == '|' || r == ' ' }) {
		if len(w) > 4 && strings.EqualFold(w[:4], "cve-") && utf8.ValidString(w) && !strings.Contains(w, "\x00") {
			list = append(list, w)
		}
	}
	t.cve.list = strings.Join(list, ";")
	return t.cve.list
}

// identify writes out the identity cells and hashes them: length-prefixed feed
// and report type, then name and trimmed cell of each identity column that is
// not empty, in the table's order.
func (t *table) identify(e *event.Event, as *profile) {
	b := append(t.buf[:0], t.head...)
	if as.snapshot {
		b = append(b, "\x03day\x0a"...)
		b = event.DayOf(e.Time).Time().AppendFormat(b, time.DateOnly)
	}
	for i := range t.ids {
		c := &t.ids[i]
		cell := t.split.cells[c.col]
		if len(cell) == 0 {
			continue
		}
		if cell = trim(cell); len(cell) == 0 {
			continue
		}
		b = append(b, c.prefix...)
		if len(cell) < 0x80 {
			b = append(b, byte(len(cell))) //nolint:gosec // below 0x80
		} else {
			b = binary.AppendUvarint(b, uint64(len(cell)))
		}
		b = append(b, cell...)
	}
	e.ID = event.Hash(b)
	t.buf = b
}

// keep writes the cells that no field holds to e.Extra.
func (t *table) keep(e *event.Event) {
	b := t.ext[:0]
	if !t.spilt {
		for i := range t.plain {
			c := &t.plain[i]
			if cell := t.split.cells[c.col]; len(cell) > 0 {
				b = append(b, c.prefix...)
				b = appendString(b, cell)
			}
		}
	} else {
		k := 0
		for i := range t.extras {
			c := &t.extras[i]
			isPlain := k < len(t.plain) && t.plain[k].col == c.col
			if isPlain {
				k++
			}
			if cell := t.split.cells[c.col]; len(cell) > 0 && (isPlain || t.spill[c.col]) {
				b = append(b, c.prefix...)
				b = appendString(b, cell)
			}
		}
	}
	t.ext = b
	if len(b) == 0 {
		return
	}
	b = append(b, '}')
	b[0] = '{'
	t.ext = b
	if cap(t.arena)-len(t.arena) < len(b) {
		size := firstBlock
		if cap(t.arena) > 0 {
			size = fullBlock
		}
		t.arena = make([]byte, 0, max(size, len(b)))
	}
	n := len(t.arena)
	t.arena = append(t.arena, b...)
	e.Extra = t.arena[n:len(t.arena):len(t.arena)]
}

// text is b as a string without a copy. Cells are never written to again.
func text(b []byte) string {
	return unsafe.String(unsafe.SliceData(b), len(b)) //nolint:gosec // the block is not written again
}
