package registry

import (
	"maps"
	"time"
)

// The things that are decided on.
const (
	DecisionBreak = "break" // a level shift of a witness: ID is the break's, State confirmed or dismissed
)

// Decision is what an analyst decided on one thing. A later one on the same
// thing takes its place; the journal keeps all.
type Decision struct {
	What  string `json:"what"`
	ID    string `json:"id"`
	State string `json:"state"`
	Why   string `json:"why"`

	At time.Time `json:"-"` // of the line
	By string    `json:"-"`
}

func (r *Registry) decide(d Decision, l Line) {
	d.At, d.By = l.At, l.By
	if r.decisions[d.What] == nil {
		r.decisions[d.What] = map[string]Decision{}
	}
	r.decisions[d.What][d.ID] = d
}

// Decisions returns what stands of the decisions on one kind of thing, by id.
func (r *Registry) Decisions(what string) map[string]Decision {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return maps.Clone(r.decisions[what])
}
