package sim

import (
	"bytes"
	"cmp"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"
)

// reader is a slow, plain reader of deliveries and reference data: it judges
// the truth from outside, by the bytes alone.
type reader struct {
	prefixes []refPrefix
	orgNets  []refOrg
	domains  map[string]refOrg
	byAS     map[string]refOrg
	ids      map[string]bool
	counts   []DeliveryCount
	events   []readEvent
	memo     map[netip.Addr][2]any
}

type refPrefix struct {
	p       netip.Prefix
	asn, cc string
}

type refOrg struct {
	p                  netip.Prefix
	id, sector, region string
}

type readEvent struct {
	day          Day
	class, asset string
	dims         map[string]string
}

func newReader(prefixes, organisations []byte) (*reader, error) {
	r := &reader{domains: map[string]refOrg{}, byAS: map[string]refOrg{}, ids: map[string]bool{}, memo: map[netip.Addr][2]any{}}
	rows, err := csv.NewReader(bytes.NewReader(prefixes)).ReadAll()
	if err != nil {
		return nil, err
	}
	for _, c := range rows[1:] {
		p, err := netip.ParsePrefix(c[0])
		if err != nil || p != p.Masked() {
			return nil, fmt.Errorf("prefix %q: %w", c[0], err)
		}
		r.prefixes = append(r.prefixes, refPrefix{p, c[1], c[3]})
	}
	rows, err = csv.NewReader(bytes.NewReader(organisations)).ReadAll()
	if err != nil {
		return nil, err
	}
	for _, c := range rows[1:] {
		o := refOrg{id: c[0], sector: c[2], region: c[3]}
		switch {
		case strings.HasPrefix(c[4], "AS"):
			r.byAS[c[4][2:]] = o
		case strings.Contains(c[4], "/"):
			if o.p, err = netip.ParsePrefix(c[4]); err != nil || o.p != o.p.Masked() {
				return nil, fmt.Errorf("network %q: %w", c[4], err)
			}
			r.orgNets = append(r.orgNets, o)
		default:
			r.domains[c[4]] = o
		}
	}
	return r, nil
}

func (r *reader) lookup(a netip.Addr) (refPrefix, refOrg) {
	if v, ok := r.memo[a]; ok {
		return v[0].(refPrefix), v[1].(refOrg)
	}
	var best refPrefix
	for _, p := range r.prefixes {
		if p.p.Contains(a) && p.p.Bits() > best.p.Bits() {
			best = p
		}
	}
	var org refOrg
	for _, o := range r.orgNets {
		if o.p.Contains(a) && o.p.Bits() > org.p.Bits() {
			org = o
		}
	}
	if org.id == "" {
		org = r.byAS[best.asn]
	}
	r.memo[a] = [2]any{best, org}
	return best, org
}

// meaning is what a report type says of its rows.
type meaning struct{ class, typ, unit, subject string }

var meanings = map[string]meaning{
	"event4_sinkhole":                  {Infection, "infected-system", "address", "src_ip"},
	"event4_sinkhole_http":             {Infection, "infected-system", "address", "src_ip"},
	"event6_sinkhole_http":             {Infection, "infected-system", "address", "src_ip"},
	"event4_honeypot_brute_force":      {Attempt, "brute-force", "address", "src_ip"},
	"event4_honeypot_http_scan":        {Attempt, "scanner", "address", "src_ip"},
	"event4_honeypot_ddos_target":      {Victim, "ddos", "address", "dst_ip"},
	"event4_honeypot_ddos_amp":         {Victim, "ddos", "address", "src_ip"},
	"malware_url":                      {HackedSite, "malware-distribution", "site", "ip"},
	"compromised_website":              {HackedSite, "system-compromise", "site", "ip"},
	"scan_rdp":                         {Exposure, "vulnerable-system", "service", "ip"},
	"scan_telnet":                      {Exposure, "vulnerable-system", "service", "ip"},
	"scan_dns":                         {Exposure, "vulnerable-system", "service", "ip"},
	"scan_http_vulnerable":             {Exposure, "vulnerable-system", "service", "ip"},
	"scan_post_exploitation_framework": {Controller, "c2-server", "address", "ip"},
}

var classOfIDF = map[string]string{
	"infected-system": Infection, "c2-server": Controller, "brute-force": Attempt, "phishing": HackedSite, "system-compromise": HackedSite,
	"unauthorised-information-modification": HackedSite, "malware-distribution": HackedSite, "harmful-speech": Outside,
}

// identity are the columns that say what was seen, when and of whom.
var identity = []string{"timestamp", "protocol", "src_ip", "src_port", "dst_ip", "dst_port", "ip", "port", "url", "infection", "family"}

// read takes one delivery in.
func (r *reader) read(d *Delivery) error {
	n := DeliveryCount{Feed: d.Feed, Name: d.Name, Day: d.Day}
	note := func(e readEvent, id string, err error) {
		n.Received++
		switch {
		case err != nil:
			n.Quarantined++
		case r.ids[d.Feed+"|"+id]:
			n.Duplicate++
		default:
			r.ids[d.Feed+"|"+id] = true
			n.Accepted++
			if e.class == Outside {
				n.Outside++
			}
			e.dims[FeedName] = d.Feed
			e.dims[ReportType] = cmp.Or(d.Report, "idf")
			r.events = append(r.events, e)
		}
	}
	if d.Format == "idf" {
		for line := range bytes.Lines(d.Bytes) {
			note(r.idf(line))
		}
	} else {
		rows, broken, err := table(d)
		if err != nil {
			return err
		}
		for range broken {
			note(readEvent{}, "", errUnclosed)
		}
		for _, row := range rows[1:] {
			note(r.row(d, rows[0], row))
		}
	}
	r.counts = append(r.counts, n)
	return nil
}

