package web

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"html/template"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"tocsin/internal/event"
	"tocsin/internal/figure"
	"tocsin/internal/query"
)

// The statement: a period in plain words, and each of its numbers with all
// that it takes to read it.

type statementView struct {
	figure.Statement
	Period  periodForm
	Rows    []sentenceRow
	Numbers []recordRow
	Truth   bool
	Empty   bool
	Report  string
}

type sentenceRow struct {
	figure.Sentence
	Links []link
}

// recordRow is a record as a row of a list.
type recordRow struct {
	*figure.Record
	Href     string
	Number   string
	Range    string // how sure it is, in words
	Change   string // against last year, in words
	Looked   string
	Evidence string // the page that opens it
	Paper    bool   // it stands on a page of its own, away from the others
}

type recordView struct {
	recordRow
	Statement *figure.Statement
	Period    periodForm
	Chart     *chart
	Fall      []fallRow
	Each      []sensitivityRow
	Tables    []linesView
	PriorText string
	Test      string
}

// fallRow is a bar of a waterfall, in thousandths of its width.
type fallRow struct {
	Text, Value string
	X, W        string
	Kind        string // whole, more or less
}

type sensitivityRow struct {
	What, Range string
	Each        []figure.Without
}

type linesView struct {
	figure.Lines
	Title     string
	Columns   bool // exclusive and shared
	HasShare  bool
	HasRange  bool
	HasNote   bool
	SumText   string
	Rows      []lineRow
	More      int
	Overlaps  bool
	Partition bool
}

type lineRow struct {
	figure.Line
	Name, Number, Alone, Shared, Percent, Interval, Bar string
}

// statementParams reads what a statement takes: a period alone.
func statementParams(v url.Values, st Status) (figure.Params, error) {
	p, err := figureParams(v, st)
	if err == nil && len(p.Where) > 0 {
		err = fmt.Errorf("%w: a statement is about the whole country: ask for a period alone", ErrBadRequest)
	}
	return p, err
}

// stated evaluates the statement that a request asks for.
func (s *Server) stated(c *call) (figure.Statement, url.Values, figure.Params, error) {
	v, err := parseQuery(c.r.URL.RawQuery, "from", "to", "enrichment")
	if err != nil {
		return figure.Statement{}, nil, figure.Params{}, err
	}
	p, err := statementParams(v, c.status)
	if err != nil {
		return figure.Statement{}, nil, p, err
	}
	if !c.scope.All() { // national numbers
		return figure.Statement{}, nil, p, errNoPage
	}
	st, err := s.back.Statement(c.r.Context(), c.scope, p)
	if err != nil {
		return st, nil, p, fmt.Errorf("statement: %w", err)
	}
	return st, v, p, nil
}

func (s *Server) statement(c *call) error {
	st, v, p, err := s.stated(c)
	if err != nil {
		return err
	}
	switch c.as {
	case "json":
		b, err := st.Marshal()
		if err != nil {
			return err
		}
		return c.body("application/json", b)
	case "csv":
		return c.csv(recordsCSV(st.Records))
	}
	w := newStatementView(st, v)
	w.Period, w.Empty = newPeriodForm("/statement", v, p.Period, c.status), !c.status.HasData
	w.Report = href("/api/v1/report", url.Values{"from": {p.Period.From.String()}, "to": {p.Period.To.String()}})
	return s.render(c, http.StatusOK, "statement", "Statement", w, "json", "csv")
}

func newStatementView(st figure.Statement, v url.Values) statementView {
	w := statementView{Statement: st}
	for i := range st.Records {
		w.Numbers = append(w.Numbers, newRecordRow(&st.Records[i], v))
	}
	for _, x := range st.Sentences {
		row := sentenceRow{Sentence: x}
		w.Truth = w.Truth || len(x.Truth) > 0
		for _, id := range x.Records {
			r := st.Record(id)
			row.Links = append(row.Links, link{recordHref(id, v), r.Title})
		}
		if x.ID == "loss" {
			row.Links = append(row.Links, link{href("/loss", periodParams(v)), "Loss, with its inputs"})
		}
		w.Rows = append(w.Rows, row)
	}
	return w
}

func periodParams(v url.Values) url.Values {
	w := url.Values{}
	for _, k := range []string{"from", "to"} {
		if x := v.Get(k); x != "" {
			w.Set(k, x)
		}
	}
	return w
}

func recordHref(id string, v url.Values) string {
	return href("/records/"+url.PathEscape(id), periodParams(v))
}

