package app

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/text/language"
	"golang.org/x/text/language/display"

	"tocsin/internal/archive"
	"tocsin/internal/decode"
	"tocsin/internal/enrich"
	"tocsin/internal/figure"
	"tocsin/internal/intake"
	"tocsin/internal/policy"
	"tocsin/internal/query"
	"tocsin/internal/refdata"
	"tocsin/internal/registry"
	"tocsin/internal/store"
	"tocsin/internal/web"
)

var _ web.Backend = (*App)(nil)

func isFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, archive.ErrNoSpace)
}

// Status implements [web.Backend].
func (a *App) Status(ctx context.Context, s policy.Scope) (web.Status, error) {
	code, name := a.reg.Home()
	st := web.Status{
		Simulated: a.reg.Simulated(), Version: a.version, Go: runtime.Version(), Home: code, HomeName: name,
		Now: a.clock().UTC(), Enrichment: a.reg.Enrichment(), Who: s.Who(),
	}
	if name == "" {
		st.HomeName = countryName(code)
	}
	err := a.read(ctx, func(x *store.Store) error {
		p, ok := x.Bounds()
		st.HasData, st.DataFrom, st.DataTo = ok, p.From, p.To
		if s.All() {
			st.Events, st.Outside = x.Totals()
			st.Waiting = a.waitingCount()
			if err := a.down.Load(); err != nil {
				st.Stopped = (*err).Error()
			}
		}
		return nil
	})
	return st, err
}

// Health implements [web.Backend].
func (a *App) Health(context.Context) error {
	if err := a.arch.Err(); err != nil {
		return fmt.Errorf("deliveries cannot be acked: %w", err)
	}
	return nil
}

// counts lets figures count with the store of the moment.
type counts struct{ app *App }

func (c counts) Count(ctx context.Context, s policy.Scope, q query.Count) (v query.Value, err error) {
	err = c.app.read(ctx, func(st *store.Store) error { v, err = st.Count(ctx, s, q); return err })
	return v, err
}

func (c counts) Breakdown(ctx context.Context, s policy.Scope, q query.Count, by query.Dim) (g []query.Group, err error) {
	err = c.app.read(ctx, func(st *store.Store) error { g, err = st.Breakdown(ctx, s, q, by); return err })
	return g, err
}

// since fills in the first day that there is data of.
func (a *App) since(ctx context.Context, p *figure.Params) error {
	return a.read(ctx, func(st *store.Store) error {
		if b, ok := st.Bounds(); ok {
			p.Since = b.From
		}
		return nil
	})
}

// Figures implements [web.Backend].
func (a *App) Figures(ctx context.Context, s policy.Scope, p figure.Params) (figure.Document, error) {
	p.Home, _ = a.reg.Home()
	if err := a.since(ctx, &p); err != nil {
		return figure.Document{}, err
	}
	return figure.EvaluateAll(ctx, counts{a}, s, p)
}

// Figure implements [web.Backend].
func (a *App) Figure(ctx context.Context, s policy.Scope, id string, p figure.Params) (figure.Figure, error) {
	def, ok := figure.Lookup(id)
	if !ok {
		return figure.Figure{}, fmt.Errorf("figure %q: %w", id, query.ErrNotFound)
	}
	p.Home, _ = a.reg.Home()
	if err := a.since(ctx, &p); err != nil {
		return figure.Figure{}, err
	}
	return figure.Evaluate(ctx, counts{a}, s, def, p)
}

// Labels implements [web.Backend].
func (a *App) Labels(_ context.Context, s policy.Scope, by query.Dim, keys []string) (map[string]string, error) {
	e, err := a.data.current()
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	code, home := a.reg.Home()
	for _, k := range keys {
		name := ""
		switch by {
		case query.DimASN:
			if n, err := strconv.ParseUint(k, 10, 32); err == nil {
				name = e.Tables().ASName(uint32(n))
			}
		case query.DimOrganisation:
			if !s.All() && !slices.Contains(s.Organisations(), k) {
				continue // whether it is on the list is not the asker's to know
			}
			if o, ok := e.Organisations().Get(k); ok {
				name = o.Name
			}
		case query.DimCountry:
			if name = countryName(k); k == code && home != "" {
				name = home
			}
		default:
		}
		if name != "" {
			out[k] = name
		}
	}
	return out, nil
}

