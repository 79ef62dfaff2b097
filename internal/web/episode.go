package web

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"tocsin/internal/episode"
	"tocsin/internal/event"
	"tocsin/internal/policy"
	"tocsin/internal/query"
)

// EpisodeBackend is the part of a [Backend] that the page of one episode
// stands on.
type EpisodeBackend interface {
	// Timeline returns one episode with the days on which each witness that the
	// scope may know of saw it; [query.ErrNotFound] if there is none for the scope.
	Timeline(ctx context.Context, s policy.Scope, ref query.EpisodeRef) (query.Timeline, error)
}

// newestShown is how many events the page of an episode has.
const newestShown = 20

type episodeView struct {
	episodeRow
	Title     string
	Line      query.Period
	W         int // of the lines
	Lines     []episodeLine
	Witnesses []witnessRow
	Apart     string // what half the gaps would make, in words
	Join      string // what twice the gaps would make, in words
	Others    []episodeRow
	Events    []eventRow
	Total     int64
	EventsAt  string
	CSV       string
	Team      bool // outages and clean looks are shown
	Through   event.Day
}

// episodeLine is one row of the timeline, ten units a day.
type episodeLine struct {
	Name  string
	Runs  []lookRun // kind hold, then seen, then gap
	Hatch string    // path of the strokes over the outages
	Clean []int     // where its first clean look is, if it is on the line
	Says  string
}

// witnessRow is a witness in the table.
type witnessRow struct {
	query.Witness
	FeedsText string
	Clean     string
	Outages   string
}

// episodeHref is the address of an episode's page.
func episodeHref(e *query.Episode) string {
	v := url.Values{}
	if e.Family != "" {
		v.Set("family", e.Family)
	}
	if e.Family == "" || e.Class != event.ClassInfection && e.Class != event.ClassController {
		v.Set("type", e.TypeName)
	}
	return href("/episodes/"+e.Class.String()+"/"+e.AssetID+"/"+e.First.String(), v)
}

// episodeRef reads the address of an episode's page.
func episodeRef(c *call, v url.Values) (ref query.EpisodeRef, err error) {
	var ok bool
	if ref.Class, ok = event.ParseClass(c.r.PathValue("class")); !ok || !episode.Has(ref.Class) {
		return ref, fmt.Errorf("%w: %s has no episodes; %s do", ErrBadRequest, visible(clip(40, c.r.PathValue("class"))), classWords())
	}
	if ref.Asset, err = event.ParseID(c.r.PathValue("asset")); err != nil {
		return ref, fmt.Errorf("%w: asset: want 32 hexadecimal digits", ErrBadRequest)
	}
	if ref.Day, err = event.ParseDay(c.r.PathValue("day")); err != nil {
		return ref, fmt.Errorf("%w: %w", ErrBadRequest, err)
	}
	ref.Family, ref.Type = v.Get("family"), v.Get("type")
	return ref, nil
}

// eventsOf selects the events of an episode.
func eventsOf(t *query.Timeline) query.Events {
	e := &t.Episode
	q := query.Events{Period: query.Period{From: e.First, To: e.Last}, Classes: []event.Class{e.Class}, Asset: e.Asset, Limit: newestShown}
	if e.Family != "" {
		for _, n := range append([]string{e.Family}, t.Names...) {
			q.Where = append(q.Where, query.Cond{Dim: query.DimFamily, Value: n})
		}
	}
	if e.Family == "" || e.Class != event.ClassInfection && e.Class != event.ClassController {
		q.Where = append(q.Where, query.Cond{Dim: query.DimType, Value: e.TypeName})
	}
	return q
}

