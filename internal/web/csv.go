package web

import (
	"strconv"
	"time"

	"tocsin/internal/event"
	"tocsin/internal/figure"
	"tocsin/internal/query"
)

// csvRow appends one line. Cells are numbers by their type alone: a text of
// digits is a text.
func csvRow(dst []byte, cells ...any) []byte {
	for i, c := range cells {
		if i > 0 {
			dst = append(dst, ',')
		}
		switch c := c.(type) {
		case string:
			dst = csvText(dst, c)
		case cell:
			dst = append(dst, c...)
		case int64:
			dst = strconv.AppendInt(dst, c, 10)
		case int:
			dst = strconv.AppendInt(dst, int64(c), 10)
		case uint32:
			dst = strconv.AppendUint(dst, uint64(c), 10)
		case figure.Number:
			dst = append(dst, c.String()...)
		case *figure.Number:
			if c != nil {
				dst = append(dst, c.String()...)
			}
		case *figure.Decimal:
			if c != nil {
				dst = append(dst, c.String()...)
			}
		case *int64:
			if c != nil {
				dst = strconv.AppendInt(dst, *c, 10)
			}
		case figure.Ratio:
			dst = append(dst, c.String()...)
		case float64:
			dst = strconv.AppendFloat(dst, c, 'f', -1, 64)
		case event.Day:
			dst = csvText(dst, c.String())
		case time.Time:
			if !c.IsZero() {
				dst = csvText(dst, c.UTC().Format(time.RFC3339Nano))
			}
		case nil:
		default:
			panic("web: no CSV form for this type")
		}
	}
	return append(dst, '\r', '\n')
}

func figuresCSV(d figure.Document) []byte {
	b := csvRow(nil, "figure", "title", "unit", "headline", "definition_version", "from", "to", "value", "cumulative_distinct", "events", "previous", "difference", "ratio")
	for _, f := range d.Figures {
		var diff, ratio any
		if f.Change != nil {
			diff, ratio = f.Change.Difference, f.Change.Ratio
		}
		b = csvRow(b, f.ID, f.Title, f.Unit, string(f.Headline), f.Version, f.Period.From, f.Period.To,
			f.Value, f.Cumulative, f.Events, f.Previous.Value, diff, ratio)
	}
	return b
}

// figureCSV gives the breakdown where there is one, and the days otherwise.
func figureCSV(f figure.Figure, labels map[string]string) []byte {
	if f.Breakdown == nil {
		b := csvRow(nil, "figure", "day", f.SeriesUnit)
		for _, p := range f.Series {
			b = csvRow(b, f.ID, p.Day, p.Value)
		}
		return b
	}
	b := csvRow(nil, "figure", "from", "to", "by", "key", "name", "value", "cumulative_distinct", "events", "breakdown")
	for _, r := range f.Breakdown.Rows {
		b = csvRow(b, f.ID, f.Period.From, f.Period.To, string(f.Breakdown.By), r.Key, labels[r.Key], r.Value, r.Cumulative, r.Events, string(f.Breakdown.Kind))
	}
	return b
}

var eventColumns = []any{
	"id", "time.source", "class", "classification.type", "classification.taxonomy", "classification.identifier", "malware.name",
	"severity", "marking", "feed", "report", "delivery", "row", "subject_role", "asset", "asn", "as_name", "country", "domain",
	"organisation", "organisation_name", "sector", "region",
	"source.ip", "source.port", "source.fqdn", "source.url", "source.account",
	"destination.ip", "destination.port", "destination.fqdn", "destination.url",
	"protocol.transport", "protocol.application", "delivery_name", "delivery_sha256",
}

