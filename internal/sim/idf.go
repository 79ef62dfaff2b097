package sim

import (
	"time"
	"unicode/utf8"
)

// object writes one JSON object with keys in the order given.
type object struct{ b []byte }

func (o *object) key(k string) {
	if o.b[len(o.b)-1] != '{' {
		o.b = append(o.b, ", "...)
	}
	o.b = append(o.b, '"')
	o.b = append(o.b, k...)
	o.b = append(o.b, `": `...)
}

// str sets a member of text unless it is empty.
func (o *object) str(k, v string) {
	if v == "" {
		return
	}
	o.key(k)
	o.b = append(o.b, '"')
	for _, c := range v {
		switch {
		case c == '"' || c == '\\':
			o.b = append(o.b, '\\', byte(c))
		case c < 0x20 || c == '<':
			o.b = append(o.b, `\u00`...)
			o.b = append(o.b, "0123456789abcdef"[c>>4], "0123456789abcdef"[c&15])
		default:
			o.b = utf8.AppendRune(o.b, c)
		}
	}
	o.b = append(o.b, '"')
}

// num sets a member of digits unless it is 0.
func (o *object) num(k string, v int) {
	if v != 0 {
		o.key(k)
		o.b = appendInt(o.b, v)
	}
}

func (o *object) addr(k string, a address) {
	if a != (address{}) {
		o.key(k)
		o.b = append(o.b, '"')
		o.b = a.append(o.b)
		o.b = append(o.b, '"')
	}
}

// idfWords are the classification of the kinds of rows in IDF.
var idfWords = map[kind]struct{ taxonomy, identifier, protocol string }{
	kindInfected:   {"malicious-code", "", "http"},
	kindController: {"malicious-code", "", "https"},
	kindBackdoored: {"intrusions", "", "https"},
	kindSpreading:  {"malicious-code", "", "http"},
	kindPhishing:   {"fraud", "", "https"},
	kindDefaced:    {"information-content-security", "defacement", "http"},
	kindBruteForce: {"intrusion-attempts", "", "ssh"},
	kindSpeech:     {"abusive-content", "", "https"},
}

var idfProviders = [reportCount]string{repIDF: "Partner CSIRT", repHub: "Sector Hub", repBorder: "Border Sensors"}

var nicks = []string{"h4rb0r", "n1ghtf4ll", `"><svg onload=alert(1)>`, `=HYPERLINK("http://x.example","x")`, "\u0645\u0628\u0631\u0645\u062c", "cr3w\u202e"}

// appendIDF renders a row as one line of IDF JSON without its end; broken is 0
// or the way in which it is broken.
func (m *maker) appendIDF(b []byte, rep int, r *row, d dice, broken int) []byte {
	start := len(b)
	word := idfWords[r.kind]
	o := object{append(b, '{')}
	o.str("classification.identifier", word.identifier)
	o.str("classification.taxonomy", word.taxonomy)
	o.str("classification.type", kinds[r.kind].typ)
	if m.revised {
		o.str("comment", "sent again")
	}
	switch r.kind {
	case kindInfected, kindBruteForce:
		c := m.claim(r.peerNet, r.peer, r.x>>20)
		o.num("destination.asn", c.asn)
		o.addr("destination.ip", r.peer)
		o.num("destination.port", r.peerPort)
	case kindDefaced:
		o.str("event_description.text", "defaced by "+nicks[r.path>>13%uint64(len(nicks))])
	default:
	}
	o.key("extra.reference") // tells all rows of a feed apart
	o.b = append(o.b, `"SIM-`...)
	o.b = appendHex(o.b, r.x)
	o.b = append(o.b, '"')
	if rep == repBorder {
		o.str("extra.tocsin.peer", "c2") // the sensors know whom they watch
	}
	if r.x&7 == 0 {
		o.key("feed.accuracy")
		o.b = append(o.b, "90.0"...)
	}
	o.str("feed.name", feeds[reports[rep].feed].Name)
	o.str("feed.provider", idfProviders[rep])
	o.str("malware.name", m.familyName(r.name, false))
	o.str("protocol.application", word.protocol)
	if r.kind == kindInfected || r.kind == kindController || r.kind == kindBruteForce {
		o.str("protocol.transport", "tcp")
	}
	c := m.claim(r.net, r.a, r.x)
	o.num("source.asn", c.asn)
	host := ""
	if r.site != nil {
		host = r.host()
		if r.site.domain != "" && r.path>>17&3 != 0 {
			o.str("source.fqdn", lower(host))
		}
	}
	if r.net != nil {
		o.str("source.geolocation.cc", c.cc)
		o.str("source.geolocation.city", c.city)
	}
	o.addr("source.ip", r.a)
	o.num("source.port", r.port)
	if r.site != nil {
		o.str("source.url", r.url(host))
	}
	o.key("time.observation")
	o.b = append(o.b, '"')
	seen := m.midnight() + secondsOfOneDay + 3600
	if m.revised {
		seen += 7200
	}
	o.b = m.appendTime(o.b, seen, 'T')
	o.b = append(o.b, `+00:00"`...)
	o.key("time.source")
	o.b = append(o.b, '"')
	switch {
	case broken == 2:
		o.b = append(o.b, badTimes[1+d.n(len(badTimes)-1)]...) // without any, the time of observation holds
	case r.x>>32%20 == 0: // the partner's local time
		o.b = time.Unix(r.t, 0).In(time.FixedZone("", 7200)).AppendFormat(o.b, "2006-01-02T15:04:05-07:00")
	default:
		o.b = m.appendTime(o.b, r.t, 'T')
		o.b = append(o.b, "+00:00"...)
	}
	o.b = append(o.b, `"}`...)
	switch broken {
	case 1: // cut off
		return o.b[:start+(len(o.b)-start)*2/3]
	case 3:
		return append(o.b[:start], `["not", "an", "object"]`...)
	}
	return o.b
}

// lower is ASCII lower case: IDF's names are in lower case.
func lower(s string) string {
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}
