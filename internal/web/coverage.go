package web

import (
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"tocsin/internal/event"
	"tocsin/internal/query"
)

type coverageView struct {
	Period  periodForm
	Classes []classItem
	Groups  []coverageGroup
	Breaks  []breakRow
	Back    string // the address of this page, to come back to
	CSV     string
	Decides bool // the asker may confirm and dismiss
	All     bool // the asker may know of feeds
	Empty   bool
	First   string // of the days of the lines
	Last    string
}

// coverageGroup is a class on the page.
type coverageGroup struct {
	Class    string
	Rows     []coverageRow
	Networks []coverageRow
	More     int // networks that are not shown
}

// coverageRow is the looks of a witness as a line of its days, ten units each.
type coverageRow struct {
	query.Covered
	Feeds  string
	W      int // of the line
	Runs   []lookRun
	Breaks []int  // where a break lies
	Says   string // the gaps in words
}

// lookRun is several days with the same look. A gap is an empty box with a
// cross, so that it looks like one without colour.
type lookRun struct {
	Kind    string // seen or gap
	X, W, R int    // R is the right end
}

type breakRow struct {
	query.Break
	What   string
	Before string
	After  string
	Action string
}

// The bounds of the page.
const (
	maxCoverageDays = 3 * 366
	networksShown   = 50
	gapsSaid        = 4
	dayWidth        = 10
)

// coverageJSON is a row with its days: + present, - missing, . not expected.
type coverageJSON struct {
	query.Covered

	Days string `json:"days"`
}

func lookText(l []query.Look) string {
	b := make([]byte, len(l))
	for i, x := range l {
		b[i] = byte(x)
	}
	return string(b)
}

func (s *Server) coverage(c *call) error {
	v, err := parseQuery(c.r.URL.RawQuery, "from", "to", "class")
	if err != nil {
		return err
	}
	p, err := periodOf(v, c.status, query.Period{From: lastDay(c.status) - 89, To: lastDay(c.status)})
	if err != nil {
		return err
	}
	if p.Days() > maxCoverageDays {
		return fmt.Errorf("%w: %d days: at most %d", ErrBadRequest, p.Days(), maxCoverageDays)
	}
	var classes []event.Class
	for _, w := range v["class"] {
		if w == "" {
			continue
		}
		cl, ok := event.ParseClass(w)
		if !ok {
			return fmt.Errorf("%w: class=%s is no class", ErrBadRequest, w)
		}
		classes = append(classes, cl)
	}
	cov, err := s.back.Coverage(c.r.Context(), c.scope, classes, p)
	if err != nil {
		return fmt.Errorf("coverage: %w", err)
	}
	switch c.as {
	case "json":
		rows := make([]coverageJSON, len(cov.Rows))
		for i, r := range cov.Rows {
			rows[i] = coverageJSON{r, lookText(r.Days)}
		}
		return c.json(struct {
			Period query.Period   `json:"period"`
			Rows   []coverageJSON `json:"rows"`
			Breaks []query.Break  `json:"breaks"`
		}{p, rows, notNil(cov.Breaks)})
	case "csv":
		return c.csv(coverageCSV(cov))
	}
	w := coverageView{
		Period: newPeriodForm("/coverage", v, p, c.status, "class"), Decides: c.scope.Administers(), All: c.scope.All(), Empty: !c.status.HasData,
		Back: href("/coverage", with(v, func(url.Values) {})), CSV: href("/coverage", with(v, func(x url.Values) { x.Set("format", "csv") })),
		First: p.From.String(), Last: p.To.String(),
	}
	for cl := range event.Class(event.Classes) {
		w.Classes = append(w.Classes, classItem{cl.String(), slices.Contains(classes, cl)})
	}
	for _, r := range cov.Rows {
		n := len(w.Groups)
		if n == 0 || w.Groups[n-1].Class != r.Class.String() {
			w.Groups = append(w.Groups, coverageGroup{Class: r.Class.String()})
			n++
		}
		g := &w.Groups[n-1]
		switch row := newCoverageRow(r, cov); {
		case r.ASN == 0:
			g.Rows = append(g.Rows, row)
		case len(g.Networks) < networksShown:
			g.Networks = append(g.Networks, row)
		default:
			g.More++
		}
	}
	for _, b := range cov.Breaks {
		r := breakRow{Break: b, What: b.Family, Action: "/api/v1/breaks/" + url.PathEscape(b.ID), Before: level(b.Before), After: level(b.After)}
		if r.What == "" {
			r.What = "all of the class"
		}
		w.Breaks = append(w.Breaks, r)
	}
	return s.render(c, http.StatusOK, "coverage", "Coverage", w, "json", "csv")
}

