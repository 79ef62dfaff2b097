package web

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"tocsin/internal/event"
	"tocsin/internal/figure"
	"tocsin/internal/query"
)

type pageRoute struct {
	path  string
	forms []string
	h     handler
}

func (s *Server) pageRoutes() []pageRoute {
	return []pageRoute{
		{"/{$}", formsAll, s.overview},
		{"/figures", formsAll, s.overview},
		{"/figures/{id}", formsAll, s.figure},
		{"/events", []string{"html", "json", "csv", "idf"}, s.events},
		{"/events/{delivery}/{row}", []string{"html", "json", "raw"}, s.event},
		{"/statement", formsAll, s.statement},
		{"/records/{id}", formsAll, s.record},
		{"/episodes", formsAll, s.episodes},
		{"/episodes/{class}/{asset}/{day}", formsAll, s.episode},
		{"/coverage", formsAll, s.coverage},
		{"/loss", formsAll, s.loss},
		{"/published", formsAll, s.published},
		{"/published/{rev}", formsAll, s.revision},
		{"/deliveries", formsAll, s.deliveries},
		{"/deliveries/{id}", formsPage, s.delivery},
		{"/quarantine", formsAll, s.quarantine},
		{"/feeds", formsAll, s.feeds},
		{"/organisations", formsAll, s.organisations},
		{"/formats", formsAll, s.formats},
		{"/rates", formsAll, s.rates},
		{"/released", formsAll, s.released},
		{"/about", formsPage, s.about},
	}
}

// errNoPage is what an address gets that has no page.
var errNoPage = query.ErrNotFound

func (c *call) json(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("write JSON: %w", err)
	}
	return c.body("application/json", append(b, '\n'))
}

func (c *call) csv(b []byte) error { return c.body("text/csv; charset=utf-8", b) }

func (c *call) body(kind string, b []byte) error {
	c.w.Header().Set("Content-Type", kind)
	c.w.Header().Set("Content-Length", strconv.Itoa(len(b)))
	_, _ = c.w.Write(b) // the client is gone: nothing to tell it
	return nil
}

// href writes an address with its parameters in a fixed order.
func href(path string, v url.Values) string {
	if len(v) == 0 {
		return path
	}
	return path + "?" + v.Encode()
}

func with(v url.Values, set func(url.Values)) url.Values {
	w := url.Values{}
	for k, list := range v {
		w[k] = slices.Clone(list)
	}
	w.Del("format")
	set(w)
	return w
}

// periodForm is the choice of a period at the top of a page.
type periodForm struct {
	Action   string
	From, To string
	Days     int
	Any      bool
	Hidden   []field
	Presets  []navItem

	Outside          int // days before the first or after the last with data
	DataFrom, DataTo string
}

type field struct{ Name, Value string }

func newPeriodForm(path string, v url.Values, p query.Period, st Status, drop ...string) periodForm {
	f := periodForm{Action: path, From: p.From.String(), To: p.To.String(), Days: p.Days(), Any: p == always}
	if f.Any {
		f.From, f.To = "", ""
	}
	drop = append(drop, "from", "to", "page", "format")
	for _, k := range sorted(v) {
		if !slices.Contains(drop, k) {
			for _, s := range v[k] {
				f.Hidden = append(f.Hidden, field{k, s})
			}
		}
	}
	if st.HasData && !f.Any {
		if out := max(0, min(p.To+1, st.DataFrom)-p.From) + max(0, p.To-max(p.From-1, st.DataTo)); out > 0 {
			f.Outside = int(out)
			f.DataFrom, f.DataTo = st.DataFrom.String(), st.DataTo.String()
		}
	}
	last := lastDay(st)
	this, before := month(last, 0), month(last, -1)
	name := func(m query.Period) string { return m.From.Time().Format("January 2006") }
	thisName := name(this)
	if this.To > last {
		this.To, thisName = last, thisName+" so far"
	}
	for _, x := range []struct {
		text string
		p    query.Period
	}{
		{"last day", query.Period{From: last, To: last}},
		{"7 days", query.Period{From: last - 6, To: last}},
		{"30 days", query.Period{From: last - 29, To: last}},
		{name(before), before},
		{thisName, this},
		{"12 months", query.Period{From: month(last, -11).From, To: this.To}},
	} {
		w := with(v, func(w url.Values) {
			w.Del("page")
			w.Set("from", x.p.From.String())
			w.Set("to", x.p.To.String())
		})
		f.Presets = append(f.Presets, navItem{href(path, w), x.text, x.p == p})
	}
	return f
}

func sorted(v url.Values) []string {
	ks := make([]string, 0, len(v))
	for k := range v {
		ks = append(ks, k)
	}
	slices.Sort(ks)
	return ks
}

// chip is a condition that holds, with the address of the page without it.
type chip struct{ Dim, Text, Without string }

