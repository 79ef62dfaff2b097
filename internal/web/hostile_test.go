package web_test

import (
	"net/netip"
	"strings"
	"time"

	"tocsin/internal/event"
	"tocsin/internal/query"
	"tocsin/internal/web"
)

// evil is markup, script, template syntax, quotes, terminal and bidirectional
// controls, a NUL, bytes that are not UTF-8 and a line break.
const evil = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>{{.}}\u202eevil\u2066\x1b[2J\x00\xff\r\nSet-Cookie: a=b\u200b\u2028javascript:alert(1)"

// hostile is a backend with evil in every field that outsiders write.
func hostile() *fake {
	day := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	f := &fake{mark: evil, raw: map[string][]byte{}, asNames: map[string]string{"64500": evil}}
	f.status = web.Status{Version: evil, Home: "XS", HomeName: evil, HasData: true, DataFrom: event.DayFrom(day), DataTo: event.DayFrom(day), Now: day, Go: evil}
	end := event.End{IP: netip.MustParseAddr("192.0.2.1"), Port: 80, ASN: 64500, CC: evil, Region: evil, City: evil, FQDN: evil, ReverseDNS: evil, URL: "http://" + evil, Account: evil, Network: evil}
	for i, k := range []event.SubjectKind{event.SubjectAddress, event.SubjectNetwork, event.SubjectName, event.SubjectURL, event.SubjectAccount, event.SubjectOrganisation} {
		var e query.Event
		e.ID = event.ID{Hi: 1, Lo: uint64(i)}
		e.Time, e.Observed = day.UnixMicro(), day.UnixMicro()
		e.Delivery, e.Row = 1, uint32(i+1)
		e.Report, e.Taxonomy, e.Identifier, e.Family = evil, evil, evil, evil
		e.Type = event.MustType("infected-system")
		e.Marking = event.Amber
		e.Source, e.Destination = end, end
		e.Transport, e.Application = evil, evil
		e.ProductVendor, e.ProductName, e.ProductVersion, e.Vulnerabilities = evil, evil, evil, evil
		e.Subject = event.Subject{Kind: k, Asset: event.AssetAddress, Role: event.RoleVictim, Organisation: evil}
		e.Extra = []byte(`{"extra.a":"http://` + strings.NewReplacer("\"", `\"`, "\x1b", `\u001b`, "\x00", `\u0000`, "\r", `\r`, "\n", `\n`).Replace(evil) + `","<b>":{"x":["<i>"]}}`)
		if k == event.SubjectURL {
			e.Extra = []byte(evil)
		}
		e.Feed, e.ASName, e.OrgName, e.DeliveryName, e.DeliverySHA = evil, evil, evil, evil, evil
		e.Note = event.Annotation{Asset: event.NamedAsset(event.AssetSite, evil), ASN: 64500, CC: evil, Domain: evil, Organisation: evil, Sector: evil, Region: evil}
		f.list = append(f.list, e)
		f.raw["1/"+string(rune('1'+i))] = []byte(evil + strings.Repeat("\x1b\n", 10))
	}
	f.rows = []query.Delivery{{ID: "d1", Seq: 1, Feed: evil, Format: evil, Report: evil, Name: evil, SHA256: evil, By: evil, State: query.StateRefused, Reason: evil, Quarantined: 1, Received: 1, At: day}}
	f.bad = []query.Quarantined{{Delivery: "d1", Feed: evil, Name: evil, Row: 1, Reason: evil, Detail: evil, Raw: evil}}
	f.orgs = []web.Organisation{{ID: evil, Name: evil, Sector: evil, Region: evil, Country: evil, Networks: []string{evil}, Contact: evil}}
	f.feeds = []query.Feed{{Name: evil, Format: evil, Marking: evil, Received: 3, Accepted: 1, Quarantine: 1, Last: day}}
	f.formats = []web.Format{{Name: evil, Title: evil, Spec: "javascript:" + evil, Reports: []web.Report{{Name: evil, Class: evil, Type: evil, Subject: evil, Role: evil}}}}
	f.sources = []web.Source{{Name: evil, Licence: evil, Attribution: evil, Date: evil, SHA256: evil}}
	f.publishEvil()
	return f
}
