package enrich

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"tocsin/internal/event"
	"tocsin/internal/refdata"
)

const prefixList = `prefix,asn,as_name,country
10.0.0.0/8,64500,Ten,DE
10.1.0.0/16,64501,Ten one,CZ
10.9.0.0/16,64502,Claimed,DE
2001:db8::/32,64510,Six,DE
2001:db8:5::/48,64511,Six five,FR
`

const orgList = `organisation,name,sector,region,country,network,contact,valid_from,valid_to
ministry,Ministry of Examples,Government,North,DE,10.1.0.0/16 10.1.2.0/24;gov.example,abuse@gov.example,,
ministry,,,South,,10.2.0.0/16,,,
isp,Example ISP,isp,,DE,AS64502 isp.example 2001:db8::/32,,,
bank,Example Bank,finance,West,DE,bank.co.uk,,,
lab,Lab,education,,DE,10.1.2.128/25,,2026-01-01,2026-06-30
lab,,,East,,2001:db8:5:6::/64,,,
shop,Shop,other,,,shop.github.io .onlytld,,,
`

func testEnricher(tb testing.TB) *Enricher {
	tb.Helper()
	tab, err := refdata.FromCSV(strings.NewReader(prefixList))
	if err != nil {
		tb.Fatal(err)
	}
	orgs, bad, err := ParseOrganisations(strings.NewReader(orgList))
	if err != nil || len(bad) > 0 {
		tb.Fatal(err, bad)
	}
	return New(tab, orgs)
}

var may = event.DayFrom(mustDay("2026-05-01").Time())

func mustDay(s string) event.Day {
	d, err := event.ParseDay(s)
	if err != nil {
		panic(err)
	}
	return d
}

func at(d event.Day) int64 { return d.Time().UnixMicro() + 3_600_000_000 }

func ip(s string) netip.Addr { return netip.MustParseAddr(s) }

