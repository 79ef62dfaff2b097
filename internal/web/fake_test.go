package web_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"

	"tocsin/internal/episode"
	"tocsin/internal/event"
	"tocsin/internal/figure"
	"tocsin/internal/policy"
	"tocsin/internal/query"
	"tocsin/internal/web"
)

// fake is a backend over slices that honours the scope in the most obvious
// way. Its fields are set before it serves.
type fake struct {
	status     web.Status
	list       []query.Event
	raw        map[string][]byte
	rows       []query.Delivery
	bad        []query.Quarantined
	orgs       []web.Organisation
	feeds      []query.Feed
	looks      []query.Covered // days from the first on
	breaks     []query.Break
	formats    []web.Format
	sources    []web.Source
	released   []figure.Release
	tokens     []web.Token
	asNames    map[string]string
	health     error
	breakAfter int // events after which an export breaks off; 0 never
	fail       error
	mark       string // in what is written by hand on the pages of loss and revisions

	mu       sync.Mutex
	ingested []web.IngestRequest
	bodies   [][]byte
	done     []string
}

var _ web.Backend = (*fake)(nil)

func (f *fake) Status(_ context.Context, s policy.Scope) (web.Status, error) {
	st := f.status
	st.Who = s.Who()
	if !s.All() {
		st.Waiting = 0
		st.Events = 0
		for range f.visible(s) {
			st.Events++
		}
	}
	return st, f.fail
}

func (f *fake) Health(context.Context) error { return f.health }

func (f *fake) visible(s policy.Scope) iter.Seq[*query.Event] {
	return func(yield func(*query.Event) bool) {
		for i := range f.list {
			e := &f.list[i]
			if s.Sees(e.Note.Organisation, e.Marking) && !yield(e) {
				return
			}
		}
	}
}

func dim(e *query.Event, d query.Dim) string {
	switch d {
	case query.DimASN:
		if e.Note.ASN == 0 {
			return ""
		}
		return strconv.Itoa(int(e.Note.ASN))
	case query.DimOrganisation:
		return e.Note.Organisation
	case query.DimSector:
		return e.Note.Sector
	case query.DimRegion:
		return e.Note.Region
	case query.DimCountry:
		return e.Note.CC
	case query.DimFamily:
		return e.Family
	case query.DimType:
		return e.Type.String()
	case query.DimFeed:
		return e.Feed
	case query.DimReport:
		return e.Report
	}
	return ""
}

func holds(e *query.Event, where []query.Cond) bool {
	for _, d := range query.Dims {
		alternatives, met := false, false
		for _, c := range where {
			switch {
			case c.Dim != d:
			case c.Not:
				if dim(e, d) == c.Value {
					return false
				}
			default:
				alternatives = true
				met = met || dim(e, d) == c.Value
			}
		}
		if alternatives && !met {
			return false
		}
	}
	return true
}

type counter struct{ f *fake }

func (c counter) tally(p query.Period, list []*query.Event) query.Value {
	v := query.Value{Daily: make([]int64, p.Days()), DailyEvents: make([]int64, p.Days()), Events: int64(len(list))}
	type k struct {
		day event.Day
		key event.ID
	}
	perDay, all := map[k]bool{}, map[event.ID]bool{}
	for _, e := range list {
		i := e.Day() - p.From
		v.DailyEvents[i]++
		if x := (k{e.Day(), e.Note.Asset.Key}); !perDay[x] {
			perDay[x] = true
			v.Daily[i]++
		}
		all[e.Note.Asset.Key] = true
	}
	v.Distinct = int64(len(all))
	return v
}

func (c counter) match(s policy.Scope, q query.Count) (out []*query.Event) {
	for e := range c.f.visible(s) {
		if e.Class() == q.Class && e.Day() >= q.Period.From && e.Day() <= q.Period.To && holds(e, q.Where) {
			out = append(out, e)
		}
	}
	return out
}

func (c counter) Count(_ context.Context, s policy.Scope, q query.Count) (query.Value, error) {
	return c.tally(q.Period, c.match(s, q)), nil
}

func (c counter) Breakdown(_ context.Context, s policy.Scope, q query.Count, by query.Dim) ([]query.Group, error) {
	groups := map[string][]*query.Event{}
	for _, e := range c.match(s, q) {
		groups[dim(e, by)] = append(groups[dim(e, by)], e)
	}
	var out []query.Group
	for k, l := range groups {
		out = append(out, query.Group{Key: k, Value: c.tally(q.Period, l)})
	}
	return out, nil
}

func (f *fake) Figures(ctx context.Context, s policy.Scope, p figure.Params) (figure.Document, error) {
	return figure.EvaluateAll(ctx, counter{f}, s, p)
}

