package store

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"testing"
	"time"

	"tocsin/internal/event"
	"tocsin/internal/policy"
	"tocsin/internal/query"
)

// is makes a condition; a leading ! turns it round.
func is(d query.Dim, v string) query.Cond {
	if v != "" && v[0] == '!' {
		return query.Cond{Dim: d, Value: v[1:], Not: true}
	}
	return query.Cond{Dim: d, Value: v}
}

// asked are questions of every kind. Some words come late, some never.
var asked = []query.Count{
	{Class: event.ClassController, Where: []query.Cond{is(query.DimCountry, "XS")}},
	{Class: event.ClassController, Where: []query.Cond{is(query.DimCountry, "!XS")}},
	{Class: event.ClassController, Where: []query.Cond{is(query.DimCountry, "!XS"), is(query.DimCountry, "!QM"), is(query.DimFeed, "a")}},
	{Class: event.ClassSite, Where: []query.Cond{is(query.DimType, "phishing")}},
	{Class: event.ClassSite, Where: []query.Cond{is(query.DimType, "malware-distribution"), is(query.DimType, "application-compromise")}},
	{Class: event.ClassSite, Where: []query.Cond{is(query.DimSector, "government")}},
	{Class: event.ClassSite, Where: []query.Cond{is(query.DimSector, "!government"), is(query.DimType, "!phishing")}},
	{Class: event.ClassExposure, Where: []query.Cond{is(query.DimSector, "government")}},
	{Class: event.ClassExposure, Where: []query.Cond{is(query.DimCountry, "")}},
	{Class: event.ClassInfection, Where: []query.Cond{is(query.DimFamily, "mirai"), is(query.DimFamily, "emotet")}},
	{Class: event.ClassInfection, Where: []query.Cond{is(query.DimOrganisation, "newcomer")}},
	{Class: event.ClassInfection, Where: []query.Cond{is(query.DimOrganisation, "!newcomer"), is(query.DimASN, "64501")}},
	{Class: event.ClassInfection, Where: []query.Cond{is(query.DimFamily, "nobody's"), is(query.DimASN, "no number")}},
	{Class: event.ClassInfection, Where: []query.Cond{is(query.DimFamily, "!nobody's"), is(query.DimRegion, "north")}},
}

// past is a store, what was brought to it, and what can happen to it.
type past struct {
	t         *testing.T
	r         *rand.Rand
	dir       string
	s         *Store
	list      []*shipment
	standing  []query.Count
	reference uint32 // newest version of the reference data
	enriched  uint32 // version of the last reenrichment
}

// shipment is a delivery and how far it has come.
type shipment struct {
	seq     uint32
	feed    string
	version uint32
	parts   [][]event.Event
	next    int
	gone    bool
}

func (x *shipment) done() bool { return x.gone || x.next == len(x.parts) }

// note annotates an event as a version of the reference data does: the same
// address has other networks in another version.
func note(e *event.Event, version uint32) event.Annotation {
	ip := e.Source.IP.As16()
	h := event.Hash(fmt.Appendf(nil, "%v %d", ip[:8+8*(int(ip[10])/255)], version)).Lo
	n := event.Annotation{
		ASN: 64500 + uint32(h%3), CC: []string{"XS", "XS", "QM", ""}[h>>8%4], Sector: []string{"", "government", "isp"}[h>>16%3],
		Region: []string{"", "north"}[h>>24%2], Organisation: []string{"", "uni", "isp"}[h>>32%3],
	}
	if version > 1 && h>>40%2 == 0 {
		n.Organisation = "newcomer"
	}
	switch e.Subject.Asset {
	case event.AssetSite:
		n.Asset = event.NamedAsset(event.AssetSite, e.Source.FQDN)
	case event.AssetService:
		n.Asset = event.ServiceAsset(e.Source.IP, e.Source.Port, "tcp")
	default:
		n.Asset = event.AddressAsset(e.Source.IP)
	}
	return n
}

