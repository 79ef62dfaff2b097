package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"

	"tocsin/internal/query"
)

// lookPeriod are the days and classes that coverage and breaks are asked for.
type lookPeriod struct {
	Class []string `help:"infection, controller, hacked-site, exposure, attempt, victim, leak or other."`
	From  string   `help:"First day, YYYY-MM-DD, in UTC; by default the first with data."`
	To    string   `help:"Last day, YYYY-MM-DD; by default the last with data."`
}

// coverageDays is the longest period that coverage is told for at once.
const coverageDays = 3 * 366

// coverageOf is who looked when, as the page gives it.
type coverageOf struct {
	Period query.Period `json:"period"`
	Rows   []struct {
		query.Covered

		Days string `json:"days"`
	} `json:"rows"`
	Breaks []query.Break `json:"breaks"`
}

// ask fills in the days that were left open and returns the question.
func (c lookPeriod) ask(ctx context.Context, x *client) (q url.Values, has bool, err error) {
	f := filter{From: c.From, To: c.To}
	if has, err = f.whole(ctx, x, coverageDays); err != nil {
		return nil, false, err
	}
	q = f.values()
	for _, v := range c.Class {
		q.Add("class", v)
	}
	q.Set("format", "json")
	return q, has, nil
}

type coverageCmd struct {
	lookPeriod

	Networks bool `help:"Also networks where a witness looked on other days than elsewhere."`
}

// Run prints who looked when.
func (c coverageCmd) Run(ctx context.Context, g *globals) error {
	return with(ctx, g, func(x *client) error {
		q, has, err := c.ask(ctx, x)
		if err != nil {
			return err
		}
		if g.JSON {
			return x.copyTo(ctx, os.Stdout, "/coverage", q)
		}
		if !has {
			return nothing()
		}
		var d coverageOf
		if err := x.get(ctx, "/coverage", q, &d); err != nil {
			return err
		}
		rows := [][]string{{"CLASS", "WITNESS", "FEEDS", "AS", "SINCE", "EXPECTED", "LOOKED", "MISSING", "DAYS"}}
		networks := 0
		for _, r := range d.Rows {
			asn := ""
			if r.ASN != 0 {
				if networks++; !c.Networks {
					continue
				}
				asn = strconv.FormatUint(uint64(r.ASN), 10)
			}
			days := r.Days
			if len(days) > 62 {
				days = "... " + days[len(days)-58:]
			}
			rows = append(rows, []string{r.Class.String(), r.Witness, strings.Join(r.Feeds, " "), asn, r.From.String(), strconv.Itoa(r.Expected), strconv.Itoa(r.Present), strconv.Itoa(r.Missing), days})
		}
		if err := table(rows...); err != nil {
			return err
		}
		fmt.Printf("%s to %s, days in UTC: + looked, - missing, . not expected.\n", d.Period.From, d.Period.To)
		if networks > 0 && !c.Networks {
			fmt.Printf("In %d networks a witness looked on other days; --networks lists them.\n", networks)
		}
		if len(d.Breaks) > 0 {
			fmt.Printf("%d breaks: `tocsin breaks` lists them.\n", len(d.Breaks))
		}
		return nil
	})
}

type breaksCmd struct {
	List    breaksListCmd  `cmd:"" default:"withargs" help:"List level shifts of one witness that no other shares."`
	Confirm breakConfirm   `cmd:"" help:"Say that what looks has changed: no percentage is shown across the day."`
	Dismiss breakDismissal `cmd:"" help:"Say that the level is real: the day is no break."`
}

type breaksListCmd struct {
	lookPeriod
}

// Run lists the breaks.
func (c breaksListCmd) Run(ctx context.Context, g *globals) error {
	return with(ctx, g, func(x *client) error {
		q, _, err := c.ask(ctx, x)
		if err != nil {
			return err
		}
		var d coverageOf
		if err := x.get(ctx, "/coverage", q, &d); err != nil {
			return err
		}
		if g.JSON {
			return printJSON(map[string]any{"period": d.Period, "breaks": d.Breaks})
		}
		rows := [][]string{{"BREAK", "DAY", "WITNESS", "CLASS", "FAMILY", "BEFORE", "AFTER", "STATE", "BY", "WHY"}}
		for _, b := range d.Breaks {
			family := b.Family
			if family == "" {
				family = "(all)"
			}
			rows = append(rows, []string{b.ID, b.Day.String(), b.Witness, b.Class.String(), family, median(b.Before), median(b.After), string(b.State), b.By, b.Why})
		}
		return table(rows...)
	})
}

func median(x float64) string { return strconv.FormatFloat(x, 'f', -1, 64) }

// decision is what is said of a break.
type decision struct {
	Break string `arg:"" help:"Its id, as tocsin breaks lists it."`
	Why   string `help:"The reason; it is kept in the journal." required:""`
}

type breakConfirm struct{ decision }

// Run confirms a break.
func (c breakConfirm) Run(ctx context.Context, g *globals) error {
	return c.decide(ctx, g, query.BreakConfirmed)
}

type breakDismissal struct{ decision }

// Run dismisses a break.
func (c breakDismissal) Run(ctx context.Context, g *globals) error {
	return c.decide(ctx, g, query.BreakDismissed)
}

func (c decision) decide(ctx context.Context, g *globals, state query.BreakState) error {
	return with(ctx, g, func(x *client) error {
		var b query.Break
		err := x.do(ctx, http.MethodPost, "/api/v1/breaks/"+url.PathEscape(c.Break), nil, map[string]string{"state": string(state), "why": c.Why}, &b)
		if errors.Is(err, errNotFound) {
			return fmt.Errorf("there is no break %q: `tocsin breaks` lists them with their ids", c.Break)
		}
		if err != nil {
			return err
		}
		if g.JSON {
			return printJSON(b)
		}
		_, err = fmt.Printf("%s is %s: %s of %s, %s to %s a day.\n", b.ID, b.State, b.Class, plain(b.Witness), median(b.Before), median(b.After))
		return err
	})
}
