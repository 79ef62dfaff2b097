package refdata

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"net/netip"
	"os"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func embeddedTables(tb testing.TB) *Tables {
	tb.Helper()
	t, err := Embedded()
	if err != nil {
		tb.Fatal(err)
	}
	return t
}

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

func TestEmbedded(t *testing.T) {
	t.Parallel()
	tab := embeddedTables(t)
	for _, tt := range []struct {
		addr    string
		asn     uint32
		name    string // begins with
		country string
	}{
		{"8.8.8.8", 15169, "Google", "US"},
		{"::ffff:8.8.8.8", 15169, "Google", "US"},
		{"1.1.1.1", 13335, "Cloudflare", "AU"},
		{"9.9.9.9", 19281, "Quad9", "US"},
		{"193.0.6.139", 3333, "R", "NL"},
		{"200.160.2.3", 22548, "", "BR"},
		{"2001:4860:4860::8888", 15169, "Google", "US"},
		{"2001:4860:4860:0:ffff::1", 15169, "Google", "US"},
		{"2001:200::1", 2500, "WIDE", "JP"}, // one source alone says AU
		{"2003:0:1::", 3320, "Deutsche Telekom", "DE"},
		{"10.0.0.1", 0, "", ""},
		{"127.0.0.1", 0, "", ""},
		{"0.0.0.0", 0, "", ""},
		{"255.255.255.255", 0, "", ""},
		{"::", 0, "", ""},
		{"::1", 0, "", ""},
		{"fe80::1%eth0", 0, "", ""},
		{"2001:db8::1", 0, "", ""},
		{"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 0, "", ""},
	} {
		asn, ok := tab.AS(addr(tt.addr))
		if asn != tt.asn || ok != (tt.asn != 0) {
			t.Errorf("AS(%s) = %d, %v, want %d", tt.addr, asn, ok, tt.asn)
		}
		if got := tab.ASName(asn); !strings.HasPrefix(got, tt.name) || (tt.asn != 0) != (got != "") {
			t.Errorf("ASName(%d) = %q, want %q", asn, got, tt.name)
		}
		if got := tab.Country(addr(tt.addr)); got != tt.country {
			t.Errorf("Country(%s) = %q, want %q", tt.addr, got, tt.country)
		}
	}
	if asn, ok := tab.AS(netip.Addr{}); ok || asn != 0 || tab.Country(netip.Addr{}) != "" {
		t.Error("the zero address has an AS or a country")
	}
	if s := tab.Size(); s.AS4 < 300_000 || s.AS6 < 80_000 || s.Country4 < 150_000 || s.Country6 < 50_000 || s.ASNames < 70_000 {
		t.Errorf("too little: %+v", s)
	}
	if len(embedded) > 8<<20 {
		t.Errorf("%d bytes are embedded, more than 8 MiB", len(embedded))
	}
	if len(tab.Sources()) < 2 || len(tab.Version()) != 64 {
		t.Errorf("sources %v, version %q", tab.Sources(), tab.Version())
	}
	for _, s := range tab.Sources() {
		if s.Name == "" || s.Gives == 0 || s.Licence == "" || s.Attribution == "" || len(s.Date) != 10 || len(s.SHA256) != 64 {
			t.Errorf("source %+v lacks something", s)
		}
	}
}

// TestDocumented shows that docs/refdata.md names the tables that are built in.
func TestDocumented(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/refdata.md")
	if err != nil {
		t.Fatal(err)
	}
	tab := embeddedTables(t)
	want := []string{tab.Version()}
	for _, s := range tab.Sources() {
		want = append(want, s.Name, s.Date, s.SHA256, s.Attribution)
	}
	for _, w := range want {
		if !strings.Contains(string(page), w) {
			t.Errorf("docs/refdata.md lacks %q: run make refdata", w)
		}
	}
}

// refSpan is a range with its value, for the slow lookup.
type refSpan struct {
	first, last netip.Addr
	asn         uint32
	cc          string
}

// slow scans all ranges: the narrowest that holds the address wins, of equal
// ones the first.
func slow(in []refSpan, a netip.Addr, has func(refSpan) bool) (best refSpan) {
	a = a.Unmap()
	if a.Is6() {
		p, _ := a.Prefix(64)
		a = p.Addr()
	}
	found := false
	for _, s := range in {
		if !has(s) || s.first.BitLen() != a.BitLen() || a.Less(s.first) || s.last.Less(a) {
			continue
		}
		if !found || narrower(s, best) {
			best, found = s, true
		}
	}
	return best
}

// narrower compares widths in the unit that is looked up: addresses, or /64s.
func narrower(a, b refSpan) bool {
	alo, ahi, _ := keys(a.first, a.last)
	blo, bhi, _ := keys(b.first, b.last)
	return ahi-alo < bhi-blo
}

func genAddr(t *rapid.T, label string) netip.Addr {
	// Few distinct values, at the ends of the families and of their buckets.
	part := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = rapid.SampledFrom([]byte{0, 0, 1, 0x20, 0x3f, 0x40, 0xff, 0xff}).Draw(t, label)
		}
		return b
	}
	if rapid.Bool().Draw(t, label+" v4") {
		return netip.AddrFrom4([4]byte(part(4)))
	}
	b := [16]byte{}
	copy(b[:], part(4))
	copy(b[6:], part(3))
	b[15] = rapid.SampledFrom([]byte{0, 0, 0, 7}).Draw(t, label)
	return netip.AddrFrom16(b)
}