func (s *Server) chips(ctx context.Context, c *call, path string, v url.Values, cs []query.Cond) ([]chip, error) {
	var out []chip
	for _, cond := range cs {
		text, err := s.label(ctx, c, cond.Dim, cond.Value)
		if err != nil {
			return nil, err
		}
		if cond.Not {
			text = "not " + text
		}
		rest := slices.DeleteFunc(slices.Clone(cs), func(x query.Cond) bool { return x == cond })
		w := with(v, func(w url.Values) {
			w.Del("page")
			for _, d := range query.Dims {
				w.Del(string(d))
			}
			addConds(w, rest)
		})
		out = append(out, chip{dimTitle(cond.Dim), text, href(path, w)})
	}
	return out, nil
}

// asOf is the chip of figures that rest on an earlier version of the reference
// data.
func asOf(path string, v url.Values, p figure.Params) []chip {
	if p.Enrichment == 0 {
		return nil
	}
	return []chip{{
		"Reference data", fmt.Sprintf("as under version %d; events are listed as they stand now", p.Enrichment),
		href(path, with(v, func(w url.Values) { w.Del("enrichment") })),
	}}
}

func (s *Server) label(ctx context.Context, c *call, d query.Dim, key string) (string, error) {
	if key == "" {
		return "unknown", nil
	}
	ls, err := s.back.Labels(ctx, c.scope, d, []string{key})
	if err != nil {
		return "", fmt.Errorf("names of %s: %w", d, err)
	}
	return keyText(d, key, ls[key]), nil
}

// keyText joins a key and its name: "AS64500 Example Net", "XS Simuland".
func keyText(d query.Dim, key, name string) string {
	switch {
	case key == "":
		return "unknown"
	case d == query.DimASN && name != "":
		return "AS" + key + " " + name
	case d == query.DimASN:
		return "AS" + key
	case d == query.DimCountry && name != "":
		return key + " " + name
	case name != "":
		return name
	}
	return key
}

var dimTitles = map[query.Dim]string{
	query.DimASN: "AS", query.DimOrganisation: "Organisation", query.DimSector: "Sector", query.DimRegion: "Region", query.DimCountry: "Country",
	query.DimFamily: "Family", query.DimType: "Type", query.DimFeed: "Feed", query.DimReport: "Report",
}

func dimTitle(d query.Dim) string { return dimTitles[d] }

// Overview.

type card struct {
	figure.Figure
	Href  string
	Spark *chart
	Moved string // up, down or same
	Many  bool   // more than one kind or share to list
}

type overviewView struct {
	Period periodForm
	Cards  []card
	Empty  bool // no event at all yet
	Chips  []chip
	Prev   query.Period
}

func moved(f *figure.Figure) string {
	switch {
	case f.Change == nil:
		return ""
	case f.Change.Difference.Sum > 0:
		return "up"
	case f.Change.Difference.Sum < 0:
		return "down"
	}
	return "same"
}

func (s *Server) overview(c *call) error {
	ctx := c.r.Context()
	v, err := parseQuery(c.r.URL.RawQuery, dimParams("from", "to", "by", "enrichment")...)
	if err != nil {
		return err
	}
	p, err := figureParams(v, c.status)
	if err != nil {
		return err
	}
	doc, err := s.back.Figures(ctx, c.scope, p)
	if err != nil {
		return fmt.Errorf("figures: %w", err)
	}
	switch c.as {
	case "json":
		b, err := doc.Marshal()
		if err != nil {
			return err
		}
		return c.body("application/json", b)
	case "csv":
		return c.csv(figuresCSV(doc))
	}
	o := overviewView{Period: newPeriodForm("/", v, p.Period, c.status), Empty: !c.status.HasData, Prev: p.Period.Previous()}
	for i := range doc.Figures {
		f := &doc.Figures[i]
		o.Cards = append(o.Cards, card{
			Figure: *f, Spark: drawSeries(f, 240, 40), Moved: moved(f), Many: len(f.Kinds)+len(f.Shares) > 0,
			Href: href("/figures/"+url.PathEscape(f.ID), with(v, func(url.Values) {})),
		})
	}
	if o.Chips, err = s.chips(ctx, c, "/", v, p.Where); err != nil {
		return err
	}
	o.Chips = append(o.Chips, asOf("/", v, p)...)
	return s.render(c, http.StatusOK, "overview", "Figures", o, "json", "csv")
}

// One figure.

type figureRow struct {
	figure.Row
	Name   string
	Share  string
	Bar    string
	Events string // address of its events
	Narrow string // address of this figure narrowed to the row
}

type partRow struct {
	figure.PartValue
	Href string
}

type figureView struct {
	figure.Figure
	Def      *figure.Definition
	Period   periodForm
	Chart    *chart
	Chips    []chip
	By       []navItem
	ByTitle  string
	Rows     []figureRow
	More     int    // rows that are not shown
	MoreSum  string // what they sum to, for a partition
	Kinds    []partRow
	Shares   []partRow
	Evidence string
	Moved    string
	Empty    bool
	Mismatch bool
	Overlap  bool
	Beside   bool // the distinct number is not the value itself
}

// shownRows bounds the rows of a breakdown on a page; JSON and CSV have all.
const shownRows = 100

