package decode

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"time"
	"unicode/utf8"

	"tocsin/internal/event"
)

// trim drops spaces, tabs and other bytes up to U+0020 from both ends.
func trim(b []byte) []byte {
	for len(b) > 0 && b[0] <= ' ' {
		b = b[1:]
	}
	for len(b) > 0 && b[len(b)-1] <= ' ' {
		b = b[:len(b)-1]
	}
	return b
}

// plain reports whether b can be text in a typed field: UTF-8 without NUL.
func plain(b []byte) bool {
	for len(b) >= 8 {
		x := binary.LittleEndian.Uint64(b)
		if (x|(x-ones))&tops != 0 {
			break // not ASCII, or perhaps a NUL
		}
		b = b[8:]
	}
	for i, c := range b {
		if c >= utf8.RuneSelf {
			return utf8.Valid(b[i:]) && bytes.IndexByte(b[i:], 0) < 0
		}
		if c == 0 {
			return false
		}
	}
	return true
}

// printing reports whether b is printable ASCII only, as IDF wants of names.
func printing(b []byte) bool {
	for _, c := range b {
		if c < ' ' || c > '~' {
			return false
		}
	}
	return len(b) > 0
}

// word reports whether b is letters, digits, hyphens and dots.
func word(b []byte) bool {
	for _, c := range b {
		if c|0x20 < 'a' || c|0x20 > 'z' {
			if (c < '0' || c > '9') && c != '-' && c != '.' {
				return false
			}
		}
	}
	return len(b) > 0
}

// keepText sets s to the cell, if it is text.
func keepText(s *string, cell []byte) bool {
	if *s != "" || !plain(cell) {
		return false
	}
	*s = text(cell)
	return true
}

// lower returns b with ASCII letters in lower case, and whether they were.
func lower(b []byte) (s string, exact bool) {
	for _, c := range b {
		if 'A' <= c && c <= 'Z' {
			return text(bytes.ToLower(b)), false
		}
	}
	return text(b), true
}

// number reads a decimal from 1 to limit as it would be written again. Zero
// means "not reported" in the record, so it is none.
func number(b []byte, limit uint64) (uint64, bool) {
	if len(b) == 0 || len(b) > 10 || b[0] == '0' {
		return 0, false
	}
	var n uint64
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + uint64(c-'0')
	}
	if n > limit {
		return 0, false
	}
	return n, true
}

// country reads an ISO 3166-1 alpha-2 code; exact if it is in capitals.
func country(b []byte) (string, bool) {
	if len(b) != 2 {
		return "", false
	}
	exact := true
	for _, c := range b {
		switch {
		case 'A' <= c && c <= 'Z' || '0' <= c && c <= '9':
		case 'a' <= c && c <= 'z':
			exact = false
		default:
			return "", false
		}
	}
	if exact {
		return text(b), true
	}
	return text(bytes.ToUpper(b)), false
}

// address reads an IP address without zone, IPv4 in IPv6 unmapped; exact if it
// is written as [netip.Addr.String] does.
func address(b []byte) (a netip.Addr, exact, ok bool) {
	if a, ok = dotted(b); ok {
		return a, true, true
	}
	a, err := netip.ParseAddr(text(b))
	if err != nil || a.Zone() != "" {
		return netip.Addr{}, false, false
	}
	a = a.Unmap()
	var buf [64]byte
	return a, string(a.AppendTo(buf[:0])) == text(b), true
}

// dotted reads an IPv4 address in the one form that is written again equally.
func dotted(b []byte) (netip.Addr, bool) {
	if len(b) < 7 || len(b) > 15 {
		return netip.Addr{}, false
	}
	var a [4]byte
	k, n, digits := 0, 0, 0
	for _, c := range b {
		switch {
		case '0' <= c && c <= '9':
			if digits > 0 && n == 0 {
				return netip.Addr{}, false // a leading zero
			}
			if n = n*10 + int(c-'0'); n > 255 {
				return netip.Addr{}, false
			}
			digits++
		case c == '.' && digits > 0 && k < 3:
			a[k] = byte(n) //nolint:gosec // at most 255
			k, n, digits = k+1, 0, 0
		default:
			return netip.Addr{}, false
		}
	}
	if k != 3 || digits == 0 {
		return netip.Addr{}, false
	}
	a[3] = byte(n)
	return netip.AddrFrom4(a), true
}

// hostname reads a DNS name of at least two labels that is not an address, in
// lower case without its final dot; exact if it was written so. Underscores and
// letters beyond ASCII are let through: names in reports have them.
func hostname(b []byte) (name string, exact, ok bool) {
	c := bytes.TrimSuffix(b, []byte{'.'})
	if len(c) > 253 || bytes.IndexByte(c, '.') <= 0 || !plain(c) {
		return "", false, false
	}
	digits := true
	for i, x := range c {
		switch {
		case 'a' <= x|0x20 && x|0x20 <= 'z' || x == '-' || x == '_' || x >= utf8.RuneSelf:
			digits = false
		case '0' <= x && x <= '9':
		case x == '.' && i+1 < len(c) && c[i+1] != '.':
		default:
			return "", false, false
		}
	}
	if digits {
		return "", false, false
	}
	name, exact = lower(c)
	return name, exact && len(c) == len(b), true
}

// absolute reports whether b starts like a URL with a scheme and an authority.
func absolute(b []byte) bool {
	i := bytes.Index(b[:min(len(b), 24)], []byte("://"))
	return i > 0 && i+3 < len(b) && word(b[:i])
}

// printable is s in at most n bytes of printable ASCII, for people and logs.
func printable(s string, n int) string {
	b := make([]byte, 0, min(len(s), n))
	for i := range len(s) {
		if len(b) == n {
			return string(b[:n-3]) + "..."
		}
		if c := s[i]; c < ' ' || c > '~' {
			b = append(b, '.')
		} else {
			b = append(b, c)
		}
	}
	return string(b)
}

