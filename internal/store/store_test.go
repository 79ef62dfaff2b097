package store

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"testing"
	"time"

	"tocsin/internal/event"
	"tocsin/internal/policy"
	"tocsin/internal/query"
)

var day0 = event.DayFrom(time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC))

func open(t testing.TB, dir string) *Store {
	t.Helper()
	return openAs(t, dir, func(*Config) {})
}

// openAs opens a store with other settings.
func openAs(t testing.TB, dir string, set func(*Config)) *Store {
	t.Helper()
	cfg := DefaultConfig(dir)
	set(&cfg)
	s, err := Open(t.Context(), slog.New(slog.DiscardHandler), cfg, Deps{Clock: func() time.Time { return time.Unix(1_790_000_000, 0) }})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// world makes random events of a small country, in which days, assets,
// families and feeds collide often.
type world struct{ r *rand.Rand }

func (w world) event(delivery, row uint32) (event.Event, event.Annotation) {
	r := w.r
	types := []string{"infected-system", "c2-server", "phishing", "vulnerable-system", "brute-force", "harmful-speech", "other"}
	e := event.Event{
		Delivery: delivery, Row: row, Report: "test", Type: event.MustType(types[r.IntN(len(types))]),
		Time: int64(day0+event.Day(r.IntN(9)))*dayMicros + r.Int64N(dayMicros), Marking: event.Amber, Confidence: event.NoConfidence,
		Family: []string{"", "mirai", "emotet"}[r.IntN(3)], Identifier: []string{"", "open-rdp"}[r.IntN(2)],
	}
	host := r.IntN(12)
	e.Source.IP = netip.AddrFrom4([4]byte{192, 0, 2, byte(host)})
	if r.IntN(5) == 0 {
		e.Source.IP = netip.MustParseAddr(fmt.Sprintf("2001:db8:0:%x::%x", host, r.IntN(3)))
	}
	e.Subject = event.Subject{Kind: event.SubjectAddress, Asset: event.AssetAddress, Role: event.RoleVictim}
	n := event.Annotation{Asset: event.AddressAsset(e.Source.IP), ASN: uint32(64500 + host%3), CC: []string{"XS", "QM"}[host%2], Organisation: []string{"", "uni", "isp"}[host%3], Sector: []string{"", "government"}[host%2]}
	switch e.Type {
	case event.MustType("phishing"):
		e.Subject.Asset = event.AssetSite
		n.Asset = event.NamedAsset(event.AssetSite, fmt.Sprintf("site%d.example", host%4)) // moves between networks
	case event.MustType("brute-force"):
		e.Subject.Role = event.RoleOffender
	}
	e.ID = event.Hash(fmt.Appendf(nil, "%d|%v|%s|%v|%s", e.Type, e.Day(), e.Family, e.Source.IP, e.Identifier))
	if r.IntN(10) == 0 { // another observation of the same
		e.ID = event.Hash(fmt.Appendf(nil, "%v", r.Uint64()))
	}
	// Equal ids must be equal events: the time follows from the id.
	e.Time = int64(e.Day())*dayMicros + int64(e.ID.Lo%dayMicros)
	return e, n
}

func delivery(seq uint32, feed string) *query.Delivery {
	return &query.Delivery{Seq: seq, ID: fmt.Sprintf("d%d", seq), Feed: feed, Format: "test", Name: fmt.Sprintf("file%d.csv", seq), At: time.Unix(1_790_000_000, 0), By: "test"}
}

// parts makes a delivery of n parts; the events' ids depend on the feed.
func (w world) parts(seq uint32, feed string, n, rows int) []*Part {
	var out []*Part
	for i := range n {
		p := &Part{Delivery: delivery(seq, feed), Enrichment: 1, Index: i, Last: i == n-1, Rows: rows + 1}
		for j := range rows {
			e, a := w.event(seq, uint32(i*PartRows+j+1))
			e.ID = event.Hash(fmt.Appendf(nil, "%s|%v", feed, e.ID))
			p.Events, p.Notes = append(p.Events, e), append(p.Notes, a)
		}
		p.Bad = []query.Quarantined{{Row: uint32(i*PartRows + rows + 1), Reason: "time", Detail: "no time", Raw: "x,\xff"}}
		out = append(out, p)
	}
	return out
}

func clone(p *Part) *Part {
	q := *p
	q.Events, q.Notes, q.Bad = slices.Clone(p.Events), slices.Clone(p.Notes), slices.Clone(p.Bad)
	return &q
}

// questions asks everything by every plan, and fails where plans differ. It
// returns the answers.
func questions(t *testing.T, s *Store, scope policy.Scope) map[string]any {
	t.Helper()
	ctx := t.Context()
	out := map[string]any{}
	norm := func(gs []query.Group) map[string]query.Value {
		m := map[string]query.Value{}
		for _, g := range gs {
			m[g.Key] = g.Value
		}
		return m
	}
	conds := [][]query.Cond{
		nil,
		{{Dim: query.DimASN, Value: "64500"}},
		{{Dim: query.DimCountry, Value: "XS", Not: true}},
		{{Dim: query.DimFamily, Value: "mirai"}},
		{{Dim: query.DimFamily, Value: "mirai"}, {Dim: query.DimFamily, Value: "emotet"}},
		{{Dim: query.DimFeed, Value: "a"}, {Dim: query.DimSector, Value: ""}},
		{{Dim: query.DimOrganisation, Value: "nobody"}},
	}
	for _, c := range []event.Class{event.ClassInfection, event.ClassSite} {
		for _, p := range []query.Period{{From: day0, To: day0 + 8}, {From: day0 + 2, To: day0 + 5}} {
			for i, w := range conds {
				q := query.Count{Period: p, Class: c, Where: w}
				key := fmt.Sprintf("%v %v %d", c, p, i)
				raw, err := s.CountBy(ctx, scope, q, PlanRaw)
				if err != nil {
					t.Fatal(err)
				}
				got, err := s.Count(ctx, scope, q)
				if err != nil || !reflect.DeepEqual(got, raw) {
					t.Fatalf("%s: %+v by %s, %+v from rows (%v)", key, got, s.plan(scope, q, query.DimNone), raw, err)
				}
				out[key] = got
				if i != 0 && i != 4 {
					continue
				}
				for _, by := range query.Dims {
					raw, err := s.BreakdownBy(ctx, scope, q, by, PlanRaw)
					if err != nil {
						t.Fatal(err)
					}
					got, err := s.Breakdown(ctx, scope, q, by)
					if err != nil || !reflect.DeepEqual(norm(got), norm(raw)) {
						t.Fatalf("%s by %s: %+v, from rows %+v (%v)", key, by, got, raw, err)
					}
					out[key+string(by)] = norm(got)
				}
			}
		}
	}
	return out
}

// TestOrder loads the same deliveries in several orders, whole and in parts,
// with some loaded again: every answer is the same, by every plan.
func TestOrder(t *testing.T) {
	var want map[string]any
	cuts := 0
	for seed := range uint64(5) {
		w := world{rand.New(rand.NewPCG(1, 2))}
		var all [][]*Part
		for i := range uint32(8) {
			all = append(all, w.parts(i+1, []string{"a", "b"}[i%2], 1+int(i%3), 60))
		}
		r := rand.New(rand.NewPCG(seed, 9))
		if seed > 0 {
			r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		}
		dir := t.TempDir()
		set := func(c *Config) {
			c.Transaction = []int{RowGroup, 7, RowGroup, 40, 1}[seed]
			if seed%2 == 1 { // old days are searched; or read, where there is room
				c.CheapDay, c.Recent = -1<<40, []int{1 << 20, 0}[seed/2]
			}
		}
		s := openAs(t, dir, set)
		received := int64(0)
		for _, d := range all {
			for i, p := range d {
				if seed == 3 && r.IntN(2) == 0 { // stop where the first transaction is full
					one := clone(p)
					more, err := s.LoadFrom(t.Context(), func() (p *Part) { p, one = one, nil; return p })
					if err != nil {
						t.Fatal(err)
					}
					if more {
						cuts++
						questions(t, s, policy.Local()) // nobody sees half of it
						s.Close()
						s = openAs(t, dir, set)
						for _, q := range d[:i] {
							if err := s.Load(t.Context(), clone(q)); err != nil {
								t.Fatal(err)
							}
						}
					}
				}
				if err := s.Load(t.Context(), clone(p)); err != nil {
					t.Fatal(err)
				}
				received += int64(p.Rows)
				if seed == 2 && r.IntN(3) == 0 { // stop in the middle of a delivery
					s.Close()
					s = openAs(t, dir, set)
					for _, q := range d[:p.Index+1] {
						if err := s.Load(t.Context(), clone(q)); err != nil {
							t.Fatal(err)
						}
					}
				}
			}
		}
		got := questions(t, s, policy.Local())
		if want == nil {
			want = got
		} else if !reflect.DeepEqual(got, want) {
			t.Fatalf("order %d gives other answers", seed)
		}
		list, _, err := s.Deliveries(t.Context(), DeliveryFilter{})
		if err != nil || len(list) != 8 {
			t.Fatal(len(list), err)
		}
		for _, d := range list {
			received -= d.Received
			if d.Accepted+d.Duplicate+d.Quarantined != d.Received || d.Quarantined == 0 {
				t.Errorf("%+v does not add up", d)
			}
		}
		if received != 0 {
			t.Errorf("%d rows unaccounted for", received)
		}
		if seed > 0 {
			s.Close()
			continue
		}
		// A scope that sees one organisation sees less, and the same by every plan.
		org := questions(t, s, policy.For("u", policy.Organisation, []string{"uni"}, nil, true))
		if reflect.DeepEqual(org, got) {
			t.Error("an organisation sees everything")
		}
		s.Close()
		s = open(t, dir)
		if again := questions(t, s, policy.Local()); !reflect.DeepEqual(again, want) {
			t.Error("opened again, the answers differ")
		}
		if err := s.Resight(t.Context(), "test", 0, nil, nil); err != nil {
			t.Fatal(err)
		}
		if again := questions(t, s, policy.Local()); !reflect.DeepEqual(again, want) {
			t.Error("with sightings made anew, the answers differ")
		}
		s.Close()
	}
	if cuts == 0 {
		t.Error("no part was cut")
	}
}

// TestWithdraw takes a delivery back: the answers are those of a store that
// never had it.
func TestWithdraw(t *testing.T) {
	make8 := func() [][]*Part {
		w := world{rand.New(rand.NewPCG(3, 4))}
		var all [][]*Part
		for i := range uint32(5) {
			all = append(all, w.parts(i+1, "a", 1+int(i%2), 60))
		}
		return all
	}
	load := func(s *Store, d []*Part) {
		for _, p := range d {
			if err := s.Load(t.Context(), clone(p)); err != nil {
				t.Fatal(err)
			}
		}
	}
	with, without := open(t, t.TempDir()), open(t, t.TempDir())
	defer with.Close()
	defer without.Close()
	for i, d := range make8() {
		load(with, d)
		if i != 1 {
			load(without, d)
		}
	}
	d := delivery(2, "a")
	d.Reason = "wrong file"
	again, err := with.Withdraw(t.Context(), d)
	if err != nil || len(again) == 0 {
		t.Fatal(again, err)
	}
	for _, seq := range again {
		load(with, make8()[seq-1])
	}
	if err := with.Resight(t.Context(), "withdrawn", 0, nil, nil); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(questions(t, with, policy.Local()), questions(t, without, policy.Local())) {
		t.Error("the withdrawn delivery still counts")
	}
	list, _, err := with.Deliveries(t.Context(), DeliveryFilter{State: query.StateWithdrawn})
	if err != nil || len(list) != 1 || list[0].Reason != "wrong file" || list[0].Received == 0 {
		t.Error(list, err)
	}
}

// TestReenrich appends a version of the annotations.
func TestReenrich(t *testing.T) {
	w := world{rand.New(rand.NewPCG(5, 6))}
	s := open(t, t.TempDir())
	defer s.Close()
	for i := range uint32(3) {
		for _, p := range w.parts(i+1, "a", 1, 80) {
			if err := s.Load(t.Context(), p); err != nil {
				t.Fatal(err)
			}
		}
	}
	q := query.Count{Period: query.Period{From: day0, To: day0 + 8}, Class: event.ClassInfection, Where: []query.Cond{{Dim: query.DimOrganisation, Value: "new"}}}
	before := query.Count{Period: q.Period, Class: q.Class, Where: []query.Cond{{Dim: query.DimOrganisation, Value: "uni"}}}
	was, err := s.Count(t.Context(), policy.Local(), before)
	if err != nil || was.Distinct == 0 {
		t.Fatal(was, err)
	}
	if err := s.Resight(t.Context(), "a new list", 2, func(_ *event.Event, n *event.Annotation) {
		*n = event.Annotation{ASN: 64999, Organisation: "new", CC: "XS"}
	}, nil); err != nil {
		t.Fatal(err)
	}
	questions(t, s, policy.Local())
	if now, err := s.Count(t.Context(), policy.Local(), before); err != nil || now.Distinct != 0 {
		t.Error("the old organisation still has", now, err)
	}
	for _, p := range w.parts(9, "a", 1, 80) { // comes later: no part of what was
		if err := s.Load(t.Context(), p); err != nil {
			t.Fatal(err)
		}
	}
	before.Enrichment = 1
	if then, err := s.Count(t.Context(), policy.Local(), before); err != nil || !reflect.DeepEqual(then, was) {
		t.Errorf("under version 1 it was %+v, and is now said to have been %+v (%v)", was, then, err)
	}
	v, err := s.Count(t.Context(), policy.Local(), q)
	if err != nil || v.Distinct == 0 || v.Events == 0 {
		t.Error(v, err)
	}
	list, n, err := s.Events(t.Context(), policy.Local(), query.Events{Period: q.Period, Where: q.Where})
	if err != nil || n == 0 || n >= s.marg.eventsAll() || list[0].Note.ASN != 64999 {
		t.Error(n, err)
	}
}

func (m *marginals) eventsAll() int64 { n, _ := m.totals(); return n }

// TestEvents reads back what was loaded, field by field.
func TestEvents(t *testing.T) {
	s := open(t, t.TempDir())
	defer s.Close()
	w := world{rand.New(rand.NewPCG(7, 8))}
	parts := w.parts(1, "a", 1, 50)
	e := &parts[0].Events[0]
	end := event.End{IP: netip.MustParseAddr("2001:db8::1"), Port: 65535, ASN: 4200000000, CC: "XS", Region: "ÉAST", City: "c", FQDN: "a.example", ReverseDNS: "r.example", URL: "http://a.example/" + string(make([]byte, 300)), Account: "x@y", Network: "192.0.2.0/24"}
	e.Source, e.Destination = end, end
	e.Destination.IP = netip.MustParseAddr("198.51.100.7")
	e.Observed, e.Taxonomy, e.Severity, e.Confidence = e.Time+1, "other", event.SeverityHigh, 80
	e.Transport, e.Application, e.ProductVendor, e.ProductName, e.ProductVersion, e.Vulnerabilities = "tcp", "http", "v", "n", "1", "CVE-2026-1"
	e.Extra = []byte(`{"extra.x":"` + string(slices.Repeat([]byte("y"), 5000)) + `"}`)
	e.Subject.Organisation, e.Subject.Side, e.Subject.Peer = "Org", event.SideDestination, event.RoleSinkhole
	want := *e
	if err := s.Load(t.Context(), parts[0]); err != nil {
		t.Fatal(err)
	}
	got, err := s.Event(t.Context(), policy.Local(), 1, 1)
	if err != nil || !reflect.DeepEqual(got.Event, want) {
		t.Errorf("got %+v\nwant %+v (%v)", got.Event, want, err)
	}
	if _, err := s.Event(t.Context(), policy.For("u", policy.Organisation, []string{"nobody"}, nil, true), 1, 1); err == nil {
		t.Error("a stranger reads it")
	}
	n := 0
	for _, err := range s.EventsSeq(context.Background(), policy.Local(), query.Events{}) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	if total, _ := s.Totals(); int64(n) != total {
		t.Errorf("%d of %d events in sequence", n, total)
	}
}

// TestDuplicateAnnotations loads an event, and again under other reference
// data: what counts is the row that is in the table.
func TestDuplicateAnnotations(t *testing.T) {
	w := world{rand.New(rand.NewPCG(9, 10))}
	s := open(t, t.TempDir())
	defer s.Close()
	first := w.parts(1, "a", 2, 60)
	load := func(parts ...*Part) {
		t.Helper()
		for _, p := range parts {
			if err := s.Load(t.Context(), clone(p)); err != nil {
				t.Fatal(err)
			}
		}
	}
	load(first...)
	again := w.parts(2, "a", 2, 0)
	for i, p := range again {
		p.Enrichment, p.Rows, p.Bad = 2, len(first[i].Events), nil
		p.Events, p.Notes = slices.Clone(first[i].Events), slices.Clone(first[i].Notes)
		for j := range p.Events {
			p.Events[j].Delivery, p.Notes[j].ASN, p.Notes[j].Organisation = 2, 64501, "another"
		}
	}
	load(again...)
	questions(t, s, policy.Local())
}

// TestLastSecond loads an event of the last half second of a day: by every plan
// it counts on that day.
func TestLastSecond(t *testing.T) {
	w := world{rand.New(rand.NewPCG(1, 1))}
	s := open(t, t.TempDir())
	defer s.Close()
	e, n := w.event(1, 1)
	e.Type, e.Time = event.MustType("infected-system"), int64(day0+1)*dayMicros-100_000
	if err := s.Load(t.Context(), &Part{Delivery: delivery(1, "a"), Enrichment: 1, Last: true, Rows: 1, Events: []event.Event{e}, Notes: []event.Annotation{n}}); err != nil {
		t.Fatal(err)
	}
	q := query.Count{Class: e.Class(), Period: query.Period{From: day0, To: day0 + 1}}
	for _, again := range []bool{false, true} {
		for _, p := range []Plan{PlanMarginals, PlanSightings, PlanRaw} {
			v, err := s.CountBy(t.Context(), policy.Local(), q, p)
			if err != nil || v.DailyEvents[0] != 1 || v.DailyEvents[1] != 0 || v.Daily[0] != v.Distinct {
				t.Errorf("%s: %+v %v", p, v, err)
			}
		}
		if !again {
			if err := s.Resight(t.Context(), "test", 0, nil, nil); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestRefuseMidway refuses a delivery of which a part is in: the answers are
// those of a store that never had it.
func TestRefuseMidway(t *testing.T) {
	make3 := func() [][]*Part {
		w := world{rand.New(rand.NewPCG(7, 8))}
		return [][]*Part{w.parts(1, "a", 2, 60), w.parts(2, "a", 2, 60), w.parts(3, "a", 2, 60)}
	}
	load := func(s *Store, parts []*Part) {
		for _, p := range parts {
			if err := s.Load(t.Context(), clone(p)); err != nil {
				t.Fatal(err)
			}
		}
	}
	with, without := open(t, t.TempDir()), open(t, t.TempDir())
	defer func() { with.Close() }()
	defer without.Close()
	load(with, make3()[0][:1])
	load(with, make3()[1])     // complete, with duplicates of the first
	load(with, make3()[2][:1]) // not complete
	d := delivery(1, "a")
	d.Reason = "unreadable: in the middle"
	if restart, err := with.Refuse(t.Context(), d); err != nil || !restart {
		t.Fatal(restart, err)
	}
	for i := range 2 {
		if with.Complete(uint32(i + 2)) {
			t.Errorf("delivery %d is not loaded again", i+2)
		}
		load(with, make3()[i+1])
		load(without, make3()[i+1])
	}
	if !with.Dirty() {
		t.Error("events were taken out, and the sightings are not made anew")
	}
	if err := with.Resight(t.Context(), "refused", 0, nil, nil); err != nil {
		t.Fatal(err)
	}
	want := questions(t, without, policy.Local())
	if !reflect.DeepEqual(questions(t, with, policy.Local()), want) {
		t.Error("the refused delivery still counts")
	}
	with.Close()
	with = open(t, with.cfg.Dir)
	if !reflect.DeepEqual(questions(t, with, policy.Local()), want) {
		t.Error("opened again, the refused delivery counts")
	}
	list, _, err := with.Deliveries(t.Context(), DeliveryFilter{State: query.StateRefused})
	if err != nil || len(list) != 1 || list[0].Reason != d.Reason || list[0].Received != 0 {
		t.Error(list, err)
	}
}

// TestEventsSlices reads days that are sorted in several slices.
func TestEventsSlices(t *testing.T) {
	s := open(t, t.TempDir())
	defer s.Close()
	want := 0
	for seq := uint32(4); seq > 0; seq-- {
		p := sinkhole(seq, 20_000)
		want += len(p.Events)
		if err := s.Load(t.Context(), p); err != nil {
			t.Fatal(err)
		}
	}
	s.cfg.Memory = 1 << 20 // so that slices are small
	n, last := 0, event.Event{}
	for e, err := range s.EventsSeq(t.Context(), policy.Local(), query.Events{}) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Time < last.Time || e.Time == last.Time && (e.Delivery < last.Delivery || e.Delivery == last.Delivery && e.Row <= last.Row) {
			t.Fatalf("event %d: d%d/%d at %d comes after d%d/%d at %d", n, e.Delivery, e.Row, e.Time, last.Delivery, last.Row, last.Time)
		}
		n, last = n+1, e.Event
	}
	if n != want || s.marg.events(day0+1) <= sliceRows(s.cfg) {
		t.Errorf("%d events of %d, %d of one day", n, want, s.marg.events(day0+1))
	}
}