// countryName gives the English name that CLDR has for a country code, or "".
func countryName(code string) string {
	r, err := language.ParseRegion(code)
	if err != nil || !r.IsCountry() {
		return ""
	}
	return display.English.Regions().Name(r)
}

func (a *App) label(e *query.Event) {
	x, err := a.data.current()
	if err != nil {
		return
	}
	e.ASName = x.Tables().ASName(e.Note.ASN)
	if o, ok := x.Organisations().Get(e.Note.Organisation); ok {
		e.OrgName = o.Name
	}
	if e.Note.Asset.Name == "" && e.Note.Domain != "" {
		e.Note.Asset.Name = e.Note.Domain
	}
}

// Events implements [web.Backend].
func (a *App) Events(ctx context.Context, s policy.Scope, q query.Events) (list []query.Event, n int64, err error) {
	err = a.read(ctx, func(st *store.Store) error { list, n, err = st.Events(ctx, s, q); return err })
	for i := range list {
		a.label(&list[i])
	}
	return list, n, err
}

// EventsSeq implements [web.Backend].
func (a *App) EventsSeq(ctx context.Context, s policy.Scope, q query.Events) iter.Seq2[query.Event, error] {
	return func(yield func(query.Event, error) bool) {
		begun := false
		err := a.read(ctx, func(st *store.Store) error {
			for e, err := range st.EventsSeq(ctx, s, q) {
				if err != nil && !begun {
					return err
				}
				begun = true
				if !yield(e, err) || err != nil {
					return nil
				}
			}
			return nil
		})
		if err != nil {
			yield(query.Event{}, err)
		}
	}
}

// Event implements [web.Backend].
func (a *App) Event(ctx context.Context, s policy.Scope, delivery, row uint32) (e query.Event, raw []byte, err error) {
	if err = a.read(ctx, func(st *store.Store) error { e, err = st.Event(ctx, s, delivery, row); return err }); err != nil {
		return e, nil, err
	}
	a.label(&e)
	raw, err = a.rawRow(ctx, delivery, row)
	return e, raw, err
}

// rawRow reads one row of a delivery from the archive, by the budgets that it
// was loaded with.
func (a *App) rawRow(ctx context.Context, delivery, row uint32) ([]byte, error) {
	l, err := a.line(ctx, delivery)
	if err != nil {
		return nil, err
	}
	f, err := decode.Lookup(l.Delivery.Format)
	if err != nil {
		return nil, err
	}
	body, err := a.arch.Content(l.Delivery.SHA256)
	if err != nil {
		return nil, err
	}
	defer body.Close() //nolint:errcheck // read only
	return decode.RawRow(body, f, row, limits(a.cfg.Limits, l.Delivery.Limits))
}

// line returns a delivery's line of the journal.
func (a *App) line(ctx context.Context, seq uint32) (archive.Line, error) {
	for l, err := range a.arch.Lines(ctx, uint64(seq)) {
		if err != nil {
			return archive.Line{}, err
		}
		if l.Seq == uint64(seq) && l.Delivery != nil {
			return l, nil
		}
		break
	}
	return archive.Line{}, fmt.Errorf("delivery d%d: %w", seq, query.ErrNotFound)
}

// delivery returns a delivery, whether it is in the store or waits.
func (a *App) delivery(ctx context.Context, seq uint32) (query.Delivery, error) {
	return a.deliveryBy(ctx, seq, func(f func(*store.Store) error) error { return a.read(ctx, f) })
}

// deliveryBy is delivery with the way to ask the store: the road itself must
// not wait for a store that it would have to open.
func (a *App) deliveryBy(ctx context.Context, seq uint32, ask func(func(*store.Store) error) error) (query.Delivery, error) {
	var list []query.Delivery
	if err := ask(func(st *store.Store) (err error) {
		list, _, err = st.Deliveries(ctx, store.DeliveryFilter{Seq: seq})
		return err
	}); err != nil {
		return query.Delivery{}, err
	}
	if len(list) > 0 {
		return list[0], nil
	}
	l, err := a.line(ctx, seq)
	if err != nil {
		return query.Delivery{}, err
	}
	return deliveryOf(&l), nil
}