func (s *Server) episode(c *call) error {
	ctx := c.r.Context()
	v, err := parseQuery(c.r.URL.RawQuery, "family", "type")
	if err != nil {
		return err
	}
	ref, err := episodeRef(c, v)
	if err != nil {
		return err
	}
	t, err := s.back.Timeline(ctx, c.scope, ref)
	if err != nil {
		return fmt.Errorf("episode: %w", err)
	}
	q := eventsOf(&t)
	at := url.Values{"asset": {t.Episode.AssetID}, "class": {t.Episode.Class.String()}, "from": {q.Period.From.String()}, "to": {q.Period.To.String()}}
	addConds(at, q.Where)
	switch c.as {
	case "json":
		return c.json(struct {
			query.Timeline

			Events string `json:"events"` // address of its events
		}{t, href("/events", at)})
	case "csv":
		return c.csv(timelineCSV(&t))
	}
	w := newEpisodeView(&t, c.scope.All())
	w.EventsAt, w.CSV = href("/events", at), href(c.r.URL.Path, with(v, func(x url.Values) { x.Set("format", "csv") }))
	list, total, err := s.back.Events(ctx, c.scope, q)
	if err != nil {
		return fmt.Errorf("events of an episode: %w", err)
	}
	w.Total = total
	for i := range list {
		w.Events = append(w.Events, newEventRow(&list[i]))
	}
	names, err := s.back.Labels(ctx, c.scope, query.DimOrganisation, []string{t.Episode.Org})
	if err != nil {
		return fmt.Errorf("names of organisations: %w", err)
	}
	if n := names[t.Episode.Org]; n != "" {
		w.OrgName = n
	}
	return s.render(c, http.StatusOK, "episode", w.Title, w, "json", "csv")
}

func newEpisodeView(t *query.Timeline, team bool) episodeView {
	line := t.Line()
	v := episodeView{
		episodeRow: newEpisodeRow(&t.Episode, nil, line), Line: line, W: dayWidth * line.Days(), Team: team, Through: t.Through,
		Apart: apartWords(t), Join: joinWords(t),
	}
	name := t.Episode.AssetName
	if name == "" {
		name = clip(12, t.Episode.AssetID)
	}
	v.Title = clip(120, name) + ", " + clip(80, v.What)
	for i := range t.Witnesses {
		v.Lines = append(v.Lines, newEpisodeLine(&t.Episode.Witnesses[i], &t.Witnesses[i], line))
		v.Witnesses = append(v.Witnesses, newWitnessRow(&t.Episode.Witnesses[i], &t.Witnesses[i]))
	}
	for i := range t.Others {
		v.Others = append(v.Others, newEpisodeRow(&t.Others[i], nil, line))
	}
	return v
}

// newEpisodeLine draws what a witness saw. Its gap behind each sighting is
// lighter; an outage is an empty box with strokes, so that it looks like one
// without colour.
func newEpisodeLine(w *query.Witness, d *query.WitnessDays, line query.Period) episodeLine {
	l := episodeLine{Name: w.Feed}
	x := func(day event.Day) int { return int(min(max(day, line.From), line.To+1)-line.From) * dayWidth }
	run := func(kind string, from, to event.Day) { // both included
		if a, b := x(from), x(to+1); a < b {
			l.Runs = append(l.Runs, lookRun{Kind: kind, X: a, W: b - a, R: b})
		}
	}
	for i, day := range d.Seen {
		to := day + event.Day(w.Gap) //nolint:gosec // at most 14
		if i+1 < len(d.Seen) {
			to = min(to, d.Seen[i+1]-1)
		}
		run("hold", day+1, to)
	}
	for i := 0; i < len(d.Seen); {
		j := i
		for j+1 < len(d.Seen) && d.Seen[j+1] == d.Seen[j]+1 {
			j++
		}
		run("seen", d.Seen[i], d.Seen[j])
		i = j + 1
	}
	var hatch strings.Builder
	for _, p := range d.Missing {
		run("gap", p.From, p.To)
		for day := max(p.From, line.From); day <= min(p.To, line.To); day++ {
			fmt.Fprintf(&hatch, "M%d 10L%d 0", x(day), x(day+1))
		}
	}
	l.Hatch = hatch.String()
	says := []string{fmt.Sprintf("%s saw it on %s from %s to %s", w.Feed, plural(len(d.Seen), "day"), w.First, w.Last)}
	if len(d.Missing) > 0 {
		says = append(says, "did not look "+periodsText(d.Missing))
	}
	if d.Clean != nil {
		says = append(says, "looked and did not see it on "+d.Clean.String())
		if *d.Clean >= line.From && *d.Clean <= line.To {
			l.Clean = append(l.Clean, x(*d.Clean)+dayWidth/2)
		}
	}
	l.Says = strings.Join(says, "; ")
	return l
}

