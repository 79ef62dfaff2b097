package decode

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"tocsin/internal/event"
)

// maxKey bounds a key with the keys it stands in, in bytes.
const maxKey = 256

// maxKeys bounds how many keys a delivery remembers.
const maxKeys = 4096

// idfRows reads IDF, one JSON object a line. Nested objects mean the same as
// flat keys: {"source":{"ip":…}} is "source.ip".
type idfRows struct {
	lines *lines
	src   Source
	lim   Limits
	win   window
	clock clock
	head  []byte // of the identity

	keys  map[string]string // those that came before, as one string each
	pairs []idfPair
	path  []byte
	buf   []byte
	ext   []byte
	arena []byte
}

// idfPair is one flat key with its value.
type idfPair struct {
	key  string
	raw  []byte // JSON as received
	str  []byte // the decoded string, if it is one; WTF-8 where it has lone surrogates
	kind byte   // first byte of raw
	held bool   // a typed field gives it back
}

func openIDF(r *Reader, src Source, lim Limits) (rower, error) {
	l := newLines(r, lim.Line)
	l.sniff()
	d := &idfRows{lines: l, src: src, lim: lim, win: windowOf(src), keys: map[string]string{}}
	d.head = lengthPrefixed(d.head, src.Feed)
	d.head = lengthPrefixed(d.head, event.IDFReport)
	return d, nil
}

// rowsIDF gives the lines as received.
func rowsIDF(r *Reader, lim Limits) (func() ([]byte, error), error) {
	l := newLines(r, lim.Line)
	l.sniff()
	return func() ([]byte, error) {
		line, _, err := nextLine(l)
		return line, err
	}, nil
}

// nextLine gives the next line that is not blank.
func nextLine(l *lines) ([]byte, bool, error) {
	for {
		line, long, err := l.next()
		if err != nil || long || len(trim(line)) > 0 {
			return line, long, err
		}
	}
}

// next implements rower.
func (d *idfRows) next(e *event.Event) ([]byte, *Bad, error) {
	line, long, err := nextLine(d.lines)
	if err != nil {
		return line, nil, err
	}
	if long {
		return line, &Bad{Reason: ReasonLine, Detail: fmt.Sprintf("longer than %d bytes", d.lim.Line)}, nil
	}
	if bad := d.parse(trim(line)); bad != nil {
		return line, bad, nil
	}
	return line, d.event(e), nil
}

// parse cuts a line into flat pairs, sorted by key.
func (d *idfRows) parse(b []byte) *Bad {
	switch {
	case !utf8.Valid(b):
		return &Bad{Reason: ReasonEncoding, Detail: "not UTF-8"}
	case b[0] != '{':
		return &Bad{Reason: ReasonJSON, Detail: "not a JSON object"}
	case nesting(b) > d.lim.Depth:
		return &Bad{Reason: ReasonDepth, Detail: fmt.Sprintf("nested deeper than %d", d.lim.Depth)}
	case !json.Valid(b):
		return &Bad{Reason: ReasonJSON, Detail: "not valid JSON"}
	}
	d.pairs, d.path = d.pairs[:0], d.path[:0]
	if _, bad := d.object(b, 0); bad != nil {
		return bad
	}
	byKey := func(a, b idfPair) int { return strings.Compare(a.key, b.key) }
	if !slices.IsSortedFunc(d.pairs, byKey) {
		slices.SortFunc(d.pairs, byKey)
	}
	for i := 1; i < len(d.pairs); i++ {
		if d.pairs[i].key == d.pairs[i-1].key {
			return &Bad{Reason: ReasonJSON, Detail: "key " + printable(d.pairs[i].key, 60) + " is there twice"}
		}
	}
	return nil
}

// nesting returns how deep b nests arrays and objects. Of what is not JSON it
// returns any number.
func nesting(b []byte) int {
	depth, deepest := 0, 0
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case '"':
			for i++; i < len(b); i++ {
				j := bytes.IndexByte(b[i:], '"')
				if j < 0 {
					return deepest
				}
				i += j
				k := i
				for b[k-1] == '\\' {
					k--
				}
				if (i-k)%2 == 0 {
					break
				}
			}
		case '{', '[':
			depth++
			deepest = max(deepest, depth)
		case '}', ']':
			depth--
		}
	}
	return deepest
}

