package enrich

import (
	"net/netip"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
	"golang.org/x/net/publicsuffix"
)

// toASCII is the mapping of UTS #46 for looking names up, non-transitional as
// browsers do it. Underscores are allowed: names of hosts have them.
var toASCII = idna.New(idna.MapForLookup(), idna.Transitional(false), idna.StrictDomainName(false))

// Lengths in bytes (RFC 1035, section 2.3.4), and how much is read of a text
// that should be a name.
const (
	maxName  = 253
	maxLabel = 63
	maxText  = 1024
)

// Host reads the name or address of a host as somebody wrote it. It returns the
// name in lower case, in ASCII (IDNA), without a dot at the end and without a
// leading "*."; or the address, if s is one; or nothing.
func Host(s string) (name string, addr netip.Addr) {
	s = strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(s), "*."), ".")
	if s == "" || len(s) > maxText {
		return "", netip.Addr{}
	}
	var upper, wide, colon bool
	for i := range len(s) {
		switch c := s[i]; {
		case 'A' <= c && c <= 'Z':
			upper = true
		case c >= 0x80:
			wide = true
		case c == ':':
			colon = true
		}
	}
	if last := s[len(s)-1]; colon || ('0' <= last && last <= '9') {
		if a, err := netip.ParseAddr(s); err == nil {
			return "", plain(a)
		}
	}
	if wide {
		if !utf8.ValidString(s) {
			return "", netip.Addr{}
		}
		a, err := toASCII.ToASCII(s)
		if err != nil {
			return "", netip.Addr{}
		}
		s = strings.TrimSuffix(a, ".")
	}
	if upper || wide {
		s = strings.ToLower(s)
	}
	if !isName(s) {
		return "", netip.Addr{}
	}
	return s, netip.Addr{}
}

// isName checks the labels of a lower-case ASCII name. The last one must not be
// a number, as that of a misspelt IPv4 address is (RFC 3696, section 2).
func isName(s string) bool {
	if s == "" || len(s) > maxName {
		return false
	}
	label, digits := 0, true
	for i := range len(s) {
		switch c := s[i]; {
		case c == '.':
			if label == 0 {
				return false
			}
			label, digits = 0, true
			continue
		case '0' <= c && c <= '9':
		case 'a' <= c && c <= 'z', c == '-', c == '_':
			digits = false
		default:
			return false
		}
		if label++; label > maxLabel {
			return false
		}
	}
	return label > 0 && !digits
}

// URLHost returns the host of a URL as it stands there, or "". It reads what
// browsers read, also without a scheme, and never fails: a malicious URL is
// not always a well-formed one (WHATWG URL, section 4.4).
func URLHost(u string) string {
	u = strings.TrimSpace(u)
	if i := strings.Index(u, "://"); i > 0 && !strings.ContainsAny(u[:i], `/\?#@`) {
		u = u[i+3:]
	} else {
		u = strings.TrimPrefix(u, "//")
	}
	u = strings.TrimLeft(u, `/\`)
	if i := strings.IndexAny(u, `/\?#`); i >= 0 {
		u = u[:i]
	}
	u = u[strings.LastIndexByte(u, '@')+1:]
	if strings.HasPrefix(u, "[") {
		i := strings.IndexByte(u, ']')
		if i < 0 {
			return ""
		}
		return u[1:i]
	}
	if i := strings.LastIndexByte(u, ':'); i >= 0 {
		u = u[:i]
	}
	return u
}

// registrable returns the registrable domain of a name that Host gave: the
// public suffix and one label; "" if it has none.
func registrable(host string) string {
	d, err := publicsuffix.EffectiveTLDPlusOne(host)
	if err != nil {
		return ""
	}
	return d
}
