package web

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"tocsin/internal/event"
	"tocsin/internal/figure"
	"tocsin/internal/policy"
	"tocsin/internal/query"
)

// PublishedBackend keeps published documents. Reading is for those who see
// everything; [query.ErrNotFound] for others.
type PublishedBackend interface {
	// Publish makes the document of a period and journals it as a revision. One
	// that was published before, byte for byte, is returned with Unchanged set; one
	// that differs from the last of its period without a reason is [ErrConflict].
	Publish(ctx context.Context, s policy.Scope, p query.Period, why string) (query.Revision, error)
	// Published lists all revisions, the newest first.
	Published(ctx context.Context, s policy.Scope) ([]query.Revision, error)
	// Document returns the bytes of a revision as they were published.
	Document(ctx context.Context, s policy.Scope, revision int) ([]byte, error)
}

// The form of the list as JSON.
type publishedList struct {
	Published []query.Revision `json:"published"`
}

func (s *Server) published(c *call) error {
	if _, err := parseQuery(c.r.URL.RawQuery); err != nil {
		return err
	}
	list, err := s.back.Published(c.r.Context(), c.scope)
	if err != nil {
		return fmt.Errorf("published: %w", err)
	}
	switch c.as {
	case "json":
		return c.json(publishedList{notNil(list)})
	case "csv":
		return c.csv(publishedCSV(list))
	}
	return s.render(c, http.StatusOK, "published", "Published", list, "json", "csv")
}

func (s *Server) publishedList(c *call) error {
	list, err := s.back.Published(c.r.Context(), c.scope)
	if err != nil {
		return fmt.Errorf("published: %w", err)
	}
	return c.answer(http.StatusOK, publishedList{notNil(list)})
}

func publishedCSV(list []query.Revision) []byte {
	b := csvRow(nil, "revision", "from", "to", "of_period", "supersedes", "at", "by", "why", "differs", "rest_differs", "sha256", "size", "through", "program", "enrichment", "reenriched", "seed")
	for _, r := range list {
		b = csvRow(b, r.Revision, r.Period.From, r.Period.To, r.OfPeriod, r.Supersedes, r.At, r.By, r.Why, strings.Join(r.Differs, " "), strconv.FormatBool(r.Rest), r.SHA256, r.Size,
			int64(min(r.Inputs.Through, 1<<62)), r.Inputs.Program, r.Inputs.Enrichment, r.Inputs.Reenriched, strconv.FormatUint(r.Inputs.Seed, 10))
	}
	return b
}

// revisionOf reads the number of a revision; anything else has no page.
func revisionOf(text string) (int, error) {
	n, err := strconv.ParseUint(text, 10, 31)
	if err != nil || n == 0 || strconv.FormatUint(n, 10) != text {
		return 0, errNoPage
	}
	return int(n), nil
}

type revisionView struct {
	query.Revision
	Against     int // 0 for none
	Differences []figure.Difference
	RestDiffers bool
	Others      []navItem // the other revisions of the period
	Definitions []pair
}

func (s *Server) revision(c *call) error {
	ctx := c.r.Context()
	n, err := revisionOf(c.r.PathValue("rev"))
	if err != nil {
		return err
	}
	v, err := parseQuery(c.r.URL.RawQuery, "against")
	if err != nil {
		return err
	}
	list, err := s.back.Published(ctx, c.scope)
	if err != nil {
		return fmt.Errorf("published: %w", err)
	}
	i := slices.IndexFunc(list, func(r query.Revision) bool { return r.Revision == n })
	if i < 0 {
		return errNoPage
	}
	w := revisionView{Revision: list[i], Against: list[i].Supersedes, Differences: []figure.Difference{}}
	if x := v.Get("against"); x != "" {
		if w.Against, err = revisionOf(x); err != nil {
			return fmt.Errorf("%w: against=%s: want the number of a revision", ErrBadRequest, x)
		}
	}
	if w.Against != 0 {
		before, err := s.back.Document(ctx, c.scope, w.Against)
		if err != nil {
			return fmt.Errorf("revision %d: %w", w.Against, err)
		}
		after, err := s.back.Document(ctx, c.scope, n)
		if err != nil {
			return fmt.Errorf("revision %d: %w", n, err)
		}
		if w.Differences, w.RestDiffers, err = figure.Differences(before, after); err != nil {
			return err
		}
	}
	switch c.as {
	case "json":
		return c.json(struct {
			Revision    query.Revision      `json:"revision"`
			Against     int                 `json:"against"`
			Differences []figure.Difference `json:"differences"`
			Rest        bool                `json:"rest"`
		}{w.Revision, w.Against, w.Differences, w.RestDiffers})
	case "csv":
		b := csvRow(nil, "revision", "against", "figure", "title", "field", "before", "after")
		for _, d := range w.Differences {
			b = csvRow(b, n, w.Against, d.Figure, d.Title, d.Field, d.Before, d.After)
		}
		return c.csv(b)
	}
	for _, r := range list {
		if r.Period == w.Period && r.Revision != n {
			w.Others = append(w.Others, navItem{href("/published/"+strconv.Itoa(n), url.Values{"against": {strconv.Itoa(r.Revision)}}), strconv.Itoa(r.Revision), r.Revision == w.Against})
		}
	}
	for _, id := range sortedKeys(w.Inputs.Definitions) {
		w.Definitions = append(w.Definitions, pair{id, strconv.Itoa(w.Inputs.Definitions[id])})
	}
	return s.render(c, http.StatusOK, "revision", fmt.Sprintf("Revision %d", n), w, "json", "csv")
}

func sortedKeys(m map[string]int) []string {
	ks := make([]string, 0, len(m))
	for k := range m {
		ks = append(ks, k)
	}
	slices.Sort(ks)
	return ks
}

// publishedDocument answers with the bytes as they were published.
func (s *Server) publishedDocument(c *call) error {
	n, err := revisionOf(c.r.PathValue("rev"))
	if err != nil {
		return err
	}
	b, err := s.back.Document(c.r.Context(), c.scope, n)
	if err != nil {
		return fmt.Errorf("revision %d: %w", n, err)
	}
	return c.body("application/json", b)
}

// publish publishes a period. Its answer is 201 for a new revision, and 200
// where the document was published before.
func (s *Server) publish(c *call) error {
	var in struct {
		From string `json:"from"`
		To   string `json:"to"`
		Why  string `json:"why"`
	}
	if err := c.read(&in); err != nil {
		return err
	}
	var p query.Period
	for _, d := range []struct {
		key, text string
		day       *event.Day
	}{{"from", in.From, &p.From}, {"to", in.To, &p.To}} {
		var err error
		if *d.day, err = event.ParseDay(d.text); err != nil {
			return fmt.Errorf("%w: %s: %w", ErrBadRequest, d.key, err)
		}
	}
	longWork(c.w) // it waits for what is being loaded
	r, err := s.back.Publish(c.r.Context(), c.scope, p, in.Why)
	if err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	c.w.Header().Set("Location", "/api/v1/published/"+strconv.Itoa(r.Revision))
	status := http.StatusCreated
	if r.Unchanged {
		status = http.StatusOK
	}
	return c.answer(status, r)
}