// mine restricts deliveries to those that the scope brought itself, where it
// may not see all.
func mine(s policy.Scope) (by string, none bool) {
	switch {
	case s.All():
		return "", false
	case s.Who() == "public":
		return "", true
	default:
		return s.Who(), false
	}
}

// Deliveries implements [web.Backend].
func (a *App) Deliveries(ctx context.Context, s policy.Scope, f web.DeliveryFilter) ([]query.Delivery, int64, error) {
	by, none := mine(s)
	if none {
		return nil, 0, nil
	}
	var list []query.Delivery
	for _, d := range a.road.waitingList() {
		if (f.Feed == "" || d.Feed == f.Feed) && (f.State == "" || d.State == f.State) && (by == "" || d.By == by) {
			list = append(list, d)
		}
	}
	waiting := int64(len(list))
	if f.Limit <= 0 || f.Limit > 1000 {
		f.Limit = 1000
	}
	list = list[min(len(list), f.Offset):]
	list = list[:min(len(list), f.Limit)]
	var rest []query.Delivery
	var n int64
	err := a.read(ctx, func(st *store.Store) (err error) {
		rest, n, err = st.Deliveries(ctx, store.DeliveryFilter{
			Feed: f.Feed, State: f.State, By: by, Limit: max(1, f.Limit-len(list)), Offset: max(0, f.Offset-int(waiting)),
		})
		return err
	})
	if len(list) < f.Limit {
		list = append(list, rest...)
	}
	return list, waiting + n, err
}

// Delivery implements [web.Backend].
func (a *App) Delivery(ctx context.Context, s policy.Scope, id string) (query.Delivery, error) {
	by, none := mine(s)
	seq, err := parseDelivery(id)
	if err != nil || none {
		return query.Delivery{}, errors.Join(err, query.ErrNotFound)
	}
	d, err := a.delivery(ctx, seq)
	if err == nil && by != "" && d.By != by {
		return query.Delivery{}, fmt.Errorf("delivery %s: %w", id, query.ErrNotFound)
	}
	return d, err
}

// Quarantine implements [web.Backend].
func (a *App) Quarantine(ctx context.Context, s policy.Scope, f web.QuarantineFilter) (page web.QuarantinePage, err error) {
	page.Rows, page.Reasons = []query.Quarantined{}, []web.Tally{}
	q := store.QuarantineFilter{Feed: f.Feed, Reason: f.Reason, Limit: f.Limit, Offset: f.Offset}
	if f.Delivery != "" {
		d, err := a.Delivery(ctx, s, f.Delivery)
		if err != nil {
			return page, err
		}
		q.Delivery = d.Seq
	}
	if !s.All() && q.Delivery == 0 {
		return page, nil
	}
	if q.Limit <= 0 || q.Limit > 1000 {
		q.Limit = 1000
	}
	err = a.read(ctx, func(st *store.Store) error {
		rows, reasons, err := st.Quarantine(ctx, q)
		if err != nil {
			return err
		}
		page.Rows = append(page.Rows, rows...)
		for _, r := range reasons {
			page.Reasons = append(page.Reasons, web.Tally{Key: r.Key, Count: r.Count})
			page.Total += r.Count
		}
		return nil
	})
	return page, err
}

// Feeds implements [web.Backend].
func (a *App) Feeds(ctx context.Context, s policy.Scope) ([]query.Feed, error) {
	if !s.All() {
		return []query.Feed{}, nil
	}
	sums := map[string]query.Feed{}
	if err := a.read(ctx, func(st *store.Store) error {
		list, err := st.Feeds(ctx)
		for _, f := range list {
			sums[f.Name] = f
		}
		return err
	}); err != nil {
		return nil, err
	}
	out := []query.Feed{}
	for _, f := range a.reg.Feeds() {
		x := sums[f.Name]
		x.Name, x.Format, x.Marking, x.Historical, x.Schedule, x.Upstream = f.Name, f.Format, f.Marking, f.Historical, f.Schedule, f.Upstream
		out = append(out, x)
	}
	return out, nil
}

