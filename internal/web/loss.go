package web

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"tocsin/internal/loss"
	"tocsin/internal/policy"
	"tocsin/internal/query"
)

// LossBackend answers for the loss page.
type LossBackend interface {
	// Loss says what it cost in a period; [query.ErrNotFound] for those who do not
	// see everything. Without inputs the report says that none were given.
	Loss(ctx context.Context, s policy.Scope, p query.Period) (loss.Report, error)
	// SetLoss puts a file of inputs in force and journals it; a file with a mistake
	// is [ErrBadRequest] that wraps [loss.Problems].
	SetLoss(ctx context.Context, s policy.Scope, body io.Reader) (LossFile, error)
}

// LossFile is the file of inputs in force.
type LossFile struct {
	SHA256     string    `json:"sha256"`
	Line       uint64    `json:"line"` // of the journal
	At         time.Time `json:"at"`
	By         string    `json:"by"`
	Categories int       `json:"categories"`
}

type lossView struct {
	loss.Report
	Period   periodForm
	Kinds    []lossRow
	Rows     []lossRow
	Drivers  []lossDriver
	Currency string
}

// lossRow is an amount with its bar, on an axis that all rows of a table share.
type lossRow struct {
	Name, Kind, Text, Range string
	Why                     string // where there is no amount
	Cases                   string
	Without                 []string
	Of                      int
	Assumption, Scaled      bool
	Bar                     *rangeBar
}

type lossDriver struct {
	loss.Driver
	Range string
	Bar   *rangeBar
}

// rangeBar is an interval on a line of a thousand units; Says is the same in
// words.
type rangeBar struct {
	X, W, Median int
	HasMedian    bool
	Says         string
}

// axis makes bars between 0 and the greatest upper end.
type axis float64

func (a axis) at(x float64) int {
	if a <= 0 {
		return 0
	}
	return int(x / float64(a) * 1000)
}

func (a axis) bar(lo, hi float64, says string) *rangeBar {
	x := a.at(lo)
	return &rangeBar{X: x, W: max(3, a.at(hi)-x), Says: says}
}

func money(x float64) string { return group(strconv.FormatFloat(x, 'f', -1, 64)) }

func span(lo, hi float64) string { return money(lo) + " to " + money(hi) }

func (a axis) amount(r *lossRow, x *loss.Amount, currency string) {
	if x == nil {
		return
	}
	r.Text, r.Range = money(x.Median), span(x.Lo, x.Hi)
	r.Bar = a.bar(x.Lo, x.Hi, fmt.Sprintf("median %s, between %s %s", r.Text, r.Range, currency))
	r.Bar.Median, r.Bar.HasMedian = a.at(x.Median), true
}

func (s *Server) loss(c *call) error {
	v, err := parseQuery(c.r.URL.RawQuery, "from", "to")
	if err != nil {
		return err
	}
	p, err := periodOf(v, c.status, fullMonth(c.status))
	if err != nil {
		return err
	}
	r, err := s.back.Loss(c.r.Context(), c.scope, p)
	if err != nil {
		return fmt.Errorf("loss: %w", err)
	}
	switch c.as {
	case "json":
		return c.json(struct {
			Period query.Period `json:"period"`
			loss.Report
		}{p, r})
	case "csv":
		return c.csv(lossCSV(r, p))
	}
	return s.render(c, http.StatusOK, "loss", "What it cost", newLossView(&r, newPeriodForm("/loss", v, p, c.status)), "json", "csv")
}

func newLossView(r *loss.Report, form periodForm) lossView {
	w := lossView{Report: *r, Period: form, Currency: r.Currency}
	var kinds, rows axis
	for _, k := range r.Kinds {
		if k.Amount != nil {
			kinds = max(kinds, axis(k.Amount.Hi))
		}
	}
	for _, c := range r.Categories {
		if c.Amount != nil {
			rows = max(rows, axis(c.Amount.Hi))
		}
	}
	for _, k := range r.Kinds {
		x := lossRow{Name: string(k.Kind), Of: k.Of, Without: k.Without, Why: "no number: all of it is left out"}
		kinds.amount(&x, k.Amount, r.Currency)
		w.Kinds = append(w.Kinds, x)
	}
	for _, c := range r.Categories {
		x := lossRow{Name: c.Name, Kind: string(c.Kind), Why: c.Why, Assumption: c.Assumption, Scaled: c.Scaled, Cases: span(c.CasesLo, c.CasesHi)}
		rows.amount(&x, c.Amount, r.Currency)
		w.Rows = append(w.Rows, x)
	}
	var far axis
	for _, d := range r.Drivers {
		far = max(far, axis(d.Hi))
	}
	for _, d := range r.Drivers {
		text := span(d.Lo, d.Hi)
		w.Drivers = append(w.Drivers, lossDriver{d, text, far.bar(d.Lo, d.Hi, fmt.Sprintf("%s: %s losses of %s %s", d.Name, d.Kind, text, r.Currency))})
	}
	return w
}

func lossCSV(r loss.Report, p query.Period) []byte {
	b := csvRow(nil, "what", "name", "kind", "from", "to", "currency", "median", "lo", "hi", "level", "cases_lo", "cases_hi", "assumption", "scaled", "source", "date", "note")
	level := "90 %"
	three := func(a *loss.Amount) (m, lo, hi any) {
		if a == nil {
			return nil, nil, nil
		}
		return a.Median, a.Lo, a.Hi
	}
	for _, k := range r.Kinds {
		m, lo, hi := three(k.Amount)
		b = csvRow(b, "kind", string(k.Kind), string(k.Kind), p.From, p.To, r.Currency, m, lo, hi, level, nil, nil, nil, nil, nil, nil, leftOut(k.Without))
	}
	for _, c := range r.Categories {
		m, lo, hi := three(c.Amount)
		b = csvRow(b, "category", c.Name, string(c.Kind), p.From, p.To, r.Currency, m, lo, hi, level, c.CasesLo, c.CasesHi, strconv.FormatBool(c.Assumption), strconv.FormatBool(c.Scaled), nil, nil, c.Why)
	}
	for _, d := range r.Drivers {
		b = csvRow(b, "driver", d.Name, string(d.Kind), p.From, p.To, r.Currency, nil, d.Lo, d.Hi, level, nil, nil, strconv.FormatBool(d.Assumption), nil, nil, nil, nil)
	}
	for _, i := range r.Inputs {
		b = csvRow(b, "input", i.Category+": "+i.What, nil, p.From, p.To, nil, nil, nil, nil, nil, nil, nil, strconv.FormatBool(i.Assumption), strconv.FormatBool(i.Scaled), i.Source, i.Date, i.Value)
	}
	return csvRow(b, "headline", r.Headline, nil, p.From, p.To, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil)
}

func leftOut(names []string) string {
	if len(names) == 0 {
		return ""
	}
	return "without " + strings.Join(names, "; ")
}

// setLoss takes the file of inputs as the body.
func (s *Server) setLoss(c *call) error {
	f, err := s.back.SetLoss(c.r.Context(), c.scope, http.MaxBytesReader(c.w, c.r.Body, loss.MaxBytes))
	if err != nil {
		return fmt.Errorf("inputs of the loss page: %w", err)
	}
	return c.answer(http.StatusOK, f)
}
