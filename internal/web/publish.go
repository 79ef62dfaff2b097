package web

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"tocsin/internal/figure"
	"tocsin/internal/policy"
	"tocsin/internal/query"
)

// Publisher is the part of a [Backend] that facts, rates and released tables
// stand on.
type Publisher interface {
	// ImportFacts brings in users, networks or leases in the place of those of
	// the same kind and layout. It is for [policy.Scope.Administers].
	ImportFacts(ctx context.Context, s policy.Scope, r FactsRequest) error
	// Rates gives a figure per 100,000 users, by p.By; it is for those who may
	// read every row, since a part over all users would be no rate.
	Rates(ctx context.Context, s policy.Scope, id string, p figure.Params) (figure.RateTable, error)
	// Release journals the public tables of a month that is over; [ErrConflict]
	// for a month that was released before, unless revise says why again. It is
	// for [policy.Scope.Administers].
	Release(ctx context.Context, s policy.Scope, month, revise string) (Released, error)
	// Releases lists all that was released, the newest month first, for anybody.
	Releases(ctx context.Context, s policy.Scope) ([]Released, error)
	// Released returns the bytes of a release as they were released, for
	// anybody; revision 0 is the newest.
	Released(ctx context.Context, s policy.Scope, month string, revision int) ([]byte, error)
}

// FactsRequest is a file of facts, and what the operator says of it.
type FactsRequest struct {
	Kind        string // users, networks or leases
	Name        string // of the file
	From        string // who made the data
	Licence     string
	Attribution string // to be shown with results; may be ""
	Date        string // of the data, YYYY-MM-DD
	Body        io.Reader
}

// Released is one release of a month's tables.
type Released struct {
	Month    string    `json:"month"` // YYYY-MM
	Revision int       `json:"revision"`
	Reason   string    `json:"reason,omitzero"` // of the revision
	At       time.Time `json:"released"`
	SHA256   string    `json:"sha256"` // of the JSON as released
}

const maxFacts = 64 << 20 // bytes

func (s *Server) importFacts(c *call) error {
	v, err := parseQuery(c.r.URL.RawQuery, "name", "source", "licence", "attribution", "date")
	if err != nil {
		return err
	}
	longWork(c.w)
	if err := s.back.ImportFacts(c.r.Context(), c.scope, FactsRequest{
		Kind: c.r.PathValue("kind"), Name: v.Get("name"), From: strings.TrimSpace(v.Get("source")), Licence: strings.TrimSpace(v.Get("licence")),
		Attribution: v.Get("attribution"), Date: v.Get("date"), Body: http.MaxBytesReader(c.w, newPacer(c.w, c.r.Body), maxFacts),
	}); err != nil {
		return fmt.Errorf("facts: %w", err)
	}
	src, err := s.back.Sources(c.r.Context(), c.scope)
	if err != nil {
		return fmt.Errorf("reference data: %w", err)
	}
	return c.answer(http.StatusOK, struct {
		Sources []Source `json:"sources"`
	}{notNil(src)})
}

func (s *Server) release(c *call) error {
	var in struct {
		Revise string `json:"revise"`
	}
	if err := c.read(&in); err != nil {
		return err
	}
	longWork(c.w)
	r, err := s.back.Release(c.r.Context(), c.scope, c.r.PathValue("month"), in.Revise)
	if err != nil {
		return fmt.Errorf("release: %w", err)
	}
	return c.answer(http.StatusCreated, r)
}

type ratesView struct {
	figure.RateTable

	Period periodForm
	Of     []navItem
	Tabs   []navItem
	Title  string
	ByText string
	Lines  []rateLine
	Empty  bool
}

type rateLine struct {
	figure.RateRow

	Name string
	Href string // the figure of this row alone
}

// ratesFigure is what the page shows if no figure is named.
const ratesFigure = "infected-addresses"