func newWitnessRow(w *query.Witness, d *query.WitnessDays) witnessRow {
	r := witnessRow{Witness: *w, Outages: periodsText(d.Missing)}
	feeds := make([]string, 0, len(w.Feeds))
	for _, f := range w.Feeds {
		feeds = append(feeds, f.Feed+" ("+f.Marking+")")
	}
	r.FeedsText = strings.Join(feeds, ", ")
	if d.Clean != nil {
		r.Clean = d.Clean.String()
	}
	return r
}

func plural(n int, word string) string {
	if n != 1 {
		word += "s"
	}
	return group(strconv.Itoa(n)) + " " + word
}

func periodText(p query.Period) string {
	if p.From == p.To {
		return p.From.String()
	}
	return p.From.String() + " to " + p.To.String()
}

// periodsText names the first few periods.
func periodsText(list []query.Period) string {
	words := make([]string, 0, gapsSaid)
	for _, p := range list[:min(len(list), gapsSaid)] {
		words = append(words, periodText(p))
	}
	text := strings.Join(words, ", ")
	if len(list) > gapsSaid {
		text += fmt.Sprintf(" and %s", plural(len(list)-gapsSaid, "more time"))
	}
	return text
}

// apartWords says what half the gaps would make of an episode.
func apartWords(t *query.Timeline) string {
	if len(t.Half) <= 1 {
		return "With half the gaps it would still be one."
	}
	return fmt.Sprintf("With half the gaps it would fall apart into %d: %s.", len(t.Half), periodsText(t.Half))
}

// joinWords says what twice the gaps would make of it.
func joinWords(t *query.Timeline) string {
	if e := &t.Episode; t.Twice.From < e.First || t.Twice.To > e.Last {
		return fmt.Sprintf("With twice the gaps it would be one with others of this asset, from %s.", periodText(t.Twice))
	}
	return "With twice the gaps it would be no longer."
}

// timelineCSV has a row for each witness. Days are separated by blanks, outages
// written as FROM/TO.
func timelineCSV(t *query.Timeline) []byte {
	e := &t.Episode
	b := csvRow(nil, "class", "type", "family", "asset", "asset_id", "state", "first_seen", "last_seen", "witness", "feeds", "marking", "gap_days", "witness_first_seen", "witness_last_seen", "witness_days_seen", "clean_look", "seen_on", "outages", "revised", "revised_by")
	for i, w := range e.Witnesses {
		d := &t.Witnesses[i]
		var feeds, seen, missing []string
		for _, f := range w.Feeds {
			feeds = append(feeds, f.Feed)
		}
		for _, day := range d.Seen {
			seen = append(seen, day.String())
		}
		for _, p := range d.Missing {
			missing = append(missing, p.From.String()+"/"+p.To.String())
		}
		clean := ""
		if d.Clean != nil {
			clean = d.Clean.String()
		}
		b = csvRow(b, e.Class.String(), e.TypeName, e.Family, e.AssetName, e.AssetID, string(e.State), e.First.String(), e.Last.String(), w.Feed, strings.Join(feeds, " "), w.Marking, w.Gap,
			w.First.String(), w.Last.String(), w.Days, clean, strings.Join(seen, " "), strings.Join(missing, " "), e.Revised, e.RevisedBy)
	}
	return slices.Clip(b)
}