func (f *fake) Figure(ctx context.Context, s policy.Scope, id string, p figure.Params) (figure.Figure, error) {
	def, ok := figure.Lookup(id)
	if !ok {
		return figure.Figure{}, query.ErrNotFound
	}
	return figure.Evaluate(ctx, counter{f}, s, def, p)
}

// Statement gives the statement that figure's own test has, with what is the
// fake's own in the places that feeds can write to.
func (f *fake) Statement(_ context.Context, s policy.Scope, _ figure.Params) (figure.Statement, error) {
	var x figure.Statement
	if !s.All() {
		return x, query.ErrNotFound
	}
	b, err := os.ReadFile("../figure/testdata/statement.json")
	if err != nil {
		return x, err
	}
	if err := json.Unmarshal(b, &x); err != nil {
		return x, err
	}
	for i := range x.Records {
		r := &x.Records[i]
		for _, feed := range f.feeds {
			r.Panel.Witnesses = append(r.Panel.Witnesses, feed.Name)
			r.Coverage.Gained = append(r.Coverage.Gained, feed.Name)
			r.Coverage.Breaks = append(r.Coverage.Breaks, "suspected: "+feed.Name)
		}
		for j := range r.Breakdown {
			if rows := r.Breakdown[j].Rows; len(f.orgs) > 0 && len(rows) > 0 {
				rows[0].Key, rows[0].Note = f.orgs[0].Name, f.orgs[0].Name
			}
		}
	}
	x.Sentences[0].Truth = []figure.Truth{{ID: "hosts-infected", Text: "infected hosts at home, mean of the days", Number: "1,234", Value: 1234.5}}
	return x, nil
}

func (f *fake) Labels(_ context.Context, s policy.Scope, by query.Dim, keys []string) (map[string]string, error) {
	m := map[string]string{}
	for _, k := range keys {
		switch by {
		case query.DimASN:
			if n, ok := f.asNames[k]; ok {
				m[k] = n
			}
		case query.DimOrganisation:
			for _, o := range f.orgs {
				if o.ID == k && s.Sees(o.ID, event.Amber) {
					m[k] = o.Name
				}
			}
		}
	}
	return m, nil
}

func (f *fake) find(s policy.Scope, q query.Events) (out []*query.Event) {
	for e := range f.visible(s) {
		switch {
		case e.Day() < q.Period.From || e.Day() > q.Period.To,
			len(q.Classes) > 0 && !slices.Contains(q.Classes, e.Class()),
			q.Delivery != 0 && e.Delivery != q.Delivery,
			q.Asset != event.ID{} && e.Note.Asset.Key != q.Asset,
			!holds(e, q.Where),
			q.Text != "" && !strings.Contains(e.Source.IP.String()+" "+e.Source.FQDN+" "+e.Family, q.Text):
			continue
		}
		out = append(out, e)
	}
	slices.SortStableFunc(out, func(a, b *query.Event) int { return cmp.Compare(b.Time, a.Time) })
	return out
}

func (f *fake) Events(_ context.Context, s policy.Scope, q query.Events) ([]query.Event, int64, error) {
	all := f.find(s, q)
	var page []query.Event
	for _, e := range all[min(q.Offset, len(all)):] {
		if len(page) == q.Limit {
			break
		}
		page = append(page, *e)
	}
	return page, int64(len(all)), nil
}

func (f *fake) EventsSeq(_ context.Context, s policy.Scope, q query.Events) iter.Seq2[query.Event, error] {
	return func(yield func(query.Event, error) bool) {
		all := f.find(s, q)
		slices.Reverse(all)
		for i, e := range all {
			if f.breakAfter > 0 && i == f.breakAfter {
				yield(query.Event{}, errors.New("the disk went away"))
				return
			}
			if !yield(*e, nil) {
				return
			}
		}
	}
}

func (f *fake) Event(_ context.Context, s policy.Scope, delivery, row uint32) (query.Event, []byte, error) {
	for e := range f.visible(s) {
		if e.Delivery == delivery && e.Row == row {
			return *e, f.raw[fmt.Sprintf("%d/%d", delivery, row)], nil
		}
	}
	return query.Event{}, nil, fmt.Errorf("event %d/%d: %w", delivery, row, query.ErrNotFound)
}