func (s *Server) rates(c *call) error {
	if !c.scope.All() {
		return refusal(c.scope)
	}
	ctx := c.r.Context()
	v, err := parseQuery(c.r.URL.RawQuery, "figure", "by", "from", "to")
	if err != nil {
		return err
	}
	p, err := figureParams(v, c.status)
	if err != nil {
		return err
	}
	switch p.By {
	case query.DimNone:
		p.By = query.DimRegion
	case query.DimRegion, query.DimASN:
	default:
		return fmt.Errorf("%w: by=%s: users are known by region and asn alone", ErrBadRequest, p.By)
	}
	id := v.Get("figure")
	if id == "" {
		id = ratesFigure
	}
	t, err := s.back.Rates(ctx, c.scope, id, p)
	if err != nil {
		return fmt.Errorf("rates of %s: %w", visible(clip(64, id)), err)
	}
	var keys []string
	for _, r := range t.Rows {
		if r.Key != "" {
			keys = append(keys, r.Key)
		}
	}
	labels, err := s.back.Labels(ctx, c.scope, p.By, keys)
	if err != nil {
		return fmt.Errorf("names of %s: %w", p.By, err)
	}
	switch c.as {
	case "json":
		return c.json(t)
	case "csv":
		return c.csv(ratesCSV(&t, labels))
	}
	w := ratesView{RateTable: t, Period: newPeriodForm("/rates", v, p.Period, c.status), Title: t.Title, ByText: dimTitle(p.By), Empty: !c.status.HasData}
	for _, d := range figure.Definitions {
		if d.Place != figure.Abroad {
			w.Of = append(w.Of, navItem{href("/rates", with(v, func(x url.Values) { x.Set("figure", d.ID) })), d.Title, d.ID == id})
		}
	}
	for _, d := range figure.ByUsers {
		w.Tabs = append(w.Tabs, navItem{href("/rates", with(v, func(x url.Values) { x.Set("by", string(d)) })), dimTitle(d), d == p.By})
	}
	for _, r := range t.Rows {
		q := url.Values{"from": {p.Period.From.String()}, "to": {p.Period.To.String()}}
		addConds(q, []query.Cond{{Dim: p.By, Value: r.Key}})
		w.Lines = append(w.Lines, rateLine{r, keyText(p.By, r.Key, labels[r.Key]), href("/figures/"+url.PathEscape(id), q)})
	}
	return s.render(c, http.StatusOK, "rates", "Rates", w, "json", "csv")
}

func ratesCSV(t *figure.RateTable, labels map[string]string) []byte {
	b := csvRow(nil, "figure", "from", "to", "unit", "by", "key", "name", "value", "count", "users", "rate", "rate_low", "rate_high", "shrunk_rate", "shrunk_low", "shrunk_high",
		"funnel95_low", "funnel95_high", "funnel998_low", "funnel998_high", "place", "why_no_rate", "users_year", "users_source")
	ends := func(r *figure.Range) (lo, hi any) {
		if r == nil {
			return nil, nil
		}
		return &r[0], &r[1]
	}
	var from []string
	for _, s := range t.Sources {
		from = append(from, strings.TrimSpace(s.Name+" "+s.Date))
	}
	source := strings.Join(from, "; ")
	for _, r := range t.Rows {
		lo, hi := ends(r.Interval)
		slo, shi := ends(r.Credible)
		lo95, hi95 := ends(r.Within95)
		lo998, hi998 := ends(r.Within998)
		b = csvRow(b, t.Figure, t.Period.From, t.Period.To, t.Unit, string(t.By), r.Key, labels[r.Key], r.Value, r.Count, r.Users, r.Rate, lo, hi, r.Shrunk, slo, shi, lo95, hi95, lo998, hi998, r.Place, r.Why, nil, source)
	}
	if t.NoData {
		return b
	}
	var year any
	if t.Country.Year > 0 {
		year = t.Country.Year
	}
	lo, hi := ends(t.Country.Interval)
	return csvRow(b, t.Figure, t.Period.From, t.Period.To, t.Unit, "country", "", t.Country.Of, t.Country.Value, nil, t.Country.Users, t.Country.Rate, lo, hi, nil, nil, nil, nil, nil, nil, nil, "", "", year, source)
}

type releasedView struct {
	List    []releasedItem
	Shown   *figure.Release
	Of      Released
	Revised bool // there is another version of the month shown
	JSON    string
	CSV     string
}

