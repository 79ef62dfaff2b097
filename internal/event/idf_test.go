package event

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
)

// TestAppendIDF writes an event with every field.
func TestAppendIDF(t *testing.T) {
	t.Parallel()
	end := End{
		IP: netip.MustParseAddr("2001:db8::1"), Port: 443, ASN: 64500, CC: "ZZ", Region: "R", City: "C",
		FQDN: "example.org", ReverseDNS: "host.example.org", URL: "http://example.org/\"\\\n", Account: "a", Network: "2001:db8::/32",
	}
	e := Event{
		Time: 1774314123000000, Observed: 1774314123500000, Report: "scan_ssl", Type: MustType("ddos"), Identifier: "i", Family: "f",
		Severity: SeverityHigh, Confidence: 0, Marking: AmberStrict, Source: end, Destination: end, Transport: "tcp", Application: "https",
		ProductVendor: "v", ProductName: "n", ProductVersion: "1", Vulnerabilities: "CVE-2026-1",
		Subject: Subject{Side: SideDestination, Kind: SubjectOrganisation, Asset: AssetOrganisation, Role: RoleVictim, Peer: RoleC2, Organisation: "Example"},
		// Not sorted, and with a key of a typed field.
		Extra: []byte(`{"zz":[1, {"a":"}"}], "source.port":"0443","extra.\u0061":{"b":null} }`),
	}
	want := `{"classification.identifier":"i","classification.taxonomy":"availability","classification.type":"ddos",` +
		`"destination.account":"a","destination.asn":64500,"destination.fqdn":"example.org","destination.geolocation.cc":"ZZ","destination.geolocation.city":"C",` +
		`"destination.geolocation.region":"R","destination.ip":"2001:db8::1","destination.network":"2001:db8::/32","destination.port":443,` +
		`"destination.reverse_dns":"host.example.org","destination.url":"http://example.org/\"\\\u000a",` +
		`"extra.a":{"b":null},"extra.tocsin.asset":"organisation","extra.tocsin.kind":"organisation","extra.tocsin.organisation":"Example",` +
		`"extra.tocsin.peer":"c2","extra.tocsin.report":"scan_ssl","extra.tocsin.role":"victim","extra.tocsin.side":"destination",` +
		`"feed.accuracy":0,"feed.name":"feed","malware.name":"f","product.name":"n","product.vendor":"v","product.version":"1","product.vulnerabilities":"CVE-2026-1",` +
		`"protocol.application":"https","protocol.transport":"tcp","severity":"high",` +
		`"source.account":"a","source.asn":64500,"source.fqdn":"example.org","source.geolocation.cc":"ZZ","source.geolocation.city":"C",` +
		`"source.geolocation.region":"R","source.ip":"2001:db8::1","source.network":"2001:db8::/32","source.port":"0443",` +
		`"source.reverse_dns":"host.example.org","source.url":"http://example.org/\"\\\u000a",` +
		`"time.observation":"2026-03-24T01:02:03.500000+00:00","time.source":"2026-03-24T01:02:03+00:00","tlp":"AMBER+STRICT","zz":[1, {"a":"}"}]}`
	got := string(AppendIDF([]byte("x"), &e, "feed"))
	if got != "x"+want {
		t.Errorf("got:\n%s\nwant:\n%s", got, "x"+want)
	}
	if !json.Valid([]byte(got[1:])) {
		t.Error("not JSON")
	}
	var empty Event
	empty.Confidence = NoConfidence
	if got := string(AppendIDF(nil, &empty, "")); !json.Valid([]byte(got)) {
		t.Error(got)
	}
}

func TestExtras(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ in, want string }{
		{``, ``},
		{`null`, ``},
		{`{}`, ``},
		{`{"a":1}`, `a=1;`},
		{` { "a" : "x\"}," , "b" : [ {"c":[]} , 2 ] , "c":{} } `, `a="x\"},";b=[ {"c":[]} , 2 ];c={};`},
		{`{"a":1,"b"}`, `a=1;`},
		{`{"a":1,"b":`, `a=1;`},
		{`{"a":"`, ``},
		{`{1:2}`, ``},
		{`[1]`, ``},
	} {
		var b strings.Builder
		e := Event{Extra: []byte(tt.in)}
		for k, v := range e.Extras() {
			b.WriteString(k + "=" + string(v) + ";")
		}
		if b.String() != tt.want {
			t.Errorf("%s: %s, want %s", tt.in, b.String(), tt.want)
		}
	}
}