func TestAnnotate(t *testing.T) {
	t.Parallel()
	x := testEnricher(t)
	infected := event.MustType("infected-system")
	address := func(s string) event.Event {
		return event.Event{Type: infected, Time: at(may), Source: event.End{IP: ip(s)}, Subject: event.Subject{Kind: event.SubjectAddress, Asset: event.AssetAddress}}
	}
	site := func(addr, fqdn, url string) event.Event {
		e := event.Event{Type: event.MustType("phishing"), Time: at(may), Source: event.End{FQDN: fqdn, URL: url}, Subject: event.Subject{Kind: event.SubjectName, Asset: event.AssetSite}}
		if addr != "" {
			e.Source.IP = ip(addr)
		}
		return e
	}
	named := func(s string) event.Asset { return event.NamedAsset(event.AssetSite, s) }
	for _, tt := range []struct {
		name string
		e    event.Event
		want event.Annotation
	}{
		{"address, longest prefix", address("10.1.2.3"), event.Annotation{
			Asset: event.AddressAsset(ip("10.1.2.3")), ASN: 64501, CC: "CZ", Organisation: "ministry", Sector: "government", Region: "North",
		}},
		{"address, the network's region", address("10.2.0.1"), event.Annotation{
			Asset: event.AddressAsset(ip("10.2.0.1")), ASN: 64500, CC: "DE", Organisation: "ministry", Sector: "government", Region: "South",
		}},
		{"address, by its AS", address("10.9.0.1"), event.Annotation{
			Asset: event.AddressAsset(ip("10.9.0.1")), ASN: 64502, CC: "DE", Organisation: "isp", Sector: "isp",
		}},
		{"address, valid network", address("10.1.2.200"), event.Annotation{
			Asset: event.AddressAsset(ip("10.1.2.200")), ASN: 64501, CC: "CZ", Organisation: "lab", Sector: "education", Region: "East",
		}},
		{"IPv4 in IPv6", address("::ffff:10.2.0.1"), event.Annotation{
			Asset: event.AddressAsset(ip("10.2.0.1")), ASN: 64500, CC: "DE", Organisation: "ministry", Sector: "government", Region: "South",
		}},
		{"IPv6", address("2001:db8:5:6:ffff::1"), event.Annotation{
			Asset: event.AddressAsset(ip("2001:db8:5:6::")), ASN: 64511, CC: "FR", Organisation: "lab", Sector: "education", Region: "East",
		}},
		{"IPv6 with a zone", address("2001:db8:7::1%eth0"), event.Annotation{
			Asset: event.AddressAsset(ip("2001:db8:7::")), ASN: 64510, CC: "DE", Organisation: "isp", Sector: "isp",
		}},
		{"nobody's address", address("192.0.2.1"), event.Annotation{Asset: event.AddressAsset(ip("192.0.2.1"))}},
		{"address and name of another: the address decides", func() event.Event {
			e := address("10.2.0.1")
			e.Source.FQDN = "www.isp.example"
			return e
		}(), event.Annotation{
			Asset: event.AddressAsset(ip("10.2.0.1")), ASN: 64500, CC: "DE", Domain: "isp.example", Organisation: "ministry", Sector: "government", Region: "South",
		}},
		{"address that is nobody's, with a name", func() event.Event {
			e := address("192.0.2.1")
			e.Source.FQDN = "www.isp.example"
			return e
		}(), event.Annotation{
			Asset: event.AddressAsset(ip("192.0.2.1")), Domain: "isp.example", Organisation: "isp", Sector: "isp",
		}},
		{"destination", event.Event{
			Type: infected, Time: at(may), Source: event.End{IP: ip("192.0.2.1")}, Destination: event.End{IP: ip("10.2.0.1"), Port: 23}, Transport: "TCP",
			Subject: event.Subject{Side: event.SideDestination, Kind: event.SubjectAddress, Asset: event.AssetService},
		}, event.Annotation{
			Asset: event.ServiceAsset(ip("10.2.0.1"), 23, "tcp"), ASN: 64500, CC: "DE", Organisation: "ministry", Sector: "government", Region: "South",
		}},
		{"site, the name decides", site("10.2.0.1", "WWW.Dept.GOV.example.", ""), event.Annotation{
			Asset: named("gov.example"), ASN: 64500, CC: "DE", Domain: "gov.example", Organisation: "ministry", Sector: "government",
			Region: "North",
		}},
		{"site, by its address", site("10.9.0.1", "www.unknown.example", ""), event.Annotation{
			Asset: named("unknown.example"), ASN: 64502, CC: "DE", Domain: "unknown.example", Organisation: "isp", Sector: "isp",
		}},
		{"site, from its URL", site("", "", "hxxp://user:pw@Login.Bank.co.uk:8080/a?b=http://other.example/"), event.Annotation{
			Asset: named("bank.co.uk"), Domain: "bank.co.uk", Organisation: "bank", Sector: "finance", Region: "West",
		}},
		{"site under a private suffix", site("", "shop.github.io", ""), event.Annotation{
			Asset: named("shop.github.io"), Domain: "shop.github.io", Organisation: "shop", Sector: "other",
		}},
		{"site that is a suffix", site("10.2.0.1", "github.io", ""), event.Annotation{
			Asset: named("github.io"), ASN: 64500, CC: "DE", Organisation: "ministry", Sector: "government", Region: "South",
		}},
		{"site with an international name", site("", "www.Bücher.example", ""), event.Annotation{
			Asset: named("xn--bcher-kva.example"), Domain: "xn--bcher-kva.example",
		}},
		{"site under an organisation's whole domain", site("", "a.b.onlytld", ""), event.Annotation{
			Asset: named("b.onlytld"), Domain: "b.onlytld", Organisation: "shop", Sector: "other",
		}},
		{"site by its address alone", site("10.2.0.1", "", ""), event.Annotation{
			Asset: named("10.2.0.1"), ASN: 64500, CC: "DE", Organisation: "ministry", Sector: "government", Region: "South",
		}},
		{"site with an address in the URL", site("", "", "http://[2001:db8:5:6::1]:81/x"), event.Annotation{
			Asset: named("2001:db8:5:6::1"), ASN: 64511, CC: "FR", Organisation: "lab", Sector: "education", Region: "East",
		}},
		{"site with a bare host name", site("10.2.0.1", "localhost", ""), event.Annotation{
			Asset: named("10.2.0.1"), ASN: 64500, CC: "DE", Organisation: "ministry", Sector: "government", Region: "South",
		}},
		{"site with junk", site("", "<script>", "http://"), event.Annotation{}},
		{"account", event.Event{
			Type: infected, Time: at(may), Source: event.End{Account: " Jane.Doe@Mail.ISP.example "},
			Subject: event.Subject{Kind: event.SubjectAccount, Asset: event.AssetAccount},
		}, event.Annotation{
			Asset: event.NamedAsset(event.AssetAccount, "jane.doe@mail.isp.example"), Domain: "isp.example", Organisation: "isp", Sector: "isp",
		}},
		{"organisation by name", event.Event{
			Type: infected, Time: at(may), Subject: event.Subject{Kind: event.SubjectOrganisation, Asset: event.AssetOrganisation, Organisation: "EXAMPLE  bank "},
		}, event.Annotation{
			Asset: event.NamedAsset(event.AssetOrganisation, "example bank"), Organisation: "bank", Sector: "finance", Region: "West",
		}},
		{"unknown organisation", event.Event{
			Type: infected, Time: at(may), Subject: event.Subject{Kind: event.SubjectOrganisation, Asset: event.AssetOrganisation, Organisation: "Somebody"},
		}, event.Annotation{Asset: event.NamedAsset(event.AssetOrganisation, "somebody")}},
		{"network", event.Event{
			Type: infected, Time: at(may), Source: event.End{Network: "10.1.0.0/18"}, Subject: event.Subject{Kind: event.SubjectNetwork},
		}, event.Annotation{ASN: 64501, CC: "CZ", Organisation: "ministry", Sector: "government", Region: "North"}},
		{"network longer than a /64", event.Event{
			Type: infected, Time: at(may), Source: event.End{Network: "2001:db8:5:6:8000::/72"}, Subject: event.Subject{Kind: event.SubjectNetwork},
		}, event.Annotation{ASN: 64511, CC: "FR", Organisation: "lab", Sector: "education", Region: "East"}},
		{"outside the scope", func() event.Event {
			e := address("10.1.2.3")
			e.Type = event.MustType("harmful-speech")
			return e
		}(), event.Annotation{}},
		{"no such type", event.Event{Type: 250, Source: event.End{IP: ip("10.1.2.3")}}, event.Annotation{}},
		{"no address", event.Event{Type: infected, Subject: event.Subject{Asset: event.AssetAddress}}, event.Annotation{}},
	} {
		n := event.Annotation{Organisation: "left over", ASN: 1}
		x.Annotate(&tt.e, &n)
		if n != tt.want {
			t.Errorf("%s:\n got %+v\nwant %+v", tt.name, n, tt.want)
		}
	}
}

