package web_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"tocsin/internal/event"
	"tocsin/internal/query"
	"tocsin/internal/web"
)

// world is a backend with data that looks like a small country's: for looking
// at the pages, and for the tests that need many rows.
func world(days, perDay int) *fake {
	r := rand.New(rand.NewPCG(1, 2))
	last := time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
	f := &fake{raw: map[string][]byte{}, asNames: map[string]string{}}
	f.status = web.Status{
		Simulated: true, Version: "0.1.0", Go: "go1.26", Home: "XS", HomeName: "Simuland", HasData: true,
		DataFrom: event.DayFrom(last) - event.Day(days) + 1, DataTo: event.DayFrom(last), Now: last.Add(9 * time.Hour), Outside: 42, Enrichment: 3,
	}
	sectors := []string{"isp", "isp", "isp", "government", "education", "health", "finance", "hosting", "energy", ""}
	regions := []string{"Northmark", "Westerly", "The Isles", "Capital District", "Saltmarsh"}
	names := []string{"Simtel", "Northmark Broadband", "Isles Cable", "Ministry of Interior", "Simuland University of Technology", "Capital Hospital", "First Bank of Saltmarsh", "Hosting Harbour", "Westerly Power", "City of Low Water"}
	for i, n := range names {
		o := web.Organisation{ID: fmt.Sprintf("org-%02d", i), Name: n, Sector: sectors[i], Region: regions[i%5], Networks: []string{fmt.Sprintf("198.18.%d.0/24", i), fmt.Sprintf("AS%d", 64512+i)}, Contact: "abuse@sim.example"}
		for j := range i {
			o.Networks = append(o.Networks, fmt.Sprintf("198.19.%d.0/26", i*10+j))
		}
		f.orgs = append(f.orgs, o)
		f.asNames[strconv.Itoa(64512+i)] = n
	}
	f.asNames["65001"], f.asNames["65002"] = "Far Hosting", "Elsewhere Carrier"
	families := []string{"mirai", "qakbot", "andromeda", "avalanche-generic", "", "gozi"}
	add := func(e query.Event) {
		e.Delivery = uint32(e.Day()-f.status.DataFrom) + 1
		e.Row = uint32(len(f.list)%997) + 1
		e.ID = event.ID{Hi: 7, Lo: uint64(len(f.list) + 1)}
		e.DeliveryName, e.DeliverySHA = fmt.Sprintf("%s-%s-simuland-geo.csv", e.Day(), e.Report), "3f2a9c0d5be1474c8a6e0f1d2c3b4a5968778695a4b3c2d1e0f00112233445a6"
		e.Enrichment, e.Confidence, e.Marking = 3, event.NoConfidence, event.Amber
		f.list = append(f.list, e)
		f.raw[fmt.Sprintf("%d/%d", e.Delivery, e.Row)] = fmt.Appendf(nil, `"%s","%s",%d,tcp,"%s"`, e.At().Format(time.DateTime), e.Source.IP, e.Source.Port, e.Family)
	}
	put := func(day event.Day, typ string, role event.Role, kind event.AssetKind, report, feed string) {
		i := min(int(r.ExpFloat64()*2.2), 9)
		o := &f.orgs[i]
		var e query.Event
		e.Time = day.Time().UnixMicro() + r.Int64N(86_400_000_000)
		e.Type, e.Report, e.Feed = event.MustType(typ), report, feed
		ip := netip.AddrFrom4([4]byte{198, 18, byte(i), byte(r.IntN(200))})
		e.Source = event.End{IP: ip, Port: uint16(1024 + r.IntN(60000)), ASN: 64512 + uint32(i), CC: "XS"}
		e.Destination = event.End{IP: netip.AddrFrom4([4]byte{240, 0, 0, byte(r.IntN(9))}), Port: 80}
		e.Subject = event.Subject{Kind: event.SubjectAddress, Asset: kind, Role: role, Peer: event.RoleSinkhole}
		e.Transport = "tcp"
		e.Note = event.Annotation{ASN: 64512 + uint32(i), CC: "XS", Organisation: o.ID, Sector: o.Sector, Region: o.Region}
		e.OrgName, e.ASName = o.Name, o.Name
		switch kind {
		case event.AssetSite:
			name := fmt.Sprintf("site%d.example", r.IntN(400))
			e.Source.FQDN, e.Source.URL = "www."+name, "http://www."+name+"/wp-content/uploads/x.php?id="+strconv.Itoa(r.IntN(9))
			e.Subject.Kind = event.SubjectURL
			e.Note.Asset, e.Note.Domain = event.NamedAsset(event.AssetSite, name), name
		case event.AssetService:
			e.Source.Port = []uint16{23, 3389, 53, 443}[r.IntN(4)]
			e.Note.Asset = event.ServiceAsset(ip, e.Source.Port, "tcp")
		default:
			e.Note.Asset = event.AddressAsset(ip)
		}
		switch typ {
		case "infected-system":
			e.Family = families[min(int(r.ExpFloat64()*1.5), 5)]
			e.Extra = []byte(`{"extra.tag":"sinkhole","extra.http_agent":"Mozilla/5.0","extra.url":"http://cc.example/gate.php","extra.naics":517311}`)
		case "c2-server":
			if r.IntN(3) > 0 {
				e.Source.IP = netip.AddrFrom4([4]byte{240, 0, 1, byte(r.IntN(60))})
				e.Note = event.Annotation{Asset: event.AddressAsset(e.Source.IP), ASN: 65001 + uint32(r.IntN(2)), CC: []string{"XA", "XB", "QM", ""}[r.IntN(4)]}
				e.ASName, e.OrgName = f.asNames[strconv.Itoa(int(e.Note.ASN))], ""
			}
			e.Family = "cobalt strike"
		case "brute-force":
			e.Source.IP = netip.AddrFrom4([4]byte{240, 0, 2, byte(r.IntN(250))})
			e.Note = event.Annotation{Asset: event.AddressAsset(e.Source.IP), ASN: 65001 + uint32(r.IntN(2)), CC: []string{"XA", "XB"}[r.IntN(2)]}
			e.ASName, e.OrgName = f.asNames[strconv.Itoa(int(e.Note.ASN))], ""
		}
		add(e)
	}
	f.publish()
	for d := range days {
		day := f.status.DataFrom + event.Day(d)
		level := float64(perDay) * (1 + .25*float64((d*37)%100)/100)
		if d > days/2 {
			level *= .7
		}
		for range int(level) {
			put(day, "infected-system", event.RoleVictim, event.AssetAddress, "event4_sinkhole_http", []string{"shadowserver", "shadowserver", "partner-idf"}[r.IntN(3)])
		}
		for range perDay / 8 {
			put(day, "c2-server", event.RoleController, event.AssetAddress, "scan_post_exploitation_framework", "shadowserver")
			put(day, "vulnerable-system", event.RoleExposed, event.AssetService, "scan_http_vulnerable", "shadowserver")
			put(day, "brute-force", event.RoleOffender, event.AssetAddress, "event4_honeypot_brute_force", "shadowserver")
			put(day, "brute-force", event.RoleOffender, event.AssetAddress, "event4_honeypot_brute_force", "shadowserver")
		}
		for range r.IntN(4) {
			put(day, []string{"phishing", "unauthorised-information-modification", "system-compromise", "malware-distribution"}[r.IntN(4)], event.RoleVictim, event.AssetSite, "compromised_website", "partner-idf")
		}
		n := int64(len(f.list))
		f.rows = append([]query.Delivery{{
			ID: fmt.Sprintf("d%d", d+1), Seq: uint32(d + 1), Feed: "shadowserver", Format: "shadowserver", Report: "event4_sinkhole_http",
			Name: fmt.Sprintf("%s-event4_sinkhole_http-simuland-geo.csv", day), SHA256: "3f2a9c0d5be1474c8a6e0f1d2c3b4a5968778695a4b3c2d1e0f00112233445a6",
			Size: 31000 + n, At: day.Time().Add(27*time.Hour + 13*time.Minute), By: "inbox", State: query.StateLoaded, Received: n + 3, Accepted: n, Duplicate: 1, Quarantined: 2, Outside: 1,
		}}, f.rows...)
	}
	f.status.Events = int64(len(f.list))
	f.rows[0].State = query.StateLoading
	if len(f.rows) > 2 {
		f.rows[1].State, f.rows[1].Reason = query.StateRefused, "no header: the first line has no known column"
		f.rows[2].State, f.rows[2].Reason = query.StateWithdrawn, "sent by mistake"
	}
	for i := range 40 {
		f.bad = append(f.bad, query.Quarantined{
			Delivery: f.rows[i%len(f.rows)].ID, Feed: "shadowserver", Name: f.rows[i%len(f.rows)].Name, Row: uint32(17 + i),
			Reason: []string{"bad-time", "unclosed-quote", "no-subject"}[i%7%3], Detail: `timestamp "2026-02-30 00:00:00" is no time`, Raw: `"2026-02-30 00:00:00",198.18.0.7,51234,64512,XS,"mirai"`,
		})
	}
	f.feeds = []query.Feed{
		{Name: "shadowserver", Format: "shadowserver", Marking: "AMBER", Deliveries: int64(days), Received: 312345, Accepted: 310002, Duplicate: 2200, Quarantine: 143, Last: last.Add(3 * time.Hour)},
		{Name: "partner-idf", Format: "idf", Marking: "GREEN", Historical: true, Deliveries: 41, Received: 9120, Accepted: 9000, Duplicate: 120, Last: last.Add(5 * time.Hour)},
	}
	look := func(witness, feeds string, class event.Class, asn uint32, days string) {
		f.looks = append(f.looks, query.Covered{Witness: witness, Feeds: strings.Fields(feeds), Class: class, ASN: asn, From: f.status.DataTo - event.Day(len(days)) + 1, Days: []query.Look(days)})
	}
	look("Far <b>Scanner</b>", "hpot partner-idf", event.ClassInfection, 0, "++++++++-----+++++++++++++++.........")
	look("shadowserver", "shadowserver", event.ClassInfection, 0, strings.Repeat("+", 30)+"-"+strings.Repeat("+", 12))
	look("shadowserver", "shadowserver", event.ClassInfection, 64514, strings.Repeat(".", 20)+strings.Repeat("+", 23))
	look("shadowserver", "shadowserver", event.ClassExposure, 0, "+.+.+..--")
	f.breaks = []query.Break{
		{ID: "b20261110-0123456789ab", Witness: "shadowserver", Class: event.ClassInfection, Day: f.status.DataTo - 12, Before: 120, After: 43.5, State: query.BreakSuspected},
		{ID: "b20261101-ab0123456789", Witness: "Far <b>Scanner</b>", Class: event.ClassInfection, Family: "mirai\u202e", Day: f.status.DataTo - 21, Before: 2, After: 900, State: query.BreakDismissed, By: "ann", Why: "a <script> of theirs"},
	}
	f.formats = []web.Format{
		{Name: "shadowserver", Title: "Shadowserver report CSV, one row per observation", Spec: "https://github.com/The-Shadowserver-Foundation/report_schema", Reports: []web.Report{
			{Name: "event4_sinkhole_http", Class: "infection", Type: "infected-system", Subject: "source address", Role: "victim"},
			{Name: "blocklist", Class: "other", Type: "blacklist", Subject: "source address", Role: "unknown", Snapshot: true},
		}},
		{Name: "idf", Title: "IntelMQ Data Format, one JSON object a line", Spec: "https://docs.intelmq.org/latest/user/event/"},
	}
	f.sources = []web.Source{
		{Name: "@ip-location-db/asn 2.3", Licence: "CC-BY-4.0", Attribution: "RouteViews; IP Geolocation by DB-IP", Date: "2026-11-01", SHA256: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"},
		{Name: "operator prefixes", Licence: "", Attribution: "the simulated country", Date: "2026-11-22", SHA256: "00ff"},
	}
	return f
}