func eventCSV(dst []byte, e *query.Event) []byte {
	end := func(x *event.End) (ip string, port any) {
		if x.IP.IsValid() {
			ip = x.IP.String()
		}
		if x.Port != 0 {
			port = int64(x.Port)
		}
		return ip, port
	}
	sip, sport := end(&e.Source)
	dip, dport := end(&e.Destination)
	var asn any
	if e.Note.ASN != 0 {
		asn = e.Note.ASN
	}
	return csvRow(dst,
		e.ID.String(), e.At(), e.Class().String(), e.Type.String(), taxonomy(e), e.Identifier, e.Family,
		e.Severity.String(), e.Marking.String(), e.Feed, e.Report, deliveryID(e.Delivery), e.Row, e.Subject.Role.String(), assetText(&e.Note.Asset),
		asn, e.ASName, e.Note.CC, e.Note.Domain, e.Note.Organisation, e.OrgName, e.Note.Sector, e.Note.Region,
		sip, sport, e.Source.FQDN, e.Source.URL, e.Source.Account,
		dip, dport, e.Destination.FQDN, e.Destination.URL,
		e.Transport, e.Application, e.DeliveryName, e.DeliverySHA)
}

func taxonomy(e *query.Event) string {
	if e.Taxonomy != "" {
		return e.Taxonomy
	}
	return e.Type.Taxonomy()
}

// assetText names an asset as it is counted: a /64 for IPv6.
func assetText(a *event.Asset) string {
	switch {
	case a.Kind == event.AssetNone:
		return ""
	case a.Name != "":
		return a.Name
	case a.Kind == event.AssetAddress:
		ip := event.KeyAddress(a.Key)
		if ip.Is4() {
			return ip.String()
		}
		return ip.String() + "/64"
	}
	return ""
}

func deliveriesCSV(ds []query.Delivery) []byte {
	b := csvRow(nil, "id", "feed", "format", "report", "name", "sha256", "size", "at", "by", "state", "received", "accepted", "duplicate", "quarantined", "outside_scope", "reason")
	for _, d := range ds {
		b = csvRow(b, d.ID, d.Feed, d.Format, d.Report, d.Name, d.SHA256, d.Size, d.At, d.By, string(d.State),
			d.Received, d.Accepted, d.Duplicate, d.Quarantined, d.Outside, d.Reason)
	}
	return b
}

func quarantineCSV(rows []query.Quarantined) []byte {
	b := csvRow(nil, "delivery", "feed", "name", "row", "reason", "detail", "raw")
	for _, q := range rows {
		b = csvRow(b, q.Delivery, q.Feed, q.Name, q.Row, q.Reason, q.Detail, q.Raw)
	}
	return b
}

func feedsCSV(fs []query.Feed) []byte {
	b := csvRow(nil, "feed", "format", "marking", "deliveries", "received", "accepted", "duplicate", "quarantined", "last", "schedule", "upstream")
	for _, f := range fs {
		b = csvRow(b, f.Name, f.Format, f.Marking, f.Deliveries, f.Received, f.Accepted, f.Duplicate, f.Quarantine, f.Last, f.Schedule, f.Upstream)
	}
	return b
}

func organisationsCSV(os []Organisation) []byte {
	b := csvRow(nil, "organisation", "name", "sector", "region", "country", "network", "contact")
	for _, o := range os {
		for _, n := range o.Networks {
			b = csvRow(b, o.ID, o.Name, o.Sector, o.Region, o.Country, n, o.Contact)
		}
		if len(o.Networks) == 0 {
			b = csvRow(b, o.ID, o.Name, o.Sector, o.Region, o.Country, "", o.Contact)
		}
	}
	return b
}

func formatsCSV(fs []Format) []byte {
	b := csvRow(nil, "format", "title", "spec", "report", "class", "classification.type", "subject", "role", "snapshot")
	for _, f := range fs {
		if len(f.Reports) == 0 {
			b = csvRow(b, f.Name, f.Title, f.Spec, "", "", "", "", "", "")
		}
		for _, r := range f.Reports {
			b = csvRow(b, f.Name, f.Title, f.Spec, r.Name, r.Class, r.Type, r.Subject, r.Role, strconv.FormatBool(r.Snapshot))
		}
	}
	return b
}