// Formats implements [web.Backend].
func (a *App) Formats() []web.Format { return Formats() }

// Formats lists the formats and their report types.
func Formats() []web.Format {
	out := []web.Format{}
	for _, f := range decode.Formats {
		w := web.Format{Name: f.Name, Title: f.Doc, Spec: f.Spec}
		for _, r := range f.ReportTypes() {
			w.Reports = append(w.Reports, web.Report{Name: r.Name, Class: r.Class.String(), Type: r.Type.String(), Subject: r.Subject, Role: r.Role.String(), Snapshot: r.Snapshot})
		}
		out = append(out, w)
	}
	return out
}

// Organisations implements [web.Backend].
func (a *App) Organisations(_ context.Context, s policy.Scope) ([]web.Organisation, error) {
	e, err := a.data.current()
	if err != nil {
		return nil, err
	}
	out := []web.Organisation{}
	for _, o := range e.Organisations().List() {
		if s.All() || slices.Contains(s.Organisations(), o.ID) {
			out = append(out, web.Organisation{ID: o.ID, Name: o.Name, Sector: o.Sector, Region: o.Region, Country: o.Country, Networks: o.Networks, Contact: o.Contact})
		}
	}
	return out, nil
}

// Sources implements [web.Backend].
func (a *App) Sources(context.Context, policy.Scope) ([]web.Source, error) {
	e, err := a.data.current()
	if err != nil {
		return nil, err
	}
	out := []web.Source{}
	for _, x := range e.Tables().Sources() {
		s := web.Source{Name: x.Name, Licence: x.Licence, Attribution: x.Attribution, Date: x.Date, SHA256: x.SHA256}
		if t := a.reg.TableOf(x.SHA256); t.Source == "operator" {
			s = operators(s, t)
		}
		out = append(out, s)
	}
	out = append(out, a.factSources()...)
	if v := e.Organisations().Version(); v != "" {
		out = append(out, operators(web.Source{Name: "organisations and networks", SHA256: v}, a.reg.TableOf(v)))
	}
	return out, nil
}

// operators says of a table that the operator brought it, and when, where it
// does not say more itself.
func operators(s web.Source, t registry.Table) web.Source {
	if t.Name != "" {
		s.Name = t.Name + ", " + s.Name
	}
	if s.Licence == "" {
		s.Licence = "the operator's own"
	}
	if s.Attribution == "" {
		if s.Attribution = "brought by " + t.By; t.By == policy.Local().Who() {
			s.Attribution = "brought by the person at this machine"
		}
	}
	if s.Date == "" && !t.At.IsZero() {
		s.Date = "loaded " + t.At.UTC().Format(time.DateOnly)
	}
	return s
}

// admin refuses whoever may not change things.
func admin(s policy.Scope) error {
	if !s.Administers() {
		return fmt.Errorf("%w: this takes a token of the role admin", web.ErrForbidden)
	}
	return nil
}

// Withdraw implements [web.Backend].
func (a *App) Withdraw(ctx context.Context, s policy.Scope, id, why string) (query.Delivery, error) {
	if err := admin(s); err != nil {
		return query.Delivery{}, err
	}
	seq, err := parseDelivery(id)
	if err != nil {
		return query.Delivery{}, err
	}
	if strings.TrimSpace(why) == "" {
		return query.Delivery{}, fmt.Errorf("%w: say why the delivery is withdrawn; it is kept in the journal", web.ErrBadRequest)
	}
	d, err := a.delivery(ctx, seq)
	if err != nil {
		return d, err
	}
	if _, done := a.reg.Withdrawn(seq); done {
		return d, fmt.Errorf("%w: %s was withdrawn before", web.ErrConflict, id)
	}
	open, err := a.turnstile.shared(ctx)
	if err != nil {
		return d, err
	}
	defer open()
	if err := a.journal(ctx, s.Who(), archive.KindWithdrawn, nil, registry.Withdrawn{Delivery: seq, Why: why}); err != nil {
		return d, err
	}
	a.hook("withdraw-journalled")
	d.Reason = why
	if err := a.road.while(ctx, func(ctx context.Context) error {
		return a.with(func(st *store.Store) error { _, err := st.Withdraw(ctx, &d); return err })
	}); err != nil {
		return d, err
	}
	if err := a.road.settled(ctx); err != nil {
		return d, err
	}
	return a.delivery(ctx, seq)
}