func newRecordRow(r *figure.Record, v url.Values) recordRow {
	w := recordRow{Record: r, Href: recordHref(r.ID, v), Number: "no number", Range: uncertain(r), Evidence: r.Evidence}
	if r.Publishable() {
		w.Number = figure.Words(*r.Value)
	}
	if c := r.Comparability; c != nil {
		w.Change = compared(c)
	}
	if n := r.Panel.FeedDaysExpected; n > 0 {
		w.Looked = fmt.Sprintf("%s of %s", group(strconv.Itoa(r.Panel.FeedDaysPresent)), group(strconv.Itoa(n)))
	}
	return w
}

// uncertain says how sure a record's number is.
func uncertain(r *figure.Record) string {
	switch {
	case r.Refusal != nil:
		return "refused: " + r.Refusal.Test
	case r.Uncertainty.Range != nil && r.Uncertainty.Level > 0:
		return fmt.Sprintf("%s (%.0f %%)", figure.WordsRange(r.Uncertainty.Range), 100*float64(r.Uncertainty.Level))
	case r.Uncertainty.Range != nil:
		return figure.WordsRange(r.Uncertainty.Range)
	case len(r.Sensitivity) > 0:
		x := r.Sensitivity[0].Range
		return figure.WordsRange(&x) + ", " + r.Sensitivity[0].What
	}
	return "complete count"
}

func compared(c *figure.Comparability) string {
	if !c.OK {
		return "no percentage: " + c.Test
	}
	if !c.ClearChange {
		return "no clear change (" + ratioRange(c.Interval) + ")"
	}
	return ratioWords(*c.Ratio) + " (" + ratioRange(c.Interval) + ")"
}

func ratioWords(r figure.Decimal) string { return fmt.Sprintf("%+.1f %%", 100*(float64(r)-1)) }

func ratioRange(r *figure.Range) string {
	if r == nil {
		return ""
	}
	return ratioWords(r[0]) + " to " + ratioWords(r[1])
}

func (s *Server) record(c *call) error {
	id := c.r.PathValue("id")
	if _, ok := figure.LookupRecord(id); !ok {
		return errNoPage
	}
	st, v, p, err := s.stated(c)
	if err != nil {
		return err
	}
	r := st.Record(id)
	switch c.as {
	case "json":
		return c.json(r)
	case "csv":
		return c.csv(recordCSV(r))
	}
	w := newRecordView(&st, r, v)
	w.Period = newPeriodForm("/records/"+url.PathEscape(id), v, p.Period, c.status)
	if err := s.nameLines(c, &w); err != nil {
		return err
	}
	return s.render(c, http.StatusOK, "record", r.Title, w, "json", "csv")
}

func newRecordView(st *figure.Statement, r *figure.Record, v url.Values) recordView {
	w := recordView{recordRow: newRecordRow(r, v), Statement: st}
	if len(r.Series) > 1 {
		w.Chart = drawSeries(&figure.Figure{Title: r.Title, SeriesUnit: r.Unit + " a day", Series: r.Series}, 720, 200)
	}
	for _, x := range r.Sensitivity {
		rg := x.Range
		w.Each = append(w.Each, sensitivityRow{x.What, figure.WordsRange(&rg), x.Each})
	}
	if c := r.Comparability; c != nil {
		w.Fall = waterfall(c.Waterfall)
		w.PriorText = c.Prior.From.String() + " to " + c.Prior.To.String()
	}
	for _, l := range r.Breakdown {
		w.Tables = append(w.Tables, newLinesView(l))
	}
	return w
}

func newLinesView(l figure.Lines) linesView {
	w := linesView{Lines: l, Title: l.By, SumText: figure.Words(l.Sum), Partition: l.Kind == figure.Partition}
	w.Overlaps = !w.Partition && !math.IsNaN(float64(l.Overlap)) && l.Overlap != 0
	if d, ok := query.ParseDim(l.By); ok {
		w.Title = dimTitle(d)
	}
	most := 0.0
	for _, r := range l.Rows {
		if x := float64(r.Value); !math.IsNaN(x) {
			most = max(most, x)
		}
	}
	for i, r := range l.Rows {
		if i >= shownRows {
			w.More++
			continue
		}
		row := lineRow{Line: r, Name: r.Key, Number: figure.Words(r.Value), Interval: figure.WordsRange(r.Interval), Bar: barWidth(int64(1000*float64(r.Value)), int64(1000*most))}
		if row.Name == "" {
			row.Name = "unknown"
		}
		if r.Exclusive != nil {
			w.Columns, row.Alone = true, figure.Words(*r.Exclusive)
		}
		if r.Shared != nil {
			row.Shared = figure.Words(*r.Shared)
		}
		if r.Share != nil {
			w.HasShare, row.Percent = true, fmt.Sprintf("%.1f", float64(*r.Share))
		}
		w.HasRange = w.HasRange || row.Interval != ""
		w.HasNote = w.HasNote || r.Note != ""
		w.Rows = append(w.Rows, row)
	}
	return w
}

