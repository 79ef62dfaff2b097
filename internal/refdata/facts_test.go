package refdata

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func facts(tb testing.TB, files ...string) *Facts {
	tb.Helper()
	var f *Facts
	for i := 0; i < len(files); i += 2 {
		var err error
		if f, err = f.With(files[i], []byte(files[i+1]), FactSource{Name: "a test", Licence: "CC0-1.0", Date: "2026-01-02"}); err != nil {
			tb.Fatal(err)
		}
	}
	return f
}

const (
	wbUsers = "\xef\xbb\xbf\"Data Source\",\"World Development Indicators\",\r\n\r\n\"Last Updated Date\",\"2026-07-01\",\r\n\r\n" +
		"\"Country Name\",\"Country Code\",\"Indicator Name\",\"Indicator Code\",\"2022\",\"2023\",\"2024\",\r\n" +
		"\"Netherlands\",\"NLD\",\"Individuals using the Internet (% of population)\",\"IT.NET.USER.ZS\",\"92.5\",\"96.9\",\"\",\r\n" +
		"\"Kosovo\",\"XKX\",\"Individuals using the Internet (% of population)\",\"IT.NET.USER.ZS\",\"\",\"\",\"50\",\r\n" +
		"\"World\",\"WLD\",\"Individuals using the Internet (% of population)\",\"IT.NET.USER.ZS\",\"60\",\"65\",\"67\",\r\n" +
		"\"Euro area\",\"EMU\",\"Individuals using the Internet (% of population)\",\"IT.NET.USER.ZS\",\"60\",\"65\",\"67\",\r\n"
	wbPeople = "Country Name,Country Code,Indicator Name,Indicator Code,2022,2023,2024\n" +
		"Netherlands,NLD,Population,SP.POP.TOTL,17000000,18000000,19000000\n"
	cldr = `{"supplemental":{"version":{"_cldrVersion":"46"},"territoryInfo":{"NL":{"_gdp":"1","_population":"17500000"},"XK":{"_population":"2000000"},"DE":{"_gdp":"2"},"001":{"_population":"8"},"ZZ":{"_population":"1"}}}}`
)

func TestFactsUsers(t *testing.T) {
	t.Parallel()
	list := facts(t, FactsUsers, "region;asn;users;population;samples\nNorth;64500;100;;50\nNorth;AS64501;40;;\nSouth;64500;30.5;40;10\nSouth;;80;100;\n;64501;45;;\n")
	for _, tt := range []struct {
		asn     uint32
		users   float64
		known   bool
		samples float64
	}{{64500, 130.5, true, 60}, {64501, 45, true, 0}, {64502, 0, false, 0}} {
		if n, ok := list.Users(tt.asn); n != tt.users || ok != tt.known {
			t.Errorf("AS%d has %g users, %v", tt.asn, n, ok)
		}
		if n, ok := list.Samples(tt.asn); n != tt.samples || ok != (tt.samples > 0) {
			t.Errorf("AS%d has %g samples, %v", tt.asn, n, ok)
		}
	}
	if got := list.Regions(); !maps.Equal(got, map[string]float64{"North": 140, "South": 80}) {
		t.Errorf("regions %v: those of the South have a row of their own", got)
	}
	if n, ok := list.RegionUsers("South"); n != 80 || !ok {
		t.Errorf("South: %g, %v", n, ok)
	}
	if _, ok := list.RegionUsers("West"); ok {
		t.Error("West is known")
	}
}

