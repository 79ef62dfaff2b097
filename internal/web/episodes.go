package web

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"tocsin/internal/episode"
	"tocsin/internal/query"
)

type episodesView struct {
	Period  periodForm
	Classes []classItem
	States  []classItem
	Text    string
	Started bool
	Counted string // "", 1 or 0
	Revised bool
	Chips   []chip
	Rows    []episodeRow
	Pager   pager
	CSV     string
	AsOf    query.EpisodesAsOf
	Empty   bool // no event at all yet
}

// episodeRow is an episode on a page. Bars are its witnesses' days on a line
// that is the period, in thousandths of it.
type episodeRow struct {
	query.Episode
	What    string
	AS      string
	OrgName string
	Span    int    // days from the first to the last, both included
	Page    string // its own address
	Href    string // its events
	Bars    []bar
	Says    string // what the line shows, for those who do not see it
}

type bar struct{ X, W, Y int }

// barHeight is the height of one witness's bar; four of them fill a line.
const (
	barHeight = 5
	barsShown = 4
)

// episodesParams reads what the list of episodes takes.
func episodesParams(v url.Values, st Status) (query.Episodes, int, error) {
	var q query.Episodes
	e, page, err := eventsParams(v, st)
	if err != nil {
		return q, 0, err
	}
	switch s := v.Get("revised"); s {
	case "", "1":
	default:
		return q, 0, fmt.Errorf("%w: revised=%s: want 1, or nothing", ErrBadRequest, s)
	}
	q = query.Episodes{Revised: v.Get("revised") == "1", Period: e.Period, Classes: e.Classes, Where: e.Where, Asset: e.Asset, Text: e.Text, Limit: e.Limit, Offset: e.Offset}
	for _, c := range q.Classes {
		if !episode.Has(c) {
			return q, 0, fmt.Errorf("%w: class=%s has no episodes; those of %s do", ErrBadRequest, c, classWords())
		}
	}
	for _, c := range q.Where {
		if c.Dim == query.DimReport {
			return q, 0, fmt.Errorf("%w: an episode has no report type; its events have", ErrBadRequest)
		}
	}
	if s := query.EpisodeState(v.Get("state")); s != "" {
		if !slices.Contains(query.EpisodeStates, s) {
			return q, 0, fmt.Errorf("%w: state=%s: want one of %v", ErrBadRequest, s, query.EpisodeStates)
		}
		q.State = s
	}
	switch s := v.Get("started"); s {
	case "":
	case "1":
		q.Started = true
	default:
		return q, 0, fmt.Errorf("%w: started=%s: want 1, or nothing", ErrBadRequest, s)
	}
	switch s := v.Get("incident"); s {
	case "":
	case "0", "1":
		q.Incident = new(s == "1")
	default:
		return q, 0, fmt.Errorf("%w: incident=%s: want 1, 0, or nothing", ErrBadRequest, s)
	}
	return q, page, nil
}

func classWords() string {
	words := make([]string, len(episode.Classes))
	for i, c := range episode.Classes {
		words[i] = c.String()
	}
	return strings.Join(words, ", ")
}

