package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"

	"tocsin/internal/figure"
	"tocsin/internal/loss"
	"tocsin/internal/query"
	"tocsin/internal/web"
)

type lossCmd struct {
	Show    lossShowCmd    `cmd:"" default:"withargs" help:"Print what it cost, between what and what."`
	Set     lossSetCmd     `cmd:"" help:"Put a file of inputs in force; it is journalled."`
	Check   lossCheckCmd   `cmd:"" help:"Say what is wrong with a file of inputs."`
	Example lossExampleCmd `cmd:"" help:"Print a file of inputs to begin with."`
}

type lossShowCmd struct {
	From string `help:"First day, YYYY-MM-DD, in UTC; by default the first with data."`
	To   string `help:"Last day, YYYY-MM-DD; by default the last with data."`
}

// Run prints the report.
func (c lossShowCmd) Run(ctx context.Context, g *globals) error {
	return with(ctx, g, func(x *client) error {
		f := filter{From: c.From, To: c.To}
		if _, err := f.whole(ctx, x, figure.MaxDays); err != nil {
			return err
		}
		q := f.values()
		q.Set("format", "json")
		if g.JSON {
			return x.copyTo(ctx, os.Stdout, "/loss", q)
		}
		var r struct {
			Period query.Period `json:"period"`
			loss.Report
		}
		if err := x.get(ctx, "/loss", q, &r); err != nil {
			return err
		}
		if !r.Given {
			_, err := fmt.Println(r.Headline + " `tocsin loss example` prints a file of inputs to begin with, `tocsin loss set FILE` puts it in force.")
			return err
		}
		return printLoss(r.Period, &r.Report)
	})
}

func printLoss(p query.Period, r *loss.Report) error {
	fmt.Printf("%s\n%s to %s, days in UTC; %s\n\n", plain(r.Headline), p.From, p.To, r.Currency)
	money := func(x float64) string { return strconv.FormatFloat(x, 'f', -1, 64) }
	cells := func(a *loss.Amount, why string) []string {
		if a == nil {
			return []string{why, ""}
		}
		return []string{money(a.Median), money(a.Lo) + " to " + money(a.Hi)}
	}
	mark := func(assumed, scaled bool) string {
		switch {
		case assumed && scaled:
			return "assumption, scaled"
		case assumed:
			return "assumption"
		case scaled:
			return "scaled"
		}
		return ""
	}
	rows := [][]string{{"KIND", "MEDIAN", "90 % INTERVAL", "CATEGORIES", "WITHOUT"}}
	for _, k := range r.Kinds {
		rows = append(rows, append(append([]string{string(k.Kind)}, cells(k.Amount, "no number")...), strconv.Itoa(k.Of), join(k.Without)))
	}
	if err := table(rows...); err != nil {
		return err
	}
	fmt.Println()
	rows = [][]string{{"CATEGORY", "KIND", "MEDIAN", "90 % INTERVAL", "COSTLY CASES", "MARK"}}
	for _, c := range r.Categories {
		cases := "-"
		if c.Amount != nil {
			cases = money(c.CasesLo) + " to " + money(c.CasesHi)
		}
		rows = append(rows, append(append([]string{c.Name, string(c.Kind)}, cells(c.Amount, c.Why)...), cases, mark(c.Assumption, c.Scaled)))
	}
	if err := table(rows...); err != nil {
		return err
	}
	fmt.Println()
	rows = [][]string{{"DRIVER", "KIND", "FROM", "TO", "MARK"}}
	for _, d := range r.Drivers {
		rows = append(rows, []string{d.Name, string(d.Kind), money(d.Lo), money(d.Hi), mark(d.Assumption, false)})
	}
	if err := table(rows...); err != nil {
		return err
	}
	fmt.Println()
	rows = [][]string{{"INPUT OF", "WHAT", "VALUE", "SOURCE", "DATE", "MARK"}}
	for _, i := range r.Inputs {
		rows = append(rows, []string{i.Category, i.What, i.Value, i.Source, i.Date, mark(i.Assumption, i.Scaled)})
	}
	if err := table(rows...); err != nil {
		return err
	}
	fmt.Println()
	for _, t := range r.Text {
		fmt.Println(plain(t))
	}
	_, err := fmt.Printf("Inputs %s, seed %d.\n", r.SHA256, r.Seed)
	return err
}

// lossFile reads a file of inputs; - is standard input.
func lossFile(name string) ([]byte, error) {
	var in io.Reader = os.Stdin
	if name != "-" {
		f, err := os.Open(name) //nolint:gosec // the operator's own path
		if err != nil {
			return nil, err
		}
		defer f.Close() //nolint:errcheck // read only
		in = f
	}
	return io.ReadAll(io.LimitReader(in, loss.MaxBytes+1))
}

type lossSetCmd struct {
	File string `arg:"" help:"The file of inputs; - for standard input."`
}

// Run puts a file of inputs in force.
func (c lossSetCmd) Run(ctx context.Context, g *globals) error {
	b, err := lossFile(c.File)
	if err != nil {
		return err
	}
	if _, err := loss.Parse(b); err != nil {
		return fmt.Errorf("%s is not taken:\n%s", c.File, plainLines(err))
	}
	return change(ctx, g, func(x *client) error {
		rc, err := x.open(ctx, http.MethodPut, "/api/v1/loss", url.Values{}, bytes.NewReader(b))
		if err != nil {
			return err
		}
		defer rc.Close() //nolint:errcheck // read only
		var f web.LossFile
		if err := json.NewDecoder(rc).Decode(&f); err != nil {
			return err
		}
		if g.JSON {
			return printJSON(f)
		}
		_, err = fmt.Printf("%d categories are in force, as %s (journal line %d).\n", f.Categories, f.SHA256, f.Line)
		return err
	})
}

type lossCheckCmd struct {
	File string `arg:"" help:"The file of inputs; - for standard input."`
}

// Run says what is wrong with a file. It needs no data directory.
func (c lossCheckCmd) Run(g *globals) error {
	b, err := lossFile(c.File)
	if err != nil {
		return err
	}
	in, err := loss.Parse(b)
	if g.JSON {
		ps, _ := errors.AsType[loss.Problems](err)
		if ps == nil {
			ps = loss.Problems{}
		}
		if perr := printJSON(map[string]any{"ok": err == nil, "problems": ps, "categories": len(in.Categories), "sha256": in.SHA256}); perr != nil {
			return perr
		}
	}
	if err != nil {
		return fmt.Errorf("%s cannot be taken:\n%s", c.File, plainLines(err))
	}
	if g.JSON {
		return nil
	}
	assumed := 0
	for _, x := range in.Categories {
		if x.Cases.Source == "" || x.Cost.Source == "" {
			assumed++
		}
	}
	_, err = fmt.Printf("%d categories can be read; %d of them rest on assumptions.\n", len(in.Categories), assumed)
	return err
}

// plainLines is plain for a text of several lines.
func plainLines(err error) string {
	var b bytes.Buffer
	for i, l := range bytes.Split([]byte(err.Error()), []byte("\n")) {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(plain(string(l)))
	}
	return b.String()
}

type lossExampleCmd struct{}

// Run prints the example.
func (lossExampleCmd) Run(g *globals) error {
	if g.JSON {
		return printJSON(map[string]string{"file": string(loss.Example)})
	}
	_, err := os.Stdout.Write(loss.Example)
	return err
}