func TestFactsCountries(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		f     *Facts
		cc    string
		users float64
		year  int
	}{
		{"latest year of both", facts(t, FactsUsers, wbUsers, FactsUsers, wbPeople), "NL", .969 * 18e6, 2023},
		{"in any order", facts(t, FactsUsers, wbPeople, FactsUsers, wbUsers), "NL", .969 * 18e6, 2023},
		{"dated before undated", facts(t, FactsUsers, cldr, FactsUsers, wbPeople, FactsUsers, wbUsers), "NL", .969 * 18e6, 2023},
		{"population without a year", facts(t, FactsUsers, wbUsers, FactsUsers, cldr), "NL", .969 * 17.5e6, 2023},
		{"code of three", facts(t, FactsUsers, wbUsers, FactsUsers, cldr), "XK", 1e6, 2024},
		{"share alone", facts(t, FactsUsers, wbUsers), "NL", 0, 0},
		{"population alone", facts(t, FactsUsers, wbPeople, FactsUsers, cldr), "NL", 0, 0},
		{"country without a share", facts(t, FactsUsers, wbUsers, FactsUsers, cldr), "DE", 0, 0},
		{"nothing", nil, "NL", 0, 0},
	} {
		n, year, ok := tt.f.CountryUsers(tt.cc)
		if math.Abs(n-tt.users) > 1e-6 || year != tt.year || ok != (tt.year != 0) {
			t.Errorf("%s: %g users in %d, %v", tt.name, n, year, ok)
		}
	}
}

func TestFactsOfNetworks(t *testing.T) {
	t.Parallel()
	f := facts(t, FactsNetworks, "asn,pool,assignment,shared\nAS64500,65536,dynamic,no\n64501,,Static,yes\n64502,7,,\n",
		FactsLeases, "asn,days,weight,table\n64500,7,2,\n64500,1,,\n64500,3,1,short\n64500,30,.5,long\n")
	for asn, want := range map[uint32]Network{64500: {65536, "dynamic", false}, 64501: {0, "static", true}, 64502: {Pool: 7}} {
		if got, ok := f.Network(asn); got != want || !ok {
			t.Errorf("AS%d: %+v, %v", asn, got, ok)
		}
	}
	if _, ok := f.Network(1); ok {
		t.Error("AS1 is known")
	}
	main, plausible := f.Leases(64500)
	if !slices.Equal(main, []Lease{{1, 1}, {7, 2}}) || len(plausible) != 2 || !slices.Equal(plausible[0], []Lease{{30, .5}}) || !slices.Equal(plausible[1], []Lease{{3, 1}}) {
		t.Errorf("leases %v, %v", main, plausible)
	}
	if main, plausible = f.Leases(1); main != nil || plausible != nil {
		t.Error("AS1 has leases")
	}
}

// TestFactsReplace shows that a later file replaces the same layout of its
// kind, and nothing else.
func TestFactsReplace(t *testing.T) {
	t.Parallel()
	before := facts(t, FactsUsers, "asn,users\n1,10\n2,20\n", FactsUsers, wbUsers, FactsNetworks, "asn,pool\n1,5\n")
	after, err := before.With(FactsUsers, []byte("asn,users\n1,11\n"), FactSource{Name: "new", Date: "2026-02-03", Kind: "x", Layout: "y", Rows: 9, SHA256: "z"})
	if err != nil {
		t.Fatal(err)
	}
	if n, _ := before.Users(1); n != 10 {
		t.Errorf("the facts before have changed: %g", n)
	}
	n, _ := after.Users(1)
	_, gone := after.Users(2)
	_, pool := after.Network(1)
	if n != 11 || gone || !pool {
		t.Errorf("AS1 %g, AS2 known %v, network known %v", n, gone, pool)
	}
	var got []string
	for _, s := range after.Sources() {
		got = append(got, fmt.Sprint(s.Kind, "/", s.Layout, "/", s.Name, "/", s.Date, "/", s.Rows, "/", len(s.SHA256)))
	}
	want := []string{"networks/list/a test/2026-01-02/1/64", "users/list/new/2026-02-03/1/64", "users/world-bank IT.NET.USER.ZS/a test/2026-01-02/2/64"}
	if !slices.Equal(got, want) {
		t.Errorf("sources %q, want %q", got, want)
	}
}