// object adds the pairs of the object that starts at b[i], which is valid JSON,
// and returns where it ends.
func (d *idfRows) object(b []byte, i int) (int, *Bad) {
	for i = skip(b, i+1); b[i] != '}'; {
		end := valueEnd(b, i)
		key := b[i+1 : end-1]
		if bytes.IndexByte(key, '\\') >= 0 {
			key = unescape(key)
			if !utf8.Valid(key) {
				return 0, &Bad{Reason: ReasonJSON, Detail: "a key with half a surrogate pair"}
			}
		}
		n := len(d.path)
		if n > 0 {
			d.path = append(d.path, '.')
		}
		d.path = append(d.path, key...)
		if len(d.path) > maxKey {
			return 0, &Bad{Reason: ReasonJSON, Detail: fmt.Sprintf("a key longer than %d bytes", maxKey)}
		}
		i = skip(b, skip(b, end)+1) // past the colon
		if b[i] == '{' && b[skip(b, i+1)] != '}' {
			next, bad := d.object(b, i)
			if bad != nil {
				return 0, bad
			}
			i = next
		} else {
			end = valueEnd(b, i)
			if len(d.pairs) == d.lim.Columns {
				return 0, &Bad{Reason: ReasonJSON, Detail: fmt.Sprintf("more than %d keys", d.lim.Columns)}
			}
			p := idfPair{key: d.keyName(d.path), raw: b[i:end:end], kind: b[i]}
			if b[i] == '"' {
				p.str = b[i+1 : end-1 : end-1]
				if bytes.IndexByte(p.str, '\\') >= 0 {
					p.str = unescape(p.str)
				}
			}
			d.pairs = append(d.pairs, p)
			i = end
		}
		d.path = d.path[:n]
		if i = skip(b, i); b[i] == ',' {
			i = skip(b, i+1)
		}
	}
	return i + 1, nil
}

// keyName returns the key as a string, without a copy if it came before.
func (d *idfRows) keyName(b []byte) string {
	if s, ok := d.keys[string(b)]; ok {
		return s
	}
	s := string(b)
	if len(d.keys) < maxKeys {
		d.keys[s] = s
	}
	return s
}

func skip(b []byte, i int) int {
	for b[i] == ' ' || b[i] == '\t' || b[i] == '\n' || b[i] == '\r' {
		i++
	}
	return i
}

// valueEnd returns where the value at b[i], which is valid JSON, ends.
func valueEnd(b []byte, i int) int {
	depth := 0
	for {
		switch b[i] {
		case '"':
			for i++; b[i] != '"'; i++ {
				if b[i] == '\\' {
					i++
				}
			}
			i++
		case '{', '[':
			depth++
			i++
		case '}', ']':
			depth--
			i++
		case ',', ':', ' ', '\t', '\n', '\r':
			i++
		default:
			for i < len(b) && b[i] != ',' && b[i] != '}' && b[i] != ']' && b[i] > ' ' {
				i++
			}
		}
		if depth == 0 {
			return i
		}
	}
}

// unescape decodes the text of a valid JSON string. Half a surrogate pair
// becomes the three bytes that UTF-8 forbids for it (WTF-8), so that texts that
// differ stay different.
func unescape(b []byte) []byte {
	out := make([]byte, 0, len(b))
	for i := 0; i < len(b); i++ {
		if b[i] != '\\' {
			out = append(out, b[i])
			continue
		}
		i++
		switch b[i] {
		case 'b':
			out = append(out, '\b')
		case 'f':
			out = append(out, '\f')
		case 'n':
			out = append(out, '\n')
		case 'r':
			out = append(out, '\r')
		case 't':
			out = append(out, '\t')
		case 'u':
			r := hex4(b[i+1:])
			i += 4
			if 0xd800 <= r && r < 0xdc00 && i+6 < len(b) && b[i+1] == '\\' && b[i+2] == 'u' {
				if l := hex4(b[i+3:]); 0xdc00 <= l && l < 0xe000 {
					r = 0x10000 + (r-0xd800)<<10 + (l - 0xdc00)
					i += 6
				}
			}
			if 0xd800 <= r && r < 0xe000 {
				out = append(out, 0xe0|byte(r>>12), 0x80|byte(r>>6&0x3f), 0x80|byte(r&0x3f))
			} else {
				out = utf8.AppendRune(out, r)
			}
		default:
			out = append(out, b[i])
		}
	}
	return out
}

func hex4(b []byte) rune {
	n, err := strconv.ParseUint(string(b[:4]), 16, 16)
	if err != nil {
		return utf8.RuneError
	}
	return rune(n)
}

