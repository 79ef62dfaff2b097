package app

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"sync"

	"tocsin/internal/archive"
	"tocsin/internal/event"
	"tocsin/internal/figure"
	"tocsin/internal/policy"
	"tocsin/internal/query"
	"tocsin/internal/refdata"
	"tocsin/internal/registry"
	"tocsin/internal/web"
)

// factsCache keeps the facts in force, which are read from the archive when
// they have changed.
type factsCache struct {
	mu    sync.Mutex
	of    []registry.Fact
	facts *refdata.Facts
}

// Facts returns the facts in force: users, networks, leases. A file that is
// damaged in the archive is left out and told in the log.
func (a *App) Facts() (*refdata.Facts, error) {
	list := a.reg.Facts()
	a.facts.mu.Lock()
	defer a.facts.mu.Unlock()
	if a.facts.facts != nil && sameFacts(a.facts.of, list) {
		return a.facts.facts, nil
	}
	facts := &refdata.Facts{}
	for _, f := range list {
		b, err := a.data.read(f.Content)
		if errors.Is(err, archive.ErrDamaged) || errors.Is(err, archive.ErrNotFound) {
			a.log.Error("facts are damaged in the archive and are not used; load the file again", slog.String("kind", f.Kind), slog.String("name", f.Name), slog.String("sha256", f.Content), slog.Any("error", err))
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("facts %s: %w", f.Content, err)
		}
		if facts, err = facts.With(f.Kind, b, sourceOf(f.Refdata)); err != nil {
			return nil, fmt.Errorf("facts %s: %w", f.Content, err)
		}
	}
	a.facts.of, a.facts.facts = list, facts
	return facts, nil
}

// sameFacts tells whether two lists are of the same lines of the journal.
func sameFacts(a, b []registry.Fact) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].Content != b[i].Content || a[i].Refdata != b[i].Refdata {
			return false
		}
	}
	return true
}

func sourceOf(d registry.Refdata) refdata.FactSource {
	return refdata.FactSource{Name: d.From, Licence: d.Licence, Attribution: d.Attribution, Date: d.Date}
}

// factSources lists the facts in force for the page of sources.
func (a *App) factSources() []web.Source {
	var out []web.Source
	for _, f := range a.reg.Facts() {
		s := web.Source{Name: f.Kind + " (" + f.Layout + ")", Licence: f.Licence, Attribution: f.Attribution, Date: f.Date, SHA256: f.Content}
		if f.Name != "" {
			s.Name += ", " + f.Name
		}
		if s.Attribution == "" {
			s.Attribution = f.From
		}
		out = append(out, s)
	}
	return out
}

// ImportFacts implements [web.Backend].
func (a *App) ImportFacts(ctx context.Context, s policy.Scope, r web.FactsRequest) error {
	if err := admin(s); err != nil {
		return err
	}
	for _, x := range []struct{ name, flag, value, say string }{
		{"source", "--source", r.From, "who made the data"},
		{"licence", "--licence", r.Licence, "under which licence it may be used"},
	} {
		if x.value == "" || len(x.value) > 400 {
			return fmt.Errorf("%w: %s: say %s, in at most 400 bytes (%s TEXT)", web.ErrBadRequest, x.name, x.say, x.flag)
		}
	}
	day, err := event.ParseDay(r.Date)
	if err != nil {
		return fmt.Errorf("%w: date: say of which day the data is (--date YYYY-MM-DD): %w", web.ErrBadRequest, err)
	}
	if day > event.DayFrom(a.clock()) {
		return fmt.Errorf("%w: date: %s is yet to come; say of which day the data is", web.ErrBadRequest, r.Date)
	}
	if len(r.Attribution) > 400 || len(r.Name) > 400 {
		return fmt.Errorf("%w: name and attribution: at most 400 bytes", web.ErrBadRequest)
	}
	return a.importFacts(ctx, s.Who(), "operator", r)
}

