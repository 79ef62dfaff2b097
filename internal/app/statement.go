package app

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/sync/semaphore"

	"tocsin/internal/estimate"
	"tocsin/internal/event"
	"tocsin/internal/figure"
	"tocsin/internal/loss"
	"tocsin/internal/policy"
	"tocsin/internal/query"
	"tocsin/internal/refdata"
	"tocsin/internal/store"
)

// national is what records are made of, with the store and the reference data
// of the moment.
type national struct {
	counts

	home  string
	facts *refdata.Facts
}

var _ figure.Source = national{}

func (a *App) national() (national, error) {
	home, _ := a.reg.Home()
	facts, err := a.Facts()
	return national{counts{a}, home, facts}, err
}

func (n national) Covered(ctx context.Context, s policy.Scope, classes []event.Class, p query.Period) (query.Coverage, error) {
	return n.app.Coverage(ctx, s, classes, p)
}

func (n national) Sole(ctx context.Context, s policy.Scope, q query.Sole) (m map[string]int64, err error) {
	err = n.app.read(ctx, func(st *store.Store) error { m, err = st.Sole(ctx, s, q); return err })
	return m, err
}

func (n national) Matched(ctx context.Context, s policy.Scope, q query.Matched) (list []query.Cluster, err error) {
	err = n.app.read(ctx, func(st *store.Store) error { list, err = st.Matched(ctx, s, q); return err })
	return list, err
}

// Controlled asks the tables of the version that each event was annotated with
// where its controller is.
func (n national) Controlled(ctx context.Context, s policy.Scope, q query.Control) (c query.Controlled, err error) {
	tables := map[uint32]*refdata.Tables{}
	var lost error
	locate := func(a netip.Addr, version uint32) query.Place {
		t, ok := tables[version]
		if !ok {
			e, err := n.app.data.of(version)
			if err != nil {
				lost = fmt.Errorf("reference data of version %d: %w", version, err)
				return query.Place{}
			}
			t = e.Tables()
			tables[version] = t
		}
		return place(n.home, t.Country(a), t.Registered(a))
	}
	err = n.app.read(ctx, func(st *store.Store) error { c, err = st.Controlled(ctx, s, q, locate); return err })
	if err == nil {
		err = lost
	}
	return c, err
}

// place says on which side of the border an address is that is located in one
// country and registered in another.
func place(home, located, registered string) query.Place {
	p := query.Place{CC: located, Side: query.SideUndetermined}
	switch {
	case located == "" && registered == "":
		p.Side = query.SideUnknown
	case located == "" || registered == "":
	case located == home && registered == home:
		p.Side = query.SideHome
	case located != home && registered != home:
		p.Side = query.SideAbroad
	}
	return p
}

func (n national) Sightings(ctx context.Context, s policy.Scope, q query.Count, f func([]query.Seen)) error {
	var all [][]query.Seen // the store may have to be asked again, and f cannot take back what it was given
	err := n.app.read(ctx, func(st *store.Store) error {
		all = nil
		return st.Sightings(ctx, s, q, func(list []query.Seen) { all = append(all, append([]query.Seen(nil), list...)) })
	})
	if err != nil {
		return err
	}
	for _, list := range all {
		f(list)
	}
	return nil
}

func (n national) Episodes(ctx context.Context, s policy.Scope, q query.Episodes) (c figure.EpisodeCounts, err error) {
	err = n.app.read(ctx, func(st *store.Store) (err error) {
		if c.Covering, c.Begun, c.Uncounted, c.Closed, err = st.EpisodeDays(ctx, s, q); err != nil {
			return err
		}
		list, err := st.Sensitivity(ctx, s, q.Classes[0], q.Period, q.Where)
		for _, x := range list {
			t := figure.EpisodeTotals{Covering: x.Prevalence, Begun: x.Starts}
			switch {
			case x.Factor < 1:
				c.Half = t
			case x.Factor > 1:
				c.Double = t
			}
		}
		c.Known = err == nil
		return err
	})
	return c, err
}

