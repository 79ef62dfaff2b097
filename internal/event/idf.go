package event

import (
	"bytes"
	"encoding/json"
	"iter"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"
)

// AppendIDF appends the event as one flat object of the IntelMQ Data Format:
// keys sorted, no line end. feed becomes feed.name; "" leaves it out.
//
// What [Event.Extra] holds under the key of a typed field is written in its
// place, byte for byte, so that what came in as IDF goes out with the same keys
// and values. Only a stricter marking replaces the row's own. Added are what
// IDF derives (classification.taxonomy), what the feed says of its rows
// (feed.accuracy, feed.name, tlp), and extra.tocsin.* where the event's subject
// is not the one that [IDFSubject] finds.
func AppendIDF(dst []byte, e *Event, feed string) []byte {
	w := idfWriter{dst: append(dst, '{'), start: len(dst) + 1}
	var few [48]pair
	w.extra = few[:0]
	sorted := true
	for k, v := range e.Extras() {
		if n := len(w.extra); n > 0 && w.extra[n-1].key > k {
			sorted = false
		}
		w.extra = append(w.extra, pair{k, v})
	}
	if !sorted {
		slices.SortStableFunc(w.extra, func(a, b pair) int { return bytes.Compare([]byte(a.key), []byte(b.key)) })
	}
	taxonomy := e.Taxonomy
	if taxonomy == "" {
		taxonomy = e.Type.Taxonomy()
	}
	w.text("classification.identifier", e.Identifier)
	w.text("classification.taxonomy", taxonomy)
	w.text("classification.type", e.Type.String())
	w.end("destination.", &e.Destination)
	w.subject(e)
	if e.Confidence != NoConfidence {
		w.number("feed.accuracy", uint64(e.Confidence))
	}
	w.text("feed.name", feed)
	w.text("malware.name", e.Family)
	w.text("product.name", e.ProductName)
	w.text("product.vendor", e.ProductVendor)
	w.text("product.version", e.ProductVersion)
	w.text("product.vulnerabilities", e.Vulnerabilities)
	w.text("protocol.application", e.Application)
	w.text("protocol.transport", e.Transport)
	if e.Severity != SeverityUndefined {
		w.text("severity", e.Severity.String())
	}
	w.end("source.", &e.Source)
	if e.Observed != 0 {
		w.time("time.observation", e.Observed)
	}
	if !w.fromObservation {
		w.time("time.source", e.Time)
	}
	w.marking(e.Marking)
	w.until("")
	return append(w.dst, '}')
}

// IDFTime gives a time, microseconds since 1970, as IDF writes it.
func IDFTime(us int64) string { return string(appendIDFTime(nil, us)) }

func appendIDFTime(dst []byte, us int64) []byte {
	layout := "2006-01-02T15:04:05+00:00"
	if us%1e6 != 0 {
		layout = "2006-01-02T15:04:05.000000+00:00"
	}
	return time.UnixMicro(us).UTC().AppendFormat(dst, layout)
}

// The keys by which a subject that IDF cannot tell is kept.
const (
	KeySide         = "extra.tocsin.side"
	KeyKind         = "extra.tocsin.kind"
	KeyAsset        = "extra.tocsin.asset"
	KeyRole         = "extra.tocsin.role"
	KeyPeer         = "extra.tocsin.peer"
	KeyOrganisation = "extra.tocsin.organisation"
	KeyReport       = "extra.tocsin.report"
	// KeyTime, with the value "observation", says in Extra that the event's
	// time is that of its observation since it has no time.source. It is
	// never written out.
	KeyTime = "extra.tocsin.time"
)

// IDFReport is the report type of events that came in as IDF and tell no other.
const IDFReport = "idf"

// String gives the word used in tables and in IDF.
func (s Side) String() string {
	if s == SideDestination {
		return "destination"
	}
	return "source"
}

// ParseSide returns the side of that name.
func ParseSide(s string) (Side, bool) {
	return map[string]Side{"source": SideSource, "destination": SideDestination}[s], s == "source" || s == "destination"
}

// ParseSubjectKind returns the kind of that name.
func ParseSubjectKind(s string) (SubjectKind, bool) {
	i, ok := subjectKindNames.parse(s)
	return SubjectKind(i), ok
}

// ParseAssetKind returns the kind of that name.
func ParseAssetKind(s string) (AssetKind, bool) {
	i, ok := assetKindNames.parse(s)
	return AssetKind(i), ok
}

// idfRow says what IDF's source is in events of some types.
type idfRow struct {
	role  Role
	peer  Role
	first SubjectKind // what the subject is looked for by first
	asset AssetKind   // of a subject known by its address
	types []string
}

