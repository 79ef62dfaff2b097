package figure

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"tocsin/internal/policy"
	"tocsin/internal/query"
)

// Document is a set of figures over one period: what `tocsin figures --json`
// prints. The same counts give the same bytes.
type Document struct {
	Period query.Period `json:"period"`
	Home   string       `json:"home"` // country code; "" if not configured
	// Enrichment is the version of the reference data that was asked for; left
	// out for the newest.
	Enrichment uint32   `json:"enrichment,omitzero"`
	Figures    []Figure `json:"figures"`
}

// EvaluateAll evaluates every definition, in their order. A breakdown that a
// definition does not have is left out for that figure.
func EvaluateAll(ctx context.Context, c Counts, scope policy.Scope, p Params) (Document, error) {
	d := Document{Period: p.Period, Home: p.Home, Enrichment: p.Enrichment, Figures: make([]Figure, 0, len(Definitions))}
	for i := range Definitions {
		q := p
		if _, ok := Definitions[i].Breakdowns[p.By]; !ok {
			q.By = query.DimNone
		}
		f, err := Evaluate(ctx, c, scope, &Definitions[i], q)
		if err != nil {
			return Document{}, err
		}
		d.Figures = append(d.Figures, f)
	}
	return d, nil
}

// Marshal writes the document as one line of JSON and a newline. Markup is
// not escaped: the bytes are a document of their own and never part of a page.
func (d Document) Marshal() ([]byte, error) { return marshal(d) }

// Marshal writes the figure in the same form.
func (f Figure) Marshal() ([]byte, error) { return marshal(f) }

func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("write figures: %w", err)
	}
	return b.Bytes(), nil
}
