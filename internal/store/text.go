package store

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/zeebo/xxh3"

	"tocsin/internal/event"
)

// The text column holds what has no column of its own: first the event's own
// fields, then, after a line feed, the members of its Extra. Both are the
// members of a JSON object without its braces; a member that occurs often is a
// word of table term, and stands as # and its number in hexadecimal.
//
// DuckDB pays for text by the byte when it logs, sorts out and compresses it,
// and most bytes of reports are the same few members: a third of the store's
// time went there before they were numbered.

// textFields lists an event's text that has no column of its own.
func textFields(e *event.Event, n *event.Annotation) [15]*string {
	return [15]*string{
		&e.Source.FQDN, &e.Source.ReverseDNS, &e.Source.URL, &e.Source.Account, &e.Source.Network,
		&e.Destination.FQDN, &e.Destination.ReverseDNS, &e.Destination.URL, &e.Destination.Account, &e.Destination.Network,
		&e.ProductVersion, &e.Vulnerabilities, &e.Subject.Organisation, &e.Taxonomy, &n.Domain,
	}
}

// textKeys are the keys of textFields, in their order. They are stored: never
// changed, and only added to at the end.
var textKeys = [15]string{
	"source.fqdn", "source.reverse_dns", "source.url", "source.account", "source.network",
	"destination.fqdn", "destination.reverse_dns", "destination.url", "destination.account", "destination.network",
	"product.version", "product.vulnerabilities", "subject.organisation", "classification.taxonomy", "domain",
}

const keyObserved = "time.observation"

// appendText writes the text column of an event.
func (s *Store) appendText(dst []byte, e *event.Event, n *event.Annotation, feed uint32) []byte {
	start := len(dst)
	for i, p := range textFields(e, n) {
		if *p == "" {
			continue
		}
		if len(dst) > start {
			dst = append(dst, ',')
		}
		at := len(dst)
		dst = append(append(append(dst, '"'), textKeys[i]...), '"', ':')
		dst = appendString(dst, *p)
		dst = s.shorten(dst, at, feed)
	}
	if e.Observed != 0 {
		if len(dst) > start {
			dst = append(dst, ',')
		}
		dst = append(dst, `"`+keyObserved+`":`...)
		dst = strconv.AppendInt(dst, e.Observed, 10)
	}
	x := e.Extra
	if len(x) <= 2 {
		return dst
	}
	dst = append(dst, '\n')
	x = x[1 : len(x)-1]
	for len(x) > 0 {
		m := member(x)
		at := len(dst)
		dst = s.shorten(append(dst, x[:m]...), at, feed)
		if m == len(x) {
			break
		}
		dst = append(dst, ',')
		x = x[m+1:]
	}
	return dst
}

// member returns the length of the first of an object's members, up to the
// comma after it or the end.
func member(x []byte) int {
	depth := 0
	for i := 0; i < len(x); i++ {
		switch x[i] {
		case '"':
			for i++; i < len(x) && x[i] != '"'; {
				j := bytes.IndexByte(x[i:], '"')
				if j < 0 {
					return len(x)
				}
				k := i + j - 1 // an odd number of backslashes escapes the quote
				for k >= i && x[k] == '\\' {
					k--
				}
				if i += j; (i-1-k)%2 == 0 {
					break
				}
				i++
			}
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		case ',':
			if depth == 0 {
				return i
			}
		}
	}
	return len(x)
}

// memberCache remembers members that occur often: direct-mapped by hash; an
// entry gives way when others come to its place more often.
type memberCache [1 << 13]struct {
	hash uint64
	seen uint8
	id   uint32
	word string // once it has an id
}

// often is how many times a member is seen before it becomes a word.
const often = 6

// shorten replaces the member at the end of dst, from at on, by its number if
// it occurs often.
func (s *Store) shorten(dst []byte, at int, feed uint32) []byte {
	m := dst[at:]
	if len(m) < 10 || len(m) > maxWord {
		return dst
	}
	h := xxh3.HashSeed(m, s.seed)
	c := &s.members[h%uint64(len(s.members))]
	switch {
	case c.hash != h && c.seen > 0:
		c.seen--
		return dst
	case c.hash != h:
		c.hash, c.seen, c.id, c.word = h, 1, 0, ""
		return dst
	case c.seen < 255:
		c.seen++
	}
	if c.id == 0 {
		// Half of the feed's words are left for its columns, which need them.
		if c.seen < often || s.terms.count[feed] >= wordsPerFeed/2 || !utf8.Valid(m) {
			return dst
		}
		id, ok := s.terms.id(string(m), feed)
		if !ok {
			return dst
		}
		c.id, c.word = id, s.terms.words[id]
	}
	if c.word != string(m) {
		return dst
	}
	return strconv.AppendUint(append(dst[:at], '#'), uint64(c.id), 16)
}

// expand writes members out with their words in place of numbers.
func (s *Store) expand(members string) []byte {
	out := make([]byte, 0, 2*len(members)+2)
	out = append(out, '{')
	for x := []byte(members); len(x) > 0; {
		n := member(x)
		if x[0] == '#' {
			id, err := strconv.ParseUint(string(x[1:n]), 16, 32)
			if err == nil {
				out = append(out, s.terms.word(uint32(id))...)
			}
		} else {
			out = append(out, x[:n]...)
		}
		if n == len(x) {
			break
		}
		out = append(out, ',')
		x = x[n+1:]
	}
	return append(out, '}')
}

// readText is the inverse of appendText.
func (s *Store) readText(text string, e *event.Event, n *event.Annotation) {
	own, extra, _ := strings.Cut(text, "\n")
	if extra != "" {
		e.Extra = s.expand(extra)
	}
	if own == "" {
		return
	}
	var m map[string]json.RawMessage
	if json.Unmarshal(s.expand(own), &m) != nil {
		return
	}
	for i, p := range textFields(e, n) {
		if v, ok := m[textKeys[i]]; ok {
			_ = json.Unmarshal(v, p)
		}
	}
	if v, ok := m[keyObserved]; ok {
		_ = json.Unmarshal(v, &e.Observed)
	}
}

// appendString writes s as a JSON string. Bytes that are not UTF-8 become
// U+FFFD; they stand as they came in the archive.
func appendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= 0x20 && c != '"' && c != '\\' && c < utf8.RuneSelf {
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			if r, n := utf8.DecodeRuneInString(s[i:]); r != utf8.RuneError || n > 1 {
				i += n
				continue
			}
			dst = append(append(dst, s[start:i]...), "\uFFFD"...)
		} else {
			const hex = "0123456789abcdef"
			dst = append(dst, s[start:i]...)
			if c == '"' || c == '\\' {
				dst = append(dst, '\\', c)
			} else {
				dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
			}
		}
		i++
		start = i
	}
	return append(append(dst, s[start:]...), '"')
}