func TestFactsRefused(t *testing.T) {
	t.Parallel()
	wb := func(row string) string {
		return "x\n\nCountry Name,Country Code,Indicator Name,Indicator Code,2022\n" + row
	}
	for _, tt := range []struct{ kind, in, want string }{
		{"planets", "asn,users\n1,1\n", "is no kind of facts"},
		{FactsUsers, "", "no header"},
		{FactsUsers, "asn,users\n", "no row"},
		{FactsUsers, "asn,pool\n1,1\n", "no column users"},
		{FactsUsers, "users\n1\n", "neither asn nor region"},
		{FactsUsers, "asn,users\n0,1\n", "line 2: asn"},
		{FactsUsers, "asn,users\n1,-1\n", "line 2: users"},
		{FactsUsers, "asn,users\n1,NaN\n", "line 2: users"},
		{FactsUsers, "asn,users\n1,Inf\n", "line 2: users"},
		{FactsUsers, "asn,users\n1,0x1p3\n", "line 2: users"},
		{FactsUsers, "asn,users\n1,1e12\n", "line 2: users"},
		{FactsUsers, "asn,users\n1,\n", "line 2: users is empty"},
		{FactsUsers, "asn,region,users\n1,,1\n,,1\n", "line 3: neither asn nor region"},
		{FactsUsers, "asn,users\n1,1\n2,2\nAS1,3\n", "line 4: the same asn and region as on line 2"},
		{FactsUsers, "asn,users,population\n1,10,9\n", "line 2: users 10 exceed the population 9"},
		{FactsUsers, "region,users\n\u202eNorth,9\n", "line 2: region"},
		{FactsUsers, "region,users\n" + strings.Repeat("x", 200) + ",9\n", "line 2: region"},
		{FactsUsers, "asn,users\n1,1\n\"2,2\n", "line 3: a quote is not closed"},
		{FactsUsers, "asn,users\n" + strings.Repeat("x,1\n", 100), "line 11"},
		{FactsUsers, wb("A,NLD,i,SP.OTHER,1\n"), "line 4: indicator"},
		{FactsUsers, wb("A,NLD,i,SP.POP.TOTL,1\nB,BEL,i,IT.NET.USER.ZS,1\n"), "line 5: indicator IT.NET.USER.ZS in a file of SP.POP.TOTL"},
		{FactsUsers, wb("A,NLD,i,IT.NET.USER.ZS,101\n"), "line 4: 2022: 101 per cent"},
		{FactsUsers, wb("A,NLD,i,IT.NET.USER.ZS,x\n"), "line 4: 2022"},
		{FactsUsers, wb("A,N1,i,IT.NET.USER.ZS,1\n"), "line 4: country code"},
		{FactsUsers, wb("A,NLD,i,IT.NET.USER.ZS,1\nA,NLD,i,IT.NET.USER.ZS,1\n"), "line 5: country NL stands on line 4 already"},
		{FactsUsers, wb("A,WLD,i,IT.NET.USER.ZS,1\n"), "no row"},
		{FactsUsers, "\nCountry Name,Country Code\nA,NLD\n", "line 2: a World Bank file has the columns"},
		{FactsUsers, "{\n \"supplemental\": [}", "line 2, column 19"},
		{FactsUsers, "{}", "no supplemental.territoryInfo"},
		{FactsUsers, `{"supplemental":{"territoryInfo":{"NL":{"_population":"many"}}}}`, "_population of NL"},
		{FactsUsers, `{"supplemental":{"territoryInfo":{"NL":{"_population":-1}}}}`, "_population of NL"},
		{FactsUsers, `{"supplemental":{"territoryInfo":{"NL":{"_population":[]}}}}`, "_population of NL"},
		{FactsUsers, strings.Repeat(" ", maxFacts+1), "at most"},
		{FactsNetworks, "asn\n1\n", "none of pool"},
		{FactsNetworks, "asn,pool\n1,0\n", "line 2: pool"},
		{FactsNetworks, "asn,pool\n1,1.5\n", "line 2: pool"},
		{FactsNetworks, "asn,assignment\n1,sometimes\n", "line 2: assignment"},
		{FactsNetworks, "asn,shared\n1,perhaps\n", "line 2: shared"},
		{FactsNetworks, "asn,pool\n1,1\n1,1\n", "line 3: AS1 stands on line 2 already"},
		{FactsLeases, "asn,days\n1,0\n", "line 2: days 0"},
		{FactsLeases, "asn,days,weight\n1,1,0\n", "line 2: weight 0"},
		{FactsLeases, "asn,days,table\n1,1,a\n", "AS1 has alternatives alone"},
		{FactsLeases, "days\n1\n", "no column asn"},
	} {
		var f *Facts
		_, err := f.With(tt.kind, []byte(tt.in), FactSource{})
		if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s %.60q: %v, want %q", tt.kind, tt.in, err, tt.want)
		}
	}
}