func (n national) Spells(ctx context.Context, s policy.Scope, q query.Episodes) (sp figure.Spells, err error) {
	err = n.app.read(ctx, func(st *store.Store) error {
		sp = figure.Spells{}
		return st.Spells(ctx, s, q, func(kind event.AssetKind, asn uint32, entry, last, clean int) {
			if kind == event.AssetAddress || kind == event.AssetService {
				if x, ok := n.facts.Network(asn); !ok || x.Assignment != "static" {
					sp.Others++
					return
				}
			}
			sp.Stable++
			x := estimate.Spell{Entry: float64(entry), After: float64(last), Until: math.Inf(1)}
			if clean > 0 {
				x.Until = float64(clean)
			}
			sp.List = append(sp.List, x)
		})
	})
	return sp, err
}

func (n national) Network(asn uint32) figure.Network {
	x, ok := n.facts.Network(asn)
	if !ok {
		return figure.Network{}
	}
	durations := func(list []refdata.Lease) []estimate.Duration {
		out := make([]estimate.Duration, len(list))
		for i, l := range list {
			out[i] = estimate.Duration(l)
		}
		return out
	}
	main, plausible := n.facts.Leases(asn)
	f := figure.Network{Known: true, Pool: float64(x.Pool), Static: x.Assignment == "static", Shared: x.Shared, Leases: durations(main)}
	for _, t := range plausible {
		f.Plausible = append(f.Plausible, durations(t))
	}
	return f
}

func (n national) AllUsers() float64 { return n.facts.AllUsers() }

func (n national) Users(asn uint32) (float64, bool) { return n.facts.Users(asn) }

// statements keeps the statements made last: one takes longer than a page.
type statements struct {
	turn *semaphore.Weighted // held while one is made: one at a time, and who has hung up does not wait
	kept map[asked]keptStatement
}

func newStatements() statements { return statements{turn: semaphore.NewWeighted(1)} }

type asked struct {
	query.Period

	enrichment uint32
}

type keptStatement struct {
	figure.Statement

	of   moment
	made time.Time
	took time.Duration
}

// moment is all that a statement can depend on: it is the same where nothing
// has changed.
type moment struct {
	line    uint64 // of the journal
	tick    int64  // of the store
	pending int64  // sightings that are in no episode yet
}

// The bounds of what is kept.
const (
	statementsKept = 32
	statementRest  = 10 // while deliveries are loaded, one serves ten times as long as it took to make
)

func (a *App) moment(ctx context.Context) (m moment, err error) {
	m.line = a.arch.Last()
	err = a.read(ctx, func(st *store.Store) error {
		m.tick = st.Tick()
		m.pending, _ = st.Pending()
		return nil
	})
	return m, err
}

// Statement implements [web.Backend].
func (a *App) Statement(ctx context.Context, s policy.Scope, p figure.Params) (figure.Statement, error) {
	if !s.All() {
		return figure.Statement{}, fmt.Errorf("the statement is about the whole country: %w", query.ErrNotFound)
	}
	key := asked{p.Period, p.Enrichment}
	k := &a.statements
	if err := k.turn.Acquire(ctx, 1); err != nil {
		return figure.Statement{}, err
	}
	defer k.turn.Release(1)
	now, err := a.moment(ctx)
	if err != nil {
		return figure.Statement{}, err
	}
	if x, ok := k.kept[key]; ok && (x.of == now || !a.road.resting() && a.clock().Sub(x.made) < statementRest*x.took) {
		return x.Statement, nil
	}
	began := a.clock()
	st, err := a.state(ctx, s, p)
	if err != nil {
		return st, err
	}
	if from := a.reg.Simulation(); st.Simulated && from != "" && a.truth != nil {
		st.Reveal(a.truth(from, p.Period))
	}
	if len(k.kept) >= statementsKept || k.kept == nil {
		k.kept = map[asked]keptStatement{}
	}
	k.kept[key] = keptStatement{st, now, a.clock(), a.clock().Sub(began)}
	return st, nil
}