func eventsHref(f *figure.Figure, where []query.Cond) string {
	v := url.Values{}
	v.Set("from", f.Period.From.String())
	v.Set("to", f.Period.To.String())
	v.Set("class", f.Class.String())
	addConds(v, where)
	return href("/events", v)
}

func (s *Server) figure(c *call) error {
	ctx := c.r.Context()
	id := c.r.PathValue("id")
	def, ok := figure.Lookup(id)
	if !ok {
		return errNoPage
	}
	v, err := parseQuery(c.r.URL.RawQuery, dimParams("from", "to", "by", "enrichment")...)
	if err != nil {
		return err
	}
	p, err := figureParams(v, c.status)
	if err != nil {
		return err
	}
	if c.as == "html" && p.By == query.DimNone && !v.Has("by") {
		p.By = def.By()[0]
	}
	f, err := s.back.Figure(ctx, c.scope, id, p)
	if err != nil {
		return fmt.Errorf("figure %s: %w", id, err)
	}
	var labels map[string]string
	if f.Breakdown != nil && c.as != "json" {
		rows := f.Breakdown.Rows
		if c.as == "html" {
			rows = rows[:min(len(rows), shownRows)]
		}
		keys := make([]string, 0, len(rows))
		for _, r := range rows {
			if r.Key != "" {
				keys = append(keys, r.Key)
			}
		}
		if labels, err = s.back.Labels(ctx, c.scope, p.By, keys); err != nil {
			return fmt.Errorf("names of %s: %w", p.By, err)
		}
	}
	switch c.as {
	case "json":
		b, err := f.Marshal()
		if err != nil {
			return err
		}
		return c.body("application/json", b)
	case "csv":
		return c.csv(figureCSV(f, labels))
	}

	path := "/figures/" + url.PathEscape(id)
	w := figureView{
		Figure: f, Def: def, Period: newPeriodForm(path, v, p.Period, c.status), Chart: drawSeries(&f, 720, 200),
		Evidence: eventsHref(&f, f.Where), Moved: moved(&f), Empty: !c.status.HasData, ByTitle: dimTitle(p.By), Beside: f.Headline != figure.Distinct,
	}
	if w.Chips, err = s.chips(ctx, c, path, v, p.Where); err != nil {
		return err
	}
	w.Chips = append(w.Chips, asOf(path, v, p)...)
	for _, d := range def.By() {
		w.By = append(w.By, navItem{href(path, with(v, func(x url.Values) { x.Set("by", string(d)) })) + "#by", dimTitle(d), d == p.By})
	}
	for _, k := range f.Kinds {
		w.Kinds = append(w.Kinds, partRow{k, eventsHref(&f, k.Where)})
	}
	for _, k := range f.Shares {
		w.Shares = append(w.Shares, partRow{k, eventsHref(&f, k.Where)})
	}
	if b := f.Breakdown; b != nil {
		w.Mismatch, w.Overlap = b.Mismatch.Sum != 0, b.Kind == figure.Overlapping
		var rest figure.Number
		for i, r := range b.Rows {
			if i >= shownRows {
				w.More++
				rest.Days = r.Value.Days
				rest.Sum += r.Value.Sum
				continue
			}
			row := figureRow{Row: r, Name: keyText(p.By, r.Key, labels[r.Key]), Bar: barWidth(r.Value.Sum, b.Rows[0].Value.Sum)}
			if f.Value != nil {
				row.Share = figure.Ratio{Num: r.Value.Sum, Den: f.Value.Sum}.Percent()
			}
			one := []query.Cond{{Dim: p.By, Value: r.Key}}
			if all, ok := figure.And(f.Where, one); ok {
				row.Events = eventsHref(&f, all)
			}
			if mine, ok := figure.And(p.Where, one); ok {
				row.Narrow = href(path, with(v, func(x url.Values) {
					for _, d := range query.Dims {
						x.Del(string(d))
					}
					x.Del("by")
					addConds(x, mine)
				}))
			}
			w.Rows = append(w.Rows, row)
		}
		if w.More > 0 && !w.Overlap {
			w.MoreSum = group(rest.String())
		}
	}
	return s.render(c, http.StatusOK, "figure", f.Title, w, "json", "csv")
}

// Events.

type eventRow struct {
	query.Event
	Href    string
	Class   string
	Subject string
	Host    string // a name beside an address
	AS      string
	What    string
}

type pager struct {
	Page, Pages int
	From, To    int64
	Total       int64
	Prev, Next  string
}

func newPager(path string, v url.Values, page, limit int, shown int, total int64) pager {
	p := pager{Page: page, Total: total, Pages: int((total + int64(limit) - 1) / int64(limit))}
	if shown > 0 {
		p.From = int64(page-1)*int64(limit) + 1
		p.To = p.From + int64(shown) - 1
	}
	to := func(n int) string {
		return href(path, with(v, func(w url.Values) { w.Set("page", strconv.Itoa(n)) }))
	}
	if page > 1 {
		p.Prev = to(page - 1)
	}
	if int64(page)*int64(limit) < total && page < maxPage {
		p.Next = to(page + 1)
	}
	return p
}

