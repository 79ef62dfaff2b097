package registry

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// Fact is a file of facts in force.
type Fact struct {
	Refdata

	Content string // its SHA-256
	At      time.Time
	By      string
}

// applyFact puts a file of facts in the place of that of its kind and layout.
// The registry's lock is held.
func (r *Registry) applyFact(l Line, d Refdata) {
	if len(l.Contents) == 0 {
		return
	}
	if r.facts == nil {
		r.facts = map[[2]string]Fact{}
	}
	r.facts[[2]string{d.Kind, d.Layout}] = Fact{d, l.Contents[0], l.At, l.By}
}

// Facts returns the files of facts in force, by kind and layout.
func (r *Registry) Facts() []Fact {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return slices.SortedFunc(maps.Values(r.facts), func(a, b Fact) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Layout, b.Layout))
	})
}

// Released says of which month tables were released to the public.
type Released struct {
	Month  string `json:"month"`           // YYYY-MM
	Reason string `json:"reason,omitzero"` // why they were revised; "" for the first
}

// Release is one set of released tables.
type Release struct {
	Released

	Revision int    // from 1 for each month
	Content  string // SHA-256 of the tables
	At       time.Time
	By       string
}

// applyReleased appends a release. A month's second without a reason is none:
// the first stands. The registry's lock is held.
func (r *Registry) applyReleased(l Line, d Released) {
	n := 1
	for i := range r.released {
		if r.released[i].Month == d.Month {
			n++
		}
	}
	if len(l.Contents) == 0 || n > 1 && d.Reason == "" {
		return
	}
	r.released = append(r.released, Release{d, n, l.Contents[0], l.At, l.By})
}

// Releases returns all that was released, the newest month first and of a month
// the newest revision.
func (r *Registry) Releases() []Release {
	r.mu.RLock()
	defer r.mu.RUnlock()
	out := slices.Clone(r.released)
	slices.SortFunc(out, func(a, b Release) int {
		return cmp.Or(cmp.Compare(b.Month, a.Month), cmp.Compare(b.Revision, a.Revision))
	})
	return out
}