// event makes a random one: most are of a few days, some come late, and a few
// are of long before.
func (h *past) event(feed string) event.Event {
	r := h.r
	types := []string{"infected-system", "c2-server", "phishing", "malware-distribution", "application-compromise", "vulnerable-system", "harmful-speech"}
	e := event.Event{Report: "test", Type: event.MustType(types[r.IntN(len(types))]), Marking: event.Amber, Confidence: event.NoConfidence, Family: []string{"", "mirai", "emotet"}[r.IntN(3)]}
	d := day0 + event.Day(r.IntN(9))
	switch r.IntN(20) {
	case 0, 1, 2:
		d = day0 - event.Day(r.IntN(9))
	case 3:
		d = day0 - 400 + event.Day(r.IntN(3))
	}
	host := r.IntN(9)
	e.Source.IP = netip.AddrFrom4([4]byte{192, 0, 2, byte(host)})
	if r.IntN(4) == 0 {
		e.Source.IP = netip.MustParseAddr(fmt.Sprintf("2001:db8:0:%x::%x", host, r.IntN(3)))
	}
	e.Subject = event.Subject{Kind: event.SubjectAddress, Asset: event.AssetAddress, Role: event.RoleVictim}
	switch e.Type.String() {
	case "phishing", "malware-distribution", "application-compromise":
		e.Subject.Asset, e.Source.FQDN = event.AssetSite, fmt.Sprintf("site%d.example", r.IntN(4)) // in several networks
	case "vulnerable-system":
		e.Subject.Asset, e.Source.Port = event.AssetService, uint16(80+r.IntN(2))
	}
	e.ID = event.Hash(fmt.Appendf(nil, "%s|%d|%v|%s|%v|%s|%d|%d", feed, e.Type, d, e.Family, e.Source.IP, e.Source.FQDN, e.Source.Port, max(0, r.IntN(30)-27)))
	e.Time = int64(d)*dayMicros + int64(e.ID.Lo%dayMicros)
	return e
}

// arrive makes a delivery of which nothing is in yet.
func (h *past) arrive() {
	x := &shipment{seq: uint32(len(h.list) + 1), feed: []string{"a", "b", "c"}[h.r.IntN(3)], version: h.reference}
	for range 1 + h.r.IntN(3) {
		var list []event.Event
		for range 10 + h.r.IntN(40) {
			list = append(list, h.event(x.feed))
		}
		x.parts = append(x.parts, list)
	}
	if len(h.list) > 0 && h.r.IntN(3) == 0 { // the same again
		y := h.list[h.r.IntN(len(h.list))]
		x.feed, x.parts = y.feed, y.parts
	}
	h.list = append(h.list, x)
}

// part returns the next part of a delivery as the road would bring it.
func (h *past) part(x *shipment) *Part {
	p := &Part{Delivery: delivery(x.seq, x.feed), Enrichment: max(x.version, h.enriched), Index: x.next, Last: x.next == len(x.parts)-1, Rows: len(x.parts[x.next])}
	for i := range x.parts[x.next] {
		e := x.parts[x.next][i]
		e.Delivery, e.Row = x.seq, uint32(x.next*PartRows+i+1)
		p.Events, p.Notes = append(p.Events, e), append(p.Notes, note(&e, p.Enrichment))
	}
	x.next++
	return p
}

// again has deliveries that are partly in brought anew, from their first part.
func (h *past) again() {
	for _, x := range h.list {
		if !x.done() {
			x.next = 0
		}
	}
}

func (h *past) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *past) open() {
	cfg := DefaultConfig(h.dir)
	if h.r.IntN(2) == 0 { // old days are searched and not read
		cfg.CheapDay, cfg.Recent = -1<<40, 0
	}
	cfg.Recent = 1 << 14 // days are forgotten and read back
	var err error
	h.s, err = Open(h.t.Context(), slog.New(slog.DiscardHandler), cfg, Deps{Clock: func() time.Time { return time.Unix(1_790_000_000, 0) }, Standing: h.standing})
	h.must(err)
}