type eventsView struct {
	Period  periodForm
	Classes []classItem
	Text    string
	Chips   []chip
	Rows    []eventRow
	Pager   pager
	IDF     string
	CSV     string
	Empty   bool // no event at all yet
}

type classItem struct {
	Name string
	On   bool
}

func (s *Server) events(c *call) error {
	ctx := c.r.Context()
	v, err := parseQuery(c.r.URL.RawQuery, dimParams("from", "to", "class", "delivery", "asset", "q", "page", "limit")...)
	if err != nil {
		return err
	}
	q, page, err := eventsParams(v, c.status)
	if err != nil {
		return err
	}
	if streams(c.as) {
		q.Limit, q.Offset = 0, 0
		return s.export(c, q)
	}
	list, total, err := s.back.Events(ctx, c.scope, q)
	if err != nil {
		return fmt.Errorf("events: %w", err)
	}
	if c.as == "json" {
		return s.eventsJSON(c, q, page, list, total)
	}
	w := eventsView{
		Period: newPeriodForm("/events", v, q.Period, c.status, "q", "class"), Text: q.Text,
		Pager: newPager("/events", v, page, q.Limit, len(list), total), Empty: !c.status.HasData,
	}
	all := with(v, func(w url.Values) { w.Del("page"); w.Del("limit") })
	w.IDF = href("/events", with(all, func(w url.Values) { w.Set("format", "idf") }))
	w.CSV = href("/events", with(all, func(w url.Values) { w.Set("format", "csv") }))
	for cl := range event.Classes {
		w.Classes = append(w.Classes, classItem{cl.String(), slices.Contains(q.Classes, cl)})
	}
	if w.Chips, err = s.chips(ctx, c, "/events", v, q.Where); err != nil {
		return err
	}
	for _, k := range []string{"delivery", "asset"} {
		if x := v.Get(k); x != "" {
			w.Chips = append(w.Chips, chip{k, x, href("/events", with(v, func(w url.Values) { w.Del(k); w.Del("page") }))})
		}
	}
	for i := range list {
		w.Rows = append(w.Rows, newEventRow(&list[i]))
	}
	return s.render(c, http.StatusOK, "events", "Events", w, "json")
}

func newEventRow(e *query.Event) eventRow {
	r := eventRow{Event: *e, Href: fmt.Sprintf("/events/%s/%d", deliveryID(e.Delivery), e.Row), Class: e.Class().String()}
	end := e.SubjectEnd()
	switch e.Subject.Kind {
	case event.SubjectURL:
		r.Subject = defang(end.URL)
	case event.SubjectName:
		r.Subject = end.FQDN
	case event.SubjectAccount:
		r.Subject = end.Account
	case event.SubjectNetwork:
		r.Subject = end.Network
	case event.SubjectOrganisation:
		r.Subject = e.Subject.Organisation
	case event.SubjectAddress, event.SubjectNone:
	}
	switch {
	case r.Subject == "" && end.IP.IsValid():
		r.Subject, r.Host = end.IP.String(), end.FQDN
		if e.Note.Asset.Kind == event.AssetService && end.Port != 0 {
			r.Subject = fmt.Sprintf("%s port %d", r.Subject, end.Port)
		}
	case end.IP.IsValid():
		r.Host = end.IP.String()
	}
	if e.Note.ASN != 0 {
		r.AS = "AS" + strconv.FormatUint(uint64(e.Note.ASN), 10)
	}
	r.What = e.Family
	if r.What == "" {
		r.What = e.Identifier
	}
	if r.What == "" {
		r.What = e.Type.String()
	}
	return r
}

// eventsJSON writes a page of events as IDF objects, with the annotation
// beside each.
func (s *Server) eventsJSON(c *call, q query.Events, page int, list []query.Event, total int64) error {
	b := fmt.Appendf(nil, `{"total":%d,"page":%d,"limit":%d,"events":[`, total, page, q.Limit)
	for i := range list {
		if i > 0 {
			b = append(b, ',')
		}
		var err error
		if b, err = s.eventJSON(b, &list[i]); err != nil {
			return err
		}
	}
	return c.body("application/json", append(b, ']', '}', '\n'))
}

type noteJSON struct {
	Class            string `json:"class"`
	Delivery         string `json:"delivery"`
	Row              uint32 `json:"row"`
	DeliveryName     string `json:"delivery_name"`
	DeliverySHA256   string `json:"delivery_sha256"`
	SubjectSide      string `json:"subject_side"`
	SubjectRole      string `json:"subject_role"`
	PeerRole         string `json:"peer_role"`
	AssetKind        string `json:"asset_kind"`
	AssetKey         string `json:"asset_key"`
	Asset            string `json:"asset"`
	ASN              uint32 `json:"asn"`
	ASName           string `json:"as_name"`
	Country          string `json:"country"`
	Domain           string `json:"domain"`
	Organisation     string `json:"organisation"`
	OrganisationName string `json:"organisation_name"`
	Sector           string `json:"sector"`
	Region           string `json:"region"`
	Enrichment       uint32 `json:"enrichment"`
}