type releasedItem struct {
	Released

	Href string
	Here bool
}

func (s *Server) released(c *call) error {
	ctx := c.r.Context()
	v, err := parseQuery(c.r.URL.RawQuery, "month", "revision")
	if err != nil {
		return err
	}
	list, err := s.back.Releases(ctx, c.scope)
	if err != nil {
		return fmt.Errorf("releases: %w", err)
	}
	month, revision := v.Get("month"), 0
	if x := v.Get("revision"); x != "" {
		if revision, err = strconv.Atoi(x); err != nil || revision < 1 || month == "" {
			return fmt.Errorf("%w: revision=%s: want the number of a revision, with its month", ErrBadRequest, x)
		}
	}
	if month == "" && c.as != "html" {
		if c.as == "csv" {
			b := csvRow(nil, "month", "revision", "released", "sha256", "reason")
			for _, r := range list {
				b = csvRow(b, r.Month, r.Revision, r.At, r.SHA256, r.Reason)
			}
			return c.csv(b)
		}
		return c.json(struct {
			Releases []Released `json:"releases"`
		}{notNil(list)})
	}
	w := releasedView{}
	if month == "" && len(list) > 0 {
		month = list[0].Month
	}
	if month == "" {
		return s.render(c, http.StatusOK, "released", "Released tables", w, "json", "csv")
	}
	found := false
	for _, r := range list {
		here := !found && r.Month == month && (revision == 0 || r.Revision == revision)
		if here {
			w.Of, found = r, true
		}
		w.Revised = w.Revised || r.Month == month && r.Revision > 1
		w.List = append(w.List, releasedItem{r, releasedHref(r, ""), here})
	}
	if !found {
		return fmt.Errorf("%s is not released: %w", visible(clip(20, month)), query.ErrNotFound)
	}
	b, err := s.back.Released(ctx, c.scope, w.Of.Month, w.Of.Revision)
	if err != nil {
		return fmt.Errorf("release of %s: %w", w.Of.Month, err)
	}
	if c.as == "json" { // the bytes whose SHA-256 is published
		return c.body("application/json", b)
	}
	r, err := figure.ParseRelease(b)
	if err != nil {
		return err
	}
	if c.as == "csv" {
		return c.csv(releasedCSV(&r))
	}
	w.Shown, w.JSON, w.CSV = &r, releasedHref(w.Of, "json"), releasedHref(w.Of, "csv")
	return s.render(c, http.StatusOK, "released", "Released tables", w, "json", "csv")
}

func releasedHref(r Released, format string) string {
	v := url.Values{"month": {r.Month}, "revision": {strconv.Itoa(r.Revision)}}
	if format != "" {
		v.Set("format", format)
	}
	return href("/released", v)
}

func releasedCSV(r *figure.Release) []byte {
	b := csvRow(nil, "month", "revision", "figure", "unit", "headline", "by", "row", "key", "value", "suppressed", "definition_version")
	line := func(t *figure.ReleasedTable, row, key string, v *int64, suppressed bool) {
		b = csvRow(b, r.Month, r.Revision, t.Figure, t.Unit, string(t.Headline), string(t.By), row, key, v, strconv.FormatBool(suppressed), t.Version)
	}
	for i := range r.Tables {
		t := &r.Tables[i]
		if t.NoData {
			line(t, "no data", "", nil, false)
			continue
		}
		for _, x := range t.Rows {
			line(t, "row", x.Key, x.Value, x.Suppressed)
		}
		line(t, "total of the rows", "", t.Total, t.Total == nil)
		if t.Kind == figure.Overlapping {
			line(t, "distinct", "", t.Distinct, t.Distinct == nil)
		}
	}
	return b
}

// whole writes a count, or an estimate without its decimals.
func whole(v any) string {
	switch v := v.(type) {
	case *int64:
		return group(strconv.FormatInt(*v, 10))
	case *figure.Decimal:
		return group(strconv.FormatFloat(float64(*v), 'f', 0, 64))
	}
	return ""
}