// TestFactsSum compares the sums of AS and region with their definition written
// out, in any order of the rows.
func TestFactsSum(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		type row struct{ asn, region string }
		rows := rapid.SliceOfNDistinct(rapid.Custom(func(t *rapid.T) row {
			return row{rapid.SampledFrom([]string{"", "1", "2"}).Draw(t, "asn"), rapid.SampledFrom([]string{"", "N", "S"}).Draw(t, "region")}
		}).Filter(func(r row) bool { return r != row{} }), 1, 8, func(r row) row { return r }).Draw(t, "rows")
		text := "asn,region,users\n"
		for i, r := range rows {
			text += fmt.Sprintf("%s,%s,%d\n", r.asn, r.region, 1<<i)
		}
		f, err := (*Facts)(nil).With(FactsUsers, []byte(text), FactSource{})
		if err != nil {
			t.Fatal(err)
		}
		sum := func(own row, in func(row) bool) (n float64, ok bool) {
			if i := slices.Index(rows, own); i >= 0 {
				return float64(int(1) << i), true
			}
			for i, r := range rows {
				if in(r) {
					n, ok = n+float64(int(1)<<i), true
				}
			}
			return n, ok
		}
		for asn, word := range map[uint32]string{1: "1", 2: "2"} {
			want, known := sum(row{asn: word}, func(r row) bool { return r.asn == word })
			if got, ok := f.Users(asn); got != want || ok != known {
				t.Fatalf("AS%d: %g, %v, want %g, %v of\n%s", asn, got, ok, want, known, text)
			}
		}
		for _, word := range []string{"N", "S"} {
			want, known := sum(row{region: word}, func(r row) bool { return r.region == word })
			if got, ok := f.RegionUsers(word); got != want || ok != known {
				t.Fatalf("%s: %g, %v, want %g, %v of\n%s", word, got, ok, want, known, text)
			}
		}
	})
}

func FuzzFacts(f *testing.F) {
	for _, s := range []string{wbUsers, wbPeople, cldr, "asn,region,users,population,samples\n1,N,2,3,4\n", "asn\tpool\tassignment\tshared\nAS1\t1\tstatic\tno\n", "asn;days;weight;table\n1;7;1;\n1;3;;x\n"} {
		for i := range FactKinds {
			f.Add(uint8(i), []byte(s))
		}
	}
	f.Fuzz(func(t *testing.T, kind uint8, b []byte) {
		x, err := (*Facts)(nil).With(FactKinds[int(kind)%len(FactKinds)], b, FactSource{})
		if err != nil {
			if !errors.Is(err, ErrInvalid) {
				t.Fatalf("%v is not %v", err, ErrInvalid)
			}
			return
		}
		for _, s := range x.Sources() {
			if s.Layout == "" || s.Rows < 1 {
				t.Fatalf("%+v", s)
			}
		}
		for region, n := range x.Regions() {
			if !(n >= 0) || math.IsInf(n, 0) || region == "" {
				t.Fatalf("%q has %g users", region, n)
			}
		}
		if n, year, ok := x.CountryUsers("NL"); ok != (year != 0) || !(n >= 0) {
			t.Fatalf("%g users in %d, %v", n, year, ok)
		}
		main, plausible := x.Leases(1)
		for _, t0 := range append(plausible, main) {
			for _, l := range t0 {
				if !(l.Days > 0) || !(l.Weight > 0) {
					t.Fatalf("%+v", l)
				}
			}
		}
	})
}
