package decode

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"tocsin/internal/event"
)

// WriteFormats writes docs/formats.md, the reference page of all formats and
// report types, from the tables.
func WriteFormats(w io.Writer) error {
	var b bytes.Buffer
	b.WriteString("# Formats\n\nGenerated from the tables of internal/decode; `go test ./internal/decode -run Formats -update` writes it anew.\n\n")
	b.WriteString("A feed names its format. gzip (of any number of members), zstd, a UTF-8 byte order mark, UTF-16 with a byte order mark,\n" +
		"and lines that end in LF, CRLF or CR are taken as they come.\n\n| format | what it is | defined at |\n|---|---|---|\n")
	for _, f := range Formats {
		fmt.Fprintf(&b, "| `%s` | %s | <%s> |\n", f.Name, f.Doc, f.Spec)
	}
	l := DefaultLimits()
	b.WriteString("\n## Budgets of a delivery\n\n| budget | by default | beyond it |\n|---|---|---|\n")
	fmt.Fprintf(&b, "| bytes, unpacked | %d MiB | the rest is one quarantined row (`bytes`) |\n", l.Bytes>>20)
	fmt.Fprintf(&b, "| unpacked to packed bytes, after the first MiB | %d | the rest is one quarantined row (`ratio`) |\n", l.Ratio)
	fmt.Fprintf(&b, "| rows | %d | the rest is one quarantined row (`rows`) |\n", l.Rows)
	fmt.Fprintf(&b, "| bytes of a line | %d | the line is quarantined (`line-too-long`) |\n", l.Line)
	fmt.Fprintf(&b, "| columns of a table | %d | the delivery is refused (`header`) |\n", l.Columns)
	fmt.Fprintf(&b, "| keys of a JSON object | %d | the line is quarantined (`json`) |\n", l.Columns)
	fmt.Fprintf(&b, "| nesting of JSON | %d | the line is quarantined (`depth`) |\n", l.Depth)
	b.WriteString("\n## Reasons\n\nA row that cannot become an event is quarantined with one of these reasons, its number and its first 512 bytes:\n\n| reason | what it means |\n|---|---|\n")
	for _, r := range Reasons {
		fmt.Fprintf(&b, "| `%s` | %s |\n", r.Reason, r.Doc)
	}
	writeShadowserver(&b)
	writeIDF(&b)
	_, err := w.Write(b.Bytes())
	return err
}

func writeShadowserver(b *bytes.Buffer) {
	b.WriteString("\n## shadowserver\n\n" +
		"The report type comes from the feed or from the file name (`2026-01-31-scan_ssl-example.csv.gz`, `scan_ssl.csv`). Columns go by name: their order,\n" +
		"missing ones and new ones do not matter, but for a time and for a subject. A record is one line, unless its quote closes within 64 KiB with as many\n" +
		"cells as the header has columns; otherwise that line is quarantined and reading goes on at the next. One missing last cell is taken as empty.\n" +
		"A cell that no field gives back to the byte is kept in `extra.COLUMN`.\n\n" +
		"An event's id is SHA-256, cut to 128 bits, over the feed, the report type, and name and trimmed cell of those identity columns of its type that are\n" +
		"not empty, in the table's order. A snapshot's id has the day of its row, or of its receipt, instead of the time.\n\n### Columns\n\n| column | field |\n|---|---|\n")
	nameOf := map[field]string{}
	for n, f := range fieldNames {
		nameOf[f] = n
	}
	for _, c := range slices.Sorted(maps.Keys(columns)) {
		fmt.Fprintf(b, "| `%s` | %s |\n", c, nameOf[columns[c]])
	}
	for _, c := range slices.Sorted(maps.Keys(extraNames)) {
		fmt.Fprintf(b, "| `%s` | %s |\n", c, extraNames[c])
	}
	fmt.Fprintf(b, "\nNo part of any identity, since the vendor looks them up: `%s`.\n", strings.Join(slices.Sorted(maps.Keys(annotations)), "`, `"))
	b.WriteString("\n### Report types\n\nThe subject is the end that the constituency answers for; what is counted is the asset.\n\n" +
		"| report types | classification | identifier | subject | its role | counted as | peer | class | service | severity |\n|---|---|---|---|---|---|---|---|---|---|\n")
	row := func(names, class, ident, service string, sev event.Severity, p *profile) {
		var kinds []string
		for _, k := range p.kind {
			kinds = append(kinds, k.String())
		}
		t := event.MustType(class)
		if c, ok := strings.CutPrefix(ident, "="); ok {
			ident = "the cell of `" + c + "`"
		}
		snapshot := ""
		if p.snapshot {
			snapshot = " (snapshot)"
		}
		fmt.Fprintf(b, "| %s%s | %s / %s | %s | %s: %s | %s | %s | %s | %s | %s | %s |\n", names, snapshot, t.Taxonomy(), class, ident,
			p.side, strings.Join(kinds, ", "), p.role, p.asset, p.peer, event.ClassOf(t, p.role, p.asset), service, sev)
	}
	for i := range reports {
		r := &reports[i]
		row("`"+strings.ReplaceAll(r.names, " ", "` `")+"`", r.class, r.identifier, r.service, r.severity, r.profile)
		for _, a := range alternatives {
			if strings.HasPrefix(r.names+" ", a.report+" ") {
				row(fmt.Sprintf("… where `%s` holds `%s`", a.column, a.word), a.class, a.identifier, r.service, r.severity, a.profile)
			}
		}
	}
	b.WriteString("\n### Identity columns\n\n")
	for i := range reports {
		r := &reports[i]
		fmt.Fprintf(b, "- `%s`: %s\n", strings.ReplaceAll(r.names, " ", "` `"), strings.Join(r.seen(), ", "))
	}
}

