package refdata

import (
	"net/netip"
	"strings"
	"testing"
)

func fromCSV(tb testing.TB, s string) *Tables {
	tb.Helper()
	t, err := FromCSV(strings.NewReader(s))
	if err != nil {
		tb.Fatal(err)
	}
	return t
}

// readBack writes tables out and reads them again.
func readBack(tb testing.TB, t *Tables) *Tables {
	tb.Helper()
	b, err := t.Append(nil)
	if err != nil {
		tb.Fatal(err)
	}
	again, err := Load(b)
	if err != nil {
		tb.Fatal(err)
	}
	return again
}

// TestRegistered follows the country of registration through every form of a
// table and through tables laid over each other.
func TestRegistered(t *testing.T) {
	t.Parallel()
	both := fromCSV(t, "prefix,country,registered\n192.0.2.0/24,DE,US\n2001:db8::/32,DE,cz\n198.51.100.0/24,FR,\n")
	use := fromCSV(t, "prefix,country\n192.0.2.0/24,IT\n")
	only := fromCSV(t, "prefix,asn,registered\n192.0.2.0/24,64500,SE\n")
	var mmdb mmdbWriter
	mmdb.add(netip.MustParsePrefix("192.0.2.0/24"), mMap("country", mMap("iso_code", mText("DE")), "registered_country", mMap("iso_code", mText("US"))))
	mmdb.add(netip.MustParsePrefix("198.51.100.0/24"), mMap("registered_country", mText("not a map"), "country", mText("FR")))
	mmdb.add(netip.MustParsePrefix("2001:db8::/32"), mMap("registered_country", mMap("iso_code", mText("CZ"))))
	fromMMDB, err := FromMMDB(mmdb.bytes("Test"))
	if err != nil {
		t.Fatal(err)
	}
	var old Builder
	if err := old.AddCountry(addr("192.0.2.0"), addr("192.0.2.255"), "NL"); err != nil {
		t.Fatal(err)
	}
	old.AddSource(SourceInfo{Name: "registries", Gives: GivesCountry})
	registries := old.Tables()
	if c := string(registries.content()); !strings.HasPrefix(c, magic) {
		t.Errorf("tables of the registries are written as %q: the built-in ones would get another version", c[:20])
	}
	for _, tt := range []struct {
		name                         string
		tab                          *Tables
		country, registered, v6, gap string // of 192.0.2.1, of 2001:db8::1, and registered for 198.51.100.1
	}{
		{"prefix list", both, "DE", "US", "CZ", ""},
		{"prefix list without", use, "IT", "", "", ""},
		{"MMDB", fromMMDB, "DE", "US", "CZ", ""},
		{"registries", registries, "NL", "NL", "", ""},
		{"use over registries", registries.With(use), "IT", "NL", "", ""},
		{"both over registries", registries.With(both), "DE", "US", "CZ", ""},
		{"use over both", both.With(use), "IT", "US", "CZ", ""},
		{"registration alone over both", both.With(only), "DE", "SE", "", ""},
		{"registries over both", both.With(registries), "NL", "NL", "", ""},
	} {
		for i, x := range []*Tables{tt.tab, readBack(t, tt.tab), readBack(t, readBack(t, tt.tab))} {
			v4 := addr("192.0.2.1")
			if got := [...]string{x.Country(v4), x.Registered(v4), x.Registered(addr("::ffff:192.0.2.1")), x.Registered(addr("2001:db8::1")), x.Registered(addr("198.51.100.1"))}; got != [...]string{tt.country, tt.registered, tt.registered, tt.v6, tt.gap} {
				t.Errorf("%s, written %d times: country, registered, mapped, IPv6, gap: %q", tt.name, i, got)
			}
		}
	}
	if s := registries.With(use).Sources(); len(s) != 2 || s[0].Gives != GivesRegistered || s[1].Gives != GivesCountry {
		t.Errorf("sources %+v: the registries' are still used for the country of registration", s)
	}
	if s := registries.With(both).Sources(); len(s) != 1 || s[0].Gives != GivesCountry|GivesRegistered {
		t.Errorf("sources %+v", s)
	}
	if (&Tables{}).Registered(addr("192.0.2.1")) != "" || (&Tables{}).HasRegistered() {
		t.Error("tables that know nothing know a country")
	}
	if _, err := FromCSV(strings.NewReader("prefix,country,registered\n192.0.2.0/24,DE,Germany\n")); err == nil || !strings.Contains(err.Error(), "line 2: registered: ") {
		t.Errorf("a wrong cell: %v", err)
	}
}

// TestEmbeddedRegistered shows that the built-in tables' country is the
// registered one, also under an operator's.
func TestEmbeddedRegistered(t *testing.T) {
	t.Parallel()
	tab := embeddedTables(t)
	over := tab.With(fromCSV(t, "prefix,country\n193.0.0.0/16,BR\n"))
	for _, a := range []string{"193.0.6.139", "8.8.8.8", "2001:4860:4860::8888", "10.0.0.1"} {
		if want := tab.Country(addr(a)); tab.Registered(addr(a)) != want || over.Registered(addr(a)) != want {
			t.Errorf("%s: registered in %q, under an operator's table %q, want %q", a, tab.Registered(addr(a)), over.Registered(addr(a)), want)
		}
	}
	if got := over.Country(addr("193.0.6.139")); got != "BR" {
		t.Errorf("the operator's country is %q", got)
	}
}