// SetFeed implements [web.Backend].
func (a *App) SetFeed(ctx context.Context, s policy.Scope, f web.FeedSettings) (query.Feed, error) {
	if err := admin(s); err != nil {
		return query.Feed{}, err
	}
	if err := intake.CheckFeed(f.Name); err != nil {
		return query.Feed{}, fmt.Errorf("%w: %w", web.ErrBadRequest, err)
	}
	x, ok := a.reg.Feed(f.Name)
	if !ok {
		x = registry.Feed{Name: f.Name, Marking: "AMBER"}
	}
	if f.Format != nil {
		if _, err := decode.Lookup(*f.Format); err != nil && *f.Format != "" {
			return query.Feed{}, fmt.Errorf("%w: %w", web.ErrBadRequest, err)
		}
		x.Format = *f.Format
	}
	if f.Marking != nil {
		x.Marking = strings.TrimPrefix(strings.ToUpper(*f.Marking), "TLP:")
	}
	if f.Historical != nil {
		x.Historical = *f.Historical
	}
	if f.Limits != nil {
		x.Limits = f.Limits
	}
	setWitness(&x, f)
	if err := registry.CheckFeed(x); err != nil {
		return query.Feed{}, fmt.Errorf("%w: %w", web.ErrBadRequest, err)
	}
	if err := a.journal(ctx, s.Who(), archive.KindFeed, nil, x); err != nil {
		return query.Feed{}, err
	}
	list, err := a.Feeds(ctx, s)
	if i := slices.IndexFunc(list, func(q query.Feed) bool { return q.Name == f.Name }); i >= 0 {
		return list[i], err
	}
	return query.Feed{Name: x.Name, Format: x.Format, Marking: x.Marking, Historical: x.Historical, Schedule: x.Schedule, Upstream: x.Upstream}, err
}

// ImportOrganisations implements [web.Backend].
func (a *App) ImportOrganisations(ctx context.Context, s policy.Scope, body io.Reader) (web.OrganisationsResult, error) {
	res := web.OrganisationsResult{Rows: []web.RowError{}}
	if err := admin(s); err != nil {
		return res, err
	}
	b, err := io.ReadAll(body)
	if err != nil {
		return res, err
	}
	orgs, bad, err := enrich.ParseOrganisations(bytes.NewReader(b))
	if err != nil {
		return res, fmt.Errorf("%w: %w", web.ErrBadRequest, err)
	}
	if orgs.Len() == 0 {
		return res, fmt.Errorf("%w: the list has no organisation; see docs/refdata.md for its columns", web.ErrBadRequest)
	}
	if err := a.journalContent(ctx, s.Who(), archive.KindOrganisations, b, struct{}{}); err != nil {
		return res, err
	}
	res.Organisations = orgs.Len()
	for _, o := range orgs.List() {
		res.Networks += len(o.Networks)
	}
	for _, e := range bad {
		res.Rows = append(res.Rows, web.RowError{Row: e.Line, Reason: e.Reason})
	}
	return res, nil
}

// ImportRefdata takes an operator's table of reference data, an MMDB or a
// prefix CSV; it holds from the next delivery on.
func (a *App) ImportRefdata(ctx context.Context, s policy.Scope, name string, body io.Reader) error {
	if err := admin(s); err != nil {
		return err
	}
	b, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	t, err := refdata.Load(b)
	if err != nil {
		return fmt.Errorf("%w: %s: %w", web.ErrBadRequest, name, err)
	}
	if !t.HasAS() && !t.HasCountry() {
		return fmt.Errorf("%w: %s gives neither origin AS nor country", web.ErrBadRequest, name)
	}
	return a.journalContent(ctx, s.Who(), archive.KindRefdata, b, registry.Refdata{Source: "operator", Version: t.Version(), Name: name})
}