func (f *fake) Episodes(_ context.Context, s policy.Scope, q query.Episodes) ([]query.Episode, int64, query.EpisodesAsOf, error) {
	var out []query.Episode
	for e := range f.visible(s) {
		if c := e.Class(); len(q.Classes) > 0 && !slices.Contains(q.Classes, c) || !episode.Has(c) || !holds(e, q.Where) || e.Day() < q.Period.From || e.Day() > q.Period.To {
			continue
		}
		if st := query.EpisodeStates[int(e.Row)%len(query.EpisodeStates)]; q.State == "" || q.State == st {
			out = append(out, query.Episode{
				Class: e.Class(), Type: e.Type, TypeName: e.Type.String(), Family: e.Family, Kind: e.Note.Asset.Kind, Asset: e.Note.Asset.Key, AssetID: e.Note.Asset.Key.String(),
				AssetName: e.SubjectEnd().IP.String(), First: e.Day() - 3, Last: e.Day(), Days: 2, State: st, ASN: e.Note.ASN, CC: e.Note.CC, Org: e.Note.Organisation,
				Witnesses: []query.Witness{{Feed: e.Feed, First: e.Day() - 3, Last: e.Day(), Days: 2, Marking: e.Marking.String(), Gap: 7}},
			})
		}
	}
	n := int64(len(out))
	out = out[min(q.Offset, len(out)):]
	return out[:min(q.Limit, len(out))], n, query.EpisodesAsOf{Through: f.status.DataTo, Pending: 3}, f.fail
}

func (f *fake) Coverage(_ context.Context, s policy.Scope, classes []event.Class, p query.Period) (query.Coverage, error) {
	c := query.Coverage{Period: p}
	if !s.All() {
		return c, f.fail
	}
	for _, r := range f.looks {
		if len(classes) > 0 && !slices.Contains(classes, r.Class) {
			continue
		}
		days := make([]query.Look, p.Days())
		for i := range days {
			days[i] = query.NotExpected
			if d := int(p.From-r.From) + i; d >= 0 && d < len(r.Days) {
				days[i] = r.Days[d]
			}
			switch days[i] {
			case query.Present:
				r.Present++
			case query.Missing:
				r.Missing++
			}
		}
		r.Days, r.Expected = days, r.Present+r.Missing
		c.Rows = append(c.Rows, r)
	}
	c.Breaks = f.breaks
	return c, f.fail
}

func (f *fake) DecideBreak(_ context.Context, s policy.Scope, id string, state query.BreakState, why string) (query.Break, error) {
	for _, b := range f.breaks {
		if b.ID == id {
			b.State, b.Why = state, why
			return b, f.act(s, "break "+id+" "+string(state)+" "+why)
		}
	}
	return query.Break{}, query.ErrNotFound
}

func (f *fake) mine(s policy.Scope, d query.Delivery) bool { return s.All() || d.By == s.Who() }

func (f *fake) Deliveries(_ context.Context, s policy.Scope, q web.DeliveryFilter) ([]query.Delivery, int64, error) {
	var all []query.Delivery
	for _, d := range f.rows {
		if f.mine(s, d) && (q.Feed == "" || d.Feed == q.Feed) && (q.State == "" || d.State == q.State) {
			all = append(all, d)
		}
	}
	total := int64(len(all))
	all = all[min(q.Offset, len(all)):]
	return all[:min(q.Limit, len(all))], total, nil
}

func (f *fake) Delivery(_ context.Context, s policy.Scope, id string) (query.Delivery, error) {
	for _, d := range f.rows {
		if d.ID == id && f.mine(s, d) {
			return d, nil
		}
	}
	return query.Delivery{}, query.ErrNotFound
}

func (f *fake) Quarantine(_ context.Context, s policy.Scope, q web.QuarantineFilter) (web.QuarantinePage, error) {
	var p web.QuarantinePage
	n := map[string]int64{}
	for _, r := range f.bad {
		if !s.All() || q.Feed != "" && r.Feed != q.Feed || q.Delivery != "" && r.Delivery != q.Delivery || q.Reason != "" && r.Reason != q.Reason {
			continue
		}
		p.Rows = append(p.Rows, r)
		n[r.Reason]++
	}
	p.Total = int64(len(p.Rows))
	p.Rows = p.Rows[min(q.Offset, len(p.Rows)):]
	p.Rows = p.Rows[:min(q.Limit, len(p.Rows))]
	for k, c := range n {
		p.Reasons = append(p.Reasons, web.Tally{Key: k, Count: c})
	}
	slices.SortFunc(p.Reasons, func(a, b web.Tally) int { return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Key, b.Key)) })
	return p, nil
}

func (f *fake) Feeds(_ context.Context, s policy.Scope) ([]query.Feed, error) {
	if !s.All() {
		return nil, nil
	}
	return f.feeds, nil
}

func (f *fake) Formats() []web.Format { return f.formats }

func (f *fake) Organisations(_ context.Context, s policy.Scope) (out []web.Organisation, _ error) {
	for _, o := range f.orgs {
		if s.Sees(o.ID, event.Amber) {
			out = append(out, o)
		}
	}
	return out, nil
}

func (f *fake) Sources(context.Context, policy.Scope) ([]web.Source, error) { return f.sources, nil }