func TestAgainstScan(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var (
			b  Builder
			in []refSpan
		)
		for range rapid.IntRange(0, 12).Draw(t, "ranges") {
			x, y := genAddr(t, "first"), genAddr(t, "last")
			if x.BitLen() != y.BitLen() {
				continue
			}
			if y.Less(x) {
				x, y = y, x
			}
			s := refSpan{first: x, last: y, asn: uint32(rapid.IntRange(0, 4).Draw(t, "asn")), cc: rapid.SampledFrom([]string{"", "DE", "CZ", "ZZ"}).Draw(t, "cc")}
			if s.asn != 0 {
				if err := b.AddAS(x, y, s.asn); err != nil {
					t.Fatal(err)
				}
			}
			if s.cc != "" {
				if err := b.AddCountry(x, y, s.cc); err != nil {
					t.Fatal(err)
				}
			}
			in = append(in, s)
		}
		b.AddASName(3, "three")
		tab := b.Tables()
		raw, err := tab.Append(nil)
		if err != nil {
			t.Fatal(err)
		}
		again, err := Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		if again.Version() != tab.Version() || again.ASName(3) != "three" {
			t.Fatalf("read back: version %s, was %s", again.Version(), tab.Version())
		}
		for range 20 {
			a := genAddr(t, "asked")
			want := slow(in, a, func(s refSpan) bool { return s.asn != 0 }).asn
			cc := slow(in, a, func(s refSpan) bool { return s.cc != "" }).cc
			for _, x := range []*Tables{tab, again} {
				if got, ok := x.AS(a); got != want || ok != (want != 0) {
					t.Fatalf("AS(%s) = %d, %v, want %d", a, got, ok, want)
				}
				if got := x.Country(a); got != cc {
					t.Fatalf("Country(%s) = %q, want %q", a, got, cc)
				}
			}
		}
	})
}