// level writes a median of whole numbers.
func level(x float64) string { return group(strconv.FormatFloat(x, 'f', -1, 64)) }

func newCoverageRow(r query.Covered, cov query.Coverage) coverageRow {
	row := coverageRow{Covered: r, W: dayWidth * len(r.Days)}
	if len(r.Feeds) != 1 || r.Feeds[0] != r.Witness {
		row.Feeds = strings.Join(r.Feeds, ", ")
	}
	var gaps []string
	for i := 0; i < len(r.Days); {
		j := i
		for j < len(r.Days) && r.Days[j] == r.Days[i] {
			j++
		}
		run := lookRun{X: i * dayWidth, W: (j - i) * dayWidth, R: j * dayWidth}
		from, to := cov.Period.From+event.Day(i), cov.Period.From+event.Day(j-1)
		switch r.Days[i] {
		case query.Present:
			run.Kind = "seen"
			row.Runs = append(row.Runs, run)
		case query.Missing:
			run.Kind = "gap"
			row.Runs = append(row.Runs, run)
			if gaps = append(gaps, from.String()); to > from {
				gaps[len(gaps)-1] += " to " + to.String()
			}
		default:
		}
		i = j
	}
	for _, b := range cov.Breaks {
		if b.Witness == r.Witness && b.Class == r.Class && b.State != query.BreakDismissed && b.Day >= cov.Period.From && b.Day <= cov.Period.To && r.ASN == 0 {
			row.Breaks = append(row.Breaks, int(b.Day-cov.Period.From)*dayWidth)
		}
	}
	if len(gaps) > 0 {
		row.Says = "missing " + strings.Join(gaps[:min(len(gaps), gapsSaid)], ", ")
		if len(gaps) > gapsSaid {
			row.Says += fmt.Sprintf(" and %d more times", len(gaps)-gapsSaid)
		}
	}
	return row
}

func coverageCSV(cov query.Coverage) []byte {
	b := csvRow(nil, "class", "witness", "feeds", "asn", "from", "expected", "present", "missing", "first_day", "days")
	for _, r := range cov.Rows {
		b = csvRow(b, r.Class.String(), r.Witness, strings.Join(r.Feeds, " "), r.ASN, r.From, r.Expected, r.Present, r.Missing, cov.Period.From, lookText(r.Days))
	}
	return b
}

// decideBreak takes JSON, or the form of the coverage page, which it leads back
// there.
func (s *Server) decideBreak(c *call) error {
	var in struct {
		State query.BreakState `json:"state"`
		Why   string           `json:"why"`
	}
	kind, _, _ := mime.ParseMediaType(c.r.Header.Get("Content-Type"))
	form := kind == "application/x-www-form-urlencoded"
	back := "/coverage"
	if form {
		c.as = "html"
		c.r.Body = http.MaxBytesReader(c.w, c.r.Body, maxJSON)
		if err := c.r.ParseForm(); err != nil {
			return fmt.Errorf("%w: form: %w", ErrBadRequest, err)
		}
		in.State, in.Why = query.BreakState(c.r.PostForm.Get("state")), c.r.PostForm.Get("why")
		if u, err := url.Parse(c.r.PostForm.Get("back")); err == nil && u.Path == "/coverage" && u.Host == "" && u.Scheme == "" {
			back = href("/coverage", u.Query())
		}
	} else if err := c.read(&in); err != nil {
		return err
	}
	id := c.r.PathValue("id")
	b, err := s.back.DecideBreak(c.r.Context(), c.scope, id, in.State, in.Why)
	if err != nil {
		return fmt.Errorf("break %s: %w", clip(64, id), err)
	}
	if form {
		http.Redirect(c.w, c.r, back, http.StatusSeeOther)
		return nil
	}
	return c.answer(http.StatusOK, b)
}