// step lets one thing happen, and says what.
func (h *past) step() string {
	ctx := h.t.Context()
	waiting := slices.DeleteFunc(slices.Clone(h.list), (*shipment).done)
	switch n := h.r.IntN(16); {
	case n < 8 || len(h.list) < 3: // parts of several deliveries, in one transaction
		if len(waiting) < 3 {
			h.arrive()
			waiting = append(waiting, h.list[len(h.list)-1])
		}
		var parts []*Part
		for range 1 + h.r.IntN(4) {
			if x := waiting[h.r.IntN(len(waiting))]; !x.done() {
				parts = append(parts, h.part(x))
			}
		}
		h.must(h.s.Load(ctx, parts...))
		return fmt.Sprintf("%d parts", len(parts))
	case n < 10:
		h.s.Close()
		h.open()
		h.again()
		return "open again"
	case n == 10:
		x := h.list[h.r.IntN(len(h.list))]
		if x.gone {
			return "nothing"
		}
		list, err := h.s.Withdraw(ctx, delivery(x.seq, x.feed))
		h.must(err)
		x.gone = true
		h.again()
		for _, seq := range list {
			y := h.list[seq-1]
			for y.next = 0; !y.done(); {
				h.must(h.s.Load(ctx, h.part(y)))
			}
		}
		h.must(h.s.Resight(ctx, "withdrawn", 0, nil, nil))
		return "withdraw"
	case n == 11, n == 13:
		h.reference += uint32(h.r.IntN(2))
		h.enriched = h.reference
		h.must(h.s.Resight(ctx, "new data", h.enriched, func(e *event.Event, n *event.Annotation) { *n = note(e, h.enriched) }, nil))
		h.again()
		return "reenrich"
	case n == 12:
		h.reference++
		return "new reference data"
	default:
		h.standing = nil
		for _, i := range h.r.Perm(len(asked))[:3+h.r.IntN(len(asked)-2)] {
			h.standing = append(h.standing, asked[i])
		}
		h.must(h.s.Stand(h.standing))
		return "other questions"
	}
}

// check compares the standing answers with counts from the tables.
func (h *past) check(what string) (assets int64) {
	h.t.Helper()
	ctx := h.t.Context()
	for i, q := range h.standing {
		q.Period = query.Period{From: day0 - 400, To: day0 + 9}
		if i%2 == 0 {
			q.Period.From = day0 - 9 + event.Day(h.r.IntN(18))
			q.Period.To = q.Period.From + event.Day(h.r.IntN(9))
		}
		q.Where = slices.Clone(q.Where)
		h.r.Shuffle(len(q.Where), func(i, j int) { q.Where[i], q.Where[j] = q.Where[j], q.Where[i] })
		if p := h.s.plan(policy.Local(), q, query.DimNone); p != PlanMarginals {
			h.t.Fatalf("%s: %+v is answered %s", what, q, p)
		}
		got, err := h.s.Count(ctx, policy.Local(), q)
		h.must(err)
		assets += got.Distinct
		for _, p := range []Plan{PlanRaw, PlanSightings} {
			want, err := h.s.CountBy(ctx, policy.Local(), q, p)
			h.must(err)
			if !reflect.DeepEqual(got, want) {
				h.t.Fatalf("%s: %d %v %v: standing\n%+v, %s\n%+v", what, q.Class, q.Where, q.Period, got, p, want)
			}
		}
	}
	return assets
}

// TestStanding lets things happen in a random order: after each, what is kept
// of the standing questions is what the tables say.
func TestStanding(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			t.Parallel()
			h := &past{t: t, r: rand.New(rand.NewPCG(seed, 11)), dir: t.TempDir(), standing: asked, reference: 1, enriched: 1}
			h.open()
			defer func() { h.s.Close() }()
			steps, assets := 30, int64(0)
			if testing.Short() {
				steps = 15
			}
			for i := range steps {
				assets += h.check(fmt.Sprintf("step %d, %s", i, h.step()))
			}
			if assets == 0 {
				t.Error("nothing was counted")
			}
		})
	}
}

// TestStandingMidway lets something happen between two parts of a delivery,
// whose first part is not brought again.
func TestStandingMidway(t *testing.T) {
	for _, tt := range []struct {
		name string
		do   func(h *past) error
	}{
		{"nothing", func(*past) error { return nil }},
		{"other questions", func(h *past) error { h.standing = asked; return h.s.Stand(asked) }},
		{"sightings made anew", func(h *past) error { return h.s.Resight(t.Context(), "test", 0, nil, nil) }},
		{"other annotations", func(h *past) error {
			h.enriched = 2
			return h.s.Resight(t.Context(), "test", 2, func(e *event.Event, n *event.Annotation) { *n = note(e, 2) }, nil)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := &past{t: t, r: rand.New(rand.NewPCG(12, 13)), dir: t.TempDir(), standing: asked[:3], reference: 1, enriched: 1}
			h.open()
			defer func() { h.s.Close() }()
			for len(h.list) < 4 {
				h.arrive()
			}
			for _, x := range h.list {
				h.must(h.s.Load(t.Context(), h.part(x)))
			}
			h.must(tt.do(h))
			h.check(tt.name)
			for _, x := range h.list {
				for !x.done() {
					h.must(h.s.Load(t.Context(), h.part(x)))
				}
				h.check(tt.name)
			}
		})
	}
}