// TestEmbeddedAgainstScan compares the fan-out with a scan of the same ranges.
func TestEmbeddedAgainstScan(t *testing.T) {
	t.Parallel()
	tab := embeddedTables(t)
	scan := func(r ranges[uint64, uint32], k uint64) (v uint32) {
		for i, s := range r.start {
			if s > k {
				break
			}
			v = r.value[i]
		}
		return v
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	for i := range 300 {
		k := tab.as6.start[rnd.IntN(len(tab.as6.start))] + uint64(i%3) - 1
		if got, want := tab.as6.at(k), scan(tab.as6, k); got != want {
			t.Fatalf("at(%#x) = %d, want %d", k, got, want)
		}
	}
	for range 300 {
		i := rnd.IntN(len(tab.as4.start)-1) + 1
		k := tab.as4.start[i]
		if tab.as4.at(k) != tab.as4.value[i] || tab.as4.at(k-1) != tab.as4.value[i-1] {
			t.Fatalf("at(%#x) is wrong at the edge of range %d", k, i)
		}
	}
}

func TestWith(t *testing.T) {
	t.Parallel()
	base, err := FromCSV(strings.NewReader("prefix,asn,as_name,country\n192.0.2.0/24,64500,Old,DE\n198.51.100.0/24,64501,Kept,DE\n"))
	if err != nil {
		t.Fatal(err)
	}
	country, err := FromCSV(strings.NewReader("prefix,country\n192.0.2.0/25,cz\n"))
	if err != nil {
		t.Fatal(err)
	}
	got := base.With(country)
	if asn, _ := got.AS(addr("192.0.2.1")); asn != 64500 || got.Country(addr("192.0.2.1")) != "CZ" {
		t.Errorf("AS%d in %q, want AS64500 in CZ", asn, got.Country(addr("192.0.2.1")))
	}
	if c := got.Country(addr("192.0.2.200")); c != "" {
		t.Errorf("a gap in the operator's file is filled with %q", c)
	}
	s := got.Sources()
	if len(s) != 2 || s[0].Gives != GivesAS|GivesASNames || s[1].Gives != GivesCountry {
		t.Errorf("sources %+v", s)
	}
	as, err := FromCSV(strings.NewReader("prefix,asn,as_name\n192.0.2.0/24,64500,New\n"))
	if err != nil {
		t.Fatal(err)
	}
	got = base.With(as)
	if _, ok := got.AS(addr("198.51.100.1")); ok || got.ASName(64500) != "New" || got.ASName(64501) != "Kept" {
		t.Errorf("names %q, %q", got.ASName(64500), got.ASName(64501))
	}
	if base.With(country).Version() == got.Version() || got.Version() == base.Version() {
		t.Error("different tables have one version")
	}
}

func TestFromCSV(t *testing.T) {
	t.Parallel()
	tab, err := FromCSV(strings.NewReader("\xef\xbb\xbfcountry;as_name;Prefix;ASN\r\n" +
		"de;\"A \"\"B\"\"; C\";10.0.0.0/8;AS64500\r\nfr;;10.1.0.0/16;\r\n;;2001:db8::/32;64501"))
	if err != nil {
		t.Fatal(err)
	}
	if asn, _ := tab.AS(addr("10.1.2.3")); asn != 64500 || tab.Country(addr("10.1.2.3")) != "FR" || tab.Country(addr("10.2.0.0")) != "DE" {
		t.Errorf("AS%d, %q", asn, tab.Country(addr("10.1.2.3")))
	}
	if asn, _ := tab.AS(addr("2001:db8:1::5")); asn != 64501 || tab.ASName(64500) != `A "B"; C` {
		t.Errorf("AS%d, %q", asn, tab.ASName(64500))
	}
	for _, tt := range []struct{ in, want string }{
		{"", "no header"},
		{"a,b\n", "no column prefix"},
		{"prefix,as_name\n", "neither asn nor country"},
		{"prefix,asn,prefix\n", "two columns"},
		{"prefix,asn\n10.0.0.0/8,1\n10.0.0.1/8,1\n", "line 3: prefix 10.0.0.1/8 has host bits set: write 10.0.0.0/8"},
		{"prefix,asn\n\n\n10.0.0.0,1\n", "line 4"},
		{"prefix,asn\n2001:db8::/65,1\n", "longer than /64"},
		{"prefix,asn\n::ffff:10.0.0.0/104,1\n", "as IPv4"},
		{"prefix,asn\n10.0.0.0/8,0\n", "asn"},
		{"prefix,asn\n10.0.0.0/8,4294967296\n", "asn"},
		{"prefix,country\n10.0.0.0/8,Germany\n", "two letters"},
		{"prefix,country\n\"10.0.0.0/8,DE\n", "line 2: a quote is not closed"},
		{"prefix,country\n10.0.0.0/8\n", "line 2: 1 fields"},
		{"prefix,country\n10.0.0.0/8,D\xff\n", "UTF-8"},
		{"prefix,country\n" + strings.Repeat("a", 70_000) + "\n", "line 2: longer than"},
		{"prefix,country\n" + strings.Repeat("x,DE\n", 100), "line 11"},
	} {
		_, err := FromCSV(strings.NewReader(tt.in))
		if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%.60q: %v, want %q", tt.in, err, tt.want)
		}
	}
}

