package enrich

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"tocsin/internal/event"
	"tocsin/internal/refdata"
)

func TestParseOrganisations(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, in string
		orgs     []string // id: networks
		findings []string // beginnings
	}{
		{
			"one row a network, or all in one", "\xef\xbb\xbfnetwork;Organisation;name\r\n10.0.0.0/8;a;A\r\nAS64500;a;\r\n\"as064501;10.0.0.0/8 X.Example.\";b;B\r\n",
			[]string{"a: 10.0.0.0/8 AS64500", "b: 10.0.0.0/8 AS64501 x.example"},
			[]string{"line 2: network 10.0.0.0/8 of \"a\" is also claimed by \"b\" on line 4; \"a\" has it", "line 4: network 10.0.0.0/8 of \"b\" is also claimed by \"a\" on line 2, which has it"},
		},
		{
			"bad networks", "organisation,network\na,10.0.0.1/8\na,2001:db8::/65\na,2001:db8::1\na,10.0.0.1\na,AS0\na,AS4294967296\na,64500\na,host\na,.tld\na,10.0.0.0-10.0.0.255\na,10.0.0.0/33\na,::ffff:10.0.0.0/104\na,a/b\n,10.0.0.0/8\n",
			[]string{"a: .tld 10.0.0.1/32"},
			[]string{
				"line 2: network \"10.0.0.1/8\" has host bits set: write 10.0.0.0/8",
				"line 3: network \"2001:db8::/65\" is longer than /64: the addresses of a /64 are one asset and cannot belong to two; write 2001:db8::/64",
				"line 4: network \"2001:db8::1\" is longer than /64",
				"line 6: network \"AS0\"", "line 7: network \"AS4294967296\"", "line 8: network \"64500\" is no", "line 9: network \"host\": a domain needs a dot",
				"line 11: ", "line 12: ", "line 13: network \"::ffff:10.0.0.0/104\": write it as IPv4", "line 14: ", "line 15: the organisation has no id",
			},
		},
		{
			"bad rows", "organisation,network,valid_from,valid_to,country\na,10.0.0.0/8,2026-02-30,,\na,10.0.0.0/8,2026-03-01,2026-02-01,\na,\"10.0.0.0/8,,,\na,10.0.0.0/8\n\xff,10.0.0.0/8,,,\nb,,2026-01-01,,Germany\n",
			[]string{"b:"},
			[]string{
				"line 2: valid_from: day \"2026-02-30\"", "line 3: valid_from 2026-03-01 is after", "line 4: a quote", "line 5: 2 fields", "line 6: not UTF-8",
				"line 7: country \"Germany\"", "line 7: valid_from and valid_to say nothing",
			},
		},
		{
			"one after another is no conflict", "organisation,network,valid_from,valid_to\na,10.0.0.0/8,,2026-01-31\nb,10.0.0.0/8,2026-02-01,\nb,10.0.0.0/8,2026-03-01,\n",
			[]string{"a: 10.0.0.0/8", "b: 10.0.0.0/8"},
			nil,
		},
		{
			"contradictions", "organisation,name,sector,colour\na,A,finanz,red\na,B,finance,\n",
			[]string{"a:"},
			[]string{"line 1: column \"colour\" is not known", "line 2: sector \"finanz\" is not one of government,", "line 3: the name of \"a\" is \"B\" here and \"A\" on line 2, which holds", "line 3: the sector of \"a\" is \"finance\" here"},
		},
	} {
		o, bad, err := ParseOrganisations(strings.NewReader(tt.in))
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		var got []string
		for _, x := range o.List() {
			got = append(got, strings.TrimSpace(x.ID+": "+strings.Join(x.Networks, " ")))
		}
		if !slices.Equal(got, tt.orgs) {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.orgs)
		}
		if len(bad) != len(tt.findings) {
			t.Errorf("%s: %d findings: %v", tt.name, len(bad), bad)
			continue
		}
		for i, f := range bad {
			if !strings.HasPrefix(f.Error(), tt.findings[i]) {
				t.Errorf("%s: %q, want %q", tt.name, f.Error(), tt.findings[i])
			}
		}
	}
	for in, want := range map[string]string{
		"":                                 "no header",
		"name,network\n":                   "no column organisation",
		"organisation,organization\n":      "two columns",
		"organisation,network,Network\n":   "two columns",
		"<html>" + strings.Repeat("x", 10): "no column organisation",
	} {
		if _, _, err := ParseOrganisations(strings.NewReader(in)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", in, err, want)
		}
	}
}