func side(sd event.Side) string {
	if sd == event.SideDestination {
		return "destination"
	}
	return "source"
}

func (s *Server) eventJSON(b []byte, e *query.Event) ([]byte, error) {
	b = append(b, `{"id":"`...)
	b = append(b, e.ID.String()...)
	b = append(b, `","event":`...)
	b = s.idf(b, &e.Event, e.Feed)
	n, err := json.Marshal(noteJSON{
		e.Class().String(), deliveryID(e.Delivery), e.Row, e.DeliveryName, e.DeliverySHA, side(e.Subject.Side), e.Subject.Role.String(), e.Subject.Peer.String(),
		e.Note.Asset.Kind.String(), e.Note.Asset.Key.String(), assetText(&e.Note.Asset), e.Note.ASN, e.ASName, e.Note.CC, e.Note.Domain,
		e.Note.Organisation, e.OrgName, e.Note.Sector, e.Note.Region, e.Enrichment,
	})
	if err != nil {
		return nil, fmt.Errorf("write event: %w", err)
	}
	b = append(b, `,"note":`...)
	b = append(b, n...)
	return append(b, '}'), nil
}

// exportPause is how long one write of an export may take; the whole may take
// as long as it moves.
const exportPause = 60 * time.Second

// export streams all events as IDF lines or CSV, holding one buffer of them.
// Where it breaks off in the middle, so does the transfer: what arrives whole
// is whole.
func (s *Server) export(c *call, q query.Events) error {
	next, stop := iter.Pull2(s.back.EventsSeq(c.r.Context(), c.scope, q))
	defer stop()
	const full = 64 << 10
	b := make([]byte, 0, full+8<<10)
	kind := "application/x-ndjson"
	if c.as == "csv" {
		kind = "text/csv; charset=utf-8"
		b = csvRow(b, eventColumns...)
	}
	started := false
	rc := http.NewResponseController(c.w)
	flush := func() error {
		if !started {
			c.w.Header().Set("Content-Type", kind)
			started = true
		}
		// Not every writer has deadlines; the server's own holds then.
		_ = rc.SetWriteDeadline(time.Now().Add(exportPause))
		_, err := c.w.Write(b)
		b = b[:0]
		return err
	}
	for {
		e, err, ok := next()
		switch {
		case !ok:
			return flush()
		case err != nil && !started:
			return fmt.Errorf("export events: %w", err)
		case err != nil:
			s.log.LogAttrs(c.r.Context(), slog.LevelError, "export broke off", slog.Any("error", err))
			panic(http.ErrAbortHandler)
		}
		if c.as == "csv" {
			b = eventCSV(b, &e)
		} else {
			b = append(s.idf(b, &e.Event, e.Feed), '\n')
		}
		if len(b) >= full {
			if err := flush(); err != nil {
				panic(http.ErrAbortHandler) // the client is gone
			}
		}
	}
}

// One event.

type pair struct{ Name, Value string }

type endRow struct{ Name, Source, Destination string }

type eventView struct {
	query.Event
	Class    string
	Taxonomy string
	Side     string
	Row1     eventRow // as in a list
	Other    string   // the other end's address or name
	Asset    string
	SameHref string
	Ends     []endRow
	Facts    []pair
	Extra    []pair
	ExtraBad string
	Delivery string
	Raw      string
	RawSize  int
	RawCut   bool
	RawHref  string
	IDF      string
}

// maxShown bounds what of one value or row is shown on a page, in bytes; JSON
// and the raw form have all.
const (
	maxShown     = 4 << 10
	maxShownRow  = 64 << 10
	maxShownKeys = 500
)

func (s *Server) event(c *call) error {
	if _, err := parseQuery(c.r.URL.RawQuery); err != nil {
		return err
	}
	d, err := parseDelivery(c.r.PathValue("delivery"))
	if err != nil {
		return errNoPage
	}
	row, err := strconv.ParseUint(c.r.PathValue("row"), 10, 32)
	if err != nil || row == 0 || strconv.FormatUint(row, 10) != c.r.PathValue("row") {
		return errNoPage
	}
	e, raw, err := s.back.Event(c.r.Context(), c.scope, d, uint32(row))
	if err != nil {
		return fmt.Errorf("event %s/%d: %w", deliveryID(d), row, err)
	}
	switch c.as {
	case "raw":
		c.w.Header().Set("Content-Disposition", fmt.Sprintf(`attachment; filename="%s-%d.txt"`, deliveryID(d), row))
		c.w.Header().Set("Content-Security-Policy", "default-src 'none'; sandbox")
		return c.body("application/octet-stream", raw)
	case "json":
		b, err := s.eventJSON(nil, &e)
		if err != nil {
			return err
		}
		r, err := json.Marshal(raw) // base64: the bytes may be anything
		if err != nil {
			return fmt.Errorf("write event: %w", err)
		}
		b = append(b[:len(b)-1], `,"raw_base64":`...)
		b = append(b, r...)
		return c.body("application/json", append(b, '}', '\n'))
	}
	v := eventView{
		Event: e, Class: e.Class().String(), Taxonomy: taxonomy(&e), Side: side(e.Subject.Side), Asset: assetText(&e.Note.Asset),
		Delivery: deliveryID(e.Delivery), RawSize: len(raw), IDF: visible(clip(maxShownRow, string(s.idf(nil, &e.Event, e.Feed)))),
		RawHref: c.r.URL.Path + "?format=raw",
	}
	if (e.Note.Asset.Key != event.ID{}) {
		v.SameHref = "/events?asset=" + e.Note.Asset.Key.String()
	}
	v.Row1 = newEventRow(&e)
	other := &e.Destination
	if e.Subject.Side == event.SideDestination {
		other = &e.Source
	}
	if v.Other = other.FQDN; v.Other == "" && other.IP.IsValid() {
		v.Other = other.IP.String()
	}
	v.RawCut = len(raw) > maxShownRow
	v.Raw = visible(string(raw[:min(len(raw), maxShownRow)]))
	v.Ends = ends(&e)
	v.Facts = facts(&e)
	v.Extra, v.ExtraBad = extras(e.Extra)
	return s.render(c, http.StatusOK, "event", fmt.Sprintf("Event %s row %d", v.Delivery, e.Row), &v, "json")
}