// Masks for eight bytes at a time: where no byte has its top bit, subtracting n
// from each sets one exactly if some byte is below n.
const (
	ones = 0x0101010101010101
	tops = 0x8080808080808080
)

const hexDigits = "0123456789abcdef"

// appendString writes b as a JSON string. A byte that is not UTF-8 becomes the
// lone low surrogate U+DC80 to U+DCFF, escaped: valid JSON from which the bytes
// can be had back (Python's surrogateescape, PEP 383).
func appendString(dst, b []byte) []byte {
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(b); {
		if i+8 <= len(b) {
			x := binary.LittleEndian.Uint64(b[i:])
			quote, slash := x^'"'*ones, x^'\\'*ones
			if (x|(x-' '*ones)|(quote-ones)|(slash-ones))&tops == 0 {
				i += 8
				continue
			}
		}
		c := b[i]
		if c >= ' ' && c < utf8.RuneSelf && c != '"' && c != '\\' {
			i++
			continue
		}
		if c < utf8.RuneSelf {
			dst = append(dst, b[start:i]...)
			if c == '"' || c == '\\' {
				dst = append(dst, '\\', c)
			} else {
				dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
			}
			i++
			start = i
			continue
		}
		r, n := utf8.DecodeRune(b[i:])
		if r == utf8.RuneError && n == 1 {
			dst = append(dst, b[start:i]...)
			dst = append(dst, '\\', 'u', 'd', 'c', hexDigits[c>>4], hexDigits[c&15])
			i++
			start = i
			continue
		}
		i += n
	}
	dst = append(dst, b[start:]...)
	return append(dst, '"')
}

// clock reads the times of a delivery and remembers the last day.
type clock struct {
	day  [10]byte
	base int64 // of day, microseconds since 1970
}

// parse reads YYYY-MM-DD HH:MM:SS in UTC, with a T for the space, a fraction and
// a zone if it likes. exact if it is the plain form with a whole second, which
// holds no more than the time does.
func (c *clock) parse(b []byte) (us int64, exact, ok bool) {
	if len(b) < 19 || len(b) > 40 || b[13] != ':' || b[16] != ':' || b[10] != ' ' && b[10] != 'T' && b[10] != 't' {
		return 0, false, false
	}
	if string(b[:10]) != string(c.day[:]) {
		base, ok := date(b[:10])
		if !ok {
			return 0, false, false
		}
		c.base = base
		copy(c.day[:], b)
	}
	h, ok1 := two(b[11:])
	m, ok2 := two(b[14:])
	s, ok3 := two(b[17:])
	if !ok1 || !ok2 || !ok3 || h > 23 || m > 59 || s > 59 {
		return 0, false, false
	}
	us = c.base + int64((h*60+m)*60+s)*1e6
	if len(b) == 19 {
		return us, b[10] == ' ', true
	}
	return zoned(us, b[19:])
}

// zoned adds the fraction and the zone that follow the seconds.
func zoned(us int64, b []byte) (int64, bool, bool) {
	if b[0] == '.' || b[0] == ',' {
		n, i := int64(0), 1
		for ; i < len(b) && '0' <= b[i] && b[i] <= '9'; i++ {
			if i <= 6 {
				n = n*10 + int64(b[i]-'0')
			}
		}
		if i == 1 || i > 10 {
			return 0, false, false
		}
		for k := i; k <= 6; k++ {
			n *= 10
		}
		us += n
		b = b[i:]
	}
	b = trim(b)
	switch {
	case len(b) == 0, string(b) == "Z", string(b) == "z", string(b) == "UTC":
		return us, false, true
	case b[0] != '+' && b[0] != '-':
		return 0, false, false
	}
	h, ok := two(b[1:])
	rest := b[min(3, len(b)):]
	if len(rest) > 0 && rest[0] == ':' {
		rest = rest[1:]
	}
	m, ok2 := two(rest)
	if len(rest) == 0 {
		m, ok2 = 0, true
	}
	if !ok || !ok2 || len(rest) > 2 || h > 14 || m > 59 {
		return 0, false, false
	}
	off := int64(h*60+m) * 60e6
	if b[0] == '-' {
		off = -off
	}
	return us - off, false, true
}

// date reads YYYY-MM-DD as it would be written again.
func date(b []byte) (int64, bool) {
	t, err := time.Parse(time.DateOnly, string(b))
	if err != nil {
		return 0, false
	}
	return t.UnixMicro(), true
}

func two(b []byte) (int, bool) {
	if len(b) < 2 || b[0] < '0' || b[0] > '9' || b[1] < '0' || b[1] > '9' {
		return 0, false
	}
	return int(b[0]-'0')*10 + int(b[1]-'0'), true
}

// window is what times a delivery can report.
type window struct{ from, to int64 }

// The window of a feed that is not historical, around the time of receipt.
const (
	windowBefore = 7 * 24 * time.Hour
	windowAfter  = 10 * time.Minute
)

func windowOf(s Source) window {
	w := window{event.MinTime, min(event.MaxTime-1, s.Received.Add(windowAfter).UnixMicro())}
	if !s.Historical {
		w.from = max(w.from, s.Received.Add(-windowBefore).UnixMicro())
	}
	return w
}

func (w window) check(us int64) *Bad {
	if us >= w.from && us <= w.to {
		return nil
	}
	return &Bad{Reason: ReasonWindow, Detail: time.UnixMicro(us).UTC().Format(time.RFC3339) + " is not between " +
		time.UnixMicro(w.from).UTC().Format(time.RFC3339) + " and " + time.UnixMicro(w.to).UTC().Format(time.RFC3339)}
}
