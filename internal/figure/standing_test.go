package figure_test

import (
	"context"
	"fmt"
	"maps"
	"testing"

	"tocsin/internal/event"
	"tocsin/internal/figure"
	"tocsin/internal/policy"
	"tocsin/internal/query"
)

// recorder answers with one event, so that everything is asked for, and keeps
// the questions without their periods.
type recorder map[string]bool

func (r recorder) note(q query.Count) {
	if len(q.Where) > 0 {
		r[fmt.Sprintf("%d %v", q.Class, q.Where)] = true
	}
}

func (r recorder) Count(_ context.Context, _ policy.Scope, q query.Count) (query.Value, error) {
	r.note(q)
	n := q.Period.Days()
	return query.Value{Daily: make([]int64, n), DailyEvents: make([]int64, n), Events: 1}, nil
}

func (r recorder) Breakdown(context.Context, policy.Scope, query.Count, query.Dim) ([]query.Group, error) {
	return nil, nil
}

// TestStanding compares the standing questions with those that the overview
// asks.
func TestStanding(t *testing.T) {
	t.Parallel()
	d := event.Day(20_000)
	for _, home := range []string{"", "XS", "NL"} {
		asked, stand := recorder{}, recorder{}
		p := figure.Params{Period: query.Period{From: d, To: d + 6}, Home: home}
		for i := range figure.Definitions {
			if _, err := figure.Evaluate(t.Context(), asked, policy.Local(), &figure.Definitions[i], p); err != nil {
				t.Fatal(err)
			}
		}
		for _, q := range figure.Standing(home) {
			stand.note(q)
		}
		if len(asked) == 0 || !maps.Equal(asked, stand) {
			t.Errorf("home %q: the overview asks %v, standing are %v", home, asked, stand)
		}
	}
}