// importFacts reads facts and journals them; they hold at once.
func (a *App) importFacts(ctx context.Context, by, source string, r web.FactsRequest) error {
	b, err := io.ReadAll(r.Body)
	if err != nil {
		return err
	}
	d := registry.Refdata{
		Source: source, Name: r.Name, Kind: r.Kind, From: strings.TrimSpace(r.From), Licence: strings.TrimSpace(r.Licence),
		Attribution: strings.TrimSpace(r.Attribution), Date: r.Date,
	}
	f, err := (*refdata.Facts)(nil).With(r.Kind, b, sourceOf(d))
	if err != nil {
		return fmt.Errorf("%w: %s: %w", web.ErrBadRequest, r.Name, err)
	}
	src := f.Sources()[0]
	d.Layout, d.Version = src.Layout, src.SHA256
	return a.journalContent(ctx, by, archive.KindRefdata, b, d)
}

// simulatedFacts takes in the facts of a simulation.
func (a *App) simulatedFacts(ctx context.Context, s Simulation) error {
	for _, x := range []struct {
		kind string
		b    []byte
	}{{refdata.FactsUsers, s.Users}, {refdata.FactsNetworks, s.Networks}, {refdata.FactsLeases, s.Leases}} {
		if len(x.b) == 0 {
			continue
		}
		if err := a.importFacts(ctx, viaDemo, "simulated", web.FactsRequest{Kind: x.kind, Name: "simulated " + x.kind, From: "simulated", Licence: "none needed", Body: bytes.NewReader(x.b)}); err != nil {
			return err
		}
	}
	return nil
}

// Rates implements [web.Backend].
func (a *App) Rates(ctx context.Context, s policy.Scope, id string, p figure.Params) (figure.RateTable, error) {
	if !s.All() { // a part of the assets over all of the users would be no rate
		return figure.RateTable{}, fmt.Errorf("%w: rates compare whole regions and networks: this takes a token of the team", web.ErrForbidden)
	}
	def, ok := figure.Lookup(id)
	if !ok {
		return figure.RateTable{}, fmt.Errorf("figure %q: %w", id, query.ErrNotFound)
	}
	if def.Place == figure.Abroad {
		return figure.RateTable{}, fmt.Errorf("%w: %s counts what is abroad: the users at home are no base for a rate of it", web.ErrBadRequest, id)
	}
	facts, err := a.Facts()
	if err != nil {
		return figure.RateTable{}, err
	}
	f, err := a.Figure(ctx, s, id, p)
	if err != nil {
		return figure.RateTable{}, err
	}
	u := usersOf(facts, &f)
	var home *figure.Figure
	code, _ := a.reg.Home()
	if n, year, ok := facts.CountryUsers(code); ok {
		u.Country, u.Year = n, year
		q := p
		q.By = query.DimNone
		if q.Where, ok = figure.And(p.Where, []query.Cond{{Dim: query.DimCountry, Value: code}}); ok {
			h, err := a.Figure(ctx, s, id, q)
			if err != nil {
				return figure.RateTable{}, err
			}
			home = &h
		}
	}
	return figure.Rates(&f, home, u)
}

// usersOf picks the users that the rows of a breakdown need.
func usersOf(facts *refdata.Facts, f *figure.Figure) figure.Users {
	u := figure.Users{By: map[string]float64{}, Samples: map[string]float64{}}
	for _, s := range facts.Sources() {
		if s.Kind == refdata.FactsUsers {
			x := figure.UsersSource{Name: s.Name, Licence: s.Licence, Attribution: s.Attribution, Date: s.Date, SHA256: s.SHA256}
			u.Sources = append(u.Sources, x)
		}
	}
	switch {
	case f.Breakdown == nil:
	case f.Breakdown.By == query.DimRegion:
		u.By = facts.Regions()
	case f.Breakdown.By == query.DimASN:
		for _, r := range f.Breakdown.Rows {
			asn, err := strconv.ParseUint(r.Key, 10, 32)
			if err != nil {
				continue
			}
			if n, ok := facts.Users(uint32(asn)); ok {
				u.By[r.Key] = n
			}
			if n, ok := facts.Samples(uint32(asn)); ok {
				u.Samples[r.Key] = n
			}
		}
	}
	return u
}