func TestCleanName(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		" A\x00B\r\n C ":               "A B C",
		"\u202egpj.exe\u200b":          "gpj.exe",
		"a\xffb":                       "a\uFFFDb",
		strings.Repeat("é", 100):       strings.Repeat("é", 64),
		"x" + strings.Repeat("é", 100): "x" + strings.Repeat("é", 63),
		strings.Repeat("\x00", 10_000): "",
	} {
		if got := cleanName(in); got != want {
			t.Errorf("cleanName(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestLoadTells(t *testing.T) {
	t.Parallel()
	mmdb := sampleMMDB(t)
	for name, b := range map[string][]byte{
		"own": EmbeddedBytes(), "mmdb": mmdb, "csv": []byte("prefix,asn\n192.0.2.0/24,64500\n"),
	} {
		tab, err := Load(b)
		if err != nil || !tab.HasAS() {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Load([]byte("\x1f\x8b\x00")); !errors.Is(err, ErrInvalid) {
		t.Errorf("gzip: %v", err)
	}
	bomb := bytes.Repeat([]byte{0x28, 0xb5, 0x2f, 0xfd}, 100)
	if _, err := Load(bomb); !errors.Is(err, ErrInvalid) {
		t.Errorf("damaged: %v", err)
	}
}

func TestParseDamaged(t *testing.T) {
	t.Parallel()
	var b Builder
	_ = b.AddAS(addr("192.0.2.0"), addr("192.0.2.255"), 64500)
	_ = b.AddCountry(addr("2001:db8::"), addr("2001:db8::ffff"), "DE")
	b.AddASName(64500, "Example")
	c := b.Tables().content()
	for i := range c {
		if _, err := parseContent(c[:i]); err == nil {
			t.Fatalf("cut at %d of %d: no error", i, len(c))
		}
		for _, x := range []byte{1, 0x80, 0xff} {
			d := bytes.Clone(c)
			d[i] ^= x
			tab, err := parseContent(d) // no panic; what is readable can be asked
			if err == nil {
				tab.AS(addr("192.0.2.1"))
				tab.Country(addr("2001:db8::1"))
			}
		}
	}
}

func FuzzFromCSV(f *testing.F) {
	f.Add("prefix,asn,as_name,country\n192.0.2.0/24,AS64500,\"Ex\"\"ample\",DE\n2001:db8::/32,1,,\n")
	f.Add("prefix,country,registered\n192.0.2.0/24,DE,US\n2001:db8::/32,,FR\n")
	f.Add("country\tnetwork\r\nDE\t0.0.0.0/0\r\nFR\t::/0\n")
	f.Add("prefix;country\n\"10.0.0.0/8;DE\n10.0.0.0/8;FR\n")
	f.Fuzz(func(t *testing.T, s string) {
		tab, err := FromCSV(strings.NewReader(s))
		if err != nil {
			return
		}
		raw, err := tab.Append(nil)
		if err != nil {
			t.Fatal(err)
		}
		again, err := Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range []string{"192.0.2.1", "0.0.0.0", "2001:db8::1", "::"} {
			x, _ := tab.AS(addr(a))
			y, _ := again.AS(addr(a))
			if x != y || tab.Country(addr(a)) != again.Country(addr(a)) || tab.Registered(addr(a)) != again.Registered(addr(a)) {
				t.Fatalf("%s: %d, %d", a, x, y)
			}
		}
	})
}

func FuzzParse(f *testing.F) {
	var b Builder
	_ = b.AddAS(netip.MustParseAddr("192.0.2.0"), netip.MustParseAddr("192.0.2.255"), 64500)
	f.Add(b.Tables().content())
	_ = b.AddRegistered(netip.MustParseAddr("192.0.2.0"), netip.MustParseAddr("192.0.2.255"), "DE")
	f.Add(b.Tables().content())
	f.Fuzz(func(_ *testing.T, c []byte) {
		if t, err := parseContent(c); err == nil {
			t.AS(addr("192.0.2.1"))
			t.Registered(addr("192.0.2.1"))
			t.Country(addr("2001:db8::1"))
			t.Size()
		}
	})
}

func BenchmarkEmbedded(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Embedded(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkLookup(b *testing.B) {
	tab := embeddedTables(b)
	rnd := rand.New(rand.NewPCG(1, 2))
	var v4, v6 []netip.Addr
	for range 1 << 14 {
		// Addresses of routed ranges: those outside are found sooner.
		k := tab.as4.start[rnd.IntN(len(tab.as4.start))]
		v4 = append(v4, netip.AddrFrom4([4]byte{byte(k >> 24), byte(k >> 16), byte(k >> 8), 7}))
		h := tab.as6.start[rnd.IntN(len(tab.as6.start))]
		v6 = append(v6, netip.AddrFrom16([16]byte{byte(h >> 56), byte(h >> 48), byte(h >> 40), byte(h >> 32), byte(h >> 24), byte(h >> 16), byte(h >> 8), byte(h), 15: 1}))
	}
	for name, f := range map[string]func(int){
		"as4":      func(i int) { tab.AS(v4[i]) },
		"as6":      func(i int) { tab.AS(v6[i]) },
		"country4": func(i int) { tab.Country(v4[i]) },
		"country6": func(i int) { tab.Country(v6[i]) },
	} {
		b.Run(name, func(b *testing.B) {
			i := 0
			for b.Loop() {
				f(i & (1<<14 - 1))
				i++
			}
		})
	}
}