func (s *Server) episodes(c *call) error {
	ctx := c.r.Context()
	v, err := parseQuery(c.r.URL.RawQuery, dimParams("from", "to", "class", "state", "started", "incident", "revised", "asset", "q", "page", "limit")...)
	if err != nil {
		return err
	}
	q, page, err := episodesParams(v, c.status)
	if err != nil {
		return err
	}
	list, total, as, err := s.back.Episodes(ctx, c.scope, q)
	if err != nil {
		return fmt.Errorf("episodes: %w", err)
	}
	switch c.as {
	case "json":
		return c.json(struct {
			Total    int64              `json:"total"`
			Page     int                `json:"page"`
			Limit    int                `json:"limit"`
			AsOf     query.EpisodesAsOf `json:"as_of"`
			Episodes []query.Episode    `json:"episodes"`
		}{total, page, q.Limit, as, notNil(list)})
	case "csv":
		return c.csv(episodesCSV(list))
	}
	w := episodesView{
		Period: newPeriodForm("/episodes", v, q.Period, c.status, "q", "class", "state", "started", "incident", "revised"), Revised: q.Revised, Text: q.Text, Started: q.Started, Counted: v.Get("incident"),
		Pager: newPager("/episodes", v, page, q.Limit, len(list), total), AsOf: as, Empty: !c.status.HasData,
		CSV: href("/episodes", with(v, func(w url.Values) { w.Set("format", "csv") })),
	}
	for _, cl := range episode.Classes {
		w.Classes = append(w.Classes, classItem{cl.String(), slices.Contains(q.Classes, cl)})
	}
	for _, st := range query.EpisodeStates {
		w.States = append(w.States, classItem{string(st), st == q.State})
	}
	if w.Chips, err = s.chips(ctx, c, "/episodes", v, q.Where); err != nil {
		return err
	}
	if x := v.Get("asset"); x != "" {
		w.Chips = append(w.Chips, chip{"asset", x, href("/episodes", with(v, func(w url.Values) { w.Del("asset"); w.Del("page") }))})
	}
	orgs := make([]string, 0, len(list))
	for i := range list {
		orgs = append(orgs, list[i].Org)
	}
	names, err := s.back.Labels(ctx, c.scope, query.DimOrganisation, orgs)
	if err != nil {
		return fmt.Errorf("names of organisations: %w", err)
	}
	line := q.Period
	if line == always {
		line = query.Period{From: c.status.DataFrom, To: c.status.DataTo}
	}
	for i := range list {
		w.Rows = append(w.Rows, newEpisodeRow(&list[i], names, line))
	}
	return s.render(c, http.StatusOK, "episodes", "Episodes", w, "json", "csv")
}

func newEpisodeRow(e *query.Episode, names map[string]string, line query.Period) episodeRow {
	r := episodeRow{Episode: *e, What: e.Family, Span: int(e.Last-e.First) + 1, OrgName: names[e.Org]}
	if r.OrgName == "" {
		r.OrgName = e.Org
	}
	if r.What == "" {
		r.What = e.TypeName
	}
	if e.ASN != 0 {
		r.AS = "AS" + strconv.FormatUint(uint64(e.ASN), 10)
	}
	r.Page = episodeHref(e)
	r.Href = href("/events", url.Values{"asset": {e.AssetID}, "class": {e.Class.String()}, "from": {e.First.String()}, "to": {e.Last.String()}})
	feeds := make([]string, 0, len(e.Witnesses))
	for i, w := range e.Witnesses {
		feeds = append(feeds, w.Feed)
		from, to := max(w.First, line.From), min(w.Last, line.To)
		if i >= barsShown || from > to {
			continue
		}
		n := line.Days()
		x := int(from-line.From) * 1000 / n
		r.Bars = append(r.Bars, bar{x, max(4, int(to-line.From+1)*1000/n-x), i * barHeight})
	}
	r.Says = fmt.Sprintf("Seen from %s to %s by %s", e.First, e.Last, strings.Join(feeds, ", "))
	return r
}

func episodesCSV(list []query.Episode) []byte {
	b := csvRow(nil, "class", "type", "family", "asset", "asset_id", "state", "first_seen", "last_seen", "days_seen", "feeds", "asn", "country", "organisation", "sector", "region", "incident", "revised", "revised_by")
	for _, e := range list {
		feeds := make([]string, 0, len(e.Witnesses))
		for _, w := range e.Witnesses {
			feeds = append(feeds, w.Feed)
		}
		b = csvRow(b, e.Class.String(), e.TypeName, e.Family, e.AssetName, e.AssetID, string(e.State), e.First.String(), e.Last.String(), e.Days, strings.Join(feeds, " "), e.ASN, e.CC, e.Org, e.Sector, e.Region, strconv.FormatBool(e.Incident), e.Revised, e.RevisedBy)
	}
	return b
}