var errUnclosed = errors.New("a quote that nobody closes")

// table reads a CSV file and says how many of its lines have a planted quote
// that nobody closes.
func table(d *Delivery) (rows [][]string, broken int, err error) {
	var good []byte
	for line := range bytes.Lines(d.Bytes) {
		if bytes.HasSuffix(bytes.TrimRight(line, "\r\n"), []byte(`,"gone`)) {
			broken++
		} else {
			good = append(good, line...)
		}
	}
	rows, err = csv.NewReader(bytes.NewReader(good)).ReadAll()
	return rows, broken, err
}

func (r *reader) row(d *Delivery, header, v []string) (e readEvent, id string, err error) {
	m, ok := meanings[d.Report]
	if !ok {
		return e, "", fmt.Errorf("report %q", d.Report)
	}
	get := func(column string) string {
		if i := slices.Index(header, column); i >= 0 {
			return v[i]
		}
		return ""
	}
	t, err := time.Parse("2006-01-02 15:04:05", get("timestamp"))
	if err != nil {
		return e, "", err
	}
	a, err := netip.ParseAddr(get(m.subject))
	if err != nil {
		return e, "", err
	}
	family := get("infection")
	if family == "" {
		family = get("family")
	}
	transport := get("protocol")
	e, err = r.event(t, m.class, m.typ, m.unit, a, get("port"), transport, get("url"), strings.ToLower(family))
	id = d.Report
	for _, c := range identity {
		id += "|" + get(c)
	}
	return e, id, err
}

func (r *reader) idf(line []byte) (e readEvent, id string, err error) {
	var v map[string]any
	if err := json.Unmarshal(line, &v); err != nil {
		return e, "", err
	}
	s := func(k string) string { x, _ := v[k].(string); return x }
	t, err := time.Parse(time.RFC3339, s("time.source"))
	if err != nil {
		return e, "", err
	}
	typ := s("classification.type")
	unit := "address"
	if classOfIDF[typ] == HackedSite {
		unit = "site"
	}
	var a netip.Addr
	if s("source.ip") != "" {
		if a, err = netip.ParseAddr(s("source.ip")); err != nil {
			return e, "", err
		}
	}
	for _, k := range []string{"time.observation", "feed.name", "feed.accuracy", "feed.provider", "comment", "source.asn", "source.geolocation.cc", "source.geolocation.city", "destination.asn"} {
		delete(v, k)
	}
	b, err := json.Marshal(v)
	if err != nil {
		return e, "", err
	}
	e, err = r.event(t, classOfIDF[typ], typ, unit, a, "", "", s("source.url"), s("malware.name"))
	return e, string(b), err
}

func (r *reader) event(t time.Time, class, typ, unit string, a netip.Addr, port, transport, page, family string) (readEvent, error) {
	if t.Year() < 2000 || t.Year() > 2099 {
		return readEvent{}, fmt.Errorf("time %s", t)
	}
	e := readEvent{day: DayOf(t), class: class, dims: map[string]string{Type: typ, Family: family}}
	var org refOrg
	if a.IsValid() {
		var p refPrefix
		p, org = r.lookup(a)
		e.dims[ASN], e.dims[CountryCode] = p.asn, p.cc
	}
	switch unit {
	case "site":
		u, err := url.Parse(page)
		if err != nil {
			return e, err
		}
		labels := strings.Split(strings.ToLower(u.Hostname()), ".")
		if labels[len(labels)-1] != "example" {
			e.asset = u.Hostname()
			break
		}
		e.asset = strings.Join(labels[len(labels)-2:], ".")
		if o, ok := r.domains[e.asset]; ok {
			org = o
		}
	case "service":
		e.asset = a.String() + " " + port + "/" + transport
	default:
		e.asset = a.String()
		if a.Is6() {
			p, err := a.Prefix(64)
			if err != nil {
				return e, err
			}
			e.asset = p.String()
		}
	}
	e.dims[Organisation], e.dims[Sector], e.dims[Region] = org.id, org.sector, org.region
	return e, nil
}

var _ Counts = (*reader)(nil)

// pick calls f for the events of a query.
func (r *reader) pick(q Query, f func(*readEvent)) {
	for i := range r.events {
		e := &r.events[i]
		if e.class == q.Class && e.day >= q.From && e.day <= q.To && len(q.Where) == 0 {
			f(e)
		}
	}
}

// tally counts with sets of names.
type tally struct {
	events int
	assets map[string]bool
	daily  []map[string]bool
}

func (t *tally) add(q Query, e *readEvent) {
	if t.assets == nil {
		t.assets = map[string]bool{}
		t.daily = make([]map[string]bool, q.To-q.From+1)
	}
	t.events++
	t.assets[e.asset] = true
	i := e.day - q.From
	if t.daily[i] == nil {
		t.daily[i] = map[string]bool{}
	}
	t.daily[i][e.asset] = true
}

func (t *tally) value() Value {
	v := Value{Distinct: len(t.assets), Events: t.events}
	for _, d := range t.daily {
		v.Daily = append(v.Daily, len(d))
	}
	return v
}

// Count implements [Counts].
func (r *reader) Count(q Query) (Value, error) {
	var t tally
	r.pick(q, func(e *readEvent) { t.add(q, e) })
	return t.value(), nil
}

// Breakdown implements [Counts].
func (r *reader) Breakdown(q Query, dim string) (map[string]Value, error) {
	by := map[string]*tally{}
	r.pick(q, func(e *readEvent) {
		k := e.dims[dim]
		if by[k] == nil {
			by[k] = &tally{}
		}
		by[k].add(q, e)
	})
	out := map[string]Value{}
	for k, t := range by {
		out[k] = t.value()
	}
	return out, nil
}
