package web_test

import (
	"context"
	"encoding/json"
	"io"
	"strings"

	"tocsin/internal/loss"
	"tocsin/internal/policy"
	"tocsin/internal/query"
	"tocsin/internal/web"
)

// lossInputs are what the loss page of a world with data stands on; mark is put
// into what an operator writes.
func lossInputs(mark string) loss.Inputs {
	return loss.Inputs{SHA256: strings.Repeat("ab", 32), Currency: "EUR", ShockSigma: .3, Draws: 1000, Seed: 1, Categories: []loss.Category{
		{Name: "repair " + mark, Kind: "defence", From: "hacked-sites", Cases: loss.Range{Lo: .2, Hi: .6}, Cost: loss.Cost{Least: 50, Mode: 400, Most: 5000, Origin: loss.Origin{Source: "invoices " + mark, Date: "2026-05"}}},
		{Name: "extortion", Kind: "direct", Cases: loss.Range{Lo: 50, Hi: 400, PerYear: true}, Cost: loss.Cost{Lo: 5000, Hi: 500000}},
		{Name: "hosts", Kind: "direct", From: "hosts-infected", Cases: loss.Range{Lo: .1, Hi: 2, PerYear: true}, Cost: loss.Cost{Lo: 10, Hi: 100}},
		{Name: "working time", Kind: "indirect", Cases: loss.Range{Lo: 100, Hi: 2000, PerYear: true, Origin: loss.Origin{Scaled: true}}, Cost: loss.Cost{Lo: 100, Hi: 2000}},
	}}
}

func (f *fake) Loss(_ context.Context, s policy.Scope, p query.Period) (loss.Report, error) {
	if !s.All() {
		return loss.Report{}, query.ErrNotFound
	}
	in := loss.Inputs{}
	if f.status.HasData {
		in = lossInputs(f.mark)
	}
	r, err := loss.Evaluate(in, func(id string) loss.Value {
		if id == "hacked-sites" {
			return loss.Value{Lo: 30, Hi: 30, OK: true}
		}
		return loss.Value{Why: id + " is not counted yet"}
	}, p.Days())
	if err != nil {
		return r, err
	}
	return r, f.fail
}

func (f *fake) SetLoss(_ context.Context, s policy.Scope, body io.Reader) (web.LossFile, error) {
	b, err := io.ReadAll(body)
	if err != nil {
		return web.LossFile{}, err
	}
	return web.LossFile{Categories: strings.Count(string(b), "name:")}, f.act(s, "loss")
}

// documents are those of the fake's revisions.
func (f *fake) documents() []string {
	if !f.status.HasData {
		return nil
	}
	return []string{
		`{"figures":[{"id":"hacked-sites","title":"Hacked sites","value":5,"series":[1,2]},{"id":"c2-home","title":"C2 servers at home","value":2}]}`,
		`{"figures":[{"id":"hacked-sites","title":"Hacked sites","value":4,"series":[1,3],"by":` + f.jsonMark() + `},{"id":"c2-home","title":"C2 servers at home","value":2}]}`,
	}
}

func (f *fake) jsonMark() string {
	b, err := json.Marshal(f.mark)
	if err != nil {
		panic(err)
	}
	return string(b)
}

func (f *fake) Published(_ context.Context, s policy.Scope) ([]query.Revision, error) {
	if !s.All() {
		return nil, query.ErrNotFound
	}
	var out []query.Revision
	p := query.Period{From: f.status.DataFrom, To: f.status.DataTo}
	for i, d := range f.documents() {
		r := query.Revision{
			Revision: i + 1, OfPeriod: i + 1, Supersedes: i, Period: p, SHA256: strings.Repeat("cd", 32), Size: len(d), At: f.status.Now, By: "ann " + f.mark,
			Inputs: query.RevisionInputs{Through: 40, Program: "0.1.0", Enrichment: 3, Definitions: map[string]int{"hacked-sites": 1}, Refdata: []query.RevisionData{{Name: "prefixes " + f.mark, Date: "2026-10-01"}}},
		}
		if i > 0 {
			r.Why, r.Differs = "d12 was sent twice "+f.mark, []string{"hacked-sites"}
		}
		out = append([]query.Revision{r}, out...)
	}
	return out, f.fail
}

func (f *fake) Document(_ context.Context, s policy.Scope, n int) ([]byte, error) {
	ds := f.documents()
	if !s.All() || n < 1 || n > len(ds) {
		return nil, query.ErrNotFound
	}
	return []byte(ds[n-1]), f.fail
}

func (f *fake) Publish(_ context.Context, s policy.Scope, p query.Period, why string) (query.Revision, error) {
	if why == "" && f.status.HasData {
		return query.Revision{}, web.ErrConflict
	}
	return query.Revision{Revision: 3, Period: p, Why: why}, f.act(s, "publish "+why)
}