var idfRows = []idfRow{
	{RoleVictim, RoleUnknown, SubjectAddress, AssetAddress, []string{"infected-system"}},
	{RoleVictim, RoleUnknown, SubjectURL, AssetAddress, []string{"system-compromise", "application-compromise"}},
	{RoleVictim, RoleUnknown, SubjectURL, AssetSite, []string{"phishing", "malware-distribution", "unauthorised-information-modification"}},
	{RoleVictim, RoleUnknown, SubjectAccount, AssetAddress, []string{"privileged-account-compromise", "unprivileged-account-compromise", "data-leak"}},
	{RoleController, RoleUnknown, SubjectAddress, AssetAddress, []string{"c2-server"}},
	{RoleOffender, RoleTarget, SubjectAddress, AssetAddress, []string{"brute-force", "exploit", "ids-alert", "scanner", "ddos", "dos", "spam", "sniffing"}},
	{RoleExposed, RoleUnknown, SubjectAddress, AssetService, []string{"vulnerable-system", "ddos-amplifier", "potentially-unwanted-accessible", "weak-crypto", "information-disclosure", "misconfiguration"}},
}

var idfOfType = func() (m [256]idfRow) {
	for i := range m {
		m[i] = idfRow{first: SubjectAddress, asset: AssetAddress}
	}
	for _, r := range idfRows {
		for _, n := range r.types {
			m[MustType(n)] = r
		}
	}
	return m
}()

// IDFSubject finds the subject of an event that says nothing of it but IDF: the
// source, or the destination if nothing is known of the source; its role by
// classification.type. Kind is SubjectNone if neither end is known. The asset
// of a type outside tocsin's scope is AssetNone.
func IDFSubject(e *Event) Subject {
	r := idfOfType[e.Type]
	s := Subject{Role: r.role, Peer: r.peer}
	if s.Kind = e.Source.known(r.first); s.Kind == SubjectNone {
		if s.Kind = e.Destination.known(r.first); s.Kind != SubjectNone {
			s.Side = SideDestination
			if r.role == RoleOffender {
				s.Role, s.Peer = RoleVictim, RoleUnknown
			}
		}
	}
	switch s.Kind {
	case SubjectNone:
		return Subject{}
	case SubjectAddress:
		s.Asset = r.asset
		end := e.Source
		if s.Side == SideDestination {
			end = e.Destination
		}
		if s.Asset == AssetService && end.Port == 0 {
			s.Asset = AssetAddress
		}
	case SubjectName, SubjectURL:
		s.Asset = AssetSite
	case SubjectAccount:
		s.Asset = AssetAccount
	}
	if !e.Type.InScope() {
		s.Asset = AssetNone
	}
	return s
}

// known tells by what the end is known, looking for one kind first.
func (x *End) known(first SubjectKind) SubjectKind {
	kinds := [...]SubjectKind{first, SubjectAddress, SubjectName, SubjectURL, SubjectAccount, SubjectNetwork}
	if first == SubjectURL {
		kinds[1], kinds[2] = SubjectName, SubjectAddress
	}
	for _, k := range kinds {
		if x.Has(k) {
			return k
		}
	}
	return SubjectNone
}

// Has reports whether a subject can be known by the end's field of that kind.
func (x *End) Has(k SubjectKind) bool {
	switch k {
	case SubjectAddress:
		return x.IP.IsValid() && !x.IP.IsUnspecified()
	case SubjectNetwork:
		return x.Network != ""
	case SubjectName:
		return x.FQDN != ""
	case SubjectURL:
		return x.URL != ""
	case SubjectAccount:
		return x.Account != ""
	default:
		return false
	}
}

// Extras gives the keys and raw JSON values of [Event.Extra] in their order.
// It stops where Extra is not a JSON object. Values are parts of Extra.
func (e *Event) Extras() iter.Seq2[string, json.RawMessage] {
	return func(yield func(string, json.RawMessage) bool) {
		b := e.Extra
		i := skipSpace(b, 0)
		if i >= len(b) || b[i] != '{' {
			return
		}
		for i++; ; i++ {
			i = skipSpace(b, i)
			end := skipValue(b, i)
			if end < 0 || b[i] != '"' {
				return
			}
			key := string(b[i+1 : end-1])
			if bytes.IndexByte(b[i:end], '\\') >= 0 && json.Unmarshal(b[i:end], &key) != nil {
				return
			}
			i = skipSpace(b, end)
			if i >= len(b) || b[i] != ':' {
				return
			}
			i = skipSpace(b, i+1)
			end = skipValue(b, i)
			if end < 0 || !yield(key, json.RawMessage(b[i:end:end])) {
				return
			}
			i = skipSpace(b, end)
			if i >= len(b) || b[i] != ',' {
				return
			}
		}
	}
}

func skipSpace(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\t' || b[i] == '\n' || b[i] == '\r') {
		i++
	}
	return i
}

