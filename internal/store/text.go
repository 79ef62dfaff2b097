package store

import (
	"encoding/json"
	"strconv"
	"strings"
	"unicode/utf8"

	"tocsin/internal/event"
)

// The text column is a JSON object: first the event's own text that has no
// column, under these keys, then what stands in Extra. A key of Extra may be
// the same as one of these, but theirs come first.
const textMark = "tocsin"

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

// appendText writes the text column: {"tocsin":{...},then Extra's own members}.
func appendText(dst []byte, e *event.Event, n *event.Annotation) []byte {
	open := false
	for i, p := range textFields(e, n) {
		if *p == "" {
			continue
		}
		if !open {
			dst = append(dst, `{"`+textMark+`":{`...)
			open = true
		} else {
			dst = append(dst, ',')
		}
		dst = append(append(append(dst, '"'), textKeys[i]...), '"', ':')
		dst = appendString(dst, *p)
	}
	if e.Observed != 0 {
		if !open {
			dst = append(dst, `{"`+textMark+`":{`...)
			open = true
		} else {
			dst = append(dst, ',')
		}
		dst = append(dst, `"time.observation":`...)
		dst = strconv.AppendInt(dst, e.Observed, 10)
	}
	if !open {
		return append(dst, e.Extra...)
	}
	dst = append(dst, '}')
	if len(e.Extra) > 2 {
		dst = append(dst, ',')
		return append(dst, e.Extra[1:]...)
	}
	return append(dst, '}')
}

// readText is the inverse of appendText.
func readText(text string, e *event.Event, n *event.Annotation) {
	own, ok := strings.CutPrefix(text, `{"`+textMark+`":`)
	if !ok {
		if text != "" {
			e.Extra = []byte(text)
		}
		return
	}
	dec := json.NewDecoder(strings.NewReader(own))
	var m map[string]json.RawMessage
	if dec.Decode(&m) != nil {
		e.Extra = []byte(text)
		return
	}
	for i, p := range textFields(e, n) {
		if v, ok := m[textKeys[i]]; ok {
			_ = json.Unmarshal(v, p)
		}
	}
	if v, ok := m["time.observation"]; ok {
		_ = json.Unmarshal(v, &e.Observed)
	}
	if rest := own[dec.InputOffset():]; strings.HasPrefix(rest, ",") {
		e.Extra = []byte("{" + rest[1:])
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