// TestStandingQuestions holds what makes a question a standing one.
func TestStandingQuestions(t *testing.T) {
	s := open(t, t.TempDir())
	defer s.Close()
	q := query.Count{Period: query.Period{From: day0, To: day0}, Class: event.ClassSite, Where: []query.Cond{is(query.DimSector, "b"), is(query.DimSector, "a"), is(query.DimSector, "b")}}
	if _, err := s.CountBy(t.Context(), policy.Local(), q, PlanMarginals); err == nil {
		t.Error("a question that nobody registered is answered from marginals")
	}
	for range 2 {
		if err := s.Stand([]query.Count{q, {Class: event.ClassSite}, q}); err != nil || len(s.standing.list) != 1 {
			t.Fatal(s.standing.list, err)
		}
	}
	old := s.standing.list[0]
	if !slices.Equal(q.Where, []query.Cond{is(query.DimSector, "b"), is(query.DimSector, "a"), is(query.DimSector, "b")}) {
		t.Error("the caller's conditions were changed")
	}
	for _, tt := range []struct {
		name  string
		scope policy.Scope
		q     query.Count
		by    query.Dim
		want  Plan
	}{
		{"the same", policy.Local(), q, query.DimNone, PlanMarginals},
		{"in another order", policy.Local(), query.Count{Class: q.Class, Where: q.Where[:2]}, query.DimNone, PlanMarginals},
		{"one value", policy.Local(), query.Count{Class: q.Class, Where: q.Where[:1]}, query.DimNone, PlanSightings},
		{"turned round", policy.Local(), query.Count{Class: q.Class, Where: []query.Cond{is(query.DimSector, "!b"), is(query.DimSector, "a")}}, query.DimNone, PlanSightings},
		{"of another class", policy.Local(), query.Count{Class: event.ClassExposure, Where: q.Where}, query.DimNone, PlanSightings},
		{"broken down", policy.Local(), q, query.DimType, PlanSightings},
		{"as it was", policy.Local(), query.Count{Class: q.Class, Where: q.Where, Enrichment: 1}, query.DimNone, PlanSightings},
		{"for one organisation", policy.For("u", policy.Organisation, []string{"uni"}, nil, true), q, query.DimNone, PlanSightings},
		{"without conditions", policy.Local(), query.Count{Class: q.Class}, query.DimNone, PlanMarginals},
	} {
		if got := s.plan(tt.scope, tt.q, tt.by); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
	many := []query.Count{q}
	for i := range maxStanding {
		many = append(many, query.Count{Class: q.Class, Where: []query.Cond{is(query.DimASN, strconv.Itoa(i))}})
	}
	for _, bad := range [][]query.Count{
		many,
		{{Class: q.Class, Where: []query.Cond{is(query.DimReport, "x")}}},
		{{Class: q.Class, Where: []query.Cond{{Value: "x"}}}},
		{{Class: event.Classes, Where: q.Where}},
	} {
		if err := s.Stand(bad); err == nil || len(s.standing.list) != 1 || s.standing.list[0] != old {
			t.Errorf("%d questions: %v", len(bad), err)
		}
	}
	if err := s.Stand(many[1:]); err != nil || s.plan(policy.Local(), q, query.DimNone) != PlanSightings {
		t.Error("the old question stands on", err)
	}
}

// TestStandingCost loads what no question is about: nothing is allocated for
// the questions.
func TestStandingCost(t *testing.T) {
	s := open(t, t.TempDir())
	defer s.Close()
	if err := s.Stand(asked[:2]); err != nil {
		t.Fatal(err)
	}
	fresh := make([]sighting, 1000)
	for i := range fresh {
		fresh[i] = sighting{class: event.ClassInfection, day: day0, asset: event.ID{Lo: uint64(i + 1)}}
	}
	if n := testing.AllocsPerRun(10, func() {
		if err := s.stand(1, fresh); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