// nameLines gives the rows of breakdowns by a dimension the names of their
// keys.
func (s *Server) nameLines(c *call, w *recordView) error {
	for i := range w.Tables {
		t := &w.Tables[i]
		d, ok := query.ParseDim(t.By)
		if t.By == "controller country" {
			d, ok = query.DimCountry, true
		}
		if !ok {
			continue
		}
		keys := make([]string, 0, len(t.Rows))
		for _, r := range t.Rows {
			if r.Key != "" {
				keys = append(keys, r.Key)
			}
		}
		names, err := s.back.Labels(c.r.Context(), c.scope, d, keys)
		if err != nil {
			return fmt.Errorf("names of %s: %w", d, err)
		}
		for j := range t.Rows {
			t.Rows[j].Name = keyText(d, t.Rows[j].Key, names[t.Rows[j].Key])
		}
	}
	return nil
}

// waterfall draws how last year's value becomes this year's.
func waterfall(f *figure.Waterfall) []fallRow {
	if f == nil {
		return nil
	}
	top := max(float64(f.Then), float64(f.Now), float64(f.MatchedThen), float64(f.MatchedNow), 1e-9)
	bar := func(text, kind string, from, to figure.Decimal, value figure.Decimal) fallRow {
		lo, hi := float64(min(from, to)), float64(max(from, to))
		at := func(x float64) string { return strconv.FormatFloat(1000*x/top, 'f', 1, 64) }
		sign := ""
		if kind != "whole" && value > 0 {
			sign = "+"
		}
		return fallRow{Text: text, Value: sign + figure.Words(value), X: at(lo), W: at(max(hi-lo, top/500)), Kind: kind}
	}
	kind := "more"
	if f.MatchedNow < f.MatchedThen {
		kind = "less"
	}
	return []fallRow{
		bar("last year, all", "whole", 0, f.Then, f.Then),
		bar("seen last year where or when nobody looks now", "less", f.MatchedThen, f.Then, -f.Exits),
		bar("last year, where both years were looked", "whole", 0, f.MatchedThen, f.MatchedThen),
		bar("change, like for like", kind, f.MatchedThen, f.MatchedNow, f.MatchedNow-f.MatchedThen),
		bar("this year, where both years were looked", "whole", 0, f.MatchedNow, f.MatchedNow),
		bar("seen now where or when nobody looked then", "more", f.MatchedNow, f.Now, f.Entries),
		bar("this year, all", "whole", 0, f.Now, f.Now),
	}
}

func real2(r *figure.Decimal) any {
	if r == nil || math.IsNaN(float64(*r)) {
		return nil
	}
	b, _ := r.MarshalJSON() // it never fails
	return cell(b)
}

// cell is a number that is written already.
type cell string

func recordsCSV(list []figure.Record) []byte {
	b := csvRow(nil, "record", "title", "unit", "definition_version", "from", "to", "geography", "value", "refused_by", "why", "uncertainty", "low", "high", "level", "cumulative",
		"without_a_witness_low", "without_a_witness_high", "witnesses", "feed_days_present", "feed_days_expected",
		"last_year_from", "last_year_to", "raw_ratio", "comparable", "ratio", "ratio_low", "ratio_high", "clear_change", "why_not", "seed", "evidence")
	for i := range list {
		r := &list[i]
		var lo, hi, slo, shi, raw, ratio, rlo, rhi any
		if x := r.Uncertainty.Range; x != nil {
			lo, hi = real2(&x[0]), real2(&x[1])
		}
		if len(r.Sensitivity) > 0 {
			x := r.Sensitivity[0].Range
			slo, shi = real2(&x[0]), real2(&x[1])
		}
		test, why, test2, ok, clear, pf, pt := "", "", "", "", "", "", ""
		seed := any(nil)
		if r.Refusal != nil {
			test, why = r.Refusal.Test, r.Refusal.Why
		}
		if c := r.Comparability; c != nil {
			raw, ratio, ok, test2, pf, pt = real2(c.Raw), real2(c.Ratio), strconv.FormatBool(c.OK), c.Test, c.Prior.From.String(), c.Prior.To.String()
			seed = cell(strconv.FormatUint(c.Seed, 10))
			if c.Interval != nil {
				rlo, rhi, clear = real2(&c.Interval[0]), real2(&c.Interval[1]), strconv.FormatBool(c.ClearChange)
			}
		}
		v := r.Value
		if !r.Publishable() {
			v = nil
		}
		b = csvRow(b, r.ID, r.Title, r.Unit, r.Version, r.Period.From, r.Period.To, r.Geography, real2(v), test, why, r.Uncertainty.Kind, lo, hi, real2(&r.Uncertainty.Level), real2(r.Cumulative),
			slo, shi, strings.Join(r.Panel.Witnesses, " "), r.Panel.FeedDaysPresent, r.Panel.FeedDaysExpected,
			pf, pt, raw, ok, ratio, rlo, rhi, clear, test2, seed, r.Evidence)
	}
	return b
}