func FuzzExtras(f *testing.F) {
	f.Add([]byte(`{"a":"x\"},","b":[{"c":[]},2],"é":{}}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		e := Event{Extra: in}
		got := 0
		for _, v := range e.Extras() {
			got++
			if json.Valid(in) && !json.Valid(v) {
				t.Fatalf("%s: %s", in, v)
			}
		}
		var m map[string]json.RawMessage
		if json.Unmarshal(in, &m) == nil && got < len(m) {
			t.Fatalf("%s: %d of %d keys", in, got, len(m))
		}
	})
}

func TestIDFSubject(t *testing.T) {
	t.Parallel()
	ip := End{IP: netip.MustParseAddr("192.0.2.1")}
	port := ip
	port.Port = 80
	site := End{IP: ip.IP, FQDN: "example.org", URL: "http://example.org/"}
	account := End{IP: ip.IP, Account: "a"}
	for _, tt := range []struct {
		class    string
		src, dst End
		want     Subject
		wantC    Class
	}{
		{"infected-system", ip, ip, Subject{SideSource, SubjectAddress, AssetAddress, RoleVictim, RoleUnknown, ""}, ClassInfection},
		{"c2-server", ip, End{}, Subject{SideSource, SubjectAddress, AssetAddress, RoleController, RoleUnknown, ""}, ClassController},
		{"c2-server", End{FQDN: "example.org"}, End{}, Subject{SideSource, SubjectName, AssetSite, RoleController, RoleUnknown, ""}, ClassController},
		{"vulnerable-system", ip, End{}, Subject{SideSource, SubjectAddress, AssetAddress, RoleExposed, RoleUnknown, ""}, ClassExposure},
		{"vulnerable-system", port, End{}, Subject{SideSource, SubjectAddress, AssetService, RoleExposed, RoleUnknown, ""}, ClassExposure},
		{"ddos", ip, ip, Subject{SideSource, SubjectAddress, AssetAddress, RoleOffender, RoleTarget, ""}, ClassAttempt},
		{"ddos", End{}, ip, Subject{SideDestination, SubjectAddress, AssetAddress, RoleVictim, RoleUnknown, ""}, ClassVictim},
		{"phishing", site, End{}, Subject{SideSource, SubjectURL, AssetSite, RoleVictim, RoleUnknown, ""}, ClassSite},
		{"phishing", ip, End{}, Subject{SideSource, SubjectAddress, AssetSite, RoleVictim, RoleUnknown, ""}, ClassSite},
		{"system-compromise", ip, End{}, Subject{SideSource, SubjectAddress, AssetAddress, RoleVictim, RoleUnknown, ""}, ClassInfection},
		{"system-compromise", site, End{}, Subject{SideSource, SubjectURL, AssetSite, RoleVictim, RoleUnknown, ""}, ClassSite},
		{"data-leak", account, End{}, Subject{SideSource, SubjectAccount, AssetAccount, RoleVictim, RoleUnknown, ""}, ClassLeak},
		{"harmful-speech", site, End{}, Subject{SideSource, SubjectAddress, AssetNone, RoleUnknown, RoleUnknown, ""}, ClassOutside},
		{"other", End{Network: "192.0.2.0/24"}, End{}, Subject{SideSource, SubjectNetwork, AssetNone, RoleUnknown, RoleUnknown, ""}, ClassOther},
		{"other", End{}, End{}, Subject{}, ClassOther},
	} {
		e := Event{Type: MustType(tt.class), Source: tt.src, Destination: tt.dst}
		e.Subject = IDFSubject(&e)
		if e.Subject != tt.want || e.Class() != tt.wantC {
			t.Errorf("%s: %+v %s, want %+v %s", tt.class, e.Subject, e.Class(), tt.want, tt.wantC)
		}
	}
}