// get returns the decoded string of a key; nil if there is none.
func (d *idfRows) get(key string) []byte {
	i, ok := slices.BinarySearchFunc(d.pairs, key, func(p idfPair, k string) int { return strings.Compare(p.key, k) })
	if !ok {
		return nil
	}
	return d.pairs[i].str
}

// event sets every field of e but Row from the pairs.
func (d *idfRows) event(e *event.Event) *Bad {
	*e = event.Event{Delivery: d.src.Delivery, Report: event.IDFReport, Confidence: d.src.Confidence, Marking: d.src.Marking}
	timed := false
	for i := range d.pairs {
		p := &d.pairs[i]
		switch p.key {
		case "time.source", "time.observation":
			us, _, ok := d.clock.parse(trim(p.str))
			switch {
			case p.key == "time.observation":
				if ok && us >= event.MinTime && us < event.MaxTime {
					e.Observed, p.held = us, event.IDFTime(us) == text(p.str)
				}
			case ok:
				e.Time, timed, p.held = us, true, event.IDFTime(us) == text(p.str)
			case p.kind != 'n' && len(p.raw) > 2:
				return &Bad{Reason: ReasonTime, Detail: "not a time: " + printable(text(p.raw), 60)}
			}
		default:
			p.held = d.set(e, p)
		}
	}
	if !timed {
		if e.Observed == 0 {
			return &Bad{Reason: ReasonTime, Detail: "neither time.source nor time.observation"}
		}
		e.Time = e.Observed
	}
	if bad := d.win.check(e.Time); bad != nil {
		return bad
	}
	if e.Taxonomy == e.Type.Taxonomy() {
		e.Taxonomy = ""
	}
	if bad := d.subject(e); bad != nil {
		return bad
	}
	d.identify(e, timed)
	d.keep(e, timed)
	return nil
}

// oldTypes are the names that earlier versions of IDF gave to types.
var oldTypes = map[string]string{
	"backdoor": "system-compromise", "botnet drone": "infected-system", "botnet-drone": "infected-system", "c&c": "c2-server", "c2server": "c2-server",
	"compromised": "system-compromise", "defacement": "unauthorised-information-modification", "dropzone": "other",
	"leak": "data-leak", "malware configuration": "malware-configuration", "ransomware": "infected-system",
	"unauthorized-command": "system-compromise", "unauthorized-login": "system-compromise",
	"unauthorized use of resources": "unauthorized-use-of-resources", "vulnerable client": "vulnerable-system", "vulnerable service": "vulnerable-system",
}

// set fills the field of a key and reports whether [event.AppendIDF] gives the
// value back from it.
func (d *idfRows) set(e *event.Event, p *idfPair) bool {
	if rest, ok := strings.CutPrefix(p.key, "source."); ok {
		return setEnd(&e.Source, rest, p)
	}
	if rest, ok := strings.CutPrefix(p.key, "destination."); ok {
		return setEnd(&e.Destination, rest, p)
	}
	switch p.key {
	case "classification.type":
		name := string(p.str)
		t, ok := event.ParseType(name)
		if !ok {
			if now := oldTypes[name]; now != "" {
				t = event.MustType(now)
			} else {
				t, _ = event.ParseType(strings.ReplaceAll(name, " ", "-"))
			}
		}
		e.Type = t
		return ok
	case "classification.taxonomy":
		return keepJSON(&e.Taxonomy, p)
	case "classification.identifier":
		return keepJSON(&e.Identifier, p)
	case "malware.name":
		return keepLower(&e.Family, p)
	case "protocol.application":
		return keepLower(&e.Application, p)
	case "protocol.transport":
		return keepLower(&e.Transport, p)
	case "product.name":
		return keepJSON(&e.ProductName, p)
	case "product.vendor":
		return keepJSON(&e.ProductVendor, p)
	case "product.version":
		return keepJSON(&e.ProductVersion, p)
	case "product.vulnerabilities":
		return keepJSON(&e.Vulnerabilities, p)
	case "severity":
		s, exact := lower(p.str)
		v, ok := event.ParseSeverity(s)
		if ok {
			e.Severity = v
		}
		return ok && exact && v != event.SeverityUndefined
	case "feed.accuracy":
		f, err := strconv.ParseFloat(string(p.scalar()), 64)
		if err != nil || f < 0 || f > 100 || math.IsNaN(f) {
			return false
		}
		e.Confidence = uint8(math.Round(f))
		return string(p.raw) == strconv.Itoa(int(e.Confidence))
	case "tlp":
		m, ok := event.ParseMarking(string(p.str))
		if ok {
			e.Marking = max(e.Marking, m)
		}
		return ok && e.Marking.String() == string(p.str)
	case event.KeyReport:
		if len(p.str) <= 64 && name(p.str) {
			e.Report = string(p.str)
		}
	}
	return false
}