func ends(e *query.Event) []endRow {
	num := func(n uint64) string {
		if n == 0 {
			return ""
		}
		return strconv.FormatUint(n, 10)
	}
	ip := func(x *event.End) string {
		if !x.IP.IsValid() {
			return ""
		}
		return x.IP.String()
	}
	a, b := &e.Source, &e.Destination
	all := []endRow{
		{"ip", ip(a), ip(b)},
		{"port", num(uint64(a.Port)), num(uint64(b.Port))},
		{"fqdn", a.FQDN, b.FQDN},
		{"reverse_dns", a.ReverseDNS, b.ReverseDNS},
		{"url", defang(a.URL), defang(b.URL)},
		{"account", a.Account, b.Account},
		{"network", a.Network, b.Network},
		{"asn", num(uint64(a.ASN)), num(uint64(b.ASN))},
		{"geolocation.cc", a.CC, b.CC},
		{"geolocation.region", a.Region, b.Region},
		{"geolocation.city", a.City, b.City},
	}
	return slices.DeleteFunc(all, func(r endRow) bool { return r.Source == "" && r.Destination == "" })
}

func facts(e *query.Event) []pair {
	confidence := ""
	if e.Confidence != event.NoConfidence {
		confidence = strconv.Itoa(int(e.Confidence)) + " of 100"
	}
	observed := ""
	if e.Observed != 0 {
		observed = time.UnixMicro(e.Observed).UTC().Format("2006-01-02 15:04:05") + " UTC"
	}
	all := []pair{
		{"Identifier", e.Identifier},
		{"Family", e.Family},
		{"Severity", e.Severity.String()},
		{"Confidence", confidence},
		{"Marking", "TLP:" + e.Marking.String()},
		{"Observed", observed},
		{"Transport", e.Transport},
		{"Application", e.Application},
		{"Product", join(e.ProductVendor, e.ProductName, e.ProductVersion)},
		{"Vulnerabilities", e.Vulnerabilities},
		{"Organisation named", e.Subject.Organisation},
	}
	return slices.DeleteFunc(all, func(p pair) bool { return p.Value == "" || p.Value == "TLP:" })
}

func join(parts ...string) string {
	var b bytes.Buffer
	for _, p := range parts {
		if p != "" && b.Len() > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(p)
	}
	return b.String()
}

// extras lists the further cells in their order, or gives the text as it is
// where it cannot be read.
func extras(b []byte) (ps []pair, bad string) {
	if len(bytes.TrimSpace(b)) == 0 {
		return nil, ""
	}
	d := json.NewDecoder(bytes.NewReader(b))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, clip(maxShownRow, string(b))
	}
	for d.More() {
		k, err := d.Token()
		if err != nil {
			return nil, clip(maxShownRow, string(b))
		}
		var raw json.RawMessage
		if err := d.Decode(&raw); err != nil {
			return nil, clip(maxShownRow, string(b))
		}
		v := string(raw)
		var text string
		if json.Unmarshal(raw, &text) == nil && len(raw) > 0 && raw[0] == '"' {
			v = text
		}
		name, _ := k.(string)
		if urlLike(v) {
			v = defang(v)
		}
		ps = append(ps, pair{clip(200, name), clip(maxShown, v)})
		if len(ps) == maxShownKeys {
			ps = append(ps, pair{"…", "further cells: see the JSON of this page"})
			break
		}
	}
	return ps, ""
}

func urlLike(s string) bool {
	for _, p := range []string{"http://", "https://", "ftp://"} {
		if len(s) >= len(p) && strings.EqualFold(s[:len(p)], p) {
			return true
		}
	}
	return false
}

// Deliveries and quarantine.