func TestValidity(t *testing.T) {
	t.Parallel()
	x := testEnricher(t)
	for day, want := range map[string]string{
		"2025-12-31": "ministry", "2026-01-01": "lab", "2026-06-30": "lab", "2026-07-01": "ministry",
	} {
		e := event.Event{
			Type: event.MustType("infected-system"), Time: at(mustDay(day)), Source: event.End{IP: ip("10.1.2.200")},
			Subject: event.Subject{Kind: event.SubjectAddress, Asset: event.AssetAddress},
		}
		var n event.Annotation
		if x.Annotate(&e, &n); n.Organisation != want {
			t.Errorf("%s: %q, want %q", day, n.Organisation, want)
		}
	}
}

func TestNewNil(t *testing.T) {
	t.Parallel()
	x := New(nil, nil)
	e := event.Event{Source: event.End{IP: ip("10.1.2.3"), FQDN: "a.b.example"}, Subject: event.Subject{Asset: event.AssetAddress}}
	var n event.Annotation
	x.Annotate(&e, &n)
	want := event.Annotation{Asset: event.AddressAsset(ip("10.1.2.3")), Domain: "b.example"}
	if n != want {
		t.Errorf("%+v", n)
	}
	a, b := testEnricher(t), testEnricher(t)
	if x.Version() == a.Version() || len(x.Version()) != 64 || a.Version() != b.Version() {
		t.Error("the version does not follow the content")
	}
}

func TestHost(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a", 63)
	for in, want := range map[string]string{
		"":                                       "",
		".":                                      "",
		"Example.ORG.":                           "example.org",
		" *.example.org ":                        "example.org",
		"_dmarc.example.org":                     "_dmarc.example.org",
		"a..b":                                   "",
		"-":                                      "-",
		"xn--bcher-kva.example":                  "xn--bcher-kva.example",
		"BÜCHER.example":                         "xn--bcher-kva.example",
		"bücher。example":                         "xn--bcher-kva.example",
		"192.0.2.1":                              "192.0.2.1",
		"192.0.2.1.":                             "192.0.2.1",
		"::ffff:192.0.2.1":                       "192.0.2.1",
		"192.0.2.256":                            "",
		"3232235777":                             "",
		"2001:DB8::1":                            "2001:db8::1",
		"host:80":                                "",
		"a b":                                    "",
		"a\x00b":                                 "",
		"a\xff.example":                          "",
		long + ".example":                        long + ".example",
		long + "a.example":                       "",
		strings.Repeat(long[:49]+".", 5) + "abc": strings.Repeat(long[:49]+".", 5) + "abc",
		strings.Repeat(long[:49]+".", 5) + "abcd": "",
		strings.Repeat("ü", 100_000) + ".example": "",
	} {
		name, addr := Host(in)
		if addr.IsValid() {
			name = addr.String()
		}
		if name != want {
			t.Errorf("Host(%.80q) = %q, want %q", in, name, want)
		}
	}
}