// Tokens implements [web.Backend].
func (a *App) Tokens(_ context.Context, s policy.Scope) ([]web.Token, error) {
	if err := admin(s); err != nil {
		return nil, err
	}
	out := []web.Token{}
	for _, t := range a.reg.Tokens() {
		out = append(out, a.token(t))
	}
	return out, nil
}

func (a *App) token(t registry.Token) web.Token {
	w := web.Token{ID: t.ID, Name: t.Name, Role: t.Role, Organisations: t.Organisations, Feeds: t.Feeds, Read: t.Read, Created: t.Created, Expires: t.Expires, Revoked: t.Revoked}
	if used, ok := a.used.Load(t.ID); ok {
		w.Used, _ = used.(time.Time)
	}
	return w
}

// CreateToken implements [web.Backend].
func (a *App) CreateToken(ctx context.Context, s policy.Scope, r web.TokenRequest) (web.Token, error) {
	if err := admin(s); err != nil {
		return web.Token{}, err
	}
	t, secret, err := registry.NewToken(registry.Token{Name: r.Name, Role: r.Role, Organisations: r.Organisations, Feeds: r.Feeds, Read: r.Read}, r.Days, a.clock())
	if err != nil {
		return web.Token{}, fmt.Errorf("%w: %w", web.ErrBadRequest, err)
	}
	if err := a.journal(ctx, s.Who(), archive.KindToken, nil, registry.TokenChange{Create: &t}); err != nil {
		return web.Token{}, err
	}
	w := a.token(t)
	w.Secret = secret
	return w, nil
}

// RevokeToken implements [web.Backend].
func (a *App) RevokeToken(ctx context.Context, s policy.Scope, id string) error {
	if err := admin(s); err != nil {
		return err
	}
	if !slices.ContainsFunc(a.reg.Tokens(), func(t registry.Token) bool { return t.ID == id }) {
		return fmt.Errorf("token %q: %w", id, query.ErrNotFound)
	}
	return a.journal(ctx, s.Who(), archive.KindToken, nil, registry.TokenChange{Revoke: id})
}

// Reenrich implements [web.Backend].
func (a *App) Reenrich(ctx context.Context, s policy.Scope, progress func(web.Progress)) (web.Result, error) {
	if err := admin(s); err != nil {
		return web.Result{}, err
	}
	done, err := a.alone()
	if err != nil {
		return web.Result{}, err
	}
	defer done()
	started := time.Now()
	version := a.reg.Enrichment()
	annotate, err := a.data.annotate(version)
	if err != nil {
		return web.Result{}, err
	}
	if err := a.road.settled(ctx); err != nil {
		return web.Result{}, err
	}
	if err := a.journal(ctx, s.Who(), archive.KindReenrich, nil, registry.Reenriched{Version: version}); err != nil {
		return web.Result{}, err
	}
	a.hook("reenrich-journalled")
	res := web.Result{Version: version}
	err = a.road.while(ctx, func(ctx context.Context) error {
		return a.with(func(st *store.Store) error {
			res.Events, _ = st.Totals()
			return st.Resight(ctx, fmt.Sprintf("annotations of version %d", version), version, annotate, func(done, total int) {
				if progress != nil {
					progress(web.Progress{Done: int64(done), Total: int64(total), Unit: "days"})
				}
			})
		})
	})
	res.Seconds = time.Since(started).Seconds()
	return res, err
}