type deliveryRow struct {
	query.Delivery
	Href string
	Off  int64 // received that is not accounted for; 0 once loaded
}

func newDeliveryRow(d query.Delivery) deliveryRow {
	r := deliveryRow{Delivery: d, Href: "/deliveries/" + url.PathEscape(d.ID)}
	if d.State == query.StateLoaded {
		r.Off = d.Received - d.Accepted - d.Duplicate - d.Quarantined
	}
	return r
}

type listView struct {
	Deliveries []deliveryRow
	Quarantine []query.Quarantined
	Reasons    []navItem
	Pager      pager
	Chips      []chip
	States     []classItem
	Feed       string
}

func listChips(path string, v url.Values, names ...string) []chip {
	var out []chip
	for _, k := range names {
		if x := v.Get(k); x != "" {
			out = append(out, chip{k, x, href(path, with(v, func(w url.Values) { w.Del(k); w.Del("page") }))})
		}
	}
	return out
}

func (s *Server) deliveries(c *call) error {
	v, err := parseQuery(c.r.URL.RawQuery, "feed", "state", "page", "limit")
	if err != nil {
		return err
	}
	f := DeliveryFilter{Feed: v.Get("feed"), State: query.State(v.Get("state"))}
	states := []query.State{query.StateWaiting, query.StateLoading, query.StateLoaded, query.StateRefused, query.StateWithdrawn}
	if f.State != "" && !slices.Contains(states, f.State) {
		return fmt.Errorf("%w: state=%s: want one of %v", ErrBadRequest, f.State, states)
	}
	page, err := pageOf(v, &f.Limit, &f.Offset)
	if err != nil {
		return err
	}
	ds, total, err := s.back.Deliveries(c.r.Context(), c.scope, f)
	if err != nil {
		return fmt.Errorf("deliveries: %w", err)
	}
	switch c.as {
	case "json":
		return c.json(struct {
			Total      int64            `json:"total"`
			Page       int              `json:"page"`
			Limit      int              `json:"limit"`
			Deliveries []query.Delivery `json:"deliveries"`
		}{total, page, f.Limit, notNil(ds)})
	case "csv":
		return c.csv(deliveriesCSV(ds))
	}
	l := listView{Pager: newPager("/deliveries", v, page, f.Limit, len(ds), total), Chips: listChips("/deliveries", v, "feed", "state"), Feed: f.Feed}
	for _, st := range states {
		l.States = append(l.States, classItem{string(st), st == f.State})
	}
	for _, d := range ds {
		l.Deliveries = append(l.Deliveries, newDeliveryRow(d))
	}
	return s.render(c, http.StatusOK, "deliveries", "Deliveries", l, "json", "csv")
}

