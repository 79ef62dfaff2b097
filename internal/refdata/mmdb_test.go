package refdata

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"strings"
	"testing"
)

// mmdbWriter writes small MMDB files as
// https://maxmind.github.io/MaxMind-DB/ describes them: 24-bit records, IPv6
// tree with IPv4 at ::/96.
type mmdbWriter struct {
	nodes [][2]int // -1 empty, -2-n data offset n, else node
	data  []byte
}

func (w *mmdbWriter) add(p netip.Prefix, value []byte) {
	if len(w.nodes) == 0 {
		w.nodes = [][2]int{{-1, -1}}
	}
	bits, b := p.Bits(), p.Addr().As16()
	if p.Addr().Is4() {
		bits += 96
		b[10], b[11] = 0, 0
	}
	at := 0
	for i := range bits {
		side := int(b[i>>3]>>(7-i&7)) & 1
		if i == bits-1 {
			w.nodes[at][side] = -2 - len(w.data)
			break
		}
		next := w.nodes[at][side]
		if next < 0 {
			next = len(w.nodes)
			w.nodes[at][side] = next
			w.nodes = append(w.nodes, [2]int{-1, -1})
		}
		at = next
	}
	w.data = append(w.data, value...)
}

func (w *mmdbWriter) bytes(kind string) []byte {
	var out []byte
	for _, n := range w.nodes {
		for _, v := range n {
			switch {
			case v == -1:
				v = len(w.nodes)
			case v < -1:
				v = len(w.nodes) + 16 + (-2 - v)
			}
			out = append(out, byte(v>>16), byte(v>>8), byte(v))
		}
	}
	out = append(out, make([]byte, 16)...)
	out = append(out, w.data...)
	out = append(out, mmdbMarker...)
	return append(out, mMap(
		"binary_format_major_version", mUint(5, 2), "binary_format_minor_version", mUint(5, 0),
		"build_epoch", mUint(9, 1_780_000_000), "database_type", mText(kind), "ip_version", mUint(5, 6),
		"node_count", mUint(6, uint64(len(w.nodes))), "record_size", mUint(5, 24),
	)...)
}

func mText(s string) []byte {
	if len(s) > 28 {
		return append([]byte{2<<5 | 29, byte(len(s) - 29)}, s...)
	}
	return append([]byte{2<<5 | byte(len(s))}, s...)
}

// mUint writes an unsigned integer of type 5 (16 bits), 6 (32) or 9 (64).
func mUint(kind byte, v uint64) []byte {
	b := binary.BigEndian.AppendUint64(nil, v)
	for len(b) > 0 && b[0] == 0 {
		b = b[1:]
	}
	if kind > 7 {
		return append([]byte{byte(len(b)), kind - 7}, b...)
	}
	return append([]byte{kind<<5 | byte(len(b))}, b...)
}

func mMap(kv ...any) []byte {
	b := []byte{7<<5 | byte(len(kv)/2)}
	for i := 0; i < len(kv); i += 2 {
		b = append(append(b, mText(kv[i].(string))...), kv[i+1].([]byte)...)
	}
	return b
}

func sampleMMDB(tb testing.TB) []byte {
	tb.Helper()
	var w mmdbWriter
	w.add(netip.MustParsePrefix("192.0.2.0/24"), mMap("country", mMap("iso_code", mText("DE"), "geoname_id", mUint(6, 7))))
	w.add(netip.MustParsePrefix("198.51.100.0/25"), mMap("autonomous_system_number", mUint(6, 64500), "autonomous_system_organization", mText("Example Net")))
	w.add(netip.MustParsePrefix("203.0.113.0/24"), mMap("asn", mText("AS64501"), "as_name", mText("Other"), "country_code", mText("cz"), "country", mText("Czechia")))
	w.add(netip.MustParsePrefix("2001:db8::/32"), mMap("country", mText("FR"), "asn", mText("junk")))
	w.add(netip.MustParsePrefix("2001:db9:0:0:8000::/65"), mMap("country", mText("IT")))
	w.add(netip.MustParsePrefix("2001:db9:0:1::/65"), mMap("country", mText("IT")))
	return w.bytes("Test-Country")
}

func TestFromMMDB(t *testing.T) {
	t.Parallel()
	b := sampleMMDB(t)
	tab, err := FromMMDB(b)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		addr string
		asn  uint32
		cc   string
	}{
		{"192.0.2.77", 0, "DE"},
		{"192.0.3.0", 0, ""},
		{"198.51.100.127", 64500, ""},
		{"198.51.100.128", 0, ""},
		{"203.0.113.1", 64501, "CZ"},
		{"2001:db8:ffff::1", 0, "FR"},
		{"2001:db9:0:0:8000::1", 0, ""}, // the /64's first address is not in the file
		{"2001:db9:0:1:8000::1", 0, "IT"},
	} {
		asn, _ := tab.AS(addr(tt.addr))
		if cc := tab.Country(addr(tt.addr)); asn != tt.asn || cc != tt.cc {
			t.Errorf("%s: AS%d in %q, want AS%d in %q", tt.addr, asn, cc, tt.asn, tt.cc)
		}
	}
	if tab.ASName(64500) != "Example Net" {
		t.Errorf("name %q", tab.ASName(64500))
	}
	s := tab.Sources()[0]
	if s.Name != "MMDB Test-Country" || s.Date != "2026-05-28" || s.Gives != GivesAS|GivesCountry|GivesASNames || len(s.SHA256) != 64 {
		t.Errorf("source %+v", s)
	}
	again, err := FromMMDB(b)
	if err != nil || again.Version() != tab.Version() {
		t.Errorf("read again: %v, %s, want %s", err, again.Version(), tab.Version())
	}
}

func TestFromMMDBHostile(t *testing.T) {
	t.Parallel()
	// Each node has the next one on both sides: 2^128 ways to the end.
	many := func(last int) []byte {
		var w mmdbWriter
		for i := range 127 {
			w.nodes = append(w.nodes, [2]int{i + 1, i + 1})
		}
		w.nodes = append(w.nodes, [2]int{last, last})
		w.data = mMap("country", mText("DE"))
		return w.bytes("x")
	}
	loop := &mmdbWriter{nodes: [][2]int{{0, 0}}}
	none := &mmdbWriter{}
	none.add(netip.MustParsePrefix("192.0.2.0/24"), mMap("isp", mText("x")))
	for name, b := range map[string][]byte{
		"shared nodes, empty": many(-1), "shared nodes, data": many(-2), "aliases": many(96), "loop": loop.bytes("x"),
		"nothing known": none.bytes("x"), "no tree": (&mmdbWriter{}).bytes("x"), "marker only": mmdbMarker, "nil": nil,
	} {
		if _, err := FromMMDB(b); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := FromMMDB(none.bytes("ISP\n")); err == nil || strings.Contains(err.Error(), "\n") {
		t.Errorf("error %q", err)
	}
}

func FuzzFromMMDB(f *testing.F) {
	var w mmdbWriter
	w.add(netip.MustParsePrefix("192.0.2.0/24"), mMap("country", mMap("iso_code", mText("DE"))))
	w.add(netip.MustParsePrefix("2001:db8::/32"), mMap("autonomous_system_number", mUint(6, 64500)))
	f.Add(w.bytes("Test"))
	f.Fuzz(func(_ *testing.T, b []byte) {
		if t, err := FromMMDB(b); err == nil {
			t.AS(addr("192.0.2.1"))
			t.Country(addr("2001:db8::1"))
		}
	})
}
