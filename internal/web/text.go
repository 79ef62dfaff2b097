package web

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"tocsin/internal/figure"
)

// visible gives s with everything that a reader would not see, or that would
// move or hide what stands around it, written out: \n, \x1b, \u202e; bytes that
// are not UTF-8 as \xff.
func visible(s string) string { return reveal(s, false) }

// reveal is [visible]; with layout set it keeps newlines and tabs, as in a page.
func reveal(s string, layout bool) string {
	i := 0
	for i < len(s) && (s[i] >= ' ' && s[i] < 0x7f || layout && (s[i] == '\n' || s[i] == '\t')) {
		i++
	}
	if i == len(s) {
		return s
	}
	var b strings.Builder
	b.Grow(len(s) + 16)
	b.WriteString(s[:i])
	prev := rune(0)
	for i < len(s) {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case layout && (r == '\n' || r == '\t'), !hidden(r):
			b.WriteString(s[i : i+n])
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case r < 0x80:
			fmt.Fprintf(&b, `\x%02x`, r)
		case (r == '\u200c' || r == '\u200d') && joins(prev, s[i+n:]):
			b.WriteString(s[i : i+n])
		case r > 0xffff:
			fmt.Fprintf(&b, `\U%08x`, r)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
		prev = r
		i += n
	}
	return b.String()
}

// hidden reports characters that have no shape of their own: controls, format
// characters such as those of bidirectional text, line separators, private use
// and the blank letters.
func hidden(r rune) bool {
	switch r {
	case 0x115f, 0x1160, 0x17b4, 0x17b5, 0x2800, 0x3164, 0xffa0:
		return true
	}
	return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Co, unicode.Variation_Selector) ||
		unicode.IsSpace(r) && r != ' ' && r != '\u00a0' && r != '\u202f' && r != '\u3000'
}

// joins reports whether a joiner stands between letters of a script that is
// spelt with joiners, such as Persian.
func joins(prev rune, rest string) bool {
	next, _ := utf8.DecodeRuneInString(rest)
	return joined(prev) && joined(next)
}

func joined(r rune) bool {
	return unicode.In(r, unicode.Arabic, unicode.Devanagari, unicode.Bengali, unicode.Gujarati, unicode.Gurmukhi,
		unicode.Kannada, unicode.Malayalam, unicode.Sinhala, unicode.Tamil, unicode.Telugu, unicode.Khmer, unicode.Myanmar, unicode.Mongolian)
}

// defang gives a URL that no program opens by itself: hxxp, and brackets
// around the dots of the host.
func defang(u string) string {
	scheme, rest, ok := strings.Cut(u, "://")
	if !ok {
		return visible(u)
	}
	for _, s := range [][2]string{{"http", "hxxp"}, {"https", "hxxps"}, {"ftp", "fxp"}} {
		if strings.EqualFold(scheme, s[0]) {
			scheme = s[1]
			break
		}
	}
	end := strings.IndexAny(rest, "/?#\\")
	if end < 0 {
		end = len(rest)
	}
	return visible(scheme + "://" + strings.ReplaceAll(rest[:end], ".", "[.]") + rest[end:])
}

// clip cuts a text for display, saying so.
func clip(n int, s string) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return fmt.Sprintf("%s … (%s bytes more)", s[:n], group(strconv.Itoa(len(s)-n)))
}

// cut is [clip] where the rest stands close by.
func cut(n int, s string) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + " …"
}

// narrow groups digits: a no-break space that is the same in every language.
const narrow = "\u202f"

// group puts spaces between each three digits of the whole part.
func group(s string) string {
	sign := ""
	if strings.HasPrefix(s, "-") {
		sign, s = "−", s[1:]
	}
	whole, frac, dot := strings.Cut(s, ".")
	if len(whole) > 4 || len(whole) == 4 && !dot {
		var b strings.Builder
		for i, c := range whole {
			if i > 0 && (len(whole)-i)%3 == 0 {
				b.WriteString(narrow)
			}
			b.WriteRune(c)
		}
		whole = b.String()
	}
	if dot {
		return sign + whole + "." + frac
	}
	return sign + whole
}

// signed is [group] with a plus sign where the number is above zero.
func signed(n figure.Number) string {
	s := group(n.String())
	if n.Sum > 0 {
		return "+" + s
	}
	return s
}

// grown gives the change in per cent that a ratio is, with its sign; "" where
// there is no base.
func grown(r figure.Ratio) string {
	s := figure.Ratio{Num: r.Num - r.Den, Den: r.Den}.Percent()
	if r.Num > r.Den && s != "" {
		return "+" + group(s)
	}
	return group(s)
}

// csvText gives a text cell: always quoted, and prefixed with an apostrophe
// where a spreadsheet could take it for a formula, that is where it starts with
// one of = + - @ TAB CR LF, their full-width forms, or an apostrophe, also after
// quotes and spaces. One leading apostrophe taken off gives the text back.
func csvText(dst []byte, s string) []byte {
	dst = append(dst, '"')
	if formula(s) {
		dst = append(dst, '\'')
	}
	for i := range len(s) {
		if s[i] == '"' {
			dst = append(dst, '"')
		}
		dst = append(dst, s[i])
	}
	return append(dst, '"')
}

func formula(s string) bool {
	if strings.HasPrefix(s, "'") {
		return true
	}
	s = strings.TrimLeftFunc(s, func(r rune) bool {
		return r == '"' || r == '\'' || r != '\t' && r != '\r' && r != '\n' && unicode.IsSpace(r) || unicode.Is(unicode.Cf, r) || r == 0
	})
	if s == "" {
		return false
	}
	r, _ := utf8.DecodeRuneInString(s)
	return strings.ContainsRune("=+-@\t\r\n＝＋－＠﹢﹣﹦﹫−|%", r)
}
