package store

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"tocsin/internal/policy"
	"tocsin/internal/query"
)

// answers keeps what was counted from the tables. An answer holds until a
// delivery changes its class on one of its days: figures of classes that
// nobody reports at the moment cost nothing while others are being loaded.
type answers struct {
	mu      sync.Mutex
	m       map[string]answer
	numbers int // daily numbers in all of them
}

type answer struct {
	groups []query.Group // read only
	tick   int64         // of the marginals when the counting began
}

// The bounds of what is kept; beyond them all are forgotten. A breakdown with
// more than a quarter of the numbers, such as a year by thousands of AS, is
// counted each time.
const (
	maxAnswers = 4096
	maxNumbers = 2 << 20 // of 8 bytes
)

// answerKey names a question. Two scopes that see the same rows share it.
func answerKey(gen uint32, visible string, q query.Count, by query.Dim, p Plan) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d|%s|%d|%d|%d|%s|%s", gen, visible, q.Class, q.Period.From, q.Period.To, by, p)
	where := slices.Clone(q.Where)
	slices.SortFunc(where, func(x, y query.Cond) int {
		return strings.Compare(fmt.Sprintf("%q%q%t", x.Dim, x.Value, x.Not), fmt.Sprintf("%q%q%t", y.Dim, y.Value, y.Not))
	})
	for _, c := range where {
		fmt.Fprintf(&b, "|%q%q%t", c.Dim, c.Value, c.Not)
	}
	return b.String()
}

// known returns an answer that still holds, as a copy of the reader's own.
func (s *Store) known(key string, q query.Count) ([]query.Group, bool) {
	s.answers.mu.Lock()
	a, ok := s.answers.m[key]
	s.answers.mu.Unlock()
	if !ok || s.marg.changed(q.Class, q.Period, a.tick) {
		return nil, false
	}
	out := slices.Clone(a.groups)
	for i := range out {
		out[i].Value.Daily = slices.Clone(out[i].Value.Daily)
		out[i].Value.DailyEvents = slices.Clone(out[i].Value.DailyEvents)
	}
	return out, true
}

// learn keeps an answer whose counting began at the tick.
func (s *Store) learn(key string, groups []query.Group, tick int64) {
	numbers := 0
	for i := range groups {
		numbers += len(groups[i].Value.Daily) + len(groups[i].Value.DailyEvents)
	}
	if numbers > maxNumbers/4 {
		return
	}
	own := slices.Clone(groups)
	for i := range own {
		own[i].Value.Daily = slices.Clone(own[i].Value.Daily)
		own[i].Value.DailyEvents = slices.Clone(own[i].Value.DailyEvents)
	}
	s.answers.mu.Lock()
	defer s.answers.mu.Unlock()
	if len(s.answers.m) >= maxAnswers || s.answers.numbers+numbers > maxNumbers || s.answers.m == nil {
		s.answers.m, s.answers.numbers = map[string]answer{}, 0
	}
	s.answers.numbers += numbers
	s.answers.m[key] = answer{own, tick}
}

// groups counts for each value of by, or for all together as the group "".
// Counting from rows is the reference and always done.
func (s *Store) groups(ctx context.Context, scope policy.Scope, q query.Count, by query.Dim, p Plan) ([]query.Group, error) {
	if p == PlanRaw {
		return s.countGroups(ctx, scope, q, by, p)
	}
	key := answerKey(s.gen.Load(), s.visible(scope)+decimal(q.Enrichment), q, by, p)
	if g, ok := s.known(key, q); ok {
		return g, nil
	}
	tick := s.marg.now()
	g, err := s.countGroups(ctx, scope, q, by, p)
	if err == nil {
		s.learn(key, g, tick)
	}
	return g, err
}