func (f *fake) Ingest(_ context.Context, s policy.Scope, r web.IngestRequest) (query.Delivery, error) {
	b, err := io.ReadAll(r.Body)
	if err != nil {
		return query.Delivery{}, err
	}
	if f.fail != nil {
		return query.Delivery{}, f.fail
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ingested = append(f.ingested, r)
	f.bodies = append(f.bodies, b)
	d := query.Delivery{ID: "d900", Feed: r.Feed, Format: r.Format, Name: r.Name, Size: int64(len(b)), By: s.Who(), State: query.StateWaiting, SHA256: strings.Repeat("ab", 32)}
	if r.Wait {
		d.State, d.Received, d.Accepted = query.StateLoaded, 2, 2
	}
	return d, nil
}

func (f *fake) act(s policy.Scope, what string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !s.Administers() {
		return web.ErrForbidden
	}
	f.done = append(f.done, what)
	return f.fail
}

func (f *fake) Withdraw(ctx context.Context, s policy.Scope, id, why string) (query.Delivery, error) {
	d, err := f.Delivery(ctx, s, id)
	if err != nil {
		return d, err
	}
	d.State, d.Reason = query.StateWithdrawn, why
	return d, f.act(s, "withdraw "+id+" "+why)
}

func (f *fake) SetFeed(_ context.Context, s policy.Scope, in web.FeedSettings) (query.Feed, error) {
	b, _ := json.Marshal(in)
	return query.Feed{Name: in.Name}, f.act(s, "feed "+in.Name+" "+string(b))
}

func (f *fake) ImportRefdata(_ context.Context, s policy.Scope, _ string, body io.Reader) error {
	if !s.Administers() {
		return web.ErrForbidden
	}
	_, err := io.Copy(io.Discard, body)
	return err
}

func (f *fake) ImportOrganisations(_ context.Context, s policy.Scope, body io.Reader) (web.OrganisationsResult, error) {
	b, err := io.ReadAll(body)
	if err != nil {
		return web.OrganisationsResult{}, err
	}
	return web.OrganisationsResult{Organisations: strings.Count(string(b), "\n") - 1}, f.act(s, "organisations")
}

func (f *fake) Tokens(_ context.Context, s policy.Scope) ([]web.Token, error) {
	return f.tokens, f.act(s, "tokens")
}

func (f *fake) CreateToken(_ context.Context, s policy.Scope, r web.TokenRequest) (web.Token, error) {
	return web.Token{ID: "t1", Name: r.Name, Role: r.Role, Feeds: r.Feeds, Secret: "tsn_once"}, f.act(s, "token "+r.Name)
}

func (f *fake) RevokeToken(_ context.Context, s policy.Scope, id string) error {
	if id != "t1" {
		return query.ErrNotFound
	}
	return f.act(s, "revoke "+id)
}

func (f *fake) Reenrich(_ context.Context, s policy.Scope, p func(web.Progress)) (web.Result, error) {
	p(web.Progress{Done: 1, Total: 2, Unit: "events"})
	return web.Result{Events: 2, Version: 3}, f.act(s, "reenrich")
}

func (f *fake) Rebuild(_ context.Context, s policy.Scope, p func(web.Progress)) (web.Result, error) {
	p(web.Progress{Done: 1, Total: 2, Unit: "deliveries"})
	return web.Result{Deliveries: 2}, f.act(s, "rebuild")
}

func (f *fake) Verify(_ context.Context, s policy.Scope, p func(web.Progress)) (web.VerifyResult, error) {
	p(web.Progress{Done: 1, Total: 2, Unit: "bytes"})
	return web.VerifyResult{OK: true}, f.act(s, "verify")
}

func (f *fake) Backup(_ context.Context, s policy.Scope, dir string, _ func(web.Progress)) (web.Result, error) {
	return web.Result{Path: dir}, f.act(s, "backup "+dir)
}

func (f *fake) Audit(_ context.Context, s policy.Scope, limit int) ([]web.AuditLine, error) {
	return []web.AuditLine{{Seq: 1, Who: "local", Kind: "feed", Detail: fmt.Sprint("limit ", limit)}}, f.act(s, "audit")
}

// keys is an authenticator of fixed tokens. Without a token one is the public,
// or the person at the keyboard where local is set.
type keys struct {
	local  bool
	tokens map[string]policy.Scope
}

func (k keys) Scope(r *http.Request) (policy.Scope, error) {
	h := r.Header.Get("Authorization")
	if h == "" {
		if k.local {
			return policy.Local(), nil
		}
		return policy.Scope{}, nil
	}
	s, ok := k.tokens[strings.TrimPrefix(h, "Bearer ")]
	if !ok {
		return policy.Scope{}, web.ErrUnauthorised
	}
	return s, nil
}