func name(b []byte) bool {
	for _, c := range b {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' {
			return false
		}
	}
	return len(b) > 0
}

// scalar returns the text of a string or the JSON of anything else.
func (p *idfPair) scalar() []byte {
	if p.kind == '"' {
		return p.str
	}
	return p.raw
}

func setEnd(x *event.End, key string, p *idfPair) bool {
	switch key {
	case "ip":
		ip, exact, ok := address(trim(p.str))
		if ok {
			x.IP = ip
		}
		return exact && len(trim(p.str)) == len(p.str)
	case "port":
		n, exact := integer(p, 65535)
		x.Port = uint16(n) //nolint:gosec // at most 65535
		return exact
	case "asn":
		n, exact := integer(p, math.MaxUint32)
		x.ASN = uint32(n) //nolint:gosec // at most 1<<32-1
		return exact
	case "geolocation.cc":
		cc, exact := country(p.str)
		x.CC = cc
		return exact
	case "geolocation.region":
		return keepJSON(&x.Region, p)
	case "geolocation.city":
		return keepJSON(&x.City, p)
	case "fqdn":
		n, exact, ok := hostname(p.str)
		if ok {
			x.FQDN = n
		}
		return ok && exact
	case "reverse_dns":
		if !plain(p.str) {
			return false
		}
		n, exact := lower(bytes.TrimRight(p.str, "."))
		x.ReverseDNS = n
		return n != "" && exact && len(n) == len(p.str)
	case "url":
		return absolute(p.str) && keepJSON(&x.URL, p)
	case "account":
		return keepJSON(&x.Account, p)
	case "network":
		n, err := netip.ParsePrefix(string(p.str))
		if err == nil {
			x.Network = n.String()
		}
		return err == nil && x.Network == string(p.str)
	default:
		return false
	}
}

// keepJSON sets s to the value if it is a string with text.
func keepJSON(s *string, p *idfPair) bool {
	if len(p.str) == 0 || !plain(p.str) {
		return false
	}
	*s = text(p.str)
	return true
}

// keepLower is keepJSON for fields that IDF writes in lower case.
func keepLower(s *string, p *idfPair) bool {
	if len(p.str) == 0 || !plain(p.str) {
		return false
	}
	v, exact := lower(p.str)
	*s = v
	return exact
}

// integer reads a whole number from 1 to limit, also of a string or with a
// fraction of zeros; exact if it is written as it would be again.
func integer(p *idfPair, limit uint64) (n uint64, exact bool) {
	b := trim(p.scalar())
	if n, ok := number(b, limit); ok {
		return n, p.kind != '"'
	}
	f, err := strconv.ParseFloat(string(b), 64)
	if err == nil && f >= 1 && f <= float64(limit) && f == math.Trunc(f) {
		return uint64(f), false
	}
	return 0, false
}

// subject finds whom the event concerns: as extra.tocsin.* says where the event
// bears it out, or else as IDF tells.
func (d *idfRows) subject(e *event.Event) *Bad {
	s := event.IDFSubject(e)
	if v, ok := event.ParseSide(string(d.get(event.KeySide))); ok && v != s.Side {
		s.Side = v
	}
	if v, ok := event.ParseRole(string(d.get(event.KeyRole))); ok {
		s.Role = v
	}
	if v, ok := event.ParseRole(string(d.get(event.KeyPeer))); ok {
		s.Peer = v
	}
	if v, ok := event.ParseSubjectKind(string(d.get(event.KeyKind))); ok {
		s.Kind = v
	}
	if v, ok := event.ParseAssetKind(string(d.get(event.KeyAsset))); ok && fits(s.Kind, v) {
		s.Asset = v
	}
	if o := d.get(event.KeyOrganisation); len(o) > 0 && plain(o) {
		s.Organisation = text(o)
	}
	e.Subject = s
	if s.Asset == event.AssetService && e.SubjectEnd().Port == 0 {
		e.Subject.Asset = event.AssetAddress
	}
	if !e.SubjectEnd().Has(s.Kind) && (s.Kind != event.SubjectOrganisation || s.Organisation == "") {
		e.Subject = event.IDFSubject(e)
	}
	if e.Subject.Kind != event.SubjectOrganisation {
		e.Subject.Organisation = ""
	}
	if !e.Type.InScope() {
		e.Subject.Asset = event.AssetNone
	}
	if e.Subject.Kind == event.SubjectNone {
		return &Bad{Reason: ReasonSubject, Detail: "neither end has an address, name, URL, account or network"}
	}
	return nil
}