// state makes the statement of a period, without what is known of a simulated
// country otherwise.
func (a *App) state(ctx context.Context, s policy.Scope, p figure.Params) (figure.Statement, error) {
	code, name := a.reg.Home()
	if name == "" {
		name = countryName(code)
	}
	src, p, err := a.nationalParams(ctx, p)
	if err != nil {
		return figure.Statement{}, err
	}
	x := figure.Extra{HomeName: name, Simulated: a.reg.Simulated()}
	report, err := a.Loss(ctx, s, p.Period)
	if err != nil {
		return figure.Statement{}, err
	}
	x.Loss = lossSummary(&report)
	return figure.MakeStatement(ctx, src, s, p, x)
}

func (a *App) nationalParams(ctx context.Context, p figure.Params) (national, figure.Params, error) {
	p.Home, _ = a.reg.Home()
	if err := a.since(ctx, &p); err != nil {
		return national{}, p, err
	}
	src, err := a.national()
	return src, p, err
}

// estimates gives the loss page the records that are no counted figure.
func (a *App) estimates(ctx context.Context, s policy.Scope, id string, p query.Period) (loss.Value, error) {
	record := map[string]string{"infections-begun": "infections-begun", "hosts-infected": "infected-hosts"}[id]
	def, ok := figure.LookupRecord(record)
	if !ok {
		return loss.Value{Why: "there is no record of that name"}, nil
	}
	src, params, err := a.nationalParams(ctx, figure.Params{Period: p})
	if err != nil {
		return loss.Value{}, err
	}
	r, err := figure.EvaluateRecord(ctx, src, s, def, params)
	switch {
	case err != nil:
		return loss.Value{}, err
	case r.Refusal != nil:
		return loss.Value{Why: r.Refusal.Why}, nil
	case !r.Publishable():
		return loss.Value{Why: "it is not publishable: " + strings.Join(r.NotMet, ", ") + " missing"}, nil
	}
	v := loss.Value{Lo: float64(*r.Value), Hi: float64(*r.Value), OK: true}
	ranges := []*figure.Range{r.Uncertainty.Range}
	for i := range r.Sensitivity {
		ranges = append(ranges, &r.Sensitivity[i].Range)
	}
	for _, x := range ranges { // the widest that is known
		if x != nil {
			v.Lo, v.Hi = min(v.Lo, float64(x[0])), max(v.Hi, float64(x[1]))
		}
	}
	return v, nil
}

// lossSummary is a report for the statement; nil without inputs.
func lossSummary(r *loss.Report) *figure.LossSummary {
	if !r.Given {
		return nil
	}
	s := &figure.LossSummary{Currency: r.Currency, Kinds: []figure.LossLine{}, Why: r.Headline}
	for _, k := range r.Kinds {
		if k.Amount != nil {
			s.Kinds = append(s.Kinds, figure.LossLine{Kind: string(k.Kind), Median: figure.Decimal(k.Amount.Median), Range: figure.Range{figure.Decimal(k.Amount.Lo), figure.Decimal(k.Amount.Hi)}})
		}
	}
	for _, in := range r.Inputs {
		if in.Assumption {
			s.Assumed++
		}
	}
	return s
}

// edition is the document that is published: the figures, and the statement
// made of them.
type edition struct {
	figure.Document

	Statement figure.Statement `json:"statement"`
}

// publish makes the document that is published. What is known of a simulated
// country otherwise is no part of it.
func (a *App) edition(ctx context.Context, s policy.Scope, p query.Period) (doc []byte, in query.RevisionInputs, err error) {
	if err := a.Derived(ctx); err != nil {
		return nil, in, err
	}
	var e edition
	if e.Document, err = a.Figures(ctx, s, figure.Params{Period: p}); err != nil {
		return nil, in, err
	}
	if e.Statement, err = a.state(ctx, s, figure.Params{Period: p}); err != nil {
		return nil, in, err
	}
	in.Definitions = map[string]int{}
	for _, f := range e.Figures {
		in.Definitions[f.ID] = f.Version
	}
	for _, r := range e.Statement.Records {
		in.Definitions[r.ID] = r.Version
		if r.Comparability != nil && in.Seed == 0 {
			in.Seed = r.Comparability.Seed
		}
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err = enc.Encode(e)
	return b.Bytes(), in, err
}