func TestOrganisationsBounds(t *testing.T) {
	t.Parallel()
	// One network claimed very often, and more findings than are kept.
	var b strings.Builder
	b.WriteString("organisation,network\n")
	for i := range 12_000 {
		fmt.Fprintf(&b, "o%d,10.0.0.0/8\n", i)
	}
	o, bad, err := ParseOrganisations(strings.NewReader(b.String()))
	if err != nil || o.Len() != 12_000 {
		t.Fatal(err, o.Len())
	}
	if len(bad) != maxErrors+1 || !strings.HasSuffix(bad[maxErrors].Reason, "more findings") {
		t.Errorf("%d findings, the last is %v", len(bad), bad[len(bad)-1])
	}
	if len(o.claims) != maxClaims {
		t.Errorf("%d claims", len(o.claims))
	}
	if x, ok := o.Get("o17"); !ok || x.Name != "o17" {
		t.Errorf("%+v", x)
	}
	if _, ok := o.Get("p"); ok {
		t.Error("there is no p")
	}
}

// said is a claim for the slow lookup.
type said struct {
	id, network string
	from, to    event.Day
}

// scan looks through all claims: of those that hold the address on that day the
// longest prefix wins, of equal ones the lowest id; then the AS number; for
// names the longest domain.
func scan(all []said, a netip.Addr, asn uint32, host string, day event.Day, nameFirst bool) string {
	best, bits := "", -1
	byAS, byName, length := "", "", -1
	for _, s := range all {
		if day < s.from || s.to < day {
			continue
		}
		if p, err := netip.ParsePrefix(s.network); err == nil {
			if a.IsValid() && p.Contains(a) && (p.Bits() > bits || p.Bits() == bits && s.id < best) {
				best, bits = s.id, p.Bits()
			}
			continue
		}
		if s.network == fmt.Sprintf("AS%d", asn) && (byAS == "" || s.id < byAS) {
			byAS = s.id
		}
		if (host == s.network || strings.HasSuffix(host, "."+s.network)) && (len(s.network) > length || len(s.network) == length && s.id < byName) {
			byName, length = s.id, len(s.network)
		}
	}
	order := []string{best, byAS, byName}
	if nameFirst {
		order = []string{byName, best, byAS}
	}
	for _, id := range order {
		if id != "" {
			return id
		}
	}
	return ""
}