// skipValue returns where the JSON value at b[i] ends, -1 if it does not.
func skipValue(b []byte, i int) int {
	depth, start := 0, i
	for i < len(b) {
		switch b[i] {
		case '"':
			for i++; i < len(b) && b[i] != '"'; i++ {
				if b[i] == '\\' {
					i++
				}
			}
			if i >= len(b) {
				return -1
			}
			i++
		case '{', '[':
			depth++
			i++
			continue
		case '}', ']':
			if depth--; depth < 0 {
				return -1
			}
			i++
		case ',', ':', ' ', '\t', '\n', '\r':
			if depth == 0 {
				return -1
			}
			i++
			continue
		default:
			for i < len(b) && !bytes.ContainsRune([]byte(",:{}[]\" \t\n\r"), rune(b[i])) {
				i++
			}
		}
		if depth == 0 && i > start {
			return i
		}
	}
	return -1
}

type pair struct {
	key   string
	value json.RawMessage
}

// idfWriter merges the typed fields, asked for in the order of their keys, with
// the sorted pairs of Extra.
type idfWriter struct {
	dst   []byte
	start int
	extra []pair

	fromObservation bool
}

func (w *idfWriter) pair(key string, value json.RawMessage) {
	w.key(key)
	w.dst = append(w.dst, value...)
}

func (w *idfWriter) key(key string) {
	if len(w.dst) > w.start {
		w.dst = append(w.dst, ',')
	}
	w.dst = appendJSON(w.dst, key)
	w.dst = append(w.dst, ':')
}

// until writes the pairs of Extra before the key, all if it is "", and the one
// of the key itself. It reports whether there was one.
func (w *idfWriter) until(key string) bool {
	for len(w.extra) > 0 {
		p := w.extra[0]
		if key != "" && p.key > key {
			return false
		}
		w.extra = w.extra[1:]
		if p.key == KeyTime {
			w.fromObservation = true
			continue
		}
		w.pair(p.key, p.value)
		if p.key == key {
			return true
		}
	}
	return false
}

func (w *idfWriter) text(key, s string) {
	if w.until(key) || s == "" {
		return
	}
	w.key(key)
	w.dst = appendJSON(w.dst, s)
}

func (w *idfWriter) number(key string, n uint64) {
	if w.until(key) || n == 0 && key != "feed.accuracy" {
		return
	}
	w.key(key)
	w.dst = strconv.AppendUint(w.dst, n, 10)
}

func (w *idfWriter) time(key string, us int64) {
	if w.until(key) {
		return
	}
	w.key(key)
	w.dst = append(w.dst, '"')
	w.dst = appendIDFTime(w.dst, us)
	w.dst = append(w.dst, '"')
}

func (w *idfWriter) end(side string, x *End) {
	w.text(side+"account", x.Account)
	w.number(side+"asn", uint64(x.ASN))
	w.text(side+"fqdn", x.FQDN)
	w.text(side+"geolocation.cc", x.CC)
	w.text(side+"geolocation.city", x.City)
	w.text(side+"geolocation.region", x.Region)
	ip := ""
	if x.IP.IsValid() {
		ip = x.IP.String()
	}
	w.text(side+"ip", ip)
	w.text(side+"network", x.Network)
	w.number(side+"port", uint64(x.Port))
	w.text(side+"reverse_dns", x.ReverseDNS)
	w.text(side+"url", x.URL)
}

// subject writes what IDF alone does not tell of the subject.
func (w *idfWriter) subject(e *Event) {
	s, d := e.Subject, IDFSubject(e)
	put := func(key, value string, differs bool) {
		if differs {
			w.text(key, value)
		}
	}
	put(KeyAsset, s.Asset.String(), s.Asset != d.Asset)
	put(KeyKind, s.Kind.String(), s.Kind != d.Kind)
	put(KeyOrganisation, s.Organisation, true)
	put(KeyPeer, s.Peer.String(), s.Peer != d.Peer)
	put(KeyReport, e.Report, e.Report != IDFReport)
	put(KeyRole, s.Role.String(), s.Role != d.Role)
	put(KeySide, s.Side.String(), s.Side != d.Side)
}

// marking writes the stricter of the event's marking and the row's own.
func (w *idfWriter) marking(m Marking) {
	i := slices.IndexFunc(w.extra, func(p pair) bool { return p.key == "tlp" })
	if i >= 0 && m != Unmarked {
		var own string
		if json.Unmarshal(w.extra[i].value, &own) != nil {
			own = ""
		}
		if o, _ := ParseMarking(own); o < m {
			w.extra = slices.Delete(slices.Clone(w.extra), i, i+1)
		}
	}
	w.text("tlp", m.String())
}

// appendJSON writes s as a JSON string. Strings of events are UTF-8; what is
// not becomes U+FFFD.
func appendJSON(dst []byte, s string) []byte {
	const digits = "0123456789abcdef"
	dst = append(dst, '"')
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c < ' ':
			dst = append(dst, '\\', 'u', '0', '0', digits[c>>4], digits[c&15])
		case c >= utf8.RuneSelf:
			r, n := utf8.DecodeRuneInString(s[i:])
			dst = utf8.AppendRune(dst, r)
			i += n
			continue
		default:
			dst = append(dst, c)
		}
		i++
	}
	return append(dst, '"')
}