func TestURLHost(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"http://example.org":                     "example.org",
		"HTTPS://Example.org:8443/a":             "Example.org",
		"http://a@b@example.org/":                "example.org",
		"http://example.org?x=http://other/":     "example.org",
		"http://example.org#@other/":             "example.org",
		`http:\\example.org\@other`:              `http`,
		`http://example.org\@other/`:             "example.org",
		"http:///example.org/":                   "example.org",
		"//example.org/x":                        "example.org",
		"example.org/x://y":                      "example.org",
		"example.org:80":                         "example.org",
		"user@example.org://x":                   "example.org",
		"http://[2001:db8::1]:80/":               "2001:db8::1",
		"http://[2001:db8::1/":                   "",
		"":                                       "",
		"://":                                    "",
		"http://" + strings.Repeat("/", 100_000): "",
	} {
		if got := URLHost(in); got != want {
			t.Errorf("URLHost(%.80q) = %q, want %q", in, got, want)
		}
	}
}

func FuzzHost(f *testing.F) {
	f.Add("http://user@Bücher.example:80/?q")
	f.Add("*.a.b.co.uk.")
	f.Add("[::1]")
	f.Fuzz(func(t *testing.T, s string) {
		for _, in := range []string{s, URLHost(s)} {
			name, _ := Host(in)
			if name == "" {
				continue
			}
			if again, _ := Host(name); again != name {
				t.Fatalf("%q becomes %q, which becomes %q", in, name, again)
			}
			if d := registrable(name); d != "" && !strings.HasSuffix("."+name, "."+d) {
				t.Fatalf("%q has the registrable domain %q", name, d)
			}
		}
	})
}

func TestAllocations(t *testing.T) {
	x := testEnricher(t)
	for _, s := range []string{"10.1.2.200", "10.9.0.1", "2001:db8:5:6:1::", "192.0.2.1"} {
		e := event.Event{
			Type: event.MustType("infected-system"), Time: at(mustDay("2026-08-01")), Transport: "tcp",
			Source: event.End{IP: ip(s), Port: 80},
		}
		var n event.Annotation
		for _, kind := range []event.AssetKind{event.AssetAddress, event.AssetService} {
			e.Subject = event.Subject{Kind: event.SubjectAddress, Asset: kind}
			if got := testing.AllocsPerRun(100, func() { x.Annotate(&e, &n) }); got != 0 {
				t.Errorf("%s, %s: %v allocations", s, kind, got)
			}
		}
	}
}

func BenchmarkAnnotate(b *testing.B) {
	tab, err := refdata.Embedded()
	if err != nil {
		b.Fatal(err)
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	var list strings.Builder
	list.WriteString("organisation,sector,region,networks\n")
	octet := func() int { return 1 + rnd.IntN(223) }
	for i := range 5000 {
		fmt.Fprintf(&list, "org%d,other,North,%d.%d.%d.0/24;%d.%d.0.0/16;AS%d;org%d.example\n", i, octet(), octet(), octet(), octet(), octet(), 1+rnd.IntN(60_000), i)
	}
	orgs, _, err := ParseOrganisations(strings.NewReader(list.String()))
	if err != nil {
		b.Fatal(err)
	}
	x := New(tab, orgs)
	events := map[string][]event.Event{}
	for range 1 << 12 {
		a4 := netip.AddrFrom4([4]byte{byte(octet()), byte(rnd.Uint32()), byte(rnd.Uint32()), byte(rnd.Uint32())})
		a6 := [16]byte{0x2a, byte(rnd.UintN(16)), byte(rnd.Uint32()), byte(rnd.Uint32()), 15: 1}
		e := event.Event{
			Type: event.MustType("infected-system"), Time: at(may), Transport: "tcp", Source: event.End{IP: a4, Port: 80},
			Subject: event.Subject{Kind: event.SubjectAddress, Asset: event.AssetAddress},
		}
		events["IPv4"] = append(events["IPv4"], e)
		e.Subject.Asset = event.AssetService
		events["service"] = append(events["service"], e)
		e.Subject.Asset = event.AssetSite
		e.Source.FQDN = fmt.Sprintf("www.org%d.example", rnd.IntN(6000))
		events["site"] = append(events["site"], e)
		e.Source.FQDN = ""
		e.Subject.Asset = event.AssetAddress
		e.Source.IP = netip.AddrFrom16(a6)
		events["IPv6"] = append(events["IPv6"], e)
	}
	for _, name := range []string{"IPv4", "IPv6", "service", "site"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			list := events[name]
			var n event.Annotation
			i := 0
			for b.Loop() {
				x.Annotate(&list[i&(1<<12-1)], &n)
				i++
			}
		})
	}
}