// fits reports whether a subject known by k can be counted as a.
func fits(k event.SubjectKind, a event.AssetKind) bool {
	switch a {
	case event.AssetAddress, event.AssetService:
		return k == event.SubjectAddress
	case event.AssetSite:
		return k == event.SubjectAddress || k == event.SubjectName || k == event.SubjectURL
	case event.AssetAccount:
		return k == event.SubjectAccount
	case event.AssetOrganisation:
		return k == event.SubjectOrganisation
	default:
		return a == event.AssetNone
	}
}

// exampleAddress stands for any on the reference page.
var exampleAddress = netip.AddrFrom4([4]byte{192, 0, 2, 1})

// local reports whether a key is what a site adds to an event or looks up of
// it: no part of its identity. The report type is one: two reports may tell the
// same of one thing.
func local(key string) bool {
	if rest, ok := strings.CutPrefix(key, "source."); ok {
		return lookedUp(rest)
	}
	if rest, ok := strings.CutPrefix(key, "destination."); ok {
		return lookedUp(rest)
	}
	switch key {
	case "time.observation", "raw", "rtir_id", "output", "event_hash", "comment", "severity", "tlp", "__type", "classification.taxonomy":
		return true
	}
	return strings.HasPrefix(key, "feed.") || strings.HasPrefix(key, "misp.") || strings.HasPrefix(key, "extra.tocsin.") && key != event.KeyReport
}

func lookedUp(key string) bool {
	switch key {
	case "asn", "as_name", "registry", "network", "allocated", "abuse_contact", "reverse_dns", "domain_suffix":
		return true
	}
	return strings.HasPrefix(key, "geolocation.")
}

// identify hashes the length-prefixed feed, "idf", and name and value of every
// key that is not local, sorted. A network counts where its end has no address,
// the time of observation where there is no time of the source.
func (d *idfRows) identify(e *event.Event, timed bool) {
	b := append(d.buf[:0], d.head...)
	for i := range d.pairs {
		p := &d.pairs[i]
		if local(p.key) {
			switch {
			case p.key == "time.observation" && !timed:
			case p.key == "source.network" && !e.Source.IP.IsValid():
			case p.key == "destination.network" && !e.Destination.IP.IsValid():
			default:
				continue
			}
		}
		v := p.scalar()
		if len(v) == 0 || p.kind == 'n' {
			continue
		}
		b = lengthPrefixed(b, p.key)
		b = binary.AppendUvarint(b, uint64(len(v)))
		b = append(b, v...)
	}
	e.ID = event.Hash(b)
	d.buf = b
}

// keep writes what no field gives back to e.Extra, keys sorted.
func (d *idfRows) keep(e *event.Event, timed bool) {
	b := append(d.ext[:0], '{')
	put := func(key string, raw []byte) {
		if len(b) > 1 {
			b = append(b, ',')
		}
		b = appendString(b, []byte(key))
		b = append(b, ':')
		b = append(b, raw...)
	}
	marked := timed
	for i := range d.pairs {
		p := &d.pairs[i]
		if p.key == event.KeyTime {
			continue
		}
		if !marked && p.key > event.KeyTime {
			put(event.KeyTime, []byte(`"observation"`))
			marked = true
		}
		if !p.held {
			put(p.key, p.raw)
		}
	}
	if !marked {
		put(event.KeyTime, []byte(`"observation"`))
	}
	d.ext = b
	if len(b) == 1 {
		return
	}
	b = append(b, '}')
	if cap(d.arena)-len(d.arena) < len(b) {
		size := firstBlock
		if cap(d.arena) > 0 {
			size = fullBlock
		}
		d.arena = make([]byte, 0, max(size, len(b)))
	}
	n := len(d.arena)
	d.arena = append(d.arena, b...)
	e.Extra = d.arena[n:len(d.arena):len(d.arena)]
}