// Verify implements [web.Backend].
func (a *App) Verify(ctx context.Context, s policy.Scope, progress func(web.Progress)) (web.VerifyResult, error) {
	res := web.VerifyResult{Damaged: []web.Damage{}}
	if err := admin(s); err != nil {
		return res, err
	}
	started := time.Now()
	sum, err := a.arch.Verify(ctx, func(done, total int64) {
		if progress != nil {
			progress(web.Progress{Done: done, Total: total, Unit: "bytes"})
		}
	}, func(d archive.Damage) {
		if d.Kind == archive.Unmentioned || d.Healed {
			res.Notes = append(res.Notes, d.String())
			return
		}
		x := web.Damage{What: d.File, Detail: d.String(), Deliveries: []string{}}
		for _, l := range d.Lines {
			x.Deliveries = append(x.Deliveries, fmt.Sprintf("d%d %s %s", l.Line, l.Feed, l.Name))
		}
		res.Damaged = append(res.Damaged, x)
	})
	if err != nil {
		return res, err
	}
	if err := a.read(ctx, func(st *store.Store) error {
		events, err := st.Verify(ctx)
		res.Events = events
		if err != nil {
			res.Damaged = append(res.Damaged, web.Damage{What: "store", Detail: err.Error() + "; it is made again from the archive with tocsin rebuild", Deliveries: []string{}})
		}
		return nil
	}); err != nil {
		return res, err
	}
	res.Deliveries, res.Bytes, res.Seconds = sum.Lines, sum.Bytes, time.Since(started).Seconds()
	res.OK = len(res.Damaged) == 0
	return res, nil
}

// Backup implements [web.Backend].
func (a *App) Backup(ctx context.Context, s policy.Scope, dir string, progress func(web.Progress)) (web.Result, error) {
	if err := admin(s); err != nil {
		return web.Result{}, err
	}
	if dir == "" {
		return web.Result{}, fmt.Errorf("%w: name the directory to back up to", web.ErrBadRequest)
	}
	started := time.Now()
	var size int64
	point, err := a.arch.Backup(ctx, dir, func(done, total int64) {
		size = total
		if progress != nil {
			progress(web.Progress{Done: done, Total: total, Unit: "bytes"})
		}
	})
	return web.Result{Deliveries: int64(point.Seq), Bytes: size, Path: dir, Seconds: time.Since(started).Seconds()}, err //nolint:gosec // a line count
}

// Audit implements [web.Backend].
func (a *App) Audit(ctx context.Context, s policy.Scope, limit int) ([]web.AuditLine, error) {
	if err := admin(s); err != nil {
		return nil, err
	}
	if limit <= 0 || limit > 1000 {
		limit = 1000
	}
	out := []web.AuditLine{}
	for l, err := range a.arch.Lines(ctx, 1) {
		if err != nil {
			if errors.Is(err, archive.ErrDamaged) {
				continue
			}
			return nil, err
		}
		if l.Kind == archive.KindDelivery {
			continue
		}
		out = append(out, web.AuditLine{Seq: l.Seq, At: l.At, Who: l.By, Kind: string(l.Kind), Detail: auditDetail(&l)})
		if len(out) > 2*limit {
			out = append(out[:0], out[len(out)-limit:]...)
		}
	}
	slices.Reverse(out)
	return out[:min(len(out), limit)], nil
}

// auditDetail says what a line changed, without what only the program needs.
func auditDetail(l *archive.Line) string {
	if l.Kind == archive.KindToken {
		var c registry.TokenChange
		if json.Unmarshal(l.Data, &c) == nil {
			if c.Create != nil {
				return fmt.Sprintf("made %s for %q, role %s, until %s", c.Create.ID, c.Create.Name, c.Create.Role, c.Create.Expires.Format(time.DateOnly))
			}
			return "took back " + c.Revoke
		}
	}
	d := string(l.Data)
	if len(l.Contents) > 0 {
		d = strings.Join(l.Contents, " ") + " " + d
	}
	return d
}

// Rebuild implements [web.Backend]: it makes the store anew from the archive in
// another folder and swaps it in. Reading goes on with the old one meanwhile.
func (a *App) Rebuild(ctx context.Context, s policy.Scope, progress func(web.Progress)) (web.Result, error) {
	if err := admin(s); err != nil {
		return web.Result{}, err
	}
	done, err := a.alone()
	if err != nil {
		return web.Result{}, err
	}
	defer done()
	return a.rebuild(ctx, progress)
}