// recordCSV gives the breakdowns where there are any, and the days otherwise.
func recordCSV(r *figure.Record) []byte {
	if len(r.Breakdown) == 0 {
		b := csvRow(nil, "record", "day", r.Unit)
		for _, p := range r.Series {
			b = csvRow(b, r.ID, p.Day, p.Value)
		}
		return b
	}
	b := csvRow(nil, "record", "from", "to", "by", "breakdown", "key", "value", "exclusive", "shared", "share_percent", "low", "high", "note")
	for _, l := range r.Breakdown {
		for _, x := range l.Rows {
			var lo, hi any
			if x.Interval != nil {
				lo, hi = real2(&x.Interval[0]), real2(&x.Interval[1])
			}
			val := x.Value
			b = csvRow(b, r.ID, r.Period.From, r.Period.To, l.By, string(l.Kind), x.Key, real2(&val), real2(x.Exclusive), real2(x.Shared), real2(x.Share), lo, hi, x.Note)
		}
	}
	return b
}

// The report: one page that stands alone, to be printed or sent.

type reportView struct {
	statementView
	Style    template.CSS
	Records  []recordView
	Data     string // name of the file beside it
	SHA256   string // of that file
	Status   Status
	From, To event.Day
	Revision string
	Sources  []Source
}

// ReportName is how the files of a period's report begin.
func ReportName(p query.Period) string {
	return "report-" + p.From.String() + "-" + p.To.String()
}

// report answers with the period's report: one page with everything in it,
// beside which the statement's JSON belongs under the name that it gives.
func (s *Server) report(c *call) error {
	st, err := s.back.Status(c.r.Context(), c.scope)
	if err != nil {
		return fmt.Errorf("status: %w", err)
	}
	c.status = st
	if !c.scope.All() {
		return refusal(c.scope)
	}
	stated, v, p, err := s.stated(c)
	if err != nil {
		return err
	}
	data, err := stated.Marshal()
	if err != nil {
		return err
	}
	sum := sha256.Sum256(data)
	css, err := files.ReadFile("static/style.css")
	if err != nil {
		return fmt.Errorf("web: %w", err)
	}
	w := reportView{
		statementView: newStatementView(stated, v), Style: template.CSS(css), //nolint:gosec // it is our own file
		Data: ReportName(p.Period) + ".json", SHA256: hex.EncodeToString(sum[:]), Status: st, From: p.Period.From, To: p.Period.To,
	}
	if w.Sources, err = s.back.Sources(c.r.Context(), c.scope); err != nil {
		return fmt.Errorf("sources: %w", err)
	}
	for i := range stated.Records {
		x := newRecordView(&stated, &stated.Records[i], v)
		if err := s.nameLines(c, &x); err != nil {
			return err
		}
		x.Paper = true
		w.Records = append(w.Records, x)
	}
	for i := range w.Numbers {
		w.Numbers[i].Href = "#" + w.Numbers[i].ID
	}
	var b bytes.Buffer
	if err := s.pages["report"].ExecuteTemplate(&b, "report.html", w); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	c.w.Header().Set("Content-Disposition", `attachment; filename="`+ReportName(p.Period)+`.html"`)
	return c.body("text/html; charset=utf-8", []byte(reveal(b.String(), true)))
}

// refusals are the records of a statement that have no number.
func (w reportView) Refused() []recordView {
	return slices.DeleteFunc(slices.Clone(w.Records), func(r recordView) bool { return r.Publishable() })
}
