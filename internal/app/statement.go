package app

import (
	"context"
	"fmt"
	"math"
	"net/netip"

	"tocsin/internal/estimate"
	"tocsin/internal/event"
	"tocsin/internal/figure"
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
	c := query.Coverage{Period: p}
	err := n.app.read(ctx, func(st *store.Store) (err error) { c.Rows, err = st.Coverage(ctx, classes, p); return err })
	return c, err
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
		c.Covering, c.Begun, c.Uncounted, c.Closed, err = st.EpisodeDays(ctx, s, q)
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

func (n national) Users(asn uint32) (float64, bool) { return n.facts.Users(asn) }

// Statement implements [web.Backend].
func (a *App) Statement(ctx context.Context, s policy.Scope, p figure.Params) (figure.Statement, error) {
	if !s.All() {
		return figure.Statement{}, fmt.Errorf("the statement is about the whole country: %w", query.ErrNotFound)
	}
	p.Home, _ = a.reg.Home()
	if err := a.since(ctx, &p); err != nil {
		return figure.Statement{}, err
	}
	src, err := a.national()
	if err != nil {
		return figure.Statement{}, err
	}
	code, name := a.reg.Home()
	if name == "" {
		name = countryName(code)
	}
	x := figure.Extra{HomeName: name, Simulated: a.reg.Simulated()}
	if from := a.reg.Simulation(); x.Simulated && from != "" && a.truth != nil {
		x.Truth = a.truth(from, p.Period)
	}
	return figure.MakeStatement(ctx, src, s, p, x)
}