func writeIDF(b *bytes.Buffer) {
	b.WriteString("\n## idf\n\n" +
		"One JSON object a line, with flat keys (`source.ip`) or nested objects (`{\"source\":{\"ip\":…}}`), which mean the same. A line without `time.source` takes\n" +
		"the time of `time.observation`. What no field gives back to the byte is kept, so that every key and value comes out of an export as it came in; only the\n" +
		"stricter of the row's and the feed's marking is written. A key twice, or text that is not UTF-8, is quarantined.\n\n" +
		"The subject is the source, or the destination if nothing is known of the source. `extra.tocsin.side`, `.kind`, `.asset`, `.role`, `.peer`,\n" +
		"`.organisation` and `.report` say otherwise, as an export of tocsin does.\n\n" +
		"An event's id is SHA-256, cut to 128 bits, over the feed, `idf`, and name and value of its keys, sorted, but for: `time.observation`, `feed.*`, `raw`,\n" +
		"`rtir_id`, `misp.*`, `output`, `event_hash`, `comment`, `severity`, `tlp`, `__type`, `classification.taxonomy`, `extra.tocsin.*` but for `.report`, and of each end `asn`, `as_name`,\n" +
		"`geolocation.*`, `registry`, `network` (unless the end has no address), `allocated`, `abuse_contact`, `reverse_dns`, `domain_suffix`.\n\n" +
		"| classification | role of the source | counted as | class |\n|---|---|---|---|\n")
	for i := range event.Types {
		t := event.Type(i)
		e := event.Event{Type: t}
		e.Source.FQDN = "example.org"
		site := event.IDFSubject(&e)
		e.Source = event.End{IP: exampleAddress, Port: 443}
		s := event.IDFSubject(&e)
		counted, class := s.Asset.String(), event.ClassOf(t, s.Role, s.Asset).String()
		if c := event.ClassOf(t, site.Role, site.Asset).String(); t.InScope() && (site.Asset != s.Asset || c != class) {
			counted += ", by name: " + site.Asset.String()
			if c != class {
				class += ", by name: " + c
			}
		}
		fmt.Fprintf(b, "| %s | %s | %s | %s |\n", t, s.Role, counted, class)
	}
}

// ReportType is one report type of a format, for lists.
type ReportType struct {
	Name     string
	Type     event.Type
	Class    event.Class
	Subject  string // the side, and by what the subject is known
	Role     event.Role
	Snapshot bool
}

// ReportTypes lists the report types that a format knows, in the table's
// order; none for formats without such.
func (f Format) ReportTypes() []ReportType {
	if f.Name != "shadowserver" {
		return nil
	}
	var out []ReportType
	for i := range reports {
		r := &reports[i]
		kinds := make([]string, len(r.profile.kind))
		for j, k := range r.profile.kind {
			kinds[j] = k.String()
		}
		t := event.MustType(r.class)
		for n := range strings.FieldsSeq(r.names) {
			out = append(out, ReportType{
				Name: n, Type: t, Class: event.ClassOf(t, r.profile.role, r.profile.asset),
				Subject: r.profile.side.String() + ": " + strings.Join(kinds, ", "), Role: r.profile.role, Snapshot: r.profile.snapshot,
			})
		}
	}
	return out
}