func notNil[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

type deliveryView struct {
	deliveryRow
	Quarantine QuarantinePage
	Events     string
	Rows       string
}

func (s *Server) delivery(c *call) error {
	if _, err := parseQuery(c.r.URL.RawQuery); err != nil {
		return err
	}
	id := c.r.PathValue("id")
	if _, err := parseDelivery(id); err != nil {
		return errNoPage
	}
	d, err := s.back.Delivery(c.r.Context(), c.scope, id)
	if err != nil {
		return fmt.Errorf("delivery %s: %w", id, err)
	}
	if c.as == "json" {
		return c.json(d)
	}
	v := deliveryView{deliveryRow: newDeliveryRow(d), Events: "/events?delivery=" + url.QueryEscape(d.ID), Rows: "/quarantine?delivery=" + url.QueryEscape(d.ID)}
	if d.Quarantined > 0 {
		if v.Quarantine, err = s.back.Quarantine(c.r.Context(), c.scope, QuarantineFilter{Delivery: d.ID, Limit: 20}); err != nil {
			return fmt.Errorf("quarantine of %s: %w", id, err)
		}
	}
	return s.render(c, http.StatusOK, "delivery", "Delivery "+d.ID, v, "json")
}

func (s *Server) quarantine(c *call) error {
	v, err := parseQuery(c.r.URL.RawQuery, "feed", "delivery", "reason", "page", "limit")
	if err != nil {
		return err
	}
	f := QuarantineFilter{Feed: v.Get("feed"), Delivery: v.Get("delivery"), Reason: v.Get("reason")}
	if f.Delivery != "" {
		if _, err := parseDelivery(f.Delivery); err != nil {
			return err
		}
	}
	page, err := pageOf(v, &f.Limit, &f.Offset)
	if err != nil {
		return err
	}
	p, err := s.back.Quarantine(c.r.Context(), c.scope, f)
	if err != nil {
		return fmt.Errorf("quarantine: %w", err)
	}
	switch c.as {
	case "json":
		p.Rows, p.Reasons = notNil(p.Rows), notNil(p.Reasons)
		return c.json(p)
	case "csv":
		return c.csv(quarantineCSV(p.Rows))
	}
	l := listView{Quarantine: p.Rows, Pager: newPager("/quarantine", v, page, f.Limit, len(p.Rows), p.Total), Chips: listChips("/quarantine", v, "feed", "delivery", "reason")}
	for _, t := range p.Reasons {
		w := with(v, func(w url.Values) { w.Set("reason", t.Key); w.Del("page") })
		l.Reasons = append(l.Reasons, navItem{href("/quarantine", w), t.Key + " " + group(strconv.FormatInt(t.Count, 10)), t.Key == f.Reason})
	}
	return s.render(c, http.StatusOK, "quarantine", "Quarantine", l, "json", "csv")
}

// The rest.

type feedRow struct {
	query.Feed
	Deliveries  string
	Events      string
	Quarantined string
	Off         int64
	Count       int64
}

func (s *Server) feeds(c *call) error {
	if _, err := parseQuery(c.r.URL.RawQuery); err != nil {
		return err
	}
	fs, err := s.back.Feeds(c.r.Context(), c.scope)
	if err != nil {
		return fmt.Errorf("feeds: %w", err)
	}
	switch c.as {
	case "json":
		return c.json(struct {
			Feeds []query.Feed `json:"feeds"`
		}{notNil(fs)})
	case "csv":
		return c.csv(feedsCSV(fs))
	}
	rows := make([]feedRow, 0, len(fs))
	for _, f := range fs {
		q := url.Values{"feed": {f.Name}}
		rows = append(rows, feedRow{
			Feed: f, Count: f.Deliveries, Deliveries: href("/deliveries", q), Quarantined: href("/quarantine", q),
			Events: href("/events", url.Values{"feed": {condValue(query.Cond{Dim: query.DimFeed, Value: f.Name})}}),
			Off:    f.Received - f.Accepted - f.Duplicate - f.Quarantine,
		})
	}
	return s.render(c, http.StatusOK, "feeds", "Feeds", rows, "json", "csv")
}

type organisationRow struct {
	Organisation
	Events, Figures string
	Shown           []string
	More            int
}

func (s *Server) organisations(c *call) error {
	v, err := parseQuery(c.r.URL.RawQuery, "page", "limit")
	if err != nil {
		return err
	}
	os, err := s.back.Organisations(c.r.Context(), c.scope)
	if err != nil {
		return fmt.Errorf("organisations: %w", err)
	}
	switch c.as {
	case "json":
		return c.json(struct {
			Organisations []Organisation `json:"organisations"`
		}{notNil(os)})
	case "csv":
		return c.csv(organisationsCSV(os))
	}
	var limit, offset int
	page, err := pageOf(v, &limit, &offset)
	if err != nil {
		return err
	}
	total := int64(len(os))
	os = os[min(offset, len(os)):]
	os = os[:min(limit, len(os))]
	rows := make([]organisationRow, 0, len(os))
	for _, o := range os {
		q := url.Values{"organisation": {condValue(query.Cond{Dim: query.DimOrganisation, Value: o.ID})}}
		r := organisationRow{Organisation: o, Events: href("/events", q), Figures: href("/", q), Shown: o.Networks}
		if len(r.Shown) > 6 {
			r.Shown, r.More = r.Shown[:6], len(o.Networks)-6
		}
		rows = append(rows, r)
	}
	return s.render(c, http.StatusOK, "organisations", "Organisations", struct {
		Rows  []organisationRow
		Pager pager
	}{rows, newPager("/organisations", v, page, limit, len(rows), total)}, "json", "csv")
}

func (s *Server) formats(c *call) error {
	if _, err := parseQuery(c.r.URL.RawQuery); err != nil {
		return err
	}
	fs := s.back.Formats()
	switch c.as {
	case "json":
		return c.json(struct {
			Formats []Format `json:"formats"`
		}{notNil(fs)})
	case "csv":
		return c.csv(formatsCSV(fs))
	}
	return s.render(c, http.StatusOK, "formats", "Formats", fs, "json", "csv")
}

type breakdownText struct{ Kind, By string }

type aboutDef struct {
	*figure.Definition
	Breaks []breakdownText
}

func (s *Server) about(c *call) error {
	if _, err := parseQuery(c.r.URL.RawQuery); err != nil {
		return err
	}
	src, err := s.back.Sources(c.r.Context(), c.scope)
	if err != nil {
		return fmt.Errorf("reference data: %w", err)
	}
	if c.as == "json" {
		return c.json(struct {
			Status  Status   `json:"status"`
			Sources []Source `json:"sources"`
		}{c.status, notNil(src)})
	}
	var defs []aboutDef
	for i := range figure.Definitions {
		d := aboutDef{Definition: &figure.Definitions[i]}
		for _, k := range []figure.BreakdownKind{figure.Partition, figure.Overlapping} {
			var by string
			for _, dim := range d.By() {
				if d.Breakdowns[dim] == k {
					if by != "" {
						by += ", "
					}
					by += dimTitle(dim)
				}
			}
			if by != "" {
				d.Breaks = append(d.Breaks, breakdownText{string(k), by})
			}
		}
		defs = append(defs, d)
	}
	return s.render(c, http.StatusOK, "about", "About", struct {
		Status  Status
		Sources []Source
		Defs    []aboutDef
	}{c.status, src, defs}, "json")
}