func TestOrganisationsAgainstScan(t *testing.T) {
	t.Parallel()
	tab, err := refdata.FromCSV(strings.NewReader("prefix,asn\n0.0.0.0/1,1\n128.0.0.0/1,2\n2000::/4,3\n"))
	if err != nil {
		t.Fatal(err)
	}
	hosts := []string{"a.example", "b.a.example", "c.b.a.example", "x.co.uk", "www.x.co.uk"}
	rapid.Check(t, func(t *rapid.T) {
		genAddr := func(label string) netip.Addr {
			few := rapid.SampledFrom([]byte{0, 1, 0x7f, 0x80, 0xff})
			if rapid.Bool().Draw(t, label+" v4") {
				return netip.AddrFrom4([4]byte{few.Draw(t, label), few.Draw(t, label), 0, few.Draw(t, label)})
			}
			return netip.AddrFrom16([16]byte{0x20, few.Draw(t, label), 6: few.Draw(t, label), 7: few.Draw(t, label), 15: few.Draw(t, label)})
		}
		genDay := func(label string) event.Day { return event.Day(rapid.IntRange(20_000, 20_005).Draw(t, label)) }
		var (
			all  []said
			list strings.Builder
		)
		list.WriteString("valid_to,network,organisation,valid_from\n")
		for range rapid.IntRange(0, 15).Draw(t, "claims") {
			s := said{id: rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "id"), from: 0, to: 40_000}
			switch rapid.IntRange(0, 4).Draw(t, "kind") {
			case 0:
				s.network = fmt.Sprintf("AS%d", rapid.IntRange(1, 3).Draw(t, "asn"))
			case 1:
				s.network = rapid.SampledFrom(hosts).Draw(t, "domain")
			default:
				a := genAddr("prefix")
				n := rapid.SampledFrom([]int{0, 1, 8, 15, 16, 31, 32}).Draw(t, "bits")
				if a.Is6() {
					n *= 2
				}
				s.network = netip.PrefixFrom(a, n).Masked().String()
			}
			from, to := "", ""
			if rapid.Bool().Draw(t, "bounded") {
				s.from, s.to = genDay("from"), genDay("to")
				if s.to < s.from {
					s.from, s.to = s.to, s.from
				}
				from, to = s.from.String(), s.to.String()
			}
			all = append(all, s)
			fmt.Fprintf(&list, "%s,%s,%s,%s\n", to, s.network, s.id, from)
		}
		orgs, bad, err := ParseOrganisations(strings.NewReader(list.String()))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range bad {
			if !f.Warning {
				t.Fatal(f)
			}
		}
		x := New(tab, orgs)
		for range 10 {
			e := event.Event{Type: event.MustType("phishing"), Subject: event.Subject{Kind: event.SubjectAddress, Asset: event.AssetAddress}}
			site := rapid.Bool().Draw(t, "site")
			if site {
				e.Subject.Asset = event.AssetSite
			}
			a := netip.Addr{}
			if rapid.Bool().Draw(t, "with address") {
				a = genAddr("asked")
				e.Source.IP = a
				if a.Is6() {
					a = slash64(a)
				}
			}
			e.Source.FQDN = rapid.SampledFrom(append(hosts, "")).Draw(t, "host")
			day := genDay("day")
			e.Time = at(day)
			asn, _ := tab.AS(a)
			want := scan(all, a, asn, e.Source.FQDN, day, site)
			var n event.Annotation
			x.Annotate(&e, &n)
			if n.Organisation != want || n.ASN != asn {
				t.Fatalf("%s %s on %s: %q, want %q\n%s", a, e.Source.FQDN, day, n.Organisation, want, list.String())
			}
		}
	})
}

// TestSlash64 shows that all addresses of one asset get the same answer.
func TestSlash64(t *testing.T) {
	t.Parallel()
	x := testEnricher(t)
	rapid.Check(t, func(t *rapid.T) {
		b := [16]byte{0x20, 0x01, 0x0d, 0xb8, 0, 5, 0, byte(rapid.IntRange(5, 7).Draw(t, "net"))}
		var n [2]event.Annotation
		for i := range n {
			copy(b[8:], rapid.SliceOfN(rapid.Byte(), 8, 8).Draw(t, "host"))
			e := event.Event{Type: event.MustType("infected-system"), Time: at(may), Source: event.End{IP: netip.AddrFrom16(b)}, Subject: event.Subject{Asset: event.AssetAddress}}
			x.Annotate(&e, &n[i])
		}
		if n[0] != n[1] {
			t.Fatalf("%+v\n%+v", n[0], n[1])
		}
	})
}

func FuzzParseOrganisations(f *testing.F) {
	f.Add(orgList)
	f.Add("organisation;networks\na;\"10.0.0.0/8;AS1\"\n\"b;10.0.0.0/8\nb;.tld\n")
	f.Fuzz(func(t *testing.T, s string) {
		o, bad, err := ParseOrganisations(strings.NewReader(s))
		if err != nil {
			return
		}
		x := New(nil, o)
		for _, org := range o.List() {
			if org.ID == "" || org.Name == "" || !slices.IsSorted(org.Networks) {
				t.Fatalf("%+v", org)
			}
			for _, n := range org.Networks {
				if again, err := parseNetwork(n); err != nil || again.text != n {
					t.Fatalf("%q: %v", n, err)
				}
			}
		}
		for _, b := range bad {
			if b.Line < 1 || b.Reason == "" {
				t.Fatalf("%+v", b)
			}
		}
		e := event.Event{Source: event.End{IP: ip("10.1.2.3"), FQDN: "www.gov.example"}, Subject: event.Subject{Asset: event.AssetAddress}}
		var n event.Annotation
		x.Annotate(&e, &n)
		if _, ok := o.Get(n.Organisation); n.Organisation != "" && !ok {
			t.Fatalf("%+v", n)
		}
	})
}
